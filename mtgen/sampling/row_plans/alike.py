"""Rows of equal weight, exchanged at random: so that no order of the table shows in what an epoch leaves out.

An even order takes the rows under points that lie equally far apart. Of rows that come in turn, such as left and
right eyes, two steps take all of one kind and none of the other. Rows of one weight may stand for each other without
a change of what each is promised, so each weight has a part of the line, and the rows in it a random order, new for
each epoch. Laws with as many weights as rows are left as they are.
"""

from __future__ import annotations

import numpy as np

from mtgen.sampling.permutation import PART, SMALL, Permutation, permuted

MOST_WEIGHTS = 1_024
"""Different weights, at most, for rows to be taken by weight."""

_FEW = 64
"""Weights that are looked for one by one."""

_LOOKED_AT = 65_536
"""Rows by which to tell whether there are more."""


class Alike:
    """The rows of each weight, those of the smallest first. Immutable; any thread.

    Args:
        ticks: int64 `(k,)` > 0, ascending: the different weights.
        counts: int64 `(k,)`, rows of each.
        order: the rows by weight, `(n,)`; None where all rows have one weight.
    """

    def __init__(self, ticks: np.ndarray, counts: np.ndarray, order: np.ndarray | None) -> None:
        self.ticks, self.counts, self._order = ticks, counts, order
        self._edges = np.cumsum(ticks * counts)
        self._starts = np.cumsum(counts) - counts

    def find(self, places: np.ndarray, keys: np.ndarray) -> np.ndarray:
        """The rows that stand at places of the line, int64 `(n,)` in [0, sum of all weights).

        Args:
            places: on the line.
            keys: uint64 `(k,)`, one for each weight: they decide the order of its rows.
        """
        if len(self.ticks) == 1:
            found = Permutation(int(self.counts[0]), int(keys[0])).at(places // self.ticks[0])
        else:
            which = np.searchsorted(self._edges, places, side="right")
            ranks = (places - (self._edges - self.ticks * self.counts)[which]) // self.ticks[which]
            found = self._starts[which] + self._exchanged(which, ranks, keys)
        return found if self._order is None else self._order[found].astype(np.int64, copy=False)

    def _exchanged(self, which: np.ndarray, ranks: np.ndarray, keys: np.ndarray) -> np.ndarray:
        """The rank of the row that stands for each, among the rows of its weight."""
        found = np.empty(len(ranks), np.int64)
        rest = np.ones(len(ranks), bool)
        if len(ranks) > PART and len(self.ticks) <= _FEW:
            # The same permutations, and faster for many rows of one weight.
            for number in np.flatnonzero(self.counts > SMALL).tolist():
                here = np.flatnonzero(which == number)
                found[here] = Permutation(int(self.counts[number]), int(keys[number])).at(ranks[here])
                rest[here] = False
        others = np.flatnonzero(rest)
        for start in range(0, len(others), PART):
            here = others[start : start + PART]
            found[here] = permuted(ranks[here], self.counts[which[here]], keys[which[here]])
        return found


def alike_of(ticks: np.ndarray) -> Alike | None:
    """The rows by weight; None where there are more than `MOST_WEIGHTS`.

    Args:
        ticks: int64 `(n,)` >= 0, weights of rows; those of weight 0 are left out.
    """
    distinct = np.unique(ticks[:_LOOKED_AT])
    if len(distinct) > MOST_WEIGHTS:
        return None
    codes = np.minimum(np.searchsorted(distinct, ticks), len(distinct) - 1)
    other = distinct[codes] != ticks
    if other.any():
        distinct = np.unique(np.concatenate([distinct, np.unique(ticks[other])]))
        if len(distinct) > MOST_WEIGHTS:
            return None
        codes = np.searchsorted(distinct, ticks)
    counts = np.bincount(codes, minlength=len(distinct))
    order = np.argsort(codes.astype(np.uint16), kind="stable")
    zeros = int(counts[0]) if distinct[0] == 0 else 0
    positive = distinct > 0
    small = np.int32 if len(ticks) < 2**31 else np.int64
    return Alike(distinct[positive], counts[positive], order[zeros:].astype(small))
