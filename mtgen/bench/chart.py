"""A chart of results: a point for each contender, a panel for each class of each suite, rates on a logarithmic axis."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mtgen.bench.figures import number
from mtgen.bench.summary import Line, lines
from mtgen.errors import StoreError

COLOURS = {"mtgen": "#1b6ca8", "other": "#6b7680", "floor": "#c9a227"}
MARKERS = {"mtgen": "o", "other": "s", "floor": "|"}


def draw(result: Mapping[str, Any], path: Path) -> None:
    """Write the chart as PNG, SVG or PDF, by the name.

    Raises:
        StoreError: nothing was measured, it cannot be written, or matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise StoreError("a plot needs matplotlib: pip install mtgen[plot]") from error
    panels: dict[str, list[Line]] = {}
    for suite in result["suites"]:
        for line in lines(suite):
            if line.rate:
                panels.setdefault(f"{suite['suite']}: {line.group}", []).append(line)
    if not panels:
        raise StoreError("no contender was measured, there is nothing to plot")
    heights = [len(found) + 1 for found in panels.values()]
    figure = Figure(figsize=(9, 0.32 * sum(heights) + 0.6 * len(panels)), layout="constrained")
    axes = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axis, (title, found) in zip(axes, panels.items(), strict=True):
        _panel(axis, title, found)
    try:
        figure.savefig(path)
    except (OSError, ValueError) as error:
        raise StoreError(
            f"the plot cannot be written ({error}): choose a path ending in .png", path=str(path)
        ) from error


def _panel(axis: Any, title: str, found: list[Line]) -> None:
    places = range(len(found))
    rates = [line.rate or 0.0 for line in found]
    # Points, because bars on a logarithmic axis have no true length.
    axis.hlines(places, [line.least for line in found], [line.most for line in found], color="#444444", linewidth=0.8)
    for place, rate, line in zip(places, rates, found, strict=True):
        axis.plot([rate], [place], MARKERS[line.family], color=COLOURS[line.family], markersize=7)
    axis.set_yticks(list(places), [line.name for line in found], fontsize=8)
    axis.invert_yaxis()
    axis.set_xscale("log")
    axis.xaxis.set_major_formatter(lambda value, place: number(value))
    axis.xaxis.set_minor_formatter(lambda value, place: "")
    axis.grid(axis="x", color="#dddddd", linewidth=0.6)
    axis.set_title(title, loc="left", fontsize=10)
    axis.set_xlabel("rows per second; lines from the slowest to the quickest round", fontsize=8)
    axis.tick_params(axis="x", labelsize=8)
    axis.margins(x=0.12)
    for place, line in zip(places, found, strict=True):
        axis.annotate(f"   {number(line.rate or 0.0)}", (line.most or 0.0, place), va="center", fontsize=7)
    axis.spines[["top", "right"]].set_visible(False)
