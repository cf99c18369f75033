"""Targets of classes: numbers and ones at the right place, or a refusal that shows the label."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mtgen
from mtgen.errors import TableError
from mtgen.inputs.classes import ClassNumbers, Labels, OneHot
from mtgen.view.captions import target_texts


def frame(values: Any, dtype: Any = object) -> pd.DataFrame:
    return pd.DataFrame({"kind": pd.Series(values, dtype=dtype)})


def values(bound: Any, count: int = 3) -> Any:
    return bound.take(np.arange(count)).tolist()


LABEL = st.sampled_from(["a", "b", "ä", "B", "10", "9", ""])


@given(st.lists(st.one_of(LABEL, st.lists(LABEL, max_size=4)), min_size=1, max_size=12), st.data())
def test_one_hot_marks_the_places_of_the_labels(column: list[Any], data: st.DataObject) -> None:
    lists = [value if isinstance(value, list) else [value] for value in column]
    classes = sorted({label for labels in lists for label in labels})
    given = data.draw(st.one_of(st.none(), st.permutations(classes)))
    if not classes:
        return
    bound = OneHot("kind", given).bind(frame(column))
    assert bound.classes == tuple(given or classes)
    rows = np.array(data.draw(st.lists(st.integers(0, len(column) - 1), max_size=9)), np.int64)
    expected = [[float(name in lists[row]) for name in bound.classes] for row in rows]
    out = np.full((len(rows), len(classes)), np.nan, np.float32)
    bound.fetch(rows, out)
    assert out.tolist() == expected
    assert bound.take(rows).tolist() == expected


@given(st.lists(LABEL, min_size=1, max_size=12), st.data())
def test_class_numbers_are_places_in_the_list(column: list[str], data: st.DataObject) -> None:
    classes = data.draw(st.one_of(st.none(), st.permutations(sorted({*column, "unused"}))))
    bound = ClassNumbers("kind", classes).bind(frame(column))
    names = classes or sorted(set(column))
    assert bound.take(np.arange(len(column))).tolist() == [names.index(label) for label in column]
    assert bound.num_classes == len(names)


@pytest.mark.parametrize("dtype", [object, "string", "category"])
def test_every_kind_of_text_column(dtype: Any) -> None:
    table = frame(["dog", "ant", "dog"], dtype)
    assert values(OneHot("kind").bind(table)) == [[0, 1], [1, 0], [0, 1]]
    assert values(ClassNumbers("kind").bind(table)) == [1, 0, 1]


@pytest.mark.parametrize(
    ("column", "names"),
    [
        ([10, 2, 0], ("0", "2", "10")),
        ([True, False, True], ("False", "True")),
        ([np.int8(3), 1, 3], ("1", "3")),
    ],
)
def test_integers_and_booleans_are_sorted_as_such(column: Any, names: Any) -> None:
    assert OneHot("kind").bind(frame(column)).classes == names


def test_lists_may_be_arrays_and_labels_may_repeat() -> None:
    bound = OneHot("kind").bind(frame([np.array(["b", "b"], dtype=object), ("a", "b"), "a"]))
    assert values(bound) == [[0, 1], [1, 1], [1, 0]]


def test_dtypes() -> None:
    table = frame(["b", "a", "b"])
    assert OneHot("kind", dtype="uint8").bind(table).take(np.arange(1)).dtype == np.uint8
    assert OneHot("kind").bind(table).spec.dtype == np.float32
    assert ClassNumbers("kind", dtype="float32").bind(table).spec.dtype == np.float32
    assert ClassNumbers("kind").bind(table).spec.dtype == np.int32
    with pytest.raises(TableError, match="OneHot: dtype='text' is no NumPy dtype"):
        OneHot("kind", dtype="text").bind(table)
    for dtype in ("uint8", "float16", "bool"):
        count = 3000
        many = frame([f"{number:04d}" for number in range(count)])
        with pytest.raises(TableError, match=f"ClassNumbers: dtype='{dtype}' cannot hold the numbers of 3000 classes"):
            ClassNumbers("kind", dtype=dtype).bind(many)


def test_labels_that_are_not_listed_are_refused_with_their_rows() -> None:
    table = frame(["a", "x", "b", "y", "x"])
    for kind in (OneHot, ClassNumbers):
        with pytest.raises(TableError) as caught:
            kind("kind", ["b", "a"]).bind(table)
        assert str(caught.value) == (
            "targets: column 'kind' holds labels that are not among the classes ['b', 'a']: 'x' in 2 rows (1, 4), 'y' "
            "in 1 row (3). Add them to classes, or choose what becomes of them: unlisted='ignore' [row 1]"
        )


def test_labels_that_are_not_listed_may_be_ignored() -> None:
    table = frame(["a", "x", "b"])
    assert values(OneHot("kind", ["b", "a"], unlisted="ignore").bind(table)) == [[0, 1], [0, 0], [1, 0]]
    assert values(ClassNumbers("kind", ["b", "a"], unlisted="ignore").bind(table)) == [1, -1, 0]
    lists = frame([["x", "a"], ["x"], []])
    assert values(OneHot("kind", ["b", "a"], unlisted="ignore").bind(lists)) == [[0, 1], [0, 0], [0, 0]]
    with pytest.raises(TableError, match="unlisted must be 'raise' or 'ignore', received 'drop'"):
        OneHot("kind", ["a"], unlisted="drop").bind(table)  # type: ignore[arg-type]
    with pytest.raises(TableError, match="ClassNumbers: dtype='uint8' cannot hold the numbers of 2 classes"):
        ClassNumbers("kind", ["b", "a"], dtype="uint8", unlisted="ignore").bind(table)


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ("ab", "classes must be a list of labels, received 'ab'"),
        (3, "classes must be a list of labels, received 3"),
        ([], "classes names no class; leave it out"),
        (["a", "b", "a"], "classes names 'a' twice"),
        (["a", 1], "classes has 1 of type int, but column 'kind' holds text"),
    ],
)
def test_classes_that_cannot_be_meant(classes: Any, message: str) -> None:
    with pytest.raises(TableError, match=message):
        OneHot("kind", classes).bind(frame(["a", "b"]))


@pytest.mark.parametrize(
    ("column", "message", "row"),
    [
        (["a", None], r"classes: column 'kind' has no value in 1 row \(1\)", 1),
        (["a", 1], "has the label 1 of type int, where row 0 has 'a'; labels are text, integers or booleans", 1),
        ([True, 1], "has the label 1 of type int, where row 0 has True", 1),
        ([["a"], [], ["b", None]], "has the label None of type NoneType, where row 0 has 'a'", 2),
        ([[], [["a"]]], "has the label \\['a'\\] of type list", 1),
        ([0.5, 1.5], "has the label 0.5 of type float", 0),
        ([[], []], "no row of column 'kind' has a label, so there are no classes", None),
    ],
)
def test_labels_that_are_none(column: Any, message: str, row: int | None) -> None:
    with pytest.raises(TableError, match=message) as caught:
        OneHot("kind").bind(frame(column))
    assert caught.value.row == row


def test_a_row_with_several_labels_has_no_number() -> None:
    with pytest.raises(
        TableError, match="column 'kind' holds lists of labels, and a row has one class number; use One"
    ):
        ClassNumbers("kind").bind(frame([["a"], ["b"]]))


def test_a_missing_column_is_named() -> None:
    with pytest.raises(TableError, match=r"targets: the table has no column 'kinds'\. Did you mean 'kind'\?"):
        OneHot("kinds").bind(frame(["a"]))


def test_labels_of_some_rows_are_sorted() -> None:
    labels = Labels.of(frame([["b", "a"], "c", []])["kind"])
    assert labels.distinct() == ["a", "b", "c"]
    assert labels.distinct(np.array([1, 2])) == ["c"]
    assert labels.numbers(["c", "a"]).tolist() == [-1, 1, 0]


def dataset(targets: Any, column: Any = ("b", "a", "b", "c")) -> mtgen.Dataset:
    table = frame(list(column)).assign(x=np.arange(float(len(column))))
    return mtgen.Dataset(table, {"x": mtgen.Columns("x")}, targets)


@pytest.mark.parametrize("kind", [mtgen.OneHot, mtgen.ClassNumbers])
def test_a_dataset_names_a_bare_target_after_its_column(kind: Any) -> None:
    data = dataset(kind("kind"))
    assert list(data.target_specs) == ["kind"]
    assert data.classes == {"kind": ("a", "b", "c")}


def test_a_loader_delivers_ones_at_the_classes_of_its_rows() -> None:
    data = dataset({"hot": mtgen.OneHot("kind"), "number": mtgen.ClassNumbers("kind", ["c", "b", "a"])})
    with mtgen.Loader(pickle.loads(pickle.dumps(data)), 3, seed=1, num_workers=2) as loader:
        for batch in loader.steps(0, 6):
            assert (batch.targets["hot"].argmax(axis=1) == 2 - batch.targets["number"]).all()
            assert batch.targets["hot"].sum(axis=1).tolist() == [1] * len(batch)
            assert batch.targets["hot"].tolist() == data.fetch(batch.rows).targets["hot"].tolist()


def test_the_state_belongs_to_the_classes() -> None:
    digests = {
        name: dataset(target).digests["target kind"]
        for name, target in {
            "sorted": mtgen.OneHot("kind"),
            "named": mtgen.OneHot("kind", ["a", "b", "c"]),
            "turned": mtgen.OneHot("kind", ["c", "b", "a"]),
            "numbers": mtgen.ClassNumbers("kind"),
            "bytes": mtgen.OneHot("kind", dtype="uint8"),
        }.items()
    }
    assert digests["sorted"] == digests["named"]
    assert len(set(digests.values())) == 4
    assert dataset(mtgen.OneHot("kind"), "abbc").digests["target kind"] != digests["sorted"]


def test_many_classes_take_no_dense_table() -> None:
    bound = OneHot("kind").bind(frame([f"{row:06d}" for row in range(30_000)]))
    assert bound.spec.shape == (30_000,)
    assert sum(value.nbytes for value in vars(bound).values() if isinstance(value, np.ndarray)) < 1_000_000
    assert bound.take(np.array([7]))[0, 7] == 1


def test_captions_name_the_classes() -> None:
    targets = {
        "hot": OneHot("kind", ["b", "a"], unlisted="ignore"),
        "number": ClassNumbers("first", ["b", "a"], dtype="float32", unlisted="ignore"),
    }
    table = pd.DataFrame({"kind": [["a", "b"], ["x"], "a"], "first": ["a", "x", "b"]})
    data = mtgen.Dataset(table, {"row": mtgen.ClassNumbers("first")}, targets)
    batch = data.fetch([0, 1, 2])
    assert [target_texts(data, batch, slot) for slot in range(3)] == [
        ["hot b, a", "number a"],
        ["hot no class", "number no class"],
        ["hot a", "number b"],
    ]
