"""Feature maps of chosen samples: the picture as delivered, then one line of maps for each snapshot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mtgen.view.figures import FAINT, HEAT, INK, SMALL, new_figure
from mtgen.view.runs.paper import WIDTH, bar_beside, between, heading, literal, mosaic

MOST_MAPS = 8
"""Maps in a line."""

MOST_LINES = 6
"""Lines of a sample: snapshots."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Sample:
    """One sample and what a layer made of it.

    Args:
        name: what is written under its picture.
        picture: uint8 `(height, width, 3)` as delivered; None where the input is no picture.
        lines: `(snapshots, height, width, maps)`, of a dense layer `(snapshots, 1, units, 1)`.
    """

    name: str
    picture: np.ndarray | None
    lines: np.ndarray


def as_lines(maps: np.ndarray, channels: np.ndarray) -> tuple[np.ndarray, str]:
    """Maps of one state as pictures: the chosen channels of two axes, others brought to two.

    Args:
        maps: `(rows, *axes, channels)`, or `(rows, units)` of a dense layer.
        channels: int64, which to show.

    Returns:
        `(rows, height, width, maps)`, and what was left out, in words.

    Example:
        >>> as_lines(np.zeros((2, 5, 4, 4, 8)), np.array([0, 3]))[0].shape
        (2, 4, 4, 2)
    """
    if maps.ndim == 2:
        return maps[:, None, :, None], ""
    told = ""
    if maps.ndim == 5:
        told = f"the middle one of {maps.shape[1]} slices"
        maps = maps[:, maps.shape[1] // 2]
    if maps.ndim == 3:
        maps = maps[:, None]
    return maps[..., channels], told


def draw_maps(samples: Sequence[Sample], states: Sequence[str], title: str = "feature maps", second: str = "") -> Any:
    """Draw samples below each other, each with a line of maps for each state; one scale for all.

    Args:
        samples: at least one; all with as many lines as `states` has names.
        states: such as `step 40`.
        title: over the figure.
        second: a second line, smaller facts.

    Returns:
        A Matplotlib figure.

    Raises:
        PlanError: matplotlib is not installed.
    """
    values = np.concatenate([one.lines.ravel() for one in samples])
    finite = values[np.isfinite(values)]
    low, high = min(float(finite.min(initial=0.0)), 0.0), float(finite.max(initial=0.0))
    colours = between(low, high, HEAT)
    num_maps = samples[0].lines.shape[-1]
    tall, wide = samples[0].lines.shape[1:3]
    strip = num_maps == 1 and tall == 1
    across = (WIDTH - 2.9) / (1 if strip else num_maps)
    line = 0.32 if strip else float(np.clip(across * tall / wide, 0.2, 1.1))
    each = max(0.9, line * len(states)) + 0.24
    figure = new_figure(WIDTH, each * len(samples) + 1.0, "a picture of feature maps")
    grid = figure.subplots(len(samples), 2, squeeze=False, width_ratios=(1, (WIDTH - 2.3) / 1.2))
    for (left, right), sample in zip(grid, samples, strict=True):
        left.set_axis_off()
        if sample.picture is not None:
            left.imshow(sample.picture, interpolation="nearest")
        left.set_title(literal(sample.name, 26), loc="left", fontsize=SMALL, color=INK)
        _lines(right, sample.lines, colours, states, strip)
    bar_beside(figure, colours, list(grid.ravel()), "what the layer gives", shrink=0.7)
    heading(figure, title, second)
    return figure


def _lines(axes: Any, lines: np.ndarray, colours: Any, states: Sequence[str], strip: bool) -> None:
    shown = np.where(np.isfinite(lines), lines, 0.0)
    if strip:
        paper = colours.to_rgba(shown[:, 0, :, 0])[..., :3]
        axes.imshow(paper, aspect="auto", interpolation="nearest")
        places = np.arange(len(states), dtype=np.float64)
    else:
        tiles = [colours.to_rgba(line[..., place])[..., :3] for line in shown for place in range(line.shape[-1])]
        paper = mosaic(tiles, lines.shape[-1], 48)
        axes.imshow(paper, aspect="equal", interpolation="antialiased")
        places = (np.arange(len(states)) + 0.5) * len(paper) / len(states)
    axes.set_anchor("W")
    axes.set_yticks(places, [literal(one, 20) for one in states])
    axes.set_xticks([])
    axes.tick_params(labelsize=SMALL, colors=FAINT, length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
