"""Snapshots on disk: what is saved comes back with NumPy alone, and whatever fails leaves nothing."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from mtgen.errors import StateError, StoreError
from mtgen.training import RunFolder
from mtgen.training.record.snapshots import read_snapshot, remove_snapshots_after, snapshot_steps, write_snapshot

ARRAYS = {
    "conv/kernel": np.arange(12, dtype=np.float32).reshape(3, 2, 2),
    "count": np.array(3),
    "half": np.array([1.5, -2], ml_dtypes.bfloat16),
}
METADATA = {"epoch": 2, "logs": {"val_loss": 0.5}, "arrays": {"conv/kernel": {"layer": "conv"}}}


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    path = write_snapshot(run.snapshots, 120, ARRAYS, METADATA)
    assert path == run.snapshots / "000000120"
    write_snapshot(run.snapshots, 0, {}, {})
    write_snapshot(run.snapshots, 7_000_000_000, {}, {})
    assert run.snapshot_steps() == [0, 120, 7_000_000_000]
    found = run.snapshot(120)
    assert (found.step, found.path) == (120, path)
    assert list(found.arrays) == list(ARRAYS)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(found.arrays[name], array.astype(found.arrays[name].dtype))
    assert found.metadata == {
        "format": "mtgen snapshot",
        "version": 1,
        "step": 120,
        "epoch": 2,
        "logs": {"val_loss": 0.5},
        "arrays": {
            "conv/kernel": {"shape": [3, 2, 2], "dtype": "float32", "layer": "conv"},
            "count": {"shape": [], "dtype": "int64"},
            "half": {"shape": [2], "dtype": "bfloat16", "stored": "float32"},
        },
    }


def test_numpy_and_json_alone_read_it(tmp_path: Path) -> None:
    path = write_snapshot(tmp_path, 5, ARRAYS, METADATA)
    assert sorted(one.name for one in path.iterdir()) == ["arrays.npz", "snapshot.json"]
    with np.load(path / "arrays.npz", allow_pickle=False) as archive:
        assert archive["conv/kernel"].tolist() == ARRAYS["conv/kernel"].tolist()
        assert archive["half"].tolist() == [1.5, -2.0]
    lines = (path / "snapshot.json").read_text().splitlines()
    assert '    "count": {"shape": [], "dtype": "int64"},' in lines


def test_the_same_snapshot_is_the_same_bytes(tmp_path: Path) -> None:
    first, second = (write_snapshot(tmp_path / name, 5, ARRAYS, METADATA) for name in "ab")
    for name in ("arrays.npz", "snapshot.json"):
        assert (first / name).read_bytes() == (second / name).read_bytes()


SMALL = [
    np.dtype(getattr(ml_dtypes, name))
    for name in ("bfloat16", "float8_e4m3fn", "float8_e5m2", "float8_e8m0fnu", "float4_e2m1fn", "int4", "uint2")
]
DTYPES = st.one_of(
    arrays_of.boolean_dtypes(),
    arrays_of.integer_dtypes(),
    arrays_of.unsigned_integer_dtypes(),
    arrays_of.floating_dtypes(),
    arrays_of.complex_number_dtypes(),
    st.sampled_from(SMALL),
)


@given(data=st.data())
def test_any_numbers_survive_exactly(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    shape, dtype = data.draw(arrays_of.array_shapes(min_dims=0, min_side=0)), data.draw(DTYPES)
    num_bytes = int(np.prod(shape)) * dtype.itemsize
    raw = np.frombuffer(data.draw(st.binary(min_size=num_bytes, max_size=num_bytes)), np.uint8)
    if dtype in SMALL:
        with np.errstate(all="ignore"):
            array = raw.astype(np.float32).reshape((*shape, dtype.itemsize))[..., 0].astype(dtype)
    else:
        array = (raw % 2 if dtype.kind == "b" else raw).view(dtype).reshape(shape)
    array = array.T if data.draw(st.booleans()) else array
    found = read_snapshot(write_snapshot(tmp_path_factory.mktemp("any"), 1, {"a": array}, {}).parent, 1)
    stored = found.arrays["a"]
    assert stored.dtype.isbuiltin == 1
    assert found.metadata["arrays"]["a"]["dtype"] == dtype.name
    assert stored.shape == array.shape
    np.testing.assert_array_equal(stored.astype(dtype), array)


@pytest.mark.parametrize(
    ("step", "arrays", "metadata", "says"),
    [
        (-1, {}, {}, "the step of a snapshot must be an integer >= 0, received -1"),
        (True, {}, {}, "received True"),
        (1, {"a": np.array([None])}, {}, "array 'a' is object, which a snapshot cannot hold"),
        (1, {"a": np.array(["x"])}, {}, "array 'a' is <U1"),
        (1, {"": np.zeros(1)}, {}, "an array of a snapshot is called ''"),
        (1, {"a\0b": np.zeros(1)}, {}, "expected printable text"),
        (1, {}, {"a": object()}, "the metadata cannot be written as JSON"),
    ],
)
def test_what_cannot_be_saved_is_refused(tmp_path: Path, step: Any, arrays: Any, metadata: Any, says: str) -> None:
    with pytest.raises(StateError, match=says):
        write_snapshot(tmp_path / "new", step, arrays, metadata)
    assert not (tmp_path / "new").exists()


def test_a_snapshot_is_never_overwritten(tmp_path: Path) -> None:
    path = write_snapshot(tmp_path, 5, ARRAYS, METADATA)
    before = (path / "arrays.npz").read_bytes()
    with pytest.raises(StoreError, match="it exists already, nothing is overwritten"):
        write_snapshot(tmp_path, 5, {}, {})
    assert (path / "arrays.npz").read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == ["000000005"]


CALLS = ("mkdir", "open", "write", "fsync", "rename", "close")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_whatever_call_fails_there_is_no_snapshot_and_no_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    write_snapshot(tmp_path, 1, ARRAYS, METADATA)
    calls = {name: getattr(os, name) for name in CALLS}
    failed, place = 0, 0
    while True:
        left = place

        def armed(real: Callable[..., Any]) -> Callable[..., Any]:
            def call(*arguments: Any, **options: Any) -> Any:
                nonlocal left
                left -= 1
                if left == -1:
                    if real is calls["close"]:
                        real(*arguments)
                    raise OSError(number, os.strerror(number))
                return real(*arguments, **options)

            return call

        with monkeypatch.context() as patched:
            for name, real in calls.items():
                patched.setattr(os, name, armed(real))
            try:
                write_snapshot(tmp_path, 2, ARRAYS, METADATA)
            except StoreError as error:
                assert "000000002" in str(error)
                failed += 1
            else:
                if left >= 0:
                    break  # no call was left to fail
                shutil.rmtree(tmp_path / "000000002")  # making a folder that is there already may fail
        assert [one.name for one in tmp_path.iterdir()] == ["000000001"]
        place += 1
    assert failed > 20
    assert read_snapshot(tmp_path, 2).metadata["epoch"] == 2


def test_later_ones_and_what_dead_writers_left_are_removed(tmp_path: Path) -> None:
    for step in (0, 10, 20, 30):
        write_snapshot(tmp_path, step, {}, {})
    shutil.copytree(tmp_path / "000000030", tmp_path / ".000000030.abc.partial")
    (tmp_path / "notes").mkdir()
    assert snapshot_steps(tmp_path) == [0, 10, 20, 30]
    assert remove_snapshots_after(tmp_path, 10) == [20, 30]
    assert sorted(one.name for one in tmp_path.iterdir()) == ["000000000", "000000010", "notes"]
    assert remove_snapshots_after(tmp_path / "never", 10) == []


def _flip(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def _change(path: Path, **changed: Any) -> None:
    found = json.loads(path.read_text())
    path.write_text(json.dumps(found | changed))


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda path: _flip(path / "arrays.npz", 200), "arrays.npz of this snapshot is damaged"),
        (lambda path: (path / "arrays.npz").write_bytes(b""), "arrays.npz of this snapshot is damaged"),
        (lambda path: (path / "arrays.npz").unlink(), "arrays.npz of this snapshot is damaged: it is missing"),
        (lambda path: (path / "snapshot.json").unlink(), "snapshot.json of this snapshot is damaged: it is missing"),
        (lambda path: (path / "snapshot.json").write_bytes(b"{"), "snapshot.json of this snapshot is damaged"),
        (lambda path: (path / "snapshot.json").write_bytes(b"[]"), "snapshot.json of this snapshot is damaged"),
        (lambda path: _change(path / "snapshot.json", step=6), "it says it is 'mtgen snapshot' of step 6"),
        (lambda path: _change(path / "snapshot.json", arrays={}), "it holds .*'conv/kernel'.*, expected \\[\\]"),
        (lambda path: _change(path / "snapshot.json", version=2), "has version 2, this mtgen reads version 1"),
        (lambda path: shutil.rmtree(path), "there is no snapshot of step 5; there are those of steps \\[\\]"),
    ],
)
def test_damage_is_found_and_named(tmp_path: Path, damage: Callable[[Path], Any], says: str) -> None:
    path = write_snapshot(tmp_path, 5, ARRAYS, METADATA)
    damage(path)
    with pytest.raises(StateError, match=says) as caught:
        read_snapshot(tmp_path, 5)
    assert caught.value.path == str(path)


def test_every_flipped_byte_of_the_arrays_is_found_or_changes_nothing(tmp_path: Path) -> None:
    path = write_snapshot(tmp_path, 5, ARRAYS, METADATA) / "arrays.npz"
    whole, found = path.read_bytes(), 0
    for place in range(0, len(whole), 3):
        _flip(path, place)
        try:
            arrays = read_snapshot(tmp_path, 5).arrays
        except StateError:
            found += 1
        else:
            for name, array in ARRAYS.items():
                np.testing.assert_array_equal(arrays[name], array.astype(arrays[name].dtype))
        path.write_bytes(whole)
    assert found > len(whole) / 6
