"""The merged model: a branch of convolutions for pictures, a dense branch for features, joined before the output.

Keras is imported when a model is built. No global state is touched: every random weight comes from a seed given here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from mtgen import seeds
from mtgen.errors import ModelError
from mtgen.settings import shown
from mtgen.spec import Spec

if TYPE_CHECKING:
    import keras

SMALLEST_MAP = 8
"""Feature maps are halved until the longer side is at most this, in pixels: 150 becomes 5 after five halvings."""

MOST_FILTERS = 256
"""Filters double with each halving up to this."""

_PIXEL_RANGES = {"uint8": 255.0, "uint16": 65535.0}


@dataclass(frozen=True, kw_only=True, eq=False)
class Scaling:
    """What brings values to mean 0 and deviation 1, measured on training rows.

    Args:
        mean: one value, or one per feature `(n,)`.
        deviation: likewise, > 0.
    """

    mean: np.ndarray
    deviation: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray) -> Scaling:
        """Measure `(rows, ...)`; a constant feature gets deviation 1.

        Example:
            >>> Scaling.of(np.array([[0.0, 5.0], [2.0, 5.0]])).deviation.tolist()
            [1.0, 1.0]
        """
        wide = values.astype(np.float64)
        deviation = wide.std(axis=0)
        return cls(mean=wide.mean(axis=0), deviation=np.where(deviation > 0, deviation, 1.0))


@dataclass(frozen=True, kw_only=True)
class Width:
    """How large the merged model is, and how hard it is held back from learning by heart.

    Args:
        filters: filters of the first convolution.
        units: units of each dense layer.
        dropout: share of units left out in training, in [0, 1).
    """

    filters: int = 32
    units: int = 128
    dropout: float = 0.4


@dataclass(frozen=True, kw_only=True, eq=False)
class Output:
    """What the model predicts for one target: classes, or numbers.

    Args:
        num_classes: classes, >= 2, predicted as probabilities; None for numbers.
        several: a row may belong to several classes or none: each class has a probability of its own, in [0, 1].
        num_values: numbers per sample, >= 1, where there are no classes; None for one, `(batch,)` in the table.
        scaling: of the target, for numbers: what the model gives is in the unit of the table.

    Raises:
        ModelError: settings that contradict each other, fewer than two classes.

    Example:
        >>> Output(num_classes=10).size, Output(num_values=3).size, Output().size
        (10, 3, 1)
    """

    num_classes: int | None = None
    several: bool = False
    num_values: int | None = None
    scaling: Scaling | None = None

    def __post_init__(self) -> None:
        for name, least in (("num_classes", 1 if self.several else 2), ("num_values", 1)):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < least):
                raise ModelError(
                    f"{name} must be an integer >= {least}, received {shown(value)}"
                    + (": a classifier needs at least two classes" if name == "num_classes" else "")
                )
        if self.num_classes is not None and (self.num_values is not None or self.scaling is not None):
            raise ModelError("an output is of classes or of numbers: num_values and scaling are for numbers")
        if self.several and self.num_classes is None:
            raise ModelError("several=True is for classes: give num_classes")

    @property
    def size(self) -> int:
        """Values per sample."""
        return self.num_classes or self.num_values or 1


Targets = int | Output | None | Mapping[str, int | Output | None]
"""What is predicted: a number of classes, an `Output`, None for one number; or target name -> one of these."""


@dataclass(frozen=True, kw_only=True, eq=False)
class _Layers:
    """Keras layers with weights from one seed; a layer's weights depend on its name, not on what stands before it."""

    seed: int
    width: Width = field(default_factory=Width)

    def seed_of(self, name: str) -> int:
        return seeds.key(self.seed, f"weights/{name}") % 2**31

    def dense(self, name: str, units: int, activation: str | None) -> Any:
        import keras

        start = keras.initializers.GlorotUniform(seed=self.seed_of(name))
        return keras.layers.Dense(units, activation=activation, kernel_initializer=start, name=name)

    def convolution(self, name: str, filters: int, data_format: str) -> Any:
        import keras

        start = keras.initializers.GlorotUniform(seed=self.seed_of(name))
        return keras.layers.Conv2D(
            filters, 3, padding="same", activation="relu", data_format=data_format, kernel_initializer=start, name=name
        )

    def dropout(self, name: str) -> Any:
        import keras

        return keras.layers.Dropout(self.width.dropout, seed=self.seed_of(name), name=name)


