"""Make a folder that a reader sees whole or not at all, and that survives a power cut once it is there."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mtgen.errors import StoreError


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """A temporary folder that takes the place `target` at the end, or vanishes on any exception."""
    if os.path.lexists(target):
        raise StoreError(
            "it exists already, nothing is overwritten: remove it or choose another path", path=str(target)
        )
    folder = target.with_name(f".{target.name}.{uuid.uuid4().hex}.partial")
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
        shutil.rmtree(target if renamed else folder, ignore_errors=True)
        if isinstance(error, OSError) and not isinstance(error, StoreError):
            raise StoreError(
                f"writing it failed ({error}), nothing of it was kept: check space and rights", path=str(target)
            ) from error
        raise


def write_file(path: Path, content: bytes) -> None:
    """Write a new file and flush it to disk."""
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Flush the names in a folder to disk; Windows has no such call."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def replace_file(target: Path, content: bytes) -> None:
    """Write a file that a reader sees whole, and in whose place the old one stays until the new one is on disk.

    Raises:
        OSError: writing failed; the old file is as it was, and nothing else is left.
    """
    name = f".{target.name}.{uuid.uuid4().hex}"
    new, old = target.with_name(f"{name}.partial"), target.with_name(f"{name}.old.partial")
    replaced = False
    try:
        write_file(new, content)
        if target.exists():
            os.link(target, old)  # a second name: the old file can be put back when the folder cannot be flushed
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
        new.unlink(missing_ok=True)
        old.unlink(missing_ok=True)
