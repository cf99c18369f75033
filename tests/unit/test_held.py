"""Values that are held in memory: read once, by whoever asks first, with the same bytes and errors as streaming."""

from __future__ import annotations

import itertools
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mtgen
from mtgen import sampling as S
from mtgen.config import OnError, Placement, Prefetch
from mtgen.errors import AlignmentError, MtgenError, PlanError, StallError, StoreError
from mtgen.plan import Shard
from mtgen.waits import Turns
from tests.support import cached
from tests.support.samples import check_aligned, content, features, make_dataset, make_pictures
from tests.support.stores import Gate, MemoryStore

pytestmark = pytest.mark.usefixtures("no_thread_left")

NUM_ROWS, BATCH = 23, 4


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> mtgen.Dataset:
    """A train split with every kind of input."""
    pictures = make_pictures(tmp_path_factory.mktemp("pictures"), NUM_ROWS)
    train, _ = make_dataset(NUM_ROWS, pictures=pictures).split({"train": 20, "valid": 3}, seed=1)
    assert isinstance(train, mtgen.Dataset)
    return train


def run(data: mtgen.Dataset, steps: int = 12, **settings: Any) -> list[tuple[Any, ...]]:
    with mtgen.Loader(data, BATCH, **settings) as loader:
        return [content(batch) for batch in loader.steps(0, steps)]


SETTINGS: list[dict[str, Any]] = [
    {},
    {"shuffle": "blocks", "pad_last": True},
    {"shuffle": False, "drop_last": True},
    {"shard": Shard(1, 2), "pad_last": True, "seed": 5},
    {"num_workers": 0},
    {"num_workers": 8, "prefetch": Prefetch(window=5, depth=6)},
]
PLACEMENTS: list[Any] = ["ram", {"image": "ram"}, {"features": "ram", "shared": "ram"}, {"plain": "ram"}]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("placement", PLACEMENTS, ids=str)
def test_the_same_bytes_as_streaming(data: mtgen.Dataset, settings: dict[str, Any], placement: Any) -> None:
    assert run(data, placement=placement, **settings) == run(data, **settings)
    with mtgen.Loader(data, BATCH, placement=placement, **settings) as loader:
        for step in range(3):
            check_aligned(loader.batch(step), data)


@given(
    st.integers(3, 40),
    st.integers(1, 5),
    st.lists(st.sampled_from(["features", "shared", "plain", "columns"]), unique=True),
    st.sampled_from(["exact", "blocks", False]),
    st.integers(1, 3),
    st.data(),
)
def test_the_same_bytes_whatever_is_held(
    num_rows: int, batch_size: int, held: list[str], shuffle: Any, count: int, draw: st.DataObject
) -> None:
    data = make_dataset(num_rows)
    some = draw.draw(st.lists(st.integers(0, num_rows - 1), unique=True, min_size=1))
    settings: dict[str, Any] = {
        "shuffle": shuffle,
        "pad_last": True,
        "shard": Shard(draw.draw(st.integers(0, count - 1)), count),
        "num_workers": draw.draw(st.integers(0, 2)),
    }
    runs = []
    for placement in ({}, dict.fromkeys(held, "ram")):
        with mtgen.Loader(data.take(some), batch_size, placement=placement, **settings) as loader:
            runs.append([content(batch) for batch in loader.steps(0, 2 * loader.steps_per_epoch + 1)])
    assert runs[0] == runs[1]


def test_samplers_draw_the_same_rows_and_bytes(data: mtgen.Dataset) -> None:
    laws: list[Any] = [data.rows.weighted("w"), data.rows.balanced("label"), data.rows.where("number > 4")]
    for law in laws:
        assert run(data, sampler=law, placement="ram") == run(data, sampler=law)


# --- bad samples ------------------------------------------------------------------------------------------------------

BAD_CHUNKS = {1, 3}


def bad_data() -> mtgen.Dataset:
    store = MemoryStore(features(30), 4)
    store.bad_chunks = BAD_CHUNKS
    table = pd.DataFrame({"y": np.arange(30)})
    return mtgen.Dataset(table, {"ok": mtgen.Columns("y"), "f": mtgen.Rows(store)}, "y")


def outcome(loader: mtgen.Loader, step: int) -> Any:
    try:
        batch = loader.batch(step)
    except MtgenError as error:
        return type(error), str(error), str(error.__cause__)
    return content(batch), batch.bad


