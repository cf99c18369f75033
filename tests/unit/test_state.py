"""A loader's state is refused by any other loader, and the message names the fields."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd
import pytest

import mtgen
from mtgen.config import Prefetch
from mtgen.errors import StateError
from tests.support.samples import features, make_dataset
from tests.support.stores import MemoryStore

NUM_ROWS = 20


def loader(data: mtgen.Dataset | None = None, **settings: Any) -> mtgen.Loader:
    return mtgen.Loader(data or make_dataset(NUM_ROWS), **{"batch_size": 4, "seed": 1, "num_workers": 0, **settings})


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ({"seed": 2}, ["'seed' was 1 and is 2"]),
        ({"batch_size": 5}, ["'batch_size' was 4 and is 5"]),
        ({"shuffle": "blocks"}, ["'sampler' was {'law': 'exact'} and is {'law': 'blocks'"]),
        ({"drop_last": True}, ["'drop_last' was False and is True"]),
        ({"pad_last": True}, ["'pad_last'"]),
        ({"seed": 2, "batch_size": 5}, ["'seed'", "'batch_size'"]),
    ],
)
def test_other_settings_are_refused_by_name(settings: dict[str, Any], names: list[str]) -> None:
    state = json.loads(json.dumps(loader().state(3)))
    with pytest.raises(StateError) as caught:
        loader(**settings).restore(state)
    assert all(name in str(caught.value) for name in names)
    assert str(caught.value).count("setting '") == len(names)


def test_other_data_is_refused_by_name() -> None:
    state = loader().state(3)
    whole = make_dataset(NUM_ROWS)
    changed = MemoryStore(features(2 * NUM_ROWS) + 1, 7)
    for data, name in (
        (whole.take(range(NUM_ROWS - 1)), "'rows'"),
        (make_dataset(NUM_ROWS, store=changed), "'input features'"),
        (make_dataset(NUM_ROWS, weight=None), "'weight '"),
        (make_dataset(NUM_ROWS, weight="half"), "'weight '"),
    ):
        with pytest.raises(StateError, match=f"dataset part {name}"):
            loader(data).restore(state)


def test_another_split_is_refused_although_it_has_as_many_rows() -> None:
    one, other = make_dataset(NUM_ROWS).split({"a": 0.5, "b": 0.5})
    with pytest.raises(StateError, match="dataset part 'rows'"):
        loader(other).restore(loader(one).state(0))


def test_the_same_rows_in_another_order_are_refused() -> None:
    data = make_dataset(NUM_ROWS)
    with pytest.raises(StateError, match="dataset part 'rows'"):
        loader(data.take(data.rows[::-1])).restore(loader(data).state(0))


def test_speed_is_no_part_of_a_state() -> None:
    state = loader().state(3)
    other = loader(num_workers=3, memory=10**9, prefetch=Prefetch(window=2, depth=1))
    other.restore(state)
    assert other.step == 3
    assert other.state(3) == state


def test_another_version_is_refused() -> None:
    with pytest.raises(StateError, match="has version 99, this mtgen reads version 1"):
        loader().restore({**loader().state(3), "version": 99})


@pytest.mark.parametrize("step", [-1, 1.5, True, "3", None])
def test_a_damaged_step_is_refused(step: Any) -> None:
    with pytest.raises(StateError, match="step must be an integer >= 0, received"):
        loader().restore({**loader().state(3), "step": step})


@pytest.mark.parametrize("change", [{"epoch": 5}, {"step_in_epoch": 0}, {"step": 4}])
def test_a_state_that_contradicts_itself_is_refused(change: dict[str, int]) -> None:
    """Who set `epoch` by hand went on at the old step without a word."""
    with pytest.raises(StateError, match=r"contradicts itself: step \d is .* with 5 steps per epoch, the state says"):
        loader().restore({**loader().state(3), **change})


@pytest.mark.parametrize("wrong", [None, [], "state", 3, {"step": 3}])
def test_what_is_no_state_is_refused(wrong: Any) -> None:
    with pytest.raises(StateError, match=r"expected a state made by loader\.state\(step\), received"):
        loader().restore(wrong)


def test_the_layout_of_a_state() -> None:
    data = mtgen.Dataset(pd.DataFrame({"a": range(10)}), {"a": mtgen.Columns("a")}, targets="a")
    state = loader(data).state(7)
    assert set(state) == {"version", "step", "epoch", "step_in_epoch", "settings", "dataset"}
    assert (state["version"], state["step"], state["epoch"], state["step_in_epoch"]) == (1, 7, 2, 1)
    assert set(state["dataset"]) == {"rows", "input a", "target a"}
    assert len(json.dumps(state)) < 600
