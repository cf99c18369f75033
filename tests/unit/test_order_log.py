"""The order log: what it holds, how damage is found, what other runs may not do to it, and what a failing disk does."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import mtgen
from mtgen.audit import step_digest
from mtgen.errors import StateError, StoreError
from mtgen.order_check import audit_run
from mtgen.order_records import encode
from mtgen.plan import Shard
from mtgen.sampling.order import Exact, Order, TableOrder

NUM_ROWS = 22
STEPS = 6


def dataset(num_rows: int = NUM_ROWS) -> mtgen.Dataset:
    return mtgen.Dataset(pd.DataFrame({"a": range(num_rows)}), {"a": mtgen.Columns("a")})


def loader(data: mtgen.Dataset | None = None, **options: Any) -> mtgen.Loader:
    return mtgen.Loader(data or dataset(), **{"batch_size": 4, "seed": 1, "num_workers": 0, **options})


def write(folder: Path, source: mtgen.Loader, start: int, stop: int) -> None:
    with mtgen.OrderLog(folder, source) as log:
        for batch in source.steps(start, stop):
            log.add(batch)


def lines(folder: Path) -> list[bytes]:
    return (folder / "order.jsonl").read_bytes().splitlines(keepends=True)


def records(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines(folder)]


# --- what it holds ----------------------------------------------------------------------------------------------------


def test_what_the_log_of_two_epochs_holds(tmp_path: Path) -> None:
    source = loader()
    write(tmp_path / "new" / "run", source, 0, 2 * STEPS)
    header, *rest = records(tmp_path / "new" / "run")
    assert header["settings"] == source.settings()
    assert header["dataset"] == source.dataset.digests
    assert (header["order_log"], header["num_rows"], header["size"], header["rows_file"]) == (1, 22, 22, None)
    steps = [record for record in rest if "step" in record]
    assert [record["step"] for record in steps] == list(range(2 * STEPS))
    assert [record["digest"] for record in steps] == [step_digest(source.rows(step)).hex() for step in range(2 * STEPS)]
    planned = source.audit(2)
    assert [
        (record["epoch"], record["steps"], record["rows"], record["digest"], record["counts"])
        for record in rest
        if "epoch" in record
    ] == [(one.epoch, 6, 22, one.digest, [[1, 22]]) for one in planned.epochs]
    found = audit_run(tmp_path / "new" / "run")
    assert found.ok
    assert [one.digest for one in found.epochs] == [one.digest for one in planned.epochs]
    assert str(found).count("as planned, each row exactly once") == 2
    assert os.listdir(tmp_path / "new" / "run") == ["order.jsonl"]


def test_rows_of_a_split_stand_beside_the_log(tmp_path: Path) -> None:
    source = loader(dataset(60).take(range(58, 20, -3)))
    write(tmp_path, source, 0, 5)
    assert np.load(tmp_path / "rows.npy").tolist() == source.dataset.rows.tolist()
    assert audit_run(tmp_path).ok
    np.save(tmp_path / "rows.npy", source.dataset.rows + 1)
    with pytest.raises(StateError, match=r"expected the 13 rows of the run .* is it the file of another run"):
        audit_run(tmp_path)
    (tmp_path / "rows.npy").unlink()
    with pytest.raises(StateError, match=r"rows cannot be read.*rows\.npy"):
        audit_run(tmp_path)


def test_a_file_of_rows_that_is_not_ours_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "rows.npy").write_bytes(b"precious")
    with pytest.raises(StateError, match=r"holds something else; nothing is overwritten.*rows\.npy"):
        mtgen.OrderLog(tmp_path, loader(dataset().take([3, 1, 2])))
    assert (tmp_path / "rows.npy").read_bytes() == b"precious"
    assert os.listdir(tmp_path) == ["rows.npy"]


def test_replaced_and_empty_slots_are_listed(tmp_path: Path) -> None:
    source = loader()
    with mtgen.OrderLog(tmp_path, source) as log:
        for batch in source.epoch(0):
            rows = batch.rows.copy()
            if batch.step == 1:
                rows[2] = source.rows(0)[0]
            if batch.step == 4:
                rows[0] = -1
            log.add(dataclasses.replace(batch, rows=rows))
    planned, other, masked = int(source.rows(1)[2]), int(source.rows(0)[0]), int(source.rows(4)[0])
    assert records(tmp_path)[2]["replaced"] == [[2, planned, other]]
    found = audit_run(tmp_path)
    assert found.ok
    (epoch,) = found.epochs
    assert epoch.replaced == [(1, 2, planned, other), (4, 0, masked, -1)]
    assert epoch.counts == {0: 2, 1: 19, 2: 1}
    assert (set(epoch.missing), epoch.repeated) == ({planned, masked}, (other,))
    text = str(found)
    assert "as planned but for 2 replaced slots, 2 rows never (" in text
    assert f"step 1, slot 2: row {other} instead of row {planned}" in text
    assert f"step 4, slot 0: nothing instead of row {masked}" in text


def test_padding_is_part_of_the_plan(tmp_path: Path) -> None:
    source = loader(pad_last=True)
    write(tmp_path, source, 0, STEPS)
    found = audit_run(tmp_path)
    assert found.ok
    assert found.epochs[0].digest == source.audit().epochs[0].digest
    assert not found.epochs[0].num_replaced


@dataclass(frozen=True)
class Twice:
    """A law of one's own: each row twice, in table order."""

    def size(self, num_rows: int) -> int:
        return 2 * num_rows

    def order(self, num_rows: int, *, seed: int, epoch: int) -> Order:
        class Doubled(TableOrder):
            def at(self, positions: np.ndarray) -> np.ndarray:
                return np.asarray(positions) // 2

        return Doubled()

    def settings(self) -> dict[str, Any]:
        return {"law": "twice"}


