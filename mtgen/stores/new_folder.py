"""Make a folder or file that a reader sees whole or not at all, and that survives a power cut once it is there.

All writing goes through `os.open`, `os.write`, `os.fsync` and `os.rename`, called as attributes of `os`: tests let each
of these calls fail in turn. A failed fsync is never tried again, because the system may have dropped the pages that it
could not write; what was to be published is withdrawn.
"""

from __future__ import annotations

import errno
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from mtgen.errors import MtgenError, StoreError

PARTIAL = ".partial"
"""End of the names of temporary folders; a writer that died leaves them, nobody else ever reads them."""


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """A temporary folder that takes the place `target` at the end, or vanishes on any exception."""
    if os.path.lexists(target):
        raise StoreError(
            "it exists already, nothing is overwritten: remove it or choose another path", path=str(target)
        )
    folder = temporary_beside(target)
    try:
        folder.mkdir()
    except OSError as error:
        raise StoreError(f"the folder cannot be made ({error}): check path and rights", path=str(target)) from error
    renamed = False
    try:
        yield folder
        if os.path.lexists(target):
            raise StoreError("it was made by someone else meanwhile, nothing is overwritten", path=str(target))
        os.rename(folder, target)
        renamed = True
        sync_folder(target.parent)
    except BaseException as error:
        room = _room(target.parent, error)
        discard(target if renamed else folder)
        if isinstance(error, OSError) and not isinstance(error, StoreError):
            raise StoreError(
                f"writing it failed ({error}), nothing of it was kept: check space and rights{room}", path=str(target)
            ) from error
        raise


def _room(folder: Path, error: BaseException) -> str:
    """What is free while the failed folder is still there, where that is what was missing."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        with suppress(OSError):
            return f" ({shutil.disk_usage(folder).free:,} bytes are free)"
    return ""


def make_folder(folder: Path, what: str) -> None:
    """Make a folder that may be there already, with those above it, and flush their names to disk.

    Args:
        folder: where.
        what: what the folder is, for the message.

    Raises:
        StoreError: it cannot be made.
    """
    try:
        missing = [one for one in (folder, *folder.parents) if not one.exists()]
        os.makedirs(folder, exist_ok=True)
        for one in missing:
            sync_folder(one.parent)
    except OSError as error:
        raise StoreError(f"{what} cannot be made ({error}): check path and rights", path=str(folder)) from error


def withdraw(folder: Path) -> None:
    """Remove a folder; under a temporary name first, so that no half of it ever stands where readers look."""
    if not folder.name.endswith(PARTIAL):
        other = temporary_beside(folder)
        os.rename(folder, other)
        folder = other
    remove_tree(folder)


def discard(folder: Path) -> None:
    """Remove what cannot be kept, by all means; when that fails too, the error that led here says more."""
    with suppress(OSError):
        withdraw(folder)
    with suppress(OSError):
        if os.path.lexists(folder):
            remove_tree(folder)


def temporary_beside(target: Path) -> Path:
    """A name of its own beside `target`, hidden, and ending in `.partial`."""
    return target.with_name(f".{target.name}.{uuid.uuid4().hex}{PARTIAL}")


class NewFile:
    """A file that is written from front to back.

    Args:
        handle: descriptor that is open for writing; the caller closes it.
    """

    def __init__(self, handle: int) -> None:
        self._handle = handle

    def write(self, content: Any) -> int:
        """Write all of a bytes-like object; returns its length in bytes."""
        left = memoryview(content).cast("B")
        length = len(left)
        while left:
            left = left[os.write(self._handle, left) :]
        return length

    def flush(self) -> None:
        """Nothing is held back."""


@contextmanager
def new_file(path: Path) -> Iterator[NewFile]:
    """A new file, flushed to disk at the end of the block; an exception in the block leaves it unfinished."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    try:
        yield NewFile(handle)
        os.fsync(handle)
    except BaseException:
        os.close(handle)
        raise
    os.close(handle)


def remove_tree(folder: Path) -> None:
    """Remove a folder with all in it; what fails once is tried once more, which an fsync never is.

    Of a link in its place the link goes, and what it leads to stays.
    """
    with suppress(OSError):
        _remove(folder)
    if os.path.lexists(folder):
        _remove(folder)


def _remove(folder: Path) -> None:
    if os.path.islink(folder) or not os.path.isdir(folder):
        os.unlink(folder)
    else:
        shutil.rmtree(folder)


def write_file(path: Path, content: bytes) -> None:
    """Write a new file and flush it to disk."""
    with new_file(path) as file:
        file.write(content)


def sync_folder(folder: Path) -> None:
    """Flush the names in a folder to disk; Windows has no such call."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _keep(path: Path, name: Path) -> None:
    """Give a file a second name, or a copy where the file system knows no second names (FAT, some network shares)."""
    try:
        os.link(path, name)
    except OSError as error:
        if error.errno not in _NO_SECOND_NAMES:
            raise
        write_file(name, path.read_bytes())


_NO_SECOND_NAMES = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


def publish_file(target: Path, content: bytes) -> None:
    """Write a file that a reader sees whole or not at all; what stands in its place already is not touched.

    Raises:
        FileExistsError: something stands there, perhaps since a moment ago.
        OSError: writing failed; nothing is left.
    """
    new = temporary_beside(target)
    published = False
    try:
        write_file(new, content)
        try:
            os.link(new, target)  # unlike a rename it never takes the place of a file
        except OSError as error:
            if error.errno not in _NO_SECOND_NAMES:
                raise
            if os.path.lexists(target):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target)) from None
            os.rename(new, target)
        published = True
        sync_folder(target.parent)
    except BaseException:
        if published:
            with suppress(OSError):
                os.unlink(target)
        raise
    finally:
        with suppress(OSError):
            os.unlink(new)


def replace_file(target: Path, content: bytes) -> None:
    """Write a file that a reader sees whole, and in whose place the old one stays until the new one is on disk.

    Raises:
        OSError: writing failed; the old file is as it was, and nothing else is left.
    """
    new = temporary_beside(target)
    try:
        write_file(new, content)
        put_in_place(new, target)
    finally:
        new.unlink(missing_ok=True)


def save_file(
    target: Path,
    content: bytes,
    what: str,
    error: type[MtgenError] = StoreError,
    *,
    remedy: str = "check space and rights",
) -> None:
    """`replace_file` for a file that somebody knows by name.

    Args:
        target: where.
        content: of the file.
        what: what the file is, for the message.
        error: the class of error.
        remedy: what to do about it, for the message.

    Raises:
        MtgenError: of the given class: writing failed; the old file is as it was, and nothing else is left.
    """
    try:
        replace_file(target, content)
    except OSError as failure:
        raise error(f"{what} cannot be written ({failure}): {remedy}", path=str(target)) from failure


def put_in_place(new: Path, target: Path) -> None:
    """Give a file that is on disk the name `target` beside it, where the old file may stand.

    Raises:
        OSError: it failed; the old file is as it was. `new` may be left.
    """
    old = target.with_name(f".{target.name}.{uuid.uuid4().hex}.old.partial")
    replaced = False
    try:
        if target.exists():
            _keep(target, old)  # to put it back when the folder cannot be flushed
        os.replace(new, target)
        replaced = True
        sync_folder(target.parent)
    except BaseException:
        if old.exists():
            os.replace(old, target)  # does nothing where both are still one file
        elif replaced:
            target.unlink(missing_ok=True)
        raise
    finally:
        old.unlink(missing_ok=True)
