"""Random words for samplers: each a function of (seed, stream, epoch, position, name), never of a state.

The stream is the path of a node in its expression, so that in `s + s` the two draw independently. The name parts what
one node draws at one position: its coordinates, and the attempts of a rejection.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mtgen import seeds


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

    def inner_uniforms(self, positions: np.ndarray, name: str | int = "") -> np.ndarray:
        """Uniform float64 `(n,)` inside (0, 1), for quantiles: the middles of 2**52 equal parts."""
        return ((self.words(positions, name) >> np.uint64(12)) + 0.5) * 2.0**-52
