"""Weights: class weights against scikit-learn, products against plain arithmetic, refusals that name what is wrong."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.utils.class_weight import compute_sample_weight

import mtgen
from mtgen import ClassWeights
from mtgen.errors import PlanError, TableError
from mtgen.sampling.importance import importance

KINDS = ["cat", "dog", "owl"]


def frame(**columns: Any) -> pd.DataFrame:
    return pd.DataFrame(
        {"kind": ["cat", "owl", "cat", "dog"], "number": [2, 0, 2, 2], "w": [1.0, 2.0, 0.5, 0.0], **columns}
    )


def dataset(weight: Any = None, targets: Any = "kind", table: pd.DataFrame | None = None) -> mtgen.Dataset:
    table = frame() if table is None else table
    return mtgen.Dataset(table, {"x": mtgen.Rows(np.zeros((len(table), 1)))}, targets, weight)


def weights(data: mtgen.Dataset) -> Any:
    found = data.fetch(np.arange(len(data.table))).weight
    if isinstance(found, dict):
        return {name: one.tolist() for name, one in found.items()}
    return None if found is None else found.tolist()


def refusal(weight: Any, targets: Any = "kind", table: pd.DataFrame | None = None) -> str:
    with pytest.raises(TableError) as caught:
        dataset(weight, targets, table)
    return str(caught.value)


# --- class weights ----------------------------------------------------------------------------------------------------


@given(st.lists(st.sampled_from(KINDS), min_size=1, max_size=30))
def test_balanced_is_scikit_learns(labels: list[str]) -> None:
    table = pd.DataFrame({"kind": labels})
    expected = compute_sample_weight("balanced", labels).astype(np.float32).tolist()
    numbers = {name: place for place, name in enumerate(sorted(set(labels)))}
    table["number"] = [numbers[label] * 3 - 1 for label in labels]
    for target in ("kind", "number", mtgen.ClassNumbers("kind", KINDS), mtgen.OneHot("kind", KINDS)):
        assert weights(dataset(ClassWeights("balanced"), target, table)) == expected
    assert weights(dataset(ClassWeights("balanced", column="kind"), None, table)) == expected
    assert abs(np.mean(expected) - 1) < 1e-5


def test_weights_are_looked_up_by_class_for_each_target() -> None:
    by_target = {"kind": ClassWeights({"cat": 1, "dog": 2, "owl": 5}), "number": ClassWeights({0: 7, 2: 0.5})}
    data = dataset(by_target, {"kind": "kind", "number": "number"})
    assert weights(data) == {"kind": [1, 5, 1, 2], "number": [0.5, 7, 0.5, 0.5]}
    batch = mtgen.Loader(data, 4, shuffle=False, num_workers=0).batch(0)
    assert {name: one.dtype for name, one in batch.weight.items()} == {"kind": "float32", "number": "float32"}


@pytest.mark.parametrize(
    ("target", "given", "expected"),
    [
        (mtgen.ClassNumbers("number", [2, 0]), {2: 3, 0: 4}, [3, 4, 3, 3]),
        (mtgen.ClassNumbers("number", [2, 0, 9]), {"2": 3, "0": 4}, [3, 4, 3, 3]),
        (mtgen.ClassNumbers("kind", ["owl", "cat"], unlisted="ignore"), {"owl": 3, "cat": 4, -1: 0}, [4, 3, 4, 0]),
        (mtgen.OneHot("kind"), {"owl": 3, "cat": 4, "dog": 5}, [4, 3, 4, 5]),
        ("flag", {True: 2, False: 3}, [2, 2, 3, 3]),
        (mtgen.ClassNumbers("flag"), {True: 2, False: 3}, [2, 2, 3, 3]),
        ("shade", {"dark": 2, "light": 3}, [2, 2, 3, 3]),
    ],
)
def test_classes_are_named_as_the_table_has_them(target: Any, given: Any, expected: list[float]) -> None:
    table = frame(flag=[True, True, False, False], shade=pd.Categorical(["dark", "dark", "light", "light"]))
    assert weights(dataset(ClassWeights(given), target, table)) == expected


def test_a_column_says_the_class_of_any_target() -> None:
    table = frame(site=[1, 1, 2, 2])
    data = dataset(ClassWeights({1: 3, 2: 4}, column="site"), {"both": ["w", "number"]}, table)
    assert weights(data) == [3, 3, 4, 4]
    several = dataset(ClassWeights({1: 3, 2: 4}, column="site"), {"a": "kind", "b": "number"}, table)
    assert weights(several) == [3, 3, 4, 4]


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"cat": 1, "dgo": 2, "owl": 3}, "target 'kind' has no class 'dgo'. Did you mean 'dog'?"),
        ({"cat": 1, "owl": 3}, "target 'kind' has classes without a weight: 'dog' (1 rows). Give every class one"),
        ({0: 1, 1: 2, 2: 3}, "target 'kind' has no class 0. The classes are 'cat', 'dog', 'owl'"),
    ],
)
def test_classes_that_are_unknown_or_left_out_are_named(given: Any, text: str) -> None:
    assert text in refusal(ClassWeights(given))


def test_classes_of_another_type_are_told() -> None:
    assert "target 'number' has no class '2'. It has 2 of type int: write the class as the table has it" in refusal(
        ClassWeights({"2": 1, 0: 1}), "number"
    )
    assert "target 'number' has no class -1. The classes are 0, 2" in refusal(
        ClassWeights({0: 1, 2: 1, -1: 0}), "number"
    )


@pytest.mark.parametrize(
    ("weight", "targets", "text"),
    [
        (ClassWeights("balanced"), "half", "target 'half' is () float32, which has no classes"),
        (ClassWeights("balanced"), {"two": ["number", "number2"]}, "target 'two' is (2) int32, which has no classes"),
        (ClassWeights("balanced"), mtgen.OneHot("marks"), "marks several classes, or none, in 2 rows (1, 2)"),
        (ClassWeights("balanced"), {"x": mtgen.Rows(np.zeros(4))}, "target 'x' is no column of classes but BoundRows"),
        (ClassWeights("balanced", column="marks"), "kind", "column 'marks' holds lists of labels"),
        (ClassWeights("balanced", column="half"), "kind", "column 'half' has the label 0.5 of type float"),
        (ClassWeights("balanced", column="knid"), "kind", "the table has no column 'knid'. Did you mean 'kind'?"),
        (
            ClassWeights("balanced"),
            mtgen.ClassNumbers("kind", ["cat"], unlisted="ignore"),
            "target 'kind' has 2 rows (1, 3) of no listed class, so it cannot be balanced",
        ),
        (
            ClassWeights({"cat": 1}),
            mtgen.ClassNumbers("kind", ["cat"], unlisted="ignore"),
            "target 'kind' has 2 rows (1, 3) of no listed class, and no weight for them; give {-1: weight}",
        ),
        (ClassWeights("balanced"), None, "there are 0: name a column"),
        (
            ClassWeights("balanced"),
            {"a": "kind", "b": "number"},
            "there are 2: say for which, weight={'a': ..., 'b': ...}",
        ),
    ],
)
def test_targets_without_one_class_per_row_are_refused(weight: Any, targets: Any, text: str) -> None:
    table = frame(half=[0.5, 1, 2, 3], number2=[1, 2, 3, 4], marks=[["a"], ["a", "b"], [], ["b"]])
    assert text in refusal(weight, targets, table)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({}, 'ClassWeights needs a dict of class -> weight, or "balanced", received {}'),
        ("balance", "or \"balanced\", received 'balance'"),
        ([1, 2], 'or "balanced", received [1, 2]'),
        ({"a": -1}, "the weight of class 'a' must be a finite number >= 0, received -1"),
        ({"a": np.nan}, "must be a finite number >= 0, received nan"),
        ({"a": True}, "must be a finite number >= 0, received True"),
        ({"a": "2"}, "must be a finite number >= 0, received '2'"),
    ],
)
def test_class_weights_that_are_none_are_refused(given: Any, text: str) -> None:
    with pytest.raises(TableError) as caught:
        ClassWeights(given)
    assert text in str(caught.value)


# --- values, numbers, products ----------------------------------------------------------------------------------------


def test_values_by_row() -> None:
    assert weights(dataset(np.array([1, 2, 3, 4]))) == [1, 2, 3, 4]
    assert weights(dataset(frame()["w"] * 2)) == [2, 4, 1, 0]
    assert weights(dataset(0.5)) == [0.5] * 4
    assert weights(dataset([ClassWeights({"cat": 1, "dog": 2, "owl": 5}), "w", 2, np.arange(4)])) == [0, 20, 2, 0]
    assert weights(dataset("w")) == [1, 2, 0.5, 0]


@pytest.mark.parametrize(
    ("weight", "text"),
    [
        (np.ones(3), "received 3 values, expected one for each of the table's 4 rows"),
        (np.ones((4, 1)), "the values are float64 of shape (4, 1), expected numbers, one per row"),
        (np.array([1, -1, 1, 1]), "weights are finite and >= 0, received -1 and such in 1 row (1)"),
        (np.array([1, np.inf, 1, np.nan]), "received inf and such in 2 rows (1, 3)"),
        (np.ones(4, bool), "the values are bool"),
        (pd.Series(np.ones(4), index=[3, 2, 1, 0]), "the Series' index labels are not the table's"),
        ([1.0, 2.0, 3.0, 4.0], "weight is a list of 4 numbers; a list holds weights to multiply"),
        ([], "weight is a list of 0 numbers"),
        (-1, "weight must be a finite number >= 0, received -1"),
        (True, "weight must be a column, mtgen.ClassWeights(...), a number"),
        (object, "weight must be a column"),
        ("ww", "the table has no column 'ww'. Did you mean 'w'?"),
        ({"knid": "w"}, "weight names targets ['knid']; the targets are ['kind']. Did you mean 'kind'?"),
        ({}, "weight names targets []; the targets are ['kind']"),
        ([np.full(4, 1e-30), np.full(4, 1e-30)], "1e-60 is no number that float32 holds, in 4 rows"),
        ([np.full(4, 1e30), 1e30], "1e+60 is no number that float32 holds"),
    ],
)
def test_what_is_no_weight_is_refused(weight: Any, text: str) -> None:
    assert text in refusal(weight)


factors = st.sampled_from([None, "", "a", "b", "ab"])


@given(factors, factors, st.lists(st.integers(0, 9), min_size=12, max_size=12))
def test_weights_multiply_per_target(before: str | None, after: str | None, numbers: list[int]) -> None:
    """Whatever is weighted before and after, and by what: each target's weight is the product of what is said of it."""
    table = pd.DataFrame({"a": [0, 1, 2], "b": [1, 0, 1]})
    values = iter(np.array(numbers, float).reshape(4, 3))

    def made(which: str | None) -> tuple[Any, dict[str, np.ndarray]]:
        if which is None:
            return None, {}
        if which == "":
            one = next(values)
            return one, {"a": one, "b": one}
        some = {name: next(values) for name in which}
        return some, some

    first, second = made(before), made(after)
    data = mtgen.Dataset(table, {"x": mtgen.Columns("a")}, {"a": "a", "b": "b"}, first[0])
    if second[0] is not None:
        data = data.with_weight(second[0])
    found = weights(pickle.loads(pickle.dumps(data)))
    for name in ("a", "b"):
        expected = first[1].get(name, 1) * second[1].get(name, np.ones(3))
        given = found if not isinstance(found, dict) else found.get(name)
        assert (given if given is not None else [1, 1, 1]) == np.broadcast_to(expected, 3).tolist()


