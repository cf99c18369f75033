"""Counters add up: with what was handed out, and from many threads."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

import mtgen
from mtgen.errors import MtgenError, StoreError
from mtgen.metrics import Recorder
from tests.support.samples import features, make_dataset, make_pictures, make_table
from tests.support.stores import MemoryStore


@pytest.mark.parametrize("num_workers", [0, 2])
def test_stats_count_what_was_handed_out(tmp_path: Path, num_workers: int) -> None:
    data = make_dataset(22, pictures=make_pictures(tmp_path, 22))
    with mtgen.Loader(data, 4, pad_last=True, num_workers=num_workers) as loader:
        batches = list(loader.epoch(0))
        stats = loader.stats()
    assert stats.num_batches == len(batches) == 6
    assert stats.num_rows == 22  # the two empty slots are not rows
    assert stats.num_bad_rows == 0
    assert stats.wait_seconds >= 0
    assert set(stats.stage_seconds) == {"read", "decode", "gather", "assemble"}
    assert all(seconds > 0 for seconds in stats.stage_seconds.values())
    assert str(stats).startswith("6 batches, 22 rows, 0 bad; consumer waited ")


def test_a_new_loader_has_done_nothing() -> None:
    stats = mtgen.Loader(make_dataset(5), 2).stats()
    assert (stats.num_batches, stats.num_rows) == (0, 0)
    assert (stats.num_bad_rows, stats.num_keys_compared) == (0, 0)


def test_compared_keys_are_counted() -> None:
    table = make_table(12)
    keys = np.full(24, -1)
    keys[table.index] = table["number"]
    store = MemoryStore(features(24), 5, keys=keys, key_name="number")
    loader = mtgen.Loader(mtgen.Dataset(table, {"f": mtgen.Rows(store)}), 4, num_workers=0)
    for step in range(3):
        loader.batch(step)
    assert loader.stats().num_keys_compared == 12


@pytest.mark.parametrize("num_workers", [0, 2])
def test_bad_rows_are_counted(num_workers: int) -> None:
    """They were never counted: `bad_rows` stayed 0 for ever."""
    store = MemoryStore(features(60), 6)
    data = make_dataset(30, store=store)
    data.digests  # noqa: B018  reads a sample of the store, before it breaks
    store.bad_chunks = {2}
    bad = int((data.table.index // 6 == 2).sum())
    assert bad > 0
    with mtgen.Loader(data, 5, num_workers=num_workers) as loader:
        failed = 0
        for step in range(loader.steps_per_epoch):
            try:
                loader.batch(step)
            except StoreError:
                failed += 1
        stats = loader.stats()
    assert stats.num_bad_rows == bad
    assert stats.num_batches == loader.steps_per_epoch - failed
    assert failed > 0


def test_a_row_bad_in_two_inputs_is_one_bad_row(tmp_path: Path) -> None:
    store = MemoryStore(features(2), 1)
    table = make_table(1).reset_index(drop=True)
    inputs = {"f": mtgen.Rows(store, index="number"), "image": mtgen.Images("path", root=tmp_path, size=(2, 2))}
    loader = mtgen.Loader(mtgen.Dataset(table, inputs), 1, num_workers=0)
    store.bad_chunks = {0}
    with pytest.raises(MtgenError):
        loader.batch(0)
    assert loader.stats().num_bad_rows == 1


def test_many_threads_lose_no_count() -> None:
    recorder = Recorder()

    def add() -> None:
        for _ in range(500):
            recorder.add_stage("read", 0.5, keys_compared=1)
            recorder.add_handed(3, 0.25)
            recorder.add_bad(2)
            recorder.add_facts({"alpha": 1})

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stats = recorder.stats()
    assert (stats.num_batches, stats.num_rows, stats.num_bad_rows, stats.num_keys_compared) == (
        2_000,
        6_000,
        4_000,
        2_000,
    )
    assert stats.stage_seconds["read"] == 1_000
    assert stats.wait_seconds == 500
    assert stats.picture_facts == {"alpha": 2_000}
