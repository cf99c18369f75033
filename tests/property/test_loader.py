"""`batch(step)` is a pure function: workers, windows, depths, order of asking, threads and copies change no byte."""

from __future__ import annotations

import itertools
import pickle
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mtgen
from mtgen.config import Prefetch
from mtgen.plan import Shard
from tests.support.samples import (
    arrays_of,
    check_aligned,
    content,
    features,
    make_dataset,
    make_pictures,
    tight_loader,
)
from tests.support.stores import MemoryStore

pytestmark = pytest.mark.usefixtures("no_thread_left")

NUM_ROWS = 23
STEPS = 15  # three epochs of five steps


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> mtgen.Dataset:
    """A train split with every kind of input."""
    pictures = make_pictures(tmp_path_factory.mktemp("pictures"), NUM_ROWS)
    train, _ = make_dataset(NUM_ROWS, pictures=pictures).split({"train": 20, "valid": 3}, seed=1)
    assert isinstance(train, mtgen.Dataset)
    return train


def reference(data: mtgen.Dataset, **settings: Any) -> list[tuple[Any, ...]]:
    """The batches one by one in this thread, checked against the table and against `fetch`."""
    loader = mtgen.Loader(data, 4, num_workers=0, **settings)
    batches = [loader.batch(step) for step in range(STEPS)]
    for batch in batches:
        check_aligned(batch, data)
        filled = batch.rows >= 0
        plain = data.fetch(batch.rows[filled])
        for name, values in plain.inputs.items():
            np.testing.assert_array_equal(batch.inputs[name][filled], values)
    return [content(batch) for batch in batches]


SETTINGS: list[dict[str, Any]] = [
    {},
    {"shuffle": "blocks", "pad_last": True},
    {"shuffle": False, "drop_last": True},
    {"shard": Shard(1, 2), "pad_last": True, "seed": 5},
]


