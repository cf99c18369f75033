"""A state goes on with another number of shards where that gives each row exactly once, and nowhere else."""

from __future__ import annotations

import json
import re
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

import mtgen
from mtgen.errors import PlanError, StateError
from mtgen.order_check import audit_run
from mtgen.plan import Shard

ENDINGS: list[dict[str, Any]] = [{}, {"drop_last": True}, {"pad_last": True}]


def loaders(num_rows: int, batch_size: int, count: int, ending: dict[str, Any], **options: Any) -> list[mtgen.Loader]:
    data = mtgen.Dataset(pd.DataFrame({"a": range(num_rows)}), {"a": mtgen.Columns("a")})
    return [
        mtgen.Loader(data, batch_size, seed=7, shard=Shard(index, count), num_workers=0, **{**ending, **options})
        for index in range(count)
    ]


def rows_of(shards: list[mtgen.Loader], first: int, stop: int) -> Counter[int]:
    return Counter(int(row) for shard in shards for step in range(first, stop) for row in shard.rows(step))


@given(
    st.integers(1, 120),
    st.integers(1, 7),
    st.integers(1, 8),
    st.integers(1, 8),
    st.integers(0, 60),
    st.sampled_from(ENDINGS),
)
@example(24, 2, 4, 2, 1, {})
@example(24, 2, 2, 4, 3, {})
@example(23, 3, 2, 5, 0, {"drop_last": True})
@example(22, 2, 3, 4, 2, {"drop_last": True})  # after 12 positions two steps of 8 would be 16: no
@example(22, 2, 2, 4, 4, {"drop_last": True})  # 16 of 22 taken, no step of 8 left: the next epoch follows
def test_each_row_once_before_and_after_or_refused(
    num_rows: int, batch_size: int, count: int, other_count: int, step: int, ending: dict[str, Any]
) -> None:
    try:
        before = loaders(num_rows, batch_size, count, ending)
        after = loaders(num_rows, batch_size, other_count, ending)
    except PlanError:
        assume(False)
    state = json.loads(json.dumps(before[-1].state(step)))
    epoch, step_in_epoch = divmod(step, before[0].steps_per_epoch)
    num_before, num_after = before[0].steps_per_epoch, after[0].steps_per_epoch
    taken = step_in_epoch * batch_size * count
    if count != other_count and taken % (batch_size * other_count):
        with pytest.raises(StateError, match=r"No step of .* begins there") as caught:
            after[0].restore(state)
        check_advice(str(caught.value), before, after, num_rows, batch_size, ending, step)
        return
    for one in after:
        one.restore(state)
    assert len({one.step for one in after}) == 1
    # Whatever was dropped, the shards together go on exactly where the others stopped.
    first, stop = epoch * num_after, (epoch + 1) * num_after
    assert first <= after[0].step <= stop
    times = rows_of(before, epoch * num_before, step) + rows_of(after, after[0].step, stop)
    assert set(times.values()) <= {1}
    dropped = num_rows % (batch_size * other_count) if ending.get("drop_last") else 0
    assert len(times) == num_rows - dropped
    # And in the same order: what the new shards take are the last positions of the epoch.
    order = [row for one in range(num_after) for row in rows_in_order(after, epoch * num_after + one)]
    assert rows_of(after, after[0].step, stop) == Counter(order[taken:])


def rows_in_order(shards: list[mtgen.Loader], step: int) -> list[int]:
    return [int(row) for shard in shards for row in shard.rows(step)]


def check_advice(
    text: str,
    before: list[mtgen.Loader],
    after: list[mtgen.Loader],
    num_rows: int,
    batch_size: int,
    ending: dict[str, Any],
    step: int,
) -> None:
    """Each step and each count that the message names really works."""
    found = re.search(r"a state of step (\d+) or (\d+) ", text)
    assert found
    earlier, later = map(int, found.groups())
    assert earlier < step < later
    for one in (earlier, later):
        after[0].restore(before[0].state(one))
    for one in range(earlier + 1, later):
        with pytest.raises(StateError):
            after[0].restore(before[0].state(one))
    listed = re.search(r"from this state with ([0-9, or]+)(, \.\.\.)? .*shards|$", text)
    assert listed
    for count in map(int, re.findall(r"\d+", listed[1])):
        loaders(num_rows, batch_size, count, ending)[0].restore(before[0].state(step))


