"""Zarr v2, Zarr v3 (sharded too) and N5 through TensorStore: local folders and `http`, `s3`, `gs` URLs.

Local arrays of the layout that `mtgen pack` writes are read without it, by `sharded.py`; `open_array` decides.

A chunk that was never written reads as the array's fill value; that is the format's rule, so a lost chunk file
cannot be told from an empty one.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mtgen.errors import StoreError
from mtgen.stores.base import OpenStore, Store, load_package, shape_of, touched_bytes
from mtgen.stores.container import KEY_ATTRIBUTE, KEY_MEMBER, Container
from mtgen.stores.shard_metadata import sharded_array
from mtgen.stores.sharded import METADATA_FILE, ShardedStore, read_metadata

CACHE_BYTES = 2**24  # per store: shard indexes and the chunks read last
RETRIES = {"max_retries": 5, "initial_delay": "0.2s", "max_delay": "2s"}  # without it, TensorStore tries for minutes
CONTEXT = {
    "cache_pool": {"total_bytes_limit": CACHE_BYTES},
    **{f"{service}_request_retries": RETRIES for service in ("http", "s3", "gcs")},
}
MAX_CHUNK_BYTES = 2**31  # a chunk is decompressed whole; larger ones are unusable, or a lie
OPEN_SECONDS = 60.0
READ_SECONDS = 300.0  # a read that hangs ends as an error, never as a wait without end
OPEN_ONCE = {"recheck_cached_data": "open", "recheck_cached_metadata": "open"}  # a store's content does not change
MEMBER = re.compile(r"[\w.\- ]+(/[\w.\- ]+)*")  # a name inside a group: no way up, no other address
METADATA = ["zarr.json", ".zarray", ".zgroup", "attributes.json"]


_user: list[int] = []
"""The process in which TensorStore was first used, once it was. Its threads are in no forked child of that one."""


def _tensorstore(location: str) -> Any:
    package = load_package("tensorstore", "tensorstore", location)
    if not _user:
        _user.append(os.getpid())
    if _user[0] != os.getpid():
        raise StoreError(
            f"TensorStore was used in process {_user[0]} before this one was forked from it, and would end this one. "
            'Start processes by "spawn" or "forkserver" (multiprocessing.set_start_method), or open the store after '
            "the fork only",
            path=location,
        )
    return package


def _plain(error: BaseException) -> str:
    return str(error).partition(" [tensorstore_spec=")[0].partition(" [source locations=")[0]


class Node:
    """One array or group of a Zarr or N5 hierarchy, known by its metadata files.

    Args:
        source: local path or URL.

    Attributes:
        driver: "zarr3", "zarr" or "n5"; None when there is no metadata.
        is_array: False for a group.
        attributes: attributes of the user.
    """

    def __init__(self, source: str) -> None:
        self.source = source.rstrip("/") if "://" in source else str(Path(source).absolute())
        self.driver: str | None = None
        self.is_array = False
        self.attributes: dict[str, Any] = {}
        self.metadata: dict[str, Any] = {}
        for name in METADATA:
            found = self._read(name)
            if found is not None:
                self._understand(name, found)
                return

    @property
    def kvstore(self) -> Any:
        """The folder as TensorStore wants it."""
        if "://" in self.source:
            return self.source + "/"
        return {"driver": "file", "path": self.source + "/"}

    @property
    def shape(self) -> tuple[int, ...]:
        """Axes as the metadata says, rows first."""
        lengths = self.metadata.get("dimensions" if self.driver == "n5" else "shape")
        if not isinstance(lengths, list) or not all(type(length) is int for length in lengths):
            raise StoreError(f"the metadata says shape {lengths!r}: write the array again", path=self.source)
        return tuple(lengths)

    def _understand(self, name: str, found: dict[str, Any]) -> None:
        self.metadata = found
        if name == "zarr.json":
            self.driver, self.is_array = "zarr3", found.get("node_type") == "array"
            self.attributes = found.get("attributes") or {}
        elif name == "attributes.json":
            self.driver, self.is_array = "n5", "dimensions" in found
            self.attributes = found
        else:
            self.driver, self.is_array = "zarr", name == ".zarray"
            self.attributes = self._read(".zattrs") or {}

    def _read(self, name: str) -> dict[str, Any] | None:
        if "://" not in self.source:
            folder = Path(self.source)
            return read_metadata(folder, self.source, name) if os.path.lexists(folder / name) else None
        tensorstore = _tensorstore(self.source)
        try:
            context = tensorstore.Context(CONTEXT)
            kvstore = tensorstore.KvStore.open(self.kvstore, context=context).result(timeout=OPEN_SECONDS)
            answer = kvstore.read(name).result(timeout=OPEN_SECONDS)
        except Exception as error:  # TensorStore raises by status code: ValueError, OSError, RuntimeError, ...
            raise StoreError(
                f"{name} cannot be read there ({_plain(error)}): check address, network and rights", path=self.source
            ) from error
        if answer.state != "value":
            return None
        try:
            content = json.loads(answer.value)
        except (ValueError, RecursionError) as error:
            raise StoreError(f"{name} is no JSON ({error}): write the array again", path=self.source) from error
        if not isinstance(content, dict):
            raise StoreError(f"{name} is no JSON object: write the array again", path=self.source)
        return content


class ZarrStore(OpenStore):
    """Rows of one Zarr or N5 array.

    Any thread may read, many at once; TensorStore reads and decodes in its own threads without the GIL, each chunk
    once per call, straight into the caller's buffer.

    Args:
        source: local path or URL of the array.
        location: name for messages.
        inside: name of the array in its group.
        node: metadata, if it was read already.

    Raises:
        StoreError: no array there, or one that TensorStore cannot read.
    """

    cache_bytes = CACHE_BYTES

    def __init__(
        self, source: str, location: str | None = None, inside: str | None = None, node: Node | None = None
    ) -> None:
        self.location = location or source
        self.inside = inside
        node = node or Node(source)
        if not node.is_array or node.driver is None:
            what = "a group" if node.driver else f"none of {', '.join(METADATA)}"
            raise StoreError(f"expected a Zarr or N5 array there, found {what}", path=self.location)
        self.source = node.source
        self.attributes = node.attributes
        tensorstore = _tensorstore(self.location)
        spec = {"driver": node.driver, "kvstore": node.kvstore, **OPEN_ONCE}
        try:
            context = tensorstore.Context(CONTEXT)
            array = tensorstore.open(spec, read=True, context=context).result(timeout=OPEN_SECONDS)
        except Exception as error:  # TensorStore raises by status code: ValueError, OSError, ...
            raise StoreError(
                f"TensorStore cannot open it ({_plain(error)}); keys of text can be saved as a .npy beside the array",
                path=self.location,
            ) from error
        self._take(array)

    @classmethod
    def around(cls, array: Any) -> ZarrStore:
        """Store around an open `tensorstore.TensorStore`; its first axis counts from its own origin."""
        store = cls.__new__(cls)
        store.source = None
        store.location = f"tensorstore {array.domain} {array.dtype.name}"
        tensorstore = _tensorstore(store.location)
        store._take(array[tensorstore.d[:].translate_to[0]] if array.rank else array)
        return store

    def _take(self, array: Any) -> None:
        try:
            dtype = array.dtype.numpy_dtype
        except (AttributeError, TypeError, ValueError):
            dtype = array.dtype.name
        self.set_shape(array.shape, dtype)
        self.array = array
        grid = array.chunk_layout.read_chunk.shape
        self.chunk_rows = max(int((grid[0] if grid else None) or 1), 1)
        chunk_bytes = math.prod(int(length or 1) for length in grid) * self.dtype.itemsize
        if chunk_bytes > MAX_CHUNK_BYTES:
            # TensorStore takes the memory before it looks at the data, and ends the process where there is none.
            raise StoreError(
                f"its metadata says chunks of {chunk_bytes:,} bytes, the most that is read is {MAX_CHUNK_BYTES:,}: "
                "write it with "
                "smaller chunks, of some rows each",
                path=self.location,
            )

    source: str | None

    def reopening(self) -> tuple[Callable[..., OpenStore], tuple[Any, ...]]:
        """See `OpenStore.reopening`; an open TensorStore travels as its own spec."""
        if self.source is None:
            return ZarrStore.around, (self.array,)
        return ZarrStore, (self.source, self.location, self.inside)

    def fill(self, rows: np.ndarray, out: np.ndarray) -> None:
        """See `OpenStore.fill`."""
        tensorstore = _tensorstore(self.location)
        array = self.array
        self.check_open()
        try:
            tensorstore.array(out).write(array[rows]).result(timeout=READ_SECONDS)
        except Exception as error:  # TensorStore raises by status code: ValueError, OSError, ...
            raise StoreError(
                f"TensorStore cannot read {len(rows)} rows between {rows.min()} and {rows.max()} ({_plain(error)}): "
                "check the disk or network, or write the store again",
                path=self.location,
            ) from error

    def window_bytes(self, size: Sequence[int]) -> int:
        """See `OpenStore.window_bytes`: TensorStore reads and decodes all chunks of a window side by side."""
        grid = self.array.chunk_layout.read_chunk.shape or shape_of(self)
        chunk = tuple(int(length or whole) for length, whole in zip(grid, shape_of(self), strict=True))
        return 2 * touched_bytes(shape_of(self), chunk, size, self.dtype)

    def fill_window(self, window: tuple[slice, ...], out: np.ndarray) -> None:
        """See `OpenStore.fill_window`."""
        tensorstore = _tensorstore(self.location)
        array = self.array
        self.check_open()
        try:
            tensorstore.array(out).write(array[window]).result(timeout=READ_SECONDS)
        except Exception as error:  # TensorStore raises by status code: ValueError, OSError, ...
            raise StoreError(
                f"TensorStore cannot read a window ({_plain(error)}): check the disk or network, or write the store "
                "again",
                path=self.location,
            ) from error

    def close(self) -> None:
        """See `Store.close`; the cache is freed with the last read that is still under way."""
        super().close()
        self.array = None


def open_array(folder: str | Path, location: str | None = None, inside: str | None = None) -> OpenStore:
    """A store of a local array: our own reader where its layout is one that this reads, else TensorStore.

    Raises:
        StoreError: no array there, or one that cannot be read.
    """
    path = Path(folder)
    if hasattr(os, "pread") and (path / METADATA_FILE).exists():
        found = sharded_array(read_metadata(path, location or str(folder)))
        if found is not None and found.shape[0]:
            return ShardedStore(path, location, inside)
    return ZarrStore(str(folder), location, inside)


def group_container(folder: Path) -> Container:
    """The arrays of a local Zarr group, those of its sub-groups as `group/array`."""
    location = str(folder)
    nodes = {node_name: node for node_name, node in _walk(folder, "") if node.is_array}

    def open_member(name: str) -> OpenStore:
        return open_array(folder / name, f"{location}::{name}", name)

    return Container(
        location=location,
        kind="Zarr group",
        members={name: node.shape for name, node in nodes.items()},
        attributes=Node(location).attributes,
        open_member=open_member,
    )


def _walk(folder: Path, prefix: str) -> Iterator[tuple[str, Node]]:
    for entry in sorted(folder.iterdir()):
        # Links are not followed: they may lead round in a circle.
        if entry.is_dir() and not entry.is_symlink() and any((entry / name).exists() for name in METADATA):
            node = Node(str(entry))
            yield prefix + entry.name, node
            if not node.is_array:
                yield from _walk(entry, f"{prefix}{entry.name}/")


def open_url(url: str) -> tuple[OpenStore, Store | None]:
    """Rows and keys at a URL; nothing can be listed there, so arrays in a group must be named.

    Raises:
        StoreError: no array there, or the server cannot be reached.
    """
    address, _, inside = url.partition("::")
    node = Node(address)
    if node.is_array:
        if inside:
            raise StoreError(f"this is a single array, it has nothing called {inside!r}", path=address)
        folder, slash, name = node.source.rpartition("/")
        stem, dot, suffix = name.partition(".") if name.startswith(".") else _split_suffix(name)
        keys = None if stem.endswith(".keys") else _array_or_none(f"{folder}{slash}{stem}.keys{dot}{suffix}", None)
        return ZarrStore(address, node=node), keys
    if node.driver is None:
        raise StoreError(
            f"there is no Zarr or N5 array: none of {', '.join(METADATA)} at that address; other formats are read "
            "from local paths",
            path=url,
        )
    if not inside:
        raise StoreError(f'this is a group, expected the name of an array in it: "{address}::name"', path=url)
    parent, slash, _ = inside.rpartition("/")
    key = node.attributes.get(KEY_ATTRIBUTE) or f"{parent}{slash}{KEY_MEMBER}"
    if not isinstance(key, str) or not MEMBER.fullmatch(key) or ".." in key.split("/"):
        raise StoreError(
            f"the attribute {KEY_ATTRIBUTE!r} names {key!r:.200} as the keys, expected an array in the group",
            path=url,
        )
    store = ZarrStore(f"{node.source}/{inside}", url, inside)
    return store, None if key == inside else _array_or_none(f"{node.source}/{key}", str(key))


def _split_suffix(name: str) -> tuple[str, str, str]:
    stem, dot, suffix = name.rpartition(".")
    return (stem, dot, suffix) if dot else (name, "", "")


def _array_or_none(source: str, inside: str | None) -> ZarrStore | None:
    node = Node(source)
    return ZarrStore(source, inside=inside, node=node) if node.is_array else None
