"""The record of a run: what it is written from, what a resumed run may change, and what it may not."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import mtgen
from mtgen.checkpoint import Checkpoints
from mtgen.errors import PlanError, StateError, StoreError
from mtgen.training import RunFolder, record_run
from mtgen.training.record import run_record


def parts(scale: float = 1.0, rows: int = 8) -> dict[str, object]:
    table = pd.DataFrame({"a": np.arange(12.0) * scale})
    data = mtgen.Dataset(table, inputs={"a": mtgen.Columns("a")})
    train = data.take(np.arange(rows))
    return {"train": mtgen.Loader(train, 4, num_workers=0), "test": data.take(np.arange(8, 12))}


def test_a_run_that_begins_is_recorded(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "new" / "run")
    found = record_run(run, parts(), seed=3)
    assert run.read_record() == json.loads(json.dumps(found))
    assert (found["format"], found["version"], found["seed"], found["resumes"]) == ("mtgen run", 1, 3, [])
    assert {"python", "mtgen", "keras", "numpy", "pandas"} <= set(found["versions"])
    assert found["backend"] in ("jax", "torch", "tensorflow")
    assert found["device"]
    train = parts()["train"]
    assert isinstance(train, mtgen.Loader)
    assert found["splits"]["train"] == {
        "num_rows": 8,
        "batch_size": 4,
        "steps_per_epoch": 2,
        "digests": train.dataset.digests,
    }
    assert set(found["splits"]["test"]) == {"num_rows", "digests"}
    assert [one.name for one in run.path.iterdir()] == ["run.json"]


def test_each_resume_is_added_with_what_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, said = RunFolder(tmp_path), []
    first = record_run(run, parts(), seed=3, resume=True)
    with Checkpoints(run.checkpoints) as checkpoints:
        checkpoints.save(40, {}, {})
    again = record_run(run, parts(), seed=3, resume=True, say=said.append)
    assert {**again, "resumes": []} == first
    assert [set(one) for one in again["resumes"]] == [{"at", "step"}]
    assert again["resumes"][0]["step"] == 40
    assert said == []
    real = run_record.surroundings()
    other = {**real, "device": "another one", "versions": {**real["versions"], "numpy": "9.9"}}
    monkeypatch.setattr(run_record, "surroundings", lambda: other)
    for num in (2, 3):  # said and written once
        found = record_run(run, parts(), seed=3, resume=True, say=said.append)
        assert len(found["resumes"]) == num
    assert found["resumes"][1] == again["resumes"][0] | {
        "at": found["resumes"][1]["at"],
        "device": "another one",
        "versions": other["versions"],
    }
    assert set(found["resumes"][2]) == {"at", "step"}
    assert said == [
        f"resumed in other surroundings: version of 'numpy' was '{np.__version__}' and is '9.9'; 'device' was "
        f"'{real['device']}' and is 'another one'"
    ]


def test_other_data_are_refused_and_nothing_is_written(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    record_run(run, parts(), seed=3)
    before = run.record.read_bytes()
    for given, seed, says in [
        (parts(2.0), 3, "train dataset part 'input a' was '.*' and is '.*'; test dataset part 'input a'"),
        (parts(rows=7), 3, "Differing: train dataset part 'rows' was"),
        (parts(), 4, "Differing: 'seed' was 3 and is 4"),
        ({"train": parts()["train"]}, 3, r"splits were \['test', 'train'\] and are \['train'\]"),
    ]:
        with pytest.raises(StateError, match=says) as caught:
            record_run(run, given, seed=seed, resume=True)
        assert caught.value.path == str(run.record)
    with pytest.raises(PlanError, match=r"the folder has the record of a run. Go on with that one with resume=True"):
        record_run(run, parts(), seed=3)
    assert run.record.read_bytes() == before


def test_a_record_of_something_else_is_refused(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    for content, says in [
        ('{"a": 1}', "expected the record of a run, 'mtgen run' of version 1; it says None of version None"),
        ('{"format": "mtgen run", "version": 2, "resumes": []}', "of version 2"),
        ("[", "line 1 is damaged"),
    ]:
        run.record.write_text(content)
        with pytest.raises(StateError, match=says):
            record_run(run, parts(), resume=True)
        assert run.record.read_text() == content


def test_what_is_no_part_is_refused(tmp_path: Path) -> None:
    for given, says in [
        ([1], 'parts must be a dict of name -> Loader, such as {"train": loader}, received'),
        ({"train": 3}, r"parts\['train'\] must be a Loader, a Dataset or a sealed split"),
    ]:
        with pytest.raises(PlanError, match=says):
            record_run(tmp_path, given)  # type: ignore[arg-type]
    with pytest.raises(PlanError, match="seed must be an integer >= 0 or None"):
        record_run(tmp_path, parts(), seed=-1)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file")
    with pytest.raises(StoreError, match=r"the folder of the run cannot be made|cannot be read"):
        record_run(tmp_path / "run", parts())
