"""Parquet columns through pyarrow: a way in for tables, not a format for fast random rows.

The least that can be decoded is a row group, so `chunk_rows` is the size of the largest one.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from mtgen.errors import StoreError
from mtgen.stores.base import OpenStore, load_package
from mtgen.stores.container import KEY_ATTRIBUTE, KEY_MEMBER, Container
from mtgen.waits import ProcessTurns

EXACT_FLOAT = 2**53  # whole numbers up to here are exact in float64


def _parquet(location: str) -> Any:
    return load_package("pyarrow.parquet", "mtgen[parquet]", location)


def _open_file(path: str | Path) -> Any:
    try:
        return _parquet(str(path)).ParquetFile(str(path), memory_map=False, page_checksum_verification=True)
    except StoreError:
        raise
    except Exception as error:  # OSError, ArrowInvalid (a ValueError), ArrowException, ...
        raise StoreError(
            f"pyarrow cannot open it ({error}): copy it again, or write it anew", path=str(path)
        ) from error


class ParquetStore(OpenStore):
    """Rows of one column, one list column, or several numeric columns side by side.

    Any thread may read, one at a time; row groups are decoded one after another. Missing values are refused when
    they are read; the message names the row.

    Args:
        path: the file.
        inside: a column, `a,b,c` for several, `*` for all but the keys.

    Raises:
        StoreError: no such column, or a type that no batch can carry.
    """

    def __init__(self, path: str | Path, inside: str) -> None:
        self.path = str(Path(path).absolute())
        self.location = f"{path}::{inside}"
        self.inside = inside
        self.lock = ProcessTurns(f"read {self.location}")
        self.file = _open_file(path)
        try:
            self._understand(inside)
        except BaseException:
            self.file.close()
            raise

    def _understand(self, inside: str) -> None:
        groups = self.file.metadata
        sizes = [groups.row_group(group).num_rows for group in range(groups.num_row_groups)]
        self.starts = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)]).astype(np.int64)
        self.chunk_rows = max([1, *sizes])
        schema = self.file.schema_arrow
        self.columns = _columns(schema, inside, self.location)
        shapes_dtypes = [self._column_spec(name, schema.field(name).type) for name in self.columns]
        shape, dtype = shapes_dtypes[0]
        if len(self.columns) > 1:
            for name, (other_shape, other) in zip(self.columns, shapes_dtypes, strict=True):
                if other_shape or other.kind not in "biuf":
                    raise StoreError(
                        f"column {name!r} is {schema.field(name).type}, several columns side by side must be numbers",
                        path=self.location,
                    )
            shape, dtype = (len(self.columns),), np.result_type(*(other for _, other in shapes_dtypes))
        self.set_shape((int(self.starts[-1]), *shape), dtype)

    def _column_spec(self, name: str, kind: Any) -> tuple[tuple[int, ...], np.dtype]:
        """Row shape and dtype of one column; looks into the data where the schema leaves a width open."""
        types = load_package("pyarrow", "mtgen[parquet]", self.location).types
        shape: tuple[int, ...] = ()
        while types.is_fixed_size_list(kind):
            shape, kind = (*shape, kind.list_size), kind.value_type
        if not shape and (types.is_list(kind) or types.is_large_list(kind)):
            shape, kind = (self._list_width(name),), kind.value_type
        if types.is_dictionary(kind):
            kind = kind.value_type
        if not shape and (types.is_string(kind) or types.is_large_string(kind)):
            return (), np.dtype(f"<U{self._text_width(name)}")
        plain = types.is_boolean(kind) or types.is_integer(kind) or types.is_floating(kind)
        if plain or types.is_date(kind) or (types.is_timestamp(kind) and kind.tz is None) or types.is_duration(kind):
            return shape, np.dtype("datetime64[D]") if types.is_date(kind) else np.dtype(kind.to_pandas_dtype())
        raise StoreError(
            f"column {name!r} is {self.file.schema_arrow.field(name).type}, expected numbers, bool, text, dates or "
            "lists of numbers of one length: convert the column first",
            path=self.location,
        )

    def _list_width(self, name: str) -> int:
        """Length of the lists of a column, as the first row has it; every read checks it."""
        for group in range(len(self.starts) - 1):
            if self.starts[group + 1] > self.starts[group]:
                first = self._read_group(group, [name]).column(0)[0]
                if first.as_py() is None:
                    raise self._null(name, int(self.starts[group]))
                return len(first)
        return 0

    def _text_width(self, name: str) -> int:
        """Length of the longest text of a column: one pass over it, row group by row group."""
        compute = load_package("pyarrow.compute", "mtgen[parquet]", self.location)
        width = 1
        for group in range(len(self.starts) - 1):
            lengths = compute.utf8_length(_dense(self._read_group(group, [name]).column(0)))
            width = max(width, compute.max(lengths).as_py() or 0)
        return width

    def _read_group(self, group: int, columns: list[str]) -> Any:
        try:
            return self.file.read_row_group(group, columns=columns, use_threads=False)
        except Exception as error:  # besides OSError and ValueError, pyarrow has an ArrowException of its own
            raise StoreError(
                f"pyarrow cannot read row group {group} ({error}): copy the file again, or write it anew",
                path=self.location,
            ) from error

    def _null(self, name: str, row: int) -> StoreError:
        return StoreError(
            f"column {name!r} has a missing value in store row {row}: fill it in, or leave such rows out",
            path=self.location,
        )

    def reopening(self) -> tuple[Callable[..., OpenStore], tuple[Any, ...]]:
        """See `OpenStore.reopening`."""
        return ParquetStore, (self.path, self.inside)

    def fill(self, rows: np.ndarray, out: np.ndarray) -> None:
        """See `OpenStore.fill`."""
        order = np.argsort(rows, kind="stable")
        groups = np.searchsorted(self.starts, rows[order], side="right") - 1
        for group in np.unique(groups).tolist():
            slots = order[groups == group]
            with self.lock.here:
                self.check_open()
                table = self._read_group(group, self.columns)
            start = int(self.starts[group])
            for place, name in enumerate(self.columns):
                try:
                    values = self._values(table.column(place), name, start)
                except StoreError:
                    raise
                except Exception as error:  # as in `_read_group`: text that is no text shows only here
                    raise StoreError(
                        f"pyarrow cannot give column {name!r} of row group {group} ({error}): copy the file again, or "
                        "write it anew",
                        path=self.location,
                    ) from error
                target = out[:, place] if len(self.columns) > 1 else out
                self._check_exact(values, target.dtype, name)
                target[slots] = values[rows[slots] - start]

    def _check_exact(self, values: np.ndarray, dtype: np.dtype, name: str) -> None:
        large = values.dtype.kind in "iu" and dtype.kind == "f" and values.dtype.itemsize == 8 and len(values)
        if large and (values.max() > EXACT_FLOAT or values.min() < -EXACT_FLOAT):
            raise StoreError(
                f"column {name!r} has whole numbers beyond 2**53, which {dtype} beside other columns would round: "
                "read the column alone",
                path=self.location,
            )

    def _values(self, column: Any, name: str, start: int) -> np.ndarray:
        """One column of one row group as a NumPy array `(rows, *row_shape)`."""
        column = _dense(column)
        length = len(column)
        shape = self.row_shape if len(self.columns) == 1 else ()
        self._refuse_null(column, name, start, length)
        for width in shape:
            self._refuse_other_length(column, width, name, start)
            column = column.flatten()
            self._refuse_null(column, name, start, length)
        values = column.to_numpy(zero_copy_only=False)
        dtype = self.dtype if len(self.columns) == 1 else values.dtype
        return np.asarray(values).astype(dtype, copy=False).reshape(length, *shape)

    def _refuse_null(self, column: Any, name: str, start: int, length: int) -> None:
        """`column` holds one or more values per row, `length` rows in all."""
        if column.null_count:
            place = int(np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False))[0])
            raise self._null(name, start + place * length // len(column))

    def _refuse_other_length(self, column: Any, width: int, name: str, start: int) -> None:
        if not hasattr(column, "offsets"):  # a fixed-size list; its length is in the schema
            return
        lengths = np.diff(column.offsets.to_numpy())
        if (lengths != width).any():
            place = int(np.flatnonzero(lengths != width)[0])
            raise StoreError(
                f"column {name!r} has a list of {lengths[place]} in store row {start + place}, expected {width} as in "
                "the first row: lists must have one length",
                path=self.location,
            )

    def close(self) -> None:
        """See `Store.close`; waits for a read that is under way."""
        with self.lock.here:
            self.file.close()
        super().close()


def _dense(column: Any) -> Any:
    """One contiguous Arrow array (a row group has no more than Arrow can hold), dictionaries looked up."""
    column = column.combine_chunks()
    return column.dictionary_decode() if hasattr(column, "dictionary_decode") else column


def _columns(schema: Any, inside: str, location: str) -> list[str]:
    names = list(schema.names)
    if inside in names:
        return [inside]
    metadata = _metadata(schema)
    chosen = inside.split(",")
    if inside == "*":
        chosen = [name for name in names if name != metadata.get(KEY_ATTRIBUTE, KEY_MEMBER)]
    missing = [name for name in chosen if name not in names]
    if missing or not chosen:
        raise StoreError(
            f"the Parquet file has no column {', '.join(missing)}; it has {', '.join(names)}", path=location
        )
    return chosen


def _metadata(schema: Any) -> dict[str, str]:
    found = schema.metadata or {}
    return {name.decode(): value.decode("utf-8", "replace") for name, value in found.items()}


def parquet_container(path: Path) -> Container:
    """The columns of a Parquet file."""
    location = str(path)
    types = load_package("pyarrow", "mtgen[parquet]", location).types
    with _open_file(path) as file:
        schema, num_rows = file.schema_arrow, file.metadata.num_rows
    members: dict[str, tuple[int, ...]] = {}
    for field in schema:
        kind, shape = field.type, [num_rows]
        while types.is_fixed_size_list(kind):
            shape.append(kind.list_size)
            kind = kind.value_type
        if types.is_list(kind) or types.is_large_list(kind):
            shape.append(-1)
        members[field.name] = tuple(shape)
    return Container(
        location=location,
        kind="Parquet file",
        members=members,
        attributes=_metadata(schema),
        open_member=lambda name: ParquetStore(path, name),
        combines=True,
    )
