"""Where patches are cut: the first pixel of a window for each slot, from a sampler of points or of windows.

Arithmetic only: what an array holds is not looked at, its shape is.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import numpy as np

from mtgen.draws import Draws
from mtgen.errors import EmptySupportError, PlanError
from mtgen.sampling.bits import Bits
from mtgen.sampling.places.crop import Crop
from mtgen.sampling.places.windows import Border, border_of, last_starts
from mtgen.sampling.sampler import Sampler
from mtgen.sampling.structure import digest_of
from mtgen.settings import shown

KEPT_SAMPLERS = 16
"""Samplers of single rows that are kept, for each input, and so many bound to arrays of a shape; few, for each may hold
a picture or a volume of weights."""

STREAM = "/patches/"
"""Begin of the streams of random words that places are drawn from."""


class MisfitError(Exception):
    """No window can be cut from an array of that shape; the caller knows which file that is."""


@dataclass(frozen=True, kw_only=True)
class Cutting:
    """How places become windows. Pure, picklable; any thread.

    Args:
        size: of a window, along the first axes of the array.
        border: for samplers of points; see `Patches`.
        stream: name of the random words; None for one that equal samplers share.
        fixed: whether the place depends on the row alone.
    """

    size: tuple[int, ...]
    border: Border | None = None
    stream: str | None = None
    fixed: bool = False

    def windows(self, sampler: Any) -> Sampler:
        """A sampler of the starts of windows, before the shape of an array is known.

        Raises:
            PlanError: no sampler of points of so many axes, or windows of another size or border.
        """
        num_axes = len(self.size)
        if not isinstance(sampler, Sampler):
            raise PlanError(
                f"sampler must be a sampler of points, such as mtgen.sampling.uniform(dim={num_axes}), or a function "
                f"row -> sampler; received {shown(sampler)}"
            )
        if sampler.dim != num_axes:
            raise PlanError(
                f"patches of {num_axes} axes need points of dimension {num_axes}, {sampler!r} has {sampler.dim}"
            )
        if sampler.window is None:
            # Windows are moved back by `placed`, which first looks where their centres lie.
            return sampler.crop(self.size, "inside" if self.border in (None, "inside") else "pad")
        if sampler.window != self.size:
            raise PlanError(f"patches have size {self.size}, {sampler!r} gives windows of {sampler.window}")
        own = border_of(sampler)
        if self.border not in (None, own):
            raise PlanError(f"border={self.border!r}, but {sampler!r} says {own!r}: say it in one place")
        return sampler

    def draw(self, windows: Sampler, digest: str, rows: np.ndarray, draws: Draws) -> np.ndarray:
        """Starts at the slots of some rows, as the sampler gives them."""
        stream = STREAM + (digest if self.stream is None else self.stream)
        if self.fixed:
            return windows.draw(Bits(0, 0, stream), rows)
        return windows.draw(Bits(draws.seed, draws.epoch, stream, draws.block), draws.positions)

    def placed(self, sampler: Sampler, starts: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """The starts, moved where the border says so, int64 `(n, axes)`.

        Raises:
            PlanError: a sampler whose points lie outside the array, or whose windows do.
        """
        lengths, size = np.array(shape), np.array(self.size)
        if sampler.window is None:
            inside = (starts + size // 2 >= 0) & (starts + size // 2 < lengths)
        else:
            inside = (starts + size > 0) & (starts < lengths)
        if not inside.all():
            wrong = starts[~inside.all(axis=1)][0] + size // 2
            frame = "pixels" if sampler.frame == "pixels" else "shares of the array, in [0, 1)"
            raise PlanError(
                f"{sampler!r} puts the centre of a patch at {wrong.tolist()}, outside of the array {shape}. Its points "
                f"count {frame}; put a condition on them, such as .truncate(high, low), or say what they count: "
                ".in_pixels()"
            )
        if sampler.window is None and self.border == "shift":
            starts = np.clip(starts, 0, last_starts(self.size, shape))
        return starts


class Law(NamedTuple):
    """A sampler as given, as one of windows, and the digest that its random words are named after."""

    given: Sampler
    windows: Sampler
    digest: str


class Places:
    """Where the patches of a table's rows are cut: one sampler for all rows, or one each by a function of the user's.

    Any thread; picklable if the function is. Some samplers are kept, and what they are in arrays of a shape.

    Args:
        cutting: how points become windows.
        sampler: the law, a function row -> law, or None for points that come with the rows.

    Raises:
        PlanError: no sampler of points of these axes.
    """

    def __init__(self, cutting: Cutting, sampler: Sampler | Callable[[int], Sampler] | None) -> None:
        self.cutting, self._given = cutting, sampler
        one = isinstance(sampler, Sampler) or not (sampler is None or callable(sampler))
        self._one: Law | None = self._law(sampler) if one else None
        self._begin()

    def _begin(self) -> None:
        self._of_row = functools.lru_cache(maxsize=KEPT_SAMPLERS)(self._law_of_row)
        self._of_object = functools.lru_cache(maxsize=KEPT_SAMPLERS)(self._law_of_object)
        self._bound = functools.lru_cache(maxsize=KEPT_SAMPLERS)(_bound)

    def __getstate__(self) -> dict[str, Any]:
        kept = ("_of_row", "_of_object", "_bound")
        return {name: value for name, value in self.__dict__.items() if name not in kept}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._begin()

    @property
    def num_axes(self) -> int:
        """Axes of a window."""
        return len(self.cutting.size)

    def starts(self, rows: np.ndarray, draws: Draws, shape: tuple[int, ...]) -> np.ndarray:
        """First pixel of each window, int64 `(n, axes)`.

        Args:
            rows: int64 `(n,)` of the root table, whose arrays have one shape.
            draws: one position per row.
            shape: of the array, along the axes of a window.

        Raises:
            MisfitError: windows do not fit an array of that shape, or no point does.
            PlanError: no sampler, or one whose points are none.
            Whatever the user's function raises.
        """
        if self._one is not None:
            return self._starts_of(self._one, rows, draws, shape)
        slots_of: dict[int, tuple[Law, list[int]]] = {}
        for slot, (row, position) in enumerate(zip(rows.tolist(), draws.positions.tolist(), strict=True)):
            law = self._law_at(row, position, draws)
            slots_of.setdefault(id(law), (law, []))[1].append(slot)
        starts = np.empty((len(rows), self.num_axes), np.int64)
        for law, slots in slots_of.values():
            here = np.array(slots)
            starts[here] = self._starts_of(law, rows[here], draws.of(here), shape)
        return starts

    def _starts_of(self, law: Law, rows: np.ndarray, draws: Draws, shape: tuple[int, ...]) -> np.ndarray:
        size = self.cutting.size
        if 0 in shape:
            raise MisfitError(f"it is {shape}, which holds nothing")
        try:
            windows = self._bound(_Known(law.windows), shape)
        except PlanError as error:
            raise MisfitError(
                f"it is {shape}, and patches are {size}: {error.message}. Or leave the row out"
            ) from error
        try:
            starts = self.cutting.draw(windows, law.digest, rows, draws)
        except EmptySupportError as error:
            raise MisfitError(f"it is {shape}, and the sampler found no place in it: {error.message}") from error
        return self.cutting.placed(law.given, starts, shape)

    def _law_at(self, row: int, position: int, draws: Draws) -> Law:
        if self._given is not None:
            return self._of_row(row)
        if draws.points is None:
            raise PlanError(
                "these patches have no sampler of their own, and the rows come without points: give "
                "Patches(..., sampler=...), or a Loader(sampler=rows @ points)"
            )
        return self._of_object(_Known(draws.points(row, position)))

    def _law(self, sampler: Any) -> Law:
        windows = self.cutting.windows(sampler)
        # Points and a crop of them are drawn from the same words, so that they agree.
        named = sampler.points if isinstance(sampler, Crop) else sampler
        return Law(sampler, windows, _digest_of(named))

    def _law_of_row(self, row: int) -> Law:
        return self._law(cast("Callable[[int], Any]", self._given)(row))

    def _law_of_object(self, known: _Known) -> Law:
        return self._law(known.sampler)

    def settings(self) -> str:
        """What decides the places, as text; of a function its name and code."""
        if self._given is None:
            return "of the loader"
        return _digest_of(self._one.windows) if self._one is not None else digest_of(self._given)


class _Known:
    """A sampler as a key: known by being the same object, for its digest may cost a look at a whole mask."""

    def __init__(self, sampler: Any) -> None:
        self.sampler = sampler

    def __hash__(self) -> int:
        return id(self.sampler)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Known) and self.sampler is other.sampler


def _digest_of(law: Sampler) -> str:
    """What decides the points of a law; its weight does not."""
    return law.reweighted(1.0).digest()


def _bound(known: _Known, shape: tuple[int, ...]) -> Sampler:
    bound: Sampler = known.sampler.bound(shape)
    return bound
