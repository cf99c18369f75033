"""Predictions beside what was wanted: confusion of classes, or how far numbers are off. Pure NumPy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mtgen.errors import PlanError

PAIRS = 10
"""Most confused pairs that are named."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Confusion:
    """How often class k was taken for class j: `counts[k, j]`.

    Args:
        counts: int64 `(classes, classes)`, wanted class down, predicted class across.
        names: of the classes.
    """

    counts: np.ndarray
    names: tuple[str, ...]

    @property
    def shares(self) -> np.ndarray:
        """`(classes, classes)`, each row of counts by its sum; NaN where a class has no row."""
        totals = self.counts.sum(axis=1, keepdims=True)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(totals > 0, self.counts / totals, np.nan)

    @property
    def accuracy(self) -> float:
        """Share of rows whose class was predicted."""
        return float(np.trace(self.counts) / self.counts.sum())

    def confused(self, most: int = PAIRS) -> list[tuple[int, int, int]]:
        """Pairs of classes by how often one was taken for the other: (wanted, predicted, count), the worst first.

        Equal counts stand in the order of their classes.
        """
        wrong = self.counts.copy()
        np.fill_diagonal(wrong, 0)
        order = np.argsort(-wrong, axis=None, kind="stable")[:most]
        wanted, predicted = np.unravel_index(order, wrong.shape)
        return [
            (int(one), int(other), int(wrong[one, other]))
            for one, other in zip(wanted, predicted, strict=True)
            if wrong[one, other]
        ]


def confusion_of(wanted: np.ndarray, predicted: np.ndarray, names: Sequence[str]) -> Confusion:
    """Count classes.

    Pure, any thread.

    Args:
        wanted: integers `(n,)`, the class of each row, from 0.
        predicted: integers `(n,)`, the class that was predicted.
        names: of all classes.

    Raises:
        PlanError: no row, or a class without a name.

    Example:
        >>> found = confusion_of(np.array([0, 0, 1]), np.array([0, 1, 1]), ["cat", "dog"])
        >>> found.counts.tolist(), found.confused()
        ([[1, 1], [0, 1]], [(0, 1, 1)])
    """
    if not len(wanted):
        raise PlanError("there is no row to compare")
    low, high = min(wanted.min(), predicted.min()), max(wanted.max(), predicted.max())
    if low < 0 or high >= len(names):
        raise PlanError(f"classes are numbered 0 to {len(names) - 1}, received {low} to {high}")
    num = len(names)
    places = wanted.astype(np.int64) * num + predicted.astype(np.int64)
    counts = np.bincount(places, minlength=num * num).reshape(num, num)
    return Confusion(counts=counts.astype(np.int64), names=tuple(map(str, names)))


@dataclass(frozen=True, kw_only=True, eq=False)
class Scatter:
    """Predicted numbers against true ones.

    Args:
        wanted: `(n,)` true values.
        predicted: `(n,)` predictions; NaN and infinite ones count in `num_lost` and in nothing else.
    """

    wanted: np.ndarray
    predicted: np.ndarray

    @property
    def _kept(self) -> np.ndarray:
        return np.isfinite(self.wanted) & np.isfinite(self.predicted)

    @property
    def finite(self) -> tuple[np.ndarray, np.ndarray]:
        """Wanted and predicted where both are finite."""
        return self.wanted[self._kept], self.predicted[self._kept]

    @property
    def num_lost(self) -> int:
        """Rows without a finite prediction."""
        return int((~self._kept).sum())

    @property
    def error(self) -> float:
        """Mean absolute error."""
        wanted, predicted = self.finite
        return float(np.abs(predicted - wanted).mean()) if len(wanted) else float("nan")

    @property
    def baseline(self) -> float:
        """Mean absolute error of always saying the median of the true values, which no constant beats."""
        wanted, _ = self.finite
        return float(np.abs(wanted - np.median(wanted)).mean()) if len(wanted) else float("nan")
