"""Writing bcolz folders while every call of the system fails in turn, and while the writer is killed at every call."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mtgen.errors import StoreError
from mtgen.stores import open_store
from mtgen.stores.bcolz_writer import write_bcolz, write_bcolz_table
from tests.support.rights import own_folder, read_only

ROOT = Path(__file__).resolve().parents[2]
ROWS = np.arange(23 * 3, dtype=np.float32).reshape(23, 3)
KEYS = np.arange(100, 123)
LONG = 500
"""More calls than any of these writers makes."""


def write_rows(folder: Path) -> None:
    write_bcolz(folder / "x.bcolz", iter([ROWS[:5], ROWS[5:]]), chunk_rows=12, attrs={"note": "any"})


def write_rows_and_keys(folder: Path) -> None:
    write_bcolz(folder / "x.bcolz", ROWS, chunk_rows=12, keys=KEYS, key_name="id")


def write_table(folder: Path) -> None:
    write_bcolz_table(folder / "x.bcolz", {"rows": ROWS, "id": KEYS}, key="id", chunk_rows=12)


def check_rows(folder: Path) -> None:
    store = open_store(folder / "x.bcolz")
    found = np.empty_like(ROWS)
    store.read_rows(np.arange(len(ROWS)), found)
    np.testing.assert_array_equal(found, ROWS)


def check_rows_and_keys(folder: Path) -> None:
    check_rows(folder)
    store = open_store(folder / "x.bcolz")
    assert store.keys is not None
    found = np.empty_like(KEYS)
    store.keys.read_rows(np.arange(len(KEYS)), found)
    np.testing.assert_array_equal(found, KEYS)
    assert store.key_name == "id"


def check_table(folder: Path) -> None:
    store = open_store(f"{folder / 'x.bcolz'}::rows")
    found = np.empty_like(ROWS)
    store.read_rows(np.arange(len(ROWS)), found)
    np.testing.assert_array_equal(found, ROWS)
    assert store.keys is not None


WRITERS: dict[str, tuple[Callable[[Path], None], Callable[[Path], None], list[str]]] = {
    "rows": (write_rows, check_rows, ["x.bcolz"]),
    "rows and keys": (write_rows_and_keys, check_rows_and_keys, ["x.bcolz", "x.keys.bcolz"]),
    "table": (write_table, check_table, ["x.bcolz"]),
}


class Failing:
    """One function of `os`, whose n-th call fails; from then on all of them where `for_ever`."""

    def __init__(self, name: str, number: int, code: int, *, for_ever: bool, partly: bool) -> None:
        self.real, self.name, self.number, self.code = getattr(os, name), name, number, code
        self.for_ever, self.partly = for_ever, partly
        self.num_calls = 0
        self.failed: set[int] = set()
        self.again = False

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        self.num_calls += 1
        inode = os.fstat(arguments[0]).st_ino if self.name == "fsync" else -1
        self.again = self.again or inode in self.failed
        if self.num_calls == self.number or (self.for_ever and self.num_calls > self.number):
            self.failed.add(inode if self.name == "fsync" else -2)
            if self.name == "close":
                self.real(*arguments)  # a descriptor is gone whatever close says
            if self.partly:
                self.real(arguments[0], bytes(arguments[1])[: len(arguments[1]) // 2])
            raise OSError(self.code, os.strerror(self.code))
        return self.real(*arguments, **options)


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC], ids=["EIO", "ENOSPC"])
@pytest.mark.parametrize(
    ("call", "for_ever"),
    [
        *((call, False) for call in ("open", "read", "write", "write in part", "fsync", "rename", "mkdir", "close")),
        *((call, True) for call in ("write", "fsync", "rename", "mkdir")),
    ],
    ids=lambda value: value if isinstance(value, str) else "for ever" if value else "once",
)
def test_after_each_failing_call_there_is_nothing_or_the_whole_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, code: int, call: str, for_ever: bool
) -> None:
    write, check, names = WRITERS[kind]
    name = call.removesuffix(" in part")
    failures = 0
    for number in range(1, LONG):
        failing = Failing(name, number, code, for_ever=for_ever, partly=name != call)
        with monkeypatch.context() as patched:
            patched.setattr(os, name, failing)
            try:
                write(tmp_path)
            except StoreError as error:
                said = str(error)
                failures += 1
                assert f"[Errno {code}] {os.strerror(code)}" in said
                assert str(tmp_path / "x.") in said
                assert ("bytes are free" in said) == (code == errno.ENOSPC and "writing it failed" in said)
                assert os.listdir(tmp_path) == []
                continue
        break
    assert not failing.failed  # it succeeded because there was no such call any more
    assert not failing.again, "an fsync that failed was tried again"
    assert failures == number - 1 >= {"read": 0, "rename": 1, "mkdir": 3}.get(name, 5)
    assert sorted(os.listdir(tmp_path)) == names
    check(tmp_path)


# --- kills ------------------------------------------------------------------------------------------------------------

REPLAY = """
import os, shutil, signal, sys, tempfile
from pathlib import Path
from tests.integration.test_bcolz_writing_faults import LONG, WRITERS

