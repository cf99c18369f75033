"""Any text for the language: it is read and answered, or it is a QueryError, and never another error."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtgen.errors import QueryError
from mtgen.sampling import query

TABLE = pd.DataFrame(
    {
        "i": [1, 2**62, -3],
        "u": np.array([0, 2**63, 1], np.uint64),
        "x": [0.5, np.nan, np.inf],
        "t": ["a", None, "b*"],
        "k": pd.Categorical(["a", "b", None]),
        "d": pd.to_datetime(["2024-01-01", None, "2024-01-03"]),
        "f": [True, False, True],
        "c": [["a"], None, []],
        "m": [[1, 2], [], [3]],
        "b": [[[1, 2], [3, 4]], [], [[5, 6]]],
        "e": [None, None, None],
        "l": [0, 1, 5],
        "g": pd.array([1, None, 3], dtype="Int64"),
    }
)
ROWS = np.array([0, 2, 1, 1])
COLUMNS = [*TABLE.columns, "nowhere", "`t`"]
TEXT = """AND OR NOT IN IS NULL LIKE ILIKE BETWEEN TRUE FALSE SELECT * FROM WHERE ORDER BY LIMIT OFFSET SAMPLE REPLACE
    PERCENT ASC DESC ALL = == != <> < <= > >= + - * / % ^ || ( ) [ ] , : ; contains any all all_strict len shape random
    row_number max_weight sum_weight logical_and logical_not 0 1 2 0.5 1e308 9223372036854775807 18446744073709551615
    'a' "b*" '*' '2024-01-01' '"""
WORDS = [*TEXT.split(), *COLUMNS]


def asked(text: str) -> None:
    """What users do with a text."""
    for use in (
        lambda: query.parse_condition(text).mask(TABLE, ROWS, {"l": ["a", "b"]}),
        lambda: query.parse_weights(text).values(TABLE, ROWS, {"l": ["a", "b"]}, choice="max"),
        lambda: query.parse_weights(text).values(TABLE, ROWS),
        lambda: query.parse_clause(text).chosen(TABLE, ROWS),
        lambda: query.parse_clause(text).size(3),
    ):
        try:
            use()
        except QueryError as error:
            assert str(error)
            assert len(str(error)) < 2_000


@given(st.text(max_size=60))
def test_any_text(text: str) -> None:
    asked(text)


@given(st.lists(st.sampled_from(WORDS), max_size=14).map(" ".join))
def test_any_words_of_the_language(text: str) -> None:
    asked(text)


def calls(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    pair = st.tuples(inner, inner)
    binary = st.sampled_from(["=", "!=", "<", ">=", "+", "-", "*", "/", "%", "^", "||", "AND", "OR", "LIKE", "IN"])
    return st.one_of(
        st.tuples(inner, binary, inner).map(lambda parts: f"({parts[0]} {parts[1]} {parts[2]})"),
        pair.map(lambda parts: f"contains({parts[0]}, {parts[1]})"),
        pair.map(lambda parts: f"max_weight({parts[0]}: {parts[1]}, True: 1)"),
        pair.map(lambda parts: f"logical_or({parts[0]}, {parts[1]})"),
        st.tuples(inner, inner, inner).map(lambda parts: f"({parts[0]} NOT BETWEEN {parts[1]} AND {parts[2]})"),
        st.tuples(st.sampled_from(["any", "all_strict", "len", "shape", "NOT ", "-"]), inner).map(
            lambda parts: f"{parts[0]}({parts[1]})"
        ),
        st.tuples(
            inner, st.sampled_from(["[0]", "[-1]", "[1:]", "[:,0]", " IS NULL", " IN (1, 'a')", " LIKE 'a*'"])
        ).map(lambda parts: f"({parts[0]}{parts[1]})"),
    )


LEAVES = st.sampled_from([*COLUMNS, "1", "0", "-1", "0.5", "9223372036854775807", "'a'", "'a*'", "True", "random(1)"])
TREES = st.recursive(LEAVES, calls, max_leaves=6)


@given(TREES)
def test_any_expression(text: str) -> None:
    asked(text)


@given(TREES, TREES, st.sampled_from(["", "DESC"]))
def test_any_clause(where: str, key: str, falling: str) -> None:
    with contextlib.suppress(QueryError):
        query.parse_clause(f"WHERE {where} ORDER BY {key} {falling} LIMIT 2").chosen(TABLE, ROWS)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.binary(max_size=2) | st.dates(),
    lambda inner: (
        st.lists(inner, max_size=2) | st.tuples(inner) | st.dictionaries(st.text(max_size=1), inner, max_size=1)
    ),
    max_leaves=4,
)


@pytest.mark.parametrize(
    "text",
    ["c = 3", "c = 'a'", "contains(c, 'a')", "any(c > 1)", "c[0] IS NULL", "len(c) = 1", "c < '2024-01-01'", "c"],
)
def test_any_cells(text: str) -> None:
    ask: Callable[..., Any] = query.parse_condition(text).mask

    @given(st.lists(VALUES, max_size=4))
    def try_it(values: list[Any]) -> None:
        cells = np.empty(len(values), object)
        for place, value in enumerate(values):
            cells[place] = value
        with contextlib.suppress(QueryError):
            assert ask(pd.DataFrame({"c": cells}), np.arange(len(values))).shape == (len(values),)

    try_it()
