"""Pictures of where windows fall: their outlines over a picture or a slice, and how often each pixel is inside one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mtgen.errors import PlanError
from mtgen.sampling.describing.text import number, percent
from mtgen.sampling.places.grid import Grid, SomeOfGrid
from mtgen.sampling.sampler import Sampler
from mtgen.settings import check_whole, shown
from mtgen.view.figures import COLOURS, FAINT, HEAT, INK, SMALL, TITLE, new_figure, plain

DRAWN = 1_000
"""Windows that are drawn of a law; `starts_of` draws other numbers."""

MOST_OUTLINES = 60
"""Windows that are outlined: the first ones; all count in the coverage."""

NONE = "#e6e6e6"
"""Pixels in no window."""


def coverage(shape: Sequence[int], starts: Any, size: Sequence[int]) -> np.ndarray:
    """How many windows each pixel is inside of.

    Pure, any thread. Costs one pass over the picture, however many windows there are.

    Args:
        shape: of the picture or volume, without channels.
        starts: integers `(n, dim)`, the first pixel of each window; windows may reach beyond the border.
        size: of the windows, in pixels, one number per axis.

    Returns:
        int64 of `shape`; the caller owns it.

    Raises:
        PlanError: starts or sizes of another dimension, or that are no integers.

    Example:
        >>> coverage((2, 4), [[0, 0], [0, 1], [-1, 3]], (2, 2)).tolist()
        [[1, 2, 1, 1], [1, 2, 1, 0]]
    """
    places, lengths = _checked(shape, starts, size)
    steps = np.zeros([side + 1 for side in shape], np.int64)
    low = np.clip(places, 0, shape)
    high = np.clip(places + lengths, 0, shape)
    # Each corner adds or takes one, so that sums along all axes are one inside the window and zero outside.
    for corner in np.ndindex(*[2] * len(shape)):
        at = np.where(np.array(corner) == 1, high, low)
        np.add.at(steps, tuple(at.T), (-1) ** sum(corner))
    for axis in range(len(shape)):
        np.cumsum(steps, axis=axis, out=steps)
    return steps[tuple(slice(side) for side in shape)].copy()


def starts_of(
    law: Sampler, shape: Sequence[int], n: int, seed: int = 0, *, epoch: int = 0
) -> tuple[Any, Sequence[int]]:
    """Windows that a law draws in a picture or volume: starts int64 `(n, dim)`, and their size; of a grid each once.

    Raises:
        PlanError: a law whose points are no windows, such as one without `crop`.

    Example:
        >>> from mtgen import sampling as S
        >>> starts_of(S.constant([0.5, 0.5]).crop(4), (20, 30), 1)[0].tolist()
        [[8, 13]]
    """
    size = law.window
    if size is None:
        raise PlanError(f"{law!r} gives places, not windows: say how large they are, points.crop(size)")
    bound = law.bound(shape)
    # A grid has each window once; a second round would count them twice.
    return bound.sample(min(n, len(bound)) if isinstance(bound, Grid | SomeOfGrid) else n, seed, epoch=epoch), size


def draw_windows(
    picture: Any, starts: Any, size: Sequence[int] | None = None, *, axis: int | None = None, at: int | None = None
) -> Any:
    """Outlines of windows over a picture, and how often each pixel is inside one.

    Any thread; the caller owns the figure.

    Args:
        picture: `(height, width)` or `(height, width, 1, 3 or 4)`; with `axis` a volume of three axes.
        starts: integers `(n, dim)`, first pixel of each window; or a law of windows, of which `DRAWN` are drawn.
        size: of the windows, in pixels; left out for a law, which knows it.
        axis: of a volume: the axis that is cut.
        at: of a volume: which slice; windows that do not reach it are left out.

    Returns:
        A Matplotlib figure; `save_figure(figure, "windows.png")` writes it.

    Raises:
        PlanError: matplotlib is not installed, or shapes that do not fit.

    Example:
        >>> figure = draw_windows(np.zeros((20, 30)), [[0, 0], [5, 9]], (8, 8))
        >>> [axes.get_title(loc="left") for axes in figure.axes[:2]]
        ['2 windows of 8 x 8', '78.67% of the pixels in none, others in up to 1']
    """
    pixels = np.asarray(picture)
    if isinstance(starts, Sampler):
        starts, size = starts_of(starts, pixels.shape[: 2 if axis is None else 3], DRAWN)
    elif size is None:
        raise PlanError("starts of windows need their size: draw_windows(picture, starts, (64, 64))")
    cut_text = ""
    if axis is not None:
        pixels, starts, size, cut_text = _slice(pixels, starts, size, axis, at)
    elif pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[2] not in (1, 3, 4)):
        raise PlanError(
            f"windows are drawn over a picture (height, width) or (height, width, channels), received shape "
            f"{pixels.shape}; of a volume say which slice: axis=0, at=10"
        )
    shape = pixels.shape[:2]
    places, lengths = _checked(shape, starts, size)
    counts = coverage(shape, places, size)
    low, high = _limits(shape, places[:MOST_OUTLINES], lengths)
    tall, across = (high - low).tolist()
    stacked = across > 1.6 * tall
    width = 7.0 if stacked else 10.0
    panel = (width - 1.2 if stacked else width / 2 - 0.9) * tall / across
    figure = new_figure(width, min(12.0, 2 * panel + 1.6 if stacked else panel + 1.2), "a picture of windows")
    left, right = figure.subplots(2, 1) if stacked else figure.subplots(1, 2)
    _outlines(left, pixels, places, lengths)
    image = right.imshow(np.ma.masked_equal(counts, 0), cmap=HEAT, vmin=0, interpolation="nearest")
    right.set_facecolor(NONE)
    none = percent(float((counts == 0).mean())) if counts.size else "-"
    plain(right, title=f"{none} of the pixels in none, others in up to {number(counts.max(initial=0))}")
    for axes in (left, right):
        axes.set(xlim=(low[1], high[1]), ylim=(high[0], low[0]))
    bar = figure.colorbar(image, ax=right, shrink=0.8, aspect=30, pad=0.02)
    bar.set_label("windows that a pixel is inside of; grey: none", fontsize=SMALL, color=FAINT)
    bar.ax.tick_params(labelsize=SMALL - 1, colors=FAINT)
    bar.outline.set_visible(False)
    figure.suptitle(f"where {len(places):,} windows fall{cut_text}", x=0.01, ha="left", fontsize=TITLE, color=INK)
    return figure


def _outlines(axes: Any, pixels: np.ndarray, places: np.ndarray, lengths: np.ndarray) -> None:
    from matplotlib.collections import PatchCollection
    from matplotlib.patches import Rectangle

    grey = pixels[:, :, 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels
    axes.imshow(grey, cmap="gray", interpolation="nearest")
    shown_places = places[:MOST_OUTLINES]
    boxes = [Rectangle((left - 0.5, top - 0.5), lengths[1], lengths[0]) for top, left in shown_places.tolist()]
    axes.add_collection(PatchCollection(boxes, facecolor="none", edgecolor=COLOURS[1], linewidth=0.9, alpha=0.8))
    some = f"the first {MOST_OUTLINES} of {len(places):,}" if len(places) > MOST_OUTLINES else f"{len(places):,}"
    plain(axes, title=f"{some} windows of {lengths[0]} x {lengths[1]}")


def _limits(shape: Sequence[int], places: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Corners of what is drawn: the picture, and windows that reach beyond it."""
    low = np.minimum(places.min(axis=0, initial=0), 0) - 0.5
    high = np.maximum((places + lengths).max(axis=0, initial=0), shape) - 0.5
    return low, high


