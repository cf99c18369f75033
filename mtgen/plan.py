"""Which rows a step holds, and which chunks those rows come from: arithmetic on integers, no files, no threads.

The indices, from the table to the batch:

    row        place in the root table; the identity of a sample
    position   place in the order of one epoch
    step       batch number since training began; `epoch, step_in_epoch = divmod(step, steps_per_epoch)`
    slot       place inside one batch (or inside one buffer)
    chunk      number of the unit a store decompresses whole; a store row is `chunk * chunk_rows + offset`
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from mtgen.errors import PlanError
from mtgen.sampling.order import Order, OrderLaw
from mtgen.settings import check_kind, check_whole


@dataclass(frozen=True, kw_only=True)
class Read:
    """The part of a read plan that one chunk serves.

    Args:
        chunk: 0-based chunk number.
        offsets: int64 `(n,)`, places inside the chunk, ascending.
        slots: int64 `(n,)`, where each of them lands in the buffer.
    """

    chunk: int
    offsets: np.ndarray
    slots: np.ndarray


def reads(rows: np.ndarray, chunk_rows: int) -> Iterator[Read]:
    """Group store rows by chunk: each chunk appears once, in ascending order.

    Pure. Rows may repeat and come in any order.

    Args:
        rows: int64 `(n,)` of store rows >= 0; `rows[slot]` is wanted in `slot`.
        chunk_rows: rows per chunk, >= 1.

    Yields:
        `Read`s whose slots together are a permutation of `range(n)`.

    Example:
        >>> [(read.chunk, read.offsets.tolist(), read.slots.tolist()) for read in reads(np.array([5, 0, 4]), 4)]
        [(0, [0], [1]), (1, [0, 1], [2, 0])]
    """
    order = np.argsort(rows, kind="stable")
    chunks, offsets = np.divmod(rows[order], chunk_rows)
    edges = np.flatnonzero(np.diff(chunks)) + 1
    for start, stop in zip([0, *edges], [*edges, len(rows)], strict=True):
        if start < stop:
            yield Read(chunk=int(chunks[start]), offsets=offsets[start:stop], slots=order[start:stop])


@dataclass(frozen=True)
class Shard:
    """One process's part of every epoch.

    Args:
        index: 0-based number of this process.
        count: number of processes, >= 1.

    Raises:
        PlanError: anything but integers with 0 <= index < count.

    Example:
        >>> Shard(1, 4)
        Shard(index=1, count=4)
    """

    index: int = 0
    count: int = 1

    def __post_init__(self) -> None:
        whole = all(isinstance(value, int) and not isinstance(value, bool) for value in (self.index, self.count))
        if not whole or not 0 <= self.index < self.count:
            raise PlanError(
                f"a shard needs integers with 0 <= index < count, received index={self.index!r}, count={self.count!r}"
            )


@dataclass(frozen=True, kw_only=True)
class Batching:
    """How one epoch's positions are cut into steps, for one shard.

    A step takes `batch_size * shard.count` consecutive positions of the order, and each shard its part of them. So
    every shard has the same number of steps, and together the shards take each position exactly once. The rest at
    the end of the epoch is dropped (`drop_last`), or shared evenly as short batches, or as batches filled up with
    empty slots of weight 0 (`pad_last`).

    Args:
        size: positions in one epoch, >= 1.
        batch_size: slots in one batch of one shard, >= 1.
        drop_last: leave out the rest at the end of each epoch.
        pad_last: fill the last batch up to `batch_size`.
        shard: this process's part.

    Raises:
        PlanError: settings that give no step, or a rest too small to give every shard a row.

    Example:
        >>> batching = Batching(size=10, batch_size=4)
        >>> batching.steps_per_epoch, batching.positions(2).tolist()
        (3, [8, 9])
    """

    size: int
    batch_size: int
    drop_last: bool = False
    pad_last: bool = False
    shard: Shard = field(default_factory=Shard)

    def __post_init__(self) -> None:
        check_whole("batch_size", self.batch_size, 1)
        check_kind("shard", self.shard, Shard, "a Shard(index, count)")
        if self.size < 1:
            raise PlanError("the dataset has no rows, so there is no batch to make")
        if self.drop_last and self.pad_last:
            raise PlanError("drop_last and pad_last contradict each other: choose one of them")
        if self.drop_last and self.size < self.step_rows:
            raise PlanError(
                f"drop_last leaves no batch: one step takes {self.step_rows} rows (batch_size {self.batch_size} x "
                f"{self.shard.count} shards), the dataset has {self.size}. Use a smaller batch_size or drop_last=False"
            )
        if not (self.drop_last or self.pad_last) and 0 < self.rest < self.shard.count:
            raise PlanError(
                f"the last step of each epoch has {self.rest} rows for {self.shard.count} shards, so some shard would "
                "get none. Use drop_last=True, or pad_last=True to fill up with slots of weight 0"
            )

    @property
    def step_rows(self) -> int:
        """Positions that one step takes from the order, all shards together."""
        return self.batch_size * self.shard.count

    @property
    def rest(self) -> int:
        """Positions left at the end of an epoch after the full steps."""
        return self.size % self.step_rows

    @property
    def steps_per_epoch(self) -> int:
        """Steps in one epoch, the same for every shard."""
        return self.size // self.step_rows + (0 if self.drop_last or not self.rest else 1)

    def positions(self, step_in_epoch: int) -> np.ndarray:
        """Positions of one step's slots, int64 `(n,)` with n <= batch_size; pure.

        Args:
            step_in_epoch: in [0, steps_per_epoch).
        """
        start = step_in_epoch * self.step_rows
        index, count = self.shard.index, self.shard.count
        if start + self.step_rows <= self.size:
            return np.arange(start + index * self.batch_size, start + (index + 1) * self.batch_size)
        return np.arange(start + self.rest * index // count, start + self.rest * (index + 1) // count)

    def num_slots(self, step_in_epoch: int) -> int:
        """Slots in the batch of one step, empty ones included."""
        return self.batch_size if self.pad_last else len(self.positions(step_in_epoch))


class Plan:
    """A law bound to seed, rows and shard: which row fills which slot of which step. Reads nothing.

    Immutable but for the order that it keeps; picklable; any thread. It knows the rows and no dataset, so that a log
    can be checked without one.

    Args:
        sampler: the law.
        seed: integer >= 0.
        batching: how positions are cut into steps, and the shard.
        rows: int64 `(n,)`, the dataset's list of rows.

    Example:
        >>> from mtgen.sampling.order import Sequential
        >>> plan = Plan(Sequential(), 0, Batching(size=5, batch_size=2, pad_last=True), np.arange(5) + 10)
        >>> [slots.tolist() for slots in plan.slots(0, range(3))]
        [[10, 11], [12, 13], [14, -1]]
    """

    def __init__(self, sampler: OrderLaw, seed: int, batching: Batching, rows: np.ndarray) -> None:
        self.sampler, self.seed, self.batching, self.rows = sampler, seed, batching, rows
        self._kept_order: tuple[int, Order] | None = None

    def order(self, epoch: int) -> Order:
        """The order of an epoch; the last one is kept, because making it may cost more than asking it."""
        kept = self._kept_order
        if kept is None or kept[0] != epoch:
            kept = self._kept_order = epoch, self.sampler.order(len(self.rows), seed=self.seed, epoch=epoch)
        return kept[1]

    def at(self, epoch: int, positions: np.ndarray) -> np.ndarray:
        """Rows at positions of an epoch, int64 `(n,)`.

        Raises:
            PlanError: the law gives a place that the dataset does not have.
        """
        places = self.order(epoch).at(positions)
        if len(places) and not 0 <= places.min() <= places.max() < len(self.rows):
            raise PlanError(
                f"the sampler {self.sampler!r} gave places {places.min()} to {places.max()}, the dataset has places "
                f"0 to {len(self.rows) - 1}"
            )
        return self.rows[places]

    def slots(self, epoch: int, steps: Sequence[int], shard: Shard | None = None) -> list[np.ndarray]:
        """Rows of the slots of some steps, -1 for an empty slot; int64 `(slots,)` each.

        Args:
            epoch: integer >= 0.
            steps: step in the epoch, each in [0, steps_per_epoch).
            shard: another shard of the same epoch; None for the plan's own.

        Raises:
            PlanError: see `at`.
        """
        batching = self.batching if shard is None else replace(self.batching, shard=shard)
        positions = [batching.positions(step) for step in steps]
        if not positions:
            return []
        rows = self.at(epoch, np.concatenate(positions))
        parts = np.split(rows, np.cumsum([len(part) for part in positions])[:-1])
        empty = [batching.num_slots(step) - len(part) for step, part in zip(steps, parts, strict=True)]
        return [
            np.concatenate([part, np.full(num, -1)]) if num else part for part, num in zip(parts, empty, strict=True)
        ]


def pieces(rows: np.ndarray, chunk_rows: int, chunks_per_piece: int) -> list[np.ndarray]:
    """Cut the store rows of a window into pieces that share no chunk, for threads to read side by side.

    Pure. Together with `reads` this is why a chunk is decompressed once per window.

    Args:
        rows: int64 `(n,)` of store rows, any order, repeats allowed.
        chunk_rows: rows per chunk, >= 1.
        chunks_per_piece: most chunks in one piece, >= 1.

    Returns:
        int64 arrays of slots, each ascending by row; together a permutation of `range(n)`.

    Example:
        >>> [piece.tolist() for piece in pieces(np.array([9, 0, 8, 5]), 4, 1)]
        [[1], [3], [2, 0]]
    """
    order = np.argsort(rows, kind="stable")
    chunks = rows[order] // chunk_rows
    starts_chunk = np.diff(chunks, prepend=-1) != 0
    piece_of = (np.cumsum(starts_chunk) - 1) // chunks_per_piece
    edges = np.flatnonzero(np.diff(piece_of)) + 1
    return [piece for piece in np.split(order, edges) if len(piece)]
