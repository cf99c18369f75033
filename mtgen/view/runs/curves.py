"""Learning curves: measures, patience and learning rate against mini-batches."""

from __future__ import annotations

from typing import Any

import numpy as np

from mtgen.sampling.describing.text import number
from mtgen.training.measures.curves import Curves
from mtgen.view.figures import BEFORE, COLOURS, FAINT, INK, SMALL, new_figure, plain
from mtgen.view.runs.paper import WIDTH, counted, epochs_above, heading, literal, plain_log, said_inside

MOST_MEASURES = 3
"""Measures with a panel each; the page names the others."""

FEW = 40
"""Validations that are marked one by one."""

MOST_NUMBERS = 7
"""Extensions of patience whose value is written beside them."""

LARGE_RATIO = 50.0
"""Largest by smallest loss from which on the axis is logarithmic."""

TRAIN, VALID, TEST, STOP = COLOURS[4], COLOURS[0], COLOURS[5], COLOURS[3]


def draw_curves(curves: Curves, title: str = "learning curves") -> Any:
    """Draw a history: measures from above, then patience and learning rate where there are some.

    Any thread; the caller owns the figure.

    Args:
        curves: from `mtgen.training.measures.curves.curves_of`.
        title: over the figure.

    Returns:
        A Matplotlib figure; `save_figure(figure, "curves.png")` writes it.

    Raises:
        PlanError: matplotlib is not installed.
    """
    names = list(curves.measures)[:MOST_MEASURES]
    has_patience = curves.patience is not None and bool(np.isfinite(curves.patience).any())
    has_rate = curves.learning_rate is not None and bool(np.isfinite(curves.learning_rate).any())
    heights = [2.2] * max(len(names), 1) + [1.9] * has_patience + [1.5] * has_rate
    figure = new_figure(WIDTH, sum(heights) + 1.1, "a picture of a run")
    panels = list(figure.subplots(len(heights), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0])
    for axes, name in zip(panels, names, strict=False):
        _measure(axes, curves, name)
    if has_patience:
        _patience(panels[max(len(names), 1)], curves)
    if has_rate:
        _rate(panels[-1], curves)
    for axes in panels:
        _events(axes, curves)
    if not names:
        plain(panels[0], title="no measure was logged")
    epochs_above(panels[0], curves.steps_per_epoch)
    panels[-1].set_xlabel("mini-batches trained", fontsize=9, color=INK)
    counted(panels[-1].xaxis)
    last = float(curves.steps[-1])
    starts = curves.steps[0] <= 0.5 * last or len(curves.steps) == 1
    panels[0].set_xlim(0.0 if starts else float(curves.steps[0]) - 0.02 * last, 1.02 * last or 1.0)
    _legend(figure, panels)
    heading(figure, title)
    return figure


def _measure(axes: Any, curves: Curves, name: str) -> None:
    marker = "o" if len(curves.steps) <= FEW else ""
    finite = []
    for part, colour in (("train", TRAIN), ("valid", VALID)):
        values = curves.measures[name].get(part)
        if values is None:
            continue
        shown = np.where(np.isfinite(values), values, np.nan)
        axes.plot(curves.steps, shown, color=colour, marker=marker, markersize=3, linewidth=1.4, label=part)
        finite.append(shown[np.isfinite(shown)])
        lost = ~np.isfinite(values)
        if lost.any():
            axes.plot(
                curves.steps[lost], np.full(int(lost.sum()), 0.04), "x", color=TEST, markersize=5,
                transform=axes.get_xaxis_transform(), label="not a number",
            )  # fmt: skip
    tests = {step: scores[name] for step, scores in curves.tests.items() if name in scores}
    if tests:
        axes.plot(list(tests), list(tests.values()), "D", color=TEST, markersize=5, label="test", linestyle="none")
        finite.append(np.array(list(tests.values())))
    if curves.best is not None:
        parts = curves.measures[name]
        value = parts["valid" if "valid" in parts else "train"][curves.best]
        if np.isfinite(value):
            axes.plot(
                [curves.steps[curves.best]], [value], "o", markersize=9, markerfacecolor="none", color=INK, label="best"
            )
    plain(axes, title=literal(name), ylabel="")
    together = np.concatenate(finite) if finite else np.empty(0)
    if not len(together):
        said_inside(axes, "no finite value")
    if len(together) and together.min() > 0 and together.max() > LARGE_RATIO * together.min():
        axes.set_yscale("log")
        plain_log(axes.yaxis, float(together.min()), float(together.max()))
        axes.set_ylabel("logarithmic", fontsize=SMALL, color=FAINT)


