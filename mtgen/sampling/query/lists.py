"""Lists: operations element by element, any and all, places and stretches, lengths and shapes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mtgen.sampling.query import nodes
from mtgen.sampling.query.places import Place
from mtgen.sampling.query.scope import Scope
from mtgen.sampling.query.values import (
    Lists,
    Nothing,
    Numbers,
    Texts,
    Truths,
    Value,
    either,
    length,
    numbers,
    spread,
    stretches,
    take,
)


def lifted(scope: Scope, place: Place, do: Callable[..., Value], *values: Value) -> Value:
    """Do it element by element, where one of the values is a list; values of a row go with each of its elements.

    Raises:
        QueryError: two lists of one row have different lengths.
    """
    found = [value for value in values if isinstance(value, Lists)]
    if not found:
        return do(*values)
    first, missing = found[0], either(*(value.missing for value in found))
    for other in found[1:]:
        differ = first.lengths != other.lengths
        differ &= ~missing if missing is not None else True
        if differ.any():
            row = int(np.argmax(differ))
            raise scope.refuse(
                place, f"two lists of one row have {first.lengths[row]} and {other.lengths[row]} elements", element=row
            )
    if missing is not None and len(found) > 1:
        kept = np.where(missing, -1, np.arange(len(missing)))
        values = tuple(take(value, kept) if isinstance(value, Lists) else value for value in values)
        first = next(value for value in values if isinstance(value, Lists))
    inner = [value.inner if isinstance(value, Lists) else spread(value, first) for value in values]
    with scope.inside(first):
        result = lifted(scope, place, do, *inner)
    size = int(first.lengths.sum())
    return Lists(first.lengths, result if length(result) == size else _stretched(result, size), missing)


def _stretched(value: Value, size: int) -> Value:
    """A constant, once for each element."""
    return take(value, np.zeros(size, np.int64))


# --- any, all ---------------------------------------------------------------------------------------------------------


def reduced(scope: Scope, node: nodes.Call, value: Value) -> Truths:
    """`any`, `all` (true for an empty list), `all_strict` (false for one); a missing list is false for each of them."""
    if isinstance(value, Lists):
        inner = value.inner
        if isinstance(inner, Lists):
            raise scope.refuse(node.place, f"{node.name} takes one list in each row, received lists of lists")
        holds = truths(scope, node.arguments[0], inner)
        held = np.bincount(value.row_of[holds], minlength=len(value.lengths))
        rows = held > 0 if node.name == "any" else held == value.lengths
        if node.name == "all_strict":
            rows &= value.lengths > 0
        return Truths(rows if value.missing is None else rows & ~value.missing)
    return Truths(truths(scope, node.arguments[0], value))


def truths(scope: Scope, node: nodes.Node, value: Value) -> np.ndarray:
    """A condition's verdict, bool; missing is false.

    Raises:
        QueryError: the value is no condition.
    """
    if isinstance(value, Truths):
        return value.values if value.missing is None else value.values & ~value.missing
    if isinstance(value, Nothing):
        return np.zeros(length(value), bool)
    said = scope.said(node, value)
    if isinstance(value, Lists):
        raise scope.refuse(
            node.place,
            f"{said} holds a list in each row, expected one truth: write contains(...), any(...) or all(...)",
        )
    told = {"number": "compare it, such as != 0", "text": "compare it, such as = 'a'; a column stands without quotes"}
    raise scope.refuse(
        node.place, f"{said} is no condition: {told.get(value.kind, 'compare it with a date in quotes')}"
    )


# --- places and stretches ---------------------------------------------------------------------------------------------


def indexed(scope: Scope, node: nodes.Index, value: Value) -> Value:
    """`value[part, ...]`; beyond the end of a list there is a missing value."""
    for level, part in enumerate(node.parts):
        if isinstance(part, nodes.Stretch):
            if not isinstance(value, Lists | Nothing):
                raise _no_list(scope, node, value)
            if isinstance(value, Nothing):
                return value
            cut = _cut(value, part)
            rest = node.parts[level + 1 :]
            if not rest:
                return cut
            deeper = nodes.Index(node.term, rest, place=node.place)
            with scope.inside(cut):
                return Lists(cut.lengths, indexed(scope, deeper, cut.inner), cut.missing)
        if isinstance(value, Nothing):
            return value
        if not isinstance(value, Lists):
            raise _no_list(scope, node, value)
        if isinstance(part, nodes.Element):
            value = _element(value, part.number)
    return value


def _no_list(scope: Scope, node: nodes.Index, value: Value) -> Exception:
    told = ". Part a text into a list with pandas: table['a'].str.split('|')" if isinstance(value, Texts) else ""
    return scope.refuse(node.place, f"[...] takes lists, received {scope.said(node.term, value)}{told}")


def _element(value: Lists, number: int) -> Value:
    places = value.starts + (number if number >= 0 else number + value.lengths)
    inside = (number < value.lengths) if number >= 0 else (-number <= value.lengths)
    return take(value.inner, np.where(inside, places, -1))


def _cut(value: Lists, part: nodes.Stretch) -> Lists:
    def bound(number: int | None, default: np.ndarray) -> np.ndarray:
        if number is None:
            return default
        return np.clip(number if number >= 0 else number + value.lengths, 0, value.lengths)

    start = bound(part.start, np.zeros_like(value.lengths))
    lengths = np.maximum(bound(part.stop, value.lengths) - start, 0)
    return Lists(lengths, take(value.inner, stretches(value.starts + start, lengths)), value.missing)


# --- lengths ----------------------------------------------------------------------------------------------------------


def measured(scope: Scope, node: nodes.Call, value: Value) -> Value:
    """`len(value)`: elements of a list, characters of a text."""
    if isinstance(value, Lists):
        return numbers(value.lengths, value.missing)
    if isinstance(value, Texts):
        sizes = np.fromiter(map(len, value.names), np.int64, len(value.names))
        return numbers(np.append(sizes, 0)[value.codes], value.missing)
    if isinstance(value, Nothing):
        return value
    raise scope.refuse(node.place, f"len takes lists and texts, received {scope.said(node.arguments[0], value)}")


def shaped(scope: Scope, node: nodes.Call, value: Value) -> Value:
    """`shape(value)`: elements at each level; missing where the lists of one level differ in length."""
    if isinstance(value, Nothing):
        return value
    if not isinstance(value, Lists):
        raise scope.refuse(node.place, f"shape takes lists, received {scope.said(node.arguments[0], value)}")
    sizes, known = [value.lengths], [np.ones(len(value.lengths), bool)]
    row_of, level = value.row_of, value.inner
    while isinstance(level, Lists):
        most = np.full(len(value.lengths), -1)
        least = np.full(len(value.lengths), np.iinfo(np.int64).max)
        np.maximum.at(most, row_of, level.lengths)
        np.minimum.at(least, row_of, level.lengths)
        sizes.append(np.maximum(most, 0))
        known.append(most == least)
        row_of, level = row_of[level.row_of], level.inner
    num = len(sizes)
    flat = Numbers(np.stack(sizes, 1).ravel(), ~np.stack(known, 1).ravel())
    lengths = np.full(len(value.lengths), num)
    return take(Lists(lengths, flat), _rows(value))


def _rows(value: Lists) -> np.ndarray:
    rows = np.arange(len(value.lengths))
    return rows if value.missing is None else np.where(value.missing, -1, rows)
