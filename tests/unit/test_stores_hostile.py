"""Stores made to hurt: lying sizes, pipes for files, ways out of the folder, headers that are little programs.

Each is a `StoreError` that names the place, before memory is taken; nothing outside is read.
"""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import mtgen
from mtgen.errors import MtgenError, StoreError
from mtgen.stores import open_store
from mtgen.stores.bcolz import BcolzStore
from tests.support.hostile_stores import VALUES, carray

PIPES = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes in folders")


def rows_of(source: Any) -> np.ndarray:
    """Open, read first and last row, close."""
    store = open_store(source)
    out = np.empty((2, *store.row_shape), store.dtype)
    store.read_rows(np.array([0, store.num_rows - 1]), out)
    store.close()
    return out


def change(path: Path, **fields: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


DEEP = "[" * 200_000
SIZES = {
    "negative": '{"shape": [-1, 4]}',
    "float": '{"shape": [30.0, 4]}',
    "bool": '{"shape": [true, 4]}',
    "text": '{"shape": ["30", 4]}',
    "number": '{"shape": 30}',
    "null": '{"shape": null}',
    "none": '{"shape": []}',
    "more rows than chunks": '{"shape": [31000, 4]}',
    "longer rows": '{"shape": [30, 5]}',
    "rows of 2**61": '{"shape": [30, 2305843009213693952]}',
    "2**61 rows": '{"shape": [2305843009213693952, 4]}',
    "2**200 rows": f'{{"shape": [{2**200}, 4]}}',
    "4,000 digits": f'{{"shape": [30, {10**4000}, {10**4000}]}}',
    "more digits than Python reads": f'{{"shape": [30, 1{"0" * 5000}]}}',
    "NaN": '{"shape": [NaN, 4]}',
    "Infinity": '{"shape": [Infinity, 4]}',
    "two shapes, the last one counts": '{"shape": [30, 4], "shape": [-5]}',
    "deep": DEEP,
    "deep inside": '{"shape": ' + DEEP,
    "no object": "[30, 4]",
    "half": '{"shape": [30',
    "nothing": "",
    "zeros": "\0" * 100,
    "a thousand axes": f'{{"shape": [30, {", ".join("1" * 1000)}]}}',
}
STORAGE = {
    "no rows per chunk": {"chunklen": 0},
    "negative": {"chunklen": -8},
    "float": {"chunklen": 8.0},
    "bool": {"chunklen": True},
    "text": {"chunklen": "8"},
    "other than the chunks": {"chunklen": 9},
    "2**40": {"chunklen": 2**40},
    "2**80": {"chunklen": 2**80},
    "list": {"chunklen": [8]},
    "object": {"dtype": "O"},
    "object with length": {"dtype": "|O8"},
    "record": {"dtype": "[('a', 'f4'), ('b', 'O')]"},
    "records by commas": {"dtype": "f4,O"},
    "array inside": {"dtype": "(2,)f4"},
    "void": {"dtype": "V4"},
    "nothing": {"dtype": ""},
    "null": {"dtype": None},
    "number": {"dtype": 4},
    "call": {"dtype": "__import__('os').system('true')"},
    "deep": {"dtype": "(" * 5000 + "f4"},
    "2 GiB per value": {"dtype": "S2147483647"},
    "beyond counting": {"dtype": "S99999999999999999999"},
    "zero bytes": {"dtype": "S0"},
    "list of dtypes": {"dtype": ["f4"]},
    "long": {"dtype": "f4" * 100_000},
}


@pytest.mark.parametrize("name", SIZES)
def test_a_lying_sizes_file_is_refused_with_a_short_text(tmp_path, name):
    folder = carray(tmp_path / "x.bcolz")
    (folder / "meta" / "sizes").write_text(SIZES[name])
    for opener in (BcolzStore, rows_of):
        with pytest.raises(StoreError) as caught:
            opener(folder)
        assert len(str(caught.value)) < 1500
        assert "x.bcolz" in str(caught.value)


@pytest.mark.parametrize("name", STORAGE)
def test_a_lying_storage_file_is_refused_with_a_short_text(tmp_path, name):
    folder = carray(tmp_path / "x.bcolz")
    change(folder / "meta" / "storage", **STORAGE[name])
    for opener in (BcolzStore, rows_of):
        with pytest.raises(StoreError) as caught:
            opener(folder)
        assert len(str(caught.value)) < 1500


def test_fields_that_are_not_needed_decide_nothing(tmp_path):
    folder = carray(tmp_path / "x.bcolz")
    change(
        folder / "meta" / "storage",
        expectedlen=-(2**70),
        cparams="cos\nsystem\n(S'true'\ntR.",
        dflt={"py/object": "os.system"},
    )
    change(folder / "meta" / "sizes", nbytes="many", cbytes=-1)
    np.testing.assert_array_equal(rows_of(folder), VALUES[[0, -1]])


@pytest.mark.parametrize("attributes", ["[]", "1", DEEP, '{"mtgen_key": {"a": 1}}', '{"mtgen_key": ["key"]}', "{"])
def test_broken_attributes_are_refused(tmp_path, attributes):
    table = tmp_path / "t.bcolz"
    carray(table / "a")
    (table / "__rootdirs__").write_text('{"names": ["a"]}')
    (table / "__attrs__").write_text(attributes)
    with pytest.raises(StoreError):
        open_store(table)


@pytest.mark.parametrize(
    "names",
    [
        ["../outside"],
        ["/etc"],
        [".."],
        ["."],
        [""],
        ["a/../../outside"],
        ["a\\b"],
        ["a\0b"],
        ["a\ud800"],
        [1],
        [None],
        [["a"]],
        "a",
        {"a": 1},
        None,
        ["a", "missing"],
        ["x" * 5000],
    ],
    ids=repr,
)
def test_column_names_that_lead_elsewhere_are_refused(tmp_path, names):
    carray(tmp_path / "outside")
    table = tmp_path / "t.bcolz"
    carray(table / "a")
    (table / "__rootdirs__").write_text(json.dumps({"names": names}))
    with pytest.raises(StoreError):
        open_store(f"{table}::a" if names == ["a", "missing"] else table)


def test_a_column_that_is_a_link_out_of_the_table_was_followed(tmp_path):
    outside = carray(tmp_path / "outside")
    table = tmp_path / "t.bcolz"
    table.mkdir()
    (table / "a").symlink_to(outside)
    (table / "__rootdirs__").write_text('{"names": ["a"]}')
    with pytest.raises(
        StoreError, match=r"column 'a' is a link that leads out of the table, to .*outside; if that is meant"
    ):
        open_store(table)
    np.testing.assert_array_equal(rows_of(outside), VALUES[[0, -1]])


def test_a_table_reached_by_a_link_is_read(tmp_path):
    """The way to a store may be a link; only what lies inside may not lead out."""
    carray(tmp_path / "real" / "a")
    (tmp_path / "real" / "__rootdirs__").write_text('{"names": ["a"]}')
    (tmp_path / "link").symlink_to(tmp_path / "real")
    np.testing.assert_array_equal(rows_of(tmp_path / "link"), VALUES[[0, -1]])


@PIPES
@pytest.mark.parametrize("name", ["meta/sizes", "meta/storage", "__attrs__"])
def test_a_pipe_in_place_of_a_bcolz_file_was_waited_for(tmp_path, name):
    folder = carray(tmp_path / "x.bcolz")
    (folder / name).unlink()
    os.mkfifo(folder / name)
    with pytest.raises(StoreError, match="no regular file"):
        open_store(folder)


@PIPES
@pytest.mark.parametrize(
    "name", ["x.npy", "x.h5", "x.parquet", "x.b2nd", "x.zarr/zarr.json", "x.zarr/.zarray", "x/__rootdirs__"]
)
def test_a_pipe_in_place_of_any_store_was_waited_for(tmp_path, name):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    os.mkfifo(tmp_path / name)
    with pytest.raises(StoreError, match="no regular file"):
        open_store(tmp_path / name.split("/")[0])


@pytest.mark.parametrize("name", ["meta/sizes", "meta/storage", "data/__0.blp", "data/__3.blp", "__attrs__"])
@pytest.mark.parametrize("damage", ["folder", "loop", "dangling", "device"])
def test_what_is_no_file_is_an_error(tmp_path, name, damage):
    folder = carray(tmp_path / "x.bcolz")
    target = folder / name
    target.unlink()
    if damage == "folder":
        target.mkdir()
    else:
        target.symlink_to({"loop": target, "dangling": tmp_path / "nowhere", "device": "/dev/null"}[damage])
    if (name, damage) == ("__attrs__", "dangling") or (name, damage) == ("__attrs__", "loop"):
        rows_of(folder)  # attributes may be missing
        return
    with pytest.raises(StoreError):
        rows_of(folder)


def header_cases() -> dict[str, bytes]:
    """Every byte of the two headers of a chunk, set to four values."""
    from numcodecs import blosc

    whole = b"blpk\x01\0\0\0" + struct.pack("<q", 1) + blosc.compress(VALUES[:8], b"lz4", 5, 1)
    cases = {}
    for place in range(32):
        for value in (0, 1, 0x7F, 0xFF):
            cases[f"{place}={value}"] = whole[:place] + bytes([value]) + whole[place + 1 :]
    return cases


def test_every_byte_of_a_chunk_header_may_lie(tmp_path):
    """Refused, or read as before; never another number of bytes, never a byte outside the buffer."""
    store = BcolzStore(carray(tmp_path / "x.bcolz"))
    guarded = np.full(8 * 4 + 64, 7.0, "f4")
    out = guarded[32:-32].reshape(8, 4)
    changed = []
    for name, data in header_cases().items():
        store.chunk_path(0).write_bytes(data)
        try:
            store.read_rows(np.arange(8), out)
        except StoreError:
            continue
        if not np.array_equal(out, VALUES[:8]):
            changed.append(name)
        assert (guarded[:32] == 7).all()
        assert (guarded[-32:] == 7).all()
    assert all(16 < int(name.split("=")[0]) < 20 for name in changed), (
        "only the codec's own version, flags and typesize"
    )


def npy(header: bytes, version: int = 1) -> bytes:
    length = struct.pack("<H" if version == 1 else "<I", len(header))
    return b"\x93NUMPY" + bytes([version, 0]) + length + header


NPY = {
    "object": b"{'descr': '|O', 'fortran_order': False, 'shape': (3,), }",
    "hidden object": b"{'descr': [('a', '|O')], 'fortran_order': False, 'shape': (3,), }",
    "huge": b"{'descr': '<f4', 'fortran_order': False, 'shape': (%d, 4), }" % 2**60,
    "overflowing": b"{'descr': '<f4', 'fortran_order': False, 'shape': (%d, %d), }" % (2**32, 2**32),
    "beyond 64 bits": b"{'descr': '<f4', 'fortran_order': False, 'shape': (%d,), }" % 2**80,
    "empty and huge": b"{'descr': '<f4', 'fortran_order': False, 'shape': (0, %d, %d), }" % (2**62, 2**62),
    "object and huge": b"{'descr': '|O', 'fortran_order': False, 'shape': (3, %d, %d), }" % (2**62, 2**62),
    "negative": b"{'descr': '<f4', 'fortran_order': False, 'shape': (-3, 4), }",
    "two negatives": b"{'descr': '<f4', 'fortran_order': False, 'shape': (-1, -16), }",
    "float": b"{'descr': '<f4', 'fortran_order': False, 'shape': (3.0,), }",
    "call": b"{'descr': __import__('os').system('true'), 'fortran_order': False, 'shape': (3,), }",
    "sum": b"{'descr': '<f4', 'fortran_order': False, 'shape': (10**10**10,), }",
    "deep": b"(" * 5000,
    "signs": b"-" * 9000 + b"1",
    "deep list": b"[" * 150 + b"]" * 150,
    "million digits": b"{'descr': '<f4', 'fortran_order': False, 'shape': (" + b"9" * 9000 + b",), }",
    "missing": b"{'descr': '<f4'}",
    "extra": b"{'descr': '<f4', 'fortran_order': False, 'shape': (3,), 'x': 1}",
    "no dict": b"[1, 2, 3]",
    "long": b" " * 60_000 + b"{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }",
    "bytes": b"\xff\xfe\0" * 30,
}


@pytest.mark.parametrize("version", [1, 2, 3, 9])
@pytest.mark.parametrize("name", NPY)
def test_npy_headers_that_are_little_programs_are_refused(tmp_path, name, version):
    (tmp_path / "x.npy").write_bytes(npy(NPY[name], version) + bytes(64))
    with pytest.raises(StoreError) as caught:
        rows_of(tmp_path / "x.npy")
    assert len(str(caught.value)) < 1500


def hdf5_elsewhere(folder: Path, kind: str) -> Path:
    """An HDF5 file whose only values lie in another file."""
    h5py = pytest.importorskip("h5py")
    (folder / "secret.bin").write_bytes(VALUES.tobytes())
    with h5py.File(folder / "other.h5", "w") as file:
        file["x"] = VALUES
    with h5py.File(folder / "a.h5", "w") as file:
        if kind == "external storage":
            file.create_dataset("x", VALUES.shape, "f4", external=[(str(folder / "secret.bin"), 0, h5py.h5f.UNLIMITED)])
        elif kind == "virtual dataset":
            layout = h5py.VirtualLayout(VALUES.shape, "f4")
            layout[:] = h5py.VirtualSource(str(folder / "other.h5"), "x", VALUES.shape)
            file.create_virtual_dataset("x", layout)
        elif kind == "external link":
            file["x"] = h5py.ExternalLink(str(folder / "other.h5"), "x")
        else:
            file["x"] = h5py.SoftLink("/x")
    return folder / "a.h5"


@pytest.mark.parametrize("kind", ["external storage", "virtual dataset"])
def test_hdf5_values_in_other_files_were_read(tmp_path, kind):
    h5py = pytest.importorskip("h5py")
    path = hdf5_elsewhere(tmp_path, kind)
    for source in (path, f"{path}::x"):
        with pytest.raises(StoreError, match=r"the values lie in other files .*open the dataset by h5py and pass it"):
            rows_of(source)
    with h5py.File(path) as file:  # whoever opens it says that it is meant
        np.testing.assert_array_equal(rows_of(file["x"]), VALUES[[0, -1]])


@pytest.mark.parametrize("kind", ["external link", "soft link to itself"])
def test_hdf5_links_are_not_followed(tmp_path, kind):
    path = hdf5_elsewhere(tmp_path, kind)
    for source in (path, f"{path}::x"):
        with pytest.raises(StoreError, match="has no"):
            rows_of(source)


@pytest.mark.parametrize(
    "changes",
    [
        {"shape": [2**62, 4], "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [2**61, 4]}}},
        {"shape": [2**70, 4]},
        {"shape": [-1, 4]},
        {"shape": "many"},
        {"chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [0, 4]}}},
        {"data_type": "object"},
        {"data_type": {"name": "struct", "configuration": {"fields": []}}},
        {"codecs": [{"name": "pickle"}]},
        {"codecs": [{"name": "sharding_indexed", "configuration": {"chunk_shape": [0, 0]}}]},
        {"kvstore": {"driver": "file", "path": "/etc/"}, "chunk_key_encoding": {"name": "/etc/passwd"}},
        {"chunk_key_encoding": {"name": "default", "configuration": {"separator": "/../../"}}},
        {"storage_transformers": [{"name": "kvstore", "configuration": {"url": "file:///etc/"}}]},
        {"node_type": "array", "zarr_format": 99},
        {"attributes": {"mtgen_key": ["a"]}, "node_type": "group"},
    ],
    ids=lambda changes: ",".join(changes),
)
def test_zarr_metadata_that_lies_is_refused(tmp_path, changes):
    folder = tmp_path / "x.zarr"
    folder.mkdir()
    plain = {
        "zarr_format": 3,
        "node_type": "array",
        "shape": [30, 4],
        "data_type": "float32",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [8, 4]}},
        "chunk_key_encoding": {"name": "default"},
        "fill_value": 0,
        "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}],
        "attributes": {},
    }
    (folder / "zarr.json").write_text(json.dumps(plain))
    assert rows_of(folder).shape == (2, 4)
    (folder / "zarr.json").write_text(json.dumps(plain | changes))
    with pytest.raises(StoreError):
        rows_of(folder)
    (folder / "zarr.json").write_text(DEEP)
    with pytest.raises(StoreError, match="no JSON"):
        rows_of(folder)


def b2nd(folder: Path) -> bytes:
    blosc2 = pytest.importorskip("blosc2")
    blosc2.asarray(VALUES, urlpath=str(folder / "x.b2nd"), chunks=(10, 4), blocks=(5, 4), mode="w")
    return (folder / "x.b2nd").read_bytes()


def test_a_blosc2_shape_that_its_chunks_cannot_hold_was_walked_for_ever(tmp_path):
    """Found by fuzzing: one byte of the shape, and a read of one row did not come back, with the GIL held."""
    whole = b2nd(tmp_path)
    place = whole.index(struct.pack(">Bq", 0xD3, 30))
    for rows, width in ((2**48 + 30, 4), (30, 2**40), (31000, 4), (1, 4)):
        axes = struct.pack(">BqBq", 0xD3, rows, 0xD3, width)
        (tmp_path / "y.b2nd").write_bytes(whole[:place] + axes + whole[place + 18 :])
        with pytest.raises(StoreError, match=r"contradicts itself|cannot open it"):
            open_store(tmp_path / "y.b2nd")


def test_parquet_errors_of_a_kind_of_their_own_came_through(tmp_path):
    """Found by fuzzing: `pyarrow.lib.ArrowException`, neither an OSError nor a ValueError, from a text of no UTF-8."""
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "x.parquet"
    parquet.write_table(
        pyarrow.table({"t": [f"x{row}" for row in range(30)]}), path, compression=None, use_dictionary=False
    )
    path.write_bytes(path.read_bytes().replace(b"x13", b"x\xff\xff"))
    with pytest.raises(StoreError):
        rows_of(f"{path}::t")


def test_hostile_stores_end_a_dataset_with_an_mtgen_error(tmp_path):
    folder = carray(tmp_path / "x.bcolz")
    change(folder / "meta" / "sizes", shape=[2**61, 4])
    with pytest.raises(MtgenError):
        mtgen.Dataset(pd.DataFrame({"a": range(30)}), inputs={"x": mtgen.Rows(folder)})
