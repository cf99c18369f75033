"""The detector of shifted joins: finds a shift of the digits for sure, and does not cry wolf."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import mtgen
from mtgen.card.shift import BESIDE, LEAST_ROWS, ShiftFit, fit_shifts, one_hot, prepared

SEEDS = range(20)
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pictures, features and classes."""
    folder = ROOT / "data_samples" / "digits"
    table = mtgen.read_table(str(folder / "table.csv"))
    inputs = {
        "image": mtgen.Images("imgpath", root=folder, size=(4, 8), color="grayscale"),
        "features": mtgen.Rows(str(folder / "features.bcolz")),
    }
    batch = mtgen.Dataset(table, inputs, targets="target").fetch(np.arange(len(table)))
    return batch.inputs["image"], batch.inputs["features"], batch.targets["target"]


def compare(first: np.ndarray, second: np.ndarray, seed: int, num_rows: int = 600) -> ShiftFit:
    """Some neighbouring rows, from a place that the seed decides; integers are classes."""
    rng = np.random.default_rng(seed)
    num_rows = min(num_rows, len(first) - 2 * BESIDE[-1])
    start = BESIDE[-1] + int(rng.integers(len(first) - num_rows - 2 * BESIDE[-1] + 1))
    centres = np.arange(start, start + num_rows)
    is_class = second.ndim == 1 and second.dtype.kind == "i"
    wanted = one_hot(second, int(second.max()) + 1, rng) if is_class else prepared(second, rng)
    responses = {shift: wanted[centres + shift] for shift in BESIDE}
    return fit_shifts(prepared(first, rng)[centres], responses, np.zeros(num_rows, np.int64), rng)


@pytest.mark.parametrize("shift", [-3, -1, 0, 1, 2])
def test_a_shift_of_the_digits_is_found_with_each_seed(
    digits: tuple[np.ndarray, np.ndarray, np.ndarray], shift: int
) -> None:
    """Twenty of twenty, features against targets and pictures against features."""
    pictures, features, target = digits
    moved = np.roll(features, -shift, axis=0)  # row i has the features of row i + shift
    verdict = "shifted" if shift else "in place"
    for seed in SEEDS:
        with_target = compare(moved, target, seed)
        assert (with_target.verdict, with_target.best) == (verdict, shift)
        with_pictures = compare(pictures, moved, seed)
        assert (with_pictures.verdict, with_pictures.best) == (verdict, -shift)
        assert with_target.z > 20  # type: ignore[operator]
        assert with_target.lead > 8  # type: ignore[operator]


def test_in_a_table_sorted_by_class_targets_cannot_tell_and_pictures_can(
    digits: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    order = np.argsort(digits[2], kind="stable")
    pictures, features, target = (one[order] for one in digits)
    for shift in (0, 1):
        moved = np.roll(features, -shift, axis=0)
        unknown = compare(moved, target, 0, num_rows=1500)
        assert unknown.verdict == "cannot tell"
        assert "neighbouring rows are alike" in unknown.why
        known = compare(pictures, moved, 0, num_rows=1500)
        assert (known.verdict, known.best) == ("shifted" if shift else "in place", -shift)


@pytest.mark.parametrize("seed", SEEDS)
def test_what_has_nothing_in_common_cannot_tell(seed: int) -> None:
    rng = np.random.default_rng([seed, 1])
    first, second = rng.normal(size=(600, 5)), rng.normal(size=(600, 40))
    assert "nothing fits" in compare(first, second, seed).why
    assert compare(first, rng.integers(0, 3, 600), seed).verdict == "cannot tell"
    weak = first + 6 * rng.normal(size=first.shape)
    assert compare(weak, first[:, :2], seed).verdict != "shifted"
    # Two walks look related at every shift.
    assert compare(first.cumsum(0), second[:, :4].cumsum(0), seed).verdict == "cannot tell"


def test_narrow_columns_without_relation_are_rarely_taken_for_one() -> None:
    """With one column each, the best of nine shifts is above its mean by chance."""
    rng = np.random.default_rng(0)
    found = [compare(rng.normal(size=(200, 1)), rng.normal(size=(200, 1)), seed, num_rows=190) for seed in range(200)]
    assert {one.verdict for one in found} == {"cannot tell"}
    assert sum("nothing fits" in one.why for one in found) > 150
    assert any(one.scores[0] > 0 for one in found)


def test_few_rows_and_constant_columns_cannot_tell() -> None:
    values = np.random.default_rng(0).normal(size=(LEAST_ROWS - 1, 3))
    assert f"{LEAST_ROWS} are needed" in compare(values, values, 0).why
    assert "the same in all rows" in compare(np.ones((300, 3)), np.random.default_rng(0).normal(size=(300, 2)), 0).why


def test_outliers_and_missing_values_do_not_hide_a_shift() -> None:
    rng = np.random.default_rng(5)
    values = rng.normal(size=(700, 6))
    broken = values.copy()
    broken[::50] = 1e300
    broken[7::50] = np.nan
    broken[9::50] = -np.inf
    found = compare(np.roll(broken, -1, axis=0), values, 0)
    assert (found.verdict, found.best) == ("shifted", 1)


def test_wide_rows_and_many_classes_are_mixed_into_few_columns() -> None:
    rng = np.random.default_rng(0)
    assert prepared(rng.normal(size=(50, 500)), rng).shape == (50, 96)
    assert one_hot(rng.integers(0, 200, 50), 200, rng).shape == (50, 96)
    codes = rng.integers(0, 200, 2_000)
    found = compare(np.roll(np.eye(200)[codes], -2, axis=0), codes, 0, num_rows=1500)
    assert (found.verdict, found.best) == ("shifted", 2)


def test_it_depends_on_nothing_but_its_arguments() -> None:
    values = np.random.default_rng(0).normal(size=(300, 3))
    assert compare(values, values, 3) == compare(values, values, 3)
