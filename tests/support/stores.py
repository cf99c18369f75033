"""Chunked stores in memory: they count what is read, fail where told to, and wait where told to."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Collection
from typing import Any

import numpy as np

from mtgen.errors import StoreError
from mtgen.stores import ChunkedStore, OpenStore


class MemoryStore(ChunkedStore):
    """An array in chunks.

    `reads` counts the chunks that were decompressed. Chunks in `bad_chunks` raise; every read first calls `before`
    with the chunk number, for a test to count, wait or raise in.
    """

    def __init__(
        self, array: np.ndarray, chunk_rows: int, *, keys: np.ndarray | None = None, key_name: str | None = None
    ) -> None:
        self.location = "memory"
        self.array = array
        self.chunk_rows = chunk_rows
        self.set_shape(array.shape, array.dtype)
        self.keys = None if keys is None else MemoryStore(keys, chunk_rows)
        self.key_name = key_name
        self.bad_chunks: Collection[int] = ()
        self.before: Callable[[int], None] = lambda chunk: None
        self.reads: Counter[int] = Counter()
        self._lock = threading.Lock()

    def reopening(self) -> tuple[Callable[..., OpenStore], tuple[Any, ...]]:
        return MemoryStore, (self.array, self.chunk_rows)

    def read_chunk(self, chunk: int) -> np.ndarray:
        with self._lock:
            self.reads[chunk] += 1
        self.before(chunk)
        if chunk in self.bad_chunks:
            raise StoreError(f"chunk {chunk} does not decompress", path=self.location)
        start, stop = self.chunk_span(chunk)
        return self.array[start:stop].copy()


class Gate:
    """A door in front of a store: readers of the chosen chunks wait until it is opened."""

    def __init__(self, store: MemoryStore, chunks: Collection[int] | None = None) -> None:
        self.chunks = chunks
        self.reached = threading.Event()
        self._open = threading.Event()
        store.before = self._wait

    def _wait(self, chunk: int) -> None:
        if self.chunks is None or chunk in self.chunks:
            self.reached.set()
            assert self._open.wait(30), "the test never opened the gate"

    def open(self) -> None:
        self._open.set()
