"""The whole clause: what reaches the sampler, in which order, and how many rows are drawn."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from mtgen.errors import QueryError
from mtgen.sampling import query

TABLE = pd.DataFrame(
    {
        "age": [30, 10, 20, 10, 40],
        "name": ["b", "a", None, "c", "b"],
        "x": [np.nan, 2.0, 1.0, 2.0, -1.0],
        "size": pd.Categorical(["l", "s", "m", "s", None], categories=["s", "m", "l"], ordered=True),
        "day": pd.to_datetime(["2024-03-01", None, "2024-01-01", "2024-02-01", "2024-05-01"]),
        "flag": [True, False, True, False, False],
        "c": [["u"], [], ["v"], None, ["u"]],
        "replace": [1, 2, 3, 4, 5],
        "limit": [5, 4, 3, 2, 1],
    }
)
ROWS = np.arange(5)


def chosen(text: str, rows: np.ndarray = ROWS) -> list[int]:
    return query.parse_clause(text).chosen(TABLE, rows).tolist()


def test_all_parts() -> None:
    clause = query.parse_clause(
        "select * from data where age > 10 order by name desc, age limit 2 offset 1 "
        "sample by max_weight(flag: 2, True: 1) replace false limit 50 percent;"
    )
    assert clause.where == query.parse_condition("age > 10")
    assert clause.where is not None
    assert clause.where.text == "age > 10"
    assert clause.weights == query.parse_weights("max_weight(True: 1, flag: 2)")
    assert [(key.text, falling) for key, falling in clause.order] == [("name", True), ("age", False)]
    assert (clause.first_limit, clause.offset, clause.replace) == (2, 1, False)
    assert isinstance(clause.limit, query.Percent)
    assert str(clause.limit) == "50 PERCENT"
    assert clause.columns == ("age", "name", "flag")


def test_every_part_may_be_missing() -> None:
    for text in (
        "SELECT *",
        "LIMIT 3",
        "SAMPLE BY age",
        "WHERE age > 10",
        "ORDER BY age",
        "OFFSET 1",
        "LIMIT ALL",
        ";",
    ):
        query.parse_clause(text)
    clause = query.parse_clause("SELECT *")
    assert clause == query.Clause("", None)
    assert (clause.where, clause.weights, clause.limit, clause.first_limit, clause.offset) == (
        None,
        None,
        None,
        None,
        0,
    )
    assert clause.chosen(TABLE, ROWS).tolist() == [0, 1, 2, 3, 4]
    assert clause.size(7) == 7


@pytest.mark.parametrize(
    ("text", "replace"),
    [("", True), ("REPLACE", True), ("REPLACE TRUE", True), ("REPLACE FALSE", False), ("replace False", False)],
)
def test_replace_three_ways_and_not(text: str, replace: bool) -> None:
    assert query.parse_clause(f"SAMPLE BY age {text}").replace is replace
    assert query.parse_clause(f"SAMPLE BY age {text} LIMIT 3").replace is replace


def test_there_are_two_limits() -> None:
    clause = query.parse_clause("LIMIT 3 SAMPLE BY age LIMIT 7")
    assert (clause.first_limit, clause.limit) == (3, 7)
    assert clause.chosen(TABLE, ROWS).tolist() == [0, 1, 2]
    assert clause.size(3) == 7


def test_sizes_of_deep_lakes_own_tests() -> None:
    assert query.parse_clause("SAMPLE BY 0.1").size(60_000) == 60_000
    assert query.parse_clause("SAMPLE BY 1 LIMIT 190000").size(60_000) == 190_000
    assert query.parse_clause("SAMPLE BY 1 REPLACE FALSE LIMIT 190000").size(60_000) == 60_000
    assert query.parse_clause("SAMPLE BY 1 LIMIT 0.1 PERCENT").size(1_281_166) == 1281
    assert query.parse_clause("SAMPLE BY age LIMIT 0").size(9) == 0
    assert query.parse_clause("SAMPLE BY age").size(0) == 0


@pytest.mark.parametrize(
    ("percent", "num_rows", "size"),
    [
        ("29", 100, 29),
        ("0.57", 10_000, 57),
        ("1.15", 1_000, 11),
        ("100", 7, 7),
        ("250", 4, 10),
        ("33.3", 10, 3),
        ("1e1", 55, 5),
    ],
)
def test_a_percentage_is_exactly_what_was_written_and_cut(percent: str, num_rows: int, size: int) -> None:
    assert query.parse_clause(f"SAMPLE BY age LIMIT {percent} PERCENT").size(num_rows) == size


def test_where_then_order_then_offset_then_limit() -> None:
    assert chosen("WHERE age > 10") == [0, 2, 4]
    assert chosen("WHERE age > 10 ORDER BY age LIMIT 2") == [2, 0]
    assert chosen("WHERE age > 10 ORDER BY age LIMIT 2 OFFSET 1") == [0, 4]
    assert chosen("LIMIT 2 OFFSET 4") == [4]
    assert chosen("OFFSET 3") == [3, 4]
    assert chosen("LIMIT 0") == []
    assert chosen("WHERE age > 99") == []
    assert chosen("OFFSET 99") == []


@pytest.mark.parametrize(
    ("key", "rows"),
    [
        ("age", [1, 3, 2, 0, 4]),
        ("age ASC", [1, 3, 2, 0, 4]),
        ("age DESC", [4, 0, 2, 1, 3]),
        ("name", [1, 0, 4, 3, 2]),
        ("name DESC", [3, 0, 4, 1, 2]),
        ("x", [4, 2, 1, 3, 0]),
        ("x DESC", [1, 3, 2, 4, 0]),
        ("size", [1, 3, 2, 0, 4]),
        ("day DESC", [4, 0, 3, 2, 1]),
        ("flag DESC, age", [2, 0, 1, 3, 4]),
        ("-age", [4, 0, 2, 1, 3]),
        ("name || name", [1, 0, 4, 3, 2]),
        ("c[0] DESC", [2, 0, 4, 1, 3]),
        ("len(c) DESC", [0, 2, 4, 1, 3]),
        ("3", [0, 1, 2, 3, 4]),
        ("row_number() DESC", [4, 3, 2, 1, 0]),
    ],
)
def test_order_is_stable_and_missing_values_come_last(key: str, rows: list[int]) -> None:
    assert chosen(f"ORDER BY {key}") == rows
    backwards = chosen(f"ORDER BY {key}", ROWS[::-1].copy())
    assert sorted(backwards) == ROWS.tolist()


def test_ties_keep_the_order_that_was_given() -> None:
    assert chosen("ORDER BY age", np.array([3, 1, 3])) == [3, 1, 3]
    assert chosen("ORDER BY age DESC", np.array([3, 1, 3])) == [3, 1, 3]


def test_a_random_order_is_a_permutation_that_the_seed_decides() -> None:
    table = pd.DataFrame({"a": range(500)})
    rows = np.arange(500)
    one, again, other = (query.parse_clause(f"ORDER BY random({seed})").chosen(table, rows) for seed in (1, 1, 2))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)
    assert sorted(one.tolist()) == rows.tolist()
    assert not np.array_equal(one, rows)


def test_words_of_the_clause_can_be_columns() -> None:
    assert chosen("WHERE limit > 3 ORDER BY replace DESC LIMIT 1") == [1]
    assert query.parse_clause("SAMPLE BY replace REPLACE FALSE").replace is False


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "the clause is empty"),
        ("age > 3", "a clause begins with SELECT"),
        ("max_weight(flag: 1)", "begins with SELECT"),
        ("SELECT age FROM data", "only SELECT \\* is known"),
        ("SAMPLE age", "expected BY"),
        ("SAMPLE BY", "found the end"),
        ("SAMPLE BY age LIMIT -3", "expected a number"),
        ("SAMPLE BY age LIMIT 0.5", "a share is written LIMIT 10 PERCENT"),
        ("LIMIT 10 PERCENT SAMPLE BY age", "found 'PERCENT'"),
        ("SAMPLE BY age LIMIT 1e300 PERCENT", "between 0 and 1e15"),
        ("LIMIT 99999999999999999999", "below 2\\*\\*63"),
        ("SAMPLE BY age REPLACE 3", "found '3'"),
        ("SAMPLE BY age WHERE age > 3", "found 'WHERE'"),
        ("WHERE age > 3 GROUP BY name", "GROUP is not part of the language"),
        ("WHERE age > 3 UNION WHERE age < 2", "UNION is not part of the language"),
        ("SAMPLE BY age LIMIT 3, REPLACE FALSE", "found ','"),
        ("SAMPLE BY -1", "a weight is 0 or more"),
    ],
)
def test_a_clause_that_says_nothing_is_refused(text: str, says: str) -> None:
    with pytest.raises(QueryError, match="(?i)" + says):
        query.parse_clause(text)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("WHERE agee > 3", "no column 'agee'"),
        ("ORDER BY agee", "no column 'agee'"),
        ("ORDER BY c", "ORDER BY takes one value in each row, received a list"),
    ],
)
def test_a_clause_that_does_not_fit_shows_the_whole_clause(text: str, says: str) -> None:
    with pytest.raises(QueryError, match=says) as caught:
        query.parse_clause(text).chosen(TABLE, ROWS)
    assert text in str(caught.value)


def test_a_wrong_number_of_rows_is_refused() -> None:
    with pytest.raises(ValueError, match="num_rows"):
        query.parse_clause("SAMPLE BY age").size(-1)


# --- values -----------------------------------------------------------------------------------------------------------

SAME = [
    (query.parse_condition, "age = 1 AND NOT flag", "age == 1  and (not flag)"),
    (query.parse_weights, "max_weight(flag: 2, True: 1)", "MAX_WEIGHT( true : 1 , flag : 2 )"),
    (query.parse_weights, "a: 1, b: 2", "b: 2, a: 1"),
    (query.parse_clause, "WHERE age = 1 SAMPLE BY age LIMIT 3", "where (age == 1) sample by age replace true limit 3"),
]


@pytest.mark.parametrize(("parse", "text", "same"), SAME)
def test_equal_by_what_they_say(parse, text, same) -> None:  # type: ignore[no-untyped-def]
    one, other = parse(text), parse(same)
    assert one == other
    assert hash(one) == hash(other)
    assert one != parse(text.replace("1", "7"))
    assert one != "something else"
    assert one.text == text
    assert text in repr(one)


@pytest.mark.parametrize(("parse", "text", "same"), SAME)
def test_values_can_be_pickled_and_copied_and_not_changed(parse, text, same) -> None:  # type: ignore[no-untyped-def]
    one = parse(text)
    for again in (pickle.loads(pickle.dumps(one)), copy.deepcopy(one)):
        assert again == one
        assert again.text == text
    with pytest.raises(AttributeError):
        one.text = "x"
    with pytest.raises((AttributeError, TypeError)):
        del one.text


def test_parts_of_a_clause_can_be_pickled_alone() -> None:
    clause = query.parse_clause(
        "WHERE (age = 1 OR flag) AND age IN (1) ORDER BY (age) SAMPLE BY flag: 1, True: 2 LIMIT 3"
    )
    for part in (clause.where, clause.weights, clause.order[0][0]):
        again = pickle.loads(pickle.dumps(part))
        assert again == part
        assert type(again) is type(part)


def test_kinds_differ_even_where_texts_agree() -> None:
    assert query.parse_condition("age") != query.parse_weights("age")


def test_columns_are_listed_once() -> None:
    assert query.parse_weights("max_weight(b > 1: a, contains(c, 'x'): b)").columns in (
        ("b", "a", "c"),
        ("c", "b", "a"),
    )
    assert query.parse_condition("a[0] BETWEEN b AND len(c) OR -d || e = f OR a IS NULL").columns == tuple("abcdef")
    assert query.parse_condition("True").columns == ()


def test_the_parser_is_imported_when_the_first_text_is_read() -> None:
    code = (
        "import sys, mtgen.sampling.query as q; assert 'lark' not in sys.modules;"
        "q.parse_condition('a = 1'); assert 'lark' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
