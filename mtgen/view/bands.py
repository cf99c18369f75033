"""Where most rows of a dataset lie, so that one row can be seen against them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

SAMPLE_ROWS = 512
"""Rows that a band is measured on: a 5 % quantile is then known to about one percent of the rows."""

SAME_UNIT = 30.0
"""Features whose bands differ in width by more than this have an axis each, else one for all."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Band:
    """The 5 to 95 % range of each value of an input, on an axis from 0 to 1.

    Args:
        low: `(n,)` 5 % quantiles, in axis units.
        high: `(n,)` 95 % quantiles, in axis units.
        start: `(n,)` delivered value at the axis' 0.
        length: `(n,)` delivered values per axis unit, > 0.
        num_rows: rows it was measured on.
        shared: one axis for all values; False where each value has an axis of its own.
    """

    low: np.ndarray
    high: np.ndarray
    start: np.ndarray
    length: np.ndarray
    num_rows: int
    shared: bool

    @classmethod
    def of(cls, values: np.ndarray) -> Band:
        """Measure `(rows, ...)` of delivered values.

        Example:
            >>> band = Band.of(np.linspace(0, 100, 101).reshape(-1, 1))
            >>> band.low.round(3).tolist(), band.place(np.array([50.0])).tolist()
            ([0.125], [0.5])
        """
        wide = values.reshape(len(values), -1).astype(np.float64)
        wide = np.where(np.isfinite(wide), wide, 0.0)
        low, high = np.quantile(wide, [0.05, 0.95], axis=0)
        widths = high - low
        shared = bool(widths.max() <= SAME_UNIT * np.min(widths[widths > 0], initial=np.inf))
        if shared:
            low_end, high_end = np.full_like(low, low.min()), np.full_like(high, high.max())
        else:
            low_end, high_end = low, high
        # A sixth of the band's width above and below: room to leave it.
        width = np.where(high_end > low_end, high_end - low_end, 1.0)
        start, length = low_end - width / 6, width * 4 / 3
        return cls(
            low=(low - start) / length,
            high=(high - start) / length,
            start=start,
            length=length,
            num_rows=len(values),
            shared=shared,
        )

    def place(self, row: np.ndarray) -> np.ndarray:
        """One delivered row `(...)` in axis units `(n,)`; values may lie outside 0..1."""
        placed: np.ndarray = (row.reshape(-1).astype(np.float64) - self.start) / self.length
        return placed

    def __str__(self) -> str:
        if not self.shared:
            return f"band 5 to 95 % of {self.num_rows} rows, each value on its own axis"
        ends = [self.start[0], self.start[0] + self.length[0]]
        return f"band 5 to 95 % of {self.num_rows} rows, axis {ends[0]:.3g} to {ends[1]:.3g}"


def sample_of(one: Any, rows: np.ndarray) -> np.ndarray:
    """Delivered values of one field at rows spread evenly over the given ones."""
    places = np.unique(np.linspace(0, len(rows) - 1, min(SAMPLE_ROWS, len(rows))).astype(np.int64))
    values: np.ndarray = one.spec.empty(len(places))
    one.bound.fetch(rows[places], values)
    return values
