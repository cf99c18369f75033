"""Splits that cannot be made are refused, and say what is wrong; rows keep their identity through `Dataset.split`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import mtgen
from mtgen.errors import PlanError, TableError
from mtgen.split_rows import counts_of, split_by_value, split_rows

HALVES = {"a": 0.5, "b": 0.5}


@pytest.fixture
def data() -> mtgen.Dataset:
    table = pd.DataFrame({"a": range(12), "kind": list("xyzx") * 3, "patient": np.arange(12) // 4, "gap": [None] * 12})
    return mtgen.Dataset(table, {"a": mtgen.Columns("a")}, targets="a")


@pytest.mark.parametrize(
    ("shares", "text"),
    [
        ({}, "received none"),
        ({"a": 0.5, "b": 0.4}, r"must sum to 1, .* sum to 0\.9"),
        ({"a": 1.5, "b": -0.5}, r"'b' must be a number >= 0, received -0\.5"),
        ({"a": float("nan"), "b": 0.5}, "received nan"),
        ({"a": "0.5", "b": 0.5}, r"received '0\.5'"),
        ({"a": True, "b": False}, "received True"),
        ({"a": 7, "b": 4}, "hold 11 rows together, the dataset has 12.*write 0.7 for a share"),
        ({"a": 13, "b": -1}, r"'b' must be a number >= 0, received -1"),
    ],
)
def test_shares_that_do_not_make_a_whole_are_refused(shares: dict[str, Any], text: str) -> None:
    with pytest.raises(PlanError, match=text):
        counts_of(shares, 12)


def test_whole_numbers_are_row_counts() -> None:
    assert counts_of({"a": 9, "b": 3}, 12) == {"a": 9, "b": 3}


def test_ties_go_to_the_split_named_first() -> None:
    assert counts_of({"a": 0.5, "b": 0.5}, 3) == {"a": 2, "b": 1}
    assert counts_of({"b": 0.5, "a": 0.5}, 3) == {"b": 2, "a": 1}


def test_counts_of_shares_a_hair_above_one_do_not_exceed_the_rows() -> None:
    """Rounding the sum of the shares gave 40 rows too many at 100 billion."""
    assert sum(counts_of({"a": 0.5, "b": 0.5 + 4e-10}, 10**11).values()) == 10**11


def test_an_empty_split_is_refused_by_name() -> None:
    with pytest.raises(PlanError, match=r"split 'b' would be empty.*'b': 0"):
        split_rows(np.arange(3), {"a": 0.9, "b": 0.1}, seed=0)


@pytest.mark.parametrize("options", [{}, {"groups": np.empty(0, int)}, {"strata": np.empty(0, int)}])
def test_splitting_no_rows_is_refused(options: dict[str, Any]) -> None:
    """With groups this was NumPy's "zero-size array to reduction operation"."""
    with pytest.raises(PlanError, match="no rows"):
        split_rows(np.empty(0, np.int64), HALVES, seed=0, **options)


def test_a_class_too_rare_for_every_split_is_named() -> None:
    strata = np.array(["common"] * 19 + ["rare"])
    with pytest.raises(PlanError, match=r"'rare' has 1 rows, too few for split '[ab]'"):
        split_rows(np.arange(20), HALVES, seed=0, strata=strata)


def test_values_that_read_the_same_do_not_swallow_each_other() -> None:
    """1 and "1" became one split with the rows of one of them; the others were lost."""
    with pytest.raises(PlanError, match=r"column 's' has different values that read the same, \[1, '1'\]"):
        dict(split_by_value(np.arange(3), pd.Series([1, "1", 2], dtype=object, name="s")))


def test_by_column(data: mtgen.Dataset) -> None:
    parts = data.split(by="kind")
    assert parts.names == ("x", "y", "z")
    assert parts["x"].rows.tolist() == [0, 3, 4, 7, 8, 11]
    assert parts["y"].rows.tolist() == [1, 5, 9]


def test_a_split_of_a_split_keeps_rows(data: mtgen.Dataset) -> None:
    first, second = data.split(HALVES, seed=3)
    inner = first.split({"c": 0.5, "d": 0.5}, group="patient")
    assert sorted([*inner["c"].rows, *inner["d"].rows, *second.rows]) == list(range(12))
    for part in (first, second, *inner):
        assert part.fetch(part.rows).inputs["a"][:, 0].tolist() == part.rows.tolist()
        assert part.table is data.table


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({}, "exactly one"),
        ({"shares": HALVES, "by": "kind"}, "exactly one"),
        ({"by": "kind", "stratify": "kind"}, "leave out stratify and group"),
        ({"shares": HALVES, "seed": -1}, "seed must be an integer >= 0"),
    ],
)
def test_contradicting_options_are_refused(data: mtgen.Dataset, options: dict[str, Any], text: str) -> None:
    with pytest.raises(PlanError, match=text):
        data.split(**options)


@pytest.mark.parametrize("use", ["by", "stratify", "group"])
def test_unknown_and_incomplete_columns_are_refused(data: mtgen.Dataset, use: str) -> None:
    shares = {} if use == "by" else {"shares": HALVES}
    with pytest.raises(TableError, match=rf"{use}: the table has no column 'knd'\. Did you mean 'kind'"):
        data.split(**shares, **{use: "knd"})  # type: ignore[arg-type]
    with pytest.raises(TableError, match=rf"{use}: column 'gap' has no value in 12 rows \(0, 1, 2, 3, 4, \.\.\.\)"):
        data.split(**shares, **{use: "gap"})  # type: ignore[arg-type]


def test_unknown_split_names_are_answered_with_the_names(data: mtgen.Dataset) -> None:
    with pytest.raises(PlanError, match=r"no split 'train'; the splits are \['a', 'b'\]"):
        data.split(HALVES)["train"]
