"""`open_store`: from a path, a URL or an open object to a store, with its keys."""

from __future__ import annotations

import copy
import os
import re
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

import numpy as np

from mtgen.errors import MtgenError, StoreError
from mtgen.stores.base import OpenStore, Store
from mtgen.stores.container import KEY_ATTRIBUTE, Container, open_container
from mtgen.stores.detect import detect

URL = re.compile(r"[a-z][a-z0-9+.-]+://")
EXPECTED = (
    "a path, a URL, or an object with shape, dtype and [rows] (numpy, zarr, h5py, bcolz, blosc2, tensorstore, ...)"
)


def open_store(source: Any, *, keys: Any | Literal[False] | None = None) -> Store:
    """Open rows of one input, read-only.

    Call it from any thread; the store may be used from many. Nothing large is read.

    Args:
        source: a path or URL (`file://`, `http://`, `https://`, `s3://`, `gs://`), an open array (`bcolz.carray`,
            `bcolz.ctable`, `zarr.Array`, `h5py.Dataset`, `blosc2.NDArray`, `tensorstore.TensorStore`, NumPy), or any
            object with `shape`, `dtype` and `__getitem__`. An array inside a container is named after `::`, such as
            `"file.h5::train/features"`, `"table.parquet::a,b"`, `"table.bcolz::column"`, `"group.zarr::array"`;
            the name may be left out when there is only one.
        keys: one key per row: a path, array or store. None looks for keys beside the rows (`features.keys.bcolz`
            for `features.bcolz`, a member called `key` or named by the attribute `mtgen_key` in a container); False
            does not look.

    Returns:
        The store; close it when done. Keys found here are closed with it; keys given as an open store are not.

    Raises:
        StoreError: nothing there, no known format, a broken file, a dtype no batch can carry, or another number of
            keys than of rows.

    Example:
        >>> store = open_store(np.arange(6.0).reshape(3, 2))
        >>> out = np.empty((2, 2))
        >>> store.read_rows(np.array([2, 0]), out)
        >>> out.tolist()
        [[4.0, 5.0], [0.0, 1.0]]
    """
    if isinstance(source, Store):
        return _with_given_keys(source, keys)
    try:
        store, found = _open(source)
    except (MtgenError, ImportError, MemoryError):
        raise
    except Exception as error:
        # Damaged files raise anything out of the libraries that read them: RuntimeError, KeyError ...
        raise StoreError(
            f"it cannot be opened ({type(error).__name__}: {error}): the file or its metadata is damaged, or it is "
            "no store",
            path=f"{source}" if isinstance(source, str | os.PathLike) else type(source).__name__,
        ) from error
    try:
        if keys is None:
            if found is not None:
                _attach(store, found, owns=True)
        elif keys is not False:
            if found is not None:
                found.close()
            _attach(store, _open_keys(keys), owns=not isinstance(keys, Store))
    except BaseException:
        store.close()
        raise
    return store


def _with_given_keys(store: Store, keys: Any) -> Store:
    if keys is None:
        return store
    if not isinstance(store, OpenStore):
        raise StoreError(
            f"keys cannot be added to a {type(store).__name__}: set its keys where it is made", path=store.location
        )
    twin = copy.copy(store)
    twin.keys, twin.key_name = None, None
    if keys is not False:
        _attach(twin, _open_keys(keys), owns=not isinstance(keys, Store))
    return twin


def _open_keys(keys: Any) -> Store:
    if isinstance(keys, (list, tuple)):
        try:
            keys = np.asarray(keys)
        except ValueError as error:
            raise StoreError(f"the keys are no plain list: {error}") from error
    return open_store(keys, keys=False)


def _attach(store: OpenStore, keys: Store, *, owns: bool) -> None:
    """Give a store its keys, after checking that they can be its keys."""
    if keys.row_shape != () or keys.dtype.kind not in "iuSU":
        raise StoreError(
            f"the keys {keys.location} are rows of {keys.row_shape} {keys.dtype}, expected one integer or text per "
            "row; keys=False opens the rows without keys",
            path=store.location,
        )
    if keys.num_rows != store.num_rows:
        raise StoreError(
            f"{keys.num_rows} keys in {keys.location} for {store.num_rows} rows: expected one key per row; write the "
            "keys again from the table that the rows were made from",
            path=store.location,
        )
    store.keys, store.owns_keys = keys, owns
    store.key_name = _key_name(keys)
    if store.key_name is None and isinstance(named := store.attributes.get(KEY_ATTRIBUTE), str):
        store.key_name = named


