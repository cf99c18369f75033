"""HDF5 datasets through h5py.

h5py runs one call at a time in the whole process, so threads do not make this store faster; for training, copy the
dataset into a `.npy` or Zarr store.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mtgen import plan
from mtgen.errors import StoreError
from mtgen.stores.base import OpenStore, load_package, shape_of, touched_bytes
from mtgen.stores.container import Container
from mtgen.waits import ProcessTurns


def _h5py(location: str) -> Any:
    return load_package("h5py", "mtgen[hdf5]", location)


def _open_file(path: str) -> Any:
    try:
        return _h5py(path).File(path, "r")
    except OSError as error:
        if isinstance(error, StoreError):
            raise
        raise StoreError(
            f"h5py cannot open it ({error}): if it is being written elsewhere, close it there; else copy it again",
            path=path,
        ) from error


def _texts(attributes: Any) -> dict[str, Any]:
    """Attributes that are text, whether HDF5 holds them with variable or with fixed length (as bytes)."""
    plain = {name: bytes(value) if isinstance(value, np.bytes_) else value for name, value in attributes.items()}
    found = {name: value.decode("utf-8") if isinstance(value, bytes) else value for name, value in plain.items()}
    return {name: value for name, value in found.items() if isinstance(value, str)}


class HDF5Store(OpenStore):
    """Rows of one HDF5 dataset.

    Any thread may read, one at a time.

    Args:
        path: the file.
        inside: name of the dataset in it.

    Raises:
        StoreError: no such file or dataset, or values that no batch can carry.
    """

    cache_bytes = 2**23  # of chunks, by HDF5 2.0; 1 MiB before

    def __init__(self, path: str | Path, inside: str) -> None:
        self.path: str | None = str(Path(path).absolute())
        self.location = f"{path}::{inside}"
        self.inside = inside
        self.file = _open_file(str(path))
        try:
            dataset = self.file.get(inside)
            if not isinstance(dataset, _h5py(self.location).Dataset):
                raise StoreError(f"the file has no dataset {inside!r}", path=str(path))
            self._refuse_elsewhere(dataset)
            self._take(dataset)
        except BaseException:
            self.file.close()
            raise

    def _refuse_elsewhere(self, dataset: Any) -> None:
        """Refuse values that lie in other files, which the file names and the user did not."""
        named = os.path.realpath(dataset.file.filename) != os.path.realpath(self.file.filename)
        if named or dataset.external or dataset.is_virtual:
            where = [one[0] for one in dataset.external or []] or [dataset.file.filename]
            if dataset.is_virtual:
                where = sorted({source.file_name for source in dataset.virtual_sources()})
            raise StoreError(
                f"the values lie in other files ({', '.join(map(repr, where[:5]))}), and only the file that was named "
                "is read. If these are meant, open the dataset by h5py and pass it: open_store(h5py.File(...)[name])",
                path=self.location,
            )

    @classmethod
    def around(cls, dataset: Any) -> HDF5Store:
        """Store around an open `h5py.Dataset`; its file stays the caller's to close."""
        store = cls.__new__(cls)
        store.file = None
        name = str(dataset.file.filename)
        store.path = str(Path(name).absolute()) if Path(name).is_file() else None
        store.inside = dataset.name.lstrip("/") if dataset.name else None
        store.location = f"{name}::{store.inside}"
        store._take(dataset)
        return store

    def _take(self, dataset: Any) -> None:
        h5py = _h5py(self.location)
        if h5py.check_string_dtype(dataset.dtype) is not None and dataset.dtype.hasobject:
            raise StoreError(
                "the values are text of any length, expected numbers or text of fixed width: write the dataset "
                'anew with dtype "S<bytes>"',
                path=self.location,
            )
        if dataset.shape is None:
            raise StoreError("the dataset is empty (it has no shape), expected rows", path=self.location)
        self.set_shape(dataset.shape, dataset.dtype)
        self.chunk_rows = int(dataset.chunks[0]) if dataset.chunks else 1
        self.attributes = _texts(dataset.attrs)
        self.dataset = dataset
        self.lock = ProcessTurns(f"read {self.location}")

    def reopening(self) -> tuple[Callable[..., OpenStore], tuple[Any, ...]]:
        """See `OpenStore.reopening`; refused for a dataset that is in no file on disk."""
        if self.path is None or self.inside is None:
            raise StoreError(
                "a dataset that is in no file on disk cannot be pickled: write it to a file, or pass dataset[:]",
                path=self.location,
            )
        return HDF5Store, (self.path, self.inside)

    def fill(self, rows: np.ndarray, out: np.ndarray) -> None:
        """See `OpenStore.fill`; reads the wanted span of each chunk, or single rows where there are no chunks."""
        with self.lock.here:
            self.check_open()
            try:
                if self.chunk_rows == 1:
                    distinct, places = np.unique(rows, return_inverse=True)  # h5py wants increasing indices
                    out[...] = self.dataset[distinct][places]
                    return
                for read in plan.reads(rows, self.chunk_rows):
                    start = read.chunk * self.chunk_rows
                    first, last = int(read.offsets[0]), int(read.offsets[-1])
                    out[read.slots] = self.dataset[start + first : start + last + 1][read.offsets - first]
            except (OSError, RuntimeError, ValueError) as error:
                raise StoreError(
                    f"h5py cannot read {len(rows)} rows between {rows.min()} and {rows.max()} ({error}): the file may "
                    "be closed, truncated or lack a filter plugin",
                    path=self.location,
                ) from error

    def window_bytes(self, size: Sequence[int]) -> int:
        """See `OpenStore.window_bytes`: the window, and a chunk as it is and as it is stored."""
        whole = touched_bytes(shape_of(self), (1,) * len(shape_of(self)), size, self.dtype)
        return whole + 2 * math.prod(self.dataset.chunks or (0,)) * self.dtype.itemsize

    def fill_window(self, window: tuple[slice, ...], out: np.ndarray) -> None:
        """See `OpenStore.fill_window`; HDF5 reads the chunks that the window touches."""
        with self.lock.here:
            self.check_open()
            try:
                out[...] = self.dataset[window]
            except (OSError, RuntimeError, ValueError) as error:
                raise StoreError(
                    f"h5py cannot read a window ({error}): the file may be closed, truncated or lack a filter plugin",
                    path=self.location,
                ) from error

    def close(self) -> None:
        """See `Store.close`; waits for a read that is under way."""
        with self.lock.here:
            if self.file is not None:
                self.file.close()
        super().close()


def hdf5_container(path: Path) -> Container:
    """The datasets of a file, those in groups as `group/dataset`."""
    location = str(path)
    members: dict[str, tuple[int, ...]] = {}
    with _open_file(location) as file:
        dataset_kind = _h5py(location).Dataset

        def note(name: str, item: Any) -> None:
            if isinstance(item, dataset_kind):
                members[name] = item.shape or ()

        file.visititems(note)
        attributes = _texts(file.attrs)
    return Container(
        location=location,
        kind="HDF5 file",
        members=members,
        attributes=attributes,
        open_member=lambda name: HDF5Store(path, name),
    )
