"""Weights as ticks: exact sums, no row of weight 0, the table of edge cases, weights that stay on disk."""

from __future__ import annotations

import math
import tracemalloc
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtgen import sampling as S
from mtgen.errors import EmptySupportError, PlanError
from mtgen.sampling.bits import Bits, below
from mtgen.sampling.row_plans.orders import IndependentOrder
from mtgen.sampling.row_plans.weights import BLOCK_ROWS, BlockWeights, EvenWeights, HeldWeights, Weights, weights_of
from mtgen.sampling.row_plans.whole import Line, shares_of

WHOLE = st.integers(0, 2**63 - 1)


class OnDisk:
    """What slices, and is no array: as a column of a store."""

    def __init__(self, values: np.ndarray) -> None:
        self.values, self.shape = values, values.shape

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, key: slice) -> np.ndarray:
        return np.asarray(self.values[key])


# --- whole numbers ----------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(0, 2**64 - 1), st.integers(1, 2**63)), min_size=1))
def test_words_below_a_total(pairs: list[tuple[int, int]]) -> None:
    words, totals = (np.array(column, np.uint64) for column in zip(*pairs, strict=True))
    assert below(words, totals).tolist() == [word * total >> 64 for word, total in pairs]
    assert below(words, pairs[0][1]).tolist() == [word * pairs[0][1] >> 64 for word, _ in pairs]


@given(st.integers(0, 2**62), st.integers(1, 2**40), st.integers(0, 2**62), st.lists(st.integers(0, 2**20)))
def test_a_line_is_exact(slope: int, divisor: int, offset: int, steps: list[int]) -> None:
    most = max(steps, default=0)
    due = [(step * slope + offset) // divisor for step in steps]
    if max(due, default=0) < 2**62:
        assert Line(slope, divisor, offset).at(np.array(steps, np.int64), most).tolist() == due


@given(st.lists(st.integers(0, 2**61), min_size=1, max_size=20), st.integers(0, 2**40))
def test_shares_are_exact_floors_and_ceilings(ticks: list[int], size: int) -> None:
    total = max(sum(ticks), 1)
    shares = [Fraction(size * one, total) for one in ticks]
    if max(shares) < 2**62:
        low, high = shares_of(np.array(ticks), size, total)
        assert low.tolist() == [math.floor(one) for one in shares]
        assert high.tolist() == [math.ceil(one) for one in shares]


# --- finding ----------------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 5), min_size=1, max_size=30).filter(any))
def test_each_row_has_its_ticks(weights: list[int]) -> None:
    found = weights_of(np.array(weights))
    assert found.total == sum(weights)
    assert found.find(np.arange(found.total)).tolist() == np.repeat(np.arange(len(weights)), weights).tolist()
    assert found.ticks(np.arange(len(weights))).tolist() == weights
    assert found.num_positive == np.count_nonzero(weights)


@given(st.lists(st.one_of(st.just(0.0), st.floats(1e-7, 1e7)), min_size=1, max_size=50).filter(any))
def test_real_weights_are_ticks_to_the_last_bit_that_counts(weights: list[float]) -> None:
    found = weights_of(weights)
    assert 2**59 <= found.total < 2**62
    total = sum(map(Fraction, weights))
    for place, weight in enumerate(weights):
        ticks = int(found.ticks(np.array([place]))[0])
        assert abs(Fraction(ticks, found.total) - Fraction(weight) / total) <= Fraction(len(weights) + 1, 2**59)
        assert bool(ticks) == bool(weight)


@given(st.lists(st.one_of(st.just(0), st.integers(1, 9)), min_size=1, max_size=30).filter(any), st.integers(-900, 900))
def test_a_scale_changes_nothing(weights: list[int], exponent: int) -> None:
    plain = weights_of(np.array(weights, float))
    scaled = weights_of(np.ldexp(np.array(weights, float), exponent))
    assert scaled.ticks(np.arange(len(weights))).tolist() == plain.ticks(np.arange(len(weights))).tolist()


def test_whole_weights_stay_as_they_are() -> None:
    weights = np.array([2**60, 1, 0, 3], np.uint64)
    assert weights_of(weights).ticks(np.arange(4)).tolist() == weights.tolist()
    huge = weights_of(np.array([2**63 + 5, 2**63 + 5, 2**62], np.uint64))  # their sum is no 64-bit number
    assert huge.ticks(np.array([0])) == huge.ticks(np.array([1]))
    assert huge.total < 2**62


@pytest.mark.parametrize("kind", [np.float32, np.float16, np.uint8, np.int64, float])
def test_kinds_of_numbers(kind: Any) -> None:
    found = weights_of(np.array([1, 0, 3], kind))
    assert Fraction(int(found.ticks(np.array([2]))[0]), found.total) == Fraction(3, 4)
    assert weights_of(pd.Series([1, 0, 3], dtype="Int64")).total == 4


def test_rows_below_the_resolution_are_counted() -> None:
    with pytest.warns(UserWarning, match=r"2 rows have a positive weight that is less than 1 in 2\*\*62"):
        found = weights_of([1e300, 1e-300, 1.0, 0.0])
    assert (found.num_lost, found.num_positive) == (2, 1)
    # A range of 1e15 loses nothing, where a sum of floats begins to.
    assert weights_of([1e15, 1.0, 1e-2]).num_lost == 0


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1.0, -2.0], "finite and >= 0, received -2.0 at place 1"),
        ([1, 2, -3], "received -3 at place 2"),
        ([1.0, np.nan], "received nan at place 1"),
        ([np.inf, 1.0], "received inf at place 0"),
        ([True, False], "real numbers >= 0, received (bool )?True"),
        ([1, True], "real numbers >= 0, received True or False among them"),
        (np.array([True, False]), r"real numbers >= 0, received bool True \(bool\)"),
        (["1", "2"], r"real numbers >= 0, received <U1 '1' \(str\)"),
        ([1 + 2j], "real numbers >= 0, received complex128"),
        ([], r"received shape \(0,\)"),
        (np.ones((2, 2)), r"received shape \(2, 2\)"),
        (1.0, r"must be an array, a list or a column of numbers >= 0, received 1.0 \(float\)"),
        ([[1], [1, 2]], "a list of numbers >= 0"),
        (pd.Series([1.0, None]), "1 missing values"),
    ],
)
@pytest.mark.parametrize("in_blocks", [False, True])
def test_what_cannot_be_weights_is_refused(weights: Any, message: str, in_blocks: bool) -> None:
    if in_blocks:
        if not isinstance(weights, list) or weights in ([[1], [1, 2]], [1, True]):
            return
        weights = OnDisk(np.asarray(weights))
    with pytest.raises(PlanError, match=message):
        weights_of(weights)


