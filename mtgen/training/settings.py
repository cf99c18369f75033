"""Settings of a training run, in plain words. Each field is a command-line option too; its metadata is the help.

Metadata that is no option's: `key` is the name in a TOML file where it is another one (None: in no file), `path` marks
paths, `option=False` what only a file can say, and `option_type` is the type where an option can say less. Nothing
heavy is imported here, so that `mtgen --help` is quick.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from mtgen.config import OnError, Where
from mtgen.errors import PlanError
from mtgen.settings import check_whole, check_whole_or_none
from mtgen.training.rules import InverseEpochDecay
from mtgen.training.rules.halving import Halving
from mtgen.training.rules.patience import Patience

FIRST_RATE, DEFAULT_INCREASE, DEFAULT_THRESHOLD = 0.002, 2.0, 0.995
"""Learning rate, and the patience of the deep-learning tutorials: see docs/recipe.md."""


def _help(text: str, **more: Any) -> dict[str, Any]:
    return {"help": text, **more}


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
    placement: Where | Mapping[str, Where] = field(
        default="stream",
        metadata=_help(
            "Where values are while the model trains: read for each batch, in memory, or on the device; a file may say "
            "it for each input.",
            option_type=Where,
        ),
    )
    device_reserve: int | None = field(
        default=None,
        metadata=_help(
            "Bytes that must stay free on the device beside what is placed there, for the model; left out: a quarter "
            "of its memory.",
            min=0,
        ),
    )
    on_error: Literal["raise", "refill", "mask"] = field(
        default="raise",
        metadata=_help("For samples that cannot be read: stop, train another row instead, or give them weight 0."),
    )
    max_errors: float = field(
        default=0.01,
        metadata=_help("Rows that may be bad: a number of rows, or below 1 a share of all; one more stops the run."),
    )
    learning_rate: float = field(default=FIRST_RATE, metadata=_help("Of the optimizer, at the start."))
    schedule: Literal["cosine", "constant"] | None = field(
        default=None,
        metadata=_help(
            "cosine: the learning rate falls to 0 over all epochs; left out: that, and constant where a rule of the "
            "recipe says when to stop or how fast to learn."
        ),
    )
    optimizer: str = field(default="adam", metadata=_help("Optimizer of Keras by its name, such as adam or sgd."))
    optimizer_options: Mapping[str, Any] = field(
        default_factory=dict, metadata=_help("Further arguments of the optimizer.", option=False)
    )

    def __post_init__(self) -> None:
        for name, least in (("epochs", 1), ("batch_size", 1), ("seed", 0)):
            check_whole(name, getattr(self, name), least)
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
class Rules:
    """The training recipe: when to validate and to stop, how the learning rate falls, when the test split is scored.

    All left out: no rule, and `fit` trains all epochs. See `docs/recipe.md`.
    """

    patience: int | None = field(
        default=None,
        metadata=_help("Train so many mini-batches at least, and longer as long as the model improves.", min=1),
    )
    patience_increase: float = field(
        default=DEFAULT_INCREASE,
        metadata=_help("With patience: after a significant improvement at mini-batch i go on until i times this."),
    )
    improvement_threshold: float = field(
        default=DEFAULT_THRESHOLD,
        metadata=_help("With patience: an improvement is significant below this share of the best value."),
    )
    halve_after: int | None = field(
        default=None,
        metadata=_help("Divide the learning rate after so many validations without improvement.", min=1),
    )
    halving_factor: float = field(default=2.0, metadata=_help("What it is divided by."))
    halving_floor: float = field(
        default=1 / 1024,
        metadata=_help("Smallest share of the first learning rate; instead of going below, training ends."),
    )
    decay: float | None = field(
        default=None, metadata=_help("Learning rate in an epoch: that of the start / (1 + decay * epoch).")
    )
    monitor: str | None = field(
        default=None,
        metadata=_help(
            "What is to become small: a name in the logs, or 1 - such a name; left out: 1 - val_accuracy for one "
            "target of classes, else val_loss."
        ),
    )
    restore_best: bool | None = field(
        default=None,
        metadata=_help("Put the best parameters back in the end; left out: with patience or halving, yes."),
    )
    score_test: Literal["end", "best", "never"] = field(
        default="end",
        metadata=_help("When the test split is scored: once in the end, whenever a new best is found too, or never."),
    )

    def __post_init__(self) -> None:
        Patience(
            patience=1 if self.patience is None else self.patience,
            patience_increase=self.patience_increase,
            improvement_threshold=self.improvement_threshold,
            batches_per_epoch=1,
        )
        Halving(1 if self.halve_after is None else self.halve_after, self.halving_factor, self.halving_floor)
        if self.decay is not None:
            InverseEpochDecay(self.decay)
        if self.patience is None and self.halve_after is None:
            for name, asked in (("restore_best", self.restore_best), ("score_test", self.score_test == "best")):
                if asked:
                    raise PlanError(f"{name} needs patience or halve_after: without them nothing says what is best")

    @property
    def any(self) -> bool:
        """Whether there is any rule."""
        return self.watches or self.decay is not None

    @property
    def watches(self) -> bool:
        """Whether a rule looks at validations."""
        return self.patience is not None or self.halve_after is not None

    @property
    def puts_best_back(self) -> bool:
        """Whether the best parameters come back in the end."""
        return self.watches if self.restore_best is None else self.restore_best


@dataclass(frozen=True, kw_only=True)
class Run:
    """Where a run keeps what it needs to be continued and repeated, and its result."""

    run: Path | None = field(
        default=None,
        metadata=_help(
            "Folder of the run: its settings, checkpoints, histories, and the trained model in the end.",
            key="folder",
            path=True,
        ),
    )
    resume: bool = field(
        default=False,
        metadata=_help("Continue the run in that folder where it was saved; begin it where there is none.", key=None),
    )
    checkpoint_steps: int | None = field(
        default=None, metadata=_help("Save every so many steps too, not only after each epoch.", min=1)
    )
    snapshot_steps: int | None = field(
        default=None,
        metadata=_help(
            "Keep the model as plain arrays every so many steps, and at each new best; left out: the last two, and "
            "that of the best.",
            min=1,
        ),
    )
    tensorboard: bool = field(
        default=False, metadata=_help("Write the numbers of each validation for TensorBoard too.")
    )

    def check(self) -> None:
        """Refuse what needs a folder where none is named.

        Raises:
            PlanError: names the option.
        """
        if self.run is None:
            for name in ("resume", "checkpoint_steps", "snapshot_steps", "tensorboard"):
                if getattr(self, name):
                    raise PlanError(
                        f"--{name.replace('_', '-')} without --run: name the folder of the run, there or as folder in "
                        "[run]"
                    )

    def __post_init__(self) -> None:
        for name in ("checkpoint_steps", "snapshot_steps"):
            check_whole_or_none(name, getattr(self, name), 1)
