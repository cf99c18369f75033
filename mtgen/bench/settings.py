"""What the user of the benchmark chooses; each field is an option of `mtgen bench run`."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtgen.bench.marks import MOST_ROWS as MOST_PICTURES
from mtgen.bench.values import MOST_ROWS
from mtgen.errors import PlanError

SUITES = ("features", "pictures", "packed", "overhead", "sampling")


def _option(default: Any, text: str, **more: Any) -> Any:
    return dataclasses.field(default=default, metadata={"help": text, **more})


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Sizes of the data, and how it is measured; the help of each option says what it is.

    Immutable; any thread.

    Raises:
        PlanError: sizes that no run can follow.

    Example:
        >>> Settings(pictures=640).num_rows("pictures")
        640
    """

    rows: int = _option(200_000, "Rows of the feature matrix in the suite features.", min=1)
    columns: int = _option(512, "float32 columns in the suite features.", min=2)
    sparsity: float = _option(0.8, "Share of zeros in feature matrices.", min=0.0, max=1.0)
    pictures: int = _option(4096, "JPEG files, 500x375, in the suites with pictures.", min=1)
    picture_columns: int = _option(2048, "float32 columns beside each picture.", min=2)
    size: int = _option(150, "Height and width that pictures are delivered in.", min=50)
    batch_size: int = _option(64, "Rows per batch.", min=1)
    workers: int | None = _option(None, "Threads or processes of each contender; left out: one per core.", min=1)
    memory: int = _option(128 << 20, "memory= of mtgen's loader, in bytes.", min=1)
    rounds: int = _option(5, "Rounds; medians are reported.", min=1)
    seconds: float = _option(2.0, "Seconds measured in each round.", min=0.0)
    warm_up: float = _option(1.0, "Seconds at the start of each round that are not measured.", min=0.0)
    seed: int = _option(0, "Seed of values, cuts and orders.", min=0)
    shrink: int = _option(1, "Divides rows and points of the suite sampling; 1 gives those of its targets.", min=1)
    limit: float = _option(60.0, "Seconds after which a call in the suite sampling is cut off.", min=0.1)

    def __post_init__(self) -> None:
        for name, number, most in (("rows", self.rows, MOST_ROWS), ("pictures", self.pictures, MOST_PICTURES)):
            if number % self.batch_size:
                near = max(round(number / self.batch_size), 1) * self.batch_size
                raise PlanError(
                    f"{name} is {number}, which is no multiple of the batch of {self.batch_size}: contenders treat a "
                    f"last batch that is not full in different ways, so there must be none; take {near}"
                )
            if number > most:
                raise PlanError(f"{name} is {number:,}, and at most {most:,} rows can tell their number")

    def num_rows(self, suite: str) -> int:
        """Rows of the table in a suite."""
        return self.rows if suite == "features" else self.pictures

    def num_columns(self, suite: str) -> int:
        """Columns of the feature matrix in a suite."""
        return self.columns if suite == "features" else self.picture_columns

    @property
    def num_workers(self) -> int:
        """Threads or processes of each contender."""
        return self.workers or usable_cores()


@dataclass(frozen=True, kw_only=True)
class Places:
    """Where the data of the benchmark lies and comes from."""

    folder: Path | None = dataclasses.field(
        default=None,
        metadata={
            "help": "Where to keep the data and find it again; left out: a temporary folder.",
            "show_default": False,
        },
    )
    photographs: Path | None = dataclasses.field(
        default=None,
        metadata={
            "help": "Folder of photographs to cut the pictures from; left out: those of scikit-image.",
            "show_default": False,
        },
    )


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
