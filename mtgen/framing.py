"""Which part of a picture is used, and what size it becomes: arithmetic on sizes, no pictures.

Sizes here are (width, height), as decoders give them; only `Recipe.size` is (height, width).
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import NamedTuple

from mtgen.recipe import Recipe

NUM_REMEMBERED = 1024
"""Framings kept: most pictures of a dataset have one of few sizes, and the arithmetic holds the GIL."""

SWAPPED = (5, 6, 7, 8)
"""EXIF orientations that exchange width and height."""


@dataclass(frozen=True, kw_only=True)
class Framing:
    """What to cut out of the upright picture, and what to make of it.

    Args:
        shrink: 1, 2, 4 or 8: the decoder may deliver 1/shrink of the full size, rounded up.
        box: (left, top, right, bottom) in the upright picture as decoded, in its pixels.
        size: (width, height) that the box becomes; smaller than the target only with `fit="pad"`.
    """

    shrink: int
    box: tuple[float, float, float, float]
    size: tuple[int, int]


def frame(size: tuple[int, int], recipe: Recipe, *, turn: int = 1, may_shrink: bool = False) -> Framing:
    """Framing of a picture of that size in a recipe's target.

    Pure. Any thread.

    Args:
        size: (width, height) of the full picture as stored.
        recipe: for its size, fit and scaled_decode.
        turn: EXIF orientation that will be undone, 1 to 8.
        may_shrink: whether the decoder can deliver a smaller picture at once.

    Example:
        >>> frame((4000, 3001), Recipe(size=(300, 300), fit="crop", scaled_decode=2), turn=6, may_shrink=True)
        Framing(shrink=4, box=(0.75, 124.75, 751.0, 875.0), size=(300, 300))
    """
    return _frame(size, recipe.size, recipe.fit, recipe.scaled_decode if may_shrink else 0, turn)


@functools.lru_cache(maxsize=NUM_REMEMBERED)
def _frame(size: tuple[int, int], target: tuple[int, int], fit: str, at_least: int, turn: int) -> Framing:
    upright = (size[1], size[0]) if turn in SWAPPED else size
    left, top, width, height = _region(upright, target, fit)
    inner = _inner_size(upright, target, fit)
    shrink = _shrink((width, height), inner, at_least)
    start_x, start_y = _start(size, shrink, turn)
    left_edge, top_edge = start_x + left / shrink, start_y + top / shrink
    box = (left_edge, top_edge, left_edge + width / shrink, top_edge + height / shrink)
    return Framing(shrink=shrink, box=box, size=inner)


class StoredFraming(NamedTuple):
    """What to cut out of a picture as it is stored, what to make of it, and how to turn that upright.

    Attributes:
        shrink: see `Framing`.
        left, top: corner of the used part in the picture as decoded: the nearest whole pixel.
        width, height: of the used part, in pixels of the full size.
        size: (width, height) that it becomes, as stored.
        flip_x, flip_y, swap: mirror left and right, top and bottom, then exchange the axes, to get it upright.
    """

    shrink: int
    left: int
    top: int
    width: int
    height: int
    size: tuple[int, int]
    flip_x: bool
    flip_y: bool
    swap: bool


def frame_stored(size: tuple[int, int], recipe: Recipe, *, turn: int = 1, may_shrink: bool = False) -> StoredFraming:
    """The same framing as `frame`, of the same arguments, for those who resize before they turn.

    Pure. Any thread.

    Example:
        >>> stored = frame_stored((4000, 3001), Recipe(size=(300, 200), fit="crop"), turn=6)
        >>> (stored.left, stored.top, stored.width, stored.height, stored.size)
        (0, 168, 4000, 2666, (300, 200))
    """
    return _frame_stored(size, recipe.size, recipe.fit, recipe.scaled_decode if may_shrink else 0, turn)


@functools.lru_cache(maxsize=NUM_REMEMBERED)
def _frame_stored(size: tuple[int, int], target: tuple[int, int], fit: str, at_least: int, turn: int) -> StoredFraming:
    swap, flip_x, flip_y = turn in SWAPPED, turn in (2, 3, 7, 8), turn in (3, 4, 6, 7)
    upright = (size[1], size[0]) if swap else size
    left, top, width, height = _region(upright, target, fit)
    inner = _inner_size(upright, target, fit)
    shrink = _shrink((width, height), inner, at_least)
    if swap:
        left, top, width, height, inner = top, left, height, width, (inner[1], inner[0])
    left = size[0] - left - width if flip_x else left
    top = size[1] - top - height if flip_y else top
    return StoredFraming(
        shrink=shrink,
        left=_corner(left, width, size[0], shrink),
        top=_corner(top, height, size[1], shrink),
        width=width,
        height=height,
        size=inner,
        flip_x=flip_x,
        flip_y=flip_y,
        swap=swap,
    )


def _corner(start: int, length: int, whole: int, shrink: int) -> int:
    """Nearest whole pixel, halves up, of the shrunken picture at which the used part begins and still fits."""
    return min((2 * start + shrink) // (2 * shrink), -(-whole // shrink) - -(-length // shrink))


def _region(size: tuple[int, int], target: tuple[int, int], fit: str) -> tuple[int, int, int, int]:
    """Used part of the upright picture, (left, top, width, height), in whole pixels.

    The crop is the arithmetic of `keras.utils.load_img(keep_aspect_ratio=True)`.
    """
    width, height = size
    if fit != "crop":
        return 0, 0, width, height
    target_height, target_width = target
    crop_width = min(width, max(1, height * target_width // target_height))
    crop_height = min(height, max(1, width * target_height // target_width))
    return (width - crop_width) // 2, (height - crop_height) // 2, crop_width, crop_height


def _inner_size(size: tuple[int, int], target: tuple[int, int], fit: str) -> tuple[int, int]:
    """The target, or with `fit="pad"` the largest size of the picture's aspect inside it, rounded half up."""
    width, height = size
    target_height, target_width = target
    if fit != "pad":
        return target_width, target_height
    inner_width = min(target_width, max(1, (2 * width * target_height + height) // (2 * height)))
    inner_height = min(target_height, max(1, (2 * height * target_width + width) // (2 * width)))
    return inner_width, inner_height


def _shrink(used: tuple[int, int], inner: tuple[int, int], at_least: int) -> int:
    """Largest of 8, 4, 2, 1 that leaves the used part at least `at_least` times its final size; 0 means never."""
    if not at_least:
        return 1
    room = min(used[0] // (at_least * inner[0]), used[1] // (at_least * inner[1]))
    return next((factor for factor in (8, 4, 2) if room >= factor), 1)


def _start(size: tuple[int, int], shrink: int, turn: int) -> tuple[float, float]:
    """Where the content starts in the upright picture.

    A scaled decode rounds sizes up, so the stored picture ends, right and below, in a part of a pixel without content;
    undoing an orientation can bring that to the left or the top.
    """
    spare_x, spare_y = (-(-length // shrink) - length / shrink for length in size)
    moved = {2: (spare_x, 0.0), 3: (spare_x, spare_y), 4: (0.0, spare_y)}
    moved |= {6: (spare_y, 0.0), 7: (spare_y, spare_x), 8: (0.0, spare_x)}
    return moved.get(turn, (0.0, 0.0))
