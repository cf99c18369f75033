"""What decides the places of one batch's patches, besides its rows: seed, epoch, and each slot's position.

A patch is cut where a sampler of points says, and what a sampler draws is a function of seed, epoch and position. So
this small value goes with the rows of a batch wherever they are read: ahead, again, or in place of a bad one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

PointsOf = Callable[[int, int], Any]
"""(row, position in the epoch) -> the sampler of that slot's point."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Draws:
    """Where in the run some slots stand. Pure; any thread.

    Args:
        seed: integer >= 0, the loader's.
        epoch: integer >= 0.
        positions: int64 `(n,)`, place of each slot in the order of the epoch; of a shard too, those of all shards.
        block: slots of one batch, where shares are kept in each batch; None draws independently.
        points: for a law over rows that brings points of its own (`rows @ points`): the sampler of a slot's point;
            None where rows come alone.

    Example:
        >>> draws = Draws(seed=3, epoch=1, positions=np.array([8, 9]), block=4)
        >>> draws.of(slice(1, 2)).positions.tolist()
        [9]
    """

    seed: int
    epoch: int
    positions: np.ndarray
    block: int | None = None
    points: PointsOf | None = None

    def of(self, slots: slice | np.ndarray) -> Draws:
        """Those of some slots."""
        return replace(self, positions=self.positions[slots])


def draws_of_rows(rows: np.ndarray) -> Draws:
    """For rows that are read outside any order: seed 0, epoch 0, and each row is its own position.

    Args:
        rows: int64 `(n,)`, places in the root table.

    Example:
        >>> draws_of_rows(np.array([7, 2])).positions.tolist()
        [7, 2]
    """
    return Draws(seed=0, epoch=0, positions=np.asarray(rows, np.int64))