@given(st.integers(0, 40), st.integers(0, 3))
def test_another_index_of_the_same_count_stands_at_the_same_step(step: int, index: int) -> None:
    shards = loaders(52, 3, 4, {})
    shards[index].restore(shards[0].state(step))
    assert shards[index].step == step


def test_other_differences_are_named_before_the_shard_is_thought_of() -> None:
    (one,) = loaders(24, 2, 1, {})
    with pytest.raises(StateError, match="Differing: setting 'batch_size' was 2 and is 3\\. Make"):
        loaders(24, 3, 2, {})[0].restore(one.state(5))


@pytest.mark.parametrize("shard", [None, 3, [0], [0, 1, 2], [2, 2], [-1, 2], ["0", 2], [0, 0], [True, 2]])
def test_a_shard_that_is_none_is_a_difference(shard: object) -> None:
    (one,) = loaders(24, 2, 1, {})
    state = one.state(3)
    state["settings"]["shard"] = shard
    with pytest.raises(StateError, match="setting 'shard' was"):
        one.restore(state)


def test_a_count_of_a_million_million_is_refused_at_once() -> None:
    (one,) = loaders(24, 2, 1, {"pad_last": True})
    state = one.state(0)
    state["settings"]["shard"] = [0, 10**12]
    one.restore(state)  # an epoch's border
    assert one.step == 0
    with pytest.raises(StateError):
        one.restore({**state, "step": 5, "epoch": 0, "step_in_epoch": 5})


def test_the_step_of_the_old_run_must_fit_its_own_count() -> None:
    two = loaders(24, 2, 2, {})
    state = {**two[0].state(6), "step": 7}
    with pytest.raises(StateError, match=r"contradicts itself: step 7 is .* \(1, 1\) with 6 steps per epoch"):
        loaders(24, 2, 1, {})[0].restore(state)


def test_the_message_says_where_it_works() -> None:
    four, one = loaders(40, 2, 4, {}), loaders(40, 2, 3, {})
    with pytest.raises(StateError) as caught:
        one[0].restore(four[0].state(7))
    assert str(caught.value) == (
        "the state was taken with 4 shards at step 2 of epoch 1, after 16 positions. No step of 3 shards begins there "
        "(they take 6 positions a step), so some rows would come twice or never. It works with a state of step 5 or 8 "
        "(every 3 steps and at each epoch's start), or from this state with 1, 2, 4 or 8 shards [step 7]"
    )


@settings(max_examples=25)
@given(st.integers(1, 4), st.integers(1, 4), st.integers(0, 9), st.integers(1, 12), st.sampled_from(ENDINGS))
def test_a_log_goes_on_with_another_count(
    count: int, other_count: int, step: int, num_steps: int, ending: dict[str, Any]
) -> None:
    assume(count != other_count)
    before, after = loaders(48, 2, count, ending), loaders(48, 2, other_count, ending)
    try:
        for one in after:
            one.restore(before[0].state(step))
    except StateError:
        assume(False)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for one in before:
            with mtgen.OrderLog(folder / f"{one.batching.shard.index}", one) as log:
                for number in range(step + 3):  # three more than counts: lost
                    log.note(number, one.batch(number).rows)
        for one in after:
            with mtgen.OrderLog(folder / f"{one.batching.shard.index}", one) as log:
                for number in range(one.step, one.step + num_steps):
                    log.note(number, one.batch(number).rows)
        for one in after:
            index = one.batching.shard.index
            found = audit_run(folder / f"{index}")
            assert found.ok, str(found)
            own = rows_of(after[index : index + 1], one.step, one.step + num_steps)
            if index < count:
                assert found.resumes == [one.step]
                own += rows_of(before[index : index + 1], 0, step)
            total = Counter({0: 0})
            for epoch in found.epochs:
                total.update({times: rows * times for times, rows in epoch.counts.items()})
            assert total.total() == own.total()


def test_a_shard_of_the_same_count_needs_a_folder_of_its_own(tmp_path: Path) -> None:
    two = loaders(24, 2, 2, {})
    with mtgen.OrderLog(tmp_path, two[0]) as log:
        log.note(0, two[0].rows(0))
    with pytest.raises(StateError, match=r"shard index was 0 and is 1, of 2.* each shard its own"):
        mtgen.OrderLog(tmp_path, two[1])
