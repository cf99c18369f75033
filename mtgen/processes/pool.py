"""Decode pictures in processes: the same pixels, facts and errors as in threads, and a crash costs one picture.

A worker thread of the loader asks one thread of a process at a time, waits, and copies the pictures out of the memory
that the two share. A process that ends is replaced and asked again. Pictures that were in work when two processes
ended are done alone; one with which two more end is a bad sample like any other (docs/processes.md).
"""

from __future__ import annotations

import json
import os
import weakref
from collections.abc import Iterable, MutableMapping, Sequence
from itertools import count
from typing import NamedTuple

import numpy as np

from mtgen.cache.layout import Identity
from mtgen.config import MOST_RETRIES, OnError
from mtgen.errors import DecodeError, MtgenError, StallError, named
from mtgen.inputs.images import BoundImages
from mtgen.metrics import Recorder
from mtgen.processes.asking import HangsError, Terms, ask, delivered, was_begun
from mtgen.processes.memory import Layout, thread_bytes
from mtgen.processes.process import GoneError
from mtgen.processes.protocol import Asked, Kind, ProtocolError, Request, frame
from mtgen.processes.staff import Loan, Staff, layouts
from mtgen.room import Room
from mtgen.waits import LOCK_SECONDS, Note, Turns

MOST_ENDS = 2
"""Processes that may end at work on the same pictures, first among others, then alone."""

MOST_TRIES = 30
"""Processes that may end for other reasons before a job is done, so that somebody who ends them all is noticed."""

STOP_SECONDS = 4.0
"""Longest wait for processes to end."""

ALLOWANCE_PART = 2
"""One part in so many of the room for pictures is handed out in advance, so that small ones need not ask."""


class _Task:
    """One picture on its way."""

    __slots__ = ("asked", "error", "out", "seen")

    def __init__(self, asked: Asked, out: np.ndarray) -> None:
        self.asked, self.out = asked, out
        self.error: MtgenError | None = None
        self.seen: Identity | None = None


