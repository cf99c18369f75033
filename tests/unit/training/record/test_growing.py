"""Lines are appended whole or not at all, whatever fails."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from mtgen.errors import PlanError, StoreError
from mtgen.training import Decision
from mtgen.training.decisions import RULES, WHAT
from mtgen.training.record import growing


def test_a_write_that_fails_halfway_leaves_the_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "waits.csv"
    growing.append(path, b"step\n1\n")
    real, left = os.write, 1

    def write(handle: int, content: Any) -> int:
        nonlocal left
        if not left:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        left -= 1
        return real(handle, content[:3])

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", write)
        with pytest.raises(StoreError, match=r"cannot be written .*make room or check rights, and resume") as caught:
            growing.append(path, b"2\n3\n4\n")
    assert caught.value.path == str(path)
    assert path.read_bytes() == b"step\n1\n"
    growing.append(path, b"2\n")
    assert path.read_bytes() == b"step\n1\n2\n"


def test_what_is_appended_is_flushed_where_that_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed = []
    real = os.fsync

    def fsync(handle: int) -> None:
        flushed.append(os.fstat(handle).st_size)
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    path = tmp_path / "a"
    growing.append(path, b"", flush=True)
    assert not path.exists()
    growing.append(path, b"1\n")
    flushed.clear()
    growing.append(path, b"2\n")
    assert flushed == []
    growing.append(path, b"", flush=True)
    assert flushed == [4]


def test_cutting_keeps_the_first_bytes_and_no_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "a"
    growing.cut(path, 0)
    path.write_bytes(b"12345")
    growing.cut(path, 5)
    growing.cut(path, 3)
    assert path.read_bytes() == b"123"
    growing.cut(path, 0)
    assert not path.exists()
    with pytest.raises(StoreError, match="lines of a file of the run cannot be dropped"):
        growing.cut(path, 3)


def test_the_words_of_decisions_are_a_closed_set() -> None:
    made = {what: Decision(4, 3, "patience", what, 0.5, None, float("inf"), "so") for what in WHAT}
    assert made["improved"].line() == (
        '{"step": 4, "iteration": 3, "rule": "patience", "what": "improved", "value": 0.5, "before": null, '
        '"after": null, "text": "so"}'
    )
    assert Decision(4, 3, RULES[0], "stopped", float("nan"), 1, 2, "a\nb").line().count("\n") == 0
    with pytest.raises(PlanError, match=r"what of a decision must be one of .*'restored'.*received 'guessed'"):
        Decision(4, 3, "patience", "guessed", None, None, None, "")
    with pytest.raises(PlanError, match=r"rule of a decision must be one of .*received 'luck'"):
        Decision(4, 3, "luck", "improved", None, None, None, "")
