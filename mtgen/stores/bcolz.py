"""Reader of bcolz folders (carray and the columns of a ctable), without the bcolz package.

A carray is a folder of plain files (format text: `DISK_FORMAT_v1.rst` of Blosc/bcolz, checked against its sources):

    __attrs__       JSON, attributes of the user; may be missing
    meta/sizes      JSON, {"shape": [rows, ...], ...}; the only truth about the number of rows
    meta/storage    JSON, {"dtype": str, "chunklen": rows per chunk, ...}
    data/__0.blp    16 bytes b"blpk", version 1, ... then one Blosc-1 buffer; one file per chunk, the last one shorter

There are no checksums: a flipped bit inside the compressed bytes may come back as wrong numbers. Everything that can
be checked without one is checked before a buffer is made; with a manifest (`promised`) each chunk file that is read is
compared with it.

Decoding: `numcodecs.blosc.decompress(src, dest)` checks bounds and releases the GIL. In worker threads it takes the
one-thread context call; in the main thread of the main process it uses Blosc's shared context, which is guarded by
Blosc's own lock and gives the same bytes. No switch of numcodecs or Blosc is read or set here.
"""

from __future__ import annotations

import json
import math
import os
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mtgen import plan
from mtgen.errors import ChangedError, StoreError
from mtgen.files import OpenFile, too_many_files
from mtgen.promises import Promises
from mtgen.stores.base import ChunkedStore, OpenStore, open_regular
from mtgen.stores.container import Container

MAX_CHUNK_BYTES = 2**31 - 1  # a Blosc-1 buffer cannot hold more (BLOSC_MAX_BUFFERSIZE)
MAX_RATIO = 65536  # zstd, the tightest codec, packs at most 128 KiB of one value into 4 bytes
MAX_LENGTH = 2**62  # of an axis; arithmetic on rows is in int64
MAX_JSON_BYTES = 2**24
CODECS = {0: "blosclz", 1: "lz4", 2: "snappy", 3: "zlib", 4: "zstd"}
STORED = 0x02  # flag of a Blosc buffer whose bytes were copied, not compressed


