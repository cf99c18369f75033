"""Checkpoints on disk: what is saved comes back, whatever fails, is damaged, or is killed."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pandas as pd
import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

import mtgen
from mtgen import folder_lock
from mtgen.checkpoint import Checkpoint, Checkpoints
from mtgen.errors import MtgenError, StateError, StoreError
from tests.support.rights import own_folder, read_only

ROOT = Path(__file__).resolve().parents[2]
FILES = ("arrays.npz", "state.json", "XXH128SUMS")


def content(step: int) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    arrays = {
        "model/dense/kernel": np.full((2, 3), step, np.float32),
        "half": np.array([1.5, -step], ml_dtypes.bfloat16),
        "step": np.array(step),
    }
    return arrays, {"trained": step, "loss": [0.1, 1 / 3]}


def check(found: Checkpoint | None, step: int) -> Checkpoint:
    """The checkpoint is whole and that of the step."""
    assert found is not None
    assert (found.step, found.path.name) == (step, f"checkpoint-{step:010d}")
    arrays, state = content(step)
    assert found.state == state
    assert [name for name in found.arrays if name != "big-endian"] == list(arrays)
    for name, array in arrays.items():
        assert found.arrays[name].dtype == array.dtype
        assert found.arrays[name].shape == array.shape
        assert found.arrays[name].tobytes() == array.tobytes()
    return found


def saved(folder: Path, *steps: int, keep: int = 2) -> Path:
    with Checkpoints(folder, keep) as checkpoints:
        for step in steps:
            checkpoints.save(step, *content(step))
    return folder


def temporaries(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name.endswith(".partial"))


# --- what is saved comes back -----------------------------------------------------------------------------------------


def test_the_newest_comes_back_and_two_are_kept(tmp_path: Path) -> None:
    folder = saved(tmp_path / "a" / "b", 0, 5, 120, 7000000000)
    assert check(Checkpoints(folder).latest(), 7000000000).skipped == ()
    assert Checkpoints(folder).steps() == [120, 7000000000]
    assert sorted(path.name for path in folder.iterdir()) == ["checkpoint-0000000120", "checkpoint-7000000000"]


@pytest.mark.parametrize("keep", [1, 3])
def test_as_many_generations_as_asked_for_are_kept(tmp_path: Path, keep: int) -> None:
    saved(tmp_path, *range(6), keep=keep)
    assert Checkpoints(tmp_path).steps() == list(range(6))[-keep:]


def test_nothing_there_is_none_and_reading_makes_nothing(tmp_path: Path) -> None:
    assert Checkpoints(tmp_path / "never").latest() is None
    assert Checkpoints(tmp_path / "never").steps() == []
    assert not (tmp_path / "never").exists()
    assert Checkpoints(tmp_path).latest() is None
    assert list(tmp_path.iterdir()) == []


def test_files_are_plain(tmp_path: Path) -> None:
    folder = saved(tmp_path, 3) / "checkpoint-0000000003"
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)
    with np.load(folder / "arrays.npz", allow_pickle=False) as archive:
        np.testing.assert_array_equal(archive["model/dense/kernel"], np.full((2, 3), 3, np.float32))
        np.testing.assert_array_equal(archive["half"].view(ml_dtypes.bfloat16), content(3)[0]["half"])
    text = (folder / "state.json").read_text()
    assert json.loads(text)["state"] == content(3)[1]
    assert '    "half": {"dtype": "bfloat16", "shape": [2]},' in text.splitlines()
    for line in (folder / "XXH128SUMS").read_text().splitlines():
        digest, name = line.split("  ")
        assert digest == xxhash.xxh3_128_hexdigest((folder / name).read_bytes())


DTYPES = st.one_of(
    arrays_of.scalar_dtypes(),
    arrays_of.unicode_string_dtypes(min_len=1),
    arrays_of.byte_string_dtypes(min_len=1),
    st.sampled_from([np.dtype(getattr(ml_dtypes, name)) for name in ("bfloat16", "float8_e4m3fn", "float8_e5m2")]),
)


@given(data=st.data())
def test_any_array_survives_bit_for_bit(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    shape = data.draw(arrays_of.array_shapes(min_dims=0, min_side=0))
    dtype = data.draw(DTYPES)
    raw = data.draw(
        st.binary(min_size=int(np.prod(shape)) * dtype.itemsize, max_size=int(np.prod(shape)) * dtype.itemsize)
    )
    if dtype.kind in "US":
        array = np.zeros(shape, dtype)
    elif dtype.kind == "b":
        array = (np.frombuffer(raw, "u1") % 2 == 1).reshape(shape)
    else:
        array = np.frombuffer(raw, dtype).reshape(shape)
    if data.draw(st.booleans()):
        array = array.T
    name = data.draw(st.text(min_size=1).filter(str.isprintable))
    folder = tmp_path_factory.mktemp("any")
    with Checkpoints(folder) as checkpoints:
        checkpoints.save(1, {name: array}, {})
    found = Checkpoints(folder).latest()
    assert found is not None
    assert found.arrays[name].dtype == array.dtype
    assert found.arrays[name].shape == array.shape
    assert found.arrays[name].tobytes() == array.tobytes()


@pytest.mark.parametrize(
    ("step", "arrays", "state", "says"),
    [
        (-1, {}, {}, "the step of a checkpoint must be an integer >= 0, received -1"),
        (True, {}, {}, "received True"),
        (1, {"a": np.array([None])}, {}, "array 'a' is object"),
        (1, {"a": np.zeros(1, [("x", "f4")])}, {}, "array 'a' is "),
        (1, {"": np.zeros(1)}, {}, "an array of a checkpoint is called ''"),
        (1, {"a\0b": np.zeros(1)}, {}, "expected printable text"),
        (1, {}, {"a": {1, 2}}, "the state cannot be written as JSON .*set"),
    ],
)
def test_what_cannot_be_saved_is_refused_before_anything_is_written(
    tmp_path: Path, step: int, arrays: Any, state: Any, says: str
) -> None:
    with pytest.raises(StateError, match=says):
        Checkpoints(tmp_path / "new").save(step, arrays, state)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("keep", [0, -1, True, 1.5, None])
def test_keep_is_a_number_of_generations(tmp_path: Path, keep: Any) -> None:
    with pytest.raises(StateError, match="keep must be an integer >= 1, received"):
        Checkpoints(tmp_path, keep)


def test_an_earlier_step_than_the_newest_is_refused(tmp_path: Path) -> None:
    saved(tmp_path, 5, 9)
    for step in (3, 9):
        with Checkpoints(tmp_path) as checkpoints, pytest.raises(StoreError, match="has a checkpoint of step 9"):
            checkpoints.save(step, *content(step))
    check(Checkpoints(tmp_path).latest(), 9)


# --- damage (fault 28) ------------------------------------------------------------------------------------------------


def damages(path: Path) -> Iterator[tuple[str, Callable[[], None]]]:
    """Every byte changed, cuts in every region, and files that are not there."""
    whole = path.read_bytes()

    def written(other: bytes) -> Callable[[], None]:
        return lambda: void(path.write_bytes(other))

    for place in range(len(whole)):
        flipped = bytes([whole[place] ^ (1 << place % 8)])
        yield f"byte {place} changed", written(whole[:place] + flipped + whole[place + 1 :])
        if place % 5 == 0:
            yield f"cut to {place} bytes", written(whole[:place])
    yield "one byte longer", written(whole + b"\n")
    yield "missing", lambda: path.unlink()
    yield "a folder", lambda: (path.unlink(), path.mkdir(), None)[-1]


def void(_: object) -> None:
    return None


@pytest.mark.parametrize("name", FILES)
def test_damage_of_any_byte_is_found_and_the_one_before_is_given(tmp_path: Path, name: str) -> None:
    folder = saved(tmp_path / "run", 1, 2)
    path = folder / "checkpoint-0000000002" / name
    whole, num_damages = path.read_bytes(), 0
    for what, damage in damages(path):
        damage()
        found = check(Checkpoints(folder).latest(), 1)
        assert len(found.skipped) == 1, what
        assert found.skipped[0].startswith("checkpoint-0000000002 is damaged: "), what
        assert name in found.skipped[0] or "XXH128SUMS" in found.skipped[0], what
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        path.write_bytes(whole)
        num_damages += 1
    assert num_damages > 1.2 * len(whole)
    assert check(Checkpoints(folder).latest(), 2).skipped == ()


def test_damage_with_a_right_checksum_is_found_too(tmp_path: Path) -> None:
    folder = saved(tmp_path, 1, 2) / "checkpoint-0000000002"
    for change in ({"step": 1}, {"format": "other"}, {"arrays": {}}, {"state": None, "arrays": None}):
        written = json.loads((folder / "state.json").read_text())
        before = (folder / "state.json").read_bytes(), (folder / "XXH128SUMS").read_bytes()
        (folder / "state.json").write_text(json.dumps({**written, **change}))
        lines = [f"{xxhash.xxh3_128_hexdigest((folder / name).read_bytes())}  {name}\n" for name in FILES[:2]]
        (folder / "XXH128SUMS").write_text("".join(lines))
        assert check(Checkpoints(tmp_path).latest(), 1).skipped
        (folder / "state.json").write_bytes(before[0])
        (folder / "XXH128SUMS").write_bytes(before[1])


def test_another_version_is_no_damage(tmp_path: Path) -> None:
    folder = saved(tmp_path, 1, 2) / "checkpoint-0000000002"
    path = folder / "state.json"
    path.write_text(path.read_text().replace('"version": 1', '"version": 9'))
    lines = [f"{xxhash.xxh3_128_hexdigest((folder / name).read_bytes())}  {name}\n" for name in FILES[:2]]
    (folder / "XXH128SUMS").write_text("".join(lines))
    with pytest.raises(StateError, match=r"has version 9, this mtgen reads version 1; continue with the"):
        Checkpoints(tmp_path).latest()


def test_a_checkpoint_of_the_first_version_is_read() -> None:
    """`tests/golden/checkpoints` was written by the first release; it may change only with a new major version."""
    found = check(Checkpoints(ROOT / "tests" / "golden" / "checkpoints").latest(), 3)
    assert found.arrays["big-endian"].dtype == np.dtype(">i4")
    assert found.arrays["big-endian"].tolist() == [1, 2**30]


def test_nothing_readable_names_the_files_and_what_to_do(tmp_path: Path) -> None:
    saved(tmp_path, 1, 2)
    (tmp_path / "checkpoint-0000000001" / "arrays.npz").write_bytes(b"")
    (tmp_path / "checkpoint-0000000002" / "state.json").unlink()
    with pytest.raises(StateError) as caught:
        Checkpoints(tmp_path).latest()
    text = str(caught.value)
    assert "none of the 2 checkpoints can be read" in text
    assert "checkpoint-0000000001 is damaged: arrays.npz is not what XXH128SUMS says" in text
    assert "checkpoint-0000000002 is damaged: " in text
    assert "state.json" in text
    assert "Bring their files back from a copy, or remove the folder to begin again" in text


@pytest.mark.parametrize("step", [2, 3, 4, 5])
def test_a_damaged_one_makes_way_and_counts_for_no_generation(tmp_path: Path, step: int) -> None:
    saved(tmp_path, 1, 4, keep=2)
    (tmp_path / "checkpoint-0000000004" / "arrays.npz").write_bytes(b"")
    with Checkpoints(tmp_path) as checkpoints:
        check(checkpoints.latest(), 1)
        checkpoints.save(step, *content(step))
    assert Checkpoints(tmp_path).steps() == [1, step]
    assert check(Checkpoints(tmp_path).latest(), step).skipped == ()


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="rights do not bind this user")
def test_missing_rights_are_no_damage(tmp_path: Path) -> None:
    saved(tmp_path, 1, 2)
    path = tmp_path / "checkpoint-0000000002" / "arrays.npz"
    path.chmod(0)
    with pytest.raises(StoreError, match=r"cannot be read .*Permission"):
        Checkpoints(tmp_path).latest()


def test_unreadable_for_another_reason_is_no_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved(tmp_path, 1, 2)
    for code, damage in ((errno.EIO, True), (errno.EACCES, False), (errno.EMFILE, False)):
        with monkeypatch.context() as patch:
            fail_call(patch, "read", 1, code)
            if damage:
                assert "Input/output error" in check(Checkpoints(tmp_path).latest(), 1).skipped[0]
            else:
                with pytest.raises(StoreError, match=os.strerror(code)):
                    Checkpoints(tmp_path).latest()


def test_a_reader_beside_a_writer_sees_a_whole_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The generation that is being read vanishes, because the writer went on: the newer one is read."""
    with Checkpoints(tmp_path, keep=1) as writer:
        writer.save(1, *content(1))
        reader, real, steps = Checkpoints(tmp_path), os.open, iter(range(2, 12))

        def overtaken(path: Any, *rest: Any, **more: Any) -> int:
            if str(path).endswith("arrays.npz") and (step := next(steps, None)) is not None:
                with monkeypatch.context() as patch:
                    patch.setattr(os, "open", real)
                    writer.save(step, *content(step))
            return real(path, *rest, **more)

        monkeypatch.setattr(os, "open", overtaken)
        check(reader.latest(), 11)


