"""What every store offers: rows of one input, read-only, filled into the caller's buffer."""

from __future__ import annotations

import importlib
import math
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, BinaryIO, Protocol, Self, runtime_checkable

import numpy as np

from mtgen import plan
from mtgen.errors import StoreError
from mtgen.files import NoPlainFileError, open_plain

PLAIN_KINDS = "biufcSUMm"  # bool, integers, floats, complex, bytes, text, dates, time spans


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
        StoreError: rows that are no list of whole numbers, a row out of bounds, or `out` of another shape or dtype.
    """
    if rows.ndim != 1 or rows.dtype.kind not in "iu":
        raise StoreError(f"rows are {rows.shape} {rows.dtype}, expected int64 (n,)", path=store.location)
    expected = (len(rows), *store.row_shape)
    if out.shape != expected or out.dtype != store.dtype or not out.flags.c_contiguous or not out.flags.writeable:
        kind = "" if out.flags.c_contiguous else "non-contiguous "
        kind += "" if out.flags.writeable else "read-only "
        raise StoreError(
            f"the buffer is {kind}{out.shape} {out.dtype}, the request needs a writeable, C-contiguous {expected} "
            f"{store.dtype}",
            path=store.location,
        )
    if len(rows) and (rows.min() < 0 or rows.max() >= store.num_rows):
        wrong = int(rows[(rows < 0) | (rows >= store.num_rows)][0])
        has = f"the store has rows 0 to {store.num_rows - 1}" if store.num_rows else "the store has no rows"
        raise StoreError(f"store row {wrong} was asked for, {has}", path=store.location)


def native_dtype(dtype: Any, location: str) -> np.dtype:
    """The dtype in native byte order, or a refusal of what no batch can carry.

    Raises:
        StoreError: object, structured or unknown dtypes.

    Example:
        >>> native_dtype(">i4", "x.npy") == np.dtype("int32")
        True
    """
    try:
        known = np.dtype(dtype)
    except (TypeError, ValueError) as error:
        raise StoreError(
            f"the values are {dtype!r}, expected a NumPy dtype of numbers, text or dates: convert them first",
            path=location,
        ) from error
    if known.hasobject:
        raise StoreError(
            f"the values are {known} (pickled Python objects), which are never opened, because unpickling runs code "
            "from the file: store numbers or fixed-width text instead",
            path=location,
        )
    extension = known.kind == "V" and known.names is None and known.subdtype is None and known.type is not np.void
    if (known.kind not in PLAIN_KINDS and not extension) or known.itemsize == 0:
        raise StoreError(
            f"the values are {known}, expected numbers, bool, fixed-width text or dates: store each field as an "
            "array of its own",
            path=location,
        )
    native: np.dtype = known if extension else known.newbyteorder("=")
    return native


def touched_bytes(shape: Sequence[int], chunk: Sequence[int], size: Sequence[int], dtype: np.dtype) -> int:
    """Bytes of all chunks that a window may touch, wherever it lies.

    Args:
        shape: axes of the array.
        chunk: axes of a chunk.
        size: of the window along the first axes; the others are taken whole.
        dtype: of the values.

    Example:
        >>> touched_bytes((100, 100), (10, 100), (5, 5), np.dtype("u1"))
        2000
    """
    lengths = []
    for axis, (length, part) in enumerate(zip(shape, chunk, strict=True)):
        most = -(-(min(size[axis], length) - 1) // part) + 1 if axis < len(size) else -(-length // part)
        lengths.append(min(most * part, -(-length // part) * part))
    return math.prod(lengths) * dtype.itemsize


def open_regular(path: str | os.PathLike[str]) -> BinaryIO:
    """`open_plain` for a file of a store.

    Raises:
        OSError: as `open` does.
        StoreError: no regular file.
    """
    try:
        return open_plain(path)
    except NoPlainFileError as error:
        raise StoreError(
            f"{os.fspath(path)} is no regular file (a pipe or device?): copy the store again, or write it anew",
            path=os.fspath(path),
        ) from error


def load_package(name: str, install: str, location: str) -> Any:
    """Import an optional package, or say how to get it.

    Args:
        name: the module.
        install: what to give to pip, such as "mtgen[hdf5]".
        location: the store that needs it, for the message.

    Raises:
        StoreError: the package is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise StoreError(
            f"reading it needs the package {name}, which cannot be imported ({error}): pip install '{install}'",
            path=location,
        ) from error


def shape_of(store: Store) -> tuple[int, ...]:
    """All axes of a store's array, rows first."""
    return (store.num_rows, *store.row_shape)


