"""Columns side by side, and points of several laws in one array, so that every value survives; counts of positions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mtgen.errors import PlanError
from mtgen.settings import check_whole

MOST_POSITIONS = 2**63 - 1
"""Positions and rows are int64."""

EXACT = 1 << 53
"""Integers below it are exact in float64."""


def check_count(name: str, value: Any, least: int = 0) -> int:
    """A number of positions or rows, as an int.

    Raises:
        PlanError: no whole number from `least` to 2**63 - 1.
    """
    number = check_whole(name, value, least)
    if number > MOST_POSITIONS:
        raise PlanError(f"{name} must be below 2**63, for positions and rows are int64; received {number}")
    return number


def common_dtype(arrays: Sequence[np.ndarray]) -> np.dtype:
    """The dtype that holds every value of some arrays as it is; object where no other does.

    Text beside numbers stays text and numbers, integers above 2**53 do not become floats.

    Example:
        >>> common_dtype([np.array([1]), np.array([0.5])]), common_dtype([np.array(["a"]), np.array([0.5])])
        (dtype('float64'), dtype('O'))
        >>> common_dtype([np.array([2**53 + 1]), np.array([0.5])])
        dtype('O')
    """
    kinds = {array.dtype.kind for array in arrays}
    numbers = kinds <= set("biufc")
    if not (numbers or len(kinds) == 1) or "O" in kinds:
        return np.dtype(object)
    dtype = np.result_type(*(array.dtype for array in arrays))
    if dtype.kind in "fc":
        for array in arrays:
            if array.dtype.kind in "iu" and array.size and max(-int(array.min()), int(array.max())) > EXACT:
                return np.dtype(object)
    return dtype


def beside(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """Columns of arrays `(n, k)` side by side, in one new array."""
    dtype = common_dtype(arrays)
    return np.concatenate([array.astype(dtype, copy=False) for array in arrays], axis=1)


def joined(
    arrays: Sequence[np.ndarray], places: Sequence[np.ndarray], num: int, absent: Sequence[np.ndarray] = ()
) -> np.ndarray:
    """Points of several laws in one new array `(num, dim)`, those of `arrays[i]` at `places[i]`.

    `absent` are empty arrays of laws that may have no point here, so that the dtype does not depend on who has one.
    """
    out = np.empty((num, arrays[0].shape[1]), common_dtype([*arrays, *absent]))
    for array, where in zip(arrays, places, strict=True):
        out[where] = array
    return out
