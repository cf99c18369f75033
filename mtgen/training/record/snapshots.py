"""A model after some step as plain arrays, on disk: NumPy alone reads it, whole or not at all.

A snapshot is a folder, such as `000000120` for step 120:

arrays.npz      numpy.load(..., allow_pickle=False) reads it: one array per variable of the model
snapshot.json   step, each array's shape and dtype, and what else is known; for people too

It is written under a hidden temporary name, flushed to disk, and one rename publishes it. Nothing here knows Keras.
"""

from __future__ import annotations

import io
import json
import os
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mtgen.errors import StateError, StoreError
from mtgen.files import read_plain
from mtgen.settings import check_whole, short
from mtgen.stores.new_folder import PARTIAL, make_folder, new_file, new_folder, sync_folder, withdraw

VERSION = 1
"""Version of the layout; raised when something changes its meaning."""

FORMAT = "mtgen snapshot"
ARRAYS, METADATA = "arrays.npz", "snapshot.json"

_NAME = re.compile(r"\d{9,}")
_PLAIN_KINDS = "biufc"
_OWN = ("format", "version", "step", "arrays")
"""Keys of `snapshot.json` that `write_snapshot` fills in itself; of `arrays` it fills in `shape`, `dtype`, `stored`."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Snapshot:
    """One snapshot as it was read; the caller owns it.

    Args:
        step: steps trained when it was taken.
        arrays: by name, in the order of the model's variables.
        metadata: what `snapshot.json` holds.
        path: its folder.
    """

    step: int
    arrays: Mapping[str, np.ndarray]
    metadata: dict[str, Any]
    path: Path


def snapshot_path(folder: Path, step: int) -> Path:
    """Where the snapshot of a step is, in a folder of snapshots.

    Example:
        >>> snapshot_path(Path("run/snapshots"), 120).as_posix()
        'run/snapshots/000000120'
    """
    return folder / f"{step:09d}"


# --- writing ----------------------------------------------------------------------------------------------------------


def write_snapshot(
    folder: str | os.PathLike[str], step: int, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, Any]
) -> Path:
    """Write a snapshot; when this returns, it survives a power cut. A kill before leaves none.

    One thread; arrays are read, never changed. NumPy has no bfloat16 nor other small floats: they are stored as
    float32, which holds each of their values exactly, and `snapshot.json` says both.

    Args:
        folder: of the snapshots; made if it is not there.
        step: steps trained, >= 0.
        arrays: by name, any shape; booleans and numbers.
        metadata: plain JSON values; `metadata["arrays"][name]` may say more about an array.

    Returns:
        The snapshot's folder.

    Raises:
        StateError: something that cannot be saved.
        StoreError: there is a snapshot of this step already, or it cannot be written; nothing of it is left.

    Example:
        >>> import tempfile
        >>> path = write_snapshot(tempfile.mkdtemp(), 120, {"dense/kernel": np.ones((2, 3))}, {"epoch": 3})
        >>> path.name, sorted(one.name for one in path.iterdir())
        ('000000120', ['arrays.npz', 'snapshot.json'])
        >>> with np.load(path / "arrays.npz", allow_pickle=False) as found:
        ...     found["dense/kernel"].shape
        (2, 3)
    """
    step = check_whole("the step of a snapshot", step, 0, StateError)
    plain = {name: _as_plain(name, np.asarray(array)) for name, array in arrays.items()}
    content = _content(step, {name: np.asarray(array) for name, array in arrays.items()}, plain, metadata)
    target = snapshot_path(Path(folder), step)
    make_folder(target.parent, "the folder of snapshots")
    with new_folder(target) as partial:
        with new_file(partial / ARRAYS) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:  # type: ignore[call-overload]
            for name, array in plain.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, array, allow_pickle=False)
        with new_file(partial / METADATA) as file:
            file.write(content)
        sync_folder(partial)
    return target


def _as_plain(name: object, array: np.ndarray) -> np.ndarray:
    """The same values in a dtype of NumPy's own."""
    if not isinstance(name, str) or not name or not name.isprintable():
        raise StateError(f"an array of a snapshot is called {name!r}, expected printable text")
    if array.dtype.kind in _PLAIN_KINDS and array.dtype.isbuiltin == 1:
        return array
    kind = array.dtype.name
    if array.dtype.isbuiltin == 2 and array.dtype.itemsize <= 2:  # of ml_dtypes
        return array.astype("uint8" if kind.startswith("uint") else "int8" if kind.startswith("int") else "float32")
    if array.dtype.kind in _PLAIN_KINDS:
        return array.astype(array.dtype.newbyteorder("="))
    raise StateError(f"array {name!r} is {array.dtype}, which a snapshot cannot hold: expected booleans or numbers")


