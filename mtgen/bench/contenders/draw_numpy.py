"""NumPy: what `Generator` has, and floors, which are the few lines that somebody would write who knows the answer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from mtgen.bench.draws.checks import PITCH
from mtgen.bench.draws.inputs import Draws, Operation


def _rng(draws: Draws) -> np.random.Generator:
    return np.random.default_rng(draws.seed)


@contextmanager
def choice(draws: Draws, replace: bool = True) -> Iterator[Operation]:
    """`Generator.choice(n, size, p=p)`."""
    rng = _rng(draws)
    shares = draws.weights / draws.weights.sum()
    yield Operation(lambda number: rng.choice(draws.rows, draws.batch, replace=replace, p=shares))


@contextmanager
def cached_sums(draws: Draws) -> Iterator[Operation]:
    """Floor: sums made once, then a binary search per row."""
    rng, sums = _rng(draws), np.cumsum(draws.weights)

    def call(number: int) -> np.ndarray:
        return np.searchsorted(sums, rng.random(draws.batch) * sums[-1], side="right")

    yield Operation(call)


@contextmanager
def bare_sums(draws: Draws) -> Iterator[Operation]:
    """Floor: `np.cumsum`, nothing checked."""
    rng = _rng(draws)

    def look(sums: np.ndarray) -> np.ndarray:
        return np.searchsorted(sums, rng.random(draws.batch) * sums[-1], side="right")

    yield Operation(lambda number: np.cumsum(draws.weights), look)


@contextmanager
def even_copies(draws: Draws) -> Iterator[Operation]:
    """Floor: how many copies of each row, by even steps through the sums, repeated and shuffled."""
    rng, sums = _rng(draws), np.cumsum(draws.weights)
    scaled = sums * (draws.batch / sums[-1])

    def call(number: int) -> np.ndarray:
        upto = np.minimum(np.floor(scaled + rng.random()), draws.batch).astype(np.int64)
        upto[-1] = draws.batch
        rows = np.repeat(np.arange(draws.rows), np.diff(upto, prepend=0))
        rng.shuffle(rows)
        return rows

    yield Operation(call)


@contextmanager
def bare_race(draws: Draws) -> Iterator[Operation]:
    """Floor: exponential clocks divided by the weights, the smallest k (Efraimidis and Spirakis, 2006)."""
    rng = _rng(draws)

    def call(number: int) -> np.ndarray:
        with np.errstate(divide="ignore"):
            clocks = rng.standard_exponential(draws.rows) / draws.weights
        return np.argpartition(clocks, draws.batch)[: draws.batch]

    yield Operation(call)


@contextmanager
def permutation(draws: Draws) -> Iterator[Operation]:
    """`Generator.permutation(n)`, and the first rows of it."""
    rng = _rng(draws)
    yield Operation(lambda number: rng.permutation(draws.rows)[: draws.batch])


@contextmanager
def mixture(draws: Draws) -> Iterator[Operation]:
    """Floor: components by their sums, normal values moved to the middles."""
    rng, sums = _rng(draws), np.cumsum(draws.shares)

    def call(number: int) -> np.ndarray:
        which = np.searchsorted(sums, rng.random(draws.batch) * sums[-1], side="right")
        return (rng.standard_normal(draws.batch) + PITCH * which)[:, None]

    yield Operation(call)


@contextmanager
def histogram(draws: Draws) -> Iterator[Operation]:
    """Floor: sums over the bins in use, one number per bin."""
    rng = _rng(draws)
    edges = [np.histogram_bin_edges(column, number) for column, number in zip(draws.cloud.T, draws.bins, strict=True)]
    places = [
        np.minimum(np.searchsorted(edge, column, side="right") - 1, len(edge) - 2)
        for edge, column in zip(edges, draws.cloud.T, strict=True)
    ]
    used, counts = np.unique(np.ravel_multi_index(tuple(places), draws.bins), return_counts=True)
    sums = np.cumsum(counts)

    def call(number: int) -> np.ndarray:
        bins = used[np.searchsorted(sums, rng.random(draws.batch) * sums[-1], side="right")]
        columns = []
        for edge, place in zip(edges, np.unravel_index(bins, draws.bins), strict=True):
            columns.append(edge[place] + rng.random(draws.batch) * (edge[place + 1] - edge[place]))
        return np.stack(columns, axis=1)

    yield Operation(call)


@contextmanager
def truncated(draws: Draws) -> Iterator[Operation]:
    """`scipy.stats.truncnorm`."""
    from scipy.stats import truncnorm

    rng = _rng(draws)
    law: Any = truncnorm(draws.low, np.inf)
    yield Operation(lambda number: law.rvs((draws.batch, 1), random_state=rng))
