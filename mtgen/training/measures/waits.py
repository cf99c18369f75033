"""The share of time in which training waited for data, over the steps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from mtgen.errors import PlanError

BINS = 100
"""Bars of a timeline at most."""


MOST_SECONDS = 1e9
"""Of one step: some thirty years."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Waits:
    """Time of training by steps; bin k holds the steps from `edges[k]` to before `edges[k + 1]`.

    Args:
        edges: int64 `(bins + 1,)`, places in the list of steps that were timed.
        steps: int64 `(bins + 1,)`, steps trained at each edge.
        seconds: `(bins,)` whole time of each bin.
        wait_seconds: `(bins,)` of it, waiting for data.
    """

    edges: np.ndarray
    steps: np.ndarray
    seconds: np.ndarray
    wait_seconds: np.ndarray

    @property
    def shares(self) -> np.ndarray:
        """`(bins,)` share of the time of each bin spent waiting, 0 to 1; NaN where no time was measured."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(self.seconds > 0, self.wait_seconds / self.seconds, np.nan)

    @property
    def share(self) -> float:
        """Share of all time, 0 to 1; NaN where no time was measured."""
        total = float(self.seconds.sum())
        return float(self.wait_seconds.sum()) / total if total > 0 else float("nan")

    @property
    def num_steps(self) -> int:
        """Steps that were timed."""
        return int(self.edges[-1])


def waits_of(waits: pd.DataFrame, num_bins: int = BINS) -> Waits:
    """Put steps into bins of equally many, the last bin may have fewer.

    Pure, any thread.

    Args:
        waits: a line per step: `step` (steps trained, from 1), `seconds`, `wait_seconds`.
        num_bins: bins at most.

    Raises:
        PlanError: a missing column, no line, or times that no step takes.

    Example:
        >>> found = waits_of(pd.DataFrame({"step": [1, 2], "seconds": [1.0, 3.0], "wait_seconds": [1.0, 0.0]}))
        >>> found.shares.tolist(), found.share
        ([1.0, 0.0], 0.25)
    """
    missing = [name for name in ("step", "seconds", "wait_seconds") if name not in waits]
    if missing:
        raise PlanError(f"times of steps need the columns step, seconds and wait_seconds; {missing} are missing")
    if not len(waits):
        raise PlanError("no step was timed")
    times = np.nan_to_num(waits[["seconds", "wait_seconds"]].to_numpy(np.float64))
    wrong = np.flatnonzero(((times < 0) | (times > MOST_SECONDS)).any(axis=1))
    if len(wrong):
        told = ", ".join(f"{value:g}" for value in times[wrong[0]])
        raise PlanError(
            f"step {int(waits['step'].iloc[wrong[0]])} has the times {told}, expected seconds of 0 to "
            f"{MOST_SECONDS:,.0f}: bring the file back from a copy, or remove its line"
        )
    steps = waits["step"].to_numpy(np.int64)
    each = -(-len(waits) // num_bins)
    starts = np.arange(0, len(waits), each)
    edges = np.append(starts, len(waits))
    return Waits(
        edges=edges,
        steps=np.append(steps[starts] - 1, steps[-1]),
        seconds=np.add.reduceat(times[:, 0], starts),
        wait_seconds=np.add.reduceat(times[:, 1], starts),
    )
