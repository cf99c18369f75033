"""`mtgen selftest`: prove on this machine that batches are aligned; shared with `scripts/selftest.py`."""

from __future__ import annotations

import typer


def selftest() -> None:
    """Build pictures and features that carry their row, load them in every way, and say what was proved."""
    from mtgen.selftest import run_selftest

    if not run_selftest():
        raise typer.Exit(1)
