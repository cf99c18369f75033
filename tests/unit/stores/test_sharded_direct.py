"""Large plain rows are read straight into the caller's buffer: what is wrong with them is found all the same."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mtgen.errors import StoreError
from mtgen.packing import layout as layouts
from mtgen.packing import pack
from mtgen.stores import open_store, sharded

ROWS = (np.arange(12 * 5_000) * 7919 % 97 + 1).reshape(12, 5_000).astype("f4")
STEP = 20_000 + 4


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(layouts, "SHARD_BYTES", 4 * 20_000)
    packed = pack(ROWS, tmp_path / "x.zarr", codec="none")
    assert (packed.layout.block_rows, packed.num_shards) == (1, 3)
    assert packed.layout.num_rows * 20_000 >= sharded.DIRECT_BYTES
    return tmp_path / "x.zarr"


def read(path: Path, rows: Any) -> np.ndarray:
    with open_store(path) as store:
        assert isinstance(store, sharded.ShardedStore)
        out = np.full((len(rows), 5_000), np.nan, "f4")
        store.read_rows(np.array(rows, np.int64), out)
        return out


@pytest.mark.parametrize("rows", [[], [3], [11, 0, 5, 5, 11, 4], range(12), range(11, -1, -1)])
def test_rows_in_any_order_also_twice(path: Path, rows: Any) -> None:
    np.testing.assert_array_equal(read(path, rows), ROWS[list(rows)])


@pytest.mark.parametrize("place", [0, 19_999, 20_000, 20_003])
def test_a_flipped_bit_in_row_or_checksum_is_found(path: Path, place: int) -> None:
    shard = path / "c/1/0"
    content = bytearray(shard.read_bytes())
    content[2 * STEP + place] ^= 4
    shard.write_bytes(content)
    np.testing.assert_array_equal(read(path, [4, 5, 7]), ROWS[[4, 5, 7]])
    with pytest.raises(
        StoreError, match=r"block 2 of shard file .*c/1/0 is broken: its checksum is wrong; it holds store rows 6 to 6"
    ):
        read(path, [4, 6, 5])


def test_a_lost_shard_is_an_error(path: Path) -> None:
    (path / "c/1/0").unlink()
    with pytest.raises(StoreError, match=r"c/1/0"):
        read(path, [4])


def test_a_shard_that_is_cut_while_it_is_open(path: Path) -> None:
    with open_store(path) as store:
        out = np.empty((1, 5_000), "f4")
        store.read_rows(np.array([4]), out)
        os.truncate(path / "c/1/0", 3 * STEP)
        store.read_rows(np.array([6]), out)
        with pytest.raises(StoreError, match="is broken: it ends"):
            store.read_rows(np.array([7]), out)


@pytest.mark.skipif(not hasattr(os, "preadv"), reason="this system has no preadv")
@pytest.mark.parametrize("most", [1, 7_000, 20_001])
def test_reads_that_give_less_are_completed(path: Path, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    preadv = os.preadv

    def less(descriptor: int, buffers: Any, offset: int) -> int:
        views = [memoryview(one)[:most] for one in buffers]
        return preadv(descriptor, views[:1], offset)

    monkeypatch.setattr(os, "preadv", less)
    np.testing.assert_array_equal(read(path, [9, 1]), ROWS[[9, 1]])


def test_a_system_without_preadv_reads_the_same(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "preadv", raising=False)
    np.testing.assert_array_equal(read(path, [9, 1, 1]), ROWS[[9, 1, 1]])


@pytest.mark.skipif(not hasattr(os, "preadv"), reason="this system has no preadv")
def test_a_disk_that_fails_is_a_store_error_and_the_next_read_works(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_store(path) as store:
        out = np.empty((2, 5_000), "f4")
        store.read_rows(np.array([0, 4]), out)
        with monkeypatch.context() as broken:

            def fail(*given: Any) -> Any:
                raise OSError(errno.EIO, "broken disk")

            broken.setattr(os, "preadv", fail)
            broken.setattr(os, "pread", fail)
            with pytest.raises(StoreError, match="broken disk") as caught:
                store.read_rows(np.array([0, 4]), out)
            assert isinstance(caught.value.__cause__, OSError)
        store.read_rows(np.array([0, 4]), out)
        np.testing.assert_array_equal(out, ROWS[[0, 4]])
