"""Paths of a configuration: relative ones are under the folder of its file. Looks at no file."""

from __future__ import annotations

import os
from pathlib import Path

_MEMBER = "::"


def absolute(path: str | os.PathLike[str], folder: Path, *, is_store: bool = False) -> str:
    """A path as it can be opened from any working folder; no path stays none.

    Args:
        path: as the configuration has it.
        folder: that relative paths are under.
        is_store: it may be a URL, which stays as it is, or name a member after `::`.

    Example:
        >>> absolute("a.h5::x", Path("data"), is_store=True)
        'data/a.h5::x'
    """
    text = os.fspath(path)
    if not text or folder == Path() or (is_store and "://" in text):
        return text
    return os.path.join(folder, text)  # a member behind :: stays behind


def rebased(path: str, old: Path, new: Path, *, is_store: bool = False) -> str:
    """A path as a file in another folder has it: absolute ones and URLs stay as they are.

    Example:
        >>> rebased("table.csv", Path("data"), Path("runs/one"))
        '../../data/table.csv'
    """
    if not path or (is_store and "://" in path):
        return path
    text, mark, member = path.partition(_MEMBER) if is_store else (path, "", "")
    if os.path.isabs(text):
        return path
    # Links are followed, because `..` of the system goes up from where a link leads.
    return os.path.relpath(os.path.join(os.path.realpath(old), text), os.path.realpath(new)) + mark + member


def is_same(one: str | os.PathLike[str], other: str | os.PathLike[str]) -> bool:
    """Whether two paths lead to one place, links followed."""
    return os.path.realpath(one) == os.path.realpath(other)
