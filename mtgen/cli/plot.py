"""`mtgen plot`: pictures of a training run and one page with all of them; shared with `scripts/plot_model.py`."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mtgen.cli.backend import choose_backend
from mtgen.errors import PlanError

if TYPE_CHECKING:
    from mtgen.training.record.folder import RunFolder
    from mtgen.view.runs.story import Opened, Opener


def plot(
    run: Annotated[Path, typer.Argument(help="Folder of a run, as mtgen train --run makes it.")],
    out: Annotated[Path | None, typer.Option(help="Folder for the pictures; left out: plots in the run's.")] = None,
    rows: Annotated[
        str | None,
        typer.Option(help="Rows whose feature maps are drawn; left out: four of the valid split.", metavar="3,17,..."),
    ] = None,
    layer: Annotated[
        str | None, typer.Option(help="Layer whose feature maps are drawn; left out: the first convolutions.")
    ] = None,
    snapshots: Annotated[
        str | None,
        typer.Option(help="Steps of the snapshots to draw; left out: some spread evenly.", metavar="40,80,..."),
    ] = None,
    only: Annotated[
        str | None,
        typer.Option(
            help="Kinds of pictures: curves, filters, maps, confusion, inputs, waits, snapshots.",
            metavar="KIND,...",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Decides which rows exchange their inputs.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was found as JSON, nothing else.")] = False,
) -> None:
    """Draw a training run: curves, filters, feature maps, confusion, which inputs it uses, waiting for data.

    Writes PNG files, and report.html with all of them, which needs no network. What cannot be drawn, and why, is said.
    """
    from mtgen.training.record.folder import RunFolder
    from mtgen.view.runs.plots import FROM_FILES, story_of, write_story
    from mtgen.view.runs.story import Wanted

    wanted = Wanted(
        only=tuple(one.strip() for one in only.split(",")) if only is not None else (),
        rows=numbers("--rows", rows),
        layer=layer,
        snapshots=numbers("--snapshots", snapshots),
        seed=seed,
    )
    if set(wanted.kinds) - {*FROM_FILES}:
        choose_backend(lambda line: typer.echo(line, err=as_json))
    folder = RunFolder(run)
    story = story_of(folder, wanted, data_of(folder))
    written = write_story(story, folder.plots if out is None else out)
    if as_json:
        typer.echo(json.dumps({**story.as_json(), "files": [str(path) for path in written]}, indent=2, allow_nan=False))
        raise typer.Exit(0 if story.pictures else 1)
    for picture, path in zip(story.pictures, written, strict=False):
        typer.echo(f"{path}: {picture.sentence}")
    for why, kinds in story.missing().items():
        typer.echo(f"left out, {kinds}: {why}")
    for note in story.notes:
        typer.echo(note)
    typer.echo(f"all of it: {written[-1]}")
    if not story.pictures:
        typer.echo(f"error: there is nothing to draw; is this the folder of a run? [path {folder.path}]", err=True)
        raise typer.Exit(1)


def numbers(option: str, text: str | None) -> tuple[int, ...]:
    """Numbers with commas between.

    Raises:
        PlanError: something else.

    Example:
        >>> numbers("--rows", "3, 17"), numbers("--rows", None)
        ((3, 17), ())
    """
    if text is None:
        return ()
    try:
        found = tuple(int(one) for one in text.split(","))
    except ValueError as error:
        raise PlanError(f"{option} needs whole numbers with commas between, such as 3,17, received {text!r}") from error
    if any(one < 0 for one in found):
        raise PlanError(f"{option} needs numbers >= 0, received {text!r}")
    return found


def data_of(folder: RunFolder) -> Opener | None:
    """What opens the data of a run; None where no run.toml says where it is.

    The test split stays sealed: no picture reads a row of it.
    """
    if not os.path.isfile(folder.config):
        return None

    def opened() -> Opened:
        import numpy as np

        from mtgen.splits import Splits
        from mtgen.training.config.building import config_at, dataset_of, make_loader, splits_of
        from mtgen.view.runs.story import Opened

        config = config_at(folder.config)
        data = dataset_of(config)
        saved = folder.splits.is_file()
        found = Splits.load(folder.splits, data) if saved else splits_of(config, data)
        if "valid" not in found.names:
            named = ", ".join(found.names)
            raise PlanError(f"the run has no split called valid, only {named}", path=str(folder.config))
        seen = [np.asarray(found[name].rows) for name in found.names if name != "test"]
        return Opened(
            valid=make_loader(found["valid"], config.fit, shuffle=False), rows=data.take(np.concatenate(seen))
        )

    return opened