def test_a_law_of_ones_own_is_checked_by_the_rows_in_the_log_or_with_the_law(tmp_path: Path) -> None:
    source = loader(sampler=Twice())
    write(tmp_path, source, 0, 4)
    write(tmp_path, source, 3, 11)
    alone = audit_run(tmp_path)
    assert alone.ok
    assert not alone.rebuilt
    assert alone.epochs[0].counts == {2: 22}
    assert "cannot be made again" in str(alone)
    with_law = audit_run(tmp_path, sampler=Twice())
    assert with_law.ok
    assert with_law.rebuilt
    assert with_law.epochs[0].counts == source.audit().epochs[0].counts == {2: 22}
    with pytest.raises(StateError, match=r"the run's law was .*twice.*, the sampler given is .*exact"):
        audit_run(tmp_path, sampler=Exact())


class Reversed(Exact):
    """A law of one's own that says it is another one."""

    def order(self, num_rows: int, *, seed: int, epoch: int) -> Order:
        inner = super().order(num_rows, seed=seed, epoch=epoch)

        class Backwards(TableOrder):
            def at(self, positions: np.ndarray) -> np.ndarray:
                return inner.at(num_rows - 1 - np.asarray(positions))

        return Backwards()


def test_a_subclass_of_a_law_is_not_taken_for_the_law(tmp_path: Path) -> None:
    write(tmp_path, loader(sampler=Reversed()), 0, STEPS)
    found = audit_run(tmp_path)
    assert found.ok
    assert not found.rebuilt
    assert found.epochs[0].counts == {1: 22}


# --- resuming ---------------------------------------------------------------------------------------------------------


def test_steps_after_a_resume_were_lost(tmp_path: Path) -> None:
    source = loader()
    write(tmp_path, source, 0, 9)
    write(tmp_path, source, 4, 10)
    write(tmp_path, source, 10, 12)
    found = audit_run(tmp_path)
    assert found.ok
    assert (found.resumes, found.num_lost) == ([4, 10], 5)
    assert [one.counts for one in found.epochs] == [{1: 22}, {1: 22}]
    assert "resumed at step 4, 10; 5 steps logged before were lost with their process" in str(found)


