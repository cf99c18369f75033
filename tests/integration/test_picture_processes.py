"""Pictures decoded in processes: the same bytes, errors and counts as in threads, whatever is killed meanwhile."""

from __future__ import annotations

import itertools
import os
import pickle
import random
import re
import signal
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xxhash

import mtgen
from mtgen.cache.layout import Identity
from mtgen.config import OnError, Prefetch
from mtgen.errors import ChangedError, DecodeError, MtgenError, PlanError, StallError
from mtgen.processes import staff as staffs
from mtgen.verify import make_manifest
from tests.support.picture_processes import (
    POISON,
    POISON_SIZE,
    all_gone,
    children,
    holders,
    is_running,
    make_data,
    make_loader,
    pids_of,
    stop,
    write_pictures,
)
from tests.support.pictures import encode, noise
from tests.support.samples import content
from tests.support.waiting import eventually

pytestmark = [
    pytest.mark.usefixtures("no_thread_left", "no_process_left"),
    pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="looks into /proc, as Linux has it"),
]

NUM_ROWS = 40


@pytest.fixture
def no_process_left() -> Any:
    """Fails the test when processes that it started outlive it."""
    before = set(children())
    yield
    assert eventually(lambda: set(children()) <= before, 5.0), set(children()) - before


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pictures")


@pytest.fixture(scope="module")
def good(folder: Path) -> mtgen.Dataset:
    return make_data(folder / "good", write_pictures(folder / "good", NUM_ROWS))


@pytest.fixture(scope="module")
def mixed(folder: Path) -> mtgen.Dataset:
    """One picture in seven cannot be read."""
    return make_data(folder / "mixed", write_pictures(folder / "mixed", NUM_ROWS, bad=True))


