"""The digits on disk are scikit-learn's digits, cut in two, and can be made anew byte for byte."""

from __future__ import annotations

import csv
import re
import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import PIL
import pytest
from PIL import Image

import mtgen

datasets = pytest.importorskip("sklearn.datasets", reason="scikit-learn holds the original digits")
SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "make_data_samples.py"


@pytest.fixture(scope="module")
def table(digits: Path) -> list[dict[str, str]]:
    with (digits / "table.csv").open(newline="", encoding="ascii") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def script() -> SimpleNamespace:
    return SimpleNamespace(**runpy.run_path(str(SCRIPT)))


def read_all(path: Path) -> np.ndarray:
    store = mtgen.open_store(str(path))
    out = np.empty((store.num_rows, *store.row_shape), store.dtype)
    store.read_rows(np.arange(store.num_rows), out)
    store.close()
    return out


def upper_half(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        assert (picture.format, picture.mode, picture.size) == ("PNG", "L", (8, 4))
        assert picture.info == {}
        return (np.asarray(picture).astype(int) * 16 + 127) // 255


def test_both_views_of_each_row_make_the_original_digit(digits: Path, table: list[dict[str, str]]) -> None:
    original = datasets.load_digits()
    upper = np.stack([upper_half(digits / line["imgpath"]) for line in table])
    features = read_all(digits / "features.bcolz")
    assert features.dtype == np.float32
    whole = np.concatenate([upper, features.reshape(-1, 4, 8)], axis=1)
    np.testing.assert_array_equal(whole, original.images)
    assert [int(line["target"]) for line in table] == original.target.tolist()


def test_keys_are_the_ids_of_the_table_and_no_row_numbers(digits: Path, table: list[dict[str, str]]) -> None:
    keys = read_all(digits / "features.keys.bcolz")
    assert keys.dtype == np.int64
    assert keys.tolist() == [int(line["id"]) for line in table]
    assert len(set(keys.tolist())) == 1797
    assert not np.isin(keys, np.arange(1797)).any()


def test_every_picture_on_disk_is_in_the_table(digits: Path, table: list[dict[str, str]]) -> None:
    on_disk = {path.relative_to(digits).as_posix() for path in (digits / "images").rglob("*") if path.is_file()}
    assert on_disk == {line["imgpath"] for line in table}
    assert all(re.fullmatch(r"images/\d{3}/\d{2}/\d{6}\.png", path) for path in on_disk)


def test_bcolz_itself_reads_the_same_values(digits: Path) -> None:
    bcolz = pytest.importorskip("bcolz", reason="no wheels from Python 3.13 on")
    for name in ("features.bcolz", "features.keys.bcolz"):
        oracle = bcolz.open(str(digits / name), mode="r")
        assert oracle.chunklen == 256
        np.testing.assert_array_equal(oracle[:], read_all(digits / name))
    assert oracle.attrs["name"] == "id"


def test_remake_equals_what_is_kept(tmp_path: Path, digits: Path, script: SimpleNamespace) -> None:
    made = tmp_path / "digits"
    script.make(made)
    wrong = script.differences(made, digits)
    version = re.search(r"Pillow (\S+)\.\n", (digits / "SOURCE.md").read_text(encoding="ascii"))
    assert version is not None
    if version[1] != PIL.__version__:  # the pixels count, not how zlib wrote them
        for path in [line.split()[1] for line in wrong if line.endswith(".png")]:
            np.testing.assert_array_equal(upper_half(made / path), upper_half(digits / path))
        wrong = [line for line in wrong if not line.endswith((".png", "SOURCE.md"))]
    assert wrong == []


def test_a_changed_byte_a_missing_and_an_extra_file_are_seen(tmp_path: Path, script: SimpleNamespace) -> None:
    kept, made = tmp_path / "kept", tmp_path / "made"
    for folder in (kept, made):
        folder.mkdir()
        (folder / "a").write_bytes(b"same")
        (folder / "b").write_bytes(b"one" if folder is kept else b"two")
    (kept / "extra").touch()
    (made / "missing").touch()
    assert script.differences(made, kept) == ["changed  b", "extra    extra", "missing  missing"]
