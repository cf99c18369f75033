"""Settings of a training run, in plain words. Each field is a command-line option too; its metadata is the help.

Nothing heavy is imported here, so that `mtgen --help` is quick.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from mtgen.config import OnError
from mtgen.errors import PlanError


def _help(text: str, **limits: int) -> dict[str, Any]:
    return {"help": text, **limits}


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """Where inputs are. All defaults together are the digits in `data_samples`.

    With a table of your own, `image_column` and `features` say what the inputs are; at least one of them is needed.
    """

    table: Path | None = field(
        default=None, metadata=_help("CSV or Parquet file; left out: the digits in data_samples.")
    )
    image_column: str | None = field(default=None, metadata=_help("Column with the pictures' paths."))
    image_root: Path | None = field(default=None, metadata=_help("Folder that the paths are under."))
    size: tuple[int, int] | None = field(default=None, metadata=_help("Height and width of the pictures, in pixels."))
    color: Literal["rgb", "grayscale", "rgba"] | None = field(
        default=None, metadata=_help("Colours of the pictures; left out: rgb, and grayscale for the digits.")
    )
    recipe: Literal["clean", "fast", "fastest", "keras", "turbo", "turbo-fastest"] = field(
        default="clean", metadata=_help("How pictures are decoded.")
    )
    features: str | None = field(default=None, metadata=_help("Path or URL of the store with the feature rows."))
    index: str | None = field(
        default=None, metadata=_help("Column with the store row of each table row; left out: the table's own order.")
    )
    key: str | None = field(
        default=None, metadata=_help("Column to compare with the store's keys; left out: the one they are named after.")
    )
    keys: bool = field(default=True, metadata=_help("Compare the store's keys, where it has some."))
    manifest: Path | None = field(
        default=None, metadata=_help("Manifest that says what each file must be; made by mtgen verify --make.")
    )

    @property
    def compared_key(self) -> str | Literal[False] | None:
        """What `Rows` takes as `key`."""
        return self.key if self.keys else False


@dataclass(frozen=True, kw_only=True)
class Samples(Inputs):
    """Where samples are and what they are made of. All defaults together are the digits in `data_samples`."""

    verify: Literal["open", "read", "off"] | None = field(
        default=None,
        metadata=_help("Compare files with the manifest: when they are opened, also their content when they are read."),
    )
    cache: Path | None = field(
        default=None, metadata=_help("Folder that keeps decoded pictures from epoch to epoch; mtgen pack fills it too.")
    )
    target: str = field(default="target", metadata=_help("Column to predict."))
    task: Literal["auto", "classification", "regression"] = field(
        default="auto", metadata=_help("auto: text, integers and booleans are classes, floats are numbers.")
    )
    split_by: str | None = field(
        default=None, metadata=_help("Column that says train, valid or test; left out: 70, 15 and 15 percent.")
    )
    stratify: bool = field(default=True, metadata=_help("Every split gets every class in the same proportion."))


@dataclass(frozen=True, kw_only=True)
class Fit:
    """How a model is fitted."""

    epochs: int = field(default=20, metadata=_help("Passes over the train split.", min=1))
    batch_size: int = field(default=32, metadata=_help("Samples per batch.", min=1))
    seed: int = field(default=0, metadata=_help("Decides the split, the order and the first weights.", min=0))
    workers: int | None = field(
        default=None, metadata=_help("Threads that read and decode; left out: one per core.", min=0)
    )
    memory: int | None = field(
        default=None, metadata=_help("Most bytes that each split's loader holds; left out: 1 GiB or less.", min=1)
    )
    on_error: Literal["raise", "refill", "mask"] = field(
        default="raise",
        metadata=_help("For samples that cannot be read: stop, train another row instead, or give them weight 0."),
    )
    max_errors: float = field(
        default=0.01,
        metadata=_help("Rows that may be bad: a number of rows, or below 1 a share of all; one more stops the run."),
    )
    learning_rate: float = field(default=0.002, metadata=_help("Of Adam at the start; falls to 0 along a cosine."))

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise PlanError(f"epochs must be >= 1, received {self.epochs}")
        if not 0 < self.learning_rate < math.inf:
            raise PlanError(f"the learning rate must be > 0, received {self.learning_rate}")
        _ = self.error_policy

    @property
    def error_policy(self) -> OnError:
        """What loaders take as `on_error`; without a report.

        Example:
            >>> Fit(on_error="mask", max_errors=3).error_policy.max_errors
            3
        """
        allowed = float(self.max_errors)
        return OnError(policy=self.on_error, max_errors=int(allowed) if allowed.is_integer() else allowed)


@dataclass(frozen=True, kw_only=True)
class Run:
    """Where a run keeps what it needs to be continued, and its result."""

    run: Path | None = field(
        default=None, metadata=_help("Folder of the run: checkpoints, and the trained model in the end.")
    )
    resume: bool = field(
        default=False,
        metadata=_help("Continue the run in that folder where it was saved; begin it where there is none."),
    )
    checkpoint_steps: int | None = field(
        default=None, metadata=_help("Save every so many steps too, not only after each epoch.", min=1)
    )

    def __post_init__(self) -> None:
        if self.run is None and (self.resume or self.checkpoint_steps is not None):
            given = "--resume" if self.resume else "--checkpoint-steps"
            raise PlanError(f"{given} without --run: name the folder of the run")
