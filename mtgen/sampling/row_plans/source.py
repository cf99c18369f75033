"""What a law over rows is over: the rows of a dataset, or the places 0 to n-1."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from mtgen.errors import PlanError
from mtgen.settings import check_unmasked, shown


@dataclass(frozen=True, eq=False)
class Source:
    """The rows that laws are over, and the table that says more of them. Immutable; any thread.

    Attributes:
        num_rows: how many.
        rows: int64 `(num_rows,)`, their places in the root table; None for 0 to n-1 of nothing in particular.
        table: the root table; None without `rows`.
        classes: class names of label columns that were text.
    """

    num_rows: int
    rows: np.ndarray | None = None
    table: pd.DataFrame | None = None
    classes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def same(self, other: Source) -> bool:
        """Whether another is over the same rows."""
        if self is other:
            return True
        if self.rows is None or other.rows is None:
            return self.rows is other.rows and self.num_rows == other.num_rows
        if self.table is not other.table:
            return False
        # Views of one list of rows, which each `data.rows` makes anew; comparing millions of rows takes milliseconds.
        one, two = ((rows.ctypes.data, rows.shape, rows.strides, rows.dtype) for rows in (self.rows, other.rows))
        return one == two or np.array_equal(self.rows, other.rows)

    def rows_at(self, places: np.ndarray) -> np.ndarray:
        """Rows at places, int64 `(n,)`."""
        return places.astype(np.int64, copy=False) if self.rows is None else self.rows[places]

    def places_of(self, rows: np.ndarray) -> np.ndarray:
        """Places of rows, int64 `(n,)`; -1 for a row that is not among them."""
        if self.rows is None:
            return np.where((rows >= 0) & (rows < self.num_rows), rows, -1)
        order, ascending = self._sorted
        found = np.minimum(np.searchsorted(ascending, rows), max(self.num_rows - 1, 0))
        if not self.num_rows:
            return np.full(len(rows), -1)
        return np.where(ascending[found] == rows, order[found], -1)

    @cached_property
    def _sorted(self) -> tuple[np.ndarray, np.ndarray]:
        rows = self.rows_at(np.arange(self.num_rows))
        order = np.argsort(rows, kind="stable")
        return order, rows[order]

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_sorted"}

    def aligned(self, values: Any, what: str) -> Any:
        """Values given per row of the table, or per row of these, as `(num_rows,)` per row of these.

        Args:
            values: a list, array, Series, or what slices; a Series must carry the table's index labels, in the table's
                order, or have one entry per row.
            what: for the message.

        Raises:
            PlanError: another length, or labels of another table.
        """
        check_unmasked(what, values)
        if isinstance(values, pd.Series):
            if self.table is not None and len(values) == len(self.table):
                if not values.index.equals(self.table.index):
                    raise PlanError(
                        f"the index labels of {what} are not the table's, in the table's order; make it from "
                        "data.table, or pass values.to_numpy() if its places are meant"
                    )
            elif self.table is not None:
                raise PlanError(
                    f"{what} must be a Series over the whole table, {len(self.table)} rows, received {len(values)}"
                )
        elif isinstance(values, list | tuple):
            try:
                values = np.asarray(values)
            except ValueError as error:
                raise PlanError(f"{what} must be a list of numbers, one per row, received {shown(values)}") from error
        shape = getattr(values, "shape", None)
        if shape is None or len(shape) != 1:
            raise PlanError(f"{what} must have one dimension, received {shown(values) if shape is None else shape}")
        length = shape[0]
        if self.rows is not None and self.table is not None and length == len(self.table):
            whole = length == self.num_rows and np.array_equal(self.rows, np.arange(length))
            if whole:
                return values
            if length == self.num_rows and not isinstance(values, pd.Series):
                raise PlanError(
                    f"{what}: {length} values may be in the order of the table or in that of this dataset's rows, "
                    "which differ. Give a Series with the table's index labels, or the name of a column"
                )
            return values.iloc[self.rows] if isinstance(values, pd.Series) else np.asarray(values)[self.rows]
        if length != self.num_rows:
            table = "" if self.table is None else f" (or of the table's {len(self.table)})"
            raise PlanError(f"{what} must have one entry for each of {self.num_rows} rows{table}, received {length}")
        return values

    def mask(self, condition: Any) -> np.ndarray:
        """A condition on rows as bool `(num_rows,)`.

        Args:
            condition: text in the language of `mtgen.sampling.query`, or bool values as `aligned` takes them.

        Raises:
            PlanError: text without a table, or values that are not True and False.
        """
        if isinstance(condition, str):
            table, rows = self.need_table("a condition in words")
            from mtgen.sampling.query import parse_condition

            return np.asarray(parse_condition(condition).mask(table, rows, self.classes), bool)
        values = self.aligned(condition, "a condition")
        if isinstance(values, pd.Series):
            if values.isna().any():
                raise PlanError("the condition has missing values; say which they mean: condition.fillna(False)")
            values = values.to_numpy()
        values = np.asarray(values)
        if values.dtype != bool and not (
            values.dtype == object and all(isinstance(one, bool | np.bool_) for one in values)
        ):
            raise PlanError(f"a condition must be True or False for each row, received {values.dtype}")
        return values.astype(bool)

    def need_table(self, what: str) -> tuple[pd.DataFrame, np.ndarray]:
        """The table and the rows.

        Raises:
            PlanError: these are places of no table.
        """
        if self.table is None or self.rows is None:
            raise PlanError(f"{what} needs a table: use data.rows of a Dataset instead of S.rows")
        return self.table, self.rows
