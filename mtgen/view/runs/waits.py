"""The timeline of waiting for data."""

from __future__ import annotations

from typing import Any

import numpy as np

from mtgen.training.measures.waits import Waits
from mtgen.view.figures import BEFORE, COLOURS, SMALL, new_figure, plain
from mtgen.view.runs.paper import WIDTH, counted, epochs_above, heading


def draw_waits(waits: Waits, title: str = "waiting for data", steps_per_epoch: float | None = None) -> Any:
    """The share of time in which training waited for data, and how long steps took, over the steps.

    Args:
        waits: from `mtgen.training.measures.waits`.
        title: over the figure.
        steps_per_epoch: of the data, for the axis above.

    Returns:
        A Matplotlib figure.

    Raises:
        PlanError: matplotlib is not installed.
    """
    figure = new_figure(WIDTH, 4.2, "a picture of waiting")
    upper, lower = figure.subplots(2, 1, sharex=True)
    edges = waits.steps.astype(np.float64)
    shares = np.nan_to_num(waits.shares) * 100
    upper.stairs(shares, edges, fill=True, color=COLOURS[1], linewidth=0)
    upper.set_ylim(0, max(5.0, min(100.0, 1.15 * float(shares.max(initial=0.0)))))
    upper.yaxis.set_major_formatter(lambda value, place: f"{value:g} %")
    plain(upper, title="share of the time spent waiting for data")
    nums = np.diff(waits.edges)
    each = 1000 * waits.seconds / nums
    wait = 1000 * waits.wait_seconds / nums
    lower.stairs(each, edges, baseline=wait, fill=True, color=BEFORE, linewidth=0, label="everything else")
    lower.stairs(wait, edges, fill=True, color=COLOURS[1], linewidth=0, label="waiting for data")
    typical = float(np.median(each))
    top = float(each.max(initial=0.0))
    if top > 8 * typical > 0:
        lower.set_ylim(0, 3 * typical)
        beyond = int((each > 3 * typical).sum())
        what = "mean time of a step, in ms; " + (
            f"{beyond} bars go higher, up to {top:,.0f} ms" if beyond > 1 else f"one bar goes higher, to {top:,.0f} ms"
        )
    else:
        lower.set_ylim(0, 1.1 * top or 1.0)
        what = "mean time of a step, in ms"
    plain(lower, title=what, xlabel="mini-batches trained")
    counted(lower.xaxis)
    counted(lower.yaxis)
    upper.set_xlim(edges[0], edges[-1])
    epochs_above(upper, steps_per_epoch)
    figure.legend(*lower.get_legend_handles_labels(), loc="outside lower left", ncols=2, fontsize=SMALL, frameon=False)
    heading(figure, title)
    return figure
