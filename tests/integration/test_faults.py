"""Things that break while training: each error at its own batch, with step, row and path; nothing else is lost."""

from __future__ import annotations

import pickle
import traceback
from pathlib import Path

import pytest

import mtgen
from mtgen.config import Prefetch
from mtgen.errors import DecodeError, MtgenError, StoreError
from tests.support.samples import check_aligned, features, make_dataset, make_pictures
from tests.support.stores import MemoryStore

pytestmark = pytest.mark.usefixtures("no_thread_left")

NUM_ROWS = 24
WORKERS = [0, 1, 4]


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    return make_pictures(tmp_path / "pictures", NUM_ROWS)


def outcomes(loader: mtgen.Loader, num_steps: int) -> dict[int, str | None]:
    """Step by step from one stream: None for a right batch, else the text of the error."""
    stream = loader.stream()
    found: dict[int, str | None] = {}
    for step in range(num_steps):
        try:
            batch = loader.take_from(stream, step)
        except MtgenError as error:
            found[step] = str(pickle.loads(pickle.dumps(error)))
        else:
            check_aligned(batch, loader.dataset)
            found[step] = None
    stream.close()
    return found


@pytest.mark.parametrize("damage", ["missing", "folder", "truncated", "empty", "text"])
def test_a_bad_picture_fails_its_batch_only_and_says_the_same_on_any_number_of_workers(
    pictures: Path, damage: str
) -> None:
    bad = pictures / "13.png"
    whole = bad.read_bytes()
    bad.unlink()
    if damage == "folder":
        bad.mkdir()
    elif damage != "missing":
        bad.write_bytes({"truncated": whole[: len(whole) // 2], "empty": b"", "text": b"<html>404</html>"}[damage])
    data = make_dataset(NUM_ROWS, pictures=pictures)
    found = []
    for num_workers in WORKERS:
        with mtgen.Loader(data, 4, num_workers=num_workers, prefetch=Prefetch(window=2, depth=3)) as loader:
            found.append(outcomes(loader, 2 * loader.steps_per_epoch))
            expected = {step for step in range(2 * loader.steps_per_epoch) if 13 in loader.rows(step)}
    assert found[0] == found[1] == found[2]
    failed = {step: text for step, text in found[0].items() if text is not None}
    assert set(failed) == expected
    for step, text in failed.items():
        assert text.endswith(f"[step {step}, row 13, path {bad}]")


def test_a_picture_that_vanishes_during_the_epoch_is_named(pictures: Path) -> None:
    data = make_dataset(NUM_ROWS, pictures=pictures)
    with mtgen.Loader(data, 4, num_workers=2, prefetch=Prefetch(window=1, depth=1)) as loader:
        iterator = loader.epoch(0)
        next(iterator)
        row = int(loader.rows(5)[2])
        (pictures / f"{row}.png").unlink()
        with pytest.raises(DecodeError) as caught:
            list(iterator)
        assert (caught.value.step, caught.value.row) == (5, row)
        assert isinstance(caught.value.__cause__, FileNotFoundError)
        make_pictures(pictures, NUM_ROWS)
        assert len(list(loader.steps(5, 9))) == 4  # mended: goes on where it failed


@pytest.mark.parametrize("num_workers", WORKERS)
def test_the_first_error_in_slot_order_is_raised(pictures: Path, num_workers: int) -> None:
    store = MemoryStore(features(2 * NUM_ROWS), 1)
    data = make_dataset(NUM_ROWS, pictures=pictures, store=store)
    with mtgen.Loader(data, 8, num_workers=num_workers) as loader:
        rows = loader.rows(0)
        for slot in (6, 4):
            (pictures / f"{rows[slot]}.png").unlink()
        store.bad_chunks = {int(data.table.index[rows[5]])}
        with pytest.raises(DecodeError, match=rf"\[step 0, row {rows[4]}, path .*/{rows[4]}\.png\]"):
            loader.batch(0)
        store.bad_chunks = {int(data.table.index[rows[5]]), int(data.table.index[rows[3]])}
        with pytest.raises(StoreError, match=rf"\[step 0, row {rows[3]}, path memory\]"):
            loader.batch(0)


@pytest.mark.parametrize("num_workers", WORKERS)
@pytest.mark.parametrize("chunk_rows", [1, 7])
def test_a_failing_chunk_fails_only_the_batches_with_rows_in_it(num_workers: int, chunk_rows: int) -> None:
    store = MemoryStore(features(2 * NUM_ROWS), chunk_rows)
    data = make_dataset(NUM_ROWS, store=store)
    bad = int(data.table.index[3]) // chunk_rows
    store.bad_chunks = {bad}
    with mtgen.Loader(data, 2, num_workers=num_workers, prefetch=Prefetch(window=6, depth=6)) as loader:
        found = outcomes(loader, 2 * loader.steps_per_epoch)
        for step, text in found.items():
            rows = [int(row) for row in loader.rows(step) if data.table.index[row] // chunk_rows == bad]
            if rows:
                assert text == f"chunk {bad} does not decompress [step {step}, row {rows[0]}, path memory]"
            else:
                assert text is None
    assert any(found.values())
    assert not all(found.values())


@pytest.mark.parametrize("num_workers", WORKERS)
def test_an_error_of_a_worker_comes_with_its_own_traceback(num_workers: int) -> None:
    """In the consumer's thread, down to the line in the store where it arose."""
    store = MemoryStore(features(2 * NUM_ROWS), 7)
    data = make_dataset(NUM_ROWS, store=store)

    def divide(chunk: int) -> None:
        raise ZeroDivisionError(f"in chunk {chunk}")

    store.before = divide
    with mtgen.Loader(data, 4, num_workers=num_workers) as loader, pytest.raises(mtgen.MtgenError) as caught:
        loader.batch(2)
    text = "".join(traceback.format_exception(caught.value))
    assert "in divide" in text
    assert "ZeroDivisionError: in chunk" in text
    assert "[step 2, row " in text


@pytest.mark.parametrize("num_workers", [0, 2])
def test_an_error_ends_an_epoch_and_the_rest_can_be_had(num_workers: int) -> None:
    store = MemoryStore(features(2 * NUM_ROWS), 1)
    data = make_dataset(NUM_ROWS, store=store)
    with mtgen.Loader(data, 4, num_workers=num_workers) as loader:
        store.bad_chunks = {int(data.table.index[loader.rows(2)[0]])}
        epoch = loader.epoch(0)
        assert [next(epoch).step, next(epoch).step] == [0, 1]
        with pytest.raises(StoreError, match=r"\[step 2, row"):
            next(epoch)
        assert next(epoch, None) is None
        assert [batch.step for batch in loader.steps(3, 6)] == [3, 4, 5]


def test_a_store_closed_while_in_use_is_an_error_not_a_hang() -> None:
    store = MemoryStore(features(2 * NUM_ROWS), 7)
    with mtgen.Loader(make_dataset(NUM_ROWS, store=store), 4, num_workers=2) as loader:
        loader.batch(0)
        store.close()
        with pytest.raises(StoreError, match=r"closed, open it again .*\[step 1, row \d+, path memory\]"):
            loader.batch(1)
