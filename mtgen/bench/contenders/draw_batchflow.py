"""BatchFlow's samplers, as its tutorial has them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import reduce
from operator import or_
from typing import Any

import numpy as np

from mtgen.bench.drawing.checks import PITCH
from mtgen.bench.drawing.inputs import Operation, Sizes


def _sampled(law: Any, sizes: Sizes) -> Operation:
    return Operation(lambda number: law.sample(sizes.batch))


@contextmanager
def mixture(sizes: Sizes) -> Iterator[Operation]:
    """A fold of `|` over `NumpySampler`s."""
    from batchflow.sampler import NumpySampler

    parts = [
        float(share) & NumpySampler("n", seed=sizes.seed + place, loc=PITCH * place, scale=1)
        for place, share in enumerate(sizes.shares)
    ]
    yield _sampled(reduce(or_, parts), sizes)


@contextmanager
def histogram(sizes: Sizes) -> Iterator[Operation]:
    """`HistoSampler(np.histogramdd(points, bins))`."""
    from batchflow.sampler import HistoSampler

    yield _sampled(HistoSampler(np.histogramdd(sizes.cloud, bins=sizes.bins), seed=sizes.seed), sizes)


@contextmanager
def truncated(sizes: Sizes) -> Iterator[Operation]:
    """`NumpySampler("n").truncate(low=...)`."""
    from batchflow.sampler import NumpySampler

    yield _sampled(NumpySampler("n", seed=sizes.seed).truncate(low=sizes.low), sizes)


@contextmanager
def impossible(sizes: Sizes) -> Iterator[Operation]:
    """`truncate(low=..., expr=...)` where nothing fits."""
    from batchflow.sampler import NumpySampler

    law = NumpySampler("n", dim=2, seed=sizes.seed).truncate(low=1e9, expr=lambda points: points.sum(axis=1))

    def call(number: int) -> str:
        try:
            return repr(law.sample(sizes.batch))
        except ValueError as error:
            return str(error)

    yield Operation(call)
