"""The language against a plain interpreter: 300 random expressions, row by row, over a random table.

The interpreter knows nothing of the parser: expressions are made as trees of tuples, written down with the fewest
brackets that the order of precedence allows, and computed from the tree in plain Python.
"""

from __future__ import annotations

import fnmatch
import math
import operator
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtgen.sampling import query
from mtgen.sampling.query import evaluation
from mtgen.sampling.query.globs import matcher, read_text

WORDS = ["ann", "bob", "bo*b", "it's", 'a"b', "Émile", "100%", "b\\c", "x_y", ""]
NAMES = ["cat", "dog", "cow", "crow"]
NUM_ROWS = 90


def make_table(rng: np.random.Generator) -> pd.DataFrame:
    texts = rng.choice(np.array(WORDS, object), NUM_ROWS)
    texts[:10] = WORDS
    lists = np.empty(NUM_ROWS, object)
    lists[:] = [list(rng.choice(np.array(WORDS, object), size)) for size in rng.integers(0, 4, NUM_ROWS)]
    lists[10] = WORDS[:]
    numbers = np.empty(NUM_ROWS, object)
    numbers[:] = [rng.integers(-3, 4, size).tolist() for size in rng.integers(0, 4, NUM_ROWS)]
    for cells in (texts, lists, numbers):
        cells[rng.choice(np.arange(11, NUM_ROWS), 8)] = None
    floats = rng.integers(-8, 9, NUM_ROWS) / 4
    floats[rng.random(NUM_ROWS) < 0.1] = np.nan
    kinds = rng.choice(np.array(NAMES, object), NUM_ROWS)
    kinds[:4], kinds[5] = NAMES, None
    return pd.DataFrame(
        {
            "i": rng.integers(-9, 10, NUM_ROWS),
            "n": pd.array(np.where(rng.random(NUM_ROWS) < 0.2, None, rng.integers(-5, 6, NUM_ROWS)), dtype="Int64"),
            "x": floats,
            "t": pd.Series(texts, dtype=rng.choice(["str", "object"])),
            "k": pd.Categorical(kinds, categories=NAMES),
            "l": rng.integers(-1, 4, NUM_ROWS),
            "f": rng.random(NUM_ROWS) < 0.5,
            "c": lists,
            "m": numbers,
        }
    )


# --- trees ------------------------------------------------------------------------------------------------------------


def number(rng: np.random.Generator, depth: int) -> tuple[Any, ...]:
    kind = rng.integers(0, 5 if depth <= 0 else 10)
    if kind < 3:
        return "column", str(rng.choice(["i", "n", "x"]))
    if kind == 3:
        return "number", int(rng.integers(0, 9))
    if kind == 4:
        return "number", float(rng.integers(0, 17) / 4)
    if kind == 5:
        return "minus", number(rng, depth - 1)
    if kind == 6:
        return "len", str(rng.choice(["c", "m", "t"]))
    if kind == 7:
        return "element", int(rng.integers(-3, 3))
    return "arithmetic", str(rng.choice(list("+-*/%"))), number(rng, depth - 1), number(rng, depth - 1)


