"""What a Keras model's variables belong to, as JSON: so that its filters can be drawn without Keras."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

from mtgen.adapters.variables import printable

_LEAST_AXES = 2
"""Axes that a kernel has at least; biases, scales and counters have fewer."""


def variable_names(model: Any) -> list[str]:
    """A name for each of `model.variables`, in order: its path, such as `dense/kernel`; a second one gets `#2`."""
    names: list[str] = []
    seen: dict[str, int] = {}
    for variable in model.variables:
        path = printable(variable.path)
        seen[path] = seen.get(path, 0) + 1
        names.append(path if seen[path] == 1 else f"{path}#{seen[path]}")
    return names


def described_variables(model: Any) -> dict[str, dict[str, Any]]:
    """Of each variable: name -> `layer`, `layer_class`, `variable` (its name in the layer), `trainable`."""
    owners: dict[int, Any] = {}
    for layer in _layers(model):  # those that hold others come first, so the innermost one stays
        for variable in layer.variables:
            owners[id(variable)] = layer
    found = {}
    for name, variable in zip(variable_names(model), model.variables, strict=True):
        owner = owners.get(id(variable), model)
        found[name] = {
            "layer": str(owner.name),
            "layer_class": type(owner).__name__,
            "variable": str(variable.name),
            "trainable": bool(variable.trainable),
        }
    return found


def _layers(layer: Any) -> Iterator[Any]:
    yield layer
    for part in getattr(layer, "_layers", ()):
        yield from _layers(part)


def first_layers(model: Any) -> dict[str, dict[str, Any]]:
    """Of each input of a functional or sequential model: its shape, and the first layers with a kernel on the way.

    A branch may have several first layers, where it parts before them; and none, where it goes straight into what joins
    the branches: the kernel behind that is no filter of this input.

    Returns:
        name -> `shape` (None stands for any length) and `first_layers`, names of layers; empty for a model that was
        written as a class, whose branches nobody can see.
    """
    graph = _graph(model)
    if graph is None:
        return {}
    return {
        str(name): {"shape": list(tensor.shape), "first_layers": _first(tensor, graph)}
        for name, tensor in zip(_input_names(model, graph), graph.inputs, strict=True)
    }


def _graph(model: Any) -> Any:
    """What connects the layers of a functional or sequential model; None for any other."""
    graph = getattr(model, "_functional", None) or model
    return graph if hasattr(graph, "_nodes") and getattr(graph, "inputs", None) else None


def _input_names(model: Any, graph: Any) -> list[Any]:
    names = list(getattr(graph, "input_names", None) or [])
    return names if len(names) == len(graph.inputs) else [tensor.name for tensor in graph.inputs]


def _first(tensor: Any, graph: Any) -> list[str]:
    """Layers with a kernel that the tensor reaches through layers without one and of one input."""
    operations = {id(one) for one in graph.operations}
    found: list[str] = []
    waiting, seen = deque([tensor]), {id(tensor)}
    while waiting:
        one = waiting.popleft()
        for node in one._keras_history.operation._outbound_nodes:
            if id(node.operation) not in operations or not any(one is given for given in node.input_tensors):
                continue
            if any(len(variable.shape) >= _LEAST_AXES for variable in getattr(node.operation, "variables", ())):
                inside = _graph(node.operation)
                places = [place for place, given in enumerate(node.input_tensors) if given is one]
                names = (
                    [name for place in places for name in _first(inside.inputs[place], inside)]
                    if inside
                    else [str(node.operation.name)]
                )
                found += [name for name in names if name not in found]
            elif len({id(given) for given in node.input_tensors}) == 1:
                new = [made for made in node.outputs if id(made) not in seen]
                seen.update(map(id, new))
                waiting.extend(new)
    return found
