"""What the children of `tests.support.children` do: end in all ways, be interrupted, soak, run short of things."""

from __future__ import annotations

import faulthandler
import gc
import inspect
import itertools
import json
import os
import random
import resource
import signal
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import mtgen
from mtgen import crew
from mtgen import picture as pictures
from mtgen.config import Prefetch
from mtgen.errors import MtgenError
from mtgen.inputs.images import BoundImages
from mtgen.inputs.rows import BoundRows
from mtgen.step_plan import StepPlan
from tests.support.children import say_ready
from tests.support.samples import PICTURE, content, features, make_pictures, picture
from tests.support.waiting import threads_gone, worker_threads

NUM_ROWS = 24
KINDS = ["pictures", "bcolz", "zarr", "hdf5"]
PLANNED = 7
"""The last step that workers have planned when the first batch is there."""
HOLD_SECONDS = 10.0
"""Longest hold of a thread in mid-phase; it is let go as soon as the end begins."""


def write_files(folder: Path) -> None:
    """The pictures and stores that `make_loader` reads; every row tells itself."""
    import bcolz
    import h5py
    import zarr

    make_pictures(folder / "pictures", NUM_ROWS)
    array = features(NUM_ROWS)
    bcolz.carray(array, rootdir=str(folder / "x.bcolz"), mode="w", chunklen=5).flush()
    zarr.create_array(str(folder / "x.zarr"), data=array, chunks=(5, 3))
    with h5py.File(folder / "x.h5", "w") as file:
        file.create_dataset("x", data=array, chunks=(5, 3))
    (folder / "temporary").mkdir()


def make_loader(folder: str, kind: str, num_workers: int, **settings: Any) -> mtgen.Loader:
    """A loader of columns and one kind of input from disk."""
    table = pd.DataFrame({"path": [f"{row}.png" for row in range(NUM_ROWS)], "number": range(NUM_ROWS)})
    inputs: dict[str, Any] = {"number": mtgen.Columns("number")}
    if kind == "pictures":
        inputs["image"] = mtgen.Images("path", root=f"{folder}/pictures", size=PICTURE)
    elif kind != "columns":
        store = {"bcolz": "x.bcolz", "zarr": "x.zarr", "hdf5": "x.h5::x"}[kind]
        inputs["features"] = mtgen.Rows(f"{folder}/{store}")
    data = mtgen.Dataset(table, inputs, targets="number")
    prefetch = Prefetch(window=1, depth=6, stall_seconds=15)
    return mtgen.Loader(data, 2, num_workers=num_workers, prefetch=prefetch, **settings)


def check_right(batches: Collection[mtgen.Batch]) -> None:
    """Every field belongs to its row."""
    for batch in batches:
        expected = {
            "number": batch.rows,
            "features": features(NUM_ROWS)[batch.rows],
            "image": np.array([picture(row) for row in batch.rows]),
        }
        for name, values in batch.inputs.items():
            assert values.astype(np.float32).tobytes() == expected[name].astype(np.float32).tobytes(), (
                name,
                batch.step,
            )


def check_threads_gone() -> None:
    """No thread of mtgen is left after two seconds; else where each one stands."""
    if not threads_gone():
        faulthandler.dump_traceback(all_threads=True)
        raise AssertionError(f"threads are left: {worker_threads()}")


def open_files() -> list[str]:
    """What the file descriptors of this process stand for, but for pipes and the like, which have no name."""
    found = []
    for number in os.listdir("/proc/self/fd"):
        try:
            found.append(os.readlink(f"/proc/self/fd/{number}"))
        except FileNotFoundError:  # that of the listing itself
            continue
    return sorted(found)


