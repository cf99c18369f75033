"""Pack any store into one whose rows can be read alone: sharded Zarr v3 arrays that other programs open too."""

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
from mtgen.packing.choice import Choice, choose, sample_rows
from mtgen.packing.dense import Bar, compare_dense, read, write_dense
from mtgen.packing.layout import Codec, Layout, make_layout
from mtgen.packing.sparse import compare_sparse, write_sparse
from mtgen.packing.work import Work
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
        num_shards: shards of rows, in the sparse form of values.
        num_written: shards written now; the others were there from a run before.
        num_bytes: size on disk.
        compared: whether every row was compared with the source.
        choice: what the codec was chosen by; None where it was given, or chosen by a run before.
    """

    path: Path
    layout: Layout
    num_shards: int
    num_written: int
    num_bytes: int
    compared: bool
    choice: Choice | None = None

    def __str__(self) -> str:
        layout = self.layout
        plain = layout.num_rows * int(np.prod(layout.row_shape, dtype=np.int64)) * np.dtype(layout.dtype).itemsize
        before = self.num_shards - self.num_written
        form = "" if layout.codec == "sparse" else f"{layout.block_rows} rows per block, "
        return (
            f"{self.path}: {layout.num_rows:,} rows of {layout.row_shape} {layout.dtype}, {form}codec {layout.codec}, "
            f"{self.num_bytes:,} bytes ({self.num_bytes / plain:.0%} of the plain size)"
            + (f", {before} of {self.num_shards} shards were there" if before else "")
            + (", every row compared with the source" if self.compared else "")
            + (f"; {self.choice}" if self.choice is not None else "")
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

    Rows of mostly zeros become a group of three such arrays (sparse form). Call it from any thread; two shards are held
    in memory. The target appears whole, with one rename at the end. A
    run that was interrupted is gone on with by the same call: finished shards are read back, and kept where they are
    right; those of a source that is in no local file are compared with it. Where the source changed meanwhile it is
    refused.

    Args:
        source: what `mtgen.open_store` opens, or a store.
        target: folder to make, such as `features.zarr`; it must not exist.
        codec: "auto" looks at a sample and chooses "none", "lz4" or "sparse" (only what is not zero is stored); "zstd"
            is slower.
        block_rows: rows that are decoded together; None for one row, or 1 to 2 KiB of smaller
            ones.
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
    choices: list[Choice] = []
    try:
        work = Work(place)
        work.make()
        lock = FolderLock(work.folder)
        lock.take()
        try:
            layout = work.layout_of(opened, lambda: _layout(opened, codec, block_rows, choices), codec, block_rows)
            num_shards = _write(opened, work, layout, verify, lambda what: _bar(progress, what))
            _write_keys(opened, place)
            num_bytes = work.num_bytes
            work.publish(lock)
        finally:
            lock.release()
    finally:
        if not isinstance(source, Store):
            opened.close()
    return Packed(
        path=place,
        layout=layout,
        num_shards=num_shards,
        num_written=work.num_written,
        num_bytes=num_bytes,
        compared=verify,
        choice=choices[0] if choices else None,
    )


def _write(store: Store, work: Work, layout: Layout, verify: bool, bar: Bar) -> int:
    """Write, and compare if asked; the number of shards in all."""
    attributes = _attributes(store)
    if layout.codec == "sparse":
        num_shards = write_sparse(store, work, layout, attributes, bar)
        if verify:
            compare_sparse(store, work, layout, bar)
        return num_shards
    array = write_dense(store, work, layout, attributes, bar)
    if verify:
        compare_dense(store, array, bar)
    return layout.num_shards


def _bar(progress: bool, what: str) -> Any:
    def bar(values: Any) -> Iterator[Any]:
        return iter(tqdm(values, desc=what, unit="shard", leave=False, disable=None if progress else True))

    return bar


def _layout(store: Store, codec: str, block_rows: int | None, choices: list[Choice]) -> Layout:
    """The layout that was asked for; where it is to be chosen, the choice is added to `choices`."""
    chosen = "none" if codec == "auto" else codec
    layout = make_layout(store.num_rows, store.row_shape, store.dtype, codec=chosen, block_rows=block_rows)  # type: ignore[arg-type]
    if codec != "auto":
        return layout
    row_bytes = int(np.prod(store.row_shape, dtype=np.int64)) * store.dtype.itemsize
    sample = read(store, sample_rows(store.num_rows, row_bytes))
    choices.append(choose(sample, block_rows, sparse=block_rows is None))
    return make_layout(store.num_rows, store.row_shape, store.dtype, codec=choices[-1].codec, block_rows=block_rows)


def _attributes(store: Store) -> dict[str, str]:
    return {} if store.keys is None or store.key_name is None else {KEY_ATTRIBUTE: store.key_name}


def _write_keys(store: Store, place: Path) -> None:
    """Keys as `<name>.keys.npy` beside the rows; their column's name is in the rows' own attributes."""
    path = place.with_name(f"{place.name}.keys.npy")
    if store.keys is None:
        if path.exists():
            raise StoreError(
                "keys are there already, the source has none, and they would be taken for the new store's: remove them",
                path=str(path),
            )
        return
    keys = read(store.keys, np.arange(store.keys.num_rows))
    content = io.BytesIO()
    np.save(content, keys, allow_pickle=False)
    try:
        if not path.exists():
            replace_file(path, content.getvalue())
        elif path.read_bytes() != content.getvalue():
            raise StoreError("other keys are there already, nothing is overwritten: remove them", path=str(path))
    except OSError as error:
        raise StoreError(f"the keys cannot be written ({error}): check space and rights", path=str(path)) from error
