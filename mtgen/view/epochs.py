"""Pictures of an epoch of a law over rows: classes before, expected and drawn, and how often each row comes."""

from __future__ import annotations

from typing import Any

import numpy as np

from mtgen.sampling.describing.rows import RowDescription, label_text
from mtgen.sampling.describing.text import cut, number, percent
from mtgen.settings import check_kind
from mtgen.view.figures import BEFORE, COLOURS, FAINT, INK, SMALL, TITLE, new_figure, plain

MOST_CLASSES = 16
"""Classes with bars: so many of the largest and the smallest together."""

MOST_TIMES = 12
"""Times with a bar each; where rows come more often, bars are for 1, 2, 3 to 4, 5 to 8 times and so on."""

MOST_UPRIGHT = 7
"""Bars of a picture of repeats whose numbers fit beside each other."""

KINDS = (("before", "rows", BEFORE), ("expected", "expected_rows", COLOURS[4]), ("drawn", "drawn_rows", COLOURS[0]))
"""Bars of a class from above: name, column of `RowDescription.counts`, colour."""


def draw_epoch(description: RowDescription) -> Any:
    """The classes of an epoch before, expected and drawn as bars, and how often rows come.

    Any thread; the caller owns the figure.

    Args:
        description: from `law.describe(by=...)`; without `by` only the repeats are drawn.

    Returns:
        A Matplotlib figure; `save_figure(figure, "epoch.png")` writes it.

    Raises:
        PlanError: matplotlib is not installed.

    Example:
        >>> from mtgen import sampling as S
        >>> figure = draw_epoch(S.rows(weights=[3, 1, 0]).describe(8, by=["a", "b", "b"]))
        >>> [axes.get_title(loc="left") for axes in figure.axes]
        ['rows of each class', 'how often rows come']
    """
    check_kind("description", description, RowDescription, "what law.describe(by=...) of a law over rows gives")
    shown = _shown(description)
    height = max(3.2, 0.42 * len(shown) + 1.6)
    figure = new_figure(9.6 if len(shown) else 6.4, height, "a picture of an epoch")
    figure.suptitle(_title(description), x=0.01, ha="left", fontsize=TITLE, color=INK)
    if not len(shown):
        _repeats(figure.subplots(), description)
        return figure
    left, right = figure.subplots(1, 2, width_ratios=(2, 1))
    _classes(left, description, shown)
    _repeats(right, description)
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower left", ncols=3, fontsize=SMALL, frameon=False)
    return figure


def _title(description: RowDescription) -> str:
    facts = description.facts
    return (
        f"{cut(facts.law, 80)}\n{description.size:,} positions (seed {facts.seed}, epoch {facts.epoch}) of "
        f"{description.num_rows:,} rows: {description.num_distinct:,} came, effective size "
        f"{number(round(description.effective, 1))}"
    )


def _shown(description: RowDescription) -> np.ndarray:
    rows = description.classes["rows"].to_numpy()
    if len(rows) <= MOST_CLASSES:
        return np.arange(len(rows))
    order = np.argsort(-rows, kind="stable")
    return np.concatenate([order[: MOST_CLASSES // 2], order[-(MOST_CLASSES // 2) :]])


def _classes(axes: Any, description: RowDescription, shown: np.ndarray) -> None:
    lines = description.classes.iloc[shown]
    places = np.arange(len(shown), dtype=np.float64)
    left_out = len(description.classes) - len(shown)
    if left_out:
        half = MOST_CLASSES // 2
        places[half:] += 1
        axes.text(0, half, f" {left_out:,} classes between these", va="center", fontsize=SMALL, color=FAINT)
    most = max(float(lines[column].max()) for _, column, _ in KINDS) or 1.0
    for turn, (name, column, colour) in enumerate(KINDS):
        axes.barh(places + 0.27 * (turn - 1), lines[column], height=0.25, color=colour, label=name)
    ends = lines[[column for _, column, _ in KINDS]].max(axis=1)
    for place, end, drawn, share in zip(places, ends, lines["drawn_rows"], lines["drawn_share"], strict=True):
        text = f"{number(drawn)} drawn, {percent(share)}"
        axes.text(end + 0.012 * most, place, text, va="center", fontsize=SMALL - 1, color=INK)
    axes.set_yticks(places, [cut(label_text(one), 24) for one in lines["class"]])
    axes.set_ylim(places[-1] + 0.6, -0.6)
    axes.set_xlim(0, 1.34 * most)
    plain(
        axes,
        title=f"rows of each {'label' if description.lists else 'class'}",
        xlabel="rows",
        ylabel=cut(description.by or ""),
    )
    axes.xaxis.set_major_formatter(lambda value, place: number(value))


def _repeats(axes: Any, description: RowDescription) -> None:
    lows = _edges(description.most_repeats)
    times = np.array(list(description.repeats), np.int64)
    rows = np.array(list(description.repeats.values()), np.int64)
    heights = np.bincount(np.searchsorted(lows, times, side="right") - 1, weights=rows, minlength=len(lows))
    axes.bar(np.arange(len(heights)), heights, color=COLOURS[0], width=0.8)
    axes.bar([0], heights[:1], color=COLOURS[1], width=0.8, label="never")
    if description.num_zero:
        axes.bar([0], [description.num_zero], color=BEFORE, width=0.8, label="never: weight 0")
    many = len(heights) > MOST_UPRIGHT
    for place, height in enumerate(heights.tolist()):
        if height or place == 0:
            axes.annotate(
                number(height),
                (place, height),
                xytext=(0, 3),
                textcoords="offset points",
                ha="center",
                rotation=90 if many else 0,
                fontsize=SMALL - 1,
                color=INK,
            )
    last = description.most_repeats
    names = [
        str(low) if high - low == 1 else f"{low:,}-{min(high - 1, last):,}"
        for low, high in zip(lows, [*lows[1:], last + 1], strict=True)
    ]
    axes.set_xticks(np.arange(len(heights)), names, rotation=90 if many or max(map(len, names)) > 3 else 0)
    axes.margins(y=0.16)
    plain(axes, title="how often rows come", xlabel="times in this epoch", ylabel="rows")
    axes.yaxis.set_major_formatter(lambda value, place: number(value))
    if heights[0]:
        axes.legend(loc="upper right", fontsize=SMALL, frameon=False)


def _edges(most: int) -> list[int]:
    """Least times of each bar: one by one, or doubling where rows come very often."""
    if most <= MOST_TIMES:
        return list(range(most + 1))
    return [0, 1, *(1 + 2**power for power in range((most - 1).bit_length()))]
