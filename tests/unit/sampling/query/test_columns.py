"""The same question to the same values, however pandas keeps them: the answer is the same."""

from __future__ import annotations

import datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mtgen.errors import QueryError
from mtgen.sampling import query
from mtgen.sampling.query import evaluation, scope
from mtgen.sampling.query.columns import Column

pa = pytest.importorskip("pyarrow")


def arrow(values: list[Any], dtype: Any) -> pd.Series:
    return pd.Series(pa.array(values, dtype), dtype=pd.ArrowDtype(dtype))


def ask(values: Any, text: str, classes: list[str] | None = None) -> list[bool]:
    table = pd.DataFrame({"c": values})
    rows = np.arange(len(table))
    return query.parse_condition(text).mask(table, rows, None if classes is None else {"c": classes}).tolist()


TEXTS = ["train", None, "test", "train"]
WHOLE = [3, None, 5, 3]
FLOATS = [0.5, None, 2.0, 0.5]
TRUTHS = [True, None, False, True]
DAYS = [datetime.datetime(2024, 1, 1), None, datetime.datetime(2024, 3, 1, 12), datetime.datetime(2024, 1, 1)]
LISTS = [["a", "b"], None, [], ["b"]]
NUMBERS = [[1, 2], None, [], [2]]


@pytest.mark.parametrize(
    "values",
    [
        pd.Series(TEXTS, dtype=object),
        pd.Series(TEXTS, dtype="str"),
        pd.Series(TEXTS, dtype="string"),
        pd.Series(TEXTS, dtype="string[python]"),
        pd.Series(TEXTS, dtype="category"),
        pd.Series(TEXTS, dtype="string").astype("category"),
        arrow(TEXTS, pa.string()),
        arrow(TEXTS, pa.large_string()),
        arrow(TEXTS, pa.dictionary(pa.int32(), pa.string())),
    ],
    ids=lambda values: str(values.dtype),
)
def test_texts(values: pd.Series) -> None:
    assert ask(values, "c = 'train'") == [True, False, False, True]
    assert ask(values, "c != 'train'") == [False, False, True, False]
    assert ask(values, "c LIKE 't?s*'") == [False, False, True, False]
    assert ask(values, "contains(c, 'ra')") == [True, False, False, True]
    assert ask(values, "c IN ('test')") == [False, False, True, False]
    assert ask(values, "c IS NULL") == [False, True, False, False]
    assert ask(values, "c || '!' = c || '!'") == [True, False, True, True]
    with pytest.raises(QueryError, match="Did you mean 'train'"):
        ask(values, "c = 'trian'")
    with pytest.raises(QueryError, match="cannot compare the column 'c'"):
        ask(values, "c = 3")


@pytest.mark.parametrize(
    "values",
    [
        pd.Series(WHOLE),
        pd.Series(WHOLE, dtype=object),
        pd.Series(WHOLE, dtype="Int64"),
        pd.Series(WHOLE, dtype="UInt8"),
        pd.Series(WHOLE, dtype="Float32"),
        pd.Series(WHOLE, dtype="float64").astype(pd.SparseDtype("float64")),
        pd.Series(WHOLE, dtype="category"),
        arrow(WHOLE, pa.int16()),
        arrow(WHOLE, pa.uint64()),
        arrow(WHOLE, pa.dictionary(pa.int8(), pa.int64())),
    ],
    ids=lambda values: str(values.dtype),
)
def test_whole_numbers(values: pd.Series) -> None:
    assert ask(values, "c = 3") == [True, False, False, True]
    assert ask(values, "c != 3") == [False, False, True, False]
    assert ask(values, "c IN (3, 9)") == [True, False, False, True]
    assert ask(values, "c NOT IN (3, 9)") == [False, False, True, False]
    assert ask(values, "c * 2 > 6") == [False, False, True, False]
    assert ask(values, "-c = -5") == [False, False, True, False]
    assert ask(values, "c IS NULL") == [False, True, False, False]
    assert ask(values, "c = 'd'", list("abcdef")) == [True, False, False, True]
    assert ask(values, "c IN ('d', 'a')", list("abcdef")) == [True, False, False, True]
    with pytest.raises(QueryError, match="cannot compare the column 'c'"):
        ask(values, "c = '3'")


