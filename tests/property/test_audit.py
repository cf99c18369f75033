"""What an audit says of a plan, against a few plain lines; and logs of any history, against what was trained."""

from __future__ import annotations

import hashlib
import struct
import tempfile
from collections import Counter
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import mtgen
from mtgen.audit import Coverage, audit, check_shards, step_digest
from mtgen.errors import PlanError
from mtgen.order_check import audit_run
from mtgen.plan import Batching, Plan, Shard
from mtgen.sampling.order import Blocks, Exact, OrderLaw, Sequential, sampler_of

samplers = st.one_of(
    st.just(Exact()), st.just(Sequential()), st.builds(Blocks, st.integers(1, 9), st.none() | st.integers(1, 4))
)


def plain_digest(*steps: Any) -> str:
    """The epoch digest by its definition."""
    whole = b"".join(
        hashlib.blake2b(b"".join(struct.pack("<q", row) for row in rows), digest_size=16).digest() for rows in steps
    )
    return hashlib.blake2b(whole, digest_size=16).hexdigest()


def dataset(rows: list[int]) -> mtgen.Dataset:
    return mtgen.Dataset(pd.DataFrame({"a": range(max(rows) + 1)}), {"a": mtgen.Columns("a")}).take(rows)


@st.composite
def batchings(draw: st.DrawFn, size: int) -> Batching:
    ending = draw(st.sampled_from([{}, {"drop_last": True}, {"pad_last": True}]))
    count = draw(st.integers(1, 4))
    shard = Shard(draw(st.integers(0, count - 1)), count)
    try:
        return Batching(size=size, batch_size=draw(st.integers(1, 9)), shard=shard, **ending)
    except PlanError:
        assume(False)
        raise


row_lists = st.lists(st.integers(0, 60), min_size=1, max_size=40, unique=True)


@given(st.data(), row_lists, samplers, st.integers(0, 5), st.lists(st.integers(0, 9), min_size=1, max_size=3))
def test_audit_of_a_plan_is_what_the_loaders_of_all_shards_hand_out(
    data: st.DataObject, rows: list[int], sampler: OrderLaw, seed: int, epochs: list[int]
) -> None:
    batching = data.draw(batchings(len(rows)))
    options: dict[str, Any] = {
        "sampler": sampler,
        "seed": seed,
        "drop_last": batching.drop_last,
        "pad_last": batching.pad_last,
        "num_workers": 0,
    }
    loaders = [
        mtgen.Loader(dataset(rows), batching.batch_size, shard=Shard(index, batching.shard.count), **options)
        for index in range(batching.shard.count)
    ]
    own = loaders[batching.shard.index]
    found = own.audit(epochs)
    assert found.ok
    assert [one.epoch for one in found.epochs] == epochs
    for one in found.epochs:
        slots = [batch.rows.tolist() for batch in own.epoch(one.epoch)]
        everything = [int(row) for loader in loaders for batch in loader.epoch(one.epoch) for row in batch.rows]
        times = Counter(row for row in everything if row >= 0)
        assert one.counts == dict(Counter(times[row] for row in rows))
        assert one.num_steps == len(slots)
        assert one.num_rows == sum(row >= 0 for step in slots for row in step)
        assert one.digest == plain_digest(*slots)
        assert set(one.missing) <= {row for row in rows if not times[row]}
        assert one.repeated == ()


@given(st.integers(1, 60), st.data())
def test_all_shards_together_take_each_position_once(size: int, data: st.DataObject) -> None:
    batching = data.draw(batchings(size))
    proof = check_shards(batching)
    assert proof.ok
    assert proof.num_dropped == (size % batching.step_rows if batching.drop_last else 0)


class Overlapping(Batching):
    """A wrong cut: every step takes the first position once more."""

    def positions(self, step_in_epoch: int) -> np.ndarray:
        return np.append(super().positions(step_in_epoch), 0)


def test_shards_that_overlap_are_found() -> None:
    proof = check_shards(Overlapping(size=10, batch_size=4))
    assert not proof.ok
    assert "1 positions more than once and 0 never" in str(proof)


class Forgetful(Batching):
    """A wrong cut: the first step lacks its first position."""

    def positions(self, step_in_epoch: int) -> np.ndarray:
        return super().positions(step_in_epoch)[int(not step_in_epoch) :]


