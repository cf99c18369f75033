"""What a card is about: the rows of a dataset or of its splits, and the share of them that is looked at. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mtgen.dataset import Dataset
from mtgen.errors import PlanError
from mtgen.sealed import check_opened
from mtgen.seeds import key, words
from mtgen.splits import Splits

RUN_ROWS = 64
"""Neighbouring rows that are taken into a sample together, because neighbours are compared."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Parts:
    """Rows and their splits.

    Args:
        dataset: the whole of it; its fields are those of all splits.
        names: of the splits; none for a dataset that was not split.
        lengths: rows of each split, all of them.
        rows: int64 `(n,)`, ascending: the rows that are looked at.
        split_of: int64 `(n,)`: number of the split of each.
        all_rows: int64, ascending: the rows of all splits.
        all_split_of: number of the split of each of these.
    """

    dataset: Dataset
    names: tuple[str, ...]
    lengths: tuple[int, ...]
    rows: np.ndarray
    split_of: np.ndarray
    all_rows: np.ndarray
    all_split_of: np.ndarray

    @property
    def num_rows(self) -> int:
        """Rows of all splits."""
        return len(self.all_rows)


def parts_of(data: Dataset | Splits, sample: int | None, seed: int) -> Parts:
    """Take the rows together, and choose those that are looked at.

    Args:
        data: a dataset or its splits.
        sample: rows to look at, in runs of `RUN_ROWS` neighbours; None takes all.
        seed: decides which.

    Raises:
        PlanError: no dataset, splits of several tables, or a sample that is no positive number.

    Example:
        >>> import pandas as pd, mtgen
        >>> data = mtgen.Dataset(pd.DataFrame({"a": range(300)}), {"a": mtgen.Columns("a")})
        >>> parts = parts_of(data.split({"train": 200, "test": 100}), 70, seed=0)
        >>> len(parts.rows), parts.num_rows, parts.lengths
        (70, 300, (200, 100))
    """
    for one in data if isinstance(data, Splits) else [data]:
        check_opened(one)
    if not isinstance(data, Dataset | Splits):
        raise PlanError(f"a card is of a mtgen.Dataset or of its splits, received {type(data).__name__}")
    if sample is not None and (isinstance(sample, bool) or not isinstance(sample, int | np.integer) or sample < 1):
        raise PlanError(f"sample must be a number of rows >= 1, or None for all; received {sample!r}")
    names = data.names if isinstance(data, Splits) else ()
    datasets = list(data) if isinstance(data, Splits) else [data]
    if not datasets:
        raise PlanError("there are no splits to make a card of")
    if any(one.fields is not datasets[0].fields for one in datasets):
        raise PlanError("the splits are of several datasets; make them by dataset.split(...), or one card of each")
    rows = np.concatenate([np.asarray(one.rows) for one in datasets])
    if not len(rows):
        raise PlanError("the dataset has no rows to make a card of")
    split_of = np.repeat(np.arange(len(datasets)), [len(one) for one in datasets])
    order = np.argsort(rows, kind="stable")
    rows, split_of = rows[order], split_of[order]
    chosen = _chosen(len(rows), sample, seed)
    whole = datasets[0] if len(datasets) == 1 else datasets[0]._with_rows(rows)
    return Parts(
        dataset=whole,
        names=tuple(names),
        lengths=tuple(map(len, datasets)),
        rows=rows[chosen],
        split_of=split_of[chosen],
        all_rows=rows,
        all_split_of=split_of,
    )


def _chosen(num_rows: int, sample: int | None, seed: int) -> np.ndarray:
    """Places in the rows, ascending: whole runs, the last of them cut."""
    random = words(key(seed, "card sample"), np.arange(-(-num_rows // RUN_ROWS)))  # a wrong seed is refused here
    if sample is None or sample >= num_rows:
        return np.arange(num_rows)
    runs = np.argsort(random, kind="stable")
    lengths = np.minimum(RUN_ROWS, num_rows - runs * RUN_ROWS)
    num_runs = int(np.searchsorted(np.cumsum(lengths), sample)) + 1
    places = np.concatenate([np.arange(run * RUN_ROWS, run * RUN_ROWS + RUN_ROWS) for run in runs[:num_runs].tolist()])
    return np.sort(places[places < num_rows][:sample])
