"""What a run trains on, from options in plain words: a configuration, a dataset, its splits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from mtgen.dataset import Dataset
from mtgen.errors import PlanError, TableError
from mtgen.splits import Splits
from mtgen.training.config.building import dataset_of, splits_of
from mtgen.training.config.options import config_of_options
from mtgen.training.config.sections import SHARES, Config
from mtgen.training.settings import Fit, Inputs, Rules, Run, Samples

__all__ = ["SHARES", "config_for", "digits_folder", "make_dataset", "make_splits", "resolved"]


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


def config_for(
    samples: Samples | None = None, fit: Fit | None = None, rules: Rules | None = None, run: Run | None = None
) -> Config:
    """The configuration that options say, the digits filled in where no table is named.

    Raises:
        PlanError: settings that do not fit together.
    """
    return config_of_options(resolved(samples or Samples()), fit or Fit(), rules or Rules(), run or Run())


def make_dataset(samples: Samples) -> Dataset:
    """The dataset that the settings describe: inputs `image` and `features`, whichever are asked for.

    A target of classes that are not the integers 0, 1, ... without a gap is numbered in sorted order;
    `dataset.classes` then names them.

    Raises:
        PlanError: settings that do not fit together.
        TableError, StoreError, AlignmentError: see `Dataset`.
    """
    return dataset_of(config_for(samples))


def make_splits(dataset: Dataset, samples: Samples, *, seed: int) -> Splits:
    """Train, valid and test.

    Raises:
        PlanError: a split column without these three values, or see `Dataset.split`.
    """
    return splits_of(config_for(samples, Fit(seed=seed)), dataset)
