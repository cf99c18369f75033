"""A Ctrl-C at every single place where Python would let one in: none is lost, none hangs, none spoils a batch.

Python looks for signals when a function begins and when a call into C is over. A profile function sees just these
places; raising KeyboardInterrupt from it at place 1, 2, 3, ... goes through all of them, which no storm of real
signals does (that one is in test_processes.py).
"""

from __future__ import annotations

import contextlib
import gc
import inspect
import os
import sys
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import mtgen
from mtgen.adapters.feed import Feed
from mtgen.config import Prefetch
from mtgen.inputs.rows import Rows
from mtgen.stores.arrays import ArrayStore
from mtgen.threads import in_threads
from mtgen.waits import Latch, ProcessTurns, Turns
from tests.support.samples import content, make_dataset, make_pictures
from tests.support.waiting import eventually, threads_gone

pytestmark = [
    pytest.mark.usefixtures("no_thread_left"),
    # Of a file that was opened when the interrupt came: it is closed with its last reference, before the next line.
    pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning"),
]

NUM_ROWS = 6
NEVER = 1 << 60

WEAK_FILES = {weakref.__file__, weakref.WeakSet.__init__.__code__.co_filename}
"""Their callbacks run when any library's object dies, and what they raise is lost by Python itself."""


class Interrupter:
    """Runs a function and raises KeyboardInterrupt at its n-th place, or nowhere."""

    def __init__(self, place: int = NEVER) -> None:
        self.place = place
        self.num_places = 0
        self.where = ""

    def __call__(self, function: Callable[[], Any]) -> Any:
        # Collectors of other packages call back into Python, where an interrupt is theirs to lose.
        gc.disable()
        sys.setprofile(self._look)
        try:
            return function()
        finally:
            sys.setprofile(None)
            gc.enable()

    def _look(self, frame: Any, event: str, argument: Any) -> None:
        if event not in ("call", "c_return") or argument is sys.setprofile:
            return
        if event == "call" and frame.f_code.co_flags & inspect.CO_GENERATOR:
            return  # also seen when a generator is thrown away, which looks for no signals
        if frame.f_code.co_filename in WEAK_FILES:
            return
        self.num_places += 1
        if self.num_places == self.place:
            sys.setprofile(None)
            self.where = f"{event} in {frame.f_code.co_qualname}, line {frame.f_lineno} ({argument})"
            raise KeyboardInterrupt


def interrupt_everywhere(function: Callable[[], Any], check: Callable[[], None], stride: int = 1) -> int:
    """Interrupt `function` at each place in turn, and `check` afterwards; in how many places an interrupt struck.

    Every place in `make soak`, else every `stride`-th.
    """
    stride = 1 if os.environ.get("MTGEN_SOAK") else stride
    counter = Interrupter()
    counter(function)
    check()
    done = 0
    for place in range(1, counter.num_places + 1, stride):
        interrupter = Interrupter(place)
        try:
            interrupter(function)
        except KeyboardInterrupt:
            pass
        else:
            # Threads take more or less of the work, so the last places may not come; one that came must surface.
            assert not interrupter.where, f"an interrupt was lost: {interrupter.where}"
        try:
            check()
        except BaseException as error:
            raise AssertionError(f"after an interrupt at place {place}: {interrupter.where}") from error
        done += bool(interrupter.where)
    print(f"{done} interrupts at {counter.num_places} places")
    return done


@pytest.fixture
def data(tmp_path: Path) -> mtgen.Dataset:
    return make_dataset(NUM_ROWS, pictures=make_pictures(tmp_path / "pictures", NUM_ROWS), chunk_rows=4)


@pytest.mark.parametrize("num_workers", [0, 1, 3])
def test_interrupts_everywhere_in_an_epoch(data: mtgen.Dataset, num_workers: int) -> None:
    prefetch = Prefetch(window=2, depth=2, stall_seconds=10)
    loader = mtgen.Loader(data, 2, num_workers=num_workers, prefetch=prefetch)
    expected = [content(loader.batch(step)) for step in range(6)]

    def check() -> None:
        assert [content(batch) for batch in loader.epoch(0)] == expected[:3]

    # Most places of a caller that reads itself lie in NumPy and Pillow.
    assert interrupt_everywhere(lambda: list(loader.epoch(1)), check, stride=3 if num_workers else 13) > 80
    loader.close()


@pytest.mark.parametrize("num_workers", [0, 2])
def test_interrupts_everywhere_in_one_stream_that_goes_on(data: mtgen.Dataset, num_workers: int) -> None:
    """The same stream is asked again for the step at which it was interrupted, as Keras would."""
    prefetch = Prefetch(window=2, depth=2, stall_seconds=10)
    loader = mtgen.Loader(data, 2, num_workers=num_workers, prefetch=prefetch)
    expected = [content(loader.batch(step)) for step in range(9)]
    stream = loader.stream()

    def check() -> None:
        for step in (2, 3, 4):
            assert content(stream.get(step)[0]) == expected[step]
        stream.seek(0)

    done = interrupt_everywhere(
        lambda: [stream.get(step) for step in (0, 1, 2)], check, stride=3 if num_workers else 11
    )
    assert done > 70
    loader.close()