def _key_name(keys: Store) -> str | None:
    if not isinstance(keys, OpenStore):
        return keys.key_name
    name = keys.attributes.get("name")
    if isinstance(name, str):
        return name
    return keys.inside.rpartition("/")[2] if keys.inside else None


def _open(source: Any) -> tuple[OpenStore, Store | None]:
    if isinstance(source, (str, os.PathLike)):
        text = os.fspath(source)
        if not isinstance(text, str):
            raise StoreError(f"the source is a path of {type(text).__name__}, expected str or pathlib.Path")
        if URL.match(text):
            if not text.startswith("file://"):
                from mtgen.stores.zarr import open_url

                return open_url(text)
            text = unquote(urlsplit(text).path)
        return _open_path(text)
    return _open_object(source)


def split_inside(text: str) -> tuple[str, str | None]:
    """Container and name of `container::name`; a path that exists as it stands is taken as it stands.

    Example:
        >>> split_inside("file.h5::train/x")
        ('file.h5', 'train/x')
    """
    if "::" not in text or Path(text).exists():
        return text, None
    container, _, inside = text.partition("::")
    if not container or not inside:
        raise StoreError(f"{text!r} names no array: expected container::name", path=text)
    return container, inside


def _open_path(text: str) -> tuple[OpenStore, Store | None]:
    name, inside = split_inside(text)
    path = Path(name)
    kind = detect(path)
    if kind in {"ctable", "hdf5", "parquet", "zarr group"}:
        return open_container(_container(kind, path), inside)
    if inside is not None:
        raise StoreError(f"this is a single array, it has nothing called {inside!r}: leave out ::{inside}", path=name)
    return _single(kind, path), _sibling_keys(path)


def _single(kind: str, path: Path) -> OpenStore:
    if kind == "npy":
        from mtgen.stores.numpy import NpyStore

        return NpyStore(path)
    if kind == "carray":
        from mtgen.stores.bcolz import BcolzStore

        return BcolzStore(path)
    if kind == "blosc2":
        from mtgen.stores.blosc2 import Blosc2Store

        return Blosc2Store(path)
    if kind == "sparse":
        from mtgen.stores.sparse import SparseStore

        return SparseStore(path)
    from mtgen.stores.zarr import open_array

    return open_array(path)


def _container(kind: str, path: Path) -> Container:
    if kind == "ctable":
        from mtgen.stores.bcolz import ctable_container

        return ctable_container(path)
    if kind == "hdf5":
        from mtgen.stores.hdf5 import hdf5_container

        return hdf5_container(path)
    if kind == "parquet":
        from mtgen.stores.parquet import parquet_container

        return parquet_container(path)
    from mtgen.stores.zarr import group_container

    return group_container(path)


def _sibling_keys(path: Path) -> Store | None:
    """Keys of a single array: `x.keys.npy` beside `x.npy`; text keys of any store may be a `.npy`.

    `x.zarr.keys.npy` belongs to `x.zarr` alone, also where an `x.bcolz` with keys of its own lies beside.
    """
    names = [f"{path.name}.keys.npy", *(f"{path.stem}.keys{suffix}" for suffix in (path.suffix, ".npy"))]
    for name in dict.fromkeys(names):
        beside = path.with_name(name)
        if beside.exists() and not path.stem.endswith(".keys"):
            return open_store(beside, keys=False)
    return None


def _open_object(source: Any) -> tuple[OpenStore, Store | None]:
    from mtgen.stores.objects import store_of

    missing = [name for name in ("shape", "dtype", "__getitem__") if not hasattr(source, name)]
    if missing and not hasattr(source, "cols"):  # a ctable has no single dtype
        raise StoreError(f"{type(source).__name__} has no {', '.join(missing)}; expected {EXPECTED}")
    return store_of(source)
