"""Every refusal marks the place, says what was expected and proposes what is near; hostile texts end soon."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest

from mtgen.errors import MtgenError, PlanError, QueryError
from mtgen.sampling import query

TABLE = pd.DataFrame(
    {
        "age": [1, 2],
        "name": ["ann", "bob"],
        "findings": [["Hernia"], ["Edema"]],
        "label": [0, 1],
        "day": pd.to_datetime(["2024-01-01", "2024-01-02"]),
        "size": pd.Categorical(["s", "m"], categories=["s", "m"], ordered=True),
        "dup": [1, 2],
    }
)
CLASSES = {"label": ("cat", "dog")}


def refusal(text: str) -> str:
    with pytest.raises(QueryError) as caught:
        query.parse_condition(text).mask(TABLE, np.arange(2), CLASSES)
    return str(caught.value)


def test_the_place_is_marked() -> None:
    assert refusal("age > 1 AND agee = 2") == (
        "the table has no column 'agee'. Did you mean 'age'?\n    age > 1 AND agee = 2\n                ^^^^"
    )


def test_in_a_text_of_several_lines_the_line_is_shown() -> None:
    assert refusal("age > 1\n  AND agee = 2\n").endswith("    line 2:   AND agee = 2\n                  ^^^^")


def test_of_a_long_text_the_part_around_the_place_is_shown() -> None:
    message = refusal("age > 1 AND " * 40 + "agee = 2 AND " + "age > 1 AND " * 40 + "age > 1")
    _, shown, marks = message.splitlines()
    assert len(shown) < 120
    assert shown.strip().startswith("...")
    assert shown.strip().endswith("...")
    assert shown[marks.index("^") : marks.rindex("^") + 1] == "agee"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        # syntax
        ("", "the condition is empty; expected a text such as"),
        ("   ", "the condition is empty"),
        ("age >", "found the end, expected a column, a number, a text in quotes or ("),
        ("age = = 1", "found '=', expected a column"),
        ("age < 1 < 2", "write a < b AND b < c"),
        ("age = 1 = 1", "write a < b AND b < c"),
        ("(age = 1", "found the end, expected )"),
        ("age = 1)", "found ')'"),
        ("age = 1 && age = 2", "Write AND"),
        ("age = 1 | age = 2", "Write OR"),
        ("!age", "Write NOT"),
        ("age = 1 ANDD age = 2", "Did you mean AND?"),
        ("age IS 'a'", "IS is for IS NULL"),
        ("name NOT = 'ann'", "Write NOT before the comparison"),
        ("name = 'ann", "The text in quotes has no end"),
        ("`age", "The name in backticks has no end"),
        ("a.b = 1", "written in backticks"),
        ("age IN ()", "found ')'"),
        ("age IN (name)", "IN takes numbers, texts in quotes"),
        ("age = NULL", "write IS NULL"),
        ("WHERE age = 1", "belong to a whole clause"),
        ("age = 1 LIMIT 3", "belongs to a whole clause"),
        ("or = 1", "A column of the name or is written in backticks"),
        ("age = {1}", "IN ('a', 'b')"),
        ("max_weight(age = 1)", "takes pairs"),
        ("any(age = 1: 3)", "takes no pairs"),
        ("max_weight('age': 1) > 0", "a column of truths stands without quotes"),
        ("age = 'a\\q'", "unknown escape \\q"),
        # names
        ("contain(findings, 'Hernia')", "there is no function 'contain'. Did you mean 'contains'?"),
        ("frob(age)", "The functions are 'contains'"),
        ("weight_choice(age)", "max_weight(...) or sum_weight(...)"),
        ("random() < 1", "it is a function of seed and row"),
        ("random(age) < 1", "takes its seed, a whole number from 0"),
        ("contains(findings)", "contains takes 2 arguments, received 1"),
        ("contains('findings', 'Hernia')", "its name stands without quotes"),
        ("AGE = 1", "Did you mean 'age'?"),
        ("age = nan", "found with IS NULL"),
        # values
        ("name = 'Ann'", "the column 'name' (str) never has the value 'Ann'. Did you mean 'ann'?"),
        ("name IN ('ann', 'bobb')", "never has the value 'bobb'. Did you mean 'bob'?"),
        (
            "contains(findings, 'Hernai')",
            "the column 'findings' (object) never has the value 'Hernai'. Did you mean 'Hernia'?",
        ),
        ("contains(findings, 'x*')", "never has the value 'x*'. It has 'Hernia', 'Edema'"),
        ("label = 'dgo'", "the column 'label' (int64, class numbers) never has the value 'dgo'. Did you mean 'dog'?"),
        ("label LIKE 'x*'", "never has the value 'x*'. It has 'cat', 'dog'"),
        ("label IN ('cat', 'cow')", "never has the value 'cow'"),
        ("label < 'dog'", "class names have no order"),
        ("size = 'xl'", "the column 'size' (category) never has the value 'xl'. It has 's', 'm'"),
        ("size < 'xl'", "never has the value 'xl'"),
        ("size LIKE 'x*'", "never has the value 'x*'"),
        ("contains(size, 'x')", "never has the value 'x'"),
        ("size < name", "ordered categories are compared with"),
        # types
        ("name = 3", "cannot compare the column 'name' (str) with the number 3 by ="),
        ("age = '3'", "cannot compare the column 'age' (int64) with the text '3' by ="),
        ("age IN ('3')", "cannot compare the column 'age' (int64) with the text '3'"),
        ("name IN ('ann', 3)", "cannot compare the column 'name' (str) with the number 3"),
        ("age > name", "cannot compare the column 'age' (int64) with the column 'name' (str) by >"),
        ("(age = 1) = 'x'", "with True and False"),
        ("(age = 1) < 2", "with True and False"),
        ("day = 3", "Compare times with a date in quotes"),
        ("day = 'now'", "a date or time is written '2024-05-31'"),
        ("day = 'today'", "a date or time is written '2024-05-31'"),
        ("day = '2024-13-01'", "there is no such date or time"),
        ("'ann' = 'ann'", "both sides are texts in quotes"),
        ("age", "the column 'age' (int64) is no condition: compare it, such as != 0"),
        ("'age'", "a column stands without quotes"),
        ("age = 1 AND name", "the column 'name' (str) is no condition"),
        ("findings = 'Hernia'", "write contains(...), any(...) or all(...)"),
        ("name + 1 = 2", "join texts with ||"),
        ("-name = 2", "- takes numbers"),
        ("(age > 1) + 1 = 2", "a truth counts by max_weight(truth: 1)"),
        ("age || 'a' = 'b'", "|| joins texts, received the column 'age' (int64); for or write OR"),
        ("age = 1 || name = 'ann'", "|| joins texts, for or write OR"),
        ("age LIKE '1*'", "LIKE needs texts, received the column 'age' (int64)"),
        ("name LIKE name", "LIKE needs a text in quotes"),
        ("name LIKE '%nn'", "Write * for %"),
        ("name[0] = 'a'", "[...] takes lists, received the column 'name' (str). Part a text into a list"),
        ("findings[age] = 'a'", "a place in a list is a whole number"),
        ("len(age) = 1", "len takes lists and texts"),
        ("shape(age)[0] = 1", "shape takes lists"),
        (
            "contains(age, 'a')",
            "cannot look in the column 'age' (int64) for the text 'a'",
        ),
        ("contains(name, age)", "contains looks in texts for a text in quotes"),
        ("any(findings = findings[:0])", "two lists of one row have 1 and 0 elements"),
        # sizes
        ("age = 99999999999999999999", "whole numbers must be below 2**64"),
        ("age = " + "9" * 9000, "whole numbers must be below 2**64"),
        ("age = 1e999", "the largest is about 1.8e308"),
        ("age = 1" + " " * 30_000, "the text has 30,007 characters, expected at most 20,000"),
        ("(" * 9_000 + "age = 1" + ")" * 9_000, "nested deeper than 60 levels"),
        ("age = " + "[" * 10_000, "nested deeper than 60 levels"),
        ("contains(" * 2_000, "nested deeper than 60 levels"),
        ("findings" + "[0]" * 6_000 + " = 'a'", "nested deeper than 60 levels"),
        ("name = '" + "x" * 15_000 + "'", "never has the value 'xxx"),
        ("x" * 15_000 + " = 1", "the table has no column 'xxx"),
        ("x" * 15_000 + "(age)", "there is no function 'xxx"),
        ("x" * 15_000 + "(age: 1)", "takes no pairs"),
        ("age " + "x" * 15_000, "expected an operator"),
        ("name LIKE '" + "*a" * 600 + "'", "1,000 characters at most"),
    ],
)
def test_a_refusal_says_what_to_do(text: str, says: str) -> None:
    message = refusal(text)
    assert says in message
    assert len(message) < 900


@pytest.mark.parametrize(
    "text",
    [
        "NOT " * 4_500 + "age = 1",
        "age = " + "-" * 19_000 + "1",
        "age = 1" + " + 0" * 4_000,
        "age = 1" + " OR age = 1" * 1_500,
        "age IN (" + ", ".join(map(str, range(3_000))) + ")",
        " " * 19_000 + "age = 1",
    ],
    ids=["NOT", "minus", "plus", "OR", "IN", "blanks"],
)
def test_long_texts_of_one_level_are_no_trouble(text: str) -> None:
    assert query.parse_condition(text).mask(TABLE, np.arange(2)).dtype == bool


def test_globs_that_break_regular_expressions_are_matched_soon() -> None:
    cells = ["a" * 5_000 + "b", "a" * 5_000]
    table = pd.DataFrame({"t": cells, "c": [[cell] for cell in cells]})
    pattern = "*a" * 400 + "*b"
    for text in (
        f"t LIKE '{pattern}'",
        f"contains(c, '{pattern}')",
        f"contains(t, '{pattern}')",
        f"t ILIKE '{pattern}'",
    ):
        assert query.parse_condition(text).mask(table, np.arange(2)).tolist() == [True, False]


def test_what_is_no_text_is_refused() -> None:
    for value in (None, 3, b"age = 1", ["age"]):
        with pytest.raises(QueryError, match="must be a text such as"):
            query.parse_condition(value)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((TABLE, np.array([0, 2])), "rows 0 to 2 were asked for, the table has rows 0 to 1"),
        ((TABLE, np.array([-1])), "rows -1 to -1"),
        ((TABLE, np.array([0.5])), "rows are whole numbers in one axis, received an array of dtype float64"),
        ((TABLE, np.array([[0]])), r"shape \(1, 1\)"),
        ((TABLE, np.array([True, False])), "dtype bool"),
        (("table", np.array([0])), "a query asks a pandas DataFrame, received 'table'"),
        ((TABLE, np.array([0]), ["cat"]), "classes are"),
        ((TABLE, np.array([0]), {"label": "catdog"}), r"classes\['label'\] must be a list of class names"),
    ],
)
def test_arguments_are_checked(arguments: tuple[object, ...], says: str) -> None:
    with pytest.raises(QueryError, match=says):
        query.parse_condition("age = 1").mask(*arguments)  # type: ignore[arg-type]


def test_a_column_name_that_occurs_twice_is_refused() -> None:
    table = pd.concat([TABLE, TABLE[["dup"]]], axis=1)
    with pytest.raises(QueryError, match="the table has 2 columns named 'dup'"):
        query.parse_condition("dup = 1").mask(table, np.arange(2))
    assert query.parse_condition("age = 1").mask(table, np.arange(2)).tolist() == [True, False]


def test_nothing_of_a_text_is_ever_run() -> None:
    for text in ("__import__('os').system('x')", "age.__class__ = 1", "@age > 1", "age if age else 1", "lambda: 1"):
        with pytest.raises(QueryError):
            query.parse_condition(text).mask(TABLE, np.arange(2))


def test_the_error_is_a_plan_error_and_survives_a_process() -> None:
    with pytest.raises(QueryError) as caught:
        query.parse_weights("agee").values(TABLE, np.arange(2))
    assert isinstance(caught.value, PlanError | MtgenError)
    assert isinstance(caught.value, ValueError)
    again = pickle.loads(pickle.dumps(caught.value))
    assert type(again) is QueryError
    assert str(again) == str(caught.value)


def test_the_row_of_a_bad_value_is_its_place_in_the_table() -> None:
    table = pd.DataFrame({"w": [1.0, 2.0, -1.0, 3.0]})
    with pytest.raises(QueryError) as caught:
        query.parse_weights("w").values(table, np.array([3, 1, 2]))
    assert caught.value.row == 2
    inside = pd.DataFrame({"c": [[1], [2, 2**62]]})
    with pytest.raises(QueryError) as caught:
        query.parse_condition("any(c * 4 > 0)").mask(inside, np.array([0, 1]))
    assert caught.value.row == 1
