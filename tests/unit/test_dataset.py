"""What a sample is: names, roles, rows by identity; and what is refused on the way."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest

import mtgen
from mtgen.errors import PlanError, TableError
from tests.support.samples import check_aligned, content, features, make_dataset

TABLE = pd.DataFrame({"a": [1, 2, 3, 4], "y": [0, 1, 0, 1], "w": [1.0, 2.0, 3.0, 4.0]}, index=[7, 3, 5, 1])


def dataset(**options: Any) -> mtgen.Dataset:
    return mtgen.Dataset(TABLE, {"a": mtgen.Columns("a")}, **options)


def test_fields_keep_names_and_order() -> None:
    data = make_dataset(9)
    assert [(field.role, field.name) for field in data.fields] == [
        ("input", "features"),
        ("input", "shared"),
        ("input", "plain"),
        ("input", "columns"),
        ("target", "label"),
        ("target", "both"),
        ("weight", ""),
    ]
    assert str(data.input_specs["features"]) == "(3) float32"
    assert str(data.target_specs["both"]) == "(2) float32"
    assert repr(data).startswith("Dataset(9 of 9 rows; input features: (3) float32, ")


@pytest.mark.parametrize("wrong", [[1.7], [True, False], np.array([0.0]), [[1]], ["1"], 3, [None]])
def test_fetch_takes_integers_only(wrong: Any) -> None:
    """1.7 was cut to row 1, a mask was read as rows 0 and 1, and text was parsed, all silently."""
    with pytest.raises(PlanError, match=r"fetch needs a list of integer rows, received .* For a boolean mask use take"):
        dataset().fetch(wrong)


@pytest.mark.parametrize("wrong", [[-1], [4], [0, 99]])
def test_fetch_stays_in_the_table(wrong: list[int]) -> None:
    with pytest.raises(PlanError, match="rows must lie in 0 to 3, received"):
        dataset().fetch(wrong)


def test_fetch_of_no_rows_is_an_empty_batch() -> None:
    batch = make_dataset(5).fetch([])
    assert len(batch) == 0
    assert batch.inputs["features"].shape == (0, 3)


def test_fetch_repeats_and_ignores_splits() -> None:
    data = make_dataset(9)
    part = data.take([1, 2])
    batch = part.fetch([8, 0, 8])
    check_aligned(batch, data)
    assert batch.rows.tolist() == [8, 0, 8]
    assert batch.step is None


def test_take_keeps_order_and_identity() -> None:
    data = dataset(targets="y").take([3, 0])
    assert data.rows.tolist() == [3, 0]
    assert data.take([0]).rows.tolist() == [0]
    assert not data.rows.flags.writeable


@pytest.mark.parametrize(
    "mask",
    [TABLE["a"] > 2, (TABLE["a"] > 2).to_numpy(), (TABLE["a"] > 2).astype("boolean"), [False, False, True, True]],
)
def test_take_a_mask(mask: Any) -> None:
    assert dataset().take(mask).rows.tolist() == [2, 3]


def test_a_mask_looks_at_the_rows_a_split_still_has() -> None:
    assert dataset().take([3, 1]).take(TABLE["a"] > 2).rows.tolist() == [3]


@pytest.mark.parametrize(
    "mask",
    [
        TABLE.sort_values("a", ascending=False)["a"] > 2,
        TABLE.reset_index(drop=True)["a"] > 2,
        TABLE.iloc[:3]["a"] > 2,
    ],
)
def test_a_mask_of_another_frame_is_refused(mask: pd.Series) -> None:
    """Masks were taken by place: one made from a sorted frame chose the wrong rows without a word."""
    with pytest.raises(PlanError, match="the mask's index labels are not the table's"):
        dataset().take(mask)


def test_a_mask_with_gaps_is_refused() -> None:
    mask = (TABLE["a"] > 2).astype("boolean")
    mask.iloc[1] = None
    with pytest.raises(PlanError, match="missing values"):
        dataset().take(mask)


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        ([0, 0], "distinct rows"),
        ([9], "does not have row 9"),
        ([-1], "does not have row -1"),
        ([0.5], "received float64"),
        (np.array([True]), r"one entry per table row, 4; received \(1,\)"),
        (np.array([[0]]), r"\(1, 1\)"),
    ],
)
def test_rows_that_cannot_be_taken_are_refused(rows: Any, text: str) -> None:
    with pytest.raises(PlanError, match=text):
        dataset().take(rows)


@pytest.mark.parametrize(
    ("inputs", "options", "text"),
    [
        ({}, {}, "at least one entry"),
        ("a", {}, "inputs must be a dict"),
        ({"a": "a"}, {}, r"input 'a' must be Images, Rows, Columns or Patches, received str"),
        ({"a": np.zeros(4)}, {}, r"For an array write Rows\(array\)"),
        ({3: mtgen.Columns("a")}, {}, "names of inputs and targets are text, received 3 of type int"),
        ({"a": mtgen.Columns("b")}, {}, "Columns: the table has no column 'b'"),
        ({"a": mtgen.Columns("a")}, {"targets": ["y"]}, "For several columns as one target write"),
        ({"a": mtgen.Columns("a")}, {"targets": "z"}, "targets: the table has no column 'z'"),
        ({"a": mtgen.Columns("a")}, {"targets": "y", "weight": {"x": "w"}}, r"weight names targets \['x'\].*\['y'\]"),
        ({"a": mtgen.Columns("a")}, {"targets": "y", "weight": "v"}, "weight: the table has no column 'v'"),
    ],
)
def test_what_cannot_be_a_sample_is_refused(inputs: Any, options: dict[str, Any], text: str) -> None:
    with pytest.raises(TableError, match=text):
        mtgen.Dataset(TABLE, inputs, **options)


def test_a_store_may_be_a_target() -> None:
    data = mtgen.Dataset(
        TABLE.reset_index(drop=True), {"a": mtgen.Columns("a")}, targets={"map": mtgen.Rows(features(4))}
    )
    assert data.fetch([2]).targets["map"].tolist() == features(4)[[2]].tolist()


def test_classes_are_listed_by_target() -> None:
    table = pd.DataFrame({"a": [1, 2], "kind": ["dog", "cat"]})
    data = mtgen.Dataset(table, {"a": mtgen.Columns("a")}, targets={"kind": "kind", "a": "a"})
    assert data.classes == {"kind": ("cat", "dog")}


def test_a_pickled_dataset_is_the_same() -> None:
    data, _ = make_dataset(12).split({"a": 0.5, "b": 0.5})
    again = pickle.loads(pickle.dumps(data))
    assert content(again.fetch(data.rows)) == content(data.fetch(data.rows))
    assert again.digests == data.digests


def test_digests_name_the_part_that_differs() -> None:
    def differing(one: mtgen.Dataset, other: mtgen.Dataset) -> set[str]:
        return {name for name in one.digests if one.digests[name] != other.digests[name]}

    base = dataset(targets="y")
    assert differing(base, dataset(targets="y")) == set()
    assert differing(base, base.take([0, 1])) == {"rows"}
    assert differing(base, mtgen.Dataset(TABLE.assign(y=1), {"a": mtgen.Columns("a")}, targets="y")) == {"target y"}
    assert differing(base, mtgen.Dataset(TABLE, {"a": mtgen.Columns("w")}, targets="y")) == {"input a"}
