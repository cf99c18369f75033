"""Balanced classes: the worked values, floor or ceil copies of each row, exact counts, copies spread over the epoch."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtgen.errors import EmptySupportError, PlanError
from mtgen.sampling.bits import Bits
from mtgen.sampling.row_plans import balance
from mtgen.sampling.row_plans.balanced import BalancedRows, balanced, joint_classes
from mtgen.sampling.row_plans.classes import PART_POSITIONS, ClassOrder, Members
from mtgen.sampling.row_plans.source import Source

THREE = np.array([9_000, 900, 100])


def law_of(labels: Any, **settings: Any) -> BalancedRows:
    return balanced(Source(len(labels)), [labels], ["label"], **settings)


# --- multiplicities ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("over", "under", "each", "rows", "ratio", "shares"),
    [
        (0.9, 0.5, [0.6086, 3.2492, 23.4742], [5477.2, 2924.3, 2347.4], 1.0749, [0.5096, 0.2721, 0.2184]),
        (1, 1, [0.3704, 3.7037, 33.3333], [3333.3] * 3, 1, [0.3333] * 3),
        (1, 0, [1, 3.7037, 33.3333], [9000, 3333.3, 3333.3], 1.5667, [0.5745, 0.2128, 0.2128]),
        (0, 1, [0.3704, 1, 1], [3333.3, 900, 100], 0.4333, [0.7692, 0.2077, 0.0231]),
        (0, 0, [1, 1, 1], [9000, 900, 100], 1, [0.9, 0.09, 0.01]),
    ],
)
def test_worked_values_of_three_classes(
    over: float, under: float, each: list[float], rows: list[float], ratio: float, shares: list[float]
) -> None:
    found = balance.multiplicities(THREE, np.full(3, 1 / 3), over, under)
    expected = THREE * found
    assert found.round(4).tolist() == each
    assert expected.round(1).tolist() == rows
    assert round(expected.sum() / THREE.sum(), 4) == ratio
    assert (expected / expected.sum()).round(4).tolist() == shares


def test_worked_values_of_two_classes() -> None:
    counts = np.array([990_000, 10_000])
    found = balance.multiplicities(counts, np.array([0.5, 0.5]), 0.9, 0.5)
    assert found.round(5).tolist() == [0.71067, 33.81217]
    assert (counts * found).round().tolist() == [703_562, 338_122]
    assert (counts * found / (counts * found).sum()).round(4).tolist() == [0.6754, 0.3246]


def test_a_target_of_0_means_never_unless_nothing_is_left_out() -> None:
    counts, targets = np.array([5, 5]), np.array([0.0, 1.0])
    assert balance.multiplicities(counts, targets, 1, 1).tolist() == [0, 2]
    assert balance.multiplicities(counts, targets, 0, 0.1).tolist() == [0, 1]
    assert balance.multiplicities(counts, targets, 1, 0).tolist() == [1, 2]
    assert balance.multiplicities(counts, targets, 0, 0).tolist() == [1, 1]


# --- plans ------------------------------------------------------------------------------------------------------------

class_sizes = st.lists(st.integers(1, 40), min_size=1, max_size=5)
coefficients = st.sampled_from([0, 0.3, 0.5, 0.9, 1])


@given(class_sizes, coefficients, coefficients, st.integers(0, 2**32), st.randoms(use_true_random=False))
def test_each_row_comes_floor_or_ceil_of_its_multiplicity(
    sizes: list[int], over: float, under: float, seed: int, random: Any
) -> None:
    labels = np.repeat(np.arange(len(sizes)), sizes)
    random.shuffle(labels)
    law = law_of(labels, over=over, under=under)
    plan = law.plan(seed=seed)
    counts = np.bincount(plan[:], minlength=len(labels))
    each = np.array([law.multiplicities[label] for label in labels.tolist()])
    assert (counts >= np.floor(each + 1e-9)).all()
    assert (counts <= np.ceil(each - 1e-9)).all()
    assert abs(len(plan) - each.sum()) <= 0.5 + 1e-6
    low, high = plan._order.bounds() or ((), ())
    assert ((counts >= low) & (counts <= high)).all()
    per_class = np.bincount(labels, weights=counts)
    assert (abs(per_class - np.array(sizes) * [law.multiplicities[c] for c in range(len(sizes))]) < 1 + 1e-6).all()


def test_the_length_is_that_of_every_epoch_and_shares_are_right_over_epochs() -> None:
    labels = np.repeat([0, 1, 2, 3], [7, 5, 3, 2])
    law, epochs = law_of(labels, over=0.7, under=0.6), 1_000
    plans = [law.plan(epoch=epoch) for epoch in range(epochs)]
    assert {len(plan) for plan in plans} == {law.epoch_size}
    totals = np.sum([np.bincount(plan[:], minlength=len(labels)) for plan in plans], axis=0) / epochs
    each = np.array([law.multiplicities[label] for label in labels.tolist()])
    # The fixed length moves the classes by less than a row, together; within a class rows are alike.
    for label in range(4):
        own = totals[labels == label]
        assert abs(own.sum() - each[labels == label].sum()) < 0.5
        assert np.ptp(own) < 10 * 0.5 / np.sqrt(epochs)


def test_no_row_is_left_out_in_every_epoch() -> None:
    # Systematic picking along the table with a fixed length would: of two neighbours with 1/2 always the same one.
    labels = np.repeat([0, 1], [1_001, 10])
    law = law_of(labels, over=0, under=0.5, target={0: 0.25, 1: 0.75})
    times = np.zeros(len(labels))
    for epoch in range(60):
        times += np.bincount(law.plan(epoch=epoch)[:], minlength=len(labels))
    each = law.multiplicities[0]
    assert 0.4 < each < 0.6
    assert (abs(times[labels == 0] / 60 - each) < 5.5 * np.sqrt(each * (1 - each) / 60)).all()


def test_rounding_keeps_the_sum_and_each_count() -> None:
    rng = np.random.default_rng(0)
    for _ in range(300):
        expected = rng.random(6) * rng.choice([1, 10, 1000], 6) * rng.integers(0, 2, 6)
        for offset in (0.0, 0.3, 1 - 2**-53):
            found = balance.rounded_counts(expected, offset, rng.permutation(6))
            assert found.sum() == balance.num_rounded(expected)
            assert abs(found.sum() - expected.sum()) <= 0.5 + 1e-6
            assert ((found >= np.floor(expected)) & (found <= np.ceil(expected))).all()


def test_numbers_that_rounding_keeps_from_being_whole_are_whole() -> None:
    assert balance.whole_part(np.array([3 - 1e-12, 3 + 1e-12, 2.5, 0.0, 1e9 - 1e-7])).tolist() == [3, 3, 2, 0, 10**9]


def test_equal_shares_of_as_many_rows() -> None:
    labels = np.repeat([0, 1, 2], THREE)
    law = law_of(labels, over=1, under=1)
    counts = np.bincount(labels[law.plan()[:]])
    assert law.epoch_size == 10_000
    assert sorted(counts.tolist()) == [3333, 3333, 3334]


@given(st.lists(st.integers(0, 90), min_size=1, max_size=4).filter(any), st.integers(0, 2**32))
def test_counts_are_exact_and_rows_of_a_class_alike(wanted: list[int], seed: int) -> None:
    labels = np.repeat(np.arange(len(wanted)), np.arange(len(wanted)) + 2)
    rows = law_of(labels, counts=dict(enumerate(wanted))).plan(seed=seed)[:]
    assert np.bincount(labels[rows], minlength=len(wanted)).tolist() == wanted
    times = np.bincount(rows, minlength=len(labels))
    assert all(np.ptp(times[labels == label]) <= 1 for label in range(len(wanted)))


@pytest.mark.filterwarnings("ignore:exact=True")  # some classes' shares are below a row
@given(class_sizes, st.data())
def test_the_largest_subset_with_exact_shares(sizes: list[int], data: st.DataObject) -> None:
    parts = data.draw(st.lists(st.integers(0, 5), min_size=len(sizes), max_size=len(sizes)).filter(any))
    labels = np.repeat(np.arange(len(sizes)), sizes)
    targets = np.array(parts) / sum(parts)
    law_settings = {"target": dict(enumerate(targets.tolist())), "exact": True}
    size = min(n / t for n, t in zip(sizes, targets, strict=True) if t)
    if all(int(size * t + 1e-9) == 0 for t in targets):
        with pytest.raises(EmptySupportError, match="leave no row at all"):
            law_of(labels, **law_settings)
        return
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "exact=True: .* never come", UserWarning)
        rows = law_of(labels, **law_settings).plan()[:]
    counts = np.bincount(labels[rows], minlength=len(sizes))
    assert len(set(rows.tolist())) == len(rows)
    assert (abs(counts - size * targets) < 1).all()
    # The class that limits it comes whole: a larger subset would need rows that are not there.
    assert any(n == have for n, have, t in zip(counts.tolist(), sizes, targets, strict=True) if t)


def test_issue_28598_half_and_half_of_1500_and_300() -> None:
    # tf.data's rejection_resample gave counts of 1500 to 600 there, by mixing two streams to their ends.
    labels = np.repeat([0, 1], [1500, 300])
    assert np.bincount(labels[law_of(labels, exact=True).plan()[:]]).tolist() == [300, 300]
    assert np.bincount(labels[law_of(labels, over=1, under=1).plan()[:]]).tolist() == [900, 900]


# --- copies -----------------------------------------------------------------------------------------------------------


def test_copies_of_a_row_come_in_passes_one_after_the_other() -> None:
    labels = np.repeat([0, 1], [50_000, 1_000])
    law = law_of(labels, counts={0: 50_000, 1: 10_000})
    rows = law.plan()[:]
    places = np.flatnonzero(labels[rows] == 1)
    order = np.lexsort((places, rows[places]))
    of_row = places[order].reshape(1_000, 10)
    # The k-th copy of each row stands in the k-th tenth of the epoch, to within a part.
    edges = np.arange(11) * 6_000
    assert (of_row >= edges[:-1] - 2 * PART_POSITIONS).all()
    assert (of_row < edges[1:] + 2 * PART_POSITIONS).all()
    whole = np.array([len(set(rows[places[k * 1_000 : (k + 1) * 1_000]].tolist())) for k in range(10)])
    assert (whole > 700).all()  # but for a part at either end, each row once
    batches = np.array(
        [np.bincount(rows[start : start + 64], minlength=51_000).max() for start in range(0, 59_968, 64)]
    )
    # Random places would bring a row twice into some 50 of 937 batches; here only passes that meet in a part can.
    assert (batches > 1).sum() <= 14


def test_shares_hold_all_through_the_epoch() -> None:
    labels = np.repeat([0, 1, 2], [30_000, 3_000, 300])
    law = law_of(labels)
    rows = law.plan()[:]
    sums = np.cumsum(labels[rows][:, None] == np.arange(3), axis=0)
    due = (np.arange(len(rows)) + 1)[:, None] * law.expected / law.expected.sum()
    # Inside a part places are random: less than its spread, and about one position for each class before it.
    assert abs(sums - due).max() < 5 * np.sqrt(PART_POSITIONS) / 2 + 3


@given(st.integers(1, 5), st.integers(0, 2**32), st.data())
def test_any_position_alone_is_the_same_as_in_the_whole(num: int, seed: int, data: st.DataObject) -> None:
    members = Members(np.arange(30) % num, num)
    counts = np.array(data.draw(st.lists(st.integers(0, 3_000), min_size=num, max_size=num)))
    order = ClassOrder(members, counts, Bits(seed))
    whole = order.at(np.arange(order.size))
    assert np.bincount(whole % num, minlength=num).tolist() == counts.tolist()
    if order.size:
        asked = np.array(data.draw(st.lists(st.integers(0, order.size - 1), min_size=1, max_size=20)))
        assert np.array_equal(order.at(asked), whole[asked])


def test_independent_draws_have_the_shares_of_the_plan() -> None:
    labels = np.repeat([0, 1, 2], [60, 30, 10])
    law, size = law_of(labels), 100_000
    for rows in (law.plan(size, spread="iid")[:], law.sample(size, seed=1)[:, 0]):
        times = np.bincount(rows, minlength=100)
        assert (abs(times - size * law.prob) < 5 * np.sqrt(size * law.prob)).all()


# --- classes ----------------------------------------------------------------------------------------------------------


def test_classes_of_several_columns_are_tuples() -> None:
    codes, classes = joint_classes([["b", "a", "b", "a"], [1, 1, 2, 1]], ["kind", "year"])
    assert classes == [("a", 1), ("b", 1), ("b", 2)]
    assert codes.tolist() == [1, 0, 2, 0]
    mixed, found = joint_classes([[1, "a", 1]], ["label"])
    assert (mixed.tolist(), found) == ([0, 1, 0], [1, "a"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"target": {"a": 0.5, "b": 0.3, "c": 0.2}}, "target: there are no rows of class 'c', so it cannot have 0.2"),
        ({"target": {"a": 1.0}}, "target must say something of every class; class 'b' with 2 rows is not named"),
        ({"target": {"a": 0.5, "b": 0.6}}, "target: the shares must sum to 1, received 1.1"),
        ({"target": {"a": -0.5, "b": 1.5}}, "the share of class 'a' must be a number from 0 to 1, received -0.5"),
        ({"target": {"a": np.nan, "b": 1}}, "the share of class 'a' must be a number from 0 to 1, received nan"),
        ({"target": {"a": True, "b": 0}}, "the share of class 'a' must be a number from 0 to 1, received True"),
        ({"target": [0.5, 0.5]}, "target must be a dict of class -> number, received"),
        ({"over": -1}, "over must be a number >= 0, mostly from 0 to 1, received -1"),
        ({"under": np.inf}, "under must be a number >= 0"),
        ({"over": "0.9"}, "over must be a number >= 0"),
        ({"counts": {"a": 1.5, "b": 1}}, "counts: the number of class 'a' must be an integer >= 0, received 1.5"),
        ({"counts": {"a": 0, "b": 0}}, "counts must ask for one row at least"),
        ({"counts": {"a": 1}}, "class 'b' with 2 rows is not named"),
        ({"counts": {"a": 1, "b": 1}, "target": {"a": 1, "b": 0}}, "leave out target and exact"),
        ({"exact": 1}, "exact must be True or False"),
        ({"exact": True, "over": 0.9}, "exact=True takes the wanted shares, and over=0.9 how far rows are repeated or"),
        ({"exact": True, "under": 0}, "and under=0 how far .* leave out one of the two"),
        ({"counts": {"a": 1, "b": 1}, "over": 1, "under": 1.0}, "often each class comes, and over=1 and under=1.0 how"),
    ],
)
def test_settings_that_cannot_be_followed(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(PlanError, match=message):
        law_of(np.array(["a", "a", "b", "b"]), **settings)


def test_over_and_under_beside_exact_or_counts_are_refused() -> None:
    """They were ignored without a word; what nobody says is still 0.9 and 0.5."""
    labels = np.repeat(["a", "b"], [90, 10])
    for wanted in ({"exact": True}, {"counts": {"a": 5, "b": 5}}):
        for far in ({"over": 1.0}, {"under": 0.5}):
            with pytest.raises(PlanError, match="leave out one of the two"):
                law_of(labels, **wanted, **far)
        law_of(labels, **wanted)
    assert law_of(labels).digest() == law_of(labels, over=0.9).digest() == law_of(labels, over=0.9, under=0.5).digest()


def test_a_class_without_rows_may_have_a_target_of_0() -> None:
    assert law_of(["a", "b"], target={"a": 0.5, "b": 0.5, "c": 0}).multiplicities == {"a": 1, "b": 1}


def test_labels_that_are_none_are_refused() -> None:
    with pytest.raises(PlanError, match="column 'label' has 1 missing labels, the first at place 1"):
        law_of(["a", None])
    with pytest.raises(PlanError, match="column 'label' holds lists, so its rows are of several classes at once"):
        law_of([["a"], ["a", "b"]])


def test_a_subset_without_repeats_refuses_more() -> None:
    law = law_of(np.repeat([0, 1], [30, 10]), exact=True)
    assert law.epoch_size == 20
    with pytest.raises(PlanError, match="class 1 has 10 rows, 11 positions were asked for, and no row may come twice"):
        law.plan(22)
    with pytest.raises(PlanError, match="repeats no row"):
        law.plan(spread="iid")
    with pytest.raises(PlanError, match="class 1 has 10 rows"):
        law_of(np.repeat([0, 1], [30, 10])).plan(replace=False)
    assert len(set(law.plan(10)[:].tolist())) == 10


def test_a_condition_leaves_multiplicities_as_they_are() -> None:
    labels = np.repeat([0, 1], [80, 20])
    law = law_of(labels, over=1, under=0)
    part = law.where(np.arange(100) % 2 == 0)
    assert isinstance(part, BalancedRows)
    assert part.multiplicities == law.multiplicities == {0: 1.0, 1: 2.5}
    assert np.bincount(labels[part.plan()[:]]).tolist() == [40, 25]
    with pytest.raises(EmptySupportError, match="no row that can come meets the condition"):
        law.where(np.zeros(100, bool))
