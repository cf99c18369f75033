"""Does one part of each row fit another part of the same row, or that of a neighbour? Pure; NumPy only.

A join that is off by one row trains in silence. Here the one part (the design) predicts the other (the response) by
ridge regression, with cross-validation, once for each shift of the response. Where rows are independent the right
shift stands out alone. Where neighbours are alike, as in a table sorted by class, every shift predicts; so a shift
is named only if it beats every other one, sample by sample, and otherwise the answer is that nobody can tell.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

SHIFTS = range(-3, 4)
"""Shifts that are looked for."""

BESIDE = range(-4, 5)
"""Shifts that are compared: one more on each side, so that a rise without end is not taken for a peak."""

LEAST_ROWS = 120
"""Fewer rows say nothing."""

LEAST_Z = 6.0
"""Standard deviations over random permutations that a fit needs. One in 10**9 by chance, were they normal."""

LEAST_LEAD = 4.0
"""Standard errors by which the best shift must lead before each other one."""

MOST_COLUMNS = 96
"""Columns of a design or response; more are mixed into so many by a random projection."""

BLOCK_ROWS = 16
"""Neighbouring rows that count as one in comparisons, because neighbours may be alike."""

_FOLDS = 5
_TAIL = 4.0  # arcsinh of 27
_PERMUTATIONS = 40

Verdict = Literal["in place", "shifted", "cannot tell"]


@dataclass(frozen=True, kw_only=True)
class ShiftFit:
    """How well a response fits at each shift.

    Args:
        verdict: what follows.
        why: in words.
        best: the shift with the best fit: row i of the design fits row i + best of the response.
        z: standard deviations of the best fit over random permutations.
        lead: standard errors by which the best leads before the next best.
        scores: shift -> share of the response's variance that is predicted in rows left out, at most 1.
        num_rows: rows compared.
    """

    verdict: Verdict
    why: str
    best: int | None
    z: float | None
    lead: float | None
    scores: dict[int, float]
    num_rows: int


def prepared(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Numbers as columns of mean 0 and standard deviation 1, few of them, in which no outlier rules.

    Missing values become the median; tails are pressed together by arcsinh, and cut at 27 median deviations.

    Args:
        values: `(n, ...)`, numbers or booleans; NaN and infinite values allowed.
        rng: makes the projection where there are more than `MOST_COLUMNS`.

    Returns:
        float64 `(n, at most MOST_COLUMNS)`; no column where all are constant.

    Example:
        >>> prepared(np.array([[1.0, 7.0], [3.0, 7.0]]), np.random.default_rng(0)).tolist()
        [[-1.0], [1.0]]
    """
    columns: np.ndarray = np.array(values.reshape(len(values), -1), np.float64)
    columns[~np.isfinite(columns)] = np.nan
    columns = columns[:, ~np.isnan(columns).all(axis=0)]
    if not columns.size:
        return np.empty((len(values), 0))
    middle = np.nanmedian(columns, axis=0)
    columns = np.where(np.isnan(columns), 0.0, columns - middle)
    largest = np.abs(columns).max(axis=0)
    columns = columns[:, largest > 0] / largest[largest > 0]
    spread = np.median(np.abs(columns), axis=0)
    spread = np.where(spread > 0, spread, columns.std(axis=0))
    columns = np.clip(np.arcsinh(columns / np.where(spread > 0, spread, 1.0)), -_TAIL, _TAIL)
    columns = _scaled(columns)
    if columns.shape[1] > MOST_COLUMNS:
        columns = _scaled(columns @ rng.normal(size=(columns.shape[1], MOST_COLUMNS)))
    return columns


def one_hot(codes: np.ndarray, num_classes: int, rng: np.random.Generator) -> np.ndarray:
    """Class numbers as columns of 0 and 1, centred; of many classes a random projection.

    Args:
        codes: integers `(n,)`, 0 to `num_classes` - 1.
        num_classes: how many there are.
        rng: makes the projection.
    """
    if num_classes > MOST_COLUMNS:
        columns = rng.normal(size=(num_classes, MOST_COLUMNS))[codes]
    else:
        columns = np.eye(num_classes)[codes]
    return np.asarray(columns - columns.mean(axis=0))


def _scaled(columns: np.ndarray) -> np.ndarray:
    columns = columns - columns.mean(axis=0)
    spread = columns.std(axis=0)
    kept = spread > 1e-12
    return np.asarray(columns[:, kept] / spread[kept])


