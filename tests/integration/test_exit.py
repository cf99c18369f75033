"""Ends: break, exceptions, Ctrl-C, `del`, interpreter exit, fork. Threads gone within two seconds, exit codes right."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import mtgen
from mtgen.config import Prefetch
from mtgen.errors import StallError
from tests.support.samples import check_aligned, content, features, make_dataset, tight_loader
from tests.support.stores import Gate, MemoryStore
from tests.support.waiting import threads_gone, worker_threads

pytestmark = pytest.mark.usefixtures("no_thread_left")

ROOT = Path(__file__).resolve().parents[2]
NUM_ROWS = 40


def make_loader(num_workers: int = 2) -> mtgen.Loader:
    return mtgen.Loader(make_dataset(NUM_ROWS), 2, num_workers=num_workers, prefetch=Prefetch(window=4, depth=8))


def test_break() -> None:
    loader = make_loader()
    for batch in loader.epoch(0):
        if batch.step == 3:
            break
    assert threads_gone()
    assert [one.step for one in loader.epoch(0)] == list(range(20))  # the next epoch is whole
    loader.close()


def test_an_exception_in_the_consumer() -> None:
    loader = make_loader()

    def consume() -> None:
        for _ in loader.epoch(0):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        consume()
    assert threads_gone()
    assert [one.step for one in loader.epoch(0)] == list(range(20))
    loader.close()


def test_an_iterator_left_lying_about() -> None:
    iterator = iter(make_loader().epoch(0))
    next(iterator)
    assert threads_gone()
    assert next(iterator).step == 1
    assert threads_gone()


def test_del_of_loader_and_iterator() -> None:
    loader = make_loader()
    iterator = iter(loader.epoch(0))
    next(iterator)
    del loader, iterator
    assert threads_gone()


def test_del_with_a_read_in_flight() -> None:
    store = MemoryStore(features(2 * NUM_ROWS), 8)
    gate = Gate(store)
    loader = mtgen.Loader(make_dataset(NUM_ROWS, store=store), 2, prefetch=Prefetch(stall_seconds=0.3))
    with pytest.raises(StallError):
        loader.batch(0)
    assert gate.reached.is_set()
    del loader
    gate.open()
    assert threads_gone()


def test_leaving_a_with_block_joins_the_threads() -> None:
    with make_loader() as loader:
        list(loader.epoch(0))
    assert worker_threads() == []


# --- processes --------------------------------------------------------------------------------------------------------

HEADER = """
import os, signal, sys, threading
import numpy as np, pandas as pd
import mtgen
from mtgen.config import Prefetch
from tests.support.samples import check_aligned, content, features, make_dataset
from tests.support.stores import Gate, MemoryStore
from tests.support.waiting import eventually, threads_gone, worker_threads

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell has what it starts in the background ignore it

def make_loader(num_workers=2, store=None, **more):
    return mtgen.Loader(make_dataset(40, store=store), 2, num_workers=num_workers,
                        prefetch=Prefetch(window=4, depth=8, **more))
"""


def run_python(code: str, seconds: float = 60.0) -> tuple[int, str, str]:
    """Exit code, output and errors of a process of its own; one that hangs fails the test."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-X", "faulthandler", "-c", HEADER + textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=seconds,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    return done.returncode, done.stdout.strip(), done.stderr.strip()


@pytest.mark.parametrize("num_workers", [0, 2])
def test_interpreter_exit_with_work_under_way(num_workers: int) -> None:
    code = f"""
    loader = make_loader({num_workers})
    iterator = iter(loader.epoch(0))
    next(iterator)
    print("leaving")
    """
    assert run_python(code) == (0, "leaving", "")


def test_interpreter_exit_with_a_reader_that_hangs() -> None:
    code = """
    store = MemoryStore(features(80), 8)
    loader = make_loader(store=store, stall_seconds=0.2)
    gate = Gate(store)
    gate._open.wait = threading.Event().wait  # for ever, whatever the deadline
    try:
        loader.batch(0)
    except mtgen.errors.StallError:
        print("stalled")
    """
    assert run_python(code) == (0, "stalled", "")


@pytest.mark.parametrize("how", ["pass", "sys.exit(0)"])
def test_workers_are_gone_before_libraries_are_torn_down(how: str) -> None:
    """h5py took itself apart at exit while workers read with it: a segmentation fault in 3 of 100 processes."""
    code = f"""
    import atexit
    # What a library does that is imported with a store: after mtgen, before the loader.
    atexit.register(lambda: print("threads:", worker_threads()))
    iterator = iter(make_loader().epoch(0))
    next(iterator)
    assert worker_threads()
    {how}
    """
    assert run_python(code) == (0, "threads: []", "")


def test_one_ctrl_c_ends_the_verifying_of_a_file_that_hangs() -> None:
    """concurrent.futures waited for its thread when it was left, and once more when the interpreter ended."""
    code = """
    import tempfile
    from mtgen.threads import in_threads
    pipe = tempfile.mkdtemp() + "/pipe"
    os.mkfifo(pipe)
    def work(item, note):
        if item == 1:  # one, as the name says: a second would come when the first is being dealt with
            os.kill(os.getpid(), signal.SIGINT)
        open(pipe)  # for ever
    try:
        list(in_threads(work, [1, 2, 3], num_threads=2, group=1))
    except KeyboardInterrupt:
        print("interrupted")
    """
    assert run_python(code) == (0, "interrupted", "")


