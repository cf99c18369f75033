"""Where patches are cut: from a sampler's points, or a crop's own starts, to windows of an array. Arithmetic only."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, cast

import numpy as np

from mtgen.draws import Draws
from mtgen.errors import EmptySupportError, PlanError
from mtgen.sampling.bits import Bits
from mtgen.sampling.sampler import Sampler
from mtgen.sampling.structure import digest_of
from mtgen.settings import shown

Border = Literal["inside", "shift", "pad"]
"""What becomes of windows that would leave the array."""

BORDERS = ("inside", "shift", "pad")

KEPT_SAMPLERS = 16
"""Samplers of single rows that are kept, for each input, and so many conditioned on where a window fits; few, for each
may hold a picture or a volume of weights."""

STREAM = "/patches/"
"""Begin of the streams of random words that points are drawn from."""


class MisfitError(Exception):
    """A window that cannot be cut from an array of that shape; the caller knows which file that is."""


@dataclass(frozen=True, kw_only=True)
class Cutting:
    """How places become windows. Pure, picklable; any thread.

    Args:
        size: of a window, along the first axes of the array.
        border: `"inside"` takes only points whose window lies in the array; `"shift"` moves a window that leaves the
            array back into it; `"pad"` leaves it where it is.
        stream: name of the random words; None for one that equal samplers share.
        fixed: whether the place depends on the row alone.
    """

    size: tuple[int, ...]
    border: Border = "inside"
    stream: str | None = None
    fixed: bool = False

    def misfit(self, shape: tuple[int, ...]) -> str | None:
        """What is wrong with an array of that shape, before any point is drawn; None where nothing is."""
        if len(shape) != len(self.size):
            return f"it has {len(shape)} axes {shape} to cut along, patches of {self.size} need {len(self.size)}"
        short = any(length < part for length, part in zip(shape, self.size, strict=True))
        if 0 in shape or (short and self.border != "pad"):
            return (
                f"it is {_text(shape)}, too small for a patch of {_text(self.size)}; take smaller patches, leave the "
                "row out, or fill up with border='pad'"
            )
        return None

    def draw(self, law: Law, rows: np.ndarray, draws: Draws) -> np.ndarray:
        """Points of a law at the slots of some rows, as it gives them."""
        stream = STREAM + (law.digest if self.stream is None else self.stream)
        if self.fixed:
            return law.sampler.draw(Bits(0, 0, stream), rows)
        return law.sampler.draw(Bits(draws.seed, draws.epoch, stream, draws.block), draws.positions)

    def windows(self, sampler: Sampler, points: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """First pixel of the window around each point, int64 `(n, axes)`.

        Raises:
            PlanError: points that are none, or lie outside the array.
        """
        centres = _pixels(sampler, points, shape)
        starts: np.ndarray = centres - np.array(self.size) // 2
        if self.border == "shift":
            starts = np.clip(starts, 0, np.array(shape) - self.size)
        return starts


def check_sampler(sampler: Any, num_axes: int) -> Sampler:
    """A sampler of points of so many axes.

    Raises:
        PlanError: something else.
    """
    if not isinstance(sampler, Sampler):
        raise PlanError(
            f"sampler must be a sampler of points, such as mtgen.sampling.uniform(dim={num_axes}), or a function "
            f"row -> sampler; received {shown(sampler)}"
        )
    if sampler.dim != num_axes:
        raise PlanError(
            f"patches of {num_axes} axes need points of dimension {num_axes}, {sampler!r} has {sampler.dim}"
        )
    return sampler


class Law(NamedTuple):
    """A sampler of points, and its digest, which may have cost a look at a whole mask."""

    sampler: Sampler
    digest: str


class Places:
    """Where the patches of a table's rows are cut: one sampler for all rows, or one each by a function of the user's.

    Any thread; picklable if the function is. Some samplers are kept, and what they are inside arrays of a shape.

    Args:
        cutting: how points become windows.
        sampler: the law, a function row -> law, or None for points that come with the rows.

    Raises:
        PlanError: no sampler of points of these axes.
    """

    def __init__(self, cutting: Cutting, sampler: Sampler | Callable[[int], Sampler] | None) -> None:
        self.cutting, self._given = cutting, sampler
        self._one: Law | None = None
        if isinstance(sampler, Sampler) or not (sampler is None or callable(sampler)):
            one = check_sampler(sampler, self.num_axes)
            self._one = Law(one, one.digest())
        self._begin()

    def _begin(self) -> None:
        self._of_row = functools.lru_cache(maxsize=KEPT_SAMPLERS)(self._made)
        self._digests = functools.lru_cache(maxsize=KEPT_SAMPLERS)(_Known.law)
        self._inside = functools.lru_cache(maxsize=KEPT_SAMPLERS)(self._conditioned)

    def __getstate__(self) -> dict[str, Any]:
        kept = ("_of_row", "_digests", "_inside")
        return {name: value for name, value in self.__dict__.items() if name not in kept}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._begin()

    @property
    def num_axes(self) -> int:
        """Axes of a window."""
        return len(self.cutting.size)

    @property
    def one(self) -> Sampler | None:
        """The sampler of all rows, where there is one."""
        return None if self._one is None else self._one.sampler

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
        if wrong := self.cutting.misfit(shape):
            raise MisfitError(wrong)
        if self._one is not None:
            return self._starts_of(self._one, rows, draws, shape)
        slots_of: dict[str, tuple[Law, list[int]]] = {}
        for slot, (row, position) in enumerate(zip(rows.tolist(), draws.positions.tolist(), strict=True)):
            law = self._law(row, position, draws)
            slots_of.setdefault(law.digest, (law, []))[1].append(slot)
        starts = np.empty((len(rows), self.num_axes), np.int64)
        for law, slots in slots_of.values():
            here = np.array(slots)
            starts[here] = self._starts_of(law, rows[here], draws.of(here), shape)
        return starts

    def _starts_of(self, law: Law, rows: np.ndarray, draws: Draws, shape: tuple[int, ...]) -> np.ndarray:
        try:
            drawn = law
            if self.cutting.border == "inside":
                drawn = Law(self._inside(_Known(law.sampler, law.digest), shape), law.digest)
            points = self.cutting.draw(drawn, rows, draws)
        except EmptySupportError as error:
            size = self.cutting.size
            raise MisfitError(
                f"it is {_text(shape)}, and the sampler gives no place for a patch of {_text(size)}: {error.message}"
            ) from error
        return self.cutting.windows(law.sampler, points, shape)

    def _law(self, row: int, position: int, draws: Draws) -> Law:
        if self._given is not None:
            return self._of_row(row)
        if draws.points is None:
            raise PlanError(
                "these patches have no sampler of their own, and the rows come without points: give "
                "Patches(..., sampler=...), or a Loader(sampler=rows @ points)"
            )
        return self._digests(_Known(check_sampler(draws.points(row, position), self.num_axes)))

    def _made(self, row: int) -> Law:
        function = cast("Callable[[int], Any]", self._given)
        made = check_sampler(function(row), self.num_axes)
        return Law(made, made.digest())

    def _conditioned(self, known: _Known, shape: tuple[int, ...]) -> Sampler:
        """The law of centres whose window lies inside an array; shares of a mixture are kept."""
        size = np.array(self.cutting.size)
        first, last = size // 2, np.array(shape) - size + size // 2
        low, high = first.astype(np.float64), np.nextafter(last + 1.0, 0)
        if _frame(known.sampler) == "unit":
            low, high = _least(first, np.array(shape)), _most(last, np.array(shape))
        return known.sampler.truncate(high=high, low=low, each=True)

    def settings(self) -> str:
        """What decides the places, as text; of a function its name and code."""
        if self._given is None:
            return "of the loader"
        return self._one.digest if self._one is not None else digest_of(self._given)


class _Known:
    """A sampler as a key: by its digest where that is at hand, else by being the same object."""

    def __init__(self, sampler: Sampler, digest: str = "") -> None:
        self.sampler, self.digest = sampler, digest

    def law(self) -> Law:
        return Law(self.sampler, self.sampler.digest())

    def __hash__(self) -> int:
        return hash(self.digest) if self.digest else id(self.sampler)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Known) or self.digest != other.digest:
            return False
        return bool(self.digest) or self.sampler is other.sampler


def _frame(sampler: Sampler) -> str:
    return sampler.frame or "unit"


def _least(pixel: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """Smallest share of the length that lies in a pixel."""
    share = np.nextafter(pixel / shape, -1)  # the quotient is rounded either way
    while (wrong := np.floor(share * shape) < pixel).any():
        share = np.where(wrong, np.nextafter(share, 2), share)
    return share


def _most(pixel: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """Largest share of the length that lies in a pixel."""
    share = np.nextafter((pixel + 1) / shape, 2)
    while (wrong := np.floor(share * shape) > pixel).any():
        share = np.where(wrong, np.nextafter(share, -1), share)
    return share


def _pixels(sampler: Sampler, points: Any, shape: tuple[int, ...]) -> np.ndarray:
    """The pixel in which each point lies, int64 `(n, axes)`."""
    expected = (len(points), len(shape))
    try:
        values = np.asarray(points)
        values = values if values.dtype.kind in "iu" else values.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise PlanError(f"{sampler!r} drew points that are no numbers, but {shown(points)}") from error
    if values.shape != expected:
        raise PlanError(f"{sampler!r} drew points of shape {values.shape}, expected {expected}")
    unit = _frame(sampler) == "unit"
    limit = np.ones(len(shape)) if unit else np.array(shape)
    inside = (values >= 0) & ((values <= limit) if unit else (values < limit))
    if not inside.all():
        wrong = values[~inside.all(axis=1)][0]
        frame = "shares of the array, 0 to 1" if unit else f"pixels of the array {_text(shape)}"
        raise PlanError(
            f"{sampler!r} drew the point {_text(tuple(wrong.tolist()))}, expected {frame}. Put a condition on it, such "
            "as .truncate(high=1, low=0), or bring pixels into the unit frame by / shape"
        )
    if not unit:
        return np.floor(values).astype(np.int64)
    return np.minimum(np.floor(values * np.array(shape)).astype(np.int64), np.array(shape) - 1)


def _text(values: tuple[Any, ...]) -> str:
    return f"({', '.join(f'{value:g}' if isinstance(value, float) else str(value) for value in values)})"
