"""A loader's threads: one pool, alive over epochs, gone soon after nobody needs it.

Threads start when there is work and retire after a second without any, so neither a consumer that stopped early nor
a forgotten loader leaves one behind. They are daemons, and an exit hook stops them before the interpreter goes.
"""

from __future__ import annotations

import os
import queue
import threading
import time
import weakref
from collections.abc import Iterable
from contextlib import suppress
from itertools import count

from mtgen.errors import PlanError
from mtgen.pending import Job

IDLE_SECONDS = 1.0
"""A worker without work for this long retires; starting a new one costs some 50 microseconds."""

STOP_SECONDS = 2.0
"""Longest wait for workers to stop; a job is some milliseconds unless its file hangs."""


class _Shared:
    """What pool and threads share. Threads do not hold the pool itself, so that it can be collected."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.jobs: queue.SimpleQueue[tuple[Ticket, Job] | None] = queue.SimpleQueue()
        # Reentrant, because the collector may stop a pool from within a thread that holds it.
        self.lock = threading.RLock()
        self.threads: dict[threading.Thread, tuple[str, float]] = {}
        self.waiting = 0
        self.stopped = False


class Ticket:
    """A right to run jobs, that can be withdrawn: jobs not yet started under it are skipped."""

    def __init__(self) -> None:
        self.withdrawn = False


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
        self._start_afresh()

    def _start_afresh(self) -> None:
        self._shared = _Shared()
        self._finalizer = weakref.finalize(self, _stop, self._shared)

    def submit(self, ticket: Ticket, jobs: Iterable[Job]) -> None:
        """Queue jobs; starts threads where some are missing."""
        jobs = list(jobs)
        while not self._queued(ticket, jobs):
            self._finalizer.detach()
            self._start_afresh()

    def _queued(self, ticket: Ticket, jobs: list[Job]) -> bool:
        """Queue the jobs, unless the threads were stopped or belong to the parent of a fork."""
        shared = self._shared
        if shared.pid != os.getpid():
            return False
        with shared.lock:
            # Looked at under the lock that stopping holds: jobs behind the last word to the threads would never run.
            if shared.stopped:
                return False
            for job in jobs:
                shared.jobs.put((ticket, job))
                if len(shared.threads) < self.num_workers and shared.waiting < shared.jobs.qsize():
                    name = f"mtgen-{self._number}-worker-{len(shared.threads)}"
                    thread = threading.Thread(target=_work, args=(shared,), name=name, daemon=True)
                    shared.threads[thread] = ("starting", time.monotonic())
                    try:
                        thread.start()
                    except BaseException:
                        del shared.threads[thread]
                        raise
        return True

    def report(self) -> list[str]:
        """What each worker is doing and for how long, one line each."""
        now = time.monotonic()
        doing = list(self._shared.threads.items())
        return [f"{thread.name}: {what} for {now - since:.1f} s" for thread, (what, since) in doing]

    def stop(self) -> None:
        """Stop the threads and wait for them, for at most `STOP_SECONDS`; submitting again starts new ones."""
        self._finalizer()


def _work(shared: _Shared) -> None:
    me = threading.current_thread()

    def note(what: str) -> None:
        shared.threads[me] = (what, time.monotonic())

    while True:
        with shared.lock:
            shared.waiting += 1
        note("waiting for work")
        try:
            entry = shared.jobs.get(timeout=IDLE_SECONDS)
        except queue.Empty:
            with shared.lock:
                shared.waiting -= 1
                # Looked at under the lock that submit holds: either it sees this thread gone, or this sees its job.
                if shared.jobs.empty():
                    shared.threads.pop(me, None)
                    return
                continue
        with shared.lock:
            shared.waiting -= 1
        if entry is None:
            with shared.lock:
                shared.threads.pop(me, None)
            return
        ticket, job = entry
        if ticket.withdrawn or shared.stopped:
            job.skip()
        else:
            # What is no Exception, such as the SystemExit of a foreign array, ends a job, not a worker.
            with suppress(BaseException):
                job.perform(note)
        # Held any longer, the last job's batch would stay alive while the worker waits.
        del entry, ticket, job


def _stop(shared: _Shared) -> None:
    if shared.pid != os.getpid():
        return
    with shared.lock:
        shared.stopped = True
        threads = list(shared.threads)
        for _ in threads:
            shared.jobs.put(None)
    deadline = time.monotonic() + STOP_SECONDS
    for thread in threads:
        if thread is not threading.current_thread():
            thread.join(max(0.0, deadline - time.monotonic()))


def default_num_workers(num_workers: int | None) -> int:
    """Threads to use: as many as asked for, or one per core this process may run on.

    Raises:
        PlanError: neither None nor an integer >= 0.
    """
    if num_workers is None:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if isinstance(num_workers, bool) or not isinstance(num_workers, int) or num_workers < 0:
        raise PlanError(f"num_workers must be an integer >= 0 or None, received {num_workers!r}")
    return num_workers
