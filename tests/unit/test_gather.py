"""Jobs: what goes wrong reaches exactly the batches it belongs to, and nobody waits for ever."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import mtgen
from mtgen.errors import DecodeError, StoreError
from mtgen.gather import costs, rows, window_jobs
from mtgen.metrics import Recorder
from mtgen.pending import Job, Pending
from mtgen.waits import Note
from tests.support.samples import features, make_dataset
from tests.support.stores import MemoryStore


def pending(data: mtgen.Dataset, rows: list[int], step: int = 0) -> Pending:
    return Pending(data.fields, np.array(rows), len(rows), step, 0)


def quiet(what: str) -> None:
    """A note nobody reads."""


def test_the_first_error_in_slot_order_is_raised_then_field_order() -> None:
    one = pending(make_dataset(9), [4, 7, 2])
    one.fail(2, 0, StoreError("third slot"))
    one.fail(1, 3, StoreError("second slot, fourth field"))
    one.fail(1, 1, StoreError("second slot, second field"))
    with pytest.raises(StoreError, match=r"second slot, second field \[step 0, row 7\]"):
        one.batch()
    assert len(one.bad) == 2


def test_one_error_object_in_two_batches_names_each_batch() -> None:
    """A store that raises one object again and again gave the first batch's step and row to all."""
    data = make_dataset(9)
    same = StoreError("the disk is gone", path="store")
    batches = [pending(data, [4], 0), pending(data, [7], 5)]
    for one in batches:
        one.fail(0, 0, same)
    texts = []
    for one in batches:
        with pytest.raises(StoreError) as caught:
            one.batch()
        texts.append(str(caught.value))
    assert texts == [
        "the disk is gone [step 0, row 4, path store]",
        "the disk is gone [step 5, row 7, path store]",
    ]


@pytest.mark.parametrize("error", [ValueError("x"), MemoryError("no room")])
def test_a_job_that_raises_fails_the_batches_it_serves(error: Exception) -> None:
    def run(note: Note) -> None:
        raise error

    one = pending(make_dataset(9), [4])
    one.expect(1)
    Job(run=run, serves=[one]).perform(quiet)
    assert one.done.is_set()
    with pytest.raises(mtgen.MtgenError, match=rf"{type(error).__name__}: {error} \[step 0\]") as caught:
        one.batch()
    assert caught.value.__cause__ is error
    assert caught.value.row is None  # nobody knows which sample is to blame


def test_what_is_no_exception_reaches_batch_and_caller() -> None:
    """SystemExit out of a foreign array ended the worker and left the batch waiting."""

    def run(note: Note) -> None:
        raise SystemExit(3)

    one = pending(make_dataset(9), [4])
    one.expect(1)
    with pytest.raises(SystemExit):
        Job(run=run, serves=[one]).perform(quiet)
    with pytest.raises(StoreError, match=r"the work was ended by SystemExit: 3 \[step 0\]"):
        one.batch()


def test_a_skipped_job_marks_its_batches() -> None:
    one = pending(make_dataset(9), [4])
    jobs = window_jobs([one], Recorder())
    for job in jobs:
        job.skip()
    assert one.skipped
    assert one.done.is_set()


class Grumpy:
    """An array-like that raises what no store would."""

    shape, dtype = (6, 2), np.dtype("f4")

    def __init__(self) -> None:
        self.broken = False

    def __getitem__(self, rows: Any) -> np.ndarray:
        if self.broken:
            raise RuntimeError("out of ideas")
        found: np.ndarray = np.zeros((6, 2), np.float32)[rows]
        return found


def test_an_error_that_is_not_ours_is_wrapped_alike_on_both_paths() -> None:
    array = Grumpy()
    data = mtgen.Dataset(pd.DataFrame({"a": range(6)}), {"f": mtgen.Rows(array)})
    array.broken = True
    with pytest.raises(StoreError, match=r"RuntimeError: out of ideas.*\[row 2, path ") as by_fetch:
        data.fetch([2])
    with pytest.raises(StoreError, match=r"RuntimeError: out of ideas.*\[step 0, row 0, path ") as by_loader:
        mtgen.Loader(data, 6, shuffle=False, num_workers=0).batch(0)
    assert by_fetch.value.message == by_loader.value.message


def test_fetch_wraps_what_a_foreign_store_raises() -> None:
    """The plain path let it through bare, without row and path."""
    store = MemoryStore(features(6), 2)
    data = mtgen.Dataset(pd.DataFrame({"a": range(6)}), {"f": mtgen.Rows(store)})

    def fail(chunk: int) -> None:
        raise RuntimeError("out of ideas")

    store.before = fail
    with pytest.raises(StoreError, match=r"RuntimeError: out of ideas \[row 5, path memory\]") as caught:
        data.fetch([5])
    assert isinstance(caught.value.__cause__, RuntimeError)


def test_fetch_and_loader_say_the_same_of_a_bad_picture(tmp_path: Any) -> None:
    (tmp_path / "0.png").write_bytes(b"not a picture")
    table = pd.DataFrame({"path": ["0.png"]})
    data = mtgen.Dataset(table, {"image": mtgen.Images("path", root=tmp_path, size=(2, 2))})
    with pytest.raises(DecodeError) as by_fetch:
        data.fetch([0])
    with pytest.raises(DecodeError) as by_loader:
        mtgen.Loader(data, 1, num_workers=0).batch(0)
    assert str(by_loader.value) == str(by_fetch.value).replace("[row 0", "[step 0, row 0")


def test_scratch_is_a_piece_and_a_chunk_plain_and_compressed() -> None:
    data = make_dataset(9, chunk_rows=7)
    assert costs.scratch_bytes(data.fields) == rows.PIECE_BYTES + 2 * 7 * 12
    assert costs.scratch_bytes([field for field in data.fields if field.name == "plain"]) == 0
