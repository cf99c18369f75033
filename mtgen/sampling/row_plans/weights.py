"""Weights of rows as whole numbers, and the row that a number below their sum falls on.

A weight becomes a whole number of ticks, of which all rows together have fewer than 2**62: whole weights as they are,
others scaled by a power of two and rounded. So sums are exact, in any order, and what is promised about counts is
proved in integers; the rounding of a weight is 2**-62 of the sum, finer than a sum of floats. A row of weight 0 has
no tick, and no number falls on it.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import pandas as pd

from mtgen import seeds
from mtgen.errors import PlanError
from mtgen.sampling.row_plans.alike import Alike, alike_of
from mtgen.sampling.row_plans.ticks import Scale, checked, ticks_of
from mtgen.settings import check_unmasked, shown

BLOCK_ROWS = 4_096
"""Rows of which a sum and a check are kept for weights that stay on disk: 4 MB for a billion rows, 32 KiB read for a
row."""

_MARKS = seeds.words(0, np.arange(BLOCK_ROWS))
"""A factor for each row of a block. The sum of the weights with these factors, without what exceeds 64 bits, changes
when weights change places, which no plain sum sees."""

_READ_ROWS = 1 << 20
"""Rows read at once while weights are summed, 8 MiB."""

_FEW = 4
"""Of so many rows at most one can come where only those that can are held."""

_SORTED_SEARCH = 4_096
"""Numbers from which on it pays to search in ascending order, where neighbours find their rows in cache."""


class Weights(Protocol):
    """Weights of rows in ticks. Immutable; any thread."""

    @property
    def num_rows(self) -> int:
        """Rows, those of weight 0 too."""
        ...

    @property
    def num_positive(self) -> int:
        """Rows that can come."""
        ...

    @property
    def total(self) -> int:
        """Ticks of all rows, >= 1, below 2**62."""
        ...

    @property
    def num_lost(self) -> int:
        """Rows of positive weight that is less than half a tick; they cannot come."""
        ...

    def find(self, ticks: np.ndarray) -> np.ndarray:
        """The place of the row that each tick belongs to: int64 `(n,)` in [0, total) -> int64 `(n,)`."""
        ...

    def ticks(self, places: np.ndarray | None = None) -> np.ndarray:
        """Ticks of rows, int64 `(n,)`; of all rows in a new array, which is quicker than asking for each."""
        ...

    @property
    def alike(self) -> Alike | None:
        """The rows by weight; None where there are too many weights, or the rows stay on disk."""
        ...

    def structure(self) -> tuple[Any, ...]:
        """What decides the weights: plain values and arrays."""
        ...


@dataclass(frozen=True)
class EvenWeights:
    """Every row the same weight; holds nothing.

    Example:
        >>> EvenWeights(3).find(np.array([2, 0])).tolist()
        [2, 0]
    """

    num_rows: int
    num_lost: int = 0

    @property
    def num_positive(self) -> int:
        """See `Weights`."""
        return self.num_rows

    @property
    def total(self) -> int:
        """See `Weights`."""
        return self.num_rows

    def find(self, ticks: np.ndarray) -> np.ndarray:
        """See `Weights.find`."""
        return ticks

    def ticks(self, places: np.ndarray | None = None) -> np.ndarray:
        """See `Weights.ticks`."""
        return np.ones(self.num_rows if places is None else len(places), np.int64)

    @property
    def alike(self) -> Alike:
        """See `Weights.alike`."""
        return Alike(np.ones(1, np.int64), np.array([self.num_rows]), None)

    def structure(self) -> tuple[Any, ...]:
        """See `Weights.structure`."""
        return "even", self.num_rows


class HeldWeights:
    """Weights as sums in memory, 8 bytes per row; 16 per row that can come where those are few.

    Args:
        ticks: int64 `(n,)` >= 0, summing to 1 at least and less than 2**62; the array is taken over.
        num_lost: see `Weights`.

    Example:
        >>> weights = HeldWeights(np.array([2, 0, 1])); weights.find(np.array([0, 1, 2])).tolist()
        [0, 0, 2]
    """

    def __init__(self, ticks: np.ndarray, num_lost: int = 0) -> None:
        self.num_rows, self.num_positive = len(ticks), int(np.count_nonzero(ticks))
        self._rows: np.ndarray | None = None
        if _FEW * self.num_positive <= self.num_rows:  # one of many classes
            self._rows = np.flatnonzero(ticks)
            ticks = ticks[self._rows]
        self._sums = np.cumsum(ticks, out=ticks)
        self._sums.flags.writeable = False
        self.total, self.num_lost = int(self._sums[-1]), num_lost

    def find(self, ticks: np.ndarray) -> np.ndarray:
        """See `Weights.find`."""
        found = _search(self._sums, ticks)
        return found if self._rows is None else self._rows[found]

    def ticks(self, places: np.ndarray | None = None) -> np.ndarray:
        """See `Weights.ticks`."""
        if places is None:
            each = np.diff(self._sums, prepend=0)
            if self._rows is None:
                return each
            all_ticks = np.zeros(self.num_rows, np.int64)
            all_ticks[self._rows] = each
            return all_ticks
        if self._rows is None:
            return self._sums[places] - np.where(places > 0, self._sums[places - 1], 0)
        at = np.minimum(np.searchsorted(self._rows, places), len(self._rows) - 1)
        own = self._sums[at] - np.where(at > 0, self._sums[at - 1], 0)
        return np.where(self._rows[at] == places, own, 0)

    @cached_property
    def alike(self) -> Alike | None:
        """See `Weights.alike`: made when it is first asked for, 4 bytes per row that can come."""
        return alike_of(np.diff(self._sums, prepend=0), self._rows)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "alike"}

    def structure(self) -> tuple[Any, ...]:
        """See `Weights.structure`."""
        return "held", self.num_rows, self._rows, self._sums


class BlockWeights:
    """Weights that stay where they are, such as a memory-mapped file: one sum and one check per block of rows are kept.

    Read twice when it is made, and then a block for each row that is looked up. A change of the weights afterwards is
    refused where it is met.

    Args:
        values: what slices give real numbers >= 0 and has a length, such as `np.memmap`.

    Raises:
        PlanError: see `weights_of`.
        EmptySupportError: all are 0.
    """

    alike: Alike | None = None

    def __init__(self, values: Any) -> None:
        self._values = values
        self.num_rows = len(values)
        scale = Scale()
        for start, part in self._parts():
            scale.add(checked(part, start))
        scale.close()
        self._shift = scale.shift
        sums: list[np.ndarray] = []
        checks: list[np.uint64] = []
        self.num_positive = 0
        for start, part in self._parts():
            ticks = ticks_of(checked(part, start), self._shift)
            self.num_positive += int(np.count_nonzero(ticks))
            firsts = range(0, len(ticks), BLOCK_ROWS)
            sums.append(np.add.reduceat(ticks, firsts))
            checks += [_check_of(ticks[first : first + BLOCK_ROWS]) for first in firsts]
        self._sums, self._checks = np.cumsum(np.concatenate(sums)), np.array(checks)
        self.total = int(self._sums[-1])
        self.num_lost = scale.num_positive - self.num_positive

    def _parts(self) -> Iterator[tuple[int, np.ndarray]]:
        for start in range(0, self.num_rows, _READ_ROWS):
            yield start, np.asarray(self._values[start : start + _READ_ROWS])

    def find(self, ticks: np.ndarray) -> np.ndarray:
        """See `Weights.find`."""
        blocks = _search(self._sums, ticks)
        found = np.empty(len(ticks), np.int64)
        order = np.argsort(blocks, kind="stable")
        for here in np.split(order, np.flatnonzero(np.diff(blocks[order])) + 1):
            if len(here):
                block = int(blocks[here[0]])
                sums = self._block_sums(block)
                before = int(self._sums[block - 1]) if block else 0
                found[here] = block * BLOCK_ROWS + np.searchsorted(sums, ticks[here] - before, side="right")
        return found

    def ticks(self, places: np.ndarray | None = None) -> np.ndarray:
        """See `Weights.ticks`."""
        if places is None:
            return np.concatenate([ticks_of(checked(part, start), self._shift) for start, part in self._parts()])
        found = np.empty(len(places), np.int64)
        order = np.argsort(places, kind="stable")
        blocks = places[order] // BLOCK_ROWS
        for here in np.split(order, np.flatnonzero(np.diff(blocks)) + 1):
            if len(here):
                block = int(places[here[0]]) // BLOCK_ROWS
                found[here] = np.diff(self._block_sums(block), prepend=0)[places[here] - block * BLOCK_ROWS]
        return found

    def _block_sums(self, block: int) -> np.ndarray:
        start = block * BLOCK_ROWS
        values = checked(np.asarray(self._values[start : min(start + BLOCK_ROWS, self.num_rows)]), start)
        ticks = ticks_of(values, self._shift)
        sums = np.cumsum(ticks)
        due = int(self._sums[block]) - (int(self._sums[block - 1]) if block else 0)
        if int(sums[-1]) != due or _check_of(ticks) != self._checks[block]:
            raise PlanError(
                f"the weights of rows {start} to {start + len(values) - 1} have changed since the law was made. Make "
                "the law again"
            )
        return sums

    def structure(self) -> tuple[Any, ...]:
        """See `Weights.structure`: the length, and the sums and checks of the blocks."""
        return "held in blocks", self.num_rows, self._shift, self._sums, self._checks


def weights_of(values: Any, num_rows: int | None = None) -> Weights:
    """Checked weights. Arrays in memory, lists and Series are summed; anything else that slices stays where it is.

    Pure, but for reading `values`.

    Args:
        values: `(n,)` real numbers >= 0, not all 0.
        num_rows: the number of rows they must have; None for any.

    Raises:
        PlanError: another length, more than one dimension, no rows; a value that is negative, NaN, infinite or no
            real number, True and False among them.
        EmptySupportError: all are 0.

    Example:
        >>> weights = weights_of([0.5, 0, 1.5]); weights.find(np.array([0, weights.total - 1])).tolist()
        [0, 2]
    """
    check_unmasked("weights", values)
    in_blocks = isinstance(values, np.memmap) or not isinstance(values, np.ndarray | list | tuple | pd.Series)
    if isinstance(values, pd.Series):
        if values.isna().any():
            raise PlanError(f"weights must be numbers >= 0; the column has {int(values.isna().sum())} missing values")
        values = values.to_numpy()
    if isinstance(values, list | tuple) and any(isinstance(one, bool | np.bool_) for one in values):
        raise PlanError(f"weights must be real numbers >= 0, received True or False among them: {shown(values)}")
    if not in_blocks:
        try:
            values = np.asarray(values)
        except ValueError as error:
            raise PlanError(f"weights must be a list of numbers >= 0, received {shown(values)}") from error
    shape = getattr(values, "shape", None)
    if shape is None or not hasattr(values, "__getitem__"):
        raise PlanError(f"weights must be an array, a list or a column of numbers >= 0, received {shown(values)}")
    if len(shape) != 1 or not shape[0]:
        raise PlanError(f"weights must have one dimension and a number for each row, received shape {tuple(shape)}")
    if num_rows is not None and shape[0] != num_rows:
        raise PlanError(f"there must be one weight for each of {num_rows} rows, received {shape[0]}")
    weights = BlockWeights(values) if in_blocks else _held(values)
    if weights.num_lost:
        warnings.warn(
            f"{weights.num_lost} rows have a positive weight that is less than 1 in 2**62 of the sum, so they never "
            "come. Give weights that are not so far apart, or 0",
            stacklevel=2,
        )
    return weights


def _held(values: np.ndarray) -> HeldWeights:
    scale = Scale()
    for start in range(0, len(values), _READ_ROWS):
        scale.add(checked(values[start : start + _READ_ROWS], start))
    scale.close()
    ticks = np.empty(len(values), np.int64)
    for start in range(0, len(values), _READ_ROWS):
        ticks[start : start + _READ_ROWS] = ticks_of(values[start : start + _READ_ROWS], scale.shift)
    return HeldWeights(ticks, scale.num_positive - int(np.count_nonzero(ticks)))


def _check_of(ticks: np.ndarray) -> np.uint64:
    """The sum of a block's ticks by the marks of their rows."""
    return np.uint64(np.dot(ticks.view(np.uint64), _MARKS[: len(ticks)]))


def _search(sums: np.ndarray, ticks: np.ndarray) -> np.ndarray:
    """First row whose sum is above the tick: from the right, so that rows without ticks are passed over."""
    if len(ticks) < _SORTED_SEARCH or (ticks[1:] >= ticks[:-1]).all():
        return np.searchsorted(sums, ticks, side="right")
    order = np.argsort(ticks)
    found = np.empty(len(ticks), np.int64)
    found[order] = np.searchsorted(sums, ticks[order], side="right")
    return found