@pytest.mark.parametrize("num_workers", [0, 1])
def test_interrupts_everywhere_while_another_thread_uses_the_same_stream(num_workers: int) -> None:
    """A lock that an interrupted thread leaves locked stops the others, not itself."""
    loader = mtgen.Loader(
        make_dataset(NUM_ROWS, chunk_rows=4), 2, num_workers=num_workers, prefetch=Prefetch(window=2, stall_seconds=10)
    )
    expected = [content(loader.batch(step)) for step in range(6)]
    stream = loader.stream()
    found: list[Any] = []

    def other() -> None:
        try:
            found.append([content(stream.get(step)[0]) for step in (1, 2, 3)])
        except BaseException as error:  # looked at below
            found.append(error)

    def function() -> None:
        stream.get(0)
        stream.get(1)

    def check() -> None:
        found.clear()
        thread = threading.Thread(target=other)
        thread.start()
        thread.join(30)
        assert found == [expected[1:4]], found
        stream.seek(0)

    assert interrupt_everywhere(function, check, stride=3) > 15
    loader.close()


def test_interrupts_everywhere_in_closing(data: mtgen.Dataset) -> None:
    loader = mtgen.Loader(data, 2, num_workers=2, prefetch=Prefetch(window=2, depth=2, stall_seconds=10))
    expected = [content(loader.batch(step)) for step in range(3)]

    def begun_and_closed() -> None:
        iterator = loader.epoch(0)
        next(iterator)
        iterator.close()  # type: ignore[attr-defined]
        loader.close()

    def check() -> None:
        assert [content(batch) for batch in loader.epoch(0)] == expected

    assert interrupt_everywhere(begun_and_closed, check, stride=3) > 60
    loader.close()


@pytest.mark.parametrize("num_workers", [0, 2])
def test_interrupts_everywhere_in_breaks_are_never_lost(data: mtgen.Dataset, num_workers: int) -> None:
    """A generator that was left closed itself when it was collected, and a Ctrl-C in there was ignored."""
    loader = mtgen.Loader(data, 2, num_workers=num_workers, prefetch=Prefetch(stall_seconds=10))

    def left() -> None:
        for _ in loader.epoch(0):
            break

    interrupt_everywhere(left, lambda: None, stride=7)
    assert [batch.step for batch in loader.epoch(0)] == [0, 1, 2]
    loader.close()


def test_interrupts_everywhere_in_a_feed(data: mtgen.Dataset) -> None:
    loader = mtgen.Loader(data, 2, num_workers=1, prefetch=Prefetch(stall_seconds=10))
    expected = [content(loader.batch(step)) for step in range(3)]
    feed = Feed(loader)

    def function() -> None:
        one = feed.begin()
        feed.serve(one, 0)
        feed.serve(one, 1)

    def check() -> None:
        one = feed.begin()
        assert [content(feed.serve(one, place)) for place in range(3)] == expected
        feed.go_to(0)

    assert interrupt_everywhere(function, check, stride=7) > 14
    loader.close()


def in_another_thread(function: Callable[[], Any]) -> Any:
    """What the function gives in a thread of its own, within ten seconds."""
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(function()), daemon=True)
    thread.start()
    thread.join(10)
    assert found, "it hangs in another thread"
    return found[0]


def test_interrupts_everywhere_leave_the_lock_of_a_store_free() -> None:
    """The lock that forks free was entered by a Python function: interrupted there, it was never left."""

    class Array:
        shape, dtype = (8, 2), np.dtype("f4")

        def __getitem__(self, selection: Any) -> np.ndarray:
            return np.arange(16, dtype="f4").reshape(8, 2)[selection]

    table = pd.DataFrame({"a": range(8)})
    data = mtgen.Dataset(table, inputs={"x": Rows(ArrayStore(Array()))})

    def check() -> None:
        batch = in_another_thread(lambda: data.fetch([3, 1]))
        assert batch.inputs["x"].tolist() == [[6.0, 7.0], [2.0, 3.0]]

    assert interrupt_everywhere(lambda: data.fetch([1]), check) > 20


def test_interrupts_everywhere_leave_turns_and_latches_in_order() -> None:
    turns, process = Turns(10, "test"), ProcessTurns("test")
    latch = Latch()

    def function() -> None:
        with turns, process.here:
            Latch().wait(0.001)
        latch.set()
        latch.wait(1)

    def check() -> None:
        with process.here, turns:
            assert in_another_thread(lambda: latch.wait(5) or not latch.is_set())
        with pytest.raises(RuntimeError):
            turns.release()  # this thread is not inside any more

    assert interrupt_everywhere(function, check) > 15


def test_interrupts_everywhere_in_work_in_threads() -> None:
    """An executor that was interrupted where it waits left its lock locked, and hung when it was left."""

    def function() -> list[int]:
        return list(in_threads(lambda item, note: 2 * item, range(8), num_threads=2, group=2))

    def check() -> None:
        assert in_another_thread(function) == list(range(0, 16, 2))

    assert interrupt_everywhere(function, check) > 30
    assert threads_gone()


def test_the_interrupter_finds_what_it_should(capsys: pytest.CaptureFixture[str]) -> None:
    """Python's own condition stays locked when its waiter is interrupted; this is why mtgen has none."""

    def hangs(place: int) -> bool:
        event = threading.Event()
        interrupter = Interrupter(place)
        with contextlib.suppress(KeyboardInterrupt, RuntimeError):
            interrupter(lambda: event.wait(0.001))
        setter = threading.Thread(target=event.set, daemon=True)
        setter.start()
        setter.join(0.5)
        if hung := setter.is_alive():
            event._cond.release()  # type: ignore[attr-defined]
        assert eventually(lambda: not setter.is_alive())
        return hung

    assert any(hangs(place) for place in range(1, 12))
