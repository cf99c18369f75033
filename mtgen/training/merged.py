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
    """What the model predicts.

    Args:
        num_classes: classes, >= 2, predicted as probabilities; None for one number per sample.
        scaling: of the target, for one number per sample.
    """

    num_classes: int | None = None
    scaling: Scaling | None = None


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
    inputs: Mapping[str, Spec],
    output: Output,
    *,
    scalings: Mapping[str, Scaling] | None = None,
    data_format: str = "channels_last",
    seed: int = 0,
    width: Width | None = None,
) -> keras.Model:
    """Build the merged model, or one branch of it where there is one input.

    Every input of three axes is a picture and gets convolutions, every other one is features and gets a dense layer;
    the branches are concatenated, then come a dense layer and the output. Pictures are scaled to 0..1 by their dtype
    inside the model (float pictures are taken as they are), so the loader can deliver bytes.

    Args:
        inputs: name -> shape and dtype of one sample, such as `dataset.input_specs`.
        output: what to predict.
        scalings: name of a features input -> its `Scaling`; without one, values are taken as they are.
        data_format: of pictures, `"channels_last"` or `"channels_first"`.
        seed: integer >= 0; equal seeds give equal weights.
        width: how large the model is.

    Returns:
        A model that is not compiled; its inputs have the given names in the given order, its output is `output`.

    Raises:
        ModelError: no input, or fewer than two classes.

    Example:
        >>> specs = {"image": Spec(shape=(4, 8, 1), dtype=np.dtype("uint8")),
        ...          "features": Spec(shape=(32,), dtype=np.dtype("float32"))}
        >>> merged_model(specs, Output(num_classes=10)).output_shape
        (None, 10)
    """
    import keras

    if not inputs:
        raise ModelError("merged_model needs at least one input, received none")
    if output.num_classes is not None and output.num_classes < 2:
        raise ModelError(f"a classifier needs at least two classes, received {output.num_classes}")
    layers = _Layers(seed=seed, width=width or Width())
    tensors, branches = [], []
    for name, spec in inputs.items():
        is_picture = len(spec.shape) == 3
        dtype = str(spec.dtype) if is_picture and str(spec.dtype) in _PIXEL_RANGES else "float32"
        tensors.append(keras.Input(spec.shape or (1,), dtype=dtype, name=name))
        if is_picture:
            branches.append(_picture_branch(layers, name, tensors[-1], data_format))
        else:
            branches.append(_feature_branch(layers, name, tensors[-1], (scalings or {}).get(name)))
    joined = keras.layers.Concatenate(name="merged")(branches) if len(branches) > 1 else branches[0]
    joined = layers.dropout("merged_dropout")(joined)
    joined = layers.dense("joint", layers.width.units, "relu")(joined)
    joined = layers.dropout("joint_dropout")(joined)
    return keras.Model(tensors, _output(layers, output, joined), name="merged" if len(branches) > 1 else "single")


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


def _output(layers: _Layers, output: Output, joined: Any) -> Any:
    import keras

    if output.num_classes is not None:
        return layers.dense("output", output.num_classes, "softmax")(joined)
    if output.scaling is None:
        return layers.dense("output", 1, None)(joined)
    number = layers.dense("output_scaled", 1, None)(joined)
    return keras.layers.Rescaling(float(output.scaling.deviation), offset=float(output.scaling.mean), name="output")(
        number
    )
