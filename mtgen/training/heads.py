"""What a dataset's targets ask of a model: outputs, losses and metrics, measured on its own rows.

`model_for` builds the merged model for a dataset, `compile_for` chooses loss and metric of each target, also for a
model of the user's own. Keras is imported when a model is built or compiled.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mtgen.adapters.structure import Structure
from mtgen.dataset import Dataset
from mtgen.errors import ModelError, MtgenError
from mtgen.inputs.classes import BoundOneHot
from mtgen.inputs.columns import BoundColumns
from mtgen.inputs.images import BoundImages
from mtgen.pending import Field
from mtgen.repair import repairable
from mtgen.training.merged import Output, Scaling, Width, merged_model

if TYPE_CHECKING:
    import keras

SCALING_ROWS = 4096
"""Rows that features and number targets are scaled by: the mean is then known to 1.6 % of a deviation."""


@dataclass(frozen=True, kw_only=True)
class Head:
    """One target of a compiled model: what it is scored by.

    Args:
        target: name of the target in the dataset.
        output: name of the model's output.
        loss: name of Keras's loss.
        metric: what it is called in the logs, without the output's name.
        word: what it is called in lines for people.
        log: name in the logs; `val_` before it is that of the valid split.
        shrinks: smaller is better.
    """

    target: str
    output: str
    loss: str
    metric: str
    word: str
    log: str
    shrinks: bool


def model_for(
    dataset: Dataset,
    *,
    seed: int = 0,
    width: Width | None = None,
    leave_out_unreadable: bool = False,
) -> keras.Model:
    """The merged model for a dataset: outputs by its targets, features scaled by its own rows.

    Reads up to 4,096 rows of the features, evenly spread: give it the train split. Any thread; the caller owns the
    model.

    Args:
        dataset: inputs of three axes are pictures, all others features.
        seed: integer >= 0; equal seeds give equal weights.
        width: how large the model is.
        leave_out_unreadable: rows that cannot be read do not count, instead of being an error.

    Returns:
        A model that is not compiled; see `merged_model` for its names.

    Raises:
        ModelError: no target, or one that is neither classes nor numbers; features that are missing or infinite.
        StoreError, DecodeError: rows that cannot be read.

    Example:
        >>> table = pd.DataFrame({"a": [1.0, 2.0, 3.0], "kind": ["x", "y", "x"], "size": [0.5, 0.1, 0.2]})
        >>> data = mtgen.Dataset(table, {"a": mtgen.Columns("a")}, targets={"kind": "kind", "size": "size"})
        >>> model = compile_for(model_for(data), data, "adam")
        >>> model.output_names
        ['kind', 'size']
    """
    scalings, outputs = measured(dataset, leave_out_unreadable=leave_out_unreadable)
    specs = dataset.input_specs
    (layout,) = {
        getattr(one.bound.recipe, "data_format", "channels_last")
        for one in dataset.fields
        if one.role == "input" and isinstance(one.bound, BoundImages)
    } or {"channels_last"}
    targets: Any = outputs if len(outputs) > 1 else next(iter(outputs.values()))
    return merged_model(
        {name: spec for name, spec in specs.items() if len(spec.shape) == 3},
        {name: spec for name, spec in specs.items() if len(spec.shape) != 3},
        targets,
        scalings=scalings,
        data_format=layout,
        seed=seed,
        width=width,
    )


def compile_for(model: keras.Model, dataset: Dataset, optimizer: Any = "adam", *, masked: bool = False) -> keras.Model:
    """Compile a model with the loss and the metric that each target asks for.

    Classes: cross-entropy and accuracy. Several classes at once: cross-entropy of each, and the share of right ones.
    Numbers: the mean squared error, and the mean absolute one. Of classes, an output without an activation is taken
    for logits.

    Args:
        model: with an output per target, by name or in order.
        dataset: what it is trained on.
        optimizer: as `model.compile` takes it.
        masked: rows of weight 0 count in no metric.

    Returns:
        The model itself.

    Raises:
        ModelError: outputs that do not fit the targets.
    """
    found = heads_of(model, dataset)
    losses = [_loss(head, tensor) for head, tensor in zip(found, _outputs(model), strict=True)]
    metrics = [[_metric(head, tensor)] for head, tensor in zip(found, _outputs(model), strict=True)]
    alone = len(found) == 1
    kind = "weighted_metrics" if masked else "metrics"
    model.compile(
        optimizer,
        losses[0] if alone else _like(model, losses),
        **{kind: metrics[0] if alone else _like(model, metrics)},
    )
    return model


def heads_of(model: keras.Model, dataset: Dataset) -> list[Head]:
    """What the targets are scored by, in the order of the model's outputs.

    Raises:
        ModelError: outputs that do not fit the targets.
    """
    structure = Structure.of(dataset, model)
    structure.check(dataset, model)
    fields = {one.name: one for one in dataset.fields if one.role == "target"}
    tensors, names = _outputs(model), list(structure.output_names) or ["output"]
    if not structure.targets:
        raise ModelError("the dataset has no target, so there is nothing to learn")
    return [
        _head(fields[target], output, tensor, len(names) == 1)
        for target, output, tensor in zip(structure.targets, names, tensors, strict=True)
    ]


def _head(field: Field, output: str, tensor: Any, alone: bool) -> Head:
    one = output_for(field)
    if not len(tensor.shape):
        raise ModelError(f"the model's output {output!r} is one number for a whole batch: give it one for each row")
    size = tensor.shape[-1]
    if one.num_classes is None:
        loss, metric, word, shrinks = "mse", "mae", "mean absolute error", True
    elif one.several or (isinstance(field.bound, BoundOneHot) and _activation(tensor) == "sigmoid"):
        loss, metric, word, shrinks = "binary_crossentropy", "accuracy", "accuracy", False
    elif isinstance(field.bound, BoundOneHot):
        loss, metric, word, shrinks = "categorical_crossentropy", "accuracy", "accuracy", False
    elif size == 1:
        if one.num_classes > 2:
            raise ModelError(
                f"target {field.name!r} has {one.num_classes} classes, the model's output {output!r} has one value: "
                "give it a value per class"
            )
        loss, metric, word, shrinks = "binary_crossentropy", "accuracy", "accuracy", False
    else:
        loss, metric, word, shrinks = "sparse_categorical_crossentropy", "accuracy", "accuracy", False
    log = metric if alone else f"{output}_{metric}"
    return Head(target=field.name, output=output, loss=loss, metric=metric, word=word, log=log, shrinks=shrinks)


def _loss(head: Head, tensor: Any) -> Any:
    import keras

    if head.loss == "mse" or _activation(tensor) != "linear":
        return head.loss
    kinds = {
        "binary_crossentropy": keras.losses.BinaryCrossentropy,
        "categorical_crossentropy": keras.losses.CategoricalCrossentropy,
        "sparse_categorical_crossentropy": keras.losses.SparseCategoricalCrossentropy,
    }
    return kinds[head.loss](from_logits=True)


def _metric(head: Head, tensor: Any) -> Any:
    import keras

    if head.loss != "binary_crossentropy":
        return head.metric
    # By its shape Keras would take several classes at once for one of many.
    return keras.metrics.BinaryAccuracy(name="accuracy", threshold=0.0 if _activation(tensor) == "linear" else 0.5)


def _activation(tensor: Any) -> str | None:
    """Name of the activation that gives an output; None where the layer does not say."""
    history = getattr(tensor, "_keras_history", None)
    activation = getattr(getattr(history, "operation", None), "activation", None)
    return getattr(activation, "__name__", None)


def _outputs(model: keras.Model) -> list[Any]:
    """The output tensors, in the order of their names."""
    output = model.output
    if isinstance(output, Mapping):
        return list(output.values())
    return list(output) if isinstance(output, list | tuple) else [output]


def _like(model: keras.Model, values: list[Any]) -> Any:
    """A value per output, as the model has them."""
    output = model.output
    return dict(zip(output, values, strict=True)) if isinstance(output, Mapping) else values


def output_for(field: Field, scaling: Scaling | None = None) -> Output:
    """The output that a target asks for.

    Raises:
        ModelError: it is neither classes nor numbers.
    """
    bound, spec = field.bound, field.spec
    if isinstance(bound, BoundOneHot):
        return Output(num_classes=spec.shape[0], several=not bound.is_single)
    if not isinstance(bound, BoundColumns) or len(spec.shape) > 1:
        raise ModelError(
            f"target {field.name!r} is {spec} from {type(bound).__name__.removeprefix('Bound')}, and the merged model "
            "predicts classes and numbers: write a model of your own, and compile it"
        )
    if spec.shape:
        return Output(num_values=spec.shape[0], scaling=scaling)
    classes = None if spec.dtype.kind == "f" else bound.num_classes
    return Output(num_classes=classes) if classes is not None else Output(scaling=scaling)


def num_classes(dataset: Dataset) -> int | None:
    """Classes of the one target, or None where it is numbers."""
    (target,) = [one for one in dataset.fields if one.role == "target"]
    return output_for(target).num_classes


def measured(dataset: Dataset, *, leave_out_unreadable: bool = False) -> tuple[dict[str, Scaling], dict[str, Output]]:
    """Scalings of features, and outputs for targets, from rows spread evenly over the dataset.

    Args:
        dataset: the train split.
        leave_out_unreadable: rows that cannot be read are left out here; the loader counts and lists them.

    Returns:
        Name of each features input -> scaling; name of each target -> output.

    Raises:
        ModelError: values that are missing or infinite, or see `output_for`.
    """
    places = np.unique(np.linspace(0, len(dataset) - 1, min(SCALING_ROWS, len(dataset))).astype(np.int64))
    rows = dataset.rows[places]
    scalings, outputs = {}, {}
    for one in dataset.fields:
        if one.role == "input" and len(one.spec.shape) != 3:
            scalings[one.name] = Scaling.of(_finite(one, rows, leave_out_unreadable))
        elif one.role == "target":
            output = output_for(one)
            numbers = output.num_classes is None
            scaling = Scaling.of(_finite(one, rows, leave_out_unreadable)) if numbers else None
            outputs[one.name] = output_for(one, scaling)
    if not outputs:
        raise ModelError("the dataset has no target, so there is nothing to learn: name one, targets=...")
    return scalings, outputs


def _finite(one: Field, rows: np.ndarray, leave_out: bool) -> np.ndarray:
    kept, values = _readable(one, rows, leave_out)
    wrong = ~np.isfinite(values.reshape(len(values), -1)).all(axis=1)
    if wrong.any():
        raise ModelError(
            f"{one.role} {one.name!r} has values that are missing or infinite in {int(wrong.sum())} of {len(wrong)} "
            "rows looked at, and no model learns from them; fill them in",
            row=int(kept[np.argmax(wrong)]),
        )
    return values


def _readable(one: Field, rows: np.ndarray, leave_out: bool) -> tuple[np.ndarray, np.ndarray]:
    """The rows that can be read, and their values."""
    found = one.spec.empty(len(rows))
    try:
        one.bound.fetch(rows, found)
    except MtgenError as error:
        if not leave_out or not repairable(error):
            raise
    else:
        return rows, found
    read = np.ones(len(rows), bool)
    for place in range(len(rows)):
        try:
            one.bound.fetch(rows[place : place + 1], found[place : place + 1])
        except MtgenError as error:
            if not repairable(error):
                raise
            read[place] = False
    if not read.any():
        raise ModelError(f"none of {len(rows)} rows of {one.role} {one.name!r} can be read: is the disk there?")
    return rows[read], found[read]
