"""Resident memory of a process of its own stays within the budget, on matrices larger than it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.skipif(not os.access("/proc/self/clear_refs", os.W_OK), reason="the peak is read from Linux's /proc")
@pytest.mark.parametrize("kind", ["bcolz", "zarr"])
def test_resident_memory_stays_within_the_budget(kind: str, tmp_path: Path) -> None:
    """The full measure, 5,000,000 x 256 under 1 GiB, is in docs/benchmarks.md; this one is a 64th of it."""
    command = [sys.executable, "scripts/measure_memory.py", "--kind", kind, "--folder", str(tmp_path)]
    sizes = ["--rows", "120000", "--steps", "150", "--budget", str(48 << 20)]
    run = subprocess.run(
        [*command, *sizes],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    found = json.loads(run.stdout[run.stdout.index("{") :])
    assert found["grown_bytes"] <= 1.1 * found["budget_bytes"]
    assert found["steps"] == 150
