"""mtgen's own samplers, as their documentation has them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

import numpy as np

from mtgen.bench.drawing.checks import PITCH
from mtgen.bench.drawing.inputs import WEIGHED, Operation, Sizes

QUERY = "max_weight(" + ", ".join(f"contains(findings, '{label}'): {weight}" for label, weight in WEIGHED.items()) + ")"


def _batches(law: Any, sizes: Sizes, **plan: Any) -> Operation:
    """Batch after batch of one epoch after the other."""
    per_epoch = len(law.plan(seed=sizes.seed, **plan)) // sizes.batch
    epoch, current = 0, law.plan(seed=sizes.seed, **plan)

    def call(number: int) -> np.ndarray:
        nonlocal epoch, current
        wanted, place = divmod(number, per_epoch)
        if wanted != epoch:
            epoch, current = wanted, law.plan(seed=sizes.seed, epoch=wanted, **plan)
        rows: np.ndarray = current[place * sizes.batch : (place + 1) * sizes.batch]
        return rows

    return Operation(call)


@contextmanager
def weighted(sizes: Sizes, spread: str = "even") -> Iterator[Operation]:
    """`S.rows(weights=...).plan(...)[i:j]`."""
    from mtgen import sampling as S

    yield _batches(S.rows(weights=sizes.weights), sizes, spread=spread)


@contextmanager
def build(sizes: Sizes) -> Iterator[Operation]:
    """`S.rows(weights=...)`, from which an epoch is then drawn for the check."""
    from mtgen import sampling as S

    epochs = count()

    def look(law: Any) -> np.ndarray:
        rows: np.ndarray = law.plan(seed=sizes.seed, epoch=next(epochs))[:]
        return rows

    yield Operation(lambda number: S.rows(weights=sizes.weights), look)


@contextmanager
def race(sizes: Sizes) -> Iterator[Operation]:
    """`plan(size=..., replace=False)`, a new epoch each time."""
    from mtgen import sampling as S

    law = S.rows(weights=sizes.weights)

    def call(number: int) -> np.ndarray:
        rows: np.ndarray = law.plan(size=sizes.batch, replace=False, seed=sizes.seed, epoch=number)[:]
        return rows

    yield Operation(call)


@contextmanager
def shuffle(sizes: Sizes) -> Iterator[Operation]:
    """`S.rows(n).plan(...)[i:j]`."""
    from mtgen import sampling as S

    yield _batches(S.rows(sizes.rows), sizes)


@contextmanager
def shuffle_start(sizes: Sizes) -> Iterator[Operation]:
    """`S.rows(n).plan(epoch=...)` and its first rows: all of it, anew in each epoch."""
    from mtgen import sampling as S

    def call(number: int) -> np.ndarray:
        rows: np.ndarray = S.rows(sizes.rows).plan(seed=sizes.seed, epoch=number)[: sizes.batch]
        return rows

    yield Operation(call)


def _sampled(law: Any, sizes: Sizes) -> Operation:
    def call(number: int) -> np.ndarray:
        points: np.ndarray = law.sample(sizes.batch, seed=sizes.seed, start=number * sizes.batch)
        return points

    return Operation(call)


@contextmanager
def mixture(sizes: Sizes) -> Iterator[Operation]:
    """A fold of `|` over normal laws."""
    from mtgen import sampling as S

    yield _sampled(S.mix(*(share & S.normal(PITCH * place, 1) for place, share in enumerate(sizes.shares))), sizes)


@contextmanager
def histogram(sizes: Sizes) -> Iterator[Operation]:
    """`S.histogram(points, bins)`."""
    from mtgen import sampling as S

    yield _sampled(S.histogram(sizes.cloud, bins=sizes.bins), sizes)


@contextmanager
def truncated(sizes: Sizes) -> Iterator[Operation]:
    """`S.normal().truncate(low=...)`."""
    from mtgen import sampling as S

    yield _sampled(S.normal().truncate(low=sizes.low), sizes)


@contextmanager
def impossible(sizes: Sizes) -> Iterator[Operation]:
    """`truncate(expr=...)` where nothing fits."""
    from mtgen import sampling as S
    from mtgen.errors import EmptySupportError

    law = S.normal(dim=2).truncate(low=1e9, expr=lambda points: points.sum(axis=1))

    def call(number: int) -> str:
        try:
            return repr(law.sample(sizes.batch, seed=number))
        except EmptySupportError as error:
            return str(error)

    yield Operation(call)


@contextmanager
def sample_by(sizes: Sizes, drawn: bool = False) -> Iterator[Operation]:
    """`max_weight(contains(...): ..., ...)` over a table; the weights alone, or rows drawn by them."""
    import pandas as pd

    from mtgen import sampling as S
    from mtgen.sampling.query import parse_weights

    table = pd.DataFrame({"findings": sizes.findings})
    rows = np.arange(sizes.rows)

    def call(number: int) -> np.ndarray:
        weights = parse_weights(QUERY).values(table, rows)
        if not drawn:
            return weights
        found: np.ndarray = S.rows(weights=weights).plan(size=sizes.batch, spread="iid", seed=number)[:]
        return found

    yield Operation(call)
