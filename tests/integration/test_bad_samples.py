"""Bad samples end to end: what is put up with, what never is, when a run stops, and what the report says."""

from __future__ import annotations

import csv
import errno
import os
import pickle
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import mtgen
from mtgen.batch import BadSample
from mtgen.config import OnError, Prefetch
from mtgen.errors import AlignmentError, BudgetError, DecodeError, StoreError
from mtgen.quarantine import Quarantine
from tests.support.samples import features, make_dataset, make_pictures
from tests.support.stores import MemoryStore

pytestmark = pytest.mark.usefixtures("no_thread_left")

NUM_ROWS = 24


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = make_pictures(tmp_path / "pictures", NUM_ROWS)
    (folder / "13.png").unlink()
    (folder / "5.png").write_bytes(b"<html>404</html>")
    return folder


@pytest.mark.parametrize("num_workers", [0, 1, 4])
@pytest.mark.parametrize("policy", ["refill", "mask"])
def test_a_run_over_bad_pictures_goes_on_counts_and_lists_them(
    pictures: Path, policy: str, num_workers: int, tmp_path: Path
) -> None:
    report = tmp_path / "bad.csv"
    on_error = OnError(policy=policy, max_errors=2, report=report)  # type: ignore[arg-type]
    data = make_dataset(NUM_ROWS, pictures=pictures)
    with mtgen.Loader(data, 4, num_workers=num_workers, on_error=on_error) as loader:
        batches = list(loader.steps(0, 2 * loader.steps_per_epoch))
        stats, listed = loader.stats(), loader.quarantine()
        first = {row: min(step for step in range(12) if row in loader.rows(step)) for row in (5, 13)}
    assert [len(batch) for batch in batches] == [4] * 12
    assert stats.num_bad_rows == 4  # two rows in two epochs
    assert sorted(listed["row"]) == [5, 13]
    assert dict(zip(listed["row"], listed["step"], strict=True)) == first
    for row, path, error, step in csv.reader(report.read_text().splitlines()):
        if row != "row":
            assert path == str(pictures / f"{row}.png")
            assert int(step) == first[int(row)]
            assert error == listed.set_index("row")["error"][int(row)]
    assert len(report.read_text().splitlines()) == 3
    for batch in batches:
        assert not {5, 13} & set(batch.rows.tolist())
        for slot, row in enumerate(batch.rows.tolist()):
            if row >= 0:
                np.testing.assert_array_equal(batch.inputs["columns"][slot], [row, row / 2])
                assert batch.inputs["image"][slot, 0, 0, 0] == row
                np.testing.assert_array_equal(batch.inputs["features"][slot], features(48)[data.table.index[row]])


@pytest.mark.parametrize("num_workers", [0, 2])
def test_the_budget_stops_at_the_same_batch_whatever_is_read_ahead(pictures: Path, num_workers: int) -> None:
    data = make_dataset(NUM_ROWS, pictures=pictures)
    on_error = OnError(policy="refill", max_errors=1)
    prefetch = Prefetch(window=3, depth=6)
    with mtgen.Loader(data, 4, shuffle=False, num_workers=num_workers, on_error=on_error, prefetch=prefetch) as loader:
        iterator = loader.epoch(0)
        assert [next(iterator).step for _ in range(3)] == [0, 1, 2]
        with pytest.raises(BudgetError) as caught:
            next(iterator)
    text = str(caught.value)
    assert text.startswith("2 rows could not be read, max_errors=1 allows 1 of 24. The last ones: row 5: ")
    assert "OnError(max_errors=...)" in text
    assert text.endswith(f"[step 3, row 13, path {pictures / '13.png'}]")
    assert sorted(loader.quarantine()["row"]) == [5, 13]


def test_the_default_budget_is_one_percent(pictures: Path) -> None:
    data = make_dataset(NUM_ROWS, pictures=pictures)
    with (
        mtgen.Loader(data, 4, shuffle=False, on_error="refill") as loader,
        pytest.raises(BudgetError, match="allows 1"),
    ):
        list(loader.epoch(0))