def test_restore_in_the_same_process_is_a_resume(tmp_path: Path) -> None:
    source = loader()
    with mtgen.OrderLog(tmp_path, source) as log:
        for batch in source.steps(0, 8):
            log.add(batch)
        source.restore(source.state(3))
        for batch in source.steps(stop=12):
            log.add(batch)
    found = audit_run(tmp_path)
    assert found.ok
    assert (found.resumes, found.num_lost) == ([3], 5)
    assert [one.whole for one in found.epochs] == [True, True]


def test_a_step_twice_without_restore_is_refused(tmp_path: Path) -> None:
    source = loader()
    with mtgen.OrderLog(tmp_path, source) as log:
        log.add(source.batch(0))
        log.add(source.batch(1))
        with pytest.raises(StateError, match=r"step 1 was logged before, step 2 comes next.*restore.*\[step 1\]"):
            log.add(source.batch(1))
        log.add(source.batch(2))
    assert audit_run(tmp_path).ok


def test_a_batch_of_no_step_or_of_another_loader_is_refused(tmp_path: Path) -> None:
    source = loader()
    with mtgen.OrderLog(tmp_path, source) as log:
        with pytest.raises(StateError, match="the batch has no step"):
            log.add(source.dataset.fetch([1, 2]))
        with pytest.raises(StateError, match="the batch has 5 slots, step 0 of this loader has 4"):
            log.add(loader(batch_size=5).batch(0))
    assert len(lines(tmp_path)) == 1


def test_missing_steps_are_found(tmp_path: Path) -> None:
    source = loader()
    with mtgen.OrderLog(tmp_path, source) as log:
        for step in (0, 1, 3, 4, 5, 6):
            log.add(source.batch(step))
    found = audit_run(tmp_path)
    assert not found.ok
    assert "steps are missing before step 3 (line 4): the log goes on from position 8" in str(found)
    assert str(found).endswith("NOT ok")


def test_a_log_may_begin_in_the_middle_of_an_epoch(tmp_path: Path) -> None:
    write(tmp_path, loader(), 4, 14)
    found = audit_run(tmp_path)
    assert found.ok
    assert [one.whole for one in found.epochs] == [False, True, False]
    assert "epoch 0: 2 steps, 6 rows from step 4 of the epoch on" in str(found)
    assert "epoch 2: 2 steps, 8 rows so far" in str(found)


def test_nothing_trained(tmp_path: Path) -> None:
    write(tmp_path, loader(), 0, 0)
    assert str(audit_run(tmp_path)).splitlines()[1:] == ["  no step was trained", "ok"]


@pytest.mark.parametrize(
    ("other", "says"),
    [
        (lambda: loader(seed=2), "setting 'seed' was 1 and is 2"),
        (lambda: loader(batch_size=5), "setting 'batch_size' was 4 and is 5"),
        (lambda: loader(shuffle=False), "setting 'sampler' was"),
        (lambda: loader(dataset(23)), "dataset part 'rows'"),
    ],
)
def test_the_log_of_another_run_is_refused_and_left_as_it_is(
    other: Callable[[], mtgen.Loader], says: str, tmp_path: Path
) -> None:
    write(tmp_path, loader(), 0, 3)
    before = lines(tmp_path)
    with pytest.raises(StateError, match=f"the folder holds the order log of another run. Differing: .*{says}"):
        mtgen.OrderLog(tmp_path, other())
    assert lines(tmp_path) == before


@pytest.mark.skipif(os.name == "nt", reason="flock is POSIX")
def test_two_processes_are_refused_until_the_first_is_gone(tmp_path: Path) -> None:
    source = loader()
    write(tmp_path, source, 0, 1)
    code = f"import fcntl, os; fcntl.flock(os.open({str(tmp_path / 'order.jsonl')!r}, os.O_RDWR), fcntl.LOCK_EX); "
    code += "print(1, flush=True); input()"
    pipe: Any = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"1\n"
        with pytest.raises(StateError, match=r"another process is writing this order log.*order\.jsonl"):
            mtgen.OrderLog(tmp_path, source)
        other.kill()
    write(tmp_path, source, 1, 2)
    assert audit_run(tmp_path).ok