def test_a_weight_may_be_for_some_targets() -> None:
    data = dataset(None, {"a": "kind", "b": "number"})
    assert weights(data.with_weight(2, targets="a")) == {"a": [2] * 4}
    assert weights(data.with_weight(2).with_weight("w", targets=["b"])) == {"a": [2] * 4, "b": [2, 4, 1, 0]}
    balanced = data.with_weight(ClassWeights("balanced"), targets=["a", "b"])
    assert weights(balanced)["b"] == compute_sample_weight("balanced", [2, 0, 2, 2]).astype(np.float32).tolist()
    for targets, text in (("c", "weight names targets ['c']"), ([], "weight names targets []"), (3, "targets must be")):
        with pytest.raises(TableError) as caught:
            data.with_weight(2, targets=targets)
        assert text in str(caught.value)
    with pytest.raises(TableError, match="a dict of weights names its targets already"):
        data.with_weight({"a": 2}, targets=["a"])


def test_weighting_changes_no_other_dataset_and_is_part_of_the_digest() -> None:
    data = dataset("w")
    known = data.digests
    more = data.with_weight(np.array([1.0, 2.0, 3.0, 4.0]))
    assert weights(data) == [1, 2, 0.5, 0]
    assert (more.table is data.table, more.rows.tolist()) == (True, data.rows.tolist())
    assert data.digests == known
    changed = {name for name in known if more.digests[name] != known[name]}
    assert changed == {"weight "}
    assert more.digests == data.with_weight(np.array([1.0, 2.0, 3.0, 4.0])).digests
    assert more.digests != data.with_weight(np.array([1.0, 2.0, 3.0, 5.0])).digests


