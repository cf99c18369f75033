"""The law of a histogram: a bin by its mass, then any point of the bin's box alike.

Only bins with a mass are kept: a seismic cube has 5e8 bins of which a horizon uses one in a thousand.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from mtgen.errors import EmptySupportError, PlanError
from mtgen.sampling.bits import Bits
from mtgen.sampling.places.binning import (
    Edges,
    added,
    bins_at,
    checked_bins,
    checked_edges,
    checked_points,
    counted,
    edges_around,
    shape_of_bins,
    used,
)
from mtgen.sampling.places.cells import Cells, sealed
from mtgen.sampling.sampler import Sampler
from mtgen.settings import check_flag, check_unmasked, shown


@dataclass(frozen=True, eq=False, repr=False)
class Histogram(Sampler):
    """Bins by mass, points uniform inside them; use `histogram`.

    Attributes:
        edges: of the bins, one array per axis.
        bins: int64 `(k,)`, numbers of the bins with a mass, in C order of the axes, ascending.
        masses: `(k,)`, their masses: int64 counts, or float64.
        num_outside: points that were given and lie outside the edges, or are NaN; they have no mass.
        counts: whether the masses are counts, to which points can be added.
        low: of a box that cuts the bins; None for no box.
        high: of that box.
    """

    edges: Edges
    bins: np.ndarray
    masses: np.ndarray
    num_outside: int = 0
    counts: bool = True
    low: np.ndarray | None = None
    high: np.ndarray | None = None

    @property
    def dim(self) -> int:
        """See `Sampler.dim`."""
        return len(self.edges)

    @property
    def num_bins(self) -> int:
        """Bins with a mass."""
        return len(self.bins)

    @property
    def total(self) -> float:
        """Sum of the masses: an int where they are counts."""
        return self._cells.total

    @cached_property
    def _boxes(self) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """For each axis: lowest point, highest point, and part inside the box, of each bin of the axis."""
        boxes = []
        for axis, edges in enumerate(self.edges):
            first, last = edges[:-1], edges[1:]
            low, high = first, last
            if self.low is not None and self.high is not None:
                low, high = np.maximum(first, self.low[axis]), np.minimum(last, self.high[axis])
            # A point stays below the edge to the next bin, whatever rounding does.
            boxes.append(
                (low, np.maximum(np.nextafter(high, -np.inf), low), np.clip((high - low) / (last - first), 0, 1))
            )
        return boxes

    def _parts(self) -> np.ndarray:
        """Masses of the bins, of each the part inside the box."""
        if self.low is None:
            return self.masses
        part = np.ones(len(self.bins))
        for (_, _, inside), place in zip(self._boxes, self._places(self.bins), strict=True):
            part *= inside[place]
        return self.masses if (part == 1).all() else self.masses * part

    def _places(self, bins: np.ndarray) -> tuple[np.ndarray, ...]:
        return np.unravel_index(bins, shape_of_bins(self.edges))

    @cached_property
    def _cells(self) -> Cells:
        return Cells(self._parts())

    def draw(self, bits: Bits, positions: np.ndarray) -> np.ndarray:
        """See `Sampler.draw`."""
        if not len(positions):
            return np.empty((0, self.dim))
        if not len(self.bins):
            raise EmptySupportError(
                f"{self!r} is empty, {self.num_outside} points lay outside its edges: add points with .updated(points)"
            )
        chosen = self.bins[self._cells.at(bits.words(positions, "cell"))]
        out = np.empty((len(positions), self.dim))
        for axis, place in enumerate(self._places(chosen)):
            low, high, _ = self._boxes[axis]
            first, last = low[place], high[place]
            np.minimum(first + bits.uniforms(positions, axis) * (last - first), last, out=out[:, axis])
        return out

    def log_density(self, points: np.ndarray) -> np.ndarray:
        """See `Sampler.log_density`."""
        points = points.astype(np.float64)
        found = bins_at(points, self.edges)
        density = np.zeros(len(points))
        if len(self.bins):
            slot = np.minimum(np.searchsorted(self.bins, found), len(self.bins) - 1)
            inside = self.bins[slot] == found
            if self.low is not None and self.high is not None:
                inside &= ((points >= self.low) & (points <= self.high)).all(axis=1)
            slot = slot[inside]
            density[inside] = self.masses[slot] / volumes(self.bins[slot], self.edges)
        return np.log(density) - np.log(float(self.total))

    def condition(self, low: np.ndarray, high: np.ndarray) -> tuple[float, Sampler] | None:
        """See `Sampler.condition`: bins cut by the box keep mass in proportion of their volume inside."""
        if self.low is not None and self.high is not None:
            low, high = np.maximum(low, self.low), np.minimum(high, self.high)
        if not len(self.bins) or (low > high).any():
            return 0.0, self
        inside = replace(self, low=low, high=high)
        kept = inside._parts() > 0
        if not kept.any():
            return 0.0, self
        inside = replace(inside, bins=sealed(self.bins[kept]), masses=sealed(self.masses[kept]))
        return min(float(inside.total / self.total), 1.0), inside

    def updated(self, points: Any) -> Histogram:
        """A new histogram with points added; this one stays as it is.

        Args:
            points: `(n, dim)`, read in blocks. Those outside the edges are counted in `num_outside`.

        Raises:
            PlanError: points of another dimension, or masses that are no counts: densities, or a part in a box.

        Example:
            >>> empty = histogram(edges=[[0, 1, 2], [0, 10]])
            >>> full = empty.updated([[1.5, 3], [5, 5]])
            >>> empty.num_bins, full.num_bins, full.num_outside
            (0, 1, 1)
        """
        if not self.counts or self.low is not None:
            what = "has densities" if not self.counts else "is cut by a box"
            raise PlanError(f"{self!r} {what}, so counts of points cannot be added; update the histogram of counts")
        bins, counts, num_outside = counted(checked_points(points, self.dim), self.edges)
        bins, masses = added(self.bins, self.masses, bins, counts)
        return replace(self, bins=sealed(bins), masses=sealed(masses), num_outside=self.num_outside + num_outside)

    def structure(self) -> tuple[Any, ...]:
        """See `Sampler.structure`."""
        return self.edges, self.bins, self.masses, self.low, self.high

    def __repr__(self) -> str:
        return f"histogram({'x'.join(map(str, shape_of_bins(self.edges)))} bins, {self.num_bins} used)"


def volumes(bins: np.ndarray, edges: Edges) -> np.ndarray:
    """Volume of bins by their numbers, float64 `(k,)`."""
    found = np.ones(len(bins))
    for array, place in zip(edges, np.unravel_index(bins, shape_of_bins(edges)), strict=True):
        found *= np.diff(array)[place]
    return found


def histogram(
    data: Any = None,
    bins: Any = None,
    *,
    points: Any = None,
    counts: Any = None,
    edges: Any = None,
    density: bool = False,
) -> Histogram:
    """The law of a histogram: a bin by its mass, then uniform in its box.

    Points are read in blocks and never become a full array of bins.

    Args:
        data: points `(n, dim)`; or counts, one axis per column, which fit `edges`; or the pair (counts, edges) that
            `numpy.histogramdd` returns.
        bins: of points: a number per axis, one for all, or edges.
        points: `data` where it cannot be told what it is.
        counts: `data` likewise: masses >= 0 of the bins, need not sum to 1.
        edges: increasing numbers, one array per axis. Without data the histogram is empty until `.updated(points)`.
        density: `counts` are densities, so that the mass of a bin is its value times its volume.

    Raises:
        PlanError: data that fit neither, edges that do not increase, wrong counts.
        EmptySupportError: counts are given and all are 0.

    Example:
        >>> law = histogram([[0.1, 5], [0.2, 6], [0.9, 5]], bins=[10, 2])
        >>> law.num_bins, law.dim
        (3, 2)
        >>> counts, edges = np.histogram([1, 1, 3], bins=[0, 2, 4])
        >>> float((histogram(counts, edges).sample(3000) < 2).mean().round(1))
        0.7
    """
    if isinstance(data, tuple) and len(data) == 2 and bins is None and edges is None:
        counts, edges, data = *data, None
    if sum(one is not None for one in (data, points, counts)) > 1 or (bins is not None and edges is not None):
        raise PlanError("histogram needs one of points and counts, and one of bins and edges")
    layout = edges if edges is not None else bins
    if layout is None:
        raise PlanError("histogram needs bins or edges: histogram(points, bins=100), histogram(counts, edges)")
    density = check_flag("density", density)
    if data is not None:
        counts, points = (data, None) if _are_counts(data, layout) else (None, data)
    if counts is not None:
        checked = checked_edges(layout)
        check_unmasked("histogram: counts", counts)
        places, masses = used(np.asarray(counts), checked)
        if not len(places):
            raise EmptySupportError(
                "histogram: all counts are 0; for one that is filled later give edges alone: histogram(edges=edges)"
            )
        if density:
            masses = masses * volumes(places, checked)
        return Histogram(checked, sealed(places), sealed(masses), counts=not density)
    if density:
        raise PlanError("density=True is for counts that are densities; points have none")
    if points is None:
        if edges is None:
            raise PlanError(f"histogram(bins={shown(bins)}) needs points; an empty one needs edges")
        checked = checked_edges(edges)
        return Histogram(checked, sealed(np.empty(0, np.int64)), sealed(np.empty(0, np.int64)))
    given = checked_points(points)
    numbers = None if edges is not None else checked_bins(bins, given.shape[1])
    checked = checked_edges(layout) if numbers is None else edges_around(given, numbers)
    if len(checked) != given.shape[1]:
        raise PlanError(f"histogram: edges of {len(checked)} axes do not fit points of shape {tuple(given.shape)}")
    places, found, num_outside = counted(given, checked)
    return Histogram(checked, sealed(places), sealed(found), num_outside)


def _are_counts(data: Any, layout: Any) -> bool:
    """Whether data are counts that fit edges, and not points.

    Raises:
        PlanError: they may be both.
    """
    shape = np.shape(data)
    if not isinstance(layout, list | tuple | np.ndarray) or not len(layout):
        return False
    each = [len(one) - 1 for one in layout] if all(np.ndim(one) == 1 for one in layout) else [len(layout) - 1]
    if np.ndim(layout[0]) == 0 and (len(shape) != 1 or len(layout) == 1):
        return False
    fits = len(shape) == len(each) and (len(shape) != 2 or tuple(each) == shape)
    if fits and len(shape) == 2 and shape[1] == 2:
        raise PlanError(
            f"histogram: an array of shape {shape} with edges for {tuple(each)} bins may be points or counts; say "
            "histogram(points=..., bins=...) or histogram(counts=..., edges=...)"
        )
    return fits
