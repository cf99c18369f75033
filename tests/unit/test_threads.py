"""Work in threads: in order, with the first error, with a deadline for silence only, and with nothing left behind."""

from __future__ import annotations

import _thread
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mtgen.errors import StallError
from mtgen.files import hash_file
from mtgen.threads import in_threads
from mtgen.waits import Note
from tests.support.waiting import eventually, threads_gone

pytestmark = pytest.mark.usefixtures("no_thread_left")


def doubled(item: int, note: Note) -> int:
    return item * 2


@pytest.mark.parametrize("group", [1, 3, 100])
@pytest.mark.parametrize("num_threads", [0, 1, 3])
def test_the_order_is_kept_and_the_first_error_raised(num_threads: int, group: int) -> None:
    assert list(in_threads(doubled, range(50), num_threads=num_threads, group=group)) == list(range(0, 100, 2))
    wrong = in_threads(lambda item, note: 1 // (item - 7), range(50), num_threads=num_threads, group=group)
    with pytest.raises(ZeroDivisionError):
        list(wrong)
    assert threads_gone()


def test_so_many_at_once_and_no_more() -> None:
    together = threading.Barrier(3)
    now, most = set[int](), [0]

    def work(item: int, note: Note) -> int:
        now.add(item)
        most[0] = max(most[0], len(now))
        if item < 3:
            together.wait(20)  # comes back only where three are in it
        now.remove(item)
        return item

    assert list(in_threads(work, range(60), num_threads=3, group=1)) == list(range(60))
    assert most[0] == 3


def test_items_are_taken_a_bounded_number_ahead_and_in_the_callers_thread() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for number in range(100):
            assert threading.current_thread() is threading.main_thread()
            taken.append(number)
            yield number

    results = in_threads(doubled, items(), num_threads=2, group=5)
    assert next(results) == 0
    assert len(taken) == 20


def test_who_leaves_is_not_worked_for() -> None:
    gate, begun = threading.Event(), list[int]()

    def work(item: int, note: Note) -> int:
        begun.append(item)
        assert item < 1 or gate.wait(20)
        return item

    results = in_threads(work, range(100), num_threads=1, group=1)
    assert next(results) == 0
    assert eventually(lambda: begun == [0, 1])
    del results
    gate.set()
    assert threads_gone()
    assert begun == [0, 1]


def test_a_thread_that_says_nothing_is_a_stall_that_names_what_it_does() -> None:
    gate = threading.Event()

    def work(item: str, note: Note) -> None:
        note(f"look at {item}")
        gate.wait(20)

    with pytest.raises(StallError, match=r"^no word for 0.05 s from the thread that is to look at /far/away. A file"):
        list(in_threads(work, ["/far/away"], num_threads=2, group=1, seconds=0.05))
    gate.set()
    assert threads_gone()


def test_what_takes_long_and_says_so_is_no_stall(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of a terabyte takes longer to hash than anybody may be silent."""
    monkeypatch.setattr("mtgen.threads.POLL_SECONDS", 0.02)

    def work(item: int, note: Note) -> int:
        pause = threading.Event()
        for number in range(60):
            note(f"hash piece {number}")
            pause.wait(0.005)  # in all three times what is allowed
        return item

    assert list(in_threads(work, [1], num_threads=1, group=1, seconds=0.1)) == [1]


def test_a_large_file_tells_each_piece(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(bytes(5 << 19))
    told: list[str] = []
    hash_file(str(tmp_path / "x"), told.append)
    assert told == [f"open {tmp_path / 'x'}", *[f"hash {tmp_path / 'x'}"] * 3]


def test_fewer_threads_than_asked_for_do(monkeypatch: pytest.MonkeyPatch) -> None:
    start, asked, gate = _thread.start_new_thread, list[object](), threading.Event()

    def scarce(*arguments: Any) -> int:
        asked.append(arguments)
        if len(asked) == 1:
            return start(*arguments)
        if len(asked) == 3:
            gate.set()
        raise RuntimeError("can't start new thread")

    def none(*arguments: Any) -> int:
        raise RuntimeError("can't start new thread")

    def work(item: int, note: Note) -> int:
        assert gate.wait(20)
        return item

    monkeypatch.setattr(_thread, "start_new_thread", scarce)
    monkeypatch.setattr(threading.Thread, "start", none)  # the one that runs does the work itself
    assert list(in_threads(work, range(6), num_threads=3, group=2)) == list(range(6))
    assert len(asked) == 3

    monkeypatch.setattr(_thread, "start_new_thread", none)
    with pytest.raises(StallError, match=r"no thread can be started .can't start new thread.: raise the limits"):
        list(in_threads(doubled, range(9), num_threads=3, group=2))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning", "ignore:.*os.fork.*:RuntimeWarning")
def test_a_forked_child_has_threads_of_its_own() -> None:
    assert list(in_threads(doubled, [1], num_threads=1, group=1)) == [2]
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = 0 if list(in_threads(doubled, range(9), num_threads=2, group=2)) == list(range(0, 18, 2)) else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
