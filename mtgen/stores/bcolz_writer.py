"""Crash-safe writer of bcolz folders that the bcolz package opens too.

A folder is built whole under a temporary name beside its place, every file and folder is flushed to disk, and one
rename puts it in place: a reader sees all of it or nothing. After a crash a folder `.<name>.<random>.partial` may be
left; it can be removed. Writing again begins anew; the same keys that a crash left beside are taken as they are.

The same input gives the same bytes: chunks are compressed in a thread of their own, where numcodecs uses Blosc's
one-thread context (Blosc's own threads would finish their blocks in any order).
"""

from __future__ import annotations

import copy
import json
import math
import os
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mtgen.errors import StoreError
from mtgen.stores.base import native_dtype
from mtgen.stores.bcolz import MAX_CHUNK_BYTES, BcolzStore
from mtgen.stores.new_folder import discard, new_folder, sync_folder, write_file
from mtgen.threads import in_threads

SHUFFLES = {"none": 0, "byte": 1, "bit": 2}
MEBIBYTE = 2**20

COMPRESS_SECONDS = 3600.0
"""Longest wait for one chunk: the largest takes less than this at the slowest settings."""


def default_chunk_rows(expected_rows: int, row_bytes: int) -> int:
    """Rows per chunk as bcolz chooses them: chunks of 16 KiB to 4 MiB, growing with the size of the array.

    Source: `calc_chunksize` in `bcolz/utils.py`, whose result depends on the power of ten of the size in MiB.

    Example:
        >>> default_chunk_rows(20_000, 4096)
        128
    """
    size = min(max(expected_rows * row_bytes / MEBIBYTE, 1e-4), 1e4)
    chunk_bytes = 4096 * int(2 ** (int(math.log10(size)) + 6))
    return max(chunk_bytes // row_bytes, 1)


def write_bcolz(
    path: str | os.PathLike[str],
    array: Any,
    *,
    chunk_rows: int | None = None,
    expected_rows: int | None = None,
    codec: str = "lz4",
    level: int = 5,
    shuffle: str = "byte",
    attrs: Mapping[str, Any] | None = None,
    keys: Any | None = None,
    key_name: str | None = None,
) -> Path:
    """Write rows as a new bcolz carray folder.

    Call it from any thread; one chunk is held at a time besides the blocks given.

    Args:
        path: folder to make; it must not exist.
        array: an array, rows first, or an iterable of such blocks (one dtype and row shape).
        chunk_rows: rows per chunk; None for `default_chunk_rows`. Small chunks make random rows faster.
        expected_rows: rows to come, for the default chunk length; by default those of the array or first block.
        codec: "lz4", "lz4hc", "blosclz", "zlib" or "zstd".
        level: 0 (stored) to 9.
        shuffle: "none", "byte" or "bit".
        attrs: JSON values for `__attrs__`.
        keys: one integer or text per row, written beside as `<stem>.keys<suffix>`.
        key_name: the table's column that the keys are from.

    Returns:
        The path.

    Raises:
        StoreError: the path exists, or something cannot be written; nothing is left behind then.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> write_bcolz(folder / "x.bcolz", np.zeros((3, 2)), keys=[7, 8, 9], key_name="id").name
        'x.bcolz'
    """
    target = Path(path)
    options = _Options(codec, level, shuffle, chunk_rows, expected_rows, target)
    if key_name is not None and keys is None:
        raise StoreError(f"key_name {key_name!r} was given without keys", path=str(target))
    beside = target.with_name(f"{target.stem}.keys{target.suffix}")
    # The keys' folder gets its name before the rows' folder does: rows are never there without their keys.
    there = keys is not None and not os.path.lexists(target) and _holds(beside, keys, key_name)
    published = False
    try:
        with new_folder(target) as folder:
            num_rows = _write_carray(folder, _blocks(array, target), options, attrs or {})
            if keys is not None:
                values = _check_keys(keys, num_rows, target)
                if not there:
                    _write_keys(beside, values, options, key_name)
                    published = True
    except BaseException:
        if published:
            discard(beside)
        raise
    return target


def _holds(beside: Path, keys: Any, key_name: str | None) -> bool:
    """Whether these very keys are there: a writer that was killed between its two folders left them."""
    if not os.path.isdir(beside):
        return False
    values = np.asarray(keys)
    try:
        store = BcolzStore(beside)
        found = np.empty((store.num_rows, *store.row_shape), store.dtype)
        store.read_rows(np.arange(store.num_rows), found)
    except StoreError:
        return False
    return values.dtype == found.dtype and np.array_equal(values, found) and store.attributes.get("name") == key_name


def write_bcolz_table(
    path: str | os.PathLike[str],
    columns: Mapping[str, Any],
    *,
    key: str | None = None,
    chunk_rows: int | None = None,
    codec: str = "lz4",
    level: int = 5,
    shuffle: str = "byte",
    attrs: Mapping[str, Any] | None = None,
) -> Path:
    """Write named columns of one length as a new bcolz ctable folder.

    Args:
        path: folder to make; it must not exist.
        columns: name -> array (or iterable of blocks), rows first.
        key: name of the column that holds one key per row; recorded as the attribute `mtgen_key`.
        chunk_rows: rows per chunk of every column; None for `default_chunk_rows` of each.
        codec: as for `write_bcolz`.
        level: as for `write_bcolz`.
        shuffle: as for `write_bcolz`.
        attrs: JSON values for `__attrs__`.

    Returns:
        The path.

    Raises:
        StoreError: the path exists, the columns differ in length, or something cannot be written.
    """
    target = Path(path)
    if not columns or (key is not None and key not in columns):
        raise StoreError(
            f"the columns are {list(columns)}, expected at least one and the key {key!r}", path=str(target)
        )
    for name in columns:
        if not name or name.startswith((".", "__")) or set(name) & set("/\\\0:"):
            raise StoreError(f"{name!r} cannot be the name of a column: use letters, digits, _ and -", path=str(target))
    options = _Options(codec, level, shuffle, chunk_rows, None, target)
    with new_folder(target) as folder:
        lengths = {}
        for name, column in columns.items():
            (folder / name).mkdir()
            lengths[name] = _write_carray(folder / name, _blocks(column, target), options, {})
        if len(set(lengths.values())) > 1:
            raise StoreError(f"the columns have {lengths} rows, expected one length", path=str(target))
        _write_json(folder / "__rootdirs__", {"names": list(columns)})
        _write_json(folder / "__attrs__", {**(attrs or {}), **({} if key is None else {"mtgen_key": key})})
        sync_folder(folder)
    return target


class _Options:
    """Checked settings of one folder."""

    def __init__(
        self, codec: str, level: int, shuffle: str, chunk_rows: int | None, expected_rows: int | None, target: Path
    ) -> None:
        from numcodecs import blosc

        known = blosc.list_compressors()
        if codec not in known or shuffle not in SHUFFLES or level not in range(10):
            raise StoreError(
                f"codec {codec!r}, level {level!r}, shuffle {shuffle!r}; expected a codec of {', '.join(known)}, a "
                f"level of 0 to 9, a shuffle of {', '.join(SHUFFLES)}",
                path=str(target),
            )
        for name, value in {"chunk_rows": chunk_rows, "expected_rows": expected_rows}.items():
            if value is not None and value < 1:
                raise StoreError(f"{name} is {value}, expected at least 1", path=str(target))
        self.codec, self.level, self.shuffle = codec, level, SHUFFLES[shuffle]
        self.chunk_rows, self.expected_rows, self.target = chunk_rows, expected_rows, target


def _blocks(array: Any, target: Path) -> Iterator[Any]:
    if hasattr(array, "shape") and hasattr(array, "dtype"):
        return iter([array])
    if isinstance(array, (str, bytes)) or not isinstance(array, Iterable):
        raise StoreError(
            f"cannot write a {type(array).__name__}, expected an array or blocks of rows", path=str(target)
        )
    return iter(array)


def _check_keys(keys: Any, num_rows: int, target: Path) -> np.ndarray:
    values = np.asarray(keys)
    if values.ndim != 1 or values.dtype.kind not in "iuSU":
        raise StoreError(
            f"the keys are {values.shape} {values.dtype}, expected one integer or text per row; text of a pandas "
            'column: .to_numpy().astype("U")',
            path=str(target),
        )
    if len(values) != num_rows:
        raise StoreError(f"{len(values)} keys for {num_rows} rows, expected one per row", path=str(target))
    return values


def _write_keys(path: Path, values: np.ndarray, options: _Options, key_name: str | None) -> None:
    own = copy.copy(options)
    own.chunk_rows, own.expected_rows, own.target = None, None, path
    with new_folder(path) as folder:
        _write_carray(folder, iter([values]), own, {} if key_name is None else {"name": key_name})


def _write_carray(folder: Path, blocks: Iterator[Any], options: _Options, attrs: Mapping[str, Any]) -> int:
    """Write one carray into an existing empty folder; returns its rows."""
    (folder / "data").mkdir()
    (folder / "meta").mkdir()
    first = next(blocks, None)
    if first is None:
        raise StoreError("no blocks to write, expected at least one (it may have no rows)", path=str(options.target))
    shape, dtype = _check_block(first, options.target)
    row_bytes = math.prod(shape[1:]) * dtype.itemsize
    expected = options.expected_rows or shape[0]
    chunk_rows = options.chunk_rows or default_chunk_rows(expected, row_bytes)
    if chunk_rows * row_bytes > MAX_CHUNK_BYTES:
        raise StoreError(
            f"chunk_rows {chunk_rows} of {row_bytes} bytes each are more than a Blosc chunk holds ({MAX_CHUNK_BYTES} "
            "bytes): use fewer",
            path=str(options.target),
        )
    num_rows = compressed_bytes = 0
    for chunk, rows in enumerate(_chunks(first, blocks, shape[1:], dtype, chunk_rows, options.target)):
        content = _in_own_thread(_compress, rows, options)
        write_file(folder / "data" / f"__{chunk}.blp", struct.pack("<4sB3xq", b"blpk", 1, 1) + content)
        num_rows, compressed_bytes = num_rows + len(rows), compressed_bytes + len(content)
    sizes = {"shape": [num_rows, *shape[1:]], "nbytes": num_rows * row_bytes, "cbytes": compressed_bytes}
    settings = {"clevel": options.level, "shuffle": options.shuffle, "cname": options.codec, "quantize": 0}
    default = "" if dtype.kind in "SU" else 0 if dtype.kind == "M" else np.zeros((), dtype).item()
    storage = {"dtype": str(dtype), "cparams": settings, "chunklen": chunk_rows, "expectedlen": expected}
    _write_json(folder / "meta" / "storage", {**storage, "dflt": default})
    _write_json(folder / "meta" / "sizes", sizes)
    _write_json(folder / "__attrs__", attrs)
    for part in (folder / "data", folder / "meta", folder):
        sync_folder(part)
    return num_rows


def _check_block(block: Any, target: Path) -> tuple[tuple[int, ...], np.dtype]:
    if not hasattr(block, "shape") or not hasattr(block, "dtype") or not block.shape:
        raise StoreError(
            f"a block is {type(block).__name__}, expected an array with rows along its first axis: numpy.asarray it",
            path=str(target),
        )
    native_dtype(block.dtype, str(target))
    dtype = np.dtype(block.dtype)
    if dtype.kind not in "biufSUM" or (dtype.kind == "f" and dtype.itemsize > 8):
        raise StoreError(
            f"the values are {dtype}, which the bcolz format cannot hold: expected bool, integers, floats of up to "
            "64 bits, fixed-width text or datetime64",
            path=str(target),
        )
    if 0 in block.shape[1:]:
        raise StoreError(f"the rows are {tuple(block.shape[1:])}, which hold nothing", path=str(target))
    return tuple(int(length) for length in block.shape), dtype


def _chunks(
    first: Any, rest: Iterator[Any], row_shape: tuple[int, ...], dtype: np.dtype, chunk_rows: int, target: Path
) -> Iterator[np.ndarray]:
    """Cut blocks of any length into chunks; all but the last have `chunk_rows` rows."""
    chunk = np.empty((min(chunk_rows, len(first)), *row_shape), dtype)
    filled = 0
    block = first
    while block is not None:
        shape, found = _check_block(block, target)
        if shape[1:] != row_shape or found != dtype:
            raise StoreError(
                f"a block has rows of {shape[1:]} {found}, the first block had {row_shape} {dtype}: all must agree",
                path=str(target),
            )
        start = 0
        while start < shape[0]:
            stop = min(start + chunk_rows - filled, shape[0])
            if len(chunk) < filled + stop - start:
                longer = np.empty((min(2 * (filled + stop - start), chunk_rows), *row_shape), dtype)
                longer[:filled] = chunk[:filled]
                chunk = longer
            chunk[filled : filled + stop - start] = block[start:stop]
            filled, start = filled + stop - start, stop
            if filled == chunk_rows:
                yield chunk
                filled = 0
        block = next(rest, None)
    if filled:
        yield chunk[:filled]


def _in_own_thread(compress: Callable[[np.ndarray, _Options], bytes], rows: np.ndarray, options: _Options) -> bytes:
    works = in_threads(
        lambda work, note: compress(rows, options),
        ["compress a chunk"],
        num_threads=1,
        group=1,
        seconds=COMPRESS_SECONDS,
    )
    return next(works)


def _compress(rows: np.ndarray, options: _Options) -> bytes:
    """One Blosc-1 buffer; `typesize` is that of one number, as bcolz has it (1 for bytes, 4 for text)."""
    from numcodecs import blosc

    size = {"S": 1, "U": 4}.get(rows.dtype.kind, rows.dtype.itemsize)
    plain = np.ascontiguousarray(rows).reshape(-1).view(f"u{size}")
    packed: bytes = blosc.compress(plain, options.codec.encode(), options.level, options.shuffle)
    return packed


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    try:
        text = json.dumps(content)
    except (TypeError, ValueError) as error:
        raise StoreError(f"the attributes cannot be written as JSON ({error}): use text, numbers, lists") from error
    write_file(path, text.encode("ascii") + b"\n")
