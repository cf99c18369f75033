"""Conditions and weights: one expression each, from a text to an array over the rows of a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self

import numpy as np
import pandas as pd

from mtgen.errors import QueryError
from mtgen.sampling.query import nodes
from mtgen.sampling.query.building import build
from mtgen.sampling.query.evaluation import Evaluation
from mtgen.sampling.query.nodes import Node
from mtgen.settings import shown

Classes = Mapping[str, Sequence[str]]
"""Names of the class numbers of label columns: name k belongs to number k."""


def checked_rows(table: pd.DataFrame, rows: Any) -> np.ndarray:
    """Places in the table as int64 `(n,)`.

    Raises:
        QueryError: not whole numbers in one axis, or places that the table does not have.
    """
    found = np.asarray(rows)
    if found.ndim != 1 or (found.dtype.kind not in "iu" and len(found)):
        raise QueryError(
            f"rows are whole numbers in one axis, received an array of dtype {found.dtype} and shape {found.shape}"
        )
    found = found.astype(np.int64)
    if len(found) and isinstance(table, pd.DataFrame) and not 0 <= found.min() <= found.max() < len(table):
        raise QueryError(
            f"rows {found.min()} to {found.max()} were asked for, the table has rows 0 to {len(table) - 1}"
        )
    return found


class Expression:
    """A text and what it says. Immutable, picklable; equal if it says the same, however it is written.

    Args:
        text: as the user wrote it.
    """

    _start = "condition"
    __slots__ = ("_query", "_root", "_text")
    _query: str
    _root: Node
    _text: str

    def __init__(self, text: str) -> None:
        root = build(text, self._start)
        if not isinstance(root, Node):  # the grammar gives nothing else
            raise TypeError(type(root).__name__)
        self._set(text, text, root)

    def _set(self, query: str, text: str, root: Node) -> None:
        for name, value in (("_query", query), ("_text", text), ("_root", root)):
            object.__setattr__(self, name, value)

    @classmethod
    def of_part(cls, query: str, root: Node) -> Self:
        """The expression that is a part of a longer query, whose messages show the whole query."""
        part = cls.__new__(cls)
        part._set(query, query[root.place[0] : root.place[1]], root)
        return part

    @property
    def query(self) -> str:
        """The text that messages show: the whole clause, if it is a part of one."""
        return self._query

    @property
    def text(self) -> str:
        """The text, as the user wrote it."""
        return self._text

    @property
    def root(self) -> Node:
        """What the text says."""
        return self._root

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns that it reads, each once, in the order of the text."""
        return nodes.columns(self._root)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__} cannot be changed; make a new one")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{type(self).__name__} cannot be changed; make a new one")

    def __eq__(self, other: object) -> bool:
        return self._root == other._root if type(other) is type(self) else NotImplemented

    def __hash__(self) -> int:
        return hash((type(self).__name__, self._root))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._text!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._text,)


class Condition(Expression):
    """A condition on rows, such as `age > 30 AND contains(findings, 'Hernia')`; made by `parse_condition`.

    Example:
        >>> table = pd.DataFrame({"age": [20, 40, None]})
        >>> parse_condition("age > 30").mask(table, np.arange(3)).tolist()
        [False, True, False]
    """

    __slots__ = ()

    def mask(self, table: pd.DataFrame, rows: np.ndarray, classes: Classes | None = None) -> np.ndarray:
        """Where the condition holds. Pure, any thread; a missing value makes comparisons false.

        Args:
            table: the root table.
            rows: int64 `(n,)` places in the table.
            classes: names of the class numbers of label columns.

        Returns:
            bool `(n,)`.

        Raises:
            QueryError: the condition does not fit the table.
        """
        rows = checked_rows(table, rows)
        evaluation, result = Evaluation(self.query, table, classes), np.zeros(len(rows), bool)
        for part in evaluation.blocks(rows):
            result[part] = evaluation.condition(self.root)[: len(result[part])]
        return result


class Weights(Expression):
    """A weight for each row, such as `max_weight(label = 'a': 20, True: 1)`; made by `parse_weights`.

    Example:
        >>> table = pd.DataFrame({"label": ["a", "b"]})
        >>> parse_weights("max_weight(label = 'a': 20, True: 1)").values(table, np.arange(2)).tolist()
        [20.0, 1.0]
    """

    _start = "weights"
    __slots__ = ()

    def values(
        self,
        table: pd.DataFrame,
        rows: np.ndarray,
        classes: Classes | None = None,
        choice: Literal["max", "sum"] | None = None,
    ) -> np.ndarray:
        """The weights. Pure, any thread.

        Args:
            table: the root table.
            rows: int64 `(n,)` places in the table.
            classes: names of the class numbers of label columns.
            choice: what counts where several conditions hold, for pairs without max_weight or sum_weight.

        Returns:
            float64 `(n,)`, finite and not negative; 0 where no condition holds. All of them may be 0.

        Raises:
            QueryError: the weights do not fit the table; one is negative, missing or infinite.
        """
        chosen = self._checked(choice)
        rows = checked_rows(table, rows)
        evaluation, result = Evaluation(self.query, table, classes), np.zeros(len(rows))
        for part in evaluation.blocks(rows):
            if isinstance(self.root, nodes.Choice):
                result[part] = evaluation.chosen(self.root, chosen)
            else:
                result[part] = evaluation.weights(self.root)
            _check_sums(evaluation, self.root, result[part])
        return result

    def _checked(self, choice: object) -> str | None:
        if choice not in ("max", "sum", None):
            raise QueryError(f"choice must be 'max', 'sum' or None, received {shown(choice)}")
        own = self.root.choice if isinstance(self.root, nodes.Choice) else "one"
        if choice is not None and own not in (None, choice):
            told = f"{own}_weight(...)" if own != "one" else "one weight for each row"
            raise QueryError(
                f"choice={choice!r} contradicts the text, which has {told}; leave choice away, or write the pairs "
                f"alone: condition: weight, ...\n    {self.text[:100]}"
            )
        return own if own in ("max", "sum") else None if choice is None else str(choice)


def _check_sums(evaluation: Evaluation, root: Node, weights: np.ndarray) -> None:
    """Refuses sums beyond what a float holds; each weight of a sum was looked at before."""
    if len(weights) and not np.isfinite(weights).all():
        row = int(np.argmin(np.isfinite(weights)))
        raise evaluation.scope.refuse(root.place, "the sum of the weights is infinite", element=row)


def parse_condition(text: str) -> Condition:
    """A text to a condition. Pure, any thread.

    Args:
        text: such as `age BETWEEN 20 AND 40 AND NOT contains(findings, 'Hernia')`.

    Raises:
        QueryError: the text does not follow the grammar; it marks the place.

    Example:
        >>> parse_condition("a = 1 AND b < 2").columns
        ('a', 'b')
    """
    return Condition(text)


def parse_weights(text: str) -> Weights:
    """A text to weights. Pure, any thread.

    Args:
        text: `max_weight(condition: weight, ...)`, `sum_weight(...)`, or any expression that gives a number, such as a
            column. Pairs alone, `condition: weight, ...`, need `choice=` when they are asked for values.

    Raises:
        QueryError: the text does not follow the grammar; it marks the place.

    Example:
        >>> parse_weights("max_weight(a: 1, b: 2)") == parse_weights("MAX_WEIGHT(b: 2, a: 1)")
        True
    """
    return Weights(text)
