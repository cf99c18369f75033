"""Stores that an attack broke: each is refused with a StoreError, before memory is taken, and nothing hangs."""

import json
import os
import tracemalloc

import numpy as np
import pytest

from mtgen.errors import StoreError
from mtgen.stores import open_store


def test_a_zarr_that_claims_huge_chunks_ended_the_process(tmp_path):
    folder = tmp_path / "huge.zarr"
    folder.mkdir()
    metadata = {
        "zarr_format": 2,
        "shape": [10**9],
        "chunks": [10**9],
        "dtype": "<f8",
        "compressor": None,
        "fill_value": 0,
        "order": "C",
        "filters": None,
    }
    (folder / ".zarray").write_text(json.dumps(metadata))
    with pytest.raises(StoreError, match=r"chunks of 8,000,000,000 bytes.*smaller chunks"):
        open_store(folder)


def test_a_zarr_group_of_links_that_lead_in_a_circle_is_listed_once(tmp_path):
    zarr = pytest.importorskip("zarr")
    group = zarr.open_group(str(tmp_path / "g.zarr"), mode="w", zarr_format=2)
    group.create_array("x", data=np.arange(6.0).reshape(3, 2))
    os.symlink(".", tmp_path / "g.zarr" / "a")
    os.symlink(".", tmp_path / "g.zarr" / "b")
    assert open_store(tmp_path / "g.zarr").num_rows == 3


def test_an_npy_header_of_objects_takes_no_memory(tmp_path):
    path = tmp_path / "objects.npy"
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|O", "fortran_order": False, "shape": (10**9,)})
    tracemalloc.start()
    try:
        with pytest.raises(StoreError, match="object"):
            open_store(path)
        assert tracemalloc.get_traced_memory()[1] < 2**22
    finally:
        tracemalloc.stop()


def test_an_npy_header_of_brackets_is_a_store_error(tmp_path):
    path = tmp_path / "brackets.npy"
    text = b"(" * 5000 + b"\n"
    path.write_bytes(b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text)
    with pytest.raises(StoreError):
        open_store(path)


def test_deeply_nested_json_is_a_store_error(tmp_path):
    folder = tmp_path / "deep.zarr"
    folder.mkdir()
    (folder / ".zarray").write_text("[" * 100_000)
    with pytest.raises(StoreError):
        open_store(folder)


def test_hdf5_keys_named_by_bytes_were_dropped(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["x"] = np.arange(6.0).reshape(3, 2)
        file["ids"] = np.array([7, 8, 9])
        file.attrs["mtgen_key"] = np.bytes_("ids")
    store = open_store(f"{tmp_path / 'x.h5'}::x")
    assert store.key_name == "ids"
    assert store.keys.num_rows == 3


def test_keys_of_two_axes_were_dropped(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["x"] = np.arange(6.0).reshape(3, 2)
        file["key"] = np.array([[7], [8], [9]])
    with pytest.raises(StoreError, match=r"'key' lies beside the rows as keys do, but is \(3, 1\)"):
        open_store(f"{tmp_path / 'x.h5'}::x")
