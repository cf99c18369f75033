"""The commands of mtgen. One file per command; each imports what it needs when it runs, so that help is quick.

`main` is the entry point: errors of mtgen are printed as plain text. Exit code 0 for success, 1 for an error, 2 for wrong
usage, 130 when interrupted.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import click
import typer

from mtgen import __version__
from mtgen.cli import info, selftest, show, train
from mtgen.cli.options import expanded
from mtgen.errors import MtgenError

app = typer.Typer(
    name="mtgen",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"mtgen {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Feed merged (multi-input) Keras models from disk: pictures and feature rows, aligned and exact."""


app.command("train")(expanded(train.train))
app.command("show")(expanded(show.show))
app.command("selftest")(selftest.selftest)
app.command("info")(info.info)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and exit.

    Args:
        arguments: the command line without the program's name; None takes it from `sys.argv`.

    Raises:
        SystemExit: always, with the exit code.
    """
    sys.exit(_run(arguments))


def _run(arguments: Sequence[str] | None) -> int:
    try:
        code = app(args=None if arguments is None else list(arguments), prog_name="mtgen", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        print("interrupted", file=sys.stderr)
        return 130
    except MtgenError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        # The reader of our output has gone, as in `mtgen info ... | head`.
        sys.stderr.close()
        return 1
    return code if isinstance(code, int) else 0
