"""Which slot of a cache may hold each row's picture: arrays by row, looked up many at once. No files.

16 bytes per row: the keys in sorted order, to find the rows of a new record, the rows in that order, and a place each.
"""

from __future__ import annotations

import numpy as np

NOWHERE = -1
"""Place of a row that the cache does not have."""

ROW_BYTES = 16
"""Bytes per row of the table."""


class Known:
    """A place for each row: `NOWHERE`, a slot that was looked at (>= 0), or one to look at (<= -2).

    Any thread may read and write places: a place is one integer, and a stale one only costs a look or a decode.
    `learn` is for one thread at a time.

    Args:
        keys: uint64 `(num_rows,)`, half of the key of each row's picture; rows with one file have one key.

    Example:
        >>> known = Known(np.array([7, 8, 7], np.uint64))
        >>> known.learn(np.array([7], np.uint64), 5)
        >>> known.places(np.array([0, 1, 2])).tolist(), known.slot_to_look_at(known.places(np.array([2]))[0])
        ([-7, -1, -7], 5)
    """

    def __init__(self, keys: np.ndarray) -> None:
        order = np.argsort(keys, kind="stable")
        self._keys, self._rows = keys[order], order.astype(np.int32)
        self._places = np.full(len(keys), NOWHERE, np.int32)

    def emptied(self) -> Known:
        """The same rows, of which nothing is known."""
        other = object.__new__(type(self))
        other._keys, other._rows = self._keys, self._rows
        other._places = np.full(len(self._rows), NOWHERE, np.int32)
        return other

    def places(self, rows: np.ndarray) -> np.ndarray:
        """Places of some rows, int32."""
        found: np.ndarray = self._places[rows]
        return found

    def settle(self, rows: np.ndarray, slots: np.ndarray) -> None:
        """These slots were looked at, and hold what they should."""
        self._places[rows] = slots

    def forget(self, rows: np.ndarray) -> None:
        """What was said of these rows did not hold."""
        self._places[rows] = NOWHERE

    @staticmethod
    def slot_to_look_at(place: int) -> int:
        """The slot of a place <= -2."""
        return -2 - int(place)

    def learn(self, keys: np.ndarray, first_slot: int, sound: np.ndarray | None = None) -> None:
        """Take in what neighbouring slots hold; a later slot takes the place of an earlier one.

        Args:
            keys: uint64 `(n,)`, as for the rows.
            first_slot: slot of the first.
            sound: bool `(n,)`, which of them count; None for all.
        """
        slots = np.arange(first_slot, first_slot + len(keys))
        if sound is not None:
            keys, slots = keys[sound], slots[sound]
        starts, stops = np.searchsorted(self._keys, keys, "left"), np.searchsorted(self._keys, keys, "right")
        counts = stops - starts
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        rows, slots = self._rows[np.repeat(starts, counts) + within], np.repeat(slots, counts)
        before = self._places[rows]
        newer = slots > np.where(before >= 0, before, -2 - before)
        self._places[rows[newer]] = -2 - slots[newer]
