"""Arrays that patches are cut from: one for all rows, one row of a store each, or one on disk each.

What they have in common: for a row of the table an open store, and where in it the row's own array begins.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from mtgen.errors import StoreError
from mtgen.inputs.rows import BoundRows
from mtgen.inputs.volumes import BoundVolumes
from mtgen.stores import Store
from mtgen.stores.base import shape_of
from mtgen.stores.windows import read_window, window_bytes
from mtgen.table import digest_values

SAMPLES = 8
"""Places of an array whose values go into its fingerprint."""


class OneArray(NamedTuple):
    """A row's array: a store, and the index of the first axes that leads to it.

    Attributes:
        store: open.
        lead: `()` for the whole store, `(k,)` for its row k.
    """

    store: Store
    lead: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Its axes."""
        return shape_of(self.store)[len(self.lead) :]

    def read(self, low: Sequence[int], high: Sequence[int], out: np.ndarray) -> None:
        """Fill `out` with `array[low[0]:high[0], ...]`; axes without bounds are taken whole.

        Raises:
            StoreError: it cannot be read.
        """
        ends = tuple(index + 1 for index in self.lead)
        read_window(self.store, (*self.lead, *low), (*ends, *high), out[(None,) * len(self.lead)])


class PatchArrays(ABC):
    """The arrays of a table's rows. Any thread; picklable where the stores are.

    Attributes:
        dtype: of the values, the same for all rows.
        channels: axes behind those of a window, the same for all rows.
        num_rows: rows of the root table.
        files_digest: what a manifest says of the files; None where nothing is compared.
    """

    dtype: np.dtype
    channels: tuple[int, ...]
    num_rows: int
    files_digest: str | None = None

    def _take(self, array: OneArray, num_axes: int) -> None:
        """Set dtype and channels by an array."""
        if array.store.dtype.kind not in "biuf":
            raise StoreError(
                f"the array holds {array.store.dtype}, expected numbers or booleans: models take no text or dates",
                path=array.store.location,
            )
        if len(array.shape) < num_axes:
            raise StoreError(
                f"the array has axes {array.shape}, too few for patches of {num_axes} axes"
                + (" beside the axis of rows" if array.lead else ""),
                path=array.store.location,
            )
        self.dtype, self.channels = array.store.dtype, array.shape[num_axes:]

    @abstractmethod
    def lend(self, row: int) -> AbstractContextManager[OneArray]:
        """A row's array, open for a block."""

    @property
    @abstractmethod
    def stores(self) -> Sequence[Store]:
        """Those that stay open for the dataset's life."""

    @abstractmethod
    def groups(self, rows: np.ndarray) -> np.ndarray:
        """For each row a number, int64 `(n,)`; rows of one number have one array, or arrays of one shape."""

    @abstractmethod
    def location(self, row: int) -> str:
        """Path or name of a row's array, for messages."""

    def check(self, rows: np.ndarray, values: np.ndarray) -> None:  # noqa: B027  nothing, unless a source knows better
        """Refuse values that are not to be delivered."""

    def missing_rows(self, rows: Iterable[int]) -> np.ndarray:
        """Those of the rows whose array is not there, int64; opens none."""
        return np.empty(0, np.int64)

    @property
    def cache_bytes(self) -> int:
        """What the open arrays keep for themselves, at most."""
        return sum(getattr(store, "cache_bytes", 0) for store in self.stores)

    def window_bytes(self, size: Sequence[int]) -> int:
        """Bytes that a thread needs while it reads a window, beside the window."""
        return max((window_bytes(store, size) for store in self.stores), default=0)

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """Small JSON: which arrays, with a sample of their values."""


class SharedArray(PatchArrays):
    """One array for all rows, such as a seismic cube.

    Args:
        store: the array, whose first axis is no axis of rows here.
        num_axes: axes of a window.
        num_rows: rows of the root table.

    Raises:
        StoreError: too few axes, or no numbers.
    """

    def __init__(self, store: Store, num_axes: int, num_rows: int) -> None:
        self.store, self.num_rows = store, num_rows
        self._take(OneArray(store, ()), num_axes)

    @contextmanager
    def lend(self, row: int) -> Iterator[OneArray]:
        """See `PatchArrays.lend`."""
        yield OneArray(self.store, ())

    @property
    def stores(self) -> Sequence[Store]:
        """See `PatchArrays.stores`."""
        return [self.store]

    def groups(self, rows: np.ndarray) -> np.ndarray:
        """See `PatchArrays.groups`."""
        return np.zeros(len(rows), np.int64)

    def location(self, row: int) -> str:
        """See `PatchArrays.location`."""
        return self.store.location

    def settings(self) -> dict[str, Any]:
        """See `PatchArrays.settings`."""
        return {"array": "shared", **fingerprint(OneArray(self.store, ()))}


