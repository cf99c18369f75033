"""Arithmetic on numbers, and `||` on texts.

Whole numbers stay whole: `/` cuts towards zero and `%` has the sign of what is divided, as in C++ and SQL. What does
not fit 64 bits is an error. Division by zero gives a missing value, as in SQLite: there is no way to write a guard
that is looked at first. `^` always gives a float, so that the type of an expression never depends on the data.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mtgen.errors import QueryError
from mtgen.sampling.query.lists import lifted
from mtgen.sampling.query.nodes import Chain, Node
from mtgen.sampling.query.places import Place
from mtgen.sampling.query.scope import Scope
from mtgen.sampling.query.values import Nothing, Numbers, Texts, Value, either, length, numbers

_LEAST, _MOST = -(2**63), 2**63 - 1
_PLAIN: dict[str, Callable[..., np.ndarray]] = {"+": np.add, "-": np.subtract, "*": np.multiply}


def chained(scope: Scope, node: Chain, values: list[Value]) -> Value:
    """`first op term op term ...`, from left to right.

    Args:
        scope: the evaluation.
        node: the chain.
        values: of `first` and of each term.
    """
    result, left = values[0], node.first
    for (op, right), value in zip(node.rest, values[1:], strict=True):
        done = Chain(node.first, (), place=(node.first.place[0], right.place[1]))
        result = _applied(scope, op, (left, right), result, value)
        left = done
    return result


def _applied(scope: Scope, op: str, sides: tuple[Node, Node], left: Value, right: Value) -> Value:
    place = (sides[0].place[0], sides[1].place[1])

    def do(left: Value, right: Value) -> Value:
        if isinstance(left, Nothing) or isinstance(right, Nothing):
            return Nothing(np.ones(max(length(left), length(right)), bool))
        if op == "||":
            return _joined(scope, sides, left, right)
        if isinstance(left, Numbers) and isinstance(right, Numbers):
            return _computed(scope, op, place, left, right)
        wrong = (sides[0], left) if not isinstance(left, Numbers) else (sides[1], right)
        told = {"text": "; join texts with ||", "truth": "; a truth counts by max_weight(truth: 1)"}.get(
            wrong[1].kind, ""
        )
        raise scope.refuse(wrong[0].place, f"{op} takes numbers, received {scope.said(*wrong)}{told}")

    return lifted(scope, place, do, left, right)


def negative(scope: Scope, node: Node, term: Node, value: Value) -> Value:
    """`-value`."""

    def do(value: Value) -> Value:
        if isinstance(value, Nothing):
            return value
        if not isinstance(value, Numbers):
            raise scope.refuse(node.place, f"- takes numbers, received {scope.said(term, value)}")
        if value.values.dtype.kind == "f" or value.values.dtype == np.int64:
            zero = Numbers(np.zeros(1, value.values.dtype))
            result = _computed(scope, "-", node.place, zero, value) if value.values.dtype.kind != "f" else value
            plain = -value.values if result is value else result.values
            return Numbers(plain, value.missing, literal=value.literal)
        return _computed(scope, "-", node.place, Numbers(np.zeros(1, np.int64)), value)

    return lifted(scope, node.place, do, value)


def _joined(scope: Scope, sides: tuple[Node, Node], left: Value, right: Value) -> Value:
    for side, value in zip(sides, (left, right), strict=True):
        if not isinstance(value, Texts):
            raise scope.refuse(side.place, f"|| joins texts, received {scope.said(side, value)}; for or write OR")
    texts = [value for value in (left, right) if isinstance(value, Texts)]
    joined = texts[0].strings() + texts[1].strings()
    missing = either(*(value.missing for value in texts))
    codes = np.arange(len(joined))
    return Texts(codes if missing is None else np.where(missing, -1, codes), joined)


def _computed(scope: Scope, op: str, place: Place, left: Numbers, right: Numbers) -> Numbers:
    missing = either(left.missing, right.missing)
    if op != "^" and left.values.dtype.kind != "f" and right.values.dtype.kind != "f":
        one, two = (_signed(scope, place, value.values) for value in (left, right))
        if op in _PLAIN:
            return numbers(_fitting(scope, op, place, one, two, missing), missing)
        zero = np.broadcast_to(two == 0, np.broadcast_shapes(one.shape, two.shape))
        if ((one == _LEAST) & (two == -1)).any():
            raise _overflow(scope, place, int(np.argmax((one == _LEAST) & (two == -1))))
        return numbers(_divided(op, one, np.where(two == 0, 1, two)), either(missing, zero if zero.any() else None))
    with np.errstate(all="ignore"):
        return numbers(_floats(op, left.values.astype(np.float64), right.values.astype(np.float64)), missing)


def _divided(op: str, one: np.ndarray, two: np.ndarray) -> np.ndarray:
    remainder = np.fmod(one, two)
    return remainder if op == "%" else (one - remainder) // two


def _floats(op: str, one: np.ndarray, two: np.ndarray) -> np.ndarray:
    if op in _PLAIN:
        return _PLAIN[op](one, two)
    if op == "^":
        return np.where((one == 0) & (two < 0), np.nan, np.power(one, two))
    divided = one / two if op == "/" else np.fmod(one, two)
    return np.where(two == 0, np.nan, divided)


def _signed(scope: Scope, place: Place, values: np.ndarray) -> np.ndarray:
    if values.dtype == np.uint64 and len(values) and values.max() > _MOST:
        raise _overflow(scope, place, int(values.argmax()))
    return values.astype(np.int64)


def _fitting(
    scope: Scope, op: str, place: Place, one: np.ndarray, two: np.ndarray, missing: np.ndarray | None
) -> np.ndarray:
    """The whole numbers' result, if it fits; looked at number by number only where the extremes do not."""
    ends = [[int(value.min()), int(value.max())] if len(value) else [0, 0] for value in (one, two)]
    tried = [{"+": a + b, "-": a - b, "*": a * b}[op] for a in ends[0] for b in ends[1]]
    if min(tried) < _LEAST or max(tried) > _MOST:
        rough = _PLAIN[op](one.astype(np.float64), two.astype(np.float64))
        wrong = np.abs(rough) >= 2.0**63 * (1 - 2.0**-50)
        wrong = wrong if missing is None else wrong & ~missing
        if wrong.any():
            raise _overflow(scope, place, int(np.argmax(wrong)))
    with np.errstate(over="ignore"):
        return _PLAIN[op](one, two)


def _overflow(scope: Scope, place: Place, element: int) -> QueryError:
    return scope.refuse(
        place, "the result does not fit a whole number of 64 bits; write 1.0 * to compute with floats", element=element
    )
