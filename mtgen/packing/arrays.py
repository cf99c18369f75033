"""A sharded Zarr array while it is being written, by TensorStore: shard by shard, each there whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from mtgen.errors import StoreError
from mtgen.packing.layout import Layout
from mtgen.stores.base import load_package

WRITE_SECONDS = 300.0
"""Longest wait for one shard."""


class NewArray:
    """An array in a folder of its own, made where it is not there yet.

    One thread, but for `begin_write`, which gives work to TensorStore's threads. A shard is a file that TensorStore
    writes under another name, flushes and renames.

    Args:
        folder: the array's folder.
        layout: its shape.
        attributes: its attributes besides those of the layout; JSON.
        failed: makes the error of what TensorStore cannot do.

    Raises:
        StoreError: it cannot be made, or another array is there.
    """

    def __init__(
        self,
        folder: Path,
        layout: Layout,
        attributes: dict[str, Any],
        failed: Callable[[BaseException], StoreError],
    ) -> None:
        self.folder, self.layout, self._failed = folder, layout, failed
        tensorstore = load_package("tensorstore", "tensorstore", str(folder))
        metadata = layout.metadata()
        spec = {
            "driver": "zarr3",
            # Zarr leaves out what is all zeros; a shard that is there was written, one that is not was lost.
            "store_data_equal_to_fill_value": True,
            "kvstore": {"driver": "file", "path": str(folder)},
            "metadata": {**metadata, "attributes": metadata["attributes"] | attributes},
        }
        try:
            self._array = tensorstore.open(spec, open=True, create=True).result(timeout=WRITE_SECONDS)
        except Exception as error:  # TensorStore raises by status code: ValueError, OSError, ...
            raise failed(error) from error

    def sound_shards(
        self, bar: Callable[[Iterable[int]], Iterable[int]], is_right: Callable[[int, np.ndarray], bool]
    ) -> set[int]:
        """The shards that are there, can be read whole, and are right.

        Args:
            bar: shows progress over the shards that are there.
            is_right: says of a shard that was read whole whether its rows are those of the source.
        """
        layout = self.layout
        there = [shard for shard in range(layout.num_shards) if (self.folder / layout.shard_key(shard)).exists()]
        return {shard for shard in bar(there) if self._is_sound(shard, is_right)}

    def _is_sound(self, shard: int, is_right: Callable[[int, np.ndarray], bool]) -> bool:
        try:
            rows = self.read(shard)
        except StoreError:
            return False
        return is_right(shard, rows)

    def begin_write(self, shard: int, values: np.ndarray) -> Any:
        """Start to write a shard; for `await_written`. The values are TensorStore's until then."""
        first, stop = self.layout.span(shard)
        return self._array[first:stop].write(values)

    def await_written(self, written: Any) -> None:
        """Wait until a shard is on disk.

        Raises:
            StoreError: it is not.
        """
        try:
            written.result(timeout=WRITE_SECONDS)
        except Exception as error:
            raise self._failed(error) from error

    def read(self, shard: int) -> np.ndarray:
        """A shard's rows, with their checksums compared.

        Raises:
            StoreError: it cannot be read.
        """
        first, stop = self.layout.span(shard)
        try:
            found: np.ndarray = self._array[first:stop].read().result(timeout=WRITE_SECONDS)
        except Exception as error:
            raise self._failed(error) from error
        return np.ascontiguousarray(found)