def merged_model(
    image_spec: Spec | Mapping[str, Spec] | None,
    feature_spec: Spec | Mapping[str, Spec] | None,
    targets: Targets,
    *,
    scalings: Mapping[str, Scaling] | None = None,
    data_format: str = "channels_last",
    seed: int = 0,
    width: Width | None = None,
) -> keras.Model:
    """Build the merged model: pictures and features, one or both, any number of each.

    Every picture gets convolutions, every features input a dense layer; the branches are concatenated, then come a
    dense layer and one output per target. Pictures are scaled to 0..1 by their dtype inside the model (float pictures
    are taken as they are), so the loader can deliver bytes. Any thread; the caller owns the model.

    Args:
        image_spec: shape `(height, width, channels)` and dtype of one picture, as input `image`; or input name ->
            `Spec`; None for no picture.
        feature_spec: shape and dtype of one features row, of any number of axes, as input `features`; or input name ->
            `Spec`; None for no features.
        targets: see `Targets`.
        scalings: name of a features input -> its `Scaling`; without one, values are taken as they are.
        data_format: of pictures, `"channels_last"` or `"channels_first"`.
        seed: integer >= 0; equal seeds give equal weights.
        width: how large the model is.

    Returns:
        A model that is not compiled. Its inputs have the given names, pictures first; its output is called `output`
        where there is one target, else each is called as its target (or `TARGET_output` for all, where a target is
        called as an input or a layer is).

    Raises:
        ModelError: no input, no target, a picture without three axes, two inputs of one name.

    Example:
        >>> image = Spec(shape=(4, 8, 1), dtype=np.dtype("uint8"))
        >>> features = Spec(shape=(32,), dtype=np.dtype("float32"))
        >>> merged_model(image, features, 10).output_shape
        (None, 10)
        >>> merged_model(None, features, {"kind": 3, "price": None}).output_shape
        [(None, 3), (None, 1)]
    """
    import keras

    images, features = _named_specs("image", image_spec), _named_specs("features", feature_spec)
    outputs = _named_outputs(targets)
    _check_specs(images, features)
    layers = _Layers(seed=seed, width=width or Width())
    tensors, branches = [], []
    for name, spec in images.items():
        dtype = str(spec.dtype) if str(spec.dtype) in _PIXEL_RANGES else "float32"
        tensors.append(keras.Input(spec.shape, dtype=dtype, name=name))
        branches.append(_picture_branch(layers, name, tensors[-1], data_format))
    for name, spec in features.items():
        tensors.append(keras.Input(spec.shape or (1,), dtype="float32", name=name))
        branches.append(_feature_branch(layers, name, tensors[-1], (scalings or {}).get(name)))
    joined = keras.layers.Concatenate(name="merged")(branches) if len(branches) > 1 else branches[0]
    joined = layers.dropout("merged_dropout")(joined)
    joined = layers.dense("joint", layers.width.units, "relu")(joined)
    joined = layers.dropout("joint_dropout")(joined)
    known = {layer.name for layer in keras.Model(tensors, joined).layers}
    made = [
        _output(layers, name, one, joined)
        for name, one in zip(_output_names(list(outputs), known), outputs.values(), strict=True)
    ]
    return keras.Model(tensors, made if len(made) > 1 else made[0], name="merged" if len(branches) > 1 else "single")


def _named_specs(name: str, given: Spec | Mapping[str, Spec] | None) -> dict[str, Spec]:
    named = {name: given} if isinstance(given, Spec) else given or {}
    if not isinstance(named, Mapping) or not all(isinstance(spec, Spec) for spec in named.values()):
        raise ModelError(f"{name}_spec must be a Spec, a dict of name -> Spec, or None, received {shown(given)}")
    return dict(named)


