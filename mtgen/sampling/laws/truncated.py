"""Continuous laws inside a box, without rejection and without loss in either tail.

A column is cut at its median. Each side works with logarithms of the probability of its own tail, so that an interval
beyond 8, or 38, standard deviations is drawn as exactly as one around the mean.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from mtgen.sampling.bits import Bits, StackedBits, inner_uniforms
from mtgen.sampling.laws.law import Continuous, as_numbers
from mtgen.sampling.sampler import Sampler

_NARROW = 1e-3
"""Below it a difference of log-probabilities has lost digits, and Simpson's rule on the density has not."""

_LOG_HALF = float(np.log(0.5))


@dataclass(frozen=True)
class _Side:
    """The part of each column's interval on one side of the median; all arrays are `(dim,)`.

    Attributes:
        near: log-probability of the tail from the end nearer to the median.
        gap: logarithm of the other end's tail over that of the near end, <= 0.
        log_mass: logarithm of the probability between, -inf for an empty part.
    """

    near: np.ndarray
    gap: np.ndarray
    log_mass: np.ndarray


def _logs(near: np.ndarray, gap: np.ndarray, far_share: np.ndarray) -> np.ndarray:
    """Log-probability of the tail at `1 - far_share` of the way from the near end of a side to the far one."""
    way = 1 - far_share
    change = np.where(way < 0.5, np.log1p(way * np.expm1(gap)), np.log(far_share + way * np.exp(gap)))
    return near + change


def _between(law: Continuous, u: np.ndarray, params: tuple[np.ndarray, ...], pieces: np.ndarray) -> np.ndarray:
    """Points of a law at uniform numbers `(n, dim)`; parameters and pieces are of the columns, or of each point."""
    share, rest, near_below, near_above, gap_below, gap_above, low, high = pieces
    under = over = u
    with np.errstate(all="ignore"):
        if (share > 0).any():
            under = law.lower(_logs(near_below, gap_below, u / share), *params)
        if (rest > 0).any():
            over = law.upper(_logs(near_above, gap_above, (1 - u) / rest), *params)
    return np.clip(np.where(u < share, under, over), low, high)


@dataclass(frozen=True, eq=False, repr=False)
class Truncated(Sampler):
    """A continuous law inside `low <= x <= high`."""

    inner: Continuous
    low: np.ndarray
    high: np.ndarray

    @property
    def dim(self) -> int:
        """See `Sampler.dim`."""
        return self.inner.dim

    @cached_property
    def _sides(self) -> tuple[_Side, _Side]:
        law, params = self.inner, self.inner.params
        with np.errstate(all="ignore"):
            median = law.lower(np.full(self.dim, _LOG_HALF), *params)
            start, stop = np.minimum(self.low, median), np.minimum(self.high, median)
            below = self._side(start, stop, law.log_below(stop, *params), law.log_below(start, *params))
            start, stop = np.maximum(self.low, median), np.maximum(self.high, median)
            above = self._side(start, stop, law.log_above(start, *params), law.log_above(stop, *params))
        return below, above

    def _side(self, start: np.ndarray, stop: np.ndarray, near: np.ndarray, far: np.ndarray) -> _Side:
        gap = np.where(far == -np.inf, -np.inf, np.minimum(far - near, 0))
        mass = near + np.log(-np.expm1(gap))
        narrow = (gap > -_NARROW) & np.isfinite(start) & np.isfinite(stop)
        if self.inner.smooth and narrow.any():
            middle, params = start + (stop - start) / 2, self.inner.params
            ends = [np.exp(self.inner.log_pdf(x, *params) - near) for x in (start, middle, stop)]
            simpson = near + np.log((stop - start) / 6 * (ends[0] + 4 * ends[1] + ends[2]))
            mass = np.where(narrow & np.isfinite(simpson), simpson, mass)
        empty = ~(start < stop) | ~(near > -np.inf) | np.isnan(mass)
        return _Side(near, gap, np.where(empty, -np.inf, mass))

    @cached_property
    def _log_masses(self) -> np.ndarray:
        """Log-probability of each column's interval."""
        below, above = self._sides
        return np.logaddexp(below.log_mass, above.log_mass)

    @property
    def log_mass(self) -> float:
        """Logarithm of the probability that the law without bounds has between them."""
        return float(self._log_masses.sum())

    def draw(self, bits: Bits, positions: np.ndarray) -> np.ndarray:
        """See `Sampler.draw`."""
        u = inner_uniforms(bits.columns(positions, self.dim))
        return _between(self.inner, u, self.inner.params, self._pieces)

    @cached_property
    def _pieces(self) -> np.ndarray:
        """What a draw needs to know of each column, `(8, dim)`: shares, near ends, gaps of both sides, and bounds."""
        sides = self._sides
        shares = [np.exp(side.log_mass - self._log_masses) for side in sides]
        return np.stack([*shares, *(side.near for side in sides), *(side.gap for side in sides), self.low, self.high])

    @property
    def stack_key(self) -> Hashable:
        """See `Sampler.stack_key`."""
        return Truncated, type(self.inner), self.dim

    @classmethod
    def draw_stacked(cls, laws: Sequence[Sampler], bits: StackedBits, positions: np.ndarray) -> np.ndarray:
        """See `Sampler.draw_stacked`."""
        known = [law for law in laws if isinstance(law, Truncated)]
        u = inner_uniforms(bits.columns(positions, known[0].dim))
        params = tuple(np.stack(each)[bits.which] for each in zip(*(law.inner.params for law in known), strict=True))
        pieces = np.stack([law._pieces for law in known], axis=1)[:, bits.which]
        return _between(known[0].inner, u, params, pieces)

    def log_density(self, points: np.ndarray) -> np.ndarray:
        """See `Sampler.log_density`."""
        x = as_numbers(points, self)
        inside = ((x >= self.low) & (x <= self.high)).all(axis=1)
        return np.where(inside, self.inner.log_density(x) - self.log_mass, -np.inf)

    def log_condition(self, low: np.ndarray, high: np.ndarray) -> tuple[float, Sampler] | None:
        """See `Sampler.log_condition`: the intersection, of the law without bounds."""
        low, high = np.maximum(low, self.low), np.minimum(high, self.high)
        if (low > high).any():
            return -np.inf, self
        law = Truncated(self.inner, low, high, weight=self.weight)
        return law.log_mass - self.log_mass, law

    def structure(self) -> tuple[Any, ...]:
        """See `Sampler.structure`."""
        return self.inner, self.low, self.high

    def __repr__(self) -> str:
        return f"truncated({self.inner!r})"
