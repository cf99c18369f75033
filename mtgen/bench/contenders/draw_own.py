"""mtgen's own samplers, as their documentation has them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

import numpy as np

from mtgen.bench.draws.checks import PITCH
from mtgen.bench.draws.inputs import WEIGHED, Draws, Operation

QUERY = "max_weight(" + ", ".join(f"contains(findings, '{label}'): {weight}" for label, weight in WEIGHED.items()) + ")"


def _batches(law: Any, draws: Draws, **plan: Any) -> Operation:
    """Batch after batch of one epoch after the other."""
    per_epoch = len(law.plan(seed=draws.seed, **plan)) // draws.batch
    epoch, current = 0, law.plan(seed=draws.seed, **plan)

    def call(number: int) -> np.ndarray:
        nonlocal epoch, current
        wanted, place = divmod(number, per_epoch)
        if wanted != epoch:
            epoch, current = wanted, law.plan(seed=draws.seed, epoch=wanted, **plan)
        rows: np.ndarray = current[place * draws.batch : (place + 1) * draws.batch]
        return rows

    return Operation(call)


@contextmanager
def weighted(draws: Draws, spread: str = "even") -> Iterator[Operation]:
    """`S.rows(weights=...).plan(...)[i:j]`."""
    from mtgen import sampling as S

    yield _batches(S.rows(weights=draws.weights), draws, spread=spread)


@contextmanager
def build(draws: Draws) -> Iterator[Operation]:
    """`S.rows(weights=...)`, from which an epoch is then drawn for the check."""
    from mtgen import sampling as S

    epochs = count()

    def look(law: Any) -> np.ndarray:
        rows: np.ndarray = law.plan(seed=draws.seed, epoch=next(epochs))[:]
        return rows

    yield Operation(lambda number: S.rows(weights=draws.weights), look)


@contextmanager
def race(draws: Draws) -> Iterator[Operation]:
    """`plan(size=..., replace=False)`, a new epoch each time."""
    from mtgen import sampling as S

    law = S.rows(weights=draws.weights)

    def call(number: int) -> np.ndarray:
        rows: np.ndarray = law.plan(size=draws.batch, replace=False, seed=draws.seed, epoch=number)[:]
        return rows

    yield Operation(call)


@contextmanager
def shuffle(draws: Draws) -> Iterator[Operation]:
    """`S.rows(n).plan(...)[i:j]`."""
    from mtgen import sampling as S

    yield _batches(S.rows(draws.rows), draws)


@contextmanager
def shuffle_start(draws: Draws) -> Iterator[Operation]:
    """`S.rows(n).plan(epoch=...)` and its first rows: all of it, anew in each epoch."""
    from mtgen import sampling as S

    def call(number: int) -> np.ndarray:
        rows: np.ndarray = S.rows(draws.rows).plan(seed=draws.seed, epoch=number)[: draws.batch]
        return rows

    yield Operation(call)


def _sampled(law: Any, draws: Draws) -> Operation:
    def call(number: int) -> np.ndarray:
        points: np.ndarray = law.sample(draws.batch, seed=draws.seed, start=number * draws.batch)
        return points

    return Operation(call)


@contextmanager
def mixture(draws: Draws) -> Iterator[Operation]:
    """A fold of `|` over normal laws."""
    from mtgen import sampling as S

    yield _sampled(S.mix(*(share & S.normal(PITCH * place, 1) for place, share in enumerate(draws.shares))), draws)


@contextmanager
def histogram(draws: Draws) -> Iterator[Operation]:
    """`S.histogram(points, bins)`."""
    from mtgen import sampling as S

    yield _sampled(S.histogram(draws.cloud, bins=draws.bins), draws)


@contextmanager
def truncated(draws: Draws) -> Iterator[Operation]:
    """`S.normal().truncate(low=...)`."""
    from mtgen import sampling as S

    yield _sampled(S.normal().truncate(low=draws.low), draws)


@contextmanager
def impossible(draws: Draws) -> Iterator[Operation]:
    """`truncate(expr=...)` where nothing fits."""
    from mtgen import sampling as S
    from mtgen.errors import EmptySupportError

    law = S.normal(dim=2).truncate(low=1e9, expr=lambda points: points.sum(axis=1))

    def call(number: int) -> str:
        try:
            return repr(law.sample(draws.batch, seed=number))
        except EmptySupportError as error:
            return str(error)

    yield Operation(call)


@contextmanager
def sample_by(draws: Draws, drawn: bool = False) -> Iterator[Operation]:
    """`max_weight(contains(...): ..., ...)` over a table; the weights alone, or rows drawn by them."""
    import pandas as pd

    from mtgen import sampling as S
    from mtgen.sampling.query import parse_weights

    table = pd.DataFrame({"findings": draws.findings})
    rows = np.arange(draws.rows)

    def call(number: int) -> np.ndarray:
        weights = parse_weights(QUERY).values(table, rows)
        if not drawn:
            return weights
        found: np.ndarray = S.rows(weights=weights).plan(size=draws.batch, spread="iid", seed=number)[:]
        return found

    yield Operation(call)
