"""Read the feature rows of an input or target once: ranges of columns, missing values, digests of rows.

Blocks are read by threads in the order of the store, and folded in order, so that the result does not depend on how
many threads there are. Held at a time are some blocks, and 16 bytes per row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mtgen.errors import MtgenError, StoreError, named
from mtgen.inputs.columns import BoundColumns
from mtgen.inputs.rows import BoundRows
from mtgen.pending import Field
from mtgen.waits import Note

BLOCK_BYTES = 4 << 20
"""Bytes of rows that are read at a time, by each thread."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Columns:
    """What the columns of some rows hold; a row of several axes is laid out flat.

    Args:
        count: finite values of each column, `(d,)`; so all that follow.
        lowest, highest, mean, std: of the finite values; NaN where there are none.
        num_nan, num_infinite, num_zero: values that are none, infinite, and 0.
        digests: uint64 `(n, 2)`: equal for equal rows, in the order asked for.
        is_zero: bool `(n,)`: rows of zeros.
        not_finite: bool `(n,)`: rows with NaN or an infinite value.
    """

    count: np.ndarray
    lowest: np.ndarray
    highest: np.ndarray
    mean: np.ndarray
    std: np.ndarray
    num_nan: np.ndarray
    num_infinite: np.ndarray
    num_zero: np.ndarray
    digests: np.ndarray
    is_zero: np.ndarray
    not_finite: np.ndarray


def has_rows(one: Field) -> bool:
    """Whether a field is of numbers that can be read row by row."""
    return isinstance(one.bound, BoundRows | BoundColumns)


def column_names(one: Field) -> list[str]:
    """Names of the columns of a field: those of the table, or places in the row."""
    settings = one.bound.settings() if isinstance(one.bound, BoundColumns) else {}
    names = [str(name) for name in settings.get("columns", [])]
    size = int(np.prod(one.spec.shape))
    if len(names) == size:
        return names
    if one.bound.classes is not None and len(one.bound.classes) == size if settings else False:
        return [str(name) for name in one.bound.classes]
    return [str(place) if len(one.spec.shape) < 2 else _place(place, one.spec.shape) for place in range(size)]


def _place(place: int, shape: tuple[int, ...]) -> str:
    return ", ".join(map(str, np.unravel_index(place, shape)))


def read_rows(one: Field, rows: np.ndarray) -> np.ndarray:
    """The values of some rows in a new array `(n, *spec.shape)`; any thread.

    Raises:
        MtgenError: they cannot be read.
    """
    out = one.spec.empty(len(rows))
    try:
        one.bound.fetch(rows, out)
    except MtgenError:
        raise
    except Exception as error:
        raise named(error, getattr(getattr(one.bound, "store", None), "location", None), StoreError) from error
    return out