def test_values_may_be_for_the_rows_of_a_split() -> None:
    data = dataset("w")
    part = data.take([3, 1])
    assert weights(part.with_weight(np.array([5.0, 7.0]))) == [1, 14, 0.5, 0]  # row 1 is the second; others stay
    assert weights(part.with_weight(np.array([1.0, 2.0, 3.0, 4.0]))) == [1, 4, 1.5, 0]
    assert weights(part.with_weight(pd.Series([5.0, 7.0], index=[3, 1]))) == [1, 14, 0.5, 0]
    with pytest.raises(TableError, match=r"received 3 values, expected .* the table's 4 rows, or .* the dataset's 2"):
        part.with_weight(np.ones(3))
    with pytest.raises(TableError, match="4 values may be in the order of the table or in that of this dataset's rows"):
        data.take([1, 0, 3, 2]).with_weight(np.arange(4))
    turned = data.take([1, 0, 3, 2]).with_weight(pd.Series(np.arange(4), index=[1, 0, 3, 2]))
    assert weights(turned) == [1, 0, 1.5, 0]


def test_joined_datasets_keep_their_parts_when_weighted() -> None:
    one, other = dataset("w"), dataset("w")
    joined = mtgen.join({"real": one, "made": other.with_weight(0.5)})
    assert weights(joined) == [1, 2, 0.5, 0, 0.5, 1, 0.25, 0]
    balanced = joined.with_weight(ClassWeights("balanced"))
    assert [rows.tolist() for rows in balanced.parts.values()] == [[0, 1, 2, 3], [4, 5, 6, 7]]
    split = balanced.take([4, 1])
    assert split.part_of(split.rows).parts.tolist() == ["made", "real"]


