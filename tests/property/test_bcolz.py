"""The bcolz package as oracle, in both directions."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtgen.stores import open_store
from mtgen.stores.bcolz_writer import default_chunk_rows, write_bcolz, write_bcolz_table
from mtgen.testing.stores import check_rows, sample_array

bcolz = pytest.importorskip("bcolz")

DTYPES = ["bool", "int8", "uint16", ">i4", "int64", "uint64", "float16", "float32", ">f8", "S1", "S7", "U3", ">U2"]
CODECS = ["blosclz", "lz4", "lz4hc", "zlib", "zstd"]


@st.composite
def arrays(draw):
    """An array and a chunk length: no rows, one, exact multiples and tails are all likely."""
    chunk_rows = draw(st.integers(1, 9))
    num_rows = draw(st.one_of(st.sampled_from([0, 1, chunk_rows, 3 * chunk_rows]), st.integers(0, 40)))
    row_shape = draw(st.sampled_from([(), (1,), (3,), (2, 3), (400,)]))
    dtype = draw(st.sampled_from([*DTYPES, "datetime64[ns]"]))
    return sample_array((num_rows, *row_shape), dtype), chunk_rows


@st.composite
def requests(draw, num_rows):
    size = draw(st.integers(0, 60)) if num_rows else 0
    return np.array(draw(st.lists(st.integers(0, max(num_rows - 1, 0)), min_size=size, max_size=size)), np.int64)


@given(arrays(), st.sampled_from(CODECS), st.integers(0, 9), st.integers(0, 2), st.data())
def test_reads_what_bcolz_writes(case, codec, level, shuffle, data):
    array, chunk_rows = case
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.bcolz"
        cparams = bcolz.cparams(clevel=level, shuffle=shuffle, cname=codec)
        written = bcolz.carray(array[:0], rootdir=str(path), chunklen=chunk_rows, cparams=cparams)
        written.append(array[: len(array) // 2])  # in two steps, so that the tail is written twice
        written.flush()
        written.append(array[len(array) // 2 :])
        written.flush()
        store = open_store(path)
        assert (store.num_rows, store.row_shape, store.chunk_rows) == (len(array), array.shape[1:], chunk_rows)
        check_rows(store, array, np.arange(len(array)))
        check_rows(store, array, data.draw(requests(len(array))))


@settings(max_examples=max(settings().max_examples // 3, 20))  # every chunk file is flushed to disk
@given(arrays(), st.sampled_from(CODECS), st.integers(0, 9), st.sampled_from(["none", "byte", "bit"]), st.data())
def test_bcolz_reads_what_we_write(case, codec, level, shuffle, data):
    array, chunk_rows = case
    cuts = sorted(data.draw(st.lists(st.integers(0, len(array)), max_size=3)))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.bcolz"
        blocks = np.split(array, cuts)
        write_bcolz(path, blocks, chunk_rows=chunk_rows, codec=codec, level=level, shuffle=shuffle, attrs={"a": [1]})
        oracle = bcolz.open(str(path), mode="r")
        assert oracle.dtype == array.dtype
        assert oracle.shape == array.shape
        assert oracle.chunklen == chunk_rows
        assert oracle.attrs["a"] == [1]
        assert oracle[:].tobytes() == array.tobytes()
        check_rows(open_store(path), array, data.draw(requests(len(array))))


@given(st.integers(1, 10**12), st.integers(1, 10**5))
def test_default_chunk_length_is_that_of_bcolz(expected_rows, row_bytes):
    from bcolz.utils import calc_chunksize

    chunk_bytes = calc_chunksize(expected_rows * row_bytes / 2**20)
    assert (
        default_chunk_rows(expected_rows, row_bytes)
        == max(row_bytes, chunk_bytes // row_bytes * row_bytes) // row_bytes
    )


def test_bcolz_opens_our_table(tmp_path):
    columns = {"key": np.arange(30), "x": sample_array((30, 4), "float32"), "name": sample_array((30,), "S5")}
    table = bcolz.open(str(write_bcolz_table(tmp_path / "t.bcolz", columns, key="name")), mode="r")
    assert table.names == list(columns)
    for name, column in columns.items():
        assert table[name][:].tobytes() == column.tobytes()
    assert table.attrs["mtgen_key"] == "name"


def test_bcolz_can_append_to_what_we_wrote(tmp_path):
    array = sample_array((25, 3), "float32")
    carray = bcolz.open(str(write_bcolz(tmp_path / "x.bcolz", array[:13], chunk_rows=5)), mode="a")
    carray.append(array[13:])
    carray.flush()
    check_rows(open_store(tmp_path / "x.bcolz"), array, np.arange(25))


def test_tail_that_holds_more_than_sizes_says(tmp_path):
    """A crash between a chunk and `sizes`, or a trim, leaves a longer last chunk: the extra rows are not ours."""
    array = sample_array((20, 3), "float32")
    carray = bcolz.carray(array, rootdir=str(tmp_path / "x.bcolz"), chunklen=8)
    carray.flush()
    sizes = tmp_path / "x.bcolz" / "meta" / "sizes"
    sizes.write_text(sizes.read_text().replace("[20, 3]", "[13, 3]"))
    store = open_store(tmp_path / "x.bcolz")
    assert store.num_rows == 13
    check_rows(store, array[:13], np.array([12, 8, 0, 12, 9, 10, 11]))
    check_rows(store, array[:13], np.arange(13))
