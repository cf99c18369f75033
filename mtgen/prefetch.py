"""A stream of batches in step order, prepared ahead by a pool of workers."""

from __future__ import annotations

import logging
import os
import time
import weakref
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from mtgen.batch import Batch
from mtgen.callers import Callers
from mtgen.crew import Ticket
from mtgen.errors import StallError
from mtgen.memory import Forecast
from mtgen.pending import Job, Pending
from mtgen.waits import POLL_SECONDS, Turns
from mtgen.workers import WorkerPool

MakeWindow = Callable[[Sequence[int], Any], tuple[list[Pending], list[Job]]]
"""Steps, and what gathers ahead for them or None -> one pending batch per step, and the jobs that fill them."""

MakeStager = Callable[[int, Callable[[], int]], Any]
"""First step, and what says how many steps a window may have now -> what gathers ahead from there on, if anything
does."""

WARN_PART = 10
"""After this part of `stall_seconds`, and each time again, a wait says in the log what the workers are doing."""

WARN_SECONDS = 1.0
"""Shortest wait that the log tells of."""

_log = logging.getLogger("mtgen")


class _Ahead:
    """What a stream has under way in one process."""

    def __init__(self, pool: WorkerPool | None, seconds: float) -> None:
        self.pid = os.getpid()
        self.crew: WorkerPool | Callers = pool or Callers()
        self.turn = Turns(seconds, "plan the next batches")
        self.ticket = Ticket()
        self.ready: dict[int, Pending] = {}
        self.end = 0
        self.is_used = False
        self.stager: Any = None
        self.window = 0

    def go_to(self, step: int) -> None:
        """Forget what is ready or in work; `step` is next."""
        left, self.ticket = self.ticket, Ticket()
        left.withdrawn = True
        self.ready.clear()
        self.end = step
        self.stager, self.window, self.is_used = None, 0, False
        self.tidy()

    def forget(self, steps: Iterable[int]) -> None:
        """Let go of batches that nobody will ask for."""
        for step in steps:
            self.ready.pop(step).skipped = True
        self.tidy()

    def tidy(self) -> None:
        """Without workers nobody takes the jobs of batches that were given up; their buffers would stay."""
        if isinstance(self.crew, Callers):
            self.crew.tidy()


