"""Kernels of first layers as tiles to look at, and how much weight each feature has. Pure NumPy."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from mtgen.errors import PlanError


@dataclass(frozen=True, kw_only=True, eq=False)
class Tiles:
    """Filters as small pictures.

    Args:
        values: `(filters, height, width, channels)` with one channel, or three that are red, green and blue.
        how: what is seen where a kernel has more axes or channels than a picture; empty where all is seen.
    """

    values: np.ndarray
    how: str = ""

    @property
    def norms(self) -> np.ndarray:
        """`(filters,)` root of the sum of squares of each filter."""
        return np.sqrt(np.square(self.values).sum(axis=(1, 2, 3)))


def tiles_of(kernel: np.ndarray, *, depthwise: bool = False) -> Tiles:
    """Lay out the kernel of a convolution.

    Three input channels are taken for red, green and blue. Other numbers of channels are averaged; of a window of three
    axes the middle slice is taken.

    Args:
        kernel: `(*window, channels, filters)`, one to three axes of window.
        depthwise: each channel has filters of its own, `(*window, channels, multiplier)`.

    Raises:
        PlanError: another number of axes.

    Example:
        >>> tiles_of(np.zeros((3, 3, 1, 32))).values.shape, tiles_of(np.zeros((3, 3, 3, 3, 8))).how
        ((32, 3, 3, 1), 'the middle one of 3 slices')
    """
    if kernel.ndim not in (3, 4, 5):
        raise PlanError(f"a convolution has a kernel of 3 to 5 axes, received shape {kernel.shape}")
    told = []
    if kernel.ndim == 5:
        if kernel.shape[0] > 1:
            told.append(f"the middle one of {kernel.shape[0]} slices")
        kernel = kernel[kernel.shape[0] // 2]
    if kernel.ndim == 3:
        kernel = kernel[None]
    if depthwise:
        kernel = kernel.reshape(*kernel.shape[:2], 1, -1)
    if kernel.shape[2] not in (1, 3):
        told.append(f"the mean of {kernel.shape[2]} channels")
        kernel = kernel.mean(axis=2, keepdims=True)
    return Tiles(values=np.moveaxis(kernel, -1, 0), how=", ".join(told))


def picture_tiles(kernel: np.ndarray, shape: tuple[int | None, ...]) -> Tiles | None:
    """Weights of a dense layer over all pixels as one picture per unit; None where they are no picture's.

    Args:
        kernel: `(features, units)`.
        shape: of one sample of the input, `(height, width, 1 or 3)` or `(1 or 3, height, width)`.
    """
    known = [one for one in shape if one is not None]
    if len(known) != len(shape) or len(known) != 3 or math.prod(known) != len(kernel):
        return None
    whole = np.moveaxis(kernel, -1, 0).reshape(-1, *known)
    if shape[2] in (1, 3):
        return Tiles(values=whole)
    return Tiles(values=np.moveaxis(whole, 1, -1)) if shape[0] in (1, 3) else None


def feature_norms(kernel: np.ndarray) -> np.ndarray:
    """Root of the sum of squares of each feature's weights.

    Args:
        kernel: `(features, units)`.

    Returns:
        float64 `(features,)`, >= 0.

    Example:
        >>> feature_norms(np.array([[3.0, 4.0], [0.0, 1.0]])).tolist()
        [5.0, 1.0]
    """
    return np.sqrt(np.square(kernel).sum(axis=1))
