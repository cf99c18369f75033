"""Columns of a DataFrame to values, some rows at a time: NumPy, nullable, Arrow, categorical, text, dates, lists.

Only public methods of pandas arrays are used, so that Parquet columns work without a package of ours knowing theirs.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
import pandas as pd

from mtgen.sampling.query.values import Lists, Nothing, Texts, Times, Truths, Value, numbers, take

MOST_LEVELS = 8
"""Lists in lists in lists ...: no deeper."""
_LIST_TYPES = (list, tuple, np.ndarray)


class CellError(ValueError):
    """Cells of which no value can be made; the text says why. `row` is the place in the block of the one to blame."""

    def __init__(self, message: str, row: int | None = None) -> None:
        super().__init__(message)
        self.row = row


class Column:
    """One column of a table, read some rows at a time. Immutable, any thread.

    Args:
        series: the column.
        name: its name, for messages.
        classes: names of its class numbers, if they are known.
    """

    def __init__(self, series: pd.Series[Any], name: str, classes: Sequence[str] | None) -> None:
        self.name, self.dtype = name, short_dtype(series.dtype)
        self.classes = None if classes is None else tuple(map(str, classes))
        self._array: Any = series.to_numpy() if isinstance(series.dtype, np.dtype) else series.array

    def __len__(self) -> int:
        return len(self._array)

    def at(self, places: np.ndarray) -> Value:
        """The cells at int64 `(n,)` places.

        Raises:
            CellError: cells of several kinds, or of one that the language does not know.
        """
        taken = self._array[places] if isinstance(self._array, np.ndarray) else self._array.take(places)
        return self._value(taken, MOST_LEVELS)

    def _value(self, cells: Any, levels: int) -> Value:
        if not levels:
            raise CellError(f"lists are nested deeper than {MOST_LEVELS} levels")
        if isinstance(cells, pd.Categorical):
            return self._categorical(cells, levels)
        if isinstance(cells.dtype, pd.SparseDtype):
            return self._value(np.asarray(cells), levels)
        if isinstance(cells.dtype, pd.ArrowDtype) and cells.dtype.type is list:
            listed = pd.Series(cells)
            missing = np.asarray(cells.isna(), bool)
            lengths = listed.list.len().to_numpy(dtype=np.int64, na_value=0)
            return self._lists(lengths, listed.list.flatten().array, missing, levels)
        kind = cells.dtype.kind
        if isinstance(cells, np.ndarray):
            return self._objects(cells, levels) if kind == "O" else self._plain(cells, None)
        missing = np.asarray(cells.isna(), bool)
        if kind == "M":
            return Times(_times(cells))
        if kind in "iuf" and hasattr(cells.dtype, "numpy_dtype"):
            plain = cells.to_numpy(dtype=np.dtype(cells.dtype.numpy_dtype), na_value=0 if kind != "f" else np.nan)
            return self._plain(plain, missing if kind != "f" else missing | np.isnan(plain))
        if kind == "b":
            return Truths(cells.to_numpy(dtype=bool, na_value=False), missing if missing.any() else None)
        if isinstance(cells.dtype, pd.StringDtype) or kind == "U":
            return self._texts(cells)
        return self._objects(np.asarray(cells.astype(object)), levels)

    def _plain(self, values: np.ndarray, missing: np.ndarray | None) -> Value:
        """An array of NumPy's own types."""
        kind = values.dtype.kind
        if kind == "M":
            return Times(pd.array(values) if str(values.dtype) != "datetime64[D]" else _times(pd.Series(values).array))
        if kind == "b":
            return Truths(values, missing)
        if kind == "U":
            return self._texts(values.astype(object))
        if kind in "iuf":
            if values.dtype == np.float16:
                values = values.astype(np.float32)
            wide = np.int64 if kind == "i" or values.dtype.itemsize < 8 else np.uint64
            values = values if kind == "f" else values.astype(wide)
            return numbers(values, missing, classes=self.classes)
        raise CellError(f"values of dtype {values.dtype} cannot be used")

    def _texts(self, cells: Any) -> Value:
        codes, names = pd.factorize(cells)
        return Texts(codes.astype(np.int64), np.asarray(names, object), column=self.name)

    def _categorical(self, cells: pd.Categorical, levels: int) -> Value:
        codes = np.asarray(cells.codes, np.int64)
        names = np.asarray(cells.categories, object)
        if all(isinstance(name, str) for name in names):
            return Texts(codes, names, column=self.name, ordered=bool(cells.ordered))
        kept = cells.categories
        return take(self._value(kept.to_numpy() if isinstance(kept.dtype, np.dtype) else kept.array, levels - 1), codes)

    # --- Python objects

    def _objects(self, cells: np.ndarray, levels: int) -> Value:
        """Cells that are Python objects, all of one kind but for missing ones."""
        missing = np.asarray(pd.isna(cells), bool)
        mark = missing if missing.any() else None
        if missing.all():
            return Nothing(missing, self.name)
        kind = pd.api.types.infer_dtype(cells, skipna=True)
        if kind == "string":
            return self._texts(cells)
        if kind == "boolean":
            return Truths(np.where(missing, False, cells).astype(bool), mark)
        if kind == "integer":
            return numbers(_whole(np.where(missing, 0, cells)), mark, classes=self.classes)
        if kind in ("floating", "mixed-integer-float", "decimal"):
            return numbers(np.where(missing, np.nan, cells).astype(np.float64), mark, classes=self.classes)
        if kind in ("datetime", "datetime64", "date"):
            return Times(_times(pd.Series(cells).array))
        kinds = set(map(type, cells[~missing]))
        if all(issubclass(one, _LIST_TYPES) for one in kinds):
            return self._list_cells(cells, missing, levels)
        names = sorted(one.__name__ for one in kinds)
        raise CellError(
            f"its cells are {' and '.join(names[:4])}, expected cells of one kind that can be compared", _odd(cells)
        )

    def _list_cells(self, cells: np.ndarray, missing: np.ndarray, levels: int) -> Value:
        held = cells[~missing]
        lengths = np.zeros(len(cells), np.int64)
        try:
            lengths[~missing] = np.fromiter(map(len, held), np.int64, len(held))
        except TypeError:
            raise CellError("one of its cells is an array without an axis, expected lists") from None
        return self._lists(lengths, _flat(held, int(lengths.sum())), missing, levels)

    def _lists(self, lengths: np.ndarray, flat: Any, missing: np.ndarray, levels: int) -> Lists:
        return Lists(lengths, self._value(flat, levels - 1), missing if missing.any() else None)