class Ration:
    """Batches that all streams of a loader may have under way together, so that they share one budget.

    Any thread. A stream gets its part of them, or what the others leave; one batch, that which is asked for, always.

    Args:
        forecast: window and depth of the loader.

    Attributes:
        num_batches: all there are.
        num_steps: steps whose rows may be gathered ahead, in windows of all streams together.
    """

    def __init__(self, forecast: Forecast) -> None:
        self.num_batches = forecast.depth + 1
        self.num_steps = forecast.window
        # Plain references: a WeakSet calls back when one goes, and an interrupt in there would be lost.
        self._all: list[weakref.ref[_Ahead]] = []

    def enter(self, ahead: _Ahead) -> None:
        """Count one more; it leaves when it is forgotten."""
        for gone in [one for one in self._all if one() is None]:
            with suppress(ValueError):  # another thread was faster
                self._all.remove(gone)
        self._all.append(weakref.ref(ahead))

    def part(self, ahead: _Ahead) -> int:
        """Batches that one may have under way now."""
        others = [len(one.ready) for one in self._others(ahead) if one.is_used]
        return max(1, min(self.num_batches // (len(others) + 1), self.num_batches - sum(others)))

    def window(self, ahead: _Ahead) -> int:
        """Steps of a window that one may gather ahead now; all, where it is the only one."""
        others = [one.window for one in self._others(ahead) if one.window]
        return max(1, min(self.num_steps // (len(others) + 1), self.num_steps - sum(others)))

    def _others(self, ahead: _Ahead) -> list[_Ahead]:
        known = [one() for one in list(self._all)]
        return [one for one in known if one is not None and one is not ahead and one.pid == ahead.pid]


def _window(ration: Ration, asking: weakref.ref[_Ahead]) -> int:
    """Steps of the next window of a stream, which it has from now on; weakly, so that a stream goes with its owner."""
    ahead = asking()
    if ahead is None:
        return 1
    ahead.window = ration.window(ahead)
    return ahead.window


def _num_done(pending: Pending) -> int:
    return pending.num_done + (0 if pending.awaits is None else pending.awaits.num_done)


class Stream:
    """Batches by step, with the following steps under way.

    Any thread may ask; asking for a step that was handed out before, or out of turn, is allowed and gives the same
    bytes. Nothing is kept after it was handed out. A stream that is forgotten needs no closing: its jobs are skipped.

    Args:
        make_window: plans some steps.
        make_stager: makes what gathers ahead.
        pool: the loader's workers, or None to do all work in the caller's thread.
        forecast: window and depth.
        ration: what all streams of the loader have together.
        stall_seconds: longest wait for one batch.
        prepare: called before a batch is asked for: reads what must be there before any; None for nothing.
    """

    def __init__(
        self,
        make_window: MakeWindow,
        make_stager: MakeStager,
        pool: WorkerPool | None,
        forecast: Forecast,
        ration: Ration,
        stall_seconds: float,
        prepare: Callable[[], object] | None = None,
    ) -> None:
        self._make_window, self._make_stager = make_window, make_stager
        self._pool = pool
        self._forecast = forecast
        self._ration = ration
        self._stall_seconds = stall_seconds
        self._prepare = prepare
        self._of_process: dict[int, _Ahead] = {}

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a stream has batches under way and cannot be pickled; pickle its loader, and ask that")

    @property
    def _ahead(self) -> _Ahead:
        """This process's own: what a parent's threads have in work, nobody would finish in a forked child."""
        found = self._of_process.get(os.getpid())
        if found is None:
            found = self._of_process.setdefault(os.getpid(), _Ahead(self._pool, self._stall_seconds))
            self._ration.enter(found)
            for parent in set(self._of_process) - {os.getpid()}:
                self._of_process.pop(parent, None)
        return found

    @property
    def _ready(self) -> dict[int, Pending]:
        return self._ahead.ready

    @property
    def is_alone(self) -> bool:
        """Whether no other stream of the loader has batches under way."""
        return self._ration.part(self._ahead) == self._ration.num_batches

    def seek(self, step: int) -> None:
        """Go on from `step`; what was prepared for later steps is kept.

        Raises:
            StallError: another thread plans since `stall_seconds`.
        """
        ahead = self._ahead
        with ahead.turn:
            if step not in ahead.ready:
                ahead.go_to(step)
            ahead.forget([ready for ready in ahead.ready if ready < step])

    def get(self, step: int) -> tuple[Batch, float]:
        """The batch of one step and the seconds waited for it.

        Raises:
            MtgenError: the step's first error in slot order.
            StallError: nothing came within `stall_seconds`.
        """
        started = time.perf_counter()
        if self._prepare is not None:
            self._prepare()  # not within the turn, which has a deadline of its own
        ahead = self._ahead
        pending, ticket = self._next(ahead, step)
        self._wait(ahead, pending)
        while pending.skipped:
            # Another thread sent the stream elsewhere while this one waited, or was interrupted at work on it.
            pending, ticket = self._alone(ahead, step)
            self._wait(ahead, pending)
        del ticket  # held up to here, else the jobs would be skipped
        waited = time.perf_counter() - started
        return pending.batch(), waited

    def _next(self, ahead: _Ahead, step: int) -> tuple[Pending, Ticket]:
        with ahead.turn:
            if step > ahead.end:
                ahead.go_to(step)
            if step in ahead.ready or step >= ahead.end:
                self._work_ahead(ahead, step)
                return ahead.ready.pop(step), ahead.ticket
        return self._alone(ahead, step)

    def _alone(self, ahead: _Ahead, step: int) -> tuple[Pending, Ticket]:
        ticket = Ticket()
        return self._submit(ahead, step, ticket, None), ticket

    def _work_ahead(self, ahead: _Ahead, step: int) -> None:
        """Plan steps until `depth` beyond `step` are under way."""
        ahead.is_used = True
        part = self._ration.part(ahead)
        asked = sum(ready >= step for ready in ahead.ready)
        while ahead.end <= step + (self._forecast.depth if self._pool else 0):
            if asked >= part and ahead.end != step:
                return
            self._make_room(ahead, step, part - 1)
            try:
                if ahead.stager is None and self._forecast.window > 1:
                    ahead.stager = self._make_stager(ahead.end, partial(_window, self._ration, weakref.ref(ahead)))
                ahead.ready[ahead.end] = self._submit(ahead, ahead.end, ahead.ticket, ahead.stager)
            except BaseException:
                # Interrupted between planning and running: start over at the next request.
                ahead.go_to(ahead.end)
                raise
            ahead.end += 1
            asked += 1

    def _make_room(self, ahead: _Ahead, step: int, most: int) -> None:
        """Forget the oldest batches that nobody asked for, where more are held than `most`."""
        num_more = len(ahead.ready) - most
        if num_more > 0:
            ahead.forget(sorted(ready for ready in ahead.ready if ready < step)[:num_more])

    def _submit(self, ahead: _Ahead, step: int, ticket: Ticket, stager: Any) -> Pending:
        pendings, jobs = self._make_window([step], stager)
        ahead.crew.submit(ticket, jobs)
        return pendings[0]

    def _wait(self, ahead: _Ahead, pending: Pending) -> None:
        """Wait for a batch; without workers, do its jobs first."""
        left = self._stall_seconds
        unsaid = every = max(self._stall_seconds / WARN_PART, WARN_SECONDS)
        if self._pool is None:
            ahead.crew.attend(pending)
        seen = _num_done(pending)
        while not pending.done.wait(min(POLL_SECONDS, left)):
            left -= POLL_SECONDS
            if (now := _num_done(pending)) != seen:
                # A window of rows may take long. As long as its jobs come to an end, nothing stalls.
                seen, left = now, self._stall_seconds
            unsaid -= POLL_SECONDS
            ahead.crew.attend(pending)
            if left <= 0:
                raise StallError(
                    f"no batch for {self._stall_seconds:g} s. Workers: {self._doing(ahead)}. A file system may hang; "
                    "give Prefetch(stall_seconds=...) more time if such waits are normal here",
                    step=pending.step,
                )
            if unsaid <= 0:
                unsaid = every
                _log.warning(
                    "no batch for %.0f s, an error after %g s [step %s]. Workers: %s",
                    self._stall_seconds - left,
                    self._stall_seconds,
                    pending.step,
                    self._doing(ahead),
                )

    def _doing(self, ahead: _Ahead) -> str:
        return "; ".join(ahead.crew.report()) or "no worker is running"

    def close(self) -> None:
        """Forget everything under way; jobs not yet started are skipped."""
        ahead = self._ahead
        with ahead.turn:
            ahead.go_to(0)
