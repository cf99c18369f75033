"""Halve the learning rate when nothing improves, and stop when it has become too small.

Source: the recipe in which a learning rate eta0 is halved after n validations without improvement, down to eta0 / 1024.
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

_NAMES = ("settings", "best", "num_without", "num_halvings", "stopped")
_SLACK = 1e-9
"""Relative; so that 0.001 is three divisions by 10, whatever their product rounds to."""


@dataclass(frozen=True, kw_only=True)
class HalvingDecision:
    """What follows from one validation.

    Immutable; any thread.

    Args:
        stop: training ends now.
        improved: the value is the best so far.
        halved: the learning rate is divided now.
    """

    stop: bool
    improved: bool = False
    halved: bool = False


@dataclass(frozen=True, kw_only=True)
class HalvingState:
    """Where a `Halving` stands after some validation.

    Immutable; any thread.

    Args:
        best: smallest value so far, infinity before the first validation.
        num_without: validations without improvement since the last improvement or division.
        num_halvings: divisions so far.
        stopped: whether training has ended.
    """

    best: float = math.inf
    num_without: int = 0
    num_halvings: int = 0
    stopped: bool = False


@dataclass(frozen=True)
class Halving:
    """The settings of `HalvingRule`, and the rule as a pure function of a state.

    Immutable; any thread.

    Args:
        n: validations without improvement that are waited for, >= 1.
        factor: what the learning rate is divided by, > 1.
        floor: smallest share of the first learning rate that is trained with, > 0 and <= 1.

    Raises:
        PlanError: a setting out of its range.

    Example:
        >>> halving = Halving(1)
        >>> state, decision = halving.update(HalvingState(best=0.5), 0.6)
        >>> decision.halved, halving.multiplier(state)
        (True, 0.5)
    """

    n: int
    factor: float = 2
    floor: float = 1 / 1024

    def __post_init__(self) -> None:
        checked = {
            "n": check_whole("n", self.n, 1),
            "factor": finite_number("factor", self.factor, 1, above=True),
            "floor": finite_number("floor", self.floor, 0, 1, above=True),
        }
        for name, value in checked.items():
            object.__setattr__(self, name, value)

    @property
    def most_halvings(self) -> int:
        """Divisions until the floor: 10 for 2 and 1/1024."""
        return int(-math.log(self.floor) / math.log(self.factor) * (1 + _SLACK) + _SLACK)

    def multiplier(self, state: HalvingState) -> float:
        """Share of the first learning rate that is left, > 0 and <= 1."""
        return float(self.factor) ** -state.num_halvings

    def update(self, state: HalvingState, value: float) -> tuple[HalvingState, HalvingDecision]:
        """The state after a validation, and what to do. The state given is left as it is.

        Args:
            state: before.
            value: of the validation; smaller is better. NaN ends training.

        Raises:
            PlanError: training has ended, no number, or minus infinity.
        """
        value = float(plain_number("the validation value", value))
        if state.stopped:
            raise PlanError("training was to end, and another validation was told")
        if value == -math.inf:
            raise PlanError("the validation value is minus infinity, and nothing can be better: watch another value")
        if math.isnan(value):
            return dataclasses.replace(state, stopped=True), HalvingDecision(stop=True)
        if value < state.best:
            return dataclasses.replace(state, best=value, num_without=0), HalvingDecision(stop=False, improved=True)
        if state.num_without + 1 < self.n:
            return dataclasses.replace(state, num_without=state.num_without + 1), HalvingDecision(stop=False)
        if state.num_halvings >= self.most_halvings:
            return dataclasses.replace(state, num_without=self.n, stopped=True), HalvingDecision(stop=True)
        after = dataclasses.replace(state, num_without=0, num_halvings=state.num_halvings + 1)
        return after, HalvingDecision(stop=False, halved=True)


class HalvingRule:
    """Divide the learning rate after n validations without improvement; stop instead of going below the floor.

    With the default, at most ten halvings: the eleventh time that n validations bring nothing ends training.

    One thread at a time. A thin object around `Halving`, which is pure.

    Args:
        n: validations without improvement that are waited for, >= 1.
        factor: what the learning rate is divided by, > 1.
        floor: smallest share of the first learning rate that is trained with, > 0 and <= 1.

    Raises:
        PlanError: a setting out of its range.

    Example:
        >>> rule = HalvingRule(2)
        >>> [rule.update(value).halved for value in (0.5, 0.6, 0.5, 0.4)], rule.multiplier
        ([False, False, True, False], 0.5)
    """

    def __init__(self, n: int, factor: float = 2, floor: float = 1 / 1024) -> None:
        self.settings = Halving(n, factor, floor)
        self._state = HalvingState()

    def __repr__(self) -> str:
        return f"HalvingRule({self.settings.n}, factor={self.settings.factor!r}, floor={self.settings.floor!r})"

    @property
    def multiplier(self) -> float:
        """Share of the first learning rate, or of what a schedule gives, that is left."""
        return self.settings.multiplier(self._state)

    @property
    def num_halvings(self) -> int:
        """Divisions so far."""
        return self._state.num_halvings

    @property
    def best(self) -> float:
        """The smallest value so far; infinity before the first."""
        return self._state.best

    @property
    def stopped(self) -> bool:
        """Whether training has ended."""
        return self._state.stopped

    def update(self, value: float) -> HalvingDecision:
        """Tell a validation; see `Halving.update`.

        Raises:
            PlanError: training has ended, or no number; the rule is left as it was.
        """
        self._state, decision = self.settings.update(self._state, value)
        return decision

    def state(self) -> dict[str, Any]:
        """Settings and state as JSON."""
        best = self._state.best
        return {
            "rule": "HalvingRule",
            "settings": dataclasses.asdict(self.settings),
            **dataclasses.asdict(self._state),
            "best": None if math.isinf(best) else best,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on where a rule with the same settings was.

        Raises:
            StateError: not a state of this rule, or of one with other settings; the rule is left as it was.
        """
        content = read_state("HalvingRule", state, _NAMES)
        check_settings("HalvingRule", content["settings"], dataclasses.asdict(self.settings))
        num_halvings = read_count("num_halvings", content["num_halvings"])
        num_without = read_count("num_without", content["num_without"])
        if num_halvings > self.settings.most_halvings or num_without > self.settings.n:
            raise StateError(
                f"{num_halvings} halvings and {num_without} validations without improvement cannot be: there are at "
                f"most {self.settings.most_halvings} and {self.settings.n}"
            )
        self._state = HalvingState(
            best=read_best(content["best"]),
            num_without=num_without,
            num_halvings=num_halvings,
            stopped=read_flag("stopped", content["stopped"]),
        )

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> HalvingRule:
        """The rule that `state` was taken from.

        Raises:
            StateError: not a state of this rule.

        Example:
            >>> rule = HalvingRule(1)
            >>> decision = rule.update(0.25), rule.update(0.5)
            >>> HalvingRule.from_state(rule.state()).multiplier
            0.5
        """
        content = read_state("HalvingRule", state, _NAMES)
        try:
            rule = cls(**content["settings"])
        except (TypeError, PlanError) as error:
            raise StateError(f"the settings in the state of a HalvingRule cannot be: {error}") from error
        rule.restore(state)
        return rule
