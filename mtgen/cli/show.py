"""`mtgen show`: a contact sheet of one step, as a PNG."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from mtgen.cli.config_file import RunFile, config_from, given_options
from mtgen.training.settings import Fit, Rules, Run, Samples


def show(
    context: typer.Context,
    samples: Samples,
    fit: Fit,
    config: RunFile = None,
    step: Annotated[int, typer.Option(min=0, help="Batch number since training began.")] = 0,
    split: Annotated[Literal["train", "valid", "test"], typer.Option(help="Which split.")] = "train",
    slots: Annotated[int, typer.Option(min=1, help="Slots to draw at most.")] = 64,
    out: Annotated[Path, typer.Option(help="PNG file to write.")] = Path("sheet.png"),
) -> None:
    """Draw one step: every picture with its features, target, row and key.

    Takes the options of `mtgen train`; with the same options, or the same file, it shows exactly what was trained at
    that step.
    """
    from mtgen.errors import PlanError
    from mtgen.training.config.building import make_loader, sampler_of, splits_of
    from mtgen.view.sheet import contact_sheet

    made = config_from(samples, fit, Rules(), Run(), config, given_options(context, Samples, Fit))
    parts = splits_of(made)
    if split not in parts.names:
        raise PlanError(f"there is no split {split!r}; the splits are {', '.join(parts.names)}")
    law = sampler_of(made, parts["train"])
    with make_loader(parts[split], made.fit, shuffle=split == "train", law=law) as loader:
        contact_sheet(loader, step, out, split=split, most_slots=slots)
    typer.echo(f"step {step} of the {split} split: {out}")
