"""Feature maps: what a layer gives for chosen samples."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from mtgen.errors import ModelError, PlanError
from mtgen.training.measures.graph import convolutions_behind, inputs_of

MOST_NAMES = 12


def layer_named(model: Any, name: str) -> Any:
    """A layer of the model.

    Raises:
        PlanError: no such layer; lists those there are.
    """
    for layer in model.layers:
        if layer.name == name:
            return layer
    names = [layer.name for layer in model.layers]
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    raise PlanError(f"the model has no layer {name!r}; its layers are {', '.join(names[:MOST_NAMES])}{more}")


def first_convolution(model: Any, name: str) -> Any | None:
    """The first convolution behind an input that is a layer of the model itself; None where there is none."""
    own = {id(layer) for layer in model.layers}
    return next((one for one in convolutions_behind(model, name) if id(one) in own), None)


def behind(model: Any, layer: Any) -> list[str]:
    """Names of the inputs that a layer's output depends on."""
    found: dict[str, None] = {}
    waiting, seen = [_output(layer)], set()
    names = {id(tensor): name for name, tensor in inputs_of(model).items()}
    while waiting:
        tensor = waiting.pop()
        if id(tensor) in seen:
            continue
        seen.add(id(tensor))
        if id(tensor) in names:
            found[names[id(tensor)]] = None
        history = tensor._keras_history
        nodes = getattr(history.operation, "_inbound_nodes", [])
        if history.node_index < len(nodes):
            waiting += nodes[history.node_index].input_tensors
    return [name for name in inputs_of(model) if name in found]


def asker(model: Any, layer: Any) -> Callable[[Mapping[str, np.ndarray]], np.ndarray]:
    """What asks a layer: `ask(inputs)` is what it gives, with the model's values as they are at the time.

    Args:
        model: a functional or sequential model.
        layer: one of its layers.

    Returns:
        A function of the inputs, name -> `(rows, ...)`. It gives float64 `(rows, *axes, channels)`, channels last
        whatever the layer has; of a dense layer `(rows, units)`. It raises `ModelError` where that fails.

    Raises:
        ModelError: a layer with several outputs, or with none of its own.
    """
    import keras

    tensors = inputs_of(model)
    part = keras.Model(dict(tensors), _output(layer))
    first = getattr(layer, "data_format", None) == "channels_first"

    def ask(inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        try:
            given = part.predict({name: inputs[name] for name in tensors}, batch_size=32, verbose=0)
        except (ValueError, TypeError, RuntimeError) as error:
            raise ModelError(f"the layer {layer.name!r} cannot be asked: {error}") from error
        values = np.asarray(given).astype(np.float64)
        return np.moveaxis(values, 1, -1) if first and values.ndim > 2 else values

    return ask


def _output(layer: Any) -> Any:
    try:
        output = layer.output
    except (AttributeError, ValueError) as error:
        raise ModelError(f"the layer {layer.name!r} has no output of its own to look at: {error}") from error
    if isinstance(output, list | tuple | dict):
        raise ModelError(f"the layer {layer.name!r} has several outputs; choose one with a single one")
    return output


def chosen_channels(maps: np.ndarray, most: int) -> np.ndarray:
    """Channels in which samples and places differ most, in ascending order.

    Args:
        maps: `(rows, *axes, channels)`.
        most: channels at most.

    Returns:
        int64 `(channels,)`.

    Example:
        >>> chosen_channels(np.array([[[0.0, 1.0, 2.0], [0.0, 3.0, 2.5]]]), 2).tolist()
        [1, 2]
    """
    flat = maps.reshape(-1, maps.shape[-1])
    with np.errstate(invalid="ignore"):
        varied = np.nan_to_num(np.nanvar(np.where(np.isfinite(flat), flat, 0.0), axis=0))
    return np.sort(np.argsort(-varied, kind="stable")[:most])
