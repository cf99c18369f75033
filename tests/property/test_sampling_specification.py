"""The specification's statistics: worked values of over- and undersampling, systematic draws, permutations, streams."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pandas as pd
import pytest

import mtgen
from mtgen import sampling as S
from mtgen.sampling.bits import Bits
from mtgen.sampling.order import Order
from mtgen.sampling.permutation import Permutation
from mtgen.sampling.row_plans.balanced import BalancedRows
from tests.support.statistics import assert_counts_fit

# --- over- and undersampling ------------------------------------------------------------------------------------------


def dataset(counts: list[int]) -> mtgen.Dataset:
    labels = np.random.default_rng(3).permutation(np.repeat(np.arange(len(counts)), counts))
    return mtgen.Dataset(pd.DataFrame({"label": labels}), {"label": mtgen.Columns("label")})


WORKED = [
    (0.9, 0.5, [9000, 900, 100], [0.6086, 3.2492, 23.4742], [5477.2, 2924.3, 2347.4], [0.5096, 0.2721, 0.2184]),
    (1, 1, [9000, 900, 100], [0.3704, 3.7037, 33.3333], [3333.3] * 3, [0.3333] * 3),
    (1, 0, [9000, 900, 100], [1, 3.7037, 33.3333], [9000, 3333.3, 3333.3], [0.5745, 0.2128, 0.2128]),
    (0, 1, [9000, 900, 100], [0.3704, 1, 1], [3333.3, 900, 100], [0.7692, 0.2077, 0.0231]),
    (0, 0, [9000, 900, 100], [1, 1, 1], [9000, 900, 100], [0.9, 0.09, 0.01]),
    (0.9, 0.5, [990_000, 10_000], [0.71067, 33.81217], [703_562, 338_122], [0.6754, 0.3246]),
]


@pytest.mark.parametrize(("over", "under", "counts", "each", "rows", "shares"), WORKED)
def test_an_epoch_has_the_worked_values(
    over: float, under: float, counts: list[int], each: list[float], rows: list[float], shares: list[float]
) -> None:
    data = dataset(counts)
    labels = data.table["label"].to_numpy()
    law = data.rows.balanced("label", over=over, under=under)
    assert list(law.multiplicities.values()) == pytest.approx(each, abs=5e-5)
    plan = law.plan(seed=1)[:]
    times = np.bincount(plan, minlength=len(labels))
    drawn = np.bincount(labels, weights=times)
    # Whole rows near the expected ones, which are given to a digit; and the length is the nearest to their sum.
    assert (abs(drawn - rows) < 1 + 0.5).all()
    assert abs(len(plan) - sum(rows)) < 0.5 + 0.2
    assert (drawn / len(plan)).round(4) == pytest.approx(shares, abs=2e-4)
    multiplicity = np.array(list(law.multiplicities.values()))[labels]
    assert (times >= np.floor(multiplicity + 1e-9)).all()
    assert (times <= np.ceil(multiplicity - 1e-9)).all()


@pytest.mark.parametrize(("over", "under", "counts"), [one[:3] for one in WORKED])
def test_the_stream_of_tf_data_has_the_plans_mean_and_more_spread(over: float, under: float, counts: list[int]) -> None:
    """The seed itself, simulated: floor(r) copies and one more by chance, each kept by chance."""
    sizes = np.array(counts)
    ratios = sizes.sum() / (len(counts) * sizes)
    copies, kept = np.maximum(ratios**over, 1), np.minimum(ratios**under, 1)
    rng = np.random.default_rng(7)
    plan = dataset(counts).rows.balanced("label", over=over, under=under)
    assert isinstance(plan, BalancedRows)
    for number, size in enumerate(counts):
        r, a = copies[number], kept[number]
        fraction = r - np.floor(r)
        made = np.floor(r).astype(int) + (rng.random(size) < fraction)
        stream = rng.binomial(made, a).sum()
        variance = size * (a**2 * fraction * (1 - fraction) + a * (1 - a) * r)
        assert abs(stream - plan.expected[number]) <= 5 * np.sqrt(variance) + 1e-6
        assert plan.expected[number] == pytest.approx(size * r * a)


def test_a_class_of_target_zero_never_comes() -> None:
    law = dataset([30, 10]).rows.balanced("label", target={0: 0.0, 1: 1.0}, over=1, under=1)
    labels = law.source.table["label"].to_numpy() if law.source.table is not None else np.empty(0)
    for epoch in range(200):
        assert labels[law.plan(epoch=epoch)[:]].all()
    assert law.probability(np.flatnonzero(labels == 0)).tolist() == [0.0] * 30


# --- several datasets -------------------------------------------------------------------------------------------------


def part(first: int, num: int) -> mtgen.Dataset:
    return mtgen.Dataset(pd.DataFrame({"a": np.arange(first, first + num)}), {"a": mtgen.Columns("a")})


def test_shares_of_datasets_hold_to_the_last_batch_though_one_is_short() -> None:
    """`sample_from_datasets` goes on with the others when one ends, so that the mix drifts."""
    both = mtgen.join({"long": part(0, 1000), "short": part(5000, 10), "none": part(9000, 5)})
    law = both.mix({"long": 7, "short": 1, "none": 0}).sized(800)
    loader = mtgen.Loader(both, 16, sampler=law, seed=2, num_workers=0)
    for step in range(loader.steps_per_epoch):
        rows = loader.rows(step)
        assert ((rows >= 1000) & (rows < 1010)).sum() == 2
        assert rows.max() < 1010


class Choose:
    """`choose_from_datasets`: the part of each position is said, its rows come in turn. An order of one's own."""

    def __init__(self, parts: list[np.ndarray], choice: list[int]) -> None:
        self.parts, self.choice = parts, np.array(choice)

    def size(self, num_rows: int) -> int:
        return len(self.choice)

    def order(self, num_rows: int, *, seed: int, epoch: int) -> Order:
        return self

    def at(self, positions: np.ndarray) -> np.ndarray:
        before = np.cumsum(self.choice[:, None] == np.arange(len(self.parts)), axis=0)
        numbers = before[positions, self.choice[positions]] - 1
        chosen = zip(self.choice[positions].tolist(), numbers.tolist(), strict=True)
        return np.array([self.parts[which][number % len(self.parts[which])] for which, number in chosen], np.int64)

    def settings(self) -> dict[str, Any]:
        return {"law": "choose", "choice": self.choice.tolist()}


