"""The learning rate of a Keras optimizer, times a multiplier that may change between two steps.

A plain rate is a variable of the optimizer, and is set. A schedule is compiled into the step, so it is wrapped for the
time of a `fit`: what it gives is multiplied by a variable, which the optimizer holds, and checkpoints save, as its own.
What Keras saves meanwhile, such as `keras.callbacks.ModelCheckpoint`, knows nothing of either: such a file is that of
the user's optimizer, which any program can read.
"""

from __future__ import annotations

from typing import Any

import keras

from mtgen.errors import PlanError


@keras.saving.register_keras_serializable(package="mtgen")
class ScaledSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule times a variable.

    Called in the step that the backend compiles. Read from a file it is the schedule alone.

    Args:
        schedule: of the user.
        multiplier: scalar variable of the optimizer, float32, > 0.
    """

    def __init__(self, schedule: Any, multiplier: Any) -> None:
        super().__init__()
        self.schedule, self.multiplier = schedule, multiplier

    def __call__(self, step: Any) -> Any:
        """The rate of a step as a scalar tensor."""
        rate = keras.ops.convert_to_tensor(self.schedule(step))
        return rate * keras.ops.cast(self.multiplier, rate.dtype)

    def get_config(self) -> dict[str, Any]:
        """The user's schedule."""
        return {"schedule": keras.saving.serialize_keras_object(self.schedule)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """The user's schedule, as an object."""
        return keras.saving.deserialize_keras_object(config["schedule"])


class ScaledRate:
    """The learning rate of a model's optimizer, with a multiplier, for the time of a `fit`.

    Made before training begins, in the thread of `fit`; used there between steps.

    Args:
        model: compiled; a schedule is wrapped, and the step compiled anew.

    Raises:
        PlanError: the learning rate is a function, which cannot be multiplied from outside.

    Attributes:
        base: the rate that the multiplier is of; None with a schedule.
    """

    def __init__(self, model: Any) -> None:
        self._outer = model.optimizer
        self._optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
        rate = self._optimizer._learning_rate
        self.base: float | None = None
        self._schedule: ScaledSchedule | None = None
        if isinstance(rate, ScaledSchedule):  # a fit before was interrupted
            self._schedule = rate
        elif isinstance(rate, keras.optimizers.schedules.LearningRateSchedule):
            multiplier = self._optimizer.add_variable((), initializer="ones", dtype="float32", name="rate_multiplier")
            self._schedule = self._optimizer._learning_rate = ScaledSchedule(rate, multiplier)
            _save_plainly(self._outer, self._optimizer, self._schedule)
            model.train_function = None
        elif not isinstance(rate, keras.Variable):
            raise PlanError(
                f"the learning rate is {rate!r}, and a rule multiplies a number or a schedule: give the optimizer a "
                "float or a keras.optimizers.schedules.LearningRateSchedule"
            )

    @property
    def current(self) -> float:
        """The learning rate of the next step."""
        rate = self._optimizer.learning_rate
        return float(keras.ops.convert_to_numpy(rate.value if isinstance(rate, keras.Variable) else rate))

    def begin(self, base: float | None) -> None:
        """Training begins.

        Args:
            base: the rate that the multiplier is of, where that is known from before; None for the present one.
        """
        if self._schedule is None:
            self.base = self.current if base is None else base

    def multiply(self, multiplier: float) -> None:
        """Let the next step have this share of the rate. On jax, bring the variables up to date before."""
        if self._schedule is not None:
            self._schedule.multiplier.assign(multiplier)
        elif self.base is not None:
            self._optimizer.learning_rate.assign(self.base * multiplier)

    def release(self, model: Any) -> None:
        """Give a schedule back as it was; the step is compiled anew when it is used again. A plain rate stays."""
        if self._schedule is not None:
            self._optimizer._tracker.untrack(self._schedule.multiplier)
            self._optimizer._learning_rate = self._schedule.schedule
            for one in (self._outer, self._optimizer):
                for name in _SAVING:
                    one.__dict__.pop(name, None)
            model.train_function = None
            self._schedule = None


_SAVING = ("save_own_variables", "load_own_variables", "get_config")
"""Methods by which Keras saves and reads an optimizer."""


def _save_plainly(outer: Any, optimizer: Any, scaled: ScaledSchedule) -> None:
    """Let Keras save and read an optimizer as if its schedule was not wrapped.

    Keras refuses a file whose optimizer has one variable more than the one that reads it.

    Args:
        outer: the model's optimizer, such as one that scales the loss; or `optimizer` itself.
        optimizer: whose schedule is wrapped.
        scaled: the wrapped schedule.
    """
    get_config = optimizer.get_config

    def plain_config() -> dict[str, Any]:
        found: dict[str, Any] = get_config()
        return {**found, "learning_rate": keras.saving.serialize_keras_object(scaled.schedule)}

    # In the instance's own dictionary: trackers of Keras and tensorflow look at what is set as an attribute.
    for one in (outer,) if outer is optimizer else (outer, optimizer):
        one.__dict__.update(_without(one, scaled.multiplier))
    optimizer.__dict__["get_config"] = plain_config


def _without(optimizer: Any, multiplier: Any) -> dict[str, Any]:
    """Ways to save and read the variables of an optimizer, which Keras numbers, but for one of them."""
    save, load = optimizer.save_own_variables, optimizer.load_own_variables

    def place() -> int:
        return next(number for number, one in enumerate(optimizer.variables) if one is multiplier)

    def save_own_variables(store: Any) -> None:
        found: dict[str, Any] = {}
        save(found)
        found.pop(str(place()), None)
        for number, value in enumerate(found.values()):
            store[str(number)] = value

    def load_own_variables(store: Any) -> None:
        names = sorted(store.keys(), key=int)
        if len(names) + 1 != len(optimizer.variables):
            load(store)  # Keras says what is wrong
            return
        values = [store[name] for name in names]
        values.insert(place(), keras.ops.convert_to_numpy(multiplier.value))
        load({str(number): value for number, value in enumerate(values)})

    return {"save_own_variables": save_own_variables, "load_own_variables": load_own_variables}
