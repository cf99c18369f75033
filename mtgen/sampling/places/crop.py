"""Windows around points: a point is the centre of its window, and `start = centre - size // 2`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from mtgen.errors import EmptySupportError, PlanError
from mtgen.sampling.bits import Bits
from mtgen.sampling.mixture import Mixture, mixture_of
from mtgen.sampling.places.cells import whole_tuple
from mtgen.sampling.places.labels import Labels
from mtgen.sampling.places.pixels import Declared, Pixels, is_whole
from mtgen.sampling.places.windows import BORDERS, Border, Windows, check_fits, last_starts
from mtgen.sampling.sampler import Sampler
from mtgen.sampling.truncation import Conditioned
from mtgen.settings import shown


@dataclass(frozen=True, eq=False, repr=False)
class Crop(Windows):
    """Windows around the points of a law; use `points.crop(size)`.

    Attributes:
        points: the law of the centres: in pixels, else in shares of the array.
        size: of the windows, one number per axis.
        border: `"inside"`: only windows that lie in the array, as if other centres had no weight; parts of a mixture
            and classes keep their shares. `"shift"`: windows over the border are moved inside, so that those at the
            border come more often. `"pad"`: they stay, and starts may be negative.
        shape: of the array; None until `bound`.
    """

    points: Sampler
    size: tuple[int, ...]
    border: Border = "inside"
    shape: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if self.shape is not None:
            check_fits(self.size, self.shape, self.border)
        if self._ready:
            _ = self.centres

    @property
    def _ready(self) -> bool:
        return self.shape is not None or (self.border == "pad" and self.points.frame == "pixels")

    @cached_property
    def centres(self) -> Sampler:
        """The law of the centres, in whole pixels.

        Raises:
            PlanError: the shape of the array is not known yet.
            EmptySupportError: with border `"inside"`, no point is the centre of a window inside.
        """
        if not self._ready:
            raise PlanError(
                f"{self!r} does not know the shape of the array: say points.crop(size, shape=...), or crop.bound(shape)"
            )
        law = self.points
        if law.frame != "pixels":
            law = Pixels(law, self.shape)
        elif not is_whole(law):
            law = Pixels(law, None)
        if self.border != "inside" or self.shape is None:
            return law
        first = np.array(self.size) // 2
        try:
            return restricted(law, first.astype(np.float64), (first + last_starts(self.size, self.shape)).astype(float))
        except EmptySupportError as error:
            hint = "" if self.points.frame == "pixels" else "; points that count pixels must say so: points.in_pixels()"
            raise EmptySupportError(
                f"no centre of a crop of {self.size} inside an array of shape {self.shape}: {error.message}{hint}. "
                "Take a smaller crop, or border='shift' or 'pad'"
            ) from error

    @property
    def missing(self) -> tuple[tuple[Any, float], ...]:
        """Classes of labels that have no centre, with the shares they left to the others; see `labels`."""
        law = self.centres if self._ready else self.points
        return law.missing if isinstance(law, Labels) else ()

    def bound(self, shape: Sequence[int]) -> Crop:
        """The windows in an array of a shape, ready to be drawn; itself if it is so.

        Raises:
            PlanError: another shape than is known, or one that is smaller than the windows.
            EmptySupportError: see `centres`.
        """
        lengths = whole_tuple("shape", tuple(shape), self.dim)
        if self.shape not in (None, lengths):
            raise PlanError(f"{self!r} is for an array of shape {self.shape}, and this one has {lengths}")
        return self if self.shape == lengths else replace(self, shape=lengths)

    @property
    def _half(self) -> np.ndarray:
        return np.array(self.size, np.int64) // 2

    def draw(self, bits: Bits, positions: np.ndarray) -> np.ndarray:
        """See `Sampler.draw`: int64 starts."""
        starts = self.centres.draw(bits, positions) - self._half
        if self.border == "shift" and self.shape is not None:
            np.clip(starts, 0, last_starts(self.size, self.shape), out=starts)
        return starts

    def log_density(self, points: np.ndarray) -> np.ndarray:
        """See `Sampler.log_density`: of the starts."""
        if self.border != "shift":
            return self.centres.log_density(points + self._half)
        distinct, which = np.unique(points, axis=0, return_inverse=True)
        masses = np.zeros(len(distinct))
        for number, start in enumerate(distinct):
            found = self.condition(start, start)
            if found is None:
                return super().log_density(points)
            masses[number] = found[0] if (start == np.floor(start)).all() else 0.0
        return np.log(masses)[which.ravel()]

    def condition(self, low: np.ndarray, high: np.ndarray) -> tuple[float, Sampler] | None:
        """See `Sampler.condition`: on the starts. Before the shape is known, only rejection can tell."""
        if not self._ready:
            return None
        low, high = np.ceil(low), np.floor(high)
        if self.border == "shift" and self.shape is not None:
            last = last_starts(self.size, self.shape)
            if (low > high).any() or (low > last).any() or (high < 0).any():
                return 0.0, self
            # All centres before the first start are moved to it, all after the last to that one.
            low, high = np.where(low <= 0, -np.inf, low), np.where(high >= last, np.inf, high)
        if (low > high).any():
            return 0.0, self
        found = self.centres.condition(low + self._half, high + self._half)
        if found is None or not found[0] > 0:
            return None if found is None else (0.0, self)
        return found[0], replace(self, points=found[1].reweighted(1.0))

    def structure(self) -> tuple[Any, ...]:
        """See `Sampler.structure`."""
        return self.points, self.size, self.border, self.shape

    def __repr__(self) -> str:
        shape = "" if self.shape is None else f", shape={self.shape}"
        return f"({self.points!r}).crop({self.size}, {self.border!r}{shape})"


def crop(points: Sampler, size: Any, border: str = "inside", shape: Any = None) -> Crop:
    """See `Sampler.crop`."""
    if points.window is not None:
        raise PlanError(f"{points!r} gives windows already; crop takes places")
    if border not in BORDERS:
        raise PlanError(f"border must be 'inside', 'shift' or 'pad', received {shown(border)}")
    try:
        sizes = whole_tuple("size", size, points.dim)
    except PlanError as error:
        raise PlanError(
            f"{error.message}; the points have {points.dim} columns. For rows and points cut the points: "
            "rows @ points.crop(size)"
        ) from error
    known = points.array_shape
    lengths = known if shape is None else whole_tuple("shape", shape, points.dim)
    if known not in (None, lengths):
        raise PlanError(f"{points!r} counts pixels of an array of shape {known}, not of {lengths}")
    chosen: Border = next(one for one in BORDERS if one == border)
    return Crop(points, sizes, chosen, lengths, weight=points.weight)


def restricted(law: Sampler, low: np.ndarray, high: np.ndarray) -> Sampler:
    """A law inside a box, with the shares of its classes, and of the parts of a mixture, kept.

    Exact where the law can tell, else by rejection. The shares of a mixture that stands inside arithmetic or another
    condition by rejection are not kept: they follow what fits.

    Raises:
        EmptySupportError: nothing lies inside: of the law, or of a part of a mixture other than labels.
    """
    if isinstance(law, Labels):
        return law.restricted(low, high)
    if isinstance(law, Mixture):
        parts = [restricted(part, low, high).reweighted(part.weight) for part in law.parts]
        return mixture_of(parts).reweighted(law.weight)
    if isinstance(law, Pixels):
        first, last = law.back(low, high)
        if (first > last).any():
            raise EmptySupportError(f"no pixel lies in {low.tolist()} to {high.tolist()}")
        return replace(law, inner=restricted(law.inner, first, last))
    if isinstance(law, Declared):
        return replace(law, inner=restricted(law.inner, low, high))
    if isinstance(law, Conditioned):
        low, high = np.maximum(low, law.low), np.minimum(high, law.high)
        if (low > high).any():
            raise EmptySupportError(f"no point of {law!r} lies in {low.tolist()} to {high.tolist()}")
        return Conditioned(restricted(law.inner, low, high), low, high, weight=law.weight)
    return law.truncate(high, low)
