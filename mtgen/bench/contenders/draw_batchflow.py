"""BatchFlow's samplers, as its tutorial has them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import reduce
from operator import or_
from typing import Any

import numpy as np

from mtgen.bench.draws.checks import PITCH
from mtgen.bench.draws.inputs import Draws, Operation


def _sampled(law: Any, draws: Draws) -> Operation:
    return Operation(lambda number: law.sample(draws.batch))


@contextmanager
def mixture(draws: Draws) -> Iterator[Operation]:
    """A fold of `|` over `NumpySampler`s."""
    from batchflow.sampler import NumpySampler

    parts = [
        float(share) & NumpySampler("n", seed=draws.seed + place, loc=PITCH * place, scale=1)
        for place, share in enumerate(draws.shares)
    ]
    yield _sampled(reduce(or_, parts), draws)


@contextmanager
def histogram(draws: Draws) -> Iterator[Operation]:
    """`HistoSampler(np.histogramdd(points, bins))`."""
    from batchflow.sampler import HistoSampler

    yield _sampled(HistoSampler(np.histogramdd(draws.cloud, bins=draws.bins), seed=draws.seed), draws)


@contextmanager
def truncated(draws: Draws) -> Iterator[Operation]:
    """`NumpySampler("n").truncate(low=...)`."""
    from batchflow.sampler import NumpySampler

    yield _sampled(NumpySampler("n", seed=draws.seed).truncate(low=draws.low), draws)


@contextmanager
def impossible(draws: Draws) -> Iterator[Operation]:
    """`truncate(low=..., expr=...)` where nothing fits."""
    from batchflow.sampler import NumpySampler

    law = NumpySampler("n", dim=2, seed=draws.seed).truncate(low=1e9, expr=lambda points: points.sum(axis=1))

    def call(number: int) -> str:
        try:
            return repr(law.sample(draws.batch))
        except ValueError as error:
            return str(error)

    yield Operation(call)
