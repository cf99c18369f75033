"""Laws over rows with a weight for each: uniform, weighted, under a condition, with and without replacement."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from mtgen.errors import EmptySupportError, NoDensityError, PlanError
from mtgen.sampling.bits import Bits, below
from mtgen.sampling.row_plans.base import RowSampler, Spread
from mtgen.sampling.row_plans.orders import EvenOrder, IndependentOrder, RowOrder
from mtgen.sampling.row_plans.race import RaceOrder
from mtgen.sampling.row_plans.source import Source
from mtgen.sampling.row_plans.weights import EvenWeights, HeldWeights, Weights, weights_of
from mtgen.sampling.values import check_count


def rows(n: int | None = None, *, weights: Any = None) -> WeightedRows:
    """The law over places 0 to n-1: uniform, or by weight. `data.rows` gives those of a dataset.

    Args:
        n: number of rows, >= 1; with `weights` it may be left out.
        weights: `(n,)` real numbers >= 0: a list, an array, a Series, or what slices and has a length, such as
            `np.memmap`, which then stays on disk.

    Raises:
        PlanError: neither, or weights that cannot be weights.
        EmptySupportError: all weights are 0.

    Example:
        >>> from mtgen import sampling as S
        >>> S.rows(3).plan(6)[:].tolist().count(1), S.rows(weights=[0, 2.5]).sample(2, seed=0).ravel().tolist()
        (2, [1, 1])
    """
    if n is not None:
        n = check_count("n", n, 1)
    if weights is None:
        if n is None:
            raise PlanError("S.rows needs a number of rows or weights: S.rows(10), S.rows(weights=[...])")
        return WeightedRows(Source(n), EvenWeights(n))
    found = weights_of(weights, n)
    return WeightedRows(Source(found.num_rows), found)


@dataclass(frozen=True, eq=False, repr=False)
class WeightedRows(RowSampler):
    """Rows by weight.

    Attributes:
        weights: of the places.
        among: bool `(num_rows,)`, the rows that conditions left, where some of these have weight 0; else None.
        narrowed: whether conditions left just the rows that have a weight.
        replace: whether a row may come more than once.
        fill: without replacement, go on with rows of weight 0 when there is no other left.
        clamp: without replacement, give what there is where more is asked for.
    """

    over: Source
    weights: Weights
    among: np.ndarray | None = None
    narrowed: bool = field(default=False, kw_only=True)
    replace: bool = field(default=True, kw_only=True)
    fill: bool = field(default=False, kw_only=True)
    clamp: bool = field(default=False, kw_only=True)

    @property
    def source(self) -> Source:
        """See `RowSampler.source`."""
        return self.over

    @cached_property
    def _num_among(self) -> int:
        if self.narrowed:
            return self.weights.num_positive
        return self.over.num_rows if self.among is None else int(self.among.sum())

    @property
    def natural_size(self) -> int:
        """As many positions as rows; without replacement as many as can come."""
        return self._num_among if self.replace or self.fill else self.weights.num_positive

    def reach(self) -> np.ndarray | None:
        """See `RowSampler.reach`."""
        return self.weights.ticks() > 0 if self.narrowed else self.among

    def can_come(self) -> np.ndarray:
        """See `RowSampler.can_come`."""
        reach = self.reach()
        if self.fill:
            return np.ones(self.over.num_rows, bool) if reach is None else reach
        return self.weights.ticks() > 0

    def probabilities(self, places: np.ndarray) -> np.ndarray:
        """See `RowSampler.probabilities`."""
        if not self.replace:
            raise NoDensityError(
                f"{self!r} draws without replacement: what came cannot come again, so shares change with the position"
            )
        return self.weights.ticks(places) / self.weights.total

    def restricted(self, mask: np.ndarray, *, each: bool = False) -> tuple[float, RowSampler]:
        """See `RowSampler.restricted`."""
        ticks = np.where(mask, self.weights.ticks(), 0)
        total = int(ticks.sum())
        if not total:
            raise EmptySupportError(f"no row of {self!r} with a weight above 0 is left")
        reach = self.reach()
        among = mask if reach is None else mask & reach
        # A mask that says what the weights say is not kept: mixtures of many classes would hold one for each.
        narrowed = np.array_equal(among, ticks > 0)
        law = replace(self, weights=HeldWeights(ticks), among=None if narrowed else among, narrowed=narrowed)
        return total / self.weights.total, law

    def draw(self, bits: Bits, positions: np.ndarray) -> np.ndarray:
        """See `Sampler.draw`. Without replacement the position is the place in the race."""
        if self.replace:
            places = self.weights.find(below(bits.words(positions, "row"), self.weights.total))
        else:
            size = self._num_among if self.fill else self.weights.num_positive
            if len(positions) and not 0 <= positions.min() <= positions.max() < size:
                raise PlanError(f"{self!r} draws without replacement: it has {size} points, asked for more")
            places = RaceOrder(self.weights, size, bits, self.reach()).at(positions)
        return self.over.rows_at(places)[:, None]

    def _repeats(self, how: Spread) -> bool:
        return self.replace if how.replace is None else how.replace

    def checked_size(self, size: int, how: Spread) -> int:
        """See `RowSampler.checked_size`."""
        if self._repeats(how):
            return size
        if how.spread == "iid":
            raise PlanError(f'{self!r} draws without replacement; spread="iid" contradicts it')
        positive = self.weights.num_positive
        most = self._num_among if self.fill else positive
        if size > most and not self.clamp:
            zeros = self._num_among - positive
            hint = f", {zeros} more have weight 0: fill=True takes them too" if zeros and not self.fill else ""
            raise PlanError(
                f"without replacement there are {most} rows to draw, {size} positions were asked for{hint}. Use "
                "replace=True or a smaller size"
            )
        size = min(size, most)
        if size > positive:
            warnings.warn(
                f"{size - positive} of {size} positions hold rows of weight 0, because only {positive} rows have "
                "another and each comes once (fill=False refuses this)",
                stacklevel=3,
            )
        return size

    def order_of(self, size: int, how: Spread, bits: Bits) -> RowOrder:
        """See `RowSampler.order_of`."""
        if not self._repeats(how):
            return RaceOrder(self.weights, size, bits, self.reach())
        kind = EvenOrder if how.spread == "even" else IndependentOrder
        return kind(self.weights, size, bits)

    def structure(self) -> tuple[Any, ...]:
        """See `Sampler.structure`."""
        among = None if self.among is None else np.packbits(self.among)
        settings = self.narrowed, self.replace, self.fill, self.clamp, self.size
        return self.over.rows, self.weights.structure(), among, *settings

    def __repr__(self) -> str:
        kind = "uniform" if isinstance(self.weights, EvenWeights) else "weighted"
        rest = "" if self.replace else ", without replacement"
        sized = "" if self.size is None else f", {self.size} positions"
        among = f"{self._num_among} of " if self.narrowed or self.among is not None else ""
        return f"rows({kind}, {among}{self.over.num_rows} rows{rest}{sized})"
