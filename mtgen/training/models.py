"""The model of a configuration: the merged one, a function's, or a file's; compiled. And its callbacks.

Keras is imported inside functions.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mtgen.dataset import Dataset
from mtgen.errors import ModelError, PlanError
from mtgen.settings import short
from mtgen.training.config.imports import called, imported, searched, seeded
from mtgen.training.config.paths import absolute
from mtgen.training.config.sections import Config
from mtgen.training.heads import compile_for, model_for
from mtgen.training.merged import Width

if TYPE_CHECKING:
    import keras


def model_of(config: Config, train: Dataset, num_steps: int) -> tuple[keras.Model, bool]:
    """The compiled model of a configuration.

    Args:
        config: what to train.
        train: the train split.
        num_steps: steps of the training at most, over which a cosine falls.

    Returns:
        The model, and whether it came compiled, with an optimizer of its own.

    Raises:
        ModelError: a function that raises or gives no model; a file that cannot be loaded; outputs that do not fit.
        PlanError: an import path that leads nowhere, an optimizer that Keras does not know.
    """
    model = _model(config, train)
    if getattr(model, "compiled", False):
        return model, True
    return compile_for(model, train, optimizer_of(config, num_steps), masked=config.fit.on_error == "mask"), False


def _model(config: Config, train: Dataset) -> Any:
    import keras

    settings = config.model
    if settings.file is not None:
        path = absolute(settings.file, config.folder)
        try:
            return keras.saving.load_model(path)
        except Exception as error:  # Keras raises anything, from TypeError to OSError
            raise ModelError(
                f"the model cannot be loaded ({type(error).__name__}: {error}): file in [model] is one that "
                "model.save wrote, such as model.keras",
                path=path,
            ) from error
    if settings.function is not None:
        folder = Path(absolute(config.code, config.folder))
        function = imported(settings.function, folder)
        with searched(folder), seeded(config.fit.seed):
            model = called(function, settings.function, train, arguments=settings.arguments, where="[model]")
        if not isinstance(model, keras.Model):
            raise ModelError(f"[model]: {settings.function} returned {short(model)}, expected a keras.Model")
        return model
    width = Width(filters=settings.filters, units=settings.units, dropout=settings.dropout)
    return model_for(train, seed=config.fit.seed, width=width, leave_out_unreadable=config.fit.on_error != "raise")


def optimizer_of(config: Config, num_steps: int) -> Any:
    """The optimizer, with its learning rate or schedule.

    Raises:
        PlanError: Keras has no such optimizer, or it refuses the arguments.
    """
    import keras

    fit, rate = config.fit, config.fit.learning_rate
    if config.schedule == "cosine":
        rate = keras.optimizers.schedules.CosineDecay(rate, num_steps)
    try:
        optimizer = keras.optimizers.get({"class_name": fit.optimizer, "config": {}})
        made = type(optimizer)(learning_rate=rate, **fit.optimizer_options)
        _try_out(made)
        return type(optimizer)(learning_rate=rate, **fit.optimizer_options)
    except Exception as error:  # backends raise anything for what they cannot compute with
        options = "".join(f", {name}={value!r}" for name, value in fit.optimizer_options.items())
        raise PlanError(
            f"[fit]: Keras makes no optimizer {fit.optimizer!r} of learning_rate={fit.learning_rate}{options}: "
            f"{(str(error).splitlines() or [type(error).__name__])[0]:.200}. Known are adam, adamw, sgd, rmsprop, "
            "nadam, lion and others of keras.optimizers"
        ) from error


def _try_out(optimizer: Any) -> None:
    """Let it change one number once: it keeps settings unseen until then, such as text where a number is needed."""
    import keras

    variable = keras.Variable([[1.0]], name="tried_out")
    optimizer.apply([keras.ops.ones((1, 1))], [variable])


def callbacks_of(config: Config) -> list[Any]:
    """The user's own callbacks, in their order.

    Raises:
        PlanError: an import path that leads nowhere, or to something that is no callback.
        ModelError: a class that raises.
    """
    import keras

    found = []
    folder = Path(absolute(config.code, config.folder))
    for number, one in enumerate(config.callbacks, start=1):
        where = f"[[callbacks]] number {number}"
        kind = imported(one.callback, folder)
        with searched(folder):
            made = called(kind, one.callback, arguments=one.arguments, where=where)
        if not isinstance(made, keras.callbacks.Callback):
            raise PlanError(f"{where}: {one.callback} gave {short(made)}, expected a keras.callbacks.Callback")
        found.append(made)
    return found


def with_state(callbacks: list[Any]) -> list[Any]:
    """Those of the callbacks that checkpoints save and restore, see `mtgen.adapters.also.Stateful`."""
    names = ("saved_state", "saved_arrays", "check_saved", "restore_saved")
    return [one for one in callbacks if all(callable(getattr(one, name, None)) for name in names)]


def described_model(model: keras.Model) -> str:
    """A model in one line: inputs, outputs, parameters."""

    def named(tensors: Any, names: list[str] | None = None) -> str:
        flat = list(tensors.values()) if isinstance(tensors, Mapping) else tensors
        flat = flat if isinstance(flat, list | tuple) else [flat]
        labels = list(tensors) if isinstance(tensors, Mapping) else names or [one.name for one in flat]
        return ", ".join(
            f"{label} ({', '.join(map(str, one.shape[1:]))})" for label, one in zip(labels, flat, strict=True)
        )

    try:
        inside = f"{named(model.input)} to {named(model.output, getattr(model, 'output_names', None))}"
    except (AttributeError, ValueError):  # a model that is no graph does not say
        inside = "inputs and outputs that it does not tell"
    return f"{model.name!r}, {inside}, {model.count_params():,} parameters"
