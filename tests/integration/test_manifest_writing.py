"""Writing a manifest fails at every call there is: the old one stays, nothing else is left, and the text says why."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mtgen
from mtgen.errors import ManifestError, PlanError
from mtgen.promises import read_manifest
from mtgen.verify import make_manifest, verify
from tests.support.samples import features, make_pictures, make_table

NUM_ROWS = 5


def dataset(folder: Path) -> mtgen.Dataset:
    np.save(folder / "features.npy", features(2 * NUM_ROWS))
    pictures = mtgen.Images("path", root=make_pictures(folder / "pictures", NUM_ROWS), size=(4, 4))
    return mtgen.Dataset(make_table(NUM_ROWS), {"image": pictures, "features": mtgen.Rows(folder / "features.npy")})


def fail_nth(patched: pytest.MonkeyPatch, name: str, number: int, *, partly: bool = False) -> list[int]:
    """Let the call of that number, from 1, fail; returns the numbers of calls seen."""
    real, seen = getattr(os, name), []

    def call(*arguments: Any, **options: Any) -> Any:
        seen.append(len(seen) + 1)
        if len(seen) == number:
            if name == "close":
                real(*arguments)  # a descriptor is gone whatever close says
            if partly:
                real(arguments[0], bytes(arguments[1])[: len(arguments[1]) // 2])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(*arguments, **options)

    patched.setattr(os, name, call)
    return seen


@pytest.mark.parametrize("had_one", [True, False], ids=["over an old one", "where none was"])
@pytest.mark.parametrize(
    "name", ["open", "write", "write in part", "fsync", "rename", "replace", "link", "fstat", "close"]
)
def test_after_each_failing_call_the_old_manifest_is_there_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, had_one: bool
) -> None:
    data, place = dataset(tmp_path), tmp_path / "kept"
    place.mkdir()
    path = place / "manifest.csv"
    if had_one:
        make_manifest(data, path)
        (tmp_path / "pictures" / "3.png").write_bytes((tmp_path / "pictures" / "4.png").read_bytes())
    old = path.read_bytes() if had_one else None
    call, number = name.removesuffix(" in part"), 0
    while True:
        number += 1
        with monkeypatch.context() as patched:
            seen = fail_nth(patched, call, number, partly=name != call)
            try:
                make_manifest(data, path, num_workers=0)
            except ManifestError as error:
                assert "No space left on device" in str(error)
                assert "cannot be written" in str(error) or "no manifest was written" in str(error)
            else:
                break
        assert sorted(os.listdir(place)) == (["manifest.csv"] if had_one else [])
        assert (path.read_bytes() if path.exists() else None) == old
    assert len(seen) < number  # it succeeded because there was no such call any more
    expected = {"rename": 0, "link": int(had_one), "replace": 1, "write": 1, "write in part": 1, "fsync": 2}
    assert len(seen) >= expected.get(name, NUM_ROWS)
    assert os.listdir(place) == ["manifest.csv"]
    assert path.read_bytes() != old
    assert verify(data, path).is_fine


def test_a_manifest_is_replaced_whole(tmp_path: Path) -> None:
    data, path = dataset(tmp_path), tmp_path / "manifest.csv"
    path.write_text("something else")
    made = make_manifest(data, path)
    assert read_manifest(path).format() == made.format() == path.read_bytes()
    assert [file.name for file in tmp_path.glob(".*")] == []


def test_a_file_system_without_second_names_gets_a_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, place = dataset(tmp_path), tmp_path / "kept"
    place.mkdir()
    make_manifest(data, place / "manifest.csv")
    old = (place / "manifest.csv").read_bytes()

    def link(*arguments: Any) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", link)
    with monkeypatch.context() as patched:
        fail_nth(patched, "fsync", 3)  # the new file, the copy of the old one, then the folder
        with pytest.raises(ManifestError, match="an older one is as it was"):
            make_manifest(data, place / "manifest.csv")
    assert (place / "manifest.csv").read_bytes() == old
    make_manifest(data, place / "manifest.csv")
    assert os.listdir(place) == ["manifest.csv"]


def test_a_folder_that_is_not_there_or_may_not_be_written_says_so(tmp_path: Path) -> None:
    data = dataset(tmp_path)
    with pytest.raises(ManifestError, match=r"cannot be written .*No such file"):
        make_manifest(data, tmp_path / "no" / "manifest.csv")
    with pytest.raises(PlanError, match=r"the report cannot be written .*No such file"):
        verify(data).write(tmp_path / "no" / "report.csv")
