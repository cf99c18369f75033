"""What the user says of a cache of decoded pictures."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from typing import Literal

from mtgen.cache.layout import SEGMENT_BYTES, Geometry, make_geometry
from mtgen.errors import PlanError
from mtgen.recipe import Recipe
from mtgen.settings import check_kind, check_whole, check_whole_or_none, shown


@dataclass(frozen=True)
class PictureCache:
    """A folder of decoded pictures, filled as they are decoded, so that the next epoch only copies them.

    Immutable, picklable; opens nothing. Any thread. Several inputs, loaders and processes may share the folder.

    Args:
        path: the folder; a new or an empty one, or a cache.
        max_bytes: most bytes that its files take, all recipes together; None for as much as the disk has. What is in
            stays in when it is full: in a shuffled order no picture is needed sooner than another.
        keep_free_bytes: bytes of the disk that are left free.
        verify: `"first"` compares each picture with its checksum when a process reads it for the first time, `"read"`
            at every read.
        segment_bytes: bytes of pictures in one file, at most.

    Raises:
        PlanError: settings out of range.

    Example:
        >>> PictureCache("pictures.cache", max_bytes=20 << 30).max_bytes
        21474836480
    """

    path: str | os.PathLike[str]
    _: dataclasses.KW_ONLY
    max_bytes: int | None = None
    keep_free_bytes: int = 1 << 30
    verify: Literal["first", "read"] = "first"
    segment_bytes: int = SEGMENT_BYTES

    def __post_init__(self) -> None:
        check_kind("the path of a picture cache", self.path, str | os.PathLike, "a folder")
        check_kind("the path of a picture cache", self.folder, str, "a folder named by text")
        if not self.folder or "\0" in self.folder:
            raise PlanError(f"the path of a picture cache must be a folder, received {shown(self.path)}")
        check_whole_or_none("max_bytes", self.max_bytes, 1)
        check_whole("keep_free_bytes", self.keep_free_bytes)
        check_whole("segment_bytes", self.segment_bytes, 1)
        if self.verify not in ("first", "read"):
            raise PlanError(f"a picture cache's verify must be 'first' or 'read', received {shown(self.verify)}")

    @property
    def folder(self) -> str:
        """The path as text."""
        return os.fspath(self.path)

    def geometry(self, recipe: Recipe) -> Geometry:
        """How pictures of a recipe are laid out where none are stored yet.

        Raises:
            PlanError: not one fits `max_bytes`.
        """
        return make_geometry(recipe.spec, max_bytes=self.max_bytes, segment_bytes=self.segment_bytes)


def picture_cache(value: str | os.PathLike[str] | PictureCache | None) -> PictureCache | None:
    """The settings that `Images(cache=...)` means.

    Raises:
        PlanError: neither a folder nor a `PictureCache`.
    """
    check_kind("cache", value, str | os.PathLike | PictureCache | None, "a folder, a PictureCache(...) or None")
    return value if value is None or isinstance(value, PictureCache) else PictureCache(value)
