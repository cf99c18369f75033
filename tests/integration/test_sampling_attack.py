"""Hostile input to sampling: each test is named after the bug that it found."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest

import mtgen
from mtgen import sampling as S
from mtgen.errors import EmptySupportError, PlanError, TableError
from mtgen.sampling.places.grid import axis_starts, num_starts
from mtgen.sampling.row_plans.base import Spread
from mtgen.sampling.row_plans.mixture import most_positions
from mtgen.sampling.shares import Shares


def dataset(num: int = 40) -> mtgen.Dataset:
    labels = ["x"] * (num - num // 4) + ["y"] * (num // 4)
    table = pd.DataFrame({"a": np.arange(float(num)), "label": labels})
    return mtgen.Dataset(table, inputs={"a": mtgen.Columns("a")})


# --- numbers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("law", "due"),
    [
        (S.cloud(np.array([[200]], np.uint8)) + np.uint8(100), 300),
        (S.cloud(np.array([[200]], np.uint8)) + S.cloud(np.array([[100]], np.uint8)), 300),
        (S.cloud(np.array([[100]], np.uint8)) - S.cloud(np.array([[200]], np.uint8)), -100),
        (S.cloud(np.array([[100]], np.int8)) ** np.int8(2), 10_000),
        (S.cloud(np.array([[60_000]], np.float16)) * np.float16(2), 120_000),
        (S.constant(True) + S.constant(True), 2),
        (S.constant(True) - S.constant(True), 0),
        (S.constant(2**62) + 2**61, 2**62 + 2**61),
    ],
)
def test_arithmetic_of_small_whole_numbers_wrapped_around(law: S.Sampler, due: int) -> None:
    assert law.sample(1).tolist() == [[due]]
    shifted = law + np.uint8(1)
    assert shifted.sample(1).tolist() == [[due + 1]]


@pytest.mark.parametrize(
    "make",
    [
        lambda: (S.constant(2**62) + S.constant(2**62)).sample(1),
        lambda: (S.rows(10).truncate(low=4) * 2**62 * 4).sample(1),
        lambda: (S.constant(2) ** 64).sample(1),
        lambda: S.constant(1) + np.uint64(2**63),
    ],
)
def test_arithmetic_beyond_64_bits_wrapped_around(make: object) -> None:
    with pytest.raises(PlanError, match="beyond"):
        make()  # type: ignore[operator]


@pytest.mark.parametrize("symbol", ["//", "%"])
def test_whole_numbers_divided_by_0_were_0(symbol: str) -> None:
    law = S.constant(5) // 0 if symbol == "//" else S.constant(5) % 0
    with pytest.raises(PlanError, match=f"whole numbers {symbol} 0"):
        law.sample(1)
    assert np.isinf((S.constant(5) / 0).sample(1)).all()


def test_log_prob_of_unsigned_points_wrapped_around() -> None:
    law = S.cloud(np.array([[200]], np.uint8)) + np.uint8(100)
    assert law.log_prob(np.array([[44]], np.uint8)).tolist() == [-np.inf]
    assert law.log_prob([[300]]).tolist() == [0.0]


@pytest.mark.parametrize(
    "law",
    [
        S.constant(3) | S.constant(0.5),
        S.constant("a") | S.constant("bcd"),
        S.constant("a") | S.constant(1),
        (S.constant(3) | S.constant(0.5)) * 2**62,
        (S.constant(2) | S.constant(2.5)) ** -1,
        S.cloud(np.array([[200]], np.uint8)) | S.cloud(np.array([[300]])),
    ],
)
def test_dtype_of_a_mixture_depended_on_which_parts_were_drawn(law: S.Sampler) -> None:
    whole = law.sample(8)
    for position in range(8):
        one = law.sample(1, start=position)
        assert one.dtype == whole.dtype
        assert one.tolist() == whole[position : position + 1].tolist()
    assert law.sample(0).dtype == whole.dtype


def test_rows_of_a_mixture_of_dependent_products_stay_whole() -> None:
    def points(row: int) -> S.Sampler:
        return S.mask(np.ones((2, 2)))

    law = (S.rows(3) @ points) | (S.rows(5) @ points)
    assert law.sample(1).dtype == law.sample(9).dtype == np.int64


def test_functions_that_take_no_empty_array_could_not_be_truncated() -> None:
    law = S.normal().apply(lambda points: points * 0 + points.max() * 0 + 1)
    assert law.truncate(high=2).sample(2).tolist() == [[1.0], [1.0]]
    assert law.sample(0).shape == (0, 1)


def test_positions_beyond_int64_repeated() -> None:
    with pytest.raises(PlanError, match="below 2"):
        S.normal().sample(2, start=2**63 - 2)
    for make in (lambda: S.rows(2**63), lambda: S.rows(5).sized(2**70), lambda: S.rows(5).plan(2**64)):
        with pytest.raises(PlanError, match="below 2"):
            make()
    assert len(set(S.normal().sample(2, start=2**63 - 3).ravel().tolist())) == 2


def test_complex_values_of_expr_were_compared() -> None:
    with pytest.raises(PlanError, match="complex"):
        S.normal().truncate(high=1, expr=lambda points: points * 1j).sample(1)


def test_weights_of_unsigned_64_bits_became_negative() -> None:
    low, high = S.mask(np.array([[2**63, 2**62, 0]], np.uint64)).log_prob([[0, 1], [0, 0]])
    assert np.exp([low, high]) == pytest.approx([1 / 3, 2 / 3])
    long_runs = S.mask(np.repeat(np.array([2**62, 2**61]), 300)[None])  # the mass of a run is beyond int64
    assert long_runs.condition(np.array([0, 0]), np.array([0, 299]))[0] == pytest.approx(2 / 3)  # type: ignore[index]
    counted = S.histogram(counts=np.array([2**63, 2**62], np.uint64), edges=[0, 1, 2])
    assert np.exp(counted.log_prob([[0.5], [1.5]])) == pytest.approx([2 / 3, 1 / 3])


def test_weights_whose_sum_is_infinite_had_no_log_prob() -> None:
    with pytest.raises(PlanError, match="beyond float64"):
        S.histogram(counts=[1.7e308, 1e308], edges=[0, 1, 2]).log_prob([[0.5]])


def test_long_doubles_beyond_float64_became_infinite() -> None:
    if np.finfo(np.longdouble).max > np.finfo(np.float64).max:
        for text in ("1e4000", "1e-4000"):
            with pytest.raises(PlanError, match="weights"):
                S.rows(weights=np.array([np.longdouble(text), 1]))


# --- masked arrays ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "use",
    [
        lambda array: S.rows(weights=array),
        lambda array: S.rows(2).where(array > 0),
        lambda array: dataset(2).rows.weighted(array),
        lambda array: dataset(2).rows.balanced(array),
        lambda array: S.cloud(array),
        lambda array: S.cloud([1, 2], weights=array),
        lambda array: S.histogram(array, bins=3),
        lambda array: S.histogram(counts=array, edges=[0, 1, 2]),
        lambda array: S.mask(array),
        lambda array: S.labels(array, {1: 1}),
        lambda array: S.touching(array, 1),
        lambda array: S.constant(array),
        lambda array: S.normal(dim=2) + array,
        lambda array: S.normal(dim=2).truncate(high=array),
    ],
)
def test_values_under_a_mask_were_used(use: object) -> None:
    with pytest.raises(PlanError, match=r"masked.*array\.filled"):
        use(np.ma.array([1.0, 2.0], mask=[False, True]))  # type: ignore[operator]
    with pytest.raises(TableError, match="masked"):
        dataset(2).with_weight(np.ma.array([1.0, 2.0], mask=[False, True]))


def test_masked_arrays_without_a_masked_value_are_arrays() -> None:
    assert S.rows(weights=np.ma.array([1.0, 3.0])).prob.tolist() == [0.25, 0.75]


# --- rows -------------------------------------------------------------------------------------------------------------


def test_values_for_a_dataset_in_another_order_were_those_of_other_rows() -> None:
    data = dataset(8)
    turned = data.take(np.arange(8)[::-1])
    for use in (turned.rows.weighted, turned.rows.balanced, lambda values: turned.rows.where(values > 3)):
        with pytest.raises(PlanError, match="which differ"):
            use(np.arange(8.0))
    series = data.table["a"]
    assert turned.rows.weighted(series).probability(np.arange(8)) == pytest.approx(np.arange(8) / 28)
    assert data.rows.weighted(np.arange(8.0)).probability(np.arange(8)) == pytest.approx(np.arange(8) / 28)


def test_importance_counted_rows_that_never_come() -> None:
    data = dataset(40)
    law = data.rows.where("a < 4")
    assert law.importance()[:5].tolist() == [1, 1, 1, 1, 0]
    assert S.rows(weights=[1, 0, 3]).importance().tolist() == pytest.approx([2, 0, 2 / 3])
    for one in (law, data.rows.weighted("a"), data.rows.balanced("label"), law | data.rows.weighted("a")):
        losses = np.cos(np.arange(40))
        came = one.prob > 0
        assert (one.prob * losses * one.importance()).sum() == pytest.approx(losses[came].mean(), abs=1e-6)


def test_importance_beyond_float32_was_infinite() -> None:
    law = 1e-60 & S.rows(weights=[1, 0]) | S.rows(weights=[0, 1])
    with pytest.raises(PlanError, match="beyond float32"):
        law.importance()


def test_a_part_without_replacement_failed_in_some_later_epoch() -> None:
    data = dataset(40)
    once = data.rows.weighted((data.table["label"] == "y").astype(float), replace=False)
    law = 0.5 & data.rows.where("label == 'x'") | 0.5 & once
    with pytest.raises(PlanError, match="up to 11 of them in some epochs"):
        mtgen.Loader(data, 5, sampler=law.sized(18))  # 8 to 11 of 10 rows, as four blocks fall
    loader = mtgen.Loader(data, 4, sampler=law.sized(20))  # two in each block, always
    for step in range(50 * len(loader)):
        assert (loader.rows(step) >= 30).sum() == 2


@pytest.mark.parametrize("share", [0.5, 0.3, 1 / 3, 0.01])
@pytest.mark.parametrize(("size", "block"), [(18, 5), (40, 4), (7, 100), (1000, 7)])
def test_most_positions_is_a_bound(share: float, size: int, block: int) -> None:
    shares = np.array([share, 1 - share])
    most = most_positions(share, size, Spread(block=block))
    whole, rest = divmod(size, min(block, size))
    found = []
    for key in range(300):
        counts = np.diff(Shares(shares, key, min(block, size)).edges(np.arange(whole)), axis=1)[:, 0].sum()
        if rest:
            counts += np.diff(Shares(shares, key + 10**6, rest).edges(np.zeros(1, np.int64)), axis=1)[0, 0]
        found.append(int(counts))
    assert max(found) <= most
    assert most <= whole * np.ceil(share * min(block, size)) + np.ceil(share * rest)
    assert most <= share * size + 10 * np.sqrt(size) + 10


@pytest.mark.parametrize("over", [300, 3000, 1e308])
def test_balance_beyond_what_can_be_counted_lost_classes(over: float) -> None:
    with pytest.raises(PlanError, match="can be counted"):
        dataset(400).rows.balanced("label", {"x": 0.001, "y": 0.999}, over=over)
    with pytest.raises(PlanError, match="can be counted"):
        dataset().rows.balanced("label", counts={"x": 2**62, "y": 2**62})
    with pytest.raises(PlanError, match=r"below 2\*\*63"):
        dataset().rows.balanced("label", counts={"x": 2**70, "y": 1})


def test_exact_shares_below_a_row_were_left_out_in_silence() -> None:
    with pytest.warns(UserWarning, match="never come: 'y'"):
        dataset(40).rows.balanced("label", {"x": 0.99, "y": 0.01}, exact=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dataset(40).rows.balanced("label", {"x": 1, "y": 0}, exact=True)


def eyes() -> mtgen.Dataset:
    """Left and right in turn, the first half rare."""
    table = pd.DataFrame({"a": np.arange(1000.0), "eye": ["L", "R"] * 500, "rare": np.arange(1000) < 500})
    return mtgen.Dataset(table, inputs={"a": mtgen.Columns("a")})


@pytest.mark.parametrize(
    ("make", "size"),
    [
        (lambda data: data.rows.uniform(), 500),
        (lambda data: data.rows.weighted(np.ones(1000), percent=50), None),
        (lambda data: data.rows.sampled("SAMPLE BY 1 LIMIT 50 PERCENT"), None),
        (lambda data: data.rows.where("rare == True"), 250),
        (lambda data: data.rows.weighted("max_weight(rare == True: 3, True: 1)"), None),
        (lambda data: 0.75 & data.rows.where("rare == True") | 0.25 & data.rows.where("rare == False"), None),
    ],
)
def test_epochs_of_rows_that_come_in_turn_held_one_kind_only(make: object, size: int | None) -> None:
    data = eyes()
    law, left = make(data), (data.table["eye"] == "L").to_numpy()  # type: ignore[operator]
    for epoch in range(10):
        plan = law.plan(size, seed=0, epoch=epoch)
        rows = plan[:]
        assert abs(left[rows].mean() - 0.5) < 5 * 0.5 / np.sqrt(len(rows))
        low, high = plan.order.bounds()
        times = np.bincount(rows, minlength=1000)
        assert ((low <= times) & (times <= high)).all()


def test_half_an_epoch_was_one_of_two_sets_of_rows() -> None:
    kept = {tuple(sorted(S.rows(1000).sized(500).plan(seed=0, epoch=epoch)[:].tolist())) for epoch in range(10)}
    assert len(kept) == 10


@pytest.mark.parametrize("num_weights", [1, 2, 5, 80])
def test_rows_of_one_weight_are_the_same_alone_and_together(num_weights: int) -> None:
    num = 200_000
    weights = np.arange(num) % num_weights + 1.0
    plan = S.rows(weights=weights).plan(num - 7, seed=3)
    rows, positions = plan[:], np.arange(0, num - 7, 997)
    assert (plan[positions] == rows[positions]).all()
    assert (plan[20_000:60_000] == rows[20_000:60_000]).all()
    low, high = plan.order.bounds()
    times = np.bincount(rows, minlength=num)
    assert ((low <= times) & (times <= high)).all()


def test_expected_numbers_hold_over_epochs() -> None:
    weights = np.array([1, 1, 1, 1, 2, 2, 3, 0, 5.5])
    law, num = S.rows(weights=weights), 2000
    times = sum(np.bincount(law.plan(7, seed=1, epoch=epoch)[:], minlength=9) for epoch in range(num))
    assert abs(times / num - 7 * weights / weights.sum()).max() < 5 * 0.5 / np.sqrt(num)
    assert times[7] == 0


# --- grids ------------------------------------------------------------------------------------------------------------


def test_grids_of_more_windows_than_int64_had_no_length() -> None:
    with pytest.raises(PlanError, match="number of windows must be below"):
        S.grid((10**6,) * 4, 1)
    assert len(S.grid((10**6,) * 3, 1)) == 10**18


def test_num_starts_is_the_number_of_starts() -> None:
    for length in range(1, 25):
        for size in range(1, 9):
            for overlap in range(size):
                assert num_starts(length, size, overlap) == len(axis_starts(length, size, overlap))


def test_an_empty_support_says_so() -> None:
    with pytest.raises(EmptySupportError, match="0 of"):
        S.normal().truncate(expr=lambda points: points * np.nan, tries=1000).sample(1)
