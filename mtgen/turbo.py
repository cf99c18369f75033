"""Plain JPEG pictures by libjpeg-turbo, without Pillow: the fast way of the recipes that name the decoder `turbo`.

simplejpeg decodes, strictly: whatever libjpeg-turbo as much as warns of is no picture here, and goes to Pillow, which
has the last word. The pixels of what it does decode are Pillow's, as both hold the same library. Its own scaling is
unsafe on lossless JPEG, which it does not tell from others; so `mtgen.jpeg_header` lets none through.
"""

from __future__ import annotations

from contextlib import nullcontext

import numpy as np

from mtgen.framing import StoredFraming, frame_stored
from mtgen.jpeg_header import PlainJpeg
from mtgen.recipe import Recipe
from mtgen.resample import needed_bytes, resized, simplejpeg
from mtgen.room import Room

_SMALL = 8
"""Sides up to which another of libjpeg's scales may round to the same size, and simplejpeg takes the smallest."""


def turbo_pixels(
    data: bytes, header: PlainJpeg, turn: int, recipe: Recipe, slot: np.ndarray | None, room: Room | None
) -> np.ndarray | None:
    """A plain JPEG at its final size, upright.

    Any thread, many at once. The caller owns `data` and `slot`.

    Args:
        data: the encoded picture, whole.
        header: of it; its limits are checked by the caller.
        turn: EXIF orientation to undo, 1 to 8.
        recipe: for size, fit, colour, filter and scaled decode.
        slot: where to put the pixels, if they fit; only written once the picture is decoded.
        room: where to take the bytes needed on the way; None takes them without asking.

    Returns:
        uint8 `(height, width)` or `(height, width, 3)`, which is `slot` if it fits; None where it must be decoded by
        Pillow, as libjpeg-turbo complains.

    Raises:
        PlanError: simplejpeg or OpenCV is not installed, or the picture does not fit the room.
    """
    framing = frame_stored(header.size, recipe, turn=turn, may_shrink=True)
    if framing.shrink > 1 and max(header.size) <= _SMALL:
        return None
    decoder = simplejpeg()
    grey = recipe.color == "grayscale"
    with nullcontext() if room is None else room.take(_room_bytes(header, framing, recipe)):
        try:
            picture = _decoded(decoder, data, header, framing.shrink, grey)
        except (ValueError, RuntimeError):
            return None
        return None if picture is None else resized(picture, framing, recipe.filter, slot)


def _decoded(decoder: object, data: bytes, header: PlainJpeg, shrink: int, grey: bool) -> np.ndarray | None:
    """The picture as stored, at 1/shrink; None where the decoder found another size than the header says."""
    width, height = (-(-length // shrink) for length in header.size)
    least = {"min_height": height, "min_width": width} if shrink > 1 else {}
    picture = decoder.decode_jpeg(data, "GRAY" if grey else "RGB", **least)  # type: ignore[attr-defined]
    if picture.shape[:2] != (height, width):
        return None
    return picture[..., 0] if grey else picture


def _room_bytes(header: PlainJpeg, framing: StoredFraming, recipe: Recipe) -> int:
    num_channels = 1 if recipe.color == "grayscale" else 3
    width, height = (-(-length // framing.shrink) for length in header.size)
    return num_channels * width * height + needed_bytes(framing, num_channels, recipe.filter)
