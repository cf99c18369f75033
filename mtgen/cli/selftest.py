"""`mtgen selftest`: prove on this machine that batches are aligned; shared with `scripts/selftest.py`."""

from __future__ import annotations

from typing import Annotated

import typer


def selftest(
    rows: Annotated[int, typer.Option(min=64, help="Rows of the table.")] = 1200,
    epochs: Annotated[int, typer.Option(min=1, help="Epochs per run.")] = 3,
    workers: Annotated[int | None, typer.Option(min=0, help="Threads in every run; left out: 0, 1, 2 and 8.")] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the folder with the samples for a look.")] = False,
    sabotage: Annotated[
        bool, typer.Option("--sabotage", help="Shift the features by one row, to prove that the test can fail.")
    ] = False,
) -> None:
    """Prove that batches are aligned.

    Builds pictures and features that both encode their row, loads them in every way, and says what was proved. Exit
    code 1 on any failure.
    """
    from tqdm import tqdm

    from mtgen.selftest import run_selftest

    report = run_selftest(
        num_rows=rows, epochs=epochs, num_workers=workers, keep=keep, shift_features=int(sabotage), echo=tqdm.write
    )
    if not report:
        raise typer.Exit(1)
