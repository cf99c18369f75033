"""Grain: the permutation without memory under `MapDataset.shuffle`, row by row as that asks for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from mtgen.bench.drawing.inputs import Operation, Sizes

ROUNDS = 4
"""As Grain's own shuffle has it."""


@contextmanager
def index_shuffle(sizes: Sizes, begin: bool = False) -> Iterator[Operation]:
    """`index_shuffle(index, max_index, seed, rounds)`.

    With `begin` each call is the beginning of another epoch.
    """
    from grain._src.python.experimental.index_shuffle.python import index_shuffle_module

    shuffled, last = index_shuffle_module.index_shuffle, sizes.rows - 1
    per_epoch = 1 if begin else sizes.rows // sizes.batch

    def call(number: int) -> np.ndarray:
        epoch, place = divmod(number, per_epoch)
        # seed + epoch, as Grain does
        key = sizes.seed + epoch
        wanted = range(place * sizes.batch, (place + 1) * sizes.batch)
        return np.array([shuffled(index, max_index=last, seed=key, rounds=ROUNDS) for index in wanted])

    yield Operation(call)
