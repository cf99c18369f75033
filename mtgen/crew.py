"""The threads of one loader in one process, and the jobs they share.

Written so that a signal in the consumer's thread can strike anywhere: nothing here runs when an object is collected
(an interrupt in there would be lost), threads are not started, looked at or joined by the consumer's thread (Python
leaves them broken when that is interrupted), and every job is in the list of open ones until its batches know.
docs/decisions/0008-no-hang.md has the reasons.
"""

from __future__ import annotations

import _thread
import logging
import os
import sys
import threading
import time
import weakref
from collections import deque
from contextlib import suppress
from itertools import count

from mtgen.errors import StallError
from mtgen.pending import NO_SLOT, Job, Served
from mtgen.waits import Latch, silent

IDLE_SECONDS = 1.0
"""A worker without work for this long retires; starting a new one costs some 100 microseconds."""

START_SECONDS = 3.0
"""A thread that was not seen this long after it should have started is written off."""

_log = logging.getLogger("mtgen")


class Ticket:
    """A right to run jobs, in the hands of whoever wants the results.

    Once it is withdrawn, or nobody holds it any more, jobs not yet started under it are skipped.
    """

    def __init__(self) -> None:
        self.withdrawn = False


class Entry:
    """A job in a pool, from when it was submitted until its batches know of it."""

    __slots__ = ("_ticket", "job", "worker")

    def __init__(self, ticket: Ticket, job: Job) -> None:
        self._ticket = weakref.ref(ticket)
        self.job = job
        self.worker: object | None = None

    @property
    def wanted(self) -> bool:
        """Whether somebody still holds the ticket, did not withdraw it, and wants one of the batches."""
        ticket = self._ticket()
        served = self.job.serves
        return ticket is not None and not ticket.withdrawn and not (served and all(one.skipped for one in served))

    def fail(self, why: str) -> None:
        """Tell the batches that this job will not be finished."""
        for pending in self.job.serves:
            pending.fail(NO_SLOT, 0, StallError(why))
            pending.finish(silent)


class _Worker:
    """A thread and what it is doing.

    Attributes:
        wake: what it waits for while it is idle, else None.
        coming: whether it was started or woken, and has not yet looked for a job.
        ended: opened when it is done for ever.
        broken: why its thread could not be started, if it could not.
    """

    def __init__(self, crew: Crew, name: str) -> None:
        self.thread = threading.Thread(target=_work, args=(crew, self), name=name, daemon=True)
        self.doing = ("start", time.monotonic())
        self.wake: Latch | None = None
        self.coming = True
        self.ended = Latch()
        self.broken: BaseException | None = None

    def note(self, what: str) -> None:
        """Say what comes next; for the report."""
        self.doing = (what, time.monotonic())

    def call(self) -> None:
        """Wake it, if it is idle; under the crew's lock."""
        wake, self.wake = self.wake, None
        if wake is not None:
            self.coming = True
            wake.set()

    def gone(self, idents: set[int]) -> bool:
        """Whether the thread is none of those that the interpreter has."""
        if self.broken is not None:
            return True
        if self.thread.ident is None:
            return time.monotonic() - self.doing[1] > START_SECONDS
        return self.thread.ident not in idents

    def __str__(self) -> str:
        what, since = self.doing
        return f"{self.thread.name}: {what} for {time.monotonic() - since:.1f} s"


