"""`mtgen.pack` on real stores: right, readable by others, gone on with after kills, never half there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import mtgen
from mtgen.errors import PlanError, StoreError
from mtgen.packing import layout as layouts
from mtgen.packing import pack
from mtgen.packing.arrays import NewArray
from mtgen.stores.bcolz_writer import write_bcolz

ROOT = Path(__file__).resolve().parents[2]
NUM_ROWS = 1000


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layouts, "SHARD_BYTES", 8192)


def rows_of(dtype: str = "float32", row_shape: tuple[int, ...] = (6,)) -> np.ndarray:
    rng = np.random.default_rng(0)
    return (rng.standard_normal((NUM_ROWS, *row_shape)) * 100).astype(dtype)


def mostly_zeros(row_shape: tuple[int, ...] = (30,)) -> np.ndarray:
    rows = rows_of(row_shape=row_shape)
    rows[np.random.default_rng(2).random(rows.shape) < 0.9] = 0
    return rows


def read(store: Any) -> np.ndarray:
    out = np.empty((store.num_rows, *store.row_shape), store.dtype)
    order = np.random.default_rng(1).permutation(store.num_rows)
    got = out.copy()
    store.read_rows(order, got)
    out[order] = got
    return out


@pytest.mark.parametrize("codec", ["auto", "none", "lz4", "zstd"])
@pytest.mark.parametrize(("dtype", "row_shape"), [("float32", (6,)), ("uint8", (3, 2)), ("int64", ()), (">f8", (2,))])
def test_mtgen_tensorstore_and_zarr_read_the_same_bytes(
    codec: Any, dtype: str, row_shape: tuple[int, ...], tmp_path: Path
) -> None:
    import tensorstore
    import zarr

    array = rows_of(dtype, row_shape)
    packed = pack(array, tmp_path / "x.zarr", codec=codec, verify=True)
    assert packed.layout.num_shards > 1 or row_shape != (6,)
    assert np.array_equal(read(mtgen.open_store(tmp_path / "x.zarr")), array)
    assert np.array_equal(zarr.open_array(tmp_path / "x.zarr", mode="r")[:], array)
    spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": str(tmp_path / "x.zarr")}}
    assert np.array_equal(tensorstore.open(spec).result().read().result(), array)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.zarr"]


@pytest.mark.parametrize("keys", [np.arange(NUM_ROWS) * 7, np.array([f"row {row}" for row in range(NUM_ROWS)])])
def test_keys_travel_with_their_name(keys: np.ndarray, tmp_path: Path) -> None:
    array = rows_of()
    write_bcolz(tmp_path / "x.bcolz", array, keys=keys, key_name="id")
    pack(tmp_path / "x.bcolz", tmp_path / "x.zarr")
    store = mtgen.open_store(tmp_path / "x.zarr")
    assert store.key_name == "id"
    assert store.keys is not None
    assert np.array_equal(read(store.keys), keys)
    data = mtgen.Dataset(pd.DataFrame({"id": keys}), {"x": mtgen.Rows(tmp_path / "x.zarr")})
    assert np.array_equal(data.fetch([5, 3]).inputs["x"], array[[5, 3]])
    with pytest.raises(mtgen.errors.AlignmentError):
        mtgen.Dataset(pd.DataFrame({"id": keys[::-1]}), {"x": mtgen.Rows(tmp_path / "x.zarr")})


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "x.zarr").write_text("mine")
    with pytest.raises(StoreError, match="it exists already, nothing is overwritten"):
        pack(rows_of(), tmp_path / "x.zarr")
    write_bcolz(tmp_path / "y.bcolz", rows_of(), keys=np.arange(NUM_ROWS), key_name="id")
    (tmp_path / "y.zarr.keys.npy").write_text("mine")
    with pytest.raises(StoreError, match="other keys are there already, nothing is overwritten"):
        pack(tmp_path / "y.bcolz", tmp_path / "y.zarr")
    assert not (tmp_path / "y.zarr").exists()
    assert [(tmp_path / name).read_text() for name in ("x.zarr", "y.zarr.keys.npy")] == ["mine", "mine"]


CHILD = """
    import os, signal, sys
    from pathlib import Path
    from mtgen.packing import arrays, layout, pack
    layout.SHARD_BYTES = 8192
    left = int(sys.argv[3])
    await_written = arrays.NewArray.await_written
    def counted(self, written):
        global left
        await_written(self, written)
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
    arrays.NewArray.await_written = counted
    print(pack(sys.argv[1], sys.argv[2], verify=True))
