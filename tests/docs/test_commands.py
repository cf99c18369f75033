"""Commands and options of `mtgen` that pages and error texts name are there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import typer

from mtgen.cli import app

ROOT = Path(__file__).resolve().parents[2]
TEXTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "mtgen").rglob("*.py"))]


def options(command: Any) -> set[str]:
    """The options of a command and of those under it."""
    found = {option for one in command.params for option in (*one.opts, *one.secondary_opts)} | {"--help"}
    return found.union(*(options(one) for one in getattr(command, "commands", {}).values()))


COMMANDS = {name: options(command) for name, command in typer.main.get_command(app).commands.items()}  # type: ignore[attr-defined]
# What stands after a command up to the end of its line, its quotation, or a remark in brackets.
NAMED = [
    (str(path.relative_to(ROOT)), command, option)
    for path in TEXTS
    for command, rest in re.findall(rf"\bmtgen ({'|'.join(COMMANDS)})\b([^`\n()\"]*)", path.read_text(encoding="utf-8"))
    for option in re.findall(r"(?<!\w)--[a-z][a-z-]*", rest)
]


def test_there_are_options_to_look_for() -> None:
    assert {"train", "verify", "audit"} <= set(COMMANDS)
    assert {("verify", "--make"), ("train", "--resume")} <= {(command, option) for _, command, option in NAMED}


@pytest.mark.parametrize(("path", "command", "option"), sorted(set(NAMED)))
def test_an_option_that_is_named_exists(path: str, command: str, option: str) -> None:
    """`mtgen verify --read` was named, and never was."""
    assert option in COMMANDS[command], path
