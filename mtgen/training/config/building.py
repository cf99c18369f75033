"""A `Config` made into what it describes: the dataset, its splits, the sampler and the loaders.

Here files are opened. What the parts are is decided by `mtgen.Dataset`, `mtgen.Loader` and the laws of `data.rows`.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mtgen.config import Placement
from mtgen.dataset import Dataset
from mtgen.errors import EmptySupportError, PlanError, TableError
from mtgen.inputs.class_weights import ClassWeights
from mtgen.inputs.classes import ClassNumbers, OneHot
from mtgen.inputs.columns import BoundColumns, Columns, Target
from mtgen.inputs.images import Images
from mtgen.inputs.rows import Rows
from mtgen.loader import Loader
from mtgen.sampling.row_plans.base import RowSampler
from mtgen.sampling.row_plans.dataset_rows import DatasetRows
from mtgen.splits import Splits
from mtgen.table import column
from mtgen.table_files import read_table
from mtgen.training.ablation import with_inputs
from mtgen.training.config.paths import absolute
from mtgen.training.config.reading import read_config
from mtgen.training.config.sections import (
    ColumnsSettings,
    Config,
    ImagesSettings,
    InputSettings,
    SamplerSettings,
    TargetSettings,
)
from mtgen.training.settings import Fit

MOST_CLASSES = 1000
"""An integer target with more distinct values is taken for a number, not for a class, unless the user says so."""

PARTS = ("train", "valid", "test")

Source = Config | str | os.PathLike[str]
"""A configuration, or the TOML file that holds one."""


def config_at(source: Source) -> Config:
    """The configuration itself.

    Raises:
        PlanError: see `read_config`.
    """
    return source if isinstance(source, Config) else read_config(source)


@contextmanager
def _named(where: str) -> Iterator[None]:
    """Errors of settings say which section they belong to."""
    try:
        yield
    except PlanError as error:
        raise type(error)(f"{where}: {error.message}", row=error.row, path=error.path) from error


def dataset_of(source: Source, *, targets: bool = True) -> Dataset:
    """The dataset of a configuration: its table, inputs, targets and weights; all rows.

    Opens the table and the stores, no picture. A file and its `run.toml` in a run's folder give the same dataset.

    Args:
        source: the configuration, or the path of its file.
        targets: False leaves targets and weights out, for what looks at inputs alone.

    Raises:
        PlanError: settings that do not fit together.
        TableError, StoreError, AlignmentError: see `mtgen.Dataset`.

    Example:
        >>> dataset_of("data_samples/digits.toml").input_specs["image"].shape
        (4, 8, 1)
    """
    config = config_at(source)
    options: dict[str, Any] = {"dtype": dict(config.table.dtype)} if config.table.dtype else {}
    path = absolute(config.table.path, config.folder)
    table = read_table(path, **options)
    if targets and not len(table):
        raise TableError("the table has no rows: nothing to train on", path=str(path))
    predicted, weights = {}, {}
    for name, one in config.targets.items() if targets else ():
        with _named(f"[targets.{name}]"):
            table, predicted[name] = _target(table, one)
            if (weight := _weight(one)) is not None:
                weights[name] = weight
    inputs = {}
    for name, entry in config.inputs.items():
        with _named(f"[inputs.{name}]"):
            inputs[name] = _input(_rooted(entry, config, table), config.folder)
    made = Dataset(table, inputs=inputs, targets=predicted, weight=weights or None)
    return with_inputs(made, inputs, shifted=True) if config.shifted else made


def _rooted(settings: InputSettings, config: Config, table: pd.DataFrame) -> InputSettings:
    """Pictures without a root are under the folder of the table, unless their paths say it themselves."""
    if not isinstance(settings, ImagesSettings) or settings.root is not None:
        return settings
    paths = column(table, settings.column, "Images")
    if all(isinstance(path, str) and os.path.isabs(path) for path in paths.tolist()):
        return replace(settings, root="")
    return replace(settings, root=os.path.dirname(config.table.path) or ".")


def _input(settings: InputSettings, folder: Path) -> Images | Rows | Columns:
    """One input, not bound to a table yet; relative paths are under the folder."""
    if isinstance(settings, ColumnsSettings):
        return Columns(list(settings.columns), dtype=settings.dtype)
    given: dict[str, Any] = {}
    for one in dataclasses.fields(settings):
        value = getattr(settings, one.name)
        if value is not None and one.name != "kind":
            is_store = bool(one.metadata.get("store"))
            given[one.name] = absolute(value, folder, is_store=is_store) if one.metadata.get("path") else value
    if not given.get("root"):
        given.pop("root", None)
    return Images(**given) if isinstance(settings, ImagesSettings) else Rows(**given)


def _target(table: pd.DataFrame, settings: TargetSettings) -> tuple[pd.DataFrame, Any]:
    """The table, with the values of the target as its task wants them, and what binds it."""
    if settings.columns is not None:
        for name in settings.columns:
            values = column(table, name, "target")
            if pd.api.types.is_numeric_dtype(values.dtype) and not values.isna().any():
                table = table.assign(**{name: values.astype("float64")})
        return table, Target(list(settings.columns))
    name = str(settings.column)
    values = column(table, name, "target")
    if settings.one_hot:
        return table, OneHot(name, settings.classes)
    if settings.classes is not None:
        return table, ClassNumbers(name, settings.classes)
    kind = values.dtype
    is_float, is_integer = pd.api.types.is_float_dtype(kind), pd.api.types.is_integer_dtype(kind)
    numeric = is_float or is_integer or pd.api.types.is_bool_dtype(kind)
    if values.isna().any():
        return table, Target(name)  # which refuses it and says where
    if settings.task == "regression":
        if not numeric:
            raise PlanError(f"regression needs numbers; column {name!r} holds {kind}")
        return table.assign(**{name: values.astype("float64")}), Target(name)
    if not numeric and isinstance(values.iloc[0], list | tuple):
        return table, Target(name)
    if is_float and settings.task == "auto":
        return table, Target(name)
    _check_classes(values, name, is_integer and settings.task == "auto")
    if is_float:
        return table.assign(**{name: values.astype(str)}), Target(name)
    if numeric and (int(values.min()) != 0 or int(values.max()) != values.nunique() - 1):
        return table, ClassNumbers(name)
    return table, Target(name)


def _check_classes(values: pd.Series, name: str, could_be_numbers: bool) -> None:
    distinct = values.nunique()
    if distinct < 2:
        (only,) = values.iloc[:1].tolist()
        raise PlanError(f"column {name!r} holds one value only, {only!r}: nothing to learn")
    if could_be_numbers and distinct > MOST_CLASSES:
        raise PlanError(
            f"column {name!r} holds {distinct} distinct integers. Say what they are: --task regression for "
            "numbers, --task classification for classes; task = in a file"
        )


def _weight(settings: TargetSettings) -> Any:
    classes = settings.class_weights
    found: list[Any] = [] if settings.weight is None else [settings.weight]
    if classes is not None:
        found.append(ClassWeights(classes if isinstance(classes, str) else dict(classes)))
    return found[0] if len(found) == 1 else found or None


def splits_of(source: Source, dataset: Dataset | None = None, *, sealed: bool = False) -> Splits:
    """The splits of a configuration: train, valid, and test where there is one.

    Args:
        source: the configuration, or the path of its file.
        dataset: made by `dataset_of`; None makes it.
        sealed: the test split comes as `mtgen.Sealed`.

    Raises:
        PlanError: a split column without these values, or see `Dataset.split`.

    Example:
        >>> splits_of("data_samples/digits.toml", sealed=True)
        Splits(train: 1258 rows, valid: 270 rows, test: 269 rows sealed)
    """
    config = config_at(source)
    data = dataset_of(config) if dataset is None else dataset
    split = config.split
    if split.by is not None:
        return _by_column(config, data, split.by, sealed)
    stratify = split.stratify if isinstance(split.stratify, str) else None
    if split.stratify is True:
        stratify = stratified_by(config, data)
    test = PARTS[2:] if sealed and PARTS[2] in config.shares else ()
    try:
        return data.split(config.shares, stratify=stratify, group=split.group, seed=config.split_seed, sealed=test)
    except PlanError as error:
        if stratify is None or split.stratify is not True:
            raise
        raise PlanError(f"{error.message} (--no-stratify, or stratify = false in [split])") from error


def _by_column(config: Config, data: Dataset, by: str, sealed: bool) -> Splits:
    splits = data.split(by=by)
    wanted = PARTS if config.recipe.score_test != "never" or PARTS[2] in splits.names else PARTS[:2]
    if set(splits.names) != set(wanted):
        raise PlanError(
            f"column {by!r} must hold train, valid and test, each at least once; it holds "
            f"{', '.join(sorted(splits.names)[:10])}"
        )
    if sealed and PARTS[2] in wanted:
        splits = data.split(by=by, sealed=PARTS[2])
    return Splits({name: splits[name] for name in wanted})


def stratified_by(config: Config, data: Dataset) -> str | None:
    """The column of the one target of classes, which every split gets alike; None where there is none, or several."""
    if len(config.targets) != 1:
        return None
    ((name, settings),) = config.targets.items()
    (bound,) = [one.bound for one in data.fields if (one.role, one.name) == ("target", name)]
    is_class = isinstance(bound, BoundColumns) and not bound.spec.shape and bound.spec.dtype.kind != "f"
    return settings.column if is_class and bound.num_classes else None


def sampler_of(config: Config, train: Dataset) -> dict[str, Any]:
    """The arguments of `Loader` that say which rows of the train split an epoch takes: `shuffle` or `sampler`.

    Raises:
        PlanError, EmptySupportError, QueryError: a law that cannot be, see `data.rows`.
    """
    settings, rows = config.sampler, train.rows
    if settings.order is not None:
        return {"shuffle": settings.order}
    with _named("[sampler]"):
        if settings.sample_by is not None:
            return {"sampler": rows.sampled(settings.sample_by)}
        if settings.where is not None:
            mask = rows.source.mask(settings.where)
            if not mask.any():
                raise EmptySupportError(f"no row of {len(rows)} meets the condition {settings.where!r}")
            rows = train.take(np.asarray(rows)[mask]).rows
        if settings.balanced is not None:
            law: RowSampler = _balanced(rows, train.table, settings)
        elif settings.weighted is not None:
            law = rows.weighted(settings.weighted, replace=settings.replace is not False)
        elif settings.where is not None or settings.size is not None:
            law = rows.uniform()
        else:
            return {"shuffle": "exact"}
        return {"sampler": law if settings.size is None else law.sized(settings.size)}


def _balanced(rows: DatasetRows, table: pd.DataFrame, settings: SamplerSettings) -> RowSampler:
    by = settings.balanced if isinstance(settings.balanced, str) else list(settings.balanced or ())
    given = {name: getattr(settings, name) for name in ("over", "under") if getattr(settings, name) is not None}
    for name in ("target", "counts"):
        if (numbers := getattr(settings, name)) is not None:
            given[name] = _by_class(name, numbers, table, by)
    return rows.balanced(by, exact=settings.exact, **given)


def _by_class(name: str, numbers: Mapping[str, Any], table: pd.DataFrame, by: str | list[str]) -> dict[Any, Any]:
    """Keys of a TOML table are text; classes are found by theirs."""
    if not isinstance(by, str) and len(by) != 1:
        raise PlanError(f"{name} names classes of one column, balanced names {len(by)}")
    one = by if isinstance(by, str) else by[0]
    known = {str(label): label for label in column(table, one, "balanced").dropna().unique().tolist()}
    for label in numbers:
        if label not in known:
            raise PlanError(f"{name} names the class {label!r}, column {one!r} has {', '.join(sorted(known)[:10])}")
    return {known[label]: number for label, number in numbers.items()}


def make_loader(
    dataset: Dataset,
    fit: Fit,
    *,
    shuffle: bool,
    report: Path | None = None,
    law: Mapping[str, Any] | None = None,
) -> Loader:
    """The loader that a run uses: by its law for training, in order for evaluation; bad rows go to `report`.

    Args:
        dataset: a split.
        fit: batch size, seed, and what machines differ in.
        shuffle: whether it is for training.
        report: CSV file for bad rows.
        law: what `sampler_of` gave; None for every row once, shuffled.
    """
    order: Mapping[str, Any] = ({"shuffle": "exact"} if law is None else law) if shuffle else {"shuffle": False}
    return Loader(
        dataset,
        fit.batch_size,
        seed=fit.seed,
        num_workers=fit.workers,
        memory="auto" if fit.memory is None else fit.memory,
        placement=Placement(inputs=fit.placement, reserve_bytes=fit.device_reserve),
        on_error=replace(fit.error_policy, report=report),
        **order,
    )


def loaders_of(source: Source, splits: Mapping[str, Dataset] | Splits | None = None) -> dict[str, Loader]:
    """The loaders of a configuration by the names of its splits: the very batches that were trained and evaluated.

    Close them, or use each as a context manager.

    Args:
        source: the configuration, or the path of its file.
        splits: made by `splits_of`; None makes them.

    Raises:
        PlanError: see `splits_of`, `sampler_of` and `mtgen.Loader`.

    Example:
        >>> loaders = loaders_of("data_samples/digits.toml")
        >>> sorted(loaders), len(loaders["train"].dataset)
        (['test', 'train', 'valid'], 1258)
        >>> for loader in loaders.values():
        ...     loader.close()
    """
    config = config_at(source)
    parts = splits_of(config) if splits is None else splits
    named = dict(zip(parts.names, parts, strict=True)) if isinstance(parts, Splits) else dict(parts)
    law = sampler_of(config, named["train"])
    return {name: make_loader(one, config.fit, shuffle=name == "train", law=law) for name, one in named.items()}
