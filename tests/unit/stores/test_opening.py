"""What `open_store` takes, and what it says about everything else."""

import copy
import errno
import mmap
import os
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest

from mtgen.errors import StoreError
from mtgen.stores import open_store
from mtgen.stores.bcolz_writer import write_bcolz, write_bcolz_table
from mtgen.stores.zarr import CONTEXT
from mtgen.testing.stores import check_rows, sample_array

ARRAY = sample_array((23, 3), "float32")
ALL = np.arange(23)


def refused(*arguments, **options):
    with pytest.raises(StoreError) as caught:
        open_store(*arguments, **options)
    return str(caught.value)


def test_missing_path_lists_the_folder(tmp_path):
    np.save(tmp_path / "features.npy", ARRAY)
    text = refused(tmp_path / "feature.npy")
    assert "there is no such path" in text
    assert "'features.npy'" in text


def test_missing_folder(tmp_path):
    assert "not even the folder" in refused(tmp_path / "a" / "b.npy")


def test_folder_that_is_no_store(tmp_path):
    (tmp_path / "picture.png").write_bytes(b"x")
    text = refused(tmp_path)
    assert "'picture.png'" in text
    assert "expected a bcolz carray" in text


def test_empty_folder(tmp_path):
    assert "it has nothing in it, expected a bcolz carray" in refused(tmp_path)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "an empty file"),
        (b"id,path\n1,a.png\n", "starts with b'id,path\\n', expected a .npy"),
        (b"PK\x03\x04rest", "zip archive"),
        (b"\x93NUMPY", "no whole .npy file"),
        (b"\x93NUMPY\x01\x00garbage", "no whole .npy file"),
        (b"\x93NUMPY\x09\x00garbage", "no whole .npy file"),
        (b"PAR1garbage", "pyarrow cannot open it"),
        (b"\x89HDF\r\n\x1a\ngarbage", "h5py cannot open it"),
        (b"\x9e\xa8b2frame\x00garbage", "blosc2 cannot open it"),
    ],
)
def test_garbage_files(tmp_path, content, says):
    for package in ("pyarrow", "h5py", "blosc2"):
        if says.startswith(package):
            pytest.importorskip(package)
    path = tmp_path / "x.npy"
    path.write_bytes(content)
    text = refused(path)
    assert says in text
    assert str(path) in text


@pytest.mark.parametrize("cut", [1, 100, 270])
def test_truncated_npy(tmp_path, cut):
    np.save(tmp_path / "x.npy", ARRAY)
    content = (tmp_path / "x.npy").read_bytes()
    (tmp_path / "x.npy").write_bytes(content[:-cut])
    assert f"{len(content) - cut} bytes on disk" in refused(tmp_path / "x.npy")


def test_npy_of_objects(tmp_path):
    np.save(tmp_path / "x.npy", np.array([1, "a"], dtype=object))
    assert "unpickling runs code" in refused(tmp_path / "x.npy")


def test_object_array():
    assert "unpickling runs code" in refused(np.array([1, "a"], dtype=object))


def test_structured_dtype():
    assert "an array of its own" in refused(np.zeros(3, [("x", "i4")]))


@pytest.mark.parametrize("value", [np.float32(3), np.array(3.0)])
def test_no_row_axis(value):
    assert "no axes" in refused(np.asarray(value))


def test_no_row_axis_in_a_file(tmp_path):
    np.save(tmp_path / "x.npy", np.array(3.0))
    assert "no axes" in refused(tmp_path / "x.npy")


@pytest.mark.parametrize("source", [3, None, [1, 2], {"a": 1}])
def test_no_array_at_all(source):
    assert "expected a path, a URL, or an object with shape" in refused(source)


def test_masked_array():
    assert "masked" in refused(np.ma.masked_array([1.0, 2.0], [True, False]))


def test_pandas_is_looked_up_by_label():
    pandas = pytest.importorskip("pandas")
    assert ".to_numpy()" in refused(pandas.Series([1.0, 2.0]))


def test_array_like_of_foreign_dtype():
    class Tensor:
        shape, dtype = (3,), "torch.float32"

        def __getitem__(self, rows):
            return [0]

    assert "'torch.float32', expected a NumPy dtype" in refused(Tensor())


def test_array_like_that_breaks_its_promise():
    class Liar:
        shape, dtype = (3, 2), np.dtype("float32")

        def __getitem__(self, rows):
            return np.zeros((1, 2), "float64")

    assert "gave (1, 2) float64" in refused(Liar())


