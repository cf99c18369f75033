"""The files of one checkpoint: written in one go, and compared with their checksums before anything is taken from them.

arrays.npz    numpy.load(..., allow_pickle=False) reads it
state.json    step, the arrays' dtypes and shapes, and the state that was given; for people too
XXH128SUMS    checksum of both; `xxh128sum --check` knows the format
"""

from __future__ import annotations

import errno
import json
import os
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xxhash

from mtgen.errors import MtgenError, StateError, StoreError
from mtgen.files import NO_WAITING
from mtgen.stores.new_folder import NewFile, new_file, sync_folder

VERSION = 1
"""Version of the layout; raised when a file changes its meaning."""

FORMAT = "mtgen checkpoint"
ARRAYS, STATE, SUMS = "arrays.npz", "state.json", "XXH128SUMS"

_PLAIN_KINDS = "biufcSUmM"
_BLOCK_BYTES = 2**20
_DAMAGE = {errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EIO, errno.EBADMSG, getattr(errno, "EUCLEAN", errno.EIO)}
"""Errors of reading that another generation helps against."""


class DamagedError(Exception):
    """A generation that cannot be trusted; the text says which file and why."""


# --- writing ----------------------------------------------------------------------------------------------------------


class _Summed:
    """Passes what is written on to a file, and keeps its checksum."""

    def __init__(self, file: NewFile) -> None:
        self._file = file
        self._sum = xxhash.xxh3_128()

    def write(self, content: Any) -> int:
        self._sum.update(content)
        return self._file.write(content)

    def flush(self) -> None:
        self._file.flush()

    def line(self, name: str) -> str:
        return f"{self._sum.hexdigest()}  {name}\n"


def write_files(folder: Path, arrays: Mapping[str, np.ndarray], content: bytes) -> None:
    """Write the three files into an empty folder, and flush them and the folder to disk.

    One thread; arrays are only read.

    Args:
        folder: an existing folder.
        arrays: as `state_content` was given them.
        content: of `state.json`.

    Raises:
        OSError: writing failed.
    """
    lines = []
    with new_file(folder / ARRAYS) as file:
        summed = _Summed(file)
        with zipfile.ZipFile(summed, "w", zipfile.ZIP_STORED) as archive:  # type: ignore[call-overload]
            for name, array in arrays.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, _as_plain(array), allow_pickle=False)
        lines.append(summed.line(ARRAYS))
    with new_file(folder / STATE) as file:
        summed = _Summed(file)
        summed.write(content)
        lines.append(summed.line(STATE))
    with new_file(folder / SUMS) as file:
        file.write("".join(lines).encode())
    sync_folder(folder)


def _as_plain(array: np.ndarray) -> np.ndarray:
    """The same bytes in a dtype that NumPy's format has: unsigned integers in place of bfloat16 and its like."""
    if array.dtype.kind in _PLAIN_KINDS and array.dtype.isbuiltin != 2:
        return array
    return np.ascontiguousarray(array).view(f"u{array.dtype.itemsize}").reshape(array.shape)


def state_content(step: int, arrays: Mapping[str, np.ndarray], state: Mapping[str, Any]) -> bytes:
    """What `state.json` holds, UTF-8. Pure.

    Raises:
        StateError: names, dtypes or values that cannot be saved.
    """
    described = {}
    for name, array in arrays.items():
        if not isinstance(name, str) or not name or not name.isprintable():
            raise StateError(f"an array of a checkpoint is called {name!r}, expected printable text")
        plain = array.dtype.kind in _PLAIN_KINDS
        if not plain and (array.dtype.isbuiltin != 2 or array.dtype.itemsize not in (1, 2, 4, 8)):
            raise StateError(f"array {name!r} is {array.dtype}, which a checkpoint cannot hold: expected numbers")
        custom = array.dtype.isbuiltin == 2
        described[name] = {"dtype": array.dtype.name if custom else array.dtype.str, "shape": list(array.shape)}
    try:
        text = json.dumps(state)
    except (TypeError, ValueError) as error:
        raise StateError(f"the state cannot be written as JSON ({error}): use text, numbers, lists") from error
    head = {"format": FORMAT, "version": VERSION, "step": step, "state": json.loads(text)}
    # One line for each array, for people.
    lines = ",\n".join(f"    {json.dumps(name)}: {json.dumps(one)}" for name, one in described.items())
    return (json.dumps(head, indent=2).removesuffix("\n}") + f',\n  "arrays": {{\n{lines}\n  }}\n}}\n').encode()


