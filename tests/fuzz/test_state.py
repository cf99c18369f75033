"""Any JSON value as a loader's state: restored, or a StateError; and a refused one leaves the loader as it was."""

from __future__ import annotations

import copy
import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mtgen
from mtgen.errors import StateError
from tests.support.json_values import JSON, places, replaced


def make_loader() -> mtgen.Loader:
    table = pd.DataFrame({"a": range(20), "y": [0, 1] * 10})
    inputs = {"a": mtgen.Columns("a"), "x": mtgen.Rows(np.zeros((20, 2), "f4"))}
    return mtgen.Loader(mtgen.Dataset(table, inputs, targets="y"), 3, num_workers=0)


LOADER = make_loader()
STATE = json.loads(json.dumps(LOADER.state(17)))


def restore(state: Any) -> None:
    """Restored to what the state says, or refused without a trace."""
    before = copy.deepcopy(state)
    LOADER.step = 5
    try:
        LOADER.restore(state)
    except StateError as error:
        assert LOADER.step == 5
        assert len(str(error)) < 25_000
    else:
        assert LOADER.step == state["step"]
        assert LOADER.state(LOADER.step) == {
            **LOADER.state(0),
            **{k: state[k] for k in ("step", "epoch", "step_in_epoch")},
        }
        LOADER.rows(LOADER.step)
    assert repr(state) == repr(before), "the state given was changed"


@given(JSON)
def test_any_json_value_is_restored_or_refused(value):
    restore(value)


@given(st.sampled_from(places(STATE)), JSON)
def test_a_state_with_any_value_in_any_place_is_restored_or_refused(place, value):
    restore(replaced(STATE, place, value))


@given(st.lists(st.sampled_from(places(STATE)[1:]), min_size=1, max_size=4))
def test_a_state_with_parts_missing_is_refused(removed):
    state = copy.deepcopy(STATE)
    for place in removed:
        part: Any = state
        for name in place[:-1]:
            part = part.get(name, {}) if isinstance(part, dict) else {}
        if isinstance(part, dict):
            part.pop(place[-1], None)
    with pytest.raises(StateError):
        LOADER.restore(state)


NESTED: list[Any] = []
for _ in range(100_000):
    NESTED = [NESTED]

ODD = [
    NESTED,
    {**STATE, "settings": NESTED},
    {**STATE, "settings": {**STATE["settings"], "seed": NESTED}},
    {**STATE, "dataset": {**STATE["dataset"], "rows": NESTED}},
    {**STATE, "version": NESTED},
    {**STATE, "step": 10**6000},
    {**STATE, "step": 2**64},
    {**STATE, "step": float("nan")},
    {**STATE, "epoch": NESTED},
    {**STATE, "epoch": 10**6000},
    {**STATE, "version": True},
    {**STATE, "settings": {**STATE["settings"], "seed": 10**6000}},
    {**STATE, "settings": {str(number): 0 for number in range(100_000)}},
    {**STATE, "settings": {**STATE["settings"], "x" * 10**6: "y" * 10**6}},
]


@pytest.mark.parametrize("number", range(len(ODD)))
def test_values_that_cannot_be_shown_are_refused(number):
    with pytest.raises(StateError) as caught:
        LOADER.restore(ODD[number])
    assert len(str(caught.value)) < 25_000


def test_true_is_not_one_in_a_state():
    """`True == 1` in Python: a state of version true, epoch true was taken for version 1, epoch 1."""
    state = LOADER.state(7)
    LOADER.restore(state)
    for name in ("version", "step", "epoch", "step_in_epoch"):
        for value in (True, False, float(state[name])):
            with pytest.raises(StateError):
                LOADER.restore({**state, name: value})
