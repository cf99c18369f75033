"""Laws that are a function of an exponential number: exponential, weibull, rayleigh, pareto, power, gumbel."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from mtgen.sampling.laws.law import Continuous
from mtgen.sampling.laws.parameters import POSITIVE, REAL, Kind


class OfExponential(Continuous):
    """A monotone function of a standard exponential number.

    Attributes:
        falling: whether it falls where that number rises.
    """

    falling: ClassVar[bool] = False

    @classmethod
    @abstractmethod
    def of_exponential(cls, e: np.ndarray, *params: np.ndarray) -> np.ndarray:
        """The point of a standard exponential number."""

    @classmethod
    @abstractmethod
    def exponential_of(cls, x: np.ndarray, *params: np.ndarray) -> np.ndarray:
        """The standard exponential number of a point; 0 or infinity outside the support."""

    @classmethod
    def quantile(cls, u: np.ndarray, *params: np.ndarray) -> np.ndarray:
        """See `Continuous.quantile`."""
        return cls.of_exponential(-np.log(u) if cls.falling else -np.log1p(-u), *params)

    @classmethod
    def lower(cls, logs: np.ndarray, *params: np.ndarray) -> np.ndarray:
        """See `Continuous.lower`."""
        return cls.of_exponential(-logs if cls.falling else -np.log1p(-np.exp(logs)), *params)

    @classmethod
    def upper(cls, logs: np.ndarray, *params: np.ndarray) -> np.ndarray:
        """See `Continuous.upper`."""
        return cls.of_exponential(-np.log1p(-np.exp(logs)) if cls.falling else -logs, *params)

    @classmethod
    def log_below(cls, x: np.ndarray, *params: np.ndarray) -> np.ndarray:
        """See `Continuous.log_below`."""
        e = cls.exponential_of(x, *params)
        return -e if cls.falling else np.log(-np.expm1(-e))

    @classmethod
    def log_above(cls, x: np.ndarray, *params: np.ndarray) -> np.ndarray:
        """See `Continuous.log_above`."""
        e = cls.exponential_of(x, *params)
        return np.log(-np.expm1(-e)) if cls.falling else -e


class Exponential(OfExponential):
    """Use `exponential`."""

    name = "exponential"
    kinds: ClassVar[Mapping[str, Kind]] = {"scale": POSITIVE}

    @classmethod
    def of_exponential(cls, e: np.ndarray, *params: np.ndarray) -> np.ndarray:
        """See `OfExponential.of_exponential`."""
        return params[0] * e

    @classmethod
    def exponential_of(cls, x: np.ndarray, *params: np.ndarray) -> np.ndarray:
        """See `OfExponential.exponential_of`."""
        return np.maximum(x, 0) / params[0]

    @classmethod
    def log_pdf(cls, x: np.ndarray, *params: np.ndarray) -> np.ndarray:
        """See `Continuous.log_pdf`."""
        return np.where(x >= 0, -x / params[0] - np.log(params[0]), -np.inf)


class Weibull(OfExponential):
    """Use `weibull`."""

    name = "weibull"
    kinds: ClassVar[Mapping[str, Kind]] = {"a": POSITIVE}

    @classmethod
    def of_exponential(cls, e: np.ndarray, *params: np.ndarray) -> np.ndarray:
        """See `OfExponential.of_exponential`."""
        return np.exp(np.log(e) / params[0])

    @classmethod
    def exponential_of(cls, x: np.ndarray, *params: np.ndarray) -> np.ndarray:
        """See `OfExponential.exponential_of`."""
        return np.exp(np.log(np.maximum(x, 0)) * params[0])

    @classmethod
    def log_pdf(cls, x: np.ndarray, *params: np.ndarray) -> np.ndarray:
        """See `Continuous.log_pdf`."""
        (a,) = params
        logs = np.log(np.maximum(x, 0))
        tail = np.where(a == 1, 0, (a - 1) * logs)  # 0 * -inf is no number
        return np.where((x >= 0) & (x < np.inf), np.log(a) + tail - np.exp(a * logs), -np.inf)


class Rayleigh(OfExponential):
    """Use `rayleigh`."""

    name = "rayleigh"
    kinds: ClassVar[Mapping[str, Kind]] = {"scale": POSITIVE}

    @classmethod
    def of_exponential(cls, e: np.ndarray, *params: np.ndarray) -> np.ndarray:
        """See `OfExponential.of_exponential`."""
        return params[0] * np.sqrt(2 * e)

    @classmethod
    def exponential_of(cls, x: np.ndarray, *params: np.ndarray) -> np.ndarray:
        """See `OfExponential.exponential_of`."""
        z = np.maximum(x, 0) / params[0]
        return 0.5 * z * z

    @classmethod
    def log_pdf(cls, x: np.ndarray, *params: np.ndarray) -> np.ndarray:
        """See `Continuous.log_pdf`."""
        z = x / params[0]
        logs = np.log(np.maximum(z, 0)) - 0.5 * z * z - np.log(params[0])
        return np.where((x > 0) & (x < np.inf), logs, -np.inf)


class Pareto(OfExponential):
    """Use `pareto`."""

    name = "pareto"
    kinds: ClassVar[Mapping[str, Kind]] = {"a": POSITIVE}

    @classmethod
    def of_exponential(cls, e: np.ndarray, *params: np.ndarray) -> np.ndarray:
        """See `OfExponential.of_exponential`."""
        return np.expm1(e / params[0])

    @classmethod
    def exponential_of(cls, x: np.ndarray, *params: np.ndarray) -> np.ndarray:
        """See `OfExponential.exponential_of`."""
        return params[0] * np.log1p(np.maximum(x, 0))

    @classmethod
    def log_pdf(cls, x: np.ndarray, *params: np.ndarray) -> np.ndarray:
        """See `Continuous.log_pdf`."""
        (a,) = params
        return np.where(x >= 0, np.log(a) - (a + 1) * np.log1p(np.maximum(x, 0)), -np.inf)


class Power(OfExponential):
    """Use `power`."""

    name = "power"
    kinds: ClassVar[Mapping[str, Kind]] = {"a": POSITIVE}
    falling = True

    @classmethod
    def of_exponential(cls, e: np.ndarray, *params: np.ndarray) -> np.ndarray:
        """See `OfExponential.of_exponential`."""
        return np.exp(-e / params[0])

    @classmethod
    def exponential_of(cls, x: np.ndarray, *params: np.ndarray) -> np.ndarray:
        """See `OfExponential.exponential_of`."""
        return -params[0] * np.log(np.clip(x, 0, 1))

    @classmethod
    def log_pdf(cls, x: np.ndarray, *params: np.ndarray) -> np.ndarray:
        """See `Continuous.log_pdf`."""
        (a,) = params
        tail = np.where(a == 1, 0, (a - 1) * np.log(np.clip(x, 0, 1)))
        return np.where((x >= 0) & (x <= 1), np.log(a) + tail, -np.inf)


class Gumbel(OfExponential):
    """Use `gumbel`."""

    name = "gumbel"
    kinds: ClassVar[Mapping[str, Kind]] = {"loc": REAL, "scale": POSITIVE}
    falling = True

    @classmethod
    def of_exponential(cls, e: np.ndarray, *params: np.ndarray) -> np.ndarray:
        """See `OfExponential.of_exponential`."""
        loc, scale = params
        return loc - scale * np.log(e)

    @classmethod
    def exponential_of(cls, x: np.ndarray, *params: np.ndarray) -> np.ndarray:
        """See `OfExponential.exponential_of`."""
        loc, scale = params
        return np.exp((loc - x) / scale)

    @classmethod
    def log_pdf(cls, x: np.ndarray, *params: np.ndarray) -> np.ndarray:
        """See `Continuous.log_pdf`."""
        loc, scale = params
        z = (x - loc) / scale
        return np.where(z > -np.inf, -z - np.exp(-z) - np.log(scale), -np.inf)


def exponential(scale: Any = 1.0, dim: int | None = None) -> Exponential:
    """The exponential law with mean `scale`, > 0. Columns and errors as in `normal`.

    Example:
        >>> exponential([1, 10]).sample(3).shape
        (3, 2)
    """
    return Exponential.of(dim, scale=scale)


def weibull(a: Any, dim: int | None = None) -> Weibull:
    """The law of E**(1 / a), E exponential: NumPy's, on positive numbers. Columns and errors as in `normal`.

    BatchFlow's alias "w" meant the two-sided law (`dweibull`) in its SciPy form; that is `scipy("w", c=a)` here.

    Example:
        >>> bool((weibull(2).sample(9) > 0).all())
        True
    """
    return Weibull.of(dim, a=a)


def rayleigh(scale: Any = 1.0, dim: int | None = None) -> Rayleigh:
    """The law of the length of two independent normal numbers. Columns and errors as in `normal`.

    Example:
        >>> rayleigh(2)
        rayleigh(scale=2, dim=1)
    """
    return Rayleigh.of(dim, scale=scale)


def pareto(a: Any, dim: int | None = None) -> Pareto:
    """The law with 1 - F(x) = (1 + x)**-a, which NumPy calls pareto (Lomax). Columns and errors as in `normal`.

    Example:
        >>> pareto(3).log_prob([[0.0]]).round(3).tolist()
        [1.099]
    """
    return Pareto.of(dim, a=a)


def power(a: Any, dim: int | None = None) -> Power:
    """The law with F(x) = x**a on [0, 1]. Columns and errors as in `normal`.

    Example:
        >>> power(2).sample(3).shape
        (3, 1)
    """
    return Power.of(dim, a=a)


def gumbel(loc: Any = 0.0, scale: Any = 1.0, dim: int | None = None) -> Gumbel:
    """The law of largest values, F(x) = exp(-exp(-(x - loc) / scale)). Columns and errors as in `normal`.

    Example:
        >>> gumbel(dim=2).dim
        2
    """
    return Gumbel.of(dim, loc=loc, scale=scale)