class Phase:
    """Holds the thread that plans, reads or decodes anything but the first batch, until the end begins.

    Where it is the main thread that comes along, the end begins right there.
    """

    def __init__(self, one: mtgen.Loader, phase: str, end: Callable[[], None]) -> None:
        self.reached, self.leaving = threading.Event(), threading.Event()
        self._end = end
        self._broken: Exception | None = None
        self._first = set(one.rows(0).tolist())
        if phase == "plan":
            # Of the loader only its number: what stays patched would keep the loader, and its open files.
            make_window, planned = StepPlan.make_window, PLANNED if one.num_workers else 0
            bind = inspect.signature(make_window).bind  # by name: arguments that come or go elsewhere move no step
            StepPlan.make_window = (  # type: ignore[method-assign]
                lambda *arguments: (
                    self._hold(bind(*arguments).arguments["steps"][0] > planned),
                    make_window(*arguments),
                )[1]
            )
        elif phase == "read":
            read_bytes, fetch = BoundImages.read_bytes, BoundRows.fetch
            BoundImages.read_bytes = (  # type: ignore[method-assign]
                lambda bound, row, *more: (self._hold(row not in self._first), read_bytes(bound, row, *more))[1]
            )
            BoundRows.fetch = (  # type: ignore[method-assign]
                lambda bound, rows, out: (self._hold(not self._first & set(rows.tolist())), fetch(bound, rows, out))[1]
            )
        elif phase == "decode":
            decode = pictures.decode
            pixels = {picture(row).tobytes() for row in self._first}

            def held(data: bytes, recipe: Any, out: np.ndarray, facts: Any, room: Any) -> None:
                decode(data, recipe, out, facts, room)
                self._hold(out.tobytes() not in pixels)

            pictures.decode = held  # type: ignore[assignment]

    def _hold(self, later: bool) -> None:
        if later and self._broken is not None:
            raise self._broken  # a store that failed once would be read again, row by row
        if not later or self.leaving.is_set():
            return
        self.reached.set()
        if threading.current_thread() is threading.main_thread():
            self.leaving.set()
            try:
                self._end()
            except Exception as error:
                self._broken = error
                raise
        else:
            self.leaving.wait(HOLD_SECONDS)


kept: list[Any] = []
"""What is still there when the interpreter goes."""


def _raise(error: BaseException) -> None:
    raise error


ENDS: dict[str, Callable[[], None]] = {
    "sys.exit": lambda: sys.exit(7),
    "exception": lambda: _raise(ValueError("of the consumer")),
    "os._exit": lambda: os._exit(9),
    "SIGINT": lambda: signal.raise_signal(signal.SIGINT),
    "SIGTERM": lambda: signal.raise_signal(signal.SIGTERM),
    "interrupt_caught": lambda: _raise(KeyboardInterrupt()),
}
"""Ends that can strike within the main thread's own planning or reading."""

QUIET_ENDS = ["return", "open_iterator", "del", "break", "close", "iterator_close", "thread_exception"]
EXPECTED = {"sys.exit": 7, "exception": 1, "os._exit": 9, "SIGINT": -signal.SIGINT, "SIGTERM": -signal.SIGTERM}
"""Exit codes; 0 for all others."""


def end_case(folder: str, kind: str, num_workers: int, phase: str, how: str) -> None:
    """Take a batch, get into the phase, and end; where the process goes on, nothing of it may be left."""
    tempfile.tempdir = f"{folder}/temporary"
    crew.IDLE_SECONDS = 0.1
    if kind == "zarr":  # TensorStore opens things of its own, once
        list(make_loader(folder, kind, 0).epoch(0))
        gc.collect()
    before = open_files()
    _end(folder, kind, num_workers, phase, how)
    if kept:
        return
    gc.collect()
    check_threads_gone()
    assert open_files() == before, (before, open_files())
    assert not os.listdir(f"{folder}/temporary")
    print("nothing left")


