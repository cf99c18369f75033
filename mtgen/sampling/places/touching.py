"""Windows that hold enough of a mask, or little enough: counted beforehand, so that nothing is rejected."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mtgen.errors import EmptySupportError, PlanError
from mtgen.sampling.bits import Bits
from mtgen.sampling.places.cells import whole_tuple
from mtgen.sampling.places.mask import Mask
from mtgen.sampling.places.runs import SLAB, checked_array, equal_runs, joined_runs
from mtgen.sampling.places.windows import Border, Windows, check_fits
from mtgen.sampling.sampler import Sampler, is_number
from mtgen.settings import shown


@dataclass(frozen=True, eq=False, repr=False)
class Touching(Windows):
    """Windows of which each holds as much of a mask as was asked for, all alike; use `touching`."""

    starts: Mask
    size: tuple[int, ...]
    shape: tuple[int, ...]
    border: Border = field(default="inside", init=False)

    @property
    def num_windows(self) -> int:
        """Windows to choose from."""
        return self.starts.num_pixels

    def bound(self, shape: Sequence[int]) -> Touching:
        """Itself, if it is for that shape.

        Raises:
            PlanError: it is not.
        """
        lengths = whole_tuple("shape", tuple(shape), self.dim)
        if lengths != self.shape:
            raise PlanError(f"{self!r} is for a mask of shape {self.shape}, and the array has {lengths}")
        return self

    def draw(self, bits: Bits, positions: np.ndarray) -> np.ndarray:
        """See `Sampler.draw`."""
        return self.starts.draw(bits, positions)

    def log_density(self, points: np.ndarray) -> np.ndarray:
        """See `Sampler.log_density`."""
        return self.starts.log_density(points)

    def condition(self, low: np.ndarray, high: np.ndarray) -> tuple[float, Sampler] | None:
        """See `Sampler.condition`: on the starts."""
        inside = self.starts.runs.boxed(low, high)
        if not inside.num:
            return 0.0, self
        law = Touching(Mask(inside), self.size, self.shape, weight=self.weight)
        return law.num_windows / self.num_windows, law

    def structure(self) -> tuple[Any, ...]:
        """See `Sampler.structure`."""
        return self.starts, self.size, self.shape

    def __repr__(self) -> str:
        return f"touching({self.num_windows} windows of {self.size} in {self.shape})"


def touching(mask: Any, crop: Any, at_least: float | None = None, *, at_most: float | None = None) -> Touching:
    """Windows that hold enough pixels of a mask anywhere, each such window alike; points are their starts.

    The pixels of every window are counted by sums over areas, in parts along the first axis. For a chosen share of
    positives in every batch: `0.5 & S.touching(seen, 64, 0.05) | 0.5 & S.touching(seen, 64, at_most=0)`.

    Args:
        mask: pixels other than 0 are counted: array, memory map, or anything with `shape`, `dtype` and slices.
        crop: size of a window, a number or one per axis.
        at_least: an int is a number of pixels, a float a share of the window, in [0, 1]; 1 if neither is given.
        at_most: likewise; 0 for windows without any.

    Raises:
        PlanError: windows larger than the mask, numbers that are neither.
        EmptySupportError: no window holds so much; the text says how much the best one holds.

    Example:
        >>> seen = np.zeros((6, 6), bool); seen[0, 0] = True
        >>> touching(seen, 3).sample(1).tolist(), touching(seen, 3, at_most=0).num_windows
        ([[0, 0]], 15)
    """
    mask = checked_array("touching", mask)
    shape = tuple(int(length) for length in mask.shape)
    size = whole_tuple("crop", crop, len(shape))
    check_fits(size, shape, "inside")
    volume = math.prod(size)
    if at_least is None:
        at_least = 1 if at_most is None else 0
    low = _pixels("at_least", at_least, volume)
    high = _pixels("at_most", volume if at_most is None else at_most, volume, down=True)
    if low > high:
        raise PlanError(f"at_least={at_least} is above at_most={at_most}, in windows of {size}")
    parts: list[tuple[np.ndarray, np.ndarray, None]] = []
    first, most, least = 0, -1, volume + 1
    for counts in window_counts(mask, size):
        most, least = max(most, int(counts.max())), min(least, int(counts.min()))
        rows = ((counts >= low) & (counts <= high)).reshape(-1, counts.shape[-1])
        firsts, lengths, values = equal_runs(first, rows)
        parts.append((firsts[values], lengths[values], None))
        first += rows.size
    runs = joined_runs([whole - length + 1 for whole, length in zip(shape, size, strict=True)], parts)
    if not runs.num:
        raise EmptySupportError(
            f"no window of {size} in a mask of shape {shape} holds {low} to {high} of its {volume} pixels; the most "
            f"that one holds is {most}, the least {least}"
        )
    return Touching(Mask(runs), size, shape)


def _pixels(name: str, value: Any, volume: int, *, down: bool = False) -> int:
    """A number of pixels from a number or a share."""
    if not is_number(value) or not 0 <= value <= (1 if isinstance(value, float | np.floating) else volume):
        raise PlanError(
            f"{name} must be a number of pixels, an int from 0 to {volume}, or a share of the window, a float from 0 "
            f"to 1; received {shown(value)}"
        )
    if not isinstance(value, float | np.floating):
        return int(value)
    # The first number of pixels whose share, as a float, is that much: 0.07 of 100 is 7, though 0.07 * 100 > 7.
    near = round(float(value) * volume)
    if down:
        return near if near / volume <= value else near - 1
    return near if near / volume >= value else near + 1


def window_counts(mask: Any, size: Sequence[int]) -> Iterator[np.ndarray]:
    """Pixels other than 0 in the windows at all starts: int64, parts along the first axis, in order.

    Along the first axis a window's count follows from the one before: what comes in less what goes out. So no more
    than a few parts of the mask are held.
    """
    width = size[0]
    num_starts = mask.shape[0] - width + 1
    step = max(1, SLAB // max(1, math.prod(mask.shape[1:])))
    running = sum(_trailing(mask, start, min(start + step, width), size).sum(axis=0) for start in range(0, width, step))
    for start in range(0, num_starts, step):
        stop = min(start + step, num_starts)
        # Changes from each start to the next; the last one is of the next part's first start.
        end = min(stop, num_starts - 1)
        changes = _trailing(mask, start + width, end + width, size) - _trailing(mask, start, end, size)
        counts = np.concatenate([np.asarray(running)[None], changes])
        np.cumsum(counts, axis=0, out=counts)
        running = counts[-1]
        yield counts[: stop - start]


def _trailing(mask: Any, start: int, stop: int, size: Sequence[int]) -> np.ndarray:
    """Counts of rows of the first axis in windows over the other axes, int64."""
    rows = np.asarray(mask[start:stop])
    if rows.dtype.kind == "f" and np.isnan(rows).any():
        raise PlanError("touching: the mask holds NaN; say what is foreground: touching(mask > 0, crop)")
    counts = (rows != 0).astype(np.int64)
    for axis, width in enumerate(size[1:], 1):
        sums = np.cumsum(counts, axis=axis)
        before = (slice(None),) * axis
        counts = sums[(*before, slice(width - 1, None))].copy()
        counts[(*before, slice(1, None))] -= sums[(*before, slice(None, -width))]
    return counts
