"""Folders written by the bcolz package (bcolz-zipline 1.13.0), so that the reader is tested where it is missing.

Remade by `bcolz.carray(sample_array((11, 3), ">f4"), chunklen=4, cparams=cparams(cname="zstd", shuffle=2))`, keys
`sample_array((11,), "S5")` with attribute name "id", and a ctable of key, x, flag as below. They never change.
"""

import sys
from pathlib import Path

import numpy as np
import pytest

from mtgen.stores import open_store
from mtgen.testing.stores import check_rows, sample_array

GOLDEN = Path(__file__).parent / "golden"


def test_carray_and_its_keys():
    store = open_store(GOLDEN / "tiny.bcolz")
    array = sample_array((11, 3), "float32")
    assert (store.num_rows, store.row_shape, store.dtype, store.chunk_rows) == (11, (3,), np.dtype("float32"), 4)
    check_rows(store, array, np.arange(11))
    check_rows(store, array, np.array([10, 0, 10, 5]))
    assert store.key_name == "id"
    check_rows(store.keys, sample_array((11,), "S5"), np.arange(11))


@pytest.mark.parametrize("source", ["table.bcolz", "table.bcolz::x"])
def test_table_and_its_keys(source):
    store = open_store(f"{GOLDEN / source}")
    check_rows(store, sample_array((11, 2, 2), "int16"), np.arange(11)[::-1])
    assert store.key_name == "key"
    check_rows(store.keys, np.arange(11) * 3, np.arange(11))


def test_the_bcolz_package_is_never_imported():
    import subprocess

    packages = "bcolz", "h5py", "zarr", "tensorstore", "blosc2"  # pandas imports pyarrow itself
    code = (
        f"import sys, mtgen.stores as stores; stores.open_store({str(GOLDEN / 'tiny.bcolz')!r}); "
        f"print([name for name in {packages} if name in sys.modules])"
    )
    root = str(Path(__file__).parents[3])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root, check=True)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr
