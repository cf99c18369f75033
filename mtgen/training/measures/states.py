"""A model at several points of its training: built from a run's folder, then given the values of each snapshot."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mtgen.errors import ModelError, StateError
from mtgen.settings import short
from mtgen.training.record.folder import RunFolder
from mtgen.training.record.snapshots import Snapshot

MOST = 20
"""Snapshots that are looked at where nobody chose; the first and the last are among them."""


@dataclass(frozen=True, kw_only=True, eq=False)
class State:
    """The model after some step.

    Args:
        step: steps trained so far; None for the trained model, which does not say.
        name: what a figure calls it, such as `step 120`.
        put: gives the model its values of then.
    """

    step: int | None
    name: str
    put: Callable[[], None]


@dataclass(frozen=True, kw_only=True, eq=False)
class Rebuilt:
    """A model out of a run's folder.

    Args:
        model: compiled; its values change with `State.put`.
        steps: of the snapshots that are there, ascending.
        folder: where they are.
        trained: the values of `model.keras`, in the order of the variables; None without it.
        notes: what could not be taken as it was saved, in words.
    """

    model: Any
    steps: tuple[int, ...]
    folder: RunFolder
    trained: tuple[np.ndarray, ...] | None
    notes: tuple[str, ...] = ()

    def state(self, step: int, name: str = "") -> State:
        """The model of a snapshot; it is read when it is put."""
        return State(step=step, name=name or f"step {step:,}", put=lambda: put(self.model, self.folder.snapshot(step)))

    def final(self) -> State:
        """The trained model, else the last snapshot.

        Raises:
            StateError: neither is there.
        """
        if self.trained is not None:
            values = self.trained
            return State(step=None, name="trained model", put=lambda: _assign(self.model, values))
        if not self.steps:
            raise StateError(
                "the run has neither snapshots nor a trained model: it was not trained yet", path=str(self.folder.path)
            )
        return self.state(self.steps[-1])

    def states(self, most: int, chosen: Sequence[int] = (), best: int | None = None) -> list[State]:
        """Snapshots in order: the chosen ones, else some spread evenly; only the trained model where there are none.

        Args:
            most: at most, where nothing is chosen.
            chosen: steps; their order does not count.
            best: the step of the best validation; its snapshot is called so, and is among those taken.

        Raises:
            StateError: a chosen step without a snapshot, or nothing at all.
        """
        missing = [step for step in chosen if step not in self.steps]
        if missing:
            raise StateError(
                f"there is no snapshot of step {missing[0]}; there are those of steps {short(list(self.steps))}",
                path=str(self.folder.snapshots),
            )
        if not self.steps:
            return [self.final()]
        taken = sorted({*chosen}) or spread(self.steps, most, [] if best is None else [best])
        return [self.state(step, f"step {step:,} (best)" if step == best else "") for step in taken]


def rebuilt(folder: RunFolder) -> Rebuilt:
    """Build the model of a run: `model.keras` where it is there, else `model.json`.

    Raises:
        StateError: neither is there.
        ModelError: Keras cannot build it, as where it has layers of the user's own.
    """
    import keras

    if not folder.model.is_file() and not folder.architecture.is_file():
        raise StateError(
            "the folder has neither model.keras nor model.json, so the model cannot be built again",
            path=str(folder.path),
        )
    model, trained, notes = None, None, []
    config: dict[str, Any] = {}
    if folder.model.is_file():
        try:
            # Without the optimizer, which looking at a model does not need, and whose variables may not fit.
            model = _made(folder.model, lambda: keras.saving.load_model(folder.model, compile=False))
        except ModelError as error:
            if not folder.architecture.is_file():
                raise
            notes.append(f"The trained model was left out, snapshots stand in for it: {error.message} ({error.path}).")
        else:
            trained = tuple(np.asarray(keras.ops.convert_to_numpy(one.value)) for one in model.variables)
            with zipfile.ZipFile(folder.model) as archive:
                config = json.loads(archive.read("config.json"))
    if model is None:
        config = _made(folder.architecture, lambda: dict(json.loads(folder.architecture.read_text(encoding="utf-8"))))
        text = json.dumps({**config, "compile_config": None})
        model = _made(folder.architecture, lambda: keras.models.model_from_json(text))
    notes += _compiled(model, config.get("compile_config"))
    return Rebuilt(
        model=model,
        steps=tuple(folder.snapshot_steps()),
        folder=folder,
        trained=trained,
        notes=tuple(notes),
    )


def _made(path: Path, make: Callable[[], Any]) -> Any:
    try:
        return make()
    except Exception as error:  # Keras raises what the user's own classes raise
        raise ModelError(
            f"Keras cannot build the model ({type(error).__name__}: {short(str(error))}); layers of your own must be "
            "registered: keras.saving.register_keras_serializable",
            path=str(path),
        ) from error


def _compiled(model: Any, config: Any) -> list[str]:
    """Give a model the loss and the metrics it was saved with, else some by its outputs; says which."""
    why = "it was saved without one"
    if config:
        try:
            model.compile_from_config(config)
        except Exception as error:  # of a loss of the user's own, which may raise anything
            why = f"its own cannot be made, {type(error).__name__}: {short(error)}"
    if getattr(model, "compiled", False):
        return []
    outputs = model.outputs
    classes = [len(one.shape) == 2 and (one.shape[-1] or 0) > 1 for one in outputs]
    losses = ["sparse_categorical_crossentropy" if one else "mse" for one in classes]
    metrics = [["accuracy"] if one else ["mae"] for one in classes]
    single = len(outputs) == 1
    model.compile(loss=losses[0] if single else losses, metrics=metrics[0] if single else metrics)
    return [f"The loss of the model is {' and '.join(dict.fromkeys(losses))} here: {why}."]


def put(model: Any, snapshot: Snapshot) -> None:
    """Give a model the values of a snapshot, by place, after its names and shapes were compared.

    Raises:
        StateError: it belongs to another model.
    """
    variables = list(model.variables)
    saved = list(snapshot.arrays.items())
    wrong = (
        [f"it has {len(saved)} arrays, the model {len(variables)} variables"]
        if len(saved) != len(variables)
        else [
            f"{name} is {array.shape}, {variable.path} of the model {tuple(variable.shape)}"
            for variable, (name, array) in zip(variables, saved, strict=True)
            if tuple(variable.shape) != array.shape
        ]
    )
    if wrong:
        raise StateError(f"the snapshot belongs to another model: {wrong[0]}", path=str(snapshot.path))
    _assign(model, [array for _, array in saved])


def _assign(model: Any, values: Sequence[np.ndarray]) -> None:
    for variable, value in zip(model.variables, values, strict=True):
        variable.assign(value)


def spread(steps: Sequence[int], most: int = MOST, keep: Sequence[int] = ()) -> list[int]:
    """At most so many of some steps: the first, the last, those to keep, and others evenly between.

    Pure, any thread.

    Args:
        steps: ascending.
        most: >= 2.
        keep: steps that stay, where they are among them.

    Example:
        >>> spread(range(0, 100, 10), 3, keep=[40]), spread([5], 3)
        ([0, 40, 90], [5])
    """
    if len(steps) <= most:
        return list(steps)
    kept = {steps[0], steps[-1]}
    evenly = [steps[place] for place in np.linspace(0, len(steps) - 1, most).round().astype(int).tolist()]
    for step in [*(one for one in keep if one in steps), *evenly]:
        if len(kept) < most:
            kept.add(step)
    return sorted(kept)
