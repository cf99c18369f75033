"""Orders of one epoch: every row once, in table order, fully shuffled, or shuffled in blocks.

An order maps positions to places in a dataset's list of rows. It is a pure function of (seed, epoch, number of
rows): nothing is stored between epochs, and any position can be asked for first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np

from mtgen import seeds
from mtgen.errors import PlanError
from mtgen.sampling.permutation import Permutation


class Order(Protocol):
    """The rows of one epoch, in sequence, with random access."""

    def at(self, positions: np.ndarray) -> np.ndarray:
        """Places in the dataset's list of rows, int64 `(n,)`, at int64 `(n,)` positions; pure, any thread."""
        ...


@runtime_checkable
class OrderLaw(Protocol):
    """A law over rows: immutable, picklable, decides and never reads."""

    def size(self, num_rows: int) -> int:
        """Positions in one epoch over `num_rows` rows; the same for every epoch."""
        ...

    def order(self, num_rows: int, *, seed: int, epoch: int) -> Order:
        """The order of one epoch; pure."""
        ...

    def settings(self) -> dict[str, Any]:
        """What decides the order, as small JSON; part of the loader's state."""
        ...


class TableOrder:
    """Rows as the dataset lists them."""

    def at(self, positions: np.ndarray) -> np.ndarray:
        """See `Order.at`."""
        return np.asarray(positions, np.int64)


@dataclass(frozen=True)
class Sequential:
    """Every row once, in the dataset's own order, the same in every epoch.

    Example:
        >>> Sequential().order(3, seed=0, epoch=0).at(np.arange(3)).tolist()
        [0, 1, 2]
    """

    def size(self, num_rows: int) -> int:
        """See `OrderLaw.size`."""
        return num_rows

    def order(self, num_rows: int, *, seed: int, epoch: int) -> Order:
        """See `OrderLaw.order`."""
        return TableOrder()

    def settings(self) -> dict[str, Any]:
        """See `OrderLaw.settings`."""
        return {"law": "sequential"}


@dataclass(frozen=True)
class Exact:
    """Every row once, in a new random permutation of all rows each epoch.

    Example:
        >>> order = Exact().order(4, seed=0, epoch=0)
        >>> sorted(order.at(np.arange(4)).tolist())
        [0, 1, 2, 3]
    """

    def size(self, num_rows: int) -> int:
        """See `OrderLaw.size`."""
        return num_rows

    def order(self, num_rows: int, *, seed: int, epoch: int) -> Order:
        """See `OrderLaw.order`."""
        return Permutation(num_rows, seeds.key(seed, "order", epoch))

    def settings(self) -> dict[str, Any]:
        """See `OrderLaw.settings`."""
        return {"law": "exact"}


class Mixing(NamedTuple):
    """How well a law mixes blocks of neighbouring rows.

    Attributes:
        block_rows: rows of a block.
        same_block: expected share of the pairs of rows in a batch that are of one block.
        exact: the same in an exact shuffle.
    """

    block_rows: int
    same_block: float
    exact: float

    def __str__(self) -> str:
        return (
            f"{self.same_block:.3%} of the pairs of rows in a batch are of one block of {self.block_rows}, in an exact "
            f"shuffle {self.exact:.3%}"
        )


