"""Stores around arrays that are already open: which reader suits which object, without importing its package."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from mtgen.stores.arrays import ArrayStore
from mtgen.stores.base import OpenStore, Store
from mtgen.stores.container import Container, open_container
from mtgen.stores.numpy import NumpyStore


class BcolzObjectStore(ArrayStore):
    """Rows of an open `bcolz.carray` that is in memory or being written; any thread, one at a time."""

    def __init__(self, carray: Any) -> None:
        shape = tuple(int(length) for length in carray.shape)
        super().__init__(carray, f"bcolz.carray {carray.rootdir or ''} {shape} {carray.dtype}", "slice")

    def reopening(self) -> tuple[Callable[..., OpenStore], tuple[Any, ...]]:
        """See `OpenStore.reopening`: what is on disk travels by its path, and must have been flushed."""
        if self.array.rootdir:
            from mtgen.stores.bcolz import BcolzStore

            return BcolzStore, (str(Path(self.array.rootdir).absolute()),)
        return BcolzObjectStore, (self.array,)


def store_of(source: Any) -> tuple[OpenStore, Store | None]:
    """Store around an open object, and the keys that came with it."""
    packages = {kind.__module__.partition(".")[0] for kind in type(source).__mro__}
    name = type(source).__name__
    if isinstance(source, np.ndarray):
        return NumpyStore(source), None
    if "bcolz" in packages:
        return _bcolz_table(source) if name == "ctable" else (_bcolz_array(source), None)
    if "h5py" in packages and name == "Dataset":
        from mtgen.stores.hdf5 import HDF5Store

        return HDF5Store.around(source), None
    if "blosc2" in packages and name == "NDArray":
        from mtgen.stores.blosc2 import Blosc2Store

        return Blosc2Store.around(source), None
    if "tensorstore" in packages:
        from mtgen.stores.zarr import ZarrStore

        return ZarrStore.around(source), None
    if "zarr" in packages and name == "Array":
        return _zarr_array(source), None
    return ArrayStore(source), None


def _bcolz_array(carray: Any) -> OpenStore:
    """Our own reader for a carray on disk that nobody is writing; else the object itself, by slices."""
    if carray.rootdir and carray.mode == "r":
        from mtgen.stores.bcolz import BcolzStore

        return BcolzStore(carray.rootdir)
    return BcolzObjectStore(carray)


def _bcolz_table(ctable: Any) -> tuple[OpenStore, Store | None]:
    if ctable.rootdir and ctable.mode == "r":
        from mtgen.stores.bcolz import ctable_container

        return open_container(ctable_container(Path(ctable.rootdir)), None)
    container = Container(
        location="bcolz.ctable",
        kind="bcolz ctable",
        members={name: tuple(map(int, ctable[name].shape)) for name in ctable.names},
        attributes={name: ctable.attrs[name] for name in ctable.attrs.getall()} if ctable.rootdir else {},
        open_member=lambda name: _bcolz_column(ctable, name),
    )
    return open_container(container, None)


def _bcolz_column(ctable: Any, name: str) -> OpenStore:
    store = _bcolz_array(ctable[name])
    store.inside = name
    return store


def _zarr_array(array: Any) -> OpenStore:
    """A reader of our own, or TensorStore, for an array in a local folder of a dtype they know; else the object."""
    root = getattr(array.store, "root", None)
    if root is not None and array.dtype.kind not in "SUmM":
        from mtgen.stores.zarr import open_array

        return open_array(str(Path(root) / array.path))
    return ArrayStore(array, f"zarr.Array {array.shape} {array.dtype}")
