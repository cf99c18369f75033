"""From weights to whole ticks: what can be a weight, and the power of two that they are scaled by."""

from __future__ import annotations

import math

import numpy as np

from mtgen.errors import EmptySupportError, PlanError
from mtgen.settings import shown

MOST_TICKS = 1 << 61
"""Ticks of all rows together, but for roundings; whole weights may have twice as many."""


def checked(values: np.ndarray, start: int = 0) -> np.ndarray:
    """Weights that can be weights.

    Args:
        values: a part of them.
        start: place of the first, for the message.

    Raises:
        PlanError: see `weights_of`.
    """
    if values.dtype.kind not in "iuf":
        one = shown(values.ravel().tolist()[0]) if values.size and values.dtype.kind in "bOU" else ""
        raise PlanError(f"weights must be real numbers >= 0, received {values.dtype} {one}".rstrip())
    if values.dtype.itemsize > 8:  # float64 is what they are computed in, and may not hold them
        given = values
        with np.errstate(over="ignore", under="ignore"):
            values = given.astype(np.float64)
        if ((values == 0) & (given > 0)).any():
            raise PlanError("weights are computed in float64, where some of these positive ones are 0; scale them")
    good = values >= 0
    if values.dtype.kind == "f":
        good &= values < np.inf
    if not good.all():
        place = int(np.argmin(good))
        raise PlanError(f"weights must be finite and >= 0, received {values[place]} at place {start + place}")
    return values


class Scale:
    """Finds the power of two that brings weights to ticks, part by part. One thread.

    Attributes:
        num_positive: weights above 0 so far.
        shift: exponent of the power, once closed; None for whole weights that stay as they are.
    """

    def __init__(self) -> None:
        self.num_positive = 0
        self.shift: int | None = None
        self._whole = True
        self._sum = 0
        self._parts: list[tuple[float, int]] = []

    def add(self, values: np.ndarray) -> None:
        """One more part of the weights, checked."""
        self.num_positive += int(np.count_nonzero(values))
        self._whole = self._whole and values.dtype.kind in "iu"
        if self._whole:
            # In halves, so that no sum of 64-bit numbers wraps around.
            words = values.astype(np.uint64)
            self._sum += (int((words >> np.uint64(32)).sum()) << 32) + int((words & np.uint64(0xFFFFFFFF)).sum())
        values = values.astype(np.float64)
        exponent = int(np.frexp(values.max(initial=0))[1])
        # Scaled by the largest, so that the sum of huge ones is finite and that of tiny ones is not 0.
        self._parts.append((float(_scaled(values, -exponent).sum()), exponent))

    def close(self) -> None:
        """Set the shift: None for whole weights that stay as they are.

        Raises:
            EmptySupportError: all weights are 0.
        """
        if not self.num_positive:
            raise EmptySupportError("all weights are 0, so no row can come; at least one must be > 0")
        if self._whole and self._sum < 2 * MOST_TICKS:
            return
        most = max(exponent for value, exponent in self._parts if value)
        total = sum(math.ldexp(value, max(exponent - most, -1_000)) for value, exponent in self._parts if value)
        self.shift = MOST_TICKS.bit_length() - 1 - math.frexp(total)[1] - most


def ticks_of(values: np.ndarray, shift: int | None) -> np.ndarray:
    """Checked weights as ticks, int64 `(n,)`, by the shift of a closed `Scale`. Pure."""
    if shift is None:
        return values.astype(np.int64)
    return np.rint(_scaled(values.astype(np.float64), shift)).astype(np.int64)


def _scaled(values: np.ndarray, exponent: int) -> np.ndarray:
    """Values times a power of two; as a product where the power is a float, which is several times quicker."""
    return values * 2.0**exponent if abs(exponent) < 1_000 else np.ldexp(values, exponent)
