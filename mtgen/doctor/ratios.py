"""Two sides measured in turn: how much faster one is, and whether that can be told from noise. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from mtgen.errors import PlanError

MARGIN = 0.05
"""Differences below this share are no reason to change anything, however well they are measured."""

TRIM_ROUNDS = 10
"""From so many rounds on, the best and the worst are left out of the spread: one hiccup says nothing."""

CLEAR_ROUNDS = 3
"""Fewer rounds are never clear."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """How a changed side compares with the present one.

    Args:
        ratio: median rate of the changed side / median rate of the present one.
        low: smallest ratio of a round.
        high: largest ratio of a round.
        present: median rate of the present side.
        changed: median rate of the changed side.
        num_rounds: rounds measured.
    """

    ratio: float
    low: float
    high: float
    present: float
    changed: float
    num_rounds: int

    @property
    def is_faster(self) -> bool:
        """Whether the changed side is faster, in every round."""
        return self.low > 1 + MARGIN and self.num_rounds >= CLEAR_ROUNDS

    @property
    def is_slower(self) -> bool:
        """Whether the changed side is slower, in every round."""
        return self.high < 1 / (1 + MARGIN) and self.num_rounds >= CLEAR_ROUNDS

    @property
    def is_clear(self) -> bool:
        """Whether there is a difference beyond the noise."""
        return self.is_faster or self.is_slower

    def __str__(self) -> str:
        spread = f"{self.low:.2f} to {self.high:.2f}"
        return f"{self.ratio:.2f}x ({spread})" + ("" if self.is_clear else ", no clear difference")


def compare(present: Sequence[float], changed: Sequence[float]) -> Comparison:
    """Compare the rates of two sides that were measured round by round.

    Args:
        present: rate in each round, > 0.
        changed: likewise, as many.

    Raises:
        PlanError: no rounds, not as many on both sides, or a rate that is no finite number > 0.

    Example:
        >>> print(compare([10, 11, 10], [20, 21, 22]))
        2.10x (1.91 to 2.20)
        >>> print(compare([10, 11, 10], [11, 10, 10]))
        1.00x (0.91 to 1.10), no clear difference
    """
    if not present or len(present) != len(changed):
        raise PlanError(f"both sides need as many rounds, at least one; received {len(present)} and {len(changed)}")
    for rate in (*present, *changed):
        if not (math.isfinite(rate) and rate > 0):
            raise PlanError(f"a rate is a finite number > 0, received {rate}")
    ratios = sorted(after / before for before, after in zip(present, changed, strict=True))
    kept = ratios[1:-1] if len(ratios) >= TRIM_ROUNDS else ratios
    before, after = median(present), median(changed)
    ratio = after / before
    return Comparison(
        ratio=ratio,
        low=min(kept[0], ratio),
        high=max(kept[-1], ratio),
        present=before,
        changed=after,
        num_rounds=len(present),
    )
