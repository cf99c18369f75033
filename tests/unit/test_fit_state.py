"""What a checkpoint says of a fit: read back as it was, from whatever JSON; and where a fit goes on."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtgen.adapters.fit_state import FitState, check_rest, check_steps, is_due
from mtgen.errors import PlanError, StateError
from tests.support.json_values import JSON, places, replaced

STATE = FitState(
    loader={"step": 7, "epoch": 1},
    epoch=1,
    step_in_epoch=2,
    steps_per_epoch=5,
    whole_epochs=True,
    epochs=(0,),
    logs={"loss": [0.5]},
    optimizer={"class_name": "Adam"},
    data_wait=0.25,
)


def test_a_state_survives_json() -> None:
    assert FitState.of(json.loads(json.dumps(STATE.content()))) == STATE


@given(st.sampled_from(places(STATE.content())), JSON)
def test_any_json_value_is_read_or_refused(place: tuple[str, ...], value: Any) -> None:
    try:
        state = FitState.of(replaced(STATE.content(), place, value))
    except StateError as error:
        assert "was not saved by loader.checkpoint" in str(error)
    else:
        assert min(state.epoch, state.step_in_epoch, state.steps_per_epoch) >= 0


@given(st.integers(1, 20), st.integers(1, 4), st.data())
def test_another_number_of_shards_goes_on_at_the_same_place(num_batches: int, times: int, data: st.DataObject) -> None:
    """The oracle: share of the epochs that was trained, which is the same however the epochs are cut."""
    epoch, step_in_epoch = data.draw(st.integers(0, 9)), data.draw(st.integers(0, num_batches - 1))
    before = data.draw(st.integers(0, epoch))  # Keras may have counted epochs of another fit before
    state = FitState(
        loader={"epoch": epoch - before},
        epoch=epoch,
        step_in_epoch=step_in_epoch,
        steps_per_epoch=num_batches,
        whole_epochs=True,
        logs={},
    )
    step = ((epoch - before) * num_batches + step_in_epoch) * times
    wide = num_batches * times
    found = state.place(step, num_batches=wide, steps_per_epoch=wide)
    assert found == (epoch, step_in_epoch * times)


def test_epochs_of_another_length_are_refused() -> None:
    with pytest.raises(StateError, match="a run with 5 steps per epoch was saved, this one has 3"):
        STATE.place(7, num_batches=3, steps_per_epoch=5)


def test_a_fit_that_no_checkpoint_can_follow_is_refused() -> None:
    check_steps(5, 5, 5, 1)
    check_steps(5, 5, 2, None)
    with pytest.raises(PlanError, match=r"fit takes 2 steps .* the dataset has 5"):
        check_steps(2, 5, 1, None)
    with pytest.raises(PlanError, match="steps_per_execution=2 does not divide the 5 steps of an epoch"):
        check_steps(5, 5, 2, 1)


def test_an_epoch_whose_rest_is_no_whole_number_of_executions_is_refused() -> None:
    check_rest(0, 5, 2)  # an epoch begins: nothing is left over from before
    check_rest(2, 6, 2)
    with pytest.raises(PlanError, match="steps_per_execution=2 does not divide the 3 steps that are left"):
        check_rest(2, 5, 2)


@given(st.integers(1, 9), st.integers(0, 60), st.integers(0, 60))
def test_a_step_is_due_where_a_multiple_was_passed(every: int, saved: int, more: int) -> None:
    step = saved + more
    assert is_due(every, step, saved) == any(number % every == 0 for number in range(saved + 1, step + 1))


def test_states_of_other_callbacks_survive_json_and_are_left_out_where_there_are_none() -> None:
    state = dataclasses.replace(STATE, also=({"kind": "rules", "count": 3},))
    assert FitState.of(json.loads(json.dumps(state.content()))) == state
    assert "also" not in STATE.content()