class Crew:
    """What pool and threads share. Threads do not hold the pool itself, so that it can be collected.

    `lock` guards all of it and is never held while a job runs, a file is open or the log is written to. It is reentrant
    because a collector may run within. `entries` are the open jobs in order, `queue` those that nobody has begun.
    """

    def __init__(self, number: int, num_workers: int) -> None:
        self.number, self.num_workers = number, num_workers
        self.pid = os.getpid()
        self.lock = threading.RLock()
        self.queue: deque[Entry] = deque()
        self.entries: dict[Entry, None] = {}
        self.workers: dict[_Worker, None] = {}
        self.stopped = False
        self._places = count()
        self._untold: deque[tuple[list[Entry], str, str]] = deque()

    def take_on(self, ticket: Ticket, jobs: list[Job]) -> bool:
        """Queue the jobs, unless the threads were stopped."""
        with self.lock:
            # Looked at under the lock that stopping holds: jobs behind the last word to the threads would never run.
            if self.stopped:
                return False
            for job in jobs:
                entry = Entry(ticket, job)
                # In this order: interrupted in between, it is in the queue and nobody's, and will be dropped.
                self.queue.append(entry)
                self.entries[entry] = None
            self.call()
        self.tell()
        return True

    def call(self) -> None:
        """Wake or start threads while jobs wait for one; under the lock."""
        num_needed = len(self.queue) - sum(worker.coming for worker in self.workers)
        for worker in [worker for worker in self.workers if worker.wake is not None][: max(0, num_needed)]:
            worker.call()
            num_needed -= 1
        while num_needed > 0 and len(self.workers) < self.num_workers and not self.stopped:
            worker = _Worker(self, f"mtgen-{self.number}-worker-{next(self._places) % self.num_workers}")
            self.workers[worker] = None
            num_needed -= 1
            try:
                # Thread.start waits for the thread, and an interrupt meanwhile would leave it hanging for ever.
                _thread.start_new_thread(_start, (self, worker))
            except RuntimeError as error:
                self.miss(worker, _text(error))
                return

    def claim(self, worker: _Worker) -> Entry | None:
        """The next job, now this worker's. Without any, the worker is told to wait, or to go."""
        with self.lock:
            worker.coming = False
            while self.queue:
                entry = self.queue.popleft()
                if entry in self.entries and entry.worker is None:
                    entry.worker = worker
                    return entry
            if self.stopped:
                self.workers.pop(worker, None)
            else:
                worker.wake = Latch()
            return None

    def retire(self, worker: _Worker) -> None:
        """Let a worker go that was not woken; under the lock, under which it would be."""
        with self.lock:
            if worker.wake is not None:
                self.workers.pop(worker, None)

    def close(self, entry: Entry) -> None:
        """The job is over and its batches know."""
        with self.lock:
            self.entries.pop(entry, None)

    def leave(self, worker: _Worker) -> None:
        """A thread ends, because nobody needs it."""
        with self.lock:
            self.workers.pop(worker, None)
        worker.ended.set()

    def died(self, worker: _Worker, error: BaseException) -> None:
        """A thread ends for no good reason: fail the job that it had, and look after those it might have lost."""
        text = _text(error)
        with self.lock:
            known = worker in self.workers
            self.leave(worker)
            lost = [entry for entry in self.entries if entry.worker is worker] if known else []
            # It may have taken one more from the queue.
            self.queue = deque(entry for entry in self.entries if entry.worker is None)
            if lost:
                why = f"worker thread {worker.thread.name} ended while it was to {worker.doing[0]!r} ({text})"
                self._lose(lost, why, f"{why}; the batches it worked on are lost, ask for them again")
            self.call()
        self.tell()

    def not_started(self, worker: _Worker, error: BaseException) -> None:
        """The system gives no more threads."""
        text = _text(error)
        with self.lock:
            self.miss(worker, text)
        self.tell()

    def miss(self, worker: _Worker, text: str) -> None:
        """Do without a thread; where there is not even one, nothing can be done. Under the lock."""
        self.leave(worker)
        num_workers = len(self.workers)
        lost = [] if num_workers else [entry for entry in self.entries if entry.worker is None]
        self._lose(
            lost,
            f"worker {worker.thread.name} cannot be started ({text}), {num_workers} run",
            f"no worker thread can be started ({text}): raise the limits on threads and memory, or give "
            "num_workers=0 to do all work in the caller's thread",
        )

    def _lose(self, entries: list[Entry], warning: str, why: str) -> None:
        for entry in entries:
            self.entries.pop(entry, None)
        self._untold.append((entries, warning, why))

    def tell(self) -> None:
        """Warn of what went wrong and fail the jobs it hit; not under the lock, for a log may do anything."""
        while self._untold:
            with suppress(IndexError):  # another thread was faster
                entries, warning, why = self._untold.popleft()
                _log.warning("%s", warning)
                for entry in entries:
                    entry.fail(why)

    def look_after(self) -> None:
        """Find threads that ended without a word, and start others in their place."""
        idents = set(sys._current_frames())
        with self.lock:
            gone = [worker for worker in self.workers if worker.gone(idents)]
        for worker in gone:
            if worker.broken is None:
                self.died(worker, RuntimeError("the thread is gone"))
            else:
                self.not_started(worker, worker.broken)
        with self.lock:
            self.call()
        self.tell()

    def serves(self, pending: Served) -> bool:
        """Whether a job is open that fills this."""
        with self.lock:
            return any(one is pending for entry in self.entries for one in entry.job.serves)

    def dismiss(self) -> None:
        """Let the threads go when their job is over, and all other jobs be skipped."""
        if self.pid != os.getpid():
            return
        with self.lock:
            self.stopped = True
            for worker in self.workers:
                worker.call()

    def await_end(self, seconds: float) -> float:
        """Wait until the threads are gone, for at most so many seconds; gives back how many are left."""
        until = time.monotonic() + seconds
        if self.pid == os.getpid():
            for worker in list(self.workers):
                _ended.append(worker.thread)
                if worker.thread.ident == threading.get_ident() or not worker.ended.wait(until - time.monotonic()):
                    continue
                if worker.thread.ident is not None:
                    # Now that it is at its end, an interrupt within can do no harm.
                    worker.thread.join(max(0.0, until - time.monotonic()))
        return max(0.0, until - time.monotonic())


_ended: list[threading.Thread] = []
"""Threads that were waited for. Python calls back when the last reference to one goes, and an interrupt in there would
be lost; so it goes in the next worker's hands, and not in the consumer's."""


def _text(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def _start(crew: Crew, worker: _Worker) -> None:
    try:
        worker.thread.start()
    except BaseException as error:
        worker.broken = error
        # Where memory is too short to tell, whoever waits for a batch finds it.
        with suppress(BaseException):
            crew.not_started(worker, error)


def _work(crew: Crew, worker: _Worker) -> None:
    try:
        _ended.clear()
        while _one_round(crew, worker):
            pass
    except BaseException as error:
        # Memory is short, or the thread was ended from outside; jobs keep what they raise to themselves.
        crew.died(worker, error)
    else:
        crew.leave(worker)


def _one_round(crew: Crew, worker: _Worker) -> bool:
    """Do a job, or wait for one; whether to come again. A function, so that nothing keeps the job's batch alive."""
    entry = crew.claim(worker)
    if entry is None:
        worker.note("wait for work")
        # No queue.SimpleQueue: its `get` waits for ever where its time ends just when another thread was faster.
        if (wake := worker.wake) is not None and not wake.wait(IDLE_SECONDS):
            crew.retire(worker)
        return worker in crew.workers
    if crew.stopped or not entry.wanted:
        entry.job.skip()
    else:
        # What is no Exception, such as the SystemExit of a foreign array, ends a job, not a worker.
        with suppress(BaseException):
            entry.job.perform(worker.note)
    crew.close(entry)
    return True
