"""Blosc2 arrays (`.b2nd` files, sparse folders, open `blosc2.NDArray`s).

One array decodes in one thread at a time: its decompression context is shared, and python-blosc2 holds the GIL. The
format has no checksums.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mtgen.errors import StoreError
from mtgen.stores.base import ChunkedStore, OpenStore, load_package, shape_of, touched_bytes
from mtgen.waits import ProcessTurns


def _blosc2(location: str) -> Any:
    return load_package("blosc2", "blosc2", location)


class Blosc2Store(ChunkedStore):
    """Rows of one Blosc2 array.

    Any thread may read, one at a time. The unit of decoding is a Blosc2 block (`chunk_rows` is its rows).

    Args:
        path: a `.b2nd` file or sparse folder; opened read-only, never running code from it.

    Raises:
        StoreError: no whole Blosc2 array, or values that no batch can carry.
    """

    def __init__(self, path: str | Path, location: str | None = None) -> None:
        self.location = location or str(path)
        self.path: str | None = str(Path(path).absolute())
        blosc2 = _blosc2(self.location)
        try:
            array = blosc2.open(self.path, mode="r", deserialize="safe", dparams=blosc2.DParams(nthreads=1))
        except Exception as error:  # python-blosc2 raises RuntimeError, ValueError, its own errors, ...
            raise StoreError(
                f"blosc2 cannot open it ({error}): copy it again, or write it anew", path=self.location
            ) from error
        if not isinstance(array, blosc2.NDArray):
            raise StoreError(
                f"it holds a {type(array).__name__}, expected a plain array (NDArray): save it by "
                "blosc2.asarray(array, urlpath=...)",
                path=self.location,
            )
        self._take(array)

    @classmethod
    def around(cls, array: Any) -> Blosc2Store:
        """Store around an open `blosc2.NDArray`."""
        store = cls.__new__(cls)
        path = getattr(array.schunk, "urlpath", None)
        store.path = str(Path(path).absolute()) if path else None
        store.location = str(path) if path else f"blosc2.NDArray {array.shape} {array.dtype}"
        store._take(array)
        return store

    def _take(self, array: Any) -> None:
        self.set_shape(tuple(array.shape), array.dtype)
        self._check_grid(array)
        self.chunk_rows = max(int(array.blocks[0]), 1)
        self.array = array
        self.lock = ProcessTurns(f"read {self.location}")

    def _check_grid(self, array: Any) -> None:
        """Refuse a shape that the chunks cannot hold: blosc2 walks such a grid for ever, and holds the GIL."""
        axes = list(zip(array.shape, array.chunks, array.blocks, strict=True))
        whole = all(0 < block <= chunk for _, chunk, block in axes)
        num_chunks = math.prod(-(-length // chunk) for length, chunk, _ in axes) if whole else -1
        chunk_bytes = (
            math.prod(-(-chunk // block) * block for _, chunk, block in axes) * array.dtype.itemsize if whole else -1
        )
        found = (array.schunk.nchunks, array.schunk.chunksize)
        if (num_chunks, chunk_bytes) != found and 0 not in array.shape:
            raise StoreError(
                f"its metadata contradicts itself: shape {array.shape} in chunks of {array.chunks} and blocks of "
                f"{array.blocks} is {num_chunks} chunks of {chunk_bytes} bytes, it has {found[0]} of {found[1]}: copy "
                "it again, or write it anew",
                path=self.location,
            )

    def reopening(self) -> tuple[Callable[..., OpenStore], tuple[Any, ...]]:
        """See `OpenStore.reopening`; an array in memory travels as its compressed frame."""
        if self.path is not None:
            return Blosc2Store, (self.path, self.location)
        return _from_frame, (self.array.to_cframe(),)

    def read_chunk(self, chunk: int) -> np.ndarray:
        """See `ChunkedStore.read_chunk`."""
        start, stop = self.chunk_span(chunk)
        with self.lock.here:
            self.check_open()
            try:
                return np.asarray(self.array[start:stop])
            except Exception as error:  # as above
                raise StoreError(
                    f"blosc2 cannot decode rows {start} to {stop - 1} ({error}): copy the file again, or write it anew",
                    path=self.location,
                ) from error

    def window_bytes(self, size: Sequence[int]) -> int:
        """See `OpenStore.window_bytes`: the window, and a chunk."""
        whole = touched_bytes(shape_of(self), (1,) * len(shape_of(self)), size, self.dtype)
        return whole + math.prod(self.array.chunks) * self.dtype.itemsize

    def fill_window(self, window: tuple[slice, ...], out: np.ndarray) -> None:
        """See `OpenStore.fill_window`."""
        with self.lock.here:
            self.check_open()
            try:
                out[...] = np.asarray(self.array[window])
            except Exception as error:  # as above
                raise StoreError(
                    f"blosc2 cannot decode a window ({error}): copy the file again, or write it anew",
                    path=self.location,
                ) from error

    def close(self) -> None:
        """See `Store.close`."""
        with self.lock.here:
            super().close()
            self.array = None


def _from_frame(frame: bytes) -> Blosc2Store:
    return Blosc2Store.around(_blosc2("blosc2.NDArray").ndarray_from_cframe(frame))
