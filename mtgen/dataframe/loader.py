"""`from_dataframe`, and the loader that it returns."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Literal

import pandas as pd

from mtgen.dataframe import options as checks
from mtgen.dataframe.choice import Choice
from mtgen.dataframe.options import NUMBERED
from mtgen.dataset import Dataset
from mtgen.errors import PlanError, TableError
from mtgen.inputs.classes import ClassNumbers, OneHot
from mtgen.inputs.columns import Target
from mtgen.inputs.images import Images
from mtgen.loader import Loader
from mtgen.table import check_table, column


class DataFrameLoader(Loader):
    """What `from_dataframe` returns: a `mtgen.Loader` that also knows what the Keras class knew.

    The attributes are those of Keras's `DataFrameIterator`, but for `dropped`. Rows are places in the DataFrame that
    was given, whatever was dropped: `loader.dataset.table.iloc[loader.rows(step)]` are the samples of a step.

    Args:
        dataset: what a sample is.
        batch_size: see `Loader`.
        x_col: column of paths.
        y_col: column of classes; None where targets are no classes.
        dropped: what was left out.
        **options: see `Loader`.
    """

    def __init__(
        self,
        dataset: Dataset,
        batch_size: int,
        *,
        x_col: str,
        y_col: str | None,
        dropped: pd.DataFrame,
        **options: Any,
    ) -> None:
        super().__init__(dataset, batch_size, **options)
        self.x_col, self.y_col = x_col, y_col
        self.dropped = dropped
        """What was left out: `row`, `dropped` ("row" or "labels" of a list), `reason`, `value`; empty where nothing."""

    def __repr__(self) -> str:
        num_dropped = self.dropped["row"].nunique()
        return super().__repr__() + (
            f" with {num_dropped} rows dropped or cut, see loader.dropped" if num_dropped else ""
        )

    @property
    def samples(self) -> int:
        """Rows in one epoch."""
        return len(self.dataset)

    @property
    def filenames(self) -> list[str]:
        """Paths as the table has them, in the table's order."""
        return self.dataset.table[self.x_col].iloc[self.dataset.rows].tolist()

    @property
    def filepaths(self) -> list[str]:
        """Paths with the directory, in the table's order."""
        bound = next(field.bound for field in self.dataset.fields if field.name == "image")
        return [bound.path(int(row)) for row in self.dataset.rows]

    @property
    def class_indices(self) -> dict[str, int]:
        """Number of each class, by name; empty where targets are no classes."""
        names = self.dataset.classes.get(self.y_col, ()) if self.y_col is not None else ()
        return {name: number for number, name in enumerate(names)}

    @property
    def classes(self) -> list[Any]:
        """Class number of each row, or the list of them where the row has a list of labels, in the table's order."""
        numbers = self.class_indices
        if self.y_col is None:
            return []
        values = self.dataset.table[self.y_col].iloc[self.dataset.rows].tolist()
        return [
            numbers[value] if isinstance(value, str) else [numbers[label] for label in value if label in numbers]
            for value in values
        ]


