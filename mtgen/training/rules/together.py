"""The rules of one training together: told the same mini-batches, they decide. What follows is done elsewhere."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from mtgen.errors import PlanError
from mtgen.settings import check_kind
from mtgen.training.decisions import Decision
from mtgen.training.rules.decay import CombinedRate, InverseEpochDecay
from mtgen.training.rules.halving import HalvingRule
from mtgen.training.rules.patience import PatienceRule


class RulesTogether:
    """One rule, or several, that follow one training.

    One thread at a time. The rules keep their own states; this holds none beside them.

    Args:
        patience: stops.
        halving: divides the learning rate, and stops.
        decay: the learning rate falls with the loader's epochs.

    Raises:
        PlanError: no rule at all, or something that is no rule.

    Example:
        >>> rules = RulesTogether(halving=HalvingRule(1))
        >>> [rules.validated(0.5, step - 1, step=step, monitor="loss")[0].what for step in (10, 20)]
        ['improved', 'halved']
    """

    def __init__(
        self,
        *,
        patience: PatienceRule | None = None,
        halving: HalvingRule | None = None,
        decay: InverseEpochDecay | None = None,
    ) -> None:
        check_kind("patience", patience, PatienceRule | None, "a PatienceRule or None")
        self.patience, self.halving, self.decay = patience, halving, decay
        self.rate = None if halving is None and decay is None else CombinedRate(halving=halving, decay=decay)
        """What the learning rate is multiplied by; None for nothing."""
        if patience is None and self.rate is None:
            raise PlanError("RuleCallback needs patience, halving or decay, received none of them")

    @property
    def watches(self) -> bool:
        """Whether a rule looks at validations."""
        return self.patience is not None or self.halving is not None

    @property
    def watching(self) -> str:
        """The rule that tells what holds for all: `patience` or `halving`."""
        return "halving" if self.patience is None else "patience"

    @property
    def stopped(self) -> bool:
        """Whether a rule has ended training."""
        return any(rule is not None and rule.stopped for rule in (self.patience, self.halving))

    @property
    def best(self) -> float:
        """The smallest value that was validated; infinity before the first."""
        return min((rule.best for rule in (self.patience, self.halving) if rule is not None), default=math.inf)

    def check_steps(self, num_batches: int, steps_per_epoch: int, asked: int | None, execution: int) -> None:
        """Compare the rules with the data.

        Args:
            num_batches: steps in an epoch of Keras, as the dataset has it.
            steps_per_epoch: steps in an epoch of the loader.
            asked: steps in an epoch of Keras, as `fit` has it.
            execution: `steps_per_execution` of the model.

        Raises:
            PlanError: epochs of Keras that are not the time between two validations, or a rate that would change late.
        """
        if self.patience is not None:
            every, length = self.patience.validation_frequency, self.patience.settings.batches_per_epoch
            if length != steps_per_epoch:
                raise PlanError(
                    f"PatienceRule(batches_per_epoch={length}), and the loader has {steps_per_epoch} steps per "
                    "epoch: give it loader.steps_per_epoch"
                )
            if num_batches != every or asked != every:
                raise PlanError(
                    f"the rule validates every {every} mini-batches, and an epoch of Keras has "
                    f"{asked}: write x = loader.keras(model, steps_per_epoch="
                    "rule.validation_frequency), and leave steps_per_epoch out of fit"
                )
        inside = num_batches != steps_per_epoch
        if self.decay is not None and inside and (num_batches % execution or steps_per_epoch % execution):
            raise PlanError(
                f"steps_per_execution={execution} does not divide the {num_batches} steps of an epoch of Keras and "
                f"the {steps_per_epoch} of the loader, so the learning rate would change late. Choose another "
                "steps_per_execution"
            )

    # --- mini-batches -------------------------------------------------------------------------------------------------

    def begun(self, epoch: int, iteration: int, *, step: int) -> list[Decision]:
        """What is decided where an epoch of the loader begins, but for the first one.

        Args:
            epoch: that begins, 0-based.
            iteration: 0-based number of the mini-batch last trained, since the rules began.
            step: steps of the loader trained so far.
        """
        if self.decay is None or not self.decay.d:
            return []
        before, after = self.decay.multiplier(epoch - 1), self.decay.multiplier(epoch)
        text = f"epoch {epoch}: learning rate times {after:.6g}"
        return [Decision(step, iteration, "decay", "decayed", None, before, after, text)]

    def trained(self, iteration: int, *, step: int) -> list[Decision]:
        """Tell mini-batches that no validation followed: patience may run out between two.

        Args:
            iteration: 0-based number of the mini-batch last trained, since the rules began.
            step: steps of the loader trained so far.
        """
        rule = self.patience
        # One by one, also those of an execution of several steps: the rule may end at any of them.
        while rule is not None and not rule.stopped and rule.iteration < iteration:
            if rule.is_due(rule.iteration + 1):
                break  # its value is known at the end of the epoch
            if rule.update(rule.iteration + 1).stop:
                why = f"patience of {rule.patience:g} mini-batches has run out"
                return [_stopped("patience", why, None, rule.iteration, step)]
        return []

    def validated(self, value: float, iteration: int, *, step: int, monitor: str) -> list[Decision]:
        """Tell a validation.

        Args:
            value: what came out; smaller is better, NaN ends training.
            iteration: 0-based number of the mini-batch that it follows, since the rules began.
            step: steps of the loader trained so far.
            monitor: what the value is called.

        Returns:
            What was decided, in order. `improved` is among it where the value is the best so far for any rule.

        Raises:
            PlanError: see `Patience.update`.
        """
        found = [
            *self._of_patience(value, iteration, step, monitor),
            *self._of_halving(value, iteration, step, monitor),
        ]
        if math.isnan(value):
            found.append(_stopped(self.watching, f"{monitor} is nan", value, iteration, step))
        return found

    def _of_patience(self, value: float, iteration: int, step: int, monitor: str) -> Iterator[Decision]:
        rule = self.patience
        if rule is None:
            return
        patience, best = rule.patience, rule.best
        told = rule.update(iteration, value)
        if told.improved:
            yield _improved("patience", monitor, best, value, iteration, step)
        if rule.patience != patience:
            text = f"mini-batch {iteration}: {monitor} {value:.6g}, patience {patience:g} -> {rule.patience:g}"
            yield Decision(step, iteration, "patience", "extended", value, patience, rule.patience, text)
        if told.stop and not math.isnan(value):
            why = f"patience of {rule.patience:g} mini-batches has run out"
            yield _stopped("patience", why, value, iteration, step)

    def _of_halving(self, value: float, iteration: int, step: int, monitor: str) -> Iterator[Decision]:
        rule = self.halving
        if rule is None:
            return
        share, best = rule.multiplier, rule.best
        told = rule.update(value)
        if told.improved:
            yield _improved("halving", monitor, best, value, iteration, step)
        if told.halved:
            text = f"mini-batch {iteration}: no improvement, learning rate times {rule.multiplier:.6g}"
            yield Decision(step, iteration, "halving", "halved", value, share, rule.multiplier, text)
        if told.stop and not math.isnan(value):
            yield _stopped("halving", "no improvement, and the learning rate is at its floor", value, iteration, step)

    # --- state --------------------------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """Settings and states as JSON."""
        return {
            "patience": None if self.patience is None else self.patience.state(),
            "halving": None if self.halving is None else self.halving.state(),
            "decay": None if self.decay is None else self.decay.d,
        }

    def check_state(self, state: Mapping[str, Any]) -> None:
        """Refuse saved states that do not fit the rules; there must be one for each.

        Raises:
            StateError: one does not fit.
        """
        for rule, saved in self._saved(state):
            type(rule).from_state(rule.state()).restore(saved)

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state.

        Raises:
            StateError: it does not fit; nothing is changed.
        """
        self.check_state(state)
        for rule, saved in self._saved(state):
            rule.restore(saved)

    def _saved(self, state: Mapping[str, Any]) -> list[tuple[Any, Mapping[str, Any]]]:
        rules = (("patience", self.patience), ("halving", self.halving))
        return [(rule, state[name]) for name, rule in rules if rule is not None]


def _improved(rule: str, monitor: str, best: float, value: float, iteration: int, step: int) -> Decision:
    text = f"mini-batch {iteration}: {monitor} {value:.6g} is the best so far"
    return Decision(step, iteration, rule, "improved", value, None if math.isinf(best) else best, value, text)


def _stopped(rule: str, why: str, value: float | None, iteration: int, step: int) -> Decision:
    text = f"stopped after {iteration + 1} mini-batches: {why}"
    return Decision(step, iteration, rule, "stopped", value, None, None, text)
