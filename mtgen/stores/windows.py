"""Windows of any store: of ours as their format can, of a store of the user's by whole rows."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from mtgen.stores.base import OpenStore, Store


def read_window(store: Store, low: Sequence[int], high: Sequence[int], out: np.ndarray) -> None:
    """Fill `out` with a window of a store; see `OpenStore.read_window`. A store of another kind gives whole rows.

    Raises:
        StoreError: see there.
    """
    if isinstance(store, OpenStore):
        store.read_window(low, high, out)
        return
    rows = np.empty((1, *store.row_shape), store.dtype)
    rest = tuple(slice(first, last) for first, last in zip(low[1:], high[1:], strict=True))
    for place, number in enumerate(range(low[0], high[0])):
        store.read_rows(np.array([number]), rows)
        out[place] = rows[0][rest]


def window_bytes(store: Store, size: Sequence[int]) -> int:
    """Bytes that one thread needs beside the buffer while it reads a window; see `OpenStore.window_bytes`."""
    if isinstance(store, OpenStore):
        return store.window_bytes(size)
    return (1 + store.chunk_rows) * math.prod(store.row_shape) * store.dtype.itemsize
