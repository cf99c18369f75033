"""Seeds to keys, keys to random words: counter-based, so nothing random is ever stored or advanced.

Every random choice in mtgen is a function of (seed, stream, epoch, counter). The key is a hash of the first three,
never their sum: with sums, seed 1 epoch 0 would repeat seed 0 epoch 1.
"""

from __future__ import annotations

import hashlib

import numpy as np

from mtgen.errors import PlanError

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
"""2**64 / golden ratio, the increment of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014)."""


def key(seed: int, stream: str, epoch: int = 0) -> int:
    """64-bit key of one stream of random words.

    Pure. Any thread.

    Args:
        seed: integer >= 0 of any size, chosen by the user.
        stream: what the words are for, such as "order" or "split"; streams are independent of each other.
        epoch: integer >= 0.

    Returns:
        An int in [0, 2**64).

    Raises:
        PlanError: seed or epoch is not an integer >= 0.

    Example:
        >>> key(0, "order", 1) == key(1, "order", 0)
        False
    """
    for name, value in (("seed", seed), ("epoch", epoch)):
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 0:
            raise PlanError(f"{name} must be an integer >= 0, received {value!r} of type {type(value).__name__}")
    text = f"{int(seed)}/{stream}/{int(epoch)}".encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")


def words(key: int | np.ndarray, counters: np.ndarray) -> np.ndarray:
    """Random 64-bit words at the given counters: SplitMix64 with random access.

    Pure. Any thread.

    Args:
        key: int in [0, 2**64), from `key`; or uint64, one key for each counter.
        counters: any integer array, read as uint64.

    Returns:
        uint64 array of the shape of `counters`; equal counters give equal words.

    Example:
        >>> words(7, np.array([0, 1, 0])).tolist()[0] == words(7, np.array([0])).tolist()[0]
        True
    """
    with np.errstate(over="ignore"):
        word = np.uint64(key) + (counters.astype(np.uint64) + np.uint64(1)) * _GOLDEN
        word = (word ^ (word >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        word = (word ^ (word >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return word ^ (word >> np.uint64(31))
