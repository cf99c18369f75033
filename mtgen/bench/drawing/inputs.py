"""What every contender of a task is given, and what it gives back: sizes, weights, points, lists of labels.

A contender is a function decorated with `contextlib.contextmanager`. It takes a `Sizes`, gets ready, and yields an
`Operation`; what is timed is `call`, time and again.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, TypeAlias

import numpy as np

ZEROS = 0.3
"""Share of rows of weight 0."""

LABELS = (
    *("Hernia", "Pneumonia", "Fibrosis", "Edema", "Emphysema", "Mass", "Nodule"),
    *("Effusion", "Cardiomegaly", "Atelectasis", "Infiltration", "Pneumothorax", "Consolidation", "No finding"),
)
WEIGHED = {"Hernia": 20, "Pneumonia": 8, "Fibrosis": 5, "Edema": 4, "Emphysema": 2, "Mass": 1}
"""Weights of labels: a row has the largest one of its labels, and 0 without any of these."""


@dataclass(frozen=True)
class Sizes:
    """Sizes of a task, and its inputs, which depend on nothing else.

    Immutable, but that inputs are kept once made; goes to another process as JSON.

    Args:
        rows: rows of the table.
        batch: rows or points that one call gives.
        calls: calls in a proof.
        parts: components of the mixture.
        points: points that a histogram is made of.
        bins: its bins along each axis.
        low: smallest value of the truncated normal law.
        seed: of inputs and of what is drawn.
        fixed: a smaller run leaves the sizes as they are.
    """

    rows: int = 0
    batch: int = 256
    calls: int = 1
    parts: int = 0
    points: int = 0
    bins: tuple[int, ...] = ()
    low: float = 0.0
    seed: int = 0
    fixed: bool = False

    def shrunk(self, by: int) -> Sizes:
        """The same in small; batches of 256 and less stay."""
        if by == 1 or self.fixed:
            return self
        return dataclasses.replace(
            self,
            rows=max(self.rows // by, min(self.rows, 600)),
            batch=self.batch if self.batch <= 256 else max(self.batch // by, 60),
            points=max(self.points // by, min(self.points, 100)),
            bins=tuple(max(round(number / by ** (1 / 3)), 2) for number in self.bins),
        )

    @cached_property
    def weights(self) -> np.ndarray:
        """Weights of rows, float64 `(rows,)`; 1, 2, 3, 4 for four rows."""
        if self.rows == 4:
            return np.array([1.0, 2.0, 3.0, 4.0])
        rng = np.random.default_rng([self.seed, 1])
        weights = rng.random(self.rows)
        weights[rng.random(self.rows) < ZEROS] = 0.0
        weights[-1] = 0.0  # where rounding of sums goes wrong
        return weights

    @cached_property
    def cloud(self) -> np.ndarray:
        """Points of the histogram, float64 `(points, axes)` in [0, 1)."""
        return np.random.default_rng([self.seed, 2]).random((self.points, len(self.bins)))

    @cached_property
    def findings(self) -> list[list[str]]:
        """Labels of each row: none to three of `LABELS`."""
        rng = np.random.default_rng([self.seed, 3])
        numbers = rng.integers(0, len(LABELS), (self.rows, 3)).tolist()
        lengths = rng.integers(0, 4, self.rows).tolist()
        return [[LABELS[one] for one in row[:length]] for row, length in zip(numbers, lengths, strict=True)]

    @cached_property
    def shares(self) -> np.ndarray:
        """Weights of the mixture's components, float64 `(parts,)`: 1, 2, 3 ..."""
        return np.arange(1.0, self.parts + 1)

    def make(self, names: tuple[str, ...]) -> None:
        """Make inputs before anything is measured."""
        for name in names:
            getattr(self, name)

    def to_json(self) -> str:
        """As one line of text."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Sizes:
        """What `to_json` wrote."""
        given: dict[str, Any] = json.loads(text)
        return cls(**{**given, "bins": tuple(given["bins"])})


class Operation(NamedTuple):
    """What a contender of a task does.

    Attributes:
        call: is timed; gets the number of the call.
        look: makes an array out of what `call` gave, for the check.
    """

    call: Callable[[int], Any]
    look: Callable[[Any], np.ndarray] = np.asarray


Taker: TypeAlias = Callable[..., AbstractContextManager[Operation]]


def weight_of(labels: list[str]) -> int:
    """The largest weight of some labels; 0 without any."""
    return max((WEIGHED.get(label, 0) for label in labels), default=0)


def low_of(acceptance: float) -> float:
    """Where a standard normal value lies above with this probability."""
    from statistics import NormalDist

    return -NormalDist().inv_cdf(acceptance)
