"""What pictures of laws share: colours, paper, PNG. Matplotlib through its objects, with no state of pyplot."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

from mtgen.errors import PlanError

COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "#7f7f7f")
"""Okabe and Ito's, which colour-blind readers tell apart ("Color universal design", 2008); grey for black."""

INK, FAINT, PAPER, BEFORE = "#1b1b1b", "#6b6b6b", "#ffffff", "#b8b8b8"
HEAT = "cividis"
"""Colours of heat maps: even in brightness, the same to colour-blind readers."""

DOTS_PER_INCH = 100
TITLE, TEXT, SMALL = 11, 9, 8


def new_figure(width: float, height: float, what: str) -> Any:
    """An empty Matplotlib figure in inches, that lays itself out.

    Args:
        width: inches.
        height: inches.
        what: what is to be drawn, for the message.

    Raises:
        PlanError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise PlanError(f"{what} needs matplotlib: pip install 'mtgen[plot]'") from error
    return Figure(figsize=(width, height), dpi=DOTS_PER_INCH, layout="constrained", facecolor=PAPER)


def png_of(figure: Any) -> bytes:
    """A figure as PNG; equal figures give equal bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": "mtgen"})
    return buffer.getvalue()


def save_figure(figure: Any, path: str | os.PathLike[str]) -> Path:
    """Write a figure as PNG; an older file is replaced, whole.

    Raises:
        PlanError: the path does not end in .png, or cannot be written.
    """
    from mtgen.stores.new_folder import save_file

    target = Path(path)
    check_png(target)
    save_file(target, png_of(figure), "the figure", PlanError)
    return target


def check_png(path: Path) -> None:
    """Refuse a path of another kind.

    Raises:
        PlanError: it does not end in .png.
    """
    if path.suffix.lower() != ".png":
        raise PlanError(f"a figure is a PNG: the path must end in .png, received {str(path)!r}")


def plain(axes: Any, *, title: str = "", xlabel: str = "", ylabel: str = "") -> None:
    """Axes with a title to the left, labels, no box, and small figures."""
    axes.set_title(title, loc="left", fontsize=TITLE - 1, color=INK)
    axes.set_xlabel(xlabel, fontsize=TEXT, color=INK)
    axes.set_ylabel(ylabel, fontsize=TEXT, color=INK)
    axes.tick_params(labelsize=SMALL, colors=FAINT)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(FAINT)


def colour_of(place: int) -> str:
    """The colour of the component at a place; they come again after all were used."""
    return COLOURS[place % len(COLOURS)]
