"""Patches: windows of pictures or of arrays on disk, cut where a sampler of points says."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mtgen.errors import PlanError, StoreError
from mtgen.inputs.bound_patches import ArrayPatches, BoundPatches, PicturePatches
from mtgen.inputs.images import Images
from mtgen.inputs.patch_arrays import DiskArrays, PatchArrays, SharedArray, StoreRows
from mtgen.inputs.rows import Rows
from mtgen.inputs.volumes import Volumes
from mtgen.inputs.windows import Cutting, Places
from mtgen.recipe import check_choice
from mtgen.sampling.places.windows import BORDERS, Border
from mtgen.sampling.sampler import Sampler
from mtgen.settings import check_flag, check_whole, shown
from mtgen.stores import Store, open_store
from mtgen.table import check_table

FLOATS = ("float32", "float64")


@dataclass(frozen=True)
class Patches:
    """Windows of pictures or arrays, as an input or, of a mask, as a target.

    Where a patch is cut is a function of the loader's seed, the epoch, the position in the epoch and the sampler: two
    fields with equal samplers are cut at the same places, so that a picture and its mask agree. Immutable; reads
    nothing until it is bound. Any thread.

    Args:
        source: `Images("column")` without a size, for picture files, which are decoded at full size and not resized;
            `Volumes("column")`, for an array on disk per row; a path, URL, open array or `Store`, for one array that
            all rows are cut from; `Rows(store)`, for row k of an array with one more axis. Arrays are read by window,
            never whole. Axes behind those of `size` are channels, and kept.
        sampler: sampler of points, one per patch: its centre, in array order (height, width or depth, height, width),
            as shares of the array or in pixels; or a crop; or a function row -> sampler. None takes
            the points that come with the loader's rows, `rows @ points`; beside such a field one with a sampler of its
            own needs a `stream` of its own.
        size: of a patch, in array order; None takes that of a crop.
        border: `"inside"` draws only points whose patch lies in the array; `"shift"` moves a patch that leaves the
            array back into it; `"pad"` fills up what lies outside. None is that of a crop, else `"inside"`. The
            centre itself must lie in the array: a sampler that puts it elsewhere is refused.
        pad_value: value outside the array, in the array's own units.
        dtype: None keeps that of the array; `"float32"` or `"float64"` converts. For pictures say it in `Images`.
        scale: None, or `(factor, offset)` with a dtype: delivered is `value * factor + offset`.
        stream: a name; patches with equal samplers and different names are cut at different places.
        fixed: True cuts a row at the same place in each epoch, whatever the loader's seed: for validation.

    Raises:
        PlanError: settings that cannot be followed.

    Example:
        >>> from mtgen import sampling as S
        >>> cube = np.arange(1000).reshape(10, 10, 10)
        >>> patches = Patches(cube, S.constant([0.5, 0.5, 0.5]), size=(2, 2, 2))
        >>> data = mtgen.Dataset(pd.DataFrame({"label": [0, 1]}), inputs={"patch": patches}, targets="label")
        >>> batch = data.fetch([1])
        >>> batch.places["patch"].tolist(), batch.inputs["patch"][0, 0].tolist()
        ([[4, 4, 4]], [[444, 445], [454, 455]])
    """

    source: Any
    sampler: Sampler | Callable[[int], Sampler] | None = None
    size: tuple[int, ...] | None = None
    _: dataclasses.KW_ONLY
    border: Border | None = None
    pad_value: float = 0
    dtype: str | None = None
    scale: tuple[float, float] | None = None
    stream: str | None = None
    fixed: bool = False

    def __post_init__(self) -> None:
        if self.border is not None:
            check_choice("border", self.border, BORDERS)
        check_flag("fixed", self.fixed)
        if self.stream is not None and (not isinstance(self.stream, str) or not self.stream):
            raise PlanError(f"stream must be a name or None, received {shown(self.stream)}")
        if self.dtype is not None:
            check_choice("dtype", self.dtype, FLOATS)
        number = isinstance(self.pad_value, int | float | np.number | np.bool_)
        if not number or isinstance(self.pad_value, np.complexfloating):
            raise PlanError(f"pad_value must be a number, received {shown(self.pad_value)}")
        self._check_scale()
        _ = self.cutting
        _ = self.places

    def _check_scale(self) -> None:
        if self.scale is None:
            return
        if self.dtype is None:
            raise PlanError(f"scale={self.scale!r} makes fractions: say dtype='float32' too")
        pair = isinstance(self.scale, tuple | list) and len(self.scale) == 2
        if not pair or not all(isinstance(one, int | float | np.number) and np.isfinite(one) for one in self.scale):
            raise PlanError(f"scale must be None or (factor, offset), finite, received {shown(self.scale)}")

    @property
    def cutting(self) -> Cutting:
        """How places become windows.

        Raises:
            PlanError: no size, or one that is none.
        """
        size = self.size
        if size is None and isinstance(self.sampler, Sampler):
            size = self.sampler.window  # that of a crop
        if not isinstance(size, tuple | list) or not 1 <= len(size) <= 8:
            raise PlanError(f"size must be one length per axis, such as (64, 64), received {shown(size)}")
        whole = tuple(check_whole("size", length, 1) for length in size)
        return Cutting(size=whole, border=self.border, stream=self.stream, fixed=self.fixed)

    @property
    def places(self) -> Places:
        """Where patches are cut.

        Raises:
            PlanError: the sampler is none of points of these axes.
        """
        return Places(self.cutting, self.sampler)

    def bind(self, table: pd.DataFrame) -> BoundPatches:
        """Find the arrays of the root table; opens one of them, and no picture.

        Raises:
            PlanError: settings that do not go with the source.
            TableError: a missing column, or paths that are none.
            StoreError: an array that cannot be opened, has too few axes, or holds no numbers.
            AlignmentError: rows of a store that cannot be told; see `Rows.bind`.
        """
        check_table(table)
        if isinstance(self.source, Images):
            return PicturePatches(self, self._pictures(self.source).bind(table))
        return ArrayPatches(self, self._arrays(table))

    def _pictures(self, images: Images) -> Images:
        """The pictures with the size of a patch, which is what their recipe delivers."""
        size, what = self.cutting.size, f"Patches(Images({images.column!r}))"
        if len(size) != 2:
            raise PlanError(f"{what} cuts pictures, so size must be (height, width), received {size}")
        if self.dtype is not None or self.scale is not None:
            raise PlanError(f"{what}: say dtype and scale in Images(...)")
        if images.cache is not None:
            raise PlanError(f"{what}: patches are new in each epoch, so there is nothing to keep: leave out cache")
        if images.size is not None and tuple(images.size) != size:
            raise PlanError(
                f"{what} is decoded at full size and not resized, but Images has size={images.size!r}: leave it out"
            )
        if images.fit != "stretch":
            raise PlanError(f"{what}: nothing is resized, so fit={images.fit!r} has no meaning: leave it out")
        recipe = dataclasses.replace(images, size=size).pixel_recipe
        if recipe.size != size:
            raise PlanError(f"{what}: the recipe has size {recipe.size}, patches have {size}; make them equal")
        if recipe.decoder != "pillow" or recipe.scaled_decode:
            raise PlanError(
                f"{what}: the recipe {recipe.name!r} resizes while it decodes, and patches are cut at full size: take "
                "recipe='clean' or 'keras'"
            )
        most = 65535 if recipe.dtype == "uint16" else 255
        if not 0 <= self.pad_value <= most or int(self.pad_value) != self.pad_value:
            raise PlanError(f"{what}: pad_value must be an integer of 0 to {most}, received {self.pad_value!r}")
        return dataclasses.replace(images, size=size)

    def _arrays(self, table: pd.DataFrame) -> PatchArrays:
        size = self.cutting.size
        if isinstance(self.source, Volumes):
            return DiskArrays(self.source.paths(table), size)
        if isinstance(self.source, Rows):
            return StoreRows(self.source.bind(table), len(size))
        try:
            store = self.source if isinstance(self.source, Store) else open_store(self.source, keys=False)
        except StoreError as error:
            if isinstance(self.source, str) and self.source in table.columns:
                error.message += (
                    f". {self.source!r} is a column of the table: for pictures write "
                    f"Patches(Images({self.source!r}), ...), for arrays Patches(Volumes({self.source!r}), ...)"
                )
            raise
        return SharedArray(store, len(size), len(table))
