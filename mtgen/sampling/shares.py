"""Shares of a mixture kept in every block of positions: which component stands at which position.

In a block of B positions component j has `floor(B s_j + u) - floor(B s_(j-1) + u)` of them, where s_j is the sum of
the shares up to j and u is uniform on [0, 1), one for the block. So every count is within one of B p_j and B p_j on
average. The components are then shuffled inside the block. All of it is integer arithmetic: a share is a whole number
of ticks, of which a position has 2**31 at least.
"""

from __future__ import annotations

import numpy as np

from mtgen import seeds
from mtgen.errors import PlanError
from mtgen.sampling.permutation import permuted

MOST_BLOCK = 2**31 - 1
"""Positions of a block, at most: so many bits are left for the ticks."""

SORTED_BLOCK = 4_096
"""Positions of a block that are shuffled by sorting random words; larger ones by a network that holds nothing."""

_SORTED_AT_ONCE = 2**20
"""Words sorted at once, 8 MiB."""


def components(shares: np.ndarray, key: int, positions: np.ndarray, block: int | None) -> np.ndarray:
    """The component at each position of a mixture.

    A pure function of each position alone. Any thread.

    Args:
        shares: float64 `(k,)` >= 0, summing to 1.
        key: int in [0, 2**64), from `mtgen.seeds.key`.
        positions: int64 `(n,)` >= 0, any order.
        block: positions per block, in each of which the shares are kept; None for independent draws.

    Returns:
        int64 `(n,)` in [0, k); a component whose share is 0 never comes.

    Raises:
        PlanError: shares that are not the shares of anything, or a block that is no integer in [1, 2**31).

    Example:
        >>> found = components(np.array([0.25, 0.75]), 7, np.arange(8), block=4)
        >>> sorted(found[:4].tolist()), sorted(found[4:].tolist())
        ([0, 1, 1, 1], [0, 1, 1, 1])
    """
    positions = np.asarray(positions, np.int64)
    if block is not None:
        return Shares(shares, key, block).places(positions)[0]
    cumulative = np.cumsum(_checked_shares(shares))
    cumulative /= cumulative[-1]
    uniforms = (seeds.words(key, positions) >> np.uint64(11)) * 2.0**-53
    # From the right, so that a component without a share, whose sum is that of the one before, is passed over.
    return np.searchsorted(cumulative, uniforms, side="right")


class Shares:
    """Components of a mixture in blocks, and the rank of each among those of its kind in its block.

    Immutable. Any thread.

    Args:
        shares: float64 `(k,)` >= 0, summing to 1.
        key: int in [0, 2**64).
        block: positions per block, in [1, 2**31).
        start: first position of block 0, so that a short block at the end of an epoch can have shares of its own.

    Raises:
        PlanError: see `components`.
    """

    def __init__(self, shares: np.ndarray, key: int, block: int, start: int = 0) -> None:
        whole = isinstance(block, int | np.integer) and not isinstance(block, bool)
        if not whole or not 1 <= block <= MOST_BLOCK:
            raise PlanError(f"block must be an integer from 1 to {MOST_BLOCK}, received {block!r}")
        self.block, self._start = int(block), start
        self._bits = np.int64(62 - self.block.bit_length())
        self._ticks = _ticks(_checked_shares(shares), self.block, int(self._bits))
        self._offset_key, self._shuffle_key = seeds.key(key, "shares/offset"), seeds.key(key, "shares/shuffle")

    def edges(self, blocks: np.ndarray) -> np.ndarray:
        """Where the components of each block begin and end before the shuffle.

        Args:
            blocks: int64 `(n,)`, numbers of blocks.

        Returns:
            int64 `(n, k + 1)`; component j has the places from column j to before column j + 1.
        """
        found = np.zeros((len(blocks), len(self._ticks) + 1), np.int64)
        found[:, 1:] = (self._ticks[None, :] + self._offsets(blocks)[:, None]) >> self._bits
        return found

    def places(self, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Component of each position, and its rank among those of that component in its block; both int64 `(n,)`."""
        blocks, slots = np.divmod(positions - self._start, self.block)
        shuffled = self._shuffled(blocks, slots)
        offsets = self._offsets(blocks)
        found = np.searchsorted(self._ticks, ((shuffled + 1) << self._bits) - offsets, side="left")
        before = np.where(found > 0, (self._ticks[found - 1] + offsets) >> self._bits, 0)
        return found, shuffled - before

    def _offsets(self, blocks: np.ndarray) -> np.ndarray:
        """The u of each block, in ticks: int64 in [0, 2**bits)."""
        return (seeds.words(self._offset_key, blocks) >> np.uint64(64 - int(self._bits))).astype(np.int64)

    def _shuffled(self, blocks: np.ndarray, slots: np.ndarray) -> np.ndarray:
        """Each slot's place in a random permutation of its block."""
        if self.block > SORTED_BLOCK:
            keys = seeds.words(self._shuffle_key, blocks)
            return permuted(slots, np.full(len(slots), self.block), keys)
        distinct, which = np.unique(blocks, return_inverse=True)
        found = np.empty_like(slots)
        at_once = max(1, _SORTED_AT_ONCE // self.block)
        for first in range(0, len(distinct), at_once):
            inside = (which >= first) & (which < first + at_once)
            counters = distinct[first : first + at_once, None] * self.block + np.arange(self.block)
            order = np.argsort(seeds.words(self._shuffle_key, counters), axis=1, kind="stable")
            found[inside] = order[which[inside] - first, slots[inside]]
        return found


def _checked_shares(shares: np.ndarray) -> np.ndarray:
    given = np.asarray(shares, np.float64)
    if given.ndim != 1 or not len(given) or not (given >= 0).all() or not abs(given.sum() - 1) < 1e-9:
        raise PlanError(f"shares must be a list of numbers >= 0 that sum to 1, received {given!r:.200}")
    return given


def _ticks(shares: np.ndarray, block: int, bits: int) -> np.ndarray:
    """Sums of the shares in ticks, int64; the last is the whole block, and no share > 0 has none."""
    each = np.rint(shares * block * 2.0**bits).astype(np.int64)
    each[(shares > 0) & (each == 0)] = 1
    largest = int(np.argmax(each))
    # What rounding took or gave, a few ticks, goes to the largest.
    each[largest] += (block << bits) - int(each.sum())
    return np.cumsum(each)
