"""Waits with a deadline, which a signal cannot spoil: what mtgen waits by, and no other way.

Python looks for signals after every call, also within `threading.Event.wait` and `with threading.Condition()`, where a
Ctrl-C at the wrong moment leaves the lock inside locked for ever, or turns into a RuntimeError. The two here are made
of single calls into C, so an interrupt comes before or after, never between (docs/decisions/0008-no-hang.md).
"""

from __future__ import annotations

import _thread
import os
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mtgen.errors import StallError

if TYPE_CHECKING:
    from typing import Self

POLL_SECONDS = 0.5
"""A wait looks up this often: whether somebody still works on what it waits for, whether its time is over."""

LOCK_SECONDS = 300.0
"""Longest wait for a lock whose owner knows no `stall_seconds`: a read of a store, which itself may take as long."""

Note = Callable[[str], None]
"""Called by a job with what it is about to do, for the report of a stall."""


def silent(what: str) -> None:
    """A note for nobody."""


class Latch:
    """Shut when made, opened once, for ever.

    Any thread may call. A stopped process (SIGSTOP, a suspended machine) does not use up a wait's time: what counts
    are the pieces of `POLL_SECONDS` that were really waited.

    Example:
        >>> latch = Latch()
        >>> latch.wait(0.001)
        False
        >>> latch.set(); latch.wait(0.001)
        True
    """

    __slots__ = ("_lock", "_open")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire(blocking=False)
        self._open = False

    def set(self) -> None:
        """Open it; opening it again does nothing."""
        self._open = True
        _release(self._lock)

    def is_set(self) -> bool:
        """Whether it is open."""
        return self._open

    def wait(self, seconds: float) -> bool:
        """Wait until it is open, for at most so many seconds; whether it is."""
        while not self._open:
            piece = min(seconds, POLL_SECONDS)
            # A waiter that is interrupted before it gives the lock on costs the others one piece, no more.
            if piece <= 0 or not self._lock.acquire(timeout=piece):
                seconds -= piece
                if seconds <= 0:
                    return self._open
            else:
                _release(self._lock)
        return True


def _release(lock: threading.Lock | Turns) -> None:
    try:
        lock.release()
    except RuntimeError:  # it was free: opened twice
        return


class Turns(_thread.RLock):  # type: ignore[misc]
    """One thread at a time, and the others wait for at most so many seconds: `with turns:`.

    Any thread. The lock is the interpreter's own; what is new is that entering has a deadline, and that an interrupt
    while entering leaves it free.

    Args:
        seconds: longest wait.
        what: what the holder does, for the message.

    Raises:
        StallError: on entering; names the thread that is inside, what it does and for how long.
    """

    seconds: float
    what: str

    def __new__(cls, seconds: float, what: str) -> Self:
        """The lock itself takes no arguments."""
        return super().__new__(cls)

    def __init__(self, seconds: float, what: str) -> None:
        self.seconds = seconds
        self.what = what
        self._holder = (0, 0.0)

    def __enter__(self) -> bool:  # type: ignore[override]
        holder = (threading.get_ident(), time.monotonic())
        try:
            entered = self.acquire(timeout=self.seconds)
            self._holder = holder if entered else self._holder
        except BaseException:
            # Interrupted; nobody knows on which side of the door.
            _release(self)
            raise
        if not entered:
            raise self._stalled()
        return entered

    # `__exit__` stays the one written in C: a Python function could be interrupted before its first line.

    def _stalled(self) -> StallError:
        ident, since = self._holder
        names = {thread.ident: thread.name for thread in threading.enumerate()}
        return StallError(
            f"no turn for {self.seconds:g} s: thread {names.get(ident, ident)} is inside to {self.what} for "
            f"{time.monotonic() - since:.1f} s. A file system may hang, or what it calls may wait for this thread"
        )


class ProcessTurns:
    """`Turns` that a forked child has free, whoever was inside in the parent: `with turns.here:`.

    Args:
        what: what the holder does, for the message.
        seconds: longest wait.
    """

    def __init__(self, what: str, seconds: float = LOCK_SECONDS) -> None:
        self._arguments = (seconds, what)
        self._of_process: dict[int, Turns] = {}

    @property
    def here(self) -> Turns:
        """This process's own."""
        found = self._of_process.get(os.getpid())
        # One that lost the race against another thread is dropped, unused.
        return found or self._of_process.setdefault(os.getpid(), Turns(*self._arguments))

    def __reduce__(self) -> tuple[Any, ...]:
        seconds, what = self._arguments
        return ProcessTurns, (what, seconds)
