"""The files of a sharded array: few are open at a time, and their indexes are checked once.

A file is closed when nobody refers to it any more. So a thread that reads from one that another thread just put out of
the list reads on, and no lock is needed.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np

from mtgen.errors import StoreError
from mtgen.files import too_many_files
from mtgen.many_reads import LEAST_READS, read_places

MOST_FILES = 128
"""Open files of one store, at most, besides those that threads are just reading."""

RESIDUE = 0x48674BC7
"""CRC32C of any bytes followed by their own CRC32C, little-endian: the residue of the polynomial (RFC 3720, B.4, gives
it in the other order of bits)."""

CRC_BYTES = 4
ENTRY_BYTES = 16

_FLAGS = os.O_RDONLY | sum(getattr(os, name, 0) for name in ("O_CLOEXEC", "O_NONBLOCK", "O_BINARY"))


class ShardFile:
    """One shard, open for reading; closed when the last reference is gone.

    Any thread; `os.pread` has no place in the file that threads could share.

    Args:
        path: the file.
        lost: says what is lost with it, for messages.

    Raises:
        FileNotFoundError: it is not there.
        OSError: it cannot be opened, or is no regular file.
    """

    def __init__(self, path: str, lost: str, location: str) -> None:
        self.descriptor = -1
        self.path, self.lost, self.location = path, lost, location
        self.descriptor = os.open(path, _FLAGS)
        found = os.fstat(self.descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise OSError("it is no regular file, but a folder, pipe or device")
        self.size = found.st_size
        if hasattr(os, "posix_fadvise"):
            # Rows are wanted at random: reading ahead would read a shard many times over.
            os.posix_fadvise(self.descriptor, 0, 0, os.POSIX_FADV_RANDOM)

    def __del__(self, close: Callable[[int], None] = os.close) -> None:
        if self.descriptor >= 0:
            close(self.descriptor)

    def read(self, offset: int, num_bytes: int) -> bytes:
        """Bytes from a place on, all of them.

        Raises:
            StoreError: the file cannot be read, or ends before.
        """
        return read_all([self], [offset], [num_bytes])[0]

    def broken(self, what: str) -> StoreError:
        """The error of a damaged file."""
        return StoreError(
            f"shard file {self.path} is broken: {what}; it holds {self.lost}: copy the store again, or pack it anew",
            path=self.location,
        )


def read_all(files: list[ShardFile], offsets: list[int], lengths: list[int]) -> list[bytes]:
    """Bytes at many places, each of its own file.

    The loop over the system calls is in C, and each waits without the GIL.

    Raises:
        StoreError: a file cannot be read, or ends before; the text names it.
    """
    try:
        contents = list(map(os.pread, [file.descriptor for file in files], lengths, offsets))
    except OSError:
        contents = [b""] * len(files)  # which file it was only shows one by one
    if list(map(len, contents)) != lengths:
        for number, content in enumerate(contents):
            if len(content) != lengths[number]:
                contents[number] = _complete(files[number], offsets[number], lengths[number], content)
    return contents


def read_into(files: list[ShardFile], offsets: list[int], targets: list[np.ndarray], tails: np.ndarray) -> None:
    """Bytes at many places into the callers' buffers: first each target, then its tail; otherwise as `read_all`.

    Args:
        files: one per place.
        offsets: places in the files.
        targets: uint8, contiguous, all of one size.
        tails: uint8 `(n, size)`, what follows.

    Raises:
        StoreError: a file cannot be read, or ends before; the text names it.
    """
    if not targets:
        return
    wanted = len(targets[0]) + tails.shape[1]
    handles = [file.descriptor for file in files]
    found = _read_at_once(handles, offsets, targets, tails)
    numbers = [] if found is None else found.tolist()
    if found is None and hasattr(os, "preadv"):
        try:
            buffers: Any = zip(targets, tails, strict=True)
            numbers = list(map(os.preadv, handles, buffers, offsets))
        except OSError:
            numbers = []
    for number, file in enumerate(files):
        if number >= len(numbers) or numbers[number] != wanted:
            content = np.frombuffer(_complete(file, offsets[number], wanted, b""), np.uint8)
            targets[number][:], tails[number] = content[: len(targets[number])], content[len(targets[number]) :]


def _read_at_once(
    handles: list[int], offsets: list[int], targets: list[np.ndarray], tails: np.ndarray
) -> np.ndarray | None:
    if len(targets) < LEAST_READS:
        return None
    places = np.arange(len(targets), dtype=np.uint64)
    vectors = np.empty((len(targets), 2, 2), np.uint64)  # address and length of target and tail
    vectors[:, 0, 0] = [target.ctypes.data for target in targets]
    vectors[:, 1, 0] = np.uint64(tails.ctypes.data) + np.uint64(tails.strides[0]) * places
    vectors[:, :, 1] = len(targets[0]), tails.shape[1]
    addresses = np.uint64(vectors.ctypes.data) + np.uint64(vectors.strides[0]) * places
    return read_places(handles, offsets, addresses, 2, iovecs=True)


def _complete(file: ShardFile, offset: int, length: int, content: bytes) -> bytes:
    """The system may give less than was asked for; at the end of a file it gives nothing."""
    parts = [content]
    missing = length - len(content)
    while missing:
        try:
            part = os.pread(file.descriptor, missing, offset + length - missing)
        except OSError as error:
            raise StoreError(
                f"shard file {file.path} cannot be read at byte {offset:,} ({error}); it holds {file.lost}: check the "
                "disk",
                path=file.location,
            ) from error
        if not part:
            raise file.broken(
                f"it ends {missing:,} bytes before the end of a read of {length:,} at byte {offset:,}; it had "
                f"{file.size:,} bytes when it was opened (truncated?)"
            )
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)


class ShardFiles:
    """The open shards of one array.

    Any thread.

    Args:
        folder: the array's folder.
        key_of: name of a shard's file in it.
        lost_with: what is lost with a shard, in words.
        location: name for messages.
    """

    def __init__(
        self, folder: Path, key_of: Callable[[int], str], lost_with: Callable[[int], str], location: str
    ) -> None:
        self.folder, self.location = folder, location
        self._key_of, self._lost_with = key_of, lost_with
        self._files: dict[int, ShardFile] = {}
        self._closed = False

    def path(self, shard: int) -> str:
        """File of a shard."""
        return os.path.join(self.folder, self._key_of(shard))

    def get(self, shard: int) -> ShardFile:
        """The open file of a shard, kept while there is room.

        Raises:
            FileNotFoundError: it is not there.
            StoreError: it cannot be opened.
        """
        found = self._files.get(shard)
        return self._open(shard) if found is None else found

    def get_all(self, shards: Iterable[int]) -> list[ShardFile]:
        """The open file of each shard; see `get`."""
        return list(map(self.get, shards))

    def _open(self, shard: int) -> ShardFile:
        path = self.path(shard)
        try:
            file = ShardFile(path, self._lost_with(shard), self.location)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise StoreError(
                f"shard file {path} cannot be opened ({too_many_files(error) or error}); it holds "
                f"{self._lost_with(shard)}: check the disk and rights",
                path=self.location,
            ) from error
        for oldest in list(self._files)[: max(0, len(self._files) + 1 - MOST_FILES)]:
            self._files.pop(oldest, None)
        if self._closed:
            return file
        return self._files.setdefault(shard, file)

    def lost_shard(self, shard: int) -> StoreError:
        """The error of a file that must be there."""
        return StoreError(
            f"shard file {self.path(shard)} is missing; mtgen wrote one for all rows, this one held "
            f"{self._lost_with(shard)}: copy the store again, or pack it anew",
            path=self.location,
        )

    def close(self) -> None:
        """Close the files that nobody is reading from; the others are closed when they were read."""
        self._closed = True
        self._files.clear()


def read_index(file: ShardFile, num_entries: int) -> np.ndarray:
    """The index of a shard, uint64 `(num_entries, 2)` of offset and length, after comparing its checksum.

    Raises:
        StoreError: the file is too short for it, cannot be read, or its index is damaged.
    """
    import google_crc32c

    num_bytes = num_entries * ENTRY_BYTES + CRC_BYTES
    if num_bytes > file.size:
        raise file.broken(
            f"it has {file.size:,} bytes, the index of its {num_entries:,} blocks alone takes {num_bytes:,} "
            "(truncated?)"
        )
    content = file.read(file.size - num_bytes, num_bytes)
    if google_crc32c.value(content) != RESIDUE:
        raise file.broken("the checksum of its index is wrong")
    return np.frombuffer(content, "<u8", num_entries * 2).reshape(-1, 2)


def read_entries(file: ShardFile, num_entries: int, blocks: np.ndarray) -> np.ndarray:
    """Some entries of an index whose checksum was right before, uint64 `(n, 2)`."""
    start = file.size - num_entries * ENTRY_BYTES - CRC_BYTES
    places = (start + blocks * ENTRY_BYTES).tolist()
    contents = read_all([file] * len(places), places, list(repeat(ENTRY_BYTES, len(places))))
    return np.frombuffer(b"".join(contents), "<u8").reshape(-1, 2)
