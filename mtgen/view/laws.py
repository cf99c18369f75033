"""Pictures of laws over points: of one number, two, three, or more."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np

from mtgen.errors import NoDensityError, PlanError
from mtgen.sampling.bits import Bits
from mtgen.sampling.describing.parts import Acceptance, Components, parts_of
from mtgen.sampling.describing.text import cut, number, percent
from mtgen.sampling.sampler import Sampler
from mtgen.settings import check_whole
from mtgen.view.figures import COLOURS, FAINT, HEAT, INK, SMALL, TITLE, colour_of, new_figure, plain

DRAWN = 20_000
"""Points drawn where nothing else is asked for."""

BINS, CELLS = 60, 64
"""Bins of a histogram; cells of a heat map along a side."""

FEW_VALUES = 40
"""Counted values with a bar each."""

MOST_COUNTED = 1 << 53
"""Counted values beyond it are not told apart by floats."""

MOST_COLUMNS = 12
"""Columns of a law with many that are drawn."""

LETTERS = 9
"""Letters of a title per inch."""

MOST_COMPONENTS = 7
"""Components with a colour of their own; the others share grey."""


def draw_law(
    law: Sampler,
    n: int | None = None,
    seed: int = 0,
    *,
    epoch: int = 0,
    names: Sequence[str] | None = None,
    title: str | None = None,
) -> Any:
    """Draw points, and show where they fall: histogram and density, heat map with margins, three projections.

    The components of a mixture have colours. With two columns in the frame of a picture, column 0 runs down and column
    1 to the right, as in arrays. Any thread; the caller owns the figure.

    Args:
        law: over points of numbers; text columns are left out.
        n: points to draw, >= 1; None for `DRAWN`.
        seed: integer >= 0.
        epoch: integer >= 0.
        names: of the columns; None for `column 0`, ...
        title: what the law is; None for its expression.

    Returns:
        A Matplotlib figure; `save_figure(figure, "law.png")` writes it.

    Raises:
        PlanError: matplotlib is not installed, no column of numbers, or another number of names.

    Example:
        >>> from mtgen import sampling as S
        >>> len(draw_law(S.normal(dim=2), 500).axes)
        4
    """
    num = DRAWN if n is None else check_whole("n", n, 1)
    called = [f"column {place}" for place in range(law.dim)] if names is None else [str(name) for name in names]
    if len(called) != law.dim:
        raise PlanError(f"names must name each of {law.dim} columns, received {len(called)}")
    bits, positions = Bits(seed, epoch), np.arange(num)
    bits.key()  # refuses a wrong seed or epoch
    points = law.draw(bits, positions)
    kept = [place for place in range(law.dim) if _is_numbers(points[:, place])]
    if not kept:
        raise PlanError(f"{law!r} has no column of numbers to draw")
    numbers = points[:, kept].astype(np.float64)
    parts = parts_of(law, bits, positions)
    groups = _Groups.of(parts, num)
    drawing = _Drawing(law, numbers, [called[place] for place in kept], [law.discrete[place] for place in kept], groups)
    figure = drawing.figure(whole=len(kept) == law.dim)
    first = cut(repr(law) if title is None else title, int(LETTERS * figure.get_figwidth()))
    second = _facts(num, seed, epoch, parts)
    if len(kept) == 3 and groups.names:
        second += f"; {', '.join(groups.names)}"
    figure.suptitle(f"{first}\n{second}", x=0.01, ha="left", fontsize=TITLE, color=INK)
    return figure


def _is_numbers(values: np.ndarray) -> bool:
    return values.dtype.kind in "biuf" or not any(isinstance(one, str | bytes) for one in values.tolist())


def _facts(num: int, seed: int, epoch: int, parts: Sequence[Components | Acceptance]) -> str:
    text = f"{num:,} points (seed {seed}, epoch {epoch})"
    shares = [one.share for one in parts if isinstance(one, Acceptance)]
    return text + (f", {' and '.join(map(percent, shares))} of all draws accepted" if shares else "")


class _Groups:
    """Points by component of the outermost mixture, the largest first."""

    def __init__(self, names: list[str], colours: list[str], masks: list[np.ndarray]) -> None:
        self.names, self.colours, self.masks = names, colours, masks

    @classmethod
    def of(cls, parts: Sequence[Components | Acceptance], num: int) -> _Groups:
        whole = (one for one in parts if isinstance(one, Components) and len(one.chosen) == num)
        mixture = next(whole, None)
        if mixture is None:
            return cls([], [COLOURS[0]], [np.ones(num, bool)])
        order = np.argsort(-mixture.shares, kind="stable").tolist()
        named, rest = order[:MOST_COMPONENTS], order[MOST_COMPONENTS:]
        if len(rest) == 1:
            named, rest = order, []
        masks = [mixture.chosen == place for place in named]
        names = [
            f"{cut(mixture.names[place], 36)}: {percent(float(mask.mean()))}"
            for place, mask in zip(named, masks, strict=True)
        ]
        colours = [colour_of(place) for place in range(len(named))]
        if rest:
            masks.append(np.isin(mixture.chosen, rest))
            names.append(f"{len(rest)} others: {percent(float(masks[-1].mean()))}")
            colours.append(COLOURS[-1])
        return cls(names, colours, masks)


class _Drawing:
    """Points of numbers, and what is known of them."""

    def __init__(
        self, law: Sampler, points: np.ndarray, names: list[str], counted: list[bool], groups: _Groups
    ) -> None:
        self.law, self.points, self.names, self.counted, self.groups = law, points, names, counted, groups

    def figure(self, *, whole: bool) -> Any:
        """The figure for so many columns.

        Args:
            whole: whether these are all columns of the law, so that its density is theirs.
        """
        dim = self.points.shape[1]
        if dim == 1:
            figure = new_figure(6.4, 4.0, "a picture of a law")
            self._one(figure.subplots(), 0, density=whole)
        elif dim == 2:
            figure = new_figure(6.2, 5.8, "a picture of a law")
            self._two(figure)
        elif dim == 3:
            figure = new_figure(10.2, 4.0, "a picture of a law")
            for axes, (first, second) in zip(figure.subplots(1, 3), combinations(range(3), 2), strict=True):
                self._heat(figure, axes, first, second, title=f"{self.names[first]} and {self.names[second]}")
        else:
            shown = min(dim, MOST_COLUMNS)
            down = -(-shown // 4)
            figure = new_figure(11, 2.3 * down + 0.7, "a picture of a law")
            for place, axes in enumerate(figure.subplots(down, 4, squeeze=False).ravel()):
                if place < shown:
                    self._one(axes, place, density=False, ylabel="")
                else:
                    axes.set_axis_off()
        if self.groups.names and dim != 3:
            handles = [_patch(colour) for colour in self.groups.colours]
            figure.legend(handles, self.groups.names, loc="outside lower left", fontsize=SMALL, frameon=False, ncols=2)
        return figure

    def _picture_like(self) -> bool:
        return self.law.frame is not None

    def _edges(self, place: int, most: int = BINS) -> np.ndarray:
        """Edges of the bins of a column; of counted values each bin has equally many, one where few are counted."""
        values = self.points[np.isfinite(self.points[:, place]), place]
        if not len(values):
            return np.array([0.0, 1.0])
        low, high = float(values.min()), float(values.max())
        if self.counted[place] and high - low < MOST_COUNTED and (values == np.floor(values)).all():
            width = 1 if high - low < FEW_VALUES else -(-int(high - low + 1) // most)
            return np.arange(low, high + 1 + width, width) - 0.5
        if low == high:
            return np.array([low - 0.5, low + 0.5])
        return np.linspace(low, high, most + 1)

    def _histogram(self, axes: Any, place: int, edges: np.ndarray, *, across: bool, scale: float = 1.0) -> None:
        """Bars of each component on those of the one before."""
        base = np.zeros(len(edges) - 1)
        for colour, mask in zip(self.groups.colours, self.groups.masks, strict=True):
            heights = np.histogram(self.points[mask, place], edges)[0] * scale
            draw, thick = (axes.barh, "height") if across else (axes.bar, "width")
            sides = {"left": base} if across else {"bottom": base}
            draw((edges[:-1] + edges[1:]) / 2, heights, **{thick: np.diff(edges)}, color=colour, **sides)
            base = base + heights

    def _one(self, axes: Any, place: int, *, density: bool, ylabel: str | None = None) -> None:
        edges = self._edges(place)
        counted = self.counted[place] and edges[1] - edges[0] == 1
        scale = 1 / (len(self.points) * (1 if counted else float(edges[1] - edges[0])))
        self._histogram(axes, place, edges, across=False, scale=scale)
        label = ("share of points" if counted else "density") if ylabel is None else ylabel
        values = self.points[np.isfinite(self.points[:, place]), place]
        title = (
            f"mean {number(float(values.mean()))}, std {number(float(values.std()))}" if len(values) else "no number"
        )
        plain(axes, title=title, xlabel=self.names[place], ylabel=label)
        if not density or (self.counted[place] and not counted):
            return
        grid = (edges[:-1] + edges[1:]) / 2 if counted else np.linspace(edges[0], edges[-1], 500)
        try:
            known = np.exp(self.law.log_prob(grid[:, None]))
        except NoDensityError:
            return
        axes.plot(grid, known, "o" if counted else "-", color=INK, linewidth=1.4, markersize=4, label="log_prob")
        axes.legend(loc="upper right", fontsize=SMALL, frameon=False)

    def _heat(self, figure: Any, axes: Any, first: int, second: int, title: str = "") -> Any:
        """A heat map: `first` down and `second` to the right in the frame of a picture, else to the right and up."""
        down, right = (first, second) if self._picture_like() else (second, first)
        edges = [self._edges(down, CELLS), self._edges(right, CELLS)]
        counts = np.histogram2d(self.points[:, down], self.points[:, right], edges)[0]
        mesh = axes.pcolormesh(edges[1], edges[0], np.ma.masked_equal(counts, 0), cmap=HEAT, vmin=0, rasterized=True)
        if self._picture_like():
            axes.invert_yaxis()
        plain(axes, title=title, xlabel=self.names[right], ylabel=self.names[down])
        bar = figure.colorbar(mesh, ax=axes, location="bottom", shrink=0.8, aspect=36, pad=0.02)
        bar.set_label("points in a cell; white: none", fontsize=SMALL, color=FAINT)
        bar.ax.tick_params(labelsize=SMALL - 1, colors=FAINT)
        bar.outline.set_visible(False)
        return edges

    def _two(self, figure: Any) -> None:
        grid = figure.add_gridspec(2, 2, width_ratios=(4, 1), height_ratios=(1, 4), wspace=0.02, hspace=0.02)
        heat = figure.add_subplot(grid[1, 0])
        edges = self._heat(figure, heat, 0, 1)
        down, right = (0, 1) if self._picture_like() else (1, 0)
        above = figure.add_subplot(grid[0, 0], sharex=heat)
        beside = figure.add_subplot(grid[1, 1], sharey=heat)
        self._histogram(above, right, edges[1], across=False)
        self._histogram(beside, down, edges[0], across=True)
        for axes in (above, beside):
            plain(axes)
            axes.tick_params(labelleft=False, labelbottom=False)
            axes.spines[["left", "bottom"]].set_visible(False)
            axes.tick_params(length=0)


def _patch(colour: str) -> Any:
    from matplotlib.patches import Patch

    return Patch(color=colour)
