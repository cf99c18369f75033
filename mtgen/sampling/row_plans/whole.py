"""Arithmetic on 64-bit integers whose products would not fit: whole parts of quotients, exact."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

_FITS = 1 << 63


class Line(NamedTuple):
    """The whole part of `(step * slope + offset) / divisor`, exact.

    Attributes:
        slope: >= 0.
        divisor: >= 1.
        offset: >= 0.
    """

    slope: int
    divisor: int
    offset: int

    def at(self, steps: np.ndarray, most: int) -> np.ndarray:
        """Values at int64 `(n,)` steps in [0, most], int64; they must be below 2**63.

        Example:
            >>> Line(7, 2, 1).at(np.arange(4), 3).tolist()
            [0, 4, 7, 11]
        """
        # (s * slope + offset) / divisor with a common factor taken out is the same once the offset is cut.
        common = math.gcd(self.slope, self.divisor)
        slope, divisor, offset = self.slope // common, self.divisor // common, self.offset // common
        whole, rest = divmod(slope, divisor)
        if most * rest + offset < _FITS:
            return steps * whole + (steps * rest + offset) // divisor
        exact = [(step * slope + offset) // divisor for step in steps.tolist()]
        return np.array(exact, np.int64)


def shares_of(ticks: np.ndarray, size: int, total: int) -> tuple[np.ndarray, np.ndarray]:
    """Floor and ceiling of `size * ticks / total`, exact, int64 `(n,)` each.

    Example:
        >>> [part.tolist() for part in shares_of(np.array([1, 2, 3]), 4, 6)]
        [[0, 1, 2], [1, 2, 2]]
    """
    common = math.gcd(size, total)
    size, total = size // common, total // common
    if not len(ticks) or int(ticks.max()) * size < _FITS:
        low, rest = np.divmod(ticks * size, total)
        return low, low + (rest > 0)
    distinct, which = np.unique(ticks, return_inverse=True)
    each = [divmod(one * size, total) for one in distinct.tolist()]
    low = np.array([one for one, _ in each], np.int64)
    return low[which], (low + [rest > 0 for _, rest in each])[which]
