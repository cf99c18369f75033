"""Room for pictures while they are decoded: at full size they may be a thousand times larger than their slot."""

from __future__ import annotations

import os
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

from mtgen.errors import PlanError, StallError
from mtgen.waits import LOCK_SECONDS, POLL_SECONDS, Latch

FILE_BYTES = 1 << 20
"""A file up to this size is read without asking; one per worker at a time."""


class _File(NamedTuple):
    """The one large file that is in memory: who took it, in which thread, and its size."""

    mine: object
    ident: int
    num_bytes: int


class Room:
    """Bytes that threads take and give back; who finds too few left waits, first come, first served.

    Any thread. A thread takes once at a time, so somebody can always go on; who holds a large file takes once more for
    its picture, before all others, and there is one such file at a time. In turn, because who needs much would find
    too little for ever where others take a little again and again. A forked child starts with all of it.

    Args:
        num_bytes: all there is.
        stall_seconds: longest wait.

    Example:
        >>> room = Room(100)
        >>> with room.take(70):
        ...     room.num_free
        30
    """

    def __init__(self, num_bytes: int, stall_seconds: float = LOCK_SECONDS) -> None:
        self.num_bytes, self._stall_seconds = num_bytes, stall_seconds
        self._start_afresh()

    def _start_afresh(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._taken: dict[object, int] = {}
        self._waiting: dict[object, None] = {}
        self._changed = Latch()
        self._file: _File | None = None

    @property
    def num_free(self) -> int:
        """Bytes left now."""
        return self.num_bytes - sum(list(self._taken.values()))

    @contextmanager
    def file(self) -> Iterator[Callable[[int], None]]:
        """For a block in which a file is read and decoded: gives what to call with its size before it is read.

        Small files are taken for nothing. What is called raises as `take` does, and may be called again.
        """
        with ExitStack() as held:

            def admit(num_bytes: int) -> None:
                held.close()
                if num_bytes > FILE_BYTES:
                    held.enter_context(self.take(num_bytes, file=True))
                    held.push(_let_go)

            yield admit

    @contextmanager
    def take(self, num_bytes: int, *, file: bool = False) -> Iterator[None]:
        """Hold so many bytes for the block.

        Args:
            num_bytes: how many.
            file: they are those of a file; the same thread may take once more for its picture.

        Raises:
            PlanError: more than there is at all.
            StallError: others did not give back in time.
        """
        mine, one = object(), self._file
        beside = one.num_bytes if one is not None and one.ident == threading.get_ident() else 0
        if file and num_bytes > self.num_bytes:
            raise PlanError(
                f"a file of {num_bytes:,} bytes, and memory= leaves {self.num_bytes:,} for it and its picture: give "
                "more memory, a smaller batch_size or a smaller Prefetch, or store the picture without what is not "
                "the picture"
            )
        if num_bytes > self.num_bytes - beside:
            raise PlanError(
                f"a picture that takes {num_bytes:,} bytes while it is decoded"
                + (f", beside its file of {beside:,}" if beside else "")
                + f", and memory= leaves {self.num_bytes:,} "
                "for that: give more memory, a smaller batch_size, a smaller Prefetch, or take the recipe 'fast', "
                "which decodes JPEG pictures at a reduced size"
            )
        if self._pid != os.getpid():
            self._start_afresh()
        try:
            self._wait(mine, num_bytes, file, bool(beside))
            yield
        finally:
            # By name, so that an interrupt at any place gives back what was taken and no more.
            with self._lock:
                self._waiting.pop(mine, None)
                self._taken.pop(mine, None)
                if self._file is not None and self._file.mine is mine:
                    self._file = None
                self._tell()

    def _tell(self) -> None:
        """Let those that wait look again; under the lock."""
        changed, self._changed = self._changed, Latch()
        changed.set()

    def _wait(self, mine: object, num_bytes: int, file: bool, before_all: bool) -> None:
        left = self._stall_seconds
        while True:
            with self._lock:
                self._waiting.setdefault(mine)
                is_next = before_all or (next(iter(self._waiting)) is mine and not (file and self._file))
                if is_next and num_bytes <= self.num_free:
                    self._file = _File(mine, threading.get_ident(), num_bytes) if file else self._file
                    self._taken[mine] = num_bytes
                    self._waiting.pop(mine)
                    self._tell()  # the next one may fit too
                    return
                changed = self._changed
            if left <= 0:
                raise StallError(
                    f"no room to decode a picture of {num_bytes:,} bytes for {self._stall_seconds:g} s: other "
                    f"threads hold {self.num_bytes - self.num_free:,} of {self.num_bytes:,}; give more memory, fewer "
                    "workers, or Prefetch(stall_seconds=...) more time"
                )
            piece, started = min(POLL_SECONDS, left), time.monotonic()
            changed.wait(piece)
            # At most the piece: a process that was stopped meanwhile did not wait.
            left -= min(piece, time.monotonic() - started)


def _let_go(kind: object, error: BaseException | None, trace: object) -> None:
    """An error keeps what the functions that it came through had in hand: here a large file."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__