@pytest.mark.parametrize(
    "dtype", ["float64", "float32", "float16", "Float64", "object", "category", "decimal", "arrow"]
)
def test_floats(dtype: str) -> None:
    values = {
        "decimal": lambda: pd.Series(
            [None if value is None else Decimal(str(value)) for value in FLOATS], dtype=object
        ),
        "arrow": lambda: arrow([None if v is None else Decimal(str(v)) for v in FLOATS], pa.decimal128(6, 2)),
    }.get(dtype, lambda: pd.Series(FLOATS, dtype=dtype))()
    assert ask(values, "c = 0.5") == [True, False, False, True]
    assert ask(values, "c < 1") == [True, False, False, True]
    assert ask(values, "NOT c < 1") == [False, True, True, False]
    assert ask(values, "c / 4 = 0.5") == [False, False, True, False]


def test_a_missing_value_of_numpy_inside_a_nullable_column_is_missing_too() -> None:
    zero = pd.Series([0.0, 1.0, None], dtype="Float64")
    assert ask(zero / zero, "c = c") == [False, True, False]
    assert ask(zero / zero, "c IS NULL") == [True, False, True]


@pytest.mark.parametrize(
    "values",
    [
        pd.Series(TRUTHS, dtype=object),
        pd.Series(TRUTHS, dtype="boolean"),
        pd.Series(TRUTHS, dtype="category"),
        arrow(TRUTHS, pa.bool_()),
    ],
    ids=lambda values: str(values.dtype),
)
def test_truths(values: pd.Series) -> None:
    assert ask(values, "c") == [True, False, False, True]
    assert ask(values, "NOT c") == [False, True, True, False]
    assert ask(values, "c = False") == [False, False, True, False]
    assert ask(values, "c IS NULL") == [False, True, False, False]


@pytest.mark.parametrize("kind", ["s", "us", "ns", "object", "date", "zone", "arrow", "arrow date", "category"])
def test_times(kind: str) -> None:
    dates = [None if day is None else day.date() for day in DAYS]
    values = {
        "object": lambda: pd.Series(DAYS, dtype=object),
        "date": lambda: pd.Series(dates, dtype=object),
        "zone": lambda: pd.Series(pd.to_datetime(DAYS)).dt.tz_localize("Europe/Berlin"),
        "arrow": lambda: arrow(DAYS, pa.timestamp("us")),
        "arrow date": lambda: arrow(dates, pa.date32()),
        "category": lambda: pd.Series(pd.to_datetime(DAYS)).astype("category"),
    }.get(kind, lambda: pd.Series(pd.to_datetime(DAYS)).astype(f"datetime64[{kind}]"))()
    assert ask(values, "c = '2024-01-01'") == [True, False, False, True]
    assert ask(values, "c != '2024-01-01'") == [False, False, True, False]
    assert ask(values, "c BETWEEN '2024-02-01' AND '2024-03-01 12:00'") == [False, False, True, False]
    assert ask(values, "c < '9999-12-31'") == [True, False, True, True]
    assert ask(values, "c IS NULL") == [False, True, False, False]


def test_times_with_a_zone() -> None:
    values = pd.Series(pd.to_datetime(["2024-01-01 12:00"])).dt.tz_localize("Europe/Berlin")
    assert ask(values, "c = '2024-01-01T11:00:00Z'") == [True]
    assert ask(values, "c = '2024-01-01 12:00'") == [True]
    with pytest.raises(QueryError, match="have no zone"):
        ask(pd.Series(pd.to_datetime(["2024-01-01"])), "c = '2024-01-01T11:00:00Z'")
    table = pd.DataFrame({"c": values, "d": pd.to_datetime(["2024-01-01"])})
    with pytest.raises(QueryError, match="with and without a zone"):
        query.parse_condition("c = d").mask(table, np.arange(1))