def test_positions_that_no_shard_takes_are_found() -> None:
    plan = Plan(Exact(), 0, Forgetful(size=10, batch_size=4), np.arange(10))
    found = audit(plan)
    assert not found.ok
    assert found.shards.num_missing == 1
    assert "WRONG" in str(found.epochs[0])
    assert found.epochs[0].missing == (plan.at(0, np.array([0]))[0],)


@given(row_lists, st.lists(st.integers(-1, 70), max_size=60))
def test_coverage_counts_as_a_counter_does(rows: list[int], came: list[int]) -> None:
    coverage = Coverage(np.array(rows))
    for start in range(0, len(came), 7):
        coverage.add(np.array(came[start : start + 7], np.int64))
    times = Counter(came)
    assert coverage.counts() == dict(Counter(times[row] for row in rows))
    assert coverage.num_empty == times[-1]
    assert coverage.num_foreign == sum(row not in rows and row >= 0 for row in came)
    assert coverage.missing() == tuple(sorted(row for row in rows if not times[row])[:5])
    assert coverage.repeated() == tuple(sorted(row for row in rows if times[row] > 1)[:5])


@given(st.lists(st.integers(-1, 2**62), max_size=20))
def test_the_digest_of_a_step_is_blake2b_of_little_endian_rows(rows: list[int]) -> None:
    text = b"".join(struct.pack("<q", row) for row in rows)
    expected = hashlib.blake2b(text, digest_size=16).digest()
    assert step_digest(np.array(rows, np.int64)) == expected
    assert step_digest(np.array(rows, ">i8")) == expected


@given(samplers)
def test_a_law_is_found_again_by_its_settings(sampler: OrderLaw) -> None:
    assert sampler_of(sampler.settings()) == sampler


@pytest.mark.parametrize(
    "given_settings", [{}, {"law": 3}, {"law": "exact", "more": 1}, {"law": "blocks", "block_rows": 0}, {"law": ["a"]}]
)
def test_settings_of_no_known_law(given_settings: dict[str, Any]) -> None:
    assert sampler_of(given_settings) is None


def delivered(data: st.DataObject, planned: np.ndarray, rows: list[int]) -> np.ndarray:
    """The planned slots, now and then one of them with another row or none."""
    slots = planned.copy()
    if data.draw(st.integers(0, 9)) == 0:
        slots[data.draw(st.integers(0, len(slots) - 1))] = data.draw(st.sampled_from([-1, *rows]))
    return slots


@given(st.data(), row_lists, samplers)
@settings(max_examples=40)
def test_a_log_with_any_history_of_resumes_proves_what_counts(
    data: st.DataObject, rows: list[int], sampler: OrderLaw
) -> None:
    """Each process trains some steps and is gone; the next goes on at any step that was reached, or before."""
    batching = data.draw(batchings(len(rows)))
    loader = mtgen.Loader(
        dataset(rows),
        batching.batch_size,
        sampler=sampler,
        seed=3,
        drop_last=batching.drop_last,
        pad_last=batching.pad_last,
        shard=batching.shard,
        num_workers=0,
    )
    plan, num_steps = Plan(sampler, 3, loader.batching, loader.dataset.rows), loader.steps_per_epoch
    trained: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    starts: list[int] = []
    num_lost = 0
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(data.draw(st.integers(1, 4))):
            start = data.draw(st.integers(0, max(trained, default=-1) + 1))
            starts.append(start)
            num_lost += sum(step >= start for step in trained)
            trained = {step: slots for step, slots in trained.items() if step < start}
            with mtgen.OrderLog(folder, loader) as log:
                for step in range(start, start + data.draw(st.integers(1, 2 * num_steps + 1))):
                    planned = plan.slots(step // num_steps, [step % num_steps])[0]
                    trained[step] = planned, delivered(data, planned, rows)
                    log.note(step, trained[step][1])
            found = audit_run(folder)
            assert found.ok, str(found)
            assert (found.resumes, found.num_lost) == (starts[1:], num_lost)
            epochs = sorted({step // num_steps for step in trained})
            assert [one.epoch for one in found.epochs] == epochs
            for one in found.epochs:
                parts = [slots for step, slots in sorted(trained.items()) if step // num_steps == one.epoch]
                times = Counter(int(row) for _, part in parts for row in part if row >= 0)
                assert one.digest == plain_digest(*[part.tolist() for _, part in parts])
                assert one.counts == dict(Counter(times[row] for row in rows))
                assert (one.num_steps, one.whole) == (len(parts), len(parts) == num_steps)
                assert one.num_replaced == sum(int((planned != part).sum()) for planned, part in parts)