def fit_shifts(
    design: np.ndarray, responses: dict[int, np.ndarray], runs: np.ndarray, rng: np.random.Generator
) -> ShiftFit:
    """Compare the shifts.

    Pure but for `rng`. Any thread.

    Args:
        design: float64 `(n, p)`, from `prepared` or `one_hot`; rows in order.
        responses: for each of `BESIDE` float64 `(n, q)`: row i is what stands so many rows after row i of the design.
        runs: int64 `(n,)`: rows of one number are neighbours, one after the other.
        rng: makes the permutations.

    Returns:
        The verdict and what it rests on.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> x = rng.normal(size=(600, 3))
        >>> responses = {shift: np.roll(x, 1 - shift, axis=0) for shift in BESIDE}
        >>> found = fit_shifts(x, responses, np.zeros(600, np.int64), rng)
        >>> found.verdict, found.best
        ('shifted', 1)
    """
    num_rows = len(design)
    if num_rows < LEAST_ROWS:
        return _cannot(f"only {num_rows} rows have neighbours to compare with, {LEAST_ROWS} are needed", num_rows)
    if not design.shape[1] or not responses[0].shape[1] or not any(one.any() for one in responses.values()):
        return _cannot("one side is the same in all rows", num_rows)
    blocks = _blocks(runs)
    ridge = _Ridge(design, blocks)
    gains = {shift: ridge.gains(response) for shift, response in responses.items()}
    scores = {shift: _score(*one) for shift, one in gains.items()}
    chance = np.array([_score(*ridge.gains(responses[0][rng.permutation(num_rows)])) for _ in range(_PERMUTATIONS)])
    best = max(scores, key=lambda shift: scores[shift])
    spread = max(float(chance.std()), 1e-9)
    z, next_z = ((score - float(chance.mean())) / spread for score in sorted(scores.values(), reverse=True)[:2])
    leads = {shift: _lead(gains[best][0] - one[0], blocks) for shift, one in gains.items() if shift != best}
    lead = min(leads.values())
    found = {shift: round(scores[shift], 6) for shift in SHIFTS}
    if z < LEAST_Z or scores[best] <= 0:
        verdict: Verdict = "cannot tell"
        why = "nothing fits better than chance at any shift, so that a shift could not be seen"
    elif lead < LEAST_LEAD and next_z < LEAST_Z / 2:
        verdict = "cannot tell"
        why = "the fit is too weak to tell one shift from another"
    elif lead < LEAST_LEAD or best not in SHIFTS:
        verdict = "cannot tell"
        why = "neighbouring rows are alike (a sorted table, a series in time): several shifts fit as well as each other"
    elif best:
        verdict, why = "shifted", "another row fits better than the row's own"
    else:
        verdict, why = "in place", "the row's own fits best"
    return ShiftFit(
        verdict=verdict, why=why, best=best, z=round(z, 2), lead=round(lead, 2), scores=found, num_rows=num_rows
    )


def _cannot(why: str, num_rows: int) -> ShiftFit:
    return ShiftFit(verdict="cannot tell", why=why, best=None, z=None, lead=None, scores={}, num_rows=num_rows)


def _blocks(runs: np.ndarray) -> np.ndarray:
    """Number of the block of each row: neighbours, at most `BLOCK_ROWS` of one run."""
    starts = np.flatnonzero(np.concatenate([[True], runs[1:] != runs[:-1]]))
    lengths = np.diff([*starts, len(runs)])
    inside = np.arange(len(runs)) - np.repeat(starts, lengths)
    is_first = (inside % BLOCK_ROWS == 0).astype(np.int64)
    return np.cumsum(is_first) - 1


def _lead(differences: np.ndarray, blocks: np.ndarray) -> float:
    """Mean over standard error of the sums of blocks; 0 where all are 0."""
    sums = np.bincount(blocks, weights=differences)
    error = float(sums.std(ddof=1)) / float(np.sqrt(len(sums))) if len(sums) > 1 else 0.0
    return float(sums.mean()) / error if error > 0 else 0.0


def _score(gains: np.ndarray, bases: np.ndarray) -> float:
    total = float(bases.sum())
    return float(gains.sum()) / total if total > 0 else 0.0


class _Ridge:
    """Ridge regression on one design, factored once, for many responses; whole blocks are left out together."""

    def __init__(self, design: np.ndarray, blocks: np.ndarray) -> None:
        folds = blocks % _FOLDS
        self._parts = []
        for fold in range(_FOLDS):
            inner, outer = folds != fold, folds == fold
            middle = design[inner].mean(axis=0)
            fitted, left_out = design[inner] - middle, design[outer] - middle
            # One pseudo-observation per column: as if half of a response's variance were noise.
            strength = design.shape[1] + 1e-3 * len(fitted)
            normal = fitted.T @ fitted + strength * np.eye(design.shape[1])
            self._parts.append((inner, outer, left_out, np.linalg.solve(normal, fitted.T)))

    def gains(self, response: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """How much smaller each row's squared error is than that of the mean, and the latter, each `(n,)`."""
        gains, bases = np.empty(len(response)), np.empty(len(response))
        for inner, outer, left_out, solved in self._parts:
            middle = response[inner].mean(axis=0)
            rest = response[outer] - middle
            bases[outer] = (rest**2).sum(axis=1)
            gains[outer] = bases[outer] - ((rest - left_out @ (solved @ (response[inner] - middle))) ** 2).sum(axis=1)
        return gains, bases
