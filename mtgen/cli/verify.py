"""`mtgen verify`: look at every file before a long run, or write down what the files are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from mtgen.errors import PlanError
from mtgen.training.settings import Inputs, Samples


def verify(
    inputs: Inputs,
    make: Annotated[
        bool, typer.Option("--make", help="Write --manifest: size, time and checksum of each file.")
    ] = False,
    quick: Annotated[
        bool, typer.Option("--quick", help="Compare sizes and times with --manifest only; read nothing.")
    ] = False,
    report: Annotated[Path, typer.Option(help="CSV file for all that is wrong: row, path, error.")] = Path(
        "verify.csv"
    ),
    workers: Annotated[int | None, typer.Option(min=0, help="Threads that read; left out: one per core.")] = None,
) -> None:
    """Check every picture and every chunk of the features before training.

    Without --manifest: decode every picture, read every chunk, and list every row that cannot be read.
    With --manifest FILE: compare every file with it, by content, or with --quick by size and time alone.
    With --make --manifest FILE: write that manifest.
    Exit code 1 when something is wrong.
    """
    from mtgen.training.config.building import dataset_of
    from mtgen.training.samples import config_for
    from mtgen.verify import make_manifest
    from mtgen.verify import verify as look

    if (make or quick) and inputs.manifest is None:
        raise PlanError(f"{'--make' if make else '--quick'} needs a manifest: --manifest manifest.csv")
    if make and quick:
        raise PlanError("--make reads every file to write a manifest, --quick reads none: give one of them")
    if inputs.table is not None and inputs.size is None:
        inputs = replace(inputs, size=(32, 32))  # pictures are decoded to be looked at, not to be kept
    dataset = dataset_of(config_for(Samples(**vars(inputs), verify="off")), targets=False)
    if make and inputs.manifest is not None:
        made = make_manifest(dataset, inputs.manifest, num_workers=workers, progress=True)
        typer.echo(f"{inputs.manifest}: {len(made):,} files, {int(made.sizes.sum()):,} bytes, digest {made.digest()}")
        return
    found = look(dataset, inputs.manifest, quick=quick, num_workers=workers, progress=True)
    found.write(report)
    typer.echo(str(found))
    if not found.is_fine:
        typer.echo(f"all of them: {report}")
        raise typer.Exit(1)
