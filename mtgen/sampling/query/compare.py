"""Comparisons: `= != < <= > >=`, IN and BETWEEN. A missing value makes every one of them false, `!=` and NOT IN too."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from mtgen.errors import QueryError
from mtgen.sampling.query import nodes
from mtgen.sampling.query.globs import of_codes, same
from mtgen.sampling.query.lists import lifted
from mtgen.sampling.query.matching import class_numbers
from mtgen.sampling.query.scope import Scope
from mtgen.sampling.query.values import Lists, Nothing, Numbers, Texts, Times, Truths, Value, length, present

_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_MIRRORED = {"=": "=", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
_MOMENT = re.compile(r"\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?(?:Z|[+-]\d{2}:\d{2})?)?", re.ASCII)
"""Dates and times as ISO 8601 writes them. pandas would also read 'now', which is another time at each call."""


def compare(scope: Scope, node: nodes.Compare, left: Value, right: Value) -> Value:
    """`left op right`, as truths, or as lists of truths where a list is compared.

    Raises:
        QueryError: values that cannot be compared, a text that the column never has.
    """
    if isinstance(left, Lists) or isinstance(right, Lists):
        return lifted(scope, node.place, lambda *pair: compare(scope, node, *pair), left, right)
    if isinstance(left, Texts) and left.literal and isinstance(right, Texts) and right.literal:
        raise scope.refuse(
            node.place, "both sides are texts in quotes; a column stands without quotes, an odd name in backticks"
        )
    if isinstance(left, Texts) and left.literal and not isinstance(right, Nothing):
        turned = nodes.Compare(_MIRRORED[node.op], node.right, node.left, place=node.place)
        return compare(scope, turned, right, left)
    if isinstance(left, Nothing) or isinstance(right, Nothing):
        none, other = (left, right) if isinstance(left, Nothing) else (right, left)
        if isinstance(none, Nothing) and isinstance(other, Texts) and other.literal and node.op in ("=", "!="):
            scope.met(none, other.literal, False)
        return Truths(np.zeros(max(length(left), length(right)), bool))
    return Truths(_compared(scope, node, left, right) & present(left) & present(right))


def _compared(scope: Scope, node: nodes.Compare, left: Value, right: Value) -> np.ndarray:
    do = _OPERATORS[node.op]
    if isinstance(right, Texts) and right.literal:
        return _with_literal(scope, node, left, right.literal)
    if isinstance(left, Numbers) and isinstance(right, Numbers):
        return do(*_precise(left, right))
    if isinstance(left, Truths) and isinstance(right, Truths):
        return do(left.values, right.values)
    if isinstance(left, Truths | Numbers) and isinstance(right, Truths | Numbers) and node.op in ("=", "!="):
        return do(left.values, right.values)  # 0 and 1, as CSV files have them
    if isinstance(left, Times) and isinstance(right, Times):
        if (left.values.tz is None) != (right.values.tz is None):  # pandas would call them all unequal
            raise scope.refuse(node.place, "times with and without a zone cannot be compared; give both a zone")
        return np.asarray(do(left.values, right.values), bool)
    if isinstance(left, Texts) and isinstance(right, Texts):
        if (left.ordered or right.ordered) and node.op not in ("=", "!="):
            return _ordered(scope, node, left, right)
        return np.asarray(do(left.strings(), right.strings()), bool)
    named, other = (left, right) if isinstance(left, Numbers) else (right, left)
    if isinstance(named, Numbers) and named.classes is not None and isinstance(other, Texts) and node.op in ("=", "!="):
        return np.asarray(do(_class_texts(named), other.strings()), bool)
    raise mismatch(scope, node, left, right)


def _precise(left: Numbers, right: Numbers) -> tuple[np.ndarray, np.ndarray]:
    """Both arrays; a number of the text takes the precision of a float32 column, so that x = 0.1 finds 0.1."""
    pair = [left.values, right.values]
    for one, (own, other) in enumerate(((left, right), (right, left))):
        if own.literal and other.values.dtype == np.float32 and own.values.dtype.kind == "f":
            with np.errstate(over="ignore"):
                pair[one] = own.values.astype(np.float32)
    return pair[0], pair[1]


def mismatch(scope: Scope, node: nodes.Compare, left: Value, right: Value) -> QueryError:
    """The error for kinds that cannot be compared; never an empty result."""
    kinds = {left.kind, right.kind}
    hint = ""
    if kinds == {"number", "text"}:
        hint = ". Write numbers without quotes, give class names for a label column, or change the column with pandas"
    elif "truth" in kinds:
        hint = ". Compare truths with True and False"
    elif "time" in kinds:
        hint = ". Compare times with a date in quotes, such as '2024-05-31' or '2024-05-31 12:00'"
    said = f"cannot compare {scope.said(node.left, left)} with {scope.said(node.right, right)} by {node.op}"
    return scope.refuse(node.place, said + hint)


# --- with a text in quotes --------------------------------------------------------------------------------------------


def _with_literal(scope: Scope, node: nodes.Compare, left: Value, asked: nodes.Text) -> np.ndarray:
    do = _OPERATORS[node.op]
    if isinstance(left, Texts):
        if node.op in ("=", "!="):
            hit = same(left.names, asked.text)
            scope.met(left, asked, bool(hit.any()))
            equal = of_codes(hit, left.codes)
            return equal if node.op == "=" else ~equal
        if left.ordered:
            place = np.flatnonzero(same(left.names, asked.text))
            if not len(place):
                raise scope.unknown(asked, scope.said(node.left, left), list(left.names))
            return do(left.codes, place[0])
        return of_codes(np.fromiter((do(name, asked.text) for name in left.names), bool, len(left.names)), left.codes)
    if isinstance(left, Numbers) and left.classes is not None:
        if node.op not in ("=", "!="):
            raise scope.refuse(node.place, f"class names have no order; compare the numbers, such as {node.op} 3")
        hit = same(np.array(left.classes, object), asked.text)
        equal = np.isin(left.values, class_numbers(scope, left, node.left, asked, hit))
        return equal if node.op == "=" else ~equal
    if isinstance(left, Times):
        return np.asarray(do(left.values, _moment(scope, left, asked)), bool)
    raise mismatch(scope, node, left, Texts(np.zeros(1, np.int64), np.array([asked.text], object), literal=asked))


def _moment(scope: Scope, times: Times, asked: nodes.Text) -> pd.Timestamp:
    """The time that a text names, in the column's zone unless it names its own."""
    if not _MOMENT.fullmatch(asked.text):
        raise scope.refuse(
            asked.place, "a date or time is written '2024-05-31', '2024-05-31 12:00' or '2024-05-31T12:00:00Z'"
        )
    try:
        moment = pd.Timestamp(asked.text)
        if moment.tz is None and times.values.tz is not None:
            moment = moment.tz_localize(times.values.tz)
    except (ValueError, OverflowError) as error:
        raise scope.refuse(asked.place, f"there is no such date or time: {error}") from None
    if moment.tz is not None and times.values.tz is None:
        raise scope.refuse(asked.place, "the column's times have no zone; write the time without one")
    return moment


