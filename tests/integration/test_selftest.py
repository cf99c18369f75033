"""The selftest passes, and fails where something is wrong: a proof is worth what its failures are worth."""

from __future__ import annotations

import dataclasses
import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mtgen.batch import Batch
from mtgen.errors import PlanError
from mtgen.selftest import Report, proof, run_selftest
from mtgen.selftest.proof import Due, Outcome, prove
from mtgen.selftest.runs import all_runs
from mtgen.selftest.samples import features_of, pictures_of, rows_in_features, rows_in_pictures

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "selftest.py"

pytestmark = pytest.mark.usefixtures("no_thread_left")


def run_script(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", str(SCRIPT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)


def test_every_run_passes_and_says_what_it_proved() -> None:
    lines: list[str] = []
    report = run_selftest(num_rows=150, epochs=2, echo=lines.append)
    assert report, "\n".join(lines)
    assert len(report.outcomes) + len(report.left_out) == len(all_runs(150)) == 29
    says = (
        r"run 5 of \d+: bcolz in chunks of 64, 1 worker, exact shuffle: 300 rows seen in 2 epochs, each exactly once "
        r"per epoch; 0 duplicates; 0 missing; 0 misalignments; [\d,]+ rows per second"
    )
    assert re.fullmatch(says, lines[5])
    assert re.fullmatch(r"selftest passed: all \d+ runs.*; 0 duplicates; 0 missing; 0 misalignments; \d+ s", lines[-1])
    assert not Path(lines[0].rpartition(" ")[2]).exists()


@pytest.mark.parametrize("shift", [1, -7])
def test_shifted_features_are_found_in_every_run_that_has_features(shift: int) -> None:
    lines: list[str] = []
    report = run_selftest(num_rows=64, epochs=1, num_workers=2, shift_features=shift, echo=lines.append)
    assert not report
    for outcome in report.outcomes:
        assert outcome.passed == outcome.title.startswith("no features")
        if not outcome.passed:
            assert outcome.num_misaligned == outcome.num_rows > 0
            says = r"step \d+, slot \d+, row (\d+): the feature row is that of row (\d+)"
            faults = [re.fullmatch(says, fault) for fault in outcome.faults]
            assert all(fault and fault[1] != fault[2] for fault in faults)
    assert len(report.failed) == len(report.outcomes) - 3  # two plain runs and one compat run have no features
    assert re.match(rf"selftest FAILED: {len(report.failed)} of {len(report.outcomes)} runs", lines[-1])


def test_the_script_passes_with_0_and_fails_with_1() -> None:
    good = run_script("--rows", "64", "--epochs", "1", "--workers", "1")
    assert (good.returncode, good.stderr) == (0, "")
    assert good.stdout.splitlines()[-1].startswith("selftest passed: all ")
    bad = run_script("--rows", "64", "--epochs", "1", "--workers", "1", "--sabotage")
    assert bad.returncode == 1
    assert "the feature row is that of row" in bad.stdout
    assert bad.stdout.splitlines()[-1].startswith("selftest FAILED: ")


def test_the_script_explains_itself_and_refuses_plainly() -> None:
    told = run_script("--help")
    assert told.returncode == 0
    assert all(option in told.stdout for option in ("--rows", "--epochs", "--workers", "--keep", "--sabotage"))
    refused = run_script("--rows", "3")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "--rows" in refused.stderr
    assert "64" in refused.stderr


def test_keep_leaves_the_samples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    lines: list[str] = []
    run_selftest(num_rows=64, epochs=1, num_workers=1, keep=True, echo=lines.append)
    (folder,) = tmp_path.iterdir()
    assert lines[0].endswith(str(folder))
    assert len(list((folder / "pictures").rglob("*.png"))) == 64


def test_a_package_that_is_missing_leaves_its_run_out_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "h5py" else found(name))
    lines: list[str] = []
    report = run_selftest(num_rows=64, epochs=1, num_workers=1, echo=lines.append)
    assert report.passed
    assert report.left_out == ("HDF5 in chunks of 50, 1 worker, exact shuffle",)
    assert "left out: HDF5 in chunks of 50, 1 worker, exact shuffle: h5py is not installed" in lines
    assert "1 left out" in lines[-1]


@pytest.mark.parametrize(
    "options", [{"num_rows": 63}, {"num_rows": 2**23}, {"epochs": 0}, {"num_workers": -1}, {"epochs": 1.5}]
)
def test_numbers_outside_the_bounds_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(PlanError, match="received"):
        run_selftest(**options, echo=lambda line: pytest.fail(line))


def test_no_run_at_all_is_no_pass() -> None:
    assert not Report(outcomes=(), left_out=(), seconds=0.0)


# --- what the comparison finds ----------------------------------------------------------------------------------------


def test_pictures_and_features_carry_their_row_in_every_value() -> None:
    rows = np.array([0, 1, 255, 256, 65_536, 4_194_303])
    assert rows_in_pictures(pictures_of(rows)).tolist() == rows.tolist()
    assert rows_in_features(features_of(rows)).tolist() == rows.tolist()
    neighbours = pictures_of(rows + 1) == pictures_of(rows)
    assert not neighbours.all(axis=-1).any()


