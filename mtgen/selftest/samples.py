"""What the selftest loads: pictures and features that both carry the row they belong to, and a shuffled table.

Three numbers are kept apart on purpose: the row (place in the table), the index label (place in the stores, a
permutation of the rows) and the key. So code that takes one for another is found out.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mtgen.errors import PlanError

SIZE = (4, 6)
"""Height and width of the pictures, as stored and as delivered: nothing is resized, so every pixel is known."""

MOST_ROWS = 2**22
"""Up to here row + 0.75 is exact in float32, and the row fits the 24 bits of a pixel."""

LEAST_ROWS = 64
"""Enough for a few batches in every shape of run."""

WRITE_SECONDS = 300.0
"""Longest wait for a file of some MB to be written."""

_STEP = 699_051
"""Difference of neighbouring pixels, as 24-bit numbers: odd, so that pictures of all rows differ in every pixel."""

_FRACTIONS = np.array([0.0, 0.25, 0.5, 0.75], np.float32)


def pictures_of(rows: np.ndarray) -> np.ndarray:
    """The pictures of rows: uint8 `(n, height, width, 3)`. Pixel p holds the 24-bit number row + p * 699,051."""
    places = np.arange(SIZE[0] * SIZE[1], dtype=np.int64).reshape(SIZE)
    numbers = (rows[:, None, None] + places * _STEP) % 2**24
    return np.stack([numbers >> 16, numbers >> 8, numbers], axis=-1).astype(np.uint8)


def rows_in_pictures(pictures: np.ndarray) -> np.ndarray:
    """The row that each picture carries in its first pixel: int64 `(n,)`."""
    first = pictures[:, 0, 0].astype(np.int64)
    return (first[:, 0] << 16) + (first[:, 1] << 8) + first[:, 2]


def features_of(rows: np.ndarray) -> np.ndarray:
    """The features of rows: float32 `(n, 4)`, the row plus 0, 1/4, 1/2 and 3/4."""
    return rows.astype(np.float32)[:, None] + _FRACTIONS


def rows_in_features(features: np.ndarray) -> np.ndarray:
    """The row that each feature row carries in its first value: int64 `(n,)`; -1 where that is no number."""
    first = features[:, 0].astype(np.float64)
    return np.where(np.isfinite(first), np.floor(first), -1).astype(np.int64)


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A way to store the features.

    Args:
        title: for people, such as "HDF5".
        write: called with a path (without suffix), features and keys; returns what `mtgen.Rows` opens.
        package: what must be installed for it, or None.
    """

    title: str
    write: Callable[[Path, np.ndarray, np.ndarray], str]
    package: str | None = None

    @property
    def is_installed(self) -> bool:
        """Whether the package is there."""
        return self.package is None or importlib.util.find_spec(self.package) is not None


@dataclass(frozen=True, kw_only=True, eq=False)
class Samples:
    """The material of one selftest, on disk.

    Args:
        folder: where everything lies.
        table: columns imgpath, target (the row), row, key; the index labels are store rows.
        features: in the order of the stores.
        keys: likewise.
    """

    folder: Path
    table: pd.DataFrame
    features: np.ndarray
    keys: np.ndarray
    _written: dict[str, str] = field(default_factory=dict)

    def store(self, kind: Kind) -> str:
        """The features in a store of that kind; written when first asked for."""
        if kind.title not in self._written:
            name = "".join(letter if letter.isalnum() else "_" for letter in kind.title)
            self._written[kind.title] = kind.write(self.folder / name, self.features, self.keys)
        return self._written[kind.title]


def build(folder: Path, num_rows: int, shift_features: int = 0) -> Samples:
    """Write the pictures and make the table.

    Args:
        folder: an existing, empty folder.
        num_rows: rows of the table, in [64, 4,194,304].
        shift_features: store rows by which the features are wrong on purpose, while the keys stay right.

    Raises:
        PlanError: a number of rows outside the bounds.
    """
    if isinstance(num_rows, bool) or not isinstance(num_rows, int) or not LEAST_ROWS <= num_rows <= MOST_ROWS:
        raise PlanError(f"the selftest takes {LEAST_ROWS} to {MOST_ROWS:,} rows, received {num_rows!r}")
    from PIL import Image

    rng = np.random.default_rng(num_rows)
    rows = np.arange(num_rows)
    labels, keys = rng.permutation(num_rows), 10_000_000 + rng.permutation(num_rows)
    paths = [folder / "pictures" / f"{row % 100:02d}" / f"{row}.png" for row in range(num_rows)]
    for parent in {path.parent for path in paths}:
        parent.mkdir(parents=True, exist_ok=True)
    for start in range(0, num_rows, 4096):
        part = rows[start : start + 4096]
        for row, picture in zip(part.tolist(), pictures_of(part), strict=True):
            Image.fromarray(picture).save(paths[row], compress_level=1)
    table = pd.DataFrame({"imgpath": list(map(str, paths)), "target": rows, "row": rows, "key": keys}, index=labels)
    order = np.argsort(labels)  # store row -> row
    features = np.roll(features_of(order), shift_features, axis=0)
    return Samples(folder=folder, table=table, features=features, keys=keys[order])


