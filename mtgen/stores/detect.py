"""What kind of store lies at a path: told by what is on disk, never by the name alone."""

from __future__ import annotations

import json
from pathlib import Path

from mtgen.errors import StoreError
from mtgen.stores.base import open_regular
from mtgen.stores.shard_metadata import is_packed_sparse

MAGIC_BYTES = [  # (offset, bytes, kind)
    (0, b"\x93NUMPY", "npy"),
    (0, b"PAR1", "parquet"),
    (2, b"b2frame\0", "blosc2"),
]
HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"  # at 0, 512, 1024, 2048, ... (HDF5 file format, superblock)
MAX_JSON_BYTES = 2**26  # of metadata; consolidated metadata of large Zarr groups has some MiB
EXPECTED_FILE = "a .npy, HDF5 (.h5), Blosc2 (.b2nd) or Parquet file"
EXPECTED_FOLDER = (
    "a bcolz carray (meta/sizes, meta/storage), a bcolz ctable (__rootdirs__), a Zarr array or group (zarr.json, "
    ".zarray, .zgroup), N5 (attributes.json) or a Blosc2 folder (chunks.b2frame)"
)


def detect(path: Path) -> str:
    """Kind of the store at a local path.

    Returns:
        One of "npy", "hdf5", "parquet", "blosc2", "carray", "ctable", "zarr", "zarr group", "sparse".

    Raises:
        StoreError: nothing there, or nothing that is a store; the text says what was found and what was expected.
    """
    try:
        if path.is_dir():
            return _detect_folder(path)
        if path.exists():
            return _detect_file(path)
    except PermissionError as error:
        raise StoreError(f"it may not be read ({error}): check the rights", path=str(path)) from error
    parent = path.absolute().parent
    if not parent.is_dir():
        raise StoreError(f"there is no such path, not even the folder {parent}: check the path", path=str(path))
    raise StoreError(f"there is no such path; {parent} has {_listing(parent)}: check the path", path=str(path))


def _detect_file(path: Path) -> str:
    with open_regular(path) as file:
        start = file.read(4096)
        for offset, magic, kind in MAGIC_BYTES:
            if start[offset : offset + len(magic)] == magic:
                return kind
        place = 0
        while len(start) >= 8 and place < path.stat().st_size:
            file.seek(place)
            if file.read(8) == HDF5_MAGIC:
                return "hdf5"
            place = max(512, place * 2)
    if start[:2] == b"PK":
        hint = "a zip archive (.npz, .zarr.zip, ...): unpack it, or save the one array by numpy.save"
    elif not start:
        hint = f"an empty file, expected {EXPECTED_FILE}: write it again"
    else:
        hint = f"a file that starts with {start[:8]!r}, expected {EXPECTED_FILE}"
    raise StoreError(f"this is {hint}", path=str(path))


def _detect_folder(path: Path) -> str:
    has = {entry.name for entry in path.iterdir()}
    if "__rootdirs__" in has:
        return "ctable"
    if {"meta", "data"} <= has or (path / "meta" / "storage").exists() or (path / "meta" / "sizes").exists():
        return "carray"
    if "zarr.json" in has:
        return _zarr_kind(_json(path / "zarr.json"))
    if ".zarray" in has:
        return "zarr"
    if ".zgroup" in has:
        return "zarr group"
    if "attributes.json" in has:
        return "zarr" if "dimensions" in _json_keys(path / "attributes.json") else "zarr group"
    if "chunks.b2frame" in has:
        return "blosc2"
    raise StoreError(f"this folder is no store: it has {_listing(path)}, expected {EXPECTED_FOLDER}", path=str(path))


def _zarr_kind(metadata: dict[str, object]) -> str:
    if metadata.get("node_type") != "group":
        return "zarr"
    attributes = metadata.get("attributes")
    return "sparse" if isinstance(attributes, dict) and is_packed_sparse(attributes) else "zarr group"


def _json_keys(path: Path) -> set[str]:
    return set(_json(path))


def _json(path: Path) -> dict[str, object]:
    try:
        with open_regular(path) as file:
            content = json.loads(file.read(MAX_JSON_BYTES))
    except (ValueError, RecursionError) as error:
        raise StoreError(
            f"{path} is no JSON ({error}): copy the store again, or write it anew", path=str(path)
        ) from error
    return content if isinstance(content, dict) else {}


def _listing(folder: Path) -> str:
    names = sorted(entry.name for entry in folder.iterdir())
    shown = ", ".join(repr(name) for name in names[:8])
    return (shown or "nothing in it") + (f" and {len(names) - 8} more" if len(names) > 8 else "")
