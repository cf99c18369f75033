"""Weights by the labels of rows: pandas, and the query language of Deep Lake."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

import numpy as np
import pandas as pd

from mtgen.bench.drawing.inputs import LABELS, WEIGHED, Operation, Sizes

_APPENDED = 100_000
_NUMBERS = count()


@contextmanager
def pandas_map(sizes: Sizes, drawn: bool = False) -> Iterator[Operation]:
    """A `map` over the lists for each label, and the largest weight; rows by `DataFrame.sample`."""
    table = pd.DataFrame({"findings": sizes.findings})

    def call(number: int) -> np.ndarray:
        weights = np.zeros(sizes.rows)
        for label, weight in WEIGHED.items():
            has = table["findings"].map(lambda labels, label=label: label in labels).to_numpy(bool)
            np.maximum(weights, np.where(has, weight, 0), out=weights)
        return _drawn(table, weights, sizes.batch, number) if drawn else weights

    yield Operation(call)


@contextmanager
def pandas_explode(sizes: Sizes, drawn: bool = False) -> Iterator[Operation]:
    """`explode`, weights by label, the largest one of each row by `groupby`."""
    table = pd.DataFrame({"findings": sizes.findings})

    def call(number: int) -> np.ndarray:
        one_by_one = table["findings"].explode().map(WEIGHED).fillna(0.0)
        weights = one_by_one.groupby(level=0).max().to_numpy(np.float64)
        return _drawn(table, weights, sizes.batch, number) if drawn else weights

    yield Operation(call)


def _drawn(table: pd.DataFrame, weights: np.ndarray, size: int, number: int) -> np.ndarray:
    return table.sample(size, replace=True, weights=weights, random_state=number).index.to_numpy()


@contextmanager
def deep_lake(sizes: Sizes) -> Iterator[Operation]:
    """`SELECT * SAMPLE BY max_weight(...) LIMIT n` of a dataset in memory, with class labels; and the rows' numbers.

    Its language gives rows, never weights.
    """
    import deeplake

    types = deeplake.types
    dataset = deeplake.create(f"mem://mtgen-bench-{next(_NUMBERS)}")  # it keeps one until the process ends
    dataset.add_column("findings", types.ClassLabel(types.Array(types.UInt32(), dimensions=1)))
    dataset["findings"].metadata["class_names"] = list(LABELS)
    dataset.add_column("row", types.Int64())
    number_of = {label: place for place, label in enumerate(LABELS)}
    for start in range(0, sizes.rows, _APPENDED):
        part = sizes.findings[start : start + _APPENDED]
        numbers = [np.array([number_of[label] for label in labels], np.uint32) for labels in part]
        dataset.append({"findings": numbers, "row": np.arange(start, start + len(part))})
    dataset.commit()
    conditions = ", ".join(f"contains(findings, '{label}'): {weight}" for label, weight in WEIGHED.items())
    query = f"SELECT * SAMPLE BY max_weight({conditions}) LIMIT {sizes.batch}"
    yield Operation(lambda number: dataset.query(query)["row"][:])
