"""A choice among many cells by their masses: the sums of the masses, and the cell at a random word.

Whole masses are summed in int64 and compared with whole words, so that nothing is rounded. A cell of mass 0 never
comes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mtgen.errors import EmptySupportError, PlanError
from mtgen.sampling.bits import below
from mtgen.sampling.sampler import is_number
from mtgen.settings import shown

MOST_TOTAL = 1 << 62
"""Sums of whole masses below it stay whole; above, they are float64."""


class Cells:
    """Cells with masses. Immutable; any thread.

    Args:
        masses: `(k,)` >= 0, finite, whole or real; or a number of cells of equal mass.

    Example:
        >>> cells = Cells(np.array([1, 0, 3]))
        >>> cells.at(np.array([0, 2**62, 2**64 - 1], np.uint64)).tolist(), cells.total
        ([0, 2, 2], 4)
    """

    def __init__(self, masses: np.ndarray | int) -> None:
        self.num = masses if isinstance(masses, int) else len(masses)
        self.total: float = masses if isinstance(masses, int) else total_of(masses)
        """Sum of the masses: an int where they are whole."""
        self.sums: np.ndarray | None = None
        """Sums up to each cell, int64, or float64 with 1 for the largest mass; None where all masses are equal."""
        self.num_unreachable = 0
        """Cells with a mass so small beside the others that the sums do not change, so that they never come."""
        if isinstance(masses, int):
            return
        if isinstance(self.total, int):
            self.sums = np.cumsum(masses, dtype=np.int64)
        else:
            self.sums = np.cumsum(np.divide(masses, float(masses.max(initial=0)) or 1.0, dtype=np.float64))
            self.num_unreachable = int(((np.diff(self.sums, prepend=0.0) <= 0) & (masses > 0)).sum())

    def at(self, words: np.ndarray) -> np.ndarray:
        """The cells at random words, int64 `(n,)`.

        Raises:
            EmptySupportError: there is no mass.
        """
        if not self.total > 0:
            raise EmptySupportError("there is nothing to draw from: no cell has a mass")
        if self.sums is None:
            return below(words, self.num)
        total = self.sums[-1]
        if self.sums.dtype.kind == "i":
            drawn = below(words, total)
        else:
            drawn = np.minimum((words >> np.uint64(11)) * 2.0**-53 * total, np.nextafter(total, 0))
        # From the right, so that a cell of mass 0, whose sum is that of the one before, is passed over.
        return np.searchsorted(self.sums, drawn, side="right")


def total_of(masses: np.ndarray) -> float:
    """The sum of masses: an int where they are whole, else a float."""
    with np.errstate(over="ignore"):
        total = float(masses.sum(dtype=np.float64))
    if masses.dtype.kind in "biu" and total < MOST_TOTAL:
        return int(masses.sum(dtype=np.int64))
    if not total < np.inf:
        raise PlanError("the sum of the weights is beyond float64; divide them all by one number")
    return total


def frozen(array: Any, dtype: Any = None) -> np.ndarray:
    """The array as one that nobody can write into: a copy, unless it is read-only as it is."""
    given = np.asarray(array, dtype)
    if given is array and not given.flags.writeable:
        return given
    made = np.array(given, order="C") if given is array or np.shares_memory(given, array) else given
    made.flags.writeable = False
    return made


def sealed(array: np.ndarray) -> np.ndarray:
    """An array that nobody else has, made read-only as it is."""
    array.flags.writeable = False
    return array


def whole_tuple(name: str, value: Any, dim: int | None = None, least: int = 1) -> tuple[int, ...]:
    """One whole number per axis as a tuple of ints; a single number is for all axes.

    Args:
        name: the setting.
        value: what was received.
        dim: how many axes; None if that is not known, and then a single number is for one.
        least: smallest number allowed.

    Raises:
        PlanError: anything else.

    Example:
        >>> whole_tuple("size", 64, dim=3), whole_tuple("size", np.array([2, 3]), dim=2)
        ((64, 64, 64), (2, 3))
    """
    given = [value] * (dim or 1) if is_number(value) else value
    if not isinstance(given, list | tuple | np.ndarray) or (isinstance(given, np.ndarray) and given.ndim != 1):
        raise PlanError(f"{name} must be a whole number or one for each axis, received {shown(value)}")
    if (dim is not None and len(given) != dim) or not len(given):
        raise PlanError(f"{name} must be a whole number or {dim} of them, one for each axis, received {shown(value)}")
    for one in given:
        if isinstance(one, bool | np.bool_) or not isinstance(one, int | np.integer) or one < least:
            raise PlanError(f"{name} must be whole numbers >= {least}, received {shown(value)}")
    return tuple(int(one) for one in given)
