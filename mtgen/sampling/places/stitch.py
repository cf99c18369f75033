"""Windows put together again: what a network says of each window of a grid, as one array."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import numpy as np

from mtgen.errors import PlanError
from mtgen.sampling.places.grid import Grid
from mtgen.settings import check_kind, shown

How = Literal["mean", "crop", "hann"]
"""What a pixel in several windows becomes."""


class Stitcher:
    """Puts pieces together one by one, so that they need not be in memory at once. One thread.

    What is held is the array to be made, and one flag per window. `"mean"` and `"hann"` sum in float64.

    Args:
        grid: the windows.
        how: `"mean"`: the mean of all windows that a pixel is in. `"crop"`: the value of the window in whose middle
            it lies most, so that any dtype stays exact, classes too. `"hann"`: the mean weighted by a Hann window,
            `sin(pi * (i + 0.5) / size) ** 2` along each axis, so that no seams show.

    Raises:
        PlanError: no grid, or another `how`.

    Example:
        >>> from mtgen import sampling as S
        >>> picture, tiles = np.arange(20.0).reshape(4, 5), S.grid((4, 5), 3, overlap=1)
        >>> whole = Stitcher(tiles)
        >>> for row, column in tiles.starts():
        ...     whole.add(picture[row : row + 3, column : column + 3], (row, column))
        >>> bool((whole.result() == picture).all())
        True
    """

    def __init__(self, grid: Grid, how: How = "mean") -> None:
        check_kind("grid", grid, Grid, "a grid: S.grid(shape, size, overlap)")
        if how not in ("mean", "crop", "hann"):
            raise PlanError(f"how must be 'mean', 'crop' or 'hann', received {shown(how)}")
        self.grid, self.how = grid, how
        self._seen = np.zeros(len(grid), bool)
        self._sums: np.ndarray | None = None
        self._dtype = np.dtype(np.float64)
        self._weights = [_axis_weights(size, how) for size in grid.size]

    def add(self, piece: Any, start: Any) -> None:
        """Put a piece at its place. The piece is copied.

        Args:
            piece: `(*size, ...)`: a window, and what follows of axes, such as channels.
            start: its start, one whole number per axis.

        Raises:
            PlanError: a piece of another size, dtype or channels, a start that is none of the grid's, or one that was
                there.
        """
        array = np.asarray(piece)
        dim, number = self.grid.dim, self.grid.number(start)
        if array.shape[:dim] != self.grid.size or array.dtype.kind not in "biufc":
            raise PlanError(
                f"a piece must have shape {self.grid.size} and channels, if any; received {array.shape}, {array.dtype}"
            )
        if self._sums is None:
            self._begin(array)
        sums = self._sums
        if sums is None or array.shape[dim:] != sums.shape[dim:] or array.dtype != self._dtype:
            raise PlanError(
                f"the piece at {np.asarray(start).tolist()} has shape {array.shape}, {array.dtype}; those before had "
                f"{self.grid.size + (() if sums is None else sums.shape[dim:])}, {self._dtype}"
            )
        if self._seen[number]:
            raise PlanError(f"there was a piece at {np.asarray(start).tolist()} before")
        inner, outer = self._places(number)
        if self.how == "crop":
            sums[outer] = array[inner]
        else:
            part = array[inner].astype(sums.dtype)
            if self.how == "hann":
                for axis, weights in enumerate(self._weights):
                    part *= _along(weights[inner[axis]], axis, part.ndim)
            sums[outer] += part
        self._seen[number] = True

    def _begin(self, array: np.ndarray) -> None:
        self._dtype = array.dtype
        dtype = np.dtype(np.result_type(array.dtype, np.float64)) if self.how != "crop" else array.dtype
        self._sums = np.zeros(self.grid.shape + array.shape[self.grid.dim :], dtype)

    def _places(self, number: int) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
        """Which part of a window counts, and where it lies in the array."""
        inner, outer = [], []
        grid = self.grid
        cell = np.unravel_index(number, [len(starts) for starts in grid.axes])
        for starts, place, size, length in zip(grid.axes, cell, grid.size, grid.shape, strict=True):
            start = int(starts[place])
            first, stop = max(start, 0), min(start + size, length)
            if self.how == "crop" and place > 0:  # from the middle of what it shares with its neighbour
                first = (start + int(starts[place - 1]) + size + 1) // 2
            if self.how == "crop" and place + 1 < len(starts):
                stop = (int(starts[place + 1]) + start + size + 1) // 2
            inner.append(slice(first - start, stop - start))
            outer.append(slice(first, stop))
        return tuple(inner), tuple(outer)

    def result(self) -> np.ndarray:
        """The array `(*shape, ...)`, new: of the pieces' dtype, or float64 for means of whole numbers.

        Raises:
            PlanError: a window without a piece.
        """
        if self._sums is None or not self._seen.all():
            missing = np.flatnonzero(~self._seen)
            raise PlanError(
                f"{len(missing)} of {len(self.grid)} windows of {self.grid!r} have no piece, the first at "
                f"{self.grid.starts()[missing[0]].tolist()}"
            )
        if self.how == "crop":
            return self._sums.copy()
        made = self._sums.copy()
        for axis, total in enumerate(self._totals()):
            made /= _along(total, axis, made.ndim)
        return made.astype(self._dtype, copy=False) if self._dtype.kind in "fc" else made

    def _totals(self) -> list[np.ndarray]:
        """Sum of the weights at each place of each axis; their product is that of a pixel."""
        totals = []
        for length, starts, weights in zip(self.grid.shape, self.grid.axes, self._weights, strict=True):
            total = np.zeros(length)
            for start in starts.tolist():
                first, stop = max(start, 0), min(start + len(weights), length)
                total[first:stop] += weights[first - start : stop - start]
            totals.append(total)
        return totals


def stitch(pieces: Iterable[Any], grid: Grid, how: How = "mean", *, starts: Any = None) -> np.ndarray:
    """Pieces of an array, one for each window of a grid, as the array.

    Args:
        pieces: `(n, *size, ...)`, or any iterable of pieces `(*size, ...)`.
        grid: the windows.
        how: see `Stitcher`.
        starts: of the pieces, `(n, dim)`, in any order; None where they are in the order of the grid.

    Returns:
        `(*shape, ...)`, of the pieces' dtype, or float64 for means of whole numbers.

    Raises:
        PlanError: a window without a piece or with two, or pieces that do not fit; see `Stitcher`.

    Example:
        >>> from mtgen import sampling as S
        >>> tiles = S.grid((3, 3), 2)
        >>> stitch(np.ones((4, 2, 2, 1)), tiles).shape
        (3, 3, 1)
    """
    whole = Stitcher(grid, how)
    places = grid.starts() if starts is None else np.asarray(starts)
    if places.ndim != 2 or places.shape[1] != grid.dim:
        raise PlanError(f"starts must have shape (n, {grid.dim}), received {places.shape}")
    num = -1
    for num, piece in enumerate(pieces):
        if num >= len(places):
            raise PlanError(f"there are more pieces than starts; {len(places)} starts")
        whole.add(piece, places[num])
    if starts is not None and num + 1 < len(places):
        raise PlanError(f"{len(places)} starts need as many pieces, received {num + 1}")
    return whole.result()


def _axis_weights(size: int, how: str) -> np.ndarray:
    if how != "hann":
        return np.ones(size)
    return np.sin(np.pi * (np.arange(size) + 0.5) / size) ** 2


def _along(values: np.ndarray, axis: int, ndim: int) -> np.ndarray:
    """Values along one axis, for arrays of more."""
    return values.reshape([-1 if one == axis else 1 for one in range(ndim)])
