"""Points as pixels: shares of an array become places in it, and points are declared to be in pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from mtgen.errors import PlanError
from mtgen.sampling.arithmetic import Arithmetic
from mtgen.sampling.bits import Bits
from mtgen.sampling.mixture import Mixture
from mtgen.sampling.places.cells import whole_tuple
from mtgen.sampling.places.mask import Mask
from mtgen.sampling.sampler import Frame, Sampler
from mtgen.sampling.truncation import Conditioned, Rejected

MOST_PIXEL = 2.0**62
"""Places beyond it are no places."""


@dataclass(frozen=True, eq=False, repr=False)
class Pixels(Sampler):
    """Whole places of points: `floor(point * shape)`, or `floor(point)` for points that count pixels already.

    Attributes:
        inner: the law of the points.
        shape: of the array whose shares the points are; None where they count pixels.
    """

    inner: Sampler
    shape: tuple[int, ...] | None

    @property
    def dim(self) -> int:
        """See `Sampler.dim`."""
        return self.inner.dim

    @property
    def frame(self) -> Frame:
        """See `Sampler.frame`."""
        return "pixels"

    @property
    def discrete(self) -> tuple[bool, ...]:
        """See `Sampler.discrete`."""
        return (True,) * self.dim

    @property
    def array_shape(self) -> tuple[int, ...] | None:
        """Shape of the array."""
        return self.shape or self.inner.array_shape

    @property
    def _scale(self) -> tuple[int, ...]:
        return self.shape or (1,) * self.dim

    def draw(self, bits: Bits, positions: np.ndarray) -> np.ndarray:
        """See `Sampler.draw`.

        Raises:
            PlanError: points that are no numbers, NaN or infinite.
        """
        points = self.inner.draw(bits, positions)
        if points.dtype.kind in "iu" and self.shape is None:
            return points.astype(np.int64)
        try:
            places = np.floor(points.astype(np.float64) * self._scale)
        except (TypeError, ValueError) as error:
            raise PlanError(f"{self.inner!r} gives points of {points.dtype}; only numbers can be pixels") from error
        if not (np.abs(places) < MOST_PIXEL).all():  # NaN too
            wrong = points[~(np.abs(places) < MOST_PIXEL).all(axis=1)][0]
            raise PlanError(f"{self.inner!r} gives the point {wrong.tolist()}, which is no pixel")
        return places.astype(np.int64)

    def back(self, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The box of points whose pixels are those of a box: to the last bit, as `draw` computes them."""
        with np.errstate(invalid="ignore"):
            first = [least(place, scale) for place, scale in zip(np.ceil(low), self._scale, strict=True)]
            after = [least(place + 1, scale) for place, scale in zip(np.floor(high), self._scale, strict=True)]
        last = np.where(np.isinf(high), high, np.nextafter(np.array(after), -np.inf))
        return np.array(first), last

    def condition(self, low: np.ndarray, high: np.ndarray) -> tuple[float, Sampler] | None:
        """See `Sampler.condition`: the box taken back to the points."""
        first, last = self.back(low, high)
        if (first > last).any():
            return 0.0, self
        found = self.inner.condition(first, last)
        if found is None:
            return None
        return found[0], Pixels(Conditioned(found[1], first, last), self.shape, weight=self.weight)

    def log_density(self, points: np.ndarray) -> np.ndarray:
        """See `Sampler.log_density`: the probability of each pixel, one after the other."""
        if self.shape is None and is_whole(self.inner):
            return self.inner.log_density(points)
        if self.inner.condition(np.full(self.dim, -np.inf), np.full(self.dim, np.inf)) is None:
            return super().log_density(points)
        distinct, which = np.unique(points, axis=0, return_inverse=True)
        masses = np.zeros(len(distinct))
        for number, pixel in enumerate(distinct):
            found = self.condition(pixel, pixel) if (pixel == np.floor(pixel)).all() else None
            masses[number] = 0.0 if found is None else found[0]
        return np.log(masses)[which.ravel()]

    def structure(self) -> tuple[Any, ...]:
        """See `Sampler.structure`."""
        return self.inner, self.shape

    def __repr__(self) -> str:
        return f"({self.inner!r}).to_pixels({'' if self.shape is None else self.shape})"


def least(place: float, scale: int) -> float:
    """The smallest float x for which `x * scale >= place`, with the rounding of the product."""
    if not math.isfinite(place):
        return float(place)
    found = float(place) / scale
    while found * scale >= place:
        found = float(np.nextafter(found, -np.inf))
    while found * scale < place:
        found = float(np.nextafter(found, np.inf))
    return found


@dataclass(frozen=True, eq=False, repr=False)
class Declared(Sampler):
    """Points as they are, said to count pixels."""

    inner: Sampler

    @property
    def dim(self) -> int:
        """See `Sampler.dim`."""
        return self.inner.dim

    @property
    def frame(self) -> Frame:
        """See `Sampler.frame`."""
        return "pixels"

    @property
    def discrete(self) -> tuple[bool, ...]:
        """See `Sampler.discrete`."""
        return self.inner.discrete

    def draw(self, bits: Bits, positions: np.ndarray) -> np.ndarray:
        """See `Sampler.draw`."""
        return self.inner.draw(bits, positions)

    def log_density(self, points: np.ndarray) -> np.ndarray:
        """See `Sampler.log_density`."""
        return self.inner.log_density(points)

    def condition(self, low: np.ndarray, high: np.ndarray) -> tuple[float, Sampler] | None:
        """See `Sampler.condition`."""
        found = self.inner.condition(low, high)
        return None if found is None else (found[0], Declared(found[1], weight=self.weight))

    def structure(self) -> tuple[Any, ...]:
        """See `Sampler.structure`."""
        return (self.inner,)

    def __repr__(self) -> str:
        return f"({self.inner!r}).in_pixels()"


def to_pixels(law: Sampler, shape: Any) -> Sampler:
    """See `Sampler.to_pixels`."""
    lengths = whole_tuple("shape", shape, law.dim)
    if law.frame != "pixels":
        return Pixels(law, lengths, weight=law.weight)
    known = law.array_shape
    if known not in (None, lengths):
        raise PlanError(f"{law!r} counts pixels of an array of shape {known} already, not of {lengths}")
    return law


def in_pixels(law: Sampler) -> Sampler:
    """See `Sampler.in_pixels`."""
    return law if law.frame == "pixels" else Declared(law, weight=law.weight)


def is_whole(law: Sampler) -> bool:
    """Whether all points are surely whole numbers."""
    if isinstance(law, Mixture):
        return all(is_whole(part) for part in law.parts)
    if isinstance(law, Conditioned | Rejected | Declared):
        return is_whole(law.inner)
    return isinstance(law, Mask | Pixels)


def shape_of(law: Sampler) -> tuple[int, ...] | None:
    """Shape of the array whose pixels a law counts, where that is known; see `Sampler.array_shape`.

    Raises:
        PlanError: parts of a mixture count pixels of different arrays.
    """
    if isinstance(law, Mixture):
        sides: list[Sampler] = list(law.parts)
    elif isinstance(law, Conditioned | Rejected | Declared):
        sides = [law.inner]
    elif isinstance(law, Arithmetic):
        sides = [one for one in (law.left, law.right) if isinstance(one, Sampler)]
    else:
        return None
    found = [shape for one in sides if (shape := one.array_shape) is not None and len(shape) == law.dim]
    if len(set(found)) > 1:
        raise PlanError(
            f"parts of {law!r} count pixels of arrays of different shapes, {' and '.join(map(str, set(found)))}"
        )
    return found[0] if found else None
