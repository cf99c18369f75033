"""Samplers of points that need no other part of mtgen, and arrays and pictures whose values tell the place."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mtgen.sampling.bits import Bits
from mtgen.sampling.sampler import Frame, Sampler


@dataclass(frozen=True, eq=False, repr=False)
class Uniform(Sampler):
    """Uniform in the unit frame, or over `lengths` in pixels; without a known distribution, so by rejection."""

    num: int
    lengths: tuple[int, ...] | None = None

    @property
    def dim(self) -> int:
        return self.num

    @property
    def frame(self) -> Frame | None:
        return None if self.lengths is None else "pixels"

    def draw(self, bits: Bits, positions: np.ndarray) -> np.ndarray:
        unit = np.stack([bits.uniforms(positions, axis) for axis in range(self.num)], axis=1)
        return unit if self.lengths is None else unit * np.array(self.lengths)

    def structure(self) -> tuple[Any, ...]:
        return self.num, self.lengths

    def __repr__(self) -> str:
        return f"uniform({self.num})"


@dataclass(frozen=True, eq=False, repr=False)
class Always(Sampler):
    """One point, which may be none."""

    point: tuple[Any, ...]
    counted_in: Frame | None = None

    @property
    def dim(self) -> int:
        return len(self.point)

    @property
    def frame(self) -> Frame | None:
        return self.counted_in

    def draw(self, bits: Bits, positions: np.ndarray) -> np.ndarray:
        return np.array([self.point] * len(positions)).reshape(len(positions), self.dim)

    def structure(self) -> tuple[Any, ...]:
        return (self.point, self.counted_in)

    def __repr__(self) -> str:
        return f"always({self.point})"


def telling(*shape: int, dtype: str = "int32") -> np.ndarray:
    """An array whose values tell their place."""
    return np.arange(np.prod(shape), dtype=dtype).reshape(shape)


def window(array: np.ndarray, start: np.ndarray, size: tuple[int, ...], pad_value: float = 0) -> np.ndarray:
    """The oracle: pad the whole array by more than enough, and slice."""
    axes = len(size)
    around = [(most, most) for most in np.array(size) + array.shape[:axes]] + [(0, 0)] * (array.ndim - axes)
    padded = np.pad(array, around, constant_values=pad_value)
    first = np.array(start) + [before for before, _ in around[:axes]]
    return padded[tuple(slice(one, one + length) for one, length in zip(first, size, strict=True))]


def make_photo(path: Path, height: int, width: int, *, orientation: int = 1) -> np.ndarray:
    """A lossless colour picture whose pixels tell their place; returned as stored, before orientation."""
    rows, columns = np.mgrid[:height, :width]
    pixels = np.stack([rows, columns, rows * 7 + columns], axis=-1).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(path, exif=exif)
    return pixels
