"""Decoded pictures to their final size by OpenCV, upright, straight into a slot: what the turbo recipes do.

Two filters. `linear` takes one bilinear sample in the middle of each delivered pixel. `samples` is antialiased: it
takes the mean of k x k bilinear samples spread evenly over the delivered pixel, where k, for each axis by itself, is 1
where nothing shrinks, else half the shrinking rounded up, at least 2; samples are never more than two pixels apart.

OpenCV splits a call among threads of its own once the result has more than `MOST_PIXELS` pixels, and its only switch
for that belongs to the whole process. So no call here makes more: larger results are made in bands, first across, then
down.
"""

from __future__ import annotations

import functools
import importlib
from typing import Any

import numpy as np

from mtgen.errors import PlanError
from mtgen.framing import StoredFraming
from mtgen.recipe import TURBO_PACKAGES

MOST_PIXELS = 98_303
"""OpenCV makes pieces of 65,536 pixels, their number rounded: 1.5 pieces and more are two (`parallel_for_`)."""


def resized(picture: np.ndarray, framing: StoredFraming, filter: str, slot: np.ndarray | None) -> np.ndarray:
    """The used part of a decoded picture at its final size, upright.

    Any thread, many at once; the work is without the GIL and in this thread. The caller owns both arrays.

    Args:
        picture: `(height, width)` or `(height, width, channels)` as stored, uint8 or uint16, decoded at 1/shrink.
        framing: what to use of it, and what to make of it.
        filter: `"samples"` or `"linear"`.
        slot: where to put the result, if its shape and dtype are the result's; None makes a new array.

    Returns:
        `slot`, or where it did not fit a new array.

    Raises:
        PlanError: OpenCV is not installed.
    """
    width, height = framing.size
    upright = (width, height) if framing.swap else (height, width)
    if slot is not None and (slot.shape != (*upright, *picture.shape[2:]) or slot.dtype != picture.dtype):
        slot = None
    columns, rows = (-(-length // framing.shrink) for length in (framing.width, framing.height))
    left, top = framing.left, framing.top
    used = picture[top : top + rows, left : left + columns]
    turned = framing.swap or framing.flip_x or framing.flip_y
    small = _shrunk(used, framing, filter == "samples", None if turned else slot)
    return _turned(small, framing, slot) if turned else small


def needed_bytes(framing: StoredFraming, num_channels: int, filter: str) -> int:
    """Most bytes that `resized` takes for itself: the samples, and with bands the picture resized across only."""
    width, height = framing.size
    across, down = _num_samples(framing, filter == "samples")
    rows = -(-framing.height // framing.shrink)
    return num_channels * across * width * (down * height + rows)


def cv2() -> Any:
    """The package cv2, imported when it is first wanted.

    Raises:
        PlanError: it cannot be imported; says what to install.
    """
    return _import("cv2")


def simplejpeg() -> Any:
    """The package simplejpeg, imported when it is first wanted.

    Raises:
        PlanError: it cannot be imported; says what to install.
    """
    return _import("simplejpeg")


@functools.cache
def _import(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise PlanError(
            f"the turbo recipes need the package {TURBO_PACKAGES[module]}, whose module {module} cannot be imported "
            f"({error}): pip install 'mtgen[turbo]', or take the recipe 'fast' or 'fastest'"
        ) from error


def _num_samples(framing: StoredFraming, antialias: bool) -> tuple[int, int]:
    """Samples of each delivered pixel, across and down."""
    if not antialias:
        return 1, 1
    ends = zip((framing.width, framing.height), framing.size, strict=True)
    across, down = (
        1 if used <= framing.shrink * size else max(2, -(-used // (2 * framing.shrink * size))) for used, size in ends
    )
    return across, down


def _shrunk(used: np.ndarray, framing: StoredFraming, antialias: bool, slot: np.ndarray | None) -> np.ndarray:
    width, height = framing.size
    across, down = _num_samples(framing, antialias)
    size = across * width, down * height
    scale = size[0] * framing.shrink / framing.width, size[1] * framing.shrink / framing.height
    if size == framing.size:
        return _sampled(used, scale, size, slot)
    samples = _sampled(used, scale, size, None)
    result = np.empty((height, width, *used.shape[2:]), used.dtype) if slot is None else slot
    area = cv2().INTER_AREA  # over whole pixels: their mean, rounded
    step = max(1, MOST_PIXELS // width)
    for row in range(0, height, step):
        piece = result[row : row + step]
        source = samples[row * down : (row + len(piece)) * down]
        _put(cv2().resize(source, (width, len(piece)), dst=piece, interpolation=area), piece)
    return result


def _put(made: np.ndarray, slot: np.ndarray | None) -> np.ndarray:
    """The slot, filled: OpenCV fills what it is given, if the size is right, else it makes an array of its own."""
    if slot is None:
        return made
    if not np.may_share_memory(made, slot):
        slot[...] = made
    return slot


def _sampled(
    used: np.ndarray, scale: tuple[float, float], size: tuple[int, int], slot: np.ndarray | None
) -> np.ndarray:
    """Bilinear samples at `((x + 0.5) / scale - 0.5)`, edges repeated; `scale` is exact where sizes are rounded."""
    width, height = size
    # A part of a pixel at the end, left by a scaled decode, may make a sample or two too many. Python's round is
    # OpenCV's: half to even.
    made = round(used.shape[1] * scale[0]), round(used.shape[0] * scale[1])
    if made[0] * made[1] <= MOST_PIXELS:
        fits = slot if made == size else None
        return _put(_linear(used, *scale, fits)[:height, :width], slot)
    wide = np.empty((used.shape[0], width, *used.shape[2:]), used.dtype)
    step = max(1, MOST_PIXELS // made[0])
    for row in range(0, len(used), step):
        wide[row : row + step] = _linear(used[row : row + step], scale[0], 1)[:, :width]
    result = np.empty((height, *wide.shape[1:]), used.dtype) if slot is None else slot
    step = max(1, MOST_PIXELS // made[1])
    for column in range(0, width, step):
        result[:, column : column + step] = _linear(wide[:, column : column + step], 1, scale[1])[:height]
    return result


def _linear(picture: np.ndarray, across: float, down: float, slot: np.ndarray | None = None) -> np.ndarray:
    """Bilinear samples at two scales. OpenCV copies where its rounded size is that of the picture; this does not."""
    num_rows, num_columns = picture.shape[:2]
    same = round(num_columns * across) == num_columns and round(num_rows * down) == num_rows
    if not same or (across, down) == (1, 1):
        found = cv2().resize(picture, dsize=None, dst=slot, fx=across, fy=down, interpolation=cv2().INTER_LINEAR)
        return np.asarray(found)
    # Scales so near to 1 come of a scaled decode, whose last pixel is a part of one.
    values = picture.astype(np.float32)
    for axis, scale in ((0, down), (1, across)):
        if scale != 1:
            values = _between(values, axis, scale)
    return np.rint(values).astype(picture.dtype)


def _between(values: np.ndarray, axis: int, scale: float) -> np.ndarray:
    """As many bilinear samples along an axis as it has values, edges repeated; float32."""
    last = values.shape[axis] - 1
    middles = (np.arange(last + 1) + 0.5) / scale - 0.5
    low = np.floor(middles).astype(np.int64)
    share = (middles - low).astype(np.float32).reshape([-1 if one == axis else 1 for one in range(values.ndim)])
    before, after = (values.take(np.clip(places, 0, last), axis) for places in (low, low + 1))
    return np.asarray(before + (after - before) * share)


def _turned(small: np.ndarray, framing: StoredFraming, slot: np.ndarray | None) -> np.ndarray:
    """The picture upright; a new array where the slot is None."""
    if framing.flip_x or framing.flip_y:
        code = -1 if framing.flip_x and framing.flip_y else 1 if framing.flip_x else 0
        small = cv2().flip(small, code, dst=None if framing.swap else slot)
    return _put(cv2().transpose(small, dst=slot) if framing.swap else small, slot)
