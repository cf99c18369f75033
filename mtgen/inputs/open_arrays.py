"""Arrays on disk, opened when they are wanted and kept open, a few at a time."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from mtgen.errors import ChangedError, StoreError
from mtgen.inputs.signatures import Signature, Watch
from mtgen.stores import Store, open_store
from mtgen.waits import ProcessTurns

MOST_OPEN = 8
"""Arrays that stay open, for each input: file handles, and what a format keeps in memory for each."""


@dataclass(kw_only=True, eq=False)
class _Opened:
    """An open array, what the file system said of it before, and how many use it."""

    store: Store
    watch: Watch
    signature: Signature | None
    users: int = 1

    def check_unchanged(self) -> None:
        self.watch.check_unchanged(self.signature)


class OpenArrays:
    """Stores by path, the ones used last.

    Any thread, many at once; one that is in use is never closed. Where more threads than `most` read arrays of their
    own, so many are open. Pickles without what is open; a forked child opens its own.

    An array whose file is replaced or written to while it is open is refused, also where that happens in the midst of
    a read: see `signatures`.

    Args:
        most: arrays that stay open.
    """

    def __init__(self, most: int = MOST_OPEN) -> None:
        self.most = most
        self._turns = ProcessTurns("look up open arrays")
        self._start_afresh()

    def _start_afresh(self) -> None:
        self._pid = os.getpid()
        self._arrays: OrderedDict[str, _Opened] = OrderedDict()

    def __reduce__(self) -> tuple[Any, ...]:
        return OpenArrays, (self.most,)

    @property
    def num_open(self) -> int:
        """Arrays open now."""
        return len(self._arrays)

    @contextmanager
    def lend(self, path: str) -> Iterator[tuple[Store, Signature | None]]:
        """The array at a path, for a block in which nobody closes it, and the signature it was opened with.

        Raises:
            StoreError: it cannot be opened, or is not there any more; with its path.
            ChangedError: it was replaced or written to since it was opened, or was so in the block.
        """
        opened = self._take(path)
        try:
            opened.check_unchanged()  # before a mapped file that was cut ends the process
            try:
                yield opened.store, opened.signature
            except StoreError:
                opened.check_unchanged()  # what was written meanwhile cannot be decoded, which is no bad sample
                raise
            opened.check_unchanged()
        except (StoreError, ChangedError) as error:
            raise error.at(path=path) from error.__cause__
        finally:
            for idle in self._give_back(path, opened):
                idle.close()

    def _take(self, path: str) -> _Opened:
        with self._turns.here:
            if self._pid != os.getpid():
                self._start_afresh()
            known = self._known(path)
        if known is not None:
            return known
        opened = _open(path)  # may take long, and others need the lock meanwhile
        with self._turns.here:
            known = self._known(path)
            if known is None:
                self._arrays[path] = opened
                return opened
        opened.store.close()  # another thread was faster
        return known

    def _known(self, path: str) -> _Opened | None:
        known = self._arrays.get(path)
        if known is not None:
            known.users += 1
            self._arrays.move_to_end(path)
        return known

    def _give_back(self, path: str, opened: _Opened) -> list[Store]:
        """Those to close, beyond the lock."""
        with self._turns.here:
            if (
                self._pid != os.getpid() or self._arrays.get(path) is not opened
            ):  # lent before a fork; the parent closes it
                return []
            opened.users -= 1
            idle = [one for one, array in self._arrays.items() if not array.users]
            surplus = idle[: max(0, len(self._arrays) - self.most)]
            return [self._arrays.pop(one).store for one in surplus]

    def close(self) -> None:
        """Close those that nobody uses."""
        with self._turns.here:
            idle = [path for path, array in self._arrays.items() if not array.users]
            closing = [self._arrays.pop(path).store for path in idle]
        for store in closing:
            store.close()


def _open(path: str) -> _Opened:
    watch, before = Watch(path), None
    with suppress(OSError):  # what is wrong with it the opening says
        before = watch.signature()
    try:
        store = open_store(path, keys=False)
    except StoreError as error:
        error.at(path=path)
        raise
    return _Opened(store=store, watch=watch, signature=before)
