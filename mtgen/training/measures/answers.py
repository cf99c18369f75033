"""What a model predicts for samples held in memory, as classes or numbers beside what was wanted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mtgen.dataset import Dataset
from mtgen.errors import ModelError
from mtgen.training.measures.confusion import Confusion, Scatter, confusion_of
from mtgen.training.measures.held_samples import HeldSamples


def answers_of(model: Any, held: HeldSamples) -> dict[str, np.ndarray]:
    """Name of each target -> the model's output for it, `(rows, ...)`.

    Raises:
        ModelError: the model cannot be asked.
    """
    (inputs,) = held.structure.inputs_only().arrange(held.batch)
    try:
        given = model.predict(inputs, batch_size=held.batch_size, verbose=0)
    except (ValueError, TypeError, RuntimeError) as error:
        raise ModelError(f"the model cannot predict: {error}") from error
    names = list(held.structure.targets)
    if isinstance(given, dict):
        return {name: np.asarray(given[name]) for name in names}
    outputs = list(given) if isinstance(given, list | tuple) else [given]
    return {name: np.asarray(one) for name, one in zip(names, outputs, strict=True)}


def compared(wanted: np.ndarray, given: np.ndarray, names: Sequence[str] = ()) -> Confusion | Scatter:
    """Compare one target with the model's output for it.

    Integer targets, and rows of zeros with a single one, are classes; the class of the largest output is predicted, or
    for a single output whether it is above a half (above 0 where outputs are no probabilities). Others are numbers.

    Args:
        wanted: `(n,)` or `(n, values)`.
        given: `(n,)` or `(n, values)`.
        names: of the classes; empty for their numbers.

    Raises:
        ModelError: several labels per row, or shapes that no picture is for.

    Example:
        >>> compared(np.array([0, 1]), np.array([[0.9, 0.1], [0.2, 0.8]])).counts.tolist()
        [[1, 0], [0, 1]]
    """
    if wanted.ndim == 2 and wanted.shape[1] == 1:
        wanted = wanted[:, 0]
    if given.ndim == 2 and given.shape[1] == 1:
        given = given[:, 0]
    if wanted.ndim == 2 and given.shape == wanted.shape and _one_hot(wanted):
        wanted = wanted.argmax(axis=1)
    if wanted.ndim != 1 or given.ndim not in (1, 2) or len(given) != len(wanted):
        raise ModelError(
            f"targets of shape {wanted.shape} and outputs of shape {given.shape}: pictures are for one class or one "
            "number per row"
        )
    if wanted.dtype.kind not in "iub":
        if given.ndim != 1:
            raise ModelError(f"one number per row is wanted, the model gives {given.shape[1]}")
        return Scatter(wanted=wanted.astype(np.float64), predicted=given.astype(np.float64))
    num = max(len(names), given.shape[1] if given.ndim == 2 else 2)
    if given.ndim == 1 and (len(names) > 2 or wanted.max(initial=0) > 1):
        return Scatter(wanted=wanted.astype(np.float64), predicted=given.astype(np.float64))
    predicted = given.argmax(axis=1) if given.ndim == 2 else (given > _limit(given)).astype(np.int64)
    known = wanted >= 0  # -1 is the class that a row does not have
    named = [*map(str, names), *(str(place) for place in range(len(names), num))]
    return confusion_of(wanted[known].astype(np.int64), predicted[known], named)


def _limit(given: np.ndarray) -> float:
    return 0.5 if ((given >= 0) & (given <= 1)).all() else 0.0


def _one_hot(values: np.ndarray) -> bool:
    return bool(((values == 0) | (values == 1)).all() and (values.sum(axis=1) == 1).all())


def spread_rows(dataset: Dataset, num: int = 4) -> list[int]:
    """Rows spread evenly over a dataset sorted by its first target; places in the root table.

    Example:
        >>> import mtgen, pandas
        >>> table = pandas.DataFrame({"a": range(6), "y": [2, 0, 1, 2, 0, 1]})
        >>> spread_rows(mtgen.Dataset(table, inputs={"a": mtgen.Columns("a")}, targets="y"), 3)
        [4, 5, 3]
    """
    rows = np.asarray(dataset.rows)
    order = np.arange(len(rows))
    target = next((one for one in dataset.fields if one.role == "target"), None)
    if target is not None and not target.spec.shape:
        values = target.spec.empty(len(rows))
        target.bound.fetch(rows, values)
        order = np.argsort(values, kind="stable")
    middles = ((np.arange(min(num, len(rows))) + 0.5) * len(rows) / min(num, len(rows))).astype(np.int64)
    return [int(rows[order[place]]) for place in middles]
