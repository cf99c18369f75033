#!/usr/bin/env python3
"""Prove that batches are aligned: the same as `mtgen selftest`, without an installed package."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from mtgen.errors import MtgenError
from mtgen.selftest import run_selftest


def main(
    rows: Annotated[int, typer.Option(help="Rows of the table, 64 or more.")] = 1200,
    epochs: Annotated[int, typer.Option(help="Epochs per run.")] = 3,
    workers: Annotated[int | None, typer.Option(help="Threads in every run; by default 0, 1, 2 and 8.")] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the folder with the samples for a look.")] = False,
    sabotage: Annotated[
        bool, typer.Option("--sabotage", help="Shift the features by one row, to prove that the test can fail.")
    ] = False,
) -> None:
    """Build pictures and features that carry their row, load them in every way, and say what was proved.

    Exit code 1 on any failure.
    """
    try:
        report = run_selftest(
            num_rows=rows, epochs=epochs, num_workers=workers, keep=keep, shift_features=int(sabotage)
        )
    except MtgenError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from error
    raise typer.Exit(0 if report else 1)


if __name__ == "__main__":
    typer.run(main)
