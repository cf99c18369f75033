"""Products: independent columns side by side; and a choice of columns."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mtgen.errors import PlanError
from mtgen.sampling.bits import Bits, StackedBits
from mtgen.sampling.one_point import Constant
from mtgen.sampling.sampler import Frame, Sampler, frame_of_any
from mtgen.sampling.values import beside
from mtgen.settings import shown


def product_of(parts: Sequence[Sampler]) -> Sampler:
    """The product of samplers, products among them taken apart; weights multiply."""
    flat: list[Sampler] = []
    for part in parts:
        flat += part.parts if isinstance(part, Product) else [part]
    weight = math.prod(part.weight for part in parts)
    return Product(tuple(part.reweighted(1.0) for part in flat), weight=weight)


@dataclass(frozen=True, eq=False, repr=False)
class Product(Sampler):
    """Columns of the parts side by side, drawn independently of each other."""

    parts: tuple[Sampler, ...]

    @property
    def dim(self) -> int:
        """See `Sampler.dim`."""
        return sum(part.dim for part in self.parts)

    @property
    def frame(self) -> Frame | None:
        """Pixels if one part counts in them."""
        return frame_of_any(self.parts)

    @property
    def discrete(self) -> tuple[bool, ...]:
        """See `Sampler.discrete`."""
        return tuple(one for part in self.parts for one in part.discrete)

    @property
    def edges(self) -> list[int]:
        """First column of each part, and one past the last."""
        return [0, *np.cumsum([part.dim for part in self.parts]).tolist()]

    def draw(self, bits: Bits, positions: np.ndarray) -> np.ndarray:
        """See `Sampler.draw`."""
        return beside([part.draw(bits.child(number), positions) for number, part in enumerate(self.parts)])

    def draw_columns(self, columns: Sequence[int], bits: Bits, positions: np.ndarray) -> np.ndarray:
        """Some columns of `draw`: of the parts that have them, with their dtypes, which text beside them would hide."""
        owners = (np.searchsorted(self.edges, columns, side="right") - 1).tolist()
        drawn = {number: self.parts[number].draw(bits.child(number), positions) for number in set(owners)}
        inner = (column - self.edges[number] for column, number in zip(columns, owners, strict=True))
        return beside([drawn[number][:, [column]] for number, column in zip(owners, inner, strict=True)])

    @property
    def stack_key(self) -> Hashable | None:
        """See `Sampler.stack_key`: of measured columns and constants, so that the dtype is that of each alone."""
        keys = tuple(part.stack_key for part in self.parts)
        counted = any(any(part.discrete) and not isinstance(part, Constant) for part in self.parts)
        return None if None in keys or counted else (Product, keys)

    @classmethod
    def draw_stacked(cls, laws: Sequence[Sampler], bits: StackedBits, positions: np.ndarray) -> np.ndarray:
        """See `Sampler.draw_stacked`."""
        each = zip(*(law.parts for law in laws if isinstance(law, Product)), strict=True)
        return beside(
            [type(parts[0]).draw_stacked(parts, bits.child(number), positions) for number, parts in enumerate(each)]
        )

    def log_density(self, points: np.ndarray) -> np.ndarray:
        """See `Sampler.log_density`."""
        total = np.zeros(len(points))
        for part, start, stop in zip(self.parts, self.edges[:-1], self.edges[1:], strict=True):
            total = total + part.log_density(points[:, start:stop])
        return total

    def log_condition(self, low: np.ndarray, high: np.ndarray) -> tuple[float, Sampler] | None:
        """See `Sampler.log_condition`."""
        mass = 0.0
        laws: list[Sampler] = []
        for part, start, stop in zip(self.parts, self.edges[:-1], self.edges[1:], strict=True):
            found = part.log_condition(low[start:stop], high[start:stop])
            if found is None:
                return None
            mass, laws = mass + found[0], [*laws, found[1].reweighted(1.0)]
        return mass, Product(tuple(laws), weight=self.weight)

    def structure(self) -> tuple[Any, ...]:
        """See `Sampler.structure`."""
        return self.parts

    def __repr__(self) -> str:
        return " & ".join(f"({part!r})" for part in self.parts)


def columns_of(sampler: Sampler, key: Any) -> Sampler:
    """Columns by number, slice or list; `a[:, key]` is `a[key]`.

    Raises:
        PlanError: no such column, or a key that is none.
    """
    given = key
    if isinstance(key, tuple):
        if len(key) != 2 or key[0] not in (slice(None), Ellipsis):
            raise PlanError(f"columns are chosen by a[1], a[1:], a[[1, 0]] or a[:, 1:]; received a[{shown(given)}]")
        key = key[1]
    try:
        chosen = np.atleast_1d(np.arange(sampler.dim)[key])
    except (IndexError, TypeError, ValueError) as error:
        raise PlanError(
            f"{sampler!r} has columns 0 to {sampler.dim - 1}; columns {shown(given)} cannot be chosen: {error}"
        ) from error
    if chosen.ndim != 1 or not len(chosen):
        raise PlanError(f"at least one column must be chosen; a[{shown(given)}] names none")
    return Columns(sampler, tuple(chosen.tolist()), weight=sampler.weight)


@dataclass(frozen=True, eq=False, repr=False)
class Columns(Sampler):
    """Some columns of a sampler."""

    inner: Sampler
    columns: tuple[int, ...]

    @property
    def dim(self) -> int:
        """See `Sampler.dim`."""
        return len(self.columns)

    @property
    def frame(self) -> Frame | None:
        """See `Sampler.frame`."""
        return self.inner.frame

    @property
    def discrete(self) -> tuple[bool, ...]:
        """See `Sampler.discrete`."""
        return tuple(self.inner.discrete[column] for column in self.columns)

    def draw(self, bits: Bits, positions: np.ndarray) -> np.ndarray:
        """See `Sampler.draw`; a column of one kind stays of its kind."""
        if isinstance(self.inner, Product):
            return self.inner.draw_columns(self.columns, bits, positions)
        drawn = self.inner.draw(bits, positions)[:, list(self.columns)]
        return drawn if drawn.dtype != object else unboxed(drawn)

    def log_density(self, points: np.ndarray) -> np.ndarray:
        """See `Sampler.log_density`: known for whole parts of a product, and for all columns in another order."""
        if sorted(self.columns) == list(range(self.inner.dim)):
            return self.inner.log_density(points[:, np.argsort(self.columns)])
        if isinstance(self.inner, Product) and list(self.columns) == sorted(set(self.columns)):
            chosen, kept = set(self.columns), []
            for part, start, stop in zip(self.inner.parts, self.inner.edges[:-1], self.inner.edges[1:], strict=True):
                inside = chosen & set(range(start, stop))
                if inside and len(inside) < stop - start:
                    return super().log_density(points)
                kept += [part] if inside else []
            return Product(tuple(kept)).log_density(points)
        return super().log_density(points)

    def log_condition(self, low: np.ndarray, high: np.ndarray) -> tuple[float, Sampler] | None:
        """See `Sampler.log_condition`: the other columns are free."""
        wide_low, wide_high = np.full(self.inner.dim, -np.inf), np.full(self.inner.dim, np.inf)
        np.maximum.at(wide_low, list(self.columns), low)
        np.minimum.at(wide_high, list(self.columns), high)
        if (wide_low > wide_high).any():
            return -np.inf, self
        found = self.inner.log_condition(wide_low, wide_high)
        return None if found is None else (found[0], Columns(found[1], self.columns, weight=self.weight))

    def structure(self) -> tuple[Any, ...]:
        """See `Sampler.structure`."""
        return self.inner, self.columns

    def __repr__(self) -> str:
        return f"({self.inner!r})[{list(self.columns)}]"


def unboxed(drawn: np.ndarray) -> np.ndarray:
    """An object array as numbers or text where all of its values are of one kind."""
    plain = np.array(drawn.tolist()) if drawn.size else drawn
    same = len({type(value) for value in drawn.ravel().tolist()}) == 1
    return plain if same and plain.shape == drawn.shape and plain.dtype != object else drawn