def condition(rng: np.random.Generator, depth: int) -> tuple[Any, ...]:
    pattern = str(rng.choice(["*", "b*", "*b", "?o?", "*o*", "a*n", "bo[*]b", "??"]))
    negated = bool(rng.random() < 0.4)
    op = str(rng.choice(["=", "!=", "<", "<=", ">", ">="]))
    kind = rng.integers(3 if depth <= 0 else 0, 17)
    if kind == 0:
        return "not", condition(rng, depth - 1)
    if kind in (1, 2):
        return ("and", "or")[kind - 1], *(condition(rng, depth - 1) for _ in range(rng.integers(2, 4)))
    if kind in (3, 4):
        return "compare", op, number(rng, depth), number(rng, depth)
    if kind == 5:
        return "text", op, "t", str(rng.choice(WORDS))
    if kind == 6:
        return "text", str(rng.choice(["=", "!="])), str(rng.choice(["k", "l"])), str(rng.choice(NAMES))
    if kind == 7:
        return "in", "t", [str(word) for word in rng.choice(WORDS, 3)], negated
    if kind == 8:
        return "in", "l", [*map(str, rng.choice(NAMES, 2)), int(rng.integers(0, 4))], negated
    if kind == 9:
        return (
            "in",
            str(rng.choice(["i", "n", "x"])),
            [int(rng.integers(-5, 6)), float(rng.integers(-9, 9) / 4)],
            negated,
        )
    if kind == 10:
        return "between", number(rng, depth - 1), number(rng, depth - 1), number(rng, depth - 1), negated
    if kind == 11:
        return "like", "t", pattern, negated, bool(rng.random() < 0.3)
    if kind == 12:
        return "null", str(rng.choice(["i", "n", "x", "t", "k", "c", "m"])), negated
    if kind == 13:
        return (
            ("contains", "c", str(rng.choice(WORDS)))
            if rng.random() < 0.5
            else ("contains", "m", int(rng.integers(-3, 4)))
        )
    if kind == 14:
        return "within", str(rng.choice(["an", "o", "b", "%"]))
    if kind == 15:
        return "some", str(rng.choice(["any", "all", "all_strict"])), op, int(rng.integers(-3, 4))
    return ("flag",)


# --- as text ----------------------------------------------------------------------------------------------------------

LEVELS = {"or": 1, "and": 2, "not": 3, "=": 4, "!=": 4, "like": 4, "<": 5, "<=": 5, ">": 5, ">=": 5, "postfix": 6}
LEVELS |= {"+": 7, "-": 7, "*": 8, "/": 8, "%": 8, "minus": 11, "atom": 13}


def quoted(rng: np.random.Generator, text: str, *, glob: bool = False) -> str:
    quote = "'" if rng.random() < 0.5 else '"'
    text = text.replace("\\", "\\\\")
    text = text.replace(quote, quote * 2 if rng.random() < 0.5 else f"\\{quote}")
    if glob:
        return quote + text.replace("[*]", "\\*") + quote
    return quote + text.replace("*", "\\*" if rng.random() < 0.5 else "*") + quote


def literal(rng: np.random.Generator, value: Any) -> str:
    return quoted(rng, value) if isinstance(value, str) else str(value)


def word(rng: np.random.Generator, text: str) -> str:
    return text.upper() if rng.random() < 0.5 else text.lower()


