"""Where the keys of a store are found, and when they are refused."""

import numpy as np
import pytest

from mtgen.errors import StoreError
from mtgen.stores import open_store
from mtgen.stores.bcolz_writer import write_bcolz, write_bcolz_table
from mtgen.testing.stores import check_rows, sample_array

ARRAY = sample_array((23, 3), "float32")
ALL = np.arange(23)
KEYS = 1000 - ALL


def test_sibling_of_a_bcolz_folder(tmp_path):
    store = open_store(write_bcolz(tmp_path / "x.bcolz", ARRAY, keys=KEYS, key_name="id"))
    check_rows(store.keys, KEYS, ALL)
    assert store.key_name == "id"


def test_sibling_without_a_name(tmp_path):
    store = open_store(write_bcolz(tmp_path / "x.bcolz", ARRAY, keys=KEYS))
    check_rows(store.keys, KEYS, ALL)
    assert store.key_name is None


@pytest.mark.parametrize("keys", [KEYS, KEYS.astype("S"), KEYS.astype("U"), KEYS.astype("uint64")])
def test_sibling_of_a_npy_file(tmp_path, keys):
    np.save(tmp_path / "x.npy", ARRAY)
    np.save(tmp_path / "x.keys.npy", keys)
    check_rows(open_store(tmp_path / "x.npy").keys, keys, ALL)


def test_sibling_of_a_zarr_array(tmp_path):
    zarr = pytest.importorskip("zarr")
    for name, array in {"x.zarr": ARRAY, "x.keys.zarr": KEYS}.items():
        zarr.create_array(str(tmp_path / name), shape=array.shape, dtype=array.dtype)[...] = array
    zarr.open(str(tmp_path / "x.keys.zarr")).attrs["name"] = "id"
    store = open_store(tmp_path / "x.zarr")
    check_rows(store.keys, KEYS, ALL)
    assert store.key_name == "id"


def test_text_keys_of_any_store_may_be_npy(tmp_path):
    write_bcolz(tmp_path / "x.bcolz", ARRAY)
    np.save(tmp_path / "x.keys.npy", KEYS.astype("U"))
    check_rows(open_store(tmp_path / "x.bcolz").keys, KEYS.astype("U"), ALL)


def test_keys_are_not_looked_for(tmp_path):
    assert open_store(write_bcolz(tmp_path / "x.bcolz", ARRAY, keys=KEYS), keys=False).keys is None


def test_keys_themselves_have_no_keys(tmp_path):
    write_bcolz(tmp_path / "x.bcolz", ARRAY, keys=KEYS)
    assert open_store(tmp_path / "x.keys.bcolz").keys is None


@pytest.mark.parametrize("given", ["path", "array", "list", "store"])
def test_given_keys_win(tmp_path, given):
    path = write_bcolz(tmp_path / "x.bcolz", ARRAY, keys=KEYS, key_name="id")
    np.save(tmp_path / "other.npy", ALL)
    keys = {"path": tmp_path / "other.npy", "array": ALL, "list": ALL.tolist(), "store": open_store(ALL)}[given]
    store = open_store(path, keys=keys)
    check_rows(store.keys, ALL, ALL)
    assert store.key_name is None
    store.close()
    if given == "store":  # it stays its owner's
        check_rows(keys, ALL, ALL)


def test_column_called_key(tmp_path):
    path = write_bcolz_table(tmp_path / "t.bcolz", {"key": KEYS, "id": ALL, "x": ARRAY})
    store = open_store(path)
    check_rows(store.keys, KEYS, ALL)
    assert store.key_name == "key"


def test_column_named_by_the_attribute(tmp_path):
    path = write_bcolz_table(tmp_path / "t.bcolz", {"key": ALL, "id": KEYS, "x": ARRAY}, key="id")
    for source in (path, f"{path}::x"):
        store = open_store(source)
        check_rows(store.keys, KEYS, ALL)
        assert store.key_name == "id"
    assert open_store(f"{path}::id").keys is None


def test_any_other_column_is_no_key(tmp_path):
    path = write_bcolz_table(tmp_path / "t.bcolz", {"id": KEYS, "x": ARRAY})
    assert open_store(path).keys is None


def test_wide_column_called_key_is_data(tmp_path):
    path = write_bcolz_table(tmp_path / "t.bcolz", {"key": ARRAY, "id": KEYS})
    check_rows(open_store(path), ARRAY, ALL)


def test_attribute_that_names_nothing(tmp_path):
    path = write_bcolz_table(tmp_path / "t.bcolz", {"x": ARRAY}, attrs={"mtgen_key": "nix"})
    with pytest.raises(StoreError, match="names 'nix' as the keys, but there is only 'x'"):
        open_store(path)


def test_other_number_of_keys(tmp_path):
    path = write_bcolz(tmp_path / "x.bcolz", ARRAY)
    write_bcolz(tmp_path / "x.keys.bcolz", KEYS[:20])
    with pytest.raises(StoreError, match=r"20 keys in .*x\.keys\.bcolz for 23 rows: expected one key per row"):
        open_store(path)


@pytest.mark.parametrize("keys", [KEYS.astype(float), np.stack([KEYS, KEYS], 1), KEYS > 3])
def test_values_that_are_no_keys(keys):
    with pytest.raises(StoreError, match="expected one integer or text per row"):
        open_store(ARRAY, keys=keys)


def test_keys_of_objects():
    with pytest.raises(StoreError, match="unpickling"):
        open_store(ARRAY, keys=KEYS.astype(object))


def test_keys_travel_with_the_store(tmp_path):
    import pickle

    store = open_store(write_bcolz(tmp_path / "x.bcolz", ARRAY, keys=KEYS, key_name="id"))
    twin = pickle.loads(pickle.dumps(store))
    check_rows(twin.keys, KEYS, ALL)
    assert twin.key_name == "id"
