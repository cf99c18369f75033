"""A dataset that is not the one it was: found before the run, at the read, and by a resumed run; never trained on."""

from __future__ import annotations

import csv
import os
import pickle
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

import mtgen
from mtgen.cli import app
from mtgen.errors import ChangedError, DecodeError, ManifestError, PlanError, StateError, StoreError
from mtgen.stores import open_store
from mtgen.stores.bcolz_writer import write_bcolz, write_bcolz_table
from mtgen.stores.promised import files_at
from mtgen.verify import make_manifest, verify
from tests.support.flips import flip, rewrite
from tests.support.pictures import encode, photo

pytestmark = pytest.mark.usefixtures("no_thread_left")

NUM_ROWS = 12
SEEDS = range(25)
FORMATS = {"JPEG": {"quality": 90}, "PNG": {}, "WEBP": {"quality": 80}}
FEATURES = np.random.default_rng(3).normal(size=(NUM_ROWS, 40)).astype("float32").round(1)


def make_pictures(folder: Path, picture_format: str = "PNG") -> pd.DataFrame:
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"{row}.{picture_format.lower()}" for row in range(NUM_ROWS)]
    for row, name in enumerate(names):
        (folder / name).write_bytes(encode(np.roll(photo(40, 56), row, 0), picture_format, **FORMATS[picture_format]))
    return pd.DataFrame({"file": names, "y": np.arange(NUM_ROWS) % 2})


def with_pictures(table: pd.DataFrame, folder: Path, **settings: Any) -> mtgen.Dataset:
    return mtgen.Dataset(table, {"image": mtgen.Images("file", root=folder, size=(8, 8), **settings)}, targets="y")


def with_store(store: Any, **settings: Any) -> mtgen.Dataset:
    return mtgen.Dataset(
        pd.DataFrame({"y": np.arange(NUM_ROWS) % 2}), {"x": mtgen.Rows(store, **settings)}, targets="y"
    )


def write_zarr(path: Path, *, crc32c: bool) -> Path:
    zarr = pytest.importorskip("zarr")
    codecs = [zarr.codecs.BloscCodec(), *([zarr.codecs.Crc32cCodec()] if crc32c else [])]
    array = zarr.create_array(
        str(path), shape=FEATURES.shape, chunks=(3, 40), shards=(6, 40), dtype="float32", compressors=codecs
    )
    array[:] = FEATURES
    return path


def write_hdf5(path: Path, *, fletcher32: bool) -> Path:
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w") as file:
        file.create_dataset("x", data=FEATURES, chunks=(4, 40), fletcher32=fletcher32)
    return path


# --- four bytes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("picture_format", FORMATS)
def test_four_changed_bytes_in_a_picture_are_found(tmp_path: Path, picture_format: str) -> None:
    """By comparing with the manifest and at the read; in whatever place they are."""
    table = make_pictures(tmp_path / "pictures", picture_format)
    manifest = tmp_path / "manifest.csv"
    make_manifest(with_pictures(table, tmp_path / "pictures"), manifest)
    read = with_pictures(table, tmp_path / "pictures", manifest=manifest, verify="read")
    whole = read.fetch([5]).inputs["image"]
    path = tmp_path / "pictures" / f"5.{picture_format.lower()}"
    for seed in SEEDS:
        before = flip(path, seed)
        report = verify(with_pictures(table, tmp_path / "pictures"), manifest, num_workers=0)
        assert [(one.row, one.path) for one in report.problems] == [(5, str(path))]
        assert report.problems[0].error.startswith("content: it does not have the checksum")
        assert verify(with_pictures(table, tmp_path / "pictures"), manifest, quick=True, num_workers=0).is_fine
        with pytest.raises(ChangedError, match=r"the dataset changed: the content of the file .* \[row 5, path .*5\."):
            read.fetch([5])
        assert read.fetch([4, 6]).rows.tolist() == [4, 6]
        rewrite(path, before)
    np.testing.assert_array_equal(read.fetch([5]).inputs["image"], whole)


REGIONS = {
    "blp header": (0, 16),
    "Blosc header": (16, 32),
    "index": (32, 40),
    "data": (40, -24),
    "trailer": (-8, None),
}


