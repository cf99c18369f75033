"""Bins of points: edges, the bin of each point, and counts of the bins that hold some, without the others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mtgen.errors import PlanError
from mtgen.sampling.places.cells import frozen, whole_tuple
from mtgen.settings import check_unmasked, shown

BLOCK = 1 << 17
"""Points looked at at once."""

Edges = tuple[np.ndarray, ...]


def checked_edges(edges: Any) -> Edges:
    """Edges of the bins of each axis, float64.

    Args:
        edges: one array per axis, or one array for one axis.

    Raises:
        PlanError: edges that do not increase or are not finite, or more than 2**62 bins.
    """
    given = edges if isinstance(edges, list | tuple) and len(edges) and np.ndim(edges[0]) else [edges]
    checked = []
    for axis, one in enumerate(given):
        try:
            array = np.asarray(one, np.float64)
        except (TypeError, ValueError) as error:
            raise PlanError(f"edges of axis {axis} must be numbers, received {shown(one)}") from error
        if array.ndim != 1 or len(array) < 2:
            raise PlanError(f"edges of axis {axis} must be two or more numbers, received {shown(one)}")
        if not np.isfinite(array).all() or not (np.diff(array) > 0).all():
            raise PlanError(f"edges of axis {axis} must be finite and increase, received {shown(one)}")
        checked.append(frozen(array))
    num = 1
    for array in checked:
        num *= len(array) - 1
    if num >= 2**62:
        raise PlanError(f"{num} bins are more than can be numbered; use fewer per axis")
    return tuple(checked)


def edges_around(points: Any, bins: Sequence[int]) -> Edges:
    """So many bins of equal width per axis, from the smallest point to the largest.

    A column with one value only gets bins from half below it to half above, as in NumPy.

    Raises:
        PlanError: no point is finite.
    """
    low, high = np.full(len(bins), np.inf), np.full(len(bins), -np.inf)
    for start in range(0, len(points), BLOCK):
        block = np.asarray(points[start : start + BLOCK], np.float64)
        block = block[np.isfinite(block).all(axis=1)]
        if len(block):
            low, high = np.minimum(low, block.min(axis=0)), np.maximum(high, block.max(axis=0))
    if not (low <= high).all():
        raise PlanError(
            f"histogram: none of {len(points)} points is finite, so bins have no range; give edges, then .updated()"
        )
    same = low == high
    low, high = np.where(same, low - 0.5, low), np.where(same, high + 0.5, high)
    return checked_edges([np.linspace(*ends) for ends in zip(low, high, [num + 1 for num in bins], strict=True)])


def shape_of_bins(edges: Edges) -> tuple[int, ...]:
    """Bins per axis."""
    return tuple(len(array) - 1 for array in edges)


def bins_at(points: np.ndarray, edges: Edges) -> np.ndarray:
    """Number of the bin of each point `(n, dim)`, int64 `(n,)`; -1 outside the edges, and for NaN.

    A point on an edge lies in the upper bin, one on the last edge in the last bin.
    """
    shape = shape_of_bins(edges)
    columns, inside = [], np.ones(len(points), bool)
    for axis, array in enumerate(edges):
        column = points[:, axis]
        place = np.searchsorted(array, column, side="right") - 1
        place[column == array[-1]] = shape[axis] - 1
        inside &= (place >= 0) & (place < shape[axis])
        columns.append(place)
    found = np.full(len(points), -1, np.int64)
    found[inside] = np.ravel_multi_index(tuple(column[inside] for column in columns), shape)
    return found


def counted(points: Any, edges: Edges) -> tuple[np.ndarray, np.ndarray, int]:
    """Bins that hold points, ascending, how many each, both int64 `(k,)`, and points outside; read in blocks."""
    bins, counts = np.empty(0, np.int64), np.empty(0, np.int64)
    waiting: list[tuple[np.ndarray, np.ndarray]] = []
    num_outside = num_waiting = 0
    for start in range(0, len(points), BLOCK):
        found = bins_at(np.asarray(points[start : start + BLOCK], np.float64), edges)
        num_outside += int((found < 0).sum())
        waiting.append(np.unique(found[found >= 0], return_counts=True))
        num_waiting += len(waiting[-1][0])
        if num_waiting > max(len(bins) // 8, BLOCK):  # few at a time for memory, not too few for time
            bins, counts = added(bins, counts, *_sorted(waiting))
            waiting, num_waiting = [], 0
    if waiting:
        bins, counts = added(bins, counts, *_sorted(waiting))
    return bins, counts, num_outside


def _sorted(parts: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Masses of bins summed over parts: bins ascending, each once, and their masses."""
    bins, masses = (np.concatenate([part[column] for part in parts]) for column in (0, 1))
    if len(parts) == 1 or not len(bins):
        return bins, masses
    order = np.argsort(bins, kind="stable")
    bins, masses = bins[order], masses[order]
    firsts = np.flatnonzero(np.diff(bins, prepend=-1))
    return bins[firsts], np.add.reduceat(masses, firsts)


