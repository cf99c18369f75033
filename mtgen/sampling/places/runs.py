"""Pixels of an array as runs of equal weight: what masks and labels are kept as.

A run lies in one row, along the last axis. Labels of a volume have some runs per row however many pixels they cover,
so that the background of a scan of 500 MB takes a few MB.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from mtgen.errors import PlanError
from mtgen.sampling.places.cells import MOST_TOTAL, Cells
from mtgen.settings import check_unmasked, shown

SLAB = 1 << 20
"""Pixels looked at at once, about."""


def checked_array(what: str, array: Any) -> Any:
    """An array of numbers with at least one axis, as it is if it has `shape`, `dtype` and slices, as h5py's have.

    Raises:
        PlanError: something else, or an array without pixels.
    """
    check_unmasked(f"the array of {what}", array)
    if not all(hasattr(array, name) for name in ("shape", "dtype", "__getitem__")):
        try:
            array = np.asarray(array)
        except ValueError as error:
            raise PlanError(f"{what} needs an array of numbers, received {shown(array)}") from error
    if np.dtype(array.dtype).kind not in "biuf" or not len(array.shape) or not math.prod(array.shape):
        raise PlanError(
            f"{what} needs an array of numbers with one pixel at least, received shape {tuple(array.shape)}, "
            f"dtype {array.dtype}"
        )
    return array


def slabs(array: Any) -> Iterator[tuple[int, np.ndarray]]:
    """Parts of an array, in order: flat place of the first pixel, and the rows `(rows, width)`; a part at a time."""
    width = array.shape[-1]
    if isinstance(array, np.ndarray) and array.ndim > 1 and array.flags.c_contiguous:
        array = array.reshape(-1, width)
    stride = math.prod(array.shape[1:])
    step = max(1, SLAB // stride)
    for start in range(0, array.shape[0], step):
        part = np.asarray(array[start : start + step])
        yield start * stride, part.reshape(1, -1) if part.ndim == 1 else part.reshape(-1, width)


def equal_runs(first: int, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Runs of equal values in rows: flat places of their first pixels, lengths, values.

    Example:
        >>> [part.tolist() for part in equal_runs(10, np.array([[5, 5, 0], [0, 0, 7]]))]
        [[10, 12, 13, 15], [2, 1, 2, 1], [5, 0, 0, 7]]
    """
    changes = np.ones(rows.shape, bool)
    np.not_equal(rows[:, 1:], rows[:, :-1], out=changes[:, 1:])
    places = np.flatnonzero(changes)
    return places + first, np.diff(places, append=rows.size), rows.ravel()[places]


