"""`--config` of `mtgen card`, `mtgen doctor` and `mtgen verify`: the data and the split of `mtgen train --config`."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from mtgen.cli import app
from mtgen.cli.doctor import _model
from mtgen.stores.bcolz_writer import write_bcolz
from mtgen.training.config import read_config, splits_of
from mtgen.training.models import model_of

pytestmark = pytest.mark.usefixtures("no_thread_left")

ROOT = Path(__file__).resolve().parents[2]
NUM_ROWS = 120
BACKENDS = {"jax", "keras", "tensorflow", "torch"}


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(one) for one in arguments])


def ten_lines() -> str:
    """The file of docs/training.md, as it stands there."""
    return re.findall(r"```toml\n(.*?)```", (ROOT / "docs" / "training.md").read_text(encoding="utf-8"), re.DOTALL)[0]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What the file of ten lines is about; the working folder is another one."""
    base = tmp_path / "own"
    (base / "pictures").mkdir(parents=True)
    rng = np.random.default_rng(0)
    names = [f"pictures/{row}.png" for row in range(NUM_ROWS)]
    for name in names:
        Image.fromarray(rng.integers(0, 255, (6, 6), "uint8")).save(base / name)
    kinds = np.array(["cat", "dog"])[np.arange(NUM_ROWS) % 2]
    parts = np.array(["train", "valid", "test"])[np.arange(NUM_ROWS) % 3]
    pd.DataFrame({"imgpath": names, "kind": kinds, "part": parts}).to_csv(base / "table.csv", index=False)
    write_bcolz(base / "features.bcolz", rng.normal(size=(NUM_ROWS, 9)).astype("float32"), chunk_rows=16)
    (base / "run.toml").write_text(ten_lines())
    return base


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    return tmp_path / "elsewhere"


def add(folder: Path, text: str) -> Path:
    path = folder / "run.toml"
    path.write_text(path.read_text() + text)
    return path


def smaller(folder: Path) -> None:
    path = folder / "run.toml"
    path.write_text(path.read_text().replace("[150, 150]", "[6, 6]"))


def card_of(*arguments: object) -> tuple[dict[str, Any], Result]:
    done = run("card", "--out", "card", "--workers", 1, *arguments)
    assert Path("card/card.json").is_file(), done.output
    return json.loads(Path("card/card.json").read_text(encoding="utf-8")), done


# --- card -------------------------------------------------------------------------------------------------------------


def test_the_file_of_ten_lines_makes_a_card_of_the_splits_that_train(folder: Path) -> None:
    card, done = card_of("--config", folder / "run.toml")
    assert done.exit_code == 0, done.output
    splits = splits_of(folder / "run.toml", sealed=True)
    assert [(one["name"], one["rows"], one["digest"]) for one in card["splits"]] == [
        (name, len(part), part.digests["rows"]) for name, part in zip(splits.names, splits, strict=True)
    ]
    assert [(one["name"], one["shape"]) for one in card["inputs"]] == [("image", [150, 150, 3]), ("features", [9])]
    assert [(one["name"], one["classes"][0]["class"]) for one in card["targets"]] == [("label", "cat")]
    assert card["name"] == "table"
    assert f"read_table({str(folder / 'table.csv')!r})" in card["load"]


def test_a_leak_between_the_splits_of_the_file_is_found(folder: Path) -> None:
    splits = splits_of(folder / "run.toml")
    learned, tested = (int(splits[name].rows[0]) for name in ("train", "test"))
    (folder / f"pictures/{tested}.png").write_bytes((folder / f"pictures/{learned}.png").read_bytes())
    card, done = card_of("--config", folder / "run.toml")
    assert done.exit_code == 1
    (leak,) = [one for one in card["findings"] if one["kind"] == "leak"]
    assert leak["splits"] == ["train", "test"]
    assert sorted(leak["groups"][0]) == sorted([learned, tested])


