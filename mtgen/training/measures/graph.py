"""Which layer of a model an input meets first, found in the model's graph."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from mtgen.errors import ModelError

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
    return {
        name: None if (layer := _first(tensor)) is None else _described(name, tensor, layer)
        for name, tensor in inputs_of(model).items()
    }


def inputs_of(model: Any) -> dict[str, Any]:
    """Symbolic inputs of a model by name, in its order.

    Raises:
        ModelError: a model that has none, such as a subclass of `keras.Model` with a `call` of its own.
    """
    import keras

    tensors = None
    if isinstance(model, keras.Model):
        try:
            tensors = model.inputs
        except (AttributeError, ValueError):
            tensors = None
    if not tensors:
        raise ModelError(
            f"model {getattr(model, 'name', model)!r} does not say how its layers are joined: pictures of layers need "
            "a functional or a sequential model"
        )
    return {str(tensor.name): tensor for tensor in tensors}


def convolutions_behind(model: Any, name: str) -> list[Any]:
    """Convolutions that the input `name` reaches before it meets another input's branch, in the graph's order."""
    return [one for one in _walk(inputs_of(model)[name]) if _is_convolution(one)]


def _described(name: str, tensor: Any, layer: Any) -> FirstLayer:
    data_format = getattr(layer, "data_format", None) or "channels_last"
    return FirstLayer(input=name, shape=tuple(tensor.shape)[1:], layer=layer, data_format=str(data_format))


def _first(tensor: Any) -> Any | None:
    return next((one for one in _walk(tensor) if _kernel_of(one) is not None), None)


def _walk(tensor: Any) -> Iterator[Any]:
    """Operations that take the tensor, and those that take their results, breadth first, each once."""
    waiting, seen = [tensor], set()
    while waiting:
        current = waiting.pop(0)
        for operation in _consumers(current):
            if id(operation) in seen:
                continue
            seen.add(id(operation))
            inner = _inner_input(operation, current)
            if inner is not None:
                yield from _walk(inner)
            else:
                yield operation
            if _joins(operation):
                continue  # behind it, it is no branch of this input alone
            for node in operation._inbound_nodes:
                if any(one is current for one in node.input_tensors):
                    waiting += node.output_tensors


def _consumers(tensor: Any) -> list[Any]:
    """Operations that take a symbolic tensor; Keras keeps them as nodes of the operation that made it."""
    history = tensor._keras_history
    nodes = getattr(history.operation, "_outbound_nodes", [])
    return [node.operation for node in nodes if any(one is tensor for one in node.input_tensors)]


def _joins(operation: Any) -> bool:
    nodes = operation._inbound_nodes
    return any(len({id(one) for one in node.input_tensors}) > 1 for node in nodes)


def _inner_input(operation: Any, tensor: Any) -> Any | None:
    """The input of a model that is used as a layer, which gets the tensor; None for plain layers."""
    import keras

    if not isinstance(operation, keras.Model):
        return None
    try:
        inner = list(inputs_of(operation).values())
    except ModelError:
        return None
    for node in operation._inbound_nodes:
        for place, one in enumerate(node.input_tensors):
            if one is tensor and place < len(inner):
                return inner[place]
    return None


def _kernel_of(operation: Any) -> Any:
    for name in _KERNELS:
        found = getattr(operation, name, None)
        if found is not None and getattr(found, "shape", None) is not None and len(found.shape) >= 2:
            return found
    return None


def _is_convolution(operation: Any) -> bool:
    kernel = _kernel_of(operation)
    return kernel is not None and len(kernel.shape) > 2 and hasattr(operation, "kernel_size")
