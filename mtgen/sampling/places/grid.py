"""All windows of an array in order, so that each pixel is in one at least: for prediction."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from mtgen.errors import EmptySupportError, PlanError
from mtgen.sampling.bits import Bits
from mtgen.sampling.places.cells import sealed, whole_tuple
from mtgen.sampling.places.windows import Border, Windows, check_fits
from mtgen.sampling.values import check_count
from mtgen.settings import shown

AT_ONCE = 1 << 16
"""Windows that are asked for a condition together."""


@dataclass(frozen=True, eq=False, repr=False)
class Grid(Windows):
    """Windows side by side, one after the other, again from the first after the last; use `grid`."""

    shape: tuple[int, ...]
    size: tuple[int, ...]
    overlap: tuple[int, ...]
    border: Border = "inside"

    @cached_property
    def axes(self) -> tuple[np.ndarray, ...]:
        """Starts along each axis, int64, ascending."""
        return tuple(axis_starts(*numbers) for numbers in zip(self.shape, self.size, self.overlap, strict=True))

    def __len__(self) -> int:
        return math.prod(num_starts(*numbers) for numbers in zip(self.shape, self.size, self.overlap, strict=True))

    def starts(self) -> np.ndarray:
        """Starts of all windows in order, the last axis fastest: int64 `(len(grid), dim)`."""
        return self.at(np.arange(len(self)))

    def at(self, cells: np.ndarray) -> np.ndarray:
        """Starts of windows by their numbers, int64 `(n, dim)`."""
        places = np.unravel_index(cells, [len(starts) for starts in self.axes])
        return np.stack([starts[place] for starts, place in zip(self.axes, places, strict=True)], axis=1)

    def number(self, start: Any) -> int:
        """The number of the window with a start, 0 to before `len(grid)`.

        Raises:
            PlanError: no window starts there.
        """
        given = np.asarray(start)
        if given.shape != (self.dim,) or given.dtype.kind not in "iu":
            raise PlanError(f"a start needs {self.dim} whole numbers, received {shown(start)}")
        place = [int(np.searchsorted(starts, one)) for starts, one in zip(self.axes, given, strict=True)]
        for axis, (starts, here) in enumerate(zip(self.axes, place, strict=True)):
            if here == len(starts) or starts[here] != given[axis]:
                near = starts[max(here - 1, 0) : here + 1].tolist()
                raise PlanError(f"no window of {self!r} starts at {given.tolist()}: near it axis {axis} has {near}")
        return int(np.ravel_multi_index(tuple(place), [len(starts) for starts in self.axes]))

    def bound(self, shape: Sequence[int]) -> Grid:
        """Itself, if it is for that shape.

        Raises:
            PlanError: it is not.
        """
        lengths = whole_tuple("shape", tuple(shape), self.dim)
        if lengths != self.shape:
            raise PlanError(f"{self!r} is for an array of shape {self.shape}, and this one has {lengths}")
        return self

    def draw(self, bits: Bits, positions: np.ndarray) -> np.ndarray:
        """See `Sampler.draw`: in order, nothing random."""
        return self.at(positions % len(self))

    def listed_where(self, keeps: Callable[[np.ndarray], np.ndarray]) -> SomeOfGrid:
        """See `Sampler.listed_where`; what is kept is listed, 8 bytes for each window."""
        return _some_of(self, self, np.arange(len(self)), keeps)

    def log_density(self, points: np.ndarray) -> np.ndarray:
        """See `Sampler.log_density`: of a window picked at random."""
        inside = np.ones(len(points), bool)
        for axis, starts in enumerate(self.axes):
            inside &= np.isin(points[:, axis], starts)
        return np.where(inside, -np.log(len(self)), -np.inf)

    def structure(self) -> tuple[Any, ...]:
        """See `Sampler.structure`."""
        return self.shape, self.size, self.overlap, self.border

    def __repr__(self) -> str:
        return f"grid({self.shape}, {self.size}, overlap={self.overlap})"


@dataclass(frozen=True, eq=False, repr=False)
class SomeOfGrid(Windows):
    """Those windows of a grid that meet a condition, in the grid's order; what `grid.truncate(...)` gives."""

    grid: Grid
    cells: np.ndarray

    @property
    def size(self) -> tuple[int, ...]:  # type: ignore[override]
        """Of the windows."""
        return self.grid.size

    @property
    def border(self) -> Border:  # type: ignore[override]
        """See `Border`."""
        return self.grid.border

    @property
    def shape(self) -> tuple[int, ...]:  # type: ignore[override]
        """Of the array."""
        return self.grid.shape

    def __len__(self) -> int:
        return len(self.cells)

    def starts(self) -> np.ndarray:
        """Starts of all windows in order, int64 `(len(self), dim)`."""
        return self.grid.at(self.cells)

    def bound(self, shape: Sequence[int]) -> SomeOfGrid:
        """See `Grid.bound`."""
        self.grid.bound(shape)
        return self

    def draw(self, bits: Bits, positions: np.ndarray) -> np.ndarray:
        """See `Sampler.draw`: in order, nothing random."""
        return self.grid.at(self.cells[positions % len(self)])

    def listed_where(self, keeps: Callable[[np.ndarray], np.ndarray]) -> SomeOfGrid:
        """See `Sampler.listed_where`."""
        return _some_of(self, self.grid, self.cells, keeps)

    def log_density(self, points: np.ndarray) -> np.ndarray:
        """See `Sampler.log_density`: of a window picked at random."""
        listed = {tuple(one) for one in self.starts().tolist()}
        inside = np.array([tuple(one) in listed for one in points.tolist()], bool)
        return np.where(inside, -np.log(len(self)), -np.inf)

    def structure(self) -> tuple[Any, ...]:
        """See `Sampler.structure`."""
        return self.grid, self.cells

    def __repr__(self) -> str:
        return f"{len(self)} windows of {self.grid!r}"


