"""Is what a contender draws right? Rows by weight, permutations, mixtures, histograms, conditions, weights.

The same checks are made on small sizes before anything is timed, and on what the timed calls gave.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from mtgen.bench.drawing.inputs import Sizes, weight_of

MOST_SIGMAS = 6.0
"""Deviation at which a draw is called wrong: less than one right one in a million is."""

_EXPECTED = 50
"""Least expected count of a stratum."""

Check = Callable[[Sizes, Sequence[np.ndarray]], None]

PITCH = 10.0
"""Distance of the middles of a mixture's normal laws: so far that each point tells its component."""


class WrongError(Exception):
    """What was drawn is not what should have been."""


def judge(name: str, sizes: Sizes, results: Sequence[np.ndarray]) -> None:
    """Check what some calls gave.

    Args:
        name: of `CHECKS`.
        sizes: what was asked for.
        results: of each call.

    Raises:
        WrongError: something is wrong.
    """
    CHECKS[name](sizes, results)


def weighted(sizes: Sizes, results: Sequence[np.ndarray]) -> None:
    """Rows by weight: none of weight 0, and as many of each as its weight says."""
    _by_weight(sizes, results, sizes.weights)


def query_rows(sizes: Sizes, results: Sequence[np.ndarray]) -> None:
    """Rows by the weights of their labels."""
    _by_weight(sizes, results, np.array([weight_of(labels) for labels in sizes.findings], np.float64))


