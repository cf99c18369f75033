"""Layouts of packed stores: every row in one shard, blocks of whole rows, small blocks."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtgen.errors import PlanError, StoreError
from mtgen.packing.layout import (
    DTYPES,
    MOST_BLOCK_ROWS,
    PAGE_BYTES,
    SHARD_BYTES,
    choose_codec,
    make_layout,
    sample_rows,
)

SHAPES = st.lists(st.integers(1, 40), max_size=3).map(tuple)


@given(st.integers(1, 10**9), SHAPES, st.sampled_from(sorted(DTYPES)), st.none() | st.integers(1, 300))
def test_shards_cover_the_rows_in_whole_blocks(
    num_rows: int, row_shape: tuple[int, ...], dtype: str, block_rows: int | None
) -> None:
    layout = make_layout(num_rows, row_shape, dtype, codec="lz4", block_rows=block_rows)
    row_bytes = math.prod(row_shape) * np.dtype(dtype).itemsize
    assert layout.shard_rows % layout.block_rows == 0
    assert layout.shard_rows * row_bytes <= max(SHARD_BYTES, layout.block_rows * row_bytes)
    first, last = layout.span(0), layout.span(layout.num_shards - 1)
    assert (first[0], last[1]) == (0, num_rows)
    assert last[0] < last[1]
    if layout.num_shards > 1:
        assert first[1] == layout.span(1)[0] == layout.shard_rows
    if block_rows is None:
        assert layout.block_rows == 1 or layout.block_rows * row_bytes <= PAGE_BYTES
        assert layout.block_rows <= MOST_BLOCK_ROWS
    else:
        assert layout.block_rows == min(block_rows, num_rows)


@given(st.integers(1, 10**7), st.integers(1, 10**6))
def test_a_sample_is_spread_over_the_store_and_small(num_rows: int, row_bytes: int) -> None:
    rows = sample_rows(num_rows, row_bytes)
    assert rows[0] == 0
    assert (np.diff(rows) > 0).all()
    assert rows[-1] == num_rows - 1 or len(rows) <= 64
    assert len(rows) <= max(1, (4 << 20) // row_bytes)


def test_the_codec_follows_the_sample() -> None:
    rng = np.random.default_rng(0)
    noise = rng.random((64, 512)).astype("f4")
    assert choose_codec(noise, 2)[0] == "none"
    codec, ratio = choose_codec(np.zeros((64, 512), "f4"), 2)
    assert codec == "lz4"
    assert ratio > 10


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ((5, (2,), "U3"), StoreError, "the values are str96, a packed store holds one of bool, float16"),
        ((5, (2,), "complex64"), StoreError, "the values are complex64"),
        ((0, (2,), "f4"), StoreError, r"there are 0 rows of \(2,\), which hold nothing to pack"),
        ((5, (0,), "f4"), StoreError, r"there are 5 rows of \(0,\), which hold nothing to pack"),
    ],
)
def test_rows_that_cannot_be_packed(arguments: tuple, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        make_layout(*arguments, codec="none")


@pytest.mark.parametrize("wrong", [0, -1, 1.0, True, "2"])
def test_rows_per_block_are_a_whole_number(wrong: object) -> None:
    with pytest.raises(PlanError, match="block_rows must be an integer >= 1 or None, received"):
        make_layout(5, (2,), "f4", codec="none", block_rows=wrong)  # type: ignore[arg-type]


def test_an_unknown_codec_is_refused() -> None:
    with pytest.raises(PlanError, match="codec must be one of 'none', 'lz4', 'zstd' or 'auto', received 'gzip'"):
        make_layout(5, (2,), "f4", codec="gzip")  # type: ignore[arg-type]
