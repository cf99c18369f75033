"""Packed stores that are damaged, crafted to hurt, or cannot be read: a StoreError that names file and rows."""

from __future__ import annotations

import errno
import json
import os
import resource
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numcodecs import blosc, zstd

from mtgen.errors import StoreError
from mtgen.packing import layout as layouts
from mtgen.packing import pack
from mtgen.stores import open_store, sharded
from mtgen.stores.block_codecs import zstd_size
from mtgen.stores.shard_metadata import sharded_array
from mtgen.stores.sharded import ShardedStore
from mtgen.stores.zarr import ZarrStore
from tests.support.packed import index_of, with_block, with_index

WIDE = 64
ROWS = (np.arange(40 * WIDE) * 7919 % 97 + 1).reshape(40, WIDE).astype("f4")
ROW_BYTES = 4 * WIDE
NUM_BLOCKS = 10  # of two rows, in a shard
STEP = 2 * ROW_BYTES + 4  # from one plain block to the next


@pytest.fixture(scope="module", autouse=True, params=[16 << 10, 0], ids=["", "straight into the buffer"])
def both_ways(request: pytest.FixtureRequest) -> Iterator[None]:
    """Small plain rows take the way of large ones, too."""
    before, sharded.DIRECT_BYTES = sharded.DIRECT_BYTES, request.param
    yield
    sharded.DIRECT_BYTES = before


@pytest.fixture(autouse=True)
def _small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layouts, "SHARD_BYTES", 20 * ROW_BYTES)


def packed(folder: Path, codec: Any = "none", rows: np.ndarray = ROWS) -> Path:
    pack(rows, folder / "x.zarr", codec=codec, block_rows=None if codec == "sparse" else 2)
    return folder / "x.zarr"


def shard_of(path: Path, number: int = 0) -> Path:
    return path / "c" / str(number) / "0"


def read(path: Path, rows: Any = range(40)) -> np.ndarray:
    with open_store(path) as store:  # type: ignore[attr-defined]
        out = np.empty((len(rows), *store.row_shape), store.dtype)
        store.read_rows(np.asarray(rows), out)
    return out


