"""What training came to: scores by target, and sentences for people."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mtgen.metrics import Stats
from mtgen.training.heads import Head

if TYPE_CHECKING:
    import keras

ACCURACY = "accuracy"


@dataclass(frozen=True, kw_only=True)
class TargetScore:
    """How well one target is predicted.

    Immutable; any thread.

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

    @property
    def which(self) -> str:
        """The split that `value` is of: `test`, or `valid` where that was not scored."""
        return "valid" if self.test is None else "test"

    @property
    def value(self) -> float:
        """The score that counts: on the test split, or on the valid split where that was not scored."""
        return self.valid if self.test is None else self.test


@dataclass(frozen=True, kw_only=True, eq=False)
class Result:
    """What one training run came to.

    Args:
        name: what was trained, such as `merged`.
        scores: of each target, one at least, in the order of the model's outputs.
        num_rows: rows trained on, over all epochs, but for those before the run was resumed.
        num_test_rows: rows of the test split.
        seconds: time in `fit`.
        stats: what the train loader did meanwhile, batches that Keras only looked at included.
        history: the logs of each epoch.
        model: the trained model.
        num_steps: steps trained since the run began.
    """

    name: str
    scores: tuple[TargetScore, ...]
    num_rows: int
    num_test_rows: int
    seconds: float
    stats: Stats
    history: Mapping[str, list[float]]
    model: keras.Model
    num_steps: int = 0

    @property
    def metric(self) -> str:
        """What the first target is scored by, such as `accuracy` or `mean absolute error`."""
        return self.scores[0].metric

    @property
    def test(self) -> float | None:
        """The score of the first target on the test split, after training; None where it was to be left alone."""
        return self.scores[0].test

    @property
    def valid(self) -> float:
        """The score of the first target on the valid split, by the parameters that training ended with."""
        return self.scores[0].valid

    @property
    def more(self) -> tuple[TargetScore, ...]:
        """The scores of all targets where they are several; empty for one."""
        return self.scores if len(self.scores) > 1 else ()

    @property
    def wait_share(self) -> float:
        """Share of the time in `fit` in which training waited for batches, 0 to 1."""
        return self.stats.wait_seconds / self.seconds if self.seconds else 0.0

    def __str__(self) -> str:
        joint = "," if "," in self.name else ""
        several = len(self.scores) > 1
        return "\n".join(
            f"{self.name}{joint} {f'{one.target} ' if several else ''}{one.which} {one.metric}: "
            f"{_shown(one.metric, one.value)}"
            for one in self.scores
        )


def target_scores(
    heads: Sequence[Head], valid: Mapping[str, float], test: Mapping[str, float] | None
) -> tuple[TargetScore, ...]:
    """The scores by target; of a model that came compiled by whatever it measures, in the order of the logs. Pure.

    Args:
        heads: what each target is scored by; empty for a model that came compiled otherwise.
        valid: name in the logs -> value on the valid split.
        test: the same on the test split; None where it was not scored.
    """
    if heads and all(head.log in valid for head in heads):
        named = [(head.target, head.word, head.log) for head in heads]
    else:
        named = [("", name.replace("_", " "), name) for name in sorted(valid, key=lambda name: name == "loss")][:1]
    return tuple(
        TargetScore(
            target=target, metric=word, test=None if test is None else float(test[log]), valid=float(valid[log])
        )
        for target, word, log in named
    )


def _shown(metric: str, value: float) -> str:
    return f"{value:.2f}" if metric == ACCURACY else f"{value:.4g}"


def conclusion(results: list[Result]) -> str:
    """One sentence on what an ablation proves, from its own numbers.

    Args:
        results: each input alone, then all together, then all with features shifted.
    """
    *alone, merged, shifted = (result.scores[0].value for result in results)
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
