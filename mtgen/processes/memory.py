"""Memory that a loader and one of its processes share: a few slots of pictures per thread, and what each is doing.

It has no name anywhere: the kernel frees it when the last of the two is gone, however that ends.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from typing import NamedTuple

import numpy as np

from mtgen.spec import Spec

_LINE_BYTES = 64
"""Bytes between two counters of progress: a cache line, so that threads do not slow each other."""

_PAGE_BYTES = 4096


class Layout(NamedTuple):
    """Where things are in the memory of one process.

    Args:
        num_threads: threads of the process; each has a counter and slots of its own.
        thread_bytes: bytes of one thread's slots.
    """

    num_threads: int
    thread_bytes: int

    @property
    def head_bytes(self) -> int:
        """Bytes before the first slot: the counters."""
        return rounded(self.num_threads * _LINE_BYTES)

    @property
    def total_bytes(self) -> int:
        """All of it."""
        return self.head_bytes + self.num_threads * self.thread_bytes


def thread_bytes(row_bytes: int, num_slots: int) -> int:
    """Bytes of the slots of one thread.

    Example:
        >>> thread_bytes(row_bytes=150 * 150 * 3, num_slots=8)
        540672
    """
    return rounded(max(1, row_bytes * num_slots))


def rounded(num_bytes: int) -> int:
    """Up to whole pages."""
    return -(-num_bytes // _PAGE_BYTES) * _PAGE_BYTES


def new_memory(num_bytes: int) -> int:
    """A descriptor of new memory, all zeros, that is there for sure: writing to it never fails.

    The caller closes it; mappings stay.

    Raises:
        OSError: there is not so much.
    """
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("mtgen", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    else:
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    try:
        os.ftruncate(descriptor, num_bytes)
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(descriptor, 0, num_bytes)
        _seal(descriptor)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _seal(descriptor: int) -> None:
    """Its size stays: where a process could cut it, the loader's next look would be a bus error."""
    if hasattr(os, "memfd_create"):
        import fcntl

        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)


class Slots:
    """One thread's part of a shared memory.

    The loader's worker and the process's thread use it in turns, as the frames between them say.

    Args:
        memory: the mapping.
        layout: where things are.
        number: which thread.

    Attributes:
        progress: int64 `(1,)`: rises with each step of the thread; see `Progress`.
    """

    def __init__(self, memory: mmap.mmap, layout: Layout, number: int) -> None:
        self.progress = np.frombuffer(memory, np.int64, 1, number * _LINE_BYTES)
        start = layout.head_bytes + number * layout.thread_bytes
        self._bytes = np.frombuffer(memory, np.uint8, layout.thread_bytes, start)

    def of(self, spec: Spec, num_slots: int) -> np.ndarray:
        """The slots as pictures: `(num_slots, *spec.shape)`, a view."""
        return self._bytes[: num_slots * spec.row_bytes].view(spec.dtype).reshape(num_slots, *spec.shape)


class Progress(NamedTuple):
    """What a thread of a process is doing.

    Args:
        place: which picture of the job.
        stage: 0 nothing, 1 read, 2 decode.
    """

    place: int
    stage: int

    @classmethod
    def of(cls, progress: np.ndarray) -> Progress:
        """Out of the number in the shared memory."""
        value = int(progress[0])
        return cls(value >> 2 & 0xFFFF, value & 3)

    @staticmethod
    def tell(progress: np.ndarray, place: int, stage: int) -> None:
        """Put into the shared memory, as a number that was not there before."""
        count = (int(progress[0]) >> 18) + 1
        progress[0] = (count & (1 << 44) - 1) << 18 | place << 2 | stage


STAGES = ("hand over", "read", "decode")
"""What `Progress.stage` means, in words."""


def mapped(descriptor: int, layout: Layout) -> mmap.mmap:
    """Map a memory; the descriptor may be closed afterwards. The mapping goes with the last array over it."""
    return mmap.mmap(descriptor, layout.total_bytes)