"""


def child(source: Path, target: Path, num_shards: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(CHILD), str(source), str(target), str(num_shards)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize("array", [rows_of(), mostly_zeros()], ids=["none", "sparse"])
def test_killed_runs_go_on_where_they_were(array: np.ndarray, tmp_path: Path) -> None:
    write_bcolz(tmp_path / "x.bcolz", array, keys=np.arange(NUM_ROWS), key_name="id")
    num_files = 2 if array.shape[1] == 30 else 1  # for values and columns
    for num_shards in (num_files, num_files):
        assert child(tmp_path / "x.bcolz", tmp_path / "x.zarr", num_shards).returncode == -signal.SIGKILL
        assert not (tmp_path / "x.zarr").exists()
    packed = pack(tmp_path / "x.bcolz", tmp_path / "x.zarr", verify=True)
    assert packed.num_written <= packed.num_shards - 2
    assert f"{packed.num_shards - packed.num_written} of {packed.num_shards} shards were there" in str(packed)
    assert (packed.layout.codec == "sparse") == (array.shape[1] == 30)
    assert np.array_equal(read(mtgen.open_store(tmp_path / "x.zarr")), array)
    assert not list(tmp_path.glob(".*"))


def interrupted(source: Path, target: Path) -> Path:
    assert child(source, target, 2).returncode == -signal.SIGKILL
    return target.with_name(f".{target.name}.packing")


def test_a_shard_that_was_damaged_meanwhile_is_written_anew(tmp_path: Path) -> None:
    array = rows_of()
    write_bcolz(tmp_path / "x.bcolz", array)
    folder = interrupted(tmp_path / "x.bcolz", tmp_path / "x.zarr")
    shard = folder / "rows.zarr" / "c" / "0" / "0"
    content = bytearray(shard.read_bytes())
    content[len(content) // 3] ^= 0xFF
    shard.write_bytes(content)
    packed = pack(tmp_path / "x.bcolz", tmp_path / "x.zarr", verify=True)
    assert packed.num_written >= packed.layout.num_shards - 1
    assert np.array_equal(read(mtgen.open_store(tmp_path / "x.zarr")), array)


def test_another_source_or_other_settings_are_refused_with_what_differs(tmp_path: Path) -> None:
    write_bcolz(tmp_path / "x.bcolz", rows_of())
    folder = interrupted(tmp_path / "x.bcolz", tmp_path / "x.zarr")
    with pytest.raises(StoreError, match=r"was interrupted here: setting 'codec' was 'auto' and is 'zstd'\. Finish"):
        pack(tmp_path / "x.bcolz", tmp_path / "x.zarr", codec="zstd")
    os.utime(tmp_path / "x.bcolz" / "data" / "__0.blp", ns=(1, 1))
    with pytest.raises(StoreError, match="setting 'source' was"):
        pack(tmp_path / "x.bcolz", tmp_path / "x.zarr")
    (folder / "record.json").write_text("{")
    with pytest.raises(StoreError, match="the record of an interrupted packing cannot be read"):
        pack(tmp_path / "x.bcolz", tmp_path / "x.zarr")


@pytest.mark.parametrize("codec", ["none", "sparse"])
@pytest.mark.parametrize("other", [rows_of() + 1, rows_of()[::-1], np.where(rows_of() > 0, rows_of(), 0)], ids=len)
def test_shards_of_another_array_of_the_same_shape_were_kept(
    other: np.ndarray, codec: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An array in memory has no files that would tell it from another one."""
    await_written = NewArray.await_written

    def stopped(array: NewArray, written: Any) -> None:
        await_written(array, written)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(NewArray, "await_written", stopped)
        with pytest.raises(KeyboardInterrupt):
            pack(rows_of(), tmp_path / "x.zarr", codec=codec)
    assert list(tmp_path.glob(".x.zarr.packing/rows.zarr/**/c/0"))
    packed = pack(other, tmp_path / "x.zarr", codec=codec, verify=True)
    assert packed.num_written == packed.num_shards
    assert np.array_equal(read(mtgen.open_store(tmp_path / "x.zarr")), other)


def test_a_source_that_changes_between_counting_and_writing_is_an_error(tmp_path: Path) -> None:
    class Moody:
        shape, dtype = (NUM_ROWS, 30), np.dtype("float32")
        asked = 0

        def __getitem__(self, rows: Any) -> np.ndarray:
            self.asked += 1
            return (mostly_zeros() if self.asked < 20 else rows_of(row_shape=(30,)))[rows]

    with pytest.raises(StoreError, match=r"rows \d+ to \d+ have other values than when they were counted"):
        pack(Moody(), tmp_path / "x.zarr", codec="sparse")
    assert not (tmp_path / "x.zarr").exists()


