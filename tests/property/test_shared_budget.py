"""Several iterators of one loader share one budget of batches, and each gets its own bytes in its own order."""

from __future__ import annotations

import gc

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

import mtgen
from mtgen.config import Prefetch
from mtgen.pending import Pending

NUM_ROWS = 40


def make_loader(num_workers: int, window: int, depth: int) -> mtgen.Loader:
    data = mtgen.Dataset(pd.DataFrame({"a": range(NUM_ROWS)}), {"a": mtgen.Columns("a")})
    return mtgen.Loader(data, 2, num_workers=num_workers, prefetch=Prefetch(window=window, depth=depth))


def alive(loader: mtgen.Loader) -> int:
    """Batches of the loader that are ready or in work, wherever they are."""
    fields = loader.dataset.fields
    return sum(type(one) is Pending and one.fields is fields for one in gc.get_objects())


@given(
    num_workers=st.sampled_from([0, 2]),
    window=st.integers(1, 5),
    depth=st.integers(0, 7),
    asked=st.lists(st.integers(0, 3), min_size=1, max_size=30),
)
def test_interleaved_streams_hold_no_more_than_one(num_workers: int, window: int, depth: int, asked: list[int]) -> None:
    with make_loader(num_workers, window, depth) as loader:
        streams = [loader.stream() for _ in range(4)]
        steps = [0, 3, 0, 50]
        used: set[int] = set()
        for number in asked:
            batch, _ = streams[number].get(steps[number])
            assert batch.rows.tolist() == loader.rows(steps[number]).tolist() == batch.inputs["a"][:, 0].tolist()
            steps[number] += 1
            used.add(number)
            # One batch for each that came while the others held all of it.
            assert sum(len(one._ready) for one in streams) <= depth + window + len(used) - 1


def test_one_stream_gets_what_another_left() -> None:
    with make_loader(1, 2, 6) as loader:
        first, second = loader.stream(), loader.stream()
        for step in range(6):
            first.get(step)
        assert len(first._ready) >= 6
        second.get(0)
        assert len(second._ready) <= 2, "the first has all but nothing"
        for step in range(6, 12):
            first.get(step)
            second.get(step - 5)
        assert len(first._ready) <= 4
        assert len(second._ready) in (2, 3), "half each"
        del first
        for step in range(7, 12):
            second.get(step)
        assert len(second._ready) >= 6, "all of it, once it is alone"


def test_batches_alive_of_eight_iterators_stay_within_the_budget() -> None:
    """Counted as objects, as they would take memory: each used to hold a budget of its own."""
    with make_loader(2, 4, 8) as loader:
        iterators = [loader.steps(10 * start) for start in range(8)]
        most = 0
        for _ in range(30):
            for one in iterators:
                next(one)
            most = max(most, alive(loader))
        assert most <= 9 + 8
        assert np.array_equal(next(iterators[3]).rows, loader.rows(60))


def test_a_stream_that_waits_for_the_next_epoch_makes_way_for_others() -> None:
    """It kept half of the budget from a stream that was made after an epoch had ended, for good."""
    with make_loader(1, 2, 6) as loader:
        assert len(list(loader.epoch(0))) == NUM_ROWS // 2
        stream = loader.stream()
        for step in range(6):
            stream.get(step)
        assert len(stream._ready) >= 6
        assert len(list(loader.epoch(1))) == NUM_ROWS // 2
        for step in range(6, 9):
            stream.get(step)
        assert len(stream._ready) >= 6