def change(path: Path, **fields: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


# --- lying indexes ----------------------------------------------------------------------------------------------------


LIES: dict[str, Callable[[np.ndarray], None]] = {
    "offset behind the file": lambda entries: entries.__setitem__((3, 0), 10**6),
    "offset of 2**63": lambda entries: entries.__setitem__((3, 0), 2**63),
    "offset and length overflow": lambda entries: entries.__setitem__(3, (2**64 - 30, 60)),
    "length of nothing": lambda entries: entries.__setitem__((3, 1), 0),
    "length too short": lambda entries: entries.__setitem__((3, 1), 5),
    "length of 2**64 - 2": lambda entries: entries.__setitem__((3, 1), 2**64 - 2),
    "length beyond any block": lambda entries: entries.__setitem__((3, 1), 100_000),
    "into the index": lambda entries: entries.__setitem__((9, 0), int(entries[9, 0]) + 30),
    "two at one place": lambda entries: entries.__setitem__((3, 0), int(entries[4, 0])),
    "one inside another": lambda entries: entries.__setitem__((3, 0), int(entries[4, 0]) + 1),
    "never written": lambda entries: entries.__setitem__(3, (2**64 - 1, 2**64 - 1)),
}


@pytest.mark.parametrize("codec", ["none", "lz4", "zstd"])
@pytest.mark.parametrize("name", LIES)
def test_an_index_that_lies_is_refused(tmp_path: Path, name: str, codec: str) -> None:
    path = packed(tmp_path, codec)
    entries = index_of(shard_of(path), NUM_BLOCKS)
    LIES[name](entries)
    with_index(shard_of(path), entries)
    with pytest.raises(StoreError, match=r"shard file .*c/0/0 is broken: .*it holds store rows 0 to 19") as caught:
        read(path)
    assert len(str(caught.value)) < 1500


@pytest.mark.parametrize("name", ["offset behind the file", "two at one place", "length too short"])
def test_an_index_that_lies_in_a_later_entry_is_refused_where_it_is_looked_up_on_disk(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mtgen.stores.shard_index.HELD_BYTES", 0)
    path = packed(tmp_path, "lz4")
    assert (read(path) == ROWS).all()
    entries = index_of(shard_of(path), NUM_BLOCKS)
    LIES[name](entries)
    with_index(shard_of(path), entries)
    with pytest.raises(StoreError, match="is broken"):
        read(path)


def test_blocks_in_another_order_are_found(tmp_path: Path) -> None:
    """The format allows any order, and gaps."""
    path = packed(tmp_path)
    shard = shard_of(path)
    body = shard.read_bytes()
    entries = index_of(shard, NUM_BLOCKS)
    blocks = [body[start : start + length] for start, length in entries.tolist()]
    content, place = b"gap", 3
    for number in np.random.default_rng(0).permutation(NUM_BLOCKS).tolist():
        entries[number, 0] = place
        content += blocks[number] + b"more"
        place = len(content)
    shard.write_bytes(content + bytes(NUM_BLOCKS * 16 + 4))
    with_index(shard, entries)
    assert (read(path) == ROWS).all()
    assert (read(path, [5, 39, 0, 5]) == ROWS[[5, 39, 0, 5]]).all()


# --- damage -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("codec", ["none", "lz4", "zstd"])
def test_every_flipped_byte_is_found(tmp_path: Path, codec: str) -> None:
    path = packed(tmp_path, codec)
    shard = shard_of(path)
    whole = shard.read_bytes()
    for place in range(0, len(whole), 11):
        hurt = bytearray(whole)
        hurt[place] ^= 1 << place % 8
        shard.write_bytes(hurt)
        with pytest.raises(StoreError, match="checksum"):
            read(path)


def test_a_flipped_bit_names_block_file_and_rows(tmp_path: Path) -> None:
    path = packed(tmp_path)
    content = bytearray(shard_of(path, 1).read_bytes())
    content[3 * STEP + 7] ^= 4
    shard_of(path, 1).write_bytes(content)
    with pytest.raises(
        StoreError,
        match=r"block 3 of shard file .*x\.zarr/c/1/0 is broken: its checksum is wrong; it holds store rows "
        r"26 to 27: copy the store again",
    ):
        read(path)
    assert (read(path, [25, 28]) == ROWS[[25, 28]]).all()


@pytest.mark.parametrize("codec", ["none", "lz4", "zstd"])
def test_every_shortened_shard_is_refused(tmp_path: Path, codec: str) -> None:
    path = packed(tmp_path, codec)
    shard = shard_of(path)
    whole = shard.read_bytes()
    for length in range(0, len(whole), 29):
        shard.write_bytes(whole[:length])
        with pytest.raises(StoreError, match=r"c/0/0 is broken"):
            read(path)


def test_a_shard_that_is_cut_while_it_is_open_is_an_error_and_no_end_of_the_process(tmp_path: Path) -> None:
    path = packed(tmp_path)
    with open_store(path) as store:  # type: ignore[attr-defined]
        out = np.empty((1, WIDE), "f4")
        store.read_rows(np.array([1]), out)
        os.truncate(shard_of(path), 1000)
        with pytest.raises(StoreError, match=r"it ends 516 bytes before the end of a read of 516 at byte 2,580"):
            store.read_rows(np.array([10]), out)


@pytest.mark.parametrize("number", [0, 1])
def test_a_lost_shard_of_a_packed_store_read_as_zeros(tmp_path: Path, number: int) -> None:
    path = packed(tmp_path)
    shard_of(path, number).unlink()
    with pytest.raises(StoreError, match=rf"c/{number}/0 is missing; mtgen wrote one for all rows"):
        read(path)


def test_a_lost_shard_of_another_program_reads_as_the_fill_value(tmp_path: Path) -> None:
    path = packed(tmp_path)
    change(path / "zarr.json", attributes={}, fill_value=7)
    shard_of(path, 1).unlink()
    assert (read(path)[:20] == ROWS[:20]).all()
    assert (read(path)[20:] == 7).all()


@pytest.mark.parametrize("damage", ["folder", "pipe", "loop", "device"])
def test_what_is_no_file_is_an_error(tmp_path: Path, damage: str) -> None:
    path = packed(tmp_path)
    shard_of(path).unlink()
    if damage == "folder":
        shard_of(path).mkdir()
    elif damage == "pipe":
        os.mkfifo(shard_of(path))
    else:
        shard_of(path).symlink_to({"loop": shard_of(path), "device": "/dev/null"}[damage])
    with pytest.raises(StoreError, match=r"c/0/0 cannot be opened"):
        read(path)


# --- crafted blocks ---------------------------------------------------------------------------------------------------


def blosc_header(content: bytes, place: int, value: int) -> bytes:
    return content[:place] + value.to_bytes(4, "little") + content[place + 4 :]


LZ4 = blosc.compress(ROWS[6:8].copy(), b"lz4", 5, 1)
CRAFTED = {
    "lz4": {
        "decodes to 2 GiB": blosc_header(LZ4, 4, 2**31 - 1),
        "decodes to less": blosc.compress(ROWS[6:7].copy(), b"lz4", 5, 1),
        "decodes to more": blosc.compress(ROWS[6:9].copy(), b"lz4", 5, 1),
        "compressed size lies": blosc_header(LZ4, 12, 2**30),
        "parts of nothing": blosc_header(LZ4, 8, 0),
        "parts of one byte": blosc_header(LZ4, 8, 1),
        "noise": bytes(range(40, 80)),
    },
    "zstd": {
        "decodes to less": zstd.compress(ROWS[6:7].copy(), 1),
        "decodes to 1 GiB": zstd.compress(bytes(1 << 24), 1),
        "two frames": zstd.compress(ROWS[6:7].copy(), 1) + zstd.compress(ROWS[7:8].copy(), 1),
        "a frame too many": zstd.compress(ROWS[6:8].copy(), 1) + zstd.compress(b"more", 1),
        "skippable frame first": bytes.fromhex("502a4d1800000000") + zstd.compress(ROWS[6:7].copy(), 1),
        "cut short": zstd.compress(ROWS[6:8].copy(), 1)[:-5],
        "noise": bytes(range(40, 80)),
    },
}


@pytest.mark.parametrize(("codec", "name"), [(codec, name) for codec in CRAFTED for name in CRAFTED[codec]])
def test_a_block_that_lies_behind_a_right_checksum_is_refused(tmp_path: Path, codec: str, name: str) -> None:
    path = packed(tmp_path, codec)
    with_block(shard_of(path), NUM_BLOCKS, 3, CRAFTED[codec][name])
    with pytest.raises(StoreError, match=r"broken.*(rows 6 to 7|rows 0 to 19)"):
        read(path)


@pytest.mark.parametrize("num_bytes", [1, 200, 256, 300, 70_000])
def test_the_size_in_the_header_of_a_frame(num_bytes: int) -> None:
    assert zstd_size(zstd.compress(bytes(num_bytes), 1)) == num_bytes


# --- metadata ---------------------------------------------------------------------------------------------------------


def metadata(path: Path) -> dict[str, Any]:
    return json.loads((path / "zarr.json").read_text())


def test_more_rows_than_shards_are_refused_at_opening(tmp_path: Path) -> None:
    path = packed(tmp_path)
    change(path / "zarr.json", shape=[4000, WIDE])
    with pytest.raises(StoreError, match="c/199/0 is missing"):
        open_store(path)


@pytest.mark.parametrize(
    "changes",
    [
        {"shape": [2**62, WIDE]},
        {"shape": [-1, WIDE]},
        {"shape": [True, WIDE]},
        {"shape": [40.0, WIDE]},
        {"shape": 40},
        {"shape": []},
        {"shape": [40, 5]},
        {"shape": [40]},
        {"data_type": "object"},
        {"data_type": ["float32"]},
        {"fill_value": None},
        {"fill_value": "0x7fc00000"},
        {"codecs": []},
        {"codecs": "sharding_indexed"},
        {"chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [0, WIDE]}}},
        {"chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [21, WIDE]}}},
        {"chunk_grid": {"name": "irregular"}},
        {"chunk_key_encoding": {"name": "default", "configuration": {"separator": "/../"}}},
        {"chunk_key_encoding": {"name": "v2"}},
        {"storage_transformers": [{"name": "x"}]},
        {"must_be_understood": {"name": "x"}},
        {"zarr_format": 2},
        {"node_type": "group"},
    ],
    ids=str,
)
def test_another_layout_is_not_ours(tmp_path: Path, changes: dict[str, Any]) -> None:
    whole = metadata(packed(tmp_path))
    assert sharded_array(whole) is not None
    assert sharded_array(whole | changes) is None


def test_other_chains_of_codecs_are_not_ours(tmp_path: Path) -> None:
    whole = metadata(packed(tmp_path))
    inner = whole["codecs"][0]["configuration"]
    bytes_codec, crc = inner["codecs"]
    big = {"name": "bytes", "configuration": {"endian": "big"}}
    for wrong in (
        {"codecs": [bytes_codec]},
        {"codecs": [big, crc]},
        {"codecs": [bytes_codec, {"name": "gzip"}, crc]},
        {"codecs": [bytes_codec, {"name": "zstd"}, {"name": "blosc"}, crc]},
        {"index_codecs": [bytes_codec]},
        {"index_location": "start"},
        {"chunk_shape": [3, WIDE]},
        {"chunk_shape": [2, 3]},
    ):
        codecs = [{"name": "sharding_indexed", "configuration": inner | wrong}]
        assert sharded_array(whole | {"codecs": codecs}) is None, wrong


def test_a_layout_that_is_not_ours_goes_through_tensorstore(tmp_path: Path) -> None:
    path = packed(tmp_path)
    change(path / "zarr.json", fill_value="0x7fc00000")
    with open_store(path) as store:  # type: ignore[attr-defined]
        assert isinstance(store, ZarrStore)
    assert (read(path) == ROWS).all()
    with pytest.raises(StoreError, match="is no sharded Zarr v3 array whose blocks hold whole rows"):
        ShardedStore(path)


# --- the system fails -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("codec", ["none", "lz4", "zstd", "sparse"])
def test_reads_that_give_less_are_completed(tmp_path: Path, codec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = packed(tmp_path, codec)
    pread = os.pread

    def short(descriptor: int, length: int, offset: int) -> bytes:
        return pread(descriptor, min(length, 1 + offset % 70), offset)

    monkeypatch.setattr(os, "pread", short)
    assert (read(path) == ROWS).all()


@pytest.mark.parametrize("codec", ["none", "lz4", "sparse"])
def test_each_read_that_fails_is_a_store_error_and_the_next_one_works(
    tmp_path: Path, codec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = packed(tmp_path, codec)
    pread = os.pread
    failed = 0
    for nth in range(1, 1000):
        calls = 0

        def failing(descriptor: int, length: int, offset: int, nth: int = nth) -> bytes:
            nonlocal calls
            calls += 1
            if nth <= calls <= nth + 1:  # once alone, and once more where it is asked again which file it was
                raise OSError(errno.EIO, "Input/output error")
            return pread(descriptor, length, offset)

        with monkeypatch.context() as patched:
            patched.setattr(os, "pread", failing)
            try:
                assert (read(path, [3, 30, 17]) == ROWS[[3, 30, 17]]).all()
            except StoreError as error:
                assert "Input/output error" in str(error)
                failed += 1
        if calls < nth:
            break
    assert failed >= 4
    assert (read(path) == ROWS).all()


def test_too_many_open_files_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = packed(tmp_path)
    opened = os.open

    def failing(name: Any, *arguments: Any, **options: Any) -> int:
        if "x.zarr/c" in str(name):
            raise OSError(errno.EMFILE, "Too many open files")
        return opened(name, *arguments, **options)

    monkeypatch.setattr(os, "open", failing)
    with pytest.raises(StoreError, match="too many open files"):
        ShardedStore(path)


def num_open(path: Path) -> int:
    links = (os.path.join("/proc/self/fd", name) for name in os.listdir("/proc/self/fd"))
    return sum(os.readlink(link).startswith(str(path)) for link in links if os.path.lexists(link))


@pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="open files are listed by Linux only")
def test_few_files_stay_open_and_none_after_close(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mtgen.stores.shard_files.MOST_FILES", 3)
    monkeypatch.setattr(layouts, "SHARD_BYTES", 2 * ROW_BYTES)
    path = packed(tmp_path)
    store = open_store(path)
    out = np.empty((40, WIDE), "f4")
    store.read_rows(np.arange(40), out)
    assert (out == ROWS).all()
    assert 1 <= num_open(path) <= 3
    store.close()
    assert num_open(path) == 0
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 3


def test_threads_that_put_each_others_files_out_of_the_list_read_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mtgen.stores.shard_files.MOST_FILES", 1)
    monkeypatch.setattr(layouts, "SHARD_BYTES", 2 * ROW_BYTES)
    store = open_store(packed(tmp_path))
    wrong: list[Any] = []

    def work(seed: int) -> None:
        rng = np.random.default_rng(seed)
        out = np.empty((8, WIDE), "f4")
        try:
            for _ in range(60):
                rows = rng.integers(0, 40, 8)
                store.read_rows(rows, out)
                if not (out == ROWS[rows]).all():
                    wrong.append(rows)
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=work, args=(seed,), daemon=True) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not wrong


# --- the sparse form --------------------------------------------------------------------------------------------------

MOSTLY_ZEROS = np.where(np.random.default_rng(0).random(ROWS.shape) < 0.3, ROWS, 0).astype("f4")


def rewritten(path: Path, name: str, values: np.ndarray) -> None:
    """Replace an array of the group by another of the same dtype, with right checksums."""
    shutil.rmtree(path / name)
    layout = layouts.make_layout(len(values), (), values.dtype, codec="none", block_rows=8)
    from mtgen.packing.arrays import NewArray

    array = NewArray(path / name, layout, {}, lambda error: StoreError(str(error)))
    for shard in range(layout.num_shards):
        array.await_written(array.begin_write(shard, values[slice(*layout.span(shard))]))


def parts(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    found = []
    for name in ("data", "indices", "indptr"):
        with ShardedStore(path / name) as store:
            out = np.empty(store.num_rows, store.dtype)
            store.read_rows(np.arange(store.num_rows), out)
            found.append(out)
    return found[0], found[1], found[2]


def sparse_store(tmp_path: Path) -> Path:
    path = packed(tmp_path, "sparse", MOSTLY_ZEROS)
    values, columns, _ = parts(path)
    rewritten(path, "data", values)
    rewritten(path, "indices", columns)
    assert (read(path) == MOSTLY_ZEROS).all()
    return path


@pytest.mark.parametrize("held", [True, False])
@pytest.mark.parametrize(
    ("place", "value"), [(5, 10**6), (5, -3), (5, 2**62), (7, 0), (40, 10**6), (0, 3), (1, 600)], ids=str
)
def test_ends_of_rows_that_lie_are_refused(
    tmp_path: Path, place: int, value: int, held: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = sparse_store(tmp_path)
    _, _, ends = parts(path)
    ends[place] = value
    rewritten(path, "indptr", ends)
    if not held:
        monkeypatch.setattr("mtgen.stores.sparse.HELD_BYTES", 0)
    if place == 0:  # row 0 has other values then, but no impossible ones
        ends[0] = -1
        rewritten(path, "indptr", ends)
    with pytest.raises(StoreError, match=r"indptr is broken: store row \d+ has the values"):
        read(path)


@pytest.mark.parametrize("column", [WIDE, 65535])
def test_columns_out_of_the_row_are_refused(tmp_path: Path, column: int) -> None:
    path = sparse_store(tmp_path)
    _, columns, ends = parts(path)
    row = int(np.flatnonzero(np.diff(ends))[3])
    columns[ends[row + 1] - 1] = column
    rewritten(path, "indices", columns)
    with pytest.raises(StoreError, match=rf"indices is broken: a value of store row {row} is in column {column}, exp"):
        read(path)


def test_columns_that_come_twice_are_refused(tmp_path: Path) -> None:
    path = sparse_store(tmp_path)
    _, columns, ends = parts(path)
    row = int(np.flatnonzero(np.diff(ends) > 1)[2])
    columns[ends[row] + 1] = columns[ends[row]]
    rewritten(path, "indices", columns)
    with pytest.raises(StoreError, match=rf"a value of store row {row} is in column"):
        read(path)


@pytest.mark.parametrize(
    "changes",
    [
        {"shape": [40]},
        {"shape": [41, WIDE]},
        {"shape": [40, 7]},
        {"shape": [40, -WIDE]},
        {"shape": [2**70, WIDE]},
        {"shape": None},
        {"mtgen_row_shape": [7]},
        {"mtgen_row_shape": "6"},
        {"mtgen_row_shape": [True, WIDE]},
        {"mtgen_row_shape": [2**61, 2**61]},
        {"mtgen_row_shape": [1] * 40},
    ],
    ids=str,
)
def test_a_group_that_contradicts_its_arrays_is_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    path = sparse_store(tmp_path)
    attributes = metadata(path)["attributes"]
    change(path / "zarr.json", attributes=attributes | changes)
    with pytest.raises(StoreError, match="contradicts its arrays") as caught:
        open_store(path)
    assert len(str(caught.value)) < 1500


@pytest.mark.parametrize("name", ["data", "indices", "indptr"])
def test_arrays_of_a_group_that_are_lost_cut_or_flipped(tmp_path: Path, name: str) -> None:
    path = sparse_store(tmp_path)
    shard = path / name / "c" / "0"
    whole = shard.read_bytes()
    for hurt in (whole[:-1], whole[: len(whole) // 2], b"", bytes([whole[0] ^ 1]) + whole[1:]):
        shard.write_bytes(hurt)
        with pytest.raises(StoreError, match=rf"{name}/c/0 is broken"):
            read(path)
    shard.unlink()
    with pytest.raises(StoreError, match=rf"{name}/c/0 is missing"):
        read(path)
    shutil.rmtree(path / name)
    with pytest.raises(StoreError, match=rf"{name}/zarr.json cannot be read"):
        read(path)


def test_a_flip_in_values_names_the_rows_that_were_wanted(tmp_path: Path) -> None:
    path = sparse_store(tmp_path)
    shard = path / "data" / "c" / "0"
    content = shard.read_bytes()
    shard.write_bytes(bytes([content[0] ^ 1]) + content[1:])
    row = int(np.flatnonzero(MOSTLY_ZEROS.any(axis=1))[0])
    with pytest.raises(StoreError, match=rf"its checksum is wrong; it holds values 0 to 7: .*\(store rows {row}\)"):
        read(path, [row])


def test_another_number_of_values_and_columns_is_refused(tmp_path: Path) -> None:
    path = sparse_store(tmp_path)
    _, columns, _ = parts(path)
    rewritten(path, "indices", columns[:-1])
    with pytest.raises(StoreError, match=r"values in data, \d+ uint16 in indices"):
        open_store(path)
    rewritten(path, "indices", columns.astype("f4"))
    with pytest.raises(StoreError, match=r"\d+ float32 in indices"):
        open_store(path)
