"""From a delivered picture to 8-bit colour for the eye, without changing what it shows."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from mtgen.inputs.bound_patches import PicturePatches
from mtgen.inputs.images import BoundImages
from mtgen.spec import Spec

WANTED_PIXELS = 128
"""Pictures are enlarged by whole factors up to this longer side, which shows 8 x 8 pictures pixel by pixel."""

MOST_PIXELS = 256
"""Pictures are thinned out by whole factors down to this longer side."""


def is_picture(bound: Any, spec: Spec) -> bool:
    """Whether an input can be drawn: decoded by a recipe, or rows of bytes shaped (height, width, 1, 3 or 4)."""
    if isinstance(bound, BoundImages | PicturePatches):
        return True
    return len(spec.shape) == 3 and spec.shape[-1] in (1, 3, 4) and spec.dtype == np.uint8


def channels_last(spec: Spec, bound: Any) -> tuple[int, int]:
    """Height and width of a picture input."""
    first = isinstance(bound, BoundImages | PicturePatches) and bound.recipe.data_format == "channels_first"
    return spec.shape[1:3] if first else spec.shape[:2]  # type: ignore[return-value]


def as_bytes(picture: np.ndarray, bound: Any) -> tuple[np.ndarray, int]:
    """A delivered picture in 8 bits, by undoing the recipe's scale; brightness is never stretched.

    Args:
        picture: one slot as delivered, with its channel axis.
        bound: the input it comes from.

    Returns:
        uint8 `(height, width, 3 or 4)`, and how many values lay outside 0..255 and are drawn as the nearer end.

    Example:
        >>> as_bytes(np.full((1, 1, 1), 7, np.uint8), None)[0].tolist()
        [[[7, 7, 7]]]
    """
    values = picture.astype(np.float64)
    if isinstance(bound, BoundImages | PicturePatches):
        recipe = bound.recipe
        if recipe.data_format == "channels_first":
            values = np.moveaxis(values, 0, -1)
        if recipe.scale is not None:
            factor, offset = recipe.scale
            values = (values - offset) / factor
        if recipe.dtype == "uint16":
            values = values / 257
    values = np.rint(values)
    outside = ~((values >= 0) & (values <= 255))
    pixels = np.clip(np.nan_to_num(values, nan=0.0), 0, 255).astype(np.uint8)
    if pixels.shape[-1] == 1:
        pixels = np.repeat(pixels, 3, axis=-1)
    return pixels, int(outside.sum())


def zoom_of(height: int, width: int) -> int:
    """How a picture is drawn: k > 1 for k x k dots per pixel, -k for every k-th pixel, 1 for as it is.

    Example:
        >>> zoom_of(4, 8), zoom_of(150, 150), zoom_of(500, 600)
        (16, 1, -3)
    """
    longer = max(height, width)
    return -math.ceil(longer / MOST_PIXELS) if longer > MOST_PIXELS else max(1, WANTED_PIXELS // longer)


def zoomed(pixels: np.ndarray, zoom: int) -> np.ndarray:
    """The pixels enlarged or thinned out by whole factors: nearest neighbour, no new values."""
    if zoom < 0:
        return pixels[::-zoom, ::-zoom]
    return pixels.repeat(zoom, axis=0).repeat(zoom, axis=1)