# --- importance -------------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 50), min_size=1, max_size=40).filter(any))
def test_importance_makes_the_expected_value_the_plain_mean(chances: list[int]) -> None:
    """The definition: sum of p * w * value is the mean over the rows that can be drawn."""
    probabilities = np.array(chances) / sum(chances)
    found = importance(probabilities)
    values = np.sin(np.arange(len(chances)))
    drawn = probabilities > 0
    np.testing.assert_allclose(np.sum(probabilities * found * values), values[drawn].mean(), atol=1e-6)
    assert found.dtype == np.float32
    assert not found[~drawn].any()


@pytest.mark.parametrize(
    ("probabilities", "text"),
    [
        ([0.5, 0.6], "importance needs probabilities >= 0 that sum to 1, received values from 0.5 to 0.6 with the sum"),
        ([1.5, -0.5], "received values from -0.5 to 1.5"),
        ([np.nan, 1.0], "importance needs probabilities >= 0 that sum to 1"),
        ([], "importance needs one probability per row, received float64 of shape (0,)"),
        ([[1.0]], "received float64 of shape (1, 1)"),
        (["a"], "importance needs one probability per row"),
        ([1.0, 1e-300], "the row at place 1 has the probability 1e-300, whose weight is beyond float32"),
    ],
)
def test_what_is_no_probability_is_refused(probabilities: Any, text: str) -> None:
    with pytest.raises(PlanError) as caught:
        importance(np.array(probabilities))
    assert text in str(caught.value)
