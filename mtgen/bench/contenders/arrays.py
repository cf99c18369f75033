"""Array libraries used bare: random rows of each batch, asked for in a loop, with nothing prepared ahead.

With `pictures=True` decoded pictures are gathered from a second array of the same format.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from mtgen.bench.work import Delivered, Epochs, Work

READ_SECONDS = 120.0

Gather = Callable[[np.ndarray], np.ndarray]


def _looped(work: Work, features: Gather, pictures: Gather | None = None) -> Epochs:
    def epochs(epoch: int) -> Iterator[Delivered]:
        for rows in work.steps(epoch):
            yield Delivered(rows, features(rows), None if pictures is None else pictures(rows))

    return epochs


@contextmanager
def bcolz_loop(work: Work) -> Iterator[Epochs]:
    """`bcolz.open(path)[rows]` for each batch, as the generator of 2017 has it: the reference."""
    import bcolz

    path = work.place("features.bcolz")
    yield _looped(work, lambda rows: bcolz.open(path, mode="r")[rows])


@contextmanager
def numpy_memmap(work: Work, pictures: bool = False) -> Iterator[Epochs]:
    """`np.load(mmap_mode="r")` and fancy indexing: nothing is decompressed."""
    whole = np.load(work.place("features.npy"), mmap_mode="r")
    pixels = np.load(work.place("pixels.npy"), mmap_mode="r") if pictures else None
    yield _looped(work, whole.__getitem__, None if pixels is None else pixels.__getitem__)


@contextmanager
def zarr_python(work: Work) -> Iterator[Epochs]:
    """zarr-python's `oindex`, which its documentation gives for rows of an array."""
    import zarr

    whole = zarr.open_array(work.place("features.zarr"), mode="r")
    yield _looped(work, lambda rows: np.asarray(whole.oindex[rows]))


@contextmanager
def tensorstore_bare(work: Work, pictures: bool = False) -> Iterator[Epochs]:
    """TensorStore with an index array; both arrays are asked for before either is waited for."""
    import tensorstore

    def opened(name: str) -> Any:
        # A cache for shard indexes and open files, without which each read fetches them anew.
        spec = {
            "driver": "zarr3",
            "kvstore": {"driver": "file", "path": work.place(name)},
            "context": {"cache_pool": {"total_bytes_limit": 64 << 20}},
            "recheck_cached_data": "open",
        }
        return tensorstore.open(spec, read=True, open=True).result(timeout=READ_SECONDS)

    whole = opened("features.zarr")
    pixels = opened("pixels.zarr") if pictures else None

    def epochs(epoch: int) -> Iterator[Delivered]:
        for rows in work.steps(epoch):
            first = whole[rows].read()
            second = None if pixels is None else pixels[rows].read()
            yield Delivered(
                rows,
                first.result(timeout=READ_SECONDS),
                None if second is None else second.result(timeout=READ_SECONDS),
            )

    yield epochs


@contextmanager
def lance_take(work: Work) -> Iterator[Epochs]:
    """`LanceDataset.take`, and the column as one array without a copy."""
    import lance

    dataset = lance.dataset(work.place("features.lance"))

    def gather(rows: np.ndarray) -> np.ndarray:
        (column,) = dataset.take(rows.tolist(), columns=["rows"]).column("rows").chunks
        flat: np.ndarray = column.flatten().to_numpy()
        return flat.reshape(len(rows), work.num_columns)

    yield _looped(work, gather)


@contextmanager
def h5py_rows(work: Work) -> Iterator[Epochs]:
    """h5py, which takes rising indices only: sorted, read, and put back in order."""
    import h5py

    with h5py.File(work.place("features.hdf5"), "r") as file:
        whole = file["rows"]

        def gather(rows: np.ndarray) -> np.ndarray:
            order = np.argsort(rows)
            found = np.empty((len(rows), work.num_columns), np.float32)
            found[order] = whole[rows[order]]
            return found

        yield _looped(work, gather)


@contextmanager
def blosc2_rows(work: Work) -> Iterator[Epochs]:
    """A blosc2 NDArray with an index array."""
    import blosc2

    whole = blosc2.open(work.place("features.blosc2"), mode="r")
    yield _looped(work, lambda rows: whole[rows])
