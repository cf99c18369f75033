"""One stage after the other: which window of steps is gathered while the one before it is handed out."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

import numpy as np

from mtgen.gather.chunks import ChunkCache
from mtgen.gather.costs import staged
from mtgen.gather.reader import Reader
from mtgen.gather.stage import Stage
from mtgen.keep_plan import EVERYTHING, LOOK_AHEAD_ROWS, LOOK_AHEAD_WINDOWS, NOTHING, Keep, Keeper, Outlook
from mtgen.pending import Field, Job, Pending

RAMP = 8
"""Each window is so many times longer than the one before, until it is as long as it may be: the first batch comes
soon, and only few windows decompress chunks for few rows."""


class Stager:
    """The stages of one stream, from one step on.

    The thread that plans asks for the steps one after the other; no other thread uses it. Two stages are alive: one
    whose rows are handed out, and the next, whose jobs are given out evenly over the steps of the first, so that
    pictures are decoded meanwhile and the rows are there when they are wanted.

    Args:
        start: first step.
        window: most steps in a stage that begins now, >= 1; asked for each one.
        rows_of: rows of some steps, int64, one array per step.
        fields: of the dataset, all of them.
        caches: one per field that is staged.
        reader: how rows are read.
    """

    def __init__(
        self,
        start: int,
        window: Callable[[], int],
        rows_of: Callable[[range], list[np.ndarray]],
        fields: Sequence[Field],
        caches: Sequence[ChunkCache],
        reader: Reader,
    ) -> None:
        self._fields = [(number, one) for number, one in enumerate(fields) if staged(one)]
        self._caches, self._rows_of, self._reader = caches, rows_of, reader
        self._window = window
        self._spans = {0: range(start, start + 1)}  # of the window handed out, and of those ahead
        self._keepers = [Keeper(cache.capacity, cache.chunks) for cache in caches]
        self._outlooks = [self._outlook(one, cache) for (_, one), cache in zip(self._fields, caches, strict=True)]
        self._number = 0
        self._current = self._make(0)
        self._next: _Window | Exception = self._try(1)

    def steps(self, number: int) -> range:
        """Steps of a window, 0-based."""
        while number not in self._spans:
            known = next(reversed(self._spans))
            last = self._spans[known]
            self._spans[known + 1] = range(last.stop, last.stop + min(RAMP * len(last), max(1, self._window())))
        return self._spans[number]

    def jobs(self, pending: Pending) -> list[Job]:
        """The jobs to start now that the batch of a step is planned; each step in turn."""
        step = self._current.steps.stop if pending.step is None else pending.step
        if step == self._current.steps.stop:
            if isinstance(self._next, Exception):
                # One step at a time: perhaps only a later one of the window cannot be planned.
                self._spans = {self._number + 1: range(step, step + 1)}
                self._next = self._make(self._number + 1)
            self._spans.pop(self._number, None)
            self._number += 1
            self._current, self._next = self._next, self._try(self._number + 1)
        current, ahead = self._current, self._next
        jobs = current.give_out(len(current.jobs))
        index = step - current.steps.start
        jobs += current.stage.serve(pending, index)
        if isinstance(ahead, Exception):
            return jobs
        left = len(current.steps) - index
        return jobs + ahead.give_out(-(-len(ahead.jobs) // left))

    def _try(self, number: int) -> _Window | Exception:
        """The next window; where it cannot be planned, that is said when it is wanted."""
        try:
            return self._make(number)
        except Exception as error:
            return error

    def _make(self, number: int) -> _Window:
        steps = self.steps(number)
        keeps = [
            outlook if isinstance(outlook, Keep) else keeper.advance(*outlook.at(number, keeper))
            for outlook, keeper in zip(self._outlooks, self._keepers, strict=True)
        ]
        caches = list(zip(self._caches, keeps, strict=True))
        stage = Stage(self._rows_of(steps), self._fields, caches, self._reader)
        return _Window(steps, stage, deque(stage.jobs()))

    def _outlook(self, one: Field, cache: ChunkCache) -> Outlook | Keep:
        if not cache.capacity:
            return NOTHING
        if cache.capacity * one.bound.chunk_rows >= one.bound.store.num_rows:
            return EVERYTHING

        def chunks_of(number: int) -> np.ndarray:
            try:
                rows = np.concatenate(self._rows_of(self.steps(number)))
            except Exception:
                return np.empty(0, np.int64)  # nothing is known of it; who asks for its rows is told why
            return np.unique(one.bound.store_rows(rows) // one.bound.chunk_rows)

        rows = sum(map(len, self._rows_of(self._spans[0]))) * self._window()
        return Outlook(chunks_of, min(max(1, LOOK_AHEAD_ROWS // max(rows, 1)), LOOK_AHEAD_WINDOWS))


class _Window:
    """A stage, its steps, and the jobs that were not given out yet."""

    def __init__(self, steps: range, stage: Stage, jobs: deque[Job]) -> None:
        self.steps, self.stage, self.jobs = steps, stage, jobs

    def give_out(self, num_jobs: int) -> list[Job]:
        return [self.jobs.popleft() for _ in range(num_jobs)]
