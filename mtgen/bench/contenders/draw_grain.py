"""Grain: the permutation without memory under `MapDataset.shuffle`, row by row as that asks for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from mtgen.bench.draws.inputs import Draws, Operation

ROUNDS = 4
"""As Grain's own shuffle has it."""


@contextmanager
def index_shuffle(draws: Draws, begin: bool = False) -> Iterator[Operation]:
    """`index_shuffle(index, max_index, seed, rounds)`.

    With `begin` each call is the beginning of another epoch.
    """
    from grain._src.python.experimental.index_shuffle.python import index_shuffle_module

    shuffled, last = index_shuffle_module.index_shuffle, draws.rows - 1
    per_epoch = 1 if begin else draws.rows // draws.batch

    def call(number: int) -> np.ndarray:
        epoch, place = divmod(number, per_epoch)
        # seed + epoch, as Grain does
        key = draws.seed + epoch
        wanted = range(place * draws.batch, (place + 1) * draws.batch)
        return np.array([shuffled(index, max_index=last, seed=key, rounds=ROUNDS) for index in wanted])

    yield Operation(call)
