"""Mixtures of laws over rows: shares in every block, a plan of its own for each part, the laws of the algebra."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtgen import sampling as S
from mtgen.errors import EmptySupportError, NoDensityError, PlanError
from mtgen.sampling import permutation
from mtgen.sampling.row_plans.base import RowSampler, Spread
from mtgen.sampling.row_plans.mixture import MixtureOrder, RowMixture, most_positions
from mtgen.sampling.row_plans.source import Source
from mtgen.sampling.row_plans.weighted import WeightedRows
from mtgen.sampling.row_plans.weights import weights_of

NUM = 60
seeds = st.integers(0, 2**32)
blocks = st.one_of(st.none(), st.integers(1, 40))


def part_of(which: int) -> RowSampler:
    """Rows 0 to 19, 20 to 39, 40 to 59; those of the last by weight."""
    if which == 2:
        return S.rows(weights=np.where(np.arange(NUM) >= 40, np.arange(NUM), 0))
    return S.rows(NUM).where(np.arange(NUM) // 20 == which)


def mixed(weights: list[float]) -> RowSampler:
    law = S.mix({str(which): weight & part_of(which) for which, weight in enumerate(weights)})
    assert isinstance(law, RowSampler)
    return law


weight_lists = st.lists(st.one_of(st.just(0.0), st.floats(0.01, 5)), min_size=3, max_size=3).filter(any)


# --- shares -----------------------------------------------------------------------------------------------------------


@given(weight_lists, st.integers(1, 200), st.integers(1, 40), seeds)
def test_every_block_has_its_shares(weights: list[float], size: int, block: int, seed: int) -> None:
    rows = mixed(weights).plan(size, seed=seed, block=block)[:]
    shares = np.array(weights) / sum(weights)
    for start in range(0, size, block):
        one = rows[start : start + block]
        counts = np.bincount(one // 20, minlength=3)
        # The short block at the end has shares of its own.
        assert (abs(counts - len(one) * shares) < 1 + 1e-6).all()


@given(weight_lists, st.integers(0, 200), blocks, st.sampled_from(["even", "iid"]), seeds)
def test_each_part_has_an_even_plan_of_its_own(
    weights: list[float], size: int, block: int | None, share: str, seed: int
) -> None:
    plan = mixed(weights).plan(size, seed=seed, block=block, share=share)  # type: ignore[arg-type]
    rows = plan[:]
    times = np.bincount(rows, minlength=NUM)
    for which in (0, 1):
        assert np.ptp(times[which * 20 : which * 20 + 20]) <= 1
    last = times[40:]
    due = last.sum() * np.arange(40, 60) / np.arange(40, 60).sum()
    assert (abs(last - due) < 1 + 1e-9).all()
    low, high = plan._order.bounds() or ((), ())
    assert ((times >= low) & (times <= high)).all()


@given(weight_lists, st.integers(1, 150), blocks, st.sampled_from(["even", "iid"]), seeds, st.data())
def test_any_position_alone_is_the_same_as_in_the_whole(
    weights: list[float], size: int, block: int | None, share: str, seed: int, data: st.DataObject
) -> None:
    law = mixed(weights)
    asked = data.draw(st.lists(st.integers(0, size - 1), min_size=1, max_size=10))
    for spread in ("even", "iid"):
        plan = law.plan(size, seed=seed, block=block, share=share, spread=spread)  # type: ignore[arg-type]
        assert np.array_equal(plan[asked], plan[:][asked])


def test_shares_by_chance_are_binomial_as_in_batchflow() -> None:
    law, size, epochs = 0.1 & part_of(0) | 0.9 & part_of(1), 64, 4_000
    counts = np.array([(law.plan(size, share="iid", epoch=epoch)[:] < 20).sum() for epoch in range(epochs)])
    assert abs(counts.mean() - 6.4) < 5 * np.sqrt(64 * 0.09 / epochs)
    assert abs(counts.var() - 64 * 0.09) < 0.6
    # Batches of 16 without any positive: .9**16 = 18.5 %; with shares kept in blocks there is none.
    whole = law.plan(160_000, share="iid", seed=3)[:].reshape(-1, 16)
    assert abs((whole >= 20).all(1).mean() - 0.9**16) < 5 * np.sqrt(0.185 * 0.815 / 10_000)
    kept = law.plan(160_000, block=16, seed=3)[:].reshape(-1, 16)
    assert (kept < 20).sum(1).min() == 1
    assert (kept < 20).sum(1).max() == 2


def test_numbers_of_a_part_over_epochs_are_its_share() -> None:
    law, epochs = 0.3 & part_of(0) | 0.7 & part_of(1), 2_000
    counts = np.array([(law.plan(35, block=8, epoch=epoch)[:] < 20).sum() for epoch in range(epochs)])
    assert abs(counts.mean() - 10.5) < 5 * np.sqrt(5 * 0.25 / epochs)


def test_the_order_of_each_part_is_made_once_an_epoch() -> None:
    """More parts than permutations are kept: each batch made those of all its parts again, 75 ms for 100 classes."""
    codes = np.arange(8_000) % 40
    law = S.mix({str(code): S.rows(8_000).where(codes == code) for code in range(40)})
    plan, before = law.plan(seed=5, block=80), permutation._ranks.cache_info().misses
    for start in range(0, 4_000, 80):
        plan[start : start + 80]
    assert permutation._ranks.cache_info().misses - before == 2 * 40  # of the positions, and of the rows of one weight
    assert len(pickle.dumps(plan)) < 8 * 8_000 * 4


def test_ranks_number_the_positions_of_each_part() -> None:
    law = mixed([1, 2, 3])
    assert isinstance(law, RowMixture)
    order = law.plan(1_003, block=10)._order
    assert isinstance(order, MixtureOrder)
    found, ranks = order.ranks(np.arange(1_003))
    for which in range(3):
        assert sorted(ranks[found == which].tolist()) == list(range(int(order.counts[which])))


# --- probabilities ----------------------------------------------------------------------------------------------------


@given(weight_lists)
def test_probabilities_are_the_parts_by_share(weights: list[float]) -> None:
    law = mixed(weights)
    shares = np.array(weights) / sum(weights)
    due = np.concatenate([np.full(20, shares[0] / 20), np.full(20, shares[1] / 20), shares[2] * part_of(2).prob[40:]])
    assert np.allclose(law.prob, due, rtol=1e-12, atol=0)
    assert abs(law.prob.sum() - 1) < 1e-12
    rows = np.array([[3], [25], [59], [60], [-1]])
    with np.errstate(divide="ignore"):
        assert np.allclose(law.log_prob(rows), np.log([due[3], due[25], due[59], 0, 0]), rtol=1e-12)


def test_drawn_shares_are_the_probabilities() -> None:
    law, size = mixed([0.2, 0.5, 0.3]), 200_000
    for rows in (law.plan(size, spread="iid", share="iid")[:], law.sample(size, seed=3)[:, 0]):
        times = np.bincount(rows, minlength=NUM)
        assert (abs(times - size * law.prob) <= 5 * np.sqrt(size * law.prob)).all()


def test_importance_undoes_the_law() -> None:
    law = mixed([0.2, 0.5, 0.3])
    loss = np.random.default_rng(0).random(NUM)
    weights = law.importance()
    assert weights.dtype == np.float32
    rows = law.plan(200_000)[:]
    mean = (loss[rows] * weights[rows]).mean()
    reached = law.prob > 0
    assert abs(mean - (loss * reached).sum() / NUM) < 1e-3
    assert np.array_equal(law.importance([3, 59, 60]), [*weights[[3, 59]], 0])


def test_importance_gives_the_mean_over_the_rows_that_can_come() -> None:
    """Rows that never come were counted once, so that the loss came out smaller by their share."""
    assert part_of(0).importance().tolist() == [1] * 20 + [0] * 40
    law, loss = mixed([0.2, 0.8, 0]), np.random.default_rng(0).random(NUM)
    rows, weights = law.plan(200_000)[:], law.importance()
    assert abs((loss[rows] * weights[rows]).mean() - loss[:40].mean()) < 1e-3
    with pytest.raises(PlanError, match="importance needs a list of integer rows"):
        law.importance([0.5])
    with pytest.raises(PlanError, match=r"place 1 has the probability .* whose weight is beyond float32"):
        (S.rows(weights=[1, 0]) | 1e-300 & S.rows(weights=[0, 1])).importance()


# --- algebra ----------------------------------------------------------------------------------------------------------


def test_laws_of_the_algebra() -> None:
    a, b, c = (part_of(which) for which in range(3))
    assert (a | b) | c == a | (b | c) == S.mix(a, b, c)
    assert (0 & a | b) == b
    assert (0.5 & (0.4 & a)) == (0.2 & a)
    assert (0.15 & (a | b) | 0.7 & c).weight == pytest.approx(1.0)
    assert np.allclose((0.1 & (a | 3 & b) | 0.6 & c).prob[[0, 20]], [0.1 / 20, 0.3 / 20])
    with pytest.raises(EmptySupportError, match="all weights of the mixture are 0"):
        0 & a | 0 & b
    assert isinstance(a | b, RowSampler)
    assert not isinstance(a | S.constant(1), RowSampler)


def test_conditions_on_a_mixture_change_its_shares_unless_each_part_has_them() -> None:
    law = 0.5 & part_of(0) | 0.5 & part_of(1)
    some = np.isin(np.arange(NUM), [0, 20, 21, 22])
    assert np.allclose(law.where(some).prob[[0, 20]], [1 / 4, 1 / 4])
    assert np.allclose(law.where(some, each=True).prob[[0, 20]], [1 / 2, 1 / 6])
    assert np.allclose(law.truncate(high=22, low=19).prob[[19, 20]], [1 / 4, 1 / 4])
    assert np.allclose(law.truncate(expr=lambda rows: rows[:, 0] % 20 == 0).prob[[0, 20]], [1 / 2, 1 / 2])
    assert law.where(some).weight == law.weight
    with pytest.raises(EmptySupportError, match="no row that can come meets the condition"):
        law.where(np.arange(NUM) >= 40)
    with pytest.raises(EmptySupportError, match=r"no row of .* meets the condition of truncate"):
        law.truncate(low=50, high=55)
    with pytest.raises(PlanError, match="truncate needs a bound or expr"):
        law.truncate()


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: S.rows(3) | S.rows(4), "must be over rows of one table; received 3 and 4 rows"),
        (lambda: S.rows(), "S.rows needs a number of rows or weights"),
        (lambda: S.rows(0), "n must be an integer >= 1, received 0"),
        (lambda: S.rows(3, weights=[1, 2]), "one weight for each of 3 rows, received 2"),
        (lambda: S.rows(3).where([True, False]), "must have one entry for each of 3 rows, received 2"),
        (lambda: S.rows(3).where([1, 0, 1]), "a condition must be True or False for each row, received int64"),
        (lambda: S.rows(3).where("a > 1"), "a condition in words needs a table: use data.rows"),
        (lambda: S.rows(3).where(5), "a condition must have one dimension, received 5"),
        (lambda: S.rows(3).sized(0), "size must be an integer >= 1, received 0"),
        (lambda: S.rows(3).plan(-1), "size must be an integer >= 0, received -1"),
        (lambda: S.rows(3).plan(2.0), "size must be an integer >= 0, received 2.0"),  # type: ignore[arg-type]
        (lambda: S.rows(3).plan(spread="odd"), 'spread must be "even" or "iid", received \'odd\''),  # type: ignore[arg-type]
        (lambda: S.rows(3).plan(share="odd"), 'share must be "even" or "iid"'),  # type: ignore[arg-type]
        (lambda: S.rows(3).plan(block=0), "block must be an integer >= 1 or None, received 0"),
        (lambda: S.rows(3).plan(replace=0), "replace must be True, False or None, received 0"),  # type: ignore[arg-type]
        (lambda: S.rows(3).plan(seed=-1), "seed must be an integer >= 0"),
        (lambda: S.rows(3).plan(shard=(2, 2)), "shard needs 0 <= index < count, received index=2, count=2"),
        (lambda: S.rows(3).plan(shard=3), "shard must be"),
        (lambda: S.rows(3).probability([0.5]), "probability needs a list of integer rows"),
    ],
)
def test_what_cannot_be_followed_is_refused(build: Callable[[], object], message: str) -> None:
    with pytest.raises(PlanError, match=message):
        build()


def test_a_part_without_replacement_refuses_a_share_that_it_has_not() -> None:
    few = WeightedRows(Source(NUM), weights_of((np.arange(NUM) < 20).astype(int)), replace=False)
    law = 0.5 & few | 0.5 & part_of(1)
    assert len(set(law.plan(40, block=4)[:].tolist())) == 40
    with pytest.raises(PlanError, match="there are 20 rows to draw, 30 positions were asked for"):
        law.plan(60, block=4)
    with pytest.raises(NoDensityError):
        law.prob  # noqa: B018


@given(st.floats(0.001, 0.999), st.integers(1, 300), blocks, st.sampled_from(["even", "iid"]), seeds)
def test_no_epoch_gives_a_part_more_positions_than_were_checked(
    share: float, size: int, block: int | None, evenness: Literal["even", "iid"], seed: int
) -> None:
    law = share & part_of(0) | (1 - share) & part_of(1)
    most = most_positions(share, size, Spread(block=block, share=evenness))
    assert share * size <= most <= size
    assert most <= share * size + 1 or block is not None or evenness == "iid"
    for epoch in range(3):
        order = law.plan(size, seed=seed, epoch=epoch, block=block, share=evenness).order
        assert isinstance(order, MixtureOrder)
        assert order.counts[0] <= most


def test_a_part_that_would_run_out_of_rows_in_some_epoch_is_refused_in_all() -> None:
    """It was looked at by its mean share, and the epoch in which blocks rounded up more often ended the training."""
    few = WeightedRows(Source(1000), weights_of((np.arange(1000) < 100).astype(int)), replace=False)
    law = 0.1 & few | 0.9 & S.rows(1000)
    with pytest.raises(PlanError, match="there are 100 rows to draw, 109 positions were asked for"):
        S.RowOrderLaw(law, block=64)
    fits = S.RowOrderLaw(law.sized(900), block=64)
    for epoch in range(20):
        fits.order(1000, seed=0, epoch=epoch)
    cut = replace(few, clamp=True)
    with pytest.raises(PlanError, match=r"has a share of 0.1 in 1000 positions, up to 109 of them in some epochs"):
        S.RowOrderLaw(0.1 & cut | 0.9 & S.rows(1000), block=64)


@given(weight_lists, st.integers(0, 10), seeds)
def test_defect_b19_of_batchflow_points_have_a_prefix(weights: list[float], first: int, seed: int) -> None:
    for law in (mixed(weights), S.rows(weights=np.arange(NUM))):
        pieces = [law.sample(first, seed=seed), law.sample(10 - first, seed=seed, start=first)]
        assert np.array_equal(law.sample(10, seed=seed), np.concatenate(pieces))
    raced = WeightedRows(Source(NUM), weights_of(np.arange(NUM)), replace=False)
    assert np.array_equal(raced.sample(10, seed=seed)[first:], raced.sample(10 - first, seed=seed, start=first))
    with pytest.raises(PlanError, match="draws without replacement: it has 59 points, asked for more"):
        raced.sample(60)


@pytest.mark.parametrize("weight", [-1, np.nan, np.inf, True, "1"])
def test_defect_b14_of_batchflow_wrong_weights_are_refused_at_once(weight: object) -> None:
    with pytest.raises((PlanError, TypeError)):
        weight & S.rows(3)
    with pytest.raises(PlanError, match="weights must be"):
        S.rows(weights=[1, weight])


def test_ids_above_2_to_the_53_survive() -> None:
    law = S.rows(2**60)
    rows = law.plan(seed=1)[:50]
    assert rows.dtype == np.int64
    assert (rows % 2 == 1).any()
    assert rows.max() > 2**57
    assert law.sample(50, seed=1).dtype == np.int64