@pytest.mark.parametrize(
    "values",
    [
        pd.Series(LISTS, dtype=object),
        pd.Series([None if cell is None else tuple(cell) for cell in LISTS], dtype=object),
        pd.Series([None if cell is None else np.array(cell, object) for cell in LISTS], dtype=object),
        pd.Series([None if cell is None else np.array(cell, "U3") for cell in LISTS], dtype=object),
        arrow(LISTS, pa.list_(pa.string())),
        arrow(LISTS, pa.large_list(pa.large_string())),
        arrow(LISTS, pa.list_(pa.dictionary(pa.int8(), pa.string()))),
    ],
    ids=["list", "tuple", "array of objects", "array of texts", "arrow", "large arrow", "arrow dictionary"],
)
def test_lists_of_texts(values: pd.Series) -> None:
    assert ask(values, "contains(c, 'b')") == [True, False, False, True]
    assert ask(values, "contains(c, '?')") == [True, False, False, True]
    assert ask(values, "all(c = 'b')") == [False, False, True, True]
    assert ask(values, "len(c) = 0") == [False, False, True, False]
    assert ask(values, "c[0] = 'a'") == [True, False, False, False]
    assert ask(values, "c IS NULL") == [False, True, False, False]
    with pytest.raises(QueryError, match=r"never has the value 'B'\. Did you mean 'b'"):
        ask(values, "contains(c, 'B')")


@pytest.mark.parametrize(
    "values",
    [
        pd.Series(NUMBERS, dtype=object),
        pd.Series([None if cell is None else np.array(cell) for cell in NUMBERS], dtype=object),
        pd.Series([None if cell is None else np.array(cell, np.uint8) for cell in NUMBERS], dtype=object),
        arrow(NUMBERS, pa.list_(pa.int64())),
    ],
    ids=["list", "array", "bytes", "arrow"],
)
def test_lists_of_numbers(values: pd.Series) -> None:
    assert ask(values, "contains(c, 2)") == [True, False, False, True]
    assert ask(values, "contains(c, 'dog')", ["cat", "cow", "dog"]) == [True, False, False, True]
    assert ask(values, "any(c[:1] = 1)") == [True, False, False, False]
    with pytest.raises(QueryError, match=r"never has the value 'dgo'\. Did you mean 'dog'"):
        ask(values, "contains(c, 'dgo')", ["cat", "cow", "dog"])


def test_lists_of_lists_and_two_axes() -> None:
    nested = [[[1, 2], [3, 4]], [[5, 6]]]
    for values in (
        pd.Series(nested),
        pd.Series([np.array(cell) for cell in nested]),
        arrow(nested, pa.list_(pa.list_(pa.int64()))),
    ):
        assert ask(values, "any(c[:, 1] = 4)") == [True, False]
        assert ask(values, "c[0, 1] = 6") == [False, True]
        assert ask(values, "shape(c)[0] = 2 AND shape(c)[1] = 2") == [True, False]
        with pytest.raises(QueryError, match="lists of lists"):
            ask(values, "contains(c, 3)")
    assert ask(pd.Series([[[1], [2, 3]]]), "shape(c)[1] IS NULL") == [True]


def test_a_column_without_a_value_compares_false_and_has_no_names() -> None:
    empty = pd.Series([None, None], dtype=object)
    assert ask(empty, "c > 3") == [False, False]
    assert ask(empty, "c IS NULL") == [True, True]
    assert ask(empty, "c LIKE 'a*'") == [False, False]
    assert ask(empty, "len(c) = 0") == [False, False]
    assert ask(empty, "c[0] = 3") == [False, False]
    with pytest.raises(QueryError, match="never has the value 'a'"):
        ask(empty, "c = 'a'")


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (["a", 3], r"its cells are int and str, expected cells of one kind(?s:.*)row 1"),
        ([["a"], "b"], r"its cells are list and str(?s:.*)row 1"),
        ([["a", 1]], "its cells are int and str"),
        ([{"a": 1}], "its cells are dict"),
        ([{"a"}], "its cells are set"),
        ([b"a"], "its cells are bytes"),
        ([np.array(3), None], "without an axis"),
        ([2**70, 1], "does not fit 64 bits"),
        (pd.to_timedelta(["1 day"]), "dtype timedelta64"),
        (np.array([1j]), "dtype complex128"),
        (pd.Series([b"a"], dtype=pd.ArrowDtype(pa.binary())), "bytes"),
        ([[[[[[[[[[1]]]]]]]]]], "nested deeper than 8"),
    ],
)
def test_cells_that_have_no_meaning_here_are_refused(values: Any, says: str) -> None:
    if isinstance(values, list):
        cells = np.empty(len(values), object)
        cells[:] = values if len(values) > 1 else [None]
        cells[0] = values[0]
        values = pd.Series(cells)
    with pytest.raises(QueryError, match=r"the column 'c' (?s:.*)" + says):
        ask(values, "c > 3")


