"""Rows gathered a window ahead: right whatever is kept, asked for, shared or lost."""

from __future__ import annotations

import itertools
import pickle
import threading
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mtgen
from mtgen.config import Prefetch
from mtgen.errors import StoreError
from mtgen.gather.chunks import ChunkCache
from mtgen.gather.reader import Reader
from mtgen.gather.rows import PIECE_BYTES
from mtgen.gather.stage import Stage
from mtgen.gather.stager import Stager
from mtgen.keep_plan import NOTHING
from mtgen.metrics import Recorder
from mtgen.sampling.order import Sequential
from tests.support.samples import features, make_dataset, tight_loader
from tests.support.stores import MemoryStore

pytestmark = pytest.mark.usefixtures("no_thread_left")

NUM_ROWS = 60


def make_loader(chunk_rows: int, window: int, spare_bytes: int, **settings: Any) -> tuple[mtgen.Loader, MemoryStore]:
    """A loader with memory for a window and so many bytes more, which chunks get."""
    store = MemoryStore(features(120), chunk_rows)
    data = make_dataset(NUM_ROWS, store=store)
    settings = {"prefetch": Prefetch(window=window, depth=2), "num_workers": 2, **settings}
    return tight_loader(data, 2, spare_bytes=spare_bytes, **settings), store


def check(loader: mtgen.Loader, batch: mtgen.Batch) -> None:
    np.testing.assert_array_equal(batch.rows, loader.rows(int(batch.step or 0)))
    expected = features(120)[loader.dataset.table.index[batch.rows]]
    np.testing.assert_array_equal(batch.inputs["features"], expected)


@given(
    chunk_rows=st.integers(2, 9),
    window=st.integers(2, 30),
    spare_bytes=st.integers(0, 1_500),
    num_workers=st.integers(0, 2),
    steps=st.lists(st.integers(0, 50) | st.none(), min_size=1, max_size=40),
)
def test_rows_are_right_whatever_is_kept_and_asked_for(
    chunk_rows: int, window: int, spare_bytes: int, num_workers: int, steps: list[int | None]
) -> None:
    """None asks for the step after the last one."""
    loader, _ = make_loader(chunk_rows, window, spare_bytes, num_workers=num_workers)
    with loader:
        stream, last = loader.stream(), -1
        for step in steps:
            last = last + 1 if step is None else step
            check(loader, loader.take_from(stream, last))
            for cache, most in zip(loader._caches, loader.forecast.num_chunks, strict=True):
                assert len(cache.chunks) <= most


def test_kept_chunks_are_found_again_and_counted() -> None:
    loader, store = make_loader(4, 10, 700)
    with loader:
        assert 0 < loader.forecast.num_chunks[0] < 30
        loader.dataset.digests  # noqa: B018  reads a sample
        store.reads.clear()
        for batch in loader.steps(0, 300):
            check(loader, batch)
        stats = loader.stats()
    assert 0 < stats.num_chunks_kept < stats.num_chunks
    assert sum(store.reads.values()) < stats.num_chunks


