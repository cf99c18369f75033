"""Any object with `shape`, `dtype` and `__getitem__` as a store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from mtgen.errors import StoreError
from mtgen.stores.base import ChunkedStore, OpenStore, native_dtype, shape_of, touched_bytes
from mtgen.waits import ProcessTurns


class ArrayStore(ChunkedStore):
    """Rows of an array-like object that is not a NumPy array.

    Any thread may read; one at a time, because nothing is known about the object. How to ask it for rows is found
    out once, when the store is made: `array[sorted distinct int64 rows]` where that gives the right rows, else
    `array[start:stop]` chunk by chunk.

    Args:
        array: the object; it is neither copied nor closed.
        location: name for messages.
        access: "index" or "slice" to set the way of asking; None to find out.

    Raises:
        StoreError: neither way gives rows, or the dtype cannot be used.
    """

    def __init__(self, array: Any, location: str | None = None, access: str | None = None) -> None:
        self.location = location or f"{type(array).__module__}.{type(array).__qualname__}"
        self.array = array
        self.lock = ProcessTurns(f"read {self.location}")
        self.set_shape(tuple(array.shape), _dtype_of(array, self.location))
        self.chunk_rows = chunk_rows_of(array)
        self.access = access or self._find_access()

    def reopening(self) -> tuple[Callable[..., OpenStore], tuple[Any, ...]]:
        """See `OpenStore.reopening`: the object itself travels."""
        return ArrayStore, (self.array, self.location, self.access)

    def fill(self, rows: np.ndarray, out: np.ndarray) -> None:
        """See `OpenStore.fill`."""
        if self.access == "index":
            distinct, places = np.unique(rows, return_inverse=True)
            np.take(self._get(distinct, len(distinct)), places, axis=0, out=out, mode="clip")
        else:
            super().fill(rows, out)

    def read_chunk(self, chunk: int) -> np.ndarray:
        """See `ChunkedStore.read_chunk`."""
        start, stop = self.chunk_span(chunk)
        return self._get(slice(start, stop), stop - start)

    def window_bytes(self, size: Sequence[int]) -> int:
        """See `OpenStore.window_bytes`: what the object gives, and the chunks that it takes that from."""
        shape, chunk = shape_of(self), getattr(self.array, "chunks", None)
        plain = isinstance(chunk, tuple) and len(chunk) == len(shape) and all(type(part) is int for part in chunk)
        touched = touched_bytes(shape, chunk, size, self.dtype) if plain and chunk else 0
        return touched + touched_bytes(shape, (1,) * len(shape), size, self.dtype)

    def fill_window(self, window: tuple[slice, ...], out: np.ndarray) -> None:
        """See `OpenStore.fill_window`: asked for as `array[a:b, c:d, ...]`."""
        with self.lock.here:
            try:
                found = np.asarray(self.array[window])
            except Exception as error:  # as below
                raise StoreError(
                    f"the object could not give the window asked for ({type(error).__name__}: {error})",
                    path=self.location,
                ) from error
        if found.shape != out.shape or native_dtype(found.dtype, self.location) != self.dtype:
            raise StoreError(
                f"the object gave {found.shape} {found.dtype} for a window, its shape and dtype promise {out.shape} "
                f"{self.dtype}",
                path=self.location,
            )
        out[...] = found

    def _get(self, selection: Any, num_rows: int) -> np.ndarray:
        """`array[selection]` as a native NumPy array, refused when its shape or dtype is not the promised one."""
        with self.lock.here:
            try:
                found = np.asarray(self.array[selection])
            except Exception as error:  # an unknown object may raise anything; the cause is kept
                raise StoreError(
                    f"the object could not give the rows asked for ({type(error).__name__}: {error})",
                    path=self.location,
                ) from error
        expected = (num_rows, *self.row_shape)
        if found.shape != expected or native_dtype(found.dtype, self.location) != self.dtype:
            raise StoreError(
                f"the object gave {found.shape} {found.dtype} for {num_rows} rows, its shape and dtype promise "
                f"{expected} {self.dtype}",
                path=self.location,
            )
        return found.astype(self.dtype, copy=False)

    def _find_access(self) -> str:
        """Compare both ways of asking on the first and the last row."""
        if not self.num_rows:
            return "slice"
        last = self.num_rows - 1
        ends = np.unique(np.array([0, last], np.int64))
        by_slice = [self._get(slice(row, row + 1), 1) for row in ends.tolist()]
        try:
            by_index = self._get(ends, len(ends))
        except StoreError:
            return "slice"
        return "index" if by_index.tobytes() == np.concatenate(by_slice).tobytes() else "slice"


def _dtype_of(array: Any, location: str) -> Any:
    if type(array).__module__.partition(".")[0] == "pandas":
        raise StoreError(
            f"a pandas {type(array).__name__} is looked up by label, not by row: pass its .to_numpy()", path=location
        )
    return array.dtype


def chunk_rows_of(array: Any) -> int:
    """Rows per chunk as the object states them (`chunklen`, `chunks[0]`), else 1.

    Example:
        >>> chunk_rows_of(np.zeros(3))
        1
    """
    stated = getattr(array, "chunklen", None)
    if stated is None:
        chunks = getattr(array, "chunks", None)
        stated = chunks[0] if isinstance(chunks, (tuple, list)) and chunks else 1
    if isinstance(stated, (tuple, list)):  # chunks of unequal size, one number each, as dask has them
        stated = max(stated, default=1)
    return max(int(stated), 1)
