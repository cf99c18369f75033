"""A random permutation of `range(n)` with random access and O(1) memory.

Up to `SMALL` rows a true permutation: the ranks of hashed counters. Above, a Feistel network on exactly
ceil(log2 n) bits with cycle walking: values that fall outside `range(n)` are sent through again, fewer than two
passes on average. Eight rounds: six fail a chi-square test over the 24 permutations of n = 4, eight pass.
Source: Black and Rogaway, "Ciphers with arbitrary finite domains", CT-RSA 2002.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from mtgen import seeds
from mtgen.errors import PlanError

SMALL = 65_536
"""Rows up to which a permutation is held as an array (512 KiB of int64)."""

ROUNDS = 8
"""Feistel rounds, see the module's text."""

PART = 16_384
"""Values that are sent through the network together: 128 KiB, so that its steps stay in a processor's cache."""

KEPT = 16
"""Small permutations kept, over all loaders: train and valid splits, two epochs each, and groups of blocks."""


def order_bytes(num_rows: int) -> int:
    """Bytes of permutations kept, at most, for orders of `num_rows` rows."""
    return KEPT * 8 * min(num_rows, SMALL)


@lru_cache(maxsize=KEPT)
def _ranks(num_rows: int, key: int) -> np.ndarray:
    ranks = np.argsort(seeds.words(key, np.arange(num_rows)), kind="stable")
    ranks.flags.writeable = False
    return ranks


class Permutation:
    """A permutation of `range(num_rows)` chosen by `key`.

    Immutable. Any thread. Equal arguments give equal permutations on every machine and in every release
    (`tests/golden` pins them).

    Args:
        num_rows: >= 0.
        key: int in [0, 2**64), from `mtgen.seeds.key`.

    Example:
        >>> order = Permutation(5, key=1)
        >>> sorted(order.at(np.arange(5)).tolist())
        [0, 1, 2, 3, 4]
    """

    def __init__(self, num_rows: int, key: int) -> None:
        if num_rows < 0:
            raise PlanError(f"a permutation needs num_rows >= 0, received {num_rows}")
        self.num_rows = num_rows
        self.key = key
        bits = max(num_rows - 1, 1).bit_length()
        self._low_bits = bits // 2
        self._high_bits = bits - self._low_bits
        # The round number sits above every possible half, so rounds never share a counter.
        golden = int(seeds.GOLDEN)
        self._round_keys = [np.uint64((((n << 56) + 1) * golden + key) % 2**64) for n in range(ROUNDS)]
        self._held: np.ndarray | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_held": None}

    @property
    def _small(self) -> np.ndarray:
        """The permutation of few rows; held here too, for a mixture has more of them than are kept for all."""
        if self._held is None:
            self._held = _ranks(self.num_rows, self.key)
        return self._held

    def at(self, positions: np.ndarray) -> np.ndarray:
        """Values at the given positions.

        Args:
            positions: int64 `(n,)` in [0, num_rows).

        Returns:
            int64 `(n,)` in [0, num_rows).
        """
        if self.num_rows <= SMALL:
            return self._small[positions]
        return self._walk(positions, range(ROUNDS))

    def position_of(self, values: np.ndarray) -> np.ndarray:
        """Positions of the given values: the inverse of `at`."""
        if self.num_rows <= SMALL:
            inverse = np.empty(self.num_rows, np.int64)
            inverse[self._small] = np.arange(self.num_rows)
            return inverse[values]
        return self._walk(values, range(ROUNDS - 1, -1, -1))

    def _walk(self, values: np.ndarray, rounds: range) -> np.ndarray:
        result = np.empty(len(values), np.int64)
        for start in range(0, len(values), PART):
            here = self._cipher(values[start : start + PART].astype(np.uint64), rounds)
            outside = np.flatnonzero(here >= self.num_rows)
            while len(outside):
                walked = here[outside] = self._cipher(here[outside], rounds)
                outside = outside[walked >= self.num_rows]
            result[start : start + PART] = here
        return result

    def _cipher(self, values: np.ndarray, rounds: range) -> np.ndarray:
        """One pass of the network; rounds alternate between the two halves, so each undoes itself."""
        low_mask, high_mask = (np.uint64((1 << bits) - 1) for bits in (self._low_bits, self._high_bits))
        low, high = values & low_mask, values >> np.uint64(self._low_bits)
        word, spare = np.empty_like(values), np.empty_like(values)
        for number in rounds:
            changed, other, mask = (low, high, low_mask) if number % 2 else (high, low, high_mask)
            # `seeds.words(key, other | salt)`: the salt sits above every half, so it can be added beforehand.
            np.multiply(other, seeds.GOLDEN, out=word)
            word += self._round_keys[number]
            seeds.mix(word, spare)
            word &= mask
            changed ^= word
        high <<= np.uint64(self._low_bits)
        high |= low
        return high


def permuted(values: np.ndarray, sizes: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """Many permutations at once: each value in the permutation of `range(size)` that its key chooses.

    The Feistel network of `Permutation` for every size, nothing held. Pure. Any thread.

    Args:
        values: int64 `(n,)` in [0, size).
        sizes: int64 `(n,)` >= 1.
        keys: uint64 `(n,)`.

    Returns:
        int64 `(n,)` in [0, size).

    Example:
        >>> keys = np.full(5, 7, np.uint64)
        >>> sorted(permuted(np.arange(5), np.full(5, 5), keys).tolist())
        [0, 1, 2, 3, 4]
    """
    # Bits of the largest value: an exponent of float64 would be wrong next to 2**53, so powers are compared.
    bits = np.searchsorted(_POWERS, np.maximum(sizes - 1, 1), side="right").astype(np.uint64)
    low_bits = bits // np.uint64(2)
    one = np.uint64(1)
    masks = [(one << low_bits) - one, (one << (bits - low_bits)) - one]
    result, outside = values.astype(np.uint64), np.arange(len(values))
    while len(outside):
        low_mask, high_mask, shift, key = masks[0][outside], masks[1][outside], low_bits[outside], keys[outside]
        low, high = result[outside] & low_mask, result[outside] >> shift
        for number in range(ROUNDS):
            salt = np.uint64(number << 56)
            if number % 2:
                low = low ^ (seeds.words(key, high | salt) & low_mask)
            else:
                high = high ^ (seeds.words(key, low | salt) & high_mask)
        result[outside] = (high << shift) | low
        outside = outside[result[outside] >= sizes[outside].astype(np.uint64)]
    return result.astype(np.int64)


_POWERS = 2 ** np.arange(63, dtype=np.int64)