@pytest.mark.parametrize("num_workers", [0, 1, 3])
def test_a_bad_chunk_fails_only_the_steps_with_rows_in_it_in_any_window(num_workers: int) -> None:
    loader, store = make_loader(5, 7, 400, num_workers=num_workers)
    store.bad_chunks = {3}
    bad = {step for step in range(60) if (loader.dataset.table.index[loader.rows(step)].to_numpy() // 5 == 3).any()}
    with loader:
        stream, failed = loader.stream(), set()
        for step in range(60):
            try:
                check(loader, loader.take_from(stream, step))
            except StoreError as error:
                assert f"[step {step}, row " in str(error)
                failed.add(step)
    assert failed == bad != set()


def test_windows_of_all_streams_together_are_within_the_forecast() -> None:
    loader, _ = make_loader(4, 12, 0)
    with loader:
        streams = [loader.stream() for _ in range(5)]
        for step in range(40):
            for one in streams:
                check(loader, loader.take_from(one, step))
        windows = [one._ahead.window for one in streams]
        assert sum(windows) <= loader.forecast.window + len(streams)
        assert max(windows) <= 6, "each has its part, also the first, that was alone when it began"
        del streams[1:], one
        streams[0].seek(0)
        check(loader, loader.take_from(streams[0], 0))
        assert streams[0]._ahead.window == 12


def test_many_threads_on_one_stream() -> None:
    loader, _ = make_loader(3, 8, 300)
    wrong: list[BaseException] = []

    def ask(start: int, stream: Any) -> None:
        try:
            for step in range(start, 90, 3):
                check(loader, loader.take_from(stream, step))
        except BaseException as error:
            wrong.append(error)

    with loader:
        stream = loader.stream()
        threads = [threading.Thread(target=ask, args=(start, stream)) for start in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert not wrong


@given(st.integers(0, 100), st.integers(1, 200))
def test_windows_follow_each_other_without_gap(start: int, window: int) -> None:
    data = make_dataset(NUM_ROWS)
    stager = Stager(start, lambda: window, lambda steps: [np.array([0]) for _ in steps], data.fields[:0], [], None)  # type: ignore[arg-type]
    windows = [stager.steps(number) for number in range(12)]
    assert windows[0].start == start
    assert all(one.stop == other.start for one, other in itertools.pairwise(windows))
    assert max(map(len, windows)) == window or len(windows[-1]) == min(window, 8**11)
    assert len(windows[0]) == 1
    assert all(len(other) <= min(8 * len(one), window) for one, other in itertools.pairwise(windows))


def test_a_stream_made_beside_one_that_is_idle_gets_its_part_of_the_window() -> None:
    """The first had all of it for good, and the second one step: fit with a second dataset was 20 times slower."""
    loader, _ = make_loader(4, 12, 0)
    with loader:
        first, second = loader.stream(), loader.stream()
        for step in range(30):
            check(loader, loader.take_from(first, step))
        for step in range(60):
            check(loader, loader.take_from(second, step))
        assert second._ahead.window == 1, "the first has gathered its windows already"
        for step in range(30, 60):
            check(loader, loader.take_from(first, step))
        for step in range(60, 90):
            check(loader, loader.take_from(second, step))
        assert first._ahead.window == second._ahead.window == 6


def test_a_used_loader_travels_without_its_chunks() -> None:
    loader, _ = make_loader(4, 10, 700)
    with loader:
        before = len(pickle.dumps(loader))
        for batch in loader.steps(0, 60):
            check(loader, batch)
        assert loader._caches[0].chunks
        assert len(pickle.dumps(loader)) < before + 100
        with pickle.loads(pickle.dumps(loader)) as other:
            check(loader, other.batch(7))


def test_a_sampler_that_ends_is_told_of_where_it_ends_and_not_where_one_looked_ahead() -> None:
    """With some chunks kept, looking ahead for their next use raised at step 0."""
    store = MemoryStore(features(120), 4)
    data = make_dataset(NUM_ROWS, store=store)
    settings: dict[str, Any] = {"prefetch": Prefetch(window=10, depth=0), "num_workers": 1, "sampler": _OneEpoch()}
    with tight_loader(data, 2, spare_bytes=700, **settings) as loader:
        assert loader.forecast.num_chunks[0]
        for batch in loader.steps(0, 30):
            check(loader, batch)
        with pytest.raises(ValueError, match="only one epoch"):
            loader.batch(30)


class _OneEpoch(Sequential):
    def order(self, num_rows: int, *, seed: int, epoch: int) -> Any:
        if epoch:
            raise ValueError("only one epoch")
        return super().order(num_rows, seed=seed, epoch=epoch)


def test_rows_that_many_table_rows_share_are_gathered_in_pieces() -> None:
    """One job took a whole window, however many bytes, where all rows are those of one chunk."""
    table = pd.DataFrame({"number": np.arange(4_000) % 3, "y": 0})
    store = MemoryStore(np.arange(30 * 500, dtype=np.float32).reshape(30, 500), 10)
    data = mtgen.Dataset(table, {"x": mtgen.Rows(store, index="number")}, "y")
    field = [(0, data.fields[0])]
    stage = Stage([np.arange(4_000)], field, [(ChunkCache(0), NOTHING)], Reader(Recorder(), mtgen.OnError(), None))
    most = PIECE_BYTES // 2_000
    assert len(stage.jobs()) == -(-4_000 // most)


def test_windows_that_are_over_are_forgotten() -> None:
    """Each left its span behind, for as long as the stream lived."""
    loader, _ = make_loader(4, 2, 0)
    with loader:
        stream = loader.stream()
        for step in range(200):
            check(loader, loader.take_from(stream, step))
        assert len(stream._ahead.stager._spans) <= 3
