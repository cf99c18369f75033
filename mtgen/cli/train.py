"""`mtgen train`: train the merged model and say how well it does; shared with `scripts/train_merged.py`."""

from __future__ import annotations

from typing import Annotated

import typer

from mtgen.cli.backend import choose_backend
from mtgen.training.settings import Fit, Run, Samples


def train(
    samples: Samples,
    fit: Fit,
    run: Run,
    ablate: Annotated[
        bool, typer.Option("--ablate", help="Train each input alone, both, and both with features shifted one row.")
    ] = False,
) -> None:
    """Train a merged model and evaluate it on unseen rows.

    Without options it trains on the handwritten digits in data_samples. With data of your own, give --table, then
    --image-column with --image-root and --size, or --features, or both, and --target.

    With --run the run is saved as it goes on, and the same command with --resume continues it after any interruption.
    """
    from mtgen.training import run as training

    choose_backend(typer.echo)
    if ablate:
        results = training.ablate(samples, fit, run, say=typer.echo)
    else:
        results = [training.train(samples, fit, run, say=typer.echo)]
    for result in results:
        typer.echo(str(result))
    if ablate:
        typer.echo(training.conclusion(results))
    typer.echo(training.waiting(results))