def batch(rows: list[int], step: int = 0, epoch: int | None = 0) -> Batch:
    places = np.array(rows)
    inputs = {"image": pictures_of(places), "features": features_of(places)}
    return Batch(inputs=inputs, targets={"target": places.copy()}, weight=None, rows=places, step=step, epoch=epoch)


def outcome_of(*batches: Batch, num_epochs: int = 1, rows_per_epoch: int = 6) -> Outcome:
    due = Due(identity=np.arange(8), rows=np.arange(6), num_epochs=num_epochs, rows_per_epoch=rows_per_epoch)
    return prove("a run", due, ((0.5, one) for one in batches))


def test_what_is_right_passes_and_is_counted() -> None:
    outcome = outcome_of(batch([4, 0, 2]), batch([1, 3, 5], 1), batch([5, 4, 3, 2, 1, 0], 2, 1), num_epochs=2)
    assert outcome.passed
    assert str(outcome) == (
        "a run: 12 rows seen in 2 epochs, each exactly once per epoch; 0 duplicates; 0 missing; 0 misalignments; "
        "8 rows per second"
    )


@pytest.mark.parametrize(
    ("batches", "counts", "says"),
    [
        ([batch([0, 1, 2]), batch([3, 4, 4], 1)], (1, 1, 0), "epoch 0: 5 rows came, 6 were due; absent: [5]"),
        ([batch([0, 1, 2, 3, 4, 5]), batch([2], 1)], (1, 0, 0), "step 1: row 2 was seen before in epoch 0"),
        ([batch([0, 1, 2, 3, 4])], (0, 1, 0), "epoch 0: 5 rows came, 6 were due; absent: [5]"),
        ([batch([0, 1, 2, 3, 4, 5, 7])], (0, 0, 0), "epoch 0: row 7 came and does not belong to the dataset"),
        ([batch([0, 1, 2, 3, 4, 5]), batch([1], 1, None)], (1, 0, 0), "step 1: a batch that no epoch owes"),
    ],
)
def test_wrong_counts_are_found(batches: list[Batch], counts: tuple[int, ...], says: str) -> None:
    outcome = outcome_of(*batches)
    assert (outcome.num_duplicates, outcome.num_missing, outcome.num_misaligned) == counts
    assert not outcome.passed
    assert any(says in fault for fault in outcome.faults)
    assert "a run: FAILED" in str(outcome)


def fault_of(change: Any) -> list[str]:
    one = batch([4, 0, 2], step=9)
    change(one)
    return list(proof.faults_of(one, np.arange(8)))


def test_wrong_slots_are_named_with_what_they_hold() -> None:
    def swap_features(one: Batch) -> None:
        one.inputs["features"][[0, 1]] = one.inputs["features"][[1, 0]]

    def tear_picture(one: Batch) -> None:
        one.inputs["image"][2, 3, 5, 1] ^= 1

    def no_number(one: Batch) -> None:
        one.inputs["features"][1, 0] = np.nan

    def other_sample(one: Batch) -> None:
        one.inputs["image"][1], one.targets["target"][1] = pictures_of(np.array([7]))[0], 7

    assert fault_of(swap_features) == [
        "step 9, slot 0, row 4: the feature row is that of row 0",
        "step 9, slot 1, row 0: the feature row is that of row 4",
    ]
    assert fault_of(tear_picture) == [
        "step 9, slot 2, row 2: the picture begins as that of row 2 and goes on otherwise"
    ]
    assert fault_of(no_number) == ["step 9, slot 1, row 0: the feature row carries no row"]
    assert fault_of(other_sample) == [
        "step 9, slot 1, row 0: the picture is that of row 7 and the target is that of row 7"
    ]
    assert fault_of(lambda one: None) == []


def test_empty_slots_must_be_zeros_of_weight_zero() -> None:
    rows = np.array([3, -1, -1])
    inputs = {"features": features_of(np.array([3, 0, 0]))}
    inputs["features"][1:] = [[0] * 4, [0, 0, 0, 1]]
    padded = Batch(inputs=inputs, targets={}, weight=np.array([1, 0, 0], "float32"), rows=rows, step=2, epoch=0)
    assert list(proof.faults_of(padded, np.arange(8))) == ["step 2, slot 2: it is empty, but not all zeros"]
    heavy = dataclasses.replace(padded, weight=np.array([1, 1, 0], "float32"))
    assert "step 2, slot 1: it is empty, but its weight is not 0" in list(proof.faults_of(heavy, np.arange(8)))


def test_an_error_ends_its_run_and_is_told() -> None:
    def broken() -> Any:
        yield 0.1, batch([0, 1])
        raise OSError("disk gone")

    due = Due(identity=np.arange(8), rows=np.arange(6), num_epochs=1, rows_per_epoch=6)
    outcome = prove("a run", due, broken())
    assert outcome.faults[0] == "OSError: disk gone"
    assert (outcome.num_rows, outcome.num_missing) == (2, 4)
