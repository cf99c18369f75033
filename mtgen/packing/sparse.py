"""Write rows in sparse form: a Zarr group of three sharded arrays, as anndata encodes a `csr_matrix`.

The source is read twice, to count the values of each row and to write them: so the place of every value is known
before the first is written, and a run that was interrupted goes on with any shard.
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mtgen.errors import StoreError
from mtgen.packing.arrays import NewArray
from mtgen.packing.choice import column_dtype
from mtgen.packing.dense import Bar, read, refuse_different
from mtgen.packing.layout import Layout, make_layout
from mtgen.packing.work import Work, has_files
from mtgen.stores import Store
from mtgen.stores.new_folder import make_folder, remove_tree, replace_file
from mtgen.stores.shard_metadata import ENCODING, PACKED_ATTRIBUTE, ROW_SHAPE_ATTRIBUTE
from mtgen.stores.sparse import SparseStore

BLOCK_BYTES = 4096
"""Bytes of a block of values: the values of a row of some hundreds lie in one block, sometimes two."""

ENDS = "ends.npy"
"""File in the work folder: where the values of each row end, once all are counted."""


@dataclass(frozen=True)
class _Source:
    """Rows of the source, and where the values of each start and stop."""

    store: Store
    group_rows: int
    ends: np.ndarray

    def spans(self, first: int = 0, stop: int | None = None) -> Iterator[np.ndarray]:
        stop = self.store.num_rows if stop is None else stop
        for start in range(first, stop, self.group_rows):
            yield np.arange(start, min(start + self.group_rows, stop))

    def values(self, first: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        """Values and columns from one place among all values to another."""
        row = int(np.searchsorted(self.ends, first, "right")) - 1
        last = int(np.searchsorted(self.ends, stop, "left"))
        values, columns = [], []
        for rows in self.spans(row, last):
            bits = _bits(read(self.store, rows))
            places, found = np.nonzero(bits)
            counts = np.diff(self.ends[rows[0] : rows[-1] + 2])
            if not np.array_equal(np.bincount(places, minlength=len(rows)), counts):
                raise StoreError(
                    f"rows {rows[0]} to {rows[-1]} have other values than when they were counted: let nothing write to "
                    "the source while it is packed, and pack it again",
                    path=self.store.location,
                )
            values.append(bits[places, found])
            columns.append(found.astype(column_dtype(bits.shape[1])))
        cut = slice(first - int(self.ends[row]), stop - int(self.ends[row]))
        return np.concatenate(values)[cut].view(self.store.dtype), np.concatenate(columns)[cut]


def write_sparse(store: Store, work: Work, layout: Layout, attributes: dict[str, Any], bar: Bar) -> int:
    """Write what is not there yet; how many shards of values there are in all.

    Raises:
        StoreError: the source cannot be read or changes, or something cannot be written.
    """
    make_folder(work.rows, "the folder of the new store")
    source = _Source(store, layout.shard_rows, _counted(store, work, layout, bar))
    num_values = int(source.ends[-1])
    itemsize = np.dtype(layout.dtype).itemsize
    values = make_layout(max(num_values, 1), (), layout.dtype, codec="none", block_rows=BLOCK_BYTES // itemsize)
    values = replace(values, num_rows=num_values)
    columns = replace(values, dtype=column_dtype(math.prod(layout.row_shape)))
    _write_values(
        source,
        work,
        NewArray(work.rows / "data", values, {}, work.failed),
        NewArray(work.rows / "indices", columns, {}, work.failed),
        bar,
    )
    _write_ends(source.ends, work)
    _write_group(work, layout, attributes)
    return values.num_shards


def _counted(store: Store, work: Work, layout: Layout, bar: Bar) -> np.ndarray:
    """Where the values of each row start, and the last ones end; int64 `(num_rows + 1,)`."""
    path = work.folder / ENDS
    known = _known_ends(path)
    if known is not None and has_files(store):
        return known
    ends = np.zeros(store.num_rows + 1, np.int64)
    for rows in bar("count")(list(_Source(store, layout.shard_rows, ends).spans())):
        ends[rows + 1] = np.count_nonzero(_bits(read(store, rows)), axis=1)
    np.cumsum(ends, out=ends)
    if known is not None and not np.array_equal(known, ends):
        remove_tree(work.rows)  # of an array in memory that was another one
        make_folder(work.rows, "the folder of the new store")
    content = io.BytesIO()
    np.save(content, ends, allow_pickle=False)
    try:
        replace_file(path, content.getvalue())
    except OSError as error:
        raise work.failed(error) from error
    return ends


def _known_ends(path: Path) -> np.ndarray | None:
    """What a run before counted; None where none did, or it cannot be read: then it is counted again."""
    try:
        known: np.ndarray = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return known


def _bits(rows: np.ndarray) -> np.ndarray:
    """Rows flattened, as unsigned integers; 0 is what is left out."""
    return rows.reshape(len(rows), -1).view(f"u{rows.dtype.itemsize}")


def _write_values(source: _Source, work: Work, values: NewArray, columns: NewArray, bar: Bar) -> None:
    layout = values.layout

    def is_right(shard: int, found: np.ndarray, which: int) -> bool:
        return has_files(source.store) or source.values(*layout.span(shard))[which].tobytes() == found.tobytes()

    sound = values.sound_shards(bar("look at"), lambda shard, found: is_right(shard, found, 0))
    sound &= columns.sound_shards(bar("look at"), lambda shard, found: is_right(shard, found, 1))
    under_way: list[tuple[NewArray, Any]] = []
    try:
        for shard in bar("pack")([shard for shard in range(layout.num_shards) if shard not in sound]):
            found = source.values(*layout.span(shard))
            _await(under_way)
            for array, part in zip((values, columns), found, strict=True):
                under_way.append((array, array.begin_write(shard, part)))
            work.num_written += 1
    finally:
        _await(under_way)


def _await(under_way: list[tuple[NewArray, Any]]) -> None:
    while under_way:
        array, written = under_way.pop()
        array.await_written(written)


def _write_ends(ends: np.ndarray, work: Work) -> None:
    layout = make_layout(len(ends), (), "int64", codec="none", block_rows=BLOCK_BYTES // 8)
    array = NewArray(work.rows / "indptr", layout, {}, work.failed)
    for shard in range(layout.num_shards):
        array.await_written(array.begin_write(shard, ends[slice(*layout.span(shard))]))


def _write_group(work: Work, layout: Layout, attributes: dict[str, Any]) -> None:
    shape = [layout.num_rows, math.prod(layout.row_shape)]
    packed = {PACKED_ATTRIBUTE: True, ROW_SHAPE_ATTRIBUTE: list(layout.row_shape)}
    content = {
        "zarr_format": 3,
        "node_type": "group",
        "attributes": {**ENCODING, "shape": shape, **packed, **attributes},
    }
    try:
        replace_file(work.rows / "zarr.json", json.dumps(content, indent=1).encode())
    except OSError as error:
        raise work.failed(error) from error


def compare_sparse(store: Store, work: Work, layout: Layout, bar: Bar) -> None:
    """Compare every row, as it will be read, with the source.

    Raises:
        StoreError: one differs.
    """
    written = SparseStore(work.rows)
    try:
        for rows in bar("compare")(list(_Source(store, layout.shard_rows, np.empty(0)).spans())):
            refuse_different(rows, read(store, rows), read(written, rows), str(work.place))
    finally:
        written.close()