def written(rng: np.random.Generator, tree: tuple[Any, ...]) -> tuple[str, int]:
    """The text of a tree, and its level of precedence."""

    def at(part: tuple[Any, ...], least: int) -> str:
        text, level = written(rng, part)
        return text if level >= least and rng.random() < 0.9 else f"({text})"

    name, *parts = tree
    negated = f"{word(rng, 'not')} "
    if name == "column":
        return parts[0], LEVELS["atom"]
    if name == "number":
        return str(parts[0]), LEVELS["atom"]
    if name == "minus":
        return f"-{at(parts[0], LEVELS['minus'])}", LEVELS["minus"]
    if name == "len":
        return f"{word(rng, 'len')}({parts[0]})", LEVELS["atom"]
    if name == "element":
        return f"m[{parts[0]}]", LEVELS["atom"]
    if name == "arithmetic":
        level = LEVELS[parts[0]]
        return f"{at(parts[1], level)} {parts[0]} {at(parts[2], level + 1)}", level
    if name == "not":
        return f"{negated}{at(parts[0], LEVELS['not'])}", LEVELS["not"]
    if name in ("and", "or"):
        return f" {word(rng, name)} ".join(at(part, LEVELS[name] + 1) for part in parts), LEVELS[name]
    if name == "compare":
        level = LEVELS[parts[0]]
        return f"{at(parts[1], level + 1)} {parts[0]} {at(parts[2], level + 1)}", level
    if name == "text":
        return f"{parts[1]} {parts[0]} {quoted(rng, parts[2])}", LEVELS[parts[0]]
    if name == "in":
        items = ", ".join(literal(rng, item) for item in parts[1])
        return f"{parts[0]} {negated if parts[2] else ''}{word(rng, 'in')} ({items})", LEVELS["postfix"]
    if name == "between":
        value, low, high = (at(part, LEVELS["+"]) for part in parts[:3])
        return f"{value} {negated if parts[3] else ''}{word(rng, 'between')} {low} and {high}", LEVELS["postfix"]
    if name == "like":
        like = word(rng, "ilike" if parts[3] else "like")
        return f"{parts[0]} {negated if parts[2] else ''}{like} {quoted(rng, parts[1], glob=True)}", LEVELS["like"]
    if name == "null":
        return f"{parts[0]} is {negated if parts[1] else ''}{word(rng, 'null')}", LEVELS["postfix"]
    if name == "contains":
        value = (
            literal(rng, parts[1]).replace("*", "\\*").replace("\\\\*", "\\*")
            if parts[1] == "bo*b"
            else literal(rng, parts[1])
        )
        return f"{word(rng, 'contains')}({parts[0]}, {value})", LEVELS["atom"]
    if name == "within":
        return f"contains(t, {quoted(rng, parts[0])})", LEVELS["atom"]
    if name == "some":
        return f"{word(rng, parts[0])}(m {parts[1]} {parts[2]})", LEVELS["atom"]
    return "f", LEVELS["atom"]


# --- plainly computed -------------------------------------------------------------------------------------------------

COMPARE = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def cell(row: dict[str, Any], name: str) -> Any:
    value = row[name]
    if isinstance(value, list):
        return value
    return None if value is pd.NA or value is None or value != value else value


def compute(op: str, one: Any, two: Any) -> Any:
    if one is None or two is None:
        return None
    if op in "+-*":
        return {"+": operator.add, "-": operator.sub, "*": operator.mul}[op](one, two)
    if two == 0:
        return None
    if isinstance(one, int) and isinstance(two, int):
        quotient = abs(one) // abs(two) * (1 if (one < 0) == (two < 0) else -1)
        return quotient if op == "/" else one - quotient * two
    return one / two if op == "/" else math.fmod(one, two)


def value_of(tree: tuple[Any, ...], row: dict[str, Any]) -> Any:
    name, *parts = tree
    if name == "column":
        value = cell(row, parts[0])
        return value if value is None or isinstance(value, float) else int(value)
    if name == "number":
        return parts[0]
    if name == "minus":
        value = value_of(parts[0], row)
        return None if value is None else -value
    if name == "len":
        value = cell(row, parts[0])
        return None if value is None else len(value)
    if name == "element":
        held = cell(row, "m") or []
        return held[parts[0]] if -len(held) <= parts[0] < len(held) else None
    return compute(parts[0], value_of(parts[1], row), value_of(parts[2], row))


def named(row: dict[str, Any], column: str) -> Any:
    value = cell(row, column)
    return (NAMES[value] if value >= 0 else "no name") if column == "l" else value