def added(
    bins: np.ndarray, masses: np.ndarray, more: np.ndarray, more_masses: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Bins and masses, with more put in; both ascending, each bin once. New arrays; `masses` is used up if writable.

    Example:
        >>> [part.tolist() for part in added(*np.array([[2, 5], [1, 1], [0, 5], [7, 7]]))]
        [[0, 2, 5], [7, 1, 8]]
    """
    place = np.searchsorted(bins, more)
    same = np.zeros(len(more), bool)
    known = place < len(bins)
    same[known] = bins[place[known]] == more[known]
    sums = masses if masses.flags.writeable else masses.copy()
    sums[place[same]] += more_masses[same]
    fresh = ~same
    return np.insert(bins, place[fresh], more[fresh]), np.insert(sums, place[fresh], more_masses[fresh])


def used(counts: np.ndarray, edges: Edges) -> tuple[np.ndarray, np.ndarray]:
    """Bins of a full array of counts that are above 0, and their counts: int64 where all are whole.

    Raises:
        PlanError: counts that are negative or not finite, or of another shape than the edges say.
    """
    if counts.dtype.kind not in "biuf":
        raise PlanError(f"histogram: counts must be numbers, received {counts.dtype}")
    if counts.shape != shape_of_bins(edges):
        raise PlanError(
            f"histogram: counts of shape {counts.shape} need one edge more per axis; these edges are for "
            f"{shape_of_bins(edges)}"
        )
    bins = np.flatnonzero(counts)
    masses = counts.ravel()[bins]
    if not (masses > 0).all() or not np.isfinite(masses).all():
        raise PlanError("histogram: counts must be finite numbers >= 0; some are negative, infinite or NaN")
    most = masses.max(initial=0)
    whole = masses.dtype.kind in "bi" or (most < 2**63 if masses.dtype.kind == "u" else most < 2**53)
    whole = whole and bool((masses == np.floor(masses)).all())
    return bins, masses.astype(np.int64 if whole else np.float64)


def checked_points(points: Any, dim: int | None = None) -> Any:
    """Points `(n, dim)`, as they are if they have slices; `(n,)` are points of one column.

    Raises:
        PlanError: another shape, or no numbers.
    """
    check_unmasked("histogram: points", points)
    if not all(hasattr(points, name) for name in ("shape", "dtype", "__getitem__")):
        try:
            points = np.asarray(points)
        except ValueError as error:
            raise PlanError(f"histogram needs points of shape (n, dim), received {shown(points)}") from error
        if not points.size and dim is not None:
            points = np.empty((0, dim))
    if len(points.shape) == 1 and dim in (None, 1):
        points = np.asarray(points)[:, None]
    if len(points.shape) != 2 or not points.shape[1] or dim not in (None, points.shape[1]):
        raise PlanError(f"histogram needs points of shape (n, {dim or 'dim'}), received shape {tuple(points.shape)}")
    if np.dtype(points.dtype).kind not in "biuf":
        raise PlanError(f"histogram needs points that are numbers, received {points.dtype}")
    return points


def checked_bins(bins: Any, dim: int) -> tuple[int, ...] | None:
    """Bins per axis if that is what was given; None for edges.

    Raises:
        PlanError: numbers below 1, or not one per axis.
    """
    if isinstance(bins, list | tuple | np.ndarray):
        flat = np.ndim(bins[0]) == 0 if len(bins) else True
        if not flat or (dim == 1 and len(bins) > 1):
            return None
    return whole_tuple("bins", bins, dim)
