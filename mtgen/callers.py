"""The workers of a loader without workers: whoever waits for a batch does its jobs, in its own thread."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterable

from mtgen.crew import Entry, Ticket
from mtgen.pending import Job, Pending, Served


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
        """Keep jobs until `attend` asks for them."""
        with self._lock:
            self._entries.update((Entry(ticket, job), None) for job in jobs)

    def tidy(self) -> None:
        """Drop the jobs that nobody wants any more, and with them their batches."""
        with self._lock:
            for entry in [one for one in self._entries if one.worker is None and not one.wanted]:
                del self._entries[entry]

    def attend(self, pending: Pending) -> None:
        """Do the batch's jobs that no other thread has begun, in order.

        A batch that nobody will finish, because the thread at work on it was interrupted, is marked as skipped.

        Raises:
            Only what is no `Exception`, such as KeyboardInterrupt; the batches it hit are marked as skipped.
        """
        try:
            for wanted in (pending,) if pending.awaits is None else (pending.awaits, pending):
                while not wanted.done.is_set() and (entry := self._claim(wanted)) is not None:
                    entry.job.perform(self._note)
                    with self._lock:
                        self._entries.pop(entry, None)
                    self._doing.pop(threading.get_ident(), None)
        except BaseException:
            self._give_up()
            raise

    def _give_up(self) -> None:
        """This thread was interrupted: whoever waits for what it had begun shall begin anew."""
        self._doing.pop(threading.get_ident(), None)
        with self._lock:
            begun = [entry for entry in self._entries if entry.worker == threading.get_ident()]
            for entry in begun:
                self._entries.pop(entry, None)
        for one in {one: None for entry in begun for one in entry.job.serves}:
            one.give_up()

    def _claim(self, pending: Served) -> Entry | None:
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
            awaited = pending.awaits
            entries += [entry for entry in self._entries if any(one is awaited for one in entry.job.serves)]
        # A job leaves the list after its batches know of it, so this order.
        if (left or not entries) and not pending.done.is_set():
            pending.give_up()
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