@pytest.mark.parametrize("region", REGIONS)
def test_changed_bytes_in_a_bcolz_chunk_are_found_with_chunk_and_rows(tmp_path: Path, region: str) -> None:
    store = write_bcolz(tmp_path / "x.bcolz", FEATURES, chunk_rows=5, codec="zstd")
    manifest = tmp_path / "manifest.csv"
    make_manifest(with_store(store), manifest)
    read = with_store(store, manifest=manifest, verify="read")
    path = store / "data" / "__1.blp"
    first, last = REGIONS[region]
    size = path.stat().st_size
    for seed in SEEDS:
        before = flip(path, seed, first=first % size, last=None if last is None else last % size)
        report = verify(with_store(store), manifest, num_workers=0)
        assert [one.path for one in report.problems] == [str(path)]
        for arguments in ([7], [9, 5]):
            with pytest.raises(ChangedError, match="chunk 1, store rows 5 to 9") as caught:
                read.fetch(arguments)
            assert caught.value.row == arguments[0]
        np.testing.assert_array_equal(read.fetch([0, 11]).inputs["x"], FEATURES[[0, 11]])
        rewrite(path, before)
    np.testing.assert_array_equal(read.fetch(np.arange(NUM_ROWS)).inputs["x"], FEATURES)


@pytest.mark.parametrize("member", ["column of a ctable", "keys"])
def test_changed_bytes_are_found_wherever_the_chunk_belongs(tmp_path: Path, member: str) -> None:
    keys = np.arange(NUM_ROWS)
    table = pd.DataFrame({"id": keys, "y": keys})
    if member == "keys":
        folder = write_bcolz(tmp_path / "x.bcolz", FEATURES, chunk_rows=5, keys=keys, key_name="id")
        path = tmp_path / "x.keys.bcolz" / "data" / "__0.blp"
    else:
        folder = write_bcolz_table(tmp_path / "x.bcolz", {"id": keys, "x": FEATURES}, key="id")
        path = folder / "x" / "data" / "__0.blp"
    make_manifest(mtgen.Dataset(table, {"x": mtgen.Rows(folder)}), tmp_path / "manifest.csv")
    read = mtgen.Dataset(table, {"x": mtgen.Rows(folder, manifest=tmp_path / "manifest.csv", verify="read")})
    again = pickle.loads(pickle.dumps(read))
    flip(path, 0, first=40)
    for data in (read, again):
        with pytest.raises(ChangedError, match="does not have the checksum"):
            data.fetch([1])


@pytest.mark.parametrize("crc32c", [True, False])
def test_changed_bytes_in_a_zarr_shard_are_found(tmp_path: Path, crc32c: bool) -> None:
    store = write_zarr(tmp_path / "x.zarr", crc32c=crc32c)
    (shard,) = [path for path in (store / "c").rglob("*") if path.is_file() and path.parent.name == "1"]
    manifest = tmp_path / "manifest.csv"
    make_manifest(with_store(store), manifest)
    if not crc32c:
        says = r"verify='read' cannot check .*Zarr v3 with the crc32c codec and HDF5 with fletcher32 check themselves"
        with pytest.raises(PlanError, match=says):
            with_store(store, manifest=manifest, verify="read")
    for seed in SEEDS:
        before = flip(shard, seed)
        report = verify(with_store(store), manifest, num_workers=0)
        assert [one.path for one in report.problems] == [str(shard)]
        if crc32c:  # at the read, without a manifest and with one
            for settings in ({}, {"manifest": manifest, "verify": "read"}):
                with pytest.raises(StoreError, match=r"its checksum is wrong|the checksum of its index is wrong"):
                    with_store(store, **settings).fetch(np.arange(6, NUM_ROWS))
        rewrite(shard, before)


def test_hdf5_with_fletcher32_checks_itself(tmp_path: Path) -> None:
    plain, checked = (write_hdf5(tmp_path / f"{flag}.h5", fletcher32=flag) for flag in (False, True))
    for path in (plain, checked):
        make_manifest(with_store(path), tmp_path / f"{path.name}.csv")
    with pytest.raises(PlanError, match="check themselves"):
        with_store(plain, manifest=tmp_path / f"{plain.name}.csv", verify="read")
    data = with_store(checked, manifest=tmp_path / f"{checked.name}.csv", verify="read")
    np.testing.assert_array_equal(data.fetch([3]).inputs["x"], FEATURES[[3]])
    content = checked.read_bytes()
    place = content.index(FEATURES[4:8].tobytes())
    flip(checked, 0, first=place, last=place + FEATURES[4:8].nbytes)
    with pytest.raises(StoreError, match="h5py cannot read"):
        with_store(checked).fetch([5])