def test_raise_lists_what_it_raised(pictures: Path) -> None:
    data = make_dataset(NUM_ROWS, pictures=pictures)
    with mtgen.Loader(data, 4, shuffle=False) as loader:
        for step in (1, 3):
            with pytest.raises(DecodeError):
                loader.batch(step)
        assert loader.quarantine()[["row", "step"]].to_numpy().tolist() == [[5, 1], [13, 3]]
        copy = pickle.loads(pickle.dumps(loader))
        assert copy.quarantine().empty
        assert list(copy.quarantine().columns) == ["row", "path", "error", "step"]


@pytest.mark.parametrize("policy", ["refill", "mask"])
def test_keys_that_differ_are_never_put_up_with(policy: str) -> None:
    keys = np.arange(6)
    store = MemoryStore(features(6), 2, keys=keys, key_name="id")
    data = mtgen.Dataset(pd.DataFrame({"id": range(6)}), {"f": mtgen.Rows(store)}, "id")
    keys[3] = 99
    on_error = OnError(policy=policy, max_errors=6)  # type: ignore[arg-type]
    with mtgen.Loader(data, 3, shuffle=False, on_error=on_error) as loader:
        loader.batch(0)
        with pytest.raises(AlignmentError, match="keys differ"):
            loader.batch(1)


@pytest.mark.parametrize("error", [MemoryError("no room"), OSError(24, "Too many open files")])
def test_a_lack_of_memory_or_handles_is_no_bad_sample(error: Exception) -> None:
    store = MemoryStore(features(6), 1)
    data = mtgen.Dataset(pd.DataFrame({"a": range(6)}), {"f": mtgen.Rows(store)}, "a")

    def fail(chunk: int) -> None:
        raise error

    store.before = fail
    loader = mtgen.Loader(data, 3, on_error=OnError(policy="mask", max_errors=6))
    with loader, pytest.raises(StoreError, match=str(error.args[-1])):
        loader.batch(0)


def test_a_sample_bad_in_one_input_and_misaligned_in_another_raises(tmp_path: Path) -> None:
    keys = np.arange(4)
    store = MemoryStore(features(4), 1, keys=keys, key_name="id")
    table = pd.DataFrame({"id": range(4), "path": [f"{row}.png" for row in range(4)]})
    inputs = {"image": mtgen.Images("path", root=tmp_path, size=(2, 2)), "f": mtgen.Rows(store)}
    data = mtgen.Dataset(table, inputs, "id")
    keys[2] = 99
    loader = mtgen.Loader(data, 4, shuffle=False, on_error=OnError(policy="mask", max_errors=4))
    with loader, pytest.raises((AlignmentError, DecodeError)) as caught:
        loader.batch(0)
    assert caught.value.row == 2


def test_a_report_is_added_to_and_has_one_header(pictures: Path, tmp_path: Path) -> None:
    data = make_dataset(NUM_ROWS, pictures=pictures)
    report = tmp_path / "bad.csv"
    for _ in range(2):
        with mtgen.Loader(data, 4, on_error=OnError(policy="mask", max_errors=2, report=report)) as loader:
            list(loader.epoch(0))
    frame = pd.read_csv(report)
    assert sorted(frame["row"]) == [5, 5, 13, 13]
    assert list(frame.columns) == ["row", "path", "error", "step"]


def test_a_report_that_cannot_be_written_stops_the_run(pictures: Path, tmp_path: Path) -> None:
    data = make_dataset(NUM_ROWS, pictures=pictures)
    on_error = OnError(policy="mask", max_errors=2, report=tmp_path / "nowhere" / "bad.csv")
    loader = mtgen.Loader(data, 24, on_error=on_error)
    with loader, pytest.raises(StoreError, match="the report of bad rows cannot be written"):
        loader.batch(0)


def test_the_error_of_a_report_hid_that_of_the_picture(pictures: Path, tmp_path: Path) -> None:
    data = make_dataset(NUM_ROWS, pictures=pictures)
    loader = mtgen.Loader(data, 24, shuffle=False, on_error=OnError(report=tmp_path))
    with loader, pytest.raises(DecodeError, match="text, perhaps a saved error page") as caught:
        loader.batch(0)
    assert caught.value.row == 5
    assert "the report of bad rows cannot be written" in caught.value.__notes__[0]