@pytest.mark.parametrize("policy", ["raise", "refill", "mask"])
def test_bad_rows_end_as_in_streaming(policy: Any) -> None:
    found = []
    for placement in ("stream", "ram"):
        on_error = OnError(policy=policy, max_errors=0.9)
        with mtgen.Loader(bad_data(), 4, on_error=on_error, seed=3, placement=placement) as loader:  # type: ignore[arg-type]
            outcomes = [outcome(loader, step) for step in range(20)]
            found.append((outcomes, loader.quarantine().to_csv(), loader.stats().num_bad_rows))
    assert found[0] == found[1]
    assert found[0][2] > 0
    assert any(isinstance(one[0], type) for one in found[0][0]) == (policy == "raise")


def test_bad_pictures_end_as_in_streaming(tmp_path: Path) -> None:
    folder = make_pictures(tmp_path, 12)
    (folder / "3.png").write_bytes(b"no picture")
    (folder / "7.png").unlink()
    data = make_dataset(12, pictures=folder)
    for policy in ("raise", "refill", "mask"):
        found = []
        for placement in ("stream", {"image": "ram"}):
            on_error = OnError(policy=policy, max_errors=0.9)  # type: ignore[arg-type]
            with mtgen.Loader(data, 4, on_error=on_error, placement=placement) as loader:  # type: ignore[arg-type]
                found.append(([outcome(loader, step) for step in range(6)], loader.quarantine().to_csv()))
        assert found[0] == found[1]


def test_keys_that_differ_stop_the_batch_of_their_row_only() -> None:
    keys = np.arange(12)
    table = pd.DataFrame({"id": keys, "y": keys})
    store = MemoryStore(features(12), 3, keys=keys.copy(), key_name="id")
    found = []
    for placement in ("stream", "ram"):
        data = mtgen.Dataset(table, {"f": mtgen.Rows(store)}, "y")
        assert store.keys is not None
        store.keys.array[5] = 77  # after the check of all keys, as if the file was changed
        with mtgen.Loader(data, 4, shuffle=False, on_error="mask", placement=placement) as loader:  # type: ignore[arg-type]
            found.append([outcome(loader, step) for step in range(3)])
        store.keys.array[5] = 5
    assert found[0] == found[1]
    assert found[1][1][0] is AlignmentError


def test_a_lack_of_memory_is_no_fault_of_the_row() -> None:
    store = MemoryStore(features(12), 3)
    data = mtgen.Dataset(pd.DataFrame({"y": range(12)}), {"f": mtgen.Rows(store)}, "y")

    def scarce(chunk: int) -> None:
        raise MemoryError

    with mtgen.Loader(data, 4, on_error="mask", placement="ram") as loader:
        store.before = scarce
        with pytest.raises(StoreError, match="MemoryError"):
            loader.batch(0)
        store.before = lambda chunk: None
        assert not loader.batch(0).bad
        assert loader.quarantine().empty


# --- read once --------------------------------------------------------------------------------------------------------


def counted(num_rows: int = 40, chunk_rows: int = 4) -> tuple[mtgen.Dataset, MemoryStore]:
    store = MemoryStore(features(num_rows), chunk_rows)
    data = mtgen.Dataset(pd.DataFrame({"y": range(num_rows)}), {"f": mtgen.Rows(store)}, "y")
    _ = data.digests  # which read some rows
    store.reads.clear()
    return data, store


def test_values_are_read_when_they_are_first_wanted_and_once() -> None:
    data, store = counted()
    with mtgen.Loader(data, BATCH, placement="ram") as loader:
        assert not store.reads
        assert "not read yet" in str(loader.placement_plan)
        for _ in range(3):
            list(loader.epoch(0))
        loader.batch(5)
        assert set(store.reads.values()) == {1}
        assert len(store.reads) == 10
        assert "not read yet" not in str(loader.placement_plan)


def test_only_rows_of_the_dataset_are_read() -> None:
    data, store = counted()
    with mtgen.Loader(data.take([0, 1, 9]), 2, placement="ram") as loader:
        list(loader.epoch(0))
        assert set(store.reads) == {0, 2}


def test_threads_that_ask_together_read_once() -> None:
    data, store = counted()
    expected = run(data)
    store.reads.clear()
    with mtgen.Loader(data, BATCH, placement="ram") as loader, ThreadPoolExecutor(8) as threads:
        barrier = threading.Barrier(8)

        def ask(step: int) -> tuple[Any, ...]:
            barrier.wait(30)
            return content(loader.batch(step))

        assert list(threads.map(ask, range(8))) == expected[:8]
        assert set(store.reads.values()) == {1}


def test_several_iterators_share_what_is_held() -> None:
    data, store = counted()
    with mtgen.Loader(data, BATCH, placement="ram") as loader:
        both = list(zip(loader.epoch(0), loader.epoch(0), strict=True))
        assert all(content(one) == content(other) for one, other in both)
        assert set(store.reads.values()) == {1}


