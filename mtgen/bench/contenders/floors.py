"""Floors: the work that cannot be avoided, done alone, with nothing planned, checked or merged around it.

None of them is a loader. Efficiency is the rate of a loader as a share of its floor's.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import numpy as np

from mtgen.bench.work import Delivered, Epochs, Work

AHEAD = 4
"""Batches in work beyond the one that is waited for."""

GROUP = 8
"""Pictures that one job decodes."""

WAIT_SECONDS = 120.0

Item = TypeVar("Item")
Result = TypeVar("Result")


def _ahead(
    pool: ThreadPoolExecutor, begin: Callable[[Item], tuple[Result, list[Future[None]]]], items: Iterable[Item]
) -> Iterator[Result]:
    """Results in order, with the jobs of the next few items already in work."""
    waiting: deque[tuple[Result, list[Future[None]]]] = deque()
    for item in items:
        waiting.append(begin(item))
        if len(waiting) > AHEAD:
            yield _finished(waiting)
    while waiting:
        yield _finished(waiting)


def _finished(waiting: deque[tuple[Result, list[Future[None]]]]) -> Result:
    result, jobs = waiting.popleft()
    for job in jobs:
        job.result(WAIT_SECONDS)
    return result


@contextmanager
def bare_decode(work: Work, recipe: str) -> Iterator[Epochs]:
    """Pictures only: read and decoded by a recipe of mtgen's in a thread pool, into the slots of a batch."""
    from mtgen.decode import decode
    from mtgen.recipe import named_recipe

    made, paths = named_recipe(recipe, size=(work.size, work.size)), work.paths()

    def fill(rows: np.ndarray, out: np.ndarray) -> None:
        for slot, row in enumerate(rows):
            decode(Path(paths[row]).read_bytes(), made, out[slot])

    with ThreadPoolExecutor(work.workers) as pool:

        def begin(rows: np.ndarray) -> tuple[Delivered, list[Future[None]]]:
            out = made.spec.empty(len(rows))
            parts = [slice(start, start + GROUP) for start in range(0, len(rows), GROUP)]
            return Delivered(rows, None, out), [pool.submit(fill, rows[part], out[part]) for part in parts]

        yield lambda epoch: _ahead(pool, begin, work.steps(epoch))


@contextmanager
def bare_pillow(work: Work) -> Iterator[Epochs]:
    """Pictures only: plain Pillow in a thread pool, full decode and antialiased bilinear filter."""
    from mtgen.bench.contenders.pictures import pillow

    load, paths = pillow(work.size), work.paths()

    def fill(rows: np.ndarray, out: np.ndarray) -> None:
        for slot, row in enumerate(rows):
            out[slot] = load(paths[row])

    with ThreadPoolExecutor(work.workers) as pool:

        def begin(rows: np.ndarray) -> tuple[Delivered, list[Future[None]]]:
            out = np.empty((len(rows), work.size, work.size, 3), np.uint8)
            parts = [slice(start, start + GROUP) for start in range(0, len(rows), GROUP)]
            return Delivered(rows, None, out), [pool.submit(fill, rows[part], out[part]) for part in parts]

        yield lambda epoch: _ahead(pool, begin, work.steps(epoch))


@contextmanager
def copy_rows(work: Work, pictures: bool = False) -> Iterator[Epochs]:
    """`np.take` of each batch out of arrays in memory into buffers that are used again, one thread per worker."""
    sources = [np.load(work.place("features.npy"))]
    if pictures:
        sources.append(np.load(work.place("pixels.npy")))
    size = work.batch_size
    rings = [[np.empty((size, *one.shape[1:]), one.dtype) for one in sources] for _ in range(AHEAD + 3)]

    def fill(rows: np.ndarray, ring: list[np.ndarray]) -> None:
        for source, out in zip(sources, ring, strict=True):
            np.take(source, rows, axis=0, out=out, mode="clip")  # the other modes copy once more

    with ThreadPoolExecutor(work.workers) as pool:

        def begin(step: tuple[int, np.ndarray]) -> tuple[Delivered, list[Future[None]]]:
            number, rows = step
            ring = rings[number % len(rings)]
            return Delivered(rows, *ring), [pool.submit(fill, rows, ring)]

        yield lambda epoch: _ahead(pool, begin, enumerate(work.steps(epoch)))


@contextmanager
def take_rows(work: Work) -> Iterator[Epochs]:
    """`np.take` of each batch out of a matrix in memory into one buffer, in a plain loop without a thread."""
    whole = np.load(work.place("features.npy"))
    out = np.empty((work.batch_size, *whole.shape[1:]), whole.dtype)

    def epochs(epoch: int) -> Iterator[Delivered]:
        for rows in work.steps(epoch):
            yield Delivered(rows, np.take(whole, rows, axis=0, out=out, mode="clip"))

    yield epochs


@contextmanager
def planned_reads(work: Work, features: str) -> Iterator[Epochs]:
    """Every chunk of a store read and decoded once, in the order of the file, by threads; nothing is shuffled.

    Args:
        work: what to deliver; only chunks with wanted rows are read.
        features: name of the store among the work's places.
    """
    from mtgen.stores import open_store

    store = open_store(work.place(features))
    # About 256 KiB at a time, in whole chunks.
    step = max(1, (1 << 18) // (4 * work.num_columns) // store.chunk_rows) * store.chunk_rows
    wanted = np.zeros(work.num_rows, bool)
    wanted[work.wanted] = True
    starts = [start for start in range(0, work.num_rows, step) if wanted[start : start + step].any()]
    everything = work.rows is None

    def read(start: int, out: np.ndarray) -> None:
        store.read_rows(np.arange(start, start + len(out)), out)

    with ThreadPoolExecutor(work.workers) as pool:

        def begin(start: int) -> tuple[Delivered, list[Future[None]]]:
            rows = np.arange(start, min(start + step, work.num_rows))
            out = np.empty((len(rows), work.num_columns), np.float32)
            return Delivered(rows, out), [pool.submit(read, start, out)]

        def epochs(epoch: int) -> Iterator[Delivered]:
            for batch in _ahead(pool, begin, starts):
                kept = wanted[batch.rows]
                yield batch if everything else Delivered(batch.rows[kept], _kept(batch.features, kept))

        yield epochs
    store.close()


def _kept(values: np.ndarray | None, kept: np.ndarray) -> np.ndarray | None:
    return None if values is None else values[kept]
