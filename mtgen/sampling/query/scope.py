"""What an evaluation knows: the query, the table, the rows of the block, and which names in quotes were met so far."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mtgen.errors import QueryError
from mtgen.sampling.query import nodes
from mtgen.sampling.query.columns import CellError, Column
from mtgen.sampling.query.globs import hits, same
from mtgen.sampling.query.nodes import Node
from mtgen.sampling.query.places import Place, near, refusal
from mtgen.sampling.query.values import Lists, Nothing, Numbers, Texts, Truths, Value, constant_text
from mtgen.settings import quoted

BLOCK_ROWS = 65_536
"""Rows that are evaluated at once: memory stays bounded, and the arrays of a block stay near the processor."""


@dataclass(frozen=True)
class _Met:
    """A text in quotes, and whether it was found among the values of its column; see `Scope.met`."""

    asked: nodes.Text
    column: str
    found: bool
    exact: bool
    listed: bool

    def among(self, names: np.ndarray) -> bool:
        """Whether it is one of these."""
        if self.exact:
            return bool(same(names, self.asked.text).any())
        return bool(hits(names, self.asked).any())


class Scope:
    """One evaluation of one query; not shared between threads.

    Args:
        query: the text, for messages.
        table: the root table.
        classes: names of the class numbers of label columns.
    """

    def __init__(self, query: str, table: pd.DataFrame, classes: Mapping[str, Sequence[str]] | None) -> None:
        self.query, self.table, self.classes = query, table, classes or {}
        self.rows = np.empty(0, np.int64)
        self._columns: dict[str, Column] = {}
        self._values: dict[str, Value] = {}
        self._met: dict[int, _Met] = {}

    def refuse(self, place: Place, message: str, element: int | None = None) -> QueryError:
        """The error about a place of the query; `element` is the place in the block of the row to blame."""
        row = None if element is None or not len(self.rows) else int(self.rows[min(element, len(self.rows) - 1)])
        return refusal(self.query, place, message, row)

    # --- rows and columns

    def enter(self, rows: np.ndarray) -> None:
        """Go to a block of rows, int64 `(n,)` places in the table."""
        self.rows = rows
        self._values = {}

    @contextmanager
    def inside(self, lists: Lists) -> Iterator[None]:
        """While the elements of lists are looked at: errors name the row of the element."""
        rows = self.rows
        self.rows = rows[lists.row_of] if len(rows) == len(lists.lengths) else rows
        try:
            yield
        finally:
            self.rows = rows

    def column(self, node: nodes.Column) -> Column:
        """The column of a name.

        Raises:
            QueryError: no such column, or several.
        """
        if node.name not in self._columns:
            labels = [label for label in self.table.columns if str(label) == node.name]
            if len(labels) > 1:
                raise self.refuse(
                    node.place, f"the table has {len(labels)} columns named {quoted(node.name)}; rename the others"
                )
            if not labels:
                hint = near(node.name, map(str, self.table.columns), "the columns are")
                if node.name in ("nan", "NaN", "None", "null"):
                    hint = "A missing value is found with IS NULL"
                raise self.refuse(node.place, f"the table has no column {quoted(node.name)}. {hint}")
            self._columns[node.name] = Column(self.table[labels[0]], node.name, self.classes.get(labels[0]))
        return self._columns[node.name]

    def cells(self, node: nodes.Column) -> Value:
        """The column's cells in the rows of the block; read once for each block."""
        if node.name not in self._values:
            self._values[node.name] = self._read(self.column(node), node, self.rows)
        return self._values[node.name]

    def _read(self, column: Column, node: nodes.Column, rows: np.ndarray) -> Value:
        try:
            return column.at(rows)
        except CellError as error:
            text = f"the column {column.name!r} ({column.dtype}) cannot be used: {error}"
            row = None if error.row is None or error.row >= len(rows) else int(rows[error.row])
            raise refusal(self.query, node.place, text, row) from None

    def literal(self, node: Node) -> Value:
        """A number, text or truth of the query as a value of one element."""
        if isinstance(node, nodes.Text):
            return constant_text(node)
        if isinstance(node, nodes.Truth):
            return Truths(np.array([node.value]))
        number = node.value if isinstance(node, nodes.Number) else 0
        dtype = np.float64 if isinstance(number, float) else np.int64 if number < 2**63 else np.uint64
        return Numbers(np.array([number], dtype), literal=True)

    # --- names in quotes that must occur

    def met(
        self, value: Texts | Nothing, asked: nodes.Text, found: bool, *, exact: bool = True, listed: bool = False
    ) -> None:
        """Note whether a text in quotes is among the values of its column, as far as they were seen.

        Args:
            value: cells of the block.
            asked: the text.
            found: whether it is there.
            exact: it stands for itself; otherwise its wildcards count.
            listed: it must be there only if the cells are lists.
        """
        if value.column is not None:
            before = self._met.get(id(asked))
            found = found or (before is not None and before.found)
            self._met[id(asked)] = _Met(asked, value.column, found, exact, listed)

    def check_met(self) -> None:
        """Refuses a text in quotes that occurs nowhere in its column: it is a mistyped name far more often than not.

        Raises:
            QueryError: it names the text, the column and the names near it.
        """
        for met in self._met.values():
            if not met.found:
                self._look_for(met, self._columns[met.column])

    def _look_for(self, met: _Met, column: Column) -> None:
        """Look through the whole column; the rows that were asked for may be few of its rows."""
        asked = met.asked
        known: dict[str, None] = dict.fromkeys(column.classes or ())
        if met.among(np.array(list(known), object)):
            return
        for start in range(0, len(column), BLOCK_ROWS):
            rows = np.arange(start, min(start + BLOCK_ROWS, len(column)))
            value = self._read(column, nodes.Column(column.name, place=asked.place), rows)
            if met.listed and not isinstance(value, Lists | Nothing):
                return
            while isinstance(value, Lists):
                value = value.inner
            if isinstance(value, Texts):
                if met.among(value.names):
                    return
                if len(known) < 1_000:
                    known.update(dict.fromkeys(value.names[:1_000]))
        raise self.unknown(asked, column, list(known))

    def unknown(self, asked: nodes.Text, column: Column | str, names: Sequence[str]) -> QueryError:
        """The error for a text that a column or its classes do not have."""
        where = f"the column {column.name!r} ({column.dtype})" if isinstance(column, Column) else column
        hint = near(asked.text, names, "it has")
        return self.refuse(asked.place, f"{where} never has the value {quoted(asked.text)}. {hint}".rstrip())

    # --- messages

    def said(self, node: Node, value: Value) -> str:
        """What a part of the query is, for a message.

        Example: "the column 'age' (int64)".
        """
        if isinstance(node, nodes.Column):
            column = self.column(node)
            named = ", class numbers" if column.classes and value.kind == "number" else ""
            return f"the column {node.name!r} ({column.dtype}{named})"
        text = self.query[node.place[0] : node.place[1]]
        text = text if len(text) <= 60 else text[:60] + "..."
        return f"the {value.kind} {text}"
