"""First-layer filters of picture branches as tiles, and the weights of features."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mtgen.training.measures.kernels import Tiles, feature_norms
from mtgen.view.figures import BEFORE, COLOURS, FAINT, INK, SMALL, TEXT, new_figure, plain
from mtgen.view.runs.paper import GAP, WIDTH, bar_beside, counted, heading, literal, mosaic, show_tiles, symmetric

MOST_TILES = 64
"""Filters of a panel: those with the largest norm in the last one."""

MOST_STATES = 6
"""Panels side by side and below each other."""

MOST_FEATURES = 20
"""Features with a bar: those with the largest norm in the last state."""


def limit_of(arrays: Sequence[np.ndarray]) -> float:
    """The largest finite magnitude of several arrays, 1 where all are 0: the scale of a figure."""
    finite = [np.abs(one[np.isfinite(one)]) for one in arrays]
    return max((float(one.max(initial=0.0)) for one in finite), default=0.0) or 1.0


def draw_filters(states: Mapping[str, Tiles], title: str = "filters") -> Any:
    """The same filters in several states of training, in one scale.

    Kernels of three channels are drawn in colours, grey for 0; others from blue, below 0, to red.

    Args:
        states: name, such as `step 40`, -> its tiles; at least one, all of the same layer.
        title: over the figure.

    Returns:
        A Matplotlib figure.

    Raises:
        PlanError: matplotlib is not installed.
    """
    last = list(states.values())[-1]
    shown = np.sort(np.argsort(-np.nan_to_num(last.norms), kind="stable")[:MOST_TILES])
    limit = limit_of([one.values[shown] for one in states.values()])
    colours, coloured = symmetric(limit), last.values.shape[-1] == 3
    across = min(3, len(states))
    down = -(-len(states) // across)
    tall, wide = last.values.shape[1:3]
    columns = _columns(len(shown), tall, wide)
    panel = (WIDTH - 0.9) / max(across, 2)
    rows = -(-len(shown) // columns)
    height = panel * (rows * tall) / (min(columns, len(shown)) * wide)
    figure = new_figure(WIDTH, min(12.0, down * (height + 0.35) + 1.0), "a picture of filters")
    panels = figure.subplots(down, across, squeeze=False)
    for axes, (name, tiles) in zip(panels.ravel(), states.items(), strict=False):
        values = np.where(np.isfinite(tiles.values[shown]), tiles.values[shown], 0.0)
        if coloured:
            pictures = list(0.5 + 0.5 * values / limit)
        else:
            pictures = [colours.to_rgba(one[:, :, 0])[..., :3] for one in values]
        show_tiles(axes, mosaic(pictures, columns, 40, (1, 1, 1) if coloured else GAP), literal(name))
    for axes in panels.ravel()[len(states) :]:
        axes.set_axis_off()
    some = f"{len(shown)} of {len(last.values)} filters, those of largest norm" if len(shown) < len(last.values) else ""
    how = [one for one in (some, last.how) if one]
    scale = f"one scale, {-limit:.3g} to {limit:.3g}" + (", grey is 0" if coloured else "")
    if not coloured:
        bar_beside(figure, colours, list(panels.ravel()), "weight", shrink=0.9)
    heading(figure, title, ", ".join([*how, scale]))
    return figure


def _columns(num: int, tall: int, wide: int) -> int:
    """Tiles in a row so that the whole is about square, and no place stays empty where that can be."""
    wanted = max(1, min(num, round(math.sqrt(num * tall / wide))))
    near = [one for one in range(max(1, wanted - 1), wanted + 4) if one <= num]
    return min(near, key=lambda one: (-num % one, abs(one - wanted)))


def draw_feature_weights(
    states: Mapping[str, np.ndarray], names: Sequence[str] = (), title: str = "weights of features"
) -> Any:
    """The features with the largest weights: their norms as bars, and their weights to each unit.

    Args:
        states: name -> `(features, units)`; the last one decides which features are drawn.
        names: of the features; empty for their numbers.
        title: over the figure.

    Returns:
        A Matplotlib figure.

    Raises:
        PlanError: matplotlib is not installed.
    """
    last_name, last = list(states.items())[-1]
    norms = {name: np.nan_to_num(feature_norms(kernel)) for name, kernel in states.items()}
    order = np.argsort(-norms[last_name], kind="stable")
    shown = order[:MOST_FEATURES]
    figure = new_figure(WIDTH, max(2.8, 0.24 * len(shown) + 1.5), "a picture of weights")
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(1, 1.15))
    places = np.arange(len(shown))
    left.barh(places, norms[last_name][shown], color=COLOURS[0], height=0.7, label=literal(last_name))
    if len(states) > 1:
        first = next(iter(states))
        left.plot(norms[first][shown], places, "|", color=COLOURS[1], markersize=9, markeredgewidth=2.4,
                  label=literal(first))  # fmt: skip
    left.set_yticks(places, [feature_name(int(one), names) for one in shown])
    left.set_ylim(len(shown) - 0.4, -0.6)
    left.set_xlim(left=0)
    plain(left, xlabel="norm of the feature's weights")
    limit = limit_of([last[shown]])
    image = right.imshow(
        np.where(np.isfinite(last[shown]), last[shown], 0.0), cmap=symmetric(limit).cmap, vmin=-limit, vmax=limit,
        aspect="auto", interpolation="nearest",
    )  # fmt: skip
    plain(right, xlabel=f"unit of the layer, {last.shape[1]} in all")
    right.tick_params(labelleft=False, left=False)
    right.spines[["left", "bottom"]].set_visible(False)
    bar_beside(figure, image, right, "weight", shrink=0.9)
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower left", ncols=2, fontsize=SMALL, frameon=False)
    some = f"the {len(shown)} features of largest norm, of {len(last)}" if len(shown) < len(last) else "all features"
    heading(figure, title, f"{some}; colours {-limit:.3g} to {limit:.3g}")
    return figure


def feature_name(place: int, names: Sequence[str]) -> str:
    """A feature as figures call it.

    Example:
        >>> feature_name(3, []), feature_name(0, ["age"])
        ('feature 3', 'age')
    """
    return literal(names[place], 20) if place < len(names) else f"feature {place}"


def draw_snapshot_scores(
    steps: Sequence[int], scores: Mapping[str, np.ndarray], title: str, best: int | None = None
) -> Any:
    """Loss and metrics on the valid split of each snapshot.

    Args:
        steps: of the snapshots.
        scores: name -> `(snapshots,)`, the loss first; at most three are drawn.
        title: over the figure.
        best: place that is marked.

    Returns:
        A Matplotlib figure.

    Raises:
        PlanError: matplotlib is not installed.
    """
    shown = list(scores.items())[:3]
    figure = new_figure(WIDTH, 1.9 * len(shown) + 0.9, "a picture of snapshots")
    panels = figure.subplots(len(shown), 1, sharex=True, squeeze=False)[:, 0]
    for axes, (name, values) in zip(panels, shown, strict=True):
        axes.plot(steps, np.where(np.isfinite(values), values, np.nan), color=COLOURS[0], marker="o", markersize=4)
        if best is not None and np.isfinite(values[best]):
            axes.plot([steps[best]], [values[best]], "o", markersize=10, markerfacecolor="none", color=INK)
        axes.grid(axis="y", color=BEFORE, linewidth=0.4)
        plain(axes, title=f"{literal(name)} on the valid split")
    panels[-1].set_xlabel("step of the snapshot", fontsize=TEXT, color=INK)
    panels[-1].tick_params(colors=FAINT)
    counted(panels[-1].xaxis)
    heading(figure, title)
    return figure
