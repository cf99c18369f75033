"""The command line: as a user types it, what it prints, and its exit codes."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

import mtgen
from mtgen.cli import app, backend, main
from mtgen.errors import ModelError
from mtgen.training.samples import make_dataset
from mtgen.training.settings import Samples

ROOT = Path(__file__).resolve().parents[2]


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **more}


# --- processes of their own -------------------------------------------------------------------------------------------


def test_the_script_trains_and_prints_the_result_line(tmp_path: Path) -> None:
    """Also away from the project's folder, where the digits are found beside the package."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "train_merged.py"), "--epochs", "2", "--batch-size", "128"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment(),
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len([line for line in lines if re.fullmatch(r"merged test accuracy: [01]\.\d\d", line)]) == 1
    assert [line.split(":")[0] for line in lines if line.startswith("  epoch")] == ["  epoch 1 of 2", "  epoch 2 of 2"]
    assert re.fullmatch(r"Training took .* s for 2,516 rows, and .* s of it \(\d+%\) was waiting for data\.", lines[-1])


@pytest.mark.skipif(os.name == "nt", reason="Ctrl-C is sent as a POSIX signal")
def test_ctrl_c_ends_training_with_130_and_one_word() -> None:
    command = [sys.executable, "-m", "mtgen", "train", "--epochs", "19", "--batch-size", "16"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT, env=environment()
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert any(line.startswith("  epoch  1 of 19") for line in process.stdout)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=120)
    assert process.returncode == 130, errors
    assert errors.splitlines()[-1] == "interrupted"
    assert "Traceback" not in errors


# --- help, version, errors --------------------------------------------------------------------------------------------


def test_help_lists_commands_and_options() -> None:
    commands = run("--help").stdout.partition("Commands:")[2]
    assert re.findall(r"^  (\w+) ", commands, re.MULTILINE) == [
        "train",
        "plot",
        "show",
        "selftest",
        "info",
        "audit",
        "verify",
        "card",
        "pack",
        "doctor",
        "sample",
        "bench",
    ]
    text = run("train", "--help").stdout
    for option in ("--table", "--image-column", "--size", "--features", "--target", "--no-stratify", "--ablate"):
        assert option in text
    assert run("train", "-h").stdout == text


def test_version() -> None:
    assert run("--version").stdout == f"mtgen {mtgen.__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["train", "--table", "nowhere.csv", "--features", "f.npy"], 1, "error: there is no such file; a table is"),
        (["train", "--table", "nowhere.csv"], 1, "error: the table nowhere.csv says nothing of inputs"),
        (["train", "--features", "f.npy"], 1, "error: --features without --table"),
        (["train", "--learning-rate", "0"], 1, "error: the learning rate must be > 0, received 0.0"),
        (["info", "nowhere.bcolz"], 1, "error: there is no such path"),
        (["show", "--out", "sheet.pdf"], 1, "error: a contact sheet is a PNG"),
        (["train", "--epochs", "0"], 2, "Invalid value for '--epochs'"),
        (["train", "--size", "8"], 2, "--size"),
        (["train", "--color", "blue"], 2, "--color"),
        (["train", "--bogus"], 2, "No such option"),
        (["bogus"], 2, "No such command"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_errors_are_plain_text_with_an_exit_code(arguments: list[str], code: int, says: str) -> None:
    result = run(*arguments)
    assert result.exit_code == code
    assert says in result.stderr
    assert "Traceback" not in result.output
    assert result.stdout == ""


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
@pytest.mark.parametrize(
    ("arguments", "name", "advice"),
    [
        (["card"], "card", "name another folder (--out)"),
        (["sample", str(ROOT / "data_samples" / "digits" / "table.csv")], "rows.csv", "choose another path"),
    ],
    ids=["card", "sample"],
)
def test_what_stands_in_the_way_stays_even_a_broken_link(
    arguments: list[str], name: str, advice: str, tmp_path: Path
) -> None:
    (tmp_path / name).symlink_to(tmp_path / "gone")
    result = run(*arguments, "--out", tmp_path / name)
    assert result.exit_code == 1
    assert f"it exists already, nothing is overwritten: remove it or {advice}" in result.stderr
    assert os.readlink(tmp_path / name) == str(tmp_path / "gone")


def test_figures_that_cannot_be_written_are_an_error_in_words(digits: Path, tmp_path: Path) -> None:
    result = run("sample", digits / "table.csv", "--json", tmp_path / "nowhere" / "at.json")
    assert result.exit_code == 1
    assert "error: the figures cannot be written" in result.stderr


def test_main_exits_with_the_code_of_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["info", "nowhere"])
    assert end.value.code == 1
    assert capsys.readouterr().err.startswith("error: there is no such path")
    with pytest.raises(SystemExit) as end:
        main(["--version"])
    assert end.value.code == 0


