"""Each fault of docs/reliability.md has a line, and each test named there exists."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LINES = [
    line.split(" | ")
    for line in (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8").splitlines()
    if re.match(r"\| \d", line)
]
NAMED = [(line[0], *name) for line in LINES for name in re.findall(r"`([\w/]+\.py)::(\w+)`", line[-1])]
UNTESTED = {"31"}
"""Faults that cannot arise here, or that nothing here could show."""


def test_every_fault_has_a_line_and_a_test_or_says_that_it_has_none() -> None:
    assert [line[0] for line in LINES] == [f"| {number}" for number in range(1, 36)]
    assert {line[0].strip("| ") for line in LINES} - {number.strip("| ") for number, _, _ in NAMED} == UNTESTED


@pytest.mark.parametrize(("number", "file", "name"), NAMED)
def test_the_test_that_is_named_exists(number: str, file: str, name: str) -> None:
    tree = ast.parse((ROOT / "tests" / file).read_text(encoding="utf-8"))
    assert name in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}, number


def test_no_module_looks_at_the_clock_of_the_wall() -> None:
    """Waits and ages are counted by the monotonic clock, so that a clock that jumps changes nothing.

    The lock of a folder writes down, for people, since when it is held; nothing is decided by it. The cache of pictures
    leaves out files modified a moment ago; a wrong clock decides when a picture is stored, never what is delivered. The
    record of a run, and what TensorBoard reads, say when it was, for people too.
    """
    found = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "mtgen").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr in {"time", "time_ns", "now", "utcnow", "today", "localtime"}
    }
    assert found == {
        "mtgen/cache/bound.py",
        "mtgen/folder_lock.py",
        "mtgen/training/record/run_record.py",
        "mtgen/training/tensorboard.py",
    }
