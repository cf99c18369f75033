"""The table: what the samples are. Asking it for columns, labels and digests.

Nothing here changes a DataFrame or re-numbers its rows. Pure; `table_files` reads one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from mtgen.errors import TableError
from mtgen.settings import check_label, nearest


def check_table(table: object) -> pd.DataFrame:
    """The table itself, if it is a DataFrame with rows and distinct column names.

    Raises:
        TableError: something else was given.
    """
    if not isinstance(table, pd.DataFrame):
        raise TableError(
            f"the table must be a pandas DataFrame, received {type(table).__name__}; read files with mtgen.read_table"
        )
    if not len(table):
        raise TableError("the table has no rows; expected one row per sample")
    if isinstance(table.columns, pd.MultiIndex):
        raise TableError(
            "the table's columns have several levels, expected plain names: join the levels first, for example by "
            "table.columns = ['_'.join(map(str, names)) for names in table.columns]"
        )
    if not table.columns.is_unique:
        twice = table.columns[table.columns.duplicated()].unique().tolist()
        raise TableError(f"column names must be distinct, these appear more than once: {twice}")
    return table


def column(table: pd.DataFrame, name: object, use: str) -> pd.Series:
    """One column of the table.

    Args:
        table: the root table.
        name: column label.
        use: what the column is for, for the message, such as "targets".

    Raises:
        TableError: no such column, with the nearest ones; or several of that name.
    """
    check_label(use, name, TableError)
    if name in table.columns:
        found = table[name]
        if isinstance(found, pd.DataFrame):
            raise TableError(
                f"{use}: the table has {found.shape[1]} columns named {name!r}, expected one; rename the others"
            )
        return found
    near = nearest(name, map(str, table.columns))
    hint = f"Did you mean {near}?" if near else f"The columns are {[str(label) for label in table.columns[:20]]}"
    raise TableError(f"{use}: the table has no column {name!r}. {hint}")


def complete_column(table: pd.DataFrame, name: object, use: str, rows: np.ndarray) -> pd.Series:
    """One column at some rows, where it has no missing value.

    Args:
        table: the root table.
        name: column label.
        use: what the column is for, for the message.
        rows: int64 `(n,)` places in the table.

    Raises:
        TableError: no such column, or missing values at these rows.

    Example:
        >>> complete_column(pd.DataFrame({"a": [1, None, 3]}), "a", "by", np.array([2, 0])).tolist()
        [3.0, 1.0]
    """
    values = column(table, name, use).iloc[rows]
    check_complete(values, use)
    return values


def first_rows(wrong: np.ndarray, limit: int = 5) -> str:
    """The first places where a boolean array is true, as text for messages, with the count."""
    places = np.flatnonzero(wrong)
    listed = ", ".join(map(str, places[:limit]))
    return f"{len(places)} row{'s' if len(places) != 1 else ''} ({listed}{', ...' if len(places) > limit else ''})"


def check_complete(values: pd.Series, use: str) -> None:
    """Refuse missing values.

    Raises:
        TableError: some are missing; says how many and where.
    """
    missing = values.isna().to_numpy()
    if missing.any():
        raise TableError(
            f"{use}: column {values.name!r} has no value in {first_rows(missing)}. Fill the values in or drop these "
            "rows from the table before making the Dataset",
            row=int(np.flatnonzero(missing)[0]),
        )


def integer_values(values: pd.Series, use: str) -> np.ndarray:
    """An integer column as int64 `(num_rows,)`.

    Raises:
        TableError: missing values, or another dtype; whole-numbered floats are refused too, because they mean that
            values went missing or were rounded on the way.
    """
    check_complete(values, use)
    if not pd.api.types.is_integer_dtype(values.dtype):
        raise TableError(
            f"{use}: column {values.name!r} must hold integers, received dtype {values.dtype} (first value "
            f"{values.iloc[0]!r}). Convert it yourself if that is right: table[{values.name!r}].astype('int64')"
        )
    return values.to_numpy(dtype=np.int64)


def digest_values(values: pd.Series | pd.Index) -> str:
    """Hex digest of a column's values: equal for equal values, whatever machine or pandas version.

    Returns:
        32 hex digits.
    """
    state = hashlib.blake2b(digest_size=16)
    array = values.to_numpy()
    if array.dtype.kind in "biufM":
        little = array.astype(array.dtype.newbyteorder("<"))
        state.update(little.dtype.str.encode() + np.ascontiguousarray(little).tobytes())
    else:
        for start in range(0, len(array), 65_536):
            texts = [str(value).encode("utf-8", "surrogatepass") for value in array[start : start + 65_536]]
            # Lengths first, so that ("ab", "c") and ("a", "bc") differ.
            state.update(np.array([len(text) for text in texts], "<i8").tobytes() + b"".join(texts))
    return state.hexdigest()


def stack_tables(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """The rows of several tables one below the other, under new labels 0 to n-1; every value is kept as it is.

    A column that some table lacks has missing values there, and integers and booleans stay what they are then (as
    `Int64`, `boolean`). Columns of different dtypes get one that holds all values exactly, `object` at worst.

    Args:
        tables: at least one, each with distinct column names; not copied where there is one only.

    Example:
        >>> stack_tables([pd.DataFrame({"a": [1]}), pd.DataFrame({"a": [2], "b": [True]})])["b"].tolist()
        [<NA>, True]
    """
    names = dict.fromkeys(name for table in tables for name in table.columns)
    columns = {name: _stacked([table[name] if name in table else len(table) for table in tables]) for name in names}
    return pd.DataFrame(columns, index=pd.RangeIndex(sum(map(len, tables))))


def _stacked(parts: Sequence[pd.Series | int]) -> pd.Series:
    """Columns one below the other; a number stands for so many missing values."""
    known = [part for part in parts if isinstance(part, pd.Series)]
    if len(known) < len(parts):
        kinds = dict.fromkeys(part.dtype for part in known)
        kind = _nullable(kinds.popitem()[0]) if len(kinds) == 1 else np.dtype(object)
        known = [
            part.astype(kind) if isinstance(part, pd.Series) else pd.Series([None] * part, dtype=kind) for part in parts
        ]
    stacked = pd.concat(known, ignore_index=True)
    rounds = pd.api.types.is_float_dtype(stacked.dtype) and any(map(pd.api.types.is_integer_dtype, known))
    if rounds and len({part.dtype for part in known}) > 1:
        whole = pd.concat([part.astype(object) for part in known], ignore_index=True)
        if not (whole == stacked)[whole.notna()].all():
            return whole
    return stacked


def _nullable(dtype: Any) -> Any:
    """The dtype, or the one of the same numbers that knows missing ones."""
    if not isinstance(dtype, np.dtype) or dtype.kind not in "biu":
        return dtype
    name = "boolean" if dtype.kind == "b" else f"{'U' if dtype.kind == 'u' else ''}Int{8 * dtype.itemsize}"
    return pd.api.types.pandas_dtype(name)
