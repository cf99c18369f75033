"""Gather against its oracle, plain `array[rows]`: any chunking, any window, repeated and unsorted rows."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mtgen
from mtgen.errors import StoreError
from mtgen.gather import stage, window_jobs
from mtgen.metrics import Recorder
from mtgen.pending import Pending
from tests.support.samples import features
from tests.support.stores import MemoryStore

NUM_STORE_ROWS = 60
windows = st.lists(st.lists(st.integers(0, 24), max_size=9), min_size=1, max_size=5)
mappings = st.lists(st.integers(0, NUM_STORE_ROWS - 1), min_size=25, max_size=25)


def run(data: mtgen.Dataset, window: list[list[int]], shuffle: int | None = None) -> list[mtgen.Batch]:
    pendings = [Pending(data.fields, np.array(rows, np.int64), len(rows), step, 0) for step, rows in enumerate(window)]
    jobs = window_jobs(pendings, Recorder())
    if shuffle is not None:
        np.random.default_rng(shuffle).shuffle(jobs)
    for job in jobs:
        job.perform(lambda what: None)
    assert all(pending.done.is_set() for pending in pendings)
    return [pending.batch() for pending in pendings]


@given(windows, mappings, st.integers(1, 70), st.integers(1, 200), st.integers(0, 9))
def test_a_window_is_array_of_rows(
    window: list[list[int]], mapping: list[int], chunk_rows: int, piece_bytes: int, shuffle: int
) -> None:
    array = features(NUM_STORE_ROWS)
    store = MemoryStore(array, chunk_rows)
    table = pd.DataFrame({"store": mapping, "number": range(25)})
    data = mtgen.Dataset(
        table,
        {
            "chunked": mtgen.Rows(store, index="store"),
            "plain": mtgen.Rows(array, index="store"),
            "number": mtgen.Columns("number"),
        },
    )
    before, stage.PIECE_BYTES = stage.PIECE_BYTES, piece_bytes * 12
    try:
        batches = run(data, window, shuffle)
    finally:
        stage.PIECE_BYTES = before
    for batch, rows in zip(batches, window, strict=True):
        expected = array[np.array(mapping)[rows]]
        np.testing.assert_array_equal(batch.inputs["chunked"], expected)
        np.testing.assert_array_equal(batch.inputs["plain"], expected)
        assert batch.inputs["number"][:, 0].tolist() == rows
        assert batch.rows.tolist() == rows
    needed = {mapping[row] // chunk_rows for rows in window for row in rows}
    if chunk_rows > 1:
        assert store.reads == Counter(needed)  # each chunk of the window once, no other
    else:
        assert set(store.reads) == needed  # rows that can be read alone are not planned over the window


@given(windows, mappings, st.integers(1, 70), st.sets(st.integers(0, NUM_STORE_ROWS - 1), max_size=5))
def test_only_batches_with_a_row_in_a_bad_chunk_fail(
    window: list[list[int]], mapping: list[int], chunk_rows: int, bad_rows: set[int]
) -> None:
    store = MemoryStore(features(NUM_STORE_ROWS), chunk_rows)
    data = mtgen.Dataset(pd.DataFrame({"store": mapping}), {"f": mtgen.Rows(store, index="store")})
    store.bad_chunks = {row // chunk_rows for row in bad_rows}
    pendings = [Pending(data.fields, np.array(rows, np.int64), len(rows), step, 0) for step, rows in enumerate(window)]
    for job in window_jobs(pendings, Recorder()):
        job.perform(lambda what: None)
    for step, (pending, rows) in enumerate(zip(pendings, window, strict=True)):
        bad = [row for row in rows if mapping[row] // chunk_rows in store.bad_chunks]
        assert len(pending.bad) == len(bad)
        if not bad:
            np.testing.assert_array_equal(pending.batch().inputs["f"], store.array[np.array(mapping)[rows]])
            continue
        with pytest.raises(StoreError) as caught:
            pending.batch()
        chunk = mapping[bad[0]] // chunk_rows
        assert str(caught.value) == f"chunk {chunk} does not decompress [step {step}, row {bad[0]}, path memory]"
