"""A process that trains and logs is killed at random moments and started again: the log proves what counts."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import mtgen
from mtgen.order_check import audit_run
from mtgen.order_reader import Log

ROOT = Path(__file__).resolve().parents[2]
NUM_ROWS, BATCH, LAST_STEP = 50, 4, 60

CHILD = """
import json, os, signal, sys
import pandas as pd
import mtgen

folder, stop, how, left = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
data = mtgen.Dataset(pd.DataFrame({"a": range(50)}), {"a": mtgen.Columns("a")})
loader = mtgen.Loader(data, 4, seed=5, num_workers=2)
state = os.path.join(folder, "state.json")
if os.path.exists(state):
    with open(state) as file:
        loader.restore(json.load(file))
real = os.write

def write(handle, data):
    # The last write of this life: half a line, then nothing more.
    if how == "torn" and left == 0:
        real(handle, data[: len(data) // 2])
        os.kill(os.getpid(), signal.SIGKILL)
    return real(handle, data)

os.write = write
log = mtgen.OrderLog(folder, loader)
for batch in loader.steps(stop=stop):
    log.add(batch)
    real(1, f"{batch.step} {' '.join(map(str, batch.rows))}\\n".encode())
    if batch.step % 3 == 2:  # a checkpoint now and then
        with open(state + ".new", "w") as file:
            json.dump(loader.state(batch.step + 1), file)
        os.replace(state + ".new", state)
    left -= 1
    if left == 0 and how == "exit":
        os._exit(9)
    if left == 0 and how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
"""


def life(folder: Path, how: str, left: int) -> tuple[int, list[tuple[int, list[int]]]]:
    """One process: its exit code, and the steps that it says it trained."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", CHILD, str(folder), str(LAST_STEP), how, str(left)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=120,
        check=False,
    )
    assert done.returncode in (0, 9, -signal.SIGKILL), done.stderr
    said = [[int(word) for word in line.split()] for line in done.stdout.splitlines()]
    return done.returncode, [(first, rows) for first, *rows in said]


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL is POSIX")
@pytest.mark.parametrize("seed", [0, 1])
def test_killed_at_random_steps_the_log_holds_what_the_uninterrupted_run_trains(seed: int, tmp_path: Path) -> None:
    draw = random.Random(seed)
    trained: dict[int, list[int]] = {}
    lives = 0
    code = -1
    while code != 0:
        lives += 1
        assert lives < 20
        how = draw.choice(["exit", "kill", "torn"]) if lives < 4 else "never"
        code, said = life(tmp_path, how, draw.randrange(4, 25))
        if said:
            # From the first step of this life on, what stood before is lost with the process that trained it.
            trained = {step: rows for step, rows in trained.items() if step < said[0][0]} | dict(said)
        found = audit_run(tmp_path)
        assert found.ok, str(found)
        # Each step that was said is in the log; at most the one being said when the kill came is there unsaid.
        logged = [one.record["step"] for one in Log(tmp_path).steps() if not one.lost and "step" in one.record]
        assert logged[: len(trained)] == sorted(trained)
        assert len(logged) - len(trained) in (0, 1)
    data = mtgen.Dataset(pd.DataFrame({"a": range(NUM_ROWS)}), {"a": mtgen.Columns("a")})
    whole = mtgen.Loader(data, BATCH, seed=5, num_workers=0)
    assert trained == {step: whole.rows(step).tolist() for step in range(LAST_STEP)}
    planned = whole.audit(LAST_STEP // whole.steps_per_epoch)
    ended = [one for one in found.epochs if one.whole]
    assert [one.digest for one in ended] == [one.digest for one in planned.epochs]
    assert all(one.counts == {1: NUM_ROWS} for one in ended)
    assert len(found.resumes) == lives - 1


def test_the_command_audits_a_run_and_a_damaged_one(tmp_path: Path) -> None:
    assert life(tmp_path, "never", 0)[0] == 0

    def audit() -> subprocess.CompletedProcess[str]:
        command: list[Any] = [sys.executable, "-m", "mtgen", "audit", tmp_path]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120, check=False)

    done = audit()
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0] == "Exact() over 50 rows, seed 5, 13 steps of 4 per epoch"
    assert [line.endswith("as planned, each row exactly once") for line in lines if "  epoch" in line] == [True] * 4 + [
        False
    ]
    assert lines[-1] == "ok"
    path = tmp_path / "order.jsonl"
    damaged = path.read_bytes().replace(b'"step":7,', b'"step":8,', 1)
    path.write_bytes(damaged)
    done = audit()
    assert done.returncode == 1
    assert done.stderr.startswith("error: line 9 of the order log is damaged")
    assert json.loads(path.read_text().splitlines()[8])["step"] == 8
