"""Which layer of a model an input meets first, and its kernel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mtgen.errors import ModelError
from mtgen.training.record import layers

_KERNELS = ("_kernel", "kernel", "depthwise_kernel")
"""Where layers of Keras keep the variable; `kernel` may be a sum with what was added to it later."""


@dataclass(frozen=True, kw_only=True, eq=False)
class FirstLayer:
    """The first layer with a kernel behind an input.

    Args:
        input: name of the input.
        shape: of one sample of it, without the batch axis; None for an axis of any length.
        layer: the Keras layer.
        data_format: of the layer, `channels_last` where it has none.
    """

    input: str
    shape: tuple[int | None, ...]
    layer: Any
    data_format: str

    @property
    def name(self) -> str:
        """Name of the layer."""
        return str(self.layer.name)

    @property
    def is_convolution(self) -> bool:
        """Whether it is a convolution, of any dimension."""
        return _is_convolution(self.layer)

    @property
    def is_dense(self) -> bool:
        """Whether it is one matrix, features down and units across."""
        return not self.is_convolution and len(_kernel_of(self.layer).shape) == 2

    def kernel(self) -> np.ndarray:
        """The kernel as it is now, a new float64 array.

        Returns:
            `(*window, channels, filters)` of convolutions, `(features, units)` of dense layers.
        """
        import keras

        kernel = _kernel_of(self.layer)
        return np.asarray(keras.ops.convert_to_numpy(getattr(kernel, "value", kernel))).astype(np.float64)


def first_layers(model: Any) -> dict[str, FirstLayer | None]:
    """The first layer with a kernel behind each input of a model; None where an input meets none.

    Layers inside of a model that is a layer are looked at too.

    Args:
        model: a built functional or sequential Keras model.

    Raises:
        ModelError: a model that does not say how its layers are joined.
    """
    return {name: _first(name, tensor, model) for name, tensor in inputs_of(model).items()}


def inputs_of(model: Any) -> dict[str, Any]:
    """Symbolic inputs of a model by name, in its order.

    Raises:
        ModelError: a model that has none, such as a subclass of `keras.Model` with a `call` of its own.
    """
    found = layers.inputs_of(model)
    if not found:
        raise ModelError(
            f"model {getattr(model, 'name', model)!r} does not say how its layers are joined: pictures of layers need "
            "a functional or a sequential model"
        )
    return found


def convolutions_behind(model: Any, name: str) -> list[Any]:
    """Convolutions that the input `name` reaches before it meets another input's branch, in the graph's order."""
    return [one for one in layers.branch(model, inputs_of(model)[name]) if _is_convolution(one)]


def _first(name: str, tensor: Any, model: Any) -> FirstLayer | None:
    layer = next((one for one in layers.first_behind(model, tensor) if _kernel_of(one) is not None), None)
    if layer is None:
        return None
    data_format = getattr(layer, "data_format", None) or "channels_last"
    return FirstLayer(input=name, shape=tuple(tensor.shape)[1:], layer=layer, data_format=str(data_format))


def _kernel_of(operation: Any) -> Any:
    for name in _KERNELS:
        found = getattr(operation, name, None)
        if found is not None and getattr(found, "shape", None) is not None and len(found.shape) >= 2:
            return found
    return None


def _is_convolution(operation: Any) -> bool:
    kernel = _kernel_of(operation)
    return kernel is not None and len(kernel.shape) > 2 and hasattr(operation, "kernel_size")
