"""Stores that are read by our own reader of shards, against the one suite that all stores must pass."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mtgen.packing import layout as layouts
from mtgen.packing import pack
from mtgen.stores import open_store
from mtgen.stores.sharded import ShardedStore
from mtgen.stores.sparse import SparseStore
from mtgen.testing import StoreContract
from tests.support.packed import write_zarr

DTYPES = ("float32", "float64", "float16", "uint8", "int64", "bool", ">i4")


class Packed(StoreContract):
    dtypes = DTYPES
    codec: Any = "none"
    block_rows: int | None = 2
    kind: type = ShardedStore

    @pytest.fixture(autouse=True)
    def _small_shards(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(layouts, "SHARD_BYTES", 100)

    def make(self, tmp_path: Path, array: np.ndarray) -> Path:
        pack(array, tmp_path / "x.zarr", codec=self.codec, block_rows=self.block_rows)
        return tmp_path / "x.zarr"

    def test_it_is_our_own_reader(self, tmp_path: Path) -> None:
        store, _ = self._open(tmp_path)
        assert type(store) is self.kind
        store.close()


class TestPackedPlain(Packed):
    pass


class TestPackedRowByRow(Packed):
    block_rows = 1


class TestPackedLz4(Packed):
    codec = "lz4"


class TestPackedZstd(Packed):
    codec = "zstd"
    block_rows = 5


class TestPackedSparse(Packed):
    codec = "sparse"
    block_rows = None
    kind = SparseStore


class TestPackedSparseByPieces(TestPackedSparse):
    """As for stores whose ends of rows do not fit in memory, and whose requests take more than one piece."""

    @pytest.fixture(autouse=True)
    def _pieces(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("mtgen.stores.sparse.HELD_BYTES", 0)
        monkeypatch.setattr("mtgen.stores.sparse.PIECE_BYTES", 30_000)


class TestIndexOnDisk(TestPackedLz4):
    """As for stores whose indexes do not fit in memory."""

    @pytest.fixture(autouse=True)
    def _nothing_held(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("mtgen.stores.shard_index.HELD_BYTES", 60)


class TestFewOpenFiles(Packed):
    @pytest.fixture(autouse=True)
    def _few_files(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("mtgen.stores.shard_files.MOST_FILES", 2)
        monkeypatch.setattr("mtgen.stores.sharded.FEW_BLOCKS", 2)


class TestWrittenByZarr(StoreContract):
    dtypes = ("float32", "float64", "uint8", "int64", "bool")
    codec = "none"

    def make(self, tmp_path: Path, array: np.ndarray) -> Path:
        pytest.importorskip("zarr")
        path = write_zarr(tmp_path / "x.zarr", array, 2, 10, self.codec)
        store = open_store(path)
        assert type(store) is ShardedStore
        store.close()
        return path


class TestWrittenByZarrBlosc(TestWrittenByZarr):
    codec = "blosc"


class TestWrittenByZarrZstd(TestWrittenByZarr):
    codec = "zstd"
