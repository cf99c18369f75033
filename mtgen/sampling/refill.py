"""Which row takes the place of one that cannot be read: arithmetic, no files.

A replacement is drawn by the same law as the epoch itself: a random position of the epoch's order, and the row that
stands there. The draw is a function of (seed, epoch, position, attempt), so it is the same whatever the threads do,
after a resume, and on every machine.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mtgen import seeds
from mtgen.sampling.order import Order

ATTEMPTS = 32
"""Rows drawn at most: with half of all rows bad, one slot in four billion finds no replacement."""


def replacements(order: Order, size: int, position: int, *, seed: int, epoch: int) -> Iterator[int]:
    """Places in the dataset's list of rows to try in turn for one position; pure, any thread.

    A place that came before, or that the position itself has, is not tried again.

    Args:
        order: the epoch's order.
        size: positions in the epoch, >= 1.
        position: the position whose row cannot be read.
        seed: the loader's seed.
        epoch: 0-based.

    Yields:
        At most `ATTEMPTS` distinct places.

    Example:
        >>> from mtgen.sampling.order import Exact
        >>> order = Exact().order(100, seed=0, epoch=0)
        >>> one, other = (list(replacements(order, 100, 5, seed=0, epoch=0)) for _ in range(2))
        >>> one == other, len(one) == len(set(one))
        (True, True)
    """
    key = seeds.key(seed, "refill", epoch)
    words = seeds.words(key, position * ATTEMPTS + np.arange(ATTEMPTS))
    # The high half of a 128-bit product: a word in [0, 2**64) becomes a position in [0, size).
    positions = [int(word) * size >> 64 for word in words.tolist()]
    tried = set(order.at(np.array([position])).tolist())
    for place in order.at(np.array(positions)).tolist():
        if place not in tried:
            tried.add(place)
            yield place
