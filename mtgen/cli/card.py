"""`mtgen card`: what is in a dataset and what is wrong with it, as Markdown and JSON."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mtgen.errors import PlanError
from mtgen.training.settings import Fit, Inputs, Samples

if TYPE_CHECKING:
    from mtgen.dataset import Dataset
    from mtgen.splits import Splits


def card(
    inputs: Inputs,
    out: Annotated[Path, typer.Option(help="New folder for card.md and card.json.")] = Path("card"),
    target: Annotated[
        str | None, typer.Option(help="Column to predict; left out: none, and that of the digits.")
    ] = None,
    split_by: Annotated[str | None, typer.Option(help="Column that names the split of each row.")] = None,
    split: Annotated[
        bool, typer.Option("--split", help="Look for leaks between the splits that mtgen train makes with --seed.")
    ] = False,
    sample: Annotated[int | None, typer.Option(min=1, help="Rows to look at; left out: all.")] = None,
    pixels: Annotated[
        bool, typer.Option("--pixels", help="Compare pictures by their pixels too, not only by their files.")
    ] = False,
    name: Annotated[str | None, typer.Option(help="What the card calls the dataset; left out: the table's.")] = None,
    license: Annotated[str | None, typer.Option(help="Licence of the data, for the header.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Decides the sample, the permutations, and --split.")] = 0,
    workers: Annotated[int | None, typer.Option(min=0, help="Threads that read; left out: one per core.")] = None,
) -> None:
    """Describe a dataset and look for what is wrong with it.

    Reads every picture and feature row once: sizes, ranges, classes, digests; equal samples, also across splits;
    rows of zeros or NaN; features that alone predict the target; features that belong to a neighbouring row.
    Exit code 1 when something serious is found.
    """
    from mtgen.card import make_card

    if os.path.lexists(out):
        raise PlanError(
            "it exists already, nothing is overwritten: remove it or name another folder (--out)", path=str(out)
        )
    if split and split_by is not None:
        raise PlanError("--split makes splits, --split-by takes those of a column: give one of them")
    if inputs.table is not None and inputs.size is None:
        inputs = replace(inputs, size=(32, 32))  # pictures are decoded to be looked at, not to be kept
    table = "data_samples/digits/table.csv" if inputs.table is None else str(inputs.table)
    made = make_card(
        _data(inputs, target, split_by, split, seed),
        name=name or (Path(table).stem if inputs.table else "digits"),
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


def _data(inputs: Inputs, target: str | None, split_by: str | None, split: bool, seed: int) -> Dataset | Splits:
    from mtgen.training.config.building import dataset_of, splits_of
    from mtgen.training.samples import config_for

    if target is None and inputs.table is None:
        target = "target"
    if target is None and split:
        raise PlanError("--split divides as mtgen train does, by the column to predict: name it, --target")
    config = config_for(Samples(**vars(inputs), target=target or "target"), Fit(seed=seed))
    dataset = dataset_of(config, targets=target is not None)
    if split:
        return splits_of(config, dataset)
    return dataset if split_by is None else dataset.split(by=split_by)
