"""Several stores as one: the rows of each part under one numbering, in which no chunk holds rows of two parts."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from mtgen.errors import StoreError
from mtgen.stores.base import OpenStore, Store

BLOCK_BYTES = 4 << 20
"""Decompressed bytes that are read from a part at a time where its rows lie scattered over the request."""


class JoinedStore(OpenStore):
    """Rows of several open stores of one row shape and dtype.

    Chunks of the parts may differ in length. The longest is `chunk_rows` here, and each chunk here holds as many whole
    chunks of one part as fit, so a planner that reads each chunk once decompresses each chunk of a part once. What
    is left over in a chunk is filler: rows of zeros, which `rows_of` never names. So `num_rows` counts places, not
    samples.

    Any thread. The parts belong to whoever opened them: `close` leaves them open.

    Args:
        parts: open stores, at least one.

    Attributes:
        parts: the stores.
        source: whether a part lies on disk; None where all are arrays in memory.

    Raises:
        StoreError: parts of different row shapes or dtypes.

    Example:
        >>> from mtgen.stores import open_store
        >>> store = JoinedStore([open_store(np.array([0, 1, 2])), open_store(np.array([7, 8]))])
        >>> out = np.empty(2, int); store.read_rows(store.rows_of(1, np.array([1, 0])), out); out.tolist()
        [8, 7]
    """

    def __init__(self, parts: Sequence[Store]) -> None:
        if not parts:
            raise StoreError("there is no store to join, expected at least one")
        self.parts = tuple(parts)
        first = self.parts[0]
        for part in self.parts[1:]:
            if (part.row_shape, part.dtype) != (first.row_shape, first.dtype):
                raise StoreError(
                    f"its rows are {part.row_shape} {part.dtype}, those of {first.location} are {first.row_shape} "
                    f"{first.dtype}, and joined stores have rows of one kind: write one of them anew",
                    path=part.location,
                )
        self.location = ", ".join(dict.fromkeys(part.location for part in self.parts))
        self.row_shape, self.dtype = first.row_shape, first.dtype
        self.chunk_rows = max(part.chunk_rows for part in self.parts)
        self._units = np.array([self.chunk_rows // part.chunk_rows * part.chunk_rows for part in self.parts])
        self._lengths = np.array([part.num_rows for part in self.parts])
        num_chunks = -(-self._lengths // self._units)
        self._starts = np.concatenate([[0], np.cumsum(num_chunks)]) * self.chunk_rows
        self.num_rows = int(self._starts[-1])
        self.cache_bytes = sum(getattr(part, "cache_bytes", 0) for part in {id(one): one for one in parts}.values())
        self.scratch_bytes = BLOCK_BYTES + max(getattr(part, "scratch_bytes", 0) for part in self.parts)
        self.reads_together = any(getattr(part, "reads_together", False) for part in self.parts)
        self.source = True if any(_on_disk(part) for part in self.parts) else None
        self._set_keys()

    def _set_keys(self) -> None:
        """The keys under the same numbering, where all parts have some and they are of one kind."""
        keys = [part.keys for part in self.parts if part.keys is not None]
        kinds = {"integers" if one.dtype.kind in "iu" else one.dtype.kind for one in keys}
        if len(keys) < len(self.parts) or len(kinds) != 1:
            return
        dtype = np.result_type(*(one.dtype for one in keys))
        if kinds == {"integers"} and dtype.kind == "f":
            return  # int64 beside uint64: floats would round them
        names = {part.key_name for part in self.parts}
        self.keys = _JoinedKeys(self, keys, dtype)
        self.key_name = names.pop() if len(names) == 1 else None

    def __reduce__(self) -> tuple[Any, ...]:
        return JoinedStore, (self.parts,)

    def reopening(self) -> tuple[Callable[..., OpenStore], tuple[Any, ...]]:
        """See `OpenStore.reopening`: the parts travel, each in its own way."""
        return JoinedStore, (self.parts,)

    def rows_of(self, part: int, rows: np.ndarray) -> np.ndarray:
        """Rows here of a part's rows.

        Args:
            part: number of the part.
            rows: int64 `(n,)` in [0, num_rows of the part).
        """
        chunks, offsets = np.divmod(rows, self._units[part])
        return self._starts[part] + chunks * self.chunk_rows + offsets

    def places_of(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Number of the part, and row of the part, for rows here; both int64 `(n,)`. Filler has row -1."""
        owners = np.searchsorted(self._starts, rows, side="right") - 1
        chunks, offsets = np.divmod(rows - self._starts[owners], self.chunk_rows)
        inside = chunks * self._units[owners] + offsets
        is_row = (offsets < self._units[owners]) & (inside < self._lengths[owners])
        return owners, np.where(is_row, inside, -1)

    def fill(self, rows: np.ndarray, out: np.ndarray) -> None:
        """See `OpenStore.fill`; a part whose rows are neighbours in the request is read in place."""
        _fill(self.parts, *self.places_of(rows), out)

    def close(self) -> None:
        """Refuse further reads; the parts stay open."""
        self.closed = True


class _JoinedKeys(OpenStore):
    """The keys of the parts under the numbering of their store."""

    def __init__(self, store: JoinedStore, keys: Sequence[Store], dtype: np.dtype) -> None:
        self.location = ", ".join(dict.fromkeys(one.location for one in keys))
        self.num_rows, self.row_shape = store.num_rows, ()
        self.dtype = dtype
        self.chunk_rows = max(one.chunk_rows for one in keys)
        self.parts, self._store = tuple(keys), store

    def __reduce__(self) -> tuple[Any, ...]:
        return _JoinedKeys, (self._store, self.parts, self.dtype)

    def reopening(self) -> tuple[Callable[..., OpenStore], tuple[Any, ...]]:
        """See `OpenStore.reopening`."""
        return _JoinedKeys, (self._store, self.parts, self.dtype)

    def fill(self, rows: np.ndarray, out: np.ndarray) -> None:
        """See `OpenStore.fill`."""
        _fill(self.parts, *self._store.places_of(rows), out)


def _fill(parts: Sequence[Store], owners: np.ndarray, inside: np.ndarray, out: np.ndarray) -> None:
    """Fill `out[slot]` with row `inside[slot]` of part `owners[slot]`, zeros where that is -1."""
    empty = inside < 0
    if empty.any():
        out[empty] = np.zeros((), out.dtype)
    for number in np.unique(owners[~empty]).tolist():
        part, slots = parts[number], np.flatnonzero((owners == number) & ~empty)
        if slots[-1] - slots[0] + 1 == len(slots) and part.dtype == out.dtype:
            part.read_rows(inside[slots], out[slots[0] : slots[-1] + 1])
            continue
        slots = slots[np.argsort(inside[slots], kind="stable")]  # so that blocks share chunks at their edges only
        row_bytes = math.prod(part.row_shape) * part.dtype.itemsize
        size = max(1, BLOCK_BYTES // max(1, row_bytes))
        for start in range(0, len(slots), size):
            some = slots[start : start + size]
            found = np.empty((len(some), *part.row_shape), part.dtype)
            part.read_rows(inside[some], found)
            out[some] = found


def _on_disk(part: Store) -> bool:
    return any(getattr(part, name, None) is not None for name in ("folder", "path", "source"))
