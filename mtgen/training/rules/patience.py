"""Patience counted in mini-batches, as the deep-learning tutorials of the LISA lab (Theano) have it.

Source: lisa-lab/DeepLearningTutorials, code/logistic_sgd.py and doc/gettingstarted.txt, "Early-Stopping". Their comment
says that patience counts examples; their code counts mini-batches, and so does this.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mtgen.errors import PlanError, StateError
from mtgen.settings import check_whole
from mtgen.training.rules.saved import (
    check_settings,
    finite_number,
    plain_number,
    read_best,
    read_count,
    read_flag,
    read_state,
)

MOST_INCREASE = 1e9
"""Largest `patience_increase`: more is for ever, and the product must stay finite."""

_NAMES = ("settings", "patience", "best", "best_iteration", "iteration", "stopped")


@dataclass(frozen=True, kw_only=True)
class PatienceDecision:
    """What follows from one mini-batch.

    Immutable; any thread.

    Args:
        stop: training ends now.
        improved: the value is the best so far: keep the parameters.
        significant: it is so by more than the threshold, and patience was looked at again.
    """

    stop: bool
    improved: bool = False
    significant: bool = False


@dataclass(frozen=True, kw_only=True)
class PatienceState:
    """Where a `Patience` stands after some mini-batch.

    Immutable; any thread.

    Args:
        patience: mini-batch at which training ends; no integer where `patience_increase` is none.
        best: smallest value so far, infinity before the first validation.
        best_iteration: 0-based mini-batch after which it was seen; None before.
        iteration: 0-based number of the mini-batch last told, -1 before the first.
        stopped: whether training has ended.
    """

    patience: int | float
    best: float = math.inf
    best_iteration: int | None = None
    iteration: int = -1
    stopped: bool = False


@dataclass(frozen=True, kw_only=True)
class Patience:
    """The settings of `PatienceRule`, and the rule as a pure function of a state.

    Immutable; any thread.

    Args:
        patience: look at as many mini-batches regardless, >= 1.
        patience_increase: at a significant improvement after mini-batch i wait until i times this, >= 1 and <= 1e9.
        improvement_threshold: an improvement is significant below this share of the best value, > 0 and <= 1.
        batches_per_epoch: mini-batches in one epoch, >= 1.

    Raises:
        PlanError: a setting out of its range.

    Example:
        >>> patience = Patience(patience=4, patience_increase=2, improvement_threshold=0.995, batches_per_epoch=100)
        >>> state = patience.start()
        >>> for iteration, value in enumerate([None, 0.5, None, 0.4, None]):
        ...     state, decision = patience.update(state, iteration, value)
        >>> state.patience, state.best, decision.stop
        (6, 0.4, False)
    """

    patience: int
    patience_increase: int | float
    improvement_threshold: float
    batches_per_epoch: int

    def __post_init__(self) -> None:
        checked = {
            "patience": check_whole("patience", self.patience, 1),
            "patience_increase": finite_number("patience_increase", self.patience_increase, 1, MOST_INCREASE),
            "improvement_threshold": finite_number(
                "improvement_threshold", self.improvement_threshold, 0, 1, above=True
            ),
            "batches_per_epoch": check_whole("batches_per_epoch", self.batches_per_epoch, 1),
        }
        for name, value in checked.items():
            object.__setattr__(self, name, value)

    @property
    def validation_frequency(self) -> int:
        """Mini-batches from one validation to the next, >= 1; of the patience at the beginning, so it never changes."""
        return max(1, min(self.batches_per_epoch, self.patience // 2))

    def is_due(self, iteration: int) -> bool:
        """Whether a validation follows mini-batch number `iteration`, 0-based."""
        return (iteration + 1) % self.validation_frequency == 0

    def num_validations(self, num_epochs: int) -> int:
        """Validations that begin within so many epochs, the last one perhaps after their end.

        Where an epoch of Keras is the time between two validations, this is `fit(epochs=...)`.

        Args:
            num_epochs: most epochs, >= 1.

        Raises:
            PlanError: not an integer >= 1.
        """
        return -(-check_whole("num_epochs", num_epochs, 1) * self.batches_per_epoch // self.validation_frequency)

    def start(self) -> PatienceState:
        """The state before the first mini-batch."""
        return PatienceState(patience=self.patience)

    def update(
        self, state: PatienceState, iteration: int, value: float | None = None
    ) -> tuple[PatienceState, PatienceDecision]:
        """The state after a mini-batch, and what to do. The state given is left as it is.

        Args:
            state: before.
            iteration: 0-based number of the mini-batch since training began; may leave out some without validation.
            value: the validation error, >= 0, where one is due; smaller is better. NaN ends training.

        Raises:
            PlanError: a mini-batch out of turn, a value where none is due or the reverse, a negative value.
        """
        iteration = self._checked(state, iteration, value)
        improved = significant = False
        patience, best, best_iteration = state.patience, state.best, state.best_iteration
        missing = False
        if value is not None:
            value = float(plain_number("the validation value", value))
            missing = math.isnan(value)
            if value < 0:
                raise PlanError(
                    f"the validation value is {value!r}: a share of a negative value says nothing about improvement. "
                    "Watch an error, such as 1 - accuracy"
                )
            improved = value < best
            significant = improved and value < best * self.improvement_threshold
            if significant:
                patience = max(patience, iteration * self.patience_increase)
            if improved:
                best, best_iteration = value, iteration
        stop = missing or patience <= iteration
        after = PatienceState(
            patience=patience, best=best, best_iteration=best_iteration, iteration=iteration, stopped=stop
        )
        return after, PatienceDecision(stop=stop, improved=improved, significant=significant)

    def _checked(self, state: PatienceState, iteration: int, value: float | None) -> int:
        iteration = check_whole("iteration", iteration)
        if state.stopped:
            raise PlanError(f"training was to end after mini-batch {state.iteration}, received mini-batch {iteration}")
        if iteration <= state.iteration:
            raise PlanError(f"mini-batch {iteration} was told after mini-batch {state.iteration}: they must grow")
        every = self.validation_frequency
        due = (state.iteration + 1) // every * every + every - 1
        if due < iteration or (due == iteration and value is None):
            raise PlanError(
                f"a validation is due after mini-batch {due}, received mini-batch {iteration} "
                f"{'without a value' if value is None else 'with a value'}: validate every {every} mini-batches"
            )
        if value is not None and due != iteration:
            raise PlanError(
                f"a value was given after mini-batch {iteration}, the next validation is due after mini-batch {due} "
                f"(every {every} mini-batches, mini-batches counted from 0)"
            )
        return iteration


class PatienceRule:
    """Early stopping with patience in mini-batches that grows as long as the model improves.

    After each mini-batch, `update` says whether to stop. Every `validation_frequency` mini-batches it takes the
    validation error. Smaller than the best: keep the parameters. Smaller than `improvement_threshold` times the best:
    patience becomes `max(patience, iteration * patience_increase)`. Training ends when `patience <= iteration`.

    One thread at a time. A thin object around `Patience`, which is pure.

    Args:
        patience: look at as many mini-batches regardless, >= 1.
        patience_increase: at a significant improvement after mini-batch i wait until i times this, >= 1 and <= 1e9.
        improvement_threshold: an improvement is significant below this share of the best value, > 0 and <= 1.
        batches_per_epoch: mini-batches in one epoch, >= 1.

    Raises:
        PlanError: a setting out of its range.

    Example:
        >>> rule = PatienceRule(patience=2, patience_increase=2, improvement_threshold=0.995, batches_per_epoch=10)
        >>> rule.validation_frequency
        1
        >>> [rule.update(iteration, 0.5).stop for iteration in range(3)]
        [False, False, True]
    """

    def __init__(
        self,
        *,
        patience: int,
        patience_increase: float,
        improvement_threshold: float,
        batches_per_epoch: int,
    ) -> None:
        self.settings = Patience(
            patience=patience,
            patience_increase=patience_increase,
            improvement_threshold=improvement_threshold,
            batches_per_epoch=batches_per_epoch,
        )
        self._state = self.settings.start()

    def __repr__(self) -> str:
        named = ", ".join(f"{name}={value!r}" for name, value in dataclasses.asdict(self.settings).items())
        return f"PatienceRule({named})"

    @property
    def validation_frequency(self) -> int:
        """Mini-batches from one validation to the next, >= 1; never changes."""
        return self.settings.validation_frequency

    @property
    def patience(self) -> int | float:
        """The mini-batch at which training ends, as things stand."""
        return self._state.patience

    @property
    def best(self) -> float:
        """The smallest validation error so far; infinity before the first."""
        return self._state.best

    @property
    def best_iteration(self) -> int | None:
        """The 0-based mini-batch after which the best was seen; None before."""
        return self._state.best_iteration

    @property
    def iteration(self) -> int:
        """The 0-based mini-batch last told, -1 before the first."""
        return self._state.iteration

    @property
    def stopped(self) -> bool:
        """Whether training has ended."""
        return self._state.stopped

    def is_due(self, iteration: int) -> bool:
        """Whether a validation follows mini-batch number `iteration`, 0-based."""
        return self.settings.is_due(iteration)

    def num_validations(self, num_epochs: int) -> int:
        """See `Patience.num_validations`."""
        return self.settings.num_validations(num_epochs)

    def update(self, iteration: int, value: float | None = None) -> PatienceDecision:
        """Tell a mini-batch; see `Patience.update`.

        Args:
            iteration: 0-based number of the mini-batch since training began.
            value: the validation error where one is due.

        Raises:
            PlanError: see `Patience.update`; the rule is left as it was.
        """
        self._state, decision = self.settings.update(self._state, iteration, value)
        return decision

    def state(self) -> dict[str, Any]:
        """Settings and state as JSON."""
        return {
            "rule": "PatienceRule",
            "settings": dataclasses.asdict(self.settings),
            **dataclasses.asdict(self._state),
            "best": None if math.isinf(self._state.best) else self._state.best,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on where a rule with the same settings was.

        Raises:
            StateError: not a state of this rule, or of one with other settings; the rule is left as it was.
        """
        content = read_state("PatienceRule", state, _NAMES)
        check_settings("PatienceRule", content["settings"], dataclasses.asdict(self.settings))
        patience = plain_number("patience in a saved state", content["patience"], StateError)
        if not self.settings.patience <= patience < math.inf:
            raise StateError(f"patience in a saved state must be >= {self.settings.patience}, received {patience}")
        best = content["best_iteration"]
        self._state = PatienceState(
            patience=patience,
            best=read_best(content["best"]),
            best_iteration=None if best is None else read_count("best_iteration", best),
            iteration=read_count("iteration", content["iteration"], -1),
            stopped=read_flag("stopped", content["stopped"]),
        )

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> PatienceRule:
        """The rule that `state` was taken from.

        Raises:
            StateError: not a state of this rule.

        Example:
            >>> rule = PatienceRule(patience=9, patience_increase=2, improvement_threshold=1.0, batches_per_epoch=3)
            >>> decision = rule.update(2, 0.25)
            >>> PatienceRule.from_state(rule.state()).best
            0.25
        """
        content = read_state("PatienceRule", state, _NAMES)
        try:
            rule = cls(**content["settings"])
        except (TypeError, PlanError) as error:
            raise StateError(f"the settings in the state of a PatienceRule cannot be: {error}") from error
        rule.restore(state)
        return rule
