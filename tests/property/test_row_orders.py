"""Orders of weighted rows: floor or ceil of each row's share, unbiased over epochs, random access, races."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtgen import sampling as S
from mtgen.errors import NoDensityError, PlanError
from mtgen.sampling.bits import Bits
from mtgen.sampling.permutation import SMALL, Permutation, permuted
from mtgen.sampling.row_plans.orders import EvenOrder, IndependentOrder, RowOrder
from mtgen.sampling.row_plans.race import RaceOrder, logarithms
from mtgen.sampling.row_plans.weighted import WeightedRows
from mtgen.sampling.row_plans.weights import EvenWeights, Weights, weights_of

whole_weights = st.lists(st.integers(0, 6), min_size=1, max_size=25).filter(any)
real_weights = st.lists(st.one_of(st.just(0.0), st.floats(1e-3, 1e3)), min_size=1, max_size=25).filter(any)
seeds = st.integers(0, 2**32)


def counts_of(rows: np.ndarray, num_rows: int) -> np.ndarray:
    return np.bincount(rows, minlength=num_rows)


# --- even -------------------------------------------------------------------------------------------------------------


@given(st.one_of(whole_weights, real_weights), st.integers(0, 100), seeds)
def test_each_row_comes_floor_or_ceil_of_its_share(weights: list[float], size: int, seed: int) -> None:
    order = EvenOrder(weights_of(weights), size, Bits(seed))
    counts = counts_of(order.at(np.arange(size)), len(weights))
    shares = size * np.array(weights, float) / sum(weights)
    assert (counts >= np.floor(shares + 1e-9) - (shares - np.floor(shares) < 1e-9)).all()
    assert (abs(counts - shares) < 1 + 1e-9).all()
    low, high = order.bounds()
    assert ((counts >= low) & (counts <= high)).all()
    assert (high - low <= 1).all()


@given(whole_weights, st.integers(1, 100), seeds)
def test_whole_shares_are_exact(weights: list[int], times: int, seed: int) -> None:
    size = sum(weights) * times
    order = EvenOrder(weights_of(weights), size, Bits(seed))
    assert counts_of(order.at(np.arange(size)), len(weights)).tolist() == [times * one for one in weights]


@given(st.integers(1, 300), st.integers(1, 4), seeds, st.booleans())
def test_even_weights_are_a_shuffle_as_often_as_asked(num: int, times: int, seed: int, real: bool) -> None:
    weights: Weights = weights_of(np.full(num, 0.1)) if real else EvenWeights(num)
    order = EvenOrder(weights, num * times, Bits(seed))
    assert (counts_of(order.at(np.arange(num * times)), num) == times).all()


@given(real_weights, st.integers(1, 60), seeds, st.data())
def test_any_position_alone_is_the_same_as_in_the_whole(
    weights: list[float], size: int, seed: int, data: st.DataObject
) -> None:
    asked = np.array(data.draw(st.lists(st.integers(0, size - 1), min_size=1, max_size=20)))
    found = weights_of(weights)
    race = RaceOrder(found, min(size, found.num_positive), Bits(seed))
    orders: list[RowOrder] = [EvenOrder(found, size, Bits(seed)), IndependentOrder(found, size, Bits(seed)), race]
    for order in orders:
        some = asked[asked < order.size]
        assert np.array_equal(order.at(some), order.at(np.arange(order.size))[some])


def test_much_of_an_epoch_at_once_is_the_same_as_in_pieces() -> None:
    size = 3 * SMALL
    order = EvenOrder(weights_of(np.arange(1000)), size, Bits(2))
    pieces = [order.at(np.arange(start, min(start + 5_000, size))) for start in range(0, size, 5_000)]
    assert np.array_equal(order.at(np.arange(size)), np.concatenate(pieces))


def test_over_epochs_each_row_has_its_share() -> None:
    weights = np.array([0.31, 2.2, 0.0, 0.17, 1.0, 0.02, 0.6])
    size, epochs = 5, 4_000
    total = np.zeros(len(weights))
    for epoch in range(epochs):
        order = EvenOrder(weights_of(weights), size, Bits(7, epoch))
        total += counts_of(order.at(np.arange(size)), len(weights))
    shares = size * weights / weights.sum()
    parts = shares - np.floor(shares)
    sigma = np.sqrt(parts * (1 - parts) / epochs)
    assert (abs(total / epochs - shares) <= 5 * sigma).all()


def test_copies_of_a_row_stand_anywhere() -> None:
    size, places = 1_000, []
    for epoch in range(40):
        rows = EvenOrder(weights_of([1, 9, 90]), size, Bits(0, epoch)).at(np.arange(size))
        places.append(np.flatnonzero(rows == 1))
    found = np.concatenate(places)
    assert len(found) == 40 * 90
    assert abs(found.mean() - 499.5) < 5 * np.sqrt(size**2 / 12 / len(found))


@given(st.integers(2**40, 2**61), st.integers(2**31, 2**40), seeds)
def test_numbers_beyond_64_bits_are_exact(total: int, size: int, seed: int) -> None:
    order = EvenOrder(EvenWeights(total), size, Bits(seed))
    steps = Permutation(size, Bits(seed).key("order")).at(np.array([0, size - 1]))
    offset = order._line.offset
    places = [(int(step) * total + offset) // size for step in steps]
    assert order._line.at(steps, size - 1).tolist() == places
    if total % size:  # rows of one weight change places
        key = int(Bits(seed).words(np.zeros(1, np.int64), "alike")[0])
        assert order.at(np.array([0, size - 1])).tolist() == Permutation(total, key).at(np.array(places)).tolist()


# --- independent ------------------------------------------------------------------------------------------------------


def test_independent_draws_have_their_shares() -> None:
    weights, size = np.array([0.1, 0.0, 3.0, 0.7, 1e-3]), 200_000
    rows = IndependentOrder(weights_of(weights), size, Bits(3)).at(np.arange(size))
    shares = weights / weights.sum()
    assert (abs(counts_of(rows, 5) - size * shares) <= 5 * np.sqrt(size * shares * (1 - shares))).all()
    # Neighbours are independent: pairs have the product of the shares.
    both = np.mean((rows[:-1] == 3) & (rows[1:] == 3))
    assert abs(both - shares[3] ** 2) < 5 * math.sqrt(shares[3] ** 2 / size)


# --- without replacement ----------------------------------------------------------------------------------------------


@given(real_weights, seeds, st.data())
def test_a_race_takes_no_row_twice_and_none_of_weight_0(weights: list[float], seed: int, data: st.DataObject) -> None:
    found = weights_of(weights)
    size = data.draw(st.integers(0, found.num_positive))
    rows = RaceOrder(found, size, Bits(seed)).at(np.arange(size))
    assert len(set(rows.tolist())) == size
    assert all(weights[row] > 0 for row in rows)


@given(real_weights, seeds)
def test_a_shorter_race_is_the_beginning_of_a_longer_one(weights: list[float], seed: int) -> None:
    found = weights_of(weights)
    whole = RaceOrder(found, found.num_positive, Bits(seed))._order
    for size in range(found.num_positive):
        part = RaceOrder(found, size, Bits(seed))._order
        assert whole is not None
        assert part is not None
        assert np.array_equal(part, whole[:size])


def test_the_first_row_is_by_weight_and_inclusion_is_that_of_successive_draws() -> None:
    # Not .2 .4 .6 .8: what is drawn first cannot be drawn again.
    weights = np.array([1, 2, 3, 4])
    found, epochs = weights_of(weights), 20_000
    first, included = np.zeros(4), np.zeros(4)
    for epoch in range(epochs):
        rows = RaceOrder(found, 2, Bits(1, epoch)).at(np.arange(2))
        first[rows[0]] += 1
        included[rows] += 1
    share = weights / 10
    exact = share + [sum(share[j] * share[i] / (1 - share[j]) for j in range(4) if j != i) for i in range(4)]
    assert exact.round(3).tolist() == [0.235, 0.441, 0.608, 0.716]
    for counts, due in ((first, share), (included, exact)):
        assert (abs(counts / epochs - due) < 5 * np.sqrt(due * (1 - due) / epochs)).all()


@given(st.lists(st.floats(2.0**-52, 1.0, exclude_max=True), min_size=1))
def test_logarithms_are_right(values: list[float]) -> None:
    given_values = np.array(values)
    due = np.log(given_values)
    assert (abs(logarithms(given_values) - due) <= 1e-14 * abs(due)).all()


def test_rows_of_weight_0_fill_up_only_when_asked_and_are_counted() -> None:
    weights = np.array([0, 0, 2, 1, 0, 0])
    assert sorted(S.rows(weights=weights).plan(2, replace=False)[:].tolist()) == [2, 3]
    with pytest.raises(PlanError, match=r"there are 2 rows to draw, 3 positions were asked for, 4 more have weight 0"):
        S.rows(weights=weights).plan(3, replace=False)
    filling = WeightedRows(S.rows(6).source, weights_of(weights), replace=False, fill=True)
    with pytest.warns(UserWarning, match="4 of 6 positions hold rows of weight 0, because only 2 rows have another"):
        rows = filling.plan(6)[:]
    assert sorted(rows[:2].tolist()) == [2, 3]
    assert sorted(rows.tolist()) == list(range(6))
    with pytest.warns(UserWarning, match="4 of 6 positions"):
        orders = {tuple(filling.plan(6, seed=seed)[2:].tolist()) for seed in range(10)}
    assert len(orders) > 5
    with pytest.raises(PlanError, match="there are 6 rows to draw, 7 positions were asked for"):
        filling.plan(7)


def test_more_than_there_are_is_refused_or_clamped_where_that_was_chosen() -> None:
    with pytest.raises(PlanError, match="without replacement there are 5 rows to draw, 6 positions were asked for"):
        S.rows(5).plan(6, replace=False)
    clamping = WeightedRows(S.rows(5).source, EvenWeights(5), replace=False, clamp=True)
    assert sorted(clamping.plan(190)[:].tolist()) == [0, 1, 2, 3, 4]
    with pytest.raises(PlanError, match=r'spread="iid" draws rows independently.*replace=False contradicts it'):
        S.rows(5).plan(2, replace=False, spread="iid")
    with pytest.raises(NoDensityError, match="without replacement"):
        clamping.prob  # noqa: B018


def test_no_row_twice_of_even_weights_is_a_part_of_a_shuffle() -> None:
    rows = S.rows(10**12).plan(1_000, replace=False, seed=3)[:]
    assert len(set(rows.tolist())) == 1_000
    assert rows.max() > 10**11


# --- many permutations at once ----------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(1, 300), st.integers(0, 2**64 - 1)), min_size=1, max_size=4))
def test_permutations_of_several_sizes_at_once_are_exact(kinds: list[tuple[int, int]]) -> None:
    sizes = np.concatenate([np.full(size, size) for size, _ in kinds])
    keys = np.concatenate([np.full(size, key, np.uint64) for size, key in kinds])
    found = permuted(np.concatenate([np.arange(size) for size, _ in kinds]), sizes, keys)
    for part, (size, _) in zip(np.split(found, np.cumsum([size for size, _ in kinds])[:-1]), kinds, strict=True):
        assert sorted(part.tolist()) == list(range(size))


@pytest.mark.parametrize("size", [2**k + more for k in (20, 31, 47, 53) for more in (-1, 0, 1)])
def test_permutations_of_huge_sizes_stay_inside_and_apart(size: int) -> None:
    values = np.concatenate([np.arange(500), size - 1 - np.arange(500)])
    found = permuted(values, np.full(1_000, size), np.full(1_000, 9, np.uint64))
    assert found.min() >= 0
    assert found.max() < size
    assert len(set(found.tolist())) == 1_000
    # With an even number of bits on either side it is the network of Permutation itself.
    assert np.array_equal(found, Permutation(size, 9).at(values))


def test_small_permutations_of_the_network_are_all_as_likely() -> None:
    num = 24 * 400
    values = np.tile(np.arange(4), num)
    found = permuted(values, np.full(len(values), 4), np.repeat(Bits(0).words(np.arange(num)), 4)).reshape(num, 4)
    counts = np.array(list(Counter(map(tuple, found.tolist())).values()))
    assert len(counts) == 24
    assert ((counts - 400) ** 2 / 400).sum() < 75  # 23 degrees of freedom: p > 1e-6


# --- exactness of the permutation: the sizes of the specification -----------------------------------------------------


@pytest.mark.parametrize("power", range(1, 21))
def test_permutations_next_to_powers_of_two_are_exact(power: int) -> None:
    for size in (2**power - 1, 2**power, 2**power + 1):
        seen = np.zeros(size, bool)
        seen[Permutation(size, power).at(np.arange(size))] = True
        assert seen.all()


def test_a_permutation_of_torchs_limit_and_one_is_exact() -> None:
    size = 2**24 + 1
    order, seen = Permutation(size, 5), np.zeros(size, bool)
    for start in range(0, size, 2**20):
        seen[order.at(np.arange(start, min(start + 2**20, size)))] = True
    assert seen.all()


@pytest.mark.parametrize("size", [65_537, 2**31 + 1, 2**53 + 1])
def test_the_first_and_last_index_of_sizes_where_others_fail(size: int) -> None:
    order = Permutation(size, 3)
    ends = np.array([0, 1, size - 2, size - 1])
    assert np.array_equal(order.position_of(order.at(ends)), ends)
    assert np.array_equal(order.at(order.position_of(ends)), ends)
    assert S.rows(size).plan()[order.position_of(ends)].dtype == np.int64
