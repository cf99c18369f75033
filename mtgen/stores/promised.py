"""The files of a store, and stores whose files a manifest promises.

In a manifest the files of a store begin with the store's own name, `features.bcolz/data/__0.blp`, so that a store may
move together with its name.
"""

from __future__ import annotations

import copy
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import numpy as np

from mtgen.errors import ChangedError, ManifestError, PlanError, StoreError
from mtgen.files import hash_file
from mtgen.manifest import Manifest, path_bytes
from mtgen.promises import SHOWN, Promises, Verify, changed_text, read_manifest
from mtgen.stores.base import Store
from mtgen.stores.bcolz import BcolzStore
from mtgen.stores.opening import URL, split_inside
from mtgen.stores.sharded import ShardedStore
from mtgen.stores.sparse import SparseStore
from mtgen.stores.zarr import METADATA, ZarrStore

SELF_CHECKING = "Zarr v3 with the crc32c codec and HDF5 with fletcher32"
"""Formats whose own checksums are checked at every read."""

_BCOLZ_METADATA = {"sizes", "storage", "__attrs__", "__rootdirs__"}


def in_memory(store: Store) -> bool:
    """Whether the rows have no files: an array of the caller's."""
    return all(getattr(store, name, None) is None for name in ("folder", "path", "source"))


def places_of(store: Store) -> list[Path]:
    """Where the files of a store, and of its keys, lie: files or folders, absolute.

    Raises:
        PlanError: the store is no local file or folder.
    """
    found = [None if in_memory(store) else _place(store.location)]
    if found[0] is None:
        raise PlanError(
            f"a manifest covers local files, and the store {store.location} is none that is there. Name a store by its "
            "path, or leave out manifest="
        )
    if store.keys is not None:
        found.append(_place(store.keys.location))
    return [place for place in dict.fromkeys(found) if place is not None]


def _place(location: str) -> Path | None:
    if URL.match(location):
        if not location.startswith("file://"):
            return None
        location = unquote(urlsplit(location).path)
    path = Path(os.path.abspath(split_inside(location)[0]))
    return path if path.exists() else None


def files_at(place: Path) -> Iterator[tuple[bytes, str]]:
    """`(path as a manifest has it, path)` of all files of a store, sorted; links to folders are followed once.

    Raises:
        StoreError: a folder cannot be listed.
    """
    if not place.is_dir():
        yield path_bytes(place.name), str(place)
        return
    seen: set[tuple[int, int]] = set()
    try:
        for folder, folders, names in os.walk(place, onerror=_raise, followlinks=True):
            found = os.stat(folder)
            if (found.st_dev, found.st_ino) in seen:
                folders.clear()
                continue
            seen.add((found.st_dev, found.st_ino))
            folders.sort()
            inside = Path(folder).relative_to(place.parent)
            for name in sorted(names):
                yield path_bytes((inside / name).as_posix()), os.path.join(folder, name)
    except OSError as error:
        raise StoreError(f"the files of the store cannot be listed ({error}): check rights", path=str(place)) from error


def _raise(error: OSError) -> None:
    raise error


def checks_itself(store: Any) -> bool:
    """Whether each read of the store compares checksums that its own format holds."""
    if isinstance(store, ShardedStore | SparseStore):
        return True
    if isinstance(store, ZarrStore):
        return store.source is not None and _has_crc(store.array.codec)
    return bool(getattr(getattr(store, "dataset", None), "fletcher32", False))


def _has_crc(codec: Any) -> bool:
    content = codec.to_json()
    codecs = content.get("codecs", []) if content.get("driver") == "zarr3" else []
    if len(codecs) and codecs[-1].get("name") == "sharding_indexed":
        inner = codecs[-1]["configuration"]
        return _ends_in_crc(inner.get("codecs", [])) and _ends_in_crc(inner.get("index_codecs", []))
    return _ends_in_crc(codecs)


def _ends_in_crc(codecs: list[dict[str, Any]]) -> bool:
    return bool(codecs) and codecs[-1].get("name") == "crc32c"