# --- commands ---------------------------------------------------------------------------------------------------------


def test_info_describes_tables_and_stores(digits: Path, tmp_path: Path) -> None:
    assert run("info", digits / "table.csv").stdout.splitlines() == [
        "table of 1,797 rows, 3 columns",
        "  id       int64     1,797 distinct, first 100000",
        f"  imgpath  {'str':8}  1,797 distinct, first 'images/011/07/100000.png'".replace(
            f"{'str':8}", f"{mtgen.read_table(digits / 'table.csv')['imgpath'].dtype!s:8}"
        ),
        "  target   int64     10 distinct, first 0",
    ]
    assert run("info", digits / "features.bcolz").stdout.splitlines() == [
        "store of 1,797 rows of (32) float32, 230,016 bytes decompressed",
        "  rows decompressed together: 256",
        "  keys: int64, named 'id'",
    ]
    np.save(tmp_path / "x.npy", np.zeros((3, 2, 5), "uint8"))
    assert run("info", tmp_path / "x.npy").stdout.splitlines() == [
        "store of 3 rows of (2, 5) uint8, 30 bytes decompressed",
        "  rows decompressed together: 1",
        "  keys: none",
    ]


def test_show_draws_the_step_that_training_would_see(tmp_path: Path) -> None:
    from mtgen.training.run import make_loader
    from mtgen.training.samples import make_splits
    from mtgen.training.settings import Fit
    from mtgen.view.sheet import contact_sheet

    result = run("show", "--step", "50", "--batch-size", "6", "--seed", "4", "--out", tmp_path / "a.png")
    assert (result.exit_code, result.stdout) == (0, f"step 50 of the train split: {tmp_path / 'a.png'}\n")
    parts = make_splits(make_dataset(Samples()), Samples(), seed=4)
    loader = make_loader(parts["train"], Fit(batch_size=6, seed=4), shuffle=True)
    contact_sheet(loader, 50, tmp_path / "b.png", split="train")
    loader.close()
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    run("show", "--step", "0", "--split", "test", "--slots", "3", "--workers", "0", "--out", tmp_path / "c.png")
    assert (tmp_path / "c.png").read_bytes()[:4] == b"\x89PNG"


# --- the backend ------------------------------------------------------------------------------------------------------


def installed(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    def find(name: str) -> Any:
        return object() if name in names else None

    monkeypatch.setattr(backend.importlib.util, "find_spec", find)


def test_an_installed_backend_is_chosen_and_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setenv("KERAS_BACKEND", "")
    installed(monkeypatch, "torch", "tensorflow")
    lines: list[str] = []
    backend.choose_backend(lines.append)
    assert os.environ["KERAS_BACKEND"] == "torch"
    assert lines == ["Keras backend: torch (set KERAS_BACKEND for another one)"]


def test_what_the_user_set_is_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    installed(monkeypatch, "jax", "torch")
    lines: list[str] = []
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    backend.choose_backend(lines.append)
    assert os.environ["KERAS_BACKEND"] == "torch"
    monkeypatch.setenv("KERAS_BACKEND", "")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    (tmp_path / "keras.json").write_text('{"backend": "torch"}')
    backend.choose_backend(lines.append)
    assert os.environ["KERAS_BACKEND"] == ""
    assert lines == []


def test_a_missing_backend_is_an_error_that_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    installed(monkeypatch)
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    with pytest.raises(ModelError, match=r"KERAS_BACKEND is 'jax', which is not installed: pip install 'mtgen\[jax\]'"):
        backend.choose_backend(print)
    monkeypatch.setenv("KERAS_BACKEND", "")
    with pytest.raises(ModelError, match=r"none is installed: pip install 'mtgen\[jax\]'"):
        backend.choose_backend(print)


# --- selftest ---------------------------------------------------------------------------------------------------------


def test_selftest_proves_alignment_and_can_fail() -> None:
    pytest.importorskip("mtgen.selftest")
    assert run("selftest", "--rows", "64", "--epochs", "1", "--workers", "1").exit_code == 0
    assert run("selftest", "--rows", "64", "--epochs", "1", "--workers", "1", "--sabotage").exit_code == 1
