"""The writer: whole folders or nothing, the same bytes for the same input."""

import os

import numpy as np
import pytest

from mtgen.errors import StoreError
from mtgen.stores import open_store
from mtgen.stores.bcolz_writer import write_bcolz, write_bcolz_table
from mtgen.testing.stores import check_rows, sample_array

ARRAY = sample_array((23, 3), "float32")


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_same_input_same_bytes(tmp_path):
    """Many blocks per chunk: with Blosc's own threads their order would differ from run to run."""
    array = np.random.Generator(np.random.PCG64(1)).normal(size=(60_000, 16)).round(1)
    folders = [write_bcolz(tmp_path / f"{run}.bcolz", array, chunk_rows=30_000, codec="zlib", level=1) for run in "abc"]
    assert contents(folders[0]) == contents(folders[1]) == contents(folders[2])
    check_rows(open_store(folders[0]), array, np.arange(len(array)))


@pytest.mark.parametrize("cut", [[], [0, 0, 7], [1, 2, 3], [22]])
def test_blocks_of_any_length_give_the_same_chunks(tmp_path, cut):
    whole = write_bcolz(tmp_path / "whole.bcolz", ARRAY, chunk_rows=5, expected_rows=23)
    parts = write_bcolz(tmp_path / "parts.bcolz", iter(np.split(ARRAY, cut)), chunk_rows=5, expected_rows=23)
    assert contents(whole) == contents(parts)


def test_foreign_byte_order_after_a_short_first_block(tmp_path):
    """numpy.concatenate gives native byte order: the bytes once disagreed with the dtype written beside them."""
    array = sample_array((23, 3), ">i4")
    path = write_bcolz(tmp_path / "x.bcolz", [array[:0], array[:2], array[2:]], chunk_rows=10)
    check_rows(open_store(path), array, np.arange(23))


def test_refuses_to_overwrite(tmp_path):
    path = write_bcolz(tmp_path / "x.bcolz", ARRAY)
    before = contents(tmp_path)
    with pytest.raises(StoreError, match="it exists already, nothing is overwritten"):
        write_bcolz(path, ARRAY)
    with pytest.raises(StoreError, match="it exists already"):
        write_bcolz_table(path, {"x": ARRAY})
    assert contents(tmp_path) == before


def test_refuses_to_overwrite_keys(tmp_path):
    write_bcolz(tmp_path / "x.keys.bcolz", np.arange(3))
    with pytest.raises(StoreError, match=r"x\.keys\.bcolz"):
        write_bcolz(tmp_path / "x.bcolz", ARRAY, keys=np.arange(23))
    assert [path.name for path in tmp_path.iterdir()] == ["x.keys.bcolz"]


def broken_blocks(error):
    yield ARRAY
    raise error


@pytest.mark.parametrize("error", [ValueError("source"), KeyboardInterrupt()])
def test_nothing_is_left_after_an_exception(tmp_path, error):
    with pytest.raises(type(error)):
        write_bcolz(tmp_path / "x.bcolz", broken_blocks(error), chunk_rows=5)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("call", ["fsync", "rename"])
def test_nothing_is_left_when_the_disk_fails(tmp_path, monkeypatch, call):
    """Every place where the disk is asked fails once: afterwards there is nothing, or the whole store."""
    real = getattr(os, call)
    for place in range(100):
        count = iter(range(1000))

        def failing(*arguments, place=place, count=count):
            if next(count) == place:
                raise OSError(28, "No space left on device")
            return real(*arguments)

        path = tmp_path / f"{place}.bcolz"
        with monkeypatch.context() as patched:
            patched.setattr(os, call, failing)
            finished, said = True, "No space left on device"
            try:
                write_bcolz(path, ARRAY, chunk_rows=10, keys=np.arange(23))
            except StoreError as error:
                finished, said = False, str(error)
        assert "No space left on device" in said
        names = sorted(entry.name for entry in tmp_path.iterdir() if entry.name.startswith((f"{place}.", f".{place}.")))
        whole = [f"{place}.bcolz", f"{place}.keys.bcolz"]
        if path.exists():
            check_rows(open_store(path), ARRAY, np.arange(23))
            assert names == whole
        else:
            assert names == []
        if finished:
            break
    assert place > 0


def test_half_written_folder_is_never_visible(tmp_path):
    def blocks():
        yield ARRAY
        assert not (tmp_path / "x.bcolz").exists()
        assert [path.name.startswith(".x.bcolz.") for path in tmp_path.iterdir()] == [True]
        yield ARRAY

    write_bcolz(tmp_path / "x.bcolz", blocks(), chunk_rows=5)
    assert [path.name for path in tmp_path.iterdir()] == ["x.bcolz"]


@pytest.mark.parametrize(
    ("array", "says"),
    [
        ([], "no blocks to write"),
        ("text", "cannot write a str"),
        (3, "cannot write a int"),
        ([1, 2], "a block is int"),
        (np.zeros(3, object), "unpickling"),
        (np.zeros(3, complex), "cannot hold"),
        (np.zeros(3, "m8[s]"), "cannot hold"),
        (np.zeros((3, 0)), "hold nothing"),
        (np.array(3.0), "rows along its first axis"),
        ([np.zeros((2, 3)), np.zeros((2, 4))], "the first block had"),
        ([np.zeros((2, 3)), np.zeros((2, 3), int)], "the first block had"),
    ],
)
def test_what_cannot_be_written(tmp_path, array, says):
    with pytest.raises(StoreError, match=says):
        write_bcolz(tmp_path / "x.bcolz", array)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "options",
    [
        {"codec": "gzip"},
        {"level": 10},
        {"shuffle": "bits"},
        {"chunk_rows": 0},
        {"expected_rows": 0},
        {"chunk_rows": 2**31},
        {"key_name": "id"},
        {"keys": np.arange(22)},
        {"keys": np.zeros(23)},
        {"attrs": {"a": object()}},
    ],
)
def test_settings_that_cannot_be(tmp_path, options):
    with pytest.raises(StoreError):
        write_bcolz(tmp_path / "x.bcolz", ARRAY, **options)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("columns", [{}, {"a": ARRAY, "b": ARRAY[:5]}, {"../a": ARRAY}, {"__attrs__": ARRAY}])
def test_tables_that_cannot_be(tmp_path, columns):
    with pytest.raises(StoreError):
        write_bcolz_table(tmp_path / "x.bcolz", columns)
    assert list(tmp_path.iterdir()) == []


def test_missing_parent_folder(tmp_path):
    with pytest.raises(StoreError, match="cannot be made"):
        write_bcolz(tmp_path / "a" / "x.bcolz", ARRAY)