def _ordered(scope: Scope, node: nodes.Compare, left: Texts, right: Texts) -> np.ndarray:
    if not (left.ordered and right.ordered and np.array_equal(left.names, right.names)):
        raise scope.refuse(
            node.place, "ordered categories are compared with a category in quotes, or with the same categories"
        )
    return _OPERATORS[node.op](left.codes, right.codes)


def _class_texts(value: Numbers) -> np.ndarray:
    """Class names of class numbers, object; an empty text for a number without a name."""
    names = np.array([*(value.classes or ()), ""], object)
    last = len(names) - 1
    known = (value.values >= 0) & (value.values < last) & (value.values == np.floor(value.values))
    return names[np.where(known, value.values, last).astype(np.int64)]


# --- IN ---------------------------------------------------------------------------------------------------------------


def is_in(scope: Scope, node: nodes.In, value: Value) -> Value:
    """`value IN (items)`, without the NOT; each distinct text is looked up once."""
    if isinstance(value, Lists):
        return lifted(scope, node.place, lambda inner: is_in(scope, node, inner), value)
    texts = [item for item in node.items if isinstance(item, nodes.Text)]
    if isinstance(value, Nothing):
        for text in texts:
            scope.met(value, text, False)
        return Truths(np.zeros(length(value), bool))
    plain = [item.value for item in node.items if isinstance(item, nodes.Number)]
    if isinstance(value, Texts) and len(texts) == len(node.items):
        wanted = {text.text for text in texts}
        seen = wanted.intersection(value.names)
        for text in texts:
            scope.met(value, text, text.text in seen)
        hit = np.fromiter((name in wanted for name in value.names), bool, len(value.names))
        return Truths(of_codes(hit, value.codes))
    if isinstance(value, Numbers) and len(texts) + len(plain) == len(node.items):
        if value.classes is not None:
            names = np.array(value.classes, object)
            for text in texts:
                plain.extend(class_numbers(scope, value, node.term, text, same(names, text.text)).tolist())
            texts = []
        if not texts:
            return Truths(_among(value, plain) & present(value))
    result = np.zeros(length(value), bool)
    for item in node.items:
        single = nodes.Compare("=", node.term, item, place=item.place)
        found = compare(scope, single, value, scope.literal(item))
        result |= found.values if isinstance(found, Truths) else False
    return Truths(result)


def _among(value: Numbers, wanted: list[int | float]) -> np.ndarray:
    """Which numbers are among those wanted; whole numbers are compared exactly."""
    dtype = value.values.dtype
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            return np.isin(value.values, np.array(wanted, np.float64).astype(dtype))
    limits = np.iinfo(dtype)
    whole = [int(number) for number in wanted if number == int(number) and limits.min <= number <= limits.max]
    return np.isin(value.values, np.array(whole, dtype))
