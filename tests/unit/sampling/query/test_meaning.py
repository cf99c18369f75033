"""What the language means, rule by rule, on a table that can be read; and precedence, against Python's own."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from mtgen.errors import QueryError
from mtgen.sampling import query

TABLE = pd.DataFrame(
    {
        "age": [10, 20, 30, 40, -7],
        "x": [0.5, 1.0, np.nan, 2.0, -1.0],
        "split": ["train", "test", "train", None, "valid"],
        "kind": pd.Categorical(["pa", "ap", "pa", None, "lateral"]),
        "findings": [["Hernia", "Edema"], ["Edema"], [], None, ["Mass"]],
        "path": ["a/IMG_1.png", "a/IMG_22.jpg", "b*c?.png", None, "100%.PNG"],
        "label": [0, 1, 2, 1, 3],
        "tags": [[0, 1], [1], [2, 2], [], [3]],
        "boxes": [[[1, 2, 3, 4], [5, 6, 7, 8]], [[9, 9, 1, 1]], [], None, [[0, 0, 0, 0]]],
        "day": pd.to_datetime(["2024-01-01", "2024-02-01", None, "2024-03-01", "2024-02-01 12:30"], format="ISO8601"),
        "flag": [True, False, True, False, True],
        "size": pd.Categorical(["s", "m", "l", "s", None], categories=["s", "m", "l"], ordered=True),
        "odd name": [1, 2, 3, 4, 5],
    }
)
ROWS = np.arange(len(TABLE))
CLASSES = {"label": ["bikini", "kimono", "tiki", "plane"], "tags": ["bikini", "kimono", "tiki", "plane"]}


def chosen(text: str) -> list[int]:
    mask = query.parse_condition(text).mask(TABLE, ROWS, CLASSES)
    assert mask.dtype == bool
    assert mask.shape == (len(TABLE),)
    return np.flatnonzero(mask).tolist()


def weights(text: str, choice: str | None = None) -> list[float]:
    values = query.parse_weights(text).values(TABLE, ROWS, CLASSES, choice=choice)
    assert values.dtype == np.float64
    assert values.shape == (len(TABLE),)
    return values.tolist()


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        # comparisons
        ("age = 20", [1]),
        ("age == 20", [1]),
        ("age != 20", [0, 2, 3, 4]),
        ("age <> 20", [0, 2, 3, 4]),
        ("20 < age", [2, 3]),
        ("age >= 20 AnD age <= 30", [1, 2]),
        ("split = 'train'", [0, 2]),
        ('split = "train"', [0, 2]),
        ("'train' = split", [0, 2]),
        ("split != 'train'", [1, 4]),
        ("split < 'train'", [1]),
        ("'test' < split", [0, 2, 4]),
        ("kind = 'pa'", [0, 2]),
        ("kind != 'pa'", [1, 4]),
        ("split = split", [0, 1, 2, 4]),
        ("split = kind", []),
        ("flag", [0, 2, 4]),
        ("flag = False", [1, 3]),
        ("flag = 1", [0, 2, 4]),
        ("not flag", [1, 3]),
        ("`odd name` = 3", [2]),
        # missing values: every comparison is false, NOT turns it around
        ("x = 1.0", [1]),
        ("x != 1.0", [0, 3, 4]),
        ("NOT x = 1.0", [0, 2, 3, 4]),
        ("x < 100", [0, 1, 3, 4]),
        ("x is null", [2]),
        ("x IS  NOT\n NULL", [0, 1, 3, 4]),
        ("split IS NULL", [3]),
        ("findings IS NULL", [3]),
        ("day IS NULL", [2]),
        ("split NOT LIKE 't*'", [4]),
        ("NOT split LIKE 't*'", [3, 4]),
        # IN and BETWEEN
        ("age IN (10, -7, 99)", [0, 4]),
        ("age NOT IN (10, -7)", [1, 2, 3]),
        ("x IN (1, 2)", [1, 3]),
        ("x NOT IN (1, 2)", [0, 4]),
        ("split IN ('train', 'test')", [0, 1, 2]),
        ("split NOT IN ('train', 'test')", [4]),
        ("label IN ('kimono', 3)", [1, 3, 4]),
        ("flag IN (True)", [0, 2, 4]),
        ("age BETWEEN 20 AND 40", [1, 2, 3]),
        ("age NOT BETWEEN 20 AND 40", [0, 4]),
        ("x NOT BETWEEN 0 AND 1", [3, 4]),
        ("age BETWEEN 10 AND 20 AND x < 1", [0]),
        # globs
        ("path LIKE '*.png'", [0, 2]),
        ("path ILIKE '*.png'", [0, 2, 4]),
        ("path LIKE 'a/IMG_?.png'", [0]),
        ("path LIKE 'a/IMG_*'", [0, 1]),
        (r"path LIKE 'b\*c\?.png'", [2]),
        (r"path LIKE '100\%.PNG'", [4]),
        ("path LIKE 'b*c?.png'", [2]),
        ("path = 'b*c?.png'", [2]),
        ("path LIKE 'nothing*'", []),
        ("kind LIKE '*a*'", [0, 1, 2, 4]),
        # contains
        ("contains(findings, 'Edema')", [0, 1]),
        ("contains(findings, '*e*a*')", [0, 1]),
        ("contains(findings, 'M?ss')", [4]),
        ("contains(path, 'IMG')", [0, 1]),
        ("contains(path, 'I?G')", [0, 1]),
        ("contains(path, '*IMG*2')", [1]),
        ("contains(kind, 'a')", [0, 1, 2, 4]),
        ("contains(tags, 2)", [2]),
        ("contains(tags, 'tiki')", [2]),
        ("contains(tags, '*iki*')", [0, 2]),
        ("contains(label, '*iki*')", [0, 2]),
        ("contains(label, '?iki*')", [0, 2]),
        ("contains(label, '?iki')", [2]),
        ("contains(label, 'bikini')", [0]),
        ("contains(tags, label)", [0, 1, 2, 4]),
        ("NOT contains(findings, 'Edema')", [2, 3, 4]),
        # class names
        ("label = 'kimono'", [1, 3]),
        ("label != 'kimono'", [0, 2, 4]),
        ("label = 1", [1, 3]),
        ("label LIKE 'k*'", [1, 3]),
        ("tags[0] = 'tiki'", [2]),
        # any, all, all_strict
        ("any(findings = 'Edema')", [0, 1]),
        ("all(findings = 'Edema')", [1, 2]),
        ("all_strict(findings = 'Edema')", [1]),
        ("any(findings LIKE 'H*')", [0]),
        ("any(tags > 1)", [2, 4]),
        ("all(tags >= 1)", [1, 2, 3, 4]),
        ("any(tags IN (0, 3))", [0, 4]),
        ("any(tags * 2 = label + 2)", [0, 2]),
        ("any(tags = tags)", [0, 1, 2, 4]),
        ("all(tags NOT BETWEEN 1 AND 2)", [3, 4]),
        ("any(logical_and(tags > 0, tags < 2))", [0, 1]),
        ("any(logical_or(tags = 0, tags = 3))", [0, 4]),
        ("all_strict(logical_not(tags = 2))", [0, 1, 4]),
        ("any(flag)", [0, 2, 4]),
        # places, stretches, lengths
        ("tags[0] = 1", [1]),
        ("tags[-1] = 1", [0, 1]),
        ("tags[1] IS NULL", [1, 3, 4]),
        ("any(tags[1:] = 2)", [2]),
        ("len(tags[:1]) = 0", [3]),
        ("any(boxes[:,3] = 8)", [0]),
        ("boxes[0,3] = 1", [1]),
        ("boxes[0][3] = 1", [1]),
        ("any(boxes[0, 1:3] = 9)", [1]),
        ("len(boxes) = 0", [2]),
        ("shape(boxes)[0] = 2", [0]),
        ("shape(boxes)[1] = 4", [0, 1, 4]),
        ("shape(tags)[0] = 2", [0, 2]),
        ("len(split) = 5", [0, 2, 4]),
        # times
        ("day = '2024-02-01'", [1]),
        ("day > '2024-02-01'", [3, 4]),
        ("day BETWEEN '2024-01-01' AND '2024-02-01'", [0, 1]),
        ("day >= '2024-02-01T12:30:00'", [3, 4]),
        ("day IN ('2024-01-01', '2024-03-01')", [0, 3]),
        ("day = day", [0, 1, 3, 4]),
        # ordered categories go by their order, others by the letters
        ("size < 'l'", [0, 1, 3]),
        ("size BETWEEN 'm' AND 'l'", [1, 2]),
        ("kind < 'b'", [1]),
        # arithmetic
        ("age / 3 = 3", [0]),
        ("age / 3 = -2", [4]),
        ("age % 4 = -3", [4]),
        ("x / 2 = 0.25", [0]),
        ("age / 0 IS NULL", [0, 1, 2, 3, 4]),
        ("age % 0 = 0", []),
        ("1 / (age - 10) IS NULL", [0]),
        ("1.0 / (age - 10) > 0", [1, 2, 3]),
        ("2 ^ 10 = 1024", [0, 1, 2, 3, 4]),
        ("split || '-' || kind = 'train-pa'", [0, 2]),
        ("-age = 7", [4]),
        ("--age = -7", [4]),
        ("- age + 3 = -7", [0]),
        # rows
        ("row_number() % 2 = 1", [1, 3]),
        ("True", [0, 1, 2, 3, 4]),
        ("false", []),
        ("sum_weight(flag: 1, age > 15: 1) >= 2", [2]),
    ],
)
def test_a_condition_chooses_these_rows(text: str, rows: list[int]) -> None:
    assert chosen(text) == rows


# --- weights: the rules of Deep Lake ----------------------------------------------------------------------------------


def test_the_largest_weight_or_the_sum_of_those_that_hold() -> None:
    pairs = "contains(findings, 'Hernia'): 20, contains(findings, 'Edema'): 5, True: 1"
    assert weights(f"max_weight({pairs})") == [20, 5, 1, 1, 1]
    assert weights(f"sum_weight({pairs})") == [26, 6, 1, 1, 1]


def test_no_condition_true_is_weight_zero() -> None:
    assert weights("max_weight(label = 1: 8, label = 2: 8)") == [0, 8, 8, 8, 0]
    assert weights("sum_weight(label = 1: 8, label = 2: 8)") == [0, 8, 8, 8, 0]


def test_the_order_of_pairs_means_nothing_down_to_the_last_bit() -> None:
    forth, back = "sum_weight(True: 0.1, age > 0: 0.2, x > 0: 0.3)", "sum_weight(x > 0: 0.3, age > 0: 0.2, True: 0.1)"
    assert (0.1 + 0.2) + 0.3 != (0.3 + 0.2) + 0.1
    assert weights(forth) == weights(back)
    assert query.parse_weights(forth) == query.parse_weights(back)


def test_a_bare_number_is_a_constant_and_no_fraction() -> None:
    assert weights("0.1") == [0.1] * 5
    assert weights("3") == [3.0] * 5


def test_a_bare_column_is_the_weights() -> None:
    assert weights("label") == [0, 1, 2, 1, 3]
    assert weights("age * age / 10.0") == [10, 40, 90, 160, 4.9]


def test_all_weights_may_be_zero_here() -> None:
    assert weights("0 * age") == [0] * 5


def test_a_weight_may_be_an_expression_and_counts_only_where_its_condition_holds() -> None:
    assert weights("max_weight(age > 0: age, True: 2)") == [10, 20, 30, 40, 2]
    assert weights("max_weight(x IS NOT NULL AND x > 0: x)") == [0.5, 1, 0, 2, 0]


def test_how_several_conditions_count_can_be_said_beside_the_text() -> None:
    assert weights("flag: 3, True: 1", choice="max") == [3, 1, 3, 1, 3]
    assert weights("flag: 3, True: 1", choice="sum") == [4, 1, 4, 1, 4]
    assert weights("flag: 3") == [3, 0, 3, 0, 3]
    assert weights("max_weight(flag: 3, True: 1)", choice="max") == [3, 1, 3, 1, 3]


@pytest.mark.parametrize(
    ("text", "choice", "says"),
    [
        ("flag: 3, True: 1", None, "write max_weight"),
        ("max_weight(flag: 3, True: 1)", "sum", "contradicts the text, which has max_weight"),
        ("age", "max", "contradicts the text, which has one weight for each row"),
        ("age", "min", "choice must be 'max', 'sum' or None, received 'min'"),
        ("age", None, r"the column 'age' \(int64\) is -7.0(?s:.*)row 4"),
        ("x + 2", None, r"the number x \+ 2 is missing(?s:.*)row 2"),
        ("1e308 * age * age", None, r"is inf(?s:.*)row 0"),
        ("sum_weight(True: 1e308, age != 3: 1.5e308)", None, "the sum of the weights is infinite"),
        ("flag", None, r"a weight is a number, received the column 'flag' \(bool\)"),
        ("age > 3", None, "a weight is a number, received the truth age > 3; write max_weight"),
        ("split", None, r"a weight is a number, received the column 'split'"),
        ("tags", None, r"received the column 'tags' \(object, class numbers\)|received the column 'tags' \(object\)"),
        ("-1", None, "a weight is 0 or more"),
        ("max_weight(flag: -1)", None, "a weight is 0 or more"),
        ("max_weight(True: label - 1)", None, r"the number label - 1 is -1.0(?s:.*)row 0"),
        ("max_weight(age: 1)", None, r"the column 'age' \(int64\) is no condition"),
    ],
)
def test_what_is_no_weight_is_refused_with_row_and_value(text: str, choice: str | None, says: str) -> None:
    with pytest.raises(QueryError, match=says):
        weights(text, choice)


# --- precedence -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("flag OR x > 1 AND age > 15", "flag OR ((x > 1) AND (age > 15))"),
        ("NOT flag AND x > 1", "(NOT flag) AND (x > 1)"),
        ("NOT age = 10", "NOT (age = 10)"),
        ("NOT age IN (10)", "NOT (age IN (10))"),
        ("flag = x > 0", "flag = (x > 0)"),
        ("age + 10 IS NULL OR flag", "((age + 10) IS NULL) OR flag"),
        ("age + 1 IN (11)", "(age + 1) IN (11)"),
        ("age + 1 BETWEEN 5 + 1 AND 10 + 1 OR flag", "((age + 1) BETWEEN (5 + 1) AND (10 + 1)) OR flag"),
        ("age + label * 2 = 12", "(age + (label * 2)) = 12"),
        ("age - label - 1 = 8", "((age - label) - 1) = 8"),
        ("age / label / 2 = 5", "((age / label) / 2) = 5"),
        ("2 * label ^ 2 = 8", "(2 * (label ^ 2)) = 8"),
        ("2 ^ label ^ 2 = 16", "((2 ^ label) ^ 2) = 16"),
        ("-label ^ 2 = 4", "((-label) ^ 2) = 4"),
        ("-tags[0] = -1", "(-(tags[0])) = -1"),
        ("split || kind || 'x' LIKE '*x'", "((split || kind) || 'x') LIKE '*x'"),
    ],
)
def test_precedence_is_that_of_the_grammar(text: str, same: str) -> None:
    assert query.parse_condition(text) == query.parse_condition(same)
    assert chosen(text) == chosen(same)


PYTHON = [
    "1 + 2 * 3 - 4",
    "2 * 3 + 4 * 5",
    "20 - 7 - 6",
    "100 / 5 / 2",
    "17 % 5 * 2",
    "2 + 3 > 4 and 1 > 2 or 3 > 2",
    "not 1 > 2 and 2 > 3",
    "not 1 == 2 or 2 == 3",
    "-3 + 5",
    "(1 + 2) * (3 - -4)",
    "1 > 2 or 2 > 1 and 3 > 4",
]


@pytest.mark.parametrize("text", PYTHON)
def test_precedence_agrees_with_python_where_both_have_the_operator(text: str) -> None:
    value = eval(text.replace("/", "//"))
    if isinstance(value, bool):
        assert chosen(text) == (ROWS.tolist() if value else [])
    else:
        assert weights(text) == [value] * 5


# --- values of the language -------------------------------------------------------------------------------------------


def test_random_is_a_function_of_seed_and_row_alone() -> None:
    table = pd.DataFrame({"a": range(20_000)})
    once = query.parse_weights("random(7)")
    every = once.values(table, np.arange(20_000))
    some = np.array([5, 19_999, 5, 0])
    assert np.array_equal(once.values(table, some), every[some])
    assert 0 <= every.min() < every.max() < 1
    assert abs(every.mean() - 0.5) < 5 * math.sqrt(1 / 12 / 20_000)
    assert abs(np.corrcoef(every, query.parse_weights("random(8)").values(table, np.arange(20_000)))[0, 1]) < 0.05


def test_whole_numbers_stay_exact_beyond_what_floats_hold() -> None:
    big = 2**53 + 1
    table = pd.DataFrame({"id": [big - 1, big, big + 1], "u": np.array([0, 2**63, 2**64 - 1], np.uint64)})
    rows = np.arange(3)

    def mask(text: str) -> list[bool]:
        return query.parse_condition(text).mask(table, rows).tolist()

    assert mask(f"id = {big}") == [False, True, False]
    assert mask(f"id IN ({big})") == [False, True, False]
    assert mask(f"id + 1 = {big + 1}") == [False, True, False]
    assert mask(f"u = {2**63}") == [False, True, False]
    assert mask(f"u IN ({2**64 - 1}, -1)") == [False, False, True]
    assert mask("u > id") == [False, True, True]


def test_a_number_takes_the_precision_of_a_float32_column_as_in_pandas() -> None:
    table = pd.DataFrame({"x": np.array([0.1, 0.2], np.float32)})
    assert (table["x"] == 0.1).tolist() == [True, False]
    for text in ("x = 0.1", "x IN (0.1)", "0.1 = x", "x BETWEEN 0.1 AND 0.1"):
        assert query.parse_condition(text).mask(table, np.arange(2)).tolist() == [True, False]


def test_whole_numbers_that_overflow_are_refused_and_not_wrapped() -> None:
    table = pd.DataFrame({"a": [3, 2**62]})
    assert query.parse_condition("a + a > 0").mask(table, np.array([0])).tolist() == [True]
    for text in ("a * a > 0", "a + a > 0", "a - -a > 0"):
        with pytest.raises(QueryError, match=r"does not fit a whole number of 64 bits(?s:.*)row 1"):
            query.parse_condition(text).mask(table, np.arange(2))
    assert query.parse_condition("1.0 * a * a > 0").mask(table, np.arange(2)).tolist() == [True, True]


def test_rows_may_repeat_and_come_in_any_order() -> None:
    rows = np.array([3, 0, 3, 4])
    assert query.parse_condition("age > 10").mask(TABLE, rows).tolist() == [True, False, True, False]
    assert query.parse_weights("label").values(TABLE, rows).tolist() == [1, 0, 1, 3]


def test_no_rows_give_no_values_but_the_text_is_checked_all_the_same() -> None:
    none = np.empty(0, np.int64)
    assert query.parse_condition("age > 10").mask(TABLE, none).shape == (0,)
    assert query.parse_weights("age").values(TABLE, none).shape == (0,)
    for text in ("agee > 10", "age > 'x'", "split = 'trian'", "kind = 'zz'", "contains(findings, 'Hernai')"):
        with pytest.raises(QueryError):
            query.parse_condition(text).mask(TABLE, none)
