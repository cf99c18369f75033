"""States are small plain JSON, resume exactly, and refuse whatever differs, by name."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import mtgen
from mtgen.errors import StateError
from mtgen.state import make_state, step_of

settings_values = st.dictionaries(
    st.text(max_size=6), st.integers() | st.text(max_size=5) | st.booleans() | st.none(), max_size=4
)
digest_values = st.dictionaries(st.text(max_size=6), st.text("0123456789abcdef", min_size=32, max_size=32), max_size=4)


@given(st.integers(0, 10**15), st.integers(1, 10**6), settings_values, digest_values)
def test_a_state_survives_json_and_gives_its_step(
    step: int, steps_per_epoch: int, settings: dict[str, Any], digests: dict[str, str]
) -> None:
    state = make_state(step=step, steps_per_epoch=steps_per_epoch, settings=settings, digests=digests)
    again = json.loads(json.dumps(state))
    assert again == state
    assert step_of(again, steps_per_epoch=steps_per_epoch, settings=settings, digests=digests) == step
    assert again["epoch"] * steps_per_epoch + again["step_in_epoch"] == step


@given(settings_values, settings_values, digest_values, digest_values)
def test_whatever_differs_is_named(
    settings: dict[str, Any], other_settings: dict[str, Any], digests: dict[str, str], other_digests: dict[str, str]
) -> None:
    state = make_state(step=3, steps_per_epoch=2, settings=settings, digests=digests)
    missing = object()
    differing = [
        f"{kind} {name!r} was"
        for kind, before, now in (
            ("setting", settings, other_settings),
            ("dataset part", digests, other_digests),
        )
        for name in {*before, *now}
        if before.get(name, missing) != now.get(name, missing)
    ]
    if not differing:
        assert step_of(state, steps_per_epoch=2, settings=other_settings, digests=other_digests) == 3
        return
    with pytest.raises(StateError) as caught:
        step_of(state, steps_per_epoch=2, settings=other_settings, digests=other_digests)
    assert all(text in str(caught.value) for text in differing)


def test_json_of_a_loader_does_not_grow_with_rows_or_steps() -> None:
    import pandas as pd

    def text(num_rows: int, step: int) -> str:
        data = mtgen.Dataset(pd.DataFrame({"a": range(num_rows)}), {"a": mtgen.Columns("a")}, targets="a")
        return json.dumps(mtgen.Loader(data, 2, num_workers=0).state(step))

    assert len(text(100_000, 10**9)) - len(text(10, 0)) < 60
    assert len(text(100_000, 10**9)) < 1_000


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=4),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
        max_leaves=8,
    ),
    st.sampled_from(["version", "step", "epoch", "step_in_epoch", "settings", "dataset", None]),
)
def test_damaged_states_are_refused_and_never_crash(damage: Any, field: str | None) -> None:
    settings, digests = {"seed": 1}, {"rows": "00"}
    state = make_state(step=5, steps_per_epoch=3, settings=settings, digests=digests)
    damaged = damage if field is None else {**state, field: damage}
    if damaged == state and json.dumps(damaged) == json.dumps(state):
        return
    try:
        step = step_of(damaged, steps_per_epoch=3, settings=settings, digests=digests)
    except StateError:
        return
    # Equal in value (True for 1, 1.0 for 1) in a field that does not decide where to go on.
    assert damaged == state
    assert step == 5


@pytest.mark.parametrize("field", ["version", "step", "epoch", "step_in_epoch", "settings", "dataset"])
def test_a_state_without_one_of_its_fields_is_refused(field: str) -> None:
    state = make_state(step=5, steps_per_epoch=3, settings={}, digests={})
    del state[field]
    with pytest.raises(StateError, match=r"expected a state made by loader\.state\(step\), received"):
        step_of(state, steps_per_epoch=3, settings={}, digests={})