# --- calls that fail (faults 20, 21, 24) ------------------------------------------------------------------------------

CALLS = ("open", "write", "fsync", "rename", "replace", "close", "mkdir", "rmdir", "unlink")


class FailedCalls:
    """What happened to one function of `os` while its n-th call was made to fail."""

    def __init__(self) -> None:
        self.num_calls = 0
        self.failed: Any = None
        self.again = False


def fail_call(patch: pytest.MonkeyPatch, name: str, number: int, code: int, *, for_ever: bool = False) -> FailedCalls:
    real, calls = getattr(os, name), FailedCalls()

    def failing(*arguments: Any, **options: Any) -> Any:
        calls.num_calls += 1
        inode = os.fstat(arguments[0]).st_ino if name == "fsync" else None
        if calls.num_calls == number or (for_ever and calls.num_calls > number):
            calls.again = calls.again or calls.failed == inode is not None
            calls.failed = inode or True
            if name == "close":
                real(*arguments, **options)
            raise OSError(code, os.strerror(code), str(arguments[0]))
        calls.again = calls.again or (inode is not None and inode == calls.failed)
        return real(*arguments, **options)

    patch.setattr(os, name, failing)
    return calls


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC], ids=["EIO", "ENOSPC"])
@pytest.mark.parametrize("name", CALLS)
def test_the_nth_call_fails_and_nothing_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, code: int
) -> None:
    outcomes = []
    for number in range(1, 200):
        folder = saved(tmp_path / str(number), 1, 2)
        checkpoints = Checkpoints(folder)
        with monkeypatch.context() as patch:
            calls = fail_call(patch, name, number, code)
            try:
                checkpoints.save(3, *content(3))
                outcome = "saved"
            except MtgenError as error:
                outcome = str(error)
        fired = calls.failed is not None
        assert not calls.again, "an fsync that failed was tried again"
        newest = Checkpoints(folder).latest()
        check(newest, 2 if "was not saved" in outcome or "locked" in outcome else 3)
        assert temporaries(folder) == []
        checkpoints.save(4, *content(4))  # the next one is not disturbed
        checkpoints.close()
        assert Checkpoints(folder).steps() == [newest.step if newest else None, 4]
        if not fired:
            break
        outcomes.append(outcome)
        if outcome != "saved":
            assert "the one of step 2 is untouched" in outcome or "was saved, but" in outcome or "locked" in outcome
            assert ("bytes are needed and " in outcome) == (code == errno.ENOSPC and "was not saved" in outcome)
            assert os.strerror(code) in outcome or "bytes are needed" in outcome
    else:
        pytest.fail("the save made more calls than the loop has tries")
    assert outcome == "saved"
    if name not in ("replace", "rmdir", "unlink"):  # removing what is older is tried twice
        assert any("was not saved" in one for one in outcomes), outcomes