def look_at_rows(one: Field, rows: np.ndarray, each: Any) -> Columns:
    """Read rows of a field once.

    Args:
        one: a field for which `has_rows` is true.
        rows: int64 `(n,)` of the root table.
        each: `mtgen.verify.files.each` with its settings: `each(work, items, what, group)`.

    Raises:
        MtgenError: rows that cannot be read.
    """
    order = np.argsort(one.bound.store_rows(rows), kind="stable") if isinstance(one.bound, BoundRows) else None
    in_order = rows if order is None else rows[order]
    num_rows = max(1, BLOCK_BYTES // max(1, one.spec.row_bytes))
    starts = range(0, len(rows), num_rows)

    def look(start: int, note: Note) -> _Block:
        note(f"read rows of {one.name}")
        return _look(read_rows(one, in_order[start : start + num_rows]))

    size = int(np.prod(one.spec.shape))
    sums, digests, is_zero, not_finite = _Sums(size), [], [], []
    for block in each(look, starts, f"read {one.role} {one.name}", 1):
        sums.add(block)
        digests.append(block.digests)
        is_zero.append(block.is_zero)
        not_finite.append(block.not_finite)
    back = slice(None) if order is None else np.argsort(order, kind="stable")
    return sums.columns(*(np.concatenate(parts)[back] for parts in (digests, is_zero, not_finite)))


@dataclass(frozen=True, kw_only=True, eq=False)
class _Block:
    count: np.ndarray
    lowest: np.ndarray
    highest: np.ndarray
    mean: np.ndarray
    squares: np.ndarray
    num_nan: np.ndarray
    num_infinite: np.ndarray
    num_zero: np.ndarray
    digests: np.ndarray
    is_zero: np.ndarray
    not_finite: np.ndarray


def digests_of(values: np.ndarray) -> np.ndarray:
    """uint64 `(n, 2)`: the xxh3_128 of each row's bytes; 0 and -0 are one value, as are all NaN.

    Example:
        >>> found = digests_of(np.array([[0.0, 1.0], [-0.0, 1.0], [2.0, 1.0]]))
        >>> (found[0] == found[1]).all(), (found[0] == found[2]).all()
        (np.True_, np.False_)
    """
    import xxhash

    rows = np.ascontiguousarray(values.reshape(len(values), -1))
    if rows.dtype.kind == "f":
        rows = rows + rows.dtype.type(0)  # -0 + 0 is 0
        rows[np.isnan(rows)] = np.nan
    view, size = memoryview(rows.tobytes()), rows.shape[1] * rows.itemsize
    hashed = b"".join(xxhash.xxh3_128_digest(view[place * size : (place + 1) * size]) for place in range(len(rows)))
    return np.frombuffer(hashed, "<u8").reshape(-1, 2)


def _look(read: np.ndarray) -> _Block:
    flat = read.reshape(len(read), -1)
    values = flat.astype(np.float64)
    finite = np.isfinite(values)
    kept = np.where(finite, values, 0.0)
    count = finite.sum(axis=0)
    with np.errstate(all="ignore"):
        mean = np.where(count, kept.sum(axis=0) / np.maximum(count, 1), 0.0)
        squares = (np.where(finite, values - mean, 0.0) ** 2).sum(axis=0)
    return _Block(
        count=count,
        lowest=np.where(finite, values, np.inf).min(axis=0),
        highest=np.where(finite, values, -np.inf).max(axis=0),
        mean=mean,
        squares=squares,
        num_nan=np.isnan(values).sum(axis=0),
        num_infinite=np.isinf(values).sum(axis=0),
        num_zero=(values == 0).sum(axis=0),
        digests=digests_of(flat),
        is_zero=(values == 0).all(axis=1),
        not_finite=np.asarray(~finite.all(axis=1)),
    )


class _Sums:
    """Blocks folded one after the other: T. F. Chan, G. H. Golub, R. J. LeVeque (1979), updating formulae."""

    def __init__(self, size: int) -> None:
        self.count = np.zeros(size, np.int64)
        self.mean, self.squares = np.zeros(size), np.zeros(size)
        self.lowest, self.highest = np.full(size, np.inf), np.full(size, -np.inf)
        self.num_nan, self.num_infinite, self.num_zero = (np.zeros(size, np.int64) for _ in range(3))

    def add(self, block: _Block) -> None:
        total = np.maximum(self.count + block.count, 1)
        with np.errstate(all="ignore"):
            apart = block.mean - self.mean
            self.squares += block.squares + apart**2 * (self.count * (block.count / total))
            self.mean += apart * (block.count / total)
        self.count += block.count
        np.minimum(self.lowest, block.lowest, out=self.lowest)
        np.maximum(self.highest, block.highest, out=self.highest)
        self.num_nan += block.num_nan
        self.num_infinite += block.num_infinite
        self.num_zero += block.num_zero

    def columns(self, digests: np.ndarray, is_zero: np.ndarray, not_finite: np.ndarray) -> Columns:
        none = self.count == 0
        with np.errstate(all="ignore"):
            std = np.sqrt(self.squares / np.maximum(self.count, 1))
        return Columns(
            count=self.count,
            lowest=np.where(none, np.nan, self.lowest),
            highest=np.where(none, np.nan, self.highest),
            mean=np.where(none, np.nan, self.mean),
            std=np.where(none, np.nan, std),
            num_nan=self.num_nan,
            num_infinite=self.num_infinite,
            num_zero=self.num_zero,
            digests=digests,
            is_zero=is_zero,
            not_finite=not_finite,
        )
