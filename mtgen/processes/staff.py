"""The processes of one loader: started when there is work, lent line by line, replaced, ended.

A thread of their own looks after them: it ends them when the loader is closed or forgotten, when the interpreter
ends, and after a minute without work. So nothing runs when an object is collected, and the consumer's thread neither
starts a process nor waits for one (docs/decisions/0008-no-hang.md).
"""

from __future__ import annotations

import atexit
import logging
import os
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from itertools import count

from mtgen.errors import PlanError, StallError
from mtgen.processes.memory import Layout
from mtgen.processes.process import START_SECONDS, KilledError, Line, Process, reap
from mtgen.settings import check_whole
from mtgen.waits import POLL_SECONDS, Latch, Note, Turns

MOST_STARTS = 3
"""Processes that are started where one is ended by a signal before it is ready."""

IDLE_SECONDS = 60.0
"""Processes without work for this long are ended; starting one costs an eighth of a second."""

EXIT_SECONDS = 2.0
"""Longest wait for processes to end when the interpreter does; they end by themselves afterwards."""

Setup = Callable[[Layout], bytes]
"""The frame that a process with so many threads begins with."""

_log = logging.getLogger("mtgen")


class Loan:
    """A line in the hands of one thread, and the process that it leads to."""

    def __init__(self, place: int, number: int, process: Process) -> None:
        self.place, self.number, self.process = place, number, process

    @property
    def line(self) -> Line:
        """The line."""
        return self.process.lines[self.number]


def check_num_processes(num_processes: object, num_pictures: int, num_workers: int) -> int:
    """A number of processes that can work.

    Args:
        num_processes: what the user said.
        num_pictures: inputs of the dataset that are pictures.
        num_workers: threads.

    Raises:
        PlanError: no integer >= 0, nothing to decode, fewer threads than processes, or no way to start one here.
    """
    number = check_whole("num_processes", num_processes, 0)
    if not number:
        return 0
    if not num_pictures:
        raise PlanError(
            f"num_processes={number}, but the dataset has no pictures (patches are cut by threads), and processes do "
            "nothing else: leave it out"
        )
    if num_workers < number:
        raise PlanError(
            f"num_processes={number} with num_workers={num_workers}: each process is asked by a thread at least; give "
            f"num_workers={number} or more, or leave it out"
        )
    if os.name != "posix" or not sys.executable or getattr(sys, "frozen", False):
        raise PlanError(
            f"num_processes={number} needs a system like Linux or macOS and a Python interpreter to start; this is "
            f"{sys.platform} with sys.executable={sys.executable!r}: leave it out, threads do the same"
        )
    return number


def layouts(num_processes: int, num_lines: int, thread_bytes: int) -> list[Layout]:
    """The memory of each process where so many lines are spread evenly.

    Example:
        >>> [one.num_threads for one in layouts(num_processes=3, num_lines=8, thread_bytes=4096)]
        [3, 3, 2]
    """
    shares = [len(range(place, num_lines, num_processes)) for place in range(num_processes)]
    return [Layout(share, thread_bytes) for share in shares]


ALONE = -1
"""Place of a process that belongs to one thread, which wants nobody else in it."""


