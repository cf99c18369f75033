"""What a loader refuses, says about itself, and lets go of."""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np
import pandas as pd
import pytest

import mtgen
from mtgen.config import Prefetch
from mtgen.errors import PlanError, StateError
from mtgen.sampling.order import Blocks, Exact, Order, Sequential
from tests.support.samples import make_dataset
from tests.support.waiting import threads_gone

pytestmark = pytest.mark.usefixtures("no_thread_left")


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"shuffle": True}, 'shuffle must be "exact", "blocks" or False, received True'),
        ({"shuffle": "random"}, "received 'random'"),
        ({"on_error": "skip"}, 'on_error must be "raise", "refill" or "mask", received \'skip\''),
        ({"num_workers": -1}, "num_workers"),
        ({"memory": "much"}, "memory must be a number of bytes"),
        ({"drop_last": True, "pad_last": True}, "contradict"),
        ({"batch_size": 0}, "batch_size must be an integer >= 1, received 0"),
        ({"batch_size": 99, "drop_last": True}, "drop_last leaves no batch"),
    ],
)
def test_settings_that_cannot_be_followed_are_refused(settings: dict[str, Any], text: str) -> None:
    with pytest.raises(PlanError, match=text):
        mtgen.Loader(make_dataset(9), **{"batch_size": 2, **settings})


def test_a_loader_needs_a_dataset() -> None:
    with pytest.raises(PlanError, match=r"needs a mtgen\.Dataset, received DataFrame"):
        mtgen.Loader(make_dataset(9).table, 2)  # type: ignore[arg-type]


def test_an_empty_dataset_is_refused() -> None:
    with pytest.raises(PlanError, match="no rows"):
        mtgen.Loader(make_dataset(9).take([]), 2)


@pytest.mark.parametrize("shuffle", ["exact", "blocks", False])
@pytest.mark.parametrize("seed", [-1, 1.0, None, True, "0"])
def test_a_wrong_seed_is_refused_whatever_the_order(shuffle: Any, seed: Any) -> None:
    """Without shuffling any seed was accepted, and `None` failed later, in `state`."""
    with pytest.raises(PlanError, match="seed must be an integer >= 0"):
        mtgen.Loader(make_dataset(9), 2, shuffle=shuffle, seed=seed)


@pytest.mark.parametrize("step", [-1, 1.0, None, True, "0"])
def test_a_step_is_an_integer(step: Any) -> None:
    loader = mtgen.Loader(make_dataset(9), 2, num_workers=0)
    for ask in (loader.rows, loader.batch, loader.state):
        with pytest.raises(PlanError, match=r"step must be an integer >= 0, received"):
            ask(step)
    if step is not None:
        for start, stop in ((step, None), (0, step)):
            with pytest.raises(PlanError, match=r"step must be an integer >= 0, received"):
                loader.steps(start, stop)


@pytest.mark.parametrize("block_rows", [0, 2.5, True, None])
def test_blocks_need_whole_numbers(block_rows: Any) -> None:
    """2.5 rows per block failed later, deep in the permutation."""
    with pytest.raises(PlanError, match="block_rows and open_blocks must be integers >= 1, received"):
        Blocks(block_rows)
    if block_rows is not None:
        with pytest.raises(PlanError, match="must be integers >= 1"):
            Blocks(2, block_rows)


def test_samplers_by_name() -> None:
    data = make_dataset(30, chunk_rows=7)
    assert mtgen.Loader(data, 2).sampler == Exact()
    assert mtgen.Loader(data, 2, shuffle=False).sampler == Sequential()
    assert mtgen.Loader(data, 2, shuffle="blocks").sampler == Blocks(7)
    assert mtgen.Loader(data, 2, sampler=Blocks(3)).sampler == Blocks(3)
    with pytest.raises(mtgen.errors.PlanError, match="sampler and shuffle=False both say the order"):
        mtgen.Loader(data, 2, sampler=Blocks(3), shuffle=False)


class _Astray(Sequential):
    """A law that leaves the dataset."""

    def order(self, num_rows: int, *, seed: int, epoch: int) -> Order:
        class Shifted:
            def at(self, positions: np.ndarray) -> np.ndarray:
                return positions - 1

        return Shifted()


def test_a_sampler_that_leaves_the_dataset_is_refused_not_wrapped_around() -> None:
    loader = mtgen.Loader(make_dataset(9), 2, sampler=_Astray())
    with pytest.raises(mtgen.errors.PlanError, match=r"gave places -1 to 0, the dataset has places 0 to 8 \[step 0\]"):
        loader.rows(0)


class _Foreign:
    """An input of somebody else, which no loader can read."""

    def bind(self, table: object) -> object:
        return object()


def test_an_unknown_input_is_refused_where_it_was_delivered_as_memory_nobody_filled() -> None:
    table = make_dataset(9).table
    with pytest.raises(mtgen.errors.TableError, match="which no loader knows how to read"):
        mtgen.Dataset(table, inputs={"x": _Foreign()})


