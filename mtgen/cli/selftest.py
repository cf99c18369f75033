"""`mtgen selftest`: prove on this machine that batches are aligned; shared with `scripts/selftest.py`."""

from __future__ import annotations

import typer


def selftest() -> None:
    """Prove that batches are aligned, with samples that carry their row.

    Builds pictures and features that both encode their row, loads them in every way, and says what was proved.
    """
    from mtgen.selftest import run_selftest

    if not run_selftest():
        raise typer.Exit(1)
