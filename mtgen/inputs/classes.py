"""Classes as targets: a number per row, or a place per class that is 1 where the row belongs to the class.

The classes are those of the whole table in sorted order, or those given, in the order given. A column may hold one
label per row, or a list of labels per row, which only `OneHot` can deliver.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal

import numpy as np
import pandas as pd

from mtgen.errors import TableError
from mtgen.inputs.columns import BoundColumns, number_dtype
from mtgen.spec import Spec
from mtgen.table import check_complete, column, digest_values, first_rows

UNLISTED = -1
"""Class number of a label that is not among the classes."""

_SHOWN = 5


@dataclass(frozen=True, eq=False)
class Labels:
    """The labels of a column, row after row: row r has `flat[ends[r]:ends[r + 1]]`.

    Immutable; any thread.

    Args:
        name: the column.
        flat: the labels of all rows.
        ends: int64 `(num_rows + 1,)`.
        kind: what the labels are: `"text"`, `"integers"`, `"booleans"`, or `"none"` where no row has any.
        lists: whether some row holds a list.
    """

    name: Hashable
    flat: list[Any]
    ends: np.ndarray
    kind: str
    lists: bool

    @classmethod
    def of(cls, series: pd.Series) -> Labels:
        """Read a column of text, integers, booleans or categories, or of lists of them.

        Raises:
            TableError: a missing value, or labels of no kind or of several.

        Example:
            >>> labels = Labels.of(pd.Series([["b", "a"], "b", []]))
            >>> labels.flat, labels.ends.tolist()
            (['b', 'a', 'b'], [0, 2, 3, 3])
        """
        check_complete(series, "classes")
        values = series.tolist()
        lists = any(issubclass(kind, list | tuple | np.ndarray) for kind in set(map(type, values)))
        if lists:
            rows = [_listed(value) for value in values]
            flat = list(chain.from_iterable(rows))
            ends = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
        else:
            flat, ends = values, np.arange(len(values) + 1)
        kinds = {_kind(one) for one in set(map(type, flat))}
        if len(kinds) > 1 or None in kinds:
            _refuse_labels(series.name, flat, ends)
        return cls(series.name, flat, ends, kinds.pop() or "none" if kinds else "none", lists)

    @property
    def owners(self) -> np.ndarray:
        """Row of each entry of `flat`, int64."""
        return np.repeat(np.arange(len(self.ends) - 1), np.diff(self.ends))

    def distinct(self, rows: np.ndarray | None = None) -> list[Any]:
        """The distinct labels of some rows, or of all, in sorted order."""
        if rows is None:
            return sorted(set(self.flat))
        wanted = np.zeros(len(self.ends) - 1, bool)
        wanted[rows] = True
        return sorted({self.flat[place] for place in np.flatnonzero(wanted[self.owners])})

    def numbers(self, classes: Sequence[Any]) -> np.ndarray:
        """Place in `classes` of each entry of `flat`, int64; `UNLISTED` for those that are not among them."""
        places = {label: place for place, label in enumerate(classes)}
        return np.fromiter((places.get(label, UNLISTED) for label in self.flat), np.int64, len(self.flat))

    def check_classes(self, classes: Any) -> list[Any]:
        """The classes as a list, if they are distinct labels of the column's kind.

        Raises:
            TableError: anything else.
        """
        if isinstance(classes, str) or not isinstance(classes, Iterable):
            raise TableError(f"classes must be a list of labels, received {classes!r:.200}")
        listed = list(classes)
        if not listed:
            raise TableError("classes names no class; leave it out (None) for all classes of the table, sorted")
        wrong = [label for label in listed if _kind(type(label)) != self.kind]
        if wrong and self.kind != "none":
            raise TableError(
                f"classes has {wrong[0]!r} of type {type(wrong[0]).__name__}, but column {self.name!r} holds "
                f"{self.kind}, so no row can belong to it; write the classes as the column has them"
            )
        twice = [label for place, label in enumerate(listed) if label in listed[:place]]
        if twice:
            raise TableError(f"classes names {twice[0]!r} twice; each class has one number, its place in the list")
        return listed

    def describe(self, wrong: np.ndarray) -> str:
        """Which labels some entries of `flat` are, in how many rows and where, as text for a message.

        Args:
            wrong: bool, one per entry of `flat`.
        """
        rows: dict[Any, list[int]] = {}
        for place, row in zip(np.flatnonzero(wrong), self.owners[wrong], strict=True):
            rows.setdefault(self.flat[place], []).append(int(row))
        texts = []
        for label in sorted(rows)[:_SHOWN]:
            places = np.zeros(len(self.ends) - 1, bool)
            places[rows[label]] = True
            texts.append(f"{label!r} in {first_rows(places)}")
        return ", ".join(texts) + (f", and {len(rows) - _SHOWN} more labels" if len(rows) > _SHOWN else "")


@dataclass(frozen=True)
class ClassNumbers:
    """A column of labels as one target of class numbers, `(batch,)`.

    A plain text column needs none of this: as a target it becomes class numbers 0, 1, ... by itself. Use this to fix
    the order of the classes, to number integers that have gaps, or for another dtype. Immutable, picklable; any thread.

    Args:
        name: column of text, integers, booleans or categories; one label per row, none missing.
        classes: the labels, class k is the k-th; None for all labels of the root table in sorted order.
        dtype: dtype of the delivered numbers.
        unlisted: labels that are not among `classes`: `"raise"` refuses them, `"ignore"` numbers them -1.

    Example:
        >>> bound = ClassNumbers("kind", ["dog", "cat"]).bind(pd.DataFrame({"kind": ["cat", "dog", "cat"]}))
        >>> bound.take(np.array([0, 1])).tolist(), bound.classes
        ([1, 0], ('dog', 'cat'))
    """

    name: str
    classes: Sequence[Any] | None = None
    _: dataclasses.KW_ONLY
    dtype: str = "int32"
    unlisted: Literal["raise", "ignore"] = "raise"

    def bind(self, table: pd.DataFrame) -> BoundColumns:
        """Number the labels of the root table.

        Raises:
            TableError: no such column, a missing value, lists, labels that are not listed, or more classes than the
                dtype can count.
        """
        labels = Labels.of(column(table, self.name, "targets"))
        if labels.lists:
            raise TableError(
                f"targets: column {self.name!r} holds lists of labels, and a row has one class number; use OneHot, "
                "which marks every class of a row"
            )
        classes, numbers = _numbered(labels, self.classes, self.unlisted)
        dtype = number_dtype(self.dtype, "ClassNumbers")
        values = numbers.astype(dtype)
        if dtype.kind == "b" or np.any(values.astype(np.int64) != numbers):
            raise TableError(f"ClassNumbers: dtype={self.dtype!r} cannot hold the numbers of {len(classes)} classes")
        return BoundColumns(
            values,
            settings=_settings(self, classes),
            digests=[digest_values(pd.Index(numbers))],
            classes=tuple(map(str, classes)),
        )


@dataclass(frozen=True)
class OneHot:
    """A column of labels as one target `(batch, number of classes)`: 1 where the row belongs to the class, else 0.

    Where a row holds a list of labels, each of them is marked (multi-label); an empty list marks none. Immutable,
    picklable; any thread.

    Args:
        name: column of text, integers, booleans or categories, or of lists of them; none missing.
        classes: the labels, place k is the k-th; None for all labels of the root table in sorted order.
        dtype: dtype of the delivered values.
        unlisted: labels that are not among `classes`: `"raise"` refuses them, `"ignore"` marks nothing for them.

    Example:
        >>> bound = OneHot("kind").bind(pd.DataFrame({"kind": ["cat", ["dog", "cat"], []]}))
        >>> bound.take(np.arange(3)).tolist(), bound.classes
        ([[1.0, 0.0], [1.0, 1.0], [0.0, 0.0]], ('cat', 'dog'))
    """

    name: str
    classes: Sequence[Any] | None = None
    _: dataclasses.KW_ONLY
    dtype: str = "float32"
    unlisted: Literal["raise", "ignore"] = "raise"

    def bind(self, table: pd.DataFrame) -> BoundOneHot:
        """Number the labels of the root table.

        Raises:
            TableError: no such column, a missing value, or labels that are not listed.
        """
        labels = Labels.of(column(table, self.name, "targets"))
        classes, numbers = _numbered(labels, self.classes, self.unlisted)
        kept = numbers != UNLISTED
        ends = np.concatenate([[0], np.cumsum(kept)])[labels.ends]
        return BoundOneHot(
            numbers[kept],
            ends,
            np.dtype(number_dtype(self.dtype, "OneHot")),
            settings=_settings(self, classes),
            classes=tuple(map(str, classes)),
        )


class BoundOneHot(BoundColumns):
    """Class numbers of the rows of one root table, delivered as zeros and ones: a few bytes per row are kept.

    Immutable. Any thread.

    Args:
        numbers: class numbers of all rows, one row after the other.
        ends: int64 `(num_rows + 1,)`: row r has `numbers[ends[r]:ends[r + 1]]`.
        dtype: dtype of the delivered values.
        settings: what was asked for, as small JSON.
        classes: names, class k is the k-th.
    """

    def __init__(
        self,
        numbers: np.ndarray,
        ends: np.ndarray,
        dtype: np.dtype,
        *,
        settings: dict[str, Any],
        classes: tuple[str, ...],
    ) -> None:
        digests = [digest_values(pd.Index(numbers.astype(np.int64))), digest_values(pd.Index(ends))]
        super().__init__(numbers.astype(np.int32), settings=settings, digests=digests, classes=classes)
        self.spec = Spec(shape=(len(classes),), dtype=dtype)
        self._ends = ends

    @property
    def num_rows(self) -> int:
        """Rows of the root table."""
        return len(self._ends) - 1

    @property
    def is_single(self) -> bool:
        """Whether every row of the root table belongs to exactly one class."""
        return bool((np.diff(self._ends) == 1).all())

    @classmethod
    def stacked(cls, parts: Sequence[Any]) -> BoundOneHot:
        """See `BoundColumns.stacked`."""
        shifts = np.cumsum([0, *(len(part._values) for part in parts)])
        return BoundOneHot(
            np.concatenate([part._values for part in parts]),
            np.concatenate([[0], *(part._ends[1:] + shift for part, shift in zip(parts, shifts, strict=False))]),
            parts[0].spec.dtype,
            settings={"joined": [part.settings() for part in parts]},
            classes=parts[0].classes,
        )

    def fetch(self, rows: np.ndarray, out: np.ndarray) -> None:
        """Fill `out[slot]` with zeros, and ones at the classes of row `rows[slot]`; the caller owns both arrays."""
        starts, counts = self._ends[rows], self._ends[rows + 1] - self._ends[rows]
        firsts = np.cumsum(counts) - counts
        places = np.arange(int(counts.sum())) - np.repeat(firsts, counts) + np.repeat(starts, counts)
        out[...] = 0
        out[np.repeat(np.arange(len(rows)), counts), self._values[places]] = 1

    def take(self, rows: np.ndarray) -> np.ndarray:
        """Zeros and ones of the rows in a new array `(n, number of classes)`."""
        out = self.spec.empty(len(rows))
        self.fetch(np.asarray(rows), out)
        return out


def _numbered(labels: Labels, given: Sequence[Any] | None, unlisted: str) -> tuple[list[Any], np.ndarray]:
    """The classes, and the number of each label."""
    if unlisted not in ("raise", "ignore"):
        raise TableError(f"unlisted must be 'raise' or 'ignore', received {unlisted!r}")
    if given is None and labels.kind == "none":
        raise TableError(f"targets: no row of column {labels.name!r} has a label, so there are no classes; name them")
    classes = labels.distinct() if given is None else labels.check_classes(given)
    numbers = labels.numbers(classes)
    wrong = numbers == UNLISTED
    if unlisted == "raise" and wrong.any():
        raise TableError(
            f"targets: column {labels.name!r} holds labels that are not among the classes {_some(classes)}: "
            f"{labels.describe(wrong)}. Add them to classes, or choose what becomes of them: unlisted='ignore'",
            row=int(labels.owners[wrong][0]),
        )
    return classes, numbers


def _settings(target: ClassNumbers | OneHot, classes: list[Any]) -> dict[str, Any]:
    return {
        "columns": [target.name],
        "as": type(target).__name__,
        "classes": [str(label) for label in classes],
        "dtype": target.dtype,
        "unlisted": target.unlisted,
    }


def _listed(value: Any) -> list[Any]:
    if isinstance(value, np.ndarray):
        return value.tolist() if value.ndim == 1 else [value]
    return list(value) if isinstance(value, list | tuple) else [value]


def _kind(kind: type) -> str | None:
    """What labels of a Python type are; None where they are no labels."""
    if issubclass(kind, str):
        return "text"
    if issubclass(kind, bool | np.bool_):
        return "booleans"
    return "integers" if issubclass(kind, int | np.integer) else None


def _refuse_labels(name: Hashable, flat: list[Any], ends: np.ndarray) -> None:
    first = _kind(type(flat[0]))
    place = 0 if first is None else next(k for k, label in enumerate(flat) if _kind(type(label)) != first)
    row = int(np.searchsorted(ends, place, side="right")) - 1
    mixed = "" if first is None else f", where row {int(np.searchsorted(ends, 0, side='right')) - 1} has {flat[0]!r}"
    raise TableError(
        f"classes: column {name!r} has the label {flat[place]!r} of type {type(flat[place]).__name__}{mixed}; labels "
        "are text, integers or booleans, all of one kind, or lists of them. Convert the column first, for example "
        f"table[{name!r}].astype(str)",
        row=row,
    )


def _some(classes: list[Any]) -> str:
    return f"[{', '.join(map(repr, classes[:10]))}{', ...' if len(classes) > 10 else ''}]"
