"""What surrounds a run: rights, time zone, locale, hash seed, batch sizes around the number of rows."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mtgen
from mtgen.errors import DecodeError, MtgenError, PlanError, StoreError, TableError
from mtgen.stores.bcolz import BcolzStore
from mtgen.stores.bcolz_writer import write_bcolz
from tests.support.hostile_stores import VALUES, carray
from tests.support.pictures import encode, noise

ROOT = Path(__file__).resolve().parent.parent.parent
NOBODY = 65534


@contextlib.contextmanager
def somebody_else() -> Iterator[None]:
    """Without the rights of root, which reads and writes everything."""
    if not hasattr(os, "geteuid"):
        pytest.skip("no users here")
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that everybody may enter, unlike pytest's own."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        yield Path(name)


def test_a_picture_that_may_not_be_read_is_named(folder):
    (folder / "a.png").write_bytes(encode(noise(4, 4, 3)))
    (folder / "a.png").chmod(0)
    data = mtgen.Dataset(pd.DataFrame({"p": ["a.png"]}), inputs={"x": mtgen.Images("p", root=folder, size=(4, 4))})
    with somebody_else(), pytest.raises(DecodeError, match=r"Permission denied; may this user.*row 0, path .*a\.png"):
        mtgen.Loader(data, 1, num_workers=0).batch(0)


@pytest.mark.parametrize("part", ["", "meta", "data", "meta/sizes", "meta/storage", "data/__0.blp", "__attrs__"])
def test_a_store_that_may_not_be_read_is_named(folder, part):
    store = carray(folder / "x.bcolz")
    (store / part).chmod(0)
    try:
        with somebody_else(), pytest.raises(StoreError, match=r"x\.bcolz"):
            mtgen.open_store(store)
        if part == "data/__0.blp":
            (store / part).chmod(0o644)
            opened = BcolzStore(store)
            (store / part).chmod(0)
            with somebody_else(), pytest.raises(StoreError, match=r"__0\.blp cannot be read .*Permission denied"):
                opened.read_rows(np.array([0]), np.empty((1, 4), "f4"))
    finally:
        (store / part).chmod(0o755)


def test_a_table_that_may_not_be_read_is_named(folder):
    (folder / "t.csv").write_text("a\n1\n")
    (folder / "t.csv").chmod(0)
    with somebody_else(), pytest.raises(TableError, match=r"Permission denied.*t\.csv"):
        mtgen.read_table(folder / "t.csv")


def test_a_folder_that_may_not_be_written_stays_as_it_was(folder):
    (folder / "closed").mkdir()
    (folder / "closed").chmod(0o555)
    with somebody_else(), pytest.raises(MtgenError, match="closed"):
        write_bcolz(folder / "closed" / "x.bcolz", VALUES)
    assert not list((folder / "closed").iterdir())


SCRIPT = """
import hashlib, mtgen
table = mtgen.read_table("data_samples/digits/table.csv")
data = mtgen.Dataset(
    table,
    inputs={
        "image": mtgen.Images("imgpath", root="data_samples/digits", size=(16, 16)),
        "features": mtgen.Rows("data_samples/digits/features.bcolz", key="id"),
    },
    targets="target",
)
train, test = data.split({"train": 0.8, "test": 0.2}, stratify="target", seed=3)
loader = mtgen.Loader(train, 64, seed=1, num_workers=1)
batch = loader.batch(40)
text = hashlib.sha256(repr(sorted(loader.state(40)["dataset"].items())).encode())
for array in (*batch.inputs.values(), *batch.targets.values(), batch.rows):
    text.update(array.tobytes())
print(text.hexdigest())
"""


def test_time_zone_locale_encoding_and_hash_seed_have_no_effect():
    found = set()
    for settings in (
        {"TZ": "UTC", "LC_ALL": "C", "PYTHONHASHSEED": "0"},
        {"TZ": "Asia/Kathmandu", "LC_ALL": "tr_TR.UTF-8", "PYTHONHASHSEED": "1", "PYTHONUTF8": "0"},
        {"TZ": "America/St_Johns", "LC_ALL": "POSIX", "PYTHONHASHSEED": "12345", "PYTHONCOERCECLOCALE": "0"},
    ):
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", SCRIPT],
            env={**os.environ, "PYTHONPATH": str(ROOT), **settings},
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        found.add(done.stdout)
    assert len(found) == 1


@given(st.integers(1, 14), st.integers(1, 20), st.booleans(), st.booleans())
def test_what_is_produced_is_what_len_says(num_rows, batch_size, drop_last, pad_last):
    data = mtgen.Dataset(pd.DataFrame({"a": range(num_rows)}), inputs={"a": mtgen.Columns("a")})
    refused = (drop_last and pad_last) or (drop_last and batch_size > num_rows)
    try:
        loader = mtgen.Loader(data, batch_size, drop_last=drop_last, pad_last=pad_last, num_workers=0)
    except PlanError:
        assert refused
        return
    assert not refused
    batches = list(loader.epoch(0))
    rest = num_rows % batch_size
    assert (
        len(batches) == len(loader) == loader.steps_per_epoch == num_rows // batch_size + bool(rest and not drop_last)
    )
    assert all(len(batch.rows) == batch_size for batch in batches[: num_rows // batch_size])
    seen = sorted(int(row) for batch in batches for row in batch.rows if row >= 0)
    assert len(set(seen)) == len(seen) == num_rows - (rest if drop_last else 0)
    if rest and not drop_last:
        assert len(batches[-1].rows) == (batch_size if pad_last else rest)


def test_a_class_that_one_split_lacks_keeps_its_number_in_all():
    table = pd.DataFrame({"a": range(6), "y": list("bbcaca"), "part": ["train"] * 3 + ["test"] * 3})
    data = mtgen.Dataset(table, inputs={"a": mtgen.Columns("a")}, targets="y")
    train, test = data.split(by="part")
    assert train.classes == test.classes == {"y": ("a", "b", "c")}
    assert train.fetch(train.rows).targets["y"].tolist() == [1, 1, 2]
    assert test.fetch(test.rows).targets["y"].tolist() == [0, 2, 0]
    with pytest.raises(PlanError, match=r"stratify: 'b' has 2 rows|too few"):
        data.split({"x": 0.4, "y": 0.3, "z": 0.3}, stratify="y")
