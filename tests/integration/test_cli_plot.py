"""`mtgen plot` on a run that was trained: all pictures, as files and on one page."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner

from mtgen.cli import app
from mtgen.training import RunFolder

pytest.importorskip("matplotlib")
pytest.importorskip("keras")

KERAS_SAVES = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)
pytestmark = KERAS_SAVES

FILES = [
    "confusion_target.png",
    "curves.png",
    "filters_image.png",
    "inputs.png",
    "maps_image_conv_0.png",
    "report.html",
    "snapshots.png",
    "waits.png",
    "weights_features.png",
]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    from tests.support.plotted_runs import make_run

    return make_run(tmp_path_factory.mktemp("runs") / "a <b>")


def plot(*arguments: object) -> Any:
    return CliRunner().invoke(app, ["plot", *map(str, arguments)])


@pytest.fixture(scope="module")
def drawn(run: RunFolder) -> Any:
    result = plot(run.path, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_all_pictures_are_drawn_and_said(run: RunFolder, drawn: Any) -> None:
    assert sorted(path.name for path in run.plots.iterdir()) == FILES
    for path in run.plots.glob("*.png"):
        with Image.open(path) as picture:
            picture.load()
            assert picture.width == 720
    assert drawn["left_out"] == []
    kinds = [one["kind"] for one in drawn["pictures"]]
    assert kinds == ["curves", "filters", "filters", "maps", "confusion", "inputs", "waits", "snapshots"]
    by_name = {one["file"]: one for one in drawn["pictures"]}
    history = run.read_history()
    best = history["val_loss"].idxmin()
    assert by_name["curves.png"]["best_step"] == history["step"][best]
    scores = by_name["inputs.png"]["scores"]["loss"]
    assert scores[0][0] == pytest.approx(history["val_loss"][best], rel=1e-3)  # the best variables were put back
    snapshots = by_name["snapshots.png"]
    trained = dict(zip(snapshots["steps"], snapshots["scores"]["loss"], strict=True))
    for step, value in zip(history["step"], history["val_loss"], strict=True):
        assert trained[step] == pytest.approx(value, rel=1e-3)
    assert len(by_name["maps_image_conv_0.png"]["rows"]) == 4
    page = (run.plots / "report.html").read_text(encoding="utf-8")
    assert "Run a &lt;b&gt;" in page
    for one in drawn["pictures"]:
        assert one["sentence"].split(",")[0].split("<")[0] in page
    for what in ("What the rules decided", "Most confused pairs", "Facts of the run", "versions: keras"):
        assert what in page


@pytest.mark.usefixtures("drawn")
def test_drawn_again_all_bytes_are_the_same(run: RunFolder, tmp_path: Path) -> None:
    assert plot(run.path, "--out", tmp_path).exit_code == 0
    for name in FILES:
        assert (tmp_path / name).read_bytes() == (run.plots / name).read_bytes(), name


def test_some_pictures_of_chosen_rows_layers_and_snapshots(run: RunFolder, tmp_path: Path) -> None:
    rows = run.read_record()["splits"]["train"]["num_rows"]
    assert rows == 1258
    chosen = ["--only", "maps", "--layer", "joint", "--snapshots", "0,40", "--out", tmp_path, "--json"]
    lines = [line.split(",") for line in run.splits.read_text(encoding="utf-8").splitlines()[1:]]
    allowed = [int(line[0]) for line in lines if line[-1] == "train"][:2]
    sealed = next(int(line[0]) for line in lines if line[-1] == "test")
    result = plot(run.path, "--rows", f"{allowed[1]},{allowed[0]}", *chosen)
    (picture,) = json.loads(result.stdout)["pictures"]
    assert (picture["file"], picture["rows"]) == ("maps_joint.png", [allowed[1], allowed[0]])
    assert picture["states"] == ["step 0", "step 40"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["maps_joint.png", "report.html"]
    result = plot(run.path, "--rows", sealed, *chosen)
    (left,) = json.loads(result.stdout)["left_out"]
    assert f"--rows names [{sealed}]: not among the 1,528 rows" in left["why"]
    assert "stay sealed" in left["why"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--only", "curve"], "there is no picture 'curve'; there are curves, "),
        (["--rows", "a"], "--rows needs whole numbers with commas between, such as 3,17, received 'a'"),
        (["--snapshots", "-1"], "--snapshots needs numbers >= 0, received '-1'"),
        (["--snapshots", "7"], "there is no snapshot of step 7; there are those of steps [0, 20, 40, 60, 80]"),
    ],
)
def test_wrong_options_are_refused(run: RunFolder, arguments: list[str], said: str) -> None:
    result = plot(run.path, *arguments)
    assert result.exit_code == 1
    assert said in result.stderr


def test_without_its_configuration_the_pictures_of_data_are_left_out(run: RunFolder, tmp_path: Path) -> None:
    copy = shutil.copytree(run.path, tmp_path / "run", ignore=shutil.ignore_patterns("plots", "run.toml"))
    result = plot(copy)
    assert result.exit_code == 0, result.output
    assert (
        "left out, maps, confusion, inputs, snapshots: The data of the run cannot be opened: run.toml" in result.stdout
    )
    assert sorted(path.name for path in (copy / "plots").iterdir()) == [
        "curves.png", "filters_image.png", "report.html", "waits.png", "weights_features.png",
    ]  # fmt: skip


def test_curves_need_no_backend(run: RunFolder, tmp_path: Path) -> None:
    """And so no more memory than a table takes."""
    script = Path(__file__).resolve().parents[2] / "scripts" / "plot_model.py"
    code = (
        f"import runpy, sys; sys.argv = ['plot', {str(run.path)!r}, '--out', {str(tmp_path)!r}]\n"
        "sys.argv += ['--only', 'curves,waits']\n"
        f"try: runpy.run_path({str(script)!r}, run_name='__main__')\n"
        "except SystemExit as end: assert not end.code\n"
        "assert not {'keras', 'jax', 'torch', 'tensorflow'} & set(sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False, env={**os.environ}
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0].startswith(f"{tmp_path / 'curves.png'}: The best val_loss is ")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["curves.png", "report.html", "waits.png"]


def test_a_folder_that_is_no_runs_is_an_error(tmp_path: Path) -> None:
    result = plot(tmp_path, "--only", "curves,waits")
    assert result.exit_code == 1
    assert "There is no validation in history.csv yet." in result.output
    assert "there is nothing to draw; is this the folder of a run?" in result.output
    assert plot(tmp_path, "--only", "curves,waits", "--json").exit_code == 1
