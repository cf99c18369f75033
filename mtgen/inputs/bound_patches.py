"""Patches bound to a table: which file or array a row's patch is cut from, where, and the cutting of arrays."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mtgen.draws import Draws
from mtgen.errors import DecodeError, MtgenError, PlanError, StoreError, named
from mtgen.inputs.images import BoundImages
from mtgen.inputs.patch_arrays import OneArray, PatchArrays
from mtgen.inputs.windows import MisfitError
from mtgen.spec import Spec

if TYPE_CHECKING:
    from mtgen.inputs.patches import Patches


class BoundPatches:
    """Patches bound to a table: what is the same for pictures and arrays.

    Any thread. Picklable when the source and the sampler are.

    Attributes:
        patches: the settings.
        places: where they are cut.
        spec: shape and dtype of one patch.
        num_rows: rows of the root table.
        error_kind: class of error where a patch cannot be cut.
    """

    spec: Spec
    error_kind: type[MtgenError] = StoreError
    files_digest: str | None = None

    def __init__(self, patches: Patches, num_rows: int) -> None:
        self.patches, self.num_rows = patches, num_rows
        self.places = patches.places

    @property
    def size(self) -> tuple[int, ...]:
        """Of a patch, in array order."""
        return self.places.cutting.size

    @property
    def num_axes(self) -> int:
        """Axes of a place."""
        return len(self.size)

    def path(self, row: int) -> str:
        """The file or store that a row's patch is cut from."""
        raise NotImplementedError

    def missing_rows(self, rows: Iterable[int]) -> np.ndarray:
        """Those of the rows whose file is not there, int64; looks at each, opens none."""
        return np.empty(0, np.int64)

    def groups(self, rows: np.ndarray) -> np.ndarray:
        """For each row a number, int64 `(n,)`: patches of one number may be cut together."""
        raise NotImplementedError

    def starts(self, rows: np.ndarray, draws: Draws, shape: tuple[int, ...]) -> np.ndarray:
        """First pixel of each patch, int64 `(n, axes)`, of rows whose array has that shape.

        Raises:
            MtgenError: of `error_kind`, where no patch can be cut; with row and path where they are clear.
            PlanError: a sampler whose points are none, or a function of the user's that fails, which is no bad sample.
        """
        try:
            return self.places.starts(rows, draws, shape)
        except MisfitError as error:
            what = "picture" if self.error_kind is DecodeError else "array"
            row = int(rows[0])
            raise self.error_kind(f"no patch can be cut from the {what}: {error}", row=row, path=self.path(row)) from (
                error.__cause__
            )
        except PlanError as error:
            if len(rows) == 1:
                error.at(row=int(rows[0]))
            raise
        except (MtgenError, OSError) as error:  # of a function of the user's that reads, and cannot
            wrapped = named(error, self.path(int(rows[0])), self.error_kind)
            if wrapped is error:
                raise
            raise wrapped from error
        except Exception as error:
            one = int(rows[0]) if len(rows) == 1 else None
            raise PlanError(
                "a function of the sampler of these patches, such as row -> law or one for apply or truncate, raised "
                f"{type(error).__name__}: {error}. Correct it; on_error is for samples, not for code: only an OSError, "
                f"such as mtgen.errors.{self.error_kind.__name__}, says that something of a row cannot be read",
                row=one,
                path=None if one is None else self.path(one),
            ) from error

    def settings(self) -> dict[str, Any]:
        """What decides the patches, as small JSON."""
        cutting = self.places.cutting
        return {
            "kind": "patches",
            "size": list(cutting.size),
            "border": None if cutting.border == "inside" else cutting.border,
            "stream": cutting.stream,
            "fixed": cutting.fixed,
            "pad_value": repr(np.asarray(self.patches.pad_value).item()),
            "sampler": self.places.settings(),
        }


class PicturePatches(BoundPatches):
    """Patches of pictures.

    Args:
        patches: the settings.
        images: paths, promises and recipe; the recipe's size is that of a patch.
    """

    error_kind = DecodeError

    def __init__(self, patches: Patches, images: BoundImages) -> None:
        super().__init__(patches, images.num_rows)
        self.images, self.recipe = images, images.recipe
        self.spec = images.spec
        self.files_digest = images.files_digest

    def path(self, row: int) -> str:
        """See `BoundPatches.path`."""
        return self.images.path(row)

    def missing_rows(self, rows: Iterable[int]) -> np.ndarray:
        """See `BoundPatches.missing_rows`."""
        return self.images.missing_rows(rows)

    def groups(self, rows: np.ndarray) -> np.ndarray:
        """See `BoundPatches.groups`: rows of one file are decoded once."""
        numbers: dict[bytes, int] = {}
        found = [numbers.setdefault(self.images.path_text(row), len(numbers)) for row in rows.tolist()]
        return np.array(found, np.int64)

    def settings(self) -> dict[str, Any]:
        """See `BoundPatches.settings`."""
        return {**super().settings(), "source": self.images.settings()}


