"""What `rows @ points` draws, described: the epoch of its rows, and its points. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from mtgen.errors import PlanError
from mtgen.sampling.bits import Bits
from mtgen.sampling.dependent import Dependent
from mtgen.sampling.describing.description import Description
from mtgen.sampling.describing.points import PointDescription, describe_points
from mtgen.sampling.describing.rows import RowDescription
from mtgen.sampling.row_plans.base import RowSampler


@dataclass(frozen=True, kw_only=True, eq=False)
class JointDescription(Description):
    """What `rows @ points` draws: the epoch of its rows, and its points.

    Args:
        rows: of the law over rows.
        points: of the whole: columns of the row first.
    """

    rows: RowDescription
    points: PointDescription

    @property
    def counts(self) -> pd.DataFrame:
        """The classes of the rows; see `RowDescription.counts`."""
        return self.rows.counts

    def to_frame(self) -> pd.DataFrame:
        """The columns of the points; see `PointDescription.columns`."""
        return self.points.to_frame()

    def as_json(self) -> dict[str, Any]:
        """Both in JSON values."""
        return {"rows": self.rows.as_json(), "points": self.points.as_json()}

    def __str__(self) -> str:
        return f"{self.rows}\n\n{self.points}"


def describe_joint(law: Dependent, n: int | None, bits: Bits, by: Any) -> Description:
    """See `Dependent.describe`.

    Raises:
        PlanError: `by` for a law whose first part is not over rows.
    """
    points = describe_points(law, n, bits)
    if not isinstance(law.rows, RowSampler):
        if by is not None:
            raise PlanError(f"by says the classes of rows, and {law.rows!r} is no law over rows")
        return points
    rows = law.rows.describe(
        None if n is None else -(-n // law.repeats), bits.seed, epoch=bits.epoch, block=bits.block, by=by
    )
    return JointDescription(rows=rows, points=points)
