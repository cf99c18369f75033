"""The forecast keeps the budget, or says why it cannot; and a running loader keeps the forecast."""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mtgen
from mtgen.config import Prefetch
from mtgen.errors import PlanError
from mtgen.memory import WINDOW_DECODES_BYTES, Chunks, Forecast, budget_bytes, forecast, split_window
from mtgen.pending import Job, Pending
from tests.support.samples import make_dataset
from tests.support.waiting import eventually

optional_small = st.none() | st.integers(1, 20)


chunk_sizes = st.builds(
    Chunks, row_bytes=st.integers(1, 99), chunk_rows=st.integers(2, 50), num_rows=st.integers(1, 2_000)
)


@given(
    budget=st.integers(1, 300_000),
    batch=st.integers(0, 5_000),
    scratch=st.integers(0, 5_000),
    num_workers=st.integers(0, 9),
    chunks=st.lists(chunk_sizes, max_size=2),
    batch_size=st.integers(1, 20),
    steps_per_epoch=st.integers(1, 500),
    window=optional_small,
    depth=st.none() | st.integers(0, 20),
)
def test_a_forecast_keeps_budget_and_wishes(
    budget: int,
    batch: int,
    scratch: int,
    num_workers: int,
    chunks: list[Chunks],
    batch_size: int,
    steps_per_epoch: int,
    window: int | None,
    depth: int | None,
) -> None:
    asked = Prefetch(window=window, depth=depth)
    smallest = Forecast(
        window=window or 1,
        depth=depth if depth is not None else min(num_workers, 1),
        batch_bytes=batch,
        scratch_bytes=scratch,
        num_workers=num_workers,
        staged_bytes=batch_size * sum(one.row_bytes for one in chunks),
    )
    sizes: dict[str, Any] = {
        "batch_bytes": batch,
        "batch_size": batch_size,
        "steps_per_epoch": steps_per_epoch,
        "scratch_bytes": scratch,
        "num_workers": num_workers,
        "chunks": chunks,
    }
    if smallest.total_bytes > budget:
        with pytest.raises(PlanError, match=f"{smallest.total_bytes:,} bytes"):
            forecast(budget, **sizes, asked=asked)
        return
    made = forecast(budget, **sizes, asked=asked)
    assert made.total_bytes <= budget
    assert window in (None, made.window)
    assert depth in (None, made.depth)
    assert 1 <= made.window <= max(window or 1, steps_per_epoch)
    assert made.depth >= smallest.depth
    assert len(made.num_chunks) == len(chunks)
    assert all(0 <= num <= one.num_chunks for num, one in zip(made.num_chunks, chunks, strict=True))
    assert made.chunk_bytes == sum(num * one.chunk_bytes for num, one in zip(made.num_chunks, chunks, strict=True))
    if not num_workers:
        assert made.window == (window or 1)


@given(
    num_bytes=st.integers(0, 10**6),
    batch_size=st.integers(1, 64),
    steps_per_epoch=st.integers(1, 5_000),
    chunks=st.lists(chunk_sizes, min_size=1, max_size=3),
)
def test_memory_for_rows_out_of_chunks_is_split_within_its_bounds(
    num_bytes: int, batch_size: int, steps_per_epoch: int, chunks: list[Chunks]
) -> None:
    window, kept = split_window(num_bytes, batch_size, steps_per_epoch, chunks)
    used = sum(num * one.chunk_bytes for num, one in zip(kept, chunks, strict=True))
    if window > 1:
        used += 2 * window * batch_size * sum(one.row_bytes for one in chunks)
        assert used <= num_bytes
        assert window <= steps_per_epoch
    whole = sum(one.num_chunks * one.chunk_bytes for one in chunks)
    short = 2 * min(64, steps_per_epoch) * batch_size * sum(one.row_bytes for one in chunks)
    if steps_per_epoch > 1 and whole + short <= num_bytes:
        assert kept == tuple(one.num_chunks for one in chunks), "all chunks fit, so each is decompressed once for all"


def test_large_chunks_get_a_long_window_small_ones_are_kept() -> None:
    """512 rows per chunk: rows ahead; 4 rows per chunk and a quarter of them fits: chunks, by Belady's rule."""
    large = Chunks(row_bytes=2_048, chunk_rows=512, num_rows=200_000)
    assert split_window(100 << 20, 64, 3_125, [large]) == (400, (0,))
    small = Chunks(row_bytes=8_192, chunk_rows=4, num_rows=200_000)
    window, (kept,) = split_window(400 << 20, 64, 3_125, [small])
    assert window == 64
    assert 0.18 < kept / small.num_chunks < 0.25


@given(st.integers(1, 10**6), st.integers(0, 5_000), st.integers(0, 9), st.integers(0, 9_000), st.integers(0, 9_000))
def test_pictures_get_their_share_and_what_is_left(
    budget: int, batch: int, num_workers: int, order: int, cache: int
) -> None:
    sizes = {"batch_bytes": batch, "scratch_bytes": 7, "num_workers": num_workers, "order_bytes": order}
    try:
        made = forecast(budget, **sizes, cache_bytes=cache, asked=Prefetch(), decodes=True)
    except PlanError as error:
        least = (2 + min(num_workers, 1)) * batch + max(num_workers, 1) * 7 + order + cache + budget // 4
        assert least > budget
        assert f"= {least:,} bytes" in str(error)
        return
    assert made.total_bytes == sum(made.parts.values()) == budget
    assert made.picture_bytes >= budget // 4
    assert made.parts["orders"] == order
    assert made.parts["caches of stores"] == cache


