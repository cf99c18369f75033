"""The rows of one epoch as a sequence with random access, for one shard."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, overload

import numpy as np

from mtgen.errors import PlanError
from mtgen.sampling.row_plans.orders import RowOrder
from mtgen.sampling.row_plans.source import Source
from mtgen.settings import shown

ITERATED_AT_ONCE = 1 << 16
"""Positions that iteration computes together, half a megabyte."""


class RowPlan:
    """Rows by position, int64; see `RowSampler.plan`. Immutable; any thread; picklable.

    Attributes:
        size: positions of all shards together.
        shard: (index, count).
        block: positions of a block, of which each shard has whole ones; None: positions are dealt one by one.
    """

    def __init__(self, order: RowOrder, source: Source, shard: Any = (0, 1), block: int | None = None) -> None:
        self._order, self._source = order, source
        self.size, self.block = order.size, block
        self.shard = _shard_of(shard)
        index, count = self.shard
        if block is None:
            self._num = len(range(index, self.size, count))
        else:
            whole, rest = divmod(self.size, block)
            self._num = len(range(index, whole, count)) * block + (rest if whole % count == index else 0)

    def positions(self, places: np.ndarray) -> np.ndarray:
        """Positions in the epoch of all shards of this shard's places `(n,)` in [0, len)."""
        index, count = self.shard
        if self.block is None:
            return index + count * places
        blocks, slots = np.divmod(places, self.block)
        return (index + count * blocks) * self.block + slots

    def __len__(self) -> int:
        return self._num

    @overload
    def __getitem__(self, key: int | np.integer) -> np.int64: ...
    @overload
    def __getitem__(self, key: slice | np.ndarray | list[int]) -> np.ndarray: ...
    def __getitem__(self, key: Any) -> Any:
        """One row, or an array of rows; negative places count from the end."""
        if isinstance(key, slice):
            return self._rows(np.arange(*key.indices(self._num)))
        places = np.asarray(key)
        if places.ndim > 1 or (places.size and places.dtype.kind not in "iu"):
            raise PlanError(f"a plan is asked with a place, a slice or a list of places, received {shown(key)}")
        flat = np.atleast_1d(places).astype(np.int64)
        if len(flat) and not -self._num <= flat.min() <= flat.max() < self._num:
            # An IndexError, because that is how Python knows where a sequence ends.
            raise IndexError(f"the plan has places 0 to {self._num - 1}, asked for {flat.min()} to {flat.max()}")
        rows = self._rows(np.where(flat < 0, flat + self._num, flat))
        return rows[0] if places.ndim == 0 else rows

    def _rows(self, places: np.ndarray) -> np.ndarray:
        return self._source.rows_at(self._order.at(self.positions(places)))

    def __iter__(self) -> Iterator[np.int64]:
        for start in range(0, self._num, ITERATED_AT_ONCE):
            yield from self[start : start + ITERATED_AT_ONCE]

    def __repr__(self) -> str:
        shard = "" if self.shard == (0, 1) else f" of {self.size}, shard {self.shard[0]} of {self.shard[1]}"
        return f"RowPlan({self._num} positions{shard})"


def _shard_of(shard: Any) -> tuple[int, int]:
    pair = (shard.index, shard.count) if hasattr(shard, "index") and hasattr(shard, "count") else shard
    if callable(getattr(shard, "index", None)):  # a tuple or list
        pair = tuple(shard)
    whole = isinstance(pair, tuple) and len(pair) == 2
    if not whole or any(isinstance(one, bool) or not isinstance(one, int | np.integer) for one in pair):
        raise PlanError(f"shard must be (index, count) or a Shard, received {shown(shard)}")
    index, count = int(pair[0]), int(pair[1])
    if not 0 <= index < count:
        raise PlanError(f"shard needs 0 <= index < count, received index={index}, count={count}")
    return index, count