def _content(
    step: int, arrays: Mapping[str, np.ndarray], plain: Mapping[str, np.ndarray], metadata: Mapping[str, Any]
) -> bytes:
    more = metadata.get("arrays", {})
    described = {
        name: {
            "shape": list(array.shape),
            "dtype": array.dtype.name,
            **({} if plain[name].dtype == array.dtype else {"stored": plain[name].dtype.name}),
            **more.get(name, {}),
        }
        for name, array in arrays.items()
    }
    rest = {name: value for name, value in metadata.items() if name not in _OWN}
    try:
        head = json.dumps({"format": FORMAT, "version": VERSION, "step": step, **rest}, indent=2)
        # One line for each array, for people.
        lines = ",\n".join(f"    {json.dumps(name)}: {json.dumps(one)}" for name, one in described.items())
    except (TypeError, ValueError) as error:
        raise StateError(f"the metadata cannot be written as JSON ({error}): use text, numbers, lists") from error
    return (head.removesuffix("\n}") + f',\n  "arrays": {{\n{lines}\n  }}\n}}\n').encode()


def remove_snapshots_after(folder: Path, step: int) -> list[int]:
    """Remove the snapshots of later steps, and what dead writers left; returns the steps removed, ascending.

    Raises:
        StoreError: one cannot be removed.
    """
    later = [one for one in snapshot_steps(folder) if one > step]
    try:
        for one in later:
            withdraw(snapshot_path(folder, one))
        for left in folder.glob(f".*{PARTIAL}"):
            withdraw(left)
    except OSError as error:
        raise StoreError(f"a snapshot cannot be removed ({error}): check rights", path=str(folder)) from error
    return later


# --- reading ----------------------------------------------------------------------------------------------------------


def snapshot_steps(folder: Path) -> list[int]:
    """Steps of the snapshots in a folder, ascending; they are not looked into. Empty where there is no folder.

    Raises:
        StoreError: the folder cannot be read.
    """
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StoreError(f"the folder of snapshots cannot be read ({error}): check rights", path=str(folder)) from error
    return sorted(int(name) for name in names if _NAME.fullmatch(name) and name == f"{int(name):09d}")


def read_snapshot(folder: str | os.PathLike[str], step: int) -> Snapshot:
    """The snapshot of a step, with all its arrays in memory.

    Args:
        folder: of the snapshots.
        step: one of `snapshot_steps`.

    Raises:
        StateError: there is none of this step, or it is damaged; says which file.
        StoreError: it cannot be read.
    """
    path = snapshot_path(Path(folder), step)
    if not path.is_dir():
        steps = snapshot_steps(path.parent)
        raise StateError(
            f"there is no snapshot of step {step}; there are those of steps {short(steps)}", path=str(path)
        )
    metadata = read_metadata(path.parent, step)
    content = io.BytesIO(_bytes(path, ARRAYS))
    arrays = {}
    try:
        with np.load(content, allow_pickle=False) as archive:
            described = metadata["arrays"]
            if set(archive.files) != set(described):
                raise _damaged(path, ARRAYS, f"it holds {short(archive.files)}, expected {short(list(described))}")
            for name, one in described.items():
                array = archive[f"{name}.npy"]  # in full, else NumPy may give the array 'a' for the name 'a.npy'
                if list(array.shape) != one["shape"] or array.dtype.name != one.get("stored", one["dtype"]):
                    raise _damaged(path, ARRAYS, f"{name!r} is {array.dtype} of shape {array.shape}, expected {one}")
                arrays[name] = array
    except StateError:
        raise
    except Exception as error:  # a flipped bit makes zipfile raise anything, from RuntimeError to zlib.error
        raise _damaged(path, ARRAYS, f"{type(error).__name__}: {error}") from error
    return Snapshot(step=step, arrays=arrays, metadata=metadata, path=path)


def read_metadata(folder: Path, step: int) -> dict[str, Any]:
    """What `snapshot.json` of a step's snapshot holds; its arrays are not looked at.

    Raises:
        StateError: it is damaged or missing.
        StoreError: it cannot be read.
    """
    path = snapshot_path(folder, step)
    content = _bytes(path, METADATA)
    try:
        found = json.loads(content)
        told = (found["format"], found["step"], type(found["arrays"]))
        version = found["version"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _damaged(path, METADATA, f"{type(error).__name__}: {error}") from error
    if told != (FORMAT, step, dict):
        raise _damaged(path, METADATA, f"it says it is {told[0]!r} of step {told[1]!r}")
    if version != VERSION:
        raise StateError(
            f"the snapshot has version {version!r}, this mtgen reads version {VERSION}; read it with the mtgen that "
            "wrote it",
            path=str(path),
        )
    return dict(found)


def _bytes(path: Path, name: str) -> bytes:
    try:
        return read_plain(path / name)
    except FileNotFoundError as error:
        raise _damaged(path, name, "it is missing") from error
    except OSError as error:
        raise StoreError(f"the snapshot cannot be read ({error}): check rights", path=str(path / name)) from error


def _damaged(path: Path, name: str, why: str) -> StateError:
    return StateError(f"{name} of this snapshot is damaged: {why}. Remove the folder, or bring it back", path=str(path))
