"""A loader's threads: one pool, alive over epochs, gone soon after nobody needs it.

Threads start when there is work and retire after a second without any, so neither a consumer that stopped early nor
a forgotten loader leaves one behind. They are daemons, and an exit hook stops them before the interpreter goes.
"""

from __future__ import annotations

import atexit
import os
import weakref
from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from itertools import count

from mtgen.crew import Crew, Ticket
from mtgen.errors import PlanError, StallError
from mtgen.pending import Job, Pending

STOP_SECONDS = 2.0
"""Longest wait for workers to stop; a job is some milliseconds unless its file hangs."""

EXIT_SECONDS = 1.0
"""Longest wait for the workers of all pools together when the interpreter ends."""


_crews: list[weakref.ref[Crew]] = []
"""All crews that may have threads, for the exit hook."""


class WorkerPool:
    """At most `num_workers` threads that run jobs in the order in which they were submitted.

    Any thread may submit. After a fork the child starts with threads of its own and none of the parent's jobs.

    Args:
        num_workers: >= 1.
    """

    _numbers = count()

    def __init__(self, num_workers: int) -> None:
        self.num_workers = num_workers
        self._number = next(self._numbers)
        self._crews: tuple[Crew, ...] = (self._new_crew(),)

    def _new_crew(self) -> Crew:
        crew = Crew(self._number, self.num_workers)
        for gone in [one for one in _crews if one() is None]:
            with suppress(ValueError):  # another thread was faster
                _crews.remove(gone)
        _crews.append(weakref.ref(crew))
        _come_first_at_exit()
        return crew

    @property
    def _crew(self) -> Crew:
        return self._crews[0]

    def submit(self, ticket: Ticket, jobs: Iterable[Job]) -> None:
        """Queue jobs; starts threads where some are missing.

        The jobs run while the caller keeps the ticket and does not withdraw it.
        """
        jobs = list(jobs)
        while True:
            crews = self._crews
            if crews[0].pid == os.getpid() and crews[0].take_on(ticket, jobs):
                return
            # Those that were stopped may have a job in work yet, for a batch that is waited for.
            former = [crew for crew in crews if crew.pid == os.getpid() and crew.entries]
            self._crews = (self._new_crew(), *former)

    def attend(self, pending: Pending) -> None:
        """Look after the threads, for one who waits for a batch.

        Raises:
            StallError: nobody works on the batch any more.
        """
        crews = [crew for crew in self._crews if crew.pid == os.getpid()]
        for crew in crews:
            crew.look_after()
        # In this order: the batch knows before its job is off the list.
        wanted = (pending,) if pending.awaits is None else (pending.awaits, pending)
        if not any(crew.serves(one) for crew in crews for one in wanted) and not pending.done.is_set():
            raise StallError(
                "no worker has this batch in work: a thread was ended in the middle of it; ask for the batch again",
                step=pending.step,
            )

    def report(self) -> list[str]:
        """What each worker is doing and for how long, one line each."""
        return [str(worker) for crew in self._crews if crew.pid == os.getpid() for worker in list(crew.workers)]

    def stop(self) -> None:
        """Stop the threads and wait for them, for at most `STOP_SECONDS`; submitting again starts new ones."""
        for crew in self._crews:
            crew.dismiss()
        left = STOP_SECONDS
        for crew in self._crews:
            left = crew.await_end(left)


def _stop_all() -> None:
    """End all threads before the interpreter does; a reader that hangs is left behind after `EXIT_SECONDS`."""
    crews = [crew for crew in (one() for one in _crews) if crew is not None]
    for crew in crews:
        crew.dismiss()
    left = EXIT_SECONDS
    for crew in crews:
        left = crew.await_end(left)


_hook = partial(_stop_all)


def _come_first_at_exit() -> None:
    """Stop the threads before anything is torn down that they may be in: hooks run from the last one to the first.

    h5py, numcodecs and others have hooks, and are imported with the first store. In 3 of 100 processes that ended
    while workers read HDF5, its hook went first, and the process with a segmentation fault.
    """
    global _hook
    before, _hook = _hook, partial(_stop_all)
    atexit.register(_hook)
    atexit.unregister(before)


def default_num_workers(num_workers: int | None, num_processes: int = 0) -> int:
    """Threads to use: as many as asked for, or one per core this process may run on, and per process to ask.

    Raises:
        PlanError: neither None nor an integer >= 0.
    """
    if num_workers is None:
        num_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return max(num_cores, num_processes) if isinstance(num_processes, int) else num_cores
    if isinstance(num_workers, bool) or not isinstance(num_workers, int) or num_workers < 0:
        raise PlanError(f"num_workers must be an integer >= 0 or None, received {num_workers!r}")
    return num_workers
