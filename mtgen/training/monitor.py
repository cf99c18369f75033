"""What rules watch: a name in the logs of Keras, or 1 minus what stands there. Decides only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mtgen.errors import PlanError
from mtgen.settings import check_kind

_INVERTED = "1 - "
_ROUNDING = 1e-6
"""Share of an accuracy by which sums in float32 may exceed 1."""


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
