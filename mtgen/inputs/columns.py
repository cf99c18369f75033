"""Values straight from the table: as an input, a target or a weight."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mtgen.errors import TableError
from mtgen.settings import check_kind
from mtgen.spec import Spec
from mtgen.table import check_complete, column, digest_values, first_rows


@dataclass(frozen=True)
class Columns:
    """Columns of the table as one input of shape `(number of columns,)`.

    Args:
        names: one column name or several; numbers or booleans, none missing.
        dtype: dtype of the delivered values, numbers or booleans; integers that it cannot hold exactly and floats
            that overflow it are refused.

    Example:
        >>> bound = Columns(["age", "weight"]).bind(pd.DataFrame({"age": [30, 41], "weight": [60.5, 80.0]}))
        >>> bound.take(np.array([1])).tolist()
        [[41.0, 80.0]]
    """

    names: Sequence[str] | str
    dtype: str = "float32"

    def bind(self, table: pd.DataFrame) -> BoundColumns:
        """Check the columns and copy them out of the root table.

        Raises:
            TableError: a missing column or value, text, or a value the dtype cannot hold.
        """
        names = _names("Columns", self.names)
        if not names:
            raise TableError("Columns needs at least one column name, received none")
        dtype = number_dtype(self.dtype, "Columns")
        series = [column(table, name, "Columns") for name in names]
        values = np.stack([_numbers(one, dtype) for one in series], axis=1)
        return BoundColumns(values, settings={"columns": names, "dtype": str(dtype)}, digests=_digests(series))


@dataclass(frozen=True)
class Target:
    """Columns of the table as one target.

    Integers and booleans become int32 (int64 where they do not fit), floats float32. Text and categories become
    class numbers 0, 1, ... in sorted order of all values in the root table; `Dataset.classes` lists them. A column
    whose values are lists or arrays of numbers, all of one shape, keeps that shape. Anything else, such as dates or
    numbers kept as Python objects, is refused, because its class numbers would surprise.

    Args:
        names: one column name, delivered as `(batch,)` (or `(batch, *shape)`), or a list of several, delivered as
            `(batch, number)`.

    Example:
        >>> bound = Target("label").bind(pd.DataFrame({"label": ["dog", "cat", "dog"]}))
        >>> bound.take(np.array([0, 1])).tolist(), bound.classes
        ([1, 0], ('cat', 'dog'))
    """

    names: Sequence[str] | str

    def bind(self, table: pd.DataFrame) -> BoundColumns:
        """Check the columns and copy them out of the root table.

        Raises:
            TableError: a missing column or value, or values that are neither numbers nor text.
        """
        several = not isinstance(self.names, str)
        names = _names("targets", self.names)
        if not names:
            raise TableError("a target needs at least one column name, received none")
        series = [column(table, name, "targets") for name in names]
        for one in series:
            check_complete(one, "targets")
        classes: tuple[str, ...] | None = None
        if not several and isinstance(series[0].iloc[0], list | tuple | np.ndarray):
            array = _stacked(series[0])
            settings = {"columns": names, "several": several, "shape": list(array.shape[1:])}
            return BoundColumns(array, settings=settings, digests=[digest_values(pd.Index(array.ravel()))])
        if not several and not _is_number(series[0]):
            codes, values = pd.factorize(_class_values(series[0]), sort=True)
            classes, array = tuple(map(str, values)), codes.astype(np.int32)
        else:
            for one in series:
                _check_numbers(one, "A target of several columns is of numbers; text alone is targets={name: column}")
            kind = _target_dtype(series)
            columns = [_numbers(one, kind) for one in series]
            array = np.stack(columns, axis=1) if several else columns[0]
        return BoundColumns(
            array, settings={"columns": names, "several": several}, digests=_digests(series), classes=classes
        )


@dataclass(frozen=True)
class Weight:
    """A column of the table as sample weights: float32, none negative, missing or infinite.

    Example:
        >>> Weight("w").bind(pd.DataFrame({"w": [1, 2]})).take(np.array([1])).tolist()
        [2.0]
    """

    name: str

    def bind(self, table: pd.DataFrame) -> BoundColumns:
        """Check the column and copy it out of the root table.

        Raises:
            TableError: a missing column, or a weight that is missing, negative or infinite.
        """
        series = column(table, self.name, "weight")
        values = _numbers(series, np.dtype("float32"))
        wrong = ~np.isfinite(values) | (values < 0)
        if wrong.any():
            row = int(np.flatnonzero(wrong)[0])
            raise TableError(
                f"weight: column {self.name!r} has {series.iloc[row]!r}; weights are finite and >= 0. "
                f"Wrong in {first_rows(wrong)}",
                row=row,
            )
        return BoundColumns(values, settings={"columns": [self.name]}, digests=_digests([series]))


class BoundColumns:
    """Columns copied out of one root table; row r of the table is `values[r]`.

    Immutable. Any thread.
    """

    def __init__(
        self,
        values: np.ndarray,
        *,
        settings: dict[str, Any],
        digests: list[str],
        classes: tuple[str, ...] | None = None,
    ) -> None:
        self.spec = Spec(shape=values.shape[1:], dtype=values.dtype)
        self.classes = classes
        self._values = values
        self._settings = settings
        self._digests = digests

    @property
    def num_rows(self) -> int:
        """Rows of the root table."""
        return len(self._values)

    @classmethod
    def stacked(cls, parts: Sequence[Any]) -> BoundColumns:
        """The columns of several tables, of one spec and the same classes, one below the other."""
        return BoundColumns(
            np.concatenate([part._values for part in parts]),
            settings={"joined": [part.settings() for part in parts]},
            digests=[],
            classes=parts[0].classes,
        )

    @property
    def num_classes(self) -> int | None:
        """Classes of a target of class numbers; else one more than the largest of single integers >= 0; else None."""
        if self.classes is not None and not self.spec.shape:
            return len(self.classes)
        if self.spec.shape or self.spec.dtype.kind not in "iu" or not len(self._values) or self._values.min() < 0:
            return None
        return int(self._values.max()) + 1

    def fetch(self, rows: np.ndarray, out: np.ndarray) -> None:
        """Fill `out[slot]` with row `rows[slot]`; the caller owns both arrays."""
        np.take(self._values, rows, axis=0, out=out, mode="clip")

    def take(self, rows: np.ndarray) -> np.ndarray:
        """Values of the rows in a new array `(n, *spec.shape)`."""
        return self._values[rows]

    def settings(self) -> dict[str, Any]:
        """What was asked for, as small JSON, with digests of the values."""
        return {"kind": "columns", **self._settings, "digests": self._digests}


def _names(use: str, names: object) -> list[Any]:
    """One name or several as a list."""
    if isinstance(names, str):
        return [names]
    check_kind(
        use, names, Sequence | pd.Index | np.ndarray, "a column name or a list of them, as in ['a', 'b']", TableError
    )
    return list(names)  # type: ignore[call-overload]


def _is_number(series: pd.Series) -> bool:
    kind = series.dtype
    real = pd.api.types.is_numeric_dtype(kind) and not pd.api.types.is_complex_dtype(kind)
    return real or isinstance(kind, pd.BooleanDtype)


def number_dtype(name: object, use: str) -> np.dtype:
    """The NumPy dtype of that name, if it holds numbers or booleans.

    Raises:
        TableError: it does not; `use` says for what it was given.
    """
    try:
        dtype = np.dtype(name if name is not None else "none")  # type: ignore[call-overload]
    except Exception as error:  # NumPy parses a small language here: TypeError, SyntaxError, DeprecationWarning ...
        raise TableError(f"{use}: dtype={name!r:.200} is no NumPy dtype, expected one such as 'float32'") from error
    if dtype.kind not in "biuf":
        raise TableError(f"{use}: dtype={name!r} holds no numbers or booleans, expected one such as 'float32'")
    return dtype


def _class_values(series: pd.Series) -> pd.Series:
    """The values whose sorted order numbers the classes."""
    if isinstance(series.dtype, pd.CategoricalDtype):
        return series.astype(series.cat.categories.dtype)
    kind = pd.api.types.infer_dtype(series, skipna=False)
    if kind != "string":
        raise TableError(
            f"targets: column {series.name!r} has dtype {series.dtype} with {kind} values (first value "
            f"{series.iloc[0]!r}), expected numbers, text or categories. Convert it first: "
            f"table[{series.name!r}].astype('int64'), or .astype(str) if every distinct value is a class"
        )
    return series


def _target_dtype(series: list[pd.Series]) -> np.dtype:
    if any(pd.api.types.is_float_dtype(one.dtype) for one in series):
        return np.dtype("float32")
    low, high = min(int(one.min()) for one in series), max(int(one.max()) for one in series)
    fits = np.iinfo("int32").min <= low and high <= np.iinfo("int32").max
    return np.dtype("int32" if fits else "int64")


def _stacked(series: pd.Series) -> np.ndarray:
    """Lists or arrays of numbers, one per row and all of one shape, as int32, int64 or float32 `(num_rows, *shape)`."""
    shape = np.shape(series.iloc[0])
    arrays = [_numeric_array(value) for value in series.tolist()]
    wrong = np.array([array is None or array.shape != shape or not array.size for array in arrays])
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise TableError(
            f"targets: column {series.name!r} has {series.iloc[row]!r:.100}; its first value has shape {shape}, so "
            "every row must hold numbers of that shape, at least one, and integers within int64. Wrong in "
            f"{first_rows(wrong)}. Labels go in OneHot",
            row=row,
        )
    values = np.stack([array for array in arrays if array is not None])
    if values.dtype.kind == "f":
        with np.errstate(over="ignore"):
            kept = values.astype(np.float32)
        broken = ~_unchanged(values, kept) | ~np.isfinite(values)
    else:
        fits = np.iinfo(np.int32).min <= values.min() and values.max() <= np.iinfo(np.int32).max
        kept = values.astype(np.int32 if fits else np.int64)
        broken = ~_unchanged(values, kept)
    broken = broken.reshape(len(broken), -1).any(axis=1)
    if broken.any():
        row = int(np.flatnonzero(broken)[0])
        raise TableError(
            f"targets: column {series.name!r} has {series.iloc[row]!r:.100}, with NaN, infinity or numbers "
            f"that {kept.dtype} cannot hold. Wrong in {first_rows(broken)}",
            row=row,
        )
    return kept


def _numeric_array(value: Any) -> np.ndarray | None:
    """The value as an array of floats or signed integers, or None where it is none."""
    try:
        array = np.asarray(value)
    except ValueError:  # lists of several lengths in one
        return None
    if array.dtype.kind == "u" and array.size and array.max() > np.iinfo(np.int64).max:
        return None  # beside signed integers NumPy would make floats of it, and round
    return array.astype(np.int64) if array.dtype.kind in "bu" else array if array.dtype.kind in "if" else None


_ENCODE = "Mend single values in the table; text that names kinds is encoded, as by pandas.Categorical(...).codes"


def _check_numbers(series: pd.Series, fix: str) -> None:
    if not _is_number(series):
        raise TableError(
            f"column {series.name!r} holds {series.dtype}, expected numbers ({_first_text(series)}). {fix}"
        )


def _numbers(series: pd.Series, dtype: np.dtype) -> np.ndarray:
    check_complete(series, "Columns")
    _check_numbers(series, _ENCODE)
    wanted = series.to_numpy()
    if wanted.dtype.kind == "f" and np.isnan(wanted).any():
        # Columns backed by Arrow tell NaN from a missing value, and pandas says of it that it is there.
        row = int(np.flatnonzero(np.isnan(wanted))[0])
        raise TableError(
            f"column {series.name!r} has NaN in {first_rows(np.isnan(wanted))}; fill it in, or drop", row=row
        )
    if wanted.dtype.kind == "f" and np.isinf(wanted).any():
        row = int(np.flatnonzero(np.isinf(wanted))[0])
        raise TableError(
            f"column {series.name!r} has {wanted[row]!s} in {first_rows(np.isinf(wanted))}, from which no model "
            f"learns; clip it, as by table[{series.name!r}].clip(-1e9, 1e9), or drop",
            row=row,
        )
    with np.errstate(all="ignore"):
        values = wanted.astype(dtype)
        fits = _unchanged(wanted, values)
    if not fits.all():
        row = int(np.flatnonzero(~fits)[0])
        raise TableError(
            f"column {series.name!r} has {wanted[row]!s}, which {dtype} cannot hold exactly; choose another dtype, "
            "such as 'float64' for large whole numbers, or scale the column",
            row=row,
        )
    return values


def _first_text(series: pd.Series) -> str:
    """The first value that is no number, and its place."""
    texts = pd.to_numeric(series.astype(str), errors="coerce").isna().to_numpy()
    row = int(np.flatnonzero(texts)[0]) if texts.any() else 0
    return f"first in row {row}: {series.iloc[row]!r}"


def _unchanged(wanted: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Where a conversion kept the number; floats may be rounded by it, but not overflow."""
    if wanted.dtype.kind == "f" and values.dtype.kind == "f":
        return np.asarray(np.isfinite(values) | ~np.isfinite(wanted))
    same = np.asarray(values.astype(wanted.dtype) == wanted)
    # Outside the target's range the way there and back is undefined and may seem to fit.
    if values.dtype.kind in "iu" and wanted.dtype.kind != "b":
        bounds = np.iinfo(values.dtype)
        top = wanted < float(bounds.max + 1) if wanted.dtype.kind == "f" else wanted <= bounds.max
        return np.asarray(same & (wanted >= bounds.min) & top)
    if values.dtype.kind == "f" and wanted.dtype.kind in "iu":
        return np.asarray(same & (np.abs(values) < 2.0**63))
    return same


def _digests(series: list[pd.Series]) -> list[str]:
    return [digest_values(one) for one in series]
