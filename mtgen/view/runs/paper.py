"""What pictures of runs share: names as they are, an axis of steps with epochs above, tiles side by side."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from mtgen.sampling.describing.text import cut, number
from mtgen.view.figures import FAINT, INK, SMALL, TEXT, TITLE

WIDTH = 7.2
"""Inches of a figure: 720 dots, legible on a narrow screen when it is scrolled."""

DIVERGING = "RdBu_r"
"""Colours of weights: red above 0, blue below, white at 0; red-green-blind readers tell them apart (ColorBrewer)."""

GAP = (0.55, 0.55, 0.55)
"""Between tiles; white between coloured ones, which hold grey themselves."""


def literal(text: object, most: int = 24) -> str:
    r"""A name out of the data as Matplotlib shows it letter by letter: no formula, no line break, no missing glyph.

    Letters that the font of figures lacks stand as their escapes.

    Example:
        >>> print(literal("$a$ b\x07"))
        \$a\$ b\x07
    """
    known = _glyphs()
    flat = cut(str(text), most)
    shown = "".join(
        one if one.isprintable() and ord(one) in known else one.encode("unicode_escape").decode() for one in flat
    )
    return cut(shown, most).replace("$", r"\$")


@cache
def _glyphs() -> frozenset[int]:
    from matplotlib.font_manager import FontProperties, findfont, get_font

    return frozenset(get_font(findfont(FontProperties())).get_charmap())


def heading(figure: Any, text: str, second: str = "") -> None:
    """One or two lines over a figure, to the left, broken where they are too long."""
    import textwrap

    most = int(figure.get_figwidth() * 12.5)
    lines = textwrap.wrap(text, most) + (textwrap.wrap(second, most) if second else [])
    figure.suptitle("\n".join(lines), x=0.01, ha="left", fontsize=TITLE, color=INK)


def epochs_above(axes: Any, steps_per_epoch: float | None) -> None:
    """An axis over the others that counts epochs of the data; nothing where their length is not known."""
    if not steps_per_epoch or not math.isfinite(steps_per_epoch):
        return
    each = float(steps_per_epoch)
    above = axes.secondary_xaxis("top", functions=(lambda step: step / each, lambda epoch: epoch * each))
    above.set_xlabel("epochs of the data", fontsize=SMALL, color=FAINT)
    above.tick_params(labelsize=SMALL, colors=FAINT)
    above.spines["top"].set_color(FAINT)


def counted(axis: Any) -> None:
    """Ticks of an axis of whole numbers: at these only, with commas."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(nbins=8, integer=True))
    axis.set_major_formatter(lambda value, place: number(value))


def plain_log(axis: Any, low: float, high: float) -> None:
    """Ticks of a logarithmic axis from low to high as plain numbers, few of them."""
    from matplotlib.ticker import FixedLocator, LogLocator, NullFormatter, NullLocator

    # Within one decade the usual places hold no tick, or one.
    axis.set_major_locator(
        LogLocator(numticks=6) if high > 30 * low else FixedLocator(np.geomspace(low, high, 3).tolist())
    )
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(lambda value, place: f"{value:.3g}")
    axis.set_minor_formatter(NullFormatter())


def bar_beside(figure: Any, mappable: Any, axes: Any, label: str, *, shrink: float = 0.8) -> Any:
    """A thin colour bar to the right."""
    bar = figure.colorbar(mappable, ax=axes, shrink=shrink, aspect=30, pad=0.02)
    bar.set_label(label, fontsize=SMALL, color=FAINT)
    bar.ax.tick_params(labelsize=SMALL - 1, colors=FAINT)
    bar.outline.set_visible(False)
    return bar


def symmetric(limit: float, name: str = DIVERGING) -> Any:
    """Colours from -limit to limit, white at 0."""
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    return ScalarMappable(Normalize(-limit, limit), colormaps[name])


def between(low: float, high: float, name: str) -> Any:
    """Colours from low to high."""
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    return ScalarMappable(Normalize(low, high if high > low else low + 1), colormaps[name])


def mosaic(
    tiles: Sequence[np.ndarray], columns: int, dots: int, gap_colour: tuple[float, float, float] = GAP
) -> np.ndarray:
    """Tiles of one size in rows, enlarged by a whole factor, with gaps between.

    Args:
        tiles: `(height, width, 3)` each, in 0..1.
        columns: tiles in a row.
        dots: wanted dots of the longer side of a tile; it gets at least one per value.
        gap_colour: between tiles, red, green and blue in 0..1.

    Returns:
        float `(height, width, 3)`; missing tiles of the last row are white.
    """
    tall, wide = tiles[0].shape[:2]
    zoom = max(1, dots // max(tall, wide))
    gap = max(1, min(4, zoom * max(tall, wide) // 9))
    down = -(-len(tiles) // columns)
    across = min(columns, len(tiles))
    high, broad = tall * zoom + gap, wide * zoom + gap
    paper = np.ones((down * high + gap, across * broad + gap, 3))
    for place, tile in enumerate(tiles):
        row, column = divmod(place, columns)
        top, left = row * high, column * broad
        paper[top : top + high + gap, left : left + broad + gap] = gap_colour
        large = tile.repeat(zoom, axis=0).repeat(zoom, axis=1)
        paper[top + gap : top + gap + tall * zoom, left + gap : left + gap + wide * zoom] = large
    return paper


def said_inside(axes: Any, text: str) -> None:
    """A sentence in the middle of axes that have nothing to show; their scale goes."""
    axes.set_yticks([])
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", fontsize=TEXT, color=FAINT)


def show_tiles(axes: Any, paper: np.ndarray, title: str) -> None:
    """A mosaic without axes, under a small title."""
    axes.imshow(np.clip(paper, 0, 1), aspect="equal", interpolation="antialiased")
    axes.set_title(title, loc="left", fontsize=TEXT, color=INK)
    axes.set_axis_off()