def test_choosing_from_datasets_is_an_order_of_ones_own() -> None:
    both = mtgen.join({"one": part(0, 3), "two": part(10, 4)})
    law = Choose([both.parts["one"], both.parts["two"]], [0, 1, 1, 0, 1, 1, 0, 1])
    loader = mtgen.Loader(both, 4, sampler=law, num_workers=0)
    assert [batch.inputs["a"].ravel().tolist() for batch in loader.epoch(0)] == [[0, 10, 11, 1], [12, 13, 2, 10]]
    loader.restore(loader.state(1))
    assert next(iter(loader.steps())).rows.tolist() == loader.rows(1).tolist()


# --- systematic draws -------------------------------------------------------------------------------------------------


def test_systematic_draws_have_inclusion_in_proportion() -> None:
    """Not so the race: .235 .441 .608 .716, see the test of the race."""
    law, epochs, included = S.rows(weights=[1, 2, 3, 4]), 4000, np.zeros(4)
    for epoch in range(epochs):
        rows = law.plan(2, epoch=epoch)[:]
        assert len(set(rows.tolist())) == 2
        included[rows] += 1
    due = np.array([0.2, 0.4, 0.6, 0.8])
    assert (abs(included / epochs - due) < 5 * np.sqrt(due * (1 - due) / epochs)).all()


def test_systematic_counts_of_many_rows_are_floor_or_ceil() -> None:
    rng = np.random.default_rng(0)
    weights = rng.random(100_000) * (rng.random(100_000) > 0.3)
    size = 250_000
    counts = np.bincount(S.rows(weights=weights).plan(size, seed=4)[:], minlength=len(weights))
    due = size * weights / weights.sum()
    assert ((counts >= np.floor(due)) & (counts <= np.ceil(due))).all()
    assert not counts[weights == 0].any()


def test_a_race_of_many_rows_has_a_time_of_its_own_for_each() -> None:
    law, epochs, num = S.rows(weights=[1, 2, 3, 4] * 15), 2000, 60
    came = np.zeros((epochs, num))
    for epoch in range(epochs):
        came[epoch, law.plan(12, replace=False, epoch=epoch)[:]] = 1
    for kind in range(4):
        assert_counts_fit(came[:, kind::4].sum(axis=0), np.ones(15))
    assert (np.diff(came.mean(axis=0).reshape(15, 4).mean(axis=0)) > 0).all()
    found = np.asarray(np.corrcoef(came.T))[np.triu_indices(num, 1)]
    # A place that one row takes is one less for the others: of 60 rows by 1 / 59 on average, more for heavy ones.
    assert abs(found + 1 / 59).max() < 5.5 / np.sqrt(epochs) + 0.02


def test_light_neighbours_exclude_each_other_in_an_epoch_and_not_over_epochs() -> None:
    law = S.rows(weights=[0.3, 0.3, 2.4])
    seen = [set(law.plan(3, epoch=epoch)[:].tolist()) & {0, 1} for epoch in range(300)]
    assert all(len(one) <= 1 for one in seen)
    assert {frozenset(one) for one in seen} == {frozenset(), frozenset({0}), frozenset({1})}


# --- permutations -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [2**power + more for power in (21, 22, 23, 24) for more in (-1, 0, 1)])
def test_permutations_next_to_the_larger_powers_of_two_are_exact(size: int) -> None:
    order, seen = Permutation(size, size), np.zeros(size, bool)
    for start in range(0, size, 2**20):
        seen[order.at(np.arange(start, min(start + 2**20, size)))] = True
    assert seen.all()


