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
    out: Annotated[Path, typer.Option(help="PNG file to write.")] = Path("sheet.png"),
) -> None:
    """Draw what one step of training delivers: every picture, its features, target, row and key.

    Takes the options of `mtgen train`; with the same options it shows the step that was trained.
    """
