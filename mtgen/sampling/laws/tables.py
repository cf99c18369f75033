"""Counts by a table of their probabilities, and by rejection where a table would be too long.

A table holds the window of counts outside of which less than 1e-18 of the probability lies; it is found from the mode
on, so it is as short for a mean of 1e6 as the deviation is. Beyond `MOST_ENTRIES`, exact rejection: L. Devroye, "A
simple generator for discrete log-concave distributions", Computing 39 (1987) 87-91.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from mtgen.sampling.bits import Bits, inner_uniforms
from mtgen.sampling.laws.rejection import tried

MOST_ENTRIES = 1 << 18
"""Counts of a table, at most: 2 MiB. For poisson that is a mean of 1e8."""

_DROP = 60.0
"""A window ends where the probability is exp(-60) of the mode's, 1e-26. The laws here fall at least geometrically
after that, so all beyond is less than 1e-26 times the window's length: below 1e-18."""

LogMass = Callable[[np.ndarray], np.ndarray]
"""Log-probabilities of counts, float64 to float64."""


@dataclass(frozen=True)
class Table:
    """Probabilities of neighbouring counts.

    Attributes:
        first: the first count.
        cumulative: sums of the probabilities, float64, the last 1.
        log_mass: logarithm of the sum before it was made 1; -inf for an impossible window.
    """

    first: int
    cumulative: np.ndarray
    log_mass: float

    def counts(self, u: np.ndarray) -> np.ndarray:
        """The counts at uniform numbers in [0, 1), int64; one without probability never comes."""
        return np.searchsorted(self.cumulative, u, side="right") + self.first


def table_of(log_mass: LogMass, mode: float, low: float, high: float) -> Table | None:
    """The table of a law of counts between two bounds, or None if it would be too long.

    Args:
        log_mass: log-probabilities; they fall on either side of the mode.
        mode: the likeliest count.
        low: smallest count allowed, an integer or -inf.
        high: largest.
    """
    peak = min(max(mode, low), high)
    at_peak = _at(log_mass, peak)
    if low > high or not at_peak > -np.inf:
        return Table(0, np.ones(1), -np.inf)
    floor = at_peak - _DROP
    first, last = _end(log_mass, peak, low, -1, floor), _end(log_mass, peak, high, 1, floor)
    if last - first + 1 > MOST_ENTRIES:
        return None
    logs = log_mass(np.arange(first, last + 1)) - at_peak
    cumulative = np.cumsum(np.exp(logs))
    total = float(cumulative[-1])
    cumulative /= total
    return Table(int(first), cumulative, min(at_peak + float(np.log(total)), 0.0))


def _at(log_mass: LogMass, count: float) -> float:
    return float(log_mass(np.array([count]))[0])


def _end(log_mass: LogMass, peak: float, bound: float, direction: int, floor: float) -> float:
    """The last count from the peak on in one direction whose log-probability is not below the floor.

    Counts too far for a table are not looked at: whatever is found there is beyond `MOST_ENTRIES`.
    """
    inside, outside = 0, int(min(abs(bound - peak), 2 * MOST_ENTRIES)) + 1
    probes = 2 ** np.arange(outside.bit_length())
    while outside - inside > 1:
        steps = np.unique(probes[(probes > inside) & (probes < outside)])
        kept = log_mass(peak + direction * steps.astype(np.float64)) >= floor
        # They fall from the peak on, so what is kept comes before what is not.
        num = int(kept.sum())
        inside, outside = int(steps[num - 1]) if num else inside, int(steps[num]) if num < len(steps) else outside
        probes = np.linspace(inside, outside, 66).astype(np.int64)
    return peak + direction * inside


def log_concave(
    bits: Bits,
    positions: np.ndarray,
    name: str,
    log_mass: Callable[..., np.ndarray],
    mode: np.ndarray,
    *params: np.ndarray,
) -> np.ndarray:
    """Counts of laws whose log-probabilities are concave, int64 `(n,)`; about four attempts for each.

    Args:
        bits: words of the node.
        positions: int64 `(n,)`.
        name: of what is drawn, for its words.
        log_mass: function of (counts, parameters) to log-probabilities.
        mode: the likeliest count, float64 `(n,)`.
        *params: float64 `(n,)`, those of each position's law.
    """
    peak = log_mass(mode, *params)
    height = np.exp(peak)
    w = 1 + height / 2

    def attempt(bits: Bits, positions: np.ndarray, places: np.ndarray, number: int) -> tuple[Any, Any]:
        u = bits.inner_uniforms(positions, f"{name}/{number}/u")
        v = bits.inner_uniforms(positions, f"{name}/{number}/v")
        words = bits.words(positions, f"{name}/{number}/w")
        wide, high = w[places], height[places]
        y = np.where(u <= wide / (1 + wide), v * wide, wide - np.log(v)) / high
        # The sign is of the word's lowest bit, which its uniform number does not use.
        x = mode[places] + np.where(words & np.uint64(1), 1, -1) * np.rint(y)
        ratio = log_mass(x, *(param[places] for param in params)) - peak[places]
        return x, np.log(inner_uniforms(words)) + np.minimum(0, wide - high * y) <= ratio

    return tried(bits, positions, attempt).astype(np.int64)
