"""Read files by their descriptor: one open, and the size and time of the very file that was read.

A name may point to another file a moment later; a descriptor never does. So what `os.fstat` says of it belongs to the
bytes that are read from it, and a file that is replaced, cut or extended meanwhile is noticed, never mixed.

Every call goes through the module `os`. Python itself repeats calls that a signal interrupts (PEP 475).
"""

from __future__ import annotations

import errno
import os
import stat
from typing import BinaryIO, Self

from mtgen.errors import ChangedError
from mtgen.waits import Note, silent

# Without O_NONBLOCK opening a pipe waits for a writer, perhaps for ever; for regular files it means nothing.
NO_WAITING = getattr(os, "O_NONBLOCK", 0)
_FLAGS = os.O_RDONLY | NO_WAITING | sum(getattr(os, name, 0) for name in ("O_CLOEXEC", "O_BINARY"))

PIECE_BYTES = 1 << 20
"""Bytes that are hashed at a time."""


class NoPlainFileError(OSError):
    """A pipe or a device in place of a regular file."""


def open_plain(path: str | os.PathLike[str], *, pipes: bool = False) -> BinaryIO:
    """Open a regular file for reading; a pipe or device in its place is refused, where `open` would wait for ever.

    Args:
        path: of the file.
        pipes: take these too; one that nobody writes to is empty.

    Raises:
        NoPlainFileError: it is no regular file.
        OSError: it cannot be opened.
    """

    def opener(name: str, flags: int) -> int:
        handle = os.open(name, flags | NO_WAITING)
        mode = os.fstat(handle).st_mode
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):  # of a folder `open` itself says so
            if not pipes:
                os.close(handle)
                raise NoPlainFileError(errno.EINVAL, "a pipe or a device, and no file", os.fspath(path))
            os.set_blocking(handle, True)
        return handle

    return open(path, "rb", opener=opener)


def read_plain(path: str | os.PathLike[str]) -> bytes:
    """All bytes of a regular file; see `open_plain`.

    Raises:
        OSError: it cannot be read, or is no regular file.

    Example:
        >>> read_plain("data_samples/digits/table.csv")[:10]
        b'id,imgpath'
    """
    with open_plain(path) as file:
        return file.read()


class OpenFile:
    """A file open for reading, by descriptor; use it as `with OpenFile(path) as file:`.

    One thread.

    Args:
        path: the file.

    Attributes:
        stat: what `os.fstat` said when it was opened.

    Raises:
        OSError: it cannot be opened. A folder or pipe can be: look at `is_regular`.

    Example:
        >>> with OpenFile("data_samples/digits/table.csv") as file:
        ...     file.read_whole()[:10], file.is_regular
        (b'id,imgpath', True)
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._descriptor = os.open(path, _FLAGS)
        try:
            self.stat = os.fstat(self._descriptor)
        except BaseException:
            os.close(self._descriptor)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        os.close(self._descriptor)

    @property
    def is_regular(self) -> bool:
        """Whether it is a regular file: no folder, pipe or device."""
        return stat.S_ISREG(self.stat.st_mode)

    def read(self, num_bytes: int) -> bytes:
        """The next bytes, all of them; the caller owns them.

        Raises:
            OSError: the system cannot read.
            ChangedError: the file ends before.
        """
        if num_bytes <= 0:
            return b""
        first = os.read(self._descriptor, num_bytes)
        if len(first) == num_bytes:
            return first
        pieces, missing = [first], num_bytes - len(first)
        while missing and pieces[-1]:
            pieces.append(os.read(self._descriptor, missing))
            missing -= len(pieces[-1])
        if missing:
            raise ChangedError(
                f"the file became shorter while it was read: it had {self.stat.st_size:,} bytes, {missing:,} of them "
                "are gone. Let nobody write to the dataset while it is read",
                path=self.path,
            )
        return b"".join(pieces)

    def read_whole(self) -> bytes:
        """The whole file from its beginning; nothing may have been read before.

        Raises:
            OSError: the system cannot read.
            ChangedError: the file changed meanwhile.
        """
        data = self.read(self.stat.st_size)
        self.check_ended()
        return data

    def go_to(self, place: int) -> None:
        """Read on from a byte, 0-based."""
        os.lseek(self._descriptor, place, os.SEEK_SET)

    def check_ended(self) -> None:
        """Refuse a file that goes on, or that `check_same` refuses.

        Raises:
            ChangedError: it changed while it was read.
        """
        self.check_same(more=bool(os.read(self._descriptor, 1)))

    def check_same(self, more: bool = False) -> None:
        """Refuse a file whose size or time is another one than when it was opened, or that has `more`.

        Raises:
            ChangedError: it changed while it was read.
        """
        now = os.fstat(self._descriptor)
        if more or (now.st_size, now.st_mtime_ns) != (self.stat.st_size, self.stat.st_mtime_ns):
            raise ChangedError(
                f"the file was written to while it was read: it had {self.stat.st_size:,} bytes, now it has "
                f"{now.st_size:,}. Let nobody write to the dataset while it is read",
                path=self.path,
            )


def hash_file(path: str, note: Note = silent) -> tuple[os.stat_result, bytes]:
    """What the system says of a file, and the xxh3_128 of its content, read in pieces.

    Any thread; waits and hashes without the GIL.

    Args:
        path: the file.
        note: told before each piece, so that a file that hangs is known from one that is large.

    Returns:
        The stat of the file that was read, and 16 bytes, most significant first.

    Raises:
        OSError: it cannot be read, or is no regular file.
        ChangedError: it changed while it was read.
    """
    import xxhash

    state = xxhash.xxh3_128()
    note(f"open {path}")
    with OpenFile(path) as file:
        if not file.is_regular:
            code = errno.EISDIR if stat.S_ISDIR(file.stat.st_mode) else errno.EINVAL
            raise OSError(code, "it is no regular file, but a folder, pipe or device")
        left = file.stat.st_size
        while left:
            note(f"hash {path}")
            piece = file.read(min(left, PIECE_BYTES))
            state.update(piece)
            left -= len(piece)
        file.check_ended()
    return file.stat, state.digest()


def too_many_files(error: OSError) -> str | None:
    """What to do about too many open files; None for any other error.

    Example:
        >>> print(too_many_files(OSError(errno.ENOENT, "no such file")))
        None
    """
    if error.errno not in (errno.EMFILE, errno.ENFILE):
        return None
    limit = "the system"
    if error.errno == errno.EMFILE and os.name != "nt":
        import resource

        limit = f"this process (at most {resource.getrlimit(resource.RLIMIT_NOFILE)[0]:,})"
    return (
        f"too many open files for {limit}. mtgen holds one file per worker while it reads, so num_workers bounds its "
        "share. Raise the limit (ulimit -n), close what else is open, or use fewer workers"
    )
