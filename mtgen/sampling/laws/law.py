"""The base of laws over numbers: columns independent of each other, each with parameters of its own."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from mtgen.errors import PlanError
from mtgen.sampling.bits import Bits, StackedBits, inner_uniforms
from mtgen.sampling.laws.parameters import Kind, columns_of, written
from mtgen.sampling.sampler import Sampler


@dataclass(frozen=True, eq=False, repr=False)
class Law(Sampler):
    """A law over numbers. Use the functions, such as `mtgen.sampling.normal`.

    Attributes:
        params: the parameters, each float64 `(dim,)`.
        name: of the function that builds it.
        kinds: names of the parameters, and what they may be.
    """

    params: tuple[np.ndarray, ...]

    name: ClassVar[str]
    kinds: ClassVar[Mapping[str, Kind]]

    @classmethod
    def of(cls, dim: int | None, **given: Any) -> Self:
        """The law with these parameters.

        Raises:
            PlanError: parameters that do not fit.
        """
        law = cls(tuple(columns_of(cls.name, cls.kinds, given, dim)))
        law._check()
        return law

    def _check(self) -> None:
        """Refuse parameters that do not fit each other."""

    def _refuse(self, wrong: np.ndarray, text: str) -> None:
        if wrong.any():
            raise PlanError(f"{self.name}: {text}; received {self!r}")

    @property
    def dim(self) -> int:
        """See `Sampler.dim`."""
        return len(self.params[0])

    def log_density(self, points: np.ndarray) -> np.ndarray:
        """See `Sampler.log_density`."""
        x = as_numbers(points, self)
        with np.errstate(all="ignore"):
            total = np.asarray(self._log_densities(x).sum(axis=1))
        total[np.isnan(x).any(axis=1)] = -np.inf
        return total

    @abstractmethod
    def _log_densities(self, x: np.ndarray) -> np.ndarray:
        """For each coordinate of points `(n, dim)`; what stands for NaN does not matter."""

    def structure(self) -> tuple[Any, ...]:
        """See `Sampler.structure`."""
        return self.params

    def __repr__(self) -> str:
        params = [f"{name}={written(param)}" for name, param in zip(self.kinds, self.params, strict=True)]
        return f"{self.name}({', '.join([*params, f'dim={self.dim}'])})"


def as_numbers(points: np.ndarray, law: Sampler) -> np.ndarray:
    """Points as float64, in a law over numbers.

    Raises:
        PlanError: text.
    """
    try:
        return np.asarray(points, np.float64)
    except (TypeError, ValueError) as error:
        raise PlanError(f"{law!r} is over numbers; log_prob received points of {points.dtype}: {error}") from error


def column(param: np.ndarray, number: int, num: int) -> np.ndarray:
    """A parameter at each of `num` positions in one column, `(num,)`."""
    return np.broadcast_to(param[..., number], (num,))


@dataclass(frozen=True, eq=False, repr=False)
class Elementwise(Law):
    """A law whose points are computed with parameters that may differ from position to position."""

    def draw(self, bits: Bits, positions: np.ndarray) -> np.ndarray:
        """See `Sampler.draw`."""
        return self._points(bits, positions, self.params)

    @property
    def stack_key(self) -> Hashable:
        """See `Sampler.stack_key`."""
        return type(self), self.dim

    @classmethod
    def draw_stacked(cls, laws: Sequence[Sampler], bits: StackedBits, positions: np.ndarray) -> np.ndarray:
        """See `Sampler.draw_stacked`: the parameters of each position's law, and one call."""
        each = zip(*(law.params for law in laws if isinstance(law, Law)), strict=True)
        return cls._points(bits, positions, tuple(np.stack(columns)[bits.which] for columns in each))

    @classmethod
    @abstractmethod
    def _points(cls, bits: Bits, positions: np.ndarray, params: tuple[np.ndarray, ...]) -> np.ndarray:
        """Points at positions, `(n, dim)`; each parameter is `(dim,)`, or `(n, dim)` where positions differ in it."""


@dataclass(frozen=True, eq=False, repr=False)
class Continuous(Elementwise):
    """A law whose distribution and quantiles are known in closed form, in both tails.

    Conditions on it are exact: a point is drawn by the quantile between the probabilities of the bounds.
    """

    smooth: ClassVar[bool] = True
    """Whether the density is smooth on either side of the median."""

    @classmethod
    def _points(cls, bits: Bits, positions: np.ndarray, params: tuple[np.ndarray, ...]) -> np.ndarray:
        return cls.quantile(inner_uniforms(bits.columns(positions, params[0].shape[-1])), *params)

    @classmethod
    @abstractmethod
    def quantile(cls, u: np.ndarray, *params: np.ndarray) -> np.ndarray:
        """The number below which the probability u lies, u inside (0, 1)."""

    @classmethod
    @abstractmethod
    def lower(cls, logs: np.ndarray, *params: np.ndarray) -> np.ndarray:
        """The number below which the probability exp(logs) lies."""

    @classmethod
    @abstractmethod
    def upper(cls, logs: np.ndarray, *params: np.ndarray) -> np.ndarray:
        """The number above which the probability exp(logs) lies."""

    @classmethod
    @abstractmethod
    def log_below(cls, x: np.ndarray, *params: np.ndarray) -> np.ndarray:
        """Logarithm of the probability below x, `(dim,)`, also at infinities and outside the support."""

    @classmethod
    @abstractmethod
    def log_above(cls, x: np.ndarray, *params: np.ndarray) -> np.ndarray:
        """Logarithm of the probability above x, `(dim,)`."""

    @classmethod
    @abstractmethod
    def log_pdf(cls, x: np.ndarray, *params: np.ndarray) -> np.ndarray:
        """Logarithm of the density, -inf outside the support."""

    def _log_densities(self, x: np.ndarray) -> np.ndarray:
        return self.log_pdf(x, *self.params)

    def log_condition(self, low: np.ndarray, high: np.ndarray) -> tuple[float, Sampler] | None:
        """See `Sampler.log_condition`."""
        from mtgen.sampling.laws.truncated import Truncated

        law = Truncated(self, np.array(low, np.float64), np.array(high, np.float64), weight=self.weight)
        return law.log_mass, law
