"""Broken bcolz folders: each is refused by a message that names the file and says what to do."""

import json
import struct
import threading
import tracemalloc

import numpy as np
import pytest

from mtgen.errors import StoreError
from mtgen.stores import open_store
from mtgen.stores.bcolz_writer import write_bcolz, write_bcolz_table
from mtgen.testing.stores import check_rows, sample_array

ARRAY = sample_array((23, 3), "float32")


@pytest.fixture
def folder(tmp_path):
    return write_bcolz(tmp_path / "x.bcolz", ARRAY, chunk_rows=10)


def read_all(folder):
    """Open and read; refused with little memory taken either way."""
    tracemalloc.start()
    try:
        with pytest.raises(StoreError) as caught:
            open_store(folder).read_rows(np.array([0, 12, 22]), np.empty((3, 3), "float32"))
        assert tracemalloc.get_traced_memory()[1] < 2**22, "a broken header made it allocate"
    finally:
        tracemalloc.stop()
    return str(caught.value)


def edit_json(path, **changes):
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def patch(path, place, fmt, *values):
    content = bytearray(path.read_bytes())
    struct.pack_into(fmt, content, place, *values)
    path.write_bytes(content)


@pytest.mark.parametrize("chunk", [0, 1, 2])
@pytest.mark.parametrize("size", [0, 10, 31, 40])
def test_truncated_chunk(folder, chunk, size):
    path = folder / "data" / f"__{chunk}.blp"
    path.write_bytes(path.read_bytes()[:size])
    text = read_all(folder)
    assert str(path) in text
    assert "copy the folder again" in text


def test_flipped_magic(folder):
    patch(folder / "data" / "__1.blp", 0, "4s", b"blpX")
    assert "__1.blp is broken: it starts with b'blpX'" in read_all(folder)


def test_other_format_version(folder):
    patch(folder / "data" / "__0.blp", 4, "B", 9)
    assert "version 9" in read_all(folder)


@pytest.mark.parametrize("num_bytes", [0, 119, 121, 2**31, 2**32 - 1])
def test_lying_nbytes(folder, num_bytes):
    patch(folder / "data" / "__0.blp", 20, "<I", num_bytes)
    text = read_all(folder)
    assert f"__0.blp is broken: it decodes to {num_bytes} bytes" in text
    assert "expect 120 to 120" in text


@pytest.mark.parametrize("compressed", [0, 15, 2**31])
def test_lying_compressed_size(folder, compressed):
    patch(folder / "data" / "__1.blp", 28, "<I", compressed)
    assert f"__1.blp is broken: its header says {compressed} compressed bytes" in read_all(folder)


@pytest.mark.parametrize("block", [0, 1])
def test_lying_block_size(folder, block):
    write_bcolz(folder.with_name("zeros.bcolz"), np.zeros((1000, 3)), chunk_rows=1000)
    path = folder.with_name("zeros.bcolz") / "data" / "__0.blp"
    patch(path, 24, "<I", block)
    with pytest.raises(StoreError, match=f"in blocks of {block} cannot hold 24000 bytes"):
        open_store(path.parent.parent)


def test_unknown_codec(folder):
    """A codec that this numcodecs does not have, such as snappy, is named."""
    path = write_bcolz(folder.with_name("zeros.bcolz"), np.zeros((1000, 3)), chunk_rows=1000)
    chunk = path / "data" / "__0.blp"
    patch(chunk, 18, "B", (chunk.read_bytes()[18] & 0x1F) | (2 << 5))
    store = open_store(path)
    with pytest.raises(StoreError, match=r"compressed by snappy, this numcodecs has .*zstd: rewrite"):
        store.read_rows(np.array([0]), np.empty((1, 3)))


def test_garbage_inside_a_chunk(folder):
    path = write_bcolz(folder.with_name("zeros.bcolz"), np.zeros((1000, 3)), chunk_rows=1000)
    chunk = path / "data" / "__0.blp"
    content = chunk.read_bytes()
    chunk.write_bytes(content[:32] + b"\xff" * (len(content) - 32))
    with pytest.raises(StoreError, match=r"__0.blp is broken: Blosc cannot decode it"):
        open_store(path).read_rows(np.array([0]), np.empty((1, 3)))


@pytest.mark.parametrize("chunk", [0, 1, 2])
def test_missing_chunk(folder, chunk):
    path = folder / "data" / f"__{chunk}.blp"
    path.unlink()
    text = read_all(folder)
    assert f"chunk file {path} is missing; meta/sizes promises 23 rows" in text