class Staff:
    """At most so many processes with so many lines, in one process of the user's.

    Any thread of a worker. `turn` guards all of it, for moments only: nothing is started, waited for or logged inside.

    Args:
        setup: what a process begins with.
        num_processes: >= 1.
        num_lines: threads of all processes together, at least one each.
        thread_bytes: shared memory of each.
        wanted: gives None once nobody needs the processes any more.
        stall_seconds: longest wait for a line.
    """

    _numbers = count()

    def __init__(
        self,
        setup: Setup,
        num_processes: int,
        num_lines: int,
        thread_bytes: int,
        wanted: Callable[[], object],
        stall_seconds: float,
    ) -> None:
        self.pid = os.getpid()
        self.stopped = False
        self.ended, self.wake = Latch(), Latch()
        self._setup, self._stall_seconds, self._wanted = setup, stall_seconds, wanted
        self._layouts = layouts(num_processes, num_lines, thread_bytes)
        self._alone = Layout(1, thread_bytes)
        self._turn = Turns(START_SECONDS, "look after processes")
        self._starts = [Turns(2 * START_SECONDS, "start a process") for _ in self._layouts]
        self._processes: list[Process | None] = [None] * num_processes
        self._all: dict[Process, set[int]] = {}
        lines = [(place, number) for place, one in enumerate(self._layouts) for number in range(one.num_threads)]
        # Turn by turn, so that work spreads over the processes before it fills one.
        self._free = deque(sorted(lines, key=lambda line: line[1]))
        self._changed = Latch()
        self._num_users = 0
        self._used = time.monotonic()
        self._start_keeper()

    def _start_keeper(self) -> None:
        keeper = threading.Thread(
            target=_keep, args=(self,), name=f"mtgen-{next(self._numbers)}-processes", daemon=True
        )
        _staffs[:] = [one for one in _staffs if one() is not None]
        _staffs.append(weakref.ref(self))
        try:
            keeper.start()
        except RuntimeError as error:
            raise StallError(f"no thread can be started ({error}): raise the limits on threads and memory") from error

    def lend(self, note: Note) -> Loan:
        """A line to a process that runs; to be given back.

        Raises:
            StallError: none came free, or no process can be started.
        """
        place, number = self._free_line(note)
        try:
            while True:
                process = self._running(place, note)
                with self._turn:
                    if not process.gone:
                        self._all[process].add(number)
                        return Loan(place, number, process)
        except BaseException:
            self._put_back(place, number)
            raise

    def lend_alone(self, note: Note) -> Loan:
        """A process of its own, which ends when it is given back.

        Raises:
            StallError: it cannot be started.
        """
        process = self._started(self._alone, note)
        with self._turn:
            self._all[process].add(0)
        return Loan(ALONE, 0, process)

    def _free_line(self, note: Note) -> tuple[int, int]:
        left = self._stall_seconds
        while True:
            with self._turn:
                self.check_open()
                if self._free:
                    return self._free.popleft()
                changed = self._changed
            note("wait for a process")
            if left <= 0:
                raise StallError(f"no process for pictures came free for {self._stall_seconds:g} s")
            changed.wait(POLL_SECONDS)
            left -= POLL_SECONDS

    def _running(self, place: int, note: Note) -> Process:
        with self._starts[place]:
            process = self._processes[place]
            if process is None or process.gone:
                process = self._processes[place] = self._started(self._layouts[place], note)
            return process

    def _started(self, layout: Layout, note: Note) -> Process:
        self.check_open()
        note("start a process")
        reap()
        process = self._new_process(layout)
        with self._turn:
            self._all[process] = set()
            stopped = self.stopped
        if stopped:  # meanwhile, and whoever stopped it did not know of this one
            process.kill()
            self._part_with(process)
        self.check_open()
        return process

    def _new_process(self, layout: Layout) -> Process:
        """One that is ready; somebody may have ended it before it was."""
        for _ in range(MOST_STARTS - 1):
            try:
                return Process(self._setup(layout), layout)
            except KilledError as error:
                self.check_open()
                _log.warning("%s; another one is started", error.message)
        return Process(self._setup(layout), layout)

    def give_back(self, loan: Loan) -> None:
        """The line is free again; where its process is gone, the next one to take it gets another."""
        loan.line.rows = ()
        with self._turn:
            lines = self._all.get(loan.process, set())
            lines.discard(loan.number)
            done = loan.process.gone and not lines
        if loan.place == ALONE:
            loan.process.kill()
            self._part_with(loan.process)
        else:
            self._put_back(loan.place, loan.number)
            if done:
                self._part_with(loan.process)

    def _put_back(self, place: int, number: int) -> None:
        with self._turn:
            self._free.append((place, number))
            changed, self._changed = self._changed, Latch()
        changed.set()

    def _part_with(self, process: Process) -> None:
        """Nobody uses it any more: close what leads there, once."""
        with self._turn:
            process.gone = True
            known = self._all.pop(process, None) is not None
        if known:
            process.end()
            process.close()

    def lost(self, process: Process, why: str = "") -> str:
        """A process that ended, or is ended now because of `why`: no more lines of it are lent.

        Returns:
            How it ended.
        """
        with self._turn:
            first, process.gone = not process.gone, True
            rows = [row for number in sorted(self._all.get(process, ())) for row in process.lines[number].rows]
            stopped = self.stopped
        if why:
            process.kill()
        how = process.end()
        if first and not stopped:
            _log.warning(
                "process %d for pictures %s%s; another one takes its place and reads its rows again: %s",
                process.pid,
                how,
                f" because {why}" if why else "",
                ", ".join(map(str, rows)) or "none",
            )
        return how

    def check_open(self) -> None:
        """Refuse to go on once the processes were told to end.

        Raises:
            StallError: they were.
        """
        if self.stopped:
            raise StallError("the loader was closed while this batch was in work; ask for it again")

    def stays(self) -> bool:
        """Whether it was not told to end; if so, it will not retire before the caller `leaves`."""
        with self._turn:
            self._num_users += not self.stopped
            return not self.stopped

    def leaves(self) -> None:
        """Somebody for whom it stayed has no more work."""
        with self._turn:
            self._num_users -= 1
            self._used = time.monotonic()

    def retires(self) -> bool:
        """Stop where nobody had work for a long time; whether that is so."""
        with self._turn:
            # Users are counted, not lines that are lent: it takes time to start the process that a line leads to.
            if not self._num_users and time.monotonic() - self._used > IDLE_SECONDS:
                self.stopped = True
            return self.stopped

    def look_after(self) -> None:
        """Find idle processes that ended; those at work are missed by whoever waits for them."""
        with self._turn:
            idle = [process for process, lines in self._all.items() if not lines and not process.gone]
        for process in idle:
            if process.has_ended:
                self.lost(process)
                with self._turn:
                    lent = bool(self._all.get(process))
                if not lent:
                    self._part_with(process)

    def end(self) -> None:
        """End all processes; whoever waits for one sees it gone and `stopped`."""
        with self._turn:
            self.stopped = True
            processes = dict(self._all)
            for process in processes:
                process.gone = True
        for process in processes:
            process.kill()
        for process, lines in processes.items():
            process.end()
            if not lines:
                self._part_with(process)

    def stop(self, seconds: float) -> None:
        """Tell them to end and wait for it, for at most so many seconds."""
        self.wake.set()
        self.ended.wait(seconds)

    def forget(self) -> None:
        """In a forked child: let go of the parent's connections, so that its processes end with the parent."""
        for process in list(self._all):
            process.forget()

    @property
    def wanted(self) -> bool:
        """Whether somebody may need the processes yet."""
        return self._wanted() is not None

    def pids(self) -> Sequence[int]:
        """Process ids of those that run."""
        return [process.pid for process in list(self._all) if not process.gone]


def _keep(staff: Staff) -> None:
    """The thread that looks after processes until they are to end, and then ends them."""
    while not staff.wake.wait(POLL_SECONDS) and staff.wanted and not staff.retires():
        staff.look_after()
    staff.end()
    staff.ended.set()


_staffs: list[weakref.ref[Staff]] = []
"""All that may have processes, for the exit hook."""


def _stop_all() -> None:
    """End all processes before the interpreter does."""
    staffs = [staff for staff in (one() for one in _staffs) if staff is not None]
    for staff in staffs:
        if staff.pid == os.getpid():
            staff.wake.set()
        else:
            staff.forget()
    left = EXIT_SECONDS
    for staff in staffs:
        if staff.pid == os.getpid() and left > 0:
            started = time.monotonic()
            staff.ended.wait(left)
            left -= time.monotonic() - started


atexit.register(_stop_all)
