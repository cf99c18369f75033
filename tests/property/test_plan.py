"""Batching, reads and pieces against oracles of a few plain lines."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtgen.errors import PlanError
from mtgen.plan import Batching, Shard, pieces, reads

store_rows = st.lists(st.integers(0, 200), max_size=80).map(lambda rows: np.array(rows, np.int64))


@given(st.integers(1, 200), st.integers(1, 30), st.integers(1, 7), st.sampled_from(["keep", "drop", "pad"]), st.data())
def test_shards_together_take_each_position_once(
    size: int, batch_size: int, count: int, rest: str, data: st.DataObject
) -> None:
    step_rows = batch_size * count
    num_rest = size % step_rows
    refused = (rest == "drop" and size < step_rows) or (rest == "keep" and 0 < num_rest < count)
    settings = {"size": size, "batch_size": batch_size, "drop_last": rest == "drop", "pad_last": rest == "pad"}
    if refused:
        with pytest.raises(PlanError):
            Batching(**settings, shard=Shard(data.draw(st.integers(0, count - 1)), count))  # type: ignore[arg-type]
        return
    shards = [Batching(**settings, shard=Shard(index, count)) for index in range(count)]  # type: ignore[arg-type]
    steps = size // step_rows if rest == "drop" else math.ceil(size / step_rows)
    assert {shard.steps_per_epoch for shard in shards} == {steps}
    taken: list[int] = []
    for step in range(steps):
        parts = [shard.positions(step).tolist() for shard in shards]
        slots = [shard.num_slots(step) for shard in shards]
        if rest == "pad" or step < size // step_rows:
            assert slots == [batch_size] * count
        else:
            assert slots == [len(part) for part in parts]
            assert max(slots) - min(slots) <= 1
            assert min(slots) >= 1
        assert all(len(part) <= batch_size for part in parts)
        together = [position for part in parts for position in part]
        # One step of all shards is a stretch of the order, whatever their number.
        assert together == list(range(step * step_rows, step * step_rows + len(together)))
        taken += together
    assert taken == list(range(size if rest != "drop" else steps * step_rows))


@given(store_rows, st.integers(1, 250))
def test_reads_fetch_each_row_into_its_slot_and_each_chunk_once(rows: np.ndarray, chunk_rows: int) -> None:
    found = np.full(len(rows), -1)
    chunks = []
    for read in reads(rows, chunk_rows):
        chunks.append(read.chunk)
        assert (np.diff(read.offsets) >= 0).all()
        assert ((read.offsets >= 0) & (read.offsets < chunk_rows)).all()
        assert (found[read.slots] == -1).all()
        found[read.slots] = read.chunk * chunk_rows + read.offsets
    np.testing.assert_array_equal(found, rows)
    assert chunks == sorted({int(row) // chunk_rows for row in rows})


@given(store_rows, st.integers(1, 250), st.integers(1, 5))
def test_pieces_share_no_chunk_and_hold_every_slot_once(rows: np.ndarray, chunk_rows: int, most: int) -> None:
    parts = pieces(rows, chunk_rows, most)
    assert sorted(slot for part in parts for slot in part) == list(range(len(rows)))
    of_part = [sorted({int(row) // chunk_rows for row in rows[part]}) for part in parts]
    together = [chunk for chunks in of_part for chunk in chunks]
    assert together == sorted({int(row) // chunk_rows for row in rows})  # ascending, none twice
    assert all(1 <= len(chunks) <= most for chunks in of_part)
    assert len(parts) == math.ceil(len(together) / most)
    assert all((np.diff(rows[part]) >= 0).all() for part in parts)