def test_array_like_that_raises_names_the_cause():
    class Broken:
        shape, dtype = (3, 2), np.dtype("float32")

        def __getitem__(self, rows):
            raise KeyError("gone")

    assert "KeyError: 'gone'" in refused(Broken())


def test_file_url(tmp_path):
    np.save(tmp_path / "a b.npy", ARRAY)
    store = open_store((tmp_path / "a b.npy").as_uri())
    check_rows(store, ARRAY, ALL)


def test_double_colon_in_a_folder_name(tmp_path):
    np.save(tmp_path / "a::b.npy", ARRAY)
    check_rows(open_store(tmp_path / "a::b.npy"), ARRAY, ALL)


@pytest.mark.parametrize("tail", ["::", "::x"])
def test_name_inside_a_single_array(tmp_path, tail):
    np.save(tmp_path / "x.npy", ARRAY)
    assert "::" in refused(f"{tmp_path / 'x.npy'}{tail}")


def test_relative_path_pickles_to_another_folder(tmp_path, monkeypatch):
    np.save(tmp_path / "x.npy", ARRAY)
    monkeypatch.chdir(tmp_path)
    frozen = pickle.dumps(open_store("x.npy"))
    monkeypatch.chdir("/")
    check_rows(pickle.loads(frozen), ARRAY, ALL)


def test_pickled_store_that_changed_meanwhile(tmp_path):
    np.save(tmp_path / "x.npy", ARRAY)
    frozen = pickle.dumps(open_store(tmp_path / "x.npy"))
    np.save(tmp_path / "x.npy", ARRAY[:5])
    with pytest.raises(StoreError, match=r"changed since it was pickled.*23.*5"):
        pickle.loads(frozen)


def test_store_passes_through_and_copies(tmp_path):
    store = open_store(ARRAY)
    assert open_store(store) is store
    twin = open_store(store, keys=ALL)
    assert store.keys is None
    check_rows(twin.keys, ALL, ALL)
    check_rows(copy.copy(twin), ARRAY, ALL)
    with pytest.raises(StoreError, match="5 keys"):
        open_store(store, keys=ALL[:5])


def test_empty_arrays(tmp_path):
    np.save(tmp_path / "x.npy", ARRAY[:0])
    write_bcolz(tmp_path / "x.bcolz", ARRAY[:0])
    for source in (tmp_path / "x.npy", tmp_path / "x.bcolz", ARRAY[:0]):
        store = open_store(source)
        assert (store.num_rows, store.row_shape) == (0, (3,))
        store.read_rows(np.empty(0, np.int64), np.empty((0, 3), "float32"))
        with pytest.raises(StoreError, match="has no rows"):
            store.read_rows(np.array([0]), np.empty((1, 3), "float32"))


def test_rows_that_are_no_whole_numbers():
    store = open_store(ARRAY)
    for rows in (np.array([0.0]), np.array([[0]]), np.array([True])):
        with pytest.raises(StoreError, match="expected int64"):
            store.read_rows(rows, np.empty((1, 3), "float32"))


def test_with_statement(tmp_path):
    np.save(tmp_path / "x.npy", ARRAY)
    with open_store(tmp_path / "x.npy") as store:
        check_rows(store, ARRAY, ALL)
    with pytest.raises(StoreError, match="closed"):
        check_rows(store, ARRAY, ALL)


def test_missing_package_says_what_to_install(tmp_path, monkeypatch):
    (tmp_path / "x.h5").write_bytes(b"\x89HDF\r\n\x1a\n")
    monkeypatch.setitem(sys.modules, "h5py", None)
    text = refused(tmp_path / "x.h5")
    assert "pip install 'mtgen[hdf5]'" in text


def test_table_with_several_columns_must_be_named(tmp_path):
    path = write_bcolz_table(tmp_path / "t.bcolz", {"a": ARRAY, "b": ARRAY, "c": ALL})
    text = refused(path)
    assert "'a' (23, 3), 'b' (23, 3), 'c' (23,)" in text
    assert f'"{path}::a"' in text
    assert "has no 'd', it has 'a'" in refused(f"{path}::d")
    check_rows(open_store(f"{path}::c"), ALL, ALL)


def test_table_with_one_wide_column_needs_no_name(tmp_path):
    path = write_bcolz_table(tmp_path / "t.bcolz", {"a": ALL, "b": ARRAY, "c": ALL})
    check_rows(open_store(path), ARRAY, ALL)