class OpenStore(ABC):
    """Base of all stores here: checks, closing and pickling; a subclass sets the attributes and fills buffers.

    Attributes (besides those of `Store`):
        attributes: what the file says about the array, such as `{"name": "id"}`; may be empty.
        inside: name of the array inside its container (dataset, column), or None.
        closed: True once `close` was called.
        cache_bytes: what the store keeps in memory for itself, at most.
        scratch_bytes: what one thread needs besides while it reads, at most, however many rows it asks for.
        reads_together: whether thousands of rows at once cost clearly less each than some dozens.
    """

    location: str
    num_rows: int
    row_shape: tuple[int, ...]
    dtype: np.dtype
    chunk_rows: int
    keys: Store | None = None
    key_name: str | None = None
    attributes: dict[str, Any] = {}  # noqa: RUF012  replaced, never changed
    inside: str | None = None
    closed: bool = False
    owns_keys: bool = True
    cache_bytes: int = 0
    scratch_bytes: int = 0
    reads_together: bool = False

    @abstractmethod
    def fill(self, rows: np.ndarray, out: np.ndarray) -> None:
        """`read_rows` after all checks; at least one row. Any thread."""

    @abstractmethod
    def reopening(self) -> tuple[Callable[..., OpenStore], tuple[Any, ...]]:
        """What opens this store again: a function and picklable arguments."""

    def set_shape(self, shape: tuple[int, ...], dtype: Any) -> None:
        """Set `num_rows`, `row_shape` and `dtype`; refuses arrays without a row axis and unusable dtypes."""
        if not shape:
            raise StoreError(
                "the array has no axes (a single value), expected rows along the first axis: save it as (1,) or "
                "(1, n) if it is one row",
                path=self.location,
            )
        self.num_rows = int(shape[0])
        self.row_shape = tuple(int(length) for length in shape[1:])
        self.dtype = native_dtype(dtype, self.location)

    def read_rows(self, rows: np.ndarray, out: np.ndarray) -> None:
        """See `Store.read_rows`."""
        self.check_open()
        check_request(self, rows, out)
        if len(rows):
            self.fill(rows.astype(np.int64, copy=False), out)

    def window_bytes(self, size: Sequence[int]) -> int:
        """Bytes that one thread needs beside the buffer while it reads a window of a size, at most."""
        return self.scratch_bytes + 2 * self.chunk_rows * math.prod(self.row_shape) * self.dtype.itemsize

    def read_window(self, low: Sequence[int], high: Sequence[int], out: np.ndarray) -> None:
        """Fill `out` with `array[low[0]:high[0], low[1]:high[1], ...]`; axes without bounds are taken whole.

        Called from any thread, from many at once; the caller owns `out`. Only chunks that the window touches are read.

        Args:
            low: first place along the first axes, >= 0.
            high: the place after the last, `low <= high <= length`.
            out: writable, of the window's shape and the store's dtype, of any strides.

        Raises:
            StoreError: bounds or a buffer that do not fit, or values that cannot be read.
        """
        self.check_open()
        shape = shape_of(self)
        bounds = list(zip(low, high, shape, strict=False))
        if len(low) != len(high) or len(low) > len(shape) or not all(0 <= a <= b <= length for a, b, length in bounds):
            raise StoreError(
                f"the window {list(low)} to {list(high)} was asked for, the array is {shape}", path=self.location
            )
        expected = (*(b - a for a, b, _ in bounds), *shape[len(bounds) :])
        if out.shape != expected or out.dtype != self.dtype or not out.flags.writeable:
            raise StoreError(
                f"the buffer is {out.shape} {out.dtype}, the window needs a writeable {expected} {self.dtype}",
                path=self.location,
            )
        if out.size:
            self.fill_window(tuple(slice(int(a), int(b)) for a, b, _ in bounds), out)

    def fill_window(self, window: tuple[slice, ...], out: np.ndarray) -> None:
        """`read_window` after all checks; at least one value. Any thread.

        This one reads the rows of the window whole, a chunk of them at a time.
        """
        rows, rest = window[0], window[1:]
        start: int = rows.start
        while start < rows.stop:
            stop = min((start // self.chunk_rows + 1) * self.chunk_rows, rows.stop)
            found = np.empty((stop - start, *self.row_shape), self.dtype)
            self.read_rows(np.arange(start, stop), found)
            out[start - rows.start : stop - rows.start] = found[(slice(None), *rest)]
            start = stop

    def check_open(self) -> None:
        """Refuse to read from a closed store."""
        if self.closed:
            raise StoreError("the store was closed, open it again to read from it", path=self.location)

    def close(self) -> None:
        """See `Store.close`; keys that were opened with the store are closed too."""
        self.closed = True
        if self.keys is not None and self.owns_keys:
            self.keys.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        opener, arguments = self.reopening()
        spec = (self.num_rows, self.row_shape, self.dtype.str)
        return _reopen, (opener, arguments, spec, self.keys, self.key_name, self.owns_keys)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self.location!r}: {self.num_rows} rows of {self.row_shape} {self.dtype}, "
            f"chunk_rows {self.chunk_rows})"
        )


def _reopen(
    opener: Callable[..., OpenStore],
    arguments: tuple[Any, ...],
    spec: tuple[int, tuple[int, ...], str],
    keys: Store | None,
    key_name: str | None,
    owns_keys: bool,
) -> OpenStore:
    store = opener(*arguments)
    found = (store.num_rows, store.row_shape, store.dtype.str)
    if found != spec:
        raise StoreError(
            f"the store changed since it was pickled: it had (rows, row shape, dtype) {spec}, now it has {found}",
            path=store.location,
        )
    store.keys, store.key_name, store.owns_keys = keys, key_name, owns_keys
    return store


class ChunkedStore(OpenStore):
    """Base of stores whose rows are decompressed chunk by chunk along the row axis.

    A subclass sets the attributes of `Store` and implements `read_chunk`; grouping, scatter and checks are here.
    """

    @abstractmethod
    def read_chunk(self, chunk: int) -> np.ndarray:
        """Decompress one chunk into a new array `(rows in chunk, *row_shape)`; any thread."""

    def fill(self, rows: np.ndarray, out: np.ndarray) -> None:
        """See `OpenStore.fill`; holds one decompressed chunk at a time."""
        for read in plan.reads(rows, self.chunk_rows):
            out[read.slots] = self.read_chunk(read.chunk)[read.offsets]

    def chunk_span(self, chunk: int) -> tuple[int, int]:
        """First row of the chunk and the row after its last."""
        start = chunk * self.chunk_rows
        return start, min(start + self.chunk_rows, self.num_rows)
