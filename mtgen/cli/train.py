"""`mtgen train`: train a model and say how well it does; shared with `scripts/train_merged.py`."""

from __future__ import annotations

from typing import Annotated

import typer

from mtgen.cli.backend import choose_backend
from mtgen.cli.config_file import RunFile, config_from, given_options
from mtgen.training.settings import Fit, Rules, Run, Samples


def train(
    context: typer.Context,
    samples: Samples,
    fit: Fit,
    rules: Rules,
    run: Run,
    config: RunFile = None,
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

    made = config_from(samples, fit, rules, run, config, given_options(context, Samples, Fit, Rules, Run))
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
