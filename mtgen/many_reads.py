"""Read many places of files by one call into the system, which gives the interpreter's lock away once.

A loop over `os.pread` gives the lock away and takes it back for each read. Where two threads do so, and a read takes a
few microseconds because the pages are in memory, they spend more time on handing the lock to each other than on
reading. docs/decisions/0014-many-reads.md has what it gave.

This is Linux's `io_submit` (kernel AIO) by `ctypes`. For files read through the page cache the kernel does the reads
within the call; it is not used to have them done later. Where the system has no such call, or forbids it, there is
`None`, and the caller reads one by one. Structures and numbers: linux/aio_abi.h, asm/unistd.h.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import sys
from collections import deque
from contextlib import suppress
from typing import Any

import numpy as np

LEAST_READS = 16
"""Fewer are read one by one: the call costs some 30 microseconds of Python."""

MOST_READS = 64
"""Reads of one call; the kernel keeps room for as many per context, out of 65,536 for all processes by default. There
are as many contexts as threads that ever read at the same time."""

_PREAD, _PREADV = 0, 7

_IOCB = np.dtype(
    {
        "names": ["data", "opcode", "handle", "buffer", "length", "offset"],
        "formats": ["<u8", "<u2", "<u4", "<u8", "<u8", "<i8"],
        "offsets": [0, 16, 20, 24, 32, 40],
        "itemsize": 64,
    }
)
_EVENT = np.dtype([("data", "<u8"), ("object", "<u8"), ("result", "<i8"), ("result2", "<i8")])

_CALLS = {"x86_64": (206, 207, 208, 209), "aarch64": (0, 1, 4, 2)}
"""Numbers of io_setup, io_destroy, io_getevents and io_submit."""


_FORBIDDEN = {errno.ENOSYS, errno.EPERM, errno.EACCES, errno.EINVAL, errno.EOPNOTSUPP}


class _Refused(Exception):
    """The system has no such calls, or forbids them."""


class _Busy(Exception):
    """The system has no room for one more just now."""


class _Context:
    """The kernel's side of the reads of one call at a time."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self._handle = ctypes.c_ulong(0)
        self._blocks = np.zeros(MOST_READS, _IOCB)
        self._places = self._blocks.ctypes.data + _IOCB.itemsize * np.arange(MOST_READS, dtype=np.uint64)
        self._events = np.zeros(MOST_READS, _EVENT)
        self._setup, self._destroy, self._getevents, self._submit = _CALLS[platform.machine()]
        self._call: Any = ctypes.CDLL(None, use_errno=True).syscall
        self._call.restype = ctypes.c_long
        if self._call(ctypes.c_long(self._setup), ctypes.c_ulong(MOST_READS), ctypes.byref(self._handle)):
            raise (_Refused if ctypes.get_errno() in _FORBIDDEN else _Busy)(os.strerror(ctypes.get_errno()))

    def read(self, opcode: int, handles: Any, offsets: Any, addresses: Any, lengths: Any, num: int) -> np.ndarray:
        """Bytes read per place, or minus an error number; at most `MOST_READS` of them."""
        blocks = self._blocks[:num]
        blocks["data"], blocks["opcode"] = np.arange(num), opcode
        blocks["handle"], blocks["offset"] = handles, offsets
        blocks["buffer"], blocks["length"] = addresses, lengths
        results = np.full(num, -errno.EIO, np.int64)
        begun = 0
        try:
            while begun < num:
                place = ctypes.c_void_p(self._places.ctypes.data + self._places.itemsize * begun)
                found = self._call(ctypes.c_long(self._submit), self._handle, ctypes.c_long(num - begun), place)
                if found <= 0:
                    if begun == 0 and ctypes.get_errno() in _FORBIDDEN:
                        raise _Refused(os.strerror(ctypes.get_errno()))
                    break  # the others are read one by one
                begun += found
            self._collect(results, begun)
        except BaseException:
            self.close()  # the kernel must not write into a buffer that is let go
            raise
        return results

    def _collect(self, results: np.ndarray, num: int) -> None:
        """Wait for the reads that were begun, and note how they ended."""
        seen = 0
        while seen < num:
            address = ctypes.c_void_p(self._events.ctypes.data)
            wanted = ctypes.c_long(num - seen)
            found = self._call(ctypes.c_long(self._getevents), self._handle, wanted, wanted, address, None)
            if found < 0:
                if ctypes.get_errno() == errno.EINTR:
                    continue
                raise _Refused(os.strerror(ctypes.get_errno()))
            events = self._events[:found]
            results[events["data"].astype(np.int64)] = events["result"]
            seen += found

    def close(self) -> None:
        """Wait for what is under way, and let the kernel forget it."""
        if self._handle.value and self.pid == os.getpid():
            handle, self._handle = self._handle, ctypes.c_ulong(0)
            self._call(ctypes.c_long(self._destroy), handle)


_idle: deque[_Context] = deque()
"""Contexts that nobody uses now. They stay until the process ends: to let one go takes the kernel 30 milliseconds."""

_possible = (
    sys.platform == "linux"
    and sys.byteorder == "little"
    and ctypes.sizeof(ctypes.c_void_p) == 8
    and platform.machine() in _CALLS
)


def read_places(handles: Any, offsets: Any, addresses: Any, lengths: Any, *, iovecs: bool = False) -> np.ndarray | None:
    """Read from many places into many places, all in one call.

    Any thread, many at once. The caller keeps the memory that is written to until this returns. A file that fails, or
    ends before, shows in its own result; whoever wants to know why reads it by `os.pread`.

    Args:
        handles: file numbers, `(n,)` or one for all.
        offsets: int64 `(n,)`, places in the files.
        addresses: uint64 `(n,)`, of memory to write to; with `iovecs` of arrays of pairs of address and length.
        lengths: int64 `(n,)` or one for all, bytes; with `iovecs` numbers of pairs.
        iovecs: whether each read goes to several places.

    Returns:
        int64 `(n,)`, bytes read, or a negative number; None where there are too few for it to pay, or the system does
        not have it.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryFile() as file:
        ...     _ = file.write(bytes(range(100))); file.flush()
        ...     out = np.zeros((20, 2), np.uint8)
        ...     found = read_places(file.fileno(), np.arange(20), out.ctypes.data + 2 * np.arange(20), 2)
        >>> found is None or (found == 2).all() and out[19].tolist() == [19, 20]
        True
    """
    global _possible
    num = len(offsets)
    if not _possible or num < LEAST_READS:
        return None
    results = np.empty(num, np.int64)
    handles, addresses, lengths = (np.broadcast_to(np.asarray(one), num) for one in (handles, addresses, lengths))
    try:
        context = _taken()
        for first in range(0, num, MOST_READS):
            here = slice(first, min(first + MOST_READS, num))
            results[here] = context.read(
                _PREADV if iovecs else _PREAD,
                handles[here],
                np.asarray(offsets)[here],
                addresses[here],
                lengths[here],
                here.stop - first,
            )
    except _Busy:
        return None
    except _Refused:
        _possible = False
        return None
    _idle.append(context)
    return results


def _taken() -> _Context:
    """A context for this thread alone, until it is put back; one that is interrupted is not."""
    while _idle:
        with suppress(IndexError):  # another thread was faster
            context = _idle.pop()
            # The kernel's side belongs to a process and does not go with a fork.
            if context.pid == os.getpid():
                return context
    return _Context()