@pytest.mark.parametrize("weights", [[0, 0], [0.0], OnDisk(np.zeros(5))])
def test_all_zero_is_an_empty_support(weights: Any) -> None:
    with pytest.raises(EmptySupportError, match="all weights are 0, so no row can come"):
        weights_of(weights)


def test_a_wrong_length_names_both() -> None:
    with pytest.raises(PlanError, match="one weight for each of 3 rows, received 2"):
        weights_of([1, 2], 3)


# --- few of many ------------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 3), min_size=1, max_size=60).filter(any), st.integers(0, 40))
def test_few_of_many_are_as_all_of_them(values: list[int], num_zeros: int) -> None:
    """Where few rows can come, the others are not held."""
    every = np.array([*values, *[0] * num_zeros])
    found, sums = HeldWeights(every.copy()), np.cumsum(every)
    ticks = np.arange(found.total)
    assert np.array_equal(found.find(ticks), np.searchsorted(sums, ticks, side="right"))
    assert np.array_equal(found.ticks(), every)
    places = np.random.default_rng(0).integers(0, len(every), 30)
    assert np.array_equal(found.ticks(places), every[places])


def test_many_classes_of_many_rows_hold_each_row_once() -> None:
    """A mixture of all classes held a sum for every row, and a mask, in each of them."""
    codes = np.arange(100_000) % 50
    uniform = S.rows(len(codes))
    tracemalloc.start()
    law = S.mix({str(code): uniform.where(codes == code) for code in range(50)})
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert held < 3 * 16 * len(codes)
    assert law.source.num_rows == len(codes)
    assert (np.bincount(codes[law.plan(500, block=50)[:]]) == 10).all()


