"""What a training run is, section by section: each dataclass is a table of the TOML file, each field a key of it.

Metadata: `path` marks paths, which are relative to the folder of the file; `store` those that may be URLs or name a
member after `::`; `key` is the key's name where it is another one. What a value is passed on to says what it means:
`mtgen.Images`, `mtgen.Rows`, `mtgen.Columns`, `Dataset.split`, `dataset.rows`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from mtgen.errors import PlanError
from mtgen.settings import check_whole
from mtgen.training.settings import Fit, Rules, Run

SHARES = {"train": 0.7, "valid": 0.15, "test": 0.15}
"""Shares of the splits, where nothing else is said."""

_PATH: dict[str, Any] = {"path": True}


@dataclass(frozen=True, kw_only=True)
class TableSettings:
    """`[table]`: the file that says what the samples are.

    Args:
        path: CSV or Parquet file.
        dtype: column -> dtype, for CSV: `{id = "str"}` keeps the zeros that ids begin with.
    """

    path: str = field(metadata=_PATH)
    dtype: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ImagesSettings:
    """`[inputs.NAME]` with a column of picture paths: the arguments of `mtgen.Images`.

    `root` left out: paths are under the folder of the table, or as they are where all are absolute. `root = ""`: as
    they are, relative ones under the working folder.
    """

    kind: Literal["images"] = "images"
    column: str
    size: tuple[int, int]
    root: str | None = field(default=None, metadata=_PATH)
    color: Literal["rgb", "grayscale", "rgba"] = "rgb"
    recipe: str = "clean"
    fit: Literal["stretch", "crop", "pad"] = "stretch"
    dtype: Literal["uint8", "uint16", "float32"] = "uint8"
    scale: tuple[float, float] | None = None
    filter: str | None = None
    data_format: Literal["channels_last", "channels_first"] = "channels_last"
    max_pixels: int | None = None
    manifest: str | None = field(default=None, metadata=_PATH)
    verify: Literal["open", "read", "off"] | None = None
    follow_links: bool = False
    cache: str | None = field(default=None, metadata=_PATH)


@dataclass(frozen=True, kw_only=True)
class RowsSettings:
    """`[inputs.NAME]` with a store of rows: the arguments of `mtgen.Rows`; `key = false` compares no keys."""

    kind: Literal["rows"] = "rows"
    store: str = field(metadata={"path": True, "store": True})
    index: str | None = None
    key: str | Literal[False] | None = None
    manifest: str | None = field(default=None, metadata=_PATH)
    verify: Literal["open", "read", "off"] | None = None
    finite: bool = False


@dataclass(frozen=True, kw_only=True)
class ColumnsSettings:
    """`[inputs.NAME]` with columns of the table: the arguments of `mtgen.Columns`."""

    kind: Literal["columns"] = "columns"
    columns: tuple[str, ...]
    dtype: str = "float32"


InputSettings = ImagesSettings | RowsSettings | ColumnsSettings
INPUT_KINDS: dict[str, type[InputSettings]] = {
    "images": ImagesSettings,
    "rows": RowsSettings,
    "columns": ColumnsSettings,
}


@dataclass(frozen=True, kw_only=True)
class TargetSettings:
    """`[targets.NAME]`: what is predicted.

    Args:
        column: column to predict.
        columns: several columns of numbers, predicted together.
        task: `"auto"`: text, integers and booleans are classes, floats are numbers.
        one_hot: a column of labels, or of lists of labels, as a place per class.
        classes: the labels in the order of their numbers; left out: all, sorted.
        weight: column that says what each row counts in the loss of this target.
        class_weights: `"balanced"`, or class -> what its rows count.
    """

    column: str | None = None
    columns: tuple[str, ...] | None = None
    task: Literal["auto", "classification", "regression"] = "auto"
    one_hot: bool = False
    classes: tuple[str | int, ...] | None = None
    weight: str | None = None
    class_weights: Literal["balanced"] | Mapping[str, float] | None = None

    def __post_init__(self) -> None:
        if (self.column is None) == (self.columns is None):
            raise PlanError("a target needs column or columns, exactly one of them")
        numbers = self.columns is not None or self.task == "regression"
        for name, given in (
            ("one_hot", self.one_hot),
            ("classes", self.classes is not None),
            ("class_weights", self.class_weights is not None),
        ):
            if given and numbers:
                raise PlanError(f"{name} is for one column of classes, and this target is of numbers")
        if self.columns is not None and self.task == "classification":
            raise PlanError(
                "several columns are predicted as numbers; for classes make a target of each, or say one_hot"
            )


@dataclass(frozen=True, kw_only=True)
class SplitSettings:
    """`[split]`: which rows are for training, validation and test; the arguments of `Dataset.split`.

    Args:
        shares: name -> share of the rows, or number of rows.
        by: column that says train, valid or test.
        stratify: column whose values appear in every split alike; `true`: the one target of classes, if there is one.
        group: column whose equal values stay together, such as a patient.
        seed: of the split; left out: that of `[fit]`.
    """

    shares: Mapping[str, int | float] | None = None
    by: str | None = None
    stratify: str | bool = True
    group: str | None = None
    seed: int | None = None

    def __post_init__(self) -> None:
        if self.by is not None:
            for name in ("shares", "group", "seed"):
                if getattr(self, name) is not None:
                    raise PlanError(f"by already says which row goes where: leave {name} out")
            if isinstance(self.stratify, str):
                raise PlanError("by already says which row goes where: leave stratify out")
        elif self.shares is not None:
            missing = {"train", "valid"} - set(self.shares)
            extra = set(self.shares) - set(SHARES)
            if missing or extra:
                raise PlanError(
                    f'shares must name train, valid and test (test may be left out where score_test is "never"), '
                    f"received {', '.join(self.shares) or 'none'}"
                )


@dataclass(frozen=True, kw_only=True)
class SamplerSettings:
    """`[sampler]`: which rows an epoch of training takes; the arguments of the laws of `dataset.rows`.

    All left out: every row of the train split once, shuffled.

    Args:
        order: `"exact"`, `"blocks"` or `false`, as `Loader(shuffle=...)`.
        sample_by: a clause, such as `"WHERE age > 30 SAMPLE BY weight REPLACE FALSE LIMIT 10 PERCENT"`.
        balanced: column, or columns, whose classes are balanced.
        over: with balanced: 1 repeats rare classes to their share, 0 nothing; left out: 0.9.
        under: with balanced: 1 thins frequent classes to it, 0 nothing; left out: 0.5.
        target: with balanced: class -> wanted share.
        counts: with balanced: class -> rows in an epoch, exactly.
        exact: with balanced: the most rows that have the wanted shares, none twice.
        weighted: column of weights, or an expression such as `"max_weight(label == 3: 5, True: 1)"`.
        replace: with weighted: whether a row may come more than once; left out: yes.
        where: with weighted, or alone: condition on rows.
        size: rows of an epoch; left out: as the law says.
    """

    order: Literal["exact", "blocks", False] | None = None
    sample_by: str | None = None
    balanced: str | tuple[str, ...] | None = None
    over: float | None = None
    under: float | None = None
    target: Mapping[str, float] | None = None
    counts: Mapping[str, int] | None = None
    exact: bool = False
    weighted: str | None = None
    replace: bool | None = None
    where: str | None = None
    size: int | None = None

    def __post_init__(self) -> None:
        laws = [name for name in ("order", "sample_by", "balanced", "weighted") if getattr(self, name) is not None]
        if len(laws) > 1:
            raise PlanError(f"{' and '.join(laws)} both say which rows come: give one of them")
        alone = laws[0] if laws else None
        needs = {"over": "balanced", "under": "balanced", "target": "balanced", "counts": "balanced"}
        for name, law in (needs | {"replace": "weighted"}).items():
            if getattr(self, name) is not None and alone != law:
                raise PlanError(f"{name} belongs to {law}, which is not given")
        if self.exact and alone != "balanced":
            raise PlanError("exact belongs to balanced, which is not given")
        if self.where is not None and alone in ("order", "sample_by"):
            raise PlanError(f"where and {alone} cannot stand together: write the condition into sample_by")
        if self.size is not None and alone in ("order", "sample_by"):
            raise PlanError(f"size and {alone} cannot stand together: write LIMIT into sample_by")
        if self.counts is not None and self.size is not None:
            raise PlanError("size and counts both say how long an epoch is: give one of them")


MOST_WIDTH = 1_000_000
"""Filters or units of a layer of the merged model at most."""


@dataclass(frozen=True, kw_only=True)
class ModelSettings:
    """`[model]`: left out, the merged model of `mtgen.training.merged_model`.

    Args:
        function: `"package.module:function"`, called with the train split; returns a Keras model, compiled or not.
        arguments: further arguments of it, by name.
        file: model saved by Keras, such as `"start.keras"`.
        filters: of the merged model: filters of the first convolution.
        units: of the merged model: units of each dense layer.
        dropout: of the merged model: share of units left out in training, in [0, 1).
    """

    function: str | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)
    file: str | None = field(default=None, metadata=_PATH)
    filters: int = 32
    units: int = 128
    dropout: float = 0.4

    def __post_init__(self) -> None:
        if self.function is not None and self.file is not None:
            raise PlanError("function and file both say which model: give one of them")
        if self.arguments and self.function is None:
            raise PlanError("arguments belong to function, which is not given")
        for name in ("filters", "units"):
            if check_whole(name, getattr(self, name), 1) > MOST_WIDTH:  # backends end the process where sizes overflow
                raise PlanError(f"{name} must be at most {MOST_WIDTH:,}, received {getattr(self, name):,}")
        if not 0 <= self.dropout < 1:
            raise PlanError(f"dropout must be a number >= 0 and below 1, received {self.dropout}")
        own = self.function if self.function is not None else self.file
        changed = [name for name in ("filters", "units", "dropout") if getattr(self, name) != _default(name)]
        if own is not None and changed:
            raise PlanError(f"{', '.join(changed)} belong to the merged model, and {own!r} is trained")


def _default(name: str) -> Any:
    return ModelSettings.__dataclass_fields__[name].default


@dataclass(frozen=True, kw_only=True)
class CallbackSettings:
    """`[[callbacks]]`: a Keras callback of your own, or of Keras.

    Args:
        callback: `"package.module:Class"`, called with the arguments.
        arguments: by name.
    """

    callback: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Config:
    """A whole training run, as a TOML file or the options of `mtgen train` say it. Immutable; reads nothing.

    Args:
        folder: that relative paths are under: the folder of the file.
        table, inputs, targets, split, sampler, model, fit, recipe, callbacks, run: the sections.
        code: folder where `package.module:name` is looked for too, besides what is installed.
        shifted: every row gets the features of the next one, as in the last training of an ablation.
    """

    folder: Path
    table: TableSettings
    inputs: Mapping[str, InputSettings]
    targets: Mapping[str, TargetSettings]
    split: SplitSettings = field(default_factory=SplitSettings)
    sampler: SamplerSettings = field(default_factory=SamplerSettings)
    model: ModelSettings = field(default_factory=ModelSettings)
    fit: Fit = field(default_factory=Fit)
    recipe: Rules = field(default_factory=Rules)
    callbacks: tuple[CallbackSettings, ...] = ()
    run: Run = field(default_factory=Run)
    code: str = field(default=".", metadata=_PATH)
    shifted: bool = False

    def __post_init__(self) -> None:
        if not self.inputs:
            raise PlanError("[inputs] names no input: a table such as [inputs.features] says what one is")
        if not self.targets:
            raise PlanError('[targets] names no target: write name = "column" there')
        if self.split.shares is not None and "test" not in self.split.shares and self.recipe.score_test != "never":
            raise PlanError('[split] shares has no test: name one, or say score_test = "never" in [recipe]')

    @property
    def schedule(self) -> str:
        """How the learning rate goes by itself: `"cosine"` or `"constant"`."""
        return self.fit.schedule or ("constant" if self.recipe.any else "cosine")

    @property
    def shares(self) -> Mapping[str, int | float]:
        """Shares of the splits."""
        return SHARES if self.split.shares is None else self.split.shares

    @property
    def split_seed(self) -> int:
        """Seed of the splits."""
        return self.fit.seed if self.split.seed is None else self.split.seed