@dataclass(frozen=True)
class Blocks:
    """Every row once; blocks of neighbouring rows are shuffled, then the rows of `open_blocks` blocks at a time.

    For slow disks: a window of `open_blocks * block_rows` rows touches only as many chunks as it has blocks.
    Rows of one block stay within one such group of blocks, so batches are less mixed than with `Exact`.

    Args:
        block_rows: neighbouring rows that travel together, >= 1; a store's `chunk_rows` is the natural choice.
        open_blocks: blocks mixed with each other, >= 1; None takes 16, or as many as hold 1,024 rows.

    Example:
        >>> order = Blocks(block_rows=2, open_blocks=2).order(7, seed=0, epoch=0)
        >>> sorted(order.at(np.arange(7)).tolist())
        [0, 1, 2, 3, 4, 5, 6]
    """

    block_rows: int
    open_blocks: int | None = None

    def __post_init__(self) -> None:
        given = [self.block_rows] if self.open_blocks is None else [self.block_rows, self.open_blocks]
        if any(isinstance(value, bool) or not isinstance(value, int) or value < 1 for value in given):
            raise PlanError(
                f"block_rows and open_blocks must be integers >= 1, received {self.block_rows!r} and "
                f"{self.open_blocks!r}"
            )

    def size(self, num_rows: int) -> int:
        """See `OrderLaw.size`."""
        return num_rows

    def order(self, num_rows: int, *, seed: int, epoch: int) -> Order:
        """See `OrderLaw.order`."""
        return BlockOrder(num_rows, self.block_rows, self._num_open, seed=seed, epoch=epoch)

    def mixing(self, num_rows: int) -> Mixing:
        """How well batches are mixed, for whole groups of blocks.

        Two rows of a group of g are of one block of b with probability `(b - 1) / (g - 1)`; in an exact shuffle g is
        the number of all rows.

        Example:
            >>> print(Blocks(block_rows=64, open_blocks=16).mixing(1_000_000))
            6.158% of the pairs of rows in a batch are of one block of 64, in an exact shuffle 0.006%
        """
        block_rows = min(self.block_rows, num_rows)
        group_rows = min(self._num_open * block_rows, num_rows)
        shares = [(block_rows - 1) / max(rows - 1, 1) for rows in (group_rows, num_rows)]
        return Mixing(block_rows, *shares)

    @property
    def _num_open(self) -> int:
        return self.open_blocks or max(16, -(-1024 // self.block_rows))

    def settings(self) -> dict[str, Any]:
        """See `OrderLaw.settings`."""
        return {"law": "blocks", "block_rows": self.block_rows, "open_blocks": self.open_blocks}


class BlockOrder:
    """The order of `Blocks`: permuted blocks, cut into groups, the rows of each group permuted.

    All blocks are `block_rows` long but the last of the table. Where that short block lands decides where each
    later block starts, so its place in the permuted sequence is found once.
    """

    def __init__(self, num_rows: int, block_rows: int, open_blocks: int, *, seed: int, epoch: int) -> None:
        self._num_rows = num_rows
        self._block_rows = block_rows
        self._open_blocks = open_blocks
        self._num_blocks = -(-num_rows // block_rows)
        self._seed, self._epoch = seed, epoch
        self._blocks = Permutation(self._num_blocks, seeds.key(seed, "order/blocks", epoch))
        self._missing = self._num_blocks * block_rows - num_rows
        last = np.array([self._num_blocks - 1])
        self._short_place = int(self._blocks.position_of(last)[0]) if num_rows else 0

    def _starts(self, places: np.ndarray) -> np.ndarray:
        """First position of each permuted block; `places` may be one past the end."""
        return places * self._block_rows - np.where(places > self._short_place, self._missing, 0)

    def _place_at(self, positions: np.ndarray) -> np.ndarray:
        """Permuted block that holds each position, before rows are mixed."""
        short_end = (self._short_place + 1) * self._block_rows - self._missing
        return (positions + np.where(positions >= short_end, self._missing, 0)) // self._block_rows

    def at(self, positions: np.ndarray) -> np.ndarray:
        """See `Order.at`."""
        positions = np.asarray(positions, np.int64)
        groups = self._place_at(positions) // self._open_blocks
        mixed = np.empty_like(positions)
        for group in np.unique(groups):
            edges = np.minimum(np.array([group, group + 1]) * self._open_blocks, self._num_blocks)
            start, stop = self._starts(edges)
            inside = groups == group
            key = seeds.key(self._seed, f"order/group/{group}", self._epoch)
            mixed[inside] = start + Permutation(int(stop - start), key).at(positions[inside] - start)
        places = self._place_at(mixed)
        return self._blocks.at(places) * self._block_rows + (mixed - self._starts(places))


LAWS: dict[str, type[OrderLaw]] = {"sequential": Sequential, "exact": Exact, "blocks": Blocks}
"""The laws that promise each row exactly once, by the name in their settings."""


def sampler_of(settings: Mapping[str, Any]) -> OrderLaw | None:
    """The law whose `settings()` these are; None for a law that is not one of `LAWS`. Pure.

    Example:
        >>> sampler_of({"law": "blocks", "block_rows": 4, "open_blocks": None})
        Blocks(block_rows=4, open_blocks=None)
        >>> sampler_of({"law": "my own"}) is None
        True
    """
    parts = dict(settings)
    law = LAWS.get(str(parts.pop("law", None)))
    if law is None:
        return None
    try:
        return law(**parts)
    except (TypeError, PlanError):
        return None
