"""The folder of a run as it is read: nothing where nothing is, and damage named by file and line."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from mtgen.errors import MtgenError, StateError, StoreError
from mtgen.training import RunFolder
from mtgen.training.record.snapshots import write_snapshot
from mtgen.training.score_file import Score, ScoreFile

HISTORY = "step,data_epoch,loss,val_loss\n40,0.5,0.25,\n80,1.0,nan,0.1\n"
DECISION = {
    "step": 40, "iteration": 39, "rule": "patience", "what": "improved", "value": 0.5, "before": None, "after": 0.5,
    "text": "better",
}  # fmt: skip


def test_every_file_of_the_contract_has_a_place() -> None:
    run = RunFolder("run")
    names = {name: value for name in dir(run) if isinstance(value := getattr(run, name), Path) and name != "path"}
    assert {name: path.name for name, path in names.items()} == {
        "config": "run.toml",
        "record": "run.json",
        "splits": "splits.csv",
        "history": "history.csv",
        "decisions": "decisions.jsonl",
        "waits": "waits.csv",
        "test_scores": "test_scores.csv",
        "snapshots": "snapshots",
        "architecture": "model.json",
        "model": "model.keras",
        "checkpoints": "checkpoints",
        "bad_rows": "bad_rows.csv",
        "tensorboard": "tensorboard",
        "plots": "plots",
    }
    assert {path.parent for path in names.values()} == {run.path}
    assert RunFolder(run).path == run.path


def test_what_is_not_there_reads_as_nothing(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "never")
    assert run.read_record() == {}
    assert run.read_decisions() == []
    assert run.snapshot_steps() == []
    for frame in (run.read_history(), run.read_waits(), run.read_test_scores()):
        assert len(frame) == 0
        assert frame["step"].dtype == np.int64
    assert not run.path.exists()


def test_numbers_come_back_and_gaps_are_nan(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.history.write_text(HISTORY)
    frame = run.read_history()
    assert frame["step"].tolist() == [40, 80]
    assert frame["step"].dtype == np.int64
    assert frame["loss"].iloc[0] == 0.25
    assert frame[["loss", "val_loss"]].isna().to_numpy().tolist() == [[False, True], [True, False]]
    run.waits.write_text("step,seconds,wait_seconds\n1,0.5,0.1\n2,inf,0\n")
    assert run.read_waits().to_numpy().tolist() == [[1, 0.5, 0.1], [2, math.inf, 0]]
    run.test_scores.write_text('step,why,num_rows,accuracy\n4,"a, b",9,0.5\n4,end,9,0.75\n')
    assert run.read_test_scores().to_dict("list") == {
        "step": [4, 4], "why": ["a, b", "end"], "num_rows": [9, 9], "accuracy": [0.5, 0.75],
    }  # fmt: skip
    run.decisions.write_text(json.dumps(DECISION) + "\n")
    assert run.read_decisions() == [DECISION]
    run.record.write_text('{"a": 1}')
    assert run.read_record() == {"a": 1}


def test_looks_at_the_test_split_may_go_back_in_steps(tmp_path: Path) -> None:
    # Another model may be scored into the same file; the reader of runs called that damage, its writer did not.
    scores = [Score(step=step, why="by hand", num_rows=9, values={"loss": step / 2}) for step in (8, 4)]
    ScoreFile(tmp_path / "test_scores.csv").write(scores)
    frame = RunFolder(tmp_path).read_test_scores()
    assert frame.to_dict("list") == {"step": [8, 4], "why": 2 * ["by hand"], "num_rows": [9, 9], "loss": [4.0, 2.0]}
    assert frame["step"].dtype == frame["num_rows"].dtype == np.int64
    ScoreFile(tmp_path / "test_scores.csv").write([Score(step=4, why="by hand", num_rows=9, values={"step": 0.5})])
    frame = RunFolder(tmp_path).read_test_scores()
    assert frame.to_dict("list") == {"step": [4], "why": ["by hand"], "num_rows": [9], "log_step": [0.5]}


@pytest.mark.parametrize("cut", range(1, len("80,1.0,nan,0.1\n")))
def test_a_torn_last_line_is_left_out(tmp_path: Path, cut: int) -> None:
    run = RunFolder(tmp_path)
    run.history.write_text(HISTORY[:-cut])
    assert run.read_history()["step"].tolist() == [40]


def test_a_torn_first_line_is_no_file(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.waits.write_text("step,sec")
    assert len(run.read_waits()) == 0
    run.decisions.write_text('{"step": 4')
    assert run.read_decisions() == []


WAITS = "step,seconds,wait_seconds\n"


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("waits", "a,b\n1,2\n", "line 1 is damaged: it should name the columns step, seconds, wait_seconds and more"),
        ("waits", "step,seconds,wait_seconds,step\n", "line 1 is damaged"),
        ("waits", "\n", "line 1 is damaged"),
        ("waits", b"\xff\n", "line 1 is damaged: it names no columns"),
        ("waits", WAITS + "1,0,0\n1,0,0\n", "line 3 is damaged: step 1 comes after step 1"),
        ("waits", WAITS + "2,0,0\n1,0,0\n", "line 3 is damaged: step 1 comes after step 2"),
        ("waits", WAITS + "1,0,0\n2,0\n3,0,0\n", "line 3 is damaged: it has 2 fields, and the first line names 3"),
        ("waits", WAITS + "1,0,0\n\n3,0,0\n", "line 3 is damaged: it has 0 fields"),
        ("waits", WAITS + "1,0,0,0\n", "line 2 is damaged: it has 4 fields"),
        ("waits", WAITS + "1,0,x\n", "line 2 is damaged: wait_seconds is 'x', expected a number or nothing"),
        ("waits", WAITS + "1.5,0,0\n", "line 2 is damaged: step is '1.5', expected a number of steps"),
        ("waits", WAITS + "-1,0,0\n", "line 2 is damaged: step is '-1'"),
        ("waits", WAITS.encode() + b"1,0,0\n2,\xff,0\n", "line 3 is damaged: it is no text"),
        ("history", HISTORY + '120,1,"0.5\n', "line 4 is damaged"),
        ("test_scores", "step,why,num_rows,a\n4,x,9,1\n3,x,9\n", "score 2 has 3 fields, the header 4"),
        ("test_scores", "step,why,num_rows,a\n4,x,9,1\n3,x,9,b\n", "score 2: this is no score of a test split"),
        ("test_scores", "step,why,num_rows,a\n-4,x,9,1\n", "score 1: this is no score of a test split"),
        ("decisions", json.dumps(DECISION) + "\n{\n", "line 2 is damaged: it is no JSON"),
        ("decisions", "[]\n", "line 1 is damaged: expected an object with step, iteration, rule, what"),
        ("decisions", json.dumps(DECISION | {"step": True}) + "\n", "line 1 is damaged: step is True"),
        ("decisions", f"{json.dumps(DECISION)}\n{json.dumps(DECISION | {'step': 3})}\n", "line 2 .* 3 comes after"),
        ("record", '{\n"a": 1,\n', "line 3 is damaged: it is no JSON"),
        ("record", "[]", "expected a JSON object"),
        ("record", b"\xff", "it is no JSON"),
    ],
)
def test_damage_is_named_by_file_and_line(tmp_path: Path, name: str, content: str | bytes, says: str) -> None:
    run = RunFolder(tmp_path)
    path: Path = getattr(run, name)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(StateError, match=says) as caught:
        getattr(run, f"read_{name}")()
    assert caught.value.path == str(path)
    assert "Bring the file back from a copy, or remove the line" in str(caught.value)


def test_a_file_that_cannot_be_read_is_another_error(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    for name in ("history", "decisions", "waits", "test_scores", "record"):
        getattr(run, name).mkdir()
        with pytest.raises(StoreError, match="cannot be read") as caught:
            getattr(run, f"read_{name}")()
        assert isinstance(caught.value, MtgenError)
        assert caught.value.path == str(getattr(run, name))


DEEP = "[" * 100_000 + "\n"
"""Python's reader of JSON gives up with a RecursionError, which is no ValueError."""


