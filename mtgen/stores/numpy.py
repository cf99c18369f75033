"""Arrays in memory and `.npy` files, memory-mapped: the store without chunks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mtgen.errors import StoreError
from mtgen.stores.base import OpenStore


def take_rows(array: np.ndarray, rows: np.ndarray, out: np.ndarray) -> None:
    """`out[...] = array[rows]` without a copy of the whole array; rows must be in bounds.

    `np.take` would first copy a whole array that is Fortran-ordered or unaligned, and only without its bounds check
    (`mode="clip"`) does it write into `out` directly.
    """
    if array.flags.c_contiguous and array.flags.aligned and array.dtype == out.dtype:
        np.take(array, rows, axis=0, out=out, mode="clip")
    else:
        out[...] = array[rows]


class NumpyStore(OpenStore):
    """Rows of a NumPy array in memory (or of a `numpy.memmap` that the caller opened).

    Any thread may read, many at once. The array is not copied: whoever changes it changes what is read.

    Example:
        >>> store = NumpyStore(np.arange(6).reshape(3, 2))
        >>> out = np.empty((2, 2), store.dtype)
        >>> store.read_rows(np.array([2, 0]), out)
        >>> out.tolist()
        [[4, 5], [0, 1]]
    """

    chunk_rows = 1

    def __init__(self, array: np.ndarray, location: str | None = None) -> None:
        self.location = location or f"numpy array {array.shape} {array.dtype}"
        if isinstance(array, np.ma.MaskedArray):
            raise StoreError(
                "the array is masked, and a batch cannot carry the mask: fill it first, as by array.filled(0)",
                path=self.location,
            )
        self.array = np.asarray(array)
        self.set_shape(array.shape, array.dtype)

    def reopening(self) -> tuple[Callable[..., OpenStore], tuple[Any, ...]]:
        """See `OpenStore.reopening`: the array itself travels."""
        return NumpyStore, (self.array, self.location)

    def fill(self, rows: np.ndarray, out: np.ndarray) -> None:
        """See `OpenStore.fill`."""
        take_rows(self.array, rows, out)

    def window_bytes(self, size: Sequence[int]) -> int:
        """See `OpenStore.window_bytes`: it is copied straight into the buffer."""
        return 0

    def fill_window(self, window: tuple[slice, ...], out: np.ndarray) -> None:
        """See `OpenStore.fill_window`."""
        out[...] = self.array[window]


class NpyStore(NumpyStore):
    """Rows of a `.npy` file, memory-mapped read-only; only the pages that hold the rows are read.

    Any thread may read, many at once. The file must not be shortened while it is open.

    Raises:
        StoreError: no `.npy` file, a truncated one, or one that holds objects.
    """

    def __init__(self, path: str | Path, location: str | None = None) -> None:
        self.path = Path(path)
        super().__init__(self._map(str(path)), location or str(path))

    def _map(self, location: str) -> np.ndarray:
        try:
            with self.path.open("rb") as file:
                version = np.lib.format.read_magic(file)
                shape, _, dtype = _read_npy_header(file, version)
            if dtype.hasobject:
                return np.empty((0, *shape[1:]), dtype)  # never mapped; the caller refuses the dtype
            if 0 in shape or not shape:
                return np.empty(shape, dtype)  # nothing to map; the checks of the caller speak
            mapped: np.ndarray = np.load(self.path, mmap_mode="r", allow_pickle=False)
            return mapped
        except (ValueError, TypeError, EOFError, OverflowError, RecursionError, MemoryError) as error:
            # The header is a Python literal, and nested deeply enough it ends Python's parser in any of these.
            raise StoreError(
                f"it is no whole .npy file ({error!s:.300}; {self.path.stat().st_size} bytes on disk): copy it "
                "again, or save it anew by numpy.save",
                path=location,
            ) from error
        except OSError as error:
            raise StoreError(f"it cannot be read ({error}): check path and rights", path=location) from error

    def reopening(self) -> tuple[Callable[..., OpenStore], tuple[Any, ...]]:
        """See `OpenStore.reopening`."""
        return NpyStore, (str(self.path.absolute()), self.location)

    def close(self) -> None:
        """See `Store.close`; the file is unmapped."""
        super().close()
        self.array = np.empty((0, *self.row_shape), self.dtype)


def _read_npy_header(file: Any, version: tuple[int, int]) -> tuple[tuple[int, ...], bool, np.dtype]:
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(file)
    if version == (2, 0):
        return np.lib.format.read_array_header_2_0(file)
    if version == (3, 0):  # numpy has no public reader for it; the only difference is utf-8 field names
        raise ValueError("version 3.0 is only written for records with named fields")
    raise ValueError(f"unknown version {version}")
