"""Runs killed with SIGKILL at drawn moments and started again: the very batches and weights of the uninterrupted run.

The moments come from fixed seeds and from progress, never from the clock; see `tests.support.killed`. A few seeds run
with the other tests; `make kill` runs more of them: MTGEN_KILL_SEEDS says how many.
"""

from __future__ import annotations

import json
import os
import random
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mtgen.order_check import audit_run
from mtgen.order_reader import Log
from mtgen.training import RunFolder
from mtgen.training.event_files import decoded
from tests.support.killed import Kill, life

pytestmark = pytest.mark.skipif(os.name == "nt", reason="SIGKILL is POSIX")

SCRIPT = Path(__file__).resolve().parents[1] / "support" / "digits_script.py"
NUM_SEEDS = int(os.environ.get("MTGEN_KILL_SEEDS", "2"))


@dataclass(frozen=True)
class Whole:
    """A run that nobody killed."""

    folder: Path
    num_steps: int
    cache: Path


def lived(command: list[object], seed: int, whole: Whole, *, speeds: bool) -> list[str]:
    """Start a run until it ends, and kill it at drawn moments; what each life printed."""
    rng = random.Random(seed)
    most_kills = 2 + seed // 2 % 3
    printed: list[str] = []
    while True:
        # The second kill comes before anything was saved since the first one.
        kill = Kill.draw(rng, 0 if len(printed) == 1 else whole.num_steps // 2) if len(printed) < most_kills else None
        # Workers and prefetch are as they come; batches do not depend on them.
        options = [rng.randrange(4), rng.randrange(1, 6), rng.randrange(6)] if speeds else []
        ended, _, lines = life([*command, *options], kill, whole.cache)
        printed.append(lines)
        if ended:
            assert len(printed) > 1, "nothing was killed"
            return printed


def trained(folder: Path) -> list[tuple[int, int, str]]:
    """Step, number of rows and digest of the rows for each batch that counts, from the run's log."""
    records = [one.record for one in Log(folder).steps() if not one.lost and "step" in one.record]
    return [(record["step"], record["rows"], record["digest"]) for record in records]


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    folder, cache = tmp_path_factory.mktemp("script"), tmp_path_factory.mktemp("jax")
    ended, num_steps, _ = life([SCRIPT, folder, 2, 4, 4], None, cache)
    assert ended
    assert [step for step, _, _ in trained(folder)] == list(range(num_steps))
    return Whole(folder, num_steps, cache)


@pytest.mark.parametrize("seed", range(NUM_SEEDS))
def test_a_script_killed_at_drawn_moments_ends_as_if_it_had_not_been(seed: int, script: Whole, tmp_path: Path) -> None:
    lived([SCRIPT, tmp_path], seed, script, speeds=True)
    assert trained(tmp_path) == trained(script.folder)
    audit = audit_run(tmp_path)
    assert audit.ok, str(audit)
    with np.load(tmp_path / "final.npz") as found, np.load(script.folder / "final.npz") as expected:
        assert found.files == expected.files
        for name in found.files:
            assert found[name].tobytes() == expected[name].tobytes(), name
    # Two generations; no lock and nothing half written outlives the run, however often it was killed.
    names = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert names == sorted(path.name for path in (script.folder / "checkpoints").iterdir())
    assert [name.startswith("checkpoint-") for name in names] == [True, True]


RULES = Path(__file__).resolve().parents[1] / "support" / "rules_script.py"


def said(lines: list[str]) -> list[str]:
    """What the rules said, in all lives of a run, each line once."""
    return sorted({line for life in lines for line in life.splitlines() if line.startswith("rules: ")})


@pytest.fixture(scope="module")
def rules(tmp_path_factory: pytest.TempPathFactory) -> tuple[Whole, list[str]]:
    folder, cache = tmp_path_factory.mktemp("rules"), tmp_path_factory.mktemp("jax")
    ended, num_steps, lines = life([RULES, folder, 2, 4, 4], None, cache)
    assert ended
    state = json.loads((folder / "rules.json").read_text())["rules"]
    assert state["patience"]["stopped"], "a rule ended the run, and not its epochs"
    assert state["halving"]["num_halvings"] > 1
    assert len(state["test"]["scores"]) > 3
    assert num_steps == state["iteration"] + 1 > 40
    return Whole(folder, num_steps, cache), said([lines])


@pytest.mark.parametrize("seed", range(0, NUM_SEEDS, 2))
def test_a_script_with_rules_killed_at_drawn_moments_ends_as_if_it_had_not_been(
    seed: int, rules: tuple[Whole, list[str]], tmp_path: Path
) -> None:
    """Rules, learning rate, weights, history, what was said, and every score of the test split."""
    whole, lines = rules
    printed = lived([RULES, tmp_path], seed, whole, speeds=True)
    assert json.loads((tmp_path / "rules.json").read_text()) == json.loads((whole.folder / "rules.json").read_text())
    for name in ("splits.csv", "test_scores.csv"):
        assert (tmp_path / name).read_bytes() == (whole.folder / name).read_bytes(), name
    with np.load(tmp_path / "final.npz") as found, np.load(whole.folder / "final.npz") as expected:
        assert found.files == expected.files
        assert {"test_loss", "learning_rate", "patience", "arr_0"} <= set(found.files)
        for name in found.files:
            assert found[name].tobytes() == expected[name].tobytes(), name
    assert said(printed) == lines
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(path.name for path in whole.folder.iterdir())


TRAIN = ["-m", "mtgen", "train", "--epochs", 2, "--batch-size", 128, "--checkpoint-steps", 3]
TRAIN += ["--patience", 9, "--patience-increase", 1.5, "--halve-after", 1, "--decay", 0.1, "--score-test", "best"]
TRAIN += ["--snapshot-steps", 4, "--tensorboard"]


def weights(folder: Path) -> dict[str, bytes]:
    """Every weight and every state of the optimizer in `model.keras`."""
    import h5py

    found: dict[str, bytes] = {}

    def keep(name: str, one: object) -> None:
        if isinstance(one, h5py.Dataset):
            found[name] = one[()].tobytes()

    with (
        zipfile.ZipFile(folder / "model.keras") as archive,
        archive.open("model.weights.h5") as inside,
        h5py.File(inside, "r") as file,
    ):
        file.visititems(keep)
    return found


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    folder, cache = tmp_path_factory.mktemp("command"), tmp_path_factory.mktemp("jax")
    ended, num_steps, _ = life([*TRAIN, "--run", folder], None, cache)
    assert ended
    assert num_steps > 10
    return Whole(folder, num_steps, cache)


@pytest.mark.parametrize("seed", range(0, NUM_SEEDS, 2))
def test_mtgen_train_killed_at_drawn_moments_ends_as_if_it_had_not_been(
    seed: int, command: Whole, tmp_path: Path
) -> None:
    printed = lived([*TRAIN, "--run", tmp_path, "--resume"], seed, command, speeds=False)
    assert weights(tmp_path) == weights(command.folder)
    assert len(weights(tmp_path)) > 20
    lines = printed[-1].splitlines()
    assert f"the model is in {tmp_path}/model.keras" in lines
    assert trained(tmp_path) == trained(command.folder)
    runs = RunFolder(tmp_path), RunFolder(command.folder)
    pd.testing.assert_frame_equal(*(run.read_history().drop(columns=["seconds", "data_wait"]) for run in runs))
    pd.testing.assert_frame_equal(*(run.read_test_scores() for run in runs))
    assert runs[0].read_decisions() == runs[1].read_decisions() != []
    assert runs[0].read_waits()["step"].tolist() == runs[1].read_waits()["step"].tolist()
    assert runs[0].snapshot_steps() == runs[1].snapshot_steps()
    for step in runs[0].snapshot_steps():
        for name, array in runs[0].snapshot(step).arrays.items():
            assert array.tobytes() == runs[1].snapshot(step).arrays[name].tobytes(), (step, name)
    audit = audit_run(tmp_path)
    assert audit.ok, str(audit)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == sorted(path.name for path in command.folder.iterdir())
    assert not [name for name in names if name.startswith(".")]


RECIPE = [
    *("-m", "mtgen", "train", "--config", SCRIPT.parents[2] / "data_samples" / "digits.toml", "--epochs", 12),
    *(
        "--batch-size",
        128,
        "--learning-rate",
        0.03,
        "--patience",
        14,
        "--halve-after",
        1,
        "--halving-floor",
        0.1,
        "--decay",
        0.1,
    ),
    *("--score-test", "best", "--checkpoint-steps", 4, "--snapshot-steps", 10, "--tensorboard"),
]
TIMED = {"seconds", "data_wait", "epoch_data_wait", "epoch_seconds"}


def untimed(value: object) -> object:
    """A JSON value without what was measured by a clock."""
    if isinstance(value, dict):
        return {name: untimed(one) for name, one in value.items() if name not in TIMED}
    return [untimed(one) for one in value] if isinstance(value, list) else value


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def left(folder: Path) -> dict[str, object]:
    """All that a run leaves, file by file, without what was measured by a clock and what tells of its resumes."""
    found: dict[str, object] = {}
    for name in files(folder):
        path = folder / name
        if name in ("history.csv", "waits.csv"):
            table = pd.read_csv(path, dtype=str)
            found[name] = table.drop(columns=[one for one in table if one in {*TIMED, "wait_seconds"}]).to_csv()
        elif name == "run.json":
            record = json.loads(path.read_text())
            found[name] = {key: one for key, one in record.items() if key not in ("began", "resumes")}
        elif path.name in ("state.json", "snapshot.json"):
            found[name] = untimed(json.loads(path.read_text()))
        elif path.suffix == ".npz":
            with np.load(path) as arrays:
                found[name] = {key: (arrays[key].dtype, arrays[key].shape, arrays[key].tobytes()) for key in arrays}
        elif name.startswith("tensorboard/"):
            found[name] = [(one.step, untimed(one.scalars)) for one in decoded(path.read_bytes())]
        elif name == "model.keras":
            found[name] = weights(folder)
        elif name == "order.jsonl":
            found[name] = trained(folder)
        elif path.name != "XXH128SUMS":  # of files that tell times
            found[name] = path.read_bytes()
    return found


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> tuple[Whole, list[str]]:
    folder, cache = tmp_path_factory.mktemp("recipe"), tmp_path_factory.mktemp("jax")
    ended, num_steps, lines = life([*RECIPE, "--run", folder], None, cache)
    assert ended
    decided = [json.loads(line)["what"] for line in (folder / "decisions.jsonl").read_text().splitlines()]
    assert {"improved", "extended", "halved", "decayed", "stopped", "restored"} == set(decided)
    assert decided.count("halved") > 1
    assert 30 < num_steps < 120, "a rule ended the run, and not its epochs"
    assert len((folder / "test_scores.csv").read_text().splitlines()) > 4
    return Whole(folder, num_steps, cache), at_mini_batches([lines])


def at_mini_batches(lives: list[str]) -> list[str]:
    """What was said of mini-batches, in all lives of a run, each line once."""
    return sorted({line for life in lives for line in life.splitlines() if line.startswith("  mini-batch ")})


@pytest.mark.parametrize("seed", range(0, NUM_SEEDS, 2))
def test_the_digits_by_patience_halving_and_decay_killed_at_drawn_moments_end_as_if_they_had_not_been(
    seed: int, recipe: tuple[Whole, list[str]], tmp_path: Path
) -> None:
    """Every file of the run: rules, learning rate, weights, histories, scores of the test split, snapshots, events."""
    whole, lines = recipe
    printed = lived([*RECIPE, "--run", tmp_path, "--resume"], seed, whole, speeds=False)
    found, expected = left(tmp_path), left(whole.folder)
    assert sorted(found) == sorted(expected)
    for name in expected:
        assert found[name] == expected[name], name
    assert at_mini_batches(printed) == lines
    audit = audit_run(tmp_path)
    assert audit.ok, str(audit)
    resumes = json.loads((tmp_path / "run.json").read_text())["resumes"]
    assert len(resumes) <= len(printed) - 1
