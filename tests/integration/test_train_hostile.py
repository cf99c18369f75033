"""`mtgen train` and `mtgen plot` on what no run can be made of: a short error, never a traceback."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from mtgen.cli import app
from mtgen.errors import OtherRunError, StoreError
from mtgen.training import RunFolder
from mtgen.training.config import read_config
from mtgen.training.run import train_config
from mtgen.training.settings import Run

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


def test_the_error_of_another_optimizer_was_its_own_cause(folder: Path) -> None:
    """Whoever follows the causes of an error never came to an end."""
    text = TEXT.replace("epochs = 1", 'epochs = 2\nschedule = "constant"')
    (folder / "run.toml").write_text(text)
    command = ["train", "--config", str(folder / "run.toml"), "--run", str(folder / "run")]
    assert CliRunner().invoke(app, [*command, "--epochs", "1"]).exit_code == 0
    (folder / "run.toml").write_text(text + "optimizer_options = {beta_1 = 0.5}\n")
    config = read_config(folder / "run.toml")
    with pytest.raises(OtherRunError, match=r"optimizer setting 'config\.beta_1' was 0\.9 and is 0\.5") as raised:
        train_config(replace(config, run=Run(run=folder / "run", resume=True)), say=lambda line: None)
    assert raised.value.__cause__ is None


OWN = """\
import keras


class Unsaved(keras.layers.Layer):
    def __init__(self, function=None, **options):
        super().__init__(**options)
        self.function = function

    def call(self, inputs):
        return inputs


def made(train, *, unsaved=False, whole_batch=False):
    features = keras.Input((2,), name="features")
    inner = Unsaved(lambda: None)(features) if unsaved else features
    outputs = keras.layers.Dense(2, activation="softmax", name="kind")(inner)
    return keras.Model([features], keras.ops.sum(outputs) if whole_batch else outputs)


class Exits(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        raise SystemExit(0)


class Logs(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        logs.update({"\\ud800": 2.0, "<b>\\n": 3.0, "a,b": None})
"""


def own(folder: Path, **arguments: bool) -> str:
    """In a module of its own: Python keeps what was imported."""
    (folder / f"{folder.name}.py").write_text(OWN)
    given = ", ".join(f"{name} = {str(value).lower()}" for name, value in arguments.items())
    return TEXT.replace("units = 4", f'function = "{folder.name}:made"\narguments = {{{given}}}')


def test_an_output_of_one_number_per_batch_was_an_index_error(folder: Path) -> None:
    assert "is one number for a whole batch: give it one for each row" in refused(folder, own(folder, whole_batch=True))


def test_a_model_that_cannot_be_saved_is_said_and_saved_once_it_can_be(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was the error of Keras alone, with no word of what became of the training."""
    text = own(folder, unsaved=True)
    error = refused(folder, text)
    assert "training is over, and Keras cannot save the model (NotImplementedError: " in error
    assert not list((folder / "run").glob("*model.keras"))
    monkeypatch.setattr(sys.modules[folder.name].Unsaved, "get_config", lambda layer: {"name": layer.name})
    command = ["train", "--config", str(folder / "run.toml"), "--run", str(folder / "run"), "--resume"]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    assert "model.keras" in done.stdout


def test_a_callback_that_exits_while_the_model_is_trained_has_not_trained_it(folder: Path) -> None:
    text = f'callbacks = ["{folder.name}:Exits"]\n{own(folder)}'
    assert "something called sys.exit while the model was trained" in refused(folder, text)


def test_names_in_the_logs_that_no_file_takes_are_written_all_the_same(folder: Path) -> None:
    text = f'callbacks = ["{folder.name}:Logs"]\n{own(folder)}[run]\ntensorboard = true\n'
    (folder / "run.toml").write_text(text, encoding="utf-8")
    command = ["train", "--config", str(folder / "run.toml"), "--run", str(folder / "run")]
    assert CliRunner().invoke(app, command).exit_code == 0
    assert {"?", "<b>?"} <= set(RunFolder(folder / "run").read_history())


@pytest.mark.skipif(not os.path.isdir("/dev/fd"), reason="this system has no pipes as paths")
def test_a_configuration_may_come_out_of_a_pipe_as_shells_write_one(folder: Path) -> None:
    reads, writes = os.pipe()
    os.write(writes, TEXT.replace('= "table', f'= "{folder}/table').replace('= "feat', f'= "{folder}/feat').encode())
    os.close(writes)
    try:
        done = CliRunner().invoke(app, ["train", "--dry-run", "--config", f"/dev/fd/{reads}"])
    finally:
        os.close(reads)
    assert done.exit_code == 0, done.output
    assert "nothing was trained: this was a dry run" in done.output


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes with names")
def test_a_pipe_that_nobody_writes_to_is_no_configuration(folder: Path) -> None:
    os.mkfifo(folder / "pipe.toml")
    done = CliRunner().invoke(app, ["train", "--config", str(folder / "pipe.toml")])
    assert "[table]" in said(done)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes with names")
def test_a_pipe_in_place_of_any_file_of_a_run_was_waited_for(folder: Path) -> None:
    text = own(folder) + '[run]\ntensorboard = true\n[recipe]\npatience = 100\nscore_test = "best"\n'
    (folder / "run.toml").write_text(text, encoding="utf-8")
    run, copy = folder / "run", folder / "copy"
    command = ["train", "--config", str(folder / "run.toml"), "--run"]
    assert CliRunner().invoke(app, [*command, str(run)]).exit_code == 0
    files = [one.relative_to(run) for one in run.rglob("*") if one.is_file()]
    assert len(files) > 12
    for name in files:
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(run, copy)
        (copy / name).unlink()
        os.mkfifo(copy / name)
        done = CliRunner().invoke(app, [*command, str(copy), "--resume"])
        assert done.exception is None or isinstance(done.exception, SystemExit), (name, done.exception)
    folder_of_pipes = RunFolder(copy)
    for path in (folder_of_pipes.history, folder_of_pipes.record, folder_of_pipes.test_scores):
        path.unlink()
        os.mkfifo(path)
    for read in (folder_of_pipes.read_history, folder_of_pipes.read_record, folder_of_pipes.read_test_scores):
        with pytest.raises(StoreError, match="a pipe or a device, and no file"):
            read()
