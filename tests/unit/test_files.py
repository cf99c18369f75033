"""Files read by descriptor: whole or refused, whatever the system does, and none stays open."""

from __future__ import annotations

import errno
import os
import resource
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xxhash

import mtgen
from mtgen.errors import ChangedError, DecodeError, StoreError
from mtgen.files import OpenFile, hash_file, too_many_files
from mtgen.stores import open_store
from mtgen.stores.bcolz_writer import write_bcolz
from mtgen.threads import in_threads
from tests.support.flips import rewrite

CONTENT = np.random.default_rng(0).bytes(100_000)


def num_open() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "a.png"
    path.write_bytes(CONTENT)
    return path


def whole(path: Path) -> bytes:
    with OpenFile(str(path)) as opened:
        return opened.read_whole()


def bound(path: Path) -> Any:
    table = pd.DataFrame({"file": [path.name]})
    return mtgen.Images("file", root=path.parent, size=(8, 8)).bind(table)


def after_call(monkeypatch: pytest.MonkeyPatch, name: str, number: int, act: Callable[[], object]) -> None:
    """Let `act` happen after the call of that number, from 1, of a function of `os`."""
    real, calls = getattr(os, name), iter(range(1, 1_000_000))

    def call(*arguments: Any, **options: Any) -> Any:
        result = real(*arguments, **options)
        if next(calls) == number:
            act()
        return result

    monkeypatch.setattr(os, name, call)


