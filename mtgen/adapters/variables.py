"""What a Keras model has learned, as named arrays: read, compared with what was saved, and put back.

Arrays are named `<group>/<place>/<path>`, such as `model/0003/dense/kernel`. The place decides which variable an array
belongs to; the path is compared too, but for the numbers that Keras appends when a script builds several models.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from mtgen.spec import Spec

MOST_SHOWN = 5
"""Differences that a message lists before it counts the rest."""

Groups = Mapping[str, list[Any]]


def groups(model: Any, *, metrics: bool) -> Groups:
    """The variables of a compiled model by group.

    Weights, statistics such as those of BatchNormalization, and the states of seed generators such as those of Dropout
    are `model`; steps, moments and the learning rate are `optimizer`; sums over the epoch so far are `metrics`.

    Args:
        model: compiled and built.
        metrics: with the metrics.
    """
    found = {"model": list(model.variables), "optimizer": list(model.optimizer.variables)}
    return {**found, "metrics": list(model.metrics_variables)} if metrics else found


def build(model: Any, signature: Any) -> None:
    """Make the variables that Keras would make with the first batch; nothing is computed.

    Args:
        model: compiled.
        signature: a batch with a symbolic tensor in place of each array.
    """
    # What the trainers of jax and torch do before they train; the one of tensorflow leaves it to the first step.
    model._symbolic_build(data_batch=signature)


def symbolic(spec: Spec) -> Any:
    """A symbolic tensor of a field, with any batch size."""
    import keras

    return keras.KerasTensor((None, *spec.shape), str(spec.dtype))


def read(found: Groups) -> dict[str, np.ndarray]:
    """The variables' values as new arrays."""
    import keras

    return {
        name: np.asarray(keras.ops.convert_to_numpy(variable.value))
        for group, variables in found.items()
        for name, variable in zip(_names(group, variables), variables, strict=True)
    }


def assign(found: Groups, arrays: Mapping[str, np.ndarray]) -> None:
    """Give the variables saved values, by place; compare them first."""
    for group, variables in found.items():
        for variable, array in zip(variables, _of_group(group, arrays).values(), strict=True):
            variable.assign(array)


def differences(found: Groups, arrays: Mapping[str, np.ndarray]) -> list[str]:
    """What keeps saved arrays from fitting the variables, in words; empty where they fit."""
    told: list[str] = []
    for group, variables in found.items():
        saved = _of_group(group, arrays)
        if len(saved) != len(variables):
            told.append(f"the {group} has {len(variables)} variables, saved were {len(saved)}")
            continue
        before, now = list(saved), _names(group, variables)
        if sorted(map(_path, before)) != sorted(map(_path, now)):
            before, now = [*map(_comparable, before)], [*map(_comparable, now)]
        for variable, array, old, new in zip(variables, saved.values(), before, now, strict=True):
            shape, dtype = tuple(variable.shape), str(variable.dtype)
            if old != new:
                told.append(f"{_path(new)} is where {_path(old)} was saved")
            elif (shape, dtype) != (array.shape, array.dtype.name):
                told.append(f"{_path(new)} is {shape} {dtype}, saved was {array.shape} {array.dtype.name}")
    return [*told[:MOST_SHOWN], f"and {len(told) - MOST_SHOWN} more"] if len(told) > MOST_SHOWN else told


def optimizer_settings(model: Any) -> dict[str, Any] | None:
    """The optimizer's class and settings as JSON; None where the optimizer does not tell them."""
    import keras

    try:
        told = keras.saving.serialize_keras_object(model.optimizer)
    except NotImplementedError:
        return None
    plain: dict[str, Any] = json.loads(json.dumps(told, default=str))
    return _flat(plain)


def setting_differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, str]:
    """The names of the settings that differ, each with how it does, in words."""
    absent = "absent"
    return {
        name: f"optimizer setting {name!r} was {before.get(name, absent)!r} and is {now.get(name, absent)!r}"
        for name in sorted({*before, *now})
        if before.get(name, absent) != now.get(name, absent)
    }


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """Nested settings in one level; a name of Keras's own for an object says nothing about what it does."""
    if not isinstance(value, dict) or not value:
        return {prefix: value}
    flat: dict[str, Any] = {}
    for name, one in value.items():
        if name not in ("registered_name", "build_config", "name"):
            flat.update(_flat(one, f"{prefix}.{name}" if prefix else str(name)))
    return flat


def _names(group: str, variables: list[Any]) -> list[str]:
    return [f"{group}/{place:04d}/{printable(variable.path)}" for place, variable in enumerate(variables)]


def printable(path: str) -> str:
    """A name in one line: `?` stands for each letter that is not printable."""
    return "".join(letter if letter.isprintable() else "?" for letter in path)


def _path(name: str) -> str:
    group, _, path = name.split("/", 2)
    return f"{group} variable {path!r}"


def _comparable(name: str) -> str:
    """A name without what Keras chose by circumstance: numbers, and the scope in which an optimizer was built."""
    group, place, path = name.split("/", 2)
    if group == "optimizer":  # tensorflow builds that of a loss scale in the first step or before, with other scopes
        path = path.rsplit("/", 1)[-1]
    return f"{group}/{place}/{re.sub(r'_[0-9]+(?=[/_]|$)', '', path)}"


def _of_group(group: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: array for name, array in arrays.items() if name.startswith(f"{group}/")}