# In memory where there is such a folder: a kill loses nothing that was written, so no disk has to be waited for.
scratch = tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None)
base, kind, num_kills = Path(scratch.name), sys.argv[1], 0
write, check, names = WRITERS[kind]

def arm(name, number, done):
    real, calls = getattr(os, name), 0
    def dying(*arguments, **options):
        nonlocal calls
        calls += 1
        if calls == number and done == "half":
            real(arguments[0], bytes(arguments[1])[: len(arguments[1]) // 2])
        if calls == number and done != "after":
            os.kill(os.getpid(), signal.SIGKILL)
        result = real(*arguments, **options)
        if calls == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return result
    setattr(os, name, dying)

def visible(folder):
    return sorted(name for name in os.listdir(folder) if not name.startswith("."))

for name in ("open", "write", "fsync", "rename", "mkdir", "close"):
    # After most calls is before the next one.
    for done in ("before", *(["half"] if name == "write" else ["after"] if name in ("rename", "fsync") else [])):
        for number in range(1, LONG):
            folder = base / f"{name}-{done}-{number}"
            folder.mkdir()
            child = os.fork()
            if child == 0:
                code = 1
                try:
                    arm(name, number, done)
                    write(folder)
                    code = 0
                finally:
                    os._exit(code)
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            assert code in (0, -signal.SIGKILL), code
            if "x.bcolz" in visible(folder):
                check(folder)  # whole, with its keys
            else:
                assert code, "it ended and left nothing"
                # Keys alone are what was to be published first; nobody opens them as the rows.
                assert set(visible(folder)) <= {"x.keys.bcolz"}, visible(folder)
                left = [one for one in os.listdir(folder) if one.startswith(".")]
                write(folder)
                check(folder)
                # What a killed writer leaves is hidden, says what it is, and is in nobody's way.
                assert sorted(os.listdir(folder)) == sorted([*left, *names])
                assert all(one.endswith(".partial") for one in left), left
            assert visible(folder) == names
            shutil.rmtree(folder)
            if code == 0:
                break
            num_kills += 1
print(num_kills)
scratch.cleanup()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize("kind", WRITERS)
def test_killed_at_any_call_there_is_nothing_or_the_whole_store_and_writing_again_works(kind: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", REPLAY, kind],
        capture_output=True,
        text=True,
        timeout=240,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 50


def test_keys_that_a_killed_writer_left_are_taken_and_others_refused(tmp_path: Path) -> None:
    code = """
import os, signal, sys
from pathlib import Path
from tests.integration.test_bcolz_writing_faults import write_rows_and_keys

real = os.rename
def rename(old, new):
    if str(new).endswith("/x.bcolz"):
        os.kill(os.getpid(), signal.SIGKILL)
    real(old, new)
os.rename = rename
write_rows_and_keys(Path(sys.argv[1]))
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], env=environment, timeout=120, check=False)
    assert done.returncode == -signal.SIGKILL
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith(".")] == ["x.keys.bcolz"]
    for keys, key_name in [(KEYS[::-1], "id"), (KEYS, "other"), (KEYS.astype(np.int32), "id"), (KEYS, None)]:
        with pytest.raises(StoreError, match=r"exists already, nothing is overwritten.*x\.keys\.bcolz"):
            write_bcolz(tmp_path / "x.bcolz", ROWS, keys=keys, key_name=key_name)
        assert not (tmp_path / "x.bcolz").exists()
    write_rows_and_keys(tmp_path)
    check_rows_and_keys(tmp_path)


@pytest.mark.skipif(os.name == "nt", reason="rights are POSIX")
def test_a_folder_that_may_not_be_written_to_is_named_and_left_as_it_is(tmp_path: Path) -> None:
    write_rows(tmp_path)
    with own_folder() as folder:
        with read_only(folder), pytest.raises(StoreError, match=r"cannot be made .*Permission denied.*x\.bcolz"):
            write_rows(folder)
        assert list(folder.iterdir()) == []
