"""The files of a cache of one recipe: pictures in segments, their records in one file. Reads and writes only.

Descriptors are kept, since a picture is read in less time than a file is opened; of the segments beyond `MOST_OPEN`
they are not. All reading and writing says where (`os.preadv`, `os.pwritev`), so threads and forked children share them.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from mtgen.cache.layout import HEADER_BYTES, RECORD_BYTES, Geometry, neighbours
from mtgen.many_reads import LEAST_READS, read_places

RECORDS = "records"

MOST_OPEN = 256
"""Segments whose files stay open: 64 GiB of pictures. Others are opened for each read."""

MOST_VIEWS = 256
"""Pictures of one call; systems take 1,024 at most."""

_WRITE = os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0)


class Segments:
    """Pictures by slot.

    Any thread, many at once: two writers never get one slot, and who reads a slot has its record.

    Args:
        folder: of the recipe.
        geometry: of the segments.
    """

    def __init__(self, folder: Path, geometry: Geometry) -> None:
        self._folder, self._geometry = folder, geometry
        self._kept: dict[int, int] = {}

    def read(self, slots: np.ndarray, places: np.ndarray, out: memoryview) -> list[int]:
        """Read pictures into their places in a buffer.

        Args:
            slots: int64 `(n,)`, ascending.
            places: int64 `(n,)`, place of each in `out`, in pictures.
            out: bytes; the caller owns them.

        Returns:
            Which of the `n` could not be read, or not whole.
        """
        size, num_slots, kept = self._geometry.row_bytes, self._geometry.num_slots, self._kept
        segments, offsets = (slots // num_slots).tolist(), (slots % num_slots * size).tolist()
        starts = (places * size).tolist()
        lost: list[int] = []
        found_at_once = self._read_at_once(slots, segments, offsets, starts, out)
        if found_at_once is not None and (found_at_once == size).all():
            return lost
        for first, stop in neighbours(slots, num_slots, MOST_VIEWS):
            views = [out[start : start + size] for start in starts[first:stop]]
            try:
                handle = kept.get(segments[first])
                if handle is not None:
                    found = os.preadv(handle, views, offsets[first])
                else:
                    with self._open(segments[first]) as handle:
                        found = os.preadv(handle, views, offsets[first])
            except OSError:
                found = 0
            if found != (stop - first) * size:
                lost.extend(range(first + found // size, stop))
        return lost

    def _read_at_once(
        self, slots: np.ndarray, segments: list[int], offsets: list[int], starts: list[int], out: memoryview
    ) -> np.ndarray | None:
        """Bytes read per picture; None where it cannot be done by one call."""
        handles = [self._kept.get(segment) for segment in segments]
        if len(slots) < LEAST_READS or None in handles:
            return None
        target = np.frombuffer(out, np.uint8)
        addresses = np.uint64(target.ctypes.data) + np.array(starts, np.uint64)
        return read_places(handles, offsets, addresses, self._geometry.row_bytes)

    def write(self, first_slot: int, views: Sequence[memoryview]) -> None:
        """Write pictures into neighbouring slots of one segment that is there.

        Raises:
            OSError: the system cannot write.
        """
        segment, index = divmod(first_slot, self._geometry.num_slots)
        with self._open(segment) as handle:
            _write_all(handle, views, index * self._geometry.row_bytes)

    def make(self, segment: int) -> None:
        """Make a segment's file with room for all its slots, which takes no space yet where the system can do that.

        Raises:
            OSError: the system cannot write.
        """
        path = self._path(segment)
        os.makedirs(path.parent, exist_ok=True)
        handle = os.open(path, _WRITE, 0o666)
        try:
            os.ftruncate(handle, self._geometry.num_slots * self._geometry.row_bytes)
            index = self._geometry.shard_index()
            _write_all(handle, [memoryview(index)], self._geometry.num_slots * self._geometry.row_bytes)
        finally:
            os.close(handle)

    def is_there(self, segment: int) -> bool:
        """Whether the segment's file is there, in its full size."""
        with suppress(OSError):
            return os.stat(self._path(segment)).st_size == self._geometry.segment_bytes
        return False

    def sync(self, num_segments: int) -> None:
        """Flush all segments to disk.

        Raises:
            OSError: the system cannot.
        """
        for segment in range(num_segments):
            with self._open(segment) as handle:
                os.fsync(handle)

    def _path(self, segment: int) -> Path:
        return self._folder / self._geometry.segment_key(segment)

    @contextmanager
    def _open(self, segment: int) -> Iterator[int]:
        kept = self._kept.get(segment)
        if kept is not None:
            yield kept
            return
        handle = _open(self._path(segment))
        keep = segment < MOST_OPEN and self._kept.setdefault(segment, handle) == handle
        try:
            yield handle
        finally:
            if not keep:
                os.close(handle)

    def __del__(self) -> None:
        for handle in self._kept.values():
            with suppress(OSError):
                os.close(handle)


class Records:
    """The records of all slots, in one file behind a header.

    Any thread.

    Args:
        path: the file, which is there.

    Raises:
        OSError: it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self._handle = -1
        self._handle = _open(path)
        self.path = path

    def header(self) -> bytes:
        """The first bytes.

        Raises:
            OSError: the system cannot read.
        """
        return os.pread(self._handle, HEADER_BYTES, 0)

    @property
    def is_at_its_path(self) -> bool:
        """Whether the file is still the one with that name: nobody removed the cache and began another."""
        with suppress(OSError):
            return os.path.samestat(os.fstat(self._handle), os.stat(self.path))
        return False

    @property
    def num_slots(self) -> int:
        """Slots whose record was begun."""
        return -(-max(os.fstat(self._handle).st_size - HEADER_BYTES, 0) // RECORD_BYTES)

    def read(self, first_slot: int, num_slots: int) -> np.ndarray:
        """The records of neighbouring slots, uint64 `(n, 8)`; fewer where the file ends before.

        Raises:
            OSError: the system cannot read.
        """
        content = os.pread(self._handle, num_slots * RECORD_BYTES, HEADER_BYTES + first_slot * RECORD_BYTES)
        whole = len(content) // RECORD_BYTES * RECORD_BYTES
        return np.frombuffer(content[:whole], "<u8").reshape(-1, RECORD_BYTES // 8)

    def write(self, first_slot: int, words: np.ndarray) -> None:
        """Write the records of neighbouring slots.

        Raises:
            OSError: the system cannot write.
        """
        _write_all(self._handle, [memoryview(words.tobytes())], HEADER_BYTES + first_slot * RECORD_BYTES)

    def sync(self) -> None:
        """Flush to disk.

        Raises:
            OSError: the system cannot.
        """
        os.fsync(self._handle)

    def __del__(self) -> None:
        if self._handle >= 0:
            with suppress(OSError):
                os.close(self._handle)


def _open(path: Path) -> int:
    """Open a file that is there, for writing too where that is allowed."""
    more = getattr(os, "O_CLOEXEC", 0)
    try:
        return os.open(path, os.O_RDWR | more)
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise
    return os.open(path, os.O_RDONLY | more)


def _write_all(handle: int, views: Sequence[Any], offset: int) -> None:
    """Write all of some bytes one after the other, at a place."""
    for first in range(0, len(views), MOST_VIEWS):
        left = [memoryview(view) for view in views[first : first + MOST_VIEWS]]
        while left:
            written = os.pwritev(handle, left, offset)
            offset += written
            while left and written >= len(left[0]):
                written -= len(left.pop(0))
            if left and written:
                left[0] = left[0][written:]
