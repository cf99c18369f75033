"""A run that never scores its test split reads nothing of it: its pictures are gone, its features are NaN."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

import mtgen
from mtgen.cli import app
from mtgen.training import RunFolder

pytestmark = pytest.mark.usefixtures("no_thread_left")

DIGITS = Path(__file__).resolve().parents[2] / "data_samples" / "digits"
CONFIG = """
[table]
path = "table.csv"
[inputs.image]
column = "imgpath"
size = [4, 8]
color = "grayscale"
[inputs.features]
store = "features.npy"
finite = true
[targets]
target = "target"
[fit]
epochs = 2
batch_size = 128
[recipe]
patience = 8
halve_after = 1
decay = 0.1
score_test = "never"
[run]
tensorboard = true
snapshot_steps = 3
"""


def train(folder: Path, run: Path, *arguments: object) -> Result:
    given = ["train", "--config", folder / "never.toml", "--run", run, *arguments]
    return CliRunner().invoke(app, [str(one) for one in given])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("digits") / "digits"
    shutil.copytree(DIGITS, folder)
    with mtgen.open_store(folder / "features.bcolz") as store:
        features = np.empty((store.num_rows, *store.row_shape), store.dtype)
        store.read_rows(np.arange(store.num_rows), features)
    np.save(folder / "features.npy", features.astype(np.float32))
    (folder / "never.toml").write_text(CONFIG)
    return folder


def test_no_row_of_a_test_split_that_is_never_scored_is_read(folder: Path, tmp_path: Path) -> None:
    whole = train(folder, tmp_path / "whole")
    assert whole.exit_code == 0, whole.output
    splits = mtgen.read_table(RunFolder(tmp_path / "whole").splits)
    rows = splits["row"][splits["split"] == "test"].to_numpy()
    assert len(rows) == 269
    paths = mtgen.read_table(folder / "table.csv")["imgpath"]
    for row in rows:
        (folder / paths[row]).unlink()
    features = np.load(folder / "features.npy")
    features[rows] = np.nan
    np.save(folder / "features.npy", features)

    refused = train(folder, tmp_path / "scored", "--score-test", "end")
    assert refused.exit_code == 1, "what is gone would be missed"
    for placement in ("stream", "device"):
        run = tmp_path / placement
        done = train(folder, run, "--placement", placement)
        assert done.exit_code == 0, done.output
        assert not RunFolder(run).test_scores.exists()
        last, expected = (RunFolder(one).snapshot(6).arrays for one in (run, tmp_path / "whole"))
        # Not by name: Keras numbers its seed generators in the order in which a process makes them.
        assert [one.tobytes() for one in last.values()] == [one.tobytes() for one in expected.values()]
    drawn = CliRunner().invoke(app, ["plot", str(tmp_path / "stream")])
    assert drawn.exit_code == 0, drawn.output
    assert "could not" not in drawn.output
