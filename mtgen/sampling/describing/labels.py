"""The classes of rows: of a column with one label per row, or with a list of labels per row. Pure."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import pandas as pd

from mtgen.errors import PlanError
from mtgen.settings import shown

MISSING = None
"""The class of rows whose label is missing."""

NO_LABEL = ()
"""The class of rows whose list of labels is empty."""

_LISTS = (list, tuple, set, frozenset, np.ndarray)


@dataclass(frozen=True, eq=False)
class RowLabels:
    """Which classes each row belongs to: row `owners[i]` to class `codes[i]`.

    Immutable; any thread.

    Args:
        name: what the classes are of, such as the name of the column.
        classes: the classes in order; `MISSING` and `NO_LABEL` at the end, where there are such rows.
        codes: int64 `(m,)` in [0, number of classes).
        owners: int64 `(m,)`, ascending; each row at least once.
        num_rows: rows.
        lists: whether rows may have several classes.
    """

    name: str
    classes: tuple[Any, ...]
    codes: np.ndarray
    owners: np.ndarray
    num_rows: int
    lists: bool

    @classmethod
    def of(cls, values: Any, num_rows: int, name: str | None = None) -> RowLabels:
        """The classes in a column, an array or a list with an entry per row.

        Classes come in sorted order, those of a categorical column in its own order, and with those that no row has.

        Raises:
            PlanError: another number of rows, several dimensions, or labels that cannot be told apart.

        Example:
            >>> labels = RowLabels.of([["b", "a"], "b", [], None], 4)
            >>> labels.classes, labels.codes.tolist(), labels.owners.tolist()
            (('a', 'b', None, ()), [0, 1, 1, 3, 2], [0, 0, 1, 2, 3])
        """
        series = _series(values)
        if len(series) != num_rows:
            raise PlanError(f"by must have one label for each of {num_rows} rows, received {len(series)}")
        called = str(series.name if name is None and series.name is not None else name or "class")
        entries = series.tolist() if series.dtype == object else []
        if any(isinstance(one, _LISTS) for one in entries):
            flat, owners = _flat(entries)
            codes, classes = _numbered(flat, called)
            pairs = np.unique(owners * np.int64(len(classes)) + codes)
            owners, codes = np.divmod(pairs, len(classes))
            return cls(called, tuple(classes), codes, owners, num_rows, True)
        codes, classes = _numbered(series, called)
        return cls(called, tuple(classes), codes, np.arange(num_rows), num_rows, False)

    @classmethod
    def joint(cls, columns: Sequence[RowLabels]) -> RowLabels:
        """The classes that several columns make together: a tuple with a label of each.

        Raises:
            PlanError: a column with several labels per row.

        Example:
            >>> kinds, years = RowLabels.of(["b", "a", "b"], 3), RowLabels.of([0, 0, 1], 3)
            >>> RowLabels.joint([kinds, years]).classes
            (('a', 0), ('b', 0), ('b', 1))
        """
        for one in columns:
            if one.lists:
                raise PlanError(f"by: column {one.name!r} holds lists of labels; describe it alone: by={one.name!r}")
        cells, codes = np.unique(np.stack([one.codes for one in columns], axis=1), axis=0, return_inverse=True)
        classes = [tuple(one.classes[code] for one, code in zip(columns, row, strict=True)) for row in cells.tolist()]
        name, num_rows = ", ".join(one.name for one in columns), columns[0].num_rows
        return cls(name, tuple(classes), codes.reshape(-1).astype(np.int64), np.arange(num_rows), num_rows, False)

    @property
    def num_classes(self) -> int:
        """Classes, those without rows too."""
        return len(self.classes)

    def sums(self, values: np.ndarray) -> np.ndarray:
        """Sum over the rows of each class of a value per row: `(num_rows,)` -> float64 `(k,)`."""
        return np.bincount(self.codes, weights=values[self.owners], minlength=self.num_classes)

    def most(self, values: np.ndarray) -> np.ndarray:
        """Largest value of a row of each class, 0 for one without rows: int64 `(num_rows,)` -> int64 `(k,)`."""
        found = np.zeros(self.num_classes, np.int64)
        np.maximum.at(found, self.codes, values[self.owners])
        return found

    def in_batches(self, places: np.ndarray, block: int) -> tuple[np.ndarray, np.ndarray]:
        """Least and most rows of each class in a batch, int64 `(k,)` each.

        Args:
            places: int64 `(n,)`, the row at each position.
            block: positions in a batch; a last one that is shorter does not count, unless it is the only one.
        """
        num_batches = max(1, len(places) // block)
        places = places[: num_batches * block]
        starts = np.searchsorted(self.owners, np.arange(self.num_rows + 1))
        counts = starts[places + 1] - starts[places]
        batches = np.repeat(np.arange(len(places)) // block, counts)
        firsts = np.cumsum(counts) - counts
        inner = np.arange(int(counts.sum())) - np.repeat(firsts - starts[places], counts)
        cells, found = np.unique(batches * self.num_classes + self.codes[inner], return_counts=True)
        kinds = cells % self.num_classes
        most = np.zeros(self.num_classes, np.int64)
        least = np.full(self.num_classes, np.iinfo(np.int64).max)
        np.maximum.at(most, kinds, found)
        np.minimum.at(least, kinds, found)
        everywhere = np.bincount(kinds, minlength=self.num_classes) == num_batches
        return np.where(everywhere, least, 0), most


def _series(values: Any) -> pd.Series:
    if isinstance(values, pd.Series | pd.Categorical | pd.Index):
        return pd.Series(values).reset_index(drop=True)
    if isinstance(values, np.ndarray) and values.ndim != 1:
        raise PlanError(f"by must have one label per row, received an array of shape {values.shape}")
    if not isinstance(values, np.ndarray | list | tuple):
        raise PlanError(f"by must be the name of a column, or one label per row; received {shown(values)}")
    if isinstance(values, list | tuple):
        return pd.Series(boxed(values))
    return pd.Series(values)


def boxed(values: Sequence[Any]) -> np.ndarray:
    """Values as they are, lists and tuples too, in an object array `(n,)`."""
    return np.fromiter(values, object, len(values))


def _flat(entries: list[Any]) -> tuple[pd.Series, np.ndarray]:
    rows = [
        (list(one) or [NO_LABEL]) if isinstance(one, list | tuple | np.ndarray) else [one]
        for one in (sorted(one, key=repr) if isinstance(one, set | frozenset) else one for one in entries)
    ]
    flat = list(chain.from_iterable(rows))
    return pd.Series(boxed(flat)), np.repeat(np.arange(len(rows)), [len(row) for row in rows])


def _numbered(values: pd.Series, name: str) -> tuple[np.ndarray, list[Any]]:
    """The class of each entry, int64, and the classes in order."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        codes, classes = values.cat.codes.to_numpy(np.int64), values.cat.categories.tolist()
    else:
        try:
            codes, distinct = pd.factorize(values)
        except TypeError as error:
            raise PlanError(
                f"by: {name!r} has labels that cannot be told apart ({error}); expected text, numbers, "
                "booleans or dates, or lists of them"
            ) from error
        codes, classes = codes.astype(np.int64), pd.Index(distinct).tolist()
        order = sorted(range(len(classes)), key=lambda place: _rank(classes[place]))
        turns = np.empty(len(order), np.int64)
        turns[order] = np.arange(len(order))
        codes = np.where(codes >= 0, turns[codes], -1) if len(order) else codes
        classes = [classes[place] for place in order]
    if (codes < 0).any():
        # Missing labels go before rows without any, so that the order of the classes does not depend on rows.
        place = len(classes) - (NO_LABEL in classes)
        codes = np.where(codes == place, place + 1, codes)
        codes = np.where(codes < 0, place, codes)
        classes.insert(place, MISSING)
    return codes, classes


def _rank(label: Hashable) -> tuple[int, str, Any]:
    """Where a class stands: numbers by value, then everything else by kind, then rows without labels."""
    if label == NO_LABEL and isinstance(label, tuple):
        return 2, "", 0
    if isinstance(label, bool | int | float):
        return 0, "", label
    return 1, type(label).__name__, label if isinstance(label, str) else repr(label)