def test_a_file_and_options_make_the_same_card(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    for name, how in (("file", ("--config", "data_samples/digits.toml")), ("options", ("--split",))):
        done = run("card", "--out", elsewhere / name, "--name", "digits", *how)
        assert done.exit_code == 0, done.output
    for page in ("card.json", "card.md"):
        assert (elsewhere / "file" / page).read_bytes() == (elsewhere / "options" / page).read_bytes()


def test_seed_of_a_card_changes_no_split_of_the_file(folder: Path) -> None:
    smaller(folder)
    splits = splits_of(folder / "run.toml")
    card, _ = card_of("--config", folder / "run.toml", "--seed", 5, "--sample", 64)
    assert card["rows"]["seed"] == 5
    assert [one["digest"] for one in card["splits"]] == [part.digests["rows"] for part in splits]


def test_the_column_of_the_file_divides(folder: Path) -> None:
    smaller(folder)
    card, _ = card_of("--config", add(folder, '[split]\nby = "part"\n'), "--split")
    assert [(one["name"], one["rows"]) for one in card["splits"]] == [("train", 40), ("valid", 40), ("test", 40)]


# --- all of them ------------------------------------------------------------------------------------------------------

COMMANDS = ("card", "doctor", "verify")


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--table", "t.csv", "--features", "x.npy"], "--table, --features"),
        (["--size", "8", "8", "--no-keys"], "--size, --no-keys"),
    ],
    ids=["table", "size"],
)
def test_options_beside_the_file_are_refused(command: str, arguments: list[str], named: str, folder: Path) -> None:
    done = run(command, "--config", folder / "run.toml", *arguments)
    assert done.exit_code == 1
    assert f"error: {named} beside --config: the file says what the data are" in done.stderr
    assert str(folder / "run.toml") in done.stderr
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        ("card", ["--target", "kind"]),
        ("card", ["--split-by", "part"]),
        ("card", ["--manifest", "m.csv"]),
        ("doctor", ["--target", "kind"]),
        ("doctor", ["--split-by", "part"]),
        ("doctor", ["--no-stratify"]),
        ("doctor", ["--cache", "kept"]),
        ("doctor", ["--seed", "1"]),
    ],
    ids=lambda value: value if isinstance(value, str) else value[0],
)
def test_what_the_file_says_is_not_said_again(command: str, arguments: list[str], folder: Path) -> None:
    done = run(command, "--config", folder / "run.toml", *arguments)
    assert done.exit_code == 1
    assert f"error: {arguments[0]} beside --config: the file says" in done.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_other_sections_are_read_as_training_reads_them_and_not_followed(command: str, folder: Path) -> None:
    smaller(folder)
    sections = '[model]\nfunction = "nowhere:build"\n[recipe]\npatience = 9\n[run]\nfolder = "kept"\n'
    seconds = ("--seconds", "0.2") if command == "doctor" else ()
    done = run(command, "--config", add(folder, sections), *seconds)
    assert done.exit_code == 0, done.output
    assert not (folder / "kept").exists()
    more = ("--out", "other") if command == "card" else seconds
    done = run(command, "--config", add(folder, "[fit]\nepoch = 3\n"), *more)
    assert done.exit_code == 1
    assert "[fit] has no key 'epoch'" in done.stderr
    assert str(folder / "run.toml") in done.stderr


