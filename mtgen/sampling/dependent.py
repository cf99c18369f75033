"""Dependent products: for each row a point, from one law or from a law of the row's own.

`rows @ points` is the joint law of (row, point) that cutting patches needs: the rows stay as they are, whatever the
points do, and the point may follow from the row.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from mtgen.errors import MtgenError, PlanError
from mtgen.sampling.bits import Bits
from mtgen.sampling.sampler import Frame, Sampler, as_sampler
from mtgen.sampling.values import beside, joined
from mtgen.settings import check_whole, shown

if TYPE_CHECKING:
    from mtgen.sampling.describing.description import Description

KEPT_LAWS = 256
"""Laws of single rows that are kept, as a mask of a picture may take a megabyte."""


def dependent_of(rows: Sampler, points: Any) -> Dependent:
    """`rows @ points`.

    Args:
        rows: any sampler, mostly one over rows; the weight of the product is its weight times that of `points`.
        points: a sampler, or a function from one point of `rows` (a number if it has one column) to a sampler.

    Raises:
        PlanError: `points` is neither.
    """
    law = as_sampler(points)
    if law is None and not callable(points):
        raise PlanError(f"rows @ points needs a sampler or a function row -> sampler, received {shown(points)}")
    weight = rows.weight * (1.0 if law is None else law.weight)
    return Dependent(rows, points if law is None else law, weight=weight)


@dataclass(frozen=True, eq=False, repr=False)
class Dependent(Sampler):
    """For each row of `rows` a point of `points`; columns of both.

    Attributes:
        rows: the law of the rows.
        points: the law of the points, or a function row -> law.
        repeats: points in a row that are of one row, so that what is read for it serves them all; see `times`.
    """

    rows: Sampler
    points: Sampler | Callable[[Any], Sampler]
    repeats: int = 1

    def __post_init__(self) -> None:
        _ = self._kept
        object.__setattr__(self, "_dim", self.rows.dim + self._some_law().dim)

    def _some_law(self) -> Sampler:
        """The law of the points of one row, for what is the same for all."""
        if isinstance(self.points, Sampler):
            return self.points
        return self.law_of(_plain(self.rows.draw(Bits(0, stream="/trial"), np.arange(1))[0]))

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_laws"}

    @property
    def _kept(self) -> Callable[[Any], Sampler]:
        kept: Callable[[Any], Sampler] | None = self.__dict__.get("_laws")
        if kept is None:
            kept = lru_cache(maxsize=KEPT_LAWS)(self._made)
            object.__setattr__(self, "_laws", kept)
        return kept

    def _made(self, row: Any) -> Sampler:
        try:
            made = self.points(row) if callable(self.points) else self.points
            law = as_sampler(made)
        except MtgenError as error:  # such as a mask without a pixel: whose?
            error.at(row=row if isinstance(row, int) else None)
            raise
        if law is None:
            raise PlanError(f"the function of rows @ points returned no sampler for row {row!r}: {shown(made)}")
        return law

    def law_of(self, row: Any) -> Sampler:
        """The law of the points of one row; any thread.

        Raises:
            PlanError: the function returned something else than a sampler.
        """
        return self.points if isinstance(self.points, Sampler) else self._kept(row)

    def times(self, num: int) -> Dependent:
        """Take `num` points for each row drawn, one after the other, so that a picture is decoded once for all.

        Example:
            >>> from mtgen import sampling as S
            >>> (S.constant(5) @ S.uniform()).times(2).sample(4, seed=0)[:, 0].tolist()
            [5.0, 5.0, 5.0, 5.0]
        """
        return replace(self, repeats=self.repeats * check_whole("num", num, 1))

    @property
    def dim(self) -> int:
        """See `Sampler.dim`."""
        dim: int = self.__dict__["_dim"]
        return dim

    @property
    def frame(self) -> Frame | None:
        """That of the points."""
        return self.points.frame if isinstance(self.points, Sampler) else None

    @property
    def discrete(self) -> tuple[bool, ...]:
        """See `Sampler.discrete`."""
        known = self.points.discrete if isinstance(self.points, Sampler) else (False,) * (self.dim - self.rows.dim)
        return self.rows.discrete + known

    def draw(self, bits: Bits, positions: np.ndarray) -> np.ndarray:
        """See `Sampler.draw`."""
        rows = self.rows.draw(bits.child("rows").independent(), positions // self.repeats)
        return beside([rows, self.points_at(rows, bits.child("points"), positions)])

    def points_at(self, rows: np.ndarray, bits: Bits, positions: np.ndarray) -> np.ndarray:
        """Points at positions whose rows are known, `(n, points' dim)`."""
        if isinstance(self.points, Sampler):
            return self.points.draw(bits, positions)
        distinct: dict[Any, list[int]] = {}
        for place, row in enumerate(rows):
            distinct.setdefault(_plain(row), []).append(place)
        if not distinct:
            return self._some_law().draw(bits, positions)
        drawn, places = [], []
        for row, where in distinct.items():
            here = np.array(where)
            law = self.law_of(row)
            if law.dim != self.dim - self.rows.dim:
                raise PlanError(
                    f"row {row!r} has points of {law.dim} columns, others of {self.dim - self.rows.dim}: {law!r}"
                )
            drawn.append(law.draw(bits.independent(), positions[here]))
            places.append(here)
        return joined(drawn, places, len(positions))

    def describe(
        self, n: int | None = None, seed: int = 0, *, epoch: int = 0, block: int | None = None, by: Any = None
    ) -> Description:
        """See `Sampler.describe`; of laws over rows also their epoch, by the classes of `by`: `RowSampler.describe`."""
        from mtgen.sampling.describing.joint import describe_joint

        return describe_joint(self, n, Bits(seed, epoch, block=block), by)

    def log_density(self, points: np.ndarray) -> np.ndarray:
        """See `Sampler.log_density`."""
        split = self.rows.dim
        total = self.rows.log_density(points[:, :split])
        if isinstance(self.points, Sampler):
            return total + self.points.log_density(points[:, split:])
        each = [self.law_of(_plain(one[:split])).log_density(one[None, split:])[0] for one in points]
        return total + np.array(each)

    def structure(self) -> tuple[Any, ...]:
        """See `Sampler.structure`."""
        return self.rows, self.points, self.repeats

    def __repr__(self) -> str:
        points = (
            repr(self.points) if isinstance(self.points, Sampler) else getattr(self.points, "__name__", self.points)
        )
        return f"({self.rows!r}) @ ({points})" + (f".times({self.repeats})" if self.repeats > 1 else "")


def _plain(row: np.ndarray) -> Any:
    """One point of the rows' law as a Python value, or a tuple of them."""
    values = row.tolist()
    return values[0] if len(values) == 1 else tuple(values)
