"""Values of an input that were read once and are held, by row: what a batch takes them from."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import numpy as np

from mtgen.errors import MtgenError
from mtgen.placements import Places
from mtgen.spec import Spec

PLACE_SPEC = Spec(shape=(), dtype=np.dtype("int32"))
"""What a sample is where the values are on a device: a place."""


class BoundHeld:
    """An input whose values are held; it gives values from memory, or places of values that are on a device.

    Immutable; any thread. A row that could not be read when the values were raises the same error whenever it is
    asked for, so that whatever a loader does about bad samples it does here too.

    Args:
        places: where the values of rows are.
        bad: row -> why it could not be read; its value is all zeros.
        values: `(num_rows + 1, *shape)` in memory, zeros at place 0; None gives places.

    Example:
        >>> bound = BoundHeld(Places(np.array([4, 2])), {}, np.array([[0.0], [40.0], [20.0]]))
        >>> out = np.empty((2, 1)); bound.fetch(np.array([2, 4]), out); out.tolist()
        [[20.0], [40.0]]
    """

    def __init__(self, places: Places, bad: Mapping[int, MtgenError], values: np.ndarray | None) -> None:
        self.spec = PLACE_SPEC if values is None else Spec(shape=values.shape[1:], dtype=values.dtype)
        self._places, self._bad, self._values = places, bad, values

    def fill(self, rows: np.ndarray, out: np.ndarray) -> dict[int, MtgenError]:
        """Fill `out[slot]` with row `rows[slot]`; the caller owns both arrays.

        Args:
            rows: int64 `(n,)` of table rows, any order, repeats allowed.
            out: `(n, *spec.shape)` of `spec.dtype`.

        Returns:
            Slot -> error of each row that could not be read, a new object each time; those slots are all zeros.

        Raises:
            PlanError: a row that is not held.
        """
        places = self._places.of(rows)
        errors = {slot: self._error(row) for slot, row in enumerate(rows.tolist()) if row in self._bad}
        places[list(errors)] = 0
        if self._values is None:
            out[:] = places
        else:
            np.take(self._values, places, axis=0, out=out, mode="clip")
        return errors

    def fetch(self, rows: np.ndarray, out: np.ndarray) -> None:
        """The same; raises the error of the first row that could not be read.

        Raises:
            MtgenError: what it raised when it was read.
        """
        for error in self.fill(rows, out).values():
            raise error

    def _error(self, row: int) -> MtgenError:
        # A new one each time: whoever raises it adds a step, and its traceback would keep the buffers of that batch.
        kept = self._bad[row]
        error = copy.copy(kept)
        error.__cause__ = kept.__cause__
        return error
