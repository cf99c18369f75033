"""The learning rate of a Keras optimizer, times a multiplier that may change between two steps.

A plain rate is a variable of the optimizer, and is set. A schedule is compiled into the step, so it is wrapped for the
time of a `fit`: what it gives is multiplied by a variable, which the optimizer holds, and checkpoints save, as its own.
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
        self._optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
        rate = self._optimizer._learning_rate
        self.base: float | None = None
        self._schedule: ScaledSchedule | None = None
        if isinstance(rate, ScaledSchedule):  # a fit before was interrupted
            self._schedule = rate
        elif isinstance(rate, keras.optimizers.schedules.LearningRateSchedule):
            multiplier = self._optimizer.add_variable((), initializer="ones", dtype="float32", name="rate_multiplier")
            self._schedule = self._optimizer._learning_rate = ScaledSchedule(rate, multiplier)
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
            model.train_function = None
            self._schedule = None
