"""The pure parts of a card: equal rows, predicting columns, samples, escaped text."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import mtgen
from mtgen.card.alone import LEAST_ROWS, alone, even_rows
from mtgen.card.equal import NOTHING, Groups, codes_of, together
from mtgen.card.markdown import fenced, plain
from mtgen.card.parts import RUN_ROWS, parts_of
from mtgen.errors import PlanError

SMALL = arrays(np.int64, st.integers(0, 30), elements=st.integers(-1, 5))


@given(SMALL, st.data())
def test_groups_are_those_of_a_dictionary(codes: np.ndarray, data: st.DataObject) -> None:
    other = data.draw(arrays(np.int64, len(codes), elements=st.integers(-1, 2)))
    counts = Counter(codes[codes != NOTHING].tolist())
    expected = {code: [row for row, one in enumerate(codes) if one == code] for code, n in counts.items() if n > 1}
    groups = Groups(codes)
    assert list(groups.first(np.arange(len(codes)), 100)) == [tuple(expected[code]) for code in sorted(expected)]
    assert (groups.num_groups, groups.num_rows) == (len(expected), sum(map(len, expected.values())))
    apart = groups.that_differ(other)
    differing = [rows for rows in expected.values() if len({other[row] for row in rows} - {NOTHING}) > 1]
    assert (apart.num_groups, apart.num_rows) == (len(differing), sum(map(len, differing)))


@given(SMALL, st.data())
def test_codes_are_equal_where_rows_are(first: np.ndarray, data: st.DataObject) -> None:
    second = data.draw(arrays(np.int64, len(first), elements=st.integers(-1, 3)))
    both = together(first, second)
    for one in range(len(first)):
        assert (both[one] == NOTHING) == (NOTHING in (first[one], second[one]))
        for other in range(one):
            same = (first[one], second[one]) == (first[other], second[other])
            assert both[one] == NOTHING or (both[one] == both[other]) == same
    assert (codes_of(np.stack([first, second], 1)) != NOTHING).all()


def threshold_oracle(values: np.ndarray, target: np.ndarray) -> float:
    """Every threshold, one after the other."""
    best = 0.0
    for cut in [-np.inf, *values]:
        sides = [Counter(target[side].tolist()) for side in (values <= cut, values > cut)]
        best = max(best, sum(max(side.values(), default=0) for side in sides) / len(values))
    return best


@pytest.mark.parametrize("seed", range(5))
def test_one_threshold_is_as_good_as_the_best_of_all(seed: int) -> None:
    rng = np.random.default_rng(seed)
    target = rng.integers(0, 2, 120)
    values = rng.integers(0, 200, (120, 1)) + 60 * target[:, None]
    (found,) = alone(values, target, 2)
    assert found.accuracy >= threshold_oracle(values[:, 0], target) - 1e-12
    above, below = values[target == 1, 0], values[target == 0, 0]
    wins = ((above[:, None] > below).sum() + (above[:, None] == below).sum() / 2) / (len(above) * len(below))
    assert found.auc == pytest.approx(max(wins, 1 - wins))


def test_a_class_number_predicts_all_classes_and_noise_none() -> None:
    rng = np.random.default_rng(0)
    target = rng.integers(0, 7, 2_000)
    values = np.stack([(target * 3) % 7, target + rng.uniform(0, 0.9, 2_000), rng.normal(size=2_000)], axis=1)
    found = alone(values, target, 7)
    assert found[0].accuracy == 1.0
    assert found[1].accuracy > 0.95
    assert found[2].strength < 0.1


def test_classes_that_alternate_are_no_trap() -> None:
    """Even rows alone would hold one class only."""
    target = np.arange(400) % 2
    (found,) = alone(np.arange(400)[:, None] % 4, target, 2)
    assert found.accuracy == 1.0


def test_a_number_is_predicted_by_its_ranks() -> None:
    target = np.random.default_rng(0).normal(size=300)
    found = alone(np.stack([np.exp(-target), np.ones(300)], axis=1), target, None)
    assert [round(one.strength, 9) for one in found] == [1.0, 0.0]


def test_few_rows_and_one_class_say_nothing() -> None:
    assert alone(np.zeros((LEAST_ROWS - 1, 1)), np.arange(LEAST_ROWS - 1) % 2, 2) == []
    assert alone(np.zeros((100, 1)), np.zeros(100, int), 1) == []
    assert len(even_rows(10**6, 10**4)) == 4_000


def make(num_rows: int) -> mtgen.Dataset:
    return mtgen.Dataset(pd.DataFrame({"a": range(num_rows)}), {"a": mtgen.Columns("a")})


@given(st.integers(1, 500), st.integers(1, 600), st.integers(0, 3))
def test_a_sample_has_its_size_and_whole_runs(num_rows: int, sample: int, seed: int) -> None:
    rows = parts_of(make(num_rows), sample, seed).rows
    assert len(rows) == min(sample, num_rows)
    assert (np.diff(rows) > 0).all()
    lengths = Counter((rows // RUN_ROWS).tolist())
    cut = sum(count < min(RUN_ROWS, num_rows - run * RUN_ROWS) for run, count in lengths.items())
    assert cut <= 1


def test_what_is_no_dataset_is_refused() -> None:
    with pytest.raises(PlanError, match="received DataFrame"):
        parts_of(make(3).table, None, 0)  # type: ignore[arg-type]
    with pytest.raises(PlanError, match="sample must be a number of rows >= 1, or None for all; received 0"):
        parts_of(make(3), 0, 0)
    with pytest.raises(PlanError, match="the splits are of several datasets"):
        parts_of(mtgen.Splits({"a": make(3), "b": make(3)}), None, 0)
    with pytest.raises(PlanError, match="seed must be an integer"):
        parts_of(make(3), None, -1)


@given(st.text())
def test_escaped_text_has_no_line_and_no_bare_mark(text: str) -> None:
    shown = plain(text, 10**6)
    assert shown.isprintable()  # a new line is not
    bare = shown.replace("\\\\", "")
    for mark in "`*_[]<>#|~&$!@{}":
        assert bare.count(mark) == bare.count(f"\\{mark}")


@given(st.text(alphabet="`a\n"))
def test_code_cannot_close_its_fence(code: str) -> None:
    lines = fenced(code, "python")
    fence = lines[0].removesuffix("python")
    assert all(fence not in line for line in lines[1:-2])
