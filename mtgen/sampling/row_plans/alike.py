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
        self.ticks, self.counts, self.order = ticks, counts, order
        self.edges = np.cumsum(ticks * counts)
        self.starts = np.cumsum(counts) - counts


class Exchange:
    """The rows of each weight in the order of one epoch. Immutable; any thread.

    Args:
        alike: the rows of each weight.
        keys: uint64 `(k,)`, one for each weight: they decide the order of its rows.
    """

    def __init__(self, alike: Alike, keys: np.ndarray) -> None:
        self._alike, self._keys = alike, keys
        # Kept, for a mixture of many classes asks each of them in every batch.
        self._whole = Permutation(int(alike.counts[0]), int(keys[0])) if len(alike.ticks) == 1 else None

    def find(self, places: np.ndarray) -> np.ndarray:
        """The rows that stand at places of the line, int64 `(n,)` in [0, sum of all weights)."""
        alike = self._alike
        if self._whole is not None:
            found = self._whole.at(places // alike.ticks[0])
        else:
            which = np.searchsorted(alike.edges, places, side="right")
            ranks = (places - (alike.edges - alike.ticks * alike.counts)[which]) // alike.ticks[which]
            found = alike.starts[which] + self._exchanged(which, ranks)
        return found if alike.order is None else alike.order[found].astype(np.int64, copy=False)

    def _exchanged(self, which: np.ndarray, ranks: np.ndarray) -> np.ndarray:
        """The rank of the row that stands for each, among the rows of its weight."""
        counts, keys = self._alike.counts, self._keys
        found = np.empty(len(ranks), np.int64)
        rest = np.ones(len(ranks), bool)
        if len(ranks) > PART and len(counts) <= _FEW:
            # The same permutations, and faster for many rows of one weight.
            for number in np.flatnonzero(counts > SMALL).tolist():
                here = np.flatnonzero(which == number)
                found[here] = Permutation(int(counts[number]), int(keys[number])).at(ranks[here])
                rest[here] = False
        others = np.flatnonzero(rest)
        for start in range(0, len(others), PART):
            here = others[start : start + PART]
            found[here] = permuted(ranks[here], counts[which[here]], keys[which[here]])
        return found


def alike_of(ticks: np.ndarray, rows: np.ndarray | None = None) -> Alike | None:
    """The rows by weight; None where there are more than `MOST_WEIGHTS`.

    Args:
        ticks: int64 `(n,)` >= 0, weights of rows; those of weight 0 are left out.
        rows: int64 `(n,)`, which rows these are; None for 0 to n-1.
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
    order = order[zeros:] if rows is None else rows[order[zeros:]]
    small = np.int32 if order.max(initial=0) < 2**31 else np.int64
    return Alike(distinct[positive], counts[positive], order.astype(small))
