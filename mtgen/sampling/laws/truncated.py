"""Continuous laws inside a box, without rejection and without loss in either tail.

A column is cut at its median. Each side works with logarithms of the probability of its own tail, so that an interval
beyond 8, or 38, standard deviations is drawn as exactly as one around the mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from mtgen.sampling.bits import Bits, inner_uniforms
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

    def logs(self, far_share: np.ndarray) -> np.ndarray:
        """Log-probability of the tail at `1 - far_share` of the way from the near end to the far one."""
        way = 1 - far_share
        with np.errstate(all="ignore"):
            change = np.where(way < 0.5, np.log1p(way * np.expm1(self.gap)), np.log(far_share + way * np.exp(self.gap)))
        return self.near + change


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
        below, above = self._sides
        law, params = self.inner, self.inner.params
        share, rest = np.exp(below.log_mass - self._log_masses), np.exp(above.log_mass - self._log_masses)
        if not (rest > 0).any():
            points = law.lower(below.logs(u), *params)
        elif not (share > 0).any():
            points = law.upper(above.logs(1 - u), *params)
        else:
            with np.errstate(all="ignore"):
                under = law.lower(below.logs(u / share), *params)
                over = law.upper(above.logs((1 - u) / rest), *params)
            points = np.where(u < share, under, over)
        return np.clip(points, self.low, self.high)

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
