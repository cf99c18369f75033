"""What a Keras model's variables belong to, as JSON, so that its filters can be drawn without Keras; and its branches.

The walk along a branch is the only one: `mtgen.training.measures.graph` draws what it finds.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator
from typing import Any

from mtgen.adapters.variables import printable

_LEAST_AXES = 2
"""Axes that a kernel has at least; biases, scales and counters have fewer."""
_ELEMENTWISE = ("gamma", "beta", "alpha", "mean", "variance")
"""Variables of Keras's LayerNormalization, PReLU and Normalization: of any axes, and each value has its own."""


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

    Returns:
        name -> `shape` (None stands for any length) and `first_layers`, names of layers; empty for a model that was
        written as a class, whose branches nobody can see.
    """
    return {
        name: {
            "shape": list(tensor.shape),
            "first_layers": list(dict.fromkeys(str(one.name) for one in first_behind(model, tensor))),
        }
        for name, tensor in inputs_of(model).items()
    }


def inputs_of(model: Any) -> dict[str, Any]:
    """Symbolic inputs of a functional or sequential model by name, in its order; none of any other."""
    graph = _graph(model)
    return {} if graph is None else {str(tensor.name): tensor for tensor in graph.inputs}


def first_behind(model: Any, tensor: Any) -> list[Any]:
    """The first layers with a kernel, or with whatever else has two axes or more, behind an input of a model.

    There may be several, where the branch parts before them; and none, where it goes straight into what joins the
    branches: the kernel behind that is no filter of this input.
    """
    return [one for one in branch(model, tensor, _has_kernel) if _has_kernel(one)]


def branch(model: Any, tensor: Any, ends: Callable[[Any], bool] = lambda operation: False) -> list[Any]:
    """Layers and other operations behind an input of a model, breadth first, as far as they depend on it alone.

    What joins the branch with another one, or with another part of itself, is the last. Of a model that is a layer
    there are the layers inside; of one that was written as a class, itself.

    Args:
        model: a functional or sequential model.
        tensor: one of `inputs_of`.
        ends: whether to look no further behind an operation.
    """
    return list(dict.fromkeys(_walk(tensor, _graph(model), ends)))


def _graph(model: Any) -> Any:
    """What connects the layers of a functional or sequential model; None for any other."""
    graph = getattr(model, "_functional", None) or model
    return graph if hasattr(graph, "_nodes_by_depth") and getattr(graph, "inputs", None) else None


def _has_kernel(operation: Any) -> bool:
    variables = getattr(operation, "variables", ())
    return any(len(one.shape) >= _LEAST_AXES and one.name not in _ELEMENTWISE for one in variables)


def _walk(tensor: Any, graph: Any, ends: Callable[[Any], bool]) -> Generator[Any, None, set[int]]:
    """Yields operations, maybe again; returns the ids of all tensors reached."""
    nodes = {id(node) for same_depth in graph._nodes_by_depth.values() for node in same_depth}
    waiting, seen = deque([tensor]), {id(tensor)}
    while waiting:
        one = waiting.popleft()
        for node in one._keras_history.operation._outbound_nodes:  # of all models that were made of it
            places = [place for place, given in enumerate(node.input_tensors) if given is one]
            if id(node) not in nodes or not places:
                continue
            inside = _graph(node.operation)
            made = node.outputs
            if inside is None:
                yield node.operation
                made = [] if ends(node.operation) else made
            else:
                reached: set[int] = set()
                for place in (place for place in places if place < len(inside.inputs)):  # what follows are masks
                    reached |= yield from _walk(inside.inputs[place], inside, ends)
                made = [outer for outer, inner in zip(made, inside.outputs, strict=True) if id(inner) in reached]
            if len(places) == len(node.input_tensors):  # else behind it, it is no branch of this input alone
                new = [other for other in made if id(other) not in seen]
                seen.update(map(id, new))
                waiting.extend(new)
    return seen