def test_conditions_one_after_the_other_are_one() -> None:
    law, even, low = S.rows(weights=np.arange(12)), np.arange(12) % 2 == 0, np.arange(12) < 6
    assert law.where(even).where(low) == law.where(even & low) == law.where(low).where(even)
    assert S.rows(12).where(even).where(low) == S.rows(12).where(even & low)
    assert S.rows(12).where(even).epoch_size == 6
    assert law.where(even).epoch_size == 6  # row 0 has weight 0, and was asked about


# --- on disk ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [np.float64, np.int32])
def test_weights_on_disk_are_those_in_memory(tmp_path: Path, kind: Any) -> None:
    rng = np.random.default_rng(0)
    values = (rng.random(3 * BLOCK_ROWS + 17) * 1000).astype(kind)
    values[rng.random(len(values)) < 0.3] = 0
    values[:BLOCK_ROWS] = 0
    np.save(tmp_path / "weights.npy", values)
    mapped = np.load(tmp_path / "weights.npy", mmap_mode="r")
    held, blocks = weights_of(values), weights_of(mapped)
    assert isinstance(held, HeldWeights)
    assert isinstance(blocks, BlockWeights)
    assert (blocks.total, blocks.num_positive, blocks.num_rows) == (held.total, held.num_positive, held.num_rows)
    ticks = rng.integers(0, held.total, 2_000)
    assert np.array_equal(blocks.find(ticks), held.find(ticks))
    places = rng.integers(0, len(values), 500)
    assert np.array_equal(blocks.ticks(places), held.ticks(places))


def test_weights_that_change_on_disk_are_refused() -> None:
    values = np.ones(10)
    found = weights_of(OnDisk(values))
    values[3] = 2
    with pytest.raises(PlanError, match="the weights of rows 0 to 9 have changed since the law was made"):
        found.find(np.array([0]))


def test_weights_on_disk_that_change_places_are_noticed() -> None:
    """The sum of a block is the same then, so a state was taken for that of another law."""
    rng = np.random.default_rng(3)
    values = rng.integers(0, 5, 2 * BLOCK_ROWS + 100)
    swapped = values.copy()
    swapped[BLOCK_ROWS : 2 * BLOCK_ROWS] = rng.permutation(values[BLOCK_ROWS : 2 * BLOCK_ROWS])
    law, again, other = (S.rows(weights=OnDisk(one)) for one in (values, values.copy(), swapped))
    assert law == again
    assert law != other
    values[:] = swapped
    assert law.sample(1, seed=8).shape == (1, 1)  # of a block that is as it was
    with pytest.raises(PlanError, match=f"rows {BLOCK_ROWS} to {2 * BLOCK_ROWS - 1} have changed since the law was"):
        law.sample(200)


def test_a_billion_even_rows_hold_nothing() -> None:
    found: Weights = EvenWeights(10**9)
    assert found.find(np.array([10**9 - 1])).tolist() == [10**9 - 1]


# --- size -------------------------------------------------------------------------------------------------------------


def test_no_row_of_weight_0_in_ten_million_draws() -> None:
    rng = np.random.default_rng(1)
    weights = rng.random(100_000)
    weights[::3] = 0
    weights[-1] = weights[0] = 0
    order = IndependentOrder(weights_of(weights), 10**7, Bits(5))
    counts = np.zeros(len(weights), np.int64)
    for start in range(0, 10**7, 10**6):
        counts += np.bincount(order.at(np.arange(start, start + 10**6)), minlength=len(weights))
    assert not counts[weights == 0].any()
    expected = 10**7 * weights / weights.sum()
    positive = weights > 0
    chi = ((counts - expected)[positive] ** 2 / expected[positive]).sum()
    num = positive.sum() - 1
    assert abs(chi - num) < 5 * math.sqrt(2 * num)


def test_twenty_million_weights_as_torch_cannot() -> None:
    # torch.multinomial ends at 2**24 = 16,777,216 categories.
    weights = np.zeros(20_000_000, np.int32)
    weights[[0, 2**24, 2**24 + 1, 19_999_999]] = [1, 2, 3, 4]
    found = weights_of(weights)
    assert found.find(np.arange(10)).tolist() == [0, *[2**24] * 2, *[2**24 + 1] * 3, *[19_999_999] * 4]
