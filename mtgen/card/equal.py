"""Which rows are alike: digests to class numbers, groups of equal rows, and what they do not share. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from mtgen.card.finding import SHOWN

NOTHING = -1
"""Code of a row that is like no other: nothing is known of it, or it does not count."""


def codes_of(digests: np.ndarray, known: np.ndarray | None = None) -> np.ndarray:
    """Number of the distinct value of each row.

    Args:
        digests: integers `(n, k)`: rows are equal where all k are.
        known: bool `(n,)`: the rows that count; None takes all.

    Returns:
        int64 `(n,)`, equal for equal rows; `NOTHING` where a row does not count.

    Example:
        >>> codes_of(np.array([[5, 1], [4, 1], [5, 1]], np.uint64)).tolist()
        [1, 0, 1]
    """
    codes = np.full(len(digests), NOTHING, np.int64)
    places = np.arange(len(digests)) if known is None else np.flatnonzero(known)
    if not len(places):
        return codes
    wanted = digests[places]
    order = np.lexsort(wanted.T[::-1])
    changes = (wanted[order[1:]] != wanted[order[:-1]]).any(axis=1)
    codes[places[order]] = np.concatenate([[0], np.cumsum(changes)])
    return codes


def together(*several: np.ndarray) -> np.ndarray:
    """Codes of rows that are alike in all of several codes; `NOTHING` where one of them has it.

    Example:
        >>> together(np.array([0, 0, 1, -1]), np.array([2, 2, 2, 2])).tolist()
        [0, 0, 1, -1]
    """
    stacked = np.stack(several, axis=1)
    return codes_of(stacked, (stacked != NOTHING).all(axis=1))


class Groups:
    """Groups of at least two rows of equal code.

    Args:
        codes: from `codes_of`.

    Example:
        >>> groups = Groups(np.array([3, 1, 3, -1, 1, 0]))
        >>> groups.num_rows, groups.num_groups, groups.first(np.arange(6) + 10)
        (4, 2, ((11, 14), (10, 12)))
    """

    def __init__(self, codes: np.ndarray) -> None:
        places = np.flatnonzero(codes != NOTHING)
        places = places[np.argsort(codes[places], kind="stable")]
        _, numbers, lengths = np.unique(codes[places], return_inverse=True, return_counts=True)
        several = lengths[numbers] > 1
        self.places = places[several]
        """Places of all rows of the groups, group after group."""
        _, self.numbers = np.unique(numbers[several], return_inverse=True)
        """Number of the group of each of them."""
        self.num_groups = int(self.numbers[-1]) + 1 if len(self.numbers) else 0

    @property
    def num_rows(self) -> int:
        """Rows in groups."""
        return len(self.places)

    def that_differ(self, other: np.ndarray) -> Groups:
        """The groups whose rows do not all have the same value of `other` `(n,)`; `NOTHING` differs from nothing."""
        values = other[self.places]
        known = values != NOTHING
        lowest = np.full(self.num_groups, np.iinfo(np.int64).max)
        highest = np.full(self.num_groups, np.iinfo(np.int64).min)
        np.minimum.at(lowest, self.numbers[known], values[known])
        np.maximum.at(highest, self.numbers[known], values[known])
        return self._with((lowest < highest)[self.numbers])

    def _with(self, kept: np.ndarray) -> Groups:
        made = object.__new__(Groups)
        made.places = self.places[kept]
        _, made.numbers = np.unique(self.numbers[kept], return_inverse=True)
        made.num_groups = int(made.numbers[-1]) + 1 if len(made.numbers) else 0
        return made

    def first(self, rows: np.ndarray, most: int = SHOWN) -> tuple[tuple[int, ...], ...]:
        """Rows of the first groups, the first of each group: `most` of both."""
        ends = np.searchsorted(self.numbers, np.arange(min(self.num_groups, most) + 1))
        return tuple(
            tuple(rows[self.places[start : min(stop, start + most)]].tolist())
            for start, stop in pairwise(ends.tolist())
        )

    def values(self, other: Sequence[int] | np.ndarray) -> list[int]:
        """The distinct values of `other` in these groups, sorted."""
        return [int(one) for one in np.unique(np.asarray(other)[self.places])]
