"""What training came to: scores by target, and sentences for people."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mtgen.metrics import Stats

if TYPE_CHECKING:
    import keras

ACCURACY = "accuracy"


@dataclass(frozen=True, kw_only=True)
class Score:
    """How well one target is predicted.

    Args:
        target: its name.
        metric: in words, such as `accuracy` or `mean absolute error`.
        test: on the test split; None where it was not scored.
        valid: on the valid split, by the parameters that training ended with.
    """

    target: str
    metric: str
    test: float | None
    valid: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Result:
    """What one training run came to.

    Args:
        name: what was trained, such as `merged`.
        metric: `accuracy` or `mean absolute error`, of the first target.
        test: the metric on the test split, scored after training; None where it was to be left alone.
        valid: the metric on the valid split, by the parameters that training ended with.
        num_rows: rows trained on, over all epochs, but for those before the run was resumed.
        num_test_rows: rows of the test split.
        seconds: time in `fit`.
        stats: what the train loader did meanwhile, batches that Keras only looked at included.
        history: the logs of each epoch.
        model: the trained model.
        more: scores of further targets.
        num_steps: steps trained since the run began.
    """

    name: str
    metric: str
    test: float | None
    valid: float
    num_rows: int
    num_test_rows: int
    seconds: float
    stats: Stats
    history: Mapping[str, list[float]]
    model: keras.Model
    more: tuple[Score, ...] = ()
    num_steps: int = 0

    @property
    def wait_share(self) -> float:
        """Share of the time in `fit` in which training waited for batches, 0 to 1."""
        return self.stats.wait_seconds / self.seconds if self.seconds else 0.0

    def __str__(self) -> str:
        joint = "," if "," in self.name else ""
        which, value = ("valid", self.valid) if self.test is None else ("test", self.test)
        if not self.more:
            return f"{self.name}{joint} {which} {self.metric}: {_shown(self.metric, value)}"
        return "\n".join(
            f"{self.name}{joint} {one.target} {which} {one.metric}: "
            f"{_shown(one.metric, one.valid if one.test is None else one.test)}"
            for one in self.more
        )


def _shown(metric: str, value: float) -> str:
    return f"{value:.2f}" if metric == ACCURACY else f"{value:.4g}"


def conclusion(results: list[Result]) -> str:
    """One sentence on what an ablation proves, from its own numbers.

    Args:
        results: each input alone, then all together, then all with features shifted.
    """
    *alone, merged, shifted = (result.valid if result.test is None else result.test for result in results)
    if results[0].metric == ACCURACY:
        # Two standard errors of a share counted on that many rows.
        margin = 2 * math.sqrt(max(merged * (1 - merged), 0.01) / results[0].num_test_rows)
        better, word = merged - max(*alone, shifted) > margin, "higher"
    else:
        # No law is known for a mean of errors: a tenth is more than chance gives on a hundred rows or more.
        better, word = merged < 0.9 * min(*alone, shifted), "lower"
    both = "both inputs than with either" if len(alone) == 2 else "all inputs than with any"
    if better:
        return (
            f"The {results[0].metric} is {word} with {both} alone, and the gain is gone when the "
            "features come from the row beside: so each picture met its own features."
        )
    return (
        f"{'Both' if len(alone) == 2 else 'All'} inputs together are not clearly better than each alone and than the "
        "shifted ones, so these numbers prove nothing about alignment: either one input says it all, or the features "
        "belong to other rows."
    )


def waiting(results: list[Result]) -> str:
    """One sentence on where the time went."""
    seconds = sum(result.seconds for result in results)
    waited = sum(result.stats.wait_seconds for result in results)
    rows = sum(result.num_rows for result in results)
    share = waited / seconds if seconds else 0.0
    return (
        f"Training took {seconds:.1f} s for {rows:,} rows, and {waited:.1f} s of it ({share:.0%}) was waiting for data."
    )