def test_a_disk_that_stays_full_leaves_the_old_one_and_no_temporary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = saved(tmp_path, 1)
    checkpoints = Checkpoints(folder)
    checkpoints.open()
    for number in range(1, 30):
        with monkeypatch.context() as patch:
            calls = fail_call(patch, "write", number, errno.ENOSPC, for_ever=True)
            if number > 1 and calls.num_calls:
                break
            try:
                checkpoints.save(number + 1, *content(number + 1))
                break
            except StoreError as error:
                assert "the disk or a quota is full, 3," in str(error)
                assert "Make room" in str(error)
        check(Checkpoints(folder).latest(), 1)
        assert temporaries(folder) == []
    checkpoints.close()
    assert number > 10


def test_too_little_room_is_said_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = saved(tmp_path, 1)
    usage = shutil.disk_usage(folder)._replace(free=2_000)
    with Checkpoints(folder) as checkpoints, monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda path: usage)
        calls = fail_call(patch, "mkdir", 1, errno.EIO)
        with pytest.raises(StoreError, match=r"step 2 was not saved, .* 1 is untouched: .* 2,000 are free"):
            checkpoints.save(2, *content(2))
        assert calls.num_calls == 0
    check(Checkpoints(folder).latest(), 1)


def test_writes_that_take_a_part_are_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda handle, data: real(handle, bytes(data)[:7]))
        with Checkpoints(tmp_path) as checkpoints:
            checkpoints.save(1, *content(1))
    check(Checkpoints(tmp_path).latest(), 1)


