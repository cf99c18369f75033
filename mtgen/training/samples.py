"""What a run trains on: from settings in plain words to a dataset, its splits and its task."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from mtgen.dataset import Dataset
from mtgen.errors import PlanError, TableError
from mtgen.inputs.columns import BoundColumns
from mtgen.inputs.images import Images
from mtgen.inputs.rows import BoundRows, Rows
from mtgen.promises import Verify
from mtgen.splits import Splits
from mtgen.table import column
from mtgen.table_files import read_table
from mtgen.training.settings import Inputs, Samples

SHARES = {"train": 0.7, "valid": 0.15, "test": 0.15}

MOST_CLASSES = 1000
"""An integer target with more distinct values is taken for a number, not for a class, unless the user says so."""

SHIFTED = "mtgen_shifted_store_row"


def digits_folder() -> Path:
    """Folder of the digits: under the working folder, else beside the package.

    Raises:
        TableError: in neither place.
    """
    places = [Path("data_samples/digits"), Path(__file__).resolve().parents[2] / "data_samples" / "digits"]
    for place in places:
        if (place / "table.csv").is_file():
            return place
    raise TableError(
        "the digits are not here: looked for data_samples/digits in the working folder and beside the package. Go to a "
        "clone of the project, or name a table of your own: --table"
    )


_Settings = TypeVar("_Settings", bound=Inputs)


def resolved(samples: _Settings) -> _Settings:
    """The settings with the digits filled in where no table is named.

    Raises:
        PlanError: settings of a table without a table, or a table without inputs.
    """
    if samples.table is not None:
        if samples.image_column is None and samples.features is None:
            raise PlanError(
                f"the table {samples.table} says nothing of inputs: name its column of picture paths (--image-column), "
                "a store of feature rows (--features), or both"
            )
        if samples.image_column is not None and samples.size is None:
            raise PlanError("pictures need one size: --size HEIGHT WIDTH, for example --size 150 150")
        return replace(samples, color=samples.color or "rgb")
    kept = ("size", "color", "recipe", "task", "stratify", "keys", "manifest", "verify", "cache")
    defaults = vars(type(samples)())
    changed = [name for name, value in vars(samples).items() if value != defaults[name] and name not in kept]
    if changed:
        options = ", ".join("--" + name.replace("_", "-") for name in changed)
        raise PlanError(f"{options} without --table: these say what is in a table of your own; name it with --table")
    folder = digits_folder()
    return replace(
        samples,
        table=folder / "table.csv",
        image_column="imgpath",
        image_root=folder,
        size=samples.size or (4, 8),
        color=samples.color or "grayscale",
        features=str(folder / "features.bcolz"),
    )


def make_dataset(samples: Samples) -> Dataset:
    """The dataset that the settings describe: inputs `image` and `features`, whichever are asked for.

    A target of classes that are not the integers 0, 1, ... without a gap is numbered in sorted order of its text;
    `dataset.classes` then names them.

    Raises:
        PlanError: settings that do not fit together.
        TableError, StoreError, AlignmentError: see `Dataset`.
    """
    samples = resolved(samples)
    table = read_table(str(samples.table))
    inputs = make_inputs(samples, verify=samples.verify, cache=samples.cache)
    return Dataset(_with_target(table, samples), inputs=inputs, targets=samples.target)


def make_inputs(settings: Inputs, verify: Verify | None = None, cache: Path | None = None) -> dict[str, Images | Rows]:
    """The inputs `image` and `features`, whichever are asked for, of resolved settings.

    Args:
        settings: where they are.
        verify: how they are compared with the manifest of the settings; "off" makes no use of it.
        cache: folder of decoded pictures.
    """
    promised: dict[str, Any] = {"manifest": settings.manifest, "verify": verify}
    inputs: dict[str, Images | Rows] = {}
    if settings.image_column is not None:
        inputs["image"] = Images(
            settings.image_column,
            root=settings.image_root,
            size=settings.size,
            color=settings.color or "rgb",
            recipe=settings.recipe,
            cache=cache,
            **promised,
        )
    if settings.features is not None:
        inputs["features"] = Rows(settings.features, index=settings.index, key=settings.compared_key, **promised)
    return inputs


def _with_target(table: pd.DataFrame, samples: Samples) -> pd.DataFrame:
    values = column(table, samples.target, "target")
    kind = values.dtype
    is_float = pd.api.types.is_float_dtype(kind)
    is_integer = pd.api.types.is_integer_dtype(kind)
    numeric = is_float or is_integer or pd.api.types.is_bool_dtype(kind)
    if values.isna().any():
        return table  # the dataset refuses it and says where
    if samples.task == "regression":
        if not numeric:
            raise PlanError(f"regression needs numbers; column {samples.target!r} holds {kind}")
        return table.assign(**{samples.target: values.astype("float64")})
    if is_float and samples.task == "auto":
        return table
    distinct = values.nunique()
    if distinct < 2:
        (only,) = values.iloc[:1].tolist()
        raise PlanError(f"column {samples.target!r} holds one value only, {only!r}: nothing to learn")
    if is_integer and samples.task == "auto" and distinct > MOST_CLASSES:
        raise PlanError(
            f"column {samples.target!r} holds {distinct} distinct integers. Say what they are: --task regression for "
            "numbers, --task classification for classes"
        )
    if numeric and not is_float and int(values.min()) == 0 and int(values.max()) == distinct - 1:
        return table
    return table.assign(**{samples.target: values.astype(str)})


def num_classes(dataset: Dataset) -> int | None:
    """Classes of the one target, or None where it is a number."""
    (target,) = [one for one in dataset.fields if one.role == "target"]
    if target.spec.dtype.kind == "f":
        return None
    names = dataset.classes.get(target.name)
    if names:
        return len(names)
    bound = target.bound
    if not isinstance(bound, BoundColumns):
        raise PlanError(f"target {target.name!r} is no column of the table")
    return int(bound.take(np.arange(len(dataset.table))).max()) + 1


def make_splits(dataset: Dataset, samples: Samples, *, seed: int) -> Splits:
    """Train, valid and test.

    Raises:
        PlanError: a split column without these three values, or see `Dataset.split`.
    """
    if samples.split_by is not None:
        splits = dataset.split(by=samples.split_by)
        if set(splits.names) != set(SHARES):
            raise PlanError(
                f"column {samples.split_by!r} must hold train, valid and test, each at least once; it holds "
                f"{', '.join(sorted(splits.names)[:10])}"
            )
        return Splits({name: splits[name] for name in SHARES})
    stratify = samples.target if samples.stratify and num_classes(dataset) is not None else None
    try:
        return dataset.split(SHARES, stratify=stratify, seed=seed)
    except PlanError as error:
        if stratify is None:
            raise
        raise PlanError(f"{error.message} (--no-stratify)") from error


def with_inputs(dataset: Dataset, names: Iterable[str], samples: Samples, *, shifted: bool = False) -> Dataset:
    """A dataset over the same table and rows with some of its inputs.

    Args:
        dataset: made by `make_dataset`.
        names: inputs to keep.
        samples: the settings it was made from.
        shifted: every row gets the features of the row after it, the last one those of the first; the keys, which
            would refuse that, are not compared.
    """
    samples, table = resolved(samples), dataset.table
    inputs = {}
    for one in dataset.fields:
        if one.role != "input" or one.name not in names:
            continue
        bound = one.bound
        if isinstance(bound, BoundRows):
            store_rows = bound.store_rows(np.arange(len(table)))
            if shifted:
                table = table.assign(**{SHIFTED: np.roll(store_rows, -1)})
            rows = Rows(bound.store, index=SHIFTED, key=False)
            inputs[one.name] = rows if shifted else Rows(bound.store, index=samples.index, key=samples.compared_key)
        else:
            inputs[one.name] = bound.images
    made = Dataset(table, inputs=inputs, targets=samples.target)
    return made.take(dataset.rows)