def _by_weight(sizes: Sizes, results: Sequence[np.ndarray], weights: np.ndarray) -> None:
    drawn = _rows(sizes, results)
    if not (weights[drawn] > 0).all():
        raise WrongError(f"row {drawn[np.argmin(weights[drawn] > 0)]:,} of weight 0 was drawn")
    num_strata = min(len(drawn) // _EXPECTED, 2_000)
    if num_strata >= 2:
        # Neighbouring rows together, so that each stratum is drawn often enough to be judged.
        sums = np.cumsum(weights)
        strata = np.minimum(sums / sums[-1] * num_strata, num_strata - 1).astype(np.int64)
        expected = np.bincount(strata, weights, num_strata) / sums[-1]
        fits(np.bincount(strata[drawn], minlength=num_strata), expected, "rows")


def fits(counts: np.ndarray, probabilities: np.ndarray, what: str) -> None:
    """Pearson's chi-square: raises `WrongError` if counts are further from what is expected than chance brings."""
    some = probabilities > 0
    if counts[~some].any():
        raise WrongError(f"{what} of probability 0 were drawn")
    expected = probabilities[some] * counts.sum()
    freedom = len(expected) - 1
    if freedom < 1:
        return
    statistic = float(((counts[some] - expected) ** 2 / expected).sum())
    sigmas = (statistic - freedom) / math.sqrt(2 * freedom)
    if sigmas > MOST_SIGMAS:
        raise WrongError(
            f"{what} do not come by their weights: chi-square is {sigmas:.0f} standard deviations too large"
        )


def _rows(sizes: Sizes, results: Sequence[np.ndarray]) -> np.ndarray:
    for result in results:
        if result.shape != (sizes.batch,) or result.dtype.kind not in "iu":
            raise WrongError(f"a call gave {result.dtype} {result.shape}, expected {sizes.batch} row numbers")
    drawn = np.concatenate(results)
    if len(drawn) and not (drawn.min() >= 0 and drawn.max() < sizes.rows):
        raise WrongError(f"rows from {drawn.min():,} to {drawn.max():,} were drawn, there are {sizes.rows:,}")
    return drawn


def distinct(sizes: Sizes, results: Sequence[np.ndarray]) -> None:
    """Rows by weight, none twice. With four rows: how often each comes among two."""
    drawn = _rows(sizes, results)
    for result in results:
        if (num_twice := sizes.batch - len(np.unique(result))) > 0:
            raise WrongError(f"{num_twice:,} rows came twice")
    if not (sizes.weights[drawn] > 0).all():
        raise WrongError(f"row {drawn[np.argmin(sizes.weights[drawn] > 0)]:,} of weight 0 was drawn")
    if sizes.rows == 4:
        shares = sizes.weights / sizes.weights.sum()
        both = shares[:, None] * shares / (1 - shares[:, None])  # first i, then j
        np.fill_diagonal(both, 0.0)
        for row, due in enumerate((both.sum(axis=1) + both.sum(axis=0)).tolist()):
            _close(
                float((drawn == row).sum() / len(results)), due, math.sqrt(due * (1 - due)), len(results), "inclusion"
            )


def _close(found: float, due: float, sigma: float, number: int, what: str) -> None:
    if not abs(found - due) <= MOST_SIGMAS * sigma / math.sqrt(number):
        raise WrongError(f"the {what} is {found:.4g}, expected {due:.4g}")


def permutation(sizes: Sizes, results: Sequence[np.ndarray]) -> None:
    """Each row once; and, over many small orders, each as often the first."""
    drawn = _rows(sizes, results)
    for result in results:
        rows, counts = np.unique(result, return_counts=True)
        if len(rows) < sizes.batch:
            twice = rows[counts > 1]
            said = f"row {twice[0]:,} came {counts[counts > 1][0]} times"
            if sizes.batch == sizes.rows:
                missing = np.setdiff1d(np.arange(sizes.rows), rows)
                said += f", row {missing[0]:,} never"
            raise WrongError(said + f" (of {sizes.rows:,} rows {len(twice):,} are repeated)")
    if len(results) > 1 and sizes.rows > 5 and sizes.batch > 5 and all((one == results[0]).all() for one in results):
        raise WrongError("every call gives the same rows in the same order")
    if sizes.batch == sizes.rows and len(results) >= _EXPECTED * sizes.rows / 2:
        fits(
            np.bincount(drawn[:: sizes.batch], minlength=sizes.rows), np.full(sizes.rows, 1 / sizes.rows), "first rows"
        )


def mixture(sizes: Sizes, results: Sequence[np.ndarray]) -> None:
    """Normal laws of deviation 1 around multiples of `PITCH`, component j with weight j + 1."""
    points = _points(sizes, results, 1)[:, 0]
    which = np.rint(points / PITCH)
    if not ((which >= 0) & (which < sizes.parts)).all():
        raise WrongError(f"points from {points.min():.3g} to {points.max():.3g} are of no component")
    if len(points) >= _EXPECTED * sizes.parts:
        counts = np.bincount(which.astype(np.int64), minlength=sizes.parts)
        fits(counts, sizes.shares / sizes.shares.sum(), "components")
    inner = points - PITCH * which
    _close(float(inner.mean()), 0.0, 1.0, len(inner), "mean")
    _close(float((inner**2).mean()), 1.0, math.sqrt(2.0), len(inner), "variance")


def _points(sizes: Sizes, results: Sequence[np.ndarray], dim: int) -> np.ndarray:
    for result in results:
        if result.shape != (sizes.batch, dim) or result.dtype.kind != "f":
            raise WrongError(f"a call gave {result.dtype} {result.shape}, expected points of shape {sizes.batch, dim}")
    return np.concatenate(results)


def histogram(sizes: Sizes, results: Sequence[np.ndarray]) -> None:
    """Points in bins that points were in, slices along the first axis by their counts."""
    points = _points(sizes, results, len(sizes.bins))
    edges = [np.histogram_bin_edges(column, number) for column, number in zip(sizes.cloud.T, sizes.bins, strict=True)]
    known, found = _bins(sizes.cloud, edges), _bins(points, edges)
    used = np.unique(np.ravel_multi_index(tuple(known.T), sizes.bins))
    here = np.isin(np.ravel_multi_index(tuple(found.T), sizes.bins), used)
    if not here.all():
        raise WrongError(f"the point {points[np.argmin(here)].tolist()} lies in an empty bin")
    if len(points) >= 4 * _EXPECTED * sizes.bins[0]:
        slices = np.bincount(known[:, 0], minlength=sizes.bins[0]) / sizes.points
        fits(np.bincount(found[:, 0], minlength=sizes.bins[0]), slices, "bins")


def _bins(points: np.ndarray, edges: Sequence[np.ndarray]) -> np.ndarray:
    found = []
    for column, edge in zip(points.T, edges, strict=True):
        if not (edge[0] <= column.min() and column.max() <= edge[-1]):
            raise WrongError(f"points from {column.min()} to {column.max()} leave the histogram")
        found.append(np.minimum(np.searchsorted(edge, column, side="right") - 1, len(edge) - 2))
    return np.stack(found, axis=1)


def truncated(sizes: Sizes, results: Sequence[np.ndarray]) -> None:
    """A standard normal law above `low`: the bound, and the mean (Johnson, Kotz and Balakrishnan, 1994, 10.1)."""
    points = _points(sizes, results, 1)[:, 0]
    if not (points >= sizes.low).all():
        raise WrongError(f"the point {points.min()} lies below the bound of {sizes.low}")
    mean = math.exp(-(sizes.low**2) / 2) / math.sqrt(2 * math.pi) / (math.erfc(sizes.low / math.sqrt(2)) / 2)
    _close(float(points.mean()), mean, math.sqrt(1 + sizes.low * mean - mean**2), len(points), "mean")


def error(sizes: Sizes, results: Sequence[np.ndarray]) -> None:
    """An error was raised: its text came."""
    for result in results:
        if result.dtype.kind != "U" or not str(result):
            raise WrongError(f"no error, but {result!r}")


def query(sizes: Sizes, results: Sequence[np.ndarray]) -> None:
    """The weight of every row, compared with a plain loop over the lists."""
    due = np.array([weight_of(labels) for labels in sizes.findings], np.float64)
    for result in results:
        if result.shape != due.shape or not (result == due).all():
            raise WrongError(f"weights {result.dtype} {result.shape} differ from those of a plain loop")


CHECKS: Mapping[str, Check] = {
    "weighted": weighted,
    "distinct": distinct,
    "permutation": permutation,
    "mixture": mixture,
    "histogram": histogram,
    "truncated": truncated,
    "error": error,
    "query": query,
    "query rows": query_rows,
}
