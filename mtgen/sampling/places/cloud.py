"""The law of given points: each of them, by weight."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from mtgen.errors import PlanError
from mtgen.sampling.bits import Bits
from mtgen.sampling.places.cells import Cells, frozen, sealed
from mtgen.sampling.sampler import Sampler
from mtgen.settings import check_unmasked, shown

AT_ONCE = 1 << 20
"""Pairs of points compared at once."""


@dataclass(frozen=True, eq=False, repr=False)
class Cloud(Sampler):
    """Points, each by its weight, moved by a uniform jitter; use `cloud`.

    Attributes:
        points: `(k, dim)`.
        weights: `(k,)`, or None where all are equal.
        jitter: `(dim,)`, how far a point may lie from the given one in each column; None for nowhere.
        low: of the box that cuts what jitter spreads; None for no box.
        high: of that box.
    """

    points: np.ndarray
    weights: np.ndarray | None = None
    jitter: np.ndarray | None = None
    low: np.ndarray | None = None
    high: np.ndarray | None = None

    @property
    def dim(self) -> int:
        """See `Sampler.dim`."""
        return int(self.points.shape[1])

    @property
    def discrete(self) -> tuple[bool, ...]:
        """Counted where there is no jitter."""
        return (True,) * self.dim if self.jitter is None else tuple((self.jitter == 0).tolist())

    def _masses(self, low: np.ndarray | None, high: np.ndarray | None) -> np.ndarray | None:
        """Mass of each point inside a box; None where all are 1."""
        if low is None or high is None:
            return self.weights
        points = self.points
        if self.jitter is None:
            inside = ((points >= low) & (points <= high)).all(axis=1)
            return np.asarray(inside * (np.int64(1) if self.weights is None else self.weights))
        first, last = points - self.jitter, points + self.jitter
        with np.errstate(invalid="ignore", divide="ignore"):
            cut = (np.minimum(last, high) - np.maximum(first, low)) / (last - first)
        parts = np.where(self.jitter > 0, np.clip(cut, 0, 1), (points >= low) & (points <= high)).prod(axis=1)
        return np.asarray(parts if self.weights is None else parts * self.weights)

    @cached_property
    def _cells(self) -> Cells:
        masses = self._masses(self.low, self.high)
        return Cells(len(self.points) if masses is None else masses)

    def draw(self, bits: Bits, positions: np.ndarray) -> np.ndarray:
        """See `Sampler.draw`."""
        points = self.points[self._cells.at(bits.words(positions, "cell"))]
        if self.jitter is None:
            return points
        points = points.astype(np.float64)
        for column in np.flatnonzero(self.jitter).tolist():
            low, high = points[:, column] - self.jitter[column], points[:, column] + self.jitter[column]
            if self.low is not None and self.high is not None:
                low, high = np.maximum(low, self.low[column]), np.minimum(high, self.high[column])
            points[:, column] = np.minimum(low + bits.uniforms(positions, column) * (high - low), high)
        return points

    def log_density(self, points: np.ndarray) -> np.ndarray:
        """See `Sampler.log_density`: with jitter every point is compared with every given one."""
        weights = np.ones(len(self.points)) if self.weights is None else self.weights.astype(np.float64)
        total = np.log(float(self._cells.total))
        if self.jitter is None:
            both = np.concatenate([self.points, points.astype(self.points.dtype)]) + 0  # no negative zero
            same = (points == both[len(self.points) :]).all(axis=1)
            _, number = np.unique(both, axis=0, return_inverse=True)
            number = number.ravel()
            masses = np.bincount(number[: len(self.points)], weights, minlength=int(number.max()) + 1)
            return np.where(same, np.log(masses[number[len(self.points) :]]), -np.inf) - total
        found = np.empty(len(points))
        step = max(1, AT_ONCE // len(self.points))
        for start in range(0, len(points), step):
            apart = np.abs(points[start : start + step, None, :] - self.points)
            found[start : start + step] = (apart <= self.jitter).all(axis=2) @ weights
        if self.low is not None and self.high is not None:
            found[~((points >= self.low) & (points <= self.high)).all(axis=1)] = 0
        return np.log(found) - np.log(2 * self.jitter[self.jitter > 0]).sum() - total

    def condition(self, low: np.ndarray, high: np.ndarray) -> tuple[float, Sampler] | None:
        """See `Sampler.condition`: the points inside, and of what jitter spreads the part inside."""
        if self.low is not None and self.high is not None:
            low, high = np.maximum(low, self.low), np.minimum(high, self.high)
        masses = self._masses(low, high)
        if masses is None or not (masses > 0).any() or (low > high).any():
            return 0.0, self
        kept = masses > 0
        inside = Cloud(
            sealed(self.points[kept]),
            None if self.weights is None else sealed(self.weights[kept]),
            self.jitter,
            None if self.jitter is None else low,
            None if self.jitter is None else high,
            weight=self.weight,
        )
        return min(float(inside._cells.total / self._cells.total), 1.0), inside

    def structure(self) -> tuple[Any, ...]:
        """See `Sampler.structure`."""
        return self.points, self.weights, self.jitter, self.low, self.high

    def __repr__(self) -> str:
        jitter = "" if self.jitter is None else f", jitter={self.jitter.tolist()}"
        return f"cloud({len(self.points)} points of {self.dim} columns{jitter})"


def cloud(points: Any, jitter: Any = 0, *, weights: Any = None) -> Cloud:
    """The law of given points, each alike or by weight.

    Points keep their dtype without jitter. Jitter is uniform: a column lies anywhere within `jitter` of the given
    value. For other noise add it: `cloud(points) + 0.02 * S.normal(dim=3)`.

    Args:
        points: `(n, dim)` finite numbers, or `(n,)` for one column. A read-only array, such as a memory map, is kept
            as it is; others are copied.
        jitter: number >= 0, or one per column.
        weights: `(n,)` finite numbers >= 0; None for all alike.

    Raises:
        PlanError: no points, points or weights that are no finite numbers, other shapes.

    Example:
        >>> cloud([[1, 2], [3, 4]], weights=[0, 1]).sample(2).tolist()
        [[3, 4], [3, 4]]
        >>> near = cloud([[10.0]], jitter=0.5).sample(100)
        >>> bool((abs(near - 10) <= 0.5).all()), len(np.unique(near))
        (True, 100)
    """
    given = _numbers("points", points)
    if given.ndim == 1:
        given = given[:, None]
    if given.ndim != 2 or not given.size:
        raise PlanError(f"cloud needs points of shape (n, dim), at least one; received shape {np.shape(points)}")
    spread = _numbers("jitter", jitter).astype(np.float64)
    if spread.shape not in ((), (given.shape[1],)) or not (spread >= 0).all():
        raise PlanError(
            f"jitter must be a number >= 0 or one for each of {given.shape[1]} columns, received {shown(jitter)}"
        )
    mass = None if weights is None else _numbers("weights", weights)
    if mass is not None and (mass.shape != (len(given),) or not (mass >= 0).all() or not (mass > 0).any()):
        raise PlanError(
            f"weights must be {len(given)} numbers >= 0, one for each point and not all 0; received shape {mass.shape}"
            + (f", smallest {mass.min()}, largest {mass.max()}" if mass.size else "")
        )
    return Cloud(
        frozen(given),
        None if mass is None else frozen(mass),
        frozen(np.broadcast_to(spread, given.shape[1])) if spread.any() else None,
    )


def _numbers(name: str, value: Any) -> np.ndarray:
    check_unmasked(f"cloud: {name}", value)
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise PlanError(f"cloud: {name} must be an array of numbers, received {shown(value)}") from error
    if array.dtype.kind not in "iuf" or not np.isfinite(array).all():
        raise PlanError(
            f"cloud: {name} must be finite numbers; received shape {array.shape}, dtype {array.dtype}"
            + ("" if array.dtype.kind not in "f" else f", {int((~np.isfinite(array)).sum())} of them not finite")
        )
    return array