def test_everything_is_flushed_before_and_after_it_gets_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names and content reach the disk in the order that a power cut at any moment demands."""
    events: list[tuple[str, int]] = []
    real_fsync, real_rename = os.fsync, os.rename

    def fsync(handle: int) -> None:
        events.append(("fsync", os.fstat(handle).st_ino))
        real_fsync(handle)

    def rename(old: Any, new: Any) -> None:
        events.append(("rename", os.stat(old).st_ino))
        real_rename(old, new)

    with Checkpoints(tmp_path / "new") as checkpoints, monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        patch.setattr(os, "rename", rename)
        path = checkpoints.save(1, *content(1))
    files = [("fsync", (path / name).stat().st_ino) for name in FILES]
    folder, parent = path.stat().st_ino, path.parent.stat().st_ino
    assert events == [*files, ("fsync", folder), ("rename", folder), ("fsync", parent)]


@pytest.mark.parametrize("what", ["a file", "in a file"])
def test_a_folder_that_cannot_be_is_named(tmp_path: Path, what: str) -> None:
    (tmp_path / "file").write_text("")
    folder = tmp_path / "file" if what == "a file" else tmp_path / "file" / "run"
    with pytest.raises(StoreError, match=r"the folder of checkpoints cannot be made .*check path and rights.*file"):
        Checkpoints(folder).save(1, *content(1))


@pytest.mark.skipif(os.name == "nt", reason="rights are POSIX")
def test_a_read_only_folder_is_named_and_left_as_it_is() -> None:
    with own_folder() as parent:
        folder = saved(parent / "run", 1)
        with (
            read_only(folder),
            pytest.raises(StoreError, match=r"cannot be locked for writing .*Permission denied.*\.lock"),
        ):
            Checkpoints(folder).save(2, *content(2))
        check(Checkpoints(folder).latest(), 1)
        assert [path.name for path in folder.iterdir()] == ["checkpoint-0000000001"]


# --- kills (fault 22) -------------------------------------------------------------------------------------------------

CRASH = """
import os, shutil, sys
from pathlib import Path
from mtgen.checkpoint import Checkpoints
from tests.unit.test_checkpoint import check, content, saved, temporaries

