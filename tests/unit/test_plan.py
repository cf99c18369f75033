"""Settings that no epoch can follow are refused with the numbers that contradict each other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mtgen.errors import PlanError
from mtgen.plan import Batching, Shard, pieces, reads


@pytest.mark.parametrize("wrong", [0, -1, 2.0, True, None, "4"])
def test_batch_size_is_an_integer_of_one_or_more(wrong: Any) -> None:
    with pytest.raises(PlanError, match=rf"batch_size must be an integer >= 1, received {wrong!r}"):
        Batching(size=10, batch_size=wrong)


def test_no_rows_make_no_batch() -> None:
    with pytest.raises(PlanError, match="no rows"):
        Batching(size=0, batch_size=1)


def test_dropping_and_padding_contradict_each_other() -> None:
    with pytest.raises(PlanError, match="choose one"):
        Batching(size=10, batch_size=3, drop_last=True, pad_last=True)


def test_dropping_everything_is_refused_with_the_sum() -> None:
    with pytest.raises(PlanError, match=r"takes 12 rows \(batch_size 4 x 3 shards\), the dataset has 11"):
        Batching(size=11, batch_size=4, drop_last=True, shard=Shard(0, 3))


def test_a_rest_too_small_for_all_shards_is_refused() -> None:
    with pytest.raises(PlanError, match=r"has 2 rows for 3 shards.*drop_last=True, or pad_last=True"):
        Batching(size=14, batch_size=4, shard=Shard(0, 3))


@pytest.mark.parametrize(("index", "count"), [(1, 1), (-1, 2), (0, 0), (0.5, 1), (0, 2.0), (True, 2), ("0", 1)])
def test_a_shard_needs_integers_in_range(index: Any, count: Any) -> None:
    """A shard of index 0.5 was accepted, and gave fractional positions."""
    with pytest.raises(PlanError, match="0 <= index < count, received index="):
        Shard(index, count)


def test_a_shard_is_written_by_place() -> None:
    """As on the design page; it took keywords only."""
    assert Shard(1, 4) == Shard(index=1, count=4)
    assert Shard() == Shard(0, 1)


def test_a_padded_epoch_of_many_shards_may_leave_some_without_rows() -> None:
    parts = [Batching(size=9, batch_size=4, pad_last=True, shard=Shard(index, 2)) for index in (0, 1)]
    assert [part.positions(1).tolist() for part in parts] == [[], [8]]
    assert [part.num_slots(1) for part in parts] == [4, 4]


def test_nothing_to_read_makes_no_reads_and_no_pieces() -> None:
    assert list(reads(np.empty(0, np.int64), 3)) == []
    assert pieces(np.empty(0, np.int64), 3, 1) == []
