"""Orders of one epoch with a number of positions for each class, its rows in turn, spread over the epoch.

The epoch is cut into parts of some 4,096 positions. Each part has each class's share of it, to within one position,
in random places. The positions of a class take its rows in passes: all its rows once, in random order, then all once
more in another order. So copies of one row do not crowd: the k-th comes in the k-th pass, and passes follow each
other through the epoch.
"""

from __future__ import annotations

import numpy as np

from mtgen import seeds
from mtgen.sampling.bits import Bits
from mtgen.sampling.permutation import permuted
from mtgen.sampling.row_plans.orders import Bounds

PART_POSITIONS = 4_096
"""Positions in a part: as short as 2**20 sums for all parts and classes allow."""

_MOST_SUMS = 1 << 20


class Members:
    """The rows of each class, in one array. Immutable; any thread.

    Args:
        codes: int64 `(n,)`, class of each place in [0, num_classes), -1 for a row of none.
        num_classes: >= 1.

    Attributes:
        counts: rows of each class, int64 `(k,)`.
        num_rows: all places, those of no class too.
    """

    def __init__(self, codes: np.ndarray, num_classes: int) -> None:
        order = np.argsort(codes, kind="stable")
        self.num_rows = len(codes)
        self.counts = np.bincount(codes[codes >= 0], minlength=num_classes)
        self._places = order[len(codes) - int(self.counts.sum()) :]
        self._starts = np.cumsum(self.counts) - self.counts

    def place(self, classes: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        """The places of members: int64 `(n,)` classes and numbers in the class -> int64 `(n,)`."""
        return self._places[self._starts[classes] + numbers]

    def each(self, values: np.ndarray) -> np.ndarray:
        """A value of each class `(k,)` at all its rows: `(num_rows,)`, 0 for rows of none."""
        found = np.zeros(self.num_rows, values.dtype)
        found[self._places] = np.repeat(values, self.counts)
        return found


class ClassOrder:
    """`counts[c]` positions for each class c, its rows equally often, to within one.

    Args:
        members: the rows of each class.
        counts: int64 `(k,)`; 0 where a class has no rows.
        bits: where the random words come from.

    Example:
        >>> order = ClassOrder(Members(np.array([0, 0, 0, 1]), 2), np.array([2, 4]), Bits(0))
        >>> places = order.at(np.arange(6)); int((places == 3).sum()), len(set(places.tolist()))
        (4, 3)
    """

    def __init__(self, members: Members, counts: np.ndarray, bits: Bits) -> None:
        self.size = int(counts.sum())
        self._members, self._counts = members, counts
        num_classes = len(counts)
        num_parts = max(1, min(-(-self.size // PART_POSITIONS), _MOST_SUMS // num_classes))
        # Each class is cut at places of its own, so that small remainders do not fall on the same part.
        starts = bits.uniforms(np.arange(num_classes), "starts")
        edges = np.linspace(0, 1, num_parts + 1)[1:-1, None]
        self._ranks = np.zeros((num_parts + 1, num_classes), np.int64)
        self._ranks[1:-1] = np.minimum(np.floor(edges * counts + starts), counts)
        self._ranks[-1] = counts
        lengths = np.diff(self._ranks, axis=0).ravel()
        self._edges = np.concatenate([[0], np.cumsum(lengths)])
        self._parts = self._edges[::num_classes]
        self._part_key, self._pass_key = bits.key("parts"), bits.key("passes")

    def at(self, positions: np.ndarray) -> np.ndarray:
        """See `RowOrder.at`."""
        positions = np.asarray(positions, np.int64)
        parts = np.searchsorted(self._parts, positions, side="right") - 1
        starts = self._parts[parts]
        lengths = self._parts[parts + 1] - starts
        shuffled = starts + permuted(positions - starts, lengths, seeds.words(self._part_key, parts))
        cells = np.searchsorted(self._edges, shuffled, side="right") - 1
        classes = cells % len(self._counts)
        ranks = self._ranks[parts, classes] + shuffled - self._edges[cells]
        passes, numbers = np.divmod(ranks, self._members.counts[classes])
        keys = seeds.words(seeds.words(self._pass_key, classes), passes)
        return self._members.place(classes, permuted(numbers, self._members.counts[classes], keys))

    def bounds(self) -> Bounds:
        """See `RowOrder.bounds`."""
        rows = np.maximum(self._members.counts, 1)
        low, rest = np.divmod(self._counts, rows)
        return self._members.each(low), self._members.each(low + (rest > 0))