@pytest.mark.parametrize("name", ["record", "decisions"])
def test_brackets_without_end_are_damage_and_no_recursion_error(tmp_path: Path, name: str) -> None:
    run = RunFolder(tmp_path)
    getattr(run, name).write_text(DEEP)
    with pytest.raises(StateError, match="line 1 is damaged: it is no JSON"):
        getattr(run, f"read_{name}")()


def test_metadata_with_brackets_without_end_are_damage(tmp_path: Path) -> None:
    path = write_snapshot(tmp_path / "snapshots", 4, {"a": np.ones(2)}, {})
    (path / "snapshot.json").write_text(DEEP)
    with pytest.raises(StateError, match=r"snapshot\.json of this snapshot is damaged: RecursionError"):
        RunFolder(tmp_path).snapshot(4)


@pytest.mark.parametrize("step", [2**53, 2**63 - 2, 10**22, int("9" * 400)])
@pytest.mark.parametrize("gap", ["1.0", ""], ids=["full", "gap"])
def test_a_step_that_no_run_reaches_is_damage_and_no_overflow(tmp_path: Path, step: int, gap: str) -> None:
    run = RunFolder(tmp_path)
    run.history.write_text(f"step,data_epoch,loss\n40,0.5,{gap}\n{step},1.0,0.5\n")
    with pytest.raises(StateError, match="line 3 is damaged: step is"):
        run.read_history()
    for line in (f"{step},x,9", f"40,x,{step}"):
        run.test_scores.write_text(f"step,why,num_rows,loss\n40,x,9,0.5\n{line},0.5\n")
        with pytest.raises(StateError, match="score 2: this is no score of a test split"):
            run.read_test_scores()