@pytest.mark.parametrize("suffix", ["npy", "parquet", "b2nd"])
def test_read_is_refused_where_nothing_could_compare(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"x.{suffix}"
    if suffix == "npy":
        np.save(path, FEATURES)
    elif suffix == "parquet":
        pytest.importorskip("pyarrow")
        pd.DataFrame(FEATURES, columns=[f"c{place}" for place in range(40)]).to_parquet(path)
    else:
        pytest.importorskip("blosc2").asarray(FEATURES, urlpath=str(path))
    source = f"{path}::*" if suffix == "parquet" else path
    make_manifest(with_store(source), tmp_path / "manifest.csv")
    with pytest.raises(PlanError, match=r"Use verify='open'"):
        with_store(source, manifest=tmp_path / "manifest.csv", verify="read")
    assert with_store(source, manifest=tmp_path / "manifest.csv").fetch([1]).rows.tolist() == [1]


# --- fault 5: files replaced between index and training ---------------------------------------------------------------


def replaced(path: Path) -> None:
    path.write_bytes(encode(photo(30, 30)))


def touched(path: Path) -> None:
    os.utime(path, ns=(1, 1))


CHANGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "replaced": (replaced, r"it has [\d,]+ bytes, the manifest says [\d,]+"),
    "modified": (touched, r"it was modified [\d,.]+ s earlier than the manifest says"),
    "removed": (lambda path: path.unlink(), "it cannot be found|No such file"),
    "cut": (lambda path: os.truncate(path, 10), "it has 10 bytes"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_picture_is_found_at_the_build(tmp_path: Path, change: str) -> None:
    table = make_pictures(tmp_path)
    make_manifest(with_pictures(table, tmp_path), tmp_path / "manifest.csv")
    act, says = CHANGES[change]
    for row in (3, 8):
        act(tmp_path / f"{row}.png")
    with pytest.raises(ChangedError, match=says) as caught:
        with_pictures(table, tmp_path, manifest=tmp_path / "manifest.csv")
    assert "2 of 12 files differ" in str(caught.value)
    assert str(tmp_path / "3.png") in str(caught.value)
    with_pictures(table, tmp_path, manifest=tmp_path / "manifest.csv", verify="off")


@pytest.mark.parametrize("mode", ["open", "read"])
@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("change", CHANGES)
def test_a_picture_changed_during_the_run_stops_it(tmp_path: Path, change: str, mode: str, num_workers: int) -> None:
    table = make_pictures(tmp_path)
    make_manifest(with_pictures(table, tmp_path), tmp_path / "manifest.csv")
    data = with_pictures(table, tmp_path, manifest=tmp_path / "manifest.csv", verify=mode)
    with mtgen.Loader(data, 3, num_workers=num_workers) as loader:
        loader.batch(0)
        row = int(loader.rows(2)[1])
        act, says = CHANGES[change]
        act(tmp_path / f"{row}.png")
        kind = DecodeError if change == "removed" else ChangedError
        with pytest.raises(kind, match=says) as caught:
            loader.batch(2)
        assert (caught.value.row, caught.value.step, caught.value.path) == (row, 2, str(tmp_path / f"{row}.png"))
        assert "[step 2, row " in str(caught.value)


def test_many_changed_files_are_counted_and_the_first_listed(tmp_path: Path) -> None:
    table = make_pictures(tmp_path)
    make_manifest(with_pictures(table, tmp_path), tmp_path / "manifest.csv")
    for row in range(7):
        (tmp_path / f"{row}.png").unlink()
    replaced(tmp_path / "9.png")
    with pytest.raises(ChangedError) as caught:
        with_pictures(table, tmp_path, manifest=tmp_path / "manifest.csv")
    text = str(caught.value)
    assert "8 of 12 files differ (7 missing, 1 of another size): row 0, " in text
    assert text.count("it cannot be found") == 5
    assert "; and 3 more. Compare contents by mtgen verify --manifest" in text


# --- fault 10: a store that was cut or has grown ----------------------------------------------------------------------


def test_a_store_that_was_cut_or_has_grown_is_found_at_opening(tmp_path: Path) -> None:
    kept = (
        write_bcolz(tmp_path / "kept" / "x.bcolz", FEATURES, chunk_rows=5)
        if (tmp_path / "kept").mkdir() is None
        else None
    )
    make_manifest(with_store(kept), tmp_path / "manifest.csv")
    chunk = Path("data") / "__1.blp"
    changes: list[tuple[Callable[[Path], object], str]] = [
        (lambda store: os.truncate(store / chunk, 200), "1 of another size.*it has 200 bytes"),
        (lambda store: (store / chunk).write_bytes((store / chunk).read_bytes() + b"0"), "1 of another size"),
        (lambda store: (store / "data" / "__3.blp").write_bytes(b"0"), "1 new.*the manifest does not name it"),
        (lambda store: (store / chunk).unlink(), r"1 missing.*x\.bcolz/data/__1\.blp: it is missing"),
        (lambda store: touched(store / "meta" / "sizes"), "1 modified at another time"),
        (lambda store: shutil.rmtree(store / "meta"), "is missing|no store"),
    ]
    for number, (act, says) in enumerate(changes):
        store = Path(shutil.copytree(kept, tmp_path / str(number) / "x.bcolz"))
        assert with_store(store, manifest=tmp_path / "manifest.csv", verify="read").fetch([0]).rows.tolist() == [0]
        act(store)
        with pytest.raises((ChangedError, StoreError), match=f"(?s){says}"):
            with_store(store, manifest=tmp_path / "manifest.csv")


@pytest.mark.parametrize("suffix", ["npy", "h5"])
def test_a_single_file_that_was_cut_or_has_grown_is_found_at_opening(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"x.{suffix}"
    np.save(path, FEATURES) if suffix == "npy" else write_hdf5(path, fletcher32=False)
    make_manifest(with_store(path), tmp_path / "manifest.csv")
    with path.open("ab") as file:
        file.write(b"grown")
    with pytest.raises(ChangedError, match=r"1 of 1 files differ \(1 of another size\)"):
        with_store(path, manifest=tmp_path / "manifest.csv")


def test_a_chunk_changed_during_the_run_stops_it(tmp_path: Path) -> None:
    store = write_bcolz(tmp_path / "x.bcolz", FEATURES, chunk_rows=5)
    make_manifest(with_store(store), tmp_path / "manifest.csv")
    data = with_store(store, manifest=tmp_path / "manifest.csv")
    with mtgen.Loader(data, 4, num_workers=2, shuffle=False) as loader:
        loader.batch(0)
        touched(store / "data" / "__2.blp")
        with pytest.raises(ChangedError, match=r"modified .* \[step 2, row 10, path "):
            loader.batch(2)


# --- fault 9: what is lost with a chunk -------------------------------------------------------------------------------


def test_a_corrupt_chunk_lists_the_rows_that_are_lost(tmp_path: Path) -> None:
    store = write_bcolz(tmp_path / "x.bcolz", FEATURES, chunk_rows=5)
    table = pd.DataFrame({"store_row": [0, 7, 11, 5, 7, 1], "y": range(6)})
    data = mtgen.Dataset(table, {"x": mtgen.Rows(store, index="store_row")})
    assert verify(data).is_fine
    os.truncate(store / "data" / "__1.blp", 100)
    report = verify(data)
    assert report.rows.tolist() == [1, 3, 4]
    says = rf"store row 7 is lost: {store}/data/__1\.blp is broken: .*truncated.*chunk 1, store rows 5 to 9"
    assert re.fullmatch(says + ".*", report.problems[0].error)
    unused = mtgen.Dataset(table.iloc[:1], {"x": mtgen.Rows(store, index="store_row")})
    (problem,) = verify(unused).problems
    assert (problem.row, problem.error.partition(":")[0]) == (None, "store rows 5 to 9 are lost")
    (store / "data" / "__2.blp").unlink()
    assert verify(data).rows.tolist() == [1, 2, 3, 4]
    with pytest.raises(StoreError, match="chunk 2, store rows 10 to 11"):  # first and last chunk are looked at here
        open_store(store)


def test_a_corrupt_inner_chunk_of_a_shard_lists_its_rows_alone(tmp_path: Path) -> None:
    store = write_zarr(tmp_path / "x.zarr", crc32c=True)
    assert verify(with_store(store)).is_fine
    (shard,) = [path for path in (store / "c").rglob("*") if path.is_file() and path.parent.name == "1"]
    flip(shard, 0, first=20, last=60)
    assert verify(with_store(store)).rows.tolist() == [6, 7, 8]


# --- everything is read once ------------------------------------------------------------------------------------------


def test_every_row_that_cannot_be_read_is_listed(tmp_path: Path) -> None:
    table = make_pictures(tmp_path / "pictures")
    table = pd.concat([table, table.iloc[[4]]], ignore_index=True)  # row 12 shows the picture of row 4 again
    (tmp_path / "pictures" / "2.png").unlink()
    (tmp_path / "pictures" / "4.png").write_bytes(b"<html>404</html>")
    os.truncate(tmp_path / "pictures" / "7.png", 60)
    data = with_pictures(table, tmp_path / "pictures")
    for num_workers in (0, 3):
        report = verify(data, num_workers=num_workers)
        assert report.rows.tolist() == [2, 4, 7, 12]
        assert report.num_checked == NUM_ROWS
    report.write(tmp_path / "report.csv")
    with (tmp_path / "report.csv").open(newline="") as file:
        lines = list(csv.reader(file))
    assert lines[0] == ["row", "path", "error"]
    assert [line[0] for line in lines[1:]] == ["2", "4", "7", "12"]
    assert lines[1][1] == str(tmp_path / "pictures" / "2.png")
    assert "No such file" in lines[1][2]
    assert "perhaps a saved error page" in lines[4][2]
    assert str(report).startswith(f"12 looked at: 4 problems\n  row 2, {tmp_path / 'pictures' / '2.png'}: cannot read")


def test_missing_rows_are_a_mask_to_take_by(tmp_path: Path) -> None:
    """Fault 1: listed with their count before the run; the rest keeps its rows."""
    table = make_pictures(tmp_path)
    for row in (0, 5, 11):
        (tmp_path / f"{row}.png").unlink()
    data = with_pictures(table, tmp_path)
    assert np.flatnonzero(data.missing()).tolist() == [0, 5, 11]
    rest = data.take(~data.missing())
    assert rest.rows.tolist() == [1, 2, 3, 4, 6, 7, 8, 9, 10]
    assert not rest.missing().any()
    assert data.take([5, 6]).missing().sum() == 1
    assert rest.digests["rows"] != data.digests["rows"]  # a run says which rows it went without
    with pytest.raises(ManifestError, match=r"3 files cannot be read, no manifest was written: row 0, .*No such file"):
        make_manifest(data, tmp_path / "manifest.csv")
    assert not (tmp_path / "manifest.csv").exists()
    shorter = table[~data.missing()]
    make_manifest(with_pictures(shorter, tmp_path), tmp_path / "manifest.csv")
    with pytest.raises(ManifestError, match=r"does not name the files of 3 of 12 rows \(row 0: .*drop these rows"):
        with_pictures(table, tmp_path, manifest=tmp_path / "manifest.csv")


# --- a resumed run ----------------------------------------------------------------------------------------------------


def test_a_manifest_may_come_and_go_but_not_change(tmp_path: Path) -> None:
    table = make_pictures(tmp_path)
    store = write_bcolz(tmp_path / "x.bcolz", FEATURES, chunk_rows=5)

    def loader(**settings: Any) -> mtgen.Loader:
        inputs = {
            "image": mtgen.Images("file", root=tmp_path, size=(8, 8), **settings),
            "x": mtgen.Rows(store, **settings),
        }
        return mtgen.Loader(mtgen.Dataset(table, inputs, targets="y"), 3, num_workers=0)

    manifest, other = tmp_path / "manifest.csv", tmp_path / "other.csv"
    made = make_manifest(loader().dataset, manifest)
    without, given = loader(), loader(manifest=manifest)
    given.restore(without.state(2))
    without.restore(given.state(2))
    loader(manifest=manifest, verify="read").restore(given.state(2))
    for path in tmp_path.glob("*.png"):
        touched(path)  # a copy elsewhere: other times, the same content
    again = make_manifest(without.dataset, other)
    assert (again.digest(), again.format() == made.format()) == (made.digest(), False)
    loader(manifest=other).restore(given.state(2))
    (tmp_path / "3.png").write_bytes(encode(photo(30, 30)))
    make_manifest(without.dataset, other)
    with pytest.raises(StateError, match=r"dataset part 'files of input image' was '\w+' and is '\w+'"):
        loader(manifest=other).restore(given.state(2))
    with pytest.raises(StateError, match="'files of input image'"):
        loader(manifest=other).restore(given.state(2))


# --- settings and refusals --------------------------------------------------------------------------------------------


def test_settings_that_mean_nothing_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match=r"verify='read' compares files with a manifest, and none is given"):
        mtgen.Images("file", size=(8, 8), verify="read")
    with pytest.raises(PlanError, match=r"verify must be 'open', 'read' or 'off', received 'always'"):
        mtgen.Images("file", size=(8, 8), verify="always")
    with pytest.raises(PlanError, match=r"manifest must be the path of a manifest or None, received 7"):
        mtgen.Images("file", size=(8, 8), manifest=7)
    np.save(tmp_path / "x.npy", FEATURES)
    make_manifest(with_store(tmp_path / "x.npy"), tmp_path / "manifest.csv")
    with pytest.raises(PlanError, match="a manifest covers local files"):
        with_store(FEATURES, manifest=tmp_path / "manifest.csv")
    with pytest.raises(PlanError, match="neither pictures nor stores on disk"):
        make_manifest(with_store(FEATURES), tmp_path / "other.csv")
    with pytest.raises(PlanError, match="quick=True compares"):
        verify(with_store(FEATURES), quick=True)
    (tmp_path / "x.npy").rename(tmp_path / "renamed.npy")
    with pytest.raises(ManifestError, match=r"names no file of the store 'renamed.npy'; it names 1 files"):
        with_store(tmp_path / "renamed.npy", manifest=tmp_path / "manifest.csv")
    with pytest.raises(ManifestError, match=r"does not name the files of 12 of 12 rows"):
        with_pictures(make_pictures(tmp_path), tmp_path, manifest=tmp_path / "manifest.csv")


def test_two_inputs_with_different_files_of_one_name_need_two_manifests(tmp_path: Path) -> None:
    table = make_pictures(tmp_path / "a")
    make_pictures(tmp_path / "b")
    pictures = {name: mtgen.Images("file", root=tmp_path / name, size=(8, 8)) for name in "ab"}
    with pytest.raises(ManifestError, match=r"two inputs have different files of the same path, b'0.png'"):
        make_manifest(mtgen.Dataset(table, pictures), tmp_path / "manifest.csv")
    twice = {name: mtgen.Images("file", root=tmp_path / "a", size=(size, 8)) for name, size in (("x", 4), ("y", 8))}
    assert len(make_manifest(mtgen.Dataset(table, twice), tmp_path / "manifest.csv")) == NUM_ROWS


@pytest.mark.skipif(os.name == "nt", reason="names on Windows are text")
def test_names_of_any_bytes_are_covered(tmp_path: Path) -> None:
    names = [os.fsdecode(b"caf\xe9.png"), 'a,"b".png', "new\nline.png", "return\r.png", "é.png", " .png"]
    for name in names:
        Image.new("RGB", (4, 4)).save(tmp_path / "x", "PNG")
        os.rename(tmp_path / "x", tmp_path / name)
    table = pd.DataFrame({"file": pd.Series(names, dtype=object), "y": range(6)})
    make_manifest(with_pictures(table, tmp_path), tmp_path / "manifest.csv")
    data = with_pictures(table, tmp_path, manifest=tmp_path / "manifest.csv", verify="read")
    assert len(data.fetch(range(6)).rows) == 6
    os.truncate(tmp_path / names[0], 5)
    report = verify(with_pictures(table, tmp_path), tmp_path / "manifest.csv")
    report.write(tmp_path / "report.csv")
    assert b"caf\xe9.png" in (tmp_path / "report.csv").read_bytes()


def test_copied_files_are_a_remark_and_new_or_missing_ones_problems(tmp_path: Path) -> None:
    table = make_pictures(tmp_path / "pictures")
    store = write_bcolz(tmp_path / "x.bcolz", FEATURES, chunk_rows=5)
    both = {"image": mtgen.Images("file", root=tmp_path / "pictures", size=(8, 8)), "x": mtgen.Rows(store)}
    make_manifest(mtgen.Dataset(table, both), tmp_path / "manifest.csv")
    touched(tmp_path / "pictures" / "3.png")
    report = verify(mtgen.Dataset(table, both), tmp_path / "manifest.csv")
    assert report.is_fine
    assert "1 files have another time of modification and the same content" in str(report)
    assert not verify(mtgen.Dataset(table, both), tmp_path / "manifest.csv", quick=True).is_fine
    (store / "data" / "__9.blp").write_bytes(b"extra")
    (store / "__attrs__").unlink(missing_ok=True)
    (tmp_path / "pictures" / "5.png").unlink()
    report = verify(mtgen.Dataset(table, both), tmp_path / "manifest.csv")
    found = {(one.row, Path(one.path).name): one.error.partition(":")[0] for one in report.problems}
    assert found == {(5, "5.png"): "missing", (None, "__9.blp"): "new", (None, "__attrs__"): "missing"}
    alone = mtgen.Dataset(table, {"image": both["image"]})
    assert "files of the manifest belong to no row and no store" in str(verify(alone, tmp_path / "manifest.csv"))


# --- the command ------------------------------------------------------------------------------------------------------


def run(*arguments: object) -> Any:
    return CliRunner().invoke(app, ["verify", *map(str, arguments)])


def test_the_command_makes_compares_and_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_pictures(tmp_path / "pictures").to_csv("table.csv", index=False)
    write_bcolz(tmp_path / "x.bcolz", FEATURES, chunk_rows=5)
    options = ["--table", "table.csv", "--image-column", "file", "--image-root", "pictures", "--features", "x.bcolz"]
    assert run(*options).exit_code == 0
    made = run(*options, "--make", "--manifest", "manifest.csv")
    assert (made.exit_code, made.stdout[:13]) == (0, "manifest.csv:")
    assert run(*options, "--manifest", "manifest.csv", "--quick").exit_code == 0
    flip(tmp_path / "pictures" / "6.png", 1)
    assert run(*options, "--manifest", "manifest.csv", "--quick").exit_code == 0
    found = run(*options, "--manifest", "manifest.csv", "--report", "found.csv")
    assert found.exit_code == 1
    assert "1 problems\n  row 6, pictures/6.png: content" in found.stdout
    assert (tmp_path / "found.csv").read_text().startswith("row,path,error\n6,pictures/6.png,content")
    os.truncate(tmp_path / "x.bcolz" / "data" / "__1.blp", 90)
    found = run(*options)
    assert found.exit_code == 1
    lost = [line for line in (tmp_path / "verify.csv").read_text().splitlines() if "x.bcolz" in line]
    assert [line.partition(",")[0] for line in lost] == ["5", "6", "7", "8", "9"]
    for wrong, says in (
        (["--make"], "--make needs a manifest"),
        (["--quick"], "--quick needs a manifest"),
        (["--make", "--quick", "--manifest", "m"], "give one of them"),
        (["--manifest", "gone.csv"], "the manifest cannot be read"),
    ):
        result = run(*options, *wrong)
        assert (result.exit_code, says in result.output) == (1, True)


def test_training_takes_the_manifest_too(tmp_path: Path) -> None:
    from mtgen.training.samples import make_dataset
    from mtgen.training.settings import Samples

    make_pictures(tmp_path).to_csv(tmp_path / "table.csv", index=False)
    samples = {
        "table": tmp_path / "table.csv",
        "image_column": "file",
        "image_root": tmp_path,
        "size": (8, 8),
        "target": "y",
    }
    make_manifest(make_dataset(Samples(**samples)), tmp_path / "manifest.csv")
    make_dataset(Samples(**samples, manifest=tmp_path / "manifest.csv", verify="read"))
    replaced(tmp_path / "1.png")
    with pytest.raises(ChangedError):
        make_dataset(Samples(**samples, manifest=tmp_path / "manifest.csv"))


def test_a_store_that_is_already_open_is_not_changed(tmp_path: Path) -> None:
    folder = write_bcolz(tmp_path / "x.bcolz", FEATURES, chunk_rows=5)
    make_manifest(with_store(folder), tmp_path / "manifest.csv")
    store = open_store(folder)
    with_store(store, manifest=tmp_path / "manifest.csv", verify="read")
    assert store.promised is None


def test_a_store_whose_files_cannot_be_listed_is_an_error_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bare PermissionError came out of the dataset."""

    def fail(path: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", fail)
    with pytest.raises(StoreError, match=r"the files of the store cannot be listed \(.*\): check rights"):
        list(files_at(tmp_path))