def test_a_source_that_changes_while_it_is_packed_is_found_by_verify(tmp_path: Path) -> None:
    class Moody:
        shape, dtype = (NUM_ROWS, 6), np.dtype("float32")
        asked = 0

        def __getitem__(self, rows: Any) -> np.ndarray:
            self.asked += 1
            found = rows_of()[rows]
            return found + (self.asked > 8)

    with pytest.raises(StoreError, match=r"rows differ from the source after packing, the first is row \d+"):
        pack(Moody(), tmp_path / "x.zarr", codec="none", verify=True)
    assert not (tmp_path / "x.zarr").exists()


def test_shards_of_zeros_have_files_too(tmp_path: Path) -> None:
    """Without one, a shard that was written could not be told from one that was lost, and was written at each run."""
    packed = pack(np.zeros((NUM_ROWS, 6), "f4"), tmp_path / "x.zarr", verify=True)
    assert len(list((tmp_path / "x.zarr" / "c").glob("*/0"))) == packed.layout.num_shards > 1


@pytest.mark.parametrize("codec", ["auto", "none", "lz4", "zstd", "sparse"])
def test_nan_and_minus_zero_are_the_same_rows(codec: Any, tmp_path: Path) -> None:
    array = mostly_zeros()
    array[3], array[4], array[5] = np.nan, -0.0, 0.0
    pack(array, tmp_path / "x.zarr", codec=codec, verify=True)
    assert read(mtgen.open_store(tmp_path / "x.zarr")).tobytes() == array.tobytes()