def promised(store: Store, manifest_path: str | os.PathLike[str], mode: Verify) -> tuple[Store, str]:
    """The store with its files compared with a manifest, now and, for bcolz, at each read.

    Args:
        store: the open store; it is not changed.
        manifest_path: the manifest.
        mode: "open" or "read".

    Returns:
        The store to read from, and 32 hex digits over paths, sizes and checksums of all its files.

    Raises:
        PlanError: the store is no local file, or "read" of a format that cannot compare what it reads.
        ManifestError: the manifest is damaged, or names no file of the store.
        ChangedError: files are missing, new, or of another size or time.
        StoreError: the files cannot be listed or read.
    """
    places = places_of(store)
    if mode == "read" and not isinstance(store, BcolzStore) and not checks_itself(store):
        raise PlanError(
            f"verify='read' cannot check the content of {store.location}: only the chunk files of bcolz are compared "
            f"at each read, and {SELF_CHECKING} check themselves. Use verify='open', which notices another size "
            "or time, and compare contents by mtgen verify --manifest"
        )
    location = os.fspath(manifest_path)
    manifest = read_manifest(location)
    files = [file for place in places for file in files_at(place)]
    entries = _check_files(files, places, manifest, location)
    if mode == "read":
        _check_contents(files, entries, manifest, location)
    twin = _promised_chunks(store, places, manifest, location, contents=mode == "read")
    return twin, manifest.digest(entries)


def _check_files(files: list[tuple[bytes, str]], places: list[Path], manifest: Manifest, location: str) -> np.ndarray:
    """Places in the manifest of the store's files, none of which is missing, new or another one."""
    entries = manifest.find(name for name, _ in files)
    if (entries < 0).all():
        raise ManifestError(
            f"the manifest names no file of the store {places[0].name!r}; it names {len(manifest):,} files. Was the "
            "store renamed? Make the manifest anew, with the store (mtgen verify --make)",
            path=location,
        )
    known = np.flatnonzero(entries >= 0)
    promises = Promises(manifest, entries[known], location=location, contents=False)

    def path_of(number: int) -> str:
        return files[known[number]][1]

    kinds, first = promises.look_at(range(len(known)), path_of, path_of)
    new = [files[number][1] for number in np.flatnonzero(entries < 0).tolist()]
    missing = missing_of(files, places, manifest)
    kinds += Counter({"missing": len(missing), "new": len(new)})
    if kinds:
        first += [f"{name}: it is missing" for name in missing[:SHOWN]]
        first += [f"{path}: the manifest does not name it" for path in new[:SHOWN]]
        text = changed_text(kinds, first[:SHOWN], len(files) + len(missing))
        raise ChangedError(text, path=str(places[0]))
    return entries


def missing_of(files: list[tuple[bytes, str]], places: list[Path], manifest: Manifest) -> list[str]:
    """Paths that the manifest names as files of a store and that are not among its files."""
    have = {name for name, _ in files}
    found = []
    for place in places:
        name = path_bytes(place.name)
        named = [*manifest.starting_with(name + b"/").tolist(), *manifest.find([name]).tolist()]
        paths = [manifest.path(entry) for entry in named if entry >= 0]
        found += [path.decode("utf-8", "surrogateescape") for path in paths if path not in have]
    return found


def _check_contents(files: list[tuple[bytes, str]], entries: np.ndarray, manifest: Manifest, location: str) -> None:
    """Compare the content of the small files that say how to read the others; nobody compares them later."""
    for (_, path), entry in zip(files, entries.tolist(), strict=True):
        name = os.path.basename(path)
        if name in METADATA or name in _BCOLZ_METADATA:
            try:
                _, checksum = hash_file(path)
            except OSError as error:
                raise StoreError(f"the file cannot be read ({error}): check rights", path=path) from error
            if checksum != manifest.entry(entry).checksum:
                raise ChangedError(
                    f"the dataset changed: the content of this file does not have the checksum that the manifest "
                    f"{location} says. Restore it, or make the manifest anew (mtgen verify --make)",
                    path=path,
                )


def _promised_chunks(store: Store, places: list[Path], manifest: Manifest, location: str, *, contents: bool) -> Store:
    """The store, and its keys, with each chunk file promised, where they are bcolz."""
    twin = copy.copy(store)
    if isinstance(twin, BcolzStore):
        folder = twin.folder.absolute()
        (place,) = [place for place in places if place == folder or place in folder.parents]
        inside = folder.relative_to(place.parent)
        names = (path_bytes(f"{inside.as_posix()}/data/__{chunk}.blp") for chunk in range(twin.num_chunks))
        found = manifest.find(names)
        twin.promised = Promises(manifest, found, location=location, contents=contents)
    if isinstance(twin.keys, BcolzStore):
        twin.keys = _promised_chunks(twin.keys, places, manifest, location, contents=contents)
    return twin
