"""Weights by class: what each sample counts in the loss, looked up from its target's class or from another column.

Keras takes `class_weight` for models with one output only. These are sample weights, so every output can have its own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, Literal

import numpy as np
import pandas as pd

from mtgen.errors import TableError
from mtgen.inputs.classes import UNLISTED, BoundOneHot, Labels
from mtgen.inputs.columns import BoundColumns
from mtgen.settings import check_label, nearest, shown
from mtgen.table import column, first_rows

_SHOWN = 10


@dataclass(frozen=True)
class ClassWeights:
    """A weight for each class, for `Dataset(weight=...)` and `data.with_weight(...)`.

    Classes are named as the target names them: class names where the column was text (or `ClassNumbers` or `OneHot`
    lists names), else the numbers themselves. Immutable, picklable; any thread.

    `"balanced"` gives class c the weight `n / (k * n_c)`, with n rows, k classes that have rows, and n_c rows of class
    c, as scikit-learn's `compute_class_weight("balanced")`; the mean weight of all rows is 1 then, and all classes
    count alike. All rows of the root table are counted when the dataset is made, also those of other splits: splits
    of one dataset have the same weights.

    Args:
        weights: class -> weight, finite and >= 0, for every class that has rows; or `"balanced"`.
        column: column of text, integers, booleans or categories that says the class; None takes the target's own.

    Raises:
        TableError: weights that are neither.

    Example:
        >>> table = pd.DataFrame({"kind": ["cat", "dog", "cat", "cat"]})
        >>> inputs = {"x": mtgen.Rows(np.zeros((4, 1)))}
        >>> data = mtgen.Dataset(table, inputs, targets="kind", weight=ClassWeights({"cat": 1, "dog": 3}))
        >>> data.fetch(data.rows).weight.tolist()
        [1.0, 3.0, 1.0, 1.0]
    """

    weights: Mapping[Any, float] | Literal["balanced"]
    column: str | None = None

    def __post_init__(self) -> None:
        if self.column is not None:
            check_label("ClassWeights(column=...)", self.column, TableError)
        if isinstance(self.weights, str) and self.weights == "balanced":
            return
        if not isinstance(self.weights, Mapping) or not self.weights:
            raise TableError(
                f'ClassWeights needs a dict of class -> weight, or "balanced", received {shown(self.weights)}'
            )
        for label, weight in self.weights.items():
            number = isinstance(weight, Real) and not isinstance(weight, bool | np.bool_)
            if not number or not (math.isfinite(weight) and weight >= 0):
                raise TableError(
                    f"ClassWeights: the weight of class {label!r} must be a finite number >= 0, received "
                    f"{shown(weight)}"
                )

    def values(self, table: pd.DataFrame, target: str, bound: Any) -> np.ndarray:
        """The weight of each row of the root table, float64 `(num_rows,)`.

        Args:
            table: the root table.
            target: name of the target, for messages.
            bound: what is bound as the target; not looked at where a column is named.

        Raises:
            TableError: a target without classes, or classes and weights that do not match.
        """
        if self.column is not None:
            where = f"column {self.column!r}"
            labels = Labels.of(column(table, self.column, "ClassWeights"))
            if labels.lists:
                raise TableError(
                    f"ClassWeights: {where} holds lists of labels, and a row has one weight; name a column of one "
                    "label per row"
                )
            names = labels.distinct()
            codes = labels.numbers(names)
        else:
            where = f"target {target!r}"
            names, codes = _classes_of(where, bound)
        counts = np.bincount(codes[codes >= 0], minlength=len(names))
        given = self.weights
        if isinstance(given, str):
            return self._balanced(where, codes, counts)
        by_class = _by_class(where, given, names, counts)
        missing = codes == UNLISTED
        if missing.any() and UNLISTED not in given:
            raise TableError(
                f"ClassWeights: {where} has {first_rows(missing)} of no listed class, and no weight for them; give "
                "{-1: weight}, for example 0",
                row=int(np.flatnonzero(missing)[0]),
            )
        return np.append(by_class, float(given.get(UNLISTED, 0)) if missing.any() else 0.0)[codes]

    def settings(self) -> dict[str, Any]:
        """What was asked for, as small JSON."""
        given = self.weights
        weights = given if isinstance(given, str) else {repr(label): float(weight) for label, weight in given.items()}
        return {"class weights": weights, "column": self.column}

    def _balanced(self, where: str, codes: np.ndarray, counts: np.ndarray) -> np.ndarray:
        if (codes == UNLISTED).any():
            raise TableError(
                f"ClassWeights: {where} has {first_rows(codes == UNLISTED)} of no listed class, so it cannot be "
                "balanced; give the weights by class, with {-1: 0} for those"
            )
        return (len(codes) / (np.count_nonzero(counts) * counts[codes])).astype(np.float64)


def _by_class(where: str, given: Mapping[Any, float], names: Sequence[Any], counts: np.ndarray) -> np.ndarray:
    """The weight of each class, 0 for one without rows and without a weight."""
    places = {name: place for place, name in enumerate(names)}
    found = np.full(len(names), np.nan)
    for label, weight in given.items():
        # Class names are text, also those of `ClassNumbers` over numbers.
        place = places.get(label, None if isinstance(label, str) else places.get(str(label)))
        if place is None and not (_is_unlisted(label) and isinstance(names[0], str)):
            raise TableError(f"ClassWeights: {where} has no class {label!r}. {_hint(label, names)}")
        if place is not None:
            found[place] = weight
    left_out = np.flatnonzero(np.isnan(found) & (counts > 0)).tolist()
    if left_out:
        listed = ", ".join(f"{names[place]!r} ({counts[place]} rows)" for place in left_out[:_SHOWN])
        more = ", ..." if len(left_out) > _SHOWN else ""
        raise TableError(
            f"ClassWeights: {where} has classes without a weight: {listed}{more}. Give every class one; 1 leaves a "
            "class as it is"
        )
    return np.nan_to_num(found)


def _is_unlisted(label: Any) -> bool:
    return isinstance(label, int | np.integer) and not isinstance(label, bool) and label == UNLISTED


def _hint(label: Any, names: Sequence[Any]) -> str:
    texts = {str(name): name for name in names}
    if str(label) in texts:
        name = texts[str(label)]
        return f"It has {name!r} of type {type(name).__name__}: write the class as the table has it"
    near = nearest(label, texts, show=lambda text: repr(texts[text]))
    if near:
        return f"Did you mean {near}?"
    listed = ", ".join(map(repr, names[:_SHOWN]))
    return f"The classes are {listed}{', ...' if len(names) > _SHOWN else ''}"


def _classes_of(where: str, bound: Any) -> tuple[list[Any], np.ndarray]:
    """The classes of a target, and the number of each row's class, int64."""
    advice = "Name a column that says the class: ClassWeights(..., column='...')"
    if not isinstance(bound, BoundColumns):
        raise TableError(f"ClassWeights: {where} is no column of classes but {type(bound).__name__}. {advice}")
    values = bound.take(np.arange(bound.num_rows))
    if isinstance(bound, BoundOneHot):
        wrong = np.count_nonzero(values, axis=1) != 1
        if wrong.any():
            raise TableError(
                f"ClassWeights: {where} marks several classes, or none, in {first_rows(wrong)}, and a row has one "
                f"weight. {advice}",
                row=int(np.flatnonzero(wrong)[0]),
            )
        return list(bound.classes or ()), values.argmax(axis=1).astype(np.int64)
    if bound.spec.shape or (bound.classes is None and bound.spec.dtype.kind not in "iub"):
        raise TableError(f"ClassWeights: {where} is {bound.spec}, which has no classes. {advice}")
    if bound.classes is not None:
        return list(bound.classes), values.astype(np.int64)
    distinct, codes = np.unique(values, return_inverse=True)
    return distinct.tolist(), codes.astype(np.int64)
