"""Write rows as they are, or compressed, as one sharded array."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from mtgen.errors import StoreError
from mtgen.packing.arrays import NewArray
from mtgen.packing.layout import Layout
from mtgen.packing.work import Work, has_files
from mtgen.stores import Store

Bar = Callable[[str], Any]
"""Makes what shows progress over some work, of which it is told the name."""


def write_dense(store: Store, work: Work, layout: Layout, attributes: dict[str, Any], bar: Bar) -> NewArray:
    """Write the shards that are not there yet.

    Raises:
        StoreError: the source cannot be read, or a shard cannot be written.
    """
    array = NewArray(work.rows, layout, attributes, work.failed)

    def is_right(shard: int, found: np.ndarray) -> bool:
        """Of a source without files only its values tell."""
        return has_files(store) or not differing(read(store, np.arange(*layout.span(shard))), found).any()

    sound = array.sound_shards(bar("look at"), is_right)
    missing = [shard for shard in range(layout.num_shards) if shard not in sound]
    under_way: list[Any] = []
    try:
        for shard in bar("pack")(missing):
            values = read(store, np.arange(*layout.span(shard)))
            while under_way:
                array.await_written(under_way.pop())
            under_way.append(array.begin_write(shard, values))
            work.num_written += 1
    finally:
        # Also where the next one cannot be read: what is done need not be done again.
        while under_way:
            array.await_written(under_way.pop())
    return array


def compare_dense(store: Store, array: NewArray, bar: Bar) -> None:
    """Compare every row that was written with the source.

    Raises:
        StoreError: one differs.
    """
    for shard in bar("compare")(range(array.layout.num_shards)):
        rows = np.arange(*array.layout.span(shard))
        refuse_different(rows, read(store, rows), array.read(shard), str(array.folder))


def refuse_different(rows: np.ndarray, expected: np.ndarray, found: np.ndarray, path: str) -> None:
    """Raises: StoreError: a row that was read back differs from the source's."""
    wrong = differing(expected, found)
    if wrong.any():
        raise StoreError(
            f"{int(wrong.sum())} rows differ from the source after packing, the first is row "
            f"{int(rows[np.argmax(wrong)])}: does something write to the source, or is the disk damaged?",
            path=path,
        )


def differing(expected: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Which rows differ, bit for bit; bool `(n,)`."""
    different = np.ascontiguousarray(expected).view(np.uint8) != np.ascontiguousarray(found).view(np.uint8)
    wrong: np.ndarray = different.reshape(len(expected), -1).any(axis=1)
    return wrong


def read(store: Store, rows: np.ndarray) -> np.ndarray:
    """Rows of a store in a new array."""
    out = np.empty((len(rows), *store.row_shape), store.dtype)
    store.read_rows(rows, out)
    return out
