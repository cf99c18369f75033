"""Facts of the rules, each as a test; and what they refuse."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from mtgen.errors import PlanError, StateError
from mtgen.training import CombinedRate, HalvingRule, InverseEpochDecay, PatienceRule
from mtgen.training.rules import Halving, HalvingState, Patience


def patience(**changed: Any) -> PatienceRule:
    return PatienceRule(
        **{"patience": 8, "patience_increase": 2, "improvement_threshold": 0.995, "batches_per_epoch": 100, **changed}
    )


def updates(rule: PatienceRule, value: float | None) -> int:
    """Mini-batches until a rule stops, where each validation gives the same value."""
    for iteration in range(10_000):
        if rule.update(iteration, value if rule.is_due(iteration) else None).stop:
            return iteration + 1
    raise AssertionError("it never stopped")


# --- patience ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "length", "frequency"), [(5000, 83, 83), (100, 83, 50), (7, 83, 3), (3, 83, 1), (1, 83, 1), (9, 1, 1)]
)
def test_validation_comes_once_an_epoch_or_twice_in_patience_whichever_is_more_often(
    first: int, length: int, frequency: int
) -> None:
    assert patience(patience=first, batches_per_epoch=length).validation_frequency == frequency


def test_validation_frequency_does_not_follow_patience() -> None:
    rule = patience(patience=4)
    for iteration, value in enumerate([None, 0.5, None, 0.4, None, 0.3]):
        rule.update(iteration, value)
    assert (rule.patience, rule.validation_frequency) == (10, 2)


def test_the_first_validation_is_significant() -> None:
    rule = patience(patience=2)
    decision = rule.update(0, 0.9)
    assert (decision.improved, decision.significant) == (True, True)


def test_an_infinite_first_value_is_no_improvement() -> None:
    decision = patience(patience=2).update(0, math.inf)
    assert (decision.improved, decision.significant, decision.stop) == (False, False, False)


def test_a_small_improvement_is_kept_and_changes_no_patience() -> None:
    rule = patience(patience=2, improvement_threshold=0.9)
    rule.update(0, 1.0)
    decision = rule.update(1, 0.95)
    assert (decision.improved, decision.significant) == (True, False)
    assert (rule.best, rule.best_iteration, rule.patience) == (0.95, 1, 2)


def test_significance_is_measured_against_any_best_not_the_last_significant_one() -> None:
    rule = patience(patience=20, batches_per_epoch=1, improvement_threshold=0.9)
    assert [rule.update(place, value).significant for place, value in enumerate([1.0, 0.95, 0.87])] == [
        True,
        False,
        False,
    ]


@pytest.mark.parametrize("first", [1, 2, 7, 40])
def test_without_improvement_training_ends_after_patience_and_one_mini_batches(first: int) -> None:
    assert updates(patience(patience=first), math.inf) == first + 1


def test_one_early_improvement_brings_nothing_where_twice_its_mini_batch_is_less() -> None:
    assert updates(patience(patience=8, patience_increase=2), 0.5) == 9


def test_patience_grows_to_a_multiple_of_the_mini_batch_and_is_not_added_to() -> None:
    rule = patience(patience=10, patience_increase=3, batches_per_epoch=5)
    for iteration in range(10):
        rule.update(iteration, {4: 0.5, 9: 0.4}.get(iteration))
    assert rule.patience == 27  # 9 * 3; neither 10 * 3 nor 10 + ...


def test_patience_never_shrinks() -> None:
    rule = patience(patience=10, patience_increase=1)
    rule.update(4, 0.5)
    assert rule.patience == 10


def test_mini_batches_are_counted_whatever_their_epoch() -> None:
    rule = patience(patience=1000, batches_per_epoch=7)
    assert [iteration for iteration in range(30) if rule.is_due(iteration)] == [6, 13, 20, 27]


@pytest.mark.parametrize("before", [[], [0.5]])
def test_nan_stops(before: list[float]) -> None:
    rule = patience(patience=2)
    for iteration, value in enumerate(before):
        rule.update(iteration, value)
    decision = rule.update(len(before), math.nan)
    assert (decision.stop, decision.improved, rule.stopped) == (True, False, True)
    assert rule.best == (0.5 if before else math.inf)


def test_validations_of_some_epochs() -> None:
    rule = patience(patience=10, batches_per_epoch=8)  # every 5 mini-batches
    assert [rule.num_validations(num) for num in (1, 5)] == [2, 8]


def test_the_rule_is_pure_underneath() -> None:
    settings = Patience(patience=2, patience_increase=2, improvement_threshold=0.995, batches_per_epoch=1)
    state = settings.start()
    after, _ = settings.update(state, 0, 0.5)
    assert state == settings.start() != after
    assert settings.update(state, 0, 0.5)[0] == after


def test_numpy_numbers_become_plain_json() -> None:
    rule = patience(patience=np.int64(2), patience_increase=np.float32(2), improvement_threshold=np.float64(0.5))
    rule.update(np.int64(0), np.float32(0.25))
    assert json.loads(json.dumps(rule.state()))["best"] == 0.25
    assert repr(rule) == (
        "PatienceRule(patience=2, patience_increase=2.0, improvement_threshold=0.5, batches_per_epoch=100)"
    )


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"patience": 0}, "patience must be an integer >= 1, received 0 (int)"),
        ({"patience": 2.0}, "patience must be an integer >= 1, received 2.0 (float)"),
        ({"patience_increase": 0.5}, "patience_increase must be a finite number >= 1 and <= 1e+09, received 0.5"),
        ({"patience_increase": math.inf}, "patience_increase must be a finite number >= 1 and <= 1e+09, received inf"),
        ({"improvement_threshold": 0}, "improvement_threshold must be a finite number > 0 and <= 1, received 0"),
        ({"improvement_threshold": 1.1}, "improvement_threshold must be a finite number > 0 and <= 1, received 1.1"),
        ({"improvement_threshold": "0.9"}, "improvement_threshold must be a number, received '0.9' (str)"),
        ({"batches_per_epoch": True}, "batches_per_epoch must be an integer >= 1, received True (bool)"),
    ],
)
def test_settings_out_of_range_are_refused(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(PlanError) as error:
        patience(**changed)
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("iteration", "value", "said"),
    [
        (0, None, "mini-batch 0 was told after mini-batch 3: they must grow"),
        (-1, None, "iteration must be an integer >= 0, received -1"),
        (7, None, "a validation is due after mini-batch 7, received mini-batch 7 without a value"),
        (8, None, "a validation is due after mini-batch 7, received mini-batch 8 without a value"),
        (11, 0.5, "a validation is due after mini-batch 7, received mini-batch 11 with a value"),
        (5, 0.5, "a value was given after mini-batch 5, the next validation is due after mini-batch 7"),
        (7, -0.5, "the validation value is -0.5: a share of a negative value says nothing about improvement"),
        (7, "0.5", "the validation value must be a number, received '0.5' (str)"),
    ],
)
def test_an_update_out_of_turn_is_refused_and_changes_nothing(iteration: Any, value: Any, said: str) -> None:
    rule = patience()
    rule.update(3, 0.5)
    before = rule.state()
    with pytest.raises(PlanError) as error:
        rule.update(iteration, value)
    assert said in str(error.value)
    assert rule.state() == before


def test_after_the_end_nothing_is_taken() -> None:
    rule = patience(patience=1)
    updates(rule, 0.5)
    with pytest.raises(PlanError, match="training was to end after mini-batch 1, received mini-batch 2"):
        rule.update(2, 0.1)


def test_the_state_of_other_settings_is_refused_and_changes_nothing() -> None:
    rule, other = patience(), patience(patience=9, batches_per_epoch=3)
    with pytest.raises(StateError, match=r"batches_per_epoch was 3 and is 100; patience was 9 and is 8\. Make them"):
        rule.restore(other.state())
    assert rule.state() == patience().state()


@pytest.mark.parametrize(
    "changed",
    [
        {"rule": "HalvingRule"},
        {"more": 1},
        {"settings": 3},
        {"settings": {"patience": 8}},
        {"settings": {**patience().state()["settings"], "patience": 0}},
        {"patience": 3},
        {"patience": math.nan},
        {"best": math.nan},
        {"best": "0.5"},
        {"best_iteration": -1},
        {"iteration": -2},
        {"iteration": True},
        {"stopped": 0},
    ],
)
def test_a_state_that_cannot_be_is_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(StateError):
        PatienceRule.from_state({**patience().state(), **changed})


# --- halving ----------------------------------------------------------------------------------------------------------


def test_ten_halvings_and_the_eleventh_exhaustion_stops() -> None:
    rule = HalvingRule(3)
    rule.update(0.5)
    multipliers = []
    number = 0
    while not rule.stopped:
        decision, number = rule.update(0.5), number + 1
        if decision.halved:
            multipliers.append(rule.multiplier)
    assert multipliers == [2.0**-power for power in range(1, 11)]
    assert number == 3 * 11


def test_an_improvement_begins_the_count_again() -> None:
    rule = HalvingRule(2)
    assert [rule.update(value).halved for value in (0.5, 0.5, 0.4, 0.4, 0.4, 0.4, 0.4)] == [
        False, False, False, False, True, False, True,
    ]  # fmt: skip


@pytest.mark.parametrize(("factor", "floor", "most"), [(2, 1 / 1024, 10), (10, 0.001, 3), (2, 0.3, 1), (2, 1, 0)])
def test_number_of_halvings(factor: float, floor: float, most: int) -> None:
    assert Halving(1, factor, floor).most_halvings == most


def test_halving_is_pure_underneath() -> None:
    state = HalvingState(best=0.5)
    after, decision = Halving(1).update(state, 0.5)
    assert decision.halved
    assert (state, after) == (HalvingState(best=0.5), HalvingState(best=0.5, num_halvings=1))


def test_nan_stops_halving() -> None:
    rule = HalvingRule(5)
    assert rule.update(math.nan).stop
    with pytest.raises(PlanError, match="training was to end"):
        rule.update(0.5)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ((0,), "n must be an integer >= 1"),
        ((1, 1), "factor must be a finite number > 1, received 1"),
        ((1, 2, 0), "floor must be a finite number > 0 and <= 1, received 0"),
        ((1, 2, 1.5), "floor must be a finite number > 0 and <= 1, received 1.5"),
    ],
)
def test_halving_settings_out_of_range_are_refused(settings: tuple[Any, ...], said: str) -> None:
    with pytest.raises(PlanError) as error:
        HalvingRule(*settings)
    assert said in str(error.value)


def test_minus_infinity_is_refused() -> None:
    with pytest.raises(PlanError, match="minus infinity"):
        HalvingRule(1).update(-math.inf)


@pytest.mark.parametrize(
    "changed",
    [{"rule": "PatienceRule"}, {"num_halvings": 11}, {"num_without": 4}, {"num_halvings": 1.0}, {"settings": {"m": 1}}],
)
def test_a_halving_state_that_cannot_be_is_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(StateError):
        HalvingRule.from_state({**HalvingRule(3).state(), **changed})


def test_the_halving_state_of_other_settings_is_refused() -> None:
    with pytest.raises(StateError, match="n was 3 and is 2"):
        HalvingRule(2).restore(HalvingRule(3).state())


# --- decay ------------------------------------------------------------------------------------------------------------


def test_inverse_decay() -> None:
    decay = InverseEpochDecay(0.25)
    assert [decay.rate(0.1, epoch) for epoch in (0, 4)] == [0.1, 0.05]
    assert [decay.multiplier(epoch) for epoch in (0, 2, 4)] == [1, 1 / 1.5, 0.5]


@pytest.mark.parametrize("d", [-0.1, math.nan, math.inf, None])
def test_a_decay_out_of_range_is_refused(d: Any) -> None:
    with pytest.raises(PlanError, match="d must be a"):
        InverseEpochDecay(d)


def test_both_together_are_multiplied() -> None:
    halving, decay = HalvingRule(1), InverseEpochDecay(1)
    for value in (0.5, 0.5, 0.5):
        halving.update(value)
    assert CombinedRate(halving=halving, decay=decay).multiplier(1) == 1 / 8
    assert CombinedRate(halving=halving).multiplier(1) == 1 / 4
    assert CombinedRate(decay=decay).multiplier(1) == 1 / 2
    with pytest.raises(PlanError, match="received neither"):
        CombinedRate()
    with pytest.raises(PlanError, match="halving must be a HalvingRule or None, received 2"):
        CombinedRate(halving=2)  # type: ignore[arg-type]
