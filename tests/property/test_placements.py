"""The arithmetic of placements against a few plain lines: places of rows, budgets, what a loader's memory is told."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mtgen
from mtgen.errors import PlanError
from mtgen.placements import (
    BLOCK_BYTES,
    NUM_BLOCKS,
    DeviceMemory,
    PlacedInput,
    PlacementPlan,
    Places,
    block_rows,
    held_bytes,
    wheres,
)

WORDS = st.sampled_from(["stream", "ram", "device"])
BYTES = st.integers(0, 2**40)


@st.composite
def inputs(draw: st.DrawFn) -> tuple[PlacedInput, ...]:
    """Some inputs, each anywhere."""
    num = draw(st.integers(1, 5))
    return tuple(
        PlacedInput(
            name=f"input {number}",
            where=draw(WORDS),
            num_rows=draw(st.integers(1, 10**8)),
            row_bytes=draw(st.integers(1, 10**6)),
            is_there=draw(st.booleans()),
        )
        for number in range(num)
    )


@given(st.lists(st.integers(0, 10**6), unique=True, min_size=1, max_size=80), st.data())
def test_places_are_the_order_of_reading_counted_from_one(rows: list[int], data: st.DataObject) -> None:
    expected = {row: place + 1 for place, row in enumerate(rows)}
    asked = data.draw(st.lists(st.sampled_from(rows), max_size=30))
    found = Places(np.array(rows, np.int64)).of(np.array(asked, np.int64))
    assert found.dtype == np.int32
    assert found.tolist() == [expected[row] for row in asked]


@given(st.lists(st.integers(0, 50), unique=True, max_size=30), st.lists(st.integers(-5, 60), min_size=1, max_size=9))
def test_a_row_that_is_not_held_is_refused(rows: list[int], asked: list[int]) -> None:
    places = Places(np.array(rows, np.int64))
    foreign = [row for row in asked if row not in rows]
    if not foreign:
        assert len(places.of(np.array(asked))) == len(asked)
        return
    with pytest.raises(PlanError, match=f"row {foreign[0]} is not held"):
        places.of(np.array(asked))


@given(st.integers(1, 2**33))
def test_blocks_are_of_the_size_that_is_budgeted(row_bytes: int) -> None:
    rows = block_rows(row_bytes)
    assert rows >= 1
    assert rows == 1 or rows * row_bytes <= BLOCK_BYTES < (rows + 1) * row_bytes


@given(inputs())
def test_memory_is_told_of_what_is_held_there_and_of_blocks(placed: tuple[PlacedInput, ...]) -> None:
    held = [one for one in placed if one.where != "stream"]
    values = sum((one.num_rows + 1) * one.row_bytes for one in held if one.where == "ram")
    places = sum(one.num_rows * 12 for one in held)
    blocks = [min(max(1, BLOCK_BYTES // one.row_bytes), one.num_rows) * one.row_bytes for one in held]
    assert held_bytes(placed) == values + places + NUM_BLOCKS * max([0, *blocks])


@given(inputs(), BYTES, st.none() | BYTES, BYTES)
def test_it_is_refused_exactly_when_upload_and_reserve_do_not_fit(
    placed: tuple[PlacedInput, ...], free: int, reserve: int | None, more: int
) -> None:
    device = DeviceMemory(name="cuda:0", total_bytes=free + more, free_bytes=free)
    plan = PlacementPlan(inputs=placed, device=device, reserve_bytes=reserve)
    upload = sum((one.num_rows + 1) * one.row_bytes for one in placed if one.where == "device" and not one.is_there)
    kept = (free + more) // 4 if reserve is None else reserve
    assert plan.left_bytes == free - upload - kept
    assert f"{upload:,} bytes to upload" in str(plan)
    if upload == 0 or upload + kept <= free:
        plan.check()
        return
    with pytest.raises(PlanError) as refused:
        plan.check()
    text = str(refused.value)
    assert f"{upload + kept - free:,} bytes are missing" in text
    for said in (f"{upload:,}", f"{free:,} free", f"{kept:,} in reserve", 'placement={"name": "device"}', '"ram"'):
        assert said in text


@given(st.dictionaries(st.sampled_from("abcde"), WORDS), st.sets(st.sampled_from("abcde"), min_size=1))
def test_inputs_that_are_not_named_are_streamed(given: dict[str, str], names: set[str]) -> None:
    placement = mtgen.Placement(inputs=given)  # type: ignore[arg-type]
    known = dict.fromkeys(sorted(names), True)
    if set(given) - names:
        with pytest.raises(PlanError, match="the dataset's inputs are"):
            wheres(placement, known)
        return
    assert wheres(placement, known) == {name: given.get(name, "stream") for name in sorted(names)}


def test_without_a_device_nothing_is_refused_or_said_of_one() -> None:
    plan = PlacementPlan(inputs=(PlacedInput(name="a", where="ram", num_rows=3, row_bytes=10),))
    plan.check()
    assert str(plan).splitlines() == [
        "a: in memory, 3 rows and one of zeros x 10 bytes = 40 bytes, not read yet",
        "memory: 40 bytes of the loader's memory=",
    ]
