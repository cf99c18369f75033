"""Predictions on the valid split: confusion of classes, or numbers against the true ones."""

from __future__ import annotations

from typing import Any

import numpy as np

from mtgen.training.measures.confusion import Confusion, Scatter
from mtgen.view.figures import COLOURS, FAINT, HEAT, INK, SMALL, TEXT, new_figure, plain
from mtgen.view.runs.paper import WIDTH, bar_beside, counted, heading, literal, said_inside

MOST_NUMBERS = 14
"""Classes up to which the count stands in each cell."""

NO_ROW = "#e6e6e6"
"""Lines of classes without a row."""

MOST_NAMES = 30
"""Classes up to which each has its name beside it."""

MOST_CELLS = 120
"""Cells along a side; of more classes, neighbours share one."""

MOST_POINTS = 4_000
"""Rows up to which each is a dot; more are counted in hexagons."""


def draw_confusion(confusion: Confusion, title: str = "confusion") -> Any:
    """Each cell is coloured by its share of the row, and holds its count where classes are few.

    Args:
        confusion: from `mtgen.training.measures.confusion`.
        title: over the figure.

    Returns:
        A Matplotlib figure.

    Raises:
        PlanError: matplotlib is not installed.
    """
    num = len(confusion.names)
    each = -(-num // MOST_CELLS)
    figure = new_figure(WIDTH, WIDTH - 0.9, "a picture of predictions")
    axes = figure.subplots()
    shares = np.ma.masked_invalid(shares_of_neighbours(confusion.counts, each))
    edges = (-0.5, len(shares) * each - 0.5)
    image = axes.imshow(
        shares, cmap=HEAT, vmin=0, vmax=1, interpolation="nearest", extent=(*edges, *edges[::-1]), aspect="equal"
    )
    axes.set_facecolor(NO_ROW)
    if num <= MOST_NUMBERS:
        for wanted, predicted in np.ndindex(num, num):
            count = int(confusion.counts[wanted, predicted])
            if count:
                light = float(confusion.shares[wanted, predicted]) > 0.5
                axes.text(predicted, wanted, f"{count:,}", ha="center", va="center", color=INK if light else "white",
                          fontsize=SMALL)  # fmt: skip
    plain(axes, xlabel="predicted class", ylabel="true class")
    if num <= MOST_NAMES:
        names = [literal(name, 16) for name in confusion.names]
        axes.set_yticks(range(num), names)
        axes.set_xticks(range(num), names, rotation=90 if max(map(len, names)) > 3 or num > 16 else 0)
    else:
        for axis in (axes.xaxis, axes.yaxis):
            counted(axis)
        cells = f", {each} in a cell" if each > 1 else ""
        axes.set_xlabel(f"number of the predicted class{cells}", fontsize=TEXT, color=INK)
        axes.set_ylabel(f"number of the true class{cells}", fontsize=TEXT, color=INK)
    axes.spines[["left", "bottom"]].set_visible(False)
    grey = "; grey: no row" if np.ma.getmaskarray(shares).any() else ""
    bar_beside(figure, image, axes, f"share of the true class's rows{grey}")
    heading(figure, title)
    return figure


def shares_of_neighbours(counts: np.ndarray, each: int) -> np.ndarray:
    """Shares of rows of confusion counts, where `each` neighbouring classes are one.

    Args:
        counts: integers `(classes, classes)`.
        each: classes in one, >= 1; the last one may have fewer.

    Returns:
        float64 `(cells, cells)`; NaN in lines without a row.

    Example:
        >>> shares_of_neighbours(np.array([[2, 0, 2], [0, 4, 0], [0, 0, 0]]), 2).tolist()
        [[0.75, 0.25], [nan, nan]]
    """
    starts = np.arange(0, len(counts), each)
    sums = np.add.reduceat(np.add.reduceat(counts, starts, axis=0), starts, axis=1)
    totals = sums.sum(axis=1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(totals > 0, sums / totals, np.nan)


def draw_scatter(scatter: Scatter, title: str = "predictions", name: str = "target") -> Any:
    """Predicted against true numbers, with the line on which both are the same.

    Args:
        scatter: from `mtgen.training.measures.confusion`.
        title: over the figure.
        name: of the target.

    Returns:
        A Matplotlib figure.

    Raises:
        PlanError: matplotlib is not installed.
    """
    wanted, predicted = scatter.finite
    figure = new_figure(WIDTH, WIDTH - 1.4, "a picture of predictions")
    axes = figure.subplots()
    plain(axes, xlabel=f"true {literal(name)}", ylabel=f"predicted {literal(name)}")
    if len(wanted):
        low, high = min(wanted.min(), predicted.min()), max(wanted.max(), predicted.max())
        room = 0.04 * (high - low) or 1.0
        if len(wanted) <= MOST_POINTS:
            axes.plot(wanted, predicted, "o", color=COLOURS[0], markersize=3.5, alpha=0.55, markeredgewidth=0)
        else:
            image = axes.hexbin(wanted, predicted, gridsize=60, cmap=HEAT, mincnt=1, bins="log")
            bar_beside(figure, image, axes, "rows in a cell, logarithmic; white: none")
        axes.plot([low, high], [low, high], color=FAINT, linewidth=1.2, linestyle="--", label="predicted = true")
        axes.set_xlim(low - room, high + room)
        axes.set_ylim(low - room, high + room)
        axes.legend(loc="upper left", fontsize=SMALL, frameon=False)
    else:
        said_inside(axes, "no finite prediction")
    heading(figure, title)
    return figure
