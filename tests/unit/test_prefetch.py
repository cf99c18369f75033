"""The stream: works ahead, also into the next epoch; stalls with a report; forgets when told to."""

from __future__ import annotations

import threading

import pytest

import mtgen
from mtgen.config import Prefetch
from mtgen.errors import StallError
from tests.support.samples import check_aligned, content, features, make_dataset
from tests.support.stores import Gate, MemoryStore
from tests.support.waiting import eventually

pytestmark = pytest.mark.usefixtures("no_thread_left")


def read_steps(loader: mtgen.Loader, store: MemoryStore) -> set[int]:
    """Steps of the first two epochs all of whose chunks were read."""
    chunks = {
        step: set((loader.dataset.table.index[loader.rows(step)] // store.chunk_rows).tolist())
        for step in range(2 * loader.steps_per_epoch)
    }
    return {step for step, needed in chunks.items() if needed <= set(store.reads)}


def test_the_next_epoch_is_prefetched_while_the_last_batches_are_consumed() -> None:
    loader = mtgen.Loader(make_dataset(12), 4, num_workers=2, prefetch=Prefetch(window=1, depth=3))
    iterator = loader.epoch(0)
    for _ in range(3):
        last = next(iterator)
    assert last.step == 2
    assert next(iterator, None) is None
    (idle,) = loader._idle_streams
    assert sorted(idle._ready) == [3, 4, 5]  # the whole next epoch is under way
    assert all(eventually(pending.done.is_set) for pending in idle._ready.values())
    prepared = dict(idle._ready)
    (*second,) = loader.epoch(1)
    assert [batch.step for batch in second] == [3, 4, 5]
    for batch in second:  # those very buffers were handed out
        assert batch.inputs["features"] is prepared[int(batch.step or 0)].buffers[0]
        check_aligned(batch, loader.dataset)
    loader.close()


def test_depth_bounds_how_far_ahead_reads_go() -> None:
    store = MemoryStore(features(80), 1)
    data = make_dataset(40, store=store)
    store.reads.clear()
    with mtgen.Loader(data, 4, num_workers=2, prefetch=Prefetch(window=1, depth=2)) as loader:
        stream = loader.stream()
        stream.get(0)
        assert eventually(lambda: read_steps(loader, store) >= {0, 1, 2})
        assert all(pending.done.wait(10) for pending in stream._ready.values())
        assert read_steps(loader, store) <= {0, 1, 2, *range(10, 20)}


def test_a_stall_says_what_the_workers_do_and_the_loader_ends_cleanly() -> None:
    store = MemoryStore(features(80), 8)
    data = make_dataset(40, store=store)
    gate = Gate(store)
    loader = mtgen.Loader(data, 4, num_workers=2, prefetch=Prefetch(stall_seconds=0.3))
    with pytest.raises(StallError) as caught:
        loader.batch(3)
    text = str(caught.value)
    assert text.startswith("no batch for 0.3 s. Workers: mtgen-")
    assert "gather " in text
    assert " rows of memory for 0." in text
    assert text.endswith("[step 3]")
    gate.open()
    loader.prefetch = Prefetch()
    assert content(loader.batch(3)) == content(mtgen.Loader(make_dataset(40), 4, num_workers=0).batch(3))
    loader.close()


def test_a_stall_in_an_epoch_ends_the_iterator_and_the_next_one_works() -> None:
    store = MemoryStore(features(80), 8)
    data = make_dataset(40, store=store)
    with mtgen.Loader(data, 4, num_workers=1, prefetch=Prefetch(stall_seconds=0.3)) as loader:
        gate = Gate(store)
        with pytest.raises(StallError, match=r"\[step 0\]"):
            list(loader.epoch(0))
        gate.open()
        loader.prefetch = Prefetch()
        assert [batch.step for batch in loader.epoch(0)] == list(range(10))


def test_a_consumer_whose_stream_is_sent_elsewhere_still_gets_its_batch() -> None:
    store = MemoryStore(features(80), 8)
    data = make_dataset(40, store=store)
    expected = content(mtgen.Loader(make_dataset(40), 4, num_workers=0).batch(2))
    with mtgen.Loader(data, 4, num_workers=1, prefetch=Prefetch(window=1, depth=3)) as loader:
        gate = Gate(store)
        stream = loader.stream()
        found: list[object] = []
        asker = threading.Thread(target=lambda: found.append(content(stream.get(2)[0])))
        asker.start()
        assert gate.reached.wait(20)
        stream.seek(1_000)  # withdraws the jobs that wait behind the gate
        gate.open()
        asker.join(20)
        assert found == [expected]


def test_seeking_to_what_is_ready_keeps_it() -> None:
    with mtgen.Loader(make_dataset(40), 4, num_workers=1, prefetch=Prefetch(window=1, depth=4)) as loader:
        stream = loader.stream()
        stream.get(0)
        kept = stream._ready[3]
        stream.seek(3)
        assert sorted(stream._ready) == [3, 4]
        assert stream._ready[3] is kept
        stream.seek(40)
        assert not stream._ready


def test_batches_nobody_asked_for_do_not_pile_up() -> None:
    """Asking for every third step kept the two between for ever."""
    with mtgen.Loader(make_dataset(40), 4, num_workers=2, prefetch=Prefetch(window=2, depth=3)) as loader:
        stream = loader.stream()
        for step in range(0, 90, 3):
            assert stream.get(step)[0].step == step
            assert len(stream._ready) <= 5
