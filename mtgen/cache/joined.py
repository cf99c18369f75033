"""The caches of several inputs as one: each row is looked up in, and stored by, the cache of its own part."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from mtgen.cache.bound import BoundCache, Filled
from mtgen.cache.layout import Identity
from mtgen.waits import Note, silent


class JoinedCache(BoundCache):
    """Caches of the parts of an input.

    Any thread. The caches stay those of the parts, with their folders and limits; a part may have none.

    Args:
        parts: first row and cache of each part, by first row; None where a part has no cache. At least one has.
    """

    def __init__(self, parts: Sequence[tuple[int, BoundCache | None]]) -> None:
        self._parts = [cache for _, cache in parts]
        self._starts = np.array([first for first, _ in parts], np.int64)
        self._there = [cache for cache in self._parts if cache is not None]
        self.settings = self._there[0].settings

    def _by_part(self, rows: np.ndarray) -> Iterator[tuple[BoundCache | None, np.ndarray, np.ndarray]]:
        """Cache, places in `rows`, and the part's own rows, for each part that some rows are of."""
        owners = np.searchsorted(self._starts, rows, side="right") - 1
        for number in np.unique(owners).tolist():
            places = np.flatnonzero(owners == number)
            yield self._parts[number], places, rows[places] - self._starts[number]

    @property
    def folders(self) -> tuple[str, ...]:
        """Folders of all parts' caches."""
        return tuple(dict.fromkeys(folder for cache in self._there for folder in cache.folders))

    def covered(self, rows: np.ndarray) -> np.ndarray:
        """See `BoundCache.covered`."""
        has = np.array([cache is not None for cache in self._parts])
        return rows[has[np.searchsorted(self._starts, rows, side="right") - 1]]

    @property
    def index_bytes(self) -> int:
        """See `BoundCache.index_bytes`."""
        return sum(cache.index_bytes for cache in self._there)

    def check(self) -> None:
        """See `BoundCache.check`."""
        for cache in self._there:
            cache.check()

    def has(self, rows: np.ndarray) -> np.ndarray:
        """See `BoundCache.has`."""
        found = np.zeros(len(rows), bool)
        for cache, places, inside in self._by_part(rows):
            if cache is not None:
                found[places] = cache.has(inside)
        return found

    def catch_up(self) -> None:
        """See `BoundCache.catch_up`."""
        for cache in self._there:
            cache.catch_up()

    def fill(self, rows: np.ndarray, slots: np.ndarray, buffer: np.ndarray, note: Note = silent) -> Filled:
        """See `BoundCache.fill`."""
        missed, num_damaged = [slots[:0]], 0
        for cache, places, inside in self._by_part(rows):
            done = Filled(slots[places], 0) if cache is None else cache.fill(inside, slots[places], buffer, note)
            missed.append(done.missed)
            num_damaged += done.num_damaged
        return Filled(np.sort(np.concatenate(missed)), num_damaged)

    def store(self, rows: Sequence[int], slots: Sequence[int], buffer: np.ndarray, files: Sequence[Identity]) -> int:
        """See `BoundCache.store`."""
        num_stored = 0
        for cache, places, inside in self._by_part(np.asarray(rows, np.int64)):
            if cache is not None:
                chosen = places.tolist()
                num_stored += cache.store(
                    inside.tolist(), [slots[place] for place in chosen], buffer, [files[place] for place in chosen]
                )
        return num_stored

    def try_again(self) -> None:
        """See `BoundCache.try_again`."""
        for cache in self._there:
            cache.try_again()

    def check_writable(self) -> None:
        """See `BoundCache.check_writable`."""
        for cache in self._there:
            cache.check_writable()

    def sync(self) -> None:
        """See `BoundCache.sync`."""
        for cache in self._there:
            cache.sync()
