"""`mtgen audit`: what a run really consumed, by its order log."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def audit(
    run: Annotated[Path, typer.Argument(help="Folder of the run, with order.jsonl.", metavar="RUN")],
) -> None:
    """Prove which rows a run trained on.

    Reads the order log in the folder of a run, makes the plan again from its first line, and compares. Says of each
    epoch whether each row came exactly once. Exit code 1 when a step is missing or differs.
    """
    from mtgen.order_check import audit_run

    report = audit_run(run)
    typer.echo(str(report))
    if not report.ok:
        raise typer.Exit(1)