class Processes:
    """The processes of one loader.

    Any worker thread may ask. In a forked child they start afresh. Who forgets the object need not stop it.

    Args:
        pictures: the inputs that they decode.
        num_processes: >= 1.
        num_workers: threads that ask, >= `num_processes`; each process has its part of as many threads.
        num_slots: pictures that are asked for at a time, at most.
        on_error: number of retries and their pauses.
        recorder: counts what is done.
        room: where large pictures take memory from.
        stall_seconds: longest wait without progress.
    """

    def __init__(
        self,
        pictures: Sequence[BoundImages],
        num_processes: int,
        num_workers: int,
        *,
        num_slots: int,
        on_error: OnError,
        recorder: Recorder,
        room: Room | None,
        stall_seconds: float = LOCK_SECONDS,
    ) -> None:
        self._pictures = [member for one in pictures for _, member in one.members]
        self._counts = num_processes, num_workers
        self._thread_bytes = slots_bytes(self._pictures, num_slots)
        self._num_slots = num_slots
        self._setup = _Setup(self._pictures, on_error)
        self._recorder = recorder
        room_bytes = 0 if room is None else room.num_bytes
        pauses = on_error.retry_seconds * 2**on_error.num_retries
        self._terms = Terms(room, room_bytes // (ALLOWANCE_PART * num_workers), stall_seconds + pauses)
        self._numbers = count()
        self._suspects: set[tuple[int, int]] = set()
        self._staff: Staff | None = None
        self._start_afresh()

    def _start_afresh(self) -> None:
        self._pid = os.getpid()
        self._turn = Turns(self._terms.patience, "start processes")

    def fill(
        self,
        bound: BoundImages,
        rows: Iterable[int],
        outs: Sequence[np.ndarray],
        note: Note,
        seen: MutableMapping[int, Identity] | None = None,
    ) -> list[MtgenError | None]:
        """Read and decode pictures into slots of the caller's; counted in the loader's `stats`.

        Args:
            bound: one of the inputs.
            rows: places in the root table.
            outs: a slot for each.
            note: told what is being done.
            seen: gets which file each row was, where it was delivered; None does not ask for it.

        Returns:
            Per row its error, or None.

        Raises:
            StallError: a process hangs or cannot be started, or the loader was closed.
        """
        tasks = self._fill(bound, rows, outs, note, counted=True, identify=seen is not None)
        if seen is not None:
            seen.update((task.asked.row, task.seen) for task in tasks if task.seen is not None)
        return [task.error for task in tasks]

    def read(self, bound: BoundImages, row: int, out: np.ndarray, note: Note) -> None:
        """Read and decode one picture that takes the place of a bad one; only its retries are counted.

        Raises:
            MtgenError: it cannot be read.
        """
        (task,) = self._fill(bound, [row], [out], note, counted=False, identify=False)
        if task.error is not None:
            raise task.error

    def _fill(
        self,
        bound: BoundImages,
        rows: Iterable[int],
        outs: Sequence[np.ndarray],
        note: Note,
        *,
        counted: bool,
        identify: bool,
    ) -> list[_Task]:
        tasks: list[_Task] = []
        asked: dict[int, list[_Task]] = {}
        for row, out in zip(map(int, rows), outs, strict=True):
            tasks.append(_Task(Asked(row, "", None), out))
            try:
                tasks[-1].asked = Asked(row, bound.path(row), bound.promise(row))
                member = bound.member(row)
                field = next(number for number, one in enumerate(self._pictures) if one is member)
                asked.setdefault(field, []).append(tasks[-1])
            except Exception as error:
                tasks[-1].error = named(error, None, DecodeError)
        for field, some in asked.items():
            work = _Work(self, field, note, counted=counted, identify=identify)
            try:
                for start in range(0, len(some), self._num_slots):
                    work.do(some[start : start + self._num_slots])
            finally:
                work._staff.leaves()
        return tasks

    def staff(self) -> Staff:
        """The processes of this process of the user's, started where there are none; they stay until `leaves`.

        Raises:
            StallError: no thread can be started to look after them.
        """
        if self._pid != os.getpid():
            parents, self._staff = self._staff, None
            self._start_afresh()
            if parents is not None:
                parents.forget()
        with self._turn:
            while self._staff is None or not self._staff.stays():
                self._staff = Staff(
                    self._setup, *self._counts, self._thread_bytes, weakref.ref(self), self._terms.patience
                )
            return self._staff

    def pids(self) -> Sequence[int]:
        """Process ids of those that run now."""
        staff = self._staff
        return [] if staff is None or staff.pid != os.getpid() else staff.pids()

    def stop(self) -> None:
        """End the processes and wait for that, for at most `STOP_SECONDS`; asking again starts new ones."""
        staff = self._staff
        if staff is not None and staff.pid == os.getpid():
            staff.stop(STOP_SECONDS)


class _Ended(NamedTuple):
    """How a process ended, and whether it was at work on one of the pictures."""

    how: str
    at_work: bool


class _Work:
    """Pictures of one field, done by whatever it takes. One thread."""

    def __init__(self, processes: Processes, field: int, note: Note, *, counted: bool, identify: bool) -> None:
        self._processes, self._field, self._note = processes, field, note
        self._counted, self._identify = counted, identify
        self._staff = processes.staff()
        self._num_tries = 0

    def do(self, tasks: Sequence[_Task]) -> None:
        """Fill the slots, or say why not."""
        suspects = self._processes._suspects
        alone = [task for task in tasks if (self._field, task.asked.row) in suspects] if suspects else []
        together = [task for task in tasks if task not in alone]
        num_ends = 0
        while together and num_ends < MOST_ENDS:
            loan = self._staff.lend(self._note)
            try:
                ended = self._ask(loan, together)
            finally:
                self._staff.give_back(loan)
            if ended is None:
                break
            num_ends += ended.at_work
        else:
            alone += together
        if alone:
            self._do_alone(alone)

    def _do_alone(self, tasks: Sequence[_Task]) -> None:
        """One after the other, in a process in which nothing else is in work."""
        loan: Loan | None = None
        try:
            for task in tasks:
                num_ends = 0
                while True:
                    if loan is None:
                        loan = self._staff.lend_alone(self._note)
                    ended = self._ask(loan, [task])
                    if ended is None:
                        break
                    self._staff.give_back(loan)
                    loan = None
                    num_ends += ended.at_work
                    if num_ends == MOST_ENDS:
                        self._give_up(task, ended.how)
                        break
        finally:
            if loan is not None:
                self._staff.give_back(loan)

    def _give_up(self, task: _Task, how: str) -> None:
        """The picture is a bad sample; from now on nobody else is put at risk by it."""
        self._processes._suspects.add((self._field, task.asked.row))
        task.error = DecodeError(
            f"the process that decoded it {how}, and so did the others that tried, the last {MOST_ENDS} with no other "
            "picture in work: its decoder crashes, or it takes more memory than there is. Leave its row out of the "
            "table, or store the picture anew",
            row=task.asked.row,
            path=task.asked.path,
        )

    def _ask(self, loan: Loan, tasks: Sequence[_Task]) -> _Ended | None:
        """Ask once; None, or how the process ended.

        Raises:
            StallError: it hangs, and was ended; or the loader was closed.
        """
        terms, pid, line = self._processes._terms, loan.process.pid, loan.line
        asked = [task.asked for task in tasks]
        folder = "" if all(os.path.isabs(one.path) for one in asked) else _folder()
        allowance = -1 if terms.room is None else terms.allowance
        request = Request(next(self._processes._numbers), self._field, allowance, folder, self._identify, asked)
        spec = self._processes._pictures[self._field].spec
        line.rows = [one.row for one in asked]
        try:
            answer = ask(line, pid, request, terms, self._note)
            errors = delivered(answer, request, line, spec, [task.out for task in tasks], pid)
        except (GoneError, ProtocolError) as error:
            self._staff.check_open()
            at_work = was_begun(line)
            how = self._staff.lost(loan.process, str(error))
            at_work &= not loan.process.was_asked_to_end
            self._num_tries += 1
            if self._num_tries > MOST_TRIES:
                raise StallError(
                    f"{self._num_tries} processes for pictures ended one after the other before they were done with "
                    f"rows {', '.join(map(str, line.rows))}, the last one {how}. Does something end them?"
                ) from None
            return _Ended(how, at_work)
        except HangsError as error:
            self._staff.lost(loan.process, "it made no progress")
            raise StallError(str(error)) from None
        except StallError:  # there was no memory to begin with
            raise
        except BaseException:
            # Whatever it was, an answer may be on its way that the next one to ask would take for its own.
            self._staff.lost(loan.process, "it could not be listened to")
            raise
        for task, one in zip(tasks, errors, strict=True):
            task.error = one
        for task, file in zip(tasks, answer.seen, strict=False):
            task.seen = file
        self._count(answer.read_seconds, answer.decode_seconds, answer.facts, answer.num_retries, len(tasks))
        return None

    def _count(self, read: float, decode: float, facts: object, num_retries: int, num_pictures: int) -> None:
        recorder = self._processes._recorder
        for _ in range(min(num_retries, MOST_RETRIES * num_pictures)):
            recorder.add_retry()
        if self._counted:
            recorder.add_stage("read", read)
            recorder.add_stage("decode", decode)
            recorder.add_facts(facts)  # type: ignore[arg-type]


class _Setup:
    """What a process begins with. No part of `Processes`, which a process that runs does not keep alive."""

    def __init__(self, pictures: Sequence[BoundImages], on_error: OnError) -> None:
        self._settings = {
            "fields": [
                {
                    "recipe": one.recipe.settings(),
                    "root": one.files.root,
                    "follow_links": one.files.follow_links,
                    "manifest": "" if one.promises is None else one.promises.location,
                }
                for one in pictures
            ],
            "on_error": {"num_retries": on_error.num_retries, "retry_seconds": on_error.retry_seconds},
        }

    def __call__(self, layout: Layout) -> bytes:
        return frame(Kind.SETUP, json.dumps({**self._settings, "layout": layout}).encode())


def slots_bytes(pictures: Sequence[BoundImages], num_slots: int) -> int:
    """Shared memory for the slots of one thread of a process.

    Args:
        pictures: the inputs that are decoded.
        num_slots: pictures that are asked for at a time.
    """
    return thread_bytes(max((one.spec.row_bytes for one in pictures), default=0), num_slots)


def shared_bytes(pictures: Sequence[BoundImages], num_processes: int, num_workers: int, num_slots: int) -> int:
    """Memory that a loader shares with all its processes: for its forecast."""
    if not num_processes:
        return 0
    each = slots_bytes(pictures, num_slots)
    return sum(layout.total_bytes for layout in layouts(num_processes, num_workers, each))


def _folder() -> str:
    """Where relative paths start; what no folder is called where that is gone."""
    try:
        return os.getcwd()
    except OSError:
        return "\0"
