"""Layouts of packed stores: every row in one shard, blocks of whole rows, small blocks."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtgen.errors import PlanError, StoreError
from mtgen.packing.choice import Choice, choose, nonzero_share, sample_rows, sparse_share
from mtgen.packing.layout import BLOCK_BYTES, DTYPES, GROWTH, MOST_BLOCK_ROWS, SHARD_BYTES, make_layout

SHAPES = st.lists(st.integers(1, 40), max_size=3).map(tuple)


@given(st.integers(1, 10**9), SHAPES, st.sampled_from(sorted(DTYPES)), st.none() | st.integers(1, 300))
def test_shards_cover_the_rows_in_whole_blocks(
    num_rows: int, row_shape: tuple[int, ...], dtype: str, block_rows: int | None
) -> None:
    layout = make_layout(num_rows, row_shape, dtype, codec="lz4", block_rows=block_rows)
    row_bytes = math.prod(row_shape) * np.dtype(dtype).itemsize
    assert layout.shard_rows % layout.block_rows == 0
    assert layout.shard_rows * row_bytes <= max(SHARD_BYTES * GROWTH, layout.block_rows * row_bytes)
    if num_rows * row_bytes <= SHARD_BYTES * 64:
        assert layout.shard_rows * row_bytes <= max(SHARD_BYTES, layout.block_rows * row_bytes)
        assert layout.num_shards <= 2 * 64 or layout.block_rows * row_bytes > SHARD_BYTES // 2
    first, last = layout.span(0), layout.span(layout.num_shards - 1)
    assert (first[0], last[1]) == (0, num_rows)
    assert last[0] < last[1]
    if layout.num_shards > 1:
        assert first[1] == layout.span(1)[0] == layout.shard_rows
    if block_rows is None:
        assert layout.block_rows == 1 or layout.block_rows * row_bytes <= BLOCK_BYTES["lz4"]
        assert layout.block_rows <= MOST_BLOCK_ROWS
    else:
        assert layout.block_rows == min(block_rows, num_rows)


@given(st.integers(1, 10**7), st.integers(40, 10**6))
def test_a_sample_is_spread_over_the_store_and_small(num_rows: int, row_bytes: int) -> None:
    rows = sample_rows(num_rows, row_bytes)
    assert rows[0] == 0
    assert (np.diff(rows) > 0).all()
    assert rows[-1] == num_rows - 1 or len(rows) <= 64
    assert len(rows) <= max(1, (4 << 20) // row_bytes)


def with_zeros(zeros: float, num_columns: int = 512) -> np.ndarray:
    rng = np.random.default_rng(0)
    rows = rng.random((200, num_columns)).astype("f4") + 0.1
    rows[rng.random(rows.shape) < zeros] = 0
    return rows


@pytest.mark.parametrize(
    ("rows", "codec"),
    [
        (with_zeros(0.0), "none"),
        (with_zeros(0.5), "none"),
        (with_zeros(0.8), "sparse"),
        (with_zeros(0.97), "sparse"),
        (with_zeros(1.0), "sparse"),
        (np.repeat(with_zeros(0.0)[:, :64], 8, axis=1), "lz4"),
        (-with_zeros(1.0), "lz4"),  # -0.0 has a bit set, so it is stored
        (with_zeros(0.9, 1), "lz4"),  # one column: nothing to leave out
    ],
)
def test_the_form_follows_the_sample(rows: np.ndarray, codec: str) -> None:
    assert choose(rows, None).codec == codec
    assert choose(rows, None, sparse=False).codec in ("none", "lz4")


def test_a_choice_says_why() -> None:
    text = str(choose(with_zeros(0.8), None))
    assert text.startswith(
        "sparse was chosen by a sample: 19.9% of the values are not zero; parts of the plain size: lz4 "
    )
    assert text.endswith("sparse 30%")
    made = Choice(codec="none", nonzero_share=1, shares={"lz4": 1.01})
    assert str(made).endswith("100.0% of the values are not zero; parts of the plain size: lz4 101%")


def test_zeros_are_counted_by_their_bits() -> None:
    assert nonzero_share(np.array([[0.0, -0.0], [np.nan, 0.0]])) == 0.5
    assert nonzero_share(np.array([[True, False]])) == 0.5
    assert sparse_share(0.2, 512, 4) == pytest.approx(0.2 * 1.5 + 8 / 2048)
    assert sparse_share(0.2, 70_000, 4) == pytest.approx(0.2 * 2 + 8 / 280_000)


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
    with pytest.raises(
        PlanError, match="codec must be one of 'none', 'lz4', 'zstd', 'sparse' or 'auto', received 'gzip'"
    ):
        make_layout(5, (2,), "f4", codec="gzip")  # type: ignore[arg-type]


def test_rows_per_block_have_no_meaning_for_the_sparse_form() -> None:
    with pytest.raises(PlanError, match="block_rows=2 has no meaning for codec 'sparse'"):
        make_layout(5, (2,), "f4", codec="sparse", block_rows=2)
