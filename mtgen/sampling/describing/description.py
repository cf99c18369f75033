"""What all descriptions of samplers have."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import pandas as pd


class Description(ABC):
    """What a sampler draws, in numbers: `print(description)` shows tables. Immutable; any thread."""

    @property
    @abstractmethod
    def counts(self) -> pd.DataFrame:
        """Expected and drawn counts, a line for each class or component; new."""

    @abstractmethod
    def to_frame(self) -> pd.DataFrame:
        """The numbers a description is mostly asked for, as a DataFrame; new."""

    @abstractmethod
    def as_json(self) -> dict[str, Any]:
        """Everything in JSON values."""

    @abstractmethod
    def __str__(self) -> str: ...