@pytest.mark.parametrize("num_workers", [0, 1, 2, 8])
@pytest.mark.parametrize("prefetch", [Prefetch(), Prefetch(window=1, depth=0), Prefetch(window=5, depth=9)])
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_the_same_bytes_however_many_workers(
    data: mtgen.Dataset, num_workers: int, prefetch: Prefetch, settings: dict[str, Any]
) -> None:
    expected = reference(data, **settings)
    with mtgen.Loader(data, 4, num_workers=num_workers, prefetch=prefetch, **settings) as loader:
        assert [content(batch) for batch in loader.steps(0, STEPS)] == expected
        epochs = -(-STEPS // loader.steps_per_epoch)
        by_epoch = [content(batch) for epoch in range(epochs) for batch in loader.epoch(epoch)]
        assert by_epoch[:STEPS] == expected
        assert content(loader.batch(7)) == expected[7]


@pytest.mark.parametrize("num_workers", [0, 3])
@pytest.mark.parametrize("prefetch", [Prefetch(window=3, depth=2), Prefetch(window=1, depth=4)])
def test_any_order_of_asking_gives_the_same_bytes(data: mtgen.Dataset, num_workers: int, prefetch: Prefetch) -> None:
    expected = reference(data)
    rng = np.random.default_rng(0)
    with mtgen.Loader(data, 4, num_workers=num_workers, prefetch=prefetch) as loader:
        stream = loader.stream()
        for step in [*rng.integers(0, STEPS, 60), *rng.permutation(STEPS), *range(STEPS), *reversed(range(STEPS))]:
            batch, _ = stream.get(int(step))
            assert content(batch) == expected[step]
            for array in arrays_of(batch):
                array.fill(77)  # asked for again, the step comes in new arrays
        stream.close()


@given(st.lists(st.integers(0, 14), max_size=25), st.integers(0, 2), st.integers(1, 5), st.integers(0, 6))
def test_a_stream_gives_what_was_asked_for(steps: list[int], num_workers: int, window: int, depth: int) -> None:
    data = make_dataset(10)
    with mtgen.Loader(data, 3, num_workers=num_workers, prefetch=Prefetch(window=window, depth=depth)) as loader:
        stream = loader.stream()
        for step in steps:
            batch, waited = stream.get(step)
            assert batch.step == step
            assert waited >= 0
            np.testing.assert_array_equal(batch.rows, loader.rows(step))
            check_aligned(batch, data)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_the_remainder_after_a_restore_at_every_step(data: mtgen.Dataset, num_workers: int) -> None:
    settings: dict[str, Any] = {"pad_last": True, "seed": 3}
    expected = reference(data, **settings)
    first = mtgen.Loader(data, 4, num_workers=num_workers, **settings)
    for step in range(STEPS):
        again = mtgen.Loader(data, 4, num_workers=num_workers, prefetch=Prefetch(window=2, depth=3), **settings)
        again.restore(first.state(step))
        assert again.step == step
        assert [content(batch) for batch in again.steps(stop=STEPS)] == expected[step:]
        again.close()


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_far_step_is_the_one_iteration_reaches(data: mtgen.Dataset, num_workers: int) -> None:
    with mtgen.Loader(data, 4, num_workers=num_workers) as loader:
        far = loader.batch(10**12 + 3)
        (reached,) = loader.steps(10**12 + 3, 10**12 + 4)
        assert content(far) == content(reached)
        assert (far.step, far.epoch) == (10**12 + 3, (10**12 + 3) // 5)
        check_aligned(far, data)
        *_, last = loader.steps(0, 40)
        assert content(last) == content(loader.batch(39))


def test_a_pickled_loader_gives_the_same_bytes(data: mtgen.Dataset) -> None:
    expected = reference(data)
    with mtgen.Loader(data, 4, num_workers=2) as loader:
        next(iter(loader.epoch(0)))  # with threads running and an open stream
        copy = pickle.loads(pickle.dumps(loader))
        assert [content(batch) for batch in copy.steps(0, STEPS)] == expected
        assert copy.stats().num_batches == STEPS
        assert loader.stats().num_batches == 1
        copy.close()


def windows_of(window: int) -> Iterator[range]:
    """The windows of a stream from step 0 on: 1 step, then 8 times as many each time, until they are long enough."""
    start, size = 0, 1
    while True:
        yield range(start, start + size)
        start, size = start + size, min(8 * size, window)


@pytest.mark.parametrize("window", [1, 2, 4, 9])
@pytest.mark.parametrize("num_workers", [0, 3])
def test_each_chunk_is_read_once_per_window(window: int, num_workers: int) -> None:
    """Without workers, or at depth 0, the window never grew beyond one step."""
    store = MemoryStore(features(80), 8)
    data = make_dataset(40, store=store)
    data.digests  # noqa: B018  reads a sample
    settings = {"num_workers": num_workers, "prefetch": Prefetch(window=window, depth=0)}
    store.reads.clear()
    with tight_loader(data, 4, **settings) as loader:
        assert set(loader.forecast.num_chunks) == {0}
        whole = list(itertools.takewhile(lambda steps: steps.start < 30, windows_of(window)))
        for _ in loader.steps(0, whole[-1].stop):
            pass

        def chunks(steps: range) -> set[int]:
            rows = np.concatenate([loader.rows(step) for step in steps])
            return set((data.table.index[rows] // 8).tolist())

        ahead = next(steps for steps in windows_of(window) if steps.start == whole[-1].stop)
        expected = Counter(chunk for steps in whole for chunk in chunks(steps))
        assert expected <= store.reads <= expected + Counter(chunks(ahead))


@pytest.mark.parametrize("num_workers", [1, 3])
def test_where_all_chunks_fit_each_is_read_once_for_all(num_workers: int) -> None:
    store = MemoryStore(features(80), 8)
    data = make_dataset(40, store=store)
    data.digests  # noqa: B018  reads a sample
    store.reads.clear()
    with mtgen.Loader(data, 4, num_workers=num_workers) as loader:
        for batch in loader.steps(0, 95):
            np.testing.assert_array_equal(batch.inputs["features"], features(80)[data.table.index[batch.rows]])
        stats = loader.stats()
    # Two workers may want the same one at the same time, from two windows.
    assert set(store.reads) == set((data.table.index // 8).tolist())
    assert max(store.reads.values()) <= 2
    assert stats.num_chunks > stats.num_chunks_kept > 0


@pytest.mark.parametrize("num_workers", [0, 2])
def test_batches_share_no_memory(data: mtgen.Dataset, num_workers: int) -> None:
    expected = reference(data, pad_last=True)
    with mtgen.Loader(data, 4, num_workers=num_workers, pad_last=True) as loader:
        kept = []
        for step, batch in enumerate(loader.steps(0, STEPS)):
            assert content(batch) == expected[step]
            for array in arrays_of(batch):
                assert array.flags.writeable
                assert array.flags.owndata
                array.fill(77)  # poison: nobody else may see it
            kept.append(batch)
        assert all((array == 77).all() for batch in kept for array in arrays_of(batch))
        assert content(loader.batch(2)) == expected[2]


def test_many_threads_on_one_stream_get_each_batch_once_and_right(data: mtgen.Dataset) -> None:
    expected = reference(data)
    with mtgen.Loader(data, 4, num_workers=3, prefetch=Prefetch(window=3, depth=4)) as loader:
        stream = loader.stream()
        found: dict[int, list[Any]] = {step: [] for step in range(STEPS)}
        start = threading.Barrier(4)

        def ask(number: int) -> None:
            start.wait()
            for step in range(number, STEPS, 4):
                found[step].append(content(loader.take_from(stream, step)))

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        stream.close()
        assert found == {step: [expected[step]] for step in range(STEPS)}
        assert loader.stats().num_batches == STEPS


def test_every_row_comes_once_per_epoch(data: mtgen.Dataset) -> None:
    for settings in SETTINGS[:2]:
        with mtgen.Loader(data, 4, num_workers=2, **settings) as loader:
            for epoch in range(3):
                rows = np.concatenate([batch.rows for batch in loader.epoch(epoch)])
                assert sorted(rows[rows >= 0].tolist()) == data.rows.tolist()


def test_shards_together_are_one_epoch_of_one_process(data: mtgen.Dataset) -> None:
    whole = mtgen.Loader(data, 6, seed=2, num_workers=0)
    parts = [mtgen.Loader(data, 2, seed=2, num_workers=0, shard=Shard(index, 3), pad_last=True) for index in range(3)]
    for step in range(whole.steps_per_epoch):
        together = np.concatenate([part.batch(step).rows for part in parts])
        assert together[together >= 0].tolist() == whole.rows(step).tolist()


def test_pictures_are_found_from_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = make_dataset(6, pictures=make_pictures(tmp_path / "pictures", 6))
    monkeypatch.chdir(tmp_path)
    check_aligned(mtgen.Loader(data, 6, num_workers=0).batch(0), data)