def _end(folder: str, kind: str, num_workers: int, phase: str, how: str) -> None:
    one = make_loader(folder, kind, num_workers)
    end = ENDS.get(how, lambda: None)
    held = Phase(one, phase, end)
    iterator = one.epoch(0)
    if how == "open_iterator":
        kept.append(iterator)
    try:
        check_right([next(iterator)])
        if phase == "idle":
            next(iterator)
            end()
        elif how in ENDS and not (num_workers and phase != "plan"):
            list(iterator)  # strikes in the middle
        else:
            consumer = threading.Thread(target=_consume, args=(iterator, how))
            if not num_workers or phase == "plan":
                consumer.start()
            assert held.reached.wait(HOLD_SECONDS)
            held.leaving.set()
            end()
            if consumer.ident:
                consumer.join(HOLD_SECONDS)
    except KeyboardInterrupt:
        if how == "SIGINT":
            raise
        check_right(batches := list(one.epoch(1)))
        assert len(batches) == NUM_ROWS // 2
    held.leaving.set()
    if how == "thread_exception" and (phase == "idle" or (num_workers and phase != "plan")):
        consumer = threading.Thread(target=_consume, args=(iterator, how))
        consumer.start()
        consumer.join(HOLD_SECONDS)
    elif how == "break":
        for _ in one.epoch(0):
            break
    elif how == "close":
        iterator.close()  # type: ignore[attr-defined]
        one.close()
    elif how == "iterator_close":
        iterator.close()  # type: ignore[attr-defined]
        assert next(iterator, None) is None


def _consume(iterator: Iterator[mtgen.Batch], how: str) -> None:
    for batch in iterator:
        if how == "thread_exception" and (batch.step or 0) > 4:
            raise ZeroDivisionError("of a thread")


def loops(folder: str, kind: str, num_workers: int, how: str) -> None:
    """Epochs without end, some left early, until the signal; then whole ones."""
    crew.IDLE_SECONDS = 0.01  # threads come and go
    # Of a file that was just opened by this thread when the signal came; it is closed with its last reference.
    warnings.filterwarnings("ignore", "unclosed file", ResourceWarning)
    one = make_loader(folder, kind, num_workers)
    expected = [content(batch) for batch in one.epoch(0)]
    choice = random.Random(0)
    try:
        say_ready()  # in here: the signal may come before it is back
        for epoch in itertools.count():
            for batch in one.epoch(epoch):
                if choice.random() < 0.1:
                    if choice.random() < 0.1:
                        one.close()
                    break
                batch.inputs["number"] += 1
    except KeyboardInterrupt:
        if how == "uncaught":
            raise
    assert [content(batch) for batch in one.epoch(0)] == expected
    one.close()
    check_threads_gone()
    print("whole")