def test_fixed_points_are_as_many_and_as_spread_as_in_a_random_permutation() -> None:
    size, keys = 100_003, 60
    fixed = np.array(
        [
            (Permutation(size, Bits(key).key("fixed")).at(np.arange(size)) == np.arange(size)).sum()
            for key in range(keys)
        ]
    )
    assert abs(fixed.mean() - 1) < 5 / np.sqrt(keys)
    assert abs(fixed.var() - 1) < 5 * np.sqrt(3 / keys)  # of Poisson(1): the fourth central moment is 4


# --- determinism ------------------------------------------------------------------------------------------------------


def test_adjacent_seeds_epochs_streams_and_names_are_unrelated() -> None:
    num, places = 4096, np.arange(4096)
    drawn = [
        Bits(seed, epoch, stream).uniforms(places, name)
        for seed in range(4)
        for epoch in range(4)
        for stream in ("", "/rows")
        for name in (0, 1)
    ]
    found = np.corrcoef([*drawn, *(one[1:].tolist() + one[:1].tolist() for one in drawn)])
    assert abs(found - np.eye(len(found))).max() < 5.5 / np.sqrt(num)
    for one in drawn:
        assert_counts_fit(np.histogram(one, 16, (0, 1))[0], np.ones(16))


def test_threads_and_pieces_change_no_point() -> None:
    law = (0.3 & S.normal(dim=2) | 0.7 & S.gamma(2, dim=2)).truncate(expr=lambda x: x.sum(axis=1) > 1) + S.uniform(
        dim=2
    )
    whole = law.sample(400, seed=5, epoch=2)
    with ThreadPoolExecutor(8) as pool:
        parts = pool.map(lambda start: law.sample(8, seed=5, epoch=2, start=start), range(0, 400, 8))
        assert np.array_equal(np.concatenate(list(parts)), whole)


def of_row(row: int) -> S.Sampler:
    return S.uniform(row, row + 1, dim=2).truncate(expr=lambda x: x[:, 0] > row + 0.9)


@pytest.mark.parametrize("points", [S.normal(dim=2), of_row], ids=["one law", "a law for each row"])
def test_the_rows_of_a_dependent_product_are_those_of_the_rows_alone(points: Any) -> None:
    weights = np.array([1, 0, 3, 2, 4])
    drawn = (S.rows(weights=weights) @ points).sample(4000, seed=6)
    assert_counts_fit(np.bincount(drawn[:, 0].astype(int), minlength=5), weights)
    moved = drawn[:, 1] - (drawn[:, 0] if points is of_row else 0)
    assert abs(np.corrcoef(drawn[:, 0], moved)[0, 1]) < 5 / np.sqrt(4000)
    law = part(0, 50).rows.weighted(np.arange(50.0))
    taken = mtgen.Dataset(part(0, 50).table, {"p": mtgen.Patches(np.ones((9, 9)), None, (1, 1))})
    alone = mtgen.Loader(part(0, 50), 10, sampler=law, seed=3, num_workers=0).rows(2)
    assert np.array_equal(alone, mtgen.Loader(taken, 10, sampler=law @ points, seed=3, num_workers=0).rows(2))


# --- size -------------------------------------------------------------------------------------------------------------


def test_twenty_million_weights_in_a_plan() -> None:
    """torch ends at 2**24 weights, and near it its float32 sums are wrong."""
    num = 20_000_000
    weights = np.ones(num, np.int8)
    weights[::3] = 0
    weights[-5:] = [0, 90, 0, 0, 7]
    law = S.rows(weights=weights)
    plan = law.plan(seed=1)
    assert len(plan) == num
    places = np.random.default_rng(0).integers(0, num, 200_000)
    some = plan[places]
    assert (weights[some] > 0).all()
    assert some.max() > 2**24
    assert (np.histogram(some, 20, (0, num))[0] > 9_000).all()
    assert plan[17:19].tolist() == plan[[17, 18]].tolist()
    rows = law.plan(1_000_000, seed=2)[:]
    assert len(np.unique(rows)) > 999_000 - 90
    assert (weights[rows] > 0).all()
    assert (rows == num - 4).sum() in (6, 7)  # 90 of 13,333,427 ticks, of a million draws
    few = law.plan(50, replace=False, seed=3)[:]
    assert len(set(few.tolist())) == 50
    assert (weights[few] > 0).all()


def peak_bytes(make: Callable[[], object]) -> int:
    """What is held at most while something is made, beyond what was before."""
    tracemalloc.start()
    try:
        made = make()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        del made


def test_ten_billion_rows_are_shuffled_in_no_memory() -> None:
    plan = S.rows(10**10).plan(seed=1)
    assert len(plan) == 10**10
    assert peak_bytes(lambda: S.rows(10**10).plan(seed=2)[10**9 : 10**9 + 256]) < 1 << 20
    rows = plan[10**9 : 10**9 + 256]
    assert len(set(rows.tolist())) == 256
    assert_counts_fit(np.histogram(plan[: 1 << 14], 16, (0, 10**10))[0], np.ones(16))


def test_weights_take_no_more_than_twice_their_sums_beside_them() -> None:
    num = 4_000_000
    weights = np.random.default_rng(0).random(num)
    sums = 8 * num
    assert peak_bytes(lambda: S.rows(weights=weights)) < 3 * sums + (40 << 20)  # and parts of 2**20 rows