def test_hdf5_datasets(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["train/x"] = ARRAY
        file["train/key"] = ALL
        file["text"] = ["a", "bc"]
        file["scalar"] = 3.0
    store = open_store(f"{tmp_path / 'x.h5'}::train/x")
    assert store.key_name == "key"
    check_rows(store.keys, ALL, ALL)
    assert "text of any length" in refused(f"{tmp_path / 'x.h5'}::text")
    assert "no axes" in refused(f"{tmp_path / 'x.h5'}::scalar")
    check_rows(open_store(tmp_path / "x.h5"), ARRAY, ALL)  # the only array of several axes


def test_hdf5_with_a_user_block(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "x.h5", "w", userblock_size=512) as file:
        file["x"] = ARRAY
    check_rows(open_store(tmp_path / "x.h5"), ARRAY, ALL)


def test_hdf5_object_of_a_closed_file(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["x"] = ARRAY
        store = open_store(file["x"])
    with pytest.raises(StoreError, match="may be closed"):
        check_rows(store, ARRAY, ALL)


def test_zarr_group(tmp_path):
    zarr = pytest.importorskip("zarr")
    group = zarr.create_group(str(tmp_path / "g.zarr"), attributes={"mtgen_key": "ids"})
    for name, array in {"x": ARRAY, "ids": ALL}.items():
        group.create_array(name, shape=array.shape, dtype=array.dtype, chunks=(5, *array.shape[1:]))[...] = array
    store = open_store(tmp_path / "g.zarr")
    check_rows(store, ARRAY, ALL)
    assert store.key_name == "ids"
    check_rows(store.keys, ALL, ALL)


def test_zarr_of_text_says_what_to_do(tmp_path):
    zarr = pytest.importorskip("zarr")
    zarr.create_array(str(tmp_path / "x.zarr"), shape=(2,), dtype="U3", zarr_format=2)
    text = refused(tmp_path / "x.zarr")
    assert "TensorStore cannot open it" in text
    assert "tensorstore_spec" not in text


def test_broken_zarr_metadata(tmp_path):
    (tmp_path / "x.zarr").mkdir()
    (tmp_path / "x.zarr" / "zarr.json").write_text("{")
    assert "is no JSON" in refused(tmp_path / "x.zarr")
    (tmp_path / "x.zarr" / "zarr.json").write_text('{"node_type": "array"}')
    assert "TensorStore cannot open it" in refused(tmp_path / "x.zarr")


def test_corrupt_zarr_chunk_names_the_rows(tmp_path):
    zarr = pytest.importorskip("zarr")
    array = zarr.create_array(str(tmp_path / "x.zarr"), shape=ARRAY.shape, dtype=ARRAY.dtype, chunks=(5, 3))
    array[...] = ARRAY
    (tmp_path / "x.zarr" / "c" / "1" / "0").write_bytes(b"garbage")
    store = open_store(tmp_path / "x.zarr")
    check_rows(store, ARRAY, np.array([4, 0, 22]))
    with pytest.raises(StoreError, match="rows between 0 and 7"):
        check_rows(store, ARRAY, np.array([7, 0]))


def test_url_without_a_server(monkeypatch):
    """It once tried again for minutes."""
    pytest.importorskip("tensorstore")
    retries = {"http_request_retries": {"max_retries": 2, "initial_delay": "0.01s", "max_delay": "0.01s"}}
    monkeypatch.setattr("mtgen.stores.zarr.CONTEXT", {**CONTEXT, **retries})
    text = refused("http://127.0.0.1:9/x.zarr")
    assert "check address, network and rights" in text


def test_blosc2_that_is_no_array(tmp_path):
    blosc2 = pytest.importorskip("blosc2")
    blosc2.SChunk(chunksize=80, data=bytes(80), urlpath=str(tmp_path / "x.b2nd"), mode="w")
    assert "holds a SChunk" in refused(tmp_path / "x.b2nd")


def parquet_file(path, row_group_size=5, metadata=None, **columns):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    table = pyarrow.table(columns)
    parquet.write_table(table.replace_schema_metadata(metadata), path, row_group_size=row_group_size)
    return path


def test_parquet_all_columns_but_the_keys(tmp_path):
    columns = {"id": ALL, "a": ARRAY[:, 0], "b": ARRAY[:, 1].astype("float64")}
    path = parquet_file(tmp_path / "x.parquet", metadata={"mtgen_key": "id"}, **columns)
    store = open_store(f"{path}::*")
    check_rows(store, ARRAY[:, :2].astype("float64"), ALL[::-1])
    assert store.key_name == "id"
    check_rows(store.keys, ALL, ALL)
    assert '::a,b"' in refused(path)
    assert "no column nix; it has id, a, b" in refused(f"{path}::a,nix")


@pytest.mark.parametrize("place", [0, 7, 22])
def test_parquet_missing_value_names_the_row(tmp_path, place):
    values = [float(row) for row in ALL]
    values[place] = None
    store = open_store(parquet_file(tmp_path / "x.parquet", x=values))
    with pytest.raises(StoreError, match=f"missing value in store row {place}:"):
        store.read_rows(ALL, np.empty(23))


@pytest.mark.parametrize(
    ("value", "says"), [([1.0], "list of 1 in store row 7, expected 2"), ([1.0, None], "missing value in store row 7")]
)
def test_parquet_uneven_lists_name_the_row(tmp_path, value, says):
    values = [[0.0, 1.0]] * 23
    values[7] = value
    store = open_store(parquet_file(tmp_path / "x.parquet", x=values))
    with pytest.raises(StoreError, match=says):
        store.read_rows(ALL, np.empty((23, 2)))


def test_parquet_whole_numbers_are_never_rounded(tmp_path):
    columns = {"a": np.array([2**53 + 1, 1]), "b": np.array([0.5, 1.5])}
    store = open_store(f"{parquet_file(tmp_path / 'x.parquet', **columns)}::a,b")
    with pytest.raises(StoreError, match=r"beyond 2\*\*53"):
        store.read_rows(np.array([0]), np.empty((1, 2)))


def test_parquet_types_that_no_batch_can_carry(tmp_path):
    path = parquet_file(tmp_path / "x.parquet", x=[b"a", b"b"], y=["a", "b"], z=[1.0, 2.0])
    assert "'x' is binary" in refused(f"{path}::x")
    assert "must be numbers" in refused(f"{path}::y,z")


def test_parquet_row_groups_of_unequal_size(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    table = pyarrow.table({"x": ALL})
    with parquet.ParquetWriter(tmp_path / "x.parquet", table.schema) as writer:
        for start, stop in ((0, 2), (2, 13), (13, 13), (13, 23)):
            writer.write_table(table.slice(start, stop - start))
    store = open_store(tmp_path / "x.parquet")
    assert store.chunk_rows == 11
    check_rows(store, ALL, np.array([22, 0, 1, 2, 12, 13, 0]))


def test_bcolz_object_with_rows_not_on_disk_is_not_pickled_short(tmp_path):
    bcolz = pytest.importorskip("bcolz")
    carray = bcolz.carray(ARRAY, rootdir=str(tmp_path / "x.bcolz"), chunklen=5)
    carray.flush()
    carray.append(ARRAY[:3])
    store = open_store(carray)
    check_rows(store, np.concatenate([ARRAY, ARRAY[:3]]), np.arange(26))
    frozen = pickle.dumps(store)
    with pytest.raises(StoreError, match="changed since"):
        pickle.loads(frozen)


def test_parquet_page_checksums_are_checked(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    table = pyarrow.table({"x": sample_array((5000,), "float64")})
    path = tmp_path / "x.parquet"
    parquet.write_table(table, path, write_page_checksum=True, use_dictionary=False, compression="none")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(StoreError, match="cannot read row group 0"):
        open_store(path).read_rows(np.array([0]), np.empty(1))


@pytest.mark.parametrize("code", [errno.ENOMEM, errno.EACCES, errno.EIO])
def test_a_file_that_cannot_be_mapped_is_a_store_error_and_is_closed(code, tmp_path, monkeypatch):
    """The n-th mapping fails, n = 1, 2, ... until opening works."""
    np.save(tmp_path / "x.npy", np.arange(6.0).reshape(3, 2))
    real = mmap.mmap
    for nth in range(1, 10):
        calls = 0

        def failing(*arguments, nth=nth, **options):
            nonlocal calls
            calls += 1
            if calls == nth:
                raise OSError(code, os.strerror(code))
            return real(*arguments, **options)

        with monkeypatch.context() as patched:
            patched.setattr(mmap, "mmap", failing)
            try:
                store = open_store(tmp_path / "x.npy")
            except StoreError as error:
                assert os.strerror(code) in str(error)
                assert str(tmp_path / "x.npy") in str(error)
                assert not [one for one in Path("/proc/self/fd").iterdir() if os.path.realpath(one).endswith("x.npy")]
                continue
        out = np.empty((1, 2))
        store.read_rows(np.array([2]), out)
        assert nth == 2
        assert out.tolist() == [[4.0, 5.0]]
        return
    pytest.fail("it could never be mapped")
