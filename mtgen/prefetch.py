"""A stream of batches in step order, prepared ahead by a pool of workers."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence

from mtgen.batch import Batch
from mtgen.errors import StallError
from mtgen.memory import Forecast
from mtgen.pending import Job, Pending
from mtgen.workers import Ticket, WorkerPool

MakeWindow = Callable[[Sequence[int]], tuple[list[Pending], list[Job]]]
"""Steps of a window -> one pending batch per step, and the jobs that fill them."""


class Stream:
    """Batches by step, with the following steps under way.

    Any thread may ask; asking for a step that was handed out before, or out of turn, is allowed and gives the same
    bytes. Nothing is kept after it was handed out.

    Args:
        make_window: plans a window of steps.
        pool: the loader's workers, or None to do all work in the caller's thread.
        forecast: window and depth.
        stall_seconds: longest wait for one batch.
    """

    def __init__(
        self, make_window: MakeWindow, pool: WorkerPool | None, forecast: Forecast, stall_seconds: float
    ) -> None:
        self._make_window = make_window
        self._pool = pool
        self._forecast = forecast
        self._stall_seconds = stall_seconds
        self._start_afresh()

    def _start_afresh(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._ticket = Ticket()
        self._ready: dict[int, Pending] = {}
        self._end = 0
        self._ramp = 1

    def seek(self, step: int) -> None:
        """Go on from `step`; what was prepared for later steps is kept."""
        self._leave_parent()
        with self._lock:
            self._seek(step)

    def _leave_parent(self) -> None:
        """In a forked child, forget what the parent's threads have in work: nobody here will finish it."""
        if self._pid != os.getpid():
            self._start_afresh()

    def _seek(self, step: int) -> None:
        if step in self._ready:
            for earlier in [ready for ready in self._ready if ready < step]:
                del self._ready[earlier]
            return
        self._ticket.withdrawn = True
        self._ticket = Ticket()
        self._ready.clear()
        self._end = step
        self._ramp = 1

    def get(self, step: int) -> tuple[Batch, float]:
        """The batch of one step and the seconds waited for it.

        Raises:
            MtgenError: the step's first error in slot order.
            StallError: nothing came within `stall_seconds`.
        """
        started = time.perf_counter()
        self._leave_parent()
        with self._lock:
            if step > self._end:
                self._seek(step)
            alone = step not in self._ready and step < self._end
            if not alone:
                self._work_ahead(step)
                pending = self._ready.pop(step)
        if alone:
            pending = self._submit([step], Ticket())[0]
        self._wait(pending)
        while pending.skipped:
            # Another thread sent the stream elsewhere while this one waited.
            pending = self._submit([step], Ticket())[0]
            self._wait(pending)
        waited = time.perf_counter() - started
        return pending.batch(), waited

    def _work_ahead(self, step: int) -> None:
        """Plan windows until `depth` steps beyond `step` are under way; the first windows are short to start fast."""
        while self._end <= step + (self._forecast.depth if self._pool else 0):
            num_steps = min(self._ramp, self._forecast.window)
            self._make_room(step, num_steps)
            steps = range(self._end, self._end + num_steps)
            try:
                self._ready.update(zip(steps, self._submit(steps, self._ticket), strict=True))
            except BaseException:
                # Interrupted between planning and running: start over at the next request.
                self._seek(self._end)
                raise
            self._end += num_steps
            self._ramp = min(2 * self._ramp, self._forecast.window)

    def _make_room(self, step: int, num_steps: int) -> None:
        """Forget the oldest batches that nobody asked for, where more would be held than was forecast."""
        most = self._forecast.depth + self._forecast.window
        while self._ready and len(self._ready) + num_steps > most and min(self._ready) < step:
            del self._ready[min(self._ready)]

    def _submit(self, steps: Sequence[int], ticket: Ticket) -> list[Pending]:
        pendings, jobs = self._make_window(steps)
        if self._pool is not None:
            self._pool.submit(ticket, jobs)
            return pendings
        for job in jobs:
            job.perform(lambda what: None)
        return pendings

    def _wait(self, pending: Pending) -> None:
        if pending.done.wait(self._stall_seconds):
            return
        doing = "; ".join(self._pool.report() if self._pool else []) or "no worker is running"
        raise StallError(
            f"no batch for {self._stall_seconds:g} s. Workers: {doing}. A file system may hang; give "
            "Prefetch(stall_seconds=...) more time if such waits are normal here",
            step=pending.step,
        )

    def close(self) -> None:
        """Forget everything under way; jobs not yet started are skipped."""
        self._leave_parent()
        with self._lock:
            self._ticket.withdrawn = True
            self._ticket = Ticket()
            self._ready.clear()
            self._end = 0
