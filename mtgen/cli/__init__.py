"""The commands of mtgen. One file per command; each imports what it needs when it runs, so that help is quick.

`main` is the entry point: errors of mtgen are printed as plain text. Exit code 0 for success, 1 for an error, 2 for
wrong usage, 130 when interrupted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from mtgen import __version__
from mtgen.cli import audit, bench, card, doctor, info, pack, plot, sample, selftest, show, train, verify
from mtgen.cli.options import expanded, plain_errors


def _app(name: str, text: str | None = None) -> typer.Typer:
    return typer.Typer(
        name=name,
        help=text,
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )


app = _app("mtgen")


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


for _name, _command in (
    ("train", train.train),
    ("plot", plot.plot),
    ("show", show.show),
    ("selftest", selftest.selftest),
    ("info", info.info),
    ("audit", audit.audit),
    ("verify", verify.verify),
    ("card", card.card),
    ("pack", pack.pack),
    ("doctor", doctor.doctor),
    ("sample", sample.sample),
):
    app.command(_name)(plain_errors(expanded(_command)))

_bench = _app("bench", "Measure the loader against others on this machine.")
for _part in (bench.run, bench.show, bench.docs, bench.contenders):
    _bench.command(_part.__name__)(plain_errors(expanded(_part)))
app.add_typer(_bench)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and exit.

    Args:
        arguments: the command line without the program's name; None takes it from `sys.argv`.

    Raises:
        SystemExit: always, with the exit code.
    """
    app(args=None if arguments is None else list(arguments), prog_name="mtgen")