def test_in_one_process_the_log_that_is_opened_last_goes_on(tmp_path: Path) -> None:
    """A notebook's cell that is run again makes the new log while the old one is still there."""
    source = loader()
    first = mtgen.OrderLog(tmp_path, source)
    first.add(source.batch(0))
    with mtgen.OrderLog(tmp_path, source) as second:
        with pytest.raises(StateError, match="because it was opened once more"):
            first.add(source.batch(1))
        second.add(source.batch(1))
    found = audit_run(tmp_path)
    assert found.ok
    assert (found.epochs[0].num_steps, found.resumes) == (2, [1])


def test_a_closed_log_takes_no_more(tmp_path: Path) -> None:
    source = loader()
    log = mtgen.OrderLog(tmp_path, source)
    log.close()
    log.close()
    with pytest.raises(StateError, match="the order log was closed"):
        log.add(source.batch(0))


# --- damage -----------------------------------------------------------------------------------------------------------


def test_a_log_cut_at_any_byte_is_read_up_to_there_and_gone_on_with(tmp_path: Path) -> None:
    source = loader()
    write(tmp_path / "whole", source, 0, 8)
    whole = (tmp_path / "whole" / "order.jsonl").read_bytes()
    first = len(lines(tmp_path / "whole")[0])
    for cut in range(first, len(whole), 7):
        folder = tmp_path / str(cut)
        folder.mkdir()
        (folder / "order.jsonl").write_bytes(whole[:cut])
        kept = [json.loads(line) for line in whole[:cut].splitlines(keepends=True) if line.endswith(b"\n")]
        num_steps = sum("step" in record for record in kept)
        found = audit_run(folder)
        assert found.ok
        assert sum(one.num_steps for one in found.epochs) == num_steps
        write(folder, source, num_steps, 8)
        again = audit_run(folder)
        assert again.ok, str(again)
        assert [one.num_steps for one in again.epochs] == [6, 2]


def test_every_changed_byte_before_the_last_line_is_found(tmp_path: Path) -> None:
    write(tmp_path, loader(), 0, 8)
    path = tmp_path / "order.jsonl"
    whole = path.read_bytes()
    for place in range(0, whole.rindex(b"\n", 0, -1), 5):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(StateError, match=r"line \d+ of the order log is damaged") as caught:
            audit_run(tmp_path)
        assert caught.value.path == str(path)
        with pytest.raises(StateError, match=r"line \d+ of the order log is damaged"):
            mtgen.OrderLog(tmp_path, loader())


@pytest.mark.parametrize("change", ["leave out", "twice", "swap", "empty line", "no newline"])
def test_lines_that_were_left_out_moved_or_put_in_are_found(change: str, tmp_path: Path) -> None:
    write(tmp_path, loader(), 0, 8)
    parts = lines(tmp_path)
    middle = {
        "leave out": [],
        "twice": [parts[3], parts[3]],
        "swap": [parts[4], parts[3]],
        "empty line": [b"\n", parts[3]],
        "no newline": [parts[3][:-1]],
    }[change]
    (tmp_path / "order.jsonl").write_bytes(b"".join([*parts[:3], *middle, *parts[4 + (change == "swap") :]]))
    with pytest.raises(StateError, match=r"line \d of the order log is damaged"):
        audit_run(tmp_path)


