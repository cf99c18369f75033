"""What an expression is worth over one block of rows: numbers, truths, texts, times or lists, in arrays.

Every array is `(n,)` for a block of n rows, or `(1,)` for a constant, which NumPy stretches. Texts are numbers of
distinct texts, so that a comparison or a glob looks at each distinct text once. A missing value (NaN, None, NA, NaT)
is marked apart and makes a comparison false.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mtgen.sampling.query.nodes import Text

Places = np.ndarray
"""int64 `(n,)`: places in the arrays of a value."""


@dataclass(frozen=True, eq=False)
class Numbers:
    """Numbers, with their class names where they are class numbers.

    Args:
        values: int64, uint64, float32 or float64.
        missing: bool, or None for none.
        classes: name of each class number, if the column is a label.
        literal: the number stands in the text; it takes the precision of what it is compared with.
    """

    values: np.ndarray
    missing: np.ndarray | None = None
    classes: tuple[str, ...] | None = None
    literal: bool = False
    kind = "number"


@dataclass(frozen=True, eq=False)
class Truths:
    """True and False, bool."""

    values: np.ndarray
    missing: np.ndarray | None = None
    kind = "truth"


@dataclass(frozen=True, eq=False)
class Texts:
    """Texts as places in an array of distinct texts.

    Args:
        codes: int64, -1 for missing.
        names: object, distinct texts.
        column: column that the texts come from unchanged: names asked for must be among its values.
        ordered: the order of `names` is that of an ordered categorical.
        literal: the text in quotes, if that is what it is.
    """

    codes: np.ndarray
    names: np.ndarray
    column: str | None = None
    ordered: bool = False
    literal: Text | None = None
    kind = "text"

    @property
    def missing(self) -> np.ndarray | None:
        """bool, or None for none."""
        wrong = self.codes < 0
        return wrong if wrong.any() else None

    def strings(self) -> np.ndarray:
        """The texts themselves, object; an empty text where one is missing."""
        return np.append(self.names, "")[self.codes]


@dataclass(frozen=True, eq=False)
class Times:
    """Points in time: a pandas DatetimeArray, NaT for missing."""

    values: Any
    kind = "time"

    @property
    def missing(self) -> np.ndarray | None:
        """bool, or None for none."""
        wrong = np.asarray(self.values.isna(), bool)
        return wrong if wrong.any() else None


@dataclass(frozen=True, eq=False)
class Lists:
    """A list in each row: the elements of all rows behind each other.

    Args:
        lengths: int64, number of elements in each row, 0 where the list is missing.
        inner: the elements, as many as the sum of the lengths.
        missing: bool, or None for none.
    """

    lengths: np.ndarray
    inner: Value
    missing: np.ndarray | None = None
    kind = "list"

    @property
    def row_of(self) -> np.ndarray:
        """The row, in the block, of each element."""
        return np.repeat(np.arange(len(self.lengths)), self.lengths)

    @property
    def starts(self) -> np.ndarray:
        """Place of each row's first element."""
        return np.cumsum(self.lengths) - self.lengths


@dataclass(frozen=True, eq=False)
class Nothing:
    """Missing everywhere: rows without a single value have no type. `column` is where they come from."""

    missing: np.ndarray
    column: str | None = None
    kind = "nothing"


Value = Numbers | Truths | Texts | Times | Lists | Nothing


def numbers(values: np.ndarray, missing: np.ndarray | None = None, **more: Any) -> Numbers:
    """Numbers with NaN marked as missing."""
    if values.dtype.kind == "f":
        nan = np.isnan(values)
        missing = nan if missing is None else nan | missing
    return Numbers(values, missing if missing is not None and missing.any() else None, **more)


def either(*missing: np.ndarray | None) -> np.ndarray | None:
    """Where any of several values is missing; None for nowhere."""
    marks = [mark for mark in missing if mark is not None]
    return np.logical_or.reduce(np.broadcast_arrays(*marks)) if marks else None


def length(value: Value) -> int:
    """Rows of a value; 1 for a constant."""
    if isinstance(value, Lists):
        return len(value.lengths)
    if isinstance(value, Nothing):
        return len(value.missing)
    return len(value.codes if isinstance(value, Texts) else value.values)


def present(value: Value) -> np.ndarray:
    """Where a value is not missing, bool of the value's length, or `(1,)`."""
    return np.ones(1, bool) if value.missing is None else ~value.missing


def take(value: Value, places: Places) -> Value:
    """The value at some rows; a place of -1 gives a missing one.

    Args:
        value: of any kind.
        places: int64 in [-1, length).
    """
    none = places < 0
    if not length(value):
        column = getattr(value, "column", None)
        return (
            Nothing(np.ones(len(places), bool), column)
            if not isinstance(value, Lists)
            else _no_lists(value, len(places))
        )
    if isinstance(value, Texts):
        return replace(value, codes=np.where(none, -1, value.codes[places]), literal=None)
    if isinstance(value, Times):
        return Times(value.values.take(places, allow_fill=True))
    if isinstance(value, Lists):
        return _take_lists(value, places, none)
    missing = none if value.missing is None else none | value.missing[places]
    if isinstance(value, Nothing):
        return Nothing(missing, value.column)
    return replace(value, values=value.values[places], missing=missing if missing.any() else None)


def _no_lists(value: Lists, size: int) -> Lists:
    return Lists(np.zeros(size, np.int64), value.inner, np.ones(size, bool))


def _take_lists(value: Lists, places: Places, none: np.ndarray) -> Lists:
    lengths = np.where(none, 0, value.lengths[places])
    starts = np.where(none, 0, value.starts[places])
    missing = none if value.missing is None else none | value.missing[places]
    inner = take(value.inner, stretches(starts, lengths))
    return Lists(lengths, inner, missing if missing.any() else None)


def stretches(starts: np.ndarray, lengths: np.ndarray) -> Places:
    """`start, start + 1, ...` of each row behind each other, int64.

    Example:
        >>> stretches(np.array([5, 0]), np.array([2, 1])).tolist()
        [5, 6, 0]
    """
    first = np.cumsum(lengths) - lengths
    return np.arange(int(lengths.sum())) + np.repeat(starts - first, lengths)


def spread(value: Value, lists: Lists) -> Value:
    """A value of each row, repeated for each element of that row's list; constants stay as they are."""
    literal = isinstance(value, Numbers | Texts) and bool(value.literal)
    return value if literal or (length(value) == 1 and len(lists.lengths) != 1) else take(value, lists.row_of)


def constant_text(node: Text) -> Texts:
    """A text in quotes as a value."""
    names = np.empty(1, object)
    names[0] = node.text
    return Texts(np.zeros(1, np.int64), names, literal=node)