def _check_specs(images: Mapping[str, Spec], features: Mapping[str, Spec]) -> None:
    if not images and not features:
        raise ModelError("merged_model needs at least one input, received none")
    if twice := set(images) & set(features):
        raise ModelError(f"a picture and features are both called {sorted(twice)[0]!r}: inputs need names of their own")
    for name, spec in images.items():
        if len(spec.shape) != 3:
            raise ModelError(
                f"picture {name!r} is {spec}, and a picture has three axes, (height, width, channels): give it as "
                "features, or write a model of your own"
            )


def _named_outputs(targets: Targets) -> dict[str, Output]:
    named = targets if isinstance(targets, Mapping) else {"output": targets}
    if not named:
        raise ModelError("merged_model needs at least one target, received none")
    found = {}
    for name, one in named.items():
        if not isinstance(one, Output | int | None) or isinstance(one, bool):
            raise ModelError(
                f"target {name!r} must be a number of classes, an Output, or None for a number, received {shown(one)}"
            )
        found[str(name)] = one if isinstance(one, Output) else Output(num_classes=one)
    return found


def _output_names(targets: list[str], known: set[str]) -> list[str]:
    """Names of the output layers, in the order of targets: all like their targets, or none."""
    if len(targets) == 1:
        return ["output"]
    names = targets
    while known & {*names, *(f"{name}_scaled" for name in names)} or any("/" in name for name in names):
        names = [f"{name.replace('/', '_')}_output" for name in names]
    if len(set(names)) < len(names):
        raise ModelError(f"targets {targets} differ in a / only, of which Keras takes none in a name: rename one")
    return names


def _picture_branch(layers: _Layers, name: str, tensor: Any, data_format: str) -> Any:
    import keras

    scale = 1 / _PIXEL_RANGES.get(str(tensor.dtype), 1.0)
    result = keras.layers.Rescaling(scale, name=f"{name}_scaled")(tensor)
    filters = layers.width.filters
    result = layers.convolution(f"{name}_conv_0", filters, data_format)(result)
    sides = tensor.shape[1:3] if data_format == "channels_last" else tensor.shape[2:4]
    longer, depth = max(sides), 0
    while longer > SMALLEST_MAP:
        depth, filters, longer = depth + 1, min(2 * filters, MOST_FILTERS), -(-longer // 2)
        pool = keras.layers.MaxPooling2D(2, padding="same", data_format=data_format, name=f"{name}_pool_{depth}")
        result = layers.convolution(f"{name}_conv_{depth}", filters, data_format)(pool(result))
    result = layers.convolution(f"{name}_conv_last", min(2 * filters, MOST_FILTERS), data_format)(result)
    result = keras.layers.Flatten(name=f"{name}_flat")(result)
    result = layers.dropout(f"{name}_dropout")(result)
    return layers.dense(f"{name}_dense", layers.width.units, "relu")(result)


def _feature_branch(layers: _Layers, name: str, tensor: Any, scaling: Scaling | None) -> Any:
    import keras

    result = tensor
    if scaling is not None:
        factor = 1 / scaling.deviation
        result = keras.layers.Rescaling(
            factor.tolist(), offset=(-scaling.mean * factor).tolist(), name=f"{name}_scaled"
        )(result)
    if len(tensor.shape) != 2:
        result = keras.layers.Flatten(name=f"{name}_flat")(result)
    return layers.dense(f"{name}_dense", layers.width.units, "relu")(result)


def _output(layers: _Layers, name: str, output: Output, joined: Any) -> Any:
    import keras

    if output.num_classes is not None:
        return layers.dense(name, output.num_classes, "sigmoid" if output.several else "softmax")(joined)
    if output.scaling is None:
        return layers.dense(name, output.size, None)(joined)
    numbers = layers.dense(f"{name}_scaled", output.size, None)(joined)
    scale, offset = (
        np.broadcast_to(one, output.size).tolist() for one in (output.scaling.deviation, output.scaling.mean)
    )
    if output.size == 1:
        (scale,), (offset,) = scale, offset
    return keras.layers.Rescaling(scale, offset=offset, name=name)(numbers)