def test_no_backend_is_loaded(folder: Path, elsewhere: Path) -> None:
    smaller(folder)
    code = f"""
import json, sys
from mtgen.cli import main
for arguments in (["card"], ["verify"], ["doctor", "--seconds", "0.2"]):
    try:
        main([*arguments, "--config", {str(folder / "run.toml")!r}])
    except SystemExit as end:
        assert not end.code, arguments
print(json.dumps(sorted({{name.partition(".")[0] for name in sys.modules}})))
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        cwd=elsewhere,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    loaded = set(json.loads(done.stdout.splitlines()[-1]))
    assert "mtgen" in loaded
    assert loaded & BACKENDS == set()


# --- doctor -----------------------------------------------------------------------------------------------------------


def test_doctor_measures_the_loader_that_the_file_describes(folder: Path) -> None:
    smaller(folder)
    path = add(folder, "[fit]\nbatch_size = 7\n[sampler]\nwhere = \"kind == 'cat'\"\nsize = 33\n")
    done = run("doctor", "--config", path, "--seconds", "0.2", "--workers", "0")
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith(f"{len(splits_of(path)['train'])} samples (image (6, 6, 3) uint8, features (9) ")
    assert "batches of 7, 0 workers" in done.stdout
    assert "the loader has an order of its own" in done.stdout
    done = run("doctor", "--config", path, "--seconds", "0.2", "--workers", "0", "--batch-size", "5")
    assert "batches of 5, 0 workers" in done.stdout
    add(folder, 'weighted = "bogus"\n')
    done = run("doctor", "--config", path, "--seconds", "0.2")
    assert done.exit_code == 1
    assert "[sampler]" in done.stderr


def test_a_seed_is_taken_where_the_split_has_its_own(folder: Path) -> None:
    smaller(folder)
    path = add(folder, "[split]\nseed = 3\n")
    done = run("doctor", "--config", path, "--seconds", "0.2", "--workers", "0", "--seed", "9")
    assert done.exit_code == 0, done.output


def test_the_merged_model_of_doctor_has_the_size_that_the_file_says(folder: Path) -> None:
    smaller(folder)
    config = read_config(add(folder, "[model]\nfilters = 2\nunits = 8\n[fit]\nseed = 4\n"))
    part = splits_of(config)["train"]
    ours, trained = _model("merged", part, config), model_of(config, part, 10)[0]
    for one, other in zip(ours.get_weights(), trained.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


# --- verify -----------------------------------------------------------------------------------------------------------


def test_verify_reads_and_compares_what_the_file_names(folder: Path) -> None:
    smaller(folder)
    path = folder / "run.toml"
    made = run("verify", "--config", path, "--make", "--manifest", "manifest.csv")
    assert (made.exit_code, made.stdout[:13]) == (0, "manifest.csv:")
    assert run("verify", "--config", path, "--manifest", "manifest.csv").exit_code == 0
    (folder / "pictures/7.png").write_bytes(b"no picture")
    for how in ((), ("--manifest", "manifest.csv"), ("--manifest", "manifest.csv", "--quick")):
        found = run("verify", "--config", path, *how, "--report", "found.csv")
        assert found.exit_code == 1
        (line,) = Path("found.csv").read_text().splitlines()[1:]
        assert line.startswith("7,")


def test_a_manifest_that_the_file_names_is_not_forgotten_in_silence(folder: Path) -> None:
    """Files that changed are looked at all the same: it is for the loader that they are refused."""
    smaller(folder)
    path = folder / "run.toml"
    assert run("verify", "--config", path, "--make", "--manifest", folder / "manifest.csv").exit_code == 0
    path.write_text(path.read_text().replace("size =", 'manifest = "manifest.csv"\nverify = "read"\nsize ='))
    Image.new("L", (6, 6)).save(folder / "pictures/7.png")
    found = run("verify", "--config", path)
    assert found.exit_code == 0, found.output
    assert f"nothing was compared with the manifest that the file names: --manifest {folder}" in found.stdout
    assert run("verify", "--config", path, "--manifest", folder / "manifest.csv").exit_code == 1


def test_verify_needs_no_column_to_predict(folder: Path) -> None:
    smaller(folder)
    pd.read_csv(folder / "table.csv").drop(columns="kind").to_csv(folder / "table.csv", index=False)
    assert run("verify", "--config", folder / "run.toml").exit_code == 0
    done = run("card", "--config", folder / "run.toml")
    assert done.exit_code == 1
    assert "the table has no column 'kind'" in done.stderr
