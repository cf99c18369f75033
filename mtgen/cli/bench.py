"""`mtgen bench`: measure the loader against others on this machine; shared with `scripts/bench.py`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mtgen.bench.settings import SUITES, Places, Settings
from mtgen.cli.options import say_aside

SuiteNames = Annotated[list[str] | None, typer.Argument(help=f"Any of {', '.join(SUITES)}; left out: all.")]

Results = Annotated[list[Path], typer.Argument(help="Files that mtgen bench run --json wrote.")]

Chart = Annotated[Path | None, typer.Option(help="Draw a chart here, .png or .svg.", show_default=False)]


def run(
    settings: Settings,
    places: Places,
    suites: SuiteNames = None,
    only: Annotated[
        list[str] | None, typer.Option(help="Only contenders whose name contains this; may be given several times.")
    ] = None,
    group: Annotated[
        list[str] | None, typer.Option(help="Only this class, such as antialiased; may be given several times.")
    ] = None,
    json: Annotated[Path | None, typer.Option(help="Write the result here.", show_default=False)] = None,
    plot: Chart = None,
) -> None:
    """Measure. What is not installed is reported; pip install mtgen[bench] brings what can be had."""
    import json as texts

    from mtgen.bench.chart import draw
    from mtgen.bench.measure import measure
    from mtgen.bench.report import terminal

    for target in (json, plot):
        if target is not None:
            _check_target(target)
    result = measure(
        suites or list(SUITES),
        settings,
        places,
        only=only or (),
        groups=group or (),
        say=say_aside,
    )
    if json is not None:
        _write(json, texts.dumps(result, indent=1) + "\n")
    for suite in result["suites"]:
        typer.echo(f"\n{terminal(suite)}")
    if plot is not None:
        draw(result, plot)


def show(
    results: Results,
    plot: Chart = None,
) -> None:
    """Print the tables of results again, or draw them."""
    from mtgen.bench.chart import draw
    from mtgen.bench.measure import read_result
    from mtgen.bench.report import terminal
    from mtgen.bench.summary import merged

    suites = merged([read_result(path) for path in results])
    for suite in suites:
        typer.echo(f"{terminal(suite)}\n")
    if plot is not None:
        draw({"suites": suites}, plot)


def docs(
    results: Results,
    page: Annotated[Path, typer.Option(help="The page to fill.")] = Path("docs/benchmarks.md"),
) -> None:
    """Write the tables of results into the page, between its markers; the rest of the page stays."""
    from mtgen.bench.measure import read_result
    from mtgen.bench.page import filled
    from mtgen.errors import StoreError

    found = [read_result(path) for path in results]
    try:
        text = page.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise StoreError(f"the page cannot be read ({error})", path=str(page)) from error
    _write(page, filled(text, found))
    suites = ", ".join(suite["suite"] for result in found for suite in result["suites"])
    typer.echo(f"{page}: {suites}")


def contenders(
    suites: SuiteNames = None,
) -> None:
    """List who takes part in which suite, and who is not installed."""
    from mtgen.bench.runner import missing_packages
    from mtgen.bench.suites import contenders as of_suite

    for suite in suites or SUITES:
        typer.echo(f"{suite}:")
        for one in of_suite(suite):
            missing = missing_packages(one)
            typer.echo(f"  {one.name} ({one.group})" + (f", not installed: {', '.join(missing)}" if missing else ""))


def _check_target(path: Path) -> None:
    """Refuse now what could not be written after minutes of measuring."""
    from mtgen.errors import StoreError

    if path.is_dir() or not path.absolute().parent.is_dir():
        raise StoreError("it cannot be written: name a file in a folder that exists", path=str(path))


def _write(path: Path, text: str) -> None:
    from mtgen.stores.new_folder import save_file

    save_file(path, text.encode(), "it")