def test_close_lets_go_and_the_next_batch_reads_again() -> None:
    data, store = counted()
    expected = run(data)
    store.reads.clear()
    loader = mtgen.Loader(data, BATCH, placement="ram")
    with loader:
        assert content(loader.batch(0)) == expected[0]
    assert "not read yet" in str(loader.placement_plan)
    with loader:
        assert content(loader.batch(1)) == expected[1]
    assert set(store.reads.values()) == {2}


def test_close_in_the_middle_of_an_epoch_changes_no_byte() -> None:
    data, _ = counted()
    expected = run(data, steps=10)
    with mtgen.Loader(data, BATCH, placement="ram") as loader:
        stream = loader.stream()
        found = []
        for step in range(10):
            found.append(content(stream.get(step)[0]))
            if step % 3 == 0:
                loader.close()
        stream.close()
    assert found == expected


def test_copies_hold_values_of_their_own() -> None:
    data, _ = counted()
    expected = run(data)
    with mtgen.Loader(data, BATCH, placement=Placement(inputs="ram")) as loader:
        loader.batch(0)
        text = pickle.dumps(loader)
        assert len(text) < len(pickle.dumps(mtgen.Loader(data, BATCH))) + 1_000
        with pickle.loads(text) as copy:
            assert copy.placement == loader.placement
            assert "not read yet" in str(copy.placement_plan)
            assert content(copy.batch(3)) == expected[3]


def test_an_interrupted_read_is_started_again() -> None:
    data, store = counted()
    expected = run(data)
    calls = itertools.count()

    def interrupt(chunk: int) -> None:
        if next(calls) == 4:
            raise KeyboardInterrupt

    with mtgen.Loader(data, BATCH, placement="ram", num_workers=0) as loader:
        store.before = interrupt
        with pytest.raises(KeyboardInterrupt):
            loader.batch(0)
        store.before = lambda chunk: None
        assert content(loader.batch(0)) == expected[0]


def test_who_waits_for_a_read_that_hangs_is_told() -> None:
    data, store = counted()
    prefetch = Prefetch(stall_seconds=0.5)
    with mtgen.Loader(data, BATCH, placement="ram", prefetch=prefetch, num_workers=1) as loader:
        gate = Gate(store)
        with ThreadPoolExecutor(2) as threads:
            asked = [threads.submit(loader.batch, 0) for _ in range(2)]
            errors = [one.exception(30) for one in asked]
            gate.open()
        assert all(isinstance(error, StallError) for error in errors)
        store.before = lambda chunk: None
        assert loader.batch(0).step == 0


