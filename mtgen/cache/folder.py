"""A cache's folder: which process writes, how much room there is, and what each recipe has in it.

One process writes, which takes the lock when it has the first picture to store; all others read what is there and look
for new records as they go on. Nothing is flushed on the way: a record is believed only where its own checksum and that
of its picture are right, so what a crash leaves half written is lost, and nothing else. Slots are never used again.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import weakref
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import xxhash

from mtgen.cache.layout import (
    RECIPE_BYTES,
    RECORD_BYTES,
    VERSION,
    Geometry,
    Identity,
    header,
    make_records,
    slots_in_header,
)
from mtgen.cache.segments import RECORDS, Records, Segments
from mtgen.cache.settings import PictureCache
from mtgen.errors import MtgenError, StoreError
from mtgen.folder_lock import FolderLock
from mtgen.recipe import Recipe
from mtgen.stores.new_folder import make_folder, remove_tree, replace_file
from mtgen.waits import ProcessTurns

MARK = "picture_cache.json"
TRY_AGAIN = 4096
"""Pictures that could not be stored because another process writes, after which its lock is tried once more."""

_log = logging.getLogger("mtgen")
_folders: weakref.WeakValueDictionary[str, CacheFolder] = weakref.WeakValueDictionary()
"""Caches of this process by folder: it writes all its inputs with one lock and one account."""
_guard = ProcessTurns("open a picture cache")


def cache_folder(path: str) -> CacheFolder:
    """The cache in a folder; one object for all who name the folder.

    Raises:
        StoreError: something else is there.
    """
    key = os.path.realpath(path)
    with _guard.here:
        found = _folders.get(key)
        if found is None or found.pid != os.getpid():
            found = _folders[key] = CacheFolder(Path(key))
        return found


class CacheFolder:
    """What this process knows of a cache's folder.

    Any thread.

    Args:
        path: the folder; made when there is something to store.

    Attributes:
        why_not: why nothing can be stored now, as far as somebody tried; None where it can.

    Raises:
        StoreError: a file is there, or a folder of something else, or of another version.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.pid = path, os.getpid()
        self.turn = ProcessTurns("find room in a picture cache")
        # Weak, as these know the folder: it closes, and its lock is free, with the last input that uses it.
        self._recipes: weakref.WeakValueDictionary[str, RecipeFolder] = weakref.WeakValueDictionary()
        self._lock: FolderLock | None = None
        self._said: set[str] = set()
        self._broken = False
        self._wait = 0
        self.why_not: str | None = None
        self._used_bytes = 0
        self._check()

    def _check(self) -> None:
        what = "it is no picture cache of mtgen, and nothing is written into it: name an empty or a new folder"
        try:
            content = os.listdir(self.path)
            mark = json.loads((self.path / MARK).read_bytes()) if MARK in content else None
        except FileNotFoundError:
            return
        except OSError as error:
            raise StoreError(
                f"the picture cache cannot be opened ({error}): name a folder that this user may read",
                path=str(self.path),
            ) from error
        except ValueError:
            mark = {}
        if mark is None:
            if set(content) - {".lock"}:
                raise StoreError(what, path=str(self.path))
        elif not isinstance(mark, dict) or mark.get("version") != VERSION:
            raise StoreError(
                f"the picture cache is damaged or of another version ({str(mark)[:100]}, this is {VERSION}): remove "
                "the folder, it will be filled anew",
                path=str(self.path),
            )

    def recipe(self, recipe: Recipe) -> RecipeFolder:
        """The pictures of one recipe."""
        digest = recipe.digest()
        with self.turn.here:
            found = self._recipes.get(digest)
            if found is None:
                found = self._recipes[digest] = RecipeFolder(self, recipe)
            return found

    def say(self, level: int, what: str, text: str) -> None:
        """Say something in the log, of each kind once."""
        if what not in self._said:
            self._said.add(what)
            _log.log(level, "picture cache %s: %s", self.path, text)

    def may_write(self, num_pictures: int) -> bool:
        """Whether this process writes; takes the lock where it can. Under `turn`."""
        if self._broken or self.pid != os.getpid():
            return False
        if self._lock is not None and self._lock.is_held:
            return True
        if self._wait > 0:
            self._wait -= num_pictures
            return False
        try:
            make_folder(self.path, "the folder of the picture cache")
            lock = FolderLock(self.path)
            lock.take()
        except MtgenError as error:
            self._wait, self.why_not = TRY_AGAIN, error.message
            # Another process that writes is as it should be; a wrong path is not.
            level = logging.INFO if os.access(self.path, os.W_OK) else logging.WARNING
            self.say(level, "lock", f"only read by this process, nothing is added to it meanwhile: {error.message}")
            return False
        self._lock, self.why_not = lock, None
        try:
            if not (self.path / MARK).exists():
                replace_file(self.path / MARK, json.dumps({"version": VERSION, "holds": "decoded pictures"}).encode())
            self._used_bytes = _size_of(self.path)
            for one in list(self._recipes.values()):
                one.forget_end()
        except OSError as error:
            self.give_up(error)
            return False
        return True

    def try_again(self) -> None:
        """Forget what prevented writing up to now."""
        with self.turn.here:
            self._broken, self._wait, self.why_not = False, 0, None

    def give_up(self, error: Exception) -> None:
        """Write nothing more in this run: the disk is full, or fails."""
        self._broken, self.why_not = True, f"it cannot be written ({error}): check space and rights"
        # The lock stays: other threads may be at work on slots that they were given.
        self.say(
            logging.WARNING,
            "broken",
            f"it cannot be written ({error}), so no more is stored in this run; what it holds is used, the rest is "
            "decoded, and no byte of a batch changes. Check space and rights",
        )

    def count(self, num_bytes: int) -> None:
        """So many bytes are promised to what is there already."""
        self._used_bytes += num_bytes

    def has_room(self, num_bytes: int, max_bytes: int | None, keep_free_bytes: int) -> bool:
        """Whether so much more may be written; counts it, if so. Under `turn`."""
        if max_bytes is not None and self._used_bytes + num_bytes > max_bytes:
            self.say(
                logging.INFO,
                "full",
                f"full: {self._used_bytes:,} of max_bytes={max_bytes:,} used; what is in stays, the rest is decoded",
            )
            return False
        free = shutil.disk_usage(self.path).free
        if free - num_bytes < keep_free_bytes:
            self.say(
                logging.WARNING,
                "disk",
                f"{free:,} bytes are free on its disk, keep_free_bytes={keep_free_bytes:,} stay so: no more is stored, "
                "what is in stays, the rest is decoded",
            )
            return False
        self._used_bytes += num_bytes
        return True

    def __reduce__(self) -> Any:
        raise TypeError("an open cache cannot be pickled; pickle its settings")


