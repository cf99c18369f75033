"""A window's rows, gathered ahead into buffers of their own, and handed to the batches as these are made.

Batches are few at a time, for they may hold pictures. Rows out of chunks want the opposite: a window of so many steps
that each chunk, decompressed once, gives many rows. So these rows wait here, and each batch copies its part.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from mtgen import plan
from mtgen.gather import pages
from mtgen.gather.chunks import ChunkCache
from mtgen.gather.reader import Reader
from mtgen.gather.rows import PIECE_BYTES, fetch_apart
from mtgen.inputs.rows import BoundRows
from mtgen.keep_plan import Keep
from mtgen.pending import NO_SLOT, Field, Job, Pending, Served
from mtgen.waits import Latch, Note, silent

Fetch = Callable[[np.ndarray, np.ndarray], tuple[int, int]]


class Stage:
    """The rows of some fields for a window of steps.

    Jobs serve it as they serve a batch. The thread that plans calls `jobs` once and `serve` per batch, workers do the
    rest; buffers are made by the first job that fills them and let go with the last batch that took its part.

    Args:
        rows: int64 `(n,)` of table rows, one array per step.
        fields: number and field of what is gathered, all of them rows of stores.
        caches: for each field the chunks that are kept, and what to keep of this window.
        reader: how rows are read.
    """

    def __init__(
        self,
        rows: Sequence[np.ndarray],
        fields: Sequence[tuple[int, Field]],
        caches: Sequence[tuple[ChunkCache, Keep]],
        reader: Reader,
    ) -> None:
        self.done = Latch()
        self.skipped = False
        self.awaits: Served | None = None
        self._is_filled = False
        self._rows = np.concatenate(rows)
        self._ends = np.cumsum([0, *(len(one) for one in rows)])
        self._fields, self._caches, self._reader = fields, caches, reader
        self._buffers: dict[int, np.ndarray] = {}
        self._bad: dict[int, list[tuple[int, int, BaseException]]] = {}
        self._lock = threading.Lock()
        self._waiting: list[tuple[Pending, int]] = []
        self._open_jobs = self.num_done = 0
        self.num_steps = self._open_steps = len(rows)

    def jobs(self) -> list[Job]:
        """The jobs that fill it, each for some chunks that no other one reads."""
        jobs = []
        for (number, one), (cache, keep) in zip(self._fields, self._caches, strict=True):
            bound: BoundRows = one.bound
            per_piece = max(1, PIECE_BYTES // max(1, bound.chunk_rows * one.spec.row_bytes))
            # Where many table rows share store rows, a piece of few chunks has many rows.
            most = max(bound.chunk_rows, PIECE_BYTES // max(1, one.spec.row_bytes))
            for piece in plan.pieces(bound.store_rows(self._rows), bound.chunk_rows, per_piece):
                for start in range(0, len(piece), most):
                    fetch = partial(cache.fetch, bound, keep=keep)
                    jobs.append(self._job(number, bound, fetch, piece[start : start + most]))
        self.expect(len(jobs))
        if not jobs:
            self._is_filled = True
            self.done.set()
        return jobs

    def _job(self, number: int, bound: BoundRows, fetch: Fetch, piece: np.ndarray) -> Job:
        def run(note: Note) -> None:
            note(f"gather {len(piece)} rows of {bound.store.location}")
            started = time.perf_counter()
            rows, values = self._rows[piece], bound.spec.empty(len(piece))
            places = piece
            try:
                num_chunks, num_kept = self._reader.retry(lambda: fetch(rows, values))
            except Exception:
                num_chunks = num_kept = 0
                bad = fetch_apart(bound, rows, values)
                for place, error in bad.items():
                    self._fail(int(piece[place]), number, error)
                places, values = np.delete(piece, list(bad)), np.delete(values, list(bad), axis=0)
            self._buffer(number, bound)[places] = values
            self._reader.recorder.add_stage(
                "gather",
                time.perf_counter() - started,
                keys_compared=len(piece) if bound.compares_keys else 0,
                chunks=num_chunks,
                chunks_kept=num_kept,
            )

        return Job(run=run, serves=(self,))

    def _buffer(self, number: int, bound: BoundRows) -> np.ndarray:
        found = self._buffers.get(number)
        if found is None:
            # Two threads may each make one; the pages of that which is not kept are never touched.
            shape = (len(self._rows), *bound.spec.shape)
            found = self._buffers.setdefault(number, pages.empty(shape, bound.spec.dtype))
        return found

    def _fail(self, place: int, number: int, error: BaseException) -> None:
        index = int(np.searchsorted(self._ends, place, side="right")) - 1
        entry = (place - int(self._ends[index]), number, error)
        with self._lock:
            self._bad.setdefault(index, []).append(entry)

    def expect(self, num_jobs: int) -> None:
        """Count jobs to wait for."""
        self._open_jobs += num_jobs

    def serve(self, pending: Pending, index: int) -> list[Job]:
        """Give a batch its part: by the job that this returns, or as soon as it is there.

        Args:
            pending: a batch, none of whose jobs was begun.
            index: number of its step in the window.
        """
        pending.expect(1)
        with self._lock:
            if not self._is_filled:
                pending.awaits = self
                self._waiting.append((pending, index))
                return []
        return [Job(run=lambda note: self._hand_over(pending, index), serves=(pending,))]

    def fail(self, slot: int, field_number: int, error: BaseException) -> None:
        """A job broke down: no batch of the window can be filled."""
        with self._lock:
            for index in range(self.num_steps):
                self._bad.setdefault(index, []).append((NO_SLOT, field_number, error))

    def finish(self, note: Note) -> None:
        """One job is over; after the last one those batches get their part that wait for it."""
        with self._lock:
            self._open_jobs -= 1
            self.num_done += 1
            if self._open_jobs > 0:
                return
        self._tell(note)

    def give_up(self) -> None:
        """Nobody will fill it: the batches that wait are not filled either."""
        self.skipped = True
        self._tell(silent)

    def _tell(self, note: Note) -> None:
        with self._lock:
            self._is_filled = True
            waiting, self._waiting = self._waiting, []
        self.done.set()
        broken: BaseException | None = None
        for pending, index in waiting:
            try:
                self._hand_over(pending, index)
            except Exception as error:
                pending.fail(NO_SLOT, 0, error)
            try:
                pending.finish(note)
            except BaseException as error:
                broken = error
        if broken is not None:
            raise broken

    def _hand_over(self, pending: Pending, index: int) -> None:
        if self.skipped:
            pending.skipped = True
            return
        part = slice(int(self._ends[index]), int(self._ends[index + 1]))
        for number, buffer in self._buffers.items():
            pending.buffers[number][: part.stop - part.start] = buffer[part]
        for slot, number, error in self._bad.get(index, ()):
            pending.fail(slot, number, error)
        with self._lock:
            self._open_steps -= 1
            if not self._open_steps:
                self._buffers.clear()
