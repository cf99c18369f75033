"""Append lines to the files of a run, and cut off those that a resumed run makes anew.

A line that a checkpoint knows of is on disk before the checkpoint is. What a killed process wrote after it, half lines
too, is dropped when the run is resumed, so that the files become those of a run that was never killed.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from mtgen.errors import StoreError
from mtgen.stores.new_folder import NewFile, sync_folder

_LINE_BREAK = ord("\n")


def kept_length(content: bytes, num_lines: int) -> int:
    r"""Bytes of the first lines of a file, their line breaks included. Pure.

    Args:
        content: of the file, with at least so many whole lines.
        num_lines: >= 0.

    Example:
        >>> kept_length(b"step,loss\n4,1\n8,1\n9,", 2)
        14
    """
    if not num_lines:
        return 0
    return int(np.flatnonzero(np.frombuffer(content, np.uint8) == _LINE_BREAK)[num_lines - 1]) + 1


def append(path: Path, content: bytes, *, flush: bool = False) -> None:
    """Append whole lines to a file, which is made if it is not there: all of them or none.

    Args:
        path: the file.
        content: lines, each with its line break; may be empty.
        flush: to disk too, with all that was appended before.

    Raises:
        StoreError: it cannot be written; the file is as it was.
    """
    try:
        is_new = not path.exists()
        if is_new and not content:
            return
        handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
        try:
            _write(handle, content)
            if flush:
                os.fsync(handle)
        finally:
            os.close(handle)
        if is_new:
            sync_folder(path.parent)
    except OSError as error:
        raise StoreError(
            f"a file of the run cannot be written ({error}): make room or check rights, and resume at the last "
            "checkpoint",
            path=str(path),
        ) from error


def _write(handle: int, content: bytes) -> None:
    before = os.fstat(handle).st_size
    try:
        NewFile(handle).write(content)
    except OSError:
        os.ftruncate(handle, before)  # half a line in the middle would be damage
        raise


def cut(path: Path, length: int) -> None:
    """Keep the first bytes of a file, and no file where that is none.

    Raises:
        StoreError: it cannot be changed.
    """
    try:
        if not length:
            path.unlink(missing_ok=True)
        elif path.stat().st_size != length:
            os.truncate(path, length)
    except OSError as error:
        raise StoreError(f"lines of a file of the run cannot be dropped ({error}): check rights", path=str(path)) from (
            error
        )
