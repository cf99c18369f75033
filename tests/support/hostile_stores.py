"""Stores to be damaged: one real store of each kind as bytes, and what is done with a damaged one."""

from __future__ import annotations

import json
import shutil
import struct
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from mtgen.stores import open_store

VALUES = (np.arange(30 * 4) * 7919 % 97).reshape(30, 4).astype("f4")
SUFFIX = {"npy": ".npy", "parquet": ".parquet", "blosc2": ".b2nd", "hdf5": ".h5", "bcolz": ".bcolz"}


def carray(folder: Path, values: np.ndarray = VALUES, chunk_rows: int = 8, codec: str = "lz4") -> Path:
    """A carray folder, written here byte by byte."""
    from numcodecs import blosc

    (folder / "meta").mkdir(parents=True)
    (folder / "data").mkdir()
    (folder / "meta" / "sizes").write_text(json.dumps({"shape": list(values.shape), "nbytes": values.nbytes}))
    storage = {"dtype": str(values.dtype), "chunklen": chunk_rows, "expectedlen": len(values), "dflt": 0, "cparams": {}}
    (folder / "meta" / "storage").write_text(json.dumps(storage))
    (folder / "__attrs__").write_text("{}")
    for chunk in range(-(-len(values) // chunk_rows)):
        part = np.ascontiguousarray(values[chunk * chunk_rows : (chunk + 1) * chunk_rows])
        packed = b"blpk\x01\0\0\0" + struct.pack("<q", 1) + blosc.compress(part, codec.encode(), 5, 1)
        (folder / "data" / f"__{chunk}.blp").write_bytes(packed)
    return folder


def whole_store(kind: str) -> dict[str, bytes]:
    """A real store: relative path ("" where it is a single file) -> content."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"x{SUFFIX[kind]}"
        if kind == "npy":
            np.save(path, VALUES)
        elif kind == "bcolz":
            carray(path, np.tile(VALUES, (20, 1)), 300, "zstd")
            return {str(one.relative_to(path)): one.read_bytes() for one in path.rglob("*") if one.is_file()}
        elif kind == "parquet":
            import pyarrow
            from pyarrow import parquet

            columns = {"a": VALUES[:, 0], "b": VALUES[:, 1], "t": [f"x{row}" for row in range(30)]}
            parquet.write_table(pyarrow.table(columns), path, row_group_size=10)
        elif kind == "blosc2":
            import blosc2

            blosc2.asarray(VALUES, urlpath=str(path), chunks=(10, 4), blocks=(5, 4), mode="w")
        else:
            import h5py

            with h5py.File(path, "w") as file:
                file.create_dataset("x", data=VALUES, chunks=(10, 4), compression="gzip")
        return {"": path.read_bytes()}


def warm() -> None:
    """Import every reader once, before the forks."""
    import blosc2  # noqa: F401
    import h5py  # noqa: F401
    from pyarrow import parquet  # noqa: F401

    read_case(("bcolz", whole_store("bcolz"), ""))


def read_case(case: tuple[str, Mapping[str, bytes], str]) -> str:
    """What `Confined` runs: write the files, open them, read some rows; tells shape and dtype.

    Args:
        case: kind, files as of `whole_store`, and the name inside (`"::a,b"` or nothing).
    """
    kind, files, inside = case
    folder = Path(tempfile.mkdtemp())
    try:
        path = folder / f"x{SUFFIX[kind]}"
        for name, content in files.items():
            target = path / name if name else path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        store = open_store(f"{path}{inside}")
        count = store.num_rows
        rows = np.unique(np.array([0, min(7, count - 1), count // 2, count - 1] if count else [], np.int64))
        out = np.empty((len(rows), *store.row_shape), store.dtype)
        store.read_rows(rows, out)
        store.close()
        return f"{out.shape} {out.dtype}"
    finally:
        shutil.rmtree(folder, ignore_errors=True)
