"""A contact sheet: one step of a loader as a picture for the eye, rebuilt from the step number alone.

Layout is arithmetic in dots; Matplotlib only draws, through its objects, with no state of pyplot.
"""

from __future__ import annotations

import io
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mtgen.batch import Batch
from mtgen.errors import PlanError
from mtgen.loader import Loader
from mtgen.pending import Field
from mtgen.view import captions
from mtgen.view.bands import Band, sample_of
from mtgen.view.pixels import as_bytes, channels_last, is_picture, zoom_of, zoomed

DOTS_PER_INCH = 100
MARGIN, GAP, HEADER, LINE, SPARK = 24, 18, 66, 15, 38
LEAST_CELL, LEAST_WIDTH = 112, 760
FEW_VALUES = 8  # marked one by one
INK, FAINT, BAND, LINE_COLOR, ALARM, FRAME = "#1b1b1b", "#6b6b6b", "#d6e4f0", "#1f5f99", "#c8102e", "#d9d9d9"


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Where things go, in dots from the upper left corner.

    Args:
        num_cells: slots drawn.
        columns: cells side by side.
        cell_width: dots.
        panel_heights: dots of each panel of a cell, from above: pictures, then sparklines.
        num_lines: lines of text under the panels.
    """

    num_cells: int
    columns: int
    cell_width: int
    panel_heights: tuple[int, ...]
    num_lines: int

    @classmethod
    def of(cls, num_cells: int, panels: list[tuple[int, int]], num_lines: int) -> Layout:
        """A sheet about four wide to three high for panels of the given (height, width)."""
        cell_width = max(LEAST_CELL, *(width for _, width in panels)) if panels else LEAST_CELL
        heights = tuple(height for height, _ in panels)
        one = cls(num_cells=num_cells, columns=1, cell_width=cell_width, panel_heights=heights, num_lines=num_lines)
        wanted = math.sqrt(num_cells * (one.cell_height + GAP) / (cell_width + GAP) * 4 / 3)
        near = {max(1, min(num_cells, round(wanted) + more)) for more in (-1, 0, 1)}
        columns = min(near, key=lambda count: (-num_cells % count, abs(count - wanted)))
        return cls(
            num_cells=num_cells, columns=columns, cell_width=cell_width, panel_heights=heights, num_lines=num_lines
        )

    @property
    def cell_height(self) -> int:
        """Panels with 6 dots under each, then the text."""
        return sum(height + 6 for height in self.panel_heights) + self.num_lines * LINE

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the sheet."""
        grid_rows = -(-self.num_cells // self.columns)
        width = 2 * MARGIN + self.columns * (self.cell_width + GAP) - GAP
        return max(LEAST_WIDTH, width), MARGIN + HEADER + grid_rows * (self.cell_height + GAP) - GAP + MARGIN

    def corner(self, cell: int) -> tuple[int, int]:
        """Upper left corner of a cell."""
        down, across = divmod(cell, self.columns)
        return MARGIN + across * (self.cell_width + GAP), MARGIN + HEADER + down * (self.cell_height + GAP)

    def panel(self, cell: int, place: int) -> tuple[int, int]:
        """Upper left corner of a cell's panel."""
        left, top = self.corner(cell)
        return left, top + sum(height + 6 for height in self.panel_heights[:place])


def contact_sheet(
    loader: Loader, step: int, path: str | os.PathLike[str], *, split: str | None = None, most_slots: int = 64
) -> Path:
    """Draw what one step delivers: each slot's picture, its features, target, row and key.

    Pictures are drawn as delivered, dot by dot: enlarged or thinned out by whole factors, brightness never stretched,
    the recipe's scale undone. Each feature row is a line over the band in which 5 to 95 % of the dataset's rows lie;
    a red mark is a value beyond the axis. Equal loaders and steps give equal bytes. Any thread.

    Args:
        loader: whose step.
        step: batch number since training began, >= 0.
        path: PNG file to write; an older one is replaced.
        split: name of the split, for the title.
        most_slots: slots to draw at most, >= 1; the title says so where there are more.

    Returns:
        The path.

    Raises:
        PlanError: matplotlib is not installed, or the file cannot be written.
        DecodeError, StoreError, AlignmentError: see `Loader.batch`.
    """
    target = Path(path)
    if target.suffix.lower() != ".png":
        raise PlanError(f"a contact sheet is a PNG: the path must end in .png, received {str(target)!r}")
    if most_slots < 1:
        raise PlanError(f"most_slots must be >= 1, received {most_slots}")
    png = _draw(loader, loader.batch(step), split, most_slots)
    try:
        target.write_bytes(png)
    except OSError as error:
        raise PlanError(f"cannot write the contact sheet: {error.strerror}", path=str(target)) from error
    return target


class _Canvas:
    """A Matplotlib figure in dots, y downwards."""

    def __init__(self, width: int, height: int) -> None:
        try:
            from matplotlib.backends.backend_agg import FigureCanvasAgg
            from matplotlib.figure import Figure
        except ImportError as error:
            raise PlanError("a contact sheet needs matplotlib: pip install 'mtgen[plot]'") from error
        self.height = height
        # A hair more than whole dots, which the canvas rounds down.
        inches = ((width + 0.01) / DOTS_PER_INCH, (height + 0.01) / DOTS_PER_INCH)
        self.figure = Figure(figsize=inches, dpi=DOTS_PER_INCH, facecolor="white", edgecolor="white")
        self._renderer = FigureCanvasAgg(self.figure).get_renderer()
        self.axes = self.figure.add_axes((0, 0, 1, 1), facecolor="none")
        self.axes.set(xlim=(0, width), ylim=(height, 0))
        self.axes.set_axis_off()

    def image(self, pixels: np.ndarray, left: int, top: int) -> None:
        self.figure.figimage(pixels, left, self.height - top - pixels.shape[0], origin="upper")

    def text(
        self,
        text: str,
        left: float,
        top: float,
        *,
        dots: int = 12,
        color: str = INK,
        bold: bool = False,
        most_width: float = math.inf,
    ) -> None:
        """Write one line; what is wider than `most_width` dots gets an ellipsis in the middle."""
        from matplotlib.font_manager import FontProperties

        font = FontProperties(family="DejaVu Sans", size=dots * 72 / DOTS_PER_INCH, weight="bold" if bold else "normal")
        shown, most = text, len(text)
        while most > 1 and self._renderer.get_text_width_height_descent(shown, font, False)[0] > most_width:
            most -= 1
            shown = captions.shortened(text, most)
        self.axes.text(left, top, shown, fontproperties=font, color=color, va="top", parse_math=False)

    def box(self, left: float, top: float, width: float, height: float) -> None:
        from matplotlib.patches import Rectangle

        self.axes.add_patch(Rectangle((left, top), width, height, fill=False, edgecolor=FRAME, linewidth=0.72))

    def sparkline(self, row: np.ndarray, band: Band, left: int, top: int, width: int) -> None:
        across = left + (np.arange(len(row)) + 0.5) * width / len(row)

        def down(values: np.ndarray) -> np.ndarray:
            return np.asarray(top + SPARK * (1 - np.clip(values, 0, 1)))

        edges = left + np.arange(len(row) + 1) * width / len(row)
        self.axes.stairs(down(band.high), edges, baseline=down(band.low), fill=True, color=BAND, linewidth=0)
        values = band.place(row)
        beyond = ~((values >= 0) & (values <= 1))
        finite = np.where(np.isfinite(values), values, 0.0)
        self.axes.plot(
            across,
            down(finite),
            color=LINE_COLOR,
            linewidth=1.0 if len(row) <= width else 0.5,
            solid_joinstyle="round",
            marker="o" if len(row) <= FEW_VALUES else "",
            markersize=3,
        )
        self.axes.plot(across[beyond], down(finite[beyond]), "o", color=ALARM, markersize=3.2, markeredgewidth=0)
        self.box(left, top, width, SPARK)

    def png(self, description: str) -> bytes:
        buffer = io.BytesIO()
        metadata = {"Software": "mtgen", "Description": description}
        self.figure.savefig(buffer, format="png", dpi=DOTS_PER_INCH, metadata=metadata, facecolor="white")
        return buffer.getvalue()


def _draw(loader: Loader, batch: Batch, split: str | None, most_slots: int) -> bytes:
    dataset = loader.dataset
    fields = [one for one in dataset.fields if one.role == "input"]
    pictures = [one for one in fields if is_picture(one.bound, one.spec)]
    features = [one for one in fields if not is_picture(one.bound, one.spec)]
    num_slots = min(len(batch), most_slots)
    rows = batch.rows[:num_slots]
    names = captions.identities(dataset, rows[rows >= 0])
    zooms = [zoom_of(*channels_last(one.spec, one.bound)) for one in pictures]
    num_lines = len(captions.target_texts(dataset, batch, 0)) + 1 + any(names)
    panels = [_shown_size(one, zoom) for one, zoom in zip(pictures, zooms, strict=True)]
    layout = Layout.of(num_slots, [*panels, *((SPARK, LEAST_CELL) for _ in features)], num_lines)
    bands = {one.name: Band.of(sample_of(one, dataset.rows)) for one in features}
    canvas = _Canvas(*layout.size)
    num_outside, real = 0, 0
    for slot in range(num_slots):
        if rows[slot] < 0:
            left, top = layout.corner(slot)
            canvas.box(left, top, layout.cell_width, layout.cell_height)
            canvas.text("empty slot", left + 6, top + 6, color=FAINT)
            continue
        for place, (one, zoom) in enumerate(zip(pictures, zooms, strict=True)):
            pixels, outside = as_bytes(batch.inputs[one.name][slot], one.bound)
            num_outside += outside
            left, top = layout.panel(slot, place)
            shown = zoomed(pixels, zoom)
            canvas.image(shown, left, top)
            canvas.box(left - 0.5, top - 0.5, shown.shape[1] + 1, shown.shape[0] + 1)
        for place, one in enumerate(features, start=len(pictures)):
            left, top = layout.panel(slot, place)
            canvas.sparkline(batch.inputs[one.name][slot].reshape(-1), bands[one.name], left, top, layout.cell_width)
        _write_caption(
            canvas, layout, slot, [*captions.target_texts(dataset, batch, slot), f"row {rows[slot]}", names[real]]
        )
        real += 1
    title = captions.title(loader, batch, split)
    canvas.text(title, MARGIN, MARGIN - 4, dots=16, bold=True)
    notes = _notes(pictures, zooms, bands, num_slots, len(batch), num_outside)
    for line, note in enumerate(notes):
        canvas.text(note, MARGIN, MARGIN + 20 + line * LINE, dots=11, color=FAINT)
    return canvas.png(title)


def _shown_size(one: Field, zoom: int) -> tuple[int, int]:
    height, width = channels_last(one.spec, one.bound)
    return (height * zoom, width * zoom) if zoom > 0 else (-(height // zoom), -(width // zoom))


def _write_caption(canvas: _Canvas, layout: Layout, slot: int, texts: list[str]) -> None:
    """Targets, row and identity, one line each; the first line stands out."""
    left, top = layout.panel(slot, len(layout.panel_heights))
    for line, text in enumerate(texts):
        color = FAINT if line == len(texts) - 1 else INK
        canvas.text(text, left, top + line * LINE, dots=11, color=color, bold=line == 0, most_width=layout.cell_width)


def _notes(
    pictures: list[Field], zooms: list[int], bands: dict[str, Band], num_slots: int, num_all: int, num_outside: int
) -> list[str]:
    """At most two lines under the title: pictures, then features."""
    shown: list[Any] = [f"slots 0 to {num_slots - 1}" + (f" of {num_all}" if num_slots < num_all else "")]
    for one, zoom in zip(pictures, zooms, strict=True):
        how = (
            f"{zoom} x {zoom} dots per pixel"
            if zoom > 1
            else f"one pixel of each {-zoom} x {-zoom}"
            if zoom < 0
            else "dot by dot"
        )
        shown.append(f"{one.name} {one.spec} as delivered, {how}")
    if num_outside:
        shown.append(f"{num_outside} values outside 0 to 255 drawn as the nearer end")
    lines = ["   ".join(shown)]
    if bands:
        lines.append("   ".join(f"{name}: {band}" for name, band in bands.items()) + "   red: beyond the axis")
    return lines
