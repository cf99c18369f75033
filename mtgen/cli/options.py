"""What commands share: options out of settings, options of several commands, files they write, errors as plain text.

Each field of a settings dataclass is one option, its metadata the help. So a setting has one name, one default and one
explanation, whether it is used from Python or from a shell.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import json
import os
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from mtgen.errors import MtgenError, PlanError

INTERRUPTED = 130
"""Exit code of a command ended by Ctrl-C, as shells have it: 128 + SIGINT."""

ReadingThreads = Annotated[int | None, typer.Option(min=0, help="Threads that read; left out: one per core.")]

JsonFile = Annotated[Path | None, typer.Option("--json", help="JSON file for all figures.", metavar="FILE")]

NO_OPTIONS = {"key", "path", "option", "option_type"}
"""Metadata of fields that is not Typer's; see `mtgen.training.settings`."""


def expanded(command: Callable[..., Any]) -> Callable[..., Any]:
    """The command with each parameter that is annotated with a dataclass replaced by that class's fields.

    Args:
        command: takes settings dataclasses, all of whose fields have defaults, and plain Typer parameters.

    Example:
        >>> @dataclasses.dataclass(frozen=True, kw_only=True)
        ... class Fit:
        ...     epochs: int = dataclasses.field(default=3, metadata={"help": "Passes."})
        >>> def train(fit: Fit, quiet: bool = False): return fit.epochs, quiet
        >>> train.__annotations__["fit"] = Fit
        >>> expanded(train)(epochs=5, quiet=True)
        (5, True)
    """
    hints = typing.get_type_hints(command, include_extras=True)
    parameters: list[inspect.Parameter] = []
    groups: dict[str, type] = {}
    for name, parameter in inspect.signature(command).parameters.items():
        if dataclasses.is_dataclass(hints[name]) and isinstance(hints[name], type):
            groups[name] = hints[name]
            parameters += _parameters_of(hints[name])
        else:
            parameters.append(parameter.replace(annotation=hints[name], kind=inspect.Parameter.KEYWORD_ONLY))

    @functools.wraps(command)
    def run(**given: Any) -> Any:
        for name, group in groups.items():
            given[name] = group(**{one.name: given.pop(one.name) for one in _options(group)})
        return command(**given)

    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {one.name: one.annotation for one in parameters}
    del run.__wrapped__
    return run


def _options(group: type) -> list[dataclasses.Field[Any]]:
    return [one for one in dataclasses.fields(group) if one.metadata.get("option", True)]


def _parameters_of(group: type) -> list[inspect.Parameter]:
    hints = typing.get_type_hints(group)
    found = []
    for one in _options(group):
        metadata = {name: value for name, value in one.metadata.items() if name not in NO_OPTIONS}
        metadata = {"show_default": one.default is not None, **metadata}
        kind = one.metadata.get("option_type", hints[one.name])
        annotation: Any = Annotated[kind, typer.Option(**metadata)]
        found.append(
            inspect.Parameter(one.name, inspect.Parameter.KEYWORD_ONLY, default=one.default, annotation=annotation)
        )
    return found


def plain_errors(command: Callable[..., Any]) -> Callable[..., Any]:
    """The command with errors of mtgen printed as their text, and exit code 1; 130 when interrupted."""

    @functools.wraps(command)
    def run(*arguments: Any, **options: Any) -> Any:
        try:
            return command(*arguments, **options)
        except MtgenError as error:
            typer.echo(f"error: {error}", err=True)
            raise typer.Exit(1) from error
        except KeyboardInterrupt as stop:
            typer.echo("interrupted", err=True)
            raise typer.Exit(INTERRUPTED) from stop

    return run


def say_aside(text: str) -> None:
    """A line of progress, on standard error: what a command found stands alone on standard output."""
    typer.echo(text, err=True)


def refuse_existing(out: Path, other: str = "choose another path") -> None:
    """Refuse a path that is taken, also by a broken link.

    Args:
        out: what is to be made.
        other: the way on, where it shall stay.

    Raises:
        PlanError: something is there.
    """
    if os.path.lexists(out):
        raise PlanError(f"it exists already, nothing is overwritten: remove it or {other}", path=str(out))


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write all figures of a command, whole or not at all; an older file is replaced.

    Raises:
        PlanError: it cannot be written.
    """
    from mtgen.stores.new_folder import save_file

    save_file(path, (json.dumps(values, indent=2, allow_nan=False) + "\n").encode(), "the figures", PlanError)
