"""The algorithm of 2017: one generator behind one lock, threads that take turns in it, and a queue.

Keras 1 ran a generator in several threads (`fit_generator(workers=..., max_q_size=10)`), which needed a lock around
`next`. So the threads work ahead of training, but never at the same time. Preprocessing is that of the time, float32
from -1 to 1.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from mtgen.bench.work import Delivered, Epochs, Work

QUEUE_SIZE = 10
WAIT_SECONDS = 120.0


class _LockedIterator:
    """Calls to `next` one at a time."""

    def __init__(self, iterator: Iterator[Any]) -> None:
        self.iterator = iterator
        self.lock = threading.Lock()

    def __iter__(self) -> _LockedIterator:
        return self

    def __next__(self) -> Any:
        with self.lock:
            return next(self.iterator)


def _generator(work: Work, pictures: bool) -> Iterator[tuple[int, Delivered]]:
    import bcolz

    features, paths = work.place("features.bcolz"), work.paths() if pictures else []
    epoch = 0
    while True:
        for rows in work.steps(epoch):
            loaded = _load([paths[row] for row in rows], work.size) if pictures else None
            yield epoch, Delivered(rows, bcolz.open(features, mode="r")[rows], loaded)
        epoch += 1


def _load(paths: list[str], size: int) -> np.ndarray:
    from keras.utils import img_to_array, load_img

    return np.array([2 * (img_to_array(load_img(path, target_size=(size, size))) / 255.0 - 0.5) for path in paths])


@contextmanager
def locked_generator(work: Work, pictures: bool = False) -> Iterator[Epochs]:
    """The generator, its lock, and as many threads as the work has workers, with a queue of ten batches."""
    generator = _LockedIterator(_generator(work, pictures))
    ready: queue.Queue[tuple[int, Delivered] | BaseException] = queue.Queue(QUEUE_SIZE)
    early: deque[Delivered] = deque()
    stopped = threading.Event()

    def run() -> None:
        while not stopped.is_set():
            try:
                made: tuple[int, Delivered] | BaseException = next(generator)
            except BaseException as error:  # raised again where batches are taken
                made = error
            while not stopped.is_set():
                try:
                    ready.put(made, timeout=0.1)
                    break
                except queue.Full:
                    continue

    threads = [threading.Thread(target=run, daemon=True) for _ in range(work.workers)]
    for thread in threads:
        thread.start()

    def epochs(epoch: int) -> Iterator[Delivered]:
        late: list[Delivered] = []  # threads overtake each other: a batch of the next epoch may come too early
        left = len(work.wanted) // work.batch_size
        while left:
            found = (epoch, early.popleft()) if early else ready.get(timeout=WAIT_SECONDS)
            if isinstance(found, BaseException):
                raise found
            if found[0] == epoch:
                left -= 1
                yield found[1]
            else:
                late.append(found[1])
        early.extend(late)

    try:
        yield epochs
    finally:
        stopped.set()
        for thread in threads:
            thread.join(WAIT_SECONDS)