def from_dataframe(
    dataframe: pd.DataFrame,
    directory: str | os.PathLike[str] | None = None,
    x_col: str = "filename",
    y_col: str | Sequence[str] = "class",
    weight_col: str | None = None,
    target_size: tuple[int, int] = (256, 256),
    color_mode: str = "rgb",
    classes: Sequence[str] | None = None,
    class_mode: str | None = "categorical",
    batch_size: int = 32,
    shuffle: bool | Literal["exact", "blocks"] = True,
    seed: int | None = None,
    *,
    subset: str | None = None,
    validation_split: float | None = None,
    interpolation: str = "nearest",
    keep_aspect_ratio: bool = False,
    validate_filenames: bool = True,
    rescale: float | None = None,
    data_format: str | None = None,
    dtype: str = "float32",
    on_missing: Literal["raise", "drop"] = "raise",
    on_unlisted: Literal["raise", "drop"] = "raise",
    features: Any = None,
    feature_index: str | None = None,
    feature_key: str | Literal[False] | None = None,
    **options: Any,
) -> DataFrameLoader:
    """A loader from the arguments of Keras's `ImageDataGenerator.flow_from_dataframe`.

    Pixels, targets, class numbers, the subsets and, without shuffling, the batches equal those of the Keras class.
    With `features`, each batch holds the picture and the feature row of the same sample: `((image, features), y)`.

    Any thread. Looks up every file (`validate_filenames`), opens none.

    Args:
        dataframe: the table; its rows keep their place whatever is dropped.
        directory: folder that the paths are under; None takes them as they are.
        x_col: column of paths. The format is known by content, the extension plays no part.
        y_col: column of the target; for `"raw"` one or a list, for `"multi_output"` a list. Not read for `"input"` and
            None.
        weight_col: column of sample weights, delivered as float32.
        target_size: (height, width) in pixels.
        color_mode: `"rgb"`, `"rgba"` or `"grayscale"`.
        classes: labels in the order of their numbers; None for those of all rows with a file, sorted.
        class_mode: `"categorical"`, float32 `(batch, classes)` of ones and zeros, from text or lists of text;
            `"binary"` and `"sparse"`, float32 `(batch,)` class numbers; `"raw"`, the numbers of the columns;
            `"multi_output"`, one target per column; `"input"`, the picture itself; None, no target.
        batch_size: rows per batch, >= 1.
        shuffle: True, a new order of all rows in each epoch; `"blocks"`, see `Loader`; False, the table's order.
        seed: integer >= 0; None is 0. Equal seeds give equal orders, on any machine.
        subset: `"validation"`, the first `validation_split` of the rows; `"training"`, the rest; None, all rows.
        validation_split: share of the rows, between 0 and 1; only together with `subset`.
        interpolation: `"nearest"`, `"bilinear"`, `"bicubic"`, `"lanczos"`, `"box"` or `"hamming"`.
        keep_aspect_ratio: crop the middle to the aspect of `target_size` instead of stretching.
        validate_filenames: look up every file now; False finds a missing file when its batch is read.
        rescale: factor of all pixel values, in float32.
        data_format: `"channels_last"` (None) or `"channels_first"`.
        dtype: `"float32"` (0 to 255 before `rescale`), or `"uint8"`, a quarter of the memory.
        on_missing: rows without a file: `"raise"`, or `"drop"` them and list them in `loader.dropped`.
        on_unlisted: labels that are not in `classes`: `"raise"`, or `"drop"` them, and the rows that have no other
            label, and list them in `loader.dropped`.
        features: None; a path, URL or array as in `mtgen.Rows`, or `Rows` or `Columns` as they are.
        feature_index: column with the feature row of each table row; see `Rows`.
        feature_key: column to compare with the keys of the features; see `Rows`.
        **options: of `Loader`: `num_workers`, `memory`, `drop_last`, ... Options of `ImageDataGenerator` that mtgen
            leaves to the model are refused, with what to write there, unless they ask for nothing.

    Returns:
        A `Loader` with the attributes of the Keras class: `class_indices`, `classes`, `filenames`, `samples`.

    Raises:
        TableError: a column or value that cannot be used, files that are missing, labels that are not listed.
        PlanError: settings that contradict each other, or that mtgen does not do.
        AlignmentError, StoreError: see `Rows`.

    Example:
        >>> table = mtgen.read_table("data_samples/digits/table.csv").astype({"target": str})
        >>> loader = from_dataframe(
        ...     table, "data_samples/digits", "imgpath", "target", target_size=(8, 8), rescale=1 / 255,
        ...     features="data_samples/digits/features.bcolz")
        >>> batch = loader.batch(0)
        >>> batch.inputs["image"].shape, batch.inputs["features"].shape, batch.targets["target"].shape
        ((32, 8, 8, 3), (32, 32), (32, 10))
    """
    check_table(dataframe)
    loader_options = checks.loader_options(options, from_dataframe)
    checks.check_choices(
        class_mode=class_mode,
        color_mode=color_mode,
        interpolation=interpolation,
        subset=subset,
        on_missing=on_missing,
        on_unlisted=on_unlisted,
        dtype=dtype,
        shuffle=shuffle,
    )
    checks.check_together(class_mode, y_col, weight_col, classes)
    if on_missing == "drop" and not validate_filenames:
        raise PlanError("on_missing='drop' needs validate_filenames=True: without it no file is looked up")
    images = Images(
        x_col,
        root=directory or None,
        size=checks.checked_size(target_size),
        color=color_mode,
        recipe="keras",
        fit="crop" if keep_aspect_ratio else "stretch",
        filter=interpolation,
        dtype=dtype,
        scale=None if rescale is None else (rescale, 0.0),
        data_format=data_format or "channels_last",
    )
    choice = Choice(dataframe)
    if validate_filenames:
        choice.look_for_files(images, on_missing)
    if class_mode in NUMBERED:
        classes = choice.look_for_classes(str(y_col), classes, class_mode, on_unlisted)
    choice.take_subset(subset, validation_split)
    inputs: dict[str, Any] = {"image": images, **checks.feature_input(features, feature_index, feature_key)}
    dataset = Dataset(dataframe, inputs, _targets(dataframe, class_mode, y_col, classes, images), weight_col)
    return DataFrameLoader(
        dataset if len(choice.rows) == len(dataset) else dataset.take(choice.rows),
        batch_size,
        x_col=x_col,
        y_col=str(y_col) if class_mode in NUMBERED else None,
        dropped=choice.dropped,
        seed=0 if seed is None else seed,
        shuffle="exact" if shuffle is True else shuffle,
        **loader_options,
    )


def _targets(
    table: pd.DataFrame, class_mode: str | None, y_col: Any, classes: Any, images: Images
) -> dict[str, Any] | None:
    if class_mode is None:
        return None
    if class_mode == "input":
        return {"image": images}
    if class_mode == "multi_output":
        return {name: Target(name) for name in y_col}
    if class_mode == "raw":
        _check_numbers(table, [y_col] if isinstance(y_col, str) else y_col)
        return {y_col if isinstance(y_col, str) else "target": Target(y_col)}
    kind = OneHot if class_mode == "categorical" else ClassNumbers
    # Rows that are not taken may hold other labels; those that are taken were looked through before.
    return {y_col: kind(y_col, classes, dtype="float32", unlisted="ignore")}


def _check_numbers(table: pd.DataFrame, names: Sequence[str]) -> None:
    for name in names:
        values = column(table, name, "y_col")
        if isinstance(values.dtype, pd.CategoricalDtype) or pd.api.types.infer_dtype(values) == "string":
            raise TableError(
                f"class_mode='raw' delivers values as they are, and column {name!r} holds text (first "
                f"{values.iloc[0]!r}), which no model takes; use class_mode='sparse' or 'categorical' for classes"
            )