def test_a_list_that_holds_itself_is_refused() -> None:
    cell: list[Any] = []
    cell.append(cell)
    values = pd.Series([None, None], dtype=object)
    values[0] = cell
    with pytest.raises(QueryError, match="nested deeper"):
        ask(values, "len(c) = 1")


def test_the_block_size_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    words = [f"w{number}" for number in range(9)]
    table = pd.DataFrame(
        {
            "c": [list(rng.choice(words, size)) if size else None for size in rng.integers(0, 4, 200)],
            "t": rng.choice(words, 200),
            "x": rng.random(200),
        }
    )
    rows = rng.integers(0, 200, 333)
    texts = [
        "contains(c, 'w3') OR t = 'w5'",
        "any(c LIKE '*7') AND x < 0.5",
        "c[1] = t",
        "len(c) = 2",
        "t IN ('w1', 'w2')",
    ]
    whole = [query.parse_condition(text).mask(table, rows) for text in texts]
    order = query.parse_clause("ORDER BY t DESC, x").chosen(table, rows)
    for size in (1, 7, 100):
        monkeypatch.setattr(evaluation, "BLOCK_ROWS", size)
        monkeypatch.setattr(scope, "BLOCK_ROWS", size)
        for text, mask in zip(texts, whole, strict=True):
            assert np.array_equal(query.parse_condition(text).mask(table, rows), mask)
        assert np.array_equal(query.parse_clause("ORDER BY t DESC, x").chosen(table, rows), order)


def test_a_column_is_read_once_for_each_block_however_often_it_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation, "BLOCK_ROWS", 4)
    table = pd.DataFrame({"c": [["a", "b"], ["c"]] * 5, "x": range(10)})
    read: list[tuple[str, list[int]]] = []
    at = Column.at

    def counted(column: Column, places: np.ndarray) -> Any:
        read.append((column.name, places.tolist()))
        return at(column, places)

    monkeypatch.setattr(Column, "at", counted)
    text = "max_weight(contains(c, 'a'): 3, contains(c, 'b'): x, contains(c, 'c') AND x > 2: 2, True: 1)"
    query.parse_weights(text).values(table, np.arange(10))
    blocks = [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert sorted(read) == sorted((name, block) for name in ("c", "x") for block in blocks)


def test_a_name_that_occurs_in_other_rows_only_is_no_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation, "BLOCK_ROWS", 2)
    monkeypatch.setattr(scope, "BLOCK_ROWS", 2)
    table = pd.DataFrame({"t": ["a"] * 9 + ["rare"], "c": [["x"]] * 9 + [["y"]], "n": [None] * 9 + ["late"]})
    rows = np.arange(3)
    for text in ("t = 'rare'", "t != 'a'", "contains(c, 'y')", "contains(c, 'y*')", "n = 'late'", "t IN ('rare')"):
        assert not query.parse_condition(text).mask(table, rows).any()
    for text in ("t = 'rar'", "t = 'rare*'", "contains(c, 'z')", "contains(c, 'z*')", "n = 'lat'", "n IN ('x')"):
        with pytest.raises(QueryError, match="never has the value"):
            query.parse_condition(text).mask(table, rows)


def test_class_names_are_known_even_if_no_row_has_them() -> None:
    assert ask(["a", "b"], "c = 'z'", ["a", "b", "z"]) == [False, False]
    assert ask([0, 1], "c = 'z'", ["a", "b", "z"]) == [False, False]
    assert ask([0, -1], "c != 'a'", ["a", "b"]) == [False, True]


def test_numbers_and_truths_in_columns_named_by_numbers() -> None:
    table = pd.DataFrame({0: [1, 2], "a.b": [True, False], "x`y": ["u", "v"]})
    assert query.parse_condition("`0` = 2").mask(table, np.arange(2)).tolist() == [False, True]
    assert query.parse_condition("`a.b` AND `x``y` = 'u'").mask(table, np.arange(2)).tolist() == [True, False]


def test_a_text_that_ends_in_nul_is_found() -> None:
    values = pd.Series(["a", "a\0", "\0"], dtype=object)
    assert ask(values, "c = 'a\0'") == [False, True, False]
    assert ask(values, "c IN ('\0')") == [False, False, True]
    table = pd.DataFrame({"c": values})
    assert query.parse_clause("ORDER BY c DESC").chosen(table, np.arange(3)).tolist() == [1, 0, 2]