class Contents(NamedTuple):
    """The files of one recipe, as they were opened; others in their place are others."""

    geometry: Geometry
    segments: Segments
    records: Records


class RecipeFolder:
    """The pictures of one recipe in a cache's folder.

    Any thread.

    Args:
        cache: the folder of all recipes.
        recipe: of these.

    Attributes:
        contents: the files; None as long as there are none.
    """

    def __init__(self, cache: CacheFolder, recipe: Recipe) -> None:
        self.cache, self.recipe = cache, recipe
        self._digest = recipe.digest()
        self.path = cache.path / self._digest
        self.contents: Contents | None = None
        self._end: int | None = None
        self.look()

    def look(self) -> Contents | None:
        """What is there, also if another process has made it meanwhile."""
        if self.contents is None:
            try:
                self.contents = self._opened()
            except OSError as error:
                self.cache.say(logging.WARNING, f"open {self._digest}", f"{self.path} cannot be read: {error}")
        return self.contents

    def _opened(self) -> Contents | None:
        try:
            records = Records(self.path / RECORDS)
        except FileNotFoundError:
            return None
        spec = self.recipe.spec
        num_slots = slots_in_header(records.header(), spec, self._digest)
        if num_slots is None:
            self.cache.say(
                logging.WARNING,
                f"header {self._digest}",
                f"{records.path} is damaged; what it told of is lost and will be decoded anew",
            )
            return None
        geometry = Geometry(row_shape=spec.shape, dtype=spec.dtype.name, num_slots=num_slots)
        return Contents(geometry, Segments(self.path, geometry), records)

    def forget_end(self) -> None:
        """Others may have stored up to now."""
        self._end = None

    def store(
        self, names: Sequence[bytes], files: Sequence[Identity], pictures: Sequence[memoryview], limits: PictureCache
    ) -> int:
        """Store whole pictures; how many found room.

        Args:
            names: key of each path, 16 bytes.
            files: what each was decoded from.
            pictures: bytes of each; not kept.
            limits: how much may be stored.
        """
        stored = 0
        try:
            while stored < len(names):
                with self.cache.turn.here:
                    contents, first, count = self._allot(len(names) - stored, limits)
                if contents is None:
                    break
                part = slice(stored, stored + count)
                checksums = list(map(xxhash.xxh3_64_intdigest, pictures[part]))
                contents.segments.write(first, pictures[part])
                contents.records.write(first, make_records(first, names[part], files[part], checksums))
                stored += count
        except OSError as error:
            self.cache.give_up(error)
        return stored

    def _allot(self, num_wanted: int, limits: PictureCache) -> tuple[Contents | None, int, int]:
        """Files, first slot and number of free slots next to each other; no files if there is no room. Under `turn`."""
        if not self.cache.may_write(num_wanted):
            return None, 0, 0
        if self._end is None or self.contents is None:
            self.contents, self._end = self._begin(limits)
        contents, first = self.contents, self._end
        segment, index = divmod(first, contents.geometry.num_slots)
        if not contents.segments.is_there(segment) and not self._grow(contents, segment, limits):
            return None, 0, 0
        count = min(num_wanted, contents.geometry.num_slots - index)
        self._end += count
        return contents, first, count

    def _begin(self, limits: PictureCache) -> tuple[Contents, int]:
        """The files, to be written on or new ones, and the first free slot."""
        contents = self.contents
        if contents is None or not contents.records.is_at_its_path:
            contents = self._opened()
        if contents is not None:
            end = contents.records.num_slots
            # Room for the records of the slots left was found with their segment.
            self.cache.count(-end % contents.geometry.num_slots * RECORD_BYTES)
            return contents, end
        if self.path.exists():
            remove_tree(self.path)
        make_folder(self.path, "the folder of the picture cache")
        geometry = limits.geometry(self.recipe)
        path = self.path / RECORDS
        replace_file(path, header(geometry, self._digest))
        return Contents(geometry, Segments(self.path, geometry), Records(path)), 0

    def _grow(self, contents: Contents, segment: int, limits: PictureCache) -> bool:
        """One more segment, if there is room."""
        geometry = contents.geometry
        num_bytes = geometry.cost_bytes + (0 if segment else RECIPE_BYTES)
        if not self.cache.has_room(num_bytes, limits.max_bytes, limits.keep_free_bytes):
            return False
        contents.segments.make(segment)
        attributes = {"recipe": self.recipe.settings(), "note": "slots without a record hold nothing yet"}
        metadata = geometry.metadata(segment + 1, attributes)
        replace_file(self.path / "zarr.json", json.dumps(metadata, indent=1).encode())
        return True

    def sync(self) -> None:
        """Flush everything that was stored to disk, so that it survives a power cut.

        Raises:
            StoreError: the system cannot.
        """
        contents = self.contents
        if contents is None:
            return
        try:
            contents.segments.sync(-(-contents.records.num_slots // contents.geometry.num_slots))
            contents.records.sync()
        except OSError as error:
            raise StoreError(
                f"the cache cannot be flushed to disk ({error}): check the disk", path=str(self.path)
            ) from error


def _size_of(folder: Path) -> int:
    """Bytes of all files in a folder."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                total += os.lstat(os.path.join(place, name)).st_size
    return total