def short_dtype(dtype: object) -> str:
    """A dtype for a message; those of Arrow can be as long as a page."""
    text = str(dtype)
    return text if len(text) <= 60 else text[:60] + "..."


def _flat(held: np.ndarray, total: int) -> np.ndarray:
    """The elements of all lists behind each other."""
    if total and set(map(type, held)) == {np.ndarray}:
        filled = [cell for cell in held if len(cell)]
        if len({(cell.ndim, cell.dtype.kind) for cell in filled}) == 1 and filled[0].ndim == 1:
            return np.concatenate(filled)
    return np.fromiter(chain.from_iterable(held), object, total)


def _whole(cells: np.ndarray) -> np.ndarray:
    for dtype in (np.int64, np.uint64):
        try:
            return cells.astype(dtype)
        except OverflowError:
            continue
    raise CellError("one of its whole numbers does not fit 64 bits")


def _times(cells: Any) -> Any:
    """Dates and times of any kind as a pandas DatetimeArray."""
    if isinstance(cells, pd.arrays.DatetimeArray):
        return cells
    dtype = cells.dtype
    if isinstance(dtype, pd.ArrowDtype) and dtype.kind == "M":
        zone = getattr(dtype.pyarrow_dtype, "tz", None)
        unit: Any = getattr(dtype.pyarrow_dtype, "unit", "s")
        wanted: Any = pd.DatetimeTZDtype(unit, zone) if zone else f"datetime64[{unit}]"
        return pd.Series(cells).astype(wanted).array
    try:
        return pd.Series(pd.to_datetime(pd.Series(cells))).array
    except (ValueError, TypeError, OverflowError) as error:
        raise CellError(f"pandas cannot read its dates: {error}") from None


def _odd(cells: np.ndarray) -> int | None:
    """The first cell that is of another type than the first one."""
    first: type | None = None
    for place, cell in enumerate(cells):
        if isinstance(cell, _LIST_TYPES) or not pd.isna(cell):
            first = first or type(cell)
            if type(cell) is not first:
                return place
    return None