def test_a_row_that_could_not_be_written_was_never_written(pictures: Path, tmp_path: Path) -> None:
    data = make_dataset(NUM_ROWS, pictures=pictures)
    report = tmp_path / "later" / "bad.csv"
    with mtgen.Loader(data, 12, shuffle=False, on_error=OnError(policy="mask", max_errors=2, report=report)) as loader:
        for _ in range(2):
            with pytest.raises(StoreError, match="the report of bad rows cannot be written"):
                loader.batch(0)
        report.parent.mkdir()
        loader.batch(1)
        loader.batch(0)
    assert pd.read_csv(report)["row"].tolist() == [5, 13]


def test_what_a_full_disk_leaves_of_a_line_is_taken_back(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = make_dataset(NUM_ROWS, pictures=pictures)
    report = tmp_path / "bad.csv"
    write = os.write
    calls = 0

    def full(handle: int, content: bytes) -> int:
        nonlocal calls
        calls += 1
        if calls == 2:
            return write(handle, content[:10])
        if calls == 3:
            raise OSError(errno.ENOSPC, "no space")
        return write(handle, content)

    on_error = OnError(policy="mask", max_errors=2, report=report)
    with mtgen.Loader(data, 12, shuffle=False, num_workers=0, on_error=on_error) as loader:
        monkeypatch.setattr(os, "write", full)
        loader.batch(0)
        before = report.read_bytes()
        with pytest.raises(StoreError, match="no space"):
            loader.batch(1)
        assert report.read_bytes() == before
        loader.batch(1)
    assert pd.read_csv(report)["row"].tolist() == [5, 13]


def test_loaders_that_share_a_report_wrote_two_headers(tmp_path: Path) -> None:
    num_threads, report = 8, tmp_path / "bad.csv"
    for _ in range(20):
        report.unlink(missing_ok=True)
        barrier = threading.Barrier(num_threads)

        def add(number: int, barrier: threading.Barrier = barrier) -> None:
            found = Quarantine(OnError(policy="mask", max_errors=99, report=report), num_rows=100)
            barrier.wait(20)
            found.add([BadSample(row=number, path="p" * 20_000, error="cut off", step=0, slot=0)])

        threads = [threading.Thread(target=add, args=(number,)) for number in range(num_threads)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        frame = pd.read_csv(report)
        assert sorted(frame["row"].tolist()) == list(range(num_threads))
        assert set(frame["path"]) == {"p" * 20_000}


def test_weights_of_masked_slots_are_zero_for_every_target(pictures: Path) -> None:
    data = make_dataset(NUM_ROWS, pictures=pictures, weight={"label": "w"})
    with mtgen.Loader(data, 24, shuffle=False, on_error=OnError(policy="mask", max_errors=2)) as loader:
        batch = loader.batch(0)
    assert isinstance(batch.weight, dict)
    good = np.array([row not in (5, 13) for row in range(NUM_ROWS)], np.float32)
    assert batch.weight["label"].tolist() == ((1 + np.arange(NUM_ROWS)) * good).tolist()
    assert batch.weight["both"].tolist() == good.tolist()


def test_a_chunk_that_is_damaged_costs_its_own_rows_only() -> None:
    store = MemoryStore(features(40), 8)
    data = mtgen.Dataset(pd.DataFrame({"a": range(40)}), {"f": mtgen.Rows(store)}, "a")
    data.digests  # noqa: B018
    store.bad_chunks = {2}
    with mtgen.Loader(data, 5, on_error=OnError(policy="refill", max_errors=8)) as loader:
        for batch in loader.epoch(0):
            assert not set(batch.rows.tolist()) & set(range(16, 24))
            np.testing.assert_array_equal(batch.inputs["f"], features(40)[batch.rows])
        assert sorted(loader.quarantine()["row"]) == list(range(16, 24))
