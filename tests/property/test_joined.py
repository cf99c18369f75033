"""Joined datasets against their parts: each sample, by `fetch` and through loaders, is byte for byte the part's own."""

from __future__ import annotations

import pickle
from collections import Counter
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mtgen
from mtgen.gather import window_jobs
from mtgen.joined import Joined
from mtgen.metrics import Recorder
from mtgen.pending import Pending
from mtgen.stores import open_store
from mtgen.stores.joined import JoinedStore
from tests.support.parts import KINDS, NUM_PARTS, NUM_ROWS, assert_same, make_part
from tests.support.stores import MemoryStore

pytestmark = pytest.mark.usefixtures("no_thread_left")


@st.composite
def some_parts(draw: st.DrawFn) -> dict[str, mtgen.Dataset]:
    """One to three parts over stores of any kind, each with any of its rows in any order."""
    parts = {}
    for part in range(draw(st.integers(1, NUM_PARTS))):
        num_rows = draw(st.integers(1, NUM_ROWS))
        data = make_part(part, num_rows, kind=draw(st.sampled_from(KINDS)), chunk_rows=draw(st.integers(1, 9)))
        rows = draw(st.permutations(range(num_rows)))
        parts[f"part {part}"] = data.take(rows[: draw(st.integers(1, num_rows))])
    return parts


def check_batch(batch: mtgen.Batch, joined: Joined, parts: dict[str, mtgen.Dataset]) -> None:
    """Every slot is the sample that its part gives for the row's own place there."""
    found = joined.part_of(batch.rows)
    for name, part in parts.items():
        slots = np.flatnonzero(found.parts == name)
        assert_same(batch, slots, part.fetch(found.rows[slots]))


@given(some_parts(), st.data())
def test_a_joined_sample_is_its_parts_own(parts: dict[str, mtgen.Dataset], data: st.DataObject) -> None:
    joined = mtgen.join(parts)
    assert len(joined) == sum(map(len, parts.values()))
    first = 0
    for name, part in parts.items():
        np.testing.assert_array_equal(joined.parts[name], part.rows + first)
        first += len(part.table)
    assert first == len(joined.table)
    rows = data.draw(st.lists(st.sampled_from(joined.rows.tolist()), max_size=12))
    check_batch(joined.fetch(rows), joined, parts)
    numbers = joined.table["number"].to_numpy()
    assert joined.fetch(joined.rows).targets["number"].tolist() == numbers[joined.rows].tolist()


@settings(max_examples=40)
@given(
    some_parts(),
    st.sampled_from(["exact", "blocks", False]),
    st.integers(1, 7),
    st.integers(0, 2),
    st.booleans(),
    st.integers(0, 3),
)
def test_every_batch_is_aligned_and_every_row_comes_once(
    parts: dict[str, mtgen.Dataset], shuffle: Any, batch_size: int, num_workers: int, travels: bool, seed: int
) -> None:
    joined = mtgen.join(parts)
    if travels:
        joined = pickle.loads(pickle.dumps(joined))
    with mtgen.Loader(joined, batch_size, shuffle=shuffle, num_workers=num_workers, seed=seed) as loader:
        rows: list[int] = []
        for batch in loader.epoch(1):
            check_batch(batch, joined, parts)
            rows += batch.rows.tolist()
    assert sorted(rows) == sorted(joined.rows.tolist())


chunked = st.lists(st.tuples(st.integers(0, 30), st.integers(1, 12)), min_size=1, max_size=4)


@given(chunked, st.data())
def test_a_joined_store_is_its_parts_under_one_numbering(shapes: list[tuple[int, int]], data: st.DataObject) -> None:
    arrays = [np.arange(num * 2).reshape(num, 2) + 1 + 1000 * part for part, (num, _) in enumerate(shapes)]
    parts = [MemoryStore(array, chunk_rows) for array, (_, chunk_rows) in zip(arrays, shapes, strict=True)]
    store = JoinedStore(parts)
    whole = np.zeros((store.num_rows, 2), int)
    for part, array in enumerate(arrays):
        places = store.rows_of(part, np.arange(len(array)))
        assert not whole[places].any()
        whole[places] = array
        # No chunk here has rows of two parts, and no chunk of a part lies in two chunks here.
        own = np.arange(len(array)) // shapes[part][1]
        pairs = set(zip(own.tolist(), (places // store.chunk_rows).tolist(), strict=True))
        assert len(pairs) == len(set(own.tolist()))
        owners, inside = store.places_of(places)
        assert inside.tolist() == list(range(len(array)))
        assert set(owners.tolist()) <= {part}
    if store.num_rows:
        rows = np.array(data.draw(st.lists(st.integers(0, store.num_rows - 1), max_size=20)), np.int64)
        out = np.full((len(rows), 2), -1)
        store.read_rows(rows, out)
        np.testing.assert_array_equal(out, whole[rows])  # filler is zero


@given(st.lists(st.tuples(st.integers(1, 25), st.integers(2, 9)), min_size=1, max_size=3), st.data())
def test_a_window_decompresses_each_chunk_of_each_part_once(shapes: list[tuple[int, int]], data: st.DataObject) -> None:
    arrays = [np.arange(num, dtype=np.float32) + 100 * part for part, (num, _) in enumerate(shapes)]
    stores = [MemoryStore(array, chunk_rows) for array, (_, chunk_rows) in zip(arrays, shapes, strict=True)]
    joined = mtgen.join(
        {
            str(place): mtgen.Dataset(pd.DataFrame({"a": range(one.num_rows)}), {"x": mtgen.Rows(one)})
            for place, one in enumerate(stores)
        }
    )
    some_rows = st.lists(st.sampled_from(joined.rows.tolist()), max_size=9)
    window = data.draw(st.lists(some_rows, min_size=1, max_size=4))
    pendings = [
        Pending(joined.fields, np.array(rows, np.int64), len(rows), step, 0) for step, rows in enumerate(window)
    ]
    for job in window_jobs(pendings, Recorder()):
        job.perform(lambda what: None)
    whole = np.concatenate(arrays)
    for pending, rows in zip(pendings, window, strict=True):
        assert pending.batch().inputs["x"].tolist() == whole[rows].tolist()
    found = joined.part_of([row for rows in window for row in rows])
    for place, (one, (_, chunk_rows)) in enumerate(zip(stores, shapes, strict=True)):
        needed = {row // chunk_rows for row in found.rows[found.parts == str(place)].tolist()}
        assert one.reads == Counter(needed)


def test_a_joined_store_travels_and_leaves_its_parts_open() -> None:
    store = JoinedStore([open_store(np.arange(6).reshape(3, 2)), MemoryStore(np.arange(10).reshape(5, 2), 2)])
    again = pickle.loads(pickle.dumps(store))
    assert repr(again) == repr(store)
    out = np.empty((2, 2), int)
    again.read_rows(store.rows_of(1, np.array([4, 0])), out)
    assert out.tolist() == [[8, 9], [0, 1]]
    store.close()
    with pytest.raises(mtgen.errors.StoreError, match="the store was closed"):
        store.read_rows(np.array([0]), out[:1])
    store.parts[0].read_rows(np.array([2]), out[:1])  # belongs to whoever opened it
    assert out[0].tolist() == [4, 5]
