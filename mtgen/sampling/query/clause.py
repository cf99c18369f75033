"""The whole clause: WHERE ... ORDER BY ... LIMIT ... SAMPLE BY ... REPLACE ... LIMIT ..."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd

from mtgen.sampling.query.building import ClauseParts, build
from mtgen.sampling.query.evaluation import Evaluation
from mtgen.sampling.query.expressions import Condition, Expression, Weights, checked_rows
from mtgen.sampling.query.nodes import Node
from mtgen.sampling.query.values import Lists, Nothing, Texts, Times, Truths, Value
from mtgen.settings import check_whole


@dataclass(frozen=True)
class Percent:
    """`LIMIT p PERCENT`: exactly the number that was written.

    Example:
        >>> Percent(Fraction("0.1")).of(1_281_166)
        1281
    """

    value: Fraction

    def of(self, num_rows: int) -> int:
        """So many rows of `num_rows`: p * num_rows / 100, cut to a whole number."""
        return int(self.value * num_rows / 100)

    def __str__(self) -> str:
        return f"{float(self.value):g} PERCENT"


class Key(Expression):
    """One key of ORDER BY."""

    __slots__ = ()


@dataclass(frozen=True)
class Clause:
    """A whole clause; made by `parse_clause`. Immutable, picklable, equal if it says the same.

    Args:
        text: as the user wrote it.
        where: which rows, None for all.
        order: keys of ORDER BY, each with True for DESC.
        first_limit: most rows that reach the sampler, None for all.
        offset: rows left out before those.
        weights: None without SAMPLE BY.
        replace: whether a row can be drawn again.
        limit: rows to draw, as a number or a percentage; None for as many as reach the sampler.

    Example:
        >>> clause = parse_clause("WHERE age > 30 SAMPLE BY age REPLACE FALSE LIMIT 50 PERCENT")
        >>> table = pd.DataFrame({"age": [40, 20, 50]})
        >>> clause.chosen(table, np.arange(3)).tolist(), clause.size(2), clause.replace
        ([0, 2], 1, False)
    """

    text: str = field(compare=False)
    where: Condition | None = None
    order: tuple[tuple[Key, bool], ...] = ()
    first_limit: int | None = None
    offset: int = 0
    weights: Weights | None = None
    replace: bool = True
    limit: int | Percent | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns that the clause reads, each once, in the order of the text."""
        parts: list[Any] = [self.where, *(key for key, _ in self.order), self.weights]
        return tuple(dict.fromkeys(name for part in parts if part is not None for name in part.columns))

    def chosen(
        self, table: pd.DataFrame, rows: np.ndarray, classes: Mapping[str, Sequence[str]] | None = None
    ) -> np.ndarray:
        """The rows that reach the sampler: after WHERE, ORDER BY, OFFSET and the first LIMIT. Pure, any thread.

        Args:
            table: the root table.
            rows: int64 `(n,)` places in the table.
            classes: names of the class numbers of label columns.

        Returns:
            int64, a part of `rows`, in their order or that of ORDER BY; may be empty.

        Raises:
            QueryError: the clause does not fit the table.
        """
        rows = checked_rows(table, rows)
        if self.where is not None:
            rows = rows[self.where.mask(table, rows, classes)]
        if self.order:
            keys = [_ranks(key, table, rows, classes, falling) for key, falling in self.order]
            rows = rows[np.lexsort(keys[::-1])]
        stop = None if self.first_limit is None else self.offset + self.first_limit
        return rows[self.offset : stop]

    def size(self, num_rows: int) -> int:
        """How many rows are drawn from `num_rows` that reached the sampler.

        Without replacement never more than there are, as in Deep Lake.

        Args:
            num_rows: integer >= 0.
        """
        num_rows = check_whole("num_rows", num_rows)
        if self.limit is None:
            return num_rows
        limit = self.limit.of(num_rows) if isinstance(self.limit, Percent) else self.limit
        return limit if self.replace else min(limit, num_rows)

    def __reduce__(self) -> tuple[Any, ...]:
        return parse_clause, (self.text,)


def parse_clause(text: str) -> Clause:
    """A text to a clause. Pure, any thread.

    Args:
        text: `[SELECT * [FROM name]] [WHERE condition] [ORDER BY key [ASC|DESC], ...] [LIMIT n] [OFFSET n]
            [SAMPLE BY weights [REPLACE [TRUE|FALSE]] [LIMIT n [PERCENT]]]`.

    Raises:
        QueryError: the text does not follow the grammar; it marks the place.
    """
    parts = build(text, "clause")
    if not isinstance(parts, ClauseParts):  # the grammar gives nothing else
        raise TypeError(type(parts).__name__)
    return Clause(
        text=text,
        where=None if parts.where is None else Condition.of_part(text, parts.where),
        order=tuple((Key.of_part(text, key), falling) for key, falling in parts.order),
        first_limit=parts.first_limit,
        offset=parts.offset,
        weights=None if parts.weights is None else Weights.of_part(text, parts.weights),
        replace=parts.replace,
        limit=Percent(parts.limit) if isinstance(parts.limit, Fraction) else parts.limit,
    )


# --- ORDER BY ---------------------------------------------------------------------------------------------------------


def _ranks(
    key: Key, table: pd.DataFrame, rows: np.ndarray, classes: Mapping[str, Sequence[str]] | None, falling: bool
) -> np.ndarray:
    """A number for each row that sorts as the key does, int64 `(n,)`; missing values come last, both ways."""
    evaluation = Evaluation(key.query, table, classes)
    parts = [_sortable(evaluation, key.root, evaluation.value(key.root), part) for part in evaluation.blocks(rows)]
    values = np.concatenate([part for part, _ in parts])
    missing = np.concatenate([mark for _, mark in parts])
    if values.dtype == object:  # NumPy's own texts would all be as long as the longest
        ranks = np.asarray(pd.factorize(values, sort=True)[0], np.int64)
    else:
        ranks = np.unique(values, return_inverse=True)[1].astype(np.int64)
    ranks = -ranks if falling else ranks
    ranks[missing] = np.iinfo(np.int64).max
    return ranks


def _sortable(evaluation: Evaluation, node: Node, value: Value, part: slice) -> tuple[np.ndarray, np.ndarray]:
    """The values of a block, with something in the place of missing ones, and where those are."""
    size = part.stop - part.start
    if isinstance(value, Lists):
        raise evaluation.scope.refuse(node.place, "ORDER BY takes one value in each row, received a list")
    missing = np.zeros(1, bool) if value.missing is None else value.missing
    if isinstance(value, Texts):
        values = value.codes if value.ordered else value.strings()
    elif isinstance(value, Times):
        values = value.values.asi8
    elif isinstance(value, Nothing):
        values = np.zeros(len(value.missing))
    elif isinstance(value, Truths):
        values = value.values
    else:
        values = np.where(missing, 0, value.values)
    return np.broadcast_to(values, size) if len(values) != size else values, np.broadcast_to(missing, size)
