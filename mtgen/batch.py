"""One batch: what a step delivers, and where each slot came from."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True, kw_only=True)
class BadSample:
    """A row that could not be read, and where it was wanted.

    Args:
        row: place in the root table.
        path: file or store to blame, None where it is not known.
        error: the whole text of the error.
        step: batch number since training began, 0-based; None for rows fetched outside any order.
        slot: place in that batch.
    """

    row: int
    path: str | None
    error: str
    step: int | None
    slot: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Batch:
    """The samples of one step. The consumer owns all arrays; nothing refills them later.

    Args:
        inputs: name -> array `(slots, *sample axes)`.
        targets: name -> array `(slots, ...)`; empty without targets.
        weight: float32 `(slots,)`, or name of target -> such an array, or None without weights.
        rows: int64 `(slots,)`, place of each slot's sample in the root table: the row delivered, also where it stands
            in for a bad one; -1 marks an empty slot, which is all zeros and has weight 0 (only with `pad_last` and
            `on_error="mask"`).
        step: batch number since training began, 0-based; None for rows fetched outside any order.
        epoch: number of the epoch the step belongs to, 0-based; None likewise.
        bad: rows that could not be read and were refilled or masked, in slot order; rows drawn in their place that
            could not be read either come after them.
        places: name of each input or target of `Patches` -> int64 `(slots, axes)`: the first pixel of each patch in
            its array, in array order; negative where `border="pad"` begins before the array, zero for an empty slot.
            A target that shares its name with an input is `"target NAME"`.
    """

    inputs: dict[str, np.ndarray]
    targets: dict[str, np.ndarray]
    weight: np.ndarray | dict[str, np.ndarray] | None
    rows: np.ndarray
    step: int | None = None
    epoch: int | None = None
    bad: tuple[BadSample, ...] = ()
    places: dict[str, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.rows)
