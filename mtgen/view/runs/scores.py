"""Which inputs does the model use: loss and metrics with inputs taken from other rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from mtgen.training.measures.scores import Permuted
from mtgen.view.figures import BEFORE, COLOURS, INK, SMALL, new_figure, plain
from mtgen.view.runs.paper import WIDTH, heading, literal

MOST_PANELS = 3
"""Loss and metrics with a panel each."""


def kind_name(kind: tuple[str, ...], num_inputs: int) -> str:
    """What is permuted, in words.

    Example:
        >>> kind_name((), 2), kind_name(("image",), 2), kind_name(("image", "features"), 2)
        ('as is', 'image permuted', 'all permuted')
    """
    if not kind:
        return "as is"
    return "all permuted" if len(kind) == num_inputs > 1 else f"{', '.join(kind)} permuted"


def draw_permuted(permuted: Permuted, title: str = "which inputs does the model use?") -> Any:
    """A bar for each kind of permutation, with a dot for each repeat.

    Args:
        permuted: from `mtgen.training.measures.scores`.
        title: over the figure.

    Returns:
        A Matplotlib figure.

    Raises:
        PlanError: matplotlib is not installed.
    """
    names = list(permuted.scores)[:MOST_PANELS]
    num_inputs = sum(len(kind) == 1 for kind in permuted.kinds)
    places = np.arange(len(permuted.kinds))
    figure = new_figure(WIDTH, (0.36 * len(places) + 0.62) * len(names) + 0.8, "a picture of inputs")
    panels = figure.subplots(len(names), 1, squeeze=False)[:, 0]
    for axes, name in zip(panels, names, strict=True):
        means, spreads = permuted.means(name), permuted.spreads(name)
        shown = np.where(np.isfinite(means), means, 0.0)
        axes.barh(places, shown, color=[BEFORE, *[COLOURS[0]] * (len(places) - 1)], height=0.62)
        for place in places[1:]:
            values = permuted.scores[name][place]
            axes.plot(values, np.full(len(values), place), "o", color=INK, markersize=2.6, markeredgewidth=0)
        every = permuted.scores[name][np.isfinite(permuted.scores[name])]
        reach = float(np.max(every, initial=0.0)) or 1.0
        for place, (mean, spread) in enumerate(zip(means, spreads, strict=True)):
            text = f"{mean:.4g}" + (f" ± {spread:.2g}" if place else "")
            one = permuted.scores[name][place]
            end = float(np.max(one[np.isfinite(one)], initial=0.0))
            axes.text(end + 0.015 * reach, place, text, va="center", fontsize=SMALL, color=INK)
        axes.set_yticks(places, [literal(kind_name(kind, num_inputs), 30) for kind in permuted.kinds])
        axes.set_ylim(len(places) - 0.45, -0.55)
        axes.set_xlim(1.1 * min(0.0, float(every.min(initial=0.0))), 1.3 * reach)
        plain(axes, title=literal(name))
        axes.tick_params(axis="y", length=0, labelcolor=INK)
        axes.spines["left"].set_visible(False)
    heading(figure, title)
    return figure