class _Counted(Sequential):
    """Counts how often positions are looked up."""

    def __init__(self, looked_up: list[int]) -> None:
        self.looked_up = looked_up

    def order(self, num_rows: int, *, seed: int, epoch: int) -> Any:
        order, looked_up = super().order(num_rows, seed=seed, epoch=epoch), self.looked_up

        class Order:
            def at(self, positions: np.ndarray) -> np.ndarray:
                looked_up.append(len(positions))
                return order.at(positions)

        return Order()


@pytest.mark.parametrize("placement", ["stream", "ram"])
def test_batches_asked_for_in_turn_looked_up_each_row_alone(placement: Any) -> None:
    table = pd.DataFrame({"a": np.arange(400)})
    data = mtgen.Dataset(table, inputs={"a": mtgen.Rows(np.arange(400.0)[:, None])})
    looked_up: list[int] = []
    loader = mtgen.Loader(data, 4, sampler=_Counted(looked_up), num_workers=0, placement=placement)
    looked_up.clear()
    for step in range(100):
        assert loader.batch(step).rows.tolist() == list(range(4 * step, 4 * step + 4))
    assert len(looked_up) < 5


def test_numpy_integers_are_steps_and_seeds() -> None:
    loader = mtgen.Loader(make_dataset(9), 2, seed=np.int64(3), num_workers=0)  # type: ignore[arg-type]
    assert loader.batch(np.int64(4)).step == 4  # type: ignore[arg-type]
    assert loader.state(np.int64(4)) == mtgen.Loader(make_dataset(9), 2, seed=3).state(4)  # type: ignore[arg-type]


def test_lengths_and_repr() -> None:
    loader = mtgen.Loader(make_dataset(9), 2, num_workers=1, seed=4)
    assert (len(loader), loader.steps_per_epoch, loader.batch_size) == (5, 5, 2)
    assert repr(loader) == "Loader(9 rows, batch_size=2, 5 steps per epoch, Exact(), seed=4, num_workers=1)"


def test_steps_go_on_over_the_epoch_border() -> None:
    with mtgen.Loader(make_dataset(9), 2, num_workers=1) as loader:
        steps = loader.steps(3)
        assert [(batch.step, batch.epoch) for batch, _ in zip(steps, range(4), strict=False)] == [
            (3, 0),
            (4, 0),
            (5, 1),
            (6, 1),
        ]
        steps.close()  # type: ignore[attr-defined]


def test_rows_read_nothing() -> None:
    data = make_dataset(9)
    store = data.fields[0].bound.store
    store.reads.clear()
    mtgen.Loader(data, 2).rows(10**9)
    assert not store.reads


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("epochs", [0, 1])
def test_a_dropped_loader_is_freed_at_once(num_workers: int, epochs: int) -> None:
    """Its idle stream held it, with all batches under way, until the garbage collector came by."""
    loader = mtgen.Loader(make_dataset(9), 2, num_workers=num_workers)
    for epoch in range(epochs):
        for _ in loader.epoch(epoch):
            pass
    gone = weakref.ref(loader)
    del loader
    assert gone() is None
    assert threads_gone()


def test_close_twice_and_use_again() -> None:
    loader = mtgen.Loader(make_dataset(9), 2, num_workers=2)
    first = [batch.rows.tolist() for batch in loader.epoch(0)]
    loader.close()
    loader.close()
    assert [batch.rows.tolist() for batch in loader.epoch(0)] == first
    loader.close()


def test_closing_in_the_middle_of_an_epoch_loses_nothing() -> None:
    loader = mtgen.Loader(make_dataset(30), 2, num_workers=2, prefetch=Prefetch(window=3, depth=5))
    seen = []
    for batch in loader.epoch(0):
        loader.close()
        seen += batch.rows.tolist()
    assert sorted(seen) == list(range(30))
    loader.close()


def test_two_epochs_side_by_side_do_not_disturb_each_other() -> None:
    with mtgen.Loader(make_dataset(20), 3, num_workers=2) as loader:
        pairs = list(zip(loader.epoch(0), loader.epoch(0), loader.epoch(1), strict=True))
        assert len(pairs) == loader.steps_per_epoch
        for one, same, other in pairs:
            assert one.rows.tolist() == same.rows.tolist()
            assert other.step == (one.step or 0) + loader.steps_per_epoch
        assert len(loader._idle_streams) <= 1


def test_a_restored_loader_starts_there() -> None:
    loader = mtgen.Loader(make_dataset(9), 2, num_workers=0)
    loader.restore(loader.state(7))
    assert [batch.step for batch in loader.steps(stop=9)] == [7, 8]
    with pytest.raises(StateError):
        loader.restore({})
    assert loader.step == 7  # a refused state changes nothing
