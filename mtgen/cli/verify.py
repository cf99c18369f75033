"""`mtgen verify`: look at every file before a long run, or write down what the files are."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mtgen.cli.config_file import DataFile, config_to_look_at, data_config, given_options
from mtgen.cli.options import ReadingThreads
from mtgen.errors import PlanError
from mtgen.training.settings import Inputs

if TYPE_CHECKING:
    from mtgen.training.config.sections import Config


def verify(
    context: typer.Context,
    inputs: Inputs,
    config: DataFile = None,
    make: Annotated[
        bool, typer.Option("--make", help="Write --manifest: size, time and checksum of each file.")
    ] = False,
    quick: Annotated[
        bool, typer.Option("--quick", help="Compare sizes and times with --manifest only; read nothing.")
    ] = False,
    report: Annotated[Path, typer.Option(help="CSV file for all that is wrong: row, path, error.")] = Path(
        "verify.csv"
    ),
    workers: ReadingThreads = None,
) -> None:
    """Check every picture and every chunk of the features before training.

    Without --manifest: decode every picture, read every chunk, and list every row that cannot be read.
    With --manifest FILE: compare every file with it, by content, or with --quick by size and time alone.
    With --make --manifest FILE: write that manifest.
    The inputs are those of the options, or of a file for mtgen train, --config.
    Exit code 1 when something is wrong.
    """
    from mtgen.training.config.building import dataset_of
    from mtgen.verify import make_manifest
    from mtgen.verify import verify as look

    if (make or quick) and inputs.manifest is None:
        raise PlanError(f"{'--make' if make else '--quick'} needs a manifest: --manifest manifest.csv")
    if make and quick:
        raise PlanError("--make reads every file to write a manifest, --quick reads none: give one of them")
    if config is None:
        described = config_to_look_at(inputs)
    else:
        given = given_options(context, Inputs)
        given.pop("manifest", None)  # what to compare with, or to write: it says nothing of the data
        described = data_config(config, given)
    dataset = dataset_of(_uncompared(described), targets=False)
    if make and inputs.manifest is not None:
        made = make_manifest(dataset, inputs.manifest, num_workers=workers, progress=True)
        typer.echo(f"{inputs.manifest}: {len(made):,} files, {int(made.sizes.sum()):,} bytes, digest {made.digest()}")
        return
    found = look(dataset, inputs.manifest, quick=quick, num_workers=workers, progress=True)
    found.write(report)
    typer.echo(str(found))
    if inputs.manifest is None:
        for path in _manifests(described):
            typer.echo(f"nothing was compared with the manifest that the file names: --manifest {path} does")
    if not found.is_fine:
        typer.echo(f"all of them: {report}")
        raise typer.Exit(1)


def _uncompared(config: Config) -> Config:
    """The same data; nothing is compared with a manifest as it is opened."""
    from mtgen.training.config.sections import ColumnsSettings

    inputs = {
        name: one if isinstance(one, ColumnsSettings) else dataclasses.replace(one, verify="off")
        for name, one in config.inputs.items()
    }
    return dataclasses.replace(config, inputs=inputs)


def _manifests(config: Config) -> list[str]:
    """The manifests that the inputs name, each once."""
    from mtgen.training.config.paths import absolute

    named = [getattr(one, "manifest", None) for one in config.inputs.values()]
    return [absolute(path, config.folder) for path in dict.fromkeys(named) if path is not None]
