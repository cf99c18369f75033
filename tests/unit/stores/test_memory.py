"""A read takes about one chunk of memory beside the buffer, never the array."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtgen.stores import open_store
from mtgen.stores.base import touched_bytes
from mtgen.stores.bcolz_writer import write_bcolz

ARRAY = np.zeros((4000, 250), "float32")  # 4 MB
CHUNK_BYTES = 40 * 250 * 4


def bcolz(folder):
    return write_bcolz(folder / "x.bcolz", ARRAY, chunk_rows=40)


def npy(folder):
    np.save(folder / "x.npy", ARRAY)
    return folder / "x.npy"


def npy_in_fortran_order(folder):
    """`numpy.take` would first copy the whole file."""
    np.save(folder / "x.npy", np.asfortranarray(ARRAY))
    return folder / "x.npy"


def npy_of_foreign_byte_order(folder):
    np.save(folder / "x.npy", ARRAY.astype(">f4"))
    return folder / "x.npy"


def hdf5(folder):
    h5py = pytest.importorskip("h5py")
    with h5py.File(folder / "x.h5", "w") as file:
        file.create_dataset("x", data=ARRAY, chunks=(40, 250))
    return folder / "x.h5"


def array_like(folder):
    class Array:
        shape, dtype, chunks = ARRAY.shape, ARRAY.dtype, (40, 250)

        def __getitem__(self, rows):
            if not isinstance(rows, slice):
                raise TypeError
            return ARRAY[rows].copy()

    return Array()


@pytest.mark.parametrize("make", [bcolz, npy, npy_in_fortran_order, npy_of_foreign_byte_order, hdf5, array_like])
def test_reading_takes_one_chunk(tmp_path, make):
    store = open_store(make(tmp_path))
    rows = np.arange(0, 4000, 100)  # 40 rows from 40 chunks
    out = np.empty((40, 250), "float32")
    store.read_rows(rows[:1], out[:1])  # imports and first-time buffers
    tracemalloc.start()
    store.read_rows(rows, out)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2 * CHUNK_BYTES + out.nbytes + 2**17, f"{peak} bytes for {out.nbytes} wanted"


axes = st.tuples(st.integers(1, 30), st.integers(1, 12), st.integers(1, 30))


@given(st.lists(axes, min_size=1, max_size=3), st.integers(0, 2))
def test_the_chunks_that_a_window_may_touch_are_those_of_its_worst_place(each: list, num_whole: int) -> None:
    """For each axis all starts are tried; the last axes are taken whole."""
    shape, chunk, sizes = zip(*each, strict=True)
    size = sizes[: max(1, len(each) - num_whole)]
    most = 1
    for axis, (length, part) in enumerate(zip(shape, chunk, strict=True)):
        wide = min(size[axis], length) if axis < len(size) else length
        starts = range(length - wide + 1)
        most *= part * max((start + wide - 1) // part - start // part + 1 for start in starts)
    assert touched_bytes(shape, chunk, size, np.dtype("f4")) >= 4 * most
    if all(length >= wide + part for length, part, wide in zip(shape, chunk, size, strict=False)):
        assert touched_bytes(shape, chunk, size, np.dtype("f4")) == 4 * most
