"""One writer per folder: a lock with the owner's name in it, which the system frees when its process dies.

The lock is `flock` on a file `.lock`, so a process that is killed leaves no lock behind, and a number that another
process got since then does not matter. Where the file system has no `flock`, the owner written in the file decides.
"""

from __future__ import annotations

import errno
import json
import os
import socket
import weakref
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mtgen.errors import StoreError
from mtgen.waits import ProcessTurns

LOCK = ".lock"

_NO_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL}
_held: weakref.WeakValueDictionary[str, FolderLock] = weakref.WeakValueDictionary()
"""Locks of this process by folder: `flock` cannot tell an abandoned run of the same process from a living one."""
_guard = ProcessTurns("lock a folder or give it back")


def _leave_to_parent() -> None:
    """In a forked child: the system frees a lock when the last process that has its file open is gone."""
    for lock in list(_held.values()):
        lock._drop()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_to_parent)


class FolderLock:
    """The right to write into a folder.

    Any thread may call. Within one process the last one that takes it has it: a run that was interrupted in a notebook
    can be started again there, and the one before is told so when it writes.

    Args:
        folder: an existing folder.

    Example:
        >>> import tempfile
        >>> lock = FolderLock(Path(tempfile.mkdtemp()))
        >>> lock.take(); lock.is_held
        True
        >>> lock.release(); lock.is_held
        False
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / LOCK
        self._key = os.path.realpath(folder)
        self._handle: int | None = None
        self._pid = 0

    @property
    def is_held(self) -> bool:
        """Whether this object has the lock."""
        return self._handle is not None and self._pid == os.getpid()

    def take(self) -> None:
        """Get the lock, or refuse.

        Raises:
            StoreError: another living process has it, named with its number, host and since when; or the lock file
                cannot be written.
            StallError: another thread of this process is at it for too long, as on a disk that hangs.
        """
        with _guard.here:
            if self.is_held:
                return
            before = _held.pop(self._key, None)
            if before is not None and before._pid == os.getpid():
                before._drop()
            try:
                self._handle = self._locked()
            except OSError as error:
                if isinstance(error, StoreError):
                    raise
                raise StoreError(
                    f"the folder cannot be locked for writing ({error}): check that it is there and may be written to",
                    path=str(self.path),
                ) from error
            self._pid = os.getpid()
            _held[self._key] = self

    def release(self) -> None:
        """Give the lock back; nothing happens where it is not held."""
        with _guard.here:
            if self.is_held:
                with suppress(OSError):
                    os.unlink(self.path)
                _held.pop(self._key, None)
            self._drop()

    def _drop(self) -> None:
        if self._handle is not None:
            with suppress(OSError):
                os.close(self._handle)
            self._handle = None

    def __del__(self) -> None:
        self._drop()

    def _locked(self) -> int:
        while True:
            handle = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                self._lock(handle)
                if _is_at(handle, self.path):
                    os.ftruncate(handle, 0)
                    os.write(handle, _own_name())
                    return handle
            except BaseException:
                os.close(handle)
                raise
            os.close(handle)  # the owner before removed the file between our opening and locking it

    def _lock(self, handle: int) -> None:
        try:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except ImportError:
            self._ask_owner(handle)
        except BlockingIOError:
            raise self._refused(_owner(handle)) from None
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            self._ask_owner(handle)

    def _ask_owner(self, handle: int) -> None:
        owner = _owner(handle)
        if not owner or (owner.get("host") == socket.gethostname() and not _lives(owner.get("pid"))):
            return
        raise self._refused(owner)

    def _refused(self, owner: dict[str, Any]) -> StoreError:
        who = f"process {owner.get('pid', 'unknown')} on host {owner.get('host', 'unknown')}"
        return StoreError(
            f"{who} writes into this folder since {owner.get('since', 'unknown')}, and two runs in one folder would "
            "mix what they save. Wait for it, end it, or choose another folder; if it is gone, remove the file",
            path=str(self.path),
        )


def _is_at(handle: int, path: Path) -> bool:
    """Whether the open file is still the one with that name."""
    try:
        return os.path.samestat(os.fstat(handle), os.stat(path))
    except FileNotFoundError:
        return False


def _own_name() -> bytes:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "since": now}).encode() + b"\n"


def _owner(handle: int) -> dict[str, Any]:
    """What the lock file says; empty where it says nothing that can be read."""
    os.lseek(handle, 0, os.SEEK_SET)
    try:
        owner = json.loads(os.read(handle, 4096))
    except ValueError:
        return {}
    return owner if isinstance(owner, dict) else {}


def _lives(pid: object) -> bool:
    """Whether another process of that number lives on this host."""
    if not isinstance(pid, int) or pid <= 0 or pid == os.getpid():
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
