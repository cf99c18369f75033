"""`mtgen train`: train the merged model and say how well it does; shared with `scripts/train_merged.py`."""

from __future__ import annotations

from typing import Annotated

import typer

from mtgen.cli.backend import choose_backend
from mtgen.training.settings import Fit, Samples


def train(
    samples: Samples,
    fit: Fit,
    ablate: Annotated[
        bool, typer.Option("--ablate", help="Train each input alone, both, and both with features shifted one row.")
    ] = False,
) -> None:
    """Train a merged model and evaluate it on unseen rows.

    Without options it trains on the handwritten digits in data_samples. With data of your own, give --table, then
    --image-column with --image-root and --size, or --features, or both, and --target.
    """
    from mtgen.training import run

    choose_backend(typer.echo)
    results = run.ablate(samples, fit, say=typer.echo) if ablate else [run.train(samples, fit, say=typer.echo)]
    for result in results:
        typer.echo(str(result))
    if ablate:
        typer.echo(run.conclusion(results))
    typer.echo(run.waiting(results))