def forged(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """The log with records changed and checksums made to fit."""
    check, written = 0, b""
    for record in records(folder):
        del record["crc32"]
        change(record)
        line, check = encode(record, check)
        written += line
    (folder / "order.jsonl").write_bytes(written)


def test_rows_that_differ_from_the_plan_are_found_with_their_first_step(tmp_path: Path) -> None:
    write(tmp_path, loader(), 0, 8)

    def change(record: dict[str, Any]) -> None:
        if record.get("step") in (2, 3):
            record["digest"] = "0" * 32

    forged(tmp_path, change)
    found = audit_run(tmp_path)
    assert not found.ok
    assert found.epochs[0].first_difference == 2
    assert "step 2 (line 4) is the first to differ" in str(found)
    assert not found.epochs[1].problems


def test_a_sum_of_an_epoch_that_does_not_follow_is_found(tmp_path: Path) -> None:
    write(tmp_path, loader(), 0, 6)
    forged(tmp_path, lambda record: record.update(counts=[[1, 23]]) if "epoch" in record else None)
    assert "the log's own sum of the epoch is" in str(audit_run(tmp_path))


def test_a_replaced_slot_that_the_plan_has_not_is_found(tmp_path: Path) -> None:
    write(tmp_path, loader(), 0, 6)
    forged(tmp_path, lambda record: record.update(replaced=[[0, 99, 3]]) if record.get("step") == 1 else None)
    found = audit_run(tmp_path)
    assert not found.ok
    assert "step 1, slot 0: the plan has row" in str(found)


@pytest.mark.parametrize(
    "change",
    [
        {"settings": None},
        {"settings": {"batch_size": 0, "drop_last": False, "pad_last": False, "shard": [0, 1]}},
        {"size": -1},
        {"order_log": 99},
        {"order_log": None},
    ],
)
def test_a_header_that_no_run_can_have_is_refused(change: dict[str, Any], tmp_path: Path) -> None:
    write(tmp_path, loader(), 0, 2)
    forged(tmp_path, lambda record: record.update(change) if "order_log" in record else None)
    with pytest.raises(StateError, match=r"header|line 1"):
        audit_run(tmp_path)


@pytest.mark.parametrize("change", [{"replaced": [[99, 1, 1]]}, {"replaced": 3}, {"digest": None}, {"step": "two"}])
def test_a_record_of_another_kind_is_refused_or_wrong(change: dict[str, Any], tmp_path: Path) -> None:
    write(tmp_path, loader(), 0, 4)
    forged(tmp_path, lambda record: record.update(change) if record.get("step") == 2 else None)
    try:
        assert not audit_run(tmp_path).ok
    except StateError as error:
        assert "other entries than version 1" in str(error)


@pytest.mark.parametrize("content", [b"", b"\n", b"{}\n", b'{"order_log":1', b"\0" * 50])
def test_what_is_no_log_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "order.jsonl").write_bytes(content)
    with pytest.raises(StateError, match=r"order log is empty|line 1 of the order log is damaged"):
        audit_run(tmp_path)


def test_no_log_at_all(tmp_path: Path) -> None:
    with pytest.raises(StateError, match=r"there is no order log: expected a file order\.jsonl.*loader\.order_log"):
        audit_run(tmp_path)


# --- a disk that fails ------------------------------------------------------------------------------------------------