def run_first(code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have processes started from now on run some code before anything else."""
    (tmp_path / "sitecustomize.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)


def outcome(loader: mtgen.Loader, epochs: int = 1) -> list[Any]:
    """Content of each step, or its error with all that a policy or a user looks at; then the counts."""
    found: list[Any] = []
    for step in range(epochs * loader.steps_per_epoch):
        try:
            batch = loader.batch(step)
            found.append((content(batch), batch.bad))
        except MtgenError as error:
            cause = error.__cause__
            code = getattr(cause, "errno", None)
            found.append((type(error), str(error), error.row, error.path, error.step, isinstance(cause, OSError), code))
    stats = loader.stats()
    found.append((stats.picture_facts, stats.num_bad_rows, stats.num_retries, stats.num_rows))
    found.append(loader.quarantine().to_csv())
    return found


# --- the same as threads ----------------------------------------------------------------------------------------------

RECIPES = [
    {},
    {"recipe": "fast", "dtype": "float32", "scale": (2 / 255, -1), "data_format": "channels_first"},
    {"recipe": "keras", "color": "grayscale"},
    {"color": "grayscale", "dtype": "uint16", "fit": "pad"},
    {"color": "rgba", "fit": "crop", "recipe": mtgen.Recipe(size=(12, 10), color="rgba", alpha="keep", fit="crop")},
]


@pytest.mark.parametrize("number", range(len(RECIPES)))
def test_batches_errors_and_counts_are_those_of_threads(number: int, folder: Path, mixed: mtgen.Dataset) -> None:
    settings = dict(RECIPES[number])
    if "recipe" in settings and not isinstance(settings["recipe"], str):
        settings = {"recipe": settings["recipe"], "size": None}
    data = make_data(folder / "mixed", mixed.table["path"].tolist(), **settings)
    for policy, (num_processes, num_workers, batch_size) in zip(
        ("raise", "refill", "mask"),
        random.Random(number).sample([(1, 1, 1), (1, 3, 8), (2, 2, 9), (2, 3, 17), (3, None, 40)], 3),
        strict=True,
    ):
        more = {"on_error": OnError(policy=policy, max_errors=20, num_retries=1, retry_seconds=0)}
        with make_loader(data, batch_size, num_workers=2, **more) as threads:
            expected = outcome(threads)
        with make_loader(data, batch_size, num_processes=num_processes, num_workers=num_workers, **more) as processes:
            assert outcome(processes) == expected
            assert pids_of(processes)
    assert any(one[0] is DecodeError for one in expected[:-2]) or policy == "mask"


def test_epochs_are_those_of_threads(good: mtgen.Dataset) -> None:
    expected = [content(batch) for batch in make_loader(good, num_workers=0).steps(0, 15)]
    with make_loader(good, num_processes=2, num_workers=4, shuffle="exact") as loader:
        assert [content(batch) for batch in loader.steps(0, 15)] == expected
        assert len(pids_of(loader)) == 2
        stats = loader.stats()
    assert stats.stage_seconds["read"] > 0
    assert stats.stage_seconds["decode"] > 0
    assert pids_of(loader) == []
    with loader:  # once more after it was closed
        assert content(loader.batch(7)) == expected[7]


def test_several_inputs_of_pictures(folder: Path, good: mtgen.Dataset) -> None:
    inputs = {
        "small": mtgen.Images("path", root=folder / "good", size=(5, 7), dtype="float32"),
        "large": mtgen.Images("path", root=folder / "good", size=(33, 20), color="grayscale"),
    }
    data = mtgen.Dataset(good.table, inputs, targets="row")
    expected = [content(batch) for batch in make_loader(data, num_workers=0).epoch(0)]
    with make_loader(data, num_processes=2) as loader:
        assert [content(batch) for batch in loader.epoch(0)] == expected


@pytest.mark.parametrize("verify", ["open", "read"])
def test_a_manifest_is_kept_as_in_threads(verify: str, tmp_path: Path) -> None:
    paths = write_pictures(tmp_path / "pictures", 10)
    manifest = tmp_path / "manifest.csv"
    make_manifest(make_data(tmp_path / "pictures", paths), manifest)
    data = make_data(tmp_path / "pictures", paths, manifest=manifest, verify=verify)
    changed = tmp_path / "pictures" / paths[4]
    before = os.stat(changed)
    with make_loader(data, 5, shuffle=False, num_processes=1, num_workers=1) as loader:
        assert loader.batch(0).rows.tolist() == [0, 1, 2, 3, 4]
        changed.write_bytes(changed.read_bytes()[:-1] + b"!")
        if verify == "read":
            os.utime(changed, ns=(before.st_atime_ns, before.st_mtime_ns))
        with pytest.raises(ChangedError) as of_process:
            loader.batch(0)
    with pytest.raises(ChangedError) as of_thread:
        make_loader(data, 5, shuffle=False, num_workers=0).batch(0)
    assert str(of_process.value) == str(of_thread.value)
    assert str(manifest) in str(of_process.value)


def test_which_file_it_was_is_said_where_that_is_asked(mixed: mtgen.Dataset, folder: Path) -> None:
    """For a cache of pictures, which must know the very bytes that were decoded."""
    bound = mixed.fields[0].bound
    rows, outs = range(20), mixed.fields[0].spec.empty(20)
    with make_loader(mixed, num_processes=1) as loader:
        assert loader._processes is not None
        seen: dict[int, Identity] = {}
        errors = loader._processes.fill(bound, rows, list(outs), lambda what: None, seen)
    assert [row for row in rows if errors[row] is None] == sorted(seen)
    assert {row for row in rows if errors[row] is not None} == {3, 10, 17}
    for row, one in seen.items():
        content, stat = Path(bound.path(row)).read_bytes(), os.stat(bound.path(row))
        assert one == (len(content), stat.st_mtime_ns, xxhash.xxh3_128_digest(content))


def test_relative_paths_start_where_the_loader_is(
    good: mtgen.Dataset, folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(folder)
    data = make_data(Path("good"), good.table["path"].tolist())
    expected = content(make_loader(data, num_workers=0).batch(1))
    with make_loader(data, num_processes=1) as loader:
        assert content(loader.batch(1)) == expected
        monkeypatch.chdir(tmp_path)
        with pytest.raises(DecodeError, match="No such file"):
            loader.batch(1)
        monkeypatch.chdir(folder)
        assert content(loader.batch(1)) == expected
        gone = tmp_path / "gone"
        gone.mkdir()
        monkeypatch.chdir(gone)
        gone.rmdir()
        with pytest.raises(DecodeError, match="working folder"):
            loader.batch(1)
        monkeypatch.chdir(folder)
        assert content(loader.batch(1)) == expected


def test_an_error_says_in_which_process_it_was(mixed: mtgen.Dataset) -> None:
    with make_loader(mixed, 1, shuffle=False, num_processes=1) as loader:
        with pytest.raises(DecodeError) as caught:
            loader.batch(3)
        (pid,) = pids_of(loader)
    assert f"In process {pid}:\nTraceback" in "\n".join(caught.value.__notes__)
    assert caught.value.row == 3


def test_reads_that_may_pass_are_tried_again_and_counted(
    good: mtgen.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = """
    import errno, os
    opened, known = os.open, set()
    def stumbling(path, *more):
        if str(path).endswith("7.jpg") and path not in known:
            known.add(path)
            raise OSError(errno.ESTALE, "stale")
        return opened(path, *more)
    os.open = stumbling
    """
    run_first("\n".join(line[4:] for line in code.splitlines()), tmp_path, monkeypatch)
    expected = [content(batch) for batch in make_loader(good, num_workers=0).epoch(0)]
    with make_loader(good, num_processes=1, on_error=OnError(retry_seconds=0)) as loader:
        assert [content(batch) for batch in loader.epoch(0)] == expected
        assert loader.stats().num_retries == sum(path.endswith("7.jpg") for path in good.table["path"])
    once = OnError(num_retries=0)
    with make_loader(good, num_processes=1, on_error=once) as loader, pytest.raises(DecodeError, match="stale"):
        list(loader.epoch(0))


# --- memory -----------------------------------------------------------------------------------------------------------


def test_large_pictures_share_the_room_of_the_loader(tmp_path: Path) -> None:
    """Each takes more than a process is allowed without asking, and two do not fit beside each other."""
    paths = []
    for number in range(12):
        paths.append(f"{number}.png")
        (tmp_path / paths[-1]).write_bytes(encode(noise(400, 400, 3, seed=number)))
    data = make_data(tmp_path, paths)
    picture_bytes = 400 * 400 * 4
    with make_loader(data, 4, num_processes=2, num_workers=4, memory=1_200_000) as loader:
        assert picture_bytes < loader.forecast.picture_bytes < 2 * picture_bytes
        assert [content(one) for one in loader.epoch(0)] == [
            content(one) for one in make_loader(data, 4, num_workers=0).epoch(0)
        ]
        room = loader._room
        assert room is not None
        assert eventually(lambda: room.num_free == room.num_bytes)
    with make_loader(data, 4, num_processes=2, num_workers=4, memory=600_000) as loader:
        with pytest.raises(PlanError, match=f"a picture that takes {picture_bytes:,} bytes") as of_process:
            loader.batch(0)
        kept = loader.forecast.picture_bytes
        assert f"memory= leaves {kept:,} for that" in str(of_process.value)


def test_large_files_share_the_room_of_the_loader(tmp_path: Path) -> None:
    """A file of 2 MiB is asked for before it is read; one larger than the room is refused, in the same words."""
    data = encode(noise(20, 20, 3), "JPEG")
    filler = b"".join(b"\xff\xfe\xff\xff" + bytes(65533) for _ in range(32))  # comments
    for number in range(8):
        (tmp_path / f"{number}.jpg").write_bytes(data[:2] + filler + data[2:])
    made = make_data(tmp_path, [f"{number}.jpg" for number in range(8)])
    expected = [content(one) for one in make_loader(made, 4, num_workers=0).epoch(0)]
    with make_loader(made, 4, num_processes=2, num_workers=4, memory=4_000_000) as loader:
        assert [content(one) for one in loader.epoch(0)] == expected
    errors = []
    for more in ({"num_processes": 1, "num_workers": 1}, {"num_workers": 1}):
        with make_loader(made, 4, memory=1_000_000, **more) as loader, pytest.raises(PlanError) as caught:
            loader.batch(0)
        errors.append(re.sub(r"leaves [\d,]+", "leaves some", str(caught.value)))
    assert errors[0] == errors[1]


def test_the_forecast_counts_the_slots(good: mtgen.Dataset) -> None:
    loader = make_loader(good, num_processes=2, num_workers=3)
    assert loader.forecast.parts["slots of processes"] == 3 * 4096 + 2 * 4096  # pages: of slots, and of counters
    assert " + slots of processes 20,480 bytes" in str(loader.forecast)
    assert make_loader(good).forecast.parts["slots of processes"] == 0
    with pytest.raises(PlanError, match="slots of processes"):
        make_loader(good, num_processes=2, num_workers=3, memory=20_000)


# --- kills ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_processes_killed_at_drawn_moments_cost_no_byte(
    seed: int, good: mtgen.Dataset, caplog: pytest.LogCaptureFixture
) -> None:
    expected = [content(batch) for batch in make_loader(good, num_workers=0).steps(0, 30)]
    moments = random.Random(seed)
    with make_loader(good, num_processes=1 + seed % 2, num_workers=2 + seed % 3) as loader:
        killed: list[int] = []
        done = threading.Event()

        def kill() -> None:
            while not done.wait(moments.uniform(0.0, 0.15)) and len(killed) < 6:
                running = [pid for pid in pids_of(loader) if pid not in killed]
                if running:
                    killed.append(moments.choice(running))
                    os.kill(killed[-1], moments.choice([signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM]))

        killer = threading.Thread(target=kill)
        killer.start()
        try:
            while len(killed) < 6:
                assert [content(batch) for batch in loader.steps(0, 30)] == expected
        finally:
            done.set()
            killer.join()
        assert [content(batch) for batch in loader.steps(0, 30)] == expected
        assert set(pids_of(loader)).isdisjoint(killed)
    assert len(loader.quarantine()) == 0
    told = [record.getMessage() for record in caplog.records]
    for pid in killed[:-1]:
        assert sum(f"process {pid} for pictures was ended by signal" in one for one in told) == 1, (pid, told)


def test_a_killed_process_is_named_with_its_rows_and_replaced(
    good: mtgen.Dataset, caplog: pytest.LogCaptureFixture
) -> None:
    with make_loader(good, num_processes=1, num_workers=1, shuffle=False, prefetch=Prefetch(depth=0)) as loader:
        expected = content(loader.batch(0))
        (pid,) = pids_of(loader)
        stop(pid)  # so that it has the rows when it is killed
        asked = threading.Thread(target=lambda: results.append(content(loader.batch(0))))
        results: list[Any] = []
        asked.start()
        assert loader._processes is not None
        staff = loader._processes.staff()
        assert eventually(lambda: any(line.rows for process in list(staff._all) for line in process.lines))
        started = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        asked.join(20)
        assert results == [expected]
        assert time.monotonic() - started < 5.0  # the promise
        assert len(pids_of(loader)) == 1
        assert pids_of(loader) != [pid]
    (told,) = [record.getMessage() for record in caplog.records]
    assert told == (
        f"process {pid} for pictures was ended by signal 9 (SIGKILL); another one takes its place and reads its rows "
        "again: 0, 1, 2, 3, 4, 5, 6, 7"
    )


def test_an_idle_process_that_is_killed_is_noticed_and_replaced(
    good: mtgen.Dataset, caplog: pytest.LogCaptureFixture
) -> None:
    with make_loader(good, num_processes=1, num_workers=1, prefetch=Prefetch(depth=0)) as loader:
        expected = content(loader.batch(0))
        (pid,) = pids_of(loader)
        os.kill(pid, signal.SIGKILL)
        assert eventually(lambda: bool(caplog.records))
        assert pid not in children()
        assert content(loader.batch(0)) == expected
    assert f"process {pid} for pictures was ended by signal 9 (SIGKILL)" in caplog.text
    assert caplog.text.strip().endswith("its rows again: none")


def poisoned(folder: Path, num_rows: int = 20, poison: int = 6) -> mtgen.Dataset:
    paths = write_pictures(folder, num_rows)
    paths[poison] = "poison.png"
    (folder / paths[poison]).write_bytes(encode(noise(POISON_SIZE[1], POISON_SIZE[0], 3)))
    return make_data(folder, paths)


@pytest.mark.parametrize("policy", ["raise", "mask", "refill"])
def test_a_picture_that_crashes_its_decoder_is_one_bad_sample(
    policy: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    data = poisoned(tmp_path / "pictures")
    whole = list(make_loader(data, 4, num_workers=0, shuffle=False).epoch(0))
    run_first(POISON, tmp_path, monkeypatch)
    with make_loader(data, 4, num_processes=2, shuffle=False, on_error=OnError(policy=policy, max_errors=1)) as loader:
        for _ in range(2):  # the second time it is known, and nobody else is disturbed
            caplog.clear()
            for step, expected in enumerate(whole):
                if step != 1:
                    np.testing.assert_array_equal(loader.batch(step).inputs["image"], expected.inputs["image"])
            if policy == "raise":
                with pytest.raises(DecodeError, match=r"was ended by signal 11 \(SIGSEGV\)") as caught:
                    loader.batch(1)
                assert (caught.value.row, caught.value.path) == (6, str(tmp_path / "pictures" / "poison.png"))
                continue
            batch = loader.batch(1)
            (bad,) = batch.bad
            assert (bad.row, bad.slot) == (6, 2)
            assert "was ended by signal 11 (SIGSEGV)" in bad.error
            others = [0, 1, 3]
            np.testing.assert_array_equal(batch.inputs["image"][others], whole[1].inputs["image"][others])
            assert (batch.inputs["image"][2] == 0).all() == (policy == "mask")
        assert loader.quarantine()["row"].tolist() == [6]
        assert all("again: 6" in one.getMessage() for one in caplog.records), caplog.text


def test_a_row_drawn_in_place_of_a_bad_one_crashes_no_training_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Replacements were decoded in the loader's own process."""
    paths = write_pictures(tmp_path / "pictures", 4)
    (tmp_path / "pictures" / "poison.png").write_bytes(encode(noise(POISON_SIZE[1], POISON_SIZE[0], 3)))
    data = make_data(tmp_path / "pictures", ["missing.png", *["poison.png"] * 6, paths[0]])
    run_first(POISON, tmp_path, monkeypatch)
    with make_loader(
        data, 1, num_processes=1, shuffle=False, on_error=OnError(policy="refill", max_errors=7)
    ) as loader:
        batch = loader.batch(0)
        assert batch.rows.tolist() == [7]
        np.testing.assert_array_equal(batch.inputs["image"], loader.batch(7).inputs["image"])


# --- hangs ------------------------------------------------------------------------------------------------------------


def test_a_process_that_hangs_falls_under_the_deadline(good: mtgen.Dataset) -> None:
    with make_loader(good, num_processes=1, num_workers=1, prefetch=Prefetch(depth=0, stall_seconds=1.5)) as loader:
        expected = content(loader.batch(0))
        (pid,) = pids_of(loader)
        stop(pid)
        with pytest.raises(StallError, match=rf"in process {pid}"):
            loader.batch(0)
        assert eventually(lambda: not is_running(pid))  # ended by the worker, whose own time was over too
        assert content(loader.batch(0)) == expected


def test_closing_ends_a_process_that_hangs(good: mtgen.Dataset) -> None:
    loader = make_loader(good, num_processes=1, num_workers=1, prefetch=Prefetch(depth=0, stall_seconds=600))
    with loader:
        loader.batch(0)
        (pid,) = pids_of(loader)
        stop(pid)
        stream = loader.stream()
        asked = threading.Thread(target=lambda: errors.append(_error_of(stream)))
        errors: list[str] = []
        asked.start()
        assert loader._processes is not None
        staff = loader._processes.staff()
        assert eventually(lambda: any(line.rows for process in list(staff._all) for line in process.lines))
    assert not is_running(pid)
    asked.join(20)
    assert errors
    assert "the loader was closed while this batch was in work; ask for it again" in errors[0]


def _error_of(stream: Any) -> str:
    try:
        stream.get(1)
    except StallError as error:
        return str(error)
    return ""


def test_a_process_that_cannot_start_is_an_error_with_its_exit_code(
    good: mtgen.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_first("import os; os._exit(3)", tmp_path, monkeypatch)
    with make_loader(good, num_processes=1) as loader:
        with pytest.raises(StallError, match="ended with exit code 3 before it was ready"):
            loader.batch(0)
        assert len(loader.quarantine()) == 0


def test_too_few_descriptors_are_an_error_that_says_so(good: mtgen.Dataset) -> None:
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with make_loader(good, num_processes=1, num_workers=4) as loader:
        # Below the limit two are free, whatever numbers they have.
        free = itertools.islice((one for one in itertools.count() if not Path(f"/proc/self/fd/{one}").exists()), 3)
        resource.setrlimit(resource.RLIMIT_NOFILE, (list(free)[-1], hard))
        try:
            with pytest.raises(StallError, match=r"cannot be started.*Too many open files"):
                loader.batch(0)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        loader.batch(0)


# --- ends -------------------------------------------------------------------------------------------------------------


def test_fifty_rounds_leave_nothing_behind(good: mtgen.Dataset) -> None:
    def here() -> tuple[int, list[int]]:
        return len(os.listdir("/proc/self/fd")), children()

    with make_loader(good, num_processes=1, num_workers=1, prefetch=Prefetch(depth=0)) as loader:
        loader.batch(0)
    before = here()
    for _ in range(50):
        loader.batch(0)
        (pid,) = pids_of(loader)
        assert "/dev/shm" not in Path(f"/proc/{pid}/maps").read_text()
        loader.close()
    assert here() == before
    assert os.getpid() not in holders()


def test_a_forgotten_loader_ends_its_processes(good: mtgen.Dataset) -> None:
    loader = make_loader(good, num_processes=2, num_workers=2)
    iterator = iter(loader.epoch(0))
    next(iterator)
    pids = pids_of(loader)
    assert pids
    del loader, iterator
    assert all_gone(pids)
    assert eventually(lambda: not set(pids) & set(children()))


def test_idle_processes_end_and_come_again(good: mtgen.Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(staffs, "IDLE_SECONDS", 0.1)
    with make_loader(good, num_processes=1, num_workers=1, prefetch=Prefetch(depth=0)) as loader:
        expected = content(loader.batch(0))
        pids = pids_of(loader)
        assert all_gone(pids)
        assert content(loader.batch(0)) == expected


def test_processes_that_are_wanted_right_now_do_not_end_as_idle(
    good: mtgen.Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    # They did while the first of them was being started: "the loader was closed".
    monkeypatch.setattr(staffs, "IDLE_SECONDS", 0.0)
    monkeypatch.setattr(staffs, "POLL_SECONDS", 0.001)
    with make_loader(good, num_workers=1) as loader:
        expected = content(loader.batch(0))
    with make_loader(good, num_processes=1, num_workers=1, prefetch=Prefetch(depth=0)) as loader:
        for _ in range(4):
            assert content(loader.batch(0)) == expected
        assert all_gone(pids_of(loader))


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning", "ignore:.*os.fork.*:RuntimeWarning")
def test_a_forked_child_has_processes_of_its_own(good: mtgen.Dataset) -> None:
    expected = [content(batch) for batch in make_loader(good, num_workers=0).epoch(0)]
    with make_loader(good, num_processes=1, num_workers=2) as loader:
        assert [content(batch) for batch in loader.epoch(0)] == expected
        (pid,) = pids_of(loader)
        child = os.fork()
        if child == 0:
            code = 1
            try:
                right = pids_of(loader) == [] and [content(batch) for batch in loader.epoch(0)] == expected
                right = right and pids_of(loader) != [pid]
                loader.close()
                code = 0 if right else 2
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert pids_of(loader) == [pid]  # the parent's goes on
        assert [content(batch) for batch in loader.epoch(0)] == expected
        assert pids_of(loader) == [pid]


def test_a_loader_travels_without_its_processes(good: mtgen.Dataset) -> None:
    with make_loader(good, num_processes=2) as loader:
        expected = content(loader.batch(1))
        with pickle.loads(pickle.dumps(loader)) as other:
            assert pids_of(other) == []
            assert other.num_processes == 2
            assert content(other.batch(1)) == expected
            assert set(pids_of(other)).isdisjoint(pids_of(loader))


# --- settings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"num_processes": -1}, "num_processes must be an integer >= 0, received -1"),
        ({"num_processes": 1.5}, "num_processes must be an integer >= 0"),
        ({"num_processes": None}, "num_processes must be an integer >= 0"),
        ({"num_processes": True}, "num_processes must be an integer >= 0"),
        ({"num_processes": 2, "num_workers": 1}, "num_processes=2 with num_workers=1: each process is asked"),
        ({"num_processes": 1, "num_workers": 0}, "num_processes=1 with num_workers=0"),
    ],
)
def test_numbers_that_cannot_be_followed_are_refused(settings: Any, text: str, good: mtgen.Dataset) -> None:
    with pytest.raises(PlanError, match=text):
        make_loader(good, **settings)


def test_processes_without_pictures_are_refused(good: mtgen.Dataset) -> None:
    data = mtgen.Dataset(good.table, {"row": mtgen.Columns("row")})
    with pytest.raises(PlanError, match="the dataset has no pictures"):
        make_loader(data, num_processes=1)


@pytest.mark.parametrize("name", ["executable", "frozen"])
def test_programs_that_are_no_interpreter_are_refused(
    name: str, good: mtgen.Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys." + name, "" if name == "executable" else True, raising=False)
    with pytest.raises(PlanError, match="needs a system like Linux or macOS and a Python interpreter"):
        make_loader(good, num_processes=1)


def test_each_process_has_its_part_of_the_threads(good: mtgen.Dataset) -> None:
    assert "num_workers=5, num_processes=5)" in repr(make_loader(good, num_processes=5, num_workers=5))
    assert make_loader(good, num_processes=99, num_workers=None, memory=1 << 26).num_workers == 99
    for num_processes, num_lines in itertools.product(range(1, 7), range(1, 20)):
        if num_lines >= num_processes:
            shares = [one.num_threads for one in staffs.layouts(num_processes, num_lines, 4096)]
            assert sum(shares) == num_lines
            assert max(shares) - min(shares) <= 1
