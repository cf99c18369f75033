"""`mtgen show`: a contact sheet of one step, as a PNG."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from mtgen.training.settings import Fit, Samples


def show(
    samples: Samples,
    fit: Fit,
    step: Annotated[int, typer.Option(min=0, help="Batch number since training began.")] = 0,
    split: Annotated[Literal["train", "valid", "test"], typer.Option(help="Which split.")] = "train",
    slots: Annotated[int, typer.Option(min=1, help="Slots to draw at most.")] = 64,
    out: Annotated[Path, typer.Option(help="PNG file to write.")] = Path("sheet.png"),
) -> None:
    """Draw one step: every picture with its features, target, row and key.

    Takes the options of `mtgen train`; with the same options it shows exactly what was trained at that step.
    """
    from mtgen.training.run import make_loader
    from mtgen.training.samples import make_dataset, make_splits
    from mtgen.view.sheet import contact_sheet

    part = make_splits(make_dataset(samples), samples, seed=fit.seed)[split]
    with make_loader(part, fit, shuffle=split == "train") as loader:
        contact_sheet(loader, step, out, split=split, most_slots=slots)
    typer.echo(f"step {step} of the {split} split: {out}")
