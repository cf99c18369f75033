"""Laws over windows: points are the starts of windows of one size, in an array whose shape may be given later."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, Self

import numpy as np

from mtgen.errors import PlanError
from mtgen.sampling.sampler import Frame, Sampler

Border = Literal["inside", "shift", "pad"]
"""What becomes of windows that reach over the border: none are drawn, they are moved inside, or they stay."""

BORDERS: tuple[Border, ...] = ("inside", "shift", "pad")


class Windows(Sampler):
    """A law over starts of windows: int64 points, frame `"pixels"`. A start may lie outside with border `"pad"`.

    Attributes:
        size: of the windows, one number per axis.
        border: see `Border`.
        shape: of the array; None until `bound`.
    """

    size: tuple[int, ...]
    border: Border
    shape: tuple[int, ...] | None

    @property
    def dim(self) -> int:
        """Axes of a window."""
        return len(self.size)

    @property
    def frame(self) -> Frame:
        """See `Sampler.frame`."""
        return "pixels"

    @property
    def discrete(self) -> tuple[bool, ...]:
        """See `Sampler.discrete`."""
        return (True,) * self.dim

    @property
    def window(self) -> tuple[int, ...]:
        """Size of the windows."""
        return self.size

    @property
    def array_shape(self) -> tuple[int, ...] | None:
        """Shape of the array."""
        return self.shape

    @abstractmethod
    def bound(self, shape: Sequence[int]) -> Self:
        """The law for arrays of a shape; see `Sampler.bound`."""


def window_of(law: Sampler) -> tuple[int, ...] | None:
    """Size of the windows whose starts a law's points are; see `Sampler.window`."""
    from mtgen.sampling.mixture import Mixture
    from mtgen.sampling.truncation import Conditioned, Rejected

    if isinstance(law, Mixture):
        return law.parts[0].window
    return law.inner.window if isinstance(law, Conditioned | Rejected) else None


def border_of(law: Sampler) -> Border | None:
    """What becomes of a law's windows at the border; None where points are places, or its parts disagree."""
    from mtgen.sampling.mixture import Mixture
    from mtgen.sampling.truncation import Conditioned, Rejected

    if isinstance(law, Windows):
        return law.border
    if isinstance(law, Mixture):
        borders = {border_of(part) for part in law.parts}
        return borders.pop() if len(borders) == 1 else None
    return border_of(law.inner) if isinstance(law, Conditioned | Rejected) else None


def check_windows(parts: Sequence[Sampler]) -> None:
    """Refuse a mixture of places with starts of windows, or of windows of several sizes.

    Raises:
        PlanError: such a mixture.
    """
    sizes = {part.window for part in parts}
    if len(sizes) > 1:
        named = " and ".join("places" if size is None else f"windows of {size}" for size in sizes)
        raise PlanError(
            f"the parts of a mixture must be places, or windows of one size; these are {named}: "
            f"{' | '.join(map(repr, parts))}. Cut all of them alike: points.crop(size)"
        )


def bound_to(law: Sampler, shape: Sequence[int]) -> Sampler:
    """See `Sampler.bound`."""
    from mtgen.sampling.mixture import Mixture, mixture_of
    from mtgen.sampling.truncation import Conditioned, Rejected, truncate

    if isinstance(law, Windows):
        return law.bound(shape)
    if law.window is not None and isinstance(law, Mixture):
        return mixture_of([part.bound(shape).reweighted(part.weight) for part in law.parts]).reweighted(law.weight)
    if law.window is not None and isinstance(law, Rejected) and law.expr is None:
        inner = law.inner.bound(shape)
        return truncate(inner, law.high, law.low, None, law.prob, each=False, tries=law.tries)
    if law.window is not None and isinstance(law, Conditioned | Rejected):
        return replace(law, inner=law.inner.bound(shape))
    raise PlanError(f"{law!r} gives places, not windows; say how large they are: points.crop(size)")


def check_fits(size: Sequence[int], shape: Sequence[int], border: Border, what: str = "crop") -> None:
    """Refuse windows that no array of a shape can hold.

    Raises:
        PlanError: a window is larger than the array.
    """
    if border != "pad" and any(length > whole for length, whole in zip(size, shape, strict=True)):
        raise PlanError(
            f"a {what} of {tuple(size)} is larger than the array of shape {tuple(shape)}; take a smaller one, or "
            "border='pad'"
        )


def last_starts(size: Sequence[int], shape: Sequence[int]) -> np.ndarray:
    """The last start per axis of a window inside an array, int64 `(dim,)`; negative where it does not fit."""
    return np.array(shape, np.int64) - np.array(size, np.int64)
