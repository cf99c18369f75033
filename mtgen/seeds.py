"""Seeds to keys, keys to random words: counter-based, so nothing random is ever stored or advanced.

Every random choice in mtgen is a function of (seed, stream, epoch, counter). The key is a hash of the first three,
never their sum: with sums, seed 1 epoch 0 would repeat seed 0 epoch 1.
"""

from __future__ import annotations

import hashlib

import numpy as np

from mtgen.errors import PlanError

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
"""2**64 / golden ratio, the increment of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014)."""

_ONE = np.uint64(1)
_SHIFTS = np.uint64(30), np.uint64(27), np.uint64(31)
_FACTORS = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
"""The mixing of SplitMix64: David Stafford's variant 13 of the finaliser of MurmurHash3."""


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
        key: int in [0, 2**64), from `key`; or uint64, one key for each counter, or to broadcast.
        counters: any integer array, read as uint64.

    Returns:
        uint64 array of the shape of both; equal counters give equal words.

    Example:
        >>> words(7, np.array([0, 1, 0])).tolist()[0] == words(7, np.array([0])).tolist()[0]
        True
    """
    word = np.array(counters, np.uint64)
    if word.ndim == 0:
        return words(key, word[None])[0]  # numbers would warn of what arrays do by design: wrap around
    word += _ONE
    word *= GOLDEN
    word = word + (np.uint64(key) if isinstance(key, int) else key)  # keys may have more axes than counters
    return mix(word, np.empty_like(word))


def mix(word: np.ndarray, spare: np.ndarray) -> np.ndarray:
    """The mixing of SplitMix64, in place.

    Pure but for the arrays, which the caller owns. `words` is `mix((counter + 1) * GOLDEN + key)`.

    Args:
        word: uint64 array, overwritten with the result.
        spare: of the same shape and dtype, overwritten.

    Returns:
        `word`.

    Example:
        >>> word = np.array([5], np.uint64)
        >>> mix(word, np.empty_like(word)) is word
        True
    """
    np.right_shift(word, _SHIFTS[0], out=spare)
    word ^= spare
    word *= _FACTORS[0]
    np.right_shift(word, _SHIFTS[1], out=spare)
    word ^= spare
    word *= _FACTORS[1]
    np.right_shift(word, _SHIFTS[2], out=spare)
    word ^= spare
    return word
