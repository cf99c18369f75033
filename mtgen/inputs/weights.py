"""What a sample counts in the loss: columns, values, numbers and class weights, and products of them, per target.

All weights are values per row of the root table, float32, finite and >= 0, bound as columns.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd

from mtgen.errors import TableError
from mtgen.inputs.class_weights import ClassWeights
from mtgen.inputs.columns import BoundColumns, Weight
from mtgen.settings import check_kind, check_unmasked, nearest, shown
from mtgen.table import digest_values, first_rows

ALL = ""
"""Name of a weight that all targets share."""

_EXPECTED = "a column, mtgen.ClassWeights(...), a number, values by row, or a list of these to multiply"


def bind_weights(
    weight: Any, table: pd.DataFrame, targets: Mapping[str, Any], rows: np.ndarray | None = None
) -> dict[str, BoundColumns]:
    """What was given as weight, bound to the root table, by the name of the target; `ALL` for all targets alike.

    Args:
        weight: None, or see `mtgen.Dataset`; a dict gives it by target.
        table: the root table.
        targets: name of each target -> what is bound as it.
        rows: rows of the dataset, int64: values may then be given for these, in this order, too; other rows keep the
            weight that they have. None where all rows of the table are meant.

    Raises:
        TableError: no such column or target; values that are no weights, or not one per row.
    """
    if weight is None:
        return {}
    if not isinstance(weight, Mapping):
        if _needs_target(weight) and len(targets) != 1:
            names = ", ".join(f"{name!r}: ..." for name in targets)
            raise TableError(
                f"ClassWeights without a column takes the class of a target, and there are {len(targets)}: "
                + (
                    f"say for which, weight={{{names}}}"
                    if targets
                    else "name a column, ClassWeights(..., column='...')"
                )
            )
        name, bound = next(iter(targets.items())) if targets else (ALL, None)
        return {ALL: _bind(weight, table, name, bound, rows)}
    check_targets(list(weight), targets)
    return {name: _bind(one, table, name, targets[name], rows) for name, one in weight.items()}


def check_targets(names: Sequence[Any], targets: Mapping[str, Any]) -> None:
    """Refuse names that are no targets, and an empty list of them.

    Raises:
        TableError: some are none; with near names.
    """
    unknown = [name for name in names if name not in targets]
    if unknown or not names:
        near = nearest(unknown[0], targets) if unknown else ""
        hint = f". Did you mean {near}?" if near else ""
        raise TableError(f"weight names targets {list(names)}; the targets are {list(targets)}{hint}")


def multiply(
    old: Mapping[str, BoundColumns], new: Mapping[str, BoundColumns], targets: Sequence[str]
) -> dict[str, BoundColumns]:
    """Weights by target, each the product of what both say of the target.

    Args:
        old: weights as `bind_weights` makes them.
        new: likewise, over the same table.
        targets: names of all targets.

    Raises:
        TableError: a product that float32 cannot hold.
    """
    shared = not old or not new or (set(old) == set(new) == {ALL})
    names = dict.fromkeys([*old, *new]) if shared else dict.fromkeys(targets)
    made = {}
    for name in names:
        factors = [one.get(name, one.get(ALL)) for one in (old, new)]
        known = [one for one in factors if one is not None]
        if len(known) == 1:
            made[name] = known[0]
        elif known:
            values = [one.take(np.arange(one.num_rows)).astype(np.float64) for one in known]
            made[name] = _bound(values[0] * values[1], {"product": [one.settings() for one in known]})
    return made


def _needs_target(weight: Any) -> bool:
    several = weight if isinstance(weight, list | tuple) else [weight]
    return any(isinstance(one, ClassWeights) and one.column is None for one in several)


def _bind(weight: Any, table: pd.DataFrame, name: str, bound: Any, rows: np.ndarray | None) -> BoundColumns:
    if isinstance(weight, str):
        return Weight(weight).bind(table)
    if not isinstance(weight, list | tuple):
        return _bound(*_factor(weight, table, name, bound, rows))
    if not weight or all(isinstance(one, Real) for one in weight):
        raise TableError(
            f"weight is a list of {len(weight)} numbers; a list holds weights to multiply ({_EXPECTED}). For a value "
            "per row write np.array([...])"
        )
    factors = [_factor(one, table, name, bound, rows) for one in weight]
    values = np.ones(len(table))
    for one, _ in factors:
        values = values * one
    return _bound(values, {"product": [settings for _, settings in factors]})


def _factor(
    weight: Any, table: pd.DataFrame, name: str, bound: Any, rows: np.ndarray | None
) -> tuple[np.ndarray, dict[str, Any]]:
    """One weight as float64 `(len(table),)`, and what it is."""
    if isinstance(weight, str):
        made = Weight(weight).bind(table)
        return made.take(np.arange(len(table))).astype(np.float64), made.settings()
    if isinstance(weight, ClassWeights):
        return weight.values(table, name, bound), weight.settings()
    if isinstance(weight, Real) and not isinstance(weight, bool | np.bool_):
        number = float(weight)
        if not (math.isfinite(number) and number >= 0):
            raise TableError(f"weight must be a finite number >= 0, received {shown(weight)}")
        return np.full(len(table), number), {"number": number}
    check_kind("weight", weight, np.ndarray | pd.Series, f"{_EXPECTED}; or a dict of these by target", TableError)
    return _placed(weight, table, rows), {"values": True}


def _placed(weight: np.ndarray | pd.Series, table: pd.DataFrame, rows: np.ndarray | None) -> np.ndarray:
    """Values by row, found by their labels or their number, as float64 `(len(table),)`."""
    check_unmasked("weight", weight, TableError)
    values = np.asarray(weight)
    if values.ndim != 1 or values.dtype.kind not in "iuf":
        raise TableError(
            f"weight: the values are {values.dtype} of shape {values.shape}, expected numbers, one per row"
        )
    wrong = ~np.isfinite(values) | (values < 0)
    if wrong.any():
        raise TableError(
            f"weight: weights are finite and >= 0, received {values[wrong][0]} and such in {first_rows(wrong)}"
        )
    in_order = rows is None or np.array_equal(rows, np.arange(len(table)))
    if isinstance(weight, pd.Series):
        whole = weight.index.equals(table.index)
        own = rows is not None and weight.index.equals(table.index[rows])
        if not whole and not own:
            raise TableError(
                "weight: the Series' index labels are not the table's, in the table's order; was it made from a "
                "sorted, filtered or re-numbered frame? Make it from data.table, or pass .to_numpy() if its places are "
                "meant"
            )
    else:
        whole = len(values) == len(table)
        own = rows is not None and len(values) == len(rows)
        if whole and own and not in_order:
            raise TableError(
                f"weight: {len(values)} values may be in the order of the table or in that of this dataset's rows, "
                "which differ. Give a Series with the table's index labels"
            )
        if not whole and not own:
            also = "" if rows is None or len(rows) == len(table) else f", or one for each of the dataset's {len(rows)}"
            raise TableError(
                f"weight: received {len(values)} values, expected one for each of the table's {len(table)} rows{also}"
            )
    if whole:
        return values.astype(np.float64)
    placed = np.ones(len(table))
    placed[rows] = values
    return placed


def _bound(values: np.ndarray, settings: dict[str, Any]) -> BoundColumns:
    """Weights as they are delivered.

    Raises:
        TableError: a weight that float32 cannot hold: too large, or so small that it would be 0.
    """
    with np.errstate(over="ignore", under="ignore"):
        kept = values.astype(np.float32)
    lost = ~np.isfinite(kept) | ((kept == 0) & (values != 0))
    if lost.any():
        raise TableError(
            f"weight: {values[lost][0]:g} is no number that float32 holds, in {first_rows(lost)}; scale the weights, "
            "for example so that their mean is 1",
            row=int(np.flatnonzero(lost)[0]),
        )
    return BoundColumns(kept, settings={"weight": settings}, digests=[digest_values(pd.Index(kept))])
