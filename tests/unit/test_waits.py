"""Latches and turns: they end in time, say who is inside, survive forks and stops. Interrupts: test_interrupts.py."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mtgen.errors import StallError
from mtgen.waits import Latch, ProcessTurns, Turns
from tests.support.waiting import eventually

ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def inside(turns: Turns) -> Iterator[threading.Thread]:
    """Another thread is inside while the block lasts."""
    reached, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with turns:
            reached.set()
            leave.wait(20)

    thread = threading.Thread(target=hold, name="holder")
    thread.start()
    assert reached.wait(20)
    yield thread
    leave.set()
    thread.join(20)


# --- latches ----------------------------------------------------------------------------------------------------------


def test_a_latch_opens_once_for_ever_and_for_all() -> None:
    latch, through = Latch(), list[bool]()
    threads = [threading.Thread(target=lambda: through.append(latch.wait(20))) for _ in range(8)]
    for thread in threads:
        thread.start()
    assert not latch.is_set()
    latch.set()
    latch.set()
    assert eventually(lambda: through == [True] * 8)
    assert latch.is_set()
    assert latch.wait(0)
    assert latch.wait(-1)


@pytest.mark.parametrize("seconds", [-1.0, 0.0, 0.001, 0.7])
def test_a_latch_that_stays_shut_is_waited_for_so_long_and_no_longer(seconds: float) -> None:
    before = time.monotonic()
    assert not Latch().wait(seconds)
    assert time.monotonic() - before >= max(0, seconds) * 0.99


def test_whoever_opens_while_another_begins_to_wait_is_not_missed() -> None:
    """A thousand times, with as many switches as the interpreter can make."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(1_000):
            latch = Latch()
            opener = threading.Thread(target=latch.set)
            opener.start()
            assert latch.wait(20)
            opener.join(20)
    finally:
        sys.setswitchinterval(interval)


STOPPED = """
import sys, threading
from mtgen.waits import Latch
latch = Latch()
print("ready", flush=True)
opener = threading.Thread(target=lambda: (sys.stdin.readline(), latch.set()), daemon=True)
opener.start()
print(latch.wait(2.5), flush=True)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="this system cannot stop a process")
def test_a_stopped_process_does_not_use_up_the_time() -> None:
    """A laptop that was shut for a night woke up to an error: no batch for 300 s."""
    with subprocess.Popen(
        [sys.executable, "-c", STOPPED],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as child:
        assert child.stdout is not None
        assert child.stdin is not None
        assert child.stdout.readline() == "ready\n"
        child.send_signal(signal.SIGSTOP)
        threading.Event().wait(3.0)  # longer than it would wait
        child.send_signal(signal.SIGCONT)
        child.stdin.write("open\n")
        child.stdin.flush()
        assert child.stdout.readline() == "True\n"


# --- turns ------------------------------------------------------------------------------------------------------------


def test_one_at_a_time_and_the_same_thread_again() -> None:
    turns, now, most = Turns(20, "count"), [0], [0]

    def work() -> None:
        for _ in range(200):
            with turns, turns:
                now[0] += 1
                most[0] = max(most[0], now[0])
                now[0] -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert (now, most) == ([0], [1])


def test_who_waits_too_long_is_told_who_is_inside_and_for_what() -> None:
    turns = Turns(0.05, "read x.h5")
    with inside(turns), pytest.raises(StallError) as caught, turns:
        pass
    assert str(caught.value).startswith("no turn for 0.05 s: thread holder is inside to read x.h5 for 0.")
    assert "A file system may hang" in str(caught.value)
    with turns:  # free again, and not counted wrongly
        pass
    with pytest.raises(RuntimeError):
        turns.release()


def test_an_error_inside_leaves_it_free() -> None:
    turns = Turns(5, "read")
    with pytest.raises(ZeroDivisionError), turns:
        raise ZeroDivisionError
    with inside(turns):
        pass


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning", "ignore:.*os.fork.*:RuntimeWarning")
def test_a_forked_child_finds_its_turns_free() -> None:
    """The parent's thread that was inside does not exist in the child, and never leaves."""
    process = ProcessTurns("read", 0.5)
    with inside(process.here):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                with process.here:
                    code = 0
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        with pytest.raises(StallError, match="thread holder is inside to read"), process.here:
            pass


def test_turns_travel_as_what_they_say_and_free() -> None:
    process = ProcessTurns("read", 0.05)
    with inside(process.here):
        other = pickle.loads(pickle.dumps(process))
        with other.here as entered:
            assert entered
    assert (other.here.what, other.here.seconds) == ("read", 0.05)


def test_all_threads_of_a_process_have_the_same_turns() -> None:
    process, found = ProcessTurns("read"), list[Turns]()
    together = threading.Barrier(8)

    def look() -> None:
        together.wait(20)
        found.append(process.here)

    threads = [threading.Thread(target=look) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(found) == 8
    assert {id(one) for one in found} == {id(process.here)}
