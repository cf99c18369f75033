"""The workers of a loader without workers: whoever waits for a batch does its jobs, in its own thread."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterable

from mtgen.pending import Job, Pending
from mtgen.workers import Entry, Ticket


class Callers:
    """Jobs that wait for a thread that wants their batch.

    Any thread may call. Two threads that want the same batch share its jobs. What a thread reads itself has no
    deadline, for nobody could end it; whoever waits for that thread has one, and is told what it does.
    """

    def __init__(self) -> None:
        self._entries: dict[Entry, None] = {}
        self._lock = threading.Lock()
        self._doing: dict[int, tuple[str, float]] = {}

    def submit(self, ticket: Ticket, jobs: Iterable[Job]) -> None:
        """Keep jobs until `attend` asks for them; those of tickets that were given up are dropped."""
        with self._lock:
            for entry in [one for one in self._entries if one.worker is None and not one.wanted]:
                del self._entries[entry]
            self._entries.update((Entry(ticket, job), None) for job in jobs)

    def attend(self, pending: Pending) -> None:
        """Do the batch's jobs that no other thread has begun, in order.

        A batch that nobody will finish, because the thread at work on it was interrupted, is marked as skipped.

        Raises:
            Only what is no `Exception`, such as KeyboardInterrupt; the batches it hit are marked as skipped.
        """
        while not pending.done.is_set() and (entry := self._claim(pending)) is not None:
            try:
                entry.job.perform(self._note)
            except BaseException:
                for one in entry.job.serves:
                    one.skipped = True
                raise
            finally:
                # Single calls into C: an interrupt comes before or after, and if before, `_claim` finds out.
                self._entries.pop(entry, None)
                self._doing.pop(threading.get_ident(), None)

    def _claim(self, pending: Pending) -> Entry | None:
        with self._lock:
            entries = [entry for entry in self._entries if any(one is pending for one in entry.job.serves)]
            for entry in entries:
                if entry.worker is None:
                    entry.worker = threading.get_ident()
                    return entry
            # What this thread has begun it did not end, else it would not be here.
            idents = set(sys._current_frames()) - {threading.get_ident()}
            left = [entry for entry in entries if entry.worker not in idents]
            for entry in left:
                self._entries.pop(entry, None)
        # A job leaves the list after its batches know of it, so this order.
        if (left or not entries) and not pending.done.is_set():
            pending.skipped = True
            pending.done.set()
        return None

    def _note(self, what: str) -> None:
        self._doing[threading.get_ident()] = (what, time.monotonic())

    def report(self) -> list[str]:
        """What each thread is doing and for how long, one line each."""
        names = {thread.ident: thread.name for thread in threading.enumerate()}
        now = time.monotonic()
        return [
            f"{names.get(ident, ident)} (num_workers=0, it reads itself): {what} for {now - since:.1f} s"
            for ident, (what, since) in list(self._doing.items())
        ]
