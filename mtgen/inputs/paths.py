"""Paths in a table's column: which can name a file under a root, and why one cannot be read. Opens nothing."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from typing import Any

from mtgen.errors import TableError
from mtgen.files import too_many_files

_SHOWN = 5
"""How many wrong rows a message lists."""


def check_paths(paths: Sequence[Any], column: str, root: str | None) -> None:
    """Refuse paths that cannot name a file under the root; only text is looked at, no file."""
    _refuse(
        [row for row, path in enumerate(paths) if not isinstance(path, str) or not path or not _names_file(path)],
        paths,
        f"column {column!r} must hold a path, as text, in every row",
        "fill them in, or drop those rows before making the dataset",
    )
    if root is not None:
        _refuse(
            [row for row, path in enumerate(paths) if (".." in path or os.path.isabs(path)) and _leaves(path, root)],
            paths,
            f"column {column!r} must hold paths under root {root!r}",
            "write them relative to root, choose a root that holds them all, or use root=None for paths as they are",
        )


def _names_file(path: str) -> bool:
    """Whether the text can be a file name here: no NUL, and no half of a character pair that is not a byte."""
    if path.isascii():
        return "\0" not in path
    try:
        os.fsencode(path)
    except UnicodeEncodeError:
        return False
    return "\0" not in path


def _refuse(wrong: list[int], paths: Sequence[Any], expected: str, fix: str) -> None:
    if wrong:
        shown = ", ".join(f"row {row}: {paths[row]!r:.300}" for row in wrong[:_SHOWN])
        more = ", ..." if len(wrong) > _SHOWN else ""
        raise TableError(f"{expected}; {len(wrong)} of {len(paths)} do not ({shown}{more}); {fix}", row=wrong[0])


def _leaves(path: str, root: str) -> bool:
    """Whether the path, read as text (links are not followed), is outside the root."""
    base = os.path.abspath(root)
    full = os.path.abspath(os.path.join(base, path))
    return full != base and not full.startswith(base.rstrip(os.sep) + os.sep)


def not_regular(path: str) -> str:
    """What to say of something that is there and is no file."""
    if os.path.isdir(path):
        return _FOLDER
    return "it is no regular file (a pipe or device?), expected a picture"


_FOLDER = "cannot read the picture: it is a folder, expected a file; does the column hold file names?"


def explain(cause: OSError, path: str, root: str | None) -> str:
    """What to look at when a file cannot be read."""
    reason = cause.strerror or str(cause)
    if isinstance(cause, IsADirectoryError) or os.path.isdir(path):
        return _FOLDER
    if crowded := too_many_files(cause):
        return f"cannot read the picture: {crowded}"
    if cause.errno == errno.ELOOP:
        return f"cannot read the picture: {reason}; a link leads to itself"
    if cause.errno == errno.ENAMETOOLONG:
        return f"cannot read the picture: {reason}; does the column hold file names?"
    if not isinstance(cause, FileNotFoundError | NotADirectoryError):
        return f"cannot read the picture: {reason}; may this user read it?"
    if "://" in path:
        return "cannot read the picture: it looks like a URL, and pictures are read from files; copy them to a folder"
    parent = os.path.dirname(os.path.abspath(path))
    while not os.path.isdir(parent) and parent != os.path.dirname(parent):
        parent = os.path.dirname(parent)
    right = "is root right? it is None" if root is None else f"is root={root!r} right?"
    return f"cannot read the picture: {reason}; {right} The nearest folder that exists is {parent!r}"