def holds(tree: tuple[Any, ...], row: dict[str, Any]) -> bool:
    name, *parts = tree
    if name == "not":
        return not holds(parts[0], row)
    if name in ("and", "or"):
        return {"and": all, "or": any}[name]([holds(part, row) for part in parts])
    if name == "compare":
        one, two = value_of(parts[1], row), value_of(parts[2], row)
        return one is not None and two is not None and COMPARE[parts[0]](one, two)
    if name == "text":
        value = named(row, parts[1])
        return value is not None and COMPARE[parts[0]](value, parts[2])
    if name == "in":
        value = cell(row, parts[0])
        found = value in parts[1] or (parts[0] == "l" and named(row, "l") in parts[1])
        return value is not None and found != parts[2]
    if name == "between":
        value, low, high = (value_of(part, row) for part in parts[:3])
        return None not in (value, low, high) and (low <= value <= high) != parts[3]
    if name == "like":
        value = cell(row, parts[0])
        if value is None:
            return False
        value, pattern = (value.casefold(), parts[1].casefold()) if parts[3] else (value, parts[1])
        return fnmatch.fnmatchcase(value, pattern) != parts[2]
    if name == "null":
        return (cell(row, parts[0]) is None) != parts[1]
    if name == "contains":
        return parts[1] in (cell(row, parts[0]) or [])
    if name == "within":
        return parts[0] in (cell(row, "t") or "")
    if name == "some":
        held = cell(row, "m")
        verdicts = [COMPARE[parts[1]](value, parts[2]) for value in held or []]
        kinds = {"any": any(verdicts), "all": all(verdicts), "all_strict": bool(verdicts) and all(verdicts)}
        return held is not None and kinds[parts[0]]
    return bool(row["f"])


def plain_rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    return table.astype(object).to_dict("records")


CLASSES = {"l": NAMES}


@pytest.mark.parametrize("part", range(10))
def test_300_random_conditions_agree_with_a_plain_interpreter(part: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation, "BLOCK_ROWS", 37)
    rng = np.random.default_rng(part)
    table = make_table(rng)
    rows = plain_rows(table)
    asked = rng.integers(0, NUM_ROWS, 120)
    chosen = 0
    for _ in range(30):
        tree = condition(rng, 3)
        text, _ = written(rng, tree)
        mask = query.parse_condition(text).mask(table, asked, CLASSES)
        assert mask.tolist() == [holds(tree, rows[row]) for row in asked], (text, tree)
        chosen += int(mask.sum())
    assert 0 < chosen < 30 * len(asked)


@pytest.mark.parametrize("part", range(3))
def test_random_weights_agree_with_a_plain_interpreter(part: int) -> None:
    rng = np.random.default_rng(100 + part)
    table = make_table(rng)
    rows = plain_rows(table)
    for choice, best in (("max", max), ("sum", sum)):
        for _ in range(10):
            pairs = [(condition(rng, 1), int(rng.integers(0, 20))) for _ in range(rng.integers(1, 5))]
            text = ", ".join(f"{written(rng, tree)[0]}: {weight}" for tree, weight in pairs)
            values = query.parse_weights(f"{choice}_weight({text})").values(table, np.arange(NUM_ROWS), CLASSES)
            wanted = [best([weight for tree, weight in pairs if holds(tree, row)] or [0]) for row in rows]
            assert values.tolist() == wanted, text
            again = query.parse_weights(text).values(table, np.arange(NUM_ROWS), CLASSES, choice=choice)
            assert again.tolist() == wanted


@given(st.text("ab*?\\[.", max_size=12), st.text("ab[.\n", max_size=12), st.booleans())
def test_globs_agree_with_fnmatch(pattern: str, text: str, whole: bool) -> None:
    pattern = pattern.replace("\\", "")
    glob = read_text(f"'{pattern}'")[1]
    plain = pattern.replace("[", "[[]")
    assert matcher(glob, whole=whole)(text) == fnmatch.fnmatchcase(text, plain if whole else f"*{plain}*")


@given(st.text(max_size=20), st.sampled_from("'\""))
def test_any_text_can_be_written_in_quotes(text: str, quote: str) -> None:
    body = text.replace("\\", "\\\\").replace(quote, quote * 2)
    table = pd.DataFrame({"t": [text, text + "!"]})
    assert query.parse_condition(f"t = {quote}{body}{quote}").mask(table, np.arange(2)).tolist() == [True, False]
    stars = body.replace("*", "\\*").replace("?", "\\?").replace("%", "\\%")
    assert query.parse_condition(f"t LIKE {quote}{stars}{quote}").mask(table, np.arange(2)).tolist() == [True, False]
