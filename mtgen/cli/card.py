"""`mtgen card`: what is in a dataset and what is wrong with it, as Markdown and JSON."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mtgen.cli.config_file import DataFile, config_to_look_at, data_config, given_options
from mtgen.cli.options import ReadingThreads, refuse_existing
from mtgen.errors import PlanError
from mtgen.training.settings import Inputs, Samples

if TYPE_CHECKING:
    from mtgen.dataset import Dataset
    from mtgen.splits import Splits


def card(
    context: typer.Context,
    inputs: Inputs,
    config: DataFile = None,
    out: Annotated[Path, typer.Option(help="New folder for card.md and card.json.")] = Path("card"),
    target: Annotated[
        str | None, typer.Option(help="Column to predict; left out: none, and that of the digits.")
    ] = None,
    split_by: Annotated[str | None, typer.Option(help="Column that names the split of each row.")] = None,
    split: Annotated[
        bool,
        typer.Option(
            "--split",
            help="Look for leaks between the splits that mtgen train makes with --seed; of a --config always those.",
        ),
    ] = False,
    sample: Annotated[int | None, typer.Option(min=1, help="Rows to look at; left out: all.")] = None,
    pixels: Annotated[
        bool, typer.Option("--pixels", help="Compare pictures by their pixels too, not only by their files.")
    ] = False,
    name: Annotated[str | None, typer.Option(help="What the card calls the dataset; left out: the table's.")] = None,
    license: Annotated[str | None, typer.Option(help="Licence of the data, for the header.")] = None,
    seed: Annotated[
        int, typer.Option(min=0, help="Decides the sample, the permutations, and --split without --config.")
    ] = 0,
    workers: ReadingThreads = None,
) -> None:
    """Describe a dataset and look for what is wrong with it.

    Reads every picture and feature row once: sizes, ranges, classes, digests; equal samples, also across splits;
    rows of zeros or NaN; features that alone predict the target; features that belong to a neighbouring row.
    Exit code 1 when something serious is found.
    """
    from mtgen.card import make_card

    refuse_existing(out, "name another folder (--out)")
    if split and split_by is not None:
        raise PlanError("--split makes splits, --split-by takes those of a column: give one of them")
    data: Dataset | Splits
    if config is not None:
        data, table = _data_of_file(config, given_options(context, Samples))
    else:
        data = _data(inputs, target, split_by, split, seed)
        table = "data_samples/digits/table.csv" if inputs.table is None else str(inputs.table)
    made = make_card(
        data,
        name=name or ("digits" if config is None and inputs.table is None else Path(table).stem),
        table=table,
        license=license,
        sample=sample,
        pixels=pixels,
        seed=seed,
        num_workers=workers,
        progress=True,
    )
    made.write(out)
    typer.echo(str(made))
    typer.echo(f"all of it: {out / 'card.md'}")
    if not made.is_fine:
        raise typer.Exit(1)


def _data_of_file(file: Path, given: dict[str, Any]) -> tuple[Splits, str]:
    """The splits that a file says, and where its table is."""
    from mtgen.training.config.building import splits_of
    from mtgen.training.config.paths import absolute

    made = data_config(file, given)
    return splits_of(made), absolute(made.table.path, made.folder)


def _data(inputs: Inputs, target: str | None, split_by: str | None, split: bool, seed: int) -> Dataset | Splits:
    from mtgen.training.config.building import dataset_of, splits_of

    if target is None and inputs.table is None:
        target = "target"
    if target is None and split:
        raise PlanError("--split divides as mtgen train does, by the column to predict: name it, --target")
    made = config_to_look_at(inputs, seed=seed, target=target or "target")
    dataset = dataset_of(made, targets=target is not None)
    if split:
        return splits_of(made, dataset)
    return dataset if split_by is None else dataset.split(by=split_by)
