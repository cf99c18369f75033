"""How well does one feature alone predict the target? For leaked targets: a number of the class, a name, a date. Pure.

Three rules, none of which learns much: one threshold, intervals (learned on half of the rows, tried on the rest), and,
for a target that is a number, the correlation of ranks.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mtgen.seeds import key, words

MOST_ROWS = 5_000
"""Rows that are looked at, taken evenly."""

LEAST_ROWS = 50
"""Fewer rows say nothing."""

MOST_CLASSES = 100
"""Targets of more classes are not looked at."""

MOST_VALUES = 40_000_000
"""Values that are sorted in all: of wide rows fewer rows are taken."""

SUSPICIOUS = 0.95
"""Share of the way from the majority to no error, or absolute correlation of ranks, from which a feature is named."""

PERFECT = 0.9999
"""From here on it is hardly a measurement."""


class Alone(NamedTuple):
    """What one column does.

    Args:
        column: its number.
        accuracy: of the better of both rules; the absolute correlation of ranks for a target that is a number.
        majority: accuracy of always saying the most frequent class; 0 for a number.
        auc: area under the curve of two classes, at least 0.5; None for more classes or a number.
    """

    column: int
    accuracy: float
    majority: float
    auc: float | None

    @property
    def strength(self) -> float:
        """Share of the way from the majority to no error."""
        return (self.accuracy - self.majority) / (1 - self.majority) if self.majority < 1 else 0.0


def even_rows(num_rows: int, num_columns: int) -> np.ndarray:
    """Places of the rows that are looked at, evenly spread, int64."""
    most = max(LEAST_ROWS, min(MOST_ROWS, MOST_VALUES // max(1, num_columns)))
    return np.unique(np.linspace(0, num_rows - 1, min(num_rows, most)).astype(np.int64))


def alone(values: np.ndarray, target: np.ndarray, num_classes: int | None) -> list[Alone]:
    """What each column does by itself.

    Args:
        values: numbers `(n, d)`; NaN counts as a value of its own, above all others.
        target: class numbers `(n,)`, 0 to `num_classes` - 1; or numbers.
        num_classes: None where the target is a number.

    Returns:
        A result per column; none for fewer than `LEAST_ROWS` rows, one class, or more than `MOST_CLASSES`.

    Example:
        >>> target = np.arange(60) % 2
        >>> found = alone(np.stack([target * 3.0, np.arange(60) // 2], axis=1), target, 2)
        >>> [(one.accuracy, one.auc) for one in found]
        [(1.0, 1.0), (0.5, 0.5)]
    """
    if len(values) < LEAST_ROWS:
        return []
    if num_classes is None:
        return _of_number(values, target)
    classes, codes = np.unique(target, return_inverse=True)
    if not 1 < len(classes) <= MOST_CLASSES:
        return []
    majority = float(np.bincount(codes).max() / len(codes))
    found = []
    for number in range(values.shape[1]):
        _, places = np.unique(values[:, number], return_inverse=True)
        counts = np.zeros((int(places.max()) + 1, len(classes)), np.int64)
        np.add.at(counts, (places, codes), 1)
        accuracy = max(_threshold(counts), _intervals(places, codes, len(classes)))
        found.append(Alone(number, accuracy, majority, _auc(counts) if len(classes) == 2 else None))
    return found


def _threshold(counts: np.ndarray) -> float:
    """Accuracy of the best single threshold, from counts (distinct values, classes) in ascending order of values."""
    below = np.cumsum(counts, axis=0)
    right = below.max(axis=1) + (below[-1] - below).max(axis=1)
    return float(right.max() / below[-1].sum())


def _auc(counts: np.ndarray) -> float:
    """Mann and Whitney: how often a row of one class lies above a row of the other; ties count half."""
    below = np.cumsum(counts[:, 0]) - counts[:, 0]
    wins = float((counts[:, 1] * (below + counts[:, 0] / 2)).sum())
    share = wins / float(counts[:, 0].sum() * counts[:, 1].sum())
    return max(share, 1 - share)


def _intervals(places: np.ndarray, codes: np.ndarray, num_classes: int) -> float:
    """Accuracy in half of the rows of intervals learned in the others; ranks are cut into at most 8 per class."""
    num_values = int(places.max()) + 1
    most = min(256, 8 * num_classes)
    if num_values > most:
        ranks = np.cumsum(np.bincount(places)) - 1
        places = ranks[places] * most // len(places)
        num_values = most
    learned = words(key(0, "card intervals"), np.arange(len(places))) >> np.uint64(63) == 0  # classes may alternate
    counts = np.zeros((num_values, num_classes), np.int64)
    np.add.at(counts, (places[learned], codes[learned]), 1)
    return float((counts.argmax(axis=1)[places[~learned]] == codes[~learned]).mean())


def _of_number(values: np.ndarray, target: np.ndarray) -> list[Alone]:
    wanted = _ranks(target)
    found = []
    for number in range(values.shape[1]):
        ranks = _ranks(values[:, number])
        spread = float(np.sqrt((ranks**2).sum() * (wanted**2).sum()))
        found.append(Alone(number, abs(float((ranks * wanted).sum())) / spread if spread else 0.0, 0.0, None))
    return found


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks with ties at their mean, centred."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    means = np.cumsum(counts) - (counts + 1) / 2
    return means[places] - (len(values) - 1) / 2