class StoreRows(PatchArrays):
    """A row of a store for each row of the table, as `Rows` finds it.

    Args:
        rows: bound to the table.
        num_axes: axes of a window.
    """

    def __init__(self, rows: BoundRows, num_axes: int) -> None:
        self.rows, self.num_rows, self.files_digest = rows, rows.num_rows, rows.files_digest
        self._take(OneArray(rows.store, (0,)), num_axes)

    @contextmanager
    def lend(self, row: int) -> Iterator[OneArray]:
        """See `PatchArrays.lend`."""
        yield OneArray(self.rows.store, (int(self.rows.store_rows(np.array([row]))[0]),))

    @property
    def stores(self) -> Sequence[Store]:
        """See `PatchArrays.stores`."""
        return [self.rows.store]

    def groups(self, rows: np.ndarray) -> np.ndarray:
        """See `PatchArrays.groups`."""
        return np.zeros(len(rows), np.int64)

    def location(self, row: int) -> str:
        """See `PatchArrays.location`."""
        return self.rows.store.location

    def check(self, rows: np.ndarray, values: np.ndarray) -> None:
        """See `PatchArrays.check`: what `Rows` refuses, and keys that differ."""
        self.rows.check(rows, values)

    def window_bytes(self, size: Sequence[int]) -> int:
        """See `PatchArrays.window_bytes`."""
        return window_bytes(self.rows.store, (1, *size))

    def settings(self) -> dict[str, Any]:
        """See `PatchArrays.settings`."""
        return {"array": "rows", **self.rows.settings()}


class DiskArrays(PatchArrays):
    """An array on disk for each row of the table.

    Args:
        volumes: their paths.
        size: of a window.

    Raises:
        StoreError: none of the first arrays can be opened, or the one that can be has too few axes or no numbers.
    """

    def __init__(self, volumes: BoundVolumes, size: tuple[int, ...]) -> None:
        self.volumes, self.num_rows, self._num_axes = volumes, len(volumes), len(size)
        self._first, store = volumes.first()
        try:
            self._take(OneArray(store, ()), self._num_axes)
            self._fingerprint = fingerprint(OneArray(store, ()))
        except StoreError as error:
            raise error.at(row=self._first) from error.__cause__
        self._cache_bytes = volumes.most_open * getattr(store, "cache_bytes", 0)
        self._window_bytes = window_bytes(store, size)

    @contextmanager
    def lend(self, row: int) -> Iterator[OneArray]:
        """See `PatchArrays.lend`.

        Raises:
            StoreError: it cannot be opened, or has other channels or another dtype than the first one.
        """
        with self.volumes.lend(row) as store:
            array = OneArray(store, ())
            if array.shape[self._num_axes :] != self.channels or len(array.shape) < self._num_axes:
                raise StoreError(
                    f"the array has axes {array.shape}, expected {self._num_axes} axes to cut along and then "
                    f"{self.channels}, as in row {self._first}",
                    row=row,
                    path=self.location(row),
                )
            if store.dtype != self.dtype:
                raise StoreError(
                    f"the array holds {store.dtype}, expected {self.dtype} as in row {self._first}: a batch has one "
                    "dtype, so write the arrays anew in one",
                    row=row,
                    path=self.location(row),
                )
            yield array

    @property
    def stores(self) -> Sequence[Store]:
        """See `PatchArrays.stores`."""
        return []

    def groups(self, rows: np.ndarray) -> np.ndarray:
        """See `PatchArrays.groups`."""
        codes: np.ndarray = self.volumes.codes[rows]
        return codes

    def location(self, row: int) -> str:
        """See `PatchArrays.location`."""
        return self.volumes.path(row)

    def missing_rows(self, rows: Iterable[int]) -> np.ndarray:
        """See `PatchArrays.missing_rows`."""
        return self.volumes.missing_rows(rows)

    @property
    def cache_bytes(self) -> int:
        """See `PatchArrays.cache_bytes`: as the first array, so often as arrays stay open."""
        return self._cache_bytes

    def window_bytes(self, size: Sequence[int]) -> int:
        """See `PatchArrays.window_bytes`: as of the first array."""
        return self._window_bytes

    def settings(self) -> dict[str, Any]:
        """See `PatchArrays.settings`; the sample is of one array."""
        return {
            "array": "files",
            "column": self.volumes.volumes.column,
            "digest": self.volumes.digest(),
        } | self._fingerprint


def fingerprint(array: OneArray) -> dict[str, Any]:
    """Shape, dtype, and a digest of single values at some places, spread over the array.

    Args:
        array: open.
    """
    shape, dtype = array.shape, array.store.dtype
    taken = []
    for place in range(SAMPLES if 0 not in shape else 0):
        # Odd steps, so that no two axes move alike.
        index = [
            (length - 1) * ((place * (2 * axis + 1)) % SAMPLES) // (SAMPLES - 1) for axis, length in enumerate(shape)
        ]
        value = np.empty((1,) * len(shape), dtype)
        array.read(index, [one + 1 for one in index], value)
        taken.append(value.ravel())
    values = np.concatenate(taken) if taken else np.empty(0, dtype)
    return {"shape": list(shape), "dtype": str(dtype), "sample": digest_values(pd.Index(values.view(np.uint8)))}
