"""Rows that are mostly zeros, in sparse form (CSR): only what is not zero is stored, with its column.

A Zarr v3 group as anndata encodes a `csr_matrix`: the arrays `data` (values), `indices` (their columns) and `indptr`
(row i has the values from `indptr[i]` to `indptr[i + 1]`), each in shards with a checksum for each block, read as
`sharded.py` reads. So the values of a row are one or two small reads of two files.

Zero means all bits zero: -0.0 and NaN are stored as the values they are.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from mtgen.errors import StoreError
from mtgen.stores.base import OpenStore
from mtgen.stores.shard_metadata import ROW_SHAPE_ATTRIBUTE, is_packed_sparse
from mtgen.stores.sharded import METADATA_FILE, ShardedStore, read_metadata

HELD_BYTES = 64 << 20
"""The starts of rows are held in memory up to this size, 8 bytes a row; of longer stores they are read as they are
needed, one more small read per row."""

PIECE_BYTES = 2 << 20
"""Scratch memory of one read, about."""

VALUE_SCRATCH_BYTES = 40
"""Scratch memory of one value: three places of 8 bytes, and the value and its column twice."""

COLUMN_DTYPES = ("uint16", "uint32")


class SparseStore(OpenStore):
    """Rows in sparse form, delivered dense.

    Any thread may read, many at once.

    Args:
        folder: the group's folder.
        location: name for messages; the folder itself by default.

    Raises:
        StoreError: no such group, one that contradicts itself, or one whose files are damaged.
    """

    chunk_rows = 1
    reads_together = True
    scratch_bytes = 2 * PIECE_BYTES
    checks_itself = True

    def __init__(self, folder: str | Path, location: str | None = None) -> None:
        self.folder = Path(folder)
        self.location = location or str(folder)
        metadata = read_metadata(self.folder, self.location)
        attributes = metadata.get("attributes")
        self.attributes = attributes if isinstance(attributes, dict) else {}
        if not is_packed_sparse(self.attributes):
            raise self._contradiction("it is no store in sparse form that mtgen wrote")
        self._values = self._open("data", "values")
        self._columns = self._open("indices", "values")
        self._ends = self._open("indptr", "ends of rows")
        self.set_shape(self._shape(), self._values.dtype)
        self._num_columns = math.prod(self.row_shape)
        self._bits = np.dtype(f"u{self.dtype.itemsize}")
        self._held: np.ndarray | None = None
        if self._ends.num_rows * 8 <= HELD_BYTES:
            self._held = self._read_ends(np.arange(self._ends.num_rows))
        held = self._ends.num_rows * 8 if self._held is not None else self._ends.cache_bytes
        self.cache_bytes = held + self._values.cache_bytes + self._columns.cache_bytes

    def _open(self, name: str, what: str) -> ShardedStore:
        store = ShardedStore(self.folder / name, self.location, name, what)
        if store.row_shape != ():
            raise self._contradiction(f"{name} has rows of {store.row_shape}, expected one value each")
        return store

    def _contradiction(self, what: str) -> StoreError:
        return StoreError(
            f"{self.folder / METADATA_FILE} contradicts its arrays: {what}; copy the store again, or pack it anew",
            path=self.location,
        )

    def _shape(self) -> tuple[int, ...]:
        """Rows first; what the group says, if its arrays can hold that."""
        shape: Any = self.attributes.get("shape")
        row_shape: Any = self.attributes.get(ROW_SHAPE_ATTRIBUTE)
        if not (_are_lengths(shape) and _are_lengths(row_shape)) or len(shape) != 2 or math.prod(row_shape) != shape[1]:
            raise self._contradiction(f"its shape is {shape!r:.200} with rows of {row_shape!r:.200}")
        if self._ends.num_rows != shape[0] + 1 or self._ends.dtype != np.int64:
            raise self._contradiction(f"{shape[0]} rows, and {self._ends.num_rows} {self._ends.dtype} in indptr")
        if self._values.num_rows != self._columns.num_rows or self._columns.dtype.name not in COLUMN_DTYPES:
            raise self._contradiction(
                f"{self._values.num_rows} values in data, {self._columns.num_rows} {self._columns.dtype} in indices"
            )
        if self._values.chunk_rows != self._columns.chunk_rows:
            raise self._contradiction("data and indices are cut into blocks of different length")
        return (shape[0], *row_shape)

    def reopening(self) -> tuple[Callable[..., OpenStore], tuple[Any, ...]]:
        """See `OpenStore.reopening`."""
        return SparseStore, (str(self.folder.absolute()), self.location)

    def close(self) -> None:
        """See `Store.close`."""
        super().close()
        for store in (self._values, self._columns, self._ends):
            store.close()

    def fill(self, rows: np.ndarray, out: np.ndarray) -> None:
        """See `OpenStore.fill`."""
        slots = np.argsort(rows, kind="stable")
        ordered = rows[slots]
        starts, stops = self._spans(ordered)
        target = out.reshape(-1).view(self._bits)
        target[...] = 0
        cost = np.cumsum((stops - starts) * VALUE_SCRATCH_BYTES + 2 * self._values.array.block_bytes)
        edges = [0, len(rows)]
        if cost[-1] > PIECE_BYTES:
            edges[1:1] = (np.flatnonzero(np.diff(cost // PIECE_BYTES)) + 1).tolist()
        for first, last in pairwise(edges):
            here = slice(first, last)
            try:
                self._scatter(ordered[here], slots[here], starts[here], stops[here], target)
            except StoreError as error:
                named = f"{ordered[first]}" if last - first == 1 else f"{ordered[first]} to {ordered[last - 1]}"
                raise StoreError(f"{error.message} (store rows {named})", path=self.location) from error

    def _scatter(
        self, rows: np.ndarray, slots: np.ndarray, starts: np.ndarray, stops: np.ndarray, target: np.ndarray
    ) -> None:
        counts = stops - starts
        total = int(counts.sum())
        if not total:
            return
        block_rows = self._values.chunk_rows
        first = starts // block_rows
        num = np.where(counts > 0, (stops - 1) // block_rows - first + 1, 0)
        blocks = np.unique(np.repeat(first - (np.cumsum(num) - num), num) + np.arange(int(num.sum())))
        # Blocks of one row follow each other, so its values do, too.
        before = np.cumsum(counts) - counts
        shift = (np.searchsorted(blocks, first) - first) * block_rows + starts - before
        among = np.repeat(shift, counts) + np.arange(total)
        columns = _flat(self._columns, blocks)[among]
        self._check_columns(columns, rows, counts, before)
        places = np.repeat(slots * self._num_columns, counts) + columns
        target[places] = _flat(self._values, blocks).view(self._bits)[among]

    def _check_columns(self, columns: np.ndarray, rows: np.ndarray, counts: np.ndarray, before: np.ndarray) -> None:
        """Columns of a row ascend, and are in the row."""
        ascending = np.empty(len(columns), bool)
        np.greater(columns[1:], columns[:-1], out=ascending[1:])
        ascending[before[counts > 0]] = True
        wrong = ~ascending if not ascending.all() else None
        if wrong is None and int(columns.max()) >= self._num_columns:
            wrong = columns >= self._num_columns
        if wrong is not None:
            place = int(np.argmax(wrong))
            row = int(rows[np.searchsorted(np.cumsum(counts), place, "right")])
            raise StoreError(
                f"{self.folder / 'indices'} is broken: a value of store row {row} is in column {int(columns[place])}, "
                f"expected ascending columns of 0 to {self._num_columns - 1}: pack the store anew",
                path=self.location,
            )

    def _spans(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where the values of rows start and stop, int64 `(n,)` each."""
        if self._held is not None:
            starts, stops = self._held[rows], self._held[rows + 1]
        else:
            starts, stops = self._read_ends(rows), self._read_ends(rows + 1)
        wrong = (starts < 0) | (stops < starts) | (stops - starts > self._num_columns) | (stops > self._values.num_rows)
        if wrong.any():
            place = int(np.argmax(wrong))
            raise StoreError(
                f"{self.folder / 'indptr'} is broken: store row {int(rows[place])} has the values {int(starts[place])} "
                f"to {int(stops[place])}, there are {self._values.num_rows}, and a row has at most "
                f"{self._num_columns}: pack the store anew",
                path=self.location,
            )
        return starts, stops

    def _read_ends(self, rows: np.ndarray) -> np.ndarray:
        out = np.empty(len(rows), np.int64)
        self._ends.read_rows(rows, out)
        return out


def _are_lengths(value: Any) -> bool:
    return isinstance(value, list) and len(value) < 32 and all(type(one) is int and 0 < one < 2**62 for one in value)


def _flat(store: ShardedStore, blocks: np.ndarray) -> np.ndarray:
    """The values of some blocks, one block after the other, `(blocks * block_rows,)`."""
    parts = [np.ascontiguousarray(values).reshape(-1).view(store.dtype) for _, values in store.pieces(blocks)]
    return parts[0] if len(parts) == 1 else np.concatenate(parts)
