"""One of some values, and whole numbers in a range: choice and integers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from mtgen.errors import PlanError
from mtgen.sampling.bits import Bits, below
from mtgen.sampling.laws.joint import probabilities
from mtgen.sampling.laws.law import as_numbers
from mtgen.sampling.laws.parameters import agreed_dim, frozen, numbers_of, written
from mtgen.sampling.product import product_of
from mtgen.sampling.sampler import Sampler
from mtgen.settings import check_flag, check_whole, shown


@dataclass(frozen=True, eq=False, repr=False)
class Integers(Sampler):
    """Use `integers`.

    Attributes:
        low: int64 `(dim,)`, the smallest.
        high: int64 `(dim,)`, the largest, itself included.
    """

    low: np.ndarray
    high: np.ndarray

    @property
    def dim(self) -> int:
        """See `Sampler.dim`."""
        return len(self.low)

    @property
    def discrete(self) -> tuple[bool, ...]:
        """See `Sampler.discrete`."""
        return (True,) * self.dim

    @property
    def counts(self) -> np.ndarray:
        """Values of each column, uint64."""
        return self.high.astype(np.uint64) - self.low.astype(np.uint64) + np.uint64(1)

    def draw(self, bits: Bits, positions: np.ndarray) -> np.ndarray:
        """See `Sampler.draw`."""
        with np.errstate(over="ignore"):
            return self.low + below(bits.columns(positions, self.dim), self.counts)

    def log_density(self, points: np.ndarray) -> np.ndarray:
        """See `Sampler.log_density`."""
        exact = points.dtype.kind in "iu"  # float64 does not hold all of them
        x = points if exact else as_numbers(points, self)
        inside = (x >= self.low) & (x <= self.high) & (True if exact else x == np.floor(x))
        return np.where(inside.all(axis=1), -np.log(self.counts.astype(np.float64)).sum(), -np.inf)

    def log_condition(self, low: np.ndarray, high: np.ndarray) -> tuple[float, Sampler] | None:
        """See `Sampler.log_condition`."""
        lows = [max(one, _whole(np.ceil(bound))) for one, bound in zip(self.low.tolist(), low, strict=True)]
        highs = [min(one, _whole(np.floor(bound))) for one, bound in zip(self.high.tolist(), high, strict=True)]
        if any(first > last for first, last in zip(lows, highs, strict=True)):
            return -np.inf, self
        law = Integers(frozen(np.array(lows, np.int64)), frozen(np.array(highs, np.int64)), weight=self.weight)
        mass = np.log(law.counts.astype(np.float64)) - np.log(self.counts.astype(np.float64))
        return float(mass.sum()), law

    def structure(self) -> tuple[Any, ...]:
        """See `Sampler.structure`."""
        return self.low, self.high

    def __repr__(self) -> str:
        after = np.array([one + 1 for one in self.high.tolist()], object)
        return f"integers(low={written(self.low)}, high={written(after)}, dim={self.dim})"


def _whole(bound: float) -> int:
    """A rounded bound as an int that may stand beside int64 numbers."""
    return int(min(max(bound, -(2.0**64)), 2.0**64))


def integers(low: Any, high: Any = None, dim: int | None = None, *, endpoint: bool = False) -> Integers:
    """Whole numbers from `low` to below `high`, all alike; `integers(5)` is 0 to 4.

    Args:
        low: whole number, or one for each column.
        high: the end, itself left out.
        dim: columns; as many as the bounds have if left out.
        endpoint: take `high` too.

    Raises:
        PlanError: no whole numbers, none between them, or columns that do not agree.

    Example:
        >>> integers(3, 5).sample(4, seed=0).dtype
        dtype('int64')
    """
    given = {"low": 0 if high is None else low, "high": low if high is None else high}
    arrays = {}
    for name, value in given.items():
        array = arrays[name] = numbers_of("integers", name, value)
        if array.dtype.kind not in "iu" or array.ndim > 1:
            raise PlanError(
                f"{name} of integers must be a whole number, or one for each column; received {shown(value)}"
            )
    columns = agreed_dim("integers", {name: len(one) for name, one in arrays.items() if one.ndim}, dim)
    lows, highs = ([int(one) for one in np.broadcast_to(array, (columns,))] for array in arrays.values())
    highs = [one if check_flag("endpoint", endpoint) else one - 1 for one in highs]
    if any(first > last or last >= 2**63 for first, last in zip(lows, highs, strict=True)):
        raise PlanError(f"integers needs low below high, and values of 64 bits; received low={low!r} and high={high!r}")
    if any(last - first >= 2**63 for first, last in zip(lows, highs, strict=True)):
        raise PlanError(f"integers needs fewer than 2**63 values; received low={low!r} and high={high!r}")
    return Integers(frozen(np.array(lows, np.int64)), frozen(np.array(highs, np.int64)))


@dataclass(frozen=True, eq=False, repr=False)
class Choice(Sampler):
    """Use `choice`.

    Attributes:
        values: `(k, dim)`.
        p: probability of each, float64 `(k,)`; None if all have the same.
    """

    values: np.ndarray
    p: np.ndarray | None

    @property
    def dim(self) -> int:
        """See `Sampler.dim`."""
        return int(self.values.shape[1])

    @property
    def discrete(self) -> tuple[bool, ...]:
        """See `Sampler.discrete`."""
        return (True,) * self.dim

    @cached_property
    def _cumulative(self) -> np.ndarray:
        cumulative = np.cumsum(np.ones(1) if self.p is None else self.p)
        return cumulative / cumulative[-1]

    @cached_property
    def _chances(self) -> dict[Any, float]:
        """Log-probability of each value that can come."""
        total: dict[Any, float] = {}
        each = [1 / len(self.values)] * len(self.values) if self.p is None else self.p.tolist()
        for value, chance in zip(_hashable(self.values), each, strict=True):
            total[value] = total.get(value, 0.0) + chance
        return {value: float(np.log(chance)) for value, chance in total.items() if chance > 0}

    def draw(self, bits: Bits, positions: np.ndarray) -> np.ndarray:
        """See `Sampler.draw`."""
        if self.p is None:
            return self.values[below(bits.words(positions), len(self.values))]
        # From the right, so that a value without a probability is passed over.
        return self.values[np.searchsorted(self._cumulative, bits.uniforms(positions), side="right")]

    def log_density(self, points: np.ndarray) -> np.ndarray:
        """See `Sampler.log_density`."""
        return np.array([self._chances.get(value, -np.inf) for value in _hashable(points)], np.float64)

    def log_condition(self, low: np.ndarray, high: np.ndarray) -> tuple[float, Sampler] | None:
        """See `Sampler.log_condition`: the values inside; not known of text."""
        if self.values.dtype.kind not in "biuf":
            return None
        inside = np.all((self.values >= low) & (self.values <= high), axis=1)
        chances = np.full(len(inside), 1 / len(inside)) if self.p is None else self.p
        mass = float(chances[inside].sum())
        if not mass > 0:
            return -np.inf, self
        p = None if self.p is None else frozen(self.p[inside] / self.p[inside].sum())
        return min(float(np.log(mass / chances.sum())), 0.0), Choice(frozen(self.values[inside]), p, weight=self.weight)

    def structure(self) -> tuple[Any, ...]:
        """See `Sampler.structure`."""
        return self.values, self.p

    def __repr__(self) -> str:
        values = self.values[:, 0] if self.dim == 1 else self.values
        shown = values.tolist() if len(values) <= 10 else f"{values[:10].tolist()} and {len(values) - 10} more"
        return f"choice({shown}{'' if self.p is None else f', p={self.p.tolist() if len(self.p) <= 10 else ...}'})"


def _hashable(points: np.ndarray) -> list[Any]:
    values = points.tolist()
    return [one[0] if len(one) == 1 else tuple(one) for one in values]


def choice(values: Any, p: Any = None, dim: int | None = None) -> Sampler:
    """One of some values of any kind: numbers, text, or both; or one row of a table of them.

    Args:
        values: a list, an array `(k,)`, or `(k, columns)` whose rows are the points; a number k means 0 to k - 1.
        p: probability of each value, summing to 1; None for all alike.
        dim: for a list of values, columns that are drawn independently.

    Raises:
        PlanError: no values, probabilities that do not fit, or `dim` for rows.

    Example:
        >>> choice(["cube A", "cube B"], p=[0, 1]).sample(1).tolist()
        [['cube B']]
    """
    table = _table(values)
    chances = None if p is None else probabilities("choice", "p", p)
    if chances is not None and len(chances) != len(table):
        raise PlanError(f"choice: p has {len(chances)} probabilities for {len(table)} values")
    law = Choice(frozen(table), chances)
    if dim is None or dim == law.dim:
        return law
    check_whole("dim", dim, 1)
    if law.dim > 1:
        raise PlanError(f"choice: the rows of values have {law.dim} columns, and dim={dim}; leave dim out")
    return product_of([law] * dim)


def _table(values: Any) -> np.ndarray:
    if isinstance(values, int | np.integer) and not isinstance(values, bool):
        return np.arange(check_whole("values", values, 1))[:, None]
    if isinstance(values, str | bytes) or not isinstance(values, Sequence | np.ndarray):
        raise PlanError(f"choice needs a list or an array of values, or a number of them; received {shown(values)}")
    array = values if isinstance(values, np.ndarray) else _kept(values)
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim != 2 or not array.size or array.dtype.kind not in "biufUSO":
        raise PlanError(
            f"choice needs one value or more, in an array (k,) or (k, columns); received {shown(values)} of shape "
            f"{array.shape}"
        )
    if array.dtype.kind == "f" and np.isnan(array).any():
        raise PlanError(f"choice: values must hold no NaN, received {shown(values)}")
    return array


def _kept(values: Sequence[Any]) -> np.ndarray:
    """A list as an array in which text stays text and numbers stay numbers."""
    try:
        array = np.array(values)
    except ValueError:  # rows of different lengths
        array = np.array([])
    flat = [one for value in values for one in (value if isinstance(value, list | tuple) else [value])]
    kinds = {
        "text" if isinstance(one, str) else "bool" if isinstance(one, bool | np.bool_) else "other" for one in flat
    }
    if array.size and array.dtype.kind in "biufUS" and len(kinds) == 1:
        return array
    shape = array.shape[:2] if array.ndim > 1 else (len(values),)
    out = np.empty(len(flat), object)
    out[:] = flat
    return out.reshape(shape) if out.size == np.prod(shape) else np.empty((0,))
