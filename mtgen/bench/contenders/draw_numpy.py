"""NumPy: what `Generator` has, and floors, which are the few lines that somebody would write who knows the answer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from mtgen.bench.drawing.checks import PITCH
from mtgen.bench.drawing.inputs import Operation, Sizes


def _rng(sizes: Sizes) -> np.random.Generator:
    return np.random.default_rng(sizes.seed)


@contextmanager
def choice(sizes: Sizes, replace: bool = True) -> Iterator[Operation]:
    """`Generator.choice(n, size, p=p)`."""
    rng = _rng(sizes)
    shares = sizes.weights / sizes.weights.sum()
    yield Operation(lambda number: rng.choice(sizes.rows, sizes.batch, replace=replace, p=shares))


@contextmanager
def cached_sums(sizes: Sizes) -> Iterator[Operation]:
    """Floor: sums made once, then a binary search per row."""
    rng, sums = _rng(sizes), np.cumsum(sizes.weights)

    def call(number: int) -> np.ndarray:
        return np.searchsorted(sums, rng.random(sizes.batch) * sums[-1], side="right")

    yield Operation(call)


@contextmanager
def bare_sums(sizes: Sizes) -> Iterator[Operation]:
    """Floor: `np.cumsum`, nothing checked."""
    rng = _rng(sizes)

    def look(sums: np.ndarray) -> np.ndarray:
        # In ascending order: ten million searches at random places took longer than a call may.
        return np.searchsorted(sums, np.sort(rng.random(sizes.batch)) * sums[-1], side="right")

    yield Operation(lambda number: np.cumsum(sizes.weights), look)


@contextmanager
def even_copies(sizes: Sizes) -> Iterator[Operation]:
    """Floor: how many copies of each row, by even steps through the sums, repeated and shuffled."""
    rng, sums = _rng(sizes), np.cumsum(sizes.weights)
    scaled = sums * (sizes.batch / sums[-1])

    def call(number: int) -> np.ndarray:
        upto = np.minimum(np.floor(scaled + rng.random()), sizes.batch).astype(np.int64)
        upto[-1] = sizes.batch
        rows = np.repeat(np.arange(sizes.rows), np.diff(upto, prepend=0))
        rng.shuffle(rows)
        return rows

    yield Operation(call)


@contextmanager
def bare_race(sizes: Sizes) -> Iterator[Operation]:
    """Floor: exponential clocks divided by the weights, the smallest k (Efraimidis and Spirakis, 2006)."""
    rng = _rng(sizes)

    def call(number: int) -> np.ndarray:
        with np.errstate(divide="ignore"):
            clocks = rng.standard_exponential(sizes.rows) / sizes.weights
        return np.argpartition(clocks, sizes.batch)[: sizes.batch]

    yield Operation(call)


@contextmanager
def permutation(sizes: Sizes) -> Iterator[Operation]:
    """`Generator.permutation(n)`, and the first rows of it."""
    rng = _rng(sizes)
    yield Operation(lambda number: rng.permutation(sizes.rows)[: sizes.batch])


@contextmanager
def mixture(sizes: Sizes) -> Iterator[Operation]:
    """Floor: components by their sums, normal values moved to the middles."""
    rng, sums = _rng(sizes), np.cumsum(sizes.shares)

    def call(number: int) -> np.ndarray:
        which = np.searchsorted(sums, rng.random(sizes.batch) * sums[-1], side="right")
        return (rng.standard_normal(sizes.batch) + PITCH * which)[:, None]

    yield Operation(call)


@contextmanager
def histogram(sizes: Sizes) -> Iterator[Operation]:
    """Floor: sums over the bins in use, one number per bin."""
    rng = _rng(sizes)
    edges = [np.histogram_bin_edges(column, number) for column, number in zip(sizes.cloud.T, sizes.bins, strict=True)]
    places = [
        np.minimum(np.searchsorted(edge, column, side="right") - 1, len(edge) - 2)
        for edge, column in zip(edges, sizes.cloud.T, strict=True)
    ]
    used, counts = np.unique(np.ravel_multi_index(tuple(places), sizes.bins), return_counts=True)
    sums = np.cumsum(counts)

    def call(number: int) -> np.ndarray:
        bins = used[np.searchsorted(sums, rng.random(sizes.batch) * sums[-1], side="right")]
        columns = []
        for edge, place in zip(edges, np.unravel_index(bins, sizes.bins), strict=True):
            columns.append(edge[place] + rng.random(sizes.batch) * (edge[place + 1] - edge[place]))
        return np.stack(columns, axis=1)

    yield Operation(call)


@contextmanager
def truncated(sizes: Sizes) -> Iterator[Operation]:
    """`scipy.stats.truncnorm`."""
    from scipy.stats import truncnorm

    rng = _rng(sizes)
    law: Any = truncnorm(sizes.low, np.inf)
    yield Operation(lambda number: law.rvs((sizes.batch, 1), random_state=rng))
