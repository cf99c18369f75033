"""Samples of a split held in memory, to be looked at several times: the same rows for every question."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mtgen.batch import Batch
from mtgen.dataset import Dataset
from mtgen.errors import PlanError
from mtgen.loader import Loader

HELD_BYTES = 512 << 20
"""Most bytes of samples that are held where nothing else is asked for."""


@dataclass(frozen=True, kw_only=True, eq=False)
class HeldSamples:
    """Samples in memory, in the order of the split.

    Args:
        batch: all samples as one batch, without empty slots.
        num_rows: rows of the split; more than the batch has where they did not fit.
        batch_size: slots of a batch that a model is asked at once.
        structure: how a batch is laid out for the model.
    """

    batch: Batch
    num_rows: int
    batch_size: int
    structure: Any

    def __len__(self) -> int:
        return len(self.batch)

    @property
    def inputs(self) -> dict[str, np.ndarray]:
        """Name -> `(rows, ...)`."""
        return self.batch.inputs

    def said(self) -> str:
        """How many rows of how many, in words."""
        if len(self) == self.num_rows:
            return f"{self.num_rows:,} rows"
        return f"{len(self):,} of {self.num_rows:,} rows"


def hold(loader: Loader, model: Any, *, most_bytes: int = HELD_BYTES) -> HeldSamples:
    """Read the samples of a loader once.

    Where they are more than `most_bytes`, rows spread evenly over the split are taken. Rows that cannot be read are
    left out where the loader's `on_error` lets that pass.

    Args:
        loader: over the split; its rows are read in order, each once, by a loader of the same settings.
        model: which is to be asked.
        most_bytes: of all inputs and targets together.

    Raises:
        PlanError: not one row fits, or none can be read.
        MtgenError: what cannot be read, as the loader says it.
        ModelError: the model does not fit the data.
    """
    from mtgen.adapters.structure import Structure

    dataset = loader.dataset
    structure = Structure.of(dataset, model)
    structure.check(dataset, model)
    structure.check_order(model)
    each = sum(one.spec.row_bytes for one in dataset.fields)
    most = most_bytes // max(each, 1)
    if most < 1:
        raise PlanError(f"one row has {each:,} bytes, and no more than {most_bytes:,} may be held")
    num_rows = len(dataset)
    if num_rows > most:
        places = np.unique(np.linspace(0, num_rows - 1, most).astype(np.int64))
        dataset = dataset.take(dataset.rows[places])
    with like(loader, dataset) as own:
        batch = joined([*own.epoch(0)])
    if not len(batch):
        raise PlanError("not one row of the split can be read")
    return HeldSamples(batch=batch, num_rows=num_rows, batch_size=loader.batch_size, structure=structure)


def like(loader: Loader, dataset: Dataset) -> Loader:
    """A loader like another over these rows, each once, in order; it reports nothing to a file."""
    return Loader(
        dataset,
        loader.batch_size,
        shuffle=False,
        num_workers=loader.num_workers,
        on_error=replace(loader.on_error, report=None),
    )


def joined(batches: list[Batch]) -> Batch:
    """One batch of the slots of all whose own row could be read; the arrays are new."""
    kept = [_delivered(one) for one in batches]
    weights = [one.weight for one in kept]

    def all_of(arrays: list[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
        return {name: np.concatenate([one[name] for one in arrays]) for name in arrays[0]}

    weight: Any = None
    if weights and isinstance(weights[0], dict):
        weight = all_of(weights)  # type: ignore[arg-type]
    elif weights and weights[0] is not None:
        weight = np.concatenate(weights)  # type: ignore[arg-type]
    return Batch(
        inputs=all_of([one.inputs for one in kept]),
        targets=all_of([one.targets for one in kept]),
        weight=weight,
        rows=np.concatenate([one.rows for one in kept]),
    )


def _delivered(batch: Batch) -> Batch:
    """The slots whose own row could be read."""
    bad = {one.slot for one in batch.bad}
    slots = np.array([slot for slot, row in enumerate(batch.rows.tolist()) if row >= 0 and slot not in bad], np.int64)
    weight = batch.weight
    return Batch(
        inputs={name: values[slots] for name, values in batch.inputs.items()},
        targets={name: values[slots] for name, values in batch.targets.items()},
        weight={name: one[slots] for name, one in weight.items()}
        if isinstance(weight, dict)
        else None
        if weight is None
        else weight[slots],
        rows=batch.rows[slots],
    )
