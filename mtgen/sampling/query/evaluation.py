"""An expression over the rows of a table: node by node, block by block."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from mtgen import seeds
from mtgen.errors import QueryError
from mtgen.sampling.query import nodes
from mtgen.sampling.query.arithmetic import chained, negative
from mtgen.sampling.query.compare import compare, is_in
from mtgen.sampling.query.lists import indexed, lifted, measured, reduced, shaped, truths
from mtgen.sampling.query.matching import like
from mtgen.sampling.query.membership import contains
from mtgen.sampling.query.nodes import Node
from mtgen.sampling.query.scope import BLOCK_ROWS, Scope
from mtgen.sampling.query.values import (
    Nothing,
    Numbers,
    Truths,
    Value,
    length,
    numbers,
    present,
)
from mtgen.settings import shown


class Evaluation:
    """The value of expressions of one query over a table; not shared between threads.

    Args:
        query: the text, for messages.
        table: the root table.
        classes: names of the class numbers of label columns.
    """

    def __init__(self, query: str, table: pd.DataFrame, classes: Mapping[str, Sequence[str]] | None) -> None:
        if not isinstance(table, pd.DataFrame):
            raise QueryError(f"a query asks a pandas DataFrame, received {shown(table)}")
        if classes is not None and not isinstance(classes, Mapping):
            raise QueryError(f"classes are {{column: [class names]}}, received {shown(classes)}")
        for name, names in (classes or {}).items():
            if isinstance(names, str | bytes) or not isinstance(names, Sequence | np.ndarray | pd.Index):
                raise QueryError(f"classes[{name!r}] must be a list of class names, received {shown(names)}")
        self.scope = Scope(query, table, classes)

    def blocks(self, rows: np.ndarray) -> Iterator[slice]:
        """Go through the rows block by block, at least once; afterwards names in quotes are checked.

        Args:
            rows: int64 `(n,)` places in the table.

        Yields:
            The part of `rows` that the evaluation now looks at.

        Raises:
            QueryError: rows that the table does not have; a text in quotes that its column never has.
        """
        for start in range(0, max(len(rows), 1), BLOCK_ROWS):
            self.scope.enter(rows[start : start + BLOCK_ROWS])
            yield slice(start, min(start + BLOCK_ROWS, len(rows)))
        self.scope.check_met()

    def value(self, node: Node) -> Value:
        """What a node is worth over the rows of the block.

        Raises:
            QueryError: it does not fit the table.
        """
        return _DO[type(node)](self, node)

    def condition(self, node: Node) -> np.ndarray:
        """A condition's verdict over the rows of the block, bool `(n,)` or `(1,)`."""
        return truths(self.scope, node, self.value(node))

    # --- leaves

    def _random(self, node: nodes.Call) -> Value:
        seed = node.arguments[0]
        key = seeds.key(int(seed.value) if isinstance(seed, nodes.Number) else 0, "query")
        return Numbers((seeds.words(key, self.scope.rows) >> np.uint64(11)).astype(np.float64) * 2.0**-53)

    # --- operators

    def _is_null(self, node: nodes.IsNull) -> Value:
        value = self.value(node.term)  # of a list: the list itself, not its elements
        return Truths(np.broadcast_to(~present(value) ^ node.negated, length(value)))

    def _in(self, node: nodes.In) -> Value:
        value = self.value(node.term)
        return self._turned(node, value, is_in(self.scope, node, value))

    def _like(self, node: nodes.Like) -> Value:
        value = self.value(node.term)
        return self._turned(node, value, like(self.scope, node, value))

    def _between(self, node: nodes.Between) -> Value:
        value, low, high = self.value(node.term), self.value(node.low), self.value(node.high)
        above = compare(self.scope, nodes.Compare(">=", node.term, node.low, place=node.place), value, low)
        below = compare(self.scope, nodes.Compare("<=", node.term, node.high, place=node.place), value, high)
        inside = self._together(node, np.logical_and, above, below)
        return inside if not node.negated else self._turned(node, value, inside, low, high)

    def _turned(self, node: Any, value: Value, verdict: Value, *others: Value) -> Value:
        """The opposite, if the operator is negated: false where something is missing, as `!=` is."""
        if not node.negated:
            return verdict

        def do(verdict: Value, *values: Value) -> Value:
            result = ~truths(self.scope, node, verdict)
            for one in values:
                result = result & present(one)
            return Truths(result)

        return lifted(self.scope, node.place, do, verdict, value, *others)

    def _together(self, node: Node, do: Callable[..., np.ndarray], *values: Value) -> Value:
        def each(*values: Value) -> Value:
            return Truths(do(*(truths(self.scope, node, value) for value in values)))

        return lifted(self.scope, node.place, each, *values)

    def _and(self, node: nodes.And) -> Value:
        result = self.condition(node.terms[0])
        for term in node.terms[1:]:
            result = result & self.condition(term)
        return Truths(result)

    def _or(self, node: nodes.Or) -> Value:
        result = self.condition(node.terms[0])
        for term in node.terms[1:]:
            result = result | self.condition(term)
        return Truths(result)

    def _chain(self, node: nodes.Chain) -> Value:
        return chained(self.scope, node, [self.value(node.first), *(self.value(term) for _, term in node.rest)])

    # --- functions

    def _call(self, node: nodes.Call) -> Value:
        if node.name == "random":
            return self._random(node)
        if node.name == "row_number":
            return Numbers(np.asarray(self.scope.rows, np.int64))
        values = [self.value(argument) for argument in node.arguments]
        if node.name == "contains":
            return contains(self.scope, node, *values)
        if node.name == "len":
            return measured(self.scope, node, *values)
        if node.name == "shape":
            return shaped(self.scope, node, *values)
        if node.name.startswith("logical_"):
            do = {"logical_and": np.logical_and, "logical_or": np.logical_or, "logical_not": np.logical_not}[node.name]
            return self._together(node, do, *values)
        return reduced(self.scope, node, *values)

    def _choice(self, node: nodes.Choice) -> Value:
        return Numbers(self.chosen(node, node.choice))

    def chosen(self, node: nodes.Choice, choice: str | None) -> np.ndarray:
        """The weight of each row of the block: the largest, or the sum, of those whose condition holds; else 0.

        Args:
            node: the pairs.
            choice: "max" or "sum"; None only for a single pair.

        Returns:
            float64 `(n,)`.

        Raises:
            QueryError: a weight that is none.
        """
        if choice is None and len(node.pairs) > 1:
            raise self.scope.refuse(
                node.place,
                "several conditions can hold in one row: write max_weight(...) or sum_weight(...), or say "
                "choice='max' or choice='sum'",
            )
        result = np.zeros(len(self.scope.rows))
        for condition, weight in node.pairs:
            holds = np.broadcast_to(self.condition(condition), len(result))
            each = np.where(holds, self.weights(weight, holds), 0.0)
            with np.errstate(over="ignore"):
                result = result + each if choice == "sum" else np.maximum(result, each)
        return result

    def weights(self, node: Node, holds: np.ndarray | None = None) -> np.ndarray:
        """A node's value as weights, float64 `(n,)`, looked at where `holds`.

        Raises:
            QueryError: not a number; negative, missing or infinite in a row.
        """
        value, size = self.value(node), len(self.scope.rows)
        if isinstance(value, Nothing):
            value = numbers(np.full(length(value), np.nan))
        if not isinstance(value, Numbers):
            told = {
                "truth": "; write max_weight(condition: 1), or condition: 20, True: 1",
                "text": "; a column stands without quotes" if isinstance(node, nodes.Text) else "",
                "list": "; choose one number, such as [0]",
            }.get(value.kind, "")
            raise self.scope.refuse(node.place, f"a weight is a number, received {self.scope.said(node, value)}{told}")
        weights = np.broadcast_to(value.values.astype(np.float64), size)
        if value.missing is not None:
            weights = np.where(value.missing, np.nan, weights)
        bad = ~(np.isfinite(weights) & (weights >= 0)) & (True if holds is None else holds)
        if bad.any():
            row = int(np.argmax(bad))
            what = "missing (or not a number)" if np.isnan(weights[row]) else f"{weights[row]}"
            said = self.scope.said(node, value)
            raise self.scope.refuse(
                node.place, f"a weight must be finite and not negative: {said} is {what}", element=row
            )
        return weights


_DO: dict[type[Node], Callable[[Evaluation, Any], Value]] = {
    nodes.Number: lambda self, node: self.scope.literal(node),
    nodes.Text: lambda self, node: self.scope.literal(node),
    nodes.Truth: lambda self, node: self.scope.literal(node),
    nodes.Column: lambda self, node: self.scope.cells(node),
    nodes.Minus: lambda self, node: negative(self.scope, node, node.term, self.value(node.term)),
    nodes.Chain: Evaluation._chain,
    nodes.Compare: lambda self, node: compare(self.scope, node, self.value(node.left), self.value(node.right)),
    nodes.Like: Evaluation._like,
    nodes.IsNull: Evaluation._is_null,
    nodes.In: Evaluation._in,
    nodes.Between: Evaluation._between,
    nodes.Not: lambda self, node: Truths(~self.condition(node.term)),
    nodes.And: Evaluation._and,
    nodes.Or: Evaluation._or,
    nodes.Call: Evaluation._call,
    nodes.Choice: Evaluation._choice,
    nodes.Index: lambda self, node: indexed(self.scope, node, self.value(node.term)),
}
