"""A cache of decoded pictures, bound to the rows of one input: fill slots of a batch from it, store what was decoded.

A picture is taken from the cache where its file is the one that it was decoded from. That is looked up once per row and
process, at the row's first use; afterwards a row is one integer, its place in the cache (docs/cache.md).
"""

from __future__ import annotations

import logging
import os
import stat
import time
import weakref
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
import xxhash

from mtgen.cache.folder import Contents, RecipeFolder, cache_folder
from mtgen.cache.known import NOWHERE, ROW_BYTES, Known
from mtgen.cache.layout import Identity, contents_of, file_of, names_of, sound
from mtgen.cache.segments import MOST_OPEN
from mtgen.cache.settings import PictureCache
from mtgen.errors import StoreError
from mtgen.promises import Promises
from mtgen.recipe import Recipe
from mtgen.waits import Note, ProcessTurns, silent

FRESH_NS = 2_000_000_000
"""A file modified less than this before it was read is not stored: it may change again without another time, which file
systems keep to two seconds at worst (FAT)."""

_READ_RECORDS = 1 << 16
_OPEN_RECORDS = 1024
"""Among so many of the last records, one that is all zeros may yet be written."""


class Pictures(Protocol):
    """What a cache asks of the input that it belongs to."""

    recipe: Recipe
    promises: Promises | None

    def __len__(self) -> int: ...
    def path(self, row: int) -> str:
        """Path of a row's file."""

    def path_text(self, row: int) -> bytes:
        """A row's path as the table has it."""

    def leads_out(self, path: str) -> str | None:
        """Where a picture really is, if it must not be read."""

    @property
    def base(self) -> str:
        """The folder that relative paths are under."""


class Filled(NamedTuple):
    """What became of slots that were to be filled from a cache.

    Args:
        missed: int64, those that were not.
        num_damaged: how many of them because what was stored is damaged.
    """

    missed: np.ndarray
    num_damaged: int


class _State(NamedTuple):
    contents: Contents
    known: Known


