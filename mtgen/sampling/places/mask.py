"""Pixels by weight: a mask, a heat map, an error map."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mtgen.errors import EmptySupportError, PlanError
from mtgen.sampling.bits import Bits, below
from mtgen.sampling.places.runs import Runs, checked_array, equal_runs, joined_runs, slabs
from mtgen.sampling.sampler import Frame, Sampler, is_number
from mtgen.settings import shown


@dataclass(frozen=True, eq=False, repr=False)
class Mask(Sampler):
    """Pixels of an array, each with probability in proportion of its weight; use `mask`.

    Points are int64 places of pixels, frame `"pixels"`.
    """

    runs: Runs

    @property
    def dim(self) -> int:
        """See `Sampler.dim`."""
        return len(self.runs.shape)

    @property
    def frame(self) -> Frame:
        """See `Sampler.frame`."""
        return "pixels"

    @property
    def discrete(self) -> tuple[bool, ...]:
        """See `Sampler.discrete`."""
        return (True,) * self.dim

    @property
    def array_shape(self) -> tuple[int, ...]:
        """Shape of the array."""
        return self.runs.shape

    @property
    def num_pixels(self) -> int:
        """Pixels of positive weight."""
        return self.runs.num_pixels

    @property
    def num_unreachable(self) -> int:
        """Runs of pixels whose weight is so small beside the others that they never come."""
        return self.runs.cells.num_unreachable

    def draw(self, bits: Bits, positions: np.ndarray) -> np.ndarray:
        """See `Sampler.draw`."""
        run = self.runs.cells.at(bits.words(positions, "cell"))
        lengths = self.runs.lengths
        offset = None if lengths is None else below(bits.words(positions, "offset"), lengths[run])
        return self.runs.coordinates(run, offset)

    def log_density(self, points: np.ndarray) -> np.ndarray:
        """See `Sampler.log_density`."""
        return np.log(self.runs.weight_at(points)) - np.log(float(self.runs.cells.total))

    def condition(self, low: np.ndarray, high: np.ndarray) -> tuple[float, Sampler] | None:
        """See `Sampler.condition`: the pixels inside."""
        inside = self.runs.boxed(low, high)
        if not inside.num:
            return 0.0, self
        # Runs cut to equal weights forget the weight: it is that of any of their pixels.
        scale = 1.0
        if inside.weights is None and self.runs.weights is not None:
            scale = float(self.runs.weight_at(inside.coordinates(np.zeros(1, np.int64), None))[0])
        return min(inside.cells.total * scale / self.runs.cells.total, 1.0), Mask(inside, weight=self.weight)

    def structure(self) -> tuple[Any, ...]:
        """See `Sampler.structure`."""
        return (self.runs,)

    def __repr__(self) -> str:
        return f"mask({self.num_pixels} pixels of {self.runs.shape})"


def mask(array: Any, threshold: float | None = None) -> Mask:
    """Pixels of an array by weight: points are their places, one whole number per axis.

    The array is read in parts, and only pixels of positive weight are kept, neighbours of equal weight as one.

    Args:
        array: weights >= 0, or True and False, of any number of axes: (height, width), (depth, height, width). A NumPy
            array, a memory map, or anything with `shape`, `dtype` and slices of the first axis.
        threshold: take all values above it alike; None takes the values as weights.

    Raises:
        PlanError: weights that are negative, infinite or NaN, or no numbers.
        EmptySupportError: no pixel has a weight, or none is above the threshold.

    Example:
        >>> seen = np.zeros((4, 6)); seen[2, 5] = 0.3
        >>> mask(seen).sample(1).tolist()
        [[2, 5]]
        >>> mask([[0, 1], [3, 0]]).log_prob([[1, 0]]).round(4).tolist()  # log(3 / 4)
        [-0.2877]
    """
    array = checked_array("mask", array)
    if threshold is not None and not is_number(threshold):
        raise PlanError(f"threshold must be a number or None, received {shown(threshold)}")
    parts: list[tuple[np.ndarray, np.ndarray, np.ndarray | None]] = []
    for first, rows in slabs(array):
        if threshold is not None:
            if rows.dtype.kind == "f" and np.isnan(rows).any():
                raise PlanError(f"mask: the array of shape {tuple(array.shape)} holds NaN, which no threshold sorts")
            rows = rows > threshold
        firsts, lengths, values = equal_runs(first, rows)
        wrong = ~((values >= 0) & (values < np.inf))
        if wrong.any():
            place = np.unravel_index(int(firsts[wrong][0]), array.shape)
            raise PlanError(
                f"mask: weights must be finite numbers >= 0; the pixel {tuple(map(int, place))} has "
                f"{values[wrong][0]}. Shift or clip them, or choose by value: mask(array, threshold=0)"
            )
        kept = values > 0
        parts.append((firsts[kept], lengths[kept], values[kept]))
    runs = joined_runs(array.shape, parts)
    if not runs.num:
        what = "has a weight above 0" if threshold is None else f"is above the threshold {threshold}"
        raise EmptySupportError(f"mask: no pixel of the array of shape {tuple(array.shape)} {what}")
    return Mask(runs)
