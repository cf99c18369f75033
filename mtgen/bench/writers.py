"""One array in the formats that contenders read, each written by the format's own library as its users write it.

Every writer takes a folder that exists and is empty, and blocks of rows; what it makes is found again by `STORES`.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

WRITE_SECONDS = 600.0
"""Longest wait for one block to be on disk."""


@dataclass(frozen=True, kw_only=True)
class Array:
    """What is written.

    Args:
        num_rows: rows.
        row_shape: shape of one row.
        dtype: of the values.
        blocks: gives the rows in order; called once for each format.
    """

    num_rows: int
    row_shape: tuple[int, ...]
    dtype: np.dtype
    blocks: Callable[[], Iterable[np.ndarray]]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the whole."""
        return (self.num_rows, *self.row_shape)


def write_npy(folder: Path, array: Array) -> None:
    """`.npy`, not compressed."""
    whole = np.lib.format.open_memmap(folder / "rows.npy", mode="w+", dtype=array.dtype, shape=array.shape)
    _fill(whole, array)
    whole.flush()


def write_bcolz(folder: Path, array: Array) -> None:
    """A bcolz folder with the default chunk length, by the bcolz package where there is one for this Python."""
    if importlib.util.find_spec("bcolz") is None:
        from mtgen.stores.bcolz_writer import write_bcolz as write

        write(folder / "rows.bcolz", array.blocks(), expected_rows=array.num_rows)
        return
    import bcolz

    empty = np.empty((0, *array.row_shape), array.dtype)
    whole = bcolz.carray(empty, rootdir=str(folder / "rows.bcolz"), mode="w", expectedlen=array.num_rows)
    for block in array.blocks():
        whole.append(block)
    whole.flush()


def write_zarr(folder: Path, array: Array) -> None:
    """Zarr v3, one row per chunk, 2,048 in a shard, zstd: the layout in which single rows are read fastest."""
    import tensorstore

    zstd = {"name": "zstd", "configuration": {"level": 1}}
    codecs = [{"name": "bytes", "configuration": {"endian": "little"}}, zstd]
    sharding = {
        "name": "sharding_indexed",
        "configuration": {"chunk_shape": [1, *array.row_shape], "codecs": codecs},
    }
    whole = tensorstore.open(
        {
            "driver": "zarr3",
            "kvstore": {"driver": "file", "path": str(folder / "rows.zarr")},
            "metadata": {"codecs": [sharding]},
        },
        create=True,
        dtype=array.dtype.name,
        shape=array.shape,
        chunk_layout=tensorstore.ChunkLayout(write_chunk_shape=[2048, *array.row_shape]),
    ).result(timeout=WRITE_SECONDS)
    start = 0
    for block in array.blocks():
        whole[start : start + len(block)].write(block).result(timeout=WRITE_SECONDS)
        start += len(block)


def write_hdf5(folder: Path, array: Array) -> None:
    """HDF5, eight rows per chunk, lzf: the compression that h5py brings along and calls fast."""
    import h5py

    with h5py.File(folder / "rows.h5", "w") as file:
        chunks = (min(8, array.num_rows), *array.row_shape)
        whole = file.create_dataset("rows", array.shape, array.dtype, chunks=chunks, compression="lzf")
        _fill(whole, array)


def write_blosc2(folder: Path, array: Array) -> None:
    """A blosc2 NDArray in blocks of four rows, which single rows are read faster from than from the default."""
    import blosc2

    chunks = (min(512, array.num_rows), *array.row_shape)
    blocks = (min(4, array.num_rows), *array.row_shape)
    path = str(folder / "rows.b2nd")
    whole = blosc2.empty(array.shape, array.dtype, chunks=chunks, blocks=blocks, urlpath=path, mode="w")
    _fill(whole, array)


def write_lance(folder: Path, array: Array) -> None:
    """A Lance dataset with one column, a list of fixed size."""
    import lance
    import pyarrow

    width = int(np.prod(array.row_shape))
    kind = pyarrow.list_(pyarrow.from_numpy_dtype(array.dtype), width)
    schema = pyarrow.schema([("rows", kind)])

    def batches() -> Iterable[Any]:
        for block in array.blocks():
            lists = pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(block.reshape(-1)), width)
            yield pyarrow.record_batch([lists.cast(kind)], schema=schema)

    lance.write_dataset(batches(), folder / "rows.lance", schema=schema)


@dataclass(frozen=True, kw_only=True)
class Store:
    """How a format is made and found.

    Args:
        name: of the file or folder.
        write: makes it.
        needs: what must be installed to make it.
    """

    name: str
    write: Callable[[Path, Array], None]
    needs: tuple[str, ...] = ()


STORES: Mapping[str, Store] = {
    "npy": Store(name="rows.npy", write=write_npy),
    "bcolz": Store(name="rows.bcolz", write=write_bcolz),
    "zarr": Store(name="rows.zarr", write=write_zarr),
    "hdf5": Store(name="rows.h5", write=write_hdf5, needs=("h5py",)),
    "blosc2": Store(name="rows.b2nd", write=write_blosc2, needs=("blosc2",)),
    "lance": Store(name="rows.lance", write=write_lance, needs=("lance", "pyarrow")),
}
"""Formats by name; `packed`, which `mtgen.pack` makes out of another one, is not among them."""


def _fill(whole: Any, array: Array) -> None:
    start = 0
    for block in array.blocks():
        whole[start : start + len(block)] = block
        start += len(block)