def test_short_reads_make_a_whole(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.read
    monkeypatch.setattr(os, "read", lambda descriptor, length: real(descriptor, min(length, 777)))
    assert whole(file) == CONTENT
    assert bound(file).read_bytes(0) == CONTENT
    assert hash_file(str(file))[1] == xxhash.xxh3_128_digest(CONTENT)


def test_a_picture_costs_one_open_and_no_stat(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images, opened = bound(file), []
    real = os.open
    monkeypatch.setattr(os, "open", lambda *arguments: opened.append(arguments) or real(*arguments))
    monkeypatch.setattr(os, "stat", lambda *arguments: pytest.fail("a stat by name belongs to no descriptor"))
    assert images.read_bytes(0) == CONTENT
    assert len(opened) == 1
    assert opened[0][1] & os.O_NONBLOCK
    assert opened[0][1] & os.O_CLOEXEC


@pytest.mark.parametrize("call", ["fstat", "read"])
@pytest.mark.parametrize("change", ["cut", "emptied", "grown", "same size"])
def test_a_file_that_changes_while_it_is_read_is_never_mixed(
    file: Path, monkeypatch: pytest.MonkeyPatch, call: str, change: str
) -> None:
    """After the first look and, in short reads, in the middle of the reading."""

    def act() -> None:
        with file.open("r+b") as other:
            if change == "grown":
                other.seek(0, 2)
            elif change in ("cut", "emptied"):
                other.truncate(5000 if change == "cut" else 0)
                return
            other.write(b"0123456789")
        os.utime(file, ns=(1, 1))

    descriptors = num_open()
    before = whole(file)
    real = os.read
    monkeypatch.setattr(os, "read", lambda descriptor, length: real(descriptor, min(length, 30_000)))
    images = bound(file)
    after_call(monkeypatch, call, 1, act)
    with pytest.raises(ChangedError, match=r"shorter while it was read|written to while it was read") as caught:
        images.read_bytes(0)
    assert (caught.value.row, caught.value.path) == (0, str(file))
    assert not isinstance(caught.value, DecodeError | StoreError)
    monkeypatch.undo()
    assert whole(file) != before
    assert num_open() == descriptors


def test_a_file_replaced_by_a_rename_while_it_is_read_is_read_whole(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The descriptor belongs to the old file; nothing of the new one is mixed in."""
    (tmp_path / "new").write_bytes(b"new")
    after_call(monkeypatch, "fstat", 1, lambda: os.replace(tmp_path / "new", file))
    assert whole(file) == CONTENT
    assert file.read_bytes() == b"new"


@pytest.mark.parametrize("name", ["open", "fstat", "read"])
def test_each_failing_call_is_a_decode_error_and_closes_the_file(
    file: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    images, descriptors, number = bound(file), num_open(), 0
    while True:
        number += 1
        with monkeypatch.context() as patched:
            fail_nth(patched, name, number, errno.EIO)
            try:
                assert images.read_bytes(0) == CONTENT
            except DecodeError as error:
                assert "cannot read the picture: Input/output error" in str(error)
                assert isinstance(error.__cause__, OSError)
                assert error.__cause__.errno == errno.EIO
            else:
                break
        assert num_open() == descriptors
    assert number > 1


def fail_nth(patched: pytest.MonkeyPatch, name: str, number: int, code: int) -> None:
    real, calls = getattr(os, name), iter(range(1, 1_000_000))

    def call(*arguments: Any, **options: Any) -> Any:
        if next(calls) == number:
            raise OSError(code, os.strerror(code))
        return real(*arguments, **options)

    patched.setattr(os, name, call)


@pytest.mark.parametrize("name", ["open", "fstat", "read", "lseek"])
def test_each_failing_call_is_a_store_error_with_chunk_and_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    array = np.arange(60, dtype="float32").reshape(20, 3)
    store = open_store(write_bcolz(tmp_path / "x.bcolz", array, chunk_rows=10))
    descriptors, number = num_open(), 0
    while True:
        number += 1
        with monkeypatch.context() as patched:
            fail_nth(patched, name, number, errno.EIO)
            out = np.empty((1, 3), "float32")
            try:
                store.read_rows(np.array([15]), out)
            except StoreError as error:
                assert (
                    "__1.blp cannot be read ([Errno 5] Input/output error); it is chunk 1, store rows 10 to 19"
                    in str(error)
                )
            else:
                assert out.tolist() == [array[15].tolist()]
                break
        assert num_open() == descriptors
    assert number > 1


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_never_blocks(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.png")
    with pytest.raises(DecodeError, match="no regular file"):
        bound(tmp_path / "a.png").read_bytes(0)
    with pytest.raises(OSError, match="no regular file"):
        hash_file(str(tmp_path / "a.png"))
    folder = write_bcolz(tmp_path / "x.bcolz", np.zeros((20, 3)), chunk_rows=10)
    store = open_store(folder)
    (folder / "data" / "__0.blp").unlink()
    os.mkfifo(folder / "data" / "__0.blp")
    with pytest.raises(StoreError, match="no regular file"):
        store.read_rows(np.array([3]), np.empty((1, 3)))


def take_all(file: Path, taken: list[int]) -> None:
    while True:
        taken.append(os.open(file, os.O_RDONLY))


def test_too_many_open_files_says_what_to_do(file: Path, tmp_path: Path) -> None:
    images = bound(file)
    store = open_store(write_bcolz(tmp_path / "x.bcolz", np.zeros((20, 3)), chunk_rows=10))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken: list[int] = []
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (num_open() + 32, hard))
        says = r"too many open files for this process \(at most \d+\).*num_workers bounds.*ulimit -n"
        with pytest.raises(OSError, match="Too many open files"):
            take_all(file, taken)
        with pytest.raises(DecodeError, match=says) as caught:
            images.read_bytes(0)
        assert caught.value.row == 0
        with pytest.raises(StoreError, match=says):
            store.read_rows(np.array([3]), np.empty((1, 3)))
    finally:
        for descriptor in taken:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert images.read_bytes(0) == CONTENT  # nothing was broken by it
    assert "for the system" in str(too_many_files(OSError(errno.ENFILE, "x")))


def test_reading_takes_a_bounded_number_of_files(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = {"now": 0, "most": 0}
    lock, real_open, real_close = threading.Lock(), os.open, os.close

    def counted_open(*arguments: Any, **options: Any) -> int:
        with lock:
            opened["now"] += 1
            opened["most"] = max(opened.values())
        return real_open(*arguments, **options)

    def counted_close(descriptor: int) -> None:
        with lock:
            opened["now"] -= 1
        real_close(descriptor)

    monkeypatch.setattr(os, "open", counted_open)
    monkeypatch.setattr(os, "close", counted_close)
    images = bound(file)
    list(in_threads(lambda _, note: images.read_bytes(0), range(200), num_threads=3, group=4))
    assert opened["now"] == 0
    assert 1 <= opened["most"] <= 3


def test_hash_file_is_xxh3_of_the_content_in_any_piece(tmp_path: Path) -> None:
    for length in (0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1):
        content = np.random.default_rng(length).bytes(length)
        (tmp_path / "x").write_bytes(content)
        found, checksum = hash_file(str(tmp_path / "x"))
        assert (found.st_size, checksum) == (length, xxhash.xxh3_128_digest(content))
    rewrite(tmp_path / "x", b"other")
    assert hash_file(str(tmp_path / "x"))[1] == xxhash.xxh3_128_digest(b"other")
