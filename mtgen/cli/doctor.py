"""`mtgen doctor`: is data the bottleneck, and what is best changed?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from mtgen.cli.backend import choose_backend
from mtgen.cli.config_file import DataFile, data_config, given_options
from mtgen.cli.options import JsonFile, say_aside, write_json
from mtgen.errors import ModelError
from mtgen.training.settings import Fit, Samples

if TYPE_CHECKING:
    from mtgen.dataset import Dataset
    from mtgen.training.config.sections import Config

MERGED = "merged"


def doctor(
    context: typer.Context,
    samples: Samples,
    fit: Fit,
    config: DataFile = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="A compiled model saved as .keras, or merged for that of mtgen train; left out: the loader alone.",
            metavar="FILE.keras|merged",
        ),
    ] = None,
    seconds: Annotated[float, typer.Option(min=0.1, help="What all measurements may take together.")] = 40.0,
    json_file: JsonFile = None,
) -> None:
    """Say whether data is the bottleneck, and what to change.

    Takes the options of mtgen train, or its file, and measures its loader on your own data: cost per stage, and what
    another recipe, packed features, cached pictures, more workers or a larger batch would give. With --model also the
    model's steps, with one batch over and over and with the loader. Changes nothing; temporary copies are removed.
    """
    from mtgen.doctor import examine
    from mtgen.training.config.building import make_loader, sampler_of, splits_of
    from mtgen.training.samples import config_for

    made = config_for(samples, fit) if config is None else data_config(config, given_options(context, Samples, Fit))
    part = splits_of(made)["train"]
    if model is not None:
        choose_backend(say_aside)
    with make_loader(part, made.fit, shuffle=True, law=sampler_of(made, part)) as loader:
        report = examine(loader, _model(model, part, made), seconds=seconds, say=say_aside)
    typer.echo(str(report))
    if json_file is not None:
        write_json(json_file, report.as_json())


def _model(name: str | None, dataset: Dataset, config: Config) -> Any:
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
    from mtgen.training.merged import Width

    fit, size = config.fit, config.model
    width = Width(filters=size.filters, units=size.units, dropout=size.dropout)
    made = model_for(dataset, seed=fit.seed, width=width, leave_out_unreadable=fit.on_error != "raise")
    return compile_for(made, dataset, keras.optimizers.Adam(fit.learning_rate), masked=fit.on_error == "mask")
