"""Links that lead out of a folder: found before a file is opened, at the price of one `lstat` per file."""

from __future__ import annotations

import os
import stat
from typing import Any

MOST_FOLDERS = 1 << 16
"""Folders whose real place is remembered; beyond, all is forgotten and looked up anew: some 10 MiB."""


class Inside:
    """Whether paths really lie under a root, links followed.

    Any thread. A folder is looked at once and remembered, so a file costs one `lstat` (about a microsecond), or one
    `realpath` where it is a link itself. Folders that are changed into links under a running process are not seen.

    Args:
        root: the folder; itself it may be reached by links.

    Example:
        >>> Inside("data_samples").leads_out("data_samples/digits/table.csv") is None
        True
    """

    def __init__(self, root: str) -> None:
        self.root = root
        self._real_root: str | None = None
        self._folders: dict[str, str | None] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {"root": self.root}  # where the links lead is another machine's business there

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["root"])  # type: ignore[misc]

    def leads_out(self, path: str) -> str | None:
        """Where the path really is, if that is not under the root; None where it is, or where nothing is.

        Args:
            path: a path that, read as text, is under the root.
        """
        try:
            linked = stat.S_ISLNK(os.lstat(path).st_mode)
        except OSError:
            return None  # nothing there, or nothing to be seen; whoever opens it says so
        folder = os.path.dirname(path)
        folders = self._folders
        try:
            outside = folders[folder]
        except KeyError:
            outside = self._outside(folder)
            if len(folders) >= MOST_FOLDERS:
                folders = self._folders = {}
            folders[folder] = outside
        if outside is not None:
            return os.path.join(outside, os.path.basename(path))
        return self._outside(path) if linked else None

    def _outside(self, path: str) -> str | None:
        if self._real_root is None:
            self._real_root = os.path.join(os.path.realpath(self.root), "")
        real = os.path.realpath(path)
        return None if os.path.join(real, "").startswith(self._real_root) else real
