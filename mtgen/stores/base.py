"""What every store offers: rows of one input, read-only, filled into the caller's buffer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Protocol, runtime_checkable

import numpy as np

from mtgen import plan
from mtgen.errors import StoreError


@runtime_checkable
class Store(Protocol):
    """Read-only rows of one input.

    All attributes are fixed when the store is opened. Stores that were opened from a path or URL pickle by it and
    open again on arrival; stores around an object pickle that object.

    Attributes:
        location: path, URL or description, for messages.
        num_rows: rows in the store.
        row_shape: axes of one row, without the row axis; `()` for one value per row.
        dtype: NumPy dtype in native byte order; never object.
        chunk_rows: rows that must be decompressed together; 1 where rows can be read alone.
        keys: a store of one key per row (integers or text), or None when rows carry no keys.
        key_name: the column name the keys were written under, or None.
    """

    location: str
    num_rows: int
    row_shape: tuple[int, ...]
    dtype: np.dtype
    chunk_rows: int
    keys: Store | None
    key_name: str | None

    def read_rows(self, rows: np.ndarray, out: np.ndarray) -> None:
        """Fill `out[slot]` with row `rows[slot]`.

        Called from any thread, from many at once; the caller owns `rows` and `out`, nothing of them is kept.
        Rows may repeat and come in any order. Each chunk is decompressed once per call.

        Args:
            rows: int64 `(n,)` in [0, num_rows).
            out: `(n, *row_shape)` of the store's dtype, C-contiguous.

        Raises:
            StoreError: the rows cannot be read; the text names the store and, where known, the chunk file.
        """
        ...

    def close(self) -> None:
        """Release files; reading afterwards raises. Closing twice is allowed."""
        ...


def check_request(store: Store, rows: np.ndarray, out: np.ndarray) -> None:
    """Refuse a request outside the store's bounds or a buffer that does not fit.

    Raises:
        StoreError: row out of bounds, or `out` of another shape or dtype.
    """
    expected = (len(rows), *store.row_shape)
    if out.shape != expected or out.dtype != store.dtype or not out.flags.c_contiguous:
        raise StoreError(
            f"the buffer is {out.shape} {out.dtype}, the request needs a C-contiguous {expected} {store.dtype}",
            path=store.location,
        )
    if len(rows) and (rows.min() < 0 or rows.max() >= store.num_rows):
        wrong = int(rows[(rows < 0) | (rows >= store.num_rows)][0])
        raise StoreError(
            f"store row {wrong} was asked for, the store has rows 0 to {store.num_rows - 1}", path=store.location
        )


class ChunkedStore(ABC):
    """Base of stores whose rows are decompressed chunk by chunk along the row axis.

    A subclass sets the attributes of `Store` and implements `read_chunk`; grouping, scatter and checks are here.
    """

    location: str
    num_rows: int
    row_shape: tuple[int, ...]
    dtype: np.dtype
    chunk_rows: int
    keys: Store | None = None
    key_name: str | None = None

    @abstractmethod
    def read_chunk(self, chunk: int) -> np.ndarray:
        """Decompress one chunk into a new array `(rows in chunk, *row_shape)`; any thread."""

    def read_rows(self, rows: np.ndarray, out: np.ndarray) -> None:
        """See `Store.read_rows`."""
        check_request(self, rows, out)
        for read in plan.reads(rows, self.chunk_rows):
            out[read.slots] = self.read_chunk(read.chunk)[read.offsets]

    def close(self) -> None:  # noqa: B027  files are opened per read unless a subclass says otherwise
        """See `Store.close`."""