class BoundCache:
    """The cache of one input.

    Any thread. Opens nothing before it is used. It belongs to its input, and is made anew where that is unpickled.

    Args:
        settings: folder and limits.
        pictures: the input, which must live as long.
    """

    def __init__(self, settings: PictureCache, pictures: Pictures) -> None:
        self.settings = settings
        # Weak, so that folder and lock are free as soon as the input is.
        self._input = weakref.ref(pictures)
        self._turn = ProcessTurns("look for new pictures in a cache")
        self._folder: RecipeFolder | None = None
        self._state: _State | None = None
        self._num_seen = 0
        self._open: list[int] = []
        self._seed: int | None = None

    def check(self) -> None:
        """Refuse a folder or limits that cannot be.

        Raises:
            PlanError: not one picture fits the limit.
            StoreError: the folder is something else.
        """
        self.settings.geometry(self._pictures.recipe)
        cache_folder(self.settings.folder)

    @property
    def _pictures(self) -> Pictures:
        found = self._input()
        if found is None:
            raise StoreError("the input of this cache is gone: ask the cache of one that lives")
        return found

    @property
    def folders(self) -> tuple[str, ...]:
        """Where the pictures are."""
        return (self.settings.folder,)

    def covered(self, rows: np.ndarray) -> np.ndarray:
        """Those of the rows whose pictures may be stored here."""
        return rows

    @property
    def index_bytes(self) -> int:
        """Bytes of memory that the rows' places take."""
        return ROW_BYTES * len(self._pictures)

    # --- which rows it has --------------------------------------------------------------------------------------------

    def has(self, rows: np.ndarray) -> np.ndarray:
        """Which rows the cache may have, bool `(n,)`; looks for what was stored meanwhile where it lacks one."""
        found = self._has(rows)
        if not found.all():
            self.catch_up()
            found = self._has(rows)
        return found

    def _has(self, rows: np.ndarray) -> np.ndarray:
        state = self._state
        return np.zeros(len(rows), bool) if state is None else state.known.places(rows) != NOWHERE

    def catch_up(self) -> None:
        """Take in what was stored since the last time, by this or by another process."""
        with self._turn.here:
            if self._folder is None:
                self._folder = cache_folder(self.settings.folder).recipe(self._pictures.recipe)
            contents = self._folder.look()
            if contents is None:
                return
            if self._state is None or self._state.contents is not contents:
                known = Known(self._keys()) if self._state is None else self._state.known.emptied()
                self._num_seen, self._open = 0, []
                self._state = _State(contents, known)
            try:
                self._read_records(self._state)
            except OSError as error:
                self._folder.cache.say(logging.WARNING, "records", f"its records cannot be read: {error}")

    def _read_records(self, state: _State) -> None:
        records = state.contents.records
        end = records.num_slots
        spans = [(slot, 1) for slot in self._open]
        spans += [(first, min(_READ_RECORDS, end - first)) for first in range(self._num_seen, end, _READ_RECORDS)]
        zeros: list[int] = []
        for first, count in spans:
            words = records.read(first, count)
            right = sound(words, first)
            keys = names_of(words) if self._pictures.promises is None else contents_of(words)
            state.known.learn(np.ascontiguousarray(keys[:, 0]), first, right)
            begun = words.any(axis=1)
            zeros += (np.flatnonzero(~begun) + first).tolist()
            self._num_seen = max(self._num_seen, first + len(words))
            if num_damaged := int((begun & ~right).sum()):
                self._tell_damage(f"{num_damaged} of its records are damaged")
        self._open = [slot for slot in zeros if slot >= end - _OPEN_RECORDS]

    def _tell_damage(self, what: str) -> None:
        if self._folder is not None:
            self._folder.cache.say(
                logging.WARNING,
                "damage",
                f"{what}; they are decoded anew, and no byte of a batch changes. Is the disk sound? This is said once; "
                "loader.stats() counts",
            )

    def _keys(self) -> np.ndarray:
        """Half of each row's key, uint64."""
        promises = self._pictures.promises
        rows = range(len(self._pictures))
        digests = map(self._name, rows) if promises is None else map(promises.checksum, rows)
        return np.fromiter((int.from_bytes(one[:8], "little") for one in digests), np.uint64, len(rows))

    def _name(self, row: int) -> bytes:
        """Key of a row's path: of the path, and of the folder that it is under."""
        text = self._pictures.path_text(row)
        if self._seed is None:
            self._seed = xxhash.xxh3_64_intdigest(os.fsencode(self._pictures.base))
        return xxhash.xxh3_128_digest(text, 0 if os.path.isabs(text) else self._seed)

    # --- reading ------------------------------------------------------------------------------------------------------

    def fill(self, rows: np.ndarray, slots: np.ndarray, buffer: np.ndarray, note: Note = silent) -> Filled:
        """Fill slots of a batch with the pictures that the cache has.

        Args:
            rows: int64 `(n,)`, row of each slot.
            slots: int64 `(n,)`.
            buffer: `(num_slots, *spec.shape)`, contiguous; the caller owns it. Slots that were missed hold anything.
            note: told what is done.

        Returns:
            The slots that were not filled.
        """
        state = self._state
        if state is None or not len(rows):
            return Filled(slots, 0)
        found = state.known.places(rows).astype(np.int64)
        checksums = self._checksums(state, rows, found, note)
        there = np.flatnonzero(found >= 0)
        there = there[np.argsort(found[there])]
        out = buffer.data.cast("B")
        note(f"read {len(there)} pictures of {self.settings.folder}")
        lost = there[state.contents.segments.read(found[there], slots[there], out)].tolist()
        size = state.contents.geometry.row_bytes
        for number, checksum in checksums.items():
            start = int(slots[number]) * size
            if xxhash.xxh3_64_intdigest(out[start : start + size]) != checksum:
                lost.append(number)
        if checksums:
            right = np.setdiff1d(np.fromiter(checksums, np.int64), lost)
            # The file of a slot beyond is opened for each read, and may be another one by then.
            right = right[found[right] < MOST_OPEN * state.contents.geometry.num_slots]
            state.known.settle(rows[right], found[right])
        if lost:
            state.known.forget(rows[lost])
            found[lost] = NOWHERE
            self._tell_damage("some of its pictures are damaged or cannot be read")
        return Filled(slots[found < 0], len(set(lost)))

    def _checksums(self, state: _State, rows: np.ndarray, found: np.ndarray, note: Note) -> dict[int, int]:
        """Look at what is to be looked at: which of the pictures are to be compared with which checksum.

        `found` holds places; afterwards slots, or `NOWHERE`.
        """
        checksums: dict[int, int] = {}
        for number in np.flatnonzero(found < NOWHERE).tolist():
            row, slot = int(rows[number]), Known.slot_to_look_at(found[number])
            checksum = self._look(state, row, slot, note)
            if checksum is None:
                state.known.forget(rows[number : number + 1])
                found[number] = NOWHERE
            else:
                checksums[number] = checksum
                found[number] = slot
        if self.settings.verify == "read":
            for number in np.flatnonzero(found >= 0).tolist():
                if number not in checksums:
                    # A record that is damaged since: no picture has the checksum -1.
                    checksums[number] = self._record(state, int(found[number]), int(rows[number])) or -1
        return checksums

    def _look(self, state: _State, row: int, slot: int, note: Note) -> int | None:
        """The checksum of what a slot holds, if it was decoded from the file that the row has now."""
        pictures, path = self._pictures, self._pictures.path(row)
        note(f"look at {path}")
        try:
            if pictures.leads_out(path) is not None:
                return None  # decoding refuses it
            now = os.stat(path)
        except (OSError, ValueError):
            return None  # decoding says why
        if not stat.S_ISREG(now.st_mode):
            return None
        if pictures.promises is not None and pictures.promises.difference(row, now) is not None:
            return None
        return self._record(state, slot, row, now)

    def _record(self, state: _State, slot: int, row: int, now: os.stat_result | None = None) -> int | None:
        """The checksum that the record of a slot names, if the record is the row's, and its file the one given."""
        try:
            words = state.contents.records.read(slot, 1)
        except OSError:
            return None
        if not len(words) or not sound(words, slot)[0]:
            return None
        name, file, checksum = file_of(words[0])
        promises = self._pictures.promises
        if promises is not None:
            return checksum if file.content == promises.checksum(row) else None
        same = now is None or (file.size, file.mtime_ns) == (now.st_size, now.st_mtime_ns)
        return checksum if same and name == self._name(row) else None

    # --- storing ------------------------------------------------------------------------------------------------------

    def store(self, rows: Sequence[int], slots: Sequence[int], buffer: np.ndarray, files: Sequence[Identity]) -> int:
        """Store whole, good pictures out of slots of a batch; how many were stored.

        Args:
            rows: row of each.
            slots: slot of each in `buffer`.
            buffer: `(num_slots, *spec.shape)`, contiguous; not kept.
            files: what each was decoded from.
        """
        latest = time.time_ns() - FRESH_NS
        kept = [number for number, file in enumerate(files) if file.mtime_ns <= latest]
        if not kept or self._folder is None:
            return 0
        size, out = buffer[0].nbytes, buffer.data.cast("B")
        starts = [slots[number] * size for number in kept]
        return self._folder.store(
            [self._name(int(rows[number])) for number in kept],
            [files[number] for number in kept],
            [out[start : start + size] for start in starts],
            self.settings,
        )

    def try_again(self) -> None:
        """Write again, where a full or failing disk or another process prevented it up to now."""
        self.catch_up()
        if self._folder is not None:
            self._folder.cache.try_again()

    def check_writable(self) -> None:
        """Refuse to go on where nothing can be stored, for those who came to store.

        Raises:
            StoreError: another process writes, or writing failed.
        """
        if self._folder is not None and (reason := self._folder.cache.why_not) is not None:
            raise StoreError(f"the pictures cannot be stored: {reason}", path=self.settings.folder)

    def sync(self) -> None:
        """Flush everything that was stored to disk.

        Raises:
            StoreError: the system cannot.
        """
        if self._folder is not None:
            self._folder.sync()
