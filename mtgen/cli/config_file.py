"""The option `--config`: a run by a file and the options over it, or its data alone for those who look at them."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mtgen.errors import MtgenError
from mtgen.training.settings import Fit, Inputs, Rules, Run, Samples

if TYPE_CHECKING:
    from mtgen.training.config.sections import Config

RunFile = Annotated[
    Path | None,
    typer.Option(
        help="TOML file that says what is trained, such as RUN/run.toml; options here stand over it. See "
        "docs/training.md."
    ),
]

DataFile = Annotated[
    Path | None,
    typer.Option(
        help="TOML file that says what the data are and how they are split, as for mtgen train; options that say it "
        "too are refused."
    ),
]

SIZE = (32, 32)
"""Height and width of pictures that are decoded to be looked at, not to be kept."""


def given_options(context: typer.Context, *kinds: type) -> dict[str, Any]:
    """The options that were really given, by the names of their fields.

    Args:
        context: of the command.
        kinds: dataclasses whose fields they are.
    """
    fields = {one.name for kind in kinds for one in dataclasses.fields(kind)}
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
    from mtgen.training.record.folder import RunFolder
    from mtgen.training.samples import config_for

    if file is None and run.resume and run.run is not None and os.path.isfile(RunFolder(run.run).config):
        file = RunFolder(run.run).config
    if file is None:
        return config_for(samples, fit, rules, run)
    return _read(file, Path(os.path.abspath(file)).parent, given, config_over)


def data_config(file: Path, given: Mapping[str, Any]) -> Config:
    """What a file says of the data, and how they are loaded; options of the latter stand over it.

    Paths come out as they are seen from the working folder, so that they can be shown.

    Args:
        file: the TOML file.
        given: see `given_options`.

    Raises:
        PlanError: an option that says what the data are too; or see `read_config`.
    """
    from mtgen.training.config import options

    return _read(file, file.parent, given, options.config_beside)


def config_to_look_at(inputs: Inputs, *, seed: int = 0, **more: Any) -> Config:
    """What options say of the data, for those who look at pictures and keep none: these need no size.

    Args:
        inputs: the options.
        seed: of the splits.
        more: further settings of `Samples`.

    Raises:
        PlanError: see `config_for`.
    """
    from mtgen.training.samples import config_for

    if inputs.table is not None and inputs.size is None:
        inputs = dataclasses.replace(inputs, size=SIZE)
    return config_for(Samples(**vars(inputs), **more), Fit(seed=seed))


def _read(file: Path, folder: Path, given: Mapping[str, Any], make: Callable[..., Config]) -> Config:
    from mtgen.training.config.reading import read_document

    document = read_document(file, pipes=True)
    try:
        return make(document, folder, given)
    except MtgenError as error:
        raise error.at(path=str(file)) from error.__cause__
