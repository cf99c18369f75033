"""Orders of one epoch over weighted rows: evenly spread, or drawn independently.

Evenly, the epoch of m positions lays m points on the sum W of the weights, W / m apart, all moved by one random
offset, and takes the row under each; which position has which point is a random permutation. A row of weight w is as
long as m w / W steps, and an interval of that length holds floor or ceil of it points wherever the points begin. So
each row comes floor or ceil of m w / W times, and, over offsets, m w / W times on average. With a random offset for
each point, as in stratified sampling, a row could come once more or less than that: its two ends lie in cells that it
shares with others. That is why there is one offset, new for each epoch.

Two light neighbours whose weights together are below one step exclude each other within an epoch; over epochs each
has its share. So that the neighbours are others in each epoch, rows of one weight change places (`alike.py`).
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from mtgen.sampling.bits import Bits, below
from mtgen.sampling.permutation import SMALL, Permutation
from mtgen.sampling.row_plans.alike import Exchange
from mtgen.sampling.row_plans.weights import EvenWeights, Weights
from mtgen.sampling.row_plans.whole import Line, shares_of

Bounds = tuple[np.ndarray, np.ndarray]
"""Least and most often that each row comes in an epoch, int64 `(num_rows,)` each."""


class RowOrder(Protocol):
    """The places of one epoch, in sequence, with random access. Immutable; any thread."""

    @property
    def size(self) -> int:
        """Positions."""
        ...

    def at(self, positions: np.ndarray) -> np.ndarray:
        """Places, int64 `(n,)`, at int64 `(n,)` positions in [0, size)."""
        ...

    def bounds(self) -> Bounds | None:
        """How often each row comes, at least and at most; None for independent draws, which promise nothing."""
        ...


class EvenOrder:
    """Each row floor or ceil of its share of the positions, at random places of the epoch.

    With equal weights and as many positions as rows a permutation; with twice as many each row comes twice.

    Args:
        weights: of the rows.
        size: positions, >= 0.
        bits: where the random words come from.

    Example:
        >>> from mtgen.sampling.row_plans.weights import weights_of
        >>> order = EvenOrder(weights_of([1, 0, 3]), 8, Bits(0))
        >>> np.bincount(order.at(np.arange(8))).tolist()
        [2, 0, 6]
    """

    def __init__(self, weights: Weights, size: int, bits: Bits) -> None:
        self.size, self._weights = size, weights
        self._steps = Permutation(size, bits.key("order"))
        offset = int(below(bits.words(np.zeros(1, np.int64), "offset"), weights.total)[0])
        self._line = Line(weights.total, max(size, 1), offset)
        # Where each row comes equally often, nothing is left out that an order of the rows could decide.
        whole = isinstance(weights, EvenWeights) and size % weights.num_rows == 0
        alike = None if whole else weights.alike
        self._exchange: Exchange | None = None
        if alike is not None:
            self._exchange = Exchange(alike, bits.words(np.arange(len(alike.ticks)), "alike"))

    def at(self, positions: np.ndarray) -> np.ndarray:
        """See `RowOrder.at`."""
        steps = self._steps.at(np.asarray(positions, np.int64))
        if len(steps) > SMALL and 4 * len(steps) > self.size:
            # Much of the epoch: the rows of all steps in turn, then picked, is quicker than many searches.
            return self._rows_under(np.arange(self.size))[steps]
        return self._rows_under(steps)

    def _rows_under(self, steps: np.ndarray) -> np.ndarray:
        places = self._line.at(steps, max(self.size - 1, 0))
        return self._weights.find(places) if self._exchange is None else self._exchange.find(places)

    def bounds(self) -> Bounds:
        """See `RowOrder.bounds`."""
        ticks = self._weights.ticks()
        return shares_of(ticks, self.size, self._weights.total)


class IndependentOrder:
    """Each position a draw of its own, with replacement.

    Args:
        weights: of the rows.
        size: positions, >= 0.
        bits: where the random words come from.

    Example:
        >>> from mtgen.sampling.row_plans.weights import weights_of
        >>> set(IndependentOrder(weights_of([0, 1, 1]), 99, Bits(0)).at(np.arange(99)).tolist())
        {1, 2}
    """

    def __init__(self, weights: Weights, size: int, bits: Bits) -> None:
        self.size, self._weights, self._bits = size, weights, bits

    def at(self, positions: np.ndarray) -> np.ndarray:
        """See `RowOrder.at`."""
        words = self._bits.words(np.asarray(positions, np.int64), "row")
        return self._weights.find(below(words, self._weights.total))

    def bounds(self) -> None:
        """See `RowOrder.bounds`."""
        return
