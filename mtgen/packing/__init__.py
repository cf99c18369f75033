"""Pack any store into one whose rows can be read alone: a sharded Zarr v3 array that other programs open too."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from tqdm import tqdm

from mtgen.errors import StoreError
from mtgen.folder_lock import FolderLock
from mtgen.packing.layout import Codec, Layout, choose_codec, make_layout, sample_rows
from mtgen.packing.work import Work, has_files
from mtgen.stores import Store, open_store
from mtgen.stores.container import KEY_ATTRIBUTE
from mtgen.stores.new_folder import replace_file

__all__ = ["Packed", "pack"]


@dataclass(frozen=True, kw_only=True)
class Packed:
    """What was packed.

    Args:
        path: the new store.
        layout: its shape.
        num_written: shards written now; the others were there from a run before.
        num_bytes: size on disk.
        compared: whether every row was compared with the source.
    """

    path: Path
    layout: Layout
    num_written: int
    num_bytes: int
    compared: bool

    def __str__(self) -> str:
        layout = self.layout
        plain = layout.num_rows * int(np.prod(layout.row_shape, dtype=np.int64)) * np.dtype(layout.dtype).itemsize
        before = layout.num_shards - self.num_written
        return (
            f"{self.path}: {layout.num_rows:,} rows of {layout.row_shape} {layout.dtype}, {layout.block_rows} rows per "
            f"block, codec {layout.codec}, {self.num_bytes:,} bytes ({self.num_bytes / plain:.0%} of the plain size)"
            + (f", {before} of {layout.num_shards} shards were there" if before else "")
            + (", every row compared with the source" if self.compared else "")
        )


def pack(
    source: Any,
    target: str | os.PathLike[str],
    *,
    codec: Codec | Literal["auto"] = "auto",
    block_rows: int | None = None,
    verify: bool = False,
    progress: bool = False,
) -> Packed:
    """Write the rows of a store, and its keys, as a sharded Zarr v3 array whose rows can be read alone.

    Call it from any thread; two shards are held in memory. The target appears whole, with one rename at the end. A
    run that was interrupted is gone on with by the same call: finished shards are read back, and kept where they are
    right; those of a source that is in no local file are compared with it. Where the source changed meanwhile it is
    refused.

    Args:
        source: what `mtgen.open_store` opens, or a store.
        target: folder to make, such as `features.zarr`; it must not exist.
        codec: "auto" looks at a sample; "none", "lz4" or "zstd" (smallest, slower).
        block_rows: rows that are decoded together; None for a disk page, at least one row.
        verify: read everything back and compare it with the source before the target appears.
        progress: show a progress bar.

    Raises:
        StoreError: the source cannot be read or packed, the target exists, another process is packing it, it cannot
            be written, or what was written differs from the source.
        PlanError: settings out of range.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> print(pack(np.eye(3, dtype="f4"), folder / "x.zarr").layout.codec)
        none
    """
    place = Path(target)
    if os.path.lexists(place):
        raise StoreError("it exists already, nothing is overwritten: remove it or choose another path", path=str(place))
    opened = open_store(source)
    try:
        work = Work(place)
        work.make()
        lock = FolderLock(work.folder)
        lock.take()
        try:
            layout = work.layout_of(opened, lambda: _layout(opened, codec, block_rows), codec, block_rows)
            missing = work.missing_shards(
                layout,
                _attributes(opened),
                _bar(progress, "look at"),
                lambda shard, rows: _is_right(opened, layout, shard, rows),
            )
            _write(opened, work, layout, missing, _bar(progress, "pack"))
            if verify:
                _compare(opened, work, layout, _bar(progress, "compare"))
            _write_keys(opened, place)
            num_bytes = work.num_bytes
            work.publish(lock)
        finally:
            lock.release()
    finally:
        if not isinstance(source, Store):
            opened.close()
    return Packed(path=place, layout=layout, num_written=len(missing), num_bytes=num_bytes, compared=verify)


def _bar(progress: bool, what: str) -> Any:
    def bar(values: Any) -> Iterator[Any]:
        return iter(tqdm(values, desc=what, unit="shard", leave=False, disable=None if progress else True))

    return bar


def _layout(store: Store, codec: str, block_rows: int | None) -> Layout:
    layout = make_layout(
        store.num_rows,
        store.row_shape,
        store.dtype,
        codec="none" if codec == "auto" else codec,  # type: ignore[arg-type]
        block_rows=block_rows,
    )
    if codec != "auto":
        return layout
    row_bytes = int(np.prod(store.row_shape, dtype=np.int64)) * store.dtype.itemsize
    rows = sample_rows(store.num_rows, row_bytes)
    chosen, _ = choose_codec(_read(store, rows), layout.block_rows)
    return make_layout(store.num_rows, store.row_shape, store.dtype, codec=chosen, block_rows=block_rows)


def _read(store: Store, rows: np.ndarray) -> np.ndarray:
    out = np.empty((len(rows), *store.row_shape), store.dtype)
    store.read_rows(rows, out)
    return out


def _write(store: Store, work: Work, layout: Layout, missing: list[int], bar: Any) -> None:
    """One shard is written while the next is read."""
    under_way: list[Any] = []
    try:
        for shard in bar(missing):
            values = _read(store, np.arange(*layout.span(shard)))
            while under_way:
                work.await_written(under_way.pop())
            under_way.append(work.begin_write(layout, shard, values))
    finally:
        # Also where the next one cannot be read: what is done need not be done again.
        while under_way:
            work.await_written(under_way.pop())


def _is_right(store: Store, layout: Layout, shard: int, found: np.ndarray) -> bool:
    """Whether a shard of a run before is the source's; of a source without files only its values tell."""
    return has_files(store) or not _differ(_read(store, np.arange(*layout.span(shard))), found).any()


def _differ(expected: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Which rows differ, bit for bit."""
    differing = np.ascontiguousarray(expected).view(np.uint8) != found.view(np.uint8)
    wrong: np.ndarray = differing.reshape(len(expected), -1).any(axis=1)
    return wrong


def _compare(store: Store, work: Work, layout: Layout, bar: Any) -> None:
    for shard in bar(range(layout.num_shards)):
        rows = np.arange(*layout.span(shard))
        wrong = _differ(_read(store, rows), work.read(layout, shard))
        if wrong.any():
            raise StoreError(
                f"{int(wrong.sum())} rows differ from the source after packing, the first is row "
                f"{int(rows[np.argmax(wrong)])}: does something write to the source, or is the disk damaged?",
                path=str(work.place),
            )


def _attributes(store: Store) -> dict[str, str]:
    return {} if store.keys is None or store.key_name is None else {KEY_ATTRIBUTE: store.key_name}


def _write_keys(store: Store, place: Path) -> None:
    """Keys as `<name>.keys.npy` beside the rows; their column's name is in the rows' own attributes."""
    if store.keys is None:
        return
    keys = _read(store.keys, np.arange(store.keys.num_rows))
    content = io.BytesIO()
    np.save(content, keys, allow_pickle=False)
    path = place.with_name(f"{place.name}.keys.npy")
    try:
        if not path.exists():
            replace_file(path, content.getvalue())
        elif path.read_bytes() != content.getvalue():
            raise StoreError("other keys are there already, nothing is overwritten: remove them", path=str(path))
    except OSError as error:
        raise StoreError(f"the keys cannot be written ({error}): check space and rights", path=str(path)) from error