def _some_of(
    law: Grid | SomeOfGrid, grid: Grid, cells: np.ndarray, keeps: Callable[[np.ndarray], np.ndarray]
) -> SomeOfGrid:
    parts = [cells[start : start + AT_ONCE] for start in range(0, len(cells), AT_ONCE)]
    kept = np.concatenate([part[keeps(grid.at(part))] for part in parts])
    if not len(kept):
        raise EmptySupportError(f"no window of {law!r} starts where the condition is met: check low, high and expr")
    return SomeOfGrid(grid.reweighted(1.0), sealed(kept), weight=law.weight)


def axis_starts(length: int, size: int, overlap: int) -> np.ndarray:
    """Starts of windows along an axis: every `size - overlap`, and the last at `length - size`.

    Where the axis is shorter than the window, one that lies over both ends alike.

    Example:
        >>> axis_starts(10, 4, 1).tolist(), axis_starts(9, 4, 0).tolist(), axis_starts(3, 6, 0).tolist()
        ([0, 3, 6], [0, 4, 5], [-1])
    """
    if length <= size:
        return np.array([-((size - length) // 2)], np.int64)
    return np.append(np.arange(0, length - size, size - overlap, dtype=np.int64), length - size)


def num_starts(length: int, size: int, overlap: int) -> int:
    """How many `axis_starts` there are.

    Example:
        >>> num_starts(10, 4, 1), num_starts(9, 4, 0), num_starts(3, 6, 0)
        (3, 3, 1)
    """
    return 1 if length <= size else -(-(length - size) // (size - overlap)) + 1


def grid(shape: Any, size: Any, overlap: Any = 0, *, border: str = "inside") -> Grid:
    """Windows that cover an array, in order: position t is window `t % len(grid)`.

    The first starts at 0, the next each `size - overlap` further, the last ends with the array, so that every pixel
    is in a window and none reaches over the border. Put predictions together with `stitch`.

    `grid(...).truncate(high, low, expr)` is those windows whose starts meet a condition, in the same order, as many as
    `len` says; the others have no piece, so they cannot be stitched.

    Args:
        shape: of the array, one number per axis.
        size: of a window, a number or one per axis.
        overlap: pixels that neighbours share at least, below the size.
        border: `"pad"` allows windows larger than the array: one for that axis, over both ends.

    Raises:
        PlanError: wrong numbers, or a window larger than the array.

    Example:
        >>> tiles = grid((5, 4), 4, overlap=2)
        >>> len(tiles), tiles.starts().tolist(), tiles.sample(3).tolist()
        (2, [[0, 0], [1, 0]], [[0, 0], [1, 0], [0, 0]])
    """
    lengths = whole_tuple("shape", shape)
    sizes = whole_tuple("size", size, len(lengths))
    overlaps = whole_tuple("overlap", overlap, len(lengths), least=0)
    if any(one >= whole for one, whole in zip(overlaps, sizes, strict=True)):
        raise PlanError(f"overlap must be below the size {sizes}, received {overlaps}")
    if border not in ("inside", "pad"):
        raise PlanError(f"border of a grid must be 'inside' or 'pad', received {shown(border)}")
    chosen: Border = "pad" if border == "pad" else "inside"
    check_fits(sizes, lengths, chosen, "window")
    num = math.prod(num_starts(*numbers) for numbers in zip(lengths, sizes, overlaps, strict=True))
    check_count("the number of windows", num)
    return Grid(lengths, sizes, overlaps, chosen)