def soak(folder: str, num_epochs: int) -> None:
    """Many epochs of several loaders, some left early, some failing; what the process holds meanwhile."""
    loaders = [
        make_loader(folder, kind, num_workers) for kind in ("pictures", "bcolz", "columns") for num_workers in (0, 2)
    ]
    choice = random.Random(1)
    samples = []
    for epoch in range(num_epochs):
        one = loaders[epoch % len(loaders)]
        stop = choice.randrange(200)
        try:
            for number, _ in enumerate(one.epoch(epoch // len(loaders))):
                if number == stop:
                    if choice.random() < 0.5:
                        raise ZeroDivisionError
                    break
            if choice.random() < 0.02:
                one.batch(choice.randrange(1000))
            if choice.random() < 0.01:
                one.close()
            if choice.random() < 0.01:
                with make_loader(folder, "bcolz", 1) as other:
                    other.batch(3)
        except ZeroDivisionError:
            pass
        if epoch % (num_epochs // 50) == 0:
            del one
            gc.collect()
            held = [loader_.stats().num_batches for loader_ in loaders]
            samples.append([epoch, _resident(), threading.active_count(), len(os.listdir("/proc/self/fd")), sum(held)])
    for one in loaders:
        one.close()
    print(json.dumps(samples))


def _resident() -> int:
    """Resident bytes of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def few_files(folder: str) -> None:
    """All kinds with at most 32 open files."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (32, 32))
    for kind in KINDS:
        with make_loader(folder, kind, 6) as one:
            check_right(list(one.steps(0, 3 * one.steps_per_epoch)))
    print("enough", max(map(int, os.listdir("/proc/self/fd"))) < 32)


def no_files(folder: str) -> None:
    """No file can be opened for a while: an error with the path, and the loader works afterwards."""
    one = make_loader(folder, "pictures", 2)
    expected = [content(batch) for batch in one.epoch(0)]
    one.close()  # a file that a worker has open now would leave its number free
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(1)  # the least number that is free
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try:
        list(one.epoch(2))
    except MtgenError as error:
        text = str(error)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert [content(batch) for batch in one.epoch(0)] == expected
    one.close()
    print(text)


def little_memory(folder: str, kind: str, num_workers: int) -> None:
    """Again and again too little memory, each time a bit more: an error, never a hang, and the loader works on."""
    rows = np.arange(120)
    table = pd.DataFrame({"path": [f"{row % NUM_ROWS}.png" for row in rows], "number": rows})
    inputs: dict[str, Any] = {"number": mtgen.Columns("number"), "array": mtgen.Rows(np.ones((120, 75_000), "f4"))}
    if kind == "pictures":
        inputs["image"] = mtgen.Images("path", root=f"{folder}/pictures", size=(50, 50))
    data = mtgen.Dataset(table, inputs)
    one = mtgen.Loader(data, 12, num_workers=num_workers, prefetch=Prefetch(window=1, depth=2, stall_seconds=15))
    expected = [hash(batch.inputs["array"].tobytes()) for batch in one.epoch(0)]
    failed, whole = 0, 0
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    for more in [*range(0, 120, 12), *range(120, 600, 80)]:
        one.close()
        held, wrong = [], None
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + more * (1 << 20), hard))
        try:
            held.extend(one.steps(0, 40))  # 3.6 MB each
        except (MtgenError, MemoryError, RuntimeError) as error:
            wrong = error
        finally:
            resource.setrlimit(resource.RLIMIT_AS, (hard, hard))
        text = f"{type(wrong).__name__} {wrong}"
        assert wrong is None or any(word in text for word in ("MemoryError", "allocate", "thread")), text
        failed, whole = failed + (wrong is not None), whole + (wrong is None)
        del held, wrong
    found = [hash(batch.inputs["array"].tobytes()) for batch in one.epoch(0)]
    assert found == expected
    one.close()
    print(json.dumps([failed, whole]))


def forks(folder: str, kind: str, num_workers: int, uses: bool) -> None:
    """Fork with a stream open and workers at work; children that go on with the loader, and such that do not."""
    warnings.simplefilter("ignore")
    one = make_loader(folder, kind, num_workers)
    expected = [content(batch) for batch in one.epoch(0)]
    for number in (0, 1, 4):
        iterator = one.epoch(0)
        stream = one.stream()
        for _ in range(number):
            stream.get(next(iterator).step or 0)
        if kind == "zarr":
            # Python 3.11 itself may hang in a child that is forked just when a thread comes or goes, and TensorStore's
            # come and go with each read.
            for ahead in (stream, iterator._stream):  # type: ignore[attr-defined]
                assert all(pending.done.wait(10) for pending in (ahead._ready if ahead else {}).values())
        child = os.fork()
        if child == 0:
            if not uses:
                # TensorStore's own end hangs now and then where its threads are in the parent.
                os._exit(3) if kind == "zarr" else sys.exit(3)
            code = 1
            try:
                rest = [content(batch) for batch in iterator]
                alone = content(stream.get(5)[0])
                right = rest == expected[number:] and alone == expected[5] and content(one.batch(2)) == expected[2]
                right = right and [content(batch) for batch in one.epoch(0)] == expected
                one.stats()
                one.close()
                code = 3 if right else 2
            except mtgen.errors.StoreError as error:
                code = 4 if "forked" in str(error) else 5
            finally:
                os._exit(code)
        _, status = os.waitpid(child, 0)
        code = os.waitstatus_to_exitcode(status)
        assert code == (4 if uses and kind == "zarr" else 3), (number, code)
        assert [content(batch) for batch in iterator] == expected[number:]
    one.close()
    print("right")