class Failing:
    """Lets the n-th call of any of some functions of `os` fail, once."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, nth: int) -> None:
        self.left, self.failed = nth, ""
        for name in ("open", "write", "fsync", "link", "ftruncate", "makedirs"):
            monkeypatch.setattr(os, name, self.wrapped(name, getattr(os, name)))

    def wrapped(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            self.left -= 1
            if self.left == 0:
                self.failed = name
                if name == "write":
                    real(arguments[0], arguments[1][:5])  # half a line got through
                raise OSError(errno.ENOSPC, "no space left on device")
            return real(*arguments, **options)

        return call


def test_whatever_call_fails_the_log_stays_good_and_is_gone_on_with(tmp_path: Path) -> None:
    """Fails the n-th call, n = 1, 2, ... until a run needs no more calls."""
    data = dataset(60).take(range(58, 20, -3))
    seen: set[str] = set()
    for nth in range(1, 100):
        folder = tmp_path / str(nth)
        source, num_logged = loader(data), 0
        with pytest.MonkeyPatch.context() as patch:
            failing = Failing(patch, nth)
            try:
                with mtgen.OrderLog(folder, source) as log:
                    for batch in source.steps(0, 6):
                        log.add(batch)
                        num_logged += 1
            except StoreError as error:
                assert "no space left" in str(error)
                assert str(folder) in str(error)
        if not failing.failed:
            assert seen == {"open", "write", "fsync", "link", "ftruncate", "makedirs"}
            return
        seen.add(failing.failed)
        left = [path.name for path in folder.iterdir()] if folder.exists() else []
        assert set(left) <= {"order.jsonl", "rows.npy"}, (nth, failing.failed)
        if num_logged:
            found = audit_run(folder)
            assert found.ok
            logged = sum(one.num_steps for one in found.epochs)
            assert logged - num_logged in (0, 1)  # the step whose epoch could not be closed is there
        write(folder, source, num_logged, 8)
        again = audit_run(folder)
        assert again.ok, (nth, failing.failed, str(again))
        assert [one.num_steps for one in again.epochs] == [4, 4]
    pytest.fail("a run of six steps needs a hundred calls")


@pytest.mark.parametrize("links", [True, False])
def test_a_log_that_another_process_begins_at_the_same_moment_is_not_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    """The header was renamed over that of the other process, whose lines then went to a file without a name."""
    path, real = tmp_path / "order.jsonl", os.fsync

    def fsync(handle: int) -> None:
        real(handle)
        path.write_bytes(b"of another process\n")

    def link(*names: object) -> None:
        raise OSError(errno.EPERM, "no second names here")

    monkeypatch.setattr(os, "fsync", fsync)
    if not links:
        monkeypatch.setattr(os, "link", link)
    with pytest.raises(StateError, match="holds something else; nothing is overwritten"):
        mtgen.OrderLog(tmp_path, loader())
    assert [one.name for one in tmp_path.iterdir()] == ["order.jsonl"]
    assert path.read_bytes() == b"of another process\n"


def test_a_log_is_begun_where_files_have_one_name_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def link(*names: object) -> None:
        raise OSError(errno.EPERM, "no second names here")

    monkeypatch.setattr(os, "link", link)
    write(tmp_path, loader(), 0, 8)
    assert audit_run(tmp_path).ok
    assert [one.name for one in tmp_path.iterdir()] == ["order.jsonl"]


def test_after_a_write_that_failed_the_same_log_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = loader()
    with mtgen.OrderLog(tmp_path, source) as log:
        log.add(source.batch(0))
        with pytest.MonkeyPatch.context() as patch:
            Failing(patch, 1)
            with pytest.raises(StoreError, match=r"the order log cannot be written .*no space"):
                log.add(source.batch(1))
        log.add(source.batch(1))
    assert audit_run(tmp_path).epochs[0].num_steps == 2


def test_short_writes_are_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda handle, data: real(handle, data[:7]))
    write(tmp_path, loader(), 0, 6)
    assert audit_run(tmp_path).ok


def test_a_failed_flush_is_not_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = loader()
    log = mtgen.OrderLog(tmp_path, source)
    calls = []

    def fails(handle: int) -> None:
        calls.append(handle)
        raise OSError(errno.EIO, "input/output error")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", fails)
        for step in range(STEPS - 1):
            log.add(source.batch(step))
        with pytest.raises(StoreError, match="cannot be flushed to disk"):
            log.add(source.batch(STEPS - 1))
    with pytest.raises(StateError, match="because it could not be written before"):
        log.add(source.batch(6))
    assert len(calls) == 1


def test_a_folder_without_rights_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(StoreError, match=r"the run's folder cannot be made.*file"):
        mtgen.OrderLog(tmp_path / "file" / "run", loader())


def test_a_log_that_is_dropped_leaves_no_file_open(tmp_path: Path) -> None:
    if not Path("/proc/self/fd").exists():
        pytest.skip("no list of open files here")
    source = loader()
    for number in range(30):
        log = mtgen.OrderLog(tmp_path / str(number % 2), source)
        log.note(number // 2, source.rows(number // 2))
        del log
    open_files = [os.readlink(path) for path in Path("/proc/self/fd").iterdir() if path.is_symlink()]
    assert not [name for name in open_files if str(tmp_path) in name]


def test_shards_write_logs_of_their_own(tmp_path: Path) -> None:
    shards = [loader(shard=Shard(index, 2)) for index in range(2)]
    for shard in shards:
        write(tmp_path / str(shard.batching.shard.index), shard, 0, 2 * shard.steps_per_epoch)
    for shard in shards:
        found = audit_run(tmp_path / str(shard.batching.shard.index))
        assert found.ok
        assert [one.digest for one in found.epochs] == [one.digest for one in shard.audit(2).epochs]
        assert "each of these rows once" in str(found)
