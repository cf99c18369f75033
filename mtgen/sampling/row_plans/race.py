"""Orders without replacement: each row at most once, heavy rows early.

The first row is drawn by weight, the second by weight among the others, and so on. That is the order in which the
rows arrive in a race of exponential times: row i at `E_i / w_i` (Efraimidis and Spirakis, "Weighted random sampling
with a reservoir", Information Processing Letters 97, 2006). The first row is i with probability `w_i / W`; whether a
row is among the first k is not `k w_i / W`: what is drawn early cannot be drawn again.
"""

from __future__ import annotations

import math

import numpy as np

from mtgen.sampling.bits import Bits
from mtgen.sampling.permutation import Permutation
from mtgen.sampling.row_plans.orders import Bounds
from mtgen.sampling.row_plans.weights import EvenWeights, Weights

_ERROR = 2.0**-40
"""Far more than the relative error of a platform's logarithm."""

_TERMS = 12
"""Terms of the series of the logarithm: the argument is below 0.172, its square below 0.0295."""


class RaceOrder:
    """The first `size` rows of a race by weight; rows of weight 0 after all others, if `size` asks for them.

    Costs a pass over the rows when it is made, and holds the order: 8 bytes per position. Equal weights hold nothing.

    Args:
        weights: of the rows.
        size: positions, in [0, number of rows that there are].
        bits: where the random words come from.
        among: bool `(num_rows,)`, rows that there are; None for all.

    Example:
        >>> from mtgen.sampling.row_plans.weights import weights_of
        >>> sorted(RaceOrder(weights_of([1, 0, 3]), 2, Bits(0)).at(np.arange(2)).tolist())
        [0, 2]
    """

    def __init__(self, weights: Weights, size: int, bits: Bits, among: np.ndarray | None = None) -> None:
        self.size, self._weights, self._among = size, weights, among
        self._order = None if isinstance(weights, EvenWeights) else _race(weights, size, bits, among)
        self._even = Permutation(weights.num_rows, bits.key("order"))

    def at(self, positions: np.ndarray) -> np.ndarray:
        """See `RowOrder.at`."""
        positions = np.asarray(positions, np.int64)
        return self._even.at(positions) if self._order is None else self._order[positions]

    def bounds(self) -> Bounds:
        """See `RowOrder.bounds`: a row that must come comes once, no row twice."""
        ticks = self._weights.ticks()
        some = np.ones(len(ticks), bool) if self._among is None else self._among
        filled = self.size - self._weights.num_positive
        low = (ticks > 0) & (filled >= 0) | some & (self.size == some.sum())
        high = (ticks > 0) | some & (filled > 0)
        return low.astype(np.int64), high.astype(np.int64)


def _race(weights: Weights, size: int, bits: Bits, among: np.ndarray | None) -> np.ndarray:
    ticks = weights.ticks()
    positive = np.flatnonzero(ticks)
    first = min(size, len(positive))
    uniforms = bits.inner_uniforms(positive, "race")
    times = -np.log(uniforms) / ticks[positive]
    if first < len(positive):
        # The platform's logarithm chooses candidates, generously; the one below, the same everywhere, decides.
        last = np.partition(times, first - 1)[first - 1] if first else 0.0
        near = np.flatnonzero(times <= last * (1 + _ERROR))
        positive, uniforms = positive[near], uniforms[near]
    times = -logarithms(uniforms) / ticks[positive]
    order = positive[np.argsort(times, kind="stable")[:first]]
    if size > first:
        zeros = np.flatnonzero(ticks == 0 if among is None else among & (ticks == 0))
        last_ones = np.argsort(bits.words(zeros, "filled"), kind="stable")[: size - first]
        order = np.concatenate([order, zeros[last_ones]])
    order.flags.writeable = False
    return order


def logarithms(values: np.ndarray) -> np.ndarray:
    """Natural logarithms by additions, multiplications and divisions alone, so that all machines agree in each bit.

    `log x = e log 2 + 2 atanh((m - 1) / (m + 1))` for `x = m 2**e`, m from sqrt(1/2) to sqrt(2); the relative error is
    below 1e-14.

    Args:
        values: float64 > 0, not subnormal.

    Example:
        >>> bool(abs(logarithms(np.array([0.3]))[0] - np.log(0.3)) < 1e-15)
        True
    """
    mantissas, exponents = np.frexp(values)
    low = mantissas < math.sqrt(0.5)
    mantissas, exponents = np.where(low, 2 * mantissas, mantissas), exponents - low
    ratio = (mantissas - 1) / (mantissas + 1)
    square = ratio * ratio
    series = np.zeros_like(ratio)
    for term in range(_TERMS, -1, -1):
        series = series * square + 1 / (2 * term + 1)
    return np.asarray(exponents * math.log(2) + 2 * ratio * series)
