"""`mtgen train`: train a model and say how well it does; shared with `scripts/train_merged.py`."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mtgen.cli.backend import choose_backend
from mtgen.errors import MtgenError
from mtgen.training.settings import Fit, Rules, Run, Samples

if TYPE_CHECKING:
    from mtgen.training.config.sections import Config


def train(
    context: typer.Context,
    samples: Samples,
    fit: Fit,
    rules: Rules,
    run: Run,
    config: Annotated[
        Path | None,
        typer.Option(help="TOML file that says what is trained, see docs/training.md; options here stand over it."),
    ] = None,
    ablate: Annotated[
        bool, typer.Option("--ablate", help="Train each input alone, all, and all with features shifted one row.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Build everything, say what would be trained, and train nothing.")
    ] = False,
) -> None:
    """Train a merged model and evaluate it on unseen rows.

    Without options it trains on the handwritten digits in data_samples. With data of your own, give --table, then
    --image-column with --image-root and --size, or --features, or both, and --target; or a file of ten lines, --config.

    With --run the run is saved as it goes on, and the same command with --resume continues it after any interruption;
    mtgen train --config RUN/run.toml --run OTHER repeats it.
    """
    from mtgen.training import run as training
    from mtgen.training.dry_run import dry_run as shown
    from mtgen.training.saving import run_of

    made = config_from(samples, fit, rules, run, config, given_options(context))
    choose_backend(typer.echo)
    if dry_run:
        shown(made, say=typer.echo)
        return
    say = typer.echo
    try:
        results = training.ablate_config(made, say=say) if ablate else [training.train_config(made, say=say)]
    except KeyboardInterrupt:
        if not ablate:
            say(how_to_continue(run_of(made)))
        raise
    for result in results:
        typer.echo(str(result))
    if ablate:
        typer.echo(training.conclusion(results))
    typer.echo(training.waiting(results))


def how_to_continue(run: Run) -> str:
    """What an interrupted run left, and the way on."""
    from mtgen.checkpoint import Checkpoints
    from mtgen.training.record.folder import RunFolder

    steps = [] if run.run is None else Checkpoints(RunFolder(run.run).checkpoints).steps()
    if steps:
        return f"saved after step {steps[-1]}: the same command with --resume goes on from there"
    return "nothing was saved: --run FOLDER keeps a run from its first epoch on, and --checkpoint-steps within epochs"


def given_options(context: typer.Context) -> dict[str, Any]:
    """The options that were really given, by the names of their fields."""
    fields = {one.name for kind in (Samples, Fit, Rules, Run) for one in dataclasses.fields(kind)}
    return {
        name: value
        for name, value in context.params.items()
        if name in fields and getattr(context.get_parameter_source(name), "name", "") != "DEFAULT"
    }


def config_from(samples: Samples, fit: Fit, rules: Rules, run: Run, file: Path | None, given: dict[str, Any]) -> Config:
    """What is to be trained: by a file and the options over it, or by the options alone.

    A run that is continued without a file is that of its own `run.toml`.

    Args:
        samples: what to train on; like the next three with all options, those that were not given by default.
        fit: how.
        rules: the training recipe.
        run: where it is kept.
        file: the TOML file; None for none.
        given: see `given_options`.

    Raises:
        PlanError: see `read_config` and `config_over`.
    """
    from mtgen.training.config.options import config_over
    from mtgen.training.config.reading import read_document
    from mtgen.training.record.folder import RunFolder
    from mtgen.training.samples import config_for

    if file is None and run.resume and run.run is not None and os.path.isfile(RunFolder(run.run).config):
        file = RunFolder(run.run).config
    if file is None:
        return config_for(samples, fit, rules, run)
    document = read_document(file)
    try:
        return config_over(document, Path(os.path.abspath(file)).parent, given)
    except MtgenError as error:
        raise error.at(path=str(file)) from error.__cause__
