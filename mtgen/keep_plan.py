"""Which decompressed chunks to keep from one window of steps to the next: arithmetic on integers, no files, no threads.

The order of all steps to come is known, so the best rule there is can be followed: keep what is used again soonest
(L. A. Belady, "A study of replacement algorithms for a virtual-storage computer", IBM Systems Journal 5, 1966). A
window wants each of its chunks once, in any order, so whole windows are what time is counted in.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Sequence
from typing import NamedTuple

import numpy as np

NEVER = np.iinfo(np.int64).max
"""Window of a chunk that no window ahead wants, as far as one looked."""

LOOK_AHEAD_ROWS = 1 << 18
"""Rows whose chunks are looked up ahead: two of these take 4 MiB of int64."""

LOOK_AHEAD_WINDOWS = 256
"""Windows that are looked at ahead, at most: each costs some 50 microseconds."""


def next_uses(windows: Sequence[np.ndarray]) -> list[np.ndarray]:
    """For each chunk of each window the place of the next window that wants it, or `NEVER`; pure.

    Args:
        windows: int64 `(n,)` of distinct chunk numbers, one array per window, in order.

    Returns:
        int64 arrays of the same lengths.

    Example:
        >>> [uses.tolist() for uses in next_uses([np.array([4, 7]), np.array([5]), np.array([7])])][0][1]
        2
    """
    if not windows:
        return []
    chunks = np.concatenate(windows)
    places = np.repeat(np.arange(len(windows)), [len(window) for window in windows])
    order = np.lexsort((places, chunks))
    again = chunks[order[1:]] == chunks[order[:-1]]
    uses = np.full(len(chunks), NEVER, np.int64)
    uses[order[:-1][again]] = places[order[1:][again]]
    return np.split(uses, np.cumsum([len(window) for window in windows])[:-1])


class Keep(NamedTuple):
    """What is to become of chunks in one window.

    Attributes:
        stay: chunks to keep when the window is over.
        leave: chunks that were kept and need not stay; the window may still want them.
    """

    stay: Container[int]
    leave: list[int]


class _Everything:
    def __contains__(self, chunk: object) -> bool:
        return True


NOTHING = Keep(frozenset(), [])
"""Keep no chunk."""

EVERYTHING = Keep(_Everything(), [])
"""Keep all chunks; for where there is room."""


class Keeper:
    """Decides window by window which chunks stay, at most `capacity` of them.

    One thread. Chunks that no window ahead wants are kept only while there is room for nothing better.

    Args:
        capacity: most chunks kept, >= 0.
        kept: chunks that are kept already.

    Example:
        >>> keeper = Keeper(1)
        >>> keeper.advance(np.array([3, 8]), np.array([5, 2]))  # 8 is wanted sooner
        Keep(stay=frozenset({8}), leave=[])
    """

    def __init__(self, capacity: int, kept: Iterable[int] = ()) -> None:
        self.capacity = capacity
        self.kept = np.array(sorted(kept), np.int64)
        self._uses = np.full(len(self.kept), NEVER, np.int64)

    def advance(self, chunks: np.ndarray, uses: np.ndarray) -> Keep:
        """What to keep after a window.

        Args:
            chunks: int64 `(n,)`, distinct: what the window wants.
            uses: int64 `(n,)`: the next window that wants each, or `NEVER`.
        """
        rest = ~np.isin(self.kept, chunks)
        candidates = np.concatenate([self.kept[rest], chunks])
        next_use = np.concatenate([self._uses[rest], uses])
        is_new = np.concatenate([np.zeros(int(rest.sum()), bool), ~np.isin(chunks, self.kept)])
        # Among equals those that are there already, so that nothing is exchanged for its like.
        best = np.lexsort((candidates, is_new, next_use))[: self.capacity]
        best = best[np.argsort(candidates[best])]
        leave = np.setdiff1d(self.kept, candidates[best])
        self.kept, self._uses = candidates[best], next_use[best]
        return Keep(frozenset(self.kept.tolist()), leave.tolist())

    def look_again(self, place: int, windows: Sequence[np.ndarray]) -> None:
        """Find the next use of what is kept among windows that were not known before; the first is at `place`."""
        if not len(self.kept) or not windows:
            return
        for number in range(len(windows) - 1, -1, -1):
            found = np.searchsorted(self.kept, windows[number]).clip(max=len(self.kept) - 1)
            self._uses[found[self.kept[found] == windows[number]]] = place + number


class Outlook:
    """The chunks of the windows ahead, and when each is wanted next.

    One thread. Looks `num_windows` to twice as many windows ahead, in one go for as many windows.

    Args:
        chunks_of: chunk numbers that a window wants, int64, distinct; called once per window, in order.
        num_windows: how far to look at least, >= 1.
    """

    def __init__(self, chunks_of: Callable[[int], np.ndarray], num_windows: int) -> None:
        self._chunks_of, self._num_windows = chunks_of, num_windows
        self._start = 0
        self._windows: list[np.ndarray] = []
        self._uses: list[np.ndarray] = []

    def at(self, window: int, keeper: Keeper) -> tuple[np.ndarray, np.ndarray]:
        """Chunks of a window and the window of their next use; tells the keeper when more is known.

        Args:
            window: each one in turn, from 0 on.
            keeper: whose chunks are looked up again.
        """
        if window >= self._start + len(self._uses):
            self._windows = self._windows[window - self._start :]
            self._start = window
            known = window + len(self._windows)
            self._windows += [self._chunks_of(one) for one in range(known, window + 2 * self._num_windows)]
            uses = next_uses(self._windows)[: self._num_windows]
            self._uses = [np.where(one == NEVER, NEVER, one + window) for one in uses]
            keeper.look_again(window, self._windows)
        return self._windows[window - self._start], self._uses[window - self._start]
