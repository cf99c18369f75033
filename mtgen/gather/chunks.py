"""Decompressed chunks that are kept from one window to the next."""

from __future__ import annotations

import numpy as np

from mtgen import plan
from mtgen.gather import pages
from mtgen.inputs.rows import BoundRows
from mtgen.keep_plan import Keep
from mtgen.waits import ProcessTurns


class ChunkCache:
    """Chunks of one field, as many as were planned to stay and no more than fit.

    Any thread. What is planned is advice: a chunk that is not there is decompressed again.

    Args:
        capacity: most chunks, >= 0.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._chunks: dict[int, np.ndarray] = {}
        self._turns = ProcessTurns("keep a chunk")

    @property
    def chunks(self) -> list[int]:
        """Numbers of the chunks that are there."""
        return list(self._chunks)

    def clear(self) -> None:
        """Let go of all."""
        with self._turns.here:
            self._chunks.clear()

    def fetch(self, bound: BoundRows, rows: np.ndarray, out: np.ndarray, keep: Keep) -> tuple[int, int]:
        """As `BoundRows.fetch`, by way of the chunks that are kept.

        Args:
            bound: the field's rows.
            rows: int64 `(n,)` of table rows, ascending by store row.
            out: `(n, *row_shape)`, the caller's.
            keep: what to keep, and what need not stay.

        Returns:
            How many chunks were wanted, and how many of them were there.
        """
        store_rows = bound.store_rows(rows)
        if not self.capacity:
            bound.fetch(rows, out)
            chunks = store_rows // bound.chunk_rows
            return (1 + int(np.count_nonzero(np.diff(chunks))) if bound.chunk_rows > 1 else 0), 0
        num_chunks = num_hits = 0
        for read in plan.reads(store_rows, bound.chunk_rows):
            values = self._chunks.get(read.chunk)
            num_chunks, num_hits = num_chunks + 1, num_hits + (values is not None)
            if values is None and read.chunk in keep.stay:
                values = self._read(bound, read.chunk, keep)
            elif values is not None and read.chunk not in keep.stay:
                self._drop(read.chunk)
            if values is None:
                found = bound.spec.empty(len(read.slots))
                bound.store.read_rows(store_rows[read.slots], found)
                out[read.slots] = found
            else:
                out[read.slots] = values[read.offsets]
        bound.check(rows, out)
        return num_chunks, num_hits

    def _read(self, bound: BoundRows, chunk: int, keep: Keep) -> np.ndarray:
        start = chunk * bound.chunk_rows
        span = np.arange(start, min(start + bound.chunk_rows, bound.store.num_rows))
        values = pages.empty((len(span), *bound.spec.shape), bound.spec.dtype)
        bound.store.read_rows(span, values)
        with self._turns.here:
            while keep.leave and len(self._chunks) >= self.capacity:
                self._chunks.pop(keep.leave.pop(), None)
            if len(self._chunks) < self.capacity:
                self._chunks[chunk] = values
        return values

    def _drop(self, chunk: int) -> None:
        with self._turns.here:
            self._chunks.pop(chunk, None)
