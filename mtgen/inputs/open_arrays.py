"""Arrays on disk, opened when they are wanted and kept open, a few at a time."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mtgen.errors import StoreError
from mtgen.stores import Store, open_store
from mtgen.waits import ProcessTurns

MOST_OPEN = 8
"""Arrays that stay open, for each input: file handles, and what a format keeps in memory for each."""


class OpenArrays:
    """Stores by path, the ones used last.

    Any thread, many at once; one that is in use is never closed. Where more threads than `most` read arrays of their
    own, so many are open. Pickles without what is open; a forked child opens its own.

    Args:
        most: arrays that stay open.
    """

    def __init__(self, most: int = MOST_OPEN) -> None:
        self.most = most
        self._turns = ProcessTurns("look up open arrays")
        self._start_afresh()

    def _start_afresh(self) -> None:
        self._pid = os.getpid()
        self._stores: OrderedDict[str, Store] = OrderedDict()
        self._users: dict[str, int] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        return OpenArrays, (self.most,)

    @property
    def num_open(self) -> int:
        """Arrays open now."""
        return len(self._stores)

    @contextmanager
    def lend(self, path: str) -> Iterator[Store]:
        """The array at a path, for a block in which nobody closes it.

        Raises:
            StoreError: it cannot be opened; with its path.
        """
        store = self._take(path)
        try:
            yield store
        finally:
            for idle in self._give_back(path):
                idle.close()

    def _take(self, path: str) -> Store:
        with self._turns.here:
            if self._pid != os.getpid():
                self._start_afresh()
            store = self._known(path)
        if store is not None:
            return store
        try:
            opened = open_store(path, keys=False)  # may take long, and others need the lock meanwhile
        except StoreError as error:
            error.at(path=path)
            raise
        with self._turns.here:
            store = self._known(path)
            if store is None:
                self._stores[path], self._users[path] = opened, 1
                return opened
        opened.close()  # another thread was faster
        return store

    def _known(self, path: str) -> Store | None:
        store = self._stores.get(path)
        if store is not None:
            self._users[path] += 1
            self._stores.move_to_end(path)
        return store

    def _give_back(self, path: str) -> list[Store]:
        """Those to close, beyond the lock."""
        with self._turns.here:
            if self._pid != os.getpid() or path not in self._users:  # lent before a fork; the parent closes it
                return []
            self._users[path] -= 1
            idle = [one for one in self._stores if not self._users[one]]
            surplus = idle[: max(0, len(self._stores) - self.most)]
            for one in surplus:
                del self._users[one]
            return [self._stores.pop(one) for one in surplus]

    def close(self) -> None:
        """Close those that nobody uses."""
        with self._turns.here:
            idle = [one for one in self._stores if not self._users[one]]
            for one in idle:
                del self._users[one]
            closing = [self._stores.pop(one) for one in idle]
        for store in closing:
            store.close()