class ArrayPatches(BoundPatches):
    """Patches of arrays.

    Args:
        patches: the settings.
        arrays: the arrays of the table's rows.

    Raises:
        PlanError: a value for padding that the arrays cannot hold.
    """

    def __init__(self, patches: Patches, arrays: PatchArrays) -> None:
        super().__init__(patches, arrays.num_rows)
        self.arrays, self.files_digest = arrays, arrays.files_digest
        dtype = np.dtype(patches.dtype) if patches.dtype else arrays.dtype
        self.spec = Spec(shape=(*self.size, *arrays.channels), dtype=dtype)
        self._check_pad_value(arrays.dtype)

    def _check_pad_value(self, dtype: np.dtype) -> None:
        value = self.patches.pad_value
        try:
            with np.errstate(over="ignore"):
                held = dtype.type(value)
            fits = bool(held == value) if dtype.kind != "f" else bool(np.isfinite(held) or not np.isfinite(value))
        except (OverflowError, ValueError):
            fits = False
        if not fits:
            raise PlanError(f"pad_value={value!r} is no {dtype}, which the arrays hold; choose one that they can hold")

    @property
    def scratch_bytes(self) -> int:
        """Bytes that a thread needs while it cuts a patch, beside the batch."""
        values = self.spec.row_bytes // self.spec.dtype.itemsize * self.arrays.dtype.itemsize
        return self.arrays.window_bytes(self.size) + (0 if self.patches.dtype is None else values)

    def path(self, row: int) -> str:
        """See `BoundPatches.path`."""
        return self.arrays.location(row)

    def missing_rows(self, rows: Iterable[int]) -> np.ndarray:
        """See `BoundPatches.missing_rows`."""
        return self.arrays.missing_rows(rows)

    def groups(self, rows: np.ndarray) -> np.ndarray:
        """See `BoundPatches.groups`."""
        return self.arrays.groups(rows)

    def fetch(self, rows: np.ndarray, draws: Draws, outs: Sequence[np.ndarray], places: np.ndarray) -> None:
        """Cut patches of rows of one group.

        Args:
            rows: int64 `(n,)` of the root table.
            draws: one position per row.
            outs: a slot for each, of `spec`; the caller owns them.
            places: int64 `(n, axes)`, filled with the first pixel of each.

        Raises:
            StoreError: an array that cannot be read, or fits no patch; with row and path.
            PlanError: no sampler, or one whose points are none.
        """
        with self.arrays.lend(int(rows[0])) as array:
            shape = array.shape[: self.num_axes]
        starts = self.starts(rows, draws, shape)
        for place, out in enumerate(outs):
            with self.arrays.lend(int(rows[place])) as array:
                self._read(array, starts[place], shape, rows[place : place + 1], out)
            places[place] = starts[place]

    def _read(
        self, array: OneArray, start: np.ndarray, shape: tuple[int, ...], row: np.ndarray, out: np.ndarray
    ) -> None:
        low = np.clip(start, 0, shape)
        high = np.clip(start + np.array(self.size), low, shape)
        whole = bool((high - low == self.size).all())
        plain = self.patches.dtype is None
        values = out if plain else np.empty(out.shape, self.arrays.dtype)
        if not whole:
            values[...] = self.patches.pad_value
        inner = values[tuple(slice(a, b) for a, b in zip(low - start, high - start, strict=True))]
        try:
            array.read(low.tolist(), high.tolist(), inner)
        except StoreError as error:
            error.message += f" (the patch at {start.tolist()} of size {list(self.size)} in {shape})"
            error.at(row=int(row[0]), path=self.path(int(row[0])))
            raise
        self.arrays.check(row, values[None])
        if not plain:
            try:
                self._convert(values, out)
            except FloatingPointError as error:
                raise StoreError(
                    f"a value of the patch at {start.tolist()} in {shape} is too large for {out.dtype} ({error}): take "
                    "dtype='float64', or another scale",
                    row=int(row[0]),
                    path=self.path(int(row[0])),
                ) from error

    def _convert(self, values: np.ndarray, out: np.ndarray) -> None:
        with np.errstate(over="raise"):
            out[...] = values
            if self.patches.scale is not None:
                factor, offset = self.patches.scale
                out *= out.dtype.type(factor)
                out += out.dtype.type(offset)

    def settings(self) -> dict[str, Any]:
        """See `BoundPatches.settings`."""
        scale = None if self.patches.scale is None else [float(one) for one in self.patches.scale]
        converted = {"dtype": str(self.spec.dtype), "scale": scale}
        return {**super().settings(), **converted, "source": self.arrays.settings()}