def _patience(axes: Any, curves: Curves) -> None:
    values = np.asarray(curves.patience)
    steps = np.concatenate([[0], curves.steps])
    # What was logged at a validation holds from then on; before the first, what it was is not known but by its value.
    axes.step(steps, np.concatenate([values[:1], values]), where="post", color=VALID, linewidth=1.4, label="patience")
    last = curves.steps[-1] if curves.stopped is None else max(curves.steps[-1], curves.stopped)
    axes.plot([0, last], [0, last], color=FAINT, linewidth=1, linestyle=":", label="mini-batches trained")
    grown = curves.extensions
    axes.plot(curves.steps[grown], values[grown], "^", color=COLOURS[1], markersize=6, label="patience extended")
    for place in _apart(grown, curves.steps):
        axes.annotate(
            number(float(values[place])), (curves.steps[place], values[place]), xytext=(-4, 4),
            textcoords="offset points", ha="right", fontsize=SMALL - 1, color=INK,
        )  # fmt: skip
    axes.margins(y=0.18)
    axes.set_ylim(bottom=0)
    plain(axes, title="patience: training ends where the dotted line meets it", ylabel="")
    counted(axes.yaxis)


def _apart(places: np.ndarray, steps: np.ndarray) -> list[int]:
    """The places whose numbers fit beside each other, from the last one back."""
    kept: list[int] = []
    for place in places[::-1].tolist():
        if not kept or steps[kept[-1]] - steps[place] > 0.1 * steps[-1]:
            kept.append(place)
    return kept[:MOST_NUMBERS]


def _rate(axes: Any, curves: Curves) -> None:
    values = np.asarray(curves.learning_rate)
    steps = np.concatenate([[0], curves.steps])
    if curves.rate_steps is None:
        # The rate that is logged is the one of the steps before.
        axes.step(steps, np.concatenate([values[:1], values]), where="pre", color=VALID, linewidth=1.4, label="rate")
    else:
        held = [(step, rate) for step, rate in curves.rate_steps if step < steps[-1]]
        held.append((int(steps[-1]), held[-1][1]))
        axes.step(*zip(*held, strict=True), where="post", color=VALID, linewidth=1.4, label="rate")
    for place, step in enumerate(curves.halved):
        axes.axvline(step, color=COLOURS[1], linewidth=1.2, label=None if place else "learning rate divided")
    known = values[np.isfinite(values)]
    if (known > 0).all() and known.max() > 1.01 * known.min():
        axes.set_yscale("log")
        plain_log(axes.yaxis, float(known.min()), float(known.max()))
    elif (known > 0).all():
        axes.set_ylim(0, 1.5 * float(known.max()))
    plain(axes, title="learning rate" + (", logarithmic" if axes.get_yscale() == "log" else ""), ylabel="")


def _events(axes: Any, curves: Curves) -> None:
    for place, step in enumerate(curves.resumed):
        axes.axvline(step, color=BEFORE, linestyle=(0, (1, 2)), linewidth=1.4, label="resumed" if not place else None)
    if curves.stopped is not None:
        axes.axvline(curves.stopped, color=STOP, linestyle="--", linewidth=1.2, label="stopped by a rule")


def _legend(figure: Any, panels: list[Any]) -> None:
    found: dict[str, Any] = {}
    for axes in panels:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            if label not in ("patience", "rate", "mini-batches trained"):  # titles say it
                found.setdefault(label, handle)
    if found:
        figure.legend(
            found.values(),
            found.keys(),
            loc="outside lower left",
            ncols=min(4, len(found)),
            fontsize=SMALL,
            frameon=False,
        )
