"""Rules of training against literal re-implementations on random traces, and resumed after every update."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtgen.training import HalvingRule, PatienceRule

# --- patience ---------------------------------------------------------------------------------------------------------

LEVELS = st.sampled_from([0.0, 0.1, 0.498, 0.5, 0.5 * 0.995, 0.9, 1.0, math.inf]) | st.floats(0, 1)
SETTINGS = st.fixed_dictionaries(
    {
        "patience": st.integers(1, 30),
        "patience_increase": st.sampled_from([1, 1.5, 2, 3]),
        "improvement_threshold": st.sampled_from([0.5, 0.995, 1.0]),
        "batches_per_epoch": st.integers(1, 12),
    }
)


def tutorial(
    values: list[float],
    *,
    patience: int,
    patience_increase: float,
    improvement_threshold: float,
    batches_per_epoch: int,
) -> Iterator[tuple[int, bool, bool, bool]]:
    """The loop of logistic_sgd.py line by line: mini-batch, improved, significant, done."""
    n_train_batches = batches_per_epoch
    validation_frequency = max(1, min(n_train_batches, patience // 2))
    best_validation_loss = math.inf
    given_values = iter(values)
    epoch, done_looping = 0, False
    limit: float = patience
    while not done_looping:
        epoch = epoch + 1
        for minibatch_index in range(n_train_batches):
            iteration = (epoch - 1) * n_train_batches + minibatch_index
            improved = significant = False
            if (iteration + 1) % validation_frequency == 0:
                this_validation_loss = next(given_values, None)
                if this_validation_loss is None:
                    return
                if this_validation_loss < best_validation_loss:
                    if this_validation_loss < best_validation_loss * improvement_threshold:
                        significant = True
                        limit = max(limit, iteration * patience_increase)
                    improved = True
                    best_validation_loss = this_validation_loss
                if math.isnan(this_validation_loss):  # ours: training on would be of no use
                    done_looping = True
            if limit <= iteration:
                done_looping = True
            yield iteration, improved, significant, done_looping
            if done_looping:
                break


def told(rule: PatienceRule, values: list[float], start: int = 0) -> Iterator[tuple[int, bool, bool, bool]]:
    """What a rule says from one mini-batch on; `values` are those of all validations."""
    iteration = start
    while not rule.stopped:
        value = None
        if rule.is_due(iteration):
            place = (iteration + 1) // rule.validation_frequency - 1
            if place >= len(values):
                return
            value = values[place]
        decision = rule.update(iteration, value)
        yield iteration, decision.improved, decision.significant, decision.stop
        iteration += 1


@given(SETTINGS, st.lists(LEVELS, max_size=40), st.booleans())
def test_patience_is_the_loop_of_the_tutorial(settings: dict[str, Any], values: list[float], broken: bool) -> None:
    if broken:
        values = [*values, math.nan, 0.0]
    assert list(told(PatienceRule(**settings), values)) == list(tutorial(values, **settings))


@given(SETTINGS, st.lists(LEVELS, max_size=12))
def test_patience_goes_on_from_its_state_after_every_mini_batch(settings: dict[str, Any], values: list[float]) -> None:
    rule, whole = PatienceRule(**settings), list(told(PatienceRule(**settings), values))
    for iteration, *decision in whole:
        resumed = PatienceRule.from_state(json.loads(json.dumps(rule.state(), allow_nan=False)))
        assert list(told(resumed, values, iteration)) == whole[iteration:]
        value = values[(iteration + 1) // rule.validation_frequency - 1] if rule.is_due(iteration) else None
        again = rule.update(iteration, value)
        assert [again.improved, again.significant, again.stop] == decision
        assert PatienceRule.from_state(rule.state()).state() == rule.state()


@given(SETTINGS, st.lists(LEVELS, max_size=20), st.integers(1, 5))
def test_mini_batches_between_validations_may_be_left_out(
    settings: dict[str, Any], values: list[float], stride: int
) -> None:
    """As `steps_per_execution` does: the decisions at validations are the same."""
    rule = PatienceRule(**settings)
    whole = {iteration: decision for iteration, *decision in told(PatienceRule(**settings), values)}
    last = max(whole, default=-1)
    for iteration in range(last + 1):
        if rule.is_due(iteration):
            place = (iteration + 1) // rule.validation_frequency - 1
            found = rule.update(iteration, values[place])
        elif iteration % stride == 0:
            found = rule.update(iteration)
        else:
            continue
        assert [found.improved, found.significant, found.stop] == whole[iteration]


# --- halving ----------------------------------------------------------------------------------------------------------

HALVINGS = st.tuples(st.integers(1, 4), st.sampled_from([2, 3, 10, 1.5]), st.integers(0, 5))


def recipe(values: list[float], n: int, factor: float, most: int) -> Iterator[tuple[bool, bool, int]]:
    """In words of the recipe: improved, stop, how often the rate was divided."""
    best, since, divided = math.inf, 0, 0
    for value in values:
        if math.isnan(value):
            yield False, True, divided
            return
        improved = value < best
        best, since = min(best, value), 0 if improved else since + 1
        if since == n and divided == most:
            yield improved, True, divided
            return
        if since == n:
            divided, since = divided + 1, 0
        yield improved, False, divided


def said(rule: HalvingRule, values: list[float]) -> Iterator[tuple[bool, bool, int]]:
    for value in values:
        if rule.stopped:
            return
        decision = rule.update(value)
        yield decision.improved, decision.stop, rule.num_halvings


VALUES = st.lists(st.integers(-3, 3).map(float) | st.just(math.inf), max_size=60)


@given(HALVINGS, VALUES, st.booleans())
def test_halving_is_the_recipe(settings: tuple[int, float, int], values: list[float], broken: bool) -> None:
    n, factor, most = settings
    values = [*values, math.nan, -9.0] if broken else values
    rule = HalvingRule(n, factor, factor**-most)
    assert list(said(rule, values)) == list(recipe(values, n, factor, most))
    assert rule.multiplier == pytest.approx(factor**-rule.num_halvings, rel=1e-12)
    assert rule.multiplier >= rule.settings.floor * (1 - 1e-9)


@given(HALVINGS, VALUES)
def test_halving_goes_on_from_its_state_after_every_validation(
    settings: tuple[int, float, int], values: list[float]
) -> None:
    n, factor, most = settings
    rule = HalvingRule(n, factor, factor**-most)
    whole = list(said(HalvingRule(n, factor, factor**-most), values))
    for place in range(len(whole)):
        resumed = HalvingRule.from_state(json.loads(json.dumps(rule.state(), allow_nan=False)))
        assert list(said(resumed, values[place:])) == whole[place:]
        rule.update(values[place])


@given(st.floats(1.01, 100), st.integers(0, 40))
def test_the_floor_is_reached_and_never_passed(factor: float, most: int) -> None:
    settings = HalvingRule(1, factor, factor**-most).settings
    assert settings.most_halvings == most
