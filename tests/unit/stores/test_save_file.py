"""A file that is replaced whole, or an error that says what it was."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mtgen.errors import MtgenError, PlanError, StoreError
from mtgen.stores.new_folder import save_file


def test_the_file_is_replaced_and_nothing_else_is_left(tmp_path: Path) -> None:
    target = tmp_path / "run.json"
    for content in (b"first", b"second"):
        save_file(target, content, "the record")
        assert target.read_bytes() == content
    assert os.listdir(tmp_path) == ["run.json"]


@pytest.mark.parametrize(
    ("options", "kind", "text"),
    [
        ({}, StoreError, r"the record cannot be written \(.*full.*\): check space and rights \[path .*run\.json\]"),
        ({"error": PlanError}, PlanError, r"the record cannot be written \(.*full.*\): check space and rights"),
        ({"remedy": "make room"}, StoreError, r"the record cannot be written \(.*full.*\): make room \[path"),
    ],
)
def test_a_failure_says_what_it_was_and_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, object], kind: type[MtgenError], text: str
) -> None:
    target = tmp_path / "run.json"
    target.write_bytes(b"old")

    def fail(handle: int) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(kind, match=text) as caught:
        save_file(target, b"new", "the record", **options)  # type: ignore[arg-type]
    assert type(caught.value) is kind
    assert type(caught.value.__cause__) is OSError
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["run.json"]
