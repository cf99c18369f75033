"""`mtgen train` and `mtgen plot` on what no run can be made of: a short error, never a traceback."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from mtgen.cli import app

pytestmark = pytest.mark.usefixtures("no_thread_left")

TEXT = """\
[table]
path = "table.csv"
[inputs.features]
store = "features.npy"
[targets]
kind = "kind"
[model]
units = 4
[fit]
epochs = 1
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    np.save(tmp_path / "features.npy", np.arange(120, dtype="float32").reshape(60, 2))
    pd.DataFrame({"kind": ["cat", "dog"] * 30}).to_csv(tmp_path / "table.csv", index=False)
    return tmp_path


def refused(folder: Path, text: str, *arguments: object) -> str:
    (folder / "run.toml").write_text(text, encoding="utf-8")
    command = ["train", "--config", str(folder / "run.toml"), "--run", str(folder / "run"), *map(str, arguments)]
    return said(CliRunner().invoke(app, command))


def said(done: Result) -> str:
    assert isinstance(done.exception, SystemExit), done.exception
    assert done.exit_code == 1, done.output
    return done.stderr


def test_a_table_without_rows_is_refused(folder: Path) -> None:
    (folder / "table.csv").write_text("kind\n")
    assert "the table has no rows: nothing to train on" in refused(folder, TEXT)


def test_options_that_an_optimizer_takes_and_cannot_compute_with_are_refused_before_a_run_begins(folder: Path) -> None:
    error = refused(folder, TEXT + 'optimizer_options = {beta_1 = "x"}\n')
    assert "Keras makes no optimizer 'adam' of learning_rate=0.002, beta_1='x'" in error
    assert not (folder / "run" / "run.toml").exists()


def test_a_width_at_which_backends_end_the_process_is_refused(folder: Path) -> None:
    error = refused(folder, TEXT.replace("units = 4", f"units = {2**62}"))
    assert "[model]: units must be at most 1,000,000, received 4,611,686,018,427,387,904" in error


@pytest.mark.parametrize("callback", ["sys:exit", "script_that_exits:Callback"])
def test_what_exits_is_no_training_that_succeeded(folder: Path, callback: str) -> None:
    (folder / "script_that_exits.py").write_text("raise SystemExit(0)\n")
    assert "SystemExit" in refused(folder, f'callbacks = ["{callback}"]\n' + TEXT)


def test_a_folder_whose_name_no_system_takes_is_refused(folder: Path) -> None:
    for more in ([], ["--resume"]):
        assert "too long" in refused(folder, TEXT, "--run", folder / ("r" * 300), *more)
    assert "there is no such folder of a run" in said(CliRunner().invoke(app, ["plot", str(folder / ("r" * 300))]))


def test_a_run_does_not_go_on_with_another_dropout_and_its_file_stays(folder: Path) -> None:
    text = TEXT.replace("epochs = 1", 'epochs = 2\nschedule = "constant"')
    (folder / "run.toml").write_text(text)
    command = ["train", "--config", str(folder / "run.toml"), "--run", str(folder / "run")]
    assert CliRunner().invoke(app, [*command, "--epochs", "1"]).exit_code == 0
    before = (folder / "run" / "run.toml").read_bytes(), (folder / "run" / "run.json").read_bytes()
    error = refused(folder, text.replace("units = 4", "units = 4\ndropout = 0.1"), "--resume")
    assert "the run began with another model. Differing: [model] 'dropout' was 0.4 and is 0.1" in error
    assert ((folder / "run" / "run.toml").read_bytes(), (folder / "run" / "run.json").read_bytes()) == before
    (folder / "run.toml").write_text(text)
    assert CliRunner().invoke(app, [*command, "--resume"]).exit_code == 0