# --- reading ----------------------------------------------------------------------------------------------------------


def read_files(path: Path, step: int) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Arrays and state of one checkpoint, after all its bytes were compared with their checksums.

    Args:
        path: its folder.
        step: what the folder's name says.

    Raises:
        DamagedError: a file is missing, cut, changed, or lies on a part of the disk that cannot be read.
        StateError: it is of another version.
        StoreError: it cannot be read for a reason that is no damage.
    """
    try:
        _check_sums(path)
        content = json.loads(b"".join(_blocks(path / STATE)))
        if content.get("format") != FORMAT or content.get("step") != step:
            raise DamagedError(f"{STATE} says it is {content.get('format')!r} of step {content.get('step')!r}")
        if content["version"] != VERSION:
            raise StateError(
                f"the checkpoint has version {content['version']!r}, this mtgen reads version {VERSION}; continue with "
                "the mtgen that wrote it",
                path=str(path),
            )
        return _read_arrays(path / ARRAYS, content["arrays"]), content["state"]
    except MtgenError:
        raise
    except OSError as error:
        if error.errno in _DAMAGE:
            raise DamagedError(str(error)) from error
        raise StoreError(f"the checkpoint cannot be read ({error}): check rights", path=str(path)) from error
    except (ValueError, KeyError, TypeError, AttributeError, zipfile.BadZipFile) as error:
        raise DamagedError(f"{type(error).__name__}: {error}") from error


def _check_sums(path: Path) -> None:
    """Compare both files with their checksums, and the file of checksums with what it must be, byte by byte."""
    given = b"".join(_blocks(path / SUMS))
    lines = []
    for name in (ARRAYS, STATE):
        found = xxhash.xxh3_128()
        for block in _blocks(path / name):
            found.update(block)
        lines.append(f"{found.hexdigest()}  {name}\n".encode())
        if lines[-1] not in given:
            raise DamagedError(f"{name} is not what {SUMS} says")
    if b"".join(lines) != given:
        raise DamagedError(f"{SUMS} holds something else than two checksums")


def _blocks(path: Path) -> Iterator[bytes]:
    """The file's content, a block at a time."""
    handle = os.open(path, os.O_RDONLY | NO_WAITING | getattr(os, "O_BINARY", 0))
    try:
        while block := os.read(handle, _BLOCK_BYTES):
            yield block
    except OSError as error:
        error.filename = str(path)
        raise
    finally:
        os.close(handle)


def _read_arrays(path: Path, described: Mapping[str, Any]) -> dict[str, np.ndarray]:
    arrays = {}
    with np.load(path, allow_pickle=False) as archive:
        if set(archive.files) != set(described):
            raise DamagedError(f"{ARRAYS} holds {sorted(archive.files)}, {STATE} describes {sorted(described)}")
        for name, one in described.items():
            array = archive[f"{name}.npy"]  # in full, else NumPy may give the array 'a' for the name 'a.npy'
            dtype = _dtype(one["dtype"])
            if array.dtype != dtype:
                array = array.view(dtype)
            if array.shape != tuple(one["shape"]):
                raise DamagedError(f"array {name!r} has shape {array.shape}, {STATE} says {one['shape']}")
            arrays[name] = array
    return arrays


def _dtype(text: str) -> np.dtype:
    try:
        dtype: np.dtype = np.dtype(text)
    except TypeError:
        import ml_dtypes  # it came with what made the array

        dtype = np.dtype(getattr(ml_dtypes, text))
    return dtype