def bcolz(chunk_rows: int) -> Kind:
    """A bcolz folder with that many rows per chunk."""

    def write(path: Path, features: np.ndarray, keys: np.ndarray) -> str:
        from mtgen.stores.bcolz_writer import write_bcolz

        path = path.with_suffix(".bcolz")
        return str(write_bcolz(path, features, chunk_rows=chunk_rows, keys=keys, key_name="key"))

    return Kind(title=f"bcolz in chunks of {chunk_rows:,}", write=write)


def npy() -> Kind:
    """A plain NumPy file."""

    def write(path: Path, features: np.ndarray, keys: np.ndarray) -> str:
        np.save(path.with_suffix(".npy"), features)
        np.save(path.with_suffix(".keys.npy"), keys)
        return str(path.with_suffix(".npy"))

    return Kind(title="npy", write=write)


def zarr(chunk_rows: int) -> Kind:
    """A Zarr v3 array, written and read by TensorStore."""

    def write(path: Path, features: np.ndarray, keys: np.ndarray) -> str:
        import tensorstore

        grid = {"name": "regular", "configuration": {"chunk_shape": [chunk_rows, features.shape[1]]}}
        codecs: list[dict[str, Any]] = [{"name": "zstd", "configuration": {"level": 1}}]
        made = tensorstore.open(
            {
                "driver": "zarr3",
                "kvstore": {"driver": "file", "path": str(path.with_suffix(".zarr"))},
                "metadata": {"chunk_grid": grid, "codecs": [{"name": "bytes"}, *codecs], "data_type": "float32"},
            },
            create=True,
            shape=features.shape,
        ).result(timeout=WRITE_SECONDS)
        made.write(features).result(timeout=WRITE_SECONDS)
        np.save(path.with_suffix(".keys.npy"), keys)
        return str(path.with_suffix(".zarr"))

    return Kind(title=f"Zarr in chunks of {chunk_rows:,}", write=write, package="tensorstore")


def hdf5(chunk_rows: int) -> Kind:
    """A chunked dataset in an HDF5 file, with its keys beside it."""

    def write(path: Path, features: np.ndarray, keys: np.ndarray) -> str:
        import h5py

        with h5py.File(path.with_suffix(".h5"), "w") as file:
            chunks = (min(chunk_rows, len(features)), features.shape[1])
            file.create_dataset("features", data=features, chunks=chunks, compression="gzip")
            file["key"] = keys
        return f"{path.with_suffix('.h5')}::features"

    return Kind(title=f"HDF5 in chunks of {chunk_rows:,}", write=write, package="h5py")


def parquet(group_rows: int) -> Kind:
    """A Parquet file with one column per feature, a column of keys, and several row groups."""

    def write(path: Path, features: np.ndarray, keys: np.ndarray) -> str:
        import pyarrow
        from pyarrow import parquet

        names = [f"feature_{place}" for place in range(features.shape[1])]
        columns = {name: features[:, place] for place, name in enumerate(names)}
        parquet.write_table(
            pyarrow.table({"key": keys, **columns}), path.with_suffix(".parquet"), row_group_size=group_rows
        )
        return f"{path.with_suffix('.parquet')}::{','.join(names)}"

    return Kind(title=f"Parquet in groups of {group_rows:,}", write=write, package="pyarrow")


def blosc2(chunk_rows: int) -> Kind:
    """A Blosc2 array file."""

    def write(path: Path, features: np.ndarray, keys: np.ndarray) -> str:
        import blosc2

        target = path.with_suffix(".b2nd")
        blosc2.asarray(features, urlpath=str(target), mode="w", chunks=(min(chunk_rows, len(features)), 4))
        np.save(path.with_suffix(".keys.npy"), keys)
        return str(target)

    return Kind(title=f"Blosc2 in chunks of {chunk_rows:,}", write=write, package="blosc2")
