"""PyTorch: `multinomial`, `WeightedRandomSampler`, `randperm`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from mtgen.bench.draws.inputs import Draws, Operation


@contextmanager
def multinomial(draws: Draws, replacement: bool = True) -> Iterator[Operation]:
    """`torch.multinomial` of float64 weights."""
    import torch

    generator = torch.Generator().manual_seed(draws.seed)
    weights = torch.from_numpy(draws.weights)
    yield Operation(
        lambda number: torch.multinomial(weights, draws.batch, replacement, generator=generator),
        lambda rows: rows.numpy(),
    )


@contextmanager
def weighted_sampler(draws: Draws, replacement: bool = True) -> Iterator[Operation]:
    """`WeightedRandomSampler`, iterated over as a `DataLoader` does: Python numbers."""
    import torch
    from torch.utils.data import WeightedRandomSampler

    generator = torch.Generator().manual_seed(draws.seed)
    # A tensor, because a list of ten million numbers would have to be turned into one first.
    sampler = WeightedRandomSampler(torch.from_numpy(draws.weights), draws.batch, replacement, generator)
    yield Operation(lambda number: list(sampler), lambda rows: np.array(rows, np.int64))


@contextmanager
def randperm(draws: Draws) -> Iterator[Operation]:
    """`torch.randperm(n)`, and the first rows of it."""
    import torch

    generator = torch.Generator().manual_seed(draws.seed)
    yield Operation(
        lambda number: torch.randperm(draws.rows, generator=generator)[: draws.batch], lambda rows: rows.numpy()
    )
