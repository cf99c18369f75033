"""The folder of a run: where each file is, and how it is read. Nothing here writes.

docs/run_folder.md says what each file holds.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pandas as pd

from mtgen.training.record import snapshots, tables
from mtgen.training.record.snapshots import Snapshot
from mtgen.training.score_file import FIRST, ScoreFile, column

CONFIG, RECORD, SPLITS = "run.toml", "run.json", "splits.csv"
HISTORY, DECISIONS, WAITS, TEST_SCORES = "history.csv", "decisions.jsonl", "waits.csv", "test_scores.csv"
SNAPSHOTS, ARCHITECTURE, MODEL = "snapshots", "model.json", "model.keras"
CHECKPOINTS, BAD_ROWS, TENSORBOARD, PLOTS = "checkpoints", "bad_rows.csv", "tensorboard", "plots"

HISTORY_COLUMNS = ("step", "data_epoch")
"""Columns that `history.csv` has at least."""
WAITS_COLUMNS = ("step", "seconds", "wait_seconds")
DECISION_KEYS = ("step", "iteration", "rule", "what", "value", "before", "after", "text")


class RunFolder:
    """Paths and readers of one run's folder. Immutable; any thread.

    A file that is not there reads as nothing: an empty frame, list or dict. The half line that a killed process may
    leave at the end of a file is left out.

    Args:
        path: of the folder; it need not be there.

    Example:
        >>> run = RunFolder("runs/first")
        >>> run.history.as_posix(), run.snapshot_steps(), run.read_waits().columns.tolist()
        ('runs/first/history.csv', [], ['step', 'seconds', 'wait_seconds'])
    """

    def __init__(self, path: str | os.PathLike[str] | RunFolder) -> None:
        self.path: Path = path.path if isinstance(path, RunFolder) else Path(path)

    def __repr__(self) -> str:
        return f"RunFolder({str(self.path)!r})"

    # --- where --------------------------------------------------------------------------------------------------------

    @property
    def config(self) -> Path:
        """`run.toml`: the whole configuration."""
        return self.path / CONFIG

    @property
    def record(self) -> Path:
        """`run.json`: what was not chosen, such as versions and digests of the data."""
        return self.path / RECORD

    @property
    def splits(self) -> Path:
        """`splits.csv`: which row is in which split."""
        return self.path / SPLITS

    @property
    def history(self) -> Path:
        """`history.csv`: one line per epoch of Keras, that is per validation."""
        return self.path / HISTORY

    @property
    def decisions(self) -> Path:
        """`decisions.jsonl`: one JSON object per decision of a rule."""
        return self.path / DECISIONS

    @property
    def waits(self) -> Path:
        """`waits.csv`: one line per step, with the time it took and the time it waited for data."""
        return self.path / WAITS

    @property
    def test_scores(self) -> Path:
        """`test_scores.csv`: one line each time the test split was scored."""
        return self.path / TEST_SCORES

    @property
    def snapshots(self) -> Path:
        """`snapshots/`: a folder for each model that was kept as plain arrays."""
        return self.path / SNAPSHOTS

    @property
    def architecture(self) -> Path:
        """`model.json`: the model without its variables, as Keras writes it."""
        return self.path / ARCHITECTURE

    @property
    def model(self) -> Path:
        """`model.keras`: the trained model."""
        return self.path / MODEL

    @property
    def checkpoints(self) -> Path:
        """`checkpoints/`: where the run is resumed from."""
        return self.path / CHECKPOINTS

    @property
    def bad_rows(self) -> Path:
        """`bad_rows.csv`: rows that could not be read."""
        return self.path / BAD_ROWS

    @property
    def tensorboard(self) -> Path:
        """`tensorboard/`: its logs, where they were asked for."""
        return self.path / TENSORBOARD

    @property
    def plots(self) -> Path:
        """`plots/`: pictures and the report."""
        return self.path / PLOTS

    # --- what ---------------------------------------------------------------------------------------------------------

    def read_record(self) -> dict[str, Any]:
        """What `run.json` holds.

        Raises:
            StateError: it is damaged.
            StoreError: it cannot be read.
        """
        return tables.read_object(self.record)

    def read_history(self) -> pd.DataFrame:
        """One line per validation: `step` (int64, steps trained), `data_epoch`, and each number of the logs (float64).

        A number that the logs of an epoch did not have is NaN.

        Raises:
            StateError: a damaged line, with its number.
            StoreError: it cannot be read.
        """
        return tables.read_table(self.history, HISTORY_COLUMNS)

    def read_decisions(self) -> list[dict[str, Any]]:
        """What rules decided, in order: dicts with the fields of `mtgen.training.Decision`.

        Raises:
            StateError: a damaged line, with its number.
            StoreError: it cannot be read.
        """
        return tables.read_objects(self.decisions, DECISION_KEYS)

    def read_waits(self) -> pd.DataFrame:
        """One line per step: `step` (int64), `seconds` of the whole step and `wait_seconds` of these (float64).

        Raises:
            StateError: a damaged line, with its number.
            StoreError: it cannot be read.
        """
        return tables.read_table(self.waits, WAITS_COLUMNS)

    def read_test_scores(self) -> pd.DataFrame:
        """One line per scoring: `step` and `num_rows` (int64), `why` (text), and each metric (float64).

        Raises:
            StateError: it is no file of scores.
            StoreError: it cannot be read.
        """
        found = ScoreFile(self.test_scores).read()
        lines = [
            {"step": one.step, "why": one.why, "num_rows": one.num_rows}
            | {column(name): value for name, value in one.values.items()}
            for one in found
        ]
        return pd.DataFrame(lines, columns=None if lines else FIRST).astype({"step": "int64", "num_rows": "int64"})

    def snapshot_steps(self) -> list[int]:
        """Steps of the snapshots that are there, ascending.

        Raises:
            StoreError: the folder cannot be read.
        """
        return snapshots.snapshot_steps(self.snapshots)

    def snapshot(self, step: int) -> Snapshot:
        """The model after a step, as arrays.

        Raises:
            StateError: there is none, or it is damaged.
            StoreError: it cannot be read.
        """
        return snapshots.read_snapshot(self.snapshots, step)
