"""Room for pictures while they are decoded: at full size they may be a thousand times larger than their slot."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from mtgen.errors import PlanError, StallError
from mtgen.waits import LOCK_SECONDS, POLL_SECONDS, Latch


class Room:
    """Bytes that threads take and give back; who finds too few left waits, first come, first served.

    Any thread. A thread takes once at a time, so somebody can always go on. In turn, because who needs much would find
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

    @property
    def num_free(self) -> int:
        """Bytes left now."""
        return self.num_bytes - sum(list(self._taken.values()))

    @contextmanager
    def take(self, num_bytes: int) -> Iterator[None]:
        """Hold so many bytes for the block.

        Raises:
            PlanError: more than there is at all.
            StallError: others did not give back in time.
        """
        if num_bytes > self.num_bytes:
            raise PlanError(
                f"a picture that takes {num_bytes:,} bytes while it is decoded, and memory= leaves {self.num_bytes:,} "
                "for that: give more memory, a smaller batch_size, a smaller Prefetch, or take the recipe 'fast', "
                "which decodes JPEG pictures at a reduced size"
            )
        if self._pid != os.getpid():
            self._start_afresh()
        mine = object()
        try:
            self._wait(mine, num_bytes)
            yield
        finally:
            # By name, so that an interrupt at any place gives back what was taken and no more.
            with self._lock:
                self._waiting.pop(mine, None)
                self._taken.pop(mine, None)
                self._tell()

    def _tell(self) -> None:
        """Let those that wait look again; under the lock."""
        changed, self._changed = self._changed, Latch()
        changed.set()

    def _wait(self, mine: object, num_bytes: int) -> None:
        left = self._stall_seconds
        while True:
            with self._lock:
                self._waiting.setdefault(mine)
                if next(iter(self._waiting)) is mine and num_bytes <= self.num_free:
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