def test_an_uncaught_exception_keeps_its_exit_code() -> None:
    returncode, _, errors = run_python("""
    for batch in make_loader().epoch(0):
        raise ValueError("of the consumer")
    """)
    assert returncode == 1
    assert errors.endswith("ValueError: of the consumer")
    returncode, _, errors = run_python("""
    for batch in make_loader().epoch(0):
        sys.exit(7)
    """)
    assert (returncode, errors) == (7, "")


@pytest.mark.parametrize("num_workers", [0, 2])
def test_ctrl_c_while_waiting_for_a_batch(num_workers: int) -> None:
    """The signal comes while a reader is held behind a gate; the wait ends at once, the loader can be used again."""
    code = f"""
    store = MemoryStore(features(80), 8)
    loader = make_loader({num_workers}, store)
    gate = Gate(store)
    def press():
        gate.reached.wait(30)
        os.kill(os.getpid(), signal.SIGINT)
    presser = threading.Thread(target=press)
    presser.start()
    try:
        for batch in loader.epoch(0):
            print("a batch came through the gate")
    except KeyboardInterrupt:
        print("interrupted")
    presser.join()
    gate.open()
    assert threads_gone(), worker_threads()
    steps = []
    for batch in loader.epoch(0):
        check_aligned(batch, loader.dataset)
        steps.append(batch.step)
    assert steps == list(range(20)), steps
    loader.close()
    """
    assert run_python(code) == (0, "interrupted", "")


def test_ctrl_c_in_the_consumer_ends_the_process() -> None:
    returncode, output, errors = run_python("""
    for batch in make_loader().epoch(0):
        print("once", flush=True)
        os.kill(os.getpid(), signal.SIGINT)
    """)
    assert returncode in (-signal.SIGINT, 130)
    assert output == "once"
    assert errors.endswith("KeyboardInterrupt")


@pytest.mark.parametrize("seed", range(3))
def test_signals_at_many_places_never_hang_or_spoil_a_batch(seed: int) -> None:
    code = f"""
    import gc, inspect, itertools, random
    loader = make_loader()
    expected = [content(loader.batch(step)) for step in range(20)]
    places, interrupted = random.Random({seed}), 0
    for attempt in range(12):
        countdown = itertools.count(places.randrange(1, 1500), -1)
        # Where Python looks for signals, as in test_interrupts.py; a trace function also sees the line of a `with` on
        # the way out, before the lock is let go, where no signal comes in.
        def look(frame, event, argument):
            if event not in ("call", "c_return") or argument is sys.setprofile:
                return
            if frame.f_code.co_flags & inspect.CO_GENERATOR and event == "call":
                return
            if next(countdown) == 0:
                sys.setprofile(None)
                raise KeyboardInterrupt
        gc.disable()
        sys.setprofile(look)
        try:
            list(loader.epoch(0))
        except KeyboardInterrupt:
            interrupted += 1
        finally:
            sys.setprofile(None)
            gc.enable()
        assert [content(batch) for batch in loader.epoch(0)] == expected
    loader.close()
    assert interrupted > 6, interrupted
    print("done")
    """
    returncode, output, errors = run_python(code)
    assert (returncode, output) == (0, "done"), errors


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings(
    "ignore:.*fork.*:DeprecationWarning",
    # JAX, loaded by tests before this one, warns at any fork; what is forked here does not use it.
    "ignore:.*os.fork.*:RuntimeWarning",
)
def test_a_forked_child_goes_on_with_threads_of_its_own() -> None:
    """Batches under way in the parent were waited for in the child, where no thread would finish them."""
    store = MemoryStore(features(2 * NUM_ROWS), 8)
    data = make_dataset(NUM_ROWS, store=store)
    expected = [content(batch) for batch in make_loader(0).steps(0, 40)]
    loader = tight_loader(data, 2, num_workers=2, prefetch=Prefetch(window=4, depth=8, stall_seconds=20))
    assert len(list(loader.epoch(0))) == 20  # leaves a stream with the next epoch under way
    stream = loader.stream()
    for step in range(8):
        stream.get(step)
    assert all(pending.done.wait(20) for pending in stream._ready.values())
    gate = Gate(store)
    num_steps = 8
    while not gate.reached.wait(0.1):  # until the next window is planned, and held
        stream.get(num_steps)
        num_steps += 1
    assert num_steps < 15
    child = os.fork()
    if child == 0:
        # No pytest in here: one byte of exit code, whatever happens.
        code = 1
        try:
            store.before = lambda chunk: None
            rest = [content(stream.get(step)[0]) for step in range(num_steps, 20)]
            again = [content(batch) for batch in loader.epoch(1)]
            alone = content(loader.batch(3))
            loader.stats()
            loader.close()
            right = rest == expected[num_steps:20] and again == expected[20:40] and alone == expected[3]
            code = 0 if right else 2
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    gate.open()
    assert os.waitstatus_to_exitcode(status) == 0
    for batch in loader.epoch(1):  # the parent is not disturbed
        check_aligned(batch, data)
        assert content(batch) == expected[int(batch.step or 0)]
    stream.close()
    loader.close()
