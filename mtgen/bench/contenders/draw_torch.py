"""PyTorch: `multinomial`, `WeightedRandomSampler`, `randperm`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from mtgen.bench.drawing.inputs import Operation, Sizes


@contextmanager
def multinomial(sizes: Sizes, replacement: bool = True) -> Iterator[Operation]:
    """`torch.multinomial` of float64 weights."""
    import torch

    generator = torch.Generator().manual_seed(sizes.seed)
    weights = torch.from_numpy(sizes.weights)
    yield Operation(
        lambda number: torch.multinomial(weights, sizes.batch, replacement, generator=generator),
        lambda rows: rows.numpy(),
    )


@contextmanager
def weighted_sampler(sizes: Sizes, replacement: bool = True) -> Iterator[Operation]:
    """`WeightedRandomSampler`, iterated over as a `DataLoader` does: Python numbers."""
    import torch
    from torch.utils.data import WeightedRandomSampler

    generator = torch.Generator().manual_seed(sizes.seed)
    # A tensor, because a list of ten million numbers would have to be turned into one first.
    sampler = WeightedRandomSampler(torch.from_numpy(sizes.weights), sizes.batch, replacement, generator)
    yield Operation(lambda number: list(sampler), lambda rows: np.array(rows, np.int64))


@contextmanager
def randperm(sizes: Sizes) -> Iterator[Operation]:
    """`torch.randperm(n)`, and the first rows of it."""
    import torch

    generator = torch.Generator().manual_seed(sizes.seed)
    yield Operation(
        lambda number: torch.randperm(sizes.rows, generator=generator)[: sizes.batch], lambda rows: rows.numpy()
    )
