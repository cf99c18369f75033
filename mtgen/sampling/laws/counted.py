"""Laws of counts: poisson, binomial, geometric, negative binomial, hypergeometric; int64 points.

All are exact: by tables of their probabilities, built when they are first needed; where a table would be longer than
`tables.MOST_ENTRIES`, by rejection. Only then can bounds not be met exactly, and are met by rejection too.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, ClassVar

import numpy as np

from mtgen.sampling.bits import Bits, StackedBits, inner_uniforms
from mtgen.sampling.laws.law import Law, as_numbers
from mtgen.sampling.laws.masses import log_binomial, log_hypergeometric, log_negative_binomial, log_poisson
from mtgen.sampling.laws.parameters import CHANCE, CHANCE_ABOVE_ZERO, COUNT, MEAN_COUNT, POSITIVE, Kind
from mtgen.sampling.laws.tables import Table, log_concave, table_of
from mtgen.sampling.sampler import Sampler


class Counted(Law):
    """A law of counts whose log-probabilities rise to the mode and fall after it."""

    @property
    def discrete(self) -> tuple[bool, ...]:
        """See `Sampler.discrete`."""
        return (True,) * self.dim

    log_mass: ClassVar[staticmethod[..., np.ndarray]]
    """Function of (counts, parameters) to log-probabilities."""

    @staticmethod
    @abstractmethod
    def mode(*params: np.ndarray) -> np.ndarray:
        """The likeliest count."""

    @cached_property
    def _tables(self) -> list[Table | None]:
        """The table of each column, None where it would be too long."""
        whole = np.full(self.dim, np.inf)
        return self.tables(-whole, whole)

    def tables(self, low: np.ndarray, high: np.ndarray) -> list[Table | None]:
        """Tables of the counts within bounds, for each column; None where one would be too long."""
        modes = np.broadcast_to(self.mode(*self.params), (self.dim,)).tolist()
        lows, highs = np.ceil(low).tolist(), np.floor(high).tolist()
        return [
            table_of(partial(_mass_of, self, number), modes[number], lows[number], highs[number])
            for number in range(self.dim)
        ]

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_tables"}

    @property
    def stack_key(self) -> Hashable:
        """See `Sampler.stack_key`."""
        return type(self), self.dim

    def draw(self, bits: Bits, positions: np.ndarray) -> np.ndarray:
        """See `Sampler.draw`."""
        u = inner_uniforms(bits.columns(positions, self.dim))
        return self._counts(u, bits, positions)

    def _counts(self, u: np.ndarray, bits: Bits, positions: np.ndarray) -> np.ndarray:
        out = np.empty(u.shape, np.int64)
        for number, table in enumerate(self._tables):
            if table is not None:
                out[:, number] = table.counts(u[:, number])
                continue
            each = [np.full(len(u), param[number]) for param in self.params]
            out[:, number] = log_concave(bits, positions, str(number), self.log_mass, self.mode(*each), *each)
        return out

    @classmethod
    def draw_stacked(cls, laws: Sequence[Sampler], bits: StackedBits, positions: np.ndarray) -> np.ndarray:
        """See `Sampler.draw_stacked`: words at once, then each law by its own table."""
        u = inner_uniforms(bits.columns(positions, laws[0].dim))
        out = np.empty(u.shape, np.int64)
        order = np.argsort(bits.which, kind="stable")
        edges = np.searchsorted(bits.which[order], np.arange(len(laws) + 1)).tolist()
        for number, law in enumerate(laws):
            here = order[edges[number] : edges[number + 1]]
            if len(here) and isinstance(law, Counted):
                out[here] = law._counts(u[here], bits.nodes[number], positions[here])
        return out

    def _log_densities(self, x: np.ndarray) -> np.ndarray:
        return self.log_mass(x, *self.params)

    def log_condition(self, low: np.ndarray, high: np.ndarray) -> tuple[float, Sampler] | None:
        """See `Sampler.log_condition`."""
        tables = self.tables(low, high)
        known = [table for table in tables if table is not None]
        if len(known) < len(tables):
            return None
        law = CountedInside(self, np.ceil(low), np.floor(high), weight=self.weight)
        law.__dict__["_tables"] = known
        return law.log_mass, law


def _mass_of(law: Counted, number: int, k: np.ndarray) -> np.ndarray:
    return law.log_mass(k, *(param[number : number + 1] for param in law.params))


@dataclass(frozen=True, eq=False, repr=False)
class CountedInside(Sampler):
    """Counts within bounds, by tables."""

    inner: Counted
    low: np.ndarray
    high: np.ndarray

    @property
    def dim(self) -> int:
        """See `Sampler.dim`."""
        return self.inner.dim

    @property
    def discrete(self) -> tuple[bool, ...]:
        """See `Sampler.discrete`."""
        return self.inner.discrete

    @cached_property
    def _tables(self) -> list[Table]:
        return [table for table in self.inner.tables(self.low, self.high) if table is not None]

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_tables"}

    @property
    def log_mass(self) -> float:
        """Logarithm of the probability that the law without bounds has between them."""
        return sum(table.log_mass for table in self._tables)

    def draw(self, bits: Bits, positions: np.ndarray) -> np.ndarray:
        """See `Sampler.draw`."""
        u = inner_uniforms(bits.columns(positions, self.dim))
        return np.stack([table.counts(u[:, number]) for number, table in enumerate(self._tables)], axis=1)

    def log_density(self, points: np.ndarray) -> np.ndarray:
        """See `Sampler.log_density`."""
        x = as_numbers(points, self)
        inside = ((x >= self.low) & (x <= self.high)).all(axis=1)
        return np.where(inside, self.inner.log_density(x) - self.log_mass, -np.inf)

    def log_condition(self, low: np.ndarray, high: np.ndarray) -> tuple[float, Sampler] | None:
        """See `Sampler.log_condition`: the intersection, of the law without bounds."""
        found = self.inner.log_condition(np.maximum(low, self.low), np.minimum(high, self.high))
        return None if found is None else (found[0] - self.log_mass, found[1].reweighted(self.weight))

    def structure(self) -> tuple[Any, ...]:
        """See `Sampler.structure`."""
        return self.inner, self.low, self.high

    def __repr__(self) -> str:
        return f"truncated({self.inner!r})"


class Poisson(Counted):
    """Use `poisson`."""

    name = "poisson"
    kinds: ClassVar[Mapping[str, Kind]] = {"lam": MEAN_COUNT}

    log_mass = staticmethod(log_poisson)

    @staticmethod
    def mode(*params: np.ndarray) -> np.ndarray:
        """See `Counted.mode`."""
        return np.floor(params[0])


class Binomial(Counted):
    """Use `binomial`."""

    name = "binomial"
    kinds: ClassVar[Mapping[str, Kind]] = {"n": COUNT, "p": CHANCE}

    log_mass = staticmethod(log_binomial)

    @staticmethod
    def mode(*params: np.ndarray) -> np.ndarray:
        """See `Counted.mode`."""
        n, p = params
        return np.minimum(np.floor((n + 1) * p), n)


def _log_geometric(k: np.ndarray, p: np.ndarray) -> np.ndarray:
    fits = (k >= 1) & (k == np.floor(k)) & (k < np.inf)
    with np.errstate(all="ignore"):
        tail = np.where(k == 1, 0, (k - 1) * np.log1p(-p))
        return np.where(fits, tail + np.log(p), -np.inf)


class Geometric(Counted):
    """Use `geometric`."""

    name = "geometric"
    kinds: ClassVar[Mapping[str, Kind]] = {"p": CHANCE_ABOVE_ZERO}

    log_mass = staticmethod(_log_geometric)

    @staticmethod
    def mode(*params: np.ndarray) -> np.ndarray:
        """See `Counted.mode`."""
        return np.ones_like(params[0])

    def _counts(self, u: np.ndarray, bits: Bits, positions: np.ndarray) -> np.ndarray:
        with np.errstate(divide="ignore"):
            # A failure more for each multiple of -log(1 - p) that an exponential number holds.
            return 1 + np.floor(np.log1p(-u) / np.log1p(-self.params[0])).astype(np.int64)

    def log_condition(self, low: np.ndarray, high: np.ndarray) -> tuple[float, Sampler] | None:
        """See `Sampler.log_condition`: without an upper bound the same law again, further on."""
        first = np.maximum(np.ceil(low), 1)
        if not np.isposinf(high).all() or not (first < 2.0**62).all():
            return super().log_condition(low, high)
        failures = first - 1
        with np.errstate(all="ignore"):
            mass = np.where(failures == 0, 0, failures * np.log1p(-self.params[0])).sum()
        return float(mass), self + failures.astype(np.int64) if failures.any() else self


class NegativeBinomial(Counted):
    """Use `negative_binomial`."""

    name = "negative_binomial"
    kinds: ClassVar[Mapping[str, Kind]] = {"n": POSITIVE, "p": CHANCE_ABOVE_ZERO}

    log_mass = staticmethod(log_negative_binomial)

    def _check(self) -> None:
        n, p = self.params
        self._refuse(n * (1 - p) / p > 2.0**52, "the mean n (1 - p) / p must not be above 2**52")
        # Below one success the log-probabilities are not concave, so there is nothing but the table.
        self._refuse((n < 1) & (p < 2.0**-11), "n below 1 is known for p >= 2**-11 only (take scipy('nbinom', n, p))")

    @staticmethod
    def mode(*params: np.ndarray) -> np.ndarray:
        """See `Counted.mode`."""
        n, p = params
        return np.floor(np.maximum(n - 1, 0) * (1 - p) / p)


class Hypergeometric(Counted):
    """Use `hypergeometric`."""

    name = "hypergeometric"
    kinds: ClassVar[Mapping[str, Kind]] = {"ngood": COUNT, "nbad": COUNT, "nsample": COUNT}

    log_mass = staticmethod(log_hypergeometric)

    def _check(self) -> None:
        good, bad, drawn = self.params
        self._refuse(drawn > good + bad, "nsample must not be above ngood + nbad")

    @staticmethod
    def mode(*params: np.ndarray) -> np.ndarray:
        """See `Counted.mode`."""
        good, bad, drawn = params
        middle = np.floor((drawn + 1) * ((good + 1) / (good + bad + 2)))
        return np.clip(middle, np.maximum(0, drawn - bad), np.minimum(good, drawn))


def poisson(lam: Any = 1.0, dim: int | None = None) -> Poisson:
    """The law of counts with mean `lam`, >= 0 and at most 2**52. Columns and errors as in `normal`.

    Example:
        >>> poisson(3).sample(2, seed=0).dtype
        dtype('int64')
    """
    return Poisson.of(dim, lam=lam)


def binomial(n: Any, p: Any, dim: int | None = None) -> Binomial:
    """The law of the number of successes in `n` trials of probability `p`. Columns and errors as in `normal`.

    Example:
        >>> binomial(10, 0.5).truncate(low=10).sample(2).ravel().tolist()
        [10, 10]
    """
    return Binomial.of(dim, n=n, p=p)


def geometric(p: Any, dim: int | None = None) -> Geometric:
    """The law of the number of the first success, 1 at least; `p` is 2**-53 at least. Columns as in `normal`.

    Example:
        >>> geometric(1).sample(2).ravel().tolist()
        [1, 1]
    """
    return Geometric.of(dim, p=p)


def negative_binomial(n: Any, p: Any, dim: int | None = None) -> NegativeBinomial:
    """The law of the failures before success `n`, a real number > 0. Columns and errors as in `normal`.

    Example:
        >>> negative_binomial(1, 1).sample(2).ravel().tolist()
        [0, 0]
    """
    return NegativeBinomial.of(dim, n=n, p=p)


def hypergeometric(ngood: Any, nbad: Any, nsample: Any, dim: int | None = None) -> Hypergeometric:
    """The law of the good ones among `nsample` drawn without replacement. Columns and errors as in `normal`.

    Example:
        >>> hypergeometric(3, 0, 2).sample(2).ravel().tolist()
        [2, 2]
    """
    return Hypergeometric.of(dim, ngood=ngood, nbad=nbad, nsample=nsample)
