"""A law over some rows of a table as a law over more of them: so that splits and joined datasets can be mixed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from mtgen.sampling.bits import Bits
from mtgen.sampling.row_plans.base import RowSampler, Spread
from mtgen.sampling.row_plans.orders import Bounds, RowOrder
from mtgen.sampling.row_plans.source import Source


def over_all(laws: Sequence[RowSampler]) -> list[RowSampler] | None:
    """The same laws over the rows of all of them, ascending; None if they are not over rows of one table.

    Pure.
    """
    first = laws[0].source
    if all(first.same(law.source) for law in laws[1:]):
        return list(laws)
    if first.table is None or any(law.source.table is not first.table for law in laws):
        return None
    rows = np.unique(np.concatenate([law.source.rows_at(np.arange(law.source.num_rows)) for law in laws]))
    rows.flags.writeable = False
    union = Source(len(rows), rows, first.table, first.classes)
    return [
        law if law.source.same(union) else MovedRows(law.reweighted(1.0), union, weight=law.weight, label=law.label)
        for law in laws
    ]


@dataclass(frozen=True, eq=False, repr=False)
class MovedRows(RowSampler):
    """A law over rows that are among others, which never come.

    Attributes:
        law: over some of the rows.
        over: the rows that it is moved to.
    """

    law: RowSampler
    over: Source

    @property
    def source(self) -> Source:
        """See `RowSampler.source`."""
        return self.over

    @cached_property
    def _places(self) -> np.ndarray:
        """Where each place of the law is now."""
        inner = self.law.source
        return self.over.places_of(inner.rows_at(np.arange(inner.num_rows)))

    @property
    def natural_size(self) -> int:
        """See `RowSampler.natural_size`."""
        return self.law.epoch_size

    def spread_out(self, values: np.ndarray) -> np.ndarray:
        """A value of each place of `law` at the places here, 0 elsewhere: `(law's num_rows,)` -> `(num_rows,)`."""
        found = np.zeros(self.over.num_rows, values.dtype)
        found[self._places] = values
        return found

    def reach(self) -> np.ndarray:
        """See `RowSampler.reach`."""
        inner = self.law.reach()
        return self.spread_out(np.ones(self.law.source.num_rows, bool) if inner is None else inner)

    def can_come(self) -> np.ndarray:
        """See `RowSampler.can_come`."""
        return self.spread_out(self.law.can_come())

    def probabilities(self, places: np.ndarray) -> np.ndarray:
        """See `RowSampler.probabilities`."""
        return self.law.probability(self.over.rows_at(places))

    def restricted(self, mask: np.ndarray, *, each: bool = False) -> tuple[float, RowSampler]:
        """See `RowSampler.restricted`."""
        mass, law = self.law.restricted(mask[self._places], each=each)
        return mass, replace(self, law=law)

    def checked_size(self, size: int, how: Spread) -> int:
        """See `RowSampler.checked_size`."""
        return self.law.checked_size(size, how)

    def order_of(self, size: int, how: Spread, bits: Bits) -> RowOrder:
        """See `RowSampler.order_of`."""
        return MovedOrder(self.law.order_of(size, how, bits), self._places, self.over.num_rows)

    def draw(self, bits: Bits, positions: np.ndarray) -> np.ndarray:
        """See `Sampler.draw`."""
        return self.law.draw(bits, positions)

    def structure(self) -> tuple[Any, ...]:
        """See `Sampler.structure`."""
        return self.law, self.over.rows, self.size

    def __repr__(self) -> str:
        return repr(self.law)


class MovedOrder:
    """An order over some rows as one over more of them."""

    def __init__(self, order: RowOrder, places: np.ndarray, num_rows: int) -> None:
        self.size, self._order, self._places, self._num_rows = order.size, order, places, num_rows

    def at(self, positions: np.ndarray) -> np.ndarray:
        """See `RowOrder.at`."""
        return self._places[self._order.at(positions)]

    def bounds(self) -> Bounds | None:
        """See `RowOrder.bounds`."""
        found = self._order.bounds()
        if found is None:
            return None
        sides = np.zeros((2, self._num_rows), np.int64)
        sides[:, self._places] = found
        return sides[0], sides[1]