@pytest.mark.parametrize("array", [rows_of(), mostly_zeros()], ids=["none", "sparse"])
@pytest.mark.parametrize("name", ["open", "write", "fsync", "rename", "replace"])
def test_whatever_call_fails_nothing_half_is_there_and_the_next_run_works(
    name: str, array: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The calls that Python makes: record, keys, publishing. TensorStore's own are not reached from here."""
    write_bcolz(tmp_path / "x.bcolz", array, keys=np.arange(NUM_ROWS), key_name="id")
    real, failed = getattr(os, name), 0
    for nth in range(1, 100):
        calls = 0

        def failing(*arguments: Any, nth: int = nth, **options: Any) -> Any:
            nonlocal calls
            if "x.zarr" in str(arguments[0]) or name in ("write", "fsync"):
                calls += 1
                if calls == nth:
                    raise OSError(28, "No space left on device")
            return real(*arguments, **options)

        with monkeypatch.context() as patched:
            patched.setattr(os, name, failing)
            try:
                pack(tmp_path / "x.bcolz", tmp_path / "x.zarr")
            except StoreError as error:
                assert "No space left on device" in str(error)
                failed += 1
        if calls < nth:
            break
        if (tmp_path / "x.zarr").exists():
            assert np.array_equal(read(mtgen.open_store(tmp_path / "x.zarr")), array)
            break
    else:
        raise AssertionError("it never came to an end")
    assert failed
    if not (tmp_path / "x.zarr").exists():
        pack(tmp_path / "x.bcolz", tmp_path / "x.zarr")
    assert np.array_equal(read(mtgen.open_store(tmp_path / "x.zarr")), array)


def test_settings_that_cannot_be_followed(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="codec must be one of"):
        pack(rows_of(), tmp_path / "x.zarr", codec="gzip")  # type: ignore[arg-type]
    with pytest.raises(StoreError, match="the values are str"):
        pack(np.array(["a", "b"]), tmp_path / "y.zarr")


def test_the_command_packs_and_says_what_it_made(tmp_path: Path) -> None:
    write_bcolz(tmp_path / "x.bcolz", rows_of())
    command = [sys.executable, "-m", "mtgen", "pack", str(tmp_path / "x.bcolz"), str(tmp_path / "x.zarr"), "--verify"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith(f"{tmp_path / 'x.zarr'}: 1,000 rows of (6,) float32, 42 rows per block, codec ")
    assert ", every row compared with the source; none was chosen by a sample: 100.0% of the values" in ended.stdout
    again = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert (again.returncode, again.stdout) == (1, "")
    assert again.stderr.startswith("error: it exists already, nothing is overwritten")


# --- the sparse form --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("row_shape", [(30,), (5, 6), (2, 3, 5)])
def test_mostly_zeros_are_packed_in_sparse_form_with_their_keys(row_shape: tuple[int, ...], tmp_path: Path) -> None:
    array = mostly_zeros(row_shape)
    write_bcolz(tmp_path / "x.bcolz", array, keys=np.arange(NUM_ROWS) * 3, key_name="id")
    packed = pack(tmp_path / "x.bcolz", tmp_path / "x.zarr", verify=True)
    assert packed.layout.codec == "sparse"
    assert packed.choice is not None
    assert str(packed.choice) in str(packed)
    assert packed.num_bytes < array.nbytes / 2
    store = mtgen.open_store(tmp_path / "x.zarr")
    assert (store.row_shape, store.dtype, store.chunk_rows) == (row_shape, np.dtype("f4"), 1)
    assert store.key_name == "id"
    data = mtgen.Dataset(pd.DataFrame({"id": np.arange(NUM_ROWS) * 3}), {"x": mtgen.Rows(tmp_path / "x.zarr")})
    assert np.array_equal(data.fetch([5, 3, 999]).inputs["x"], array[[5, 3, 999]])
    again = pack(tmp_path / "x.zarr", tmp_path / "dense.zarr", codec="none", verify=True)
    assert again.layout.row_shape == row_shape
    assert np.array_equal(read(mtgen.open_store(tmp_path / "dense.zarr")), array)


def test_rows_of_nothing_but_zeros_take_next_to_nothing(tmp_path: Path) -> None:
    packed = pack(np.zeros((NUM_ROWS, 30), "f4"), tmp_path / "x.zarr", codec="sparse", verify=True)
    assert not read(mtgen.open_store(tmp_path / "x.zarr")).any()
    assert packed.num_bytes < 20_000


def test_many_columns_have_wider_numbers(tmp_path: Path) -> None:
    array = np.zeros((20, 70_000), "u1")
    array[np.arange(20), np.arange(20) * 3684] = np.arange(20) + 1
    pack(array, tmp_path / "x.zarr", codec="sparse", verify=True)
    assert np.array_equal(read(mtgen.open_store(tmp_path / "x.zarr")), array)
    assert (tmp_path / "x.zarr/indices/zarr.json").read_text().count('"uint32"') == 1


def test_the_choice_is_said_on_the_terminal(tmp_path: Path) -> None:
    write_bcolz(tmp_path / "x.bcolz", mostly_zeros())
    command = [sys.executable, "-m", "mtgen", "pack", str(tmp_path / "x.bcolz"), str(tmp_path / "x.zarr")]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr
    assert "codec sparse" in ended.stdout
    assert "sparse was chosen by a sample: 10.2% of the values are not zero; parts of the plain size: " in ended.stdout


@pytest.mark.parametrize("codec", ["none", "lz4", "sparse"])
def test_manifests_cover_packed_stores_and_they_check_themselves(codec: Any, tmp_path: Path) -> None:
    from mtgen.stores.promised import checks_itself
    from mtgen.verify import make_manifest

    array = mostly_zeros()
    pack(array, tmp_path / "x.zarr", codec=codec)
    store = mtgen.open_store(tmp_path / "x.zarr")
    assert checks_itself(store)
    table = pd.DataFrame({"n": range(NUM_ROWS)})
    data = mtgen.Dataset(table, {"x": mtgen.Rows(tmp_path / "x.zarr")})
    make_manifest(data, tmp_path / "manifest.csv")
    for verify in ("open", "read"):
        rows = mtgen.Rows(tmp_path / "x.zarr", manifest=tmp_path / "manifest.csv", verify=verify)
        assert np.array_equal(mtgen.Dataset(table, {"x": rows}).fetch([7]).inputs["x"], array[[7]])
    shard = next(path for path in sorted((tmp_path / "x.zarr").rglob("0")) if path.is_file())
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(mtgen.errors.MtgenError):
        mtgen.Dataset(table, {"x": mtgen.Rows(tmp_path / "x.zarr", manifest=tmp_path / "manifest.csv")})


def test_keys_that_lie_there_are_not_taken_for_those_of_a_source_without(tmp_path: Path) -> None:
    """They were adopted: the new store opened with the keys of another."""
    np.save(tmp_path / "q.npy", np.eye(5))
    np.save(tmp_path / "q.zarr.keys.npy", np.arange(5)[::-1])
    with pytest.raises(StoreError, match="keys are there already, the source has none"):
        pack(tmp_path / "q.npy", tmp_path / "q.zarr")
    assert not (tmp_path / "q.zarr").exists()
