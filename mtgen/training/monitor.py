"""What rules watch: a name in the logs of Keras, or 1 minus what stands there. Decides only.

A name that no logs will have is refused as soon as that is certain: when training begins, after its first step, or else
with the first logs.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from mtgen.adapters.fit_logs import Expected
from mtgen.errors import PlanError
from mtgen.settings import check_kind, nearest

_INVERTED = "1 - "
_ROUNDING = 1e-6
"""Share of an accuracy by which sums in float32 may exceed 1."""
_VALID = "val_"
"""What Keras puts before the name of a metric on validation data."""
_ADDED = ("data_epoch", "data_wait", "learning_rate", "patience", "test_")
"""How names begin that callbacks of Keras and of mtgen add to the logs."""


@dataclass(frozen=True)
class Monitor:
    """What is to become small.

    Immutable; any thread.

    Args:
        text: as the user gives it: a name in the logs, or `1 - ` and such a name.

    Raises:
        PlanError: no text.

    Example:
        >>> Monitor("1 - val_accuracy").value({"val_accuracy": 0.75})
        0.25
    """

    text: str

    def __post_init__(self) -> None:
        check_kind("monitor", self.text, str, "a name in the logs")

    @property
    def name(self) -> str:
        """The name in the logs."""
        return self.text.removeprefix(_INVERTED)

    @property
    def of_validation(self) -> bool:
        """Whether it is named as metrics on validation data are."""
        return self.name.startswith(_VALID)

    def check_begin(self, expected: Expected) -> None:
        """Refuse a name of validation where there is none, before a step is trained.

        Args:
            expected: what is certain of the first epoch's logs.

        Raises:
            PlanError: the name cannot be among them.
        """
        if expected.validates is not False or not expected.training or not self.of_validation:
            return
        if expected.metrics is not None and self.name not in expected.metrics:
            raise self._not_validated()

    def check_names(self, names: Collection[str], expected: Expected) -> None:
        """Refuse a name that is none of the model's metrics, as soon as these are known.

        Args:
            names: of the metrics, as a step of training or of validation told them.
            expected: what else is certain of the logs.

        Raises:
            PlanError: the name cannot be in the logs.
        """
        if not names or self.name in names or self.name.startswith(_ADDED):
            return
        if expected.validates is False and expected.training and self.of_validation:
            raise self._not_validated()
        known = [*sorted(names), *(f"{_VALID}{name}" for name in sorted(names))]
        if self.name in known:
            return
        if not expected.training or not (expected.validation or not self.of_validation):
            return
        near = nearest(self.name, known)
        hint = f" Did you mean {near}?" if near else ""
        raise PlanError(
            f"monitor={self.text!r} is not in the logs, which have {known}.{hint} Name one of them, or 1 - one of "
            "them, or compile the model with such a metric"
        )

    def _not_validated(self) -> PlanError:
        return PlanError(
            f"monitor={self.text!r} is not in the logs of training, and no validation follows the first epoch of "
            "Keras: give fit validation_data=other_loader.keras(model), and leave validation_freq out"
        )

    def value(self, logs: Mapping[str, Any]) -> float:
        """The value in the logs of an epoch; smaller is better.

        Raises:
            PlanError: it is not among them.
        """
        if self.name not in logs:
            raise PlanError(
                f"monitor={self.text!r} is not in the logs of this epoch, which have {sorted(logs)}: give fit "
                "validation_data, leave validation_freq out, and name one of them"
            )
        value = float(logs[self.name])
        if self.name == self.text:
            return value
        return 0.0 if 1 < value < 1 + _ROUNDING else 1 - value