unsynced = {}
real = {name: getattr(os, name) for name in ("open", "write", "fsync", "rename", "close", "mkdir", "unlink", "rmdir")}

def power_cut():
    # What was not flushed is lost, in part: the system wrote any half of it.
    for path in list(unsynced.values()):
        if os.path.isfile(path):
            os.truncate(path, os.path.getsize(path) // 2)

def die(when):
    if when == "power cut":
        power_cut()
    os._exit(9)

def arm(name, number, when):
    num_calls = 0
    def dying(*arguments, **options):
        nonlocal num_calls
        num_calls += 1
        if num_calls == number and when != "after":
            die(when)
        result = real[name](*arguments, **options)
        if num_calls == number:
            die(when)
        return result
    setattr(os, name, dying)

def watch():
    watched_open, watched_fsync = os.open, os.fsync
    def opened(path, flags, *rest, **more):
        handle = watched_open(path, flags, *rest, **more)
        if flags & os.O_CREAT:
            unsynced[handle] = path
        return handle
    def synced(handle):
        watched_fsync(handle)
        unsynced.pop(handle, None)
    os.open, os.fsync = opened, synced

base, num_kills = Path(sys.argv[1]), 0
saved(base / "old", 1, 2)
for name in real:
    for when in ("before", "after", "power cut"):
        for number in range(1, 100):
            folder = base / f"{name} {when} {number}"
            shutil.copytree(base / "old", folder)
            child = os.fork()
            if child == 0:
                code = 1
                try:
                    watch()
                    arm(name, number, when)
                    Checkpoints(folder).save(3, *content(3))
                    code = 0
                finally:
                    os._exit(code)
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            assert code in (0, 9), code
            found = Checkpoints(folder).latest()
            check(found, found.step)
            assert found.step in ((3,) if code == 0 else (2, 3)), found.step
            with Checkpoints(folder) as checkpoints:
                assert temporaries(folder) == []
                checkpoints.save(4, *content(4))
            assert Checkpoints(folder).steps() == [found.step, 4]
            shutil.rmtree(folder)
            if code == 0:
                break
            num_kills += 1
print(num_kills)
"""


def run_python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(code), *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_killed_at_any_call_old_or_new_is_there_and_whole(tmp_path: Path) -> None:
    done = run_python(CRASH, str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 100


# --- two writers (fault 23) -------------------------------------------------------------------------------------------

HOLDER = """
import os, sys
from mtgen.checkpoint import Checkpoints
from tests.unit.test_checkpoint import content
checkpoints = Checkpoints(sys.argv[1])
checkpoints.save(int(sys.argv[2]), *content(int(sys.argv[2])))
os.mkdir(os.path.join(sys.argv[1], ".checkpoint-0000000009.of-the-holder.partial"))
print(os.getpid(), flush=True)
sys.stdin.read()
checkpoints.close()
"""


def holder(folder: Path, step: int) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder), str(step)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert process.stdout is not None
    assert int(process.stdout.readline()) == process.pid
    return process


def test_a_second_writer_is_refused_and_the_lock_of_a_dead_one_is_taken_over(tmp_path: Path) -> None:
    with holder(tmp_path, 1) as process:
        try:
            with pytest.raises(StoreError, match=rf"process {process.pid} on host .* writes into this folder since 20"):
                Checkpoints(tmp_path).save(2, *content(2))
            assert len(temporaries(tmp_path)) == 1  # of a living writer
            check(Checkpoints(tmp_path).latest(), 1)  # readers are not kept out
        finally:
            process.kill()
    assert process.returncode == -signal.SIGKILL
    assert (tmp_path / ".lock").exists()
    with Checkpoints(tmp_path) as checkpoints:
        assert temporaries(tmp_path) == []
        checkpoints.save(2, *content(2))
    assert not (tmp_path / ".lock").exists()


def test_a_writer_that_ends_makes_room_for_the_next(tmp_path: Path) -> None:
    with holder(tmp_path, 1) as process:
        process.communicate("", timeout=60)
    assert process.returncode == 0
    saved(tmp_path, 2)


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_without_locks_in_the_file_system_the_name_in_the_file_decides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    import fcntl

    def unsupported(handle: int, how: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", unsupported)
    with holder(tmp_path, 1) as process:
        try:
            with pytest.raises(StoreError, match=f"process {process.pid} .* if it is gone, remove the file"):
                Checkpoints(tmp_path).save(2, *content(2))
        finally:
            process.kill()
    saved(tmp_path, 2)
    owner = {"pid": process.pid, "host": "another", "since": "yesterday"}
    (tmp_path / ".lock").write_text(json.dumps(owner))
    with pytest.raises(StoreError, match="on host another writes into this folder since yesterday"):
        Checkpoints(tmp_path).save(3, *content(3))
    for nothing in ("", "[]", "{"):
        (tmp_path / ".lock").write_text(nothing)
        Checkpoints(tmp_path).open()


def test_within_a_process_the_last_one_has_the_folder_and_the_one_before_is_told(tmp_path: Path) -> None:
    first, second = Checkpoints(tmp_path), Checkpoints(tmp_path)
    first.save(1, *content(1))
    second.save(2, *content(2))
    with pytest.raises(StoreError, match="another run took over this folder"):
        first.save(3, *content(3))
    second.save(4, *content(4))
    first.close()  # takes nothing from the second
    with pytest.raises(StoreError, match="writes into this folder"):
        raise_of(tmp_path)
    second.close()
    first.save(5, *content(5))
    first.close()


def raise_of(folder: Path) -> None:
    """What a process of its own gets."""
    done = run_python(
        "import sys; from mtgen.checkpoint import Checkpoints; Checkpoints(sys.argv[1]).open()", str(folder)
    )
    raise StoreError(done.stderr)


def test_a_lock_that_nobody_holds_any_more_is_free(tmp_path: Path) -> None:
    Checkpoints(tmp_path).save(1, *content(1))  # forgotten without close
    assert (
        run_python(
            "import sys; from mtgen.checkpoint import Checkpoints; Checkpoints(sys.argv[1]).open()", str(tmp_path)
        ).returncode
        == 0
    )


def test_a_lock_file_that_vanishes_between_opening_and_locking_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl

    real, vanishing = fcntl.flock, iter([True, False])

    def flock(handle: int, how: int) -> None:
        real(handle, how)
        if next(vanishing):
            (tmp_path / ".lock").unlink()

    monkeypatch.setattr(fcntl, "flock", flock)
    lock = folder_lock.FolderLock(tmp_path)
    lock.take()
    assert (tmp_path / ".lock").exists()
    lock.release()


# --- what an attack found ---------------------------------------------------------------------------------------------


def test_a_checkpoint_that_is_a_link_to_nowhere_was_looked_for_without_end(tmp_path: Path) -> None:
    folder = saved(tmp_path, 5)
    (folder / "checkpoint-0000000007").symlink_to(tmp_path / "moved")
    found = check(Checkpoints(folder).latest(), 5)
    assert "checkpoint-0000000007 is damaged" in found.skipped[0]


def test_a_checkpoint_that_is_a_link_makes_way_and_what_it_leads_to_stays(tmp_path: Path) -> None:
    folder, elsewhere = saved(tmp_path / "run", 5), tmp_path / "elsewhere"
    (folder / "checkpoint-0000000005").rename(elsewhere)
    (folder / "checkpoint-0000000005").symlink_to(elsewhere)
    check(Checkpoints(folder).latest(), 5)
    saved(folder, 6, 7)
    assert Checkpoints(folder).steps() == [6, 7]
    assert temporaries(folder) == []
    assert len(list(elsewhere.iterdir())) == 3


def test_an_array_was_given_under_the_name_of_another_with_npy_at_its_end(tmp_path: Path) -> None:
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, {"a": np.arange(3), "a.npy": np.arange(3) + 10}, {})
        found = checkpoints.latest()
    assert found is not None
    assert {name: array.tolist() for name, array in found.arrays.items()} == {"a": [0, 1, 2], "a.npy": [10, 11, 12]}


FORKED = """
import os, sys
import numpy as np
import pandas as pd
import mtgen
from mtgen.checkpoint import Checkpoints

checkpoints = Checkpoints(sys.argv[1])
checkpoints.open()
loader = mtgen.Loader(mtgen.Dataset(pd.DataFrame({"a": range(4)}), {"a": mtgen.Columns("a")}), 2, num_workers=0)
log = mtgen.OrderLog(sys.argv[1], loader)
log.add(loader.batch(0))
if os.fork():
    os.read(0, 1)
else:
    print("forked", flush=True)
    os.read(0, 1)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_child_kept_the_lock_of_a_parent_that_was_killed(tmp_path: Path) -> None:
    pipe: Any = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", FORKED, str(tmp_path)], stdin=pipe, stdout=pipe) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"forked\n"  # by the child, which now waits for its input
        with pytest.raises(StoreError, match=f"process {parent.pid} "):
            Checkpoints(tmp_path).open()
        parent.kill()
        parent.wait()
        Checkpoints(tmp_path).open()
        data = mtgen.Dataset(pd.DataFrame({"a": range(4)}), {"a": mtgen.Columns("a")})
        mtgen.OrderLog(tmp_path, mtgen.Loader(data, 2, num_workers=0)).close()
