"""Pictures as an input: a table column of paths, a folder they are under, and the pixel recipe to decode them by.

`Images` is what the user says; `BoundImages` is that with the table's paths. Files are opened one at a time, read whole
and closed; what happens to the bytes is decided by the recipe and done elsewhere.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mtgen.cache.bound import BoundCache
from mtgen.cache.settings import PictureCache, picture_cache
from mtgen.errors import PlanError, TableError
from mtgen.inputs.paths import check_paths
from mtgen.inputs.picture_files import PictureFiles
from mtgen.manifest import path_bytes
from mtgen.promises import NUM_THREADS, Promise, Promises, Verify, bind_promises, mode_of
from mtgen.recipe import MAX_PIXELS, Recipe, check_installed, named_recipe
from mtgen.settings import check_flag, check_kind, shown
from mtgen.spec import Spec
from mtgen.table import column
from mtgen.threads import in_threads
from mtgen.waits import Note

_RECIPE_FIELDS = ("size", "color", "fit", "dtype", "scale", "filter", "data_format", "max_pixels")


@dataclass(frozen=True)
class Images:
    """Pictures named by a column of the table.

    Immutable, picklable; reads nothing. Any thread.

    Args:
        column: table column of paths, as text.
        root: folder that the paths are under; None takes them as they are (relative ones from the working folder).
        size: (height, width) in pixels; needed unless `recipe` is a `Recipe`, or the pictures are for `Patches`.
        color: `"rgb"`, `"grayscale"` or `"rgba"`.
        recipe: `"clean"`, `"fast"`, `"fastest"`, `"keras"`, or with the extra `turbo` also `"turbo"` or
            `"turbo-fastest"`; or a `Recipe`, which then decides all the rest.
        fit: `"stretch"`, `"crop"` or `"pad"`.
        dtype: `"uint8"`, `"uint16"` (grayscale) or `"float32"`.
        scale: None, or `(factor, offset)` with float32: delivered is `value * factor + offset`.
        filter: resampling filter, None for the recipe's own.
        data_format: `"channels_last"` or `"channels_first"`.
        max_pixels: pictures of more pixels than this are refused before they are decoded.
        manifest: file made by `mtgen verify --make` that says what each picture must be; None compares nothing.
        verify: `"open"` compares size and time of all files when the table is bound, and of each file again when it
            is read; `"read"` the content of each read too; `"off"` nothing. None is `"open"` with a manifest.
        follow_links: True also reads pictures that links lead to from under `root` to somewhere else; False refuses
            them. Links that stay under `root` are always followed, and with `root=None` all are.
        cache: folder that keeps decoded pictures from epoch to epoch, or a `PictureCache` with its limits; None
            decodes always. It changes no byte of a picture.

    Raises:
        PlanError: settings that no recipe can follow, or that say otherwise than the given `Recipe`.

    Example:
        >>> print(Images("imgpath", root="pictures", size=(32, 32), color="grayscale").pixel_recipe.spec)
        (32, 32, 1) uint8
    """

    column: str
    _: dataclasses.KW_ONLY
    root: str | os.PathLike[str] | None = None
    size: tuple[int, int] | None = None
    color: str = "rgb"
    recipe: str | Recipe = "clean"
    fit: str = "stretch"
    dtype: str = "uint8"
    scale: tuple[float, float] | None = None
    filter: str | None = None
    data_format: str = "channels_last"
    max_pixels: int = MAX_PIXELS
    manifest: str | os.PathLike[str] | None = None
    verify: Verify | None = None
    follow_links: bool = False
    cache: str | os.PathLike[str] | PictureCache | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.column, str):
            raise PlanError(f"column must be the name of a table column, received {shown(self.column)}")
        if self.root is not None:
            check_kind("root", self.root, str | os.PathLike, "a folder or None")
            check_kind("root", os.fspath(self.root), str, "a folder named by text")
            if "\0" in os.fspath(self.root):
                raise PlanError(f"root must be a folder or None, received {shown(self.root)}")
        check_flag("follow_links", self.follow_links)
        picture_cache(self.cache)
        mode_of(self.verify, self.manifest, f"Images({self.column!r})")
        if self.size is None and not isinstance(self.recipe, Recipe):
            _ = dataclasses.replace(
                self, size=(1, 1)
            ).pixel_recipe  # size alone may wait: patches have one of their own
        else:
            _ = self.pixel_recipe

    @property
    def pixel_recipe(self) -> Recipe:
        """The recipe that the settings make."""
        if not isinstance(self.recipe, Recipe):
            if self.size is None:
                raise PlanError(
                    f"Images({self.column!r}) needs size=(height, width), for example size=(150, 150); only Patches "
                    "take pictures as they are"
                )
            return named_recipe(
                self.recipe,
                size=self.size,
                filter=self.filter,
                color=self.color,
                fit=self.fit,
                dtype=self.dtype,
                scale=self.scale,
                data_format=self.data_format,
                max_pixels=self.max_pixels,
            )
        defaults = {field.name: field.default for field in dataclasses.fields(self)}
        for name in _RECIPE_FIELDS:
            given, decided = getattr(self, name), getattr(self.recipe, name)
            given = tuple(given) if isinstance(given, list) else given
            if given not in (defaults[name], decided):
                raise PlanError(
                    f"Images({self.column!r}) received {name}={given!r} and a recipe with {name}={decided!r}; "
                    f"say it in the recipe alone: dataclasses.replace(recipe, {name}={given!r})"
                )
        return self.recipe

    def bind(self, table: pd.DataFrame) -> BoundImages:
        """Take the paths out of the root table; opens no picture. With a manifest, each file is looked at.

        Args:
            table: the root table; row = 0-based place in it.

        Returns:
            `BoundImages` with a path per row, in a copy of its own.

        Raises:
            TableError: no such column, or two; a row whose path is missing, empty, no text, or leaves the root.
            PlanError: the recipe needs an extra that is not installed.
            ManifestError: a manifest that is damaged, or does not name each picture.
            StoreError: the folder of the cache is something else.
            ChangedError: files that are missing, or whose size or time is not the manifest's.

        Example:
            >>> import pandas
            >>> images = Images("imgpath", root="pictures", size=(32, 32))
            >>> images.bind(pandas.DataFrame({"imgpath": ["a.png", "b.png"]})).path(1)
            'pictures/b.png'
        """
        return BoundImages(self, column(table, self.column, "Images").tolist())


class BoundImages:
    """Pictures of a table: a path per row, and the recipe they are decoded by.

    Immutable and picklable; any thread. The paths are kept as one piece of UTF-8 bytes and one int64 per row: the
    length of the path plus 8 bytes each, so ten million paths of 50 characters take 0.58 GB, where text objects take
    1 GB and more. A path costs about two microseconds to take out.

    Args:
        images: the settings.
        paths: a path per row; `Images.bind` is the way to make this from a table.

    Attributes:
        files: how a file is read, without the table.
        promises: what the manifest says of each row's file; None where nothing is compared.
        cache: pictures that were decoded before; None where none are kept.

    Raises:
        TableError: a path that is missing, empty, no text, or leaves the root.
        ManifestError, ChangedError: see `Images.bind`.
    """

    def __init__(self, images: Images, paths: Sequence[Any]) -> None:
        self.images = images
        self.recipe: Recipe = images.pixel_recipe
        check_installed(self.recipe)
        self._root = None if images.root is None else os.fspath(images.root)
        self.files = PictureFiles(self._root, follow_links=images.follow_links)
        check_paths(paths, images.column, self._root)
        encoded = [path.encode("utf-8", "surrogatepass") for path in paths]
        self._ends = np.zeros(len(encoded) + 1, np.int64)
        np.cumsum(np.fromiter(map(len, encoded), np.int64, len(encoded)), out=self._ends[1:])
        self._text = b"".join(encoded)
        self.promises: Promises | None = None
        mode = mode_of(images.verify, images.manifest, "Images")
        if images.manifest is not None and mode != "off":
            self.promises = bind_promises(images.manifest, mode, self.names(), self.path, "row")
        self._begin_cache()
        if self.cache is not None:
            self.cache.check()

    def _begin_cache(self) -> None:
        kept = picture_cache(self.images.cache)
        self.cache: BoundCache | None = None if kept is None else BoundCache(kept, self)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "cache"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._begin_cache()

    def __len__(self) -> int:
        """Rows of the root table."""
        return len(self._ends) - 1

    @property
    def num_rows(self) -> int:
        """Rows of the root table."""
        return len(self)

    @property
    def spec(self) -> Spec:
        """Shape and dtype of one delivered picture, without the batch axis."""
        return self.recipe.spec

    @property
    def members(self) -> tuple[tuple[int, BoundImages], ...]:
        """First row and pictures of each part that these were joined from; these alone where they are whole."""
        return ((0, self),)

    def member(self, row: int) -> BoundImages:
        """Which of `members` has the row."""
        return self

    def like(self, make: Callable[[BoundImages], BoundImages]) -> BoundImages:
        """The same rows with other pictures, made from each of `members`."""
        return make(self)

    def path(self, row: int) -> str:
        """Path of a row's file, root joined.

        Raises:
            TableError: the table has no such row.
        """
        self._check_row(row)
        path = self._given(row)
        return path if self._root is None else os.path.join(self._root, path)

    def _check_row(self, row: int) -> None:
        if not 0 <= row < len(self):
            raise TableError(f"row {row} was asked for, the table has rows 0 to {len(self) - 1}", row=int(row))

    @property
    def base(self) -> str:
        """The folder that relative paths are under, links followed; absolute."""
        return os.path.realpath(self._root or os.curdir)

    def path_text(self, row: int) -> bytes:
        """A row's path as the table has it, in UTF-8."""
        return self._text[self._ends[row] : self._ends[row + 1]]

    def read_bytes(self, row: int, admit: Callable[[int], None] | None = None) -> bytes:
        """The whole file of a row, in one open and one read; the caller owns the bytes. See `read_file`."""
        return self.read_file(row, admit)[0]

    def read_file(self, row: int, admit: Callable[[int], None] | None = None) -> tuple[bytes, os.stat_result]:
        """The whole file of a row, in one open and one read, and what the system says of that very file.

        Any thread, many at once; the wait is without the GIL.

        Args:
            row: place in the root table.
            admit: called with the size in bytes before anything is read; may wait, or refuse by raising.

        Raises:
            DecodeError: the file cannot be read; with row, path, and what to look at.
            ChangedError: the file is not the one that the manifest promises, or changes while it is read.
        """
        return self.files.read_file(self.path(row), int(row), self.promise(row), admit)

    def promise(self, row: int) -> Promise | None:
        """What a manifest says of a row's file; None where nothing is compared."""
        return None if self.promises is None else self.promises.of(int(row))

    def leads_out(self, path: str) -> str | None:
        """Where a picture really is, if links lead there out of the root and must not be followed; else None."""
        return self.files.leads_out(path)

    def check_exist(self, rows: Iterable[int] | None = None, *, limit: int = 10) -> Missing:
        """Look, without opening, which rows have no file.

        Args:
            rows: rows to look at; None takes all.
            limit: how many missing rows are listed; all are counted.

        Returns:
            `Missing`, which is empty (false) where every row has a file.
        """
        missing = self.missing_rows(range(len(self)) if rows is None else rows).tolist()
        return Missing(count=len(missing), first=tuple((row, self.path(row)) for row in missing[:limit]))

    def missing_rows(self, rows: Iterable[int]) -> np.ndarray:
        """Those of the rows that have no file, int64, in the order given; looks at each, opens none."""

        def look(row: int, note: Note) -> tuple[int, bool]:
            path = self.path(row)
            note(f"look at {path}")
            return int(row), os.path.isfile(path)

        looked_at = in_threads(look, rows, num_threads=NUM_THREADS, group=256)
        return np.array([row for row, is_there in looked_at if not is_there], np.int64)

    def names(self) -> Iterator[bytes]:
        """Each row's path as the table has it and as a manifest has it: bytes, without the root."""
        return map(self.name, range(len(self)))

    def name(self, row: int) -> bytes:
        """A row's path as a manifest has it."""
        return path_bytes(self._given(row))

    def _given(self, row: int) -> str:
        return self.path_text(row).decode("utf-8", "surrogatepass")

    def digest(self) -> str:
        """32 hex digits over the recipe and the paths as the table has them; the root may move."""
        text = hashlib.blake2b(digest_size=16)
        text.update(self.recipe.digest().encode())
        text.update(self._ends.astype("<i8").tobytes())
        text.update(self._text)
        return text.hexdigest()

    @property
    def files_digest(self) -> str | None:
        """32 hex digits over what a manifest says of each row's file; None where nothing is compared."""
        return None if self.promises is None else self.promises.digest

    def settings(self) -> dict[str, Any]:
        """A small description in JSON values; a manifest is no part of it, see `files_digest`."""
        return {
            "kind": "images",
            "column": self.images.column,
            "num_rows": len(self),
            "recipe": self.recipe.settings(),
            "digest": self.digest(),
        }

    def __repr__(self) -> str:
        return f"BoundImages({self.images.column!r}, {len(self)} rows, recipe {self.recipe.name!r}, {self.spec})"


@dataclass(frozen=True, kw_only=True)
class Missing:
    """Rows without a file.

    Args:
        count: how many.
        first: the first of them, as (row, path).
    """

    count: int
    first: tuple[tuple[int, str], ...]

    def __bool__(self) -> bool:
        return self.count > 0

    def __str__(self) -> str:
        if not self.count:
            return "no file is missing"
        lines = [f"  row {row}: {path}" for row, path in self.first]
        more = [f"  and {self.count - len(lines)} more"] if self.count > len(lines) else []
        return "\n".join([f"{self.count} files are missing:", *lines, *more])
