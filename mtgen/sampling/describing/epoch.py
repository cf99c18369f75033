"""The epoch of a law over rows, described: how often each row should come, and how often it came. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from mtgen.sampling.describing.components import components_frame
from mtgen.sampling.describing.labels import RowLabels, boxed
from mtgen.sampling.describing.parts import component_names
from mtgen.sampling.describing.rows import EpochFacts, RowDescription, describe_rows
from mtgen.sampling.row_plans.base import Evenness, RowSampler
from mtgen.sampling.row_plans.mixture import MixtureOrder, RowMixture
from mtgen.sampling.row_plans.moved import MovedRows
from mtgen.sampling.row_plans.source import Source
from mtgen.sampling.row_plans.weighted import WeightedRows
from mtgen.table import column

NOTE = "without replacement, by weight: the expected rows are an approximation for many rows"
"""Said where `inclusion` is not exact."""

_HALVINGS = 64
"""Bring two floats of an interval below 2,000 within 1e-16 of each other."""


def describe_epoch(
    law: RowSampler,
    size: int | None = None,
    seed: int = 0,
    *,
    epoch: int = 0,
    block: int | None = None,
    by: Any = None,
    replace: bool | None = None,
    spread: Evenness = "even",
) -> RowDescription:
    """Plan an epoch and count it; see `RowSampler.describe`.

    Raises:
        PlanError: what no plan can follow, or labels that do not fit the rows.
        TableError: no such column.
    """
    plan = law.plan(size, replace, spread, seed=seed, epoch=epoch, block=block)
    source = law.source
    drawn = source.places_of(plan[:])
    components = None
    if isinstance(law, RowMixture) and isinstance(plan.order, MixtureOrder):
        chosen, _ = plan.order.ranks(np.arange(plan.size))
        components = components_frame(component_names(law), law.shares, chosen, block)
    weights = weights_of_law(law)
    exact = _is_exact(law, len(plan), replace)
    return describe_rows(
        weights,
        drawn,
        EpochFacts(law=repr(law), seed=seed, epoch=epoch, block=block, note="" if exact else NOTE),
        labels=None if by is None else labels_of(source, by),
        expected=expected_rows(law, len(plan), replace),
        components=components,
    )


def labels_of(source: Source, by: Any) -> RowLabels:
    """The classes of the rows of a source: a column's name, several names, or one label per row.

    Raises:
        PlanError: no table that names would be of, or another number of labels.
        TableError: no such column.

    Example:
        >>> labels_of(Source(3), ["a", "b", "a"]).classes
        ('a', 'b')
    """
    if isinstance(by, str):
        table, rows = source.need_table("by=the name of a column")
        return RowLabels.of(column(table, by, "by").iloc[rows], source.num_rows, by)
    listed = isinstance(by, list | tuple)
    if listed and source.table is not None and _are_columns(by, source.table):
        columns = [labels_of(source, name) for name in by]
        return RowLabels.joint(columns) if len(columns) > 1 else columns[0]
    name = getattr(by, "name", None)
    values = source.aligned(boxed(by) if listed else by, "by")
    return RowLabels.of(values, source.num_rows, None if name is None else str(name))


def _are_columns(by: Sequence[Any], table: pd.DataFrame) -> bool:
    """Whether a list names columns, each once, and is no list of labels."""
    named = all(isinstance(one, str) for one in by) and 0 < len(by) == len(set(by))
    return named and set(by) <= set(table.columns)


def weights_of_law(law: RowSampler) -> np.ndarray:
    """The weights of all rows, summing to 1, float64 `(num_rows,)`."""
    if isinstance(law, RowMixture):
        total = np.zeros(law.source.num_rows)
        for share, part in zip(law.shares.tolist(), law.laws, strict=True):
            total += share * weights_of_law(part)
        return total
    if isinstance(law, MovedRows):
        return law.spread_out(weights_of_law(law.law))
    if isinstance(law, WeightedRows):  # without replacement it has weights too, but no share of the positions
        return np.asarray(law.weights.ticks() / law.weights.total)
    return law.prob


def _is_exact(law: RowSampler, size: float, replace: bool | None) -> bool:
    """Whether `expected_rows` is the mean over epochs, and not near it."""
    if isinstance(law, RowMixture):
        shares = zip(law.shares.tolist(), law.laws, strict=True)
        return all(_is_exact(part, share * size, replace) for share, part in shares)
    if isinstance(law, MovedRows):
        return _is_exact(law.law, size, replace)
    if not isinstance(law, WeightedRows) or (law.replace if replace is None else replace):
        return True
    ticks = law.weights.ticks()
    positive = ticks[ticks > 0]
    return size >= len(positive) or int(positive.min()) == int(positive.max())


def expected_rows(law: RowSampler, size: float, replace: bool | None = None) -> np.ndarray:
    """How often each row comes in an epoch of `size` positions, on average, float64 `(num_rows,)`."""
    if isinstance(law, RowMixture):
        total = np.zeros(law.source.num_rows)
        for share, part in zip(law.shares.tolist(), law.laws, strict=True):
            total += expected_rows(part, share * size, replace)
        return total
    if isinstance(law, MovedRows):
        return law.spread_out(expected_rows(law.law, size, replace))
    weights = weights_of_law(law)
    if not isinstance(law, WeightedRows) or (law.replace if replace is None else replace):
        return weights * size
    found = inclusion(weights, min(size, law.weights.num_positive))
    reach = law.reach()
    zeros = weights == 0 if reach is None else reach & (weights == 0)
    if size > law.weights.num_positive and zeros.any():  # filled up
        found[zeros] = (size - law.weights.num_positive) / int(zeros.sum())
    return found


def inclusion(weights: np.ndarray, size: float) -> np.ndarray:
    """The probability that each row is among the first `size` of a race by weight.

    A row of weight w is there when its exponential time is below the moment at which `size` rows have arrived. For
    many rows that moment hardly varies: it is the t at which `size` arrive on average, sum(1 - exp(-w t)) = size, and
    the row is there with probability 1 - exp(-w t) (Rosén, "Asymptotic theory for order sampling", Journal of
    Statistical Planning and Inference 62, 1997). Exact for equal weights.

    Args:
        weights: float64 `(n,)` >= 0.
        size: in [0, number of positive weights].

    Example:
        >>> inclusion(np.array([1.0, 1.0, 0.0, 1.0, 1.0]), 1).round(6).tolist()
        [0.25, 0.25, 0.0, 0.25, 0.25]
    """
    positive = weights > 0
    if size >= int(positive.sum()):
        return positive.astype(np.float64)
    if not size > 0:
        return np.zeros(len(weights))
    # In logarithms, because weights may lie as far apart as floats do.
    logs = np.log(weights[positive])
    low, high = -logs.max() - 50.0, 50.0 - logs.min()
    with np.errstate(over="ignore", under="ignore"):
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            arrived = float(-np.expm1(-np.exp(logs + middle)).sum())
            low, high = (middle, high) if arrived < size else (low, middle)
        found = np.zeros(len(weights))
        found[positive] = -np.expm1(-np.exp(logs + high))
    return found
