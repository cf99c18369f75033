"""What came out of a run, compared with what the samples carry: every pixel, every feature, every count."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from mtgen.batch import Batch
from mtgen.selftest.samples import features_of, pictures_of, rows_in_features, rows_in_pictures

SHOWN = 3
"""Faults that an outcome lists; all are counted."""


@dataclass(frozen=True, kw_only=True)
class Due:
    """What a run owes.

    Args:
        identity: int64, row of the run's table -> row that its picture and features carry.
        rows: rows that belong to every epoch.
        num_epochs: epochs.
        rows_per_epoch: rows in each epoch; fewer than `rows` where the rest that fills no batch is left out.
    """

    identity: np.ndarray
    rows: np.ndarray
    num_epochs: int
    rows_per_epoch: int


@dataclass(kw_only=True)
class Outcome:
    """What one run proved, or where it failed.

    Attributes:
        title: the run in words.
        due: what it owed.
        num_rows: rows seen, all epochs together.
        num_duplicates: rows seen again in the same epoch.
        num_missing: rows that were due in an epoch and did not come.
        num_misaligned: slots whose picture, features or target are not those of their row.
        seconds: time the consumer waited for batches.
        faults: the first few, with step, slot and row; the last one is the error that ended the run, if one did.
    """

    title: str
    due: Due
    num_rows: int = 0
    num_duplicates: int = 0
    num_missing: int = 0
    num_misaligned: int = 0
    seconds: float = 0.0
    faults: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether everything came as it was due."""
        return not self.faults

    @property
    def rows_per_second(self) -> float:
        """Rows per second of waiting."""
        return self.num_rows / self.seconds if self.seconds else 0.0

    def __str__(self) -> str:
        due = self.due
        part = "each" if due.rows_per_epoch == len(due.rows) else f"{due.rows_per_epoch:,} of {len(due.rows):,}"
        epochs = f"{due.num_epochs} epoch{'s' if due.num_epochs != 1 else ''}"
        counts = (
            f"{self.num_duplicates:,} duplicates; {self.num_missing:,} missing; {self.num_misaligned:,} misalignments"
        )
        if not self.passed:
            lines = "".join(f"\n    {fault}" for fault in self.faults)
            return f"{self.title}: FAILED. {self.num_rows:,} rows seen in {epochs}; {counts}{lines}"
        return (
            f"{self.title}: {self.num_rows:,} rows seen in {epochs}, {part} exactly once per epoch; {counts}; "
            f"{self.rows_per_second:,.0f} rows per second"
        )


def prove(title: str, due: Due, batches: Iterable[tuple[float, Batch]]) -> Outcome:
    """Compare all batches of a run with what is due.

    Args:
        title: the run in words.
        due: what it owes.
        batches: seconds waited for a batch, and the batch; `batch.epoch` says where it counts.
    """
    outcome = Outcome(title=title, due=due)
    seen = np.zeros((due.num_epochs, len(due.identity)), np.int64)
    try:
        for seconds, batch in batches:
            outcome.seconds += seconds
            _count(outcome, batch, seen)
            for fault in faults_of(batch, due.identity):
                outcome.num_misaligned += 1
                _note(outcome, fault)
    except Exception as error:  # whatever ends a run is a failure to report, not a reason to end the others
        outcome.faults.append(f"{type(error).__name__}: {error}")
    _judge_counts(outcome, seen)
    return outcome


def faults_of(batch: Batch, identity: np.ndarray) -> Iterator[str]:
    """What is wrong in a batch, one text per slot, with step, slot and row."""
    real = batch.rows >= 0
    yield from _faults_of_empty(batch, ~real)
    rows = identity[batch.rows[real]]
    carried: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    if "image" in batch.inputs:
        pictures = batch.inputs["image"][real]
        carried["picture"] = rows_in_pictures(pictures), (pictures == pictures_of(rows)).all(axis=(1, 2, 3))
    if "features" in batch.inputs:
        features = batch.inputs["features"][real]
        carried["feature row"] = rows_in_features(features), (features == features_of(rows)).all(axis=1)
    for name, target in batch.targets.items():
        carried[name] = target[real].astype(np.int64), target[real] == rows
    right = np.all([same for _, same in carried.values()], axis=0)
    slots = np.flatnonzero(real)
    for place in np.flatnonzero(~right):
        row = int(rows[place])
        wrong = [_says(name, int(found[place]), row) for name, (found, same) in carried.items() if not same[place]]
        yield f"{_step(batch)}, slot {slots[place]}, row {row}: {' and '.join(wrong)}"


def _says(name: str, found: int, row: int) -> str:
    if found == row:
        return f"the {name} begins as that of row {row} and goes on otherwise"
    return f"the {name} is that of row {found}" if found >= 0 else f"the {name} carries no row"


def _faults_of_empty(batch: Batch, empty: np.ndarray) -> Iterator[str]:
    for slot in np.flatnonzero(empty):
        arrays = [*batch.inputs.values(), *batch.targets.values()]
        if not isinstance(batch.weight, np.ndarray) or batch.weight[slot] != 0:
            yield f"{_step(batch)}, slot {slot}: it is empty, but its weight is not 0"
        elif any(array[slot].any() for array in arrays):
            yield f"{_step(batch)}, slot {slot}: it is empty, but not all zeros"


def _step(batch: Batch) -> str:
    return f"step {batch.step}"


def _count(outcome: Outcome, batch: Batch, seen: np.ndarray) -> None:
    rows = batch.rows[batch.rows >= 0]
    outcome.num_rows += len(rows)
    if batch.epoch is None or not 0 <= batch.epoch < len(seen):
        outcome.num_duplicates += len(rows)
        _note(outcome, f"{_step(batch)}: a batch that no epoch owes, with rows {rows[:5].tolist()}")
        return
    again = seen[batch.epoch, rows] > 0
    if again.any():
        row = int(rows[np.argmax(again)])
        _note(outcome, f"{_step(batch)}: row {row} was seen before in epoch {batch.epoch}")
    np.add.at(seen[batch.epoch], rows, 1)


def _judge_counts(outcome: Outcome, seen: np.ndarray) -> None:
    due = outcome.due
    wanted = np.zeros(seen.shape[1], bool)
    wanted[due.rows] = True
    outcome.num_duplicates += int(np.maximum(seen - 1, 0).sum())
    for epoch, counts in enumerate(seen):
        if (counts[~wanted] > 0).any():
            foreign = int(np.flatnonzero((counts > 0) & ~wanted)[0])
            _note(outcome, f"epoch {epoch}: row {foreign} came and does not belong to the dataset")
        num_seen = int((counts[wanted] > 0).sum())
        if num_seen != due.rows_per_epoch:
            outcome.num_missing += max(0, due.rows_per_epoch - num_seen)
            absent = np.flatnonzero(wanted & (counts == 0))[:5].tolist()
            _note(outcome, f"epoch {epoch}: {num_seen:,} rows came, {due.rows_per_epoch:,} were due; absent: {absent}")


def _note(outcome: Outcome, fault: str) -> None:
    if len(outcome.faults) < SHOWN:
        outcome.faults.append(fault)