@dataclass(frozen=True, eq=False)
class Runs:
    """Runs of pixels in ascending order, none of them empty or of weight 0. Immutable; make them with `packed`.

    Attributes:
        shape: of the array.
        firsts: `(k,)`, flat place of each run's first pixel.
        lengths: `(k,)`, pixels of each run; None where all have one.
        weights: `(k,)`, weight of each pixel of a run; None where all are equal.
    """

    shape: tuple[int, ...]
    firsts: np.ndarray
    lengths: np.ndarray | None
    weights: np.ndarray | None

    @property
    def num(self) -> int:
        """Runs."""
        return len(self.firsts)

    @property
    def num_pixels(self) -> int:
        """Pixels in all runs."""
        return self.num if self.lengths is None else int(self.lengths.sum(dtype=np.int64))

    def _masses(self) -> np.ndarray | int:
        if self.weights is None:
            return self.num if self.lengths is None else self.lengths
        longest = 1 if self.lengths is None else int(self.lengths.max(initial=1))
        fits = self.weights.dtype.kind != "f" and int(self.weights.max(initial=0)) * longest < MOST_TOTAL
        weights = self.weights.astype(np.int64 if fits else np.float64)
        return weights if self.lengths is None else weights * self.lengths

    @cached_property
    def cells(self) -> Cells:
        """The choice of a run by its mass, in units of the weights."""
        return Cells(self._masses())

    def coordinates(self, run: np.ndarray, offset: np.ndarray | None) -> np.ndarray:
        """int64 `(n, dim)` of the pixels at offsets in runs; None for their first pixels."""
        places = self.firsts[run].astype(np.int64)
        if offset is not None:
            places += offset
        out = np.empty((len(run), len(self.shape)), np.int64)
        for axis, column in enumerate(np.unravel_index(places, self.shape)):
            out[:, axis] = column
        return out

    def weight_at(self, points: np.ndarray) -> np.ndarray:
        """Weight of the pixels at points `(n, dim)`, float64 `(n,)`; 0 elsewhere, and between pixels."""
        whole = np.floor(points)
        inside = ((whole == points) & (whole >= 0) & (whole < self.shape)).all(axis=1)
        found = np.zeros(len(points))
        if not inside.any() or not self.num:
            return found
        places = np.ravel_multi_index(tuple(whole[inside].astype(np.int64).T), self.shape)
        run = np.searchsorted(self.firsts, places, side="right") - 1
        offset = places - self.firsts[run]
        hit = (run >= 0) & (offset < (1 if self.lengths is None else self.lengths[run]))
        found[inside] = np.where(hit, 1.0 if self.weights is None else self.weights[run], 0.0)
        return found

    def boxed(self, low: np.ndarray, high: np.ndarray) -> Runs:
        """The runs cut by a box, `low <= pixel <= high`."""
        least = np.clip(np.ceil(low), 0, self.shape).astype(np.int64)
        most = np.clip(np.floor(high), -1, np.array(self.shape) - 1).astype(np.int64)
        stride = math.prod(self.shape[1:])
        begin = max(int(np.searchsorted(self.firsts, least[0] * stride, side="right")) - 1, 0)
        end = int(np.searchsorted(self.firsts, (most[0] + 1) * stride, side="left"))
        firsts = self.firsts[begin:end].astype(np.int64)
        lengths = np.ones(len(firsts), np.int64) if self.lengths is None else self.lengths[begin:end].astype(np.int64)
        rest, column = np.divmod(firsts, self.shape[-1])
        start, stop = np.maximum(column, least[-1]), np.minimum(column + lengths, most[-1] + 1)
        kept = start < stop
        for axis in range(len(self.shape) - 2, -1, -1):
            rest, place = np.divmod(rest, self.shape[axis])
            kept &= (place >= least[axis]) & (place <= most[axis])
        weights = None if self.weights is None else self.weights[begin:end][kept]
        return packed(self.shape, (firsts + (start - column))[kept], (stop - start)[kept], weights)

    def structure(self) -> tuple[Any, ...]:
        """See `Sampler.structure`."""
        return self.shape, self.firsts, self.lengths, self.weights


def packed(shape: Iterable[int], firsts: np.ndarray, lengths: np.ndarray, weights: np.ndarray | None) -> Runs:
    """Runs in the least memory: small integers, and nothing for lengths that are all 1 or weights that are equal."""
    shape = tuple(int(length) for length in shape)
    small = np.int32 if math.prod(shape) < 2**31 else np.int64
    if weights is not None and (not len(weights) or (weights == weights[0]).all()):
        weights = None
    kept_lengths = None if (lengths == 1).all() else lengths.astype(small)
    return Runs(shape, firsts.astype(small), kept_lengths, weights)


def joined_runs(shape: Iterable[int], parts: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray | None]]) -> Runs:
    """Runs of the parts of an array, which are in order."""
    if not parts:
        return packed(shape, np.empty(0, np.int64), np.empty(0, np.int64), None)
    firsts, lengths = (np.concatenate([part[column] for part in parts]) for column in (0, 1))
    known = [part[2] for part in parts if part[2] is not None]
    weights = np.concatenate(known) if known else None
    shape = tuple(shape)
    if len(shape) == 1 and len(firsts):  # the one row may have come in parts
        apart = np.append(True, firsts[1:] != firsts[:-1] + lengths[:-1])
        if weights is not None:
            apart[1:] |= weights[1:] != weights[:-1]
        begin = np.flatnonzero(apart)
        firsts, lengths = firsts[begin], np.add.reduceat(lengths, begin)
        weights = None if weights is None else weights[begin]
    return packed(shape, firsts, lengths, weights)