def _slice(
    volume: np.ndarray, starts: Any, size: Sequence[int], axis: int, at: int | None
) -> tuple[np.ndarray, np.ndarray, tuple[int, ...], str]:
    """The slice, and the windows that reach it, with two axes left."""
    if volume.ndim != 3 or axis not in (0, 1, 2):
        raise PlanError(f"axis cuts a volume of three axes, 0 to 2; received axis={axis!r} and shape {volume.shape}")
    places, lengths = _checked(volume.shape, starts, size)
    where = volume.shape[axis] // 2 if at is None else check_whole("at", at)
    if where >= volume.shape[axis]:
        raise PlanError(f"at must be from 0 to {volume.shape[axis] - 1}, received {where}")
    reach = (places[:, axis] <= where) & (where < places[:, axis] + lengths[axis])
    kept = [one for one in range(3) if one != axis]
    text = f", of {len(places):,}, across slice {where} of axis {axis}"
    return np.take(volume, where, axis=axis), places[reach][:, kept], tuple(lengths[kept].tolist()), text


def _checked(shape: Sequence[int], starts: Any, size: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    places, lengths = np.asarray(starts), np.atleast_1d(np.asarray(size))
    dim = len(shape)
    if not places.size:
        places = np.empty((0, dim), np.int64)
    if places.ndim != 2 or places.shape[1] != dim or lengths.shape != (dim,):
        raise PlanError(
            f"a picture of {dim} axes needs starts of shape (n, {dim}) and {dim} sizes, received starts of shape "
            f"{places.shape} and sizes {shown(size)}"
        )
    whole = places.dtype.kind in "iu" or (places.dtype.kind == "f" and (places == np.floor(places)).all())
    if not whole or lengths.dtype.kind not in "iu" or (lengths < 1).any():
        raise PlanError(f"starts must be whole pixels and sizes integers >= 1, received {places.dtype}, {shown(size)}")
    return places.astype(np.int64), lengths.astype(np.int64)