def test_the_sum_is_shown_part_by_part() -> None:
    made = forecast(
        10_000,
        batch_bytes=1_000,
        scratch_bytes=100,
        num_workers=2,
        order_bytes=50,
        cache_bytes=30,
        decodes=True,
        asked=Prefetch(),
    )
    assert str(made) == (
        "6 batches x 1,000 bytes + 2 workers x 100 bytes + orders 50 bytes + caches of stores 30 bytes + pictures at "
        "full size 3,720 bytes = 10,000 bytes"
    )


@given(st.integers(1, 4_000), st.integers(2, 1_000), st.integers(1, 10**9))
def test_a_window_decompresses_a_bounded_number_of_bytes(row_bytes: int, chunk_rows: int, num_rows: int) -> None:
    """With a store of a terabyte the first batch of a window would have waited for minutes, and stalled."""
    one = Chunks(row_bytes=row_bytes, chunk_rows=chunk_rows, num_rows=num_rows)
    rows = min(one.most_rows, 10**9)
    met = one.per_row(rows, 0) * rows
    assert met * one.chunk_bytes <= 1.01 * WINDOW_DECODES_BYTES + one.chunk_bytes
    window, _ = split_window(1 << 40, 1, 10**9, [one])
    assert window <= max(one.most_rows, 1)


def test_more_memory_never_means_more_to_decompress() -> None:
    one = Chunks(row_bytes=100, chunk_rows=50, num_rows=10_000)
    costs = []
    for budget in range(2_600, 2_000_000, 7_000):
        sizes: dict[str, Any] = {"batch_bytes": 500, "batch_size": 5, "steps_per_epoch": 2_000, "scratch_bytes": 50}
        made = forecast(budget, **sizes, num_workers=2, chunks=[one], asked=Prefetch())
        costs.append(one.per_row(made.window * 5, made.num_chunks[0]))
    assert costs == sorted(costs, reverse=True)
    assert costs[0] == pytest.approx(1, abs=0.1)
    assert costs[-1] == 0


@pytest.mark.parametrize("wrong", [0, -1, 1.5, True, "1 GB", None])
def test_a_budget_is_a_number_of_bytes(wrong: Any) -> None:
    with pytest.raises(PlanError, match=r'number of bytes > 0 or "auto", received '):
        budget_bytes(wrong)


def test_numbers_of_numpy_are_numbers() -> None:
    assert type(budget_bytes(np.int64(5))) is int  # type: ignore[arg-type]
    asked = Prefetch(window=np.int32(2), depth=np.int64(3))  # type: ignore[arg-type]
    assert (type(asked.window), type(asked.depth), asked) == (int, int, Prefetch(window=2, depth=3))


def test_auto_is_at_most_a_gibibyte() -> None:
    assert 0 < budget_bytes("auto") <= 1 << 30


@pytest.mark.parametrize("name", ["window", "depth"])
@pytest.mark.parametrize("wrong", [-1, 1.5, True, "2"])
def test_prefetch_takes_integers(name: str, wrong: Any) -> None:
    with pytest.raises(PlanError, match=rf"Prefetch\({name}=\.\.\.\) must be an integer"):
        Prefetch(**{name: wrong})


@pytest.mark.parametrize("wrong", [0, -1.0, float("inf"), float("nan"), 1e12, "5", None, True])
def test_no_wait_is_unbounded(wrong: Any) -> None:
    """Infinity was accepted, and overflowed in the first wait; text raised a bare TypeError."""
    with pytest.raises(PlanError, match=r"Prefetch\(stall_seconds=\.\.\.\) must be a number > 0 and at most"):
        Prefetch(stall_seconds=wrong)


def test_a_budget_too_small_is_refused_before_anything_is_read() -> None:
    with pytest.raises(PlanError, match=r"memory=1,000 bytes is too little: .* batches x .* workers x .* Give more"):
        mtgen.Loader(make_dataset(20), 4, memory=1_000)


class Alive:
    """Counts the batches whose buffers are alive together, the consumer's included."""

    def __init__(self, loader: mtgen.Loader) -> None:
        self.steps: set[int] = set()
        make_window = loader._plan.make_window

        def counted(*given: Any) -> tuple[list[Pending], list[Job]]:
            pendings, jobs = make_window(*given)
            for pending in pendings:
                weakref.finalize(pending.buffers[0], self.steps.discard, pending.step)
                self.steps.add(int(pending.step or 0))
            # A worker may be between finishing a job and letting go of it, hence the wait.
            most = loader.forecast.num_batches
            assert eventually(lambda: len(self.steps) <= most), f"{sorted(self.steps)} alive, forecast {most}"
            return pendings, jobs

        object.__setattr__(loader._plan, "make_window", counted)


@pytest.mark.parametrize("num_workers", [0, 1, 3])
@pytest.mark.parametrize(("window", "depth"), [(1, 0), (1, 3), (4, 0), (4, 4), (5, 2), (None, None)])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_no_more_batches_are_alive_than_forecast(
    num_workers: int, window: int | None, depth: int | None, stride: int
) -> None:
    """With a stride, batches that were prepared but never asked for piled up without end."""
    prefetch = Prefetch(window=window, depth=depth)
    loader = mtgen.Loader(make_dataset(60), 2, num_workers=num_workers, prefetch=prefetch)
    alive = Alive(loader)
    stream = loader.stream()
    for step in range(0, 120, stride):
        batch = loader.take_from(stream, step)
        assert step in alive.steps
    del batch
    stream.close()
    assert eventually(lambda: not alive.steps), f"{sorted(alive.steps)} were never let go"
    loader.close()