@dataclass(frozen=True, kw_only=True)
class CarrayHeader:
    """What the small JSON files of one carray say, after checks.

    Args:
        shape: rows first.
        dtype: as on disk, possibly of foreign byte order.
        chunk_rows: rows per chunk (`chunklen`).
        attributes: content of `__attrs__`.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    chunk_rows: int
    attributes: dict[str, Any]


def read_header(folder: Path, location: str) -> CarrayHeader:
    """Read and check `meta/sizes`, `meta/storage` and `__attrs__` of one carray folder.

    Raises:
        StoreError: a file is missing, is no JSON, or says something impossible.
    """
    sizes = read_json(folder / "meta" / "sizes", location)
    storage = read_json(folder / "meta" / "storage", location)
    shape = sizes.get("shape")
    if not isinstance(shape, list) or not all(type(length) is int and 0 <= length < MAX_LENGTH for length in shape):
        raise _broken(folder / "meta" / "sizes", f'"shape" is {shape!r:.200}, expected a list of row counts', location)
    chunk_rows = storage.get("chunklen")
    if type(chunk_rows) is not int or not 1 <= chunk_rows < MAX_LENGTH:
        raise _broken(
            folder / "meta" / "storage", f'"chunklen" is {chunk_rows!r:.200}, expected rows per chunk', location
        )
    dtype = _parse_dtype(storage.get("dtype"), folder / "meta" / "storage", location)
    row_bytes = math.prod(shape[1:]) * dtype.itemsize
    if chunk_rows * row_bytes > MAX_CHUNK_BYTES:
        raise _broken(
            folder / "meta" / "storage",
            f'"chunklen" {chunk_rows} times {row_bytes} bytes per row is more than a Blosc chunk can hold '
            f"({MAX_CHUNK_BYTES} bytes)",
            location,
        )
    attributes = folder / "__attrs__"
    found = read_json(attributes, location) if attributes.exists() else {}
    return CarrayHeader(shape=tuple(shape), dtype=dtype, chunk_rows=chunk_rows, attributes=found)


def read_json(path: Path, location: str) -> dict[str, Any]:
    """One small JSON object of a bcolz folder; StoreError when it is missing or broken."""
    try:
        with open_regular(path) as file:
            size = file.seek(0, 2)
            if size > MAX_JSON_BYTES:
                raise _broken(path, f"it has {size} bytes, expected a small JSON file", location)
            file.seek(0)
            content = json.loads(file.read())
    except FileNotFoundError as error:
        raise StoreError(
            f"{path} is missing, a bcolz folder needs it: copy the folder again, or write it anew", path=location
        ) from error
    except StoreError:
        raise
    except OSError as error:
        raise StoreError(f"{path} cannot be read ({error}): check the folder", path=location) from error
    except (ValueError, RecursionError) as error:  # nested a thousand deep, or whole numbers of thousands of digits
        raise _broken(path, f"it is not JSON ({error})", location) from error
    if not isinstance(content, dict):
        raise _broken(path, f"it holds {type(content).__name__}, expected a JSON object", location)
    return content


def _broken(path: Path, what: str, location: str) -> StoreError:
    return StoreError(f"{path} is broken: {what}; copy the folder again, or write it anew", path=location)


def _parse_dtype(text: Any, path: Path, location: str) -> np.dtype:
    if isinstance(text, str) and text.startswith("["):
        raise StoreError(
            f"{path} says dtype {text!r}, a record of several fields, expected numbers, text or dates: store each "
            "field as an array of its own",
            path=location,
        )
    try:
        dtype = np.dtype(text) if isinstance(text, str) else None
    except Exception:  # NumPy parses a small language here: SyntaxError, DeprecationWarning, MemoryError ...
        dtype = None
    if dtype is None:
        raise _broken(path, f'"dtype" is {text!r:.200}, expected the name of a NumPy dtype', location)
    return dtype


class BcolzStore(ChunkedStore):
    """Rows of one bcolz carray folder.

    Any thread may read, many at once; files are opened for each read, nothing is shared.

    Args:
        folder: the carray folder (for a ctable, the folder of one column).
        location: name for messages; the folder itself by default.
        inside: name of the column in its ctable.
        promised: what a manifest says of each chunk file, by the number of the chunk.

    Raises:
        StoreError: the folder is broken or holds objects.
        ChangedError: a file is not the one that was promised, here or when it is read.
    """

    def __init__(
        self,
        folder: str | Path,
        location: str | None = None,
        inside: str | None = None,
        promised: Promises | None = None,
    ) -> None:
        self.folder = Path(folder)
        self.location = location or str(folder)
        self.inside = inside
        self.promised = promised
        header = read_header(self.folder, self.location)
        self.set_shape(header.shape, header.dtype)
        self.disk_dtype = header.dtype
        self.chunk_rows = header.chunk_rows
        self.attributes = header.attributes
        self.row_bytes = math.prod(self.row_shape) * self.dtype.itemsize
        if self.num_rows and self.row_bytes:
            for chunk in {0, (self.num_rows - 1) // self.chunk_rows}:  # a lying `sizes` shows here already
                self._read_compressed(chunk, header_only=True)

    def reopening(self) -> tuple[Callable[..., OpenStore], tuple[Any, ...]]:
        """See `OpenStore.reopening`."""
        return BcolzStore, (str(self.folder.absolute()), self.location, self.inside, self.promised)

    def read_chunk(self, chunk: int) -> np.ndarray:
        """See `ChunkedStore.read_chunk`."""
        start, stop = self.chunk_span(chunk)
        out = np.empty((stop - start, *self.row_shape), self.dtype)
        self.fill(np.arange(start, stop), out)
        return out

    def fill(self, rows: np.ndarray, out: np.ndarray) -> None:
        """See `OpenStore.fill`. A chunk wanted whole and in order is decoded straight into `out`."""
        if not self.row_bytes:
            return
        scratch: np.ndarray | None = None
        for read in plan.reads(rows, self.chunk_rows):
            start, stop = self.chunk_span(read.chunk)
            source, num_bytes = self._read_compressed(read.chunk)
            first = int(read.slots[0])
            whole = num_bytes == (stop - start) * self.row_bytes and self.disk_dtype.isnative
            if whole and _is_run(read.offsets, 0, stop - start) and _is_run(read.slots, first, stop - start):
                self._decode(source, out[first : first + stop - start].reshape(-1).view(np.uint8), read.chunk)
                continue
            if scratch is None or len(scratch) < num_bytes:
                scratch = np.empty(num_bytes, np.uint8)
            self._decode(source, scratch[:num_bytes], read.chunk)
            decoded = scratch[: (stop - start) * self.row_bytes].view(self.disk_dtype)
            out[read.slots] = decoded.reshape(-1, *self.row_shape)[read.offsets]

    def chunk_path(self, chunk: int) -> Path:
        """File of one chunk; built from the number alone."""
        return self.folder / "data" / f"__{chunk:d}.blp"

    @property
    def num_chunks(self) -> int:
        """Chunk files that hold the rows."""
        return -(-self.num_rows // self.chunk_rows) if self.row_bytes else 0

    def _read_compressed(self, chunk: int, header_only: bool = False) -> tuple[bytes | memoryview, int]:
        """The checked Blosc buffer of one chunk (empty if `header_only`) and the bytes it decodes to."""
        path = str(self.chunk_path(chunk))
        try:
            with OpenFile(path) as file:
                if not file.is_regular:
                    raise OSError("it is no regular file, but a folder, pipe or device")
                if self.promised is not None:
                    self.promised.check_stat(chunk, file.stat, path)
                if self.promised is not None and self.promised.contents and not header_only:
                    content = file.read_whole()
                    self.promised.check_content(chunk, content, path, f"the file of {self._lost(chunk)}")
                    num_bytes, compressed_bytes = self._check_chunk(content[:32], file, chunk)
                    return memoryview(content)[16 : 16 + compressed_bytes], num_bytes
                num_bytes, compressed_bytes = self._check_chunk(file.read(min(32, file.stat.st_size)), file, chunk)
                if header_only:
                    return b"", num_bytes
                file.go_to(16)
                source = file.read(compressed_bytes)
                file.check_same()
                return source, num_bytes
        except FileNotFoundError as error:
            raise StoreError(
                f"chunk file {path} is missing; meta/sizes promises {self.num_rows} rows, this is {self._lost(chunk)}: "
                "copy the folder again, or write it anew",
                path=self.location,
            ) from error
        except (StoreError, ChangedError) as error:
            raise error.at(path=self.location) from error.__cause__
        except OSError as error:
            raise StoreError(
                f"chunk file {path} cannot be read ({too_many_files(error) or error}); it is {self._lost(chunk)}: "
                "check the disk",
                path=self.location,
            ) from error

    def _lost(self, chunk: int) -> str:
        """What is lost with a chunk, in words."""
        start, stop = self.chunk_span(chunk)
        return f"chunk {chunk}, store rows {start} to {stop - 1}"

    def _broken_chunk(self, chunk: int, what: str) -> StoreError:
        return _broken(self.chunk_path(chunk), f"{what}; it is {self._lost(chunk)}", self.location)

    def _check_chunk(self, header: bytes, file: OpenFile, chunk: int) -> tuple[int, int]:
        """Bytes that a chunk decodes to, and its compressed bytes, by its headers."""
        size = file.stat.st_size
        start, stop = self.chunk_span(chunk)
        needed, full = (stop - start) * self.row_bytes, self.chunk_rows * self.row_bytes
        if len(header) < 32:
            raise self._broken_chunk(chunk, f"it has {size} bytes, less than the 32 of its headers")
        magic, version, _, num_chunks = struct.unpack_from("<4sB3sq", header)
        if magic != b"blpk" or version != 1 or num_chunks not in (1, -1):
            raise self._broken_chunk(
                chunk, f"it starts with {magic!r}, version {version}, {num_chunks} chunks; expected b'blpk', 1, 1"
            )
        blosc_version, _, flags, _, num_bytes, block_bytes, compressed_bytes = struct.unpack_from(
            "<BBBBIII", header, 16
        )
        if blosc_version not in (1, 2):
            raise self._broken_chunk(chunk, f"it is of Blosc format {blosc_version}, expected 1 or 2")
        if 16 + compressed_bytes > size or compressed_bytes < 16:
            raise self._broken_chunk(
                chunk,
                f"its header says {compressed_bytes} compressed bytes, the file has {max(size - 16, 0)} (truncated?)",
            )
        if not needed <= num_bytes <= full:
            raise self._broken_chunk(
                chunk, f"it decodes to {num_bytes} bytes, meta/sizes and meta/storage expect {needed} to {full}"
            )
        num_blocks = -(-num_bytes // max(block_bytes, 1))
        least = 16 + num_bytes if flags & STORED else max(16 + 4 * num_blocks, num_bytes // MAX_RATIO)
        if block_bytes == 0 or compressed_bytes < least:
            raise self._broken_chunk(
                chunk, f"{compressed_bytes} compressed bytes in blocks of {block_bytes} cannot hold {num_bytes} bytes"
            )
        return num_bytes, compressed_bytes

    def _decode(self, source: bytes | memoryview, target: np.ndarray, chunk: int) -> None:
        from numcodecs import blosc

        codec = CODECS.get(source[2] >> 5, f"number {source[2] >> 5}")
        if not source[2] & STORED and codec not in blosc.list_compressors():
            raise StoreError(
                f"chunk file {self.chunk_path(chunk)} is compressed by {codec}, this numcodecs has "
                f"{', '.join(blosc.list_compressors())}: rewrite the store with one of those",
                path=self.location,
            )
        try:
            blosc.decompress(source, target)
        except (RuntimeError, ValueError) as error:
            raise self._broken_chunk(chunk, f"Blosc cannot decode it ({error})") from error


def _is_run(values: np.ndarray, first: int, length: int) -> bool:
    """Whether `values` is first, first + 1, ... of that length."""
    return len(values) == length and int(values[0]) == first and bool((np.diff(values) == 1).all())


def column_names(folder: Path, location: str) -> list[str]:
    """Names of the columns of a ctable folder, in order.

    Raises:
        StoreError: `__rootdirs__` is broken or a name would lead out of the folder.
    """
    names = read_json(folder / "__rootdirs__", location).get("names")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise _broken(folder / "__rootdirs__", f'"names" is {names!r:.200}, expected a list of column names', location)
    for name in names:
        if not name or name in {".", ".."} or "/" in name or "\\" in name or "\0" in name:
            raise _broken(folder / "__rootdirs__", f"{name!r:.200} is no column name", location)
        real = os.path.realpath(folder / name)
        if os.path.dirname(real) != os.path.realpath(folder):
            raise _broken(
                folder / "__rootdirs__",
                f"column {name!r} is a link that leads out of the table, to {real}; if that is meant, open it there",
                location,
            )
    return names


def ctable_container(folder: Path) -> Container:
    """The columns of a ctable folder."""
    location = str(folder)
    names = column_names(folder, location)
    attributes = folder / "__attrs__"

    def open_member(name: str) -> BcolzStore:
        return BcolzStore(folder / name, f"{location}::{name}", name)

    return Container(
        location=location,
        kind="bcolz ctable",
        members={name: read_header(folder / name, f"{location}::{name}").shape for name in names},
        attributes=read_json(attributes, location) if attributes.exists() else {},
        open_member=open_member,
    )
