"""`mtgen doctor`: is data the bottleneck, and what is best changed?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from mtgen.cli.backend import choose_backend
from mtgen.dataset import Dataset
from mtgen.errors import ModelError, PlanError
from mtgen.training.settings import Fit, Samples

MERGED = "merged"


def doctor(
    samples: Samples,
    fit: Fit,
    model: Annotated[
        str | None,
        typer.Option(
            help="A compiled model saved as .keras, or merged for that of mtgen train; left out: the loader alone.",
            metavar="FILE.keras|merged",
        ),
    ] = None,
    seconds: Annotated[float, typer.Option(min=0.1, help="What all measurements may take together.")] = 40.0,
    json_file: Annotated[Path | None, typer.Option("--json", help="JSON file for all figures.", metavar="FILE")] = None,
) -> None:
    """Say whether data is the bottleneck, and what to change.

    Takes the options of mtgen train and measures its loader on your own data: cost per stage, and what another recipe,
    packed features, cached pictures, more workers or a larger batch would give. With --model also the model's steps,
    with one batch over and over and with the loader. Changes nothing; temporary copies are removed.
    """
    from mtgen.doctor import examine
    from mtgen.training.run import make_loader
    from mtgen.training.samples import make_dataset, make_splits

    def say(text: str) -> None:
        typer.echo(text, err=True)

    part = make_splits(make_dataset(samples), samples, seed=fit.seed)["train"]
    if model is not None:
        choose_backend(say)
    with make_loader(part, fit, shuffle=True) as loader:
        report = examine(loader, _model(model, part, fit), seconds=seconds, say=say)
    typer.echo(str(report))
    if json_file is not None:
        _write(json_file, report.as_json())


def _model(name: str | None, dataset: Dataset, fit: Fit) -> Any:
    """The model that was asked for, compiled; None for none.

    Raises:
        ModelError: a file that cannot be loaded.
    """
    if name is None:
        return None
    import keras

    if name != MERGED:
        try:
            return keras.saving.load_model(name)
        except Exception as error:  # Keras raises anything, from TypeError to OSError
            raise ModelError(
                f"the model cannot be loaded ({type(error).__name__}: {error}). --model takes a file that model.save "
                "wrote, such as model.keras, or the word merged",
                path=name,
            ) from error
    from mtgen.training.heads import compile_for, model_for

    made = model_for(dataset, seed=fit.seed, leave_out_unreadable=fit.on_error != "raise")
    return compile_for(made, dataset, keras.optimizers.Adam(fit.learning_rate), masked=fit.on_error == "mask")


def _write(path: Path, values: dict[str, Any]) -> None:
    from mtgen.stores.new_folder import replace_file

    try:
        replace_file(path, (json.dumps(values, indent=2, allow_nan=False) + "\n").encode())
    except OSError as error:
        raise PlanError(f"the figures cannot be written ({error}): check space and rights", path=str(path)) from error
