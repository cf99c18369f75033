"""Random words for samplers: each a function of (seed, stream, epoch, position, name), never of a state.

The stream is the path of a node in its expression, so that in `s + s` the two draw independently. The name parts what
one node draws at one position: its coordinates, and the attempts of a rejection.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from mtgen import seeds

_HALF, _LOWER = np.uint64(32), np.uint64(0xFFFFFFFF)


@dataclass(frozen=True)
class Bits:
    """Where the random words of one node of an expression come from. Immutable; any thread.

    Args:
        seed: integer >= 0.
        epoch: integer >= 0.
        stream: path of the node.
        block: positions in whose blocks a mixture keeps its shares; None draws each position independently.

    Example:
        >>> bits = Bits(seed=0)
        >>> some, more = bits.uniforms(np.arange(4)), bits.uniforms(np.arange(2, 4))
        >>> (some[2:] == more).all(), (bits.child("left").uniforms(np.arange(4)) == some).any()
        (np.True_, np.False_)
    """

    seed: int
    epoch: int = 0
    stream: str = ""
    block: int | None = None

    def child(self, name: str | int) -> Bits:
        """The words of a part of the expression."""
        return replace(self, stream=f"{self.stream}/{name}")

    def independent(self) -> Bits:
        """The same words, without shares that are kept in blocks."""
        return self if self.block is None else replace(self, block=None)

    def key(self, name: str | int = "") -> int:
        """64-bit key of one thing that the node draws."""
        return seeds.key(self.seed, f"sample{self.stream}:{name}", self.epoch)

    def words(self, positions: np.ndarray, name: str | int = "") -> np.ndarray:
        """Random 64-bit words, uint64 `(n,)`, at int64 `(n,)` positions."""
        return seeds.words(self.key(name), positions)

    def uniforms(self, positions: np.ndarray, name: str | int = "") -> np.ndarray:
        """Uniform float64 `(n,)` in [0, 1): the upper 53 bits of the words."""
        return (self.words(positions, name) >> np.uint64(11)) * 2.0**-53

    def columns(self, positions: np.ndarray, num: int) -> np.ndarray:
        """Words of the coordinates 0 to `num` - 1 side by side, uint64 `(n, num)`."""
        keys = np.array([self.key(name) for name in range(num)], np.uint64)
        return seeds.words(keys, positions[:, None])

    def at(self, places: np.ndarray) -> Bits:
        """The same words for some of the positions: indices, or bool `(n,)`."""
        return self

    def inner_uniforms(self, positions: np.ndarray, name: str | int = "") -> np.ndarray:
        """Uniform float64 `(n,)` inside (0, 1), for quantiles: the middles of 2**52 equal parts."""
        return inner_uniforms(self.words(positions, name))


def inner_uniforms(words: np.ndarray) -> np.ndarray:
    """Uniform float64 inside (0, 1) from the upper 52 bits of words: the middles of 2**52 equal parts."""
    return ((words >> np.uint64(12)) + 0.5) * 2.0**-52


def below(words: np.ndarray, total: Any) -> np.ndarray:
    """Random whole numbers in [0, total): `floor(word * total / 2**64)`, the upper half of the 128-bit product, exact.

    Each number has `2**64 / total` words, to within one.

    Args:
        words: uint64.
        total: whole number in [1, 2**63], or an array of them that goes with `words`.

    Returns:
        int64 of the shape of both.

    Example:
        >>> below(np.array([0, 2**63, 2**64 - 1], np.uint64), 10).tolist()
        [0, 5, 9]
    """
    total = np.asarray(total, np.uint64)
    word_high, word_low = words >> _HALF, words & _LOWER
    high, low = total >> _HALF, total & _LOWER
    first, second = word_high * low, word_low * high
    carry = (word_low * low >> _HALF) + (first & _LOWER) + (second & _LOWER)
    return (word_high * high + (first >> _HALF) + (second >> _HALF) + (carry >> _HALF)).astype(np.int64)


@dataclass(frozen=True)
class StackedBits(Bits):
    """The words of several nodes in one: each position has those of a node of its own.

    So one call draws the points of many laws, with the words that each law alone would have had.

    Attributes:
        nodes: the nodes.
        which: int64 `(n,)`, the node of each position.
    """

    nodes: tuple[Bits, ...] = ()
    which: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))

    def child(self, name: str | int) -> StackedBits:
        """See `Bits.child`."""
        return replace(self, nodes=tuple(node.child(name) for node in self.nodes))

    def key(self, name: str | int = "") -> int:
        """There is none: each node has its own.

        Raises:
            TypeError: always.
        """
        raise TypeError("several nodes have no key in common; ask for words")

    def words(self, positions: np.ndarray, name: str | int = "") -> np.ndarray:
        """See `Bits.words`; one position for each of `which`."""
        keys = np.array([node.key(name) for node in self.nodes], np.uint64)
        return seeds.words(keys[self.which], positions)

    def columns(self, positions: np.ndarray, num: int) -> np.ndarray:
        """See `Bits.columns`."""
        keys = np.array([[node.key(name) for name in range(num)] for node in self.nodes], np.uint64)
        return seeds.words(keys.reshape(len(self.nodes), num)[self.which], positions[:, None])

    def at(self, places: np.ndarray) -> Bits:
        """See `Bits.at`."""
        return replace(self, which=self.which[places])