def test_who_waits_for_a_long_read_that_comes_forward_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wait has a deadline, but values of hours are no stall: each block that comes in starts it anew."""
    monkeypatch.setattr("mtgen.placements.BLOCK_BYTES", 50)
    data, store = counted(num_rows=800, chunk_rows=4)
    started, passed = threading.Event(), threading.Event()
    stalled = Turns._stalled

    def note(turns: Turns) -> StallError:
        passed.set()
        return stalled(turns)

    def come_forward(chunk: int) -> None:
        started.set()
        passed.wait(0.05)  # a step forward, until the other's deadline has passed

    monkeypatch.setattr(Turns, "_stalled", note)
    store.before = come_forward
    with mtgen.Loader(data, BATCH, placement="ram", prefetch=Prefetch(stall_seconds=1.0), num_workers=1) as loader:
        with ThreadPoolExecutor(2) as threads:
            first = threads.submit(loader.batch, 0)
            assert started.wait(30)
            second = threads.submit(loader.batch, 0)
            assert content(first.result(60)) == content(second.result(60))
        assert passed.is_set()
        assert set(store.reads.values()) == {1}


@pytest.mark.parametrize("block_bytes", [1, 30, 100, 1_000])
def test_blocks_of_any_size_give_the_same_bytes(
    data: mtgen.Dataset, block_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = run(data)
    monkeypatch.setattr("mtgen.placements.BLOCK_BYTES", block_bytes)
    assert run(data, placement="ram") == expected


def test_a_cache_of_pictures_serves_what_is_held(tmp_path: Path) -> None:
    data = cached.dataset(cached.make_pictures(tmp_path / "pictures", 9), tmp_path / "pictures", tmp_path / "cache")
    first, second = run(data, placement="ram"), run(data, placement="ram")
    assert first == second == run(data)
    with mtgen.Loader(data, BATCH, placement="ram") as loader:
        list(loader.steps(0, 9))
        assert loader.stats().num_cache_hits == 9


def test_processes_decode_what_is_held(data: mtgen.Dataset) -> None:
    expected = run(data)
    with mtgen.Loader(data, BATCH, placement={"image": "ram"}, num_processes=1, num_workers=2) as loader:
        assert [content(batch) for batch in loader.steps(0, 12)] == expected


def test_joined_inputs_are_held(tmp_path: Path) -> None:
    parts = [make_dataset(9, pictures=make_pictures(tmp_path / name, 9)) for name in "ab"]
    joined = mtgen.join({"a": parts[0], "b": parts[1]})
    assert run(joined, placement="ram") == run(joined)


# --- memory, settings, states -----------------------------------------------------------------------------------------


def test_what_is_held_is_a_part_of_the_memory() -> None:
    data, _ = counted(num_rows=4_000)
    with mtgen.Loader(data, BATCH) as plain, mtgen.Loader(data, BATCH, placement="ram") as held:
        values = 4_001 * 12 + 12 * 4_000
        assert held.forecast.parts["held in memory"] == values + 4 * 4_000 * 12
        assert held.forecast.parts["rows ahead"] == 0 < plain.forecast.parts["rows ahead"]
    with pytest.raises(PlanError, match=r"held in memory 288,012 bytes = .* bytes\. Give .* or hold less: placement="):
        mtgen.Loader(data, BATCH, placement="ram", memory=200_000)


def test_columns_are_in_memory_already() -> None:
    data = mtgen.Dataset(pd.DataFrame({"y": range(9)}), {"c": mtgen.Columns("y")}, "y")
    with mtgen.Loader(data, 3, placement="ram") as loader:
        assert loader.forecast.parts["held in memory"] == 0
        assert str(loader.placement_plan) == "c: columns of the table, in memory"
    assert run(data, placement="ram") == run(data)


def test_state_and_settings_know_of_no_placement(data: mtgen.Dataset) -> None:
    with mtgen.Loader(data, BATCH) as plain, mtgen.Loader(data, BATCH, placement="ram") as held:
        assert held.settings() == plain.settings()
        assert held.state(7) == plain.state(7)
        held.restore(plain.state(7))
        assert content(next(held.steps())) == content(plain.batch(7))
        plain.restore(held.state(9))
        assert plain.step == 9
        assert held.dataset is plain.dataset


REFUSED: list[tuple[Any, str]] = [
    ("gpu", 'placement of \'all inputs\' must be "stream" or "ram" or "device", received \'gpu\''),
    ({"features": "disk"}, "placement of 'features' must be .* received 'disk'"),
    (
        {"nothing": "ram"},
        r"placement names \['nothing'\], the dataset's inputs are \['features', .*; targets are",
    ),
    (3, r"placement must be .* or a dict of input name -> one of them, received 3 \(int\)"),
]


@pytest.mark.parametrize(("placement", "text"), REFUSED, ids=str)
def test_what_is_refused_says_what_to_write(data: mtgen.Dataset, placement: Any, text: str) -> None:
    with pytest.raises(PlanError, match=text):
        mtgen.Loader(data, BATCH, placement=placement)


def test_settings_of_a_placement() -> None:
    given: dict[str, Any] = {"a": "ram"}
    placement = Placement(inputs=given, reserve_bytes=np.int64(5))  # type: ignore[arg-type]
    given["a"] = "device"
    assert (placement.where("a"), placement.where("b"), placement.reserve_bytes) == ("ram", "stream", 5)
    assert pickle.loads(pickle.dumps(placement)) == placement
    with pytest.raises(PlanError, match=r"Placement\(reserve_bytes=\.\.\.\) must be an integer >= 0 or None"):
        Placement(reserve_bytes=-1)
    with pytest.raises(PlanError, match=r"Placement\(say=\.\.\.\) must be a function of one text"):
        Placement(say="loud")  # type: ignore[arg-type]


@pytest.mark.parametrize("word", ["ram", "device"])
def test_patches_have_no_value_per_row(word: Any) -> None:
    patches = mtgen.Patches(np.zeros((9, 9)), S.uniform(dim=2), size=(3, 3))
    data = mtgen.Dataset(pd.DataFrame({"y": [0, 1]}), {"p": patches, "c": mtgen.Columns("y")}, "y")
    with pytest.raises(PlanError, match=r"made of patches, .*: there is no one value per row to hold"):
        mtgen.Loader(data, 2, placement=word)
    with mtgen.Loader(data, 2, placement={"c": "ram"}) as loader:
        assert loader.batch(0).inputs["p"].shape == (2, 3, 3)
