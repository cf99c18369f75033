"""How a batch is laid out for a model: arrays, tuples or dicts; and whether the model takes it.

No framework is imported here: a model is asked for its public attributes only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from mtgen.batch import Batch
from mtgen.dataset import Dataset
from mtgen.errors import ModelError
from mtgen.spec import Spec

Specs = Mapping[str, Spec]


@dataclass(frozen=True, kw_only=True)
class Structure:
    """The layout of one batch for a trainer: `(inputs, targets)` or `(inputs, targets, weight)`.

    Inputs and targets are each an array where there is one, else a tuple, or a dict where the model has a dict. Never
    a list: the tensorflow backend takes a list for one tensor.

    Args:
        inputs: specs of the inputs, in the order in which the model takes them.
        targets: specs of the targets, in the order of the model's outputs.
        weights: specs of the weights by target name; the name "" weights all targets alike.
        output_names: names of the model's outputs; empty without a model.
        inputs_as_dict: inputs come as a dict.
        targets_as_dict: targets come as a dict.
        narrow: the backend cuts integers to 32 bits, so larger ones are refused.
        takes: name of an input that batches hold places of -> what gives the values on the device for them.
    """

    inputs: Specs
    targets: Specs
    weights: Specs
    output_names: tuple[str, ...] = ()
    inputs_as_dict: bool = False
    targets_as_dict: bool = False
    narrow: bool = False
    takes: Mapping[str, Callable[[np.ndarray], Any]] = field(default_factory=dict)

    @classmethod
    def of(cls, dataset: Dataset, model: Any = None, *, weighted: bool = False) -> Structure:
        """The layout for a model, or the one for models with inputs in the dataset's order.

        Args:
            dataset: what is delivered.
            model: a Keras model, or None.
            weighted: batches carry weights even where the dataset has none.
        """
        inputs: Specs = dataset.input_specs
        targets: Specs = dataset.target_specs
        weights = {field.name: field.spec for field in dataset.fields if field.role == "weight"}
        if weighted and not weights:
            weights = {"": Spec(shape=(), dtype=np.dtype("float32"))}
        input_struct, output_names = _struct(model, "input"), list(getattr(model, "output_names", None) or [])
        output_struct = _struct(model, "output")
        if isinstance(input_struct, Mapping) and set(input_struct) == set(inputs):
            inputs = {name: inputs[name] for name in input_struct}
        elif not isinstance(input_struct, Mapping):
            inputs = _by_names(inputs, [_name(tensor) for tensor in _flat(input_struct)])
        if isinstance(output_struct, Mapping):
            output_names = list(output_struct)
        return cls(
            inputs=inputs,
            targets=_by_names(targets, output_names),
            weights=weights,
            output_names=tuple(output_names),
            inputs_as_dict=isinstance(input_struct, Mapping),
            targets_as_dict=isinstance(output_struct, Mapping),
        )

    def inputs_only(self) -> Structure:
        """The same layout for prediction."""
        return replace(self, targets={}, weights={})

    def arrange(self, batch: Batch) -> tuple[Any, ...]:
        """The batch laid out; arrays are passed on, not copied."""
        if self.narrow:
            # Targets that are not delivered, as in prediction, need not fit.
            check_narrow({**batch.inputs, **{name: batch.targets[name] for name in self.targets}}, batch.step)
        arrays: dict[str, Any] = {name: batch.inputs[name] for name in self.inputs}
        arrays |= {name: take(arrays[name]) for name, take in self.takes.items()}
        inputs = _packed(arrays, self.inputs_as_dict)
        if not self.targets:
            return (inputs,)
        targets = _packed({name: batch.targets[name] for name in self.targets}, self.targets_as_dict)
        if not self.weights:
            return inputs, targets
        return inputs, targets, self._weights(batch.weight, len(batch))

    def _weights(self, weight: np.ndarray | dict[str, np.ndarray] | None, num_slots: int) -> Any:
        if weight is None:
            weight = np.ones(num_slots, np.float32)
        if not isinstance(weight, dict):
            return _packed(dict.fromkeys(self.targets, weight), self.targets_as_dict)
        ones = np.ones(num_slots, np.float32)
        return _packed({name: weight.get(name, ones) for name in self.targets}, self.targets_as_dict)

    def signature(self, make: Callable[[Spec], Any]) -> tuple[Any, ...]:
        """The layout with `make(spec)` in place of each array."""
        inputs = _packed({name: make(spec) for name, spec in self.inputs.items()}, self.inputs_as_dict)
        if not self.targets:
            return (inputs,)
        targets = _packed({name: make(spec) for name, spec in self.targets.items()}, self.targets_as_dict)
        if not self.weights:
            return inputs, targets
        number = make(Spec(shape=(), dtype=np.dtype("float32")))
        return inputs, targets, _packed(dict.fromkeys(self.targets, number), self.targets_as_dict)

    def check(self, dataset: Dataset, model: Any) -> None:
        """Compare with a model's inputs and outputs.

        Raises:
            ModelError: lists every mismatch.
        """
        struct = _struct(model, "input")
        if struct is None:
            raise ModelError(
                f"model {getattr(model, 'name', model)!r} does not say what its inputs are, so they cannot be "
                "compared. Use a functional model, or call the model on one batch first"
            )
        wrong = self._input_mismatches(struct) + self._target_mismatches(dataset, _struct(model, "output"))
        if wrong:
            given = ", ".join(f"{name}: {spec}" for name, spec in dataset.input_specs.items())
            raise ModelError(
                f"the model {model.name!r} does not fit the dataset. "
                + "; ".join(wrong)
                + f". The dataset gives {given}"
            )

    def _input_mismatches(self, struct: Any) -> list[str]:
        if isinstance(struct, Mapping):
            missing, extra = set(struct) - set(self.inputs), set(self.inputs) - set(struct)
            if missing or extra:
                return [
                    f"the model's inputs are the dict keys {sorted(struct)}, the dataset's inputs are "
                    f"{sorted(self.inputs)}: name them alike"
                ]
            pairs = [(name, struct[name], self.inputs[name]) for name in struct]
        else:
            tensors = _flat(struct)
            if len(tensors) != len(self.inputs):
                names = ", ".join(_name(tensor) for tensor in tensors)
                return [f"the model takes {len(tensors)} inputs ({names}), the dataset has {len(self.inputs)}"]
            shared = {_name(tensor) for tensor in tensors} & set(self.inputs)
            if shared and len(shared) < len(tensors):
                return [
                    f"the model's inputs are {[_name(tensor) for tensor in tensors]}, the dataset's are "
                    f"{list(self.inputs)}: name "
                    "all alike, or none"
                ]
            pairs = [(name, tensor, spec) for tensor, (name, spec) in zip(tensors, self.inputs.items(), strict=True)]
        return [text for name, tensor, spec in pairs if (text := _mismatch(name, tensor, spec))]

    def check_order(self, model: Any) -> None:
        """Refuse a model that names its inputs as the dataset does, in another order, where names play no part.

        Raises:
            ModelError: inputs would be taken one for the other; without a word, where their shapes agree.
        """
        names = [_name(tensor) for tensor in _flat(_struct(model, "input"))]
        if not self.inputs_as_dict and sorted(names) == sorted(self.inputs) and names != list(self.inputs):
            raise ModelError(
                f"the model takes its inputs in the order {names}, the batches hold them in the order "
                f"{list(self.inputs)}. "
                "Write loader.keras(model), which follows the model"
            )

    def _target_mismatches(self, dataset: Dataset, struct: Any) -> list[str]:
        if struct is None or not self.targets:
            return []
        if isinstance(struct, Mapping) and set(struct) != set(self.targets):
            return [f"the model's outputs are {sorted(struct)}, the dataset's targets are {sorted(self.targets)}"]
        tensors = [struct[name] for name in self.targets] if isinstance(struct, Mapping) else _flat(struct)
        shared = set(self.output_names) & set(self.targets)
        if len(tensors) > 1 and shared and len(shared) < len(tensors):
            return [
                f"the model's outputs are {list(self.output_names)}, the dataset's targets are {list(self.targets)}: "
                "name all "
                "alike, or none"
            ]
        if len(tensors) != len(self.targets):
            return [f"the model has {len(tensors)} outputs, the dataset has targets {list(self.targets)}"]
        wrong = []
        for tensor, (name, spec) in zip(tensors, self.targets.items(), strict=True):
            output = tuple(tensor.shape)[1:]
            same_rank = len(spec.shape) == len(output) > 0
            if same_rank and output[-1] is not None and spec.shape[-1] not in (1, output[-1]):
                wrong.append(f"target {name!r} has shape {spec.shape}, the model's output has {output}")
            num_classes = _num_classes(dataset, name)
            if not spec.shape and num_classes and len(output) == 1 and output[0] and 1 < output[0] < num_classes:
                wrong.append(
                    f"target {name!r} has classes 0 to {num_classes - 1}, the model's output has {output[0]} values"
                )
        return wrong


def _mismatch(name: str, tensor: Any, spec: Spec) -> str | None:
    expected = tuple(tensor.shape)[1:]
    takes = f"the model's input {_name(tensor)!r} takes ({', '.join(map(str, expected))}) {tensor.dtype}"
    # Keras adds or removes a last axis of length 1 itself.
    fits = any(
        len(shape) == len(expected) and all(axis in (None, size) for axis, size in zip(expected, shape, strict=True))
        for shape in (spec.shape, (*spec.shape, 1), spec.shape[:-1] if spec.shape[-1:] == (1,) else spec.shape)
    )
    if not fits:
        return f"input {name!r} is {spec}, {takes}"
    if str(tensor.dtype).startswith(("int", "uint")) and spec.dtype.kind == "f":
        return f"input {name!r} is {spec}, {takes}: fractions would be cut off"
    return None


def check_narrow(arrays: Mapping[str, np.ndarray], step: int | None = None) -> None:
    """Refuse integers that a backend which keeps 32 bits of each would deliver as other numbers.

    Raises:
        ModelError: says which array, and its range.
    """
    bounds = np.iinfo(np.int32)
    for name, array in arrays.items():
        if array.dtype.kind in "iu" and array.dtype.itemsize == 8 and array.size:
            low, high = int(array.min()), int(array.max())
            if low < bounds.min or high > bounds.max:
                raise ModelError(
                    f"{name!r} holds integers from {low} to {high}, and the backend keeps 32 bits of each: they "
                    "would arrive as "
                    "other numbers. Scale or shift them, make them floats, or switch 64 bits on (JAX_ENABLE_X64=1)",
                    step=step,
                )


def _num_classes(dataset: Dataset, name: str) -> int | None:
    """One more than the largest class number of an integer target; None for other targets."""
    for one in dataset.fields:
        if (one.role, one.name) == ("target", name):
            return getattr(one.bound, "num_classes", None)
    return None


def _struct(model: Any, side: str) -> Any:
    """`model.input` or `model.output` as the model was built with; None where it does not say."""
    if model is None:
        return None
    try:
        return getattr(model, side, None)
    except (AttributeError, ValueError):
        return None


def _flat(struct: Any) -> list[Any]:
    if struct is None:
        return []
    return list(struct) if isinstance(struct, Sequence) else [struct]


def _name(tensor: Any) -> str:
    return str(getattr(tensor, "name", tensor))


def _by_names(specs: Specs, names: Sequence[str]) -> Specs:
    """Specs in the order of names, where the names are the same; else as they are."""
    return {name: specs[name] for name in names} if sorted(names) == sorted(specs) else specs


def _packed(values: dict[str, Any], as_dict: bool) -> Any:
    if as_dict:
        return values
    return next(iter(values.values())) if len(values) == 1 else tuple(values.values())