@pytest.mark.parametrize("rows", [24, 31, 10**6, 10**15])
def test_sizes_larger_than_the_data(folder, rows):
    edit_json(folder / "meta" / "sizes", shape=[rows, 3])
    text = read_all(folder)
    assert "meta/sizes" in text
    assert ".blp" in text


@pytest.mark.parametrize("shape", [None, [], [-1, 3], [2.5, 3], ["23", 3], [True, 3], 23])
def test_impossible_shape(folder, shape):
    edit_json(folder / "meta" / "sizes", shape=shape)
    assert ("no axes" if shape == [] else "sizes is broken") in read_all(folder)


@pytest.mark.parametrize("chunklen", [0, -5, 1.5, None, 2**40, 10**30])
def test_impossible_chunklen(folder, chunklen):
    edit_json(folder / "meta" / "storage", chunklen=chunklen)
    text = read_all(folder)
    assert "storage is broken" in text
    assert str(chunklen) in text


def test_large_chunklen_over_few_rows_allocates_little(folder):
    """A chunk length that Blosc could hold, of which the one chunk file holds a little: only that much is made."""
    path = write_bcolz(folder.with_name("few.bcolz"), ARRAY, chunk_rows=10**8)
    tracemalloc.start()
    check_rows(open_store(path), ARRAY, np.array([22, 0]))
    assert tracemalloc.get_traced_memory()[1] < 2**22
    tracemalloc.stop()


@pytest.mark.parametrize("dtype", ["object", "O", "floaty", None, 7, "[('x', '<i4')]", "V8", "S0"])
def test_impossible_dtype(folder, dtype):
    edit_json(folder / "meta" / "storage", dtype=dtype)
    text = read_all(folder)
    assert "expected" in text or "unpickling runs code" in text
    assert ("unpickling runs code" in text) == (dtype in {"object", "O"})


@pytest.mark.parametrize("name", ["meta/sizes", "meta/storage", "__attrs__"])
@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff\xfe"])
def test_broken_json(folder, name, content):
    (folder / name).write_bytes(content)
    text = read_all(folder)
    assert str(folder / name) in text
    assert "copy the folder again, or write it anew" in text


@pytest.mark.parametrize("name", ["meta/sizes", "meta/storage"])
def test_missing_json(folder, name):
    (folder / name).unlink()
    assert f"{folder / name} is missing" in read_all(folder)


def test_missing_attributes_are_no_error(folder):
    (folder / "__attrs__").unlink()
    check_rows(open_store(folder), ARRAY, np.arange(23))


def test_chunk_that_is_a_folder(folder):
    (folder / "data" / "__1.blp").unlink()
    (folder / "data" / "__1.blp").mkdir()
    assert "__1.blp cannot be read" in read_all(folder)


@pytest.mark.parametrize("name", ["../x", "/etc", "", "a/b", ".."])
def test_table_that_leads_out_of_its_folder(tmp_path, name):
    path = write_bcolz_table(tmp_path / "t.bcolz", {"a": ARRAY})
    edit_json(path / "__rootdirs__", names=["a", name])
    with pytest.raises(StoreError, match="is no column name"):
        open_store(f"{path}::a")


def test_failed_read_leaves_later_reads_alone(folder):
    (folder / "data" / "__1.blp").unlink()
    store = open_store(folder)
    with pytest.raises(StoreError):
        store.read_rows(np.array([12]), np.empty((1, 3), "float32"))
    check_rows(store, ARRAY, np.array([22, 0]))


def test_every_thread_gives_the_same_bytes(tmp_path):
    """numcodecs decodes by another path in the main thread; the bytes are the same."""
    array = np.random.Generator(np.random.PCG64(1)).normal(size=(4000, 64)).round(1).astype("float32")
    store = open_store(write_bcolz(tmp_path / "x.bcolz", array, chunk_rows=2000))
    outs = [np.empty_like(array), np.empty_like(array)]
    store.read_rows(np.arange(4000), outs[0])
    thread = threading.Thread(target=store.read_rows, args=(np.arange(4000), outs[1]))
    thread.start()
    thread.join()
    assert outs[0].tobytes() == outs[1].tobytes() == array.tobytes()


def test_no_switch_of_blosc_is_touched(folder):
    from numcodecs import blosc

    before = (blosc.use_threads, blosc.get_nthreads())
    check_rows(open_store(folder), ARRAY, np.arange(23))
    assert (blosc.use_threads, blosc.get_nthreads()) == before
