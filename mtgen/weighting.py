"""Weights of a dataset: bound when it is made, and multiplied later by class weights, importance or values."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Self, cast

import pandas as pd

from mtgen.errors import TableError
from mtgen.inputs.weights import bind_weights, check_targets, multiply
from mtgen.pending import Field
from mtgen.settings import shown

if TYPE_CHECKING:
    from mtgen.dataset import Dataset


def weight_fields(weight: Any, table: pd.DataFrame, fields: Iterable[Field]) -> list[Field]:
    """The weights that were given, as fields; see `mtgen.Dataset`.

    Raises:
        TableError: see `bind_weights`.
    """
    made = bind_weights(weight, table, _targets(fields))
    return [Field(role="weight", name=name, bound=bound) for name, bound in made.items()]


class Weighted:
    """What a `Dataset` offers to weight its samples; a part of it, kept here for its length."""

    def with_weight(self, weight: Any, *, targets: str | Sequence[str] | None = None) -> Self:
        """The same dataset with every weight multiplied by another; where there was none, it counts as 1.

        Any thread; the dataset itself stays as it is. For importance weights of a law that draws rows unequally:
        `data.with_weight(law.importance())`.

        Args:
            weight: as for `Dataset`. Values (an array or Series) are one per row of the table, or one per row of
                this dataset in the order of `rows`; rows that it does not have keep their weight then.
            targets: name or names of the targets that it is for; None for all.

        Raises:
            TableError: no such target or column; values that are no weights, or not one per row.

        Example:
            >>> data = mtgen.Dataset(pd.DataFrame({"a": [3, 4]}), {"a": mtgen.Columns("a")}, targets="a", weight="a")
            >>> data.with_weight(0.5).fetch([0, 1]).weight.tolist()
            [1.5, 2.0]
        """
        data = cast("Dataset", self)
        known = _targets(data.fields)
        if targets is not None:
            names = [targets] if isinstance(targets, str) else targets
            if not isinstance(names, Sequence):
                raise TableError(f"targets must be the name of a target or a list of them, received {shown(targets)}")
            check_targets(names, known)
            if isinstance(weight, dict):
                raise TableError("a dict of weights names its targets already: leave targets= out")
            weight = dict.fromkeys(names, weight)
        old = {field.name: field.bound for field in data.fields if field.role == "weight"}
        made = multiply(old, bind_weights(weight, data.table, known, data.rows), list(known))
        kept = [field for field in data.fields if field.role != "weight"]
        weights = [Field(role="weight", name=name, bound=bound) for name, bound in made.items()]
        return cast("Self", data.with_fields([*kept, *weights]))


def _targets(fields: Iterable[Field]) -> dict[str, Any]:
    return {field.name: field.bound for field in fields if field.role == "target"}
