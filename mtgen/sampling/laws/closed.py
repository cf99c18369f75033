"""Laws with a location and a scale, by their quantiles: uniform, laplace, logistic, cauchy, triangular."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from mtgen.sampling.laws.law import Continuous
from mtgen.sampling.laws.parameters import POSITIVE, REAL, Kind
from mtgen.sampling.sampler import Sampler

_LOG_2 = float(np.log(2.0))


class Uniform(Continuous):
    """Use `uniform`."""

    name = "uniform"
    kinds: ClassVar[Mapping[str, Kind]] = {"low": REAL, "high": REAL}

    def _check(self) -> None:
        low, high = self.params
        self._refuse(low >= high, "low must be below high (for one value there is constant)")
        self._refuse(~np.isfinite(high - low), "low and high must not be so far apart")

    @classmethod
    def quantile(cls, u: np.ndarray, *params: np.ndarray) -> np.ndarray:
        """See `Continuous.quantile`: below `high` even where the sum rounds up to it."""
        low, high = params
        return np.minimum(low + (high - low) * u, np.nextafter(high, low))

    @classmethod
    def lower(cls, logs: np.ndarray, *params: np.ndarray) -> np.ndarray:
        """See `Continuous.lower`."""
        low, high = params
        return low + (high - low) * np.exp(logs)

    @classmethod
    def upper(cls, logs: np.ndarray, *params: np.ndarray) -> np.ndarray:
        """See `Continuous.upper`."""
        low, high = params
        return high - (high - low) * np.exp(logs)

    @classmethod
    def log_below(cls, x: np.ndarray, *params: np.ndarray) -> np.ndarray:
        """See `Continuous.log_below`."""
        low, high = params
        return np.log(np.clip((x - low) / (high - low), 0, 1))

    @classmethod
    def log_above(cls, x: np.ndarray, *params: np.ndarray) -> np.ndarray:
        """See `Continuous.log_above`."""
        low, high = params
        return np.log(np.clip((high - x) / (high - low), 0, 1))

    @classmethod
    def log_pdf(cls, x: np.ndarray, *params: np.ndarray) -> np.ndarray:
        """See `Continuous.log_pdf`."""
        low, high = params
        return np.where((x >= low) & (x <= high), -np.log(high - low), -np.inf)

    def log_condition(self, low: np.ndarray, high: np.ndarray) -> tuple[float, Sampler] | None:
        """See `Sampler.log_condition`: uniform again."""
        inner, outer = np.maximum(low, self.params[0]), np.minimum(high, self.params[1])
        if (inner >= outer).any():
            return -np.inf, self
        mass = np.log((outer - inner) / (self.params[1] - self.params[0])).sum()
        return float(mass), Uniform((inner, outer), weight=self.weight)


class Laplace(Continuous):
    """Use `laplace`."""

    name = "laplace"
    kinds: ClassVar[Mapping[str, Kind]] = {"loc": REAL, "scale": POSITIVE}

    @classmethod
    def quantile(cls, u: np.ndarray, *params: np.ndarray) -> np.ndarray:
        """See `Continuous.quantile`."""
        loc, scale = params
        tail = np.log(2 * np.minimum(u, 1 - u))
        return loc + scale * np.where(u < 0.5, tail, -tail)

    @classmethod
    def lower(cls, logs: np.ndarray, *params: np.ndarray) -> np.ndarray:
        """See `Continuous.lower`."""
        loc, scale = params
        return loc + scale * (logs + _LOG_2)

    @classmethod
    def upper(cls, logs: np.ndarray, *params: np.ndarray) -> np.ndarray:
        """See `Continuous.upper`."""
        loc, scale = params
        return loc - scale * (logs + _LOG_2)

    @classmethod
    def log_below(cls, x: np.ndarray, *params: np.ndarray) -> np.ndarray:
        """See `Continuous.log_below`."""
        loc, scale = params
        z = (x - loc) / scale
        return np.where(z < 0, z - _LOG_2, np.log1p(-0.5 * np.exp(-np.abs(z))))

    @classmethod
    def log_above(cls, x: np.ndarray, *params: np.ndarray) -> np.ndarray:
        """See `Continuous.log_above`."""
        loc, scale = params
        return cls.log_below(-x, -loc, scale)

    @classmethod
    def log_pdf(cls, x: np.ndarray, *params: np.ndarray) -> np.ndarray:
        """See `Continuous.log_pdf`."""
        loc, scale = params
        return -np.abs((x - loc) / scale) - np.log(2 * scale)


class Logistic(Continuous):
    """Use `logistic`."""

    name = "logistic"
    kinds: ClassVar[Mapping[str, Kind]] = {"loc": REAL, "scale": POSITIVE}

    @classmethod
    def quantile(cls, u: np.ndarray, *params: np.ndarray) -> np.ndarray:
        """See `Continuous.quantile`."""
        loc, scale = params
        return loc + scale * (np.log(u) - np.log(1 - u))

    @classmethod
    def lower(cls, logs: np.ndarray, *params: np.ndarray) -> np.ndarray:
        """See `Continuous.lower`."""
        loc, scale = params
        return loc + scale * (logs - np.log(-np.expm1(logs)))

    @classmethod
    def upper(cls, logs: np.ndarray, *params: np.ndarray) -> np.ndarray:
        """See `Continuous.upper`."""
        loc, scale = params
        return loc - scale * (logs - np.log(-np.expm1(logs)))

    @classmethod
    def log_below(cls, x: np.ndarray, *params: np.ndarray) -> np.ndarray:
        """See `Continuous.log_below`."""
        loc, scale = params
        return -np.logaddexp(0, (loc - x) / scale)

    @classmethod
    def log_above(cls, x: np.ndarray, *params: np.ndarray) -> np.ndarray:
        """See `Continuous.log_above`."""
        loc, scale = params
        return -np.logaddexp(0, (x - loc) / scale)

    @classmethod
    def log_pdf(cls, x: np.ndarray, *params: np.ndarray) -> np.ndarray:
        """See `Continuous.log_pdf`."""
        loc, scale = params
        z = np.abs((x - loc) / scale)
        return -z - 2 * np.log1p(np.exp(-z)) - np.log(scale)


class Cauchy(Continuous):
    """Use `cauchy`."""

    name = "cauchy"
    kinds: ClassVar[Mapping[str, Kind]] = {"loc": REAL, "scale": POSITIVE}

    @classmethod
    def quantile(cls, u: np.ndarray, *params: np.ndarray) -> np.ndarray:
        """See `Continuous.quantile`."""
        loc, scale = params
        far = 1 / np.tan(np.pi * np.minimum(u, 1 - u))
        return loc + scale * np.where(u < 0.5, -far, far)

    @classmethod
    def lower(cls, logs: np.ndarray, *params: np.ndarray) -> np.ndarray:
        """See `Continuous.lower`."""
        loc, scale = params
        return loc - scale / np.tan(np.pi * np.exp(logs))

    @classmethod
    def upper(cls, logs: np.ndarray, *params: np.ndarray) -> np.ndarray:
        """See `Continuous.upper`."""
        loc, scale = params
        return loc + scale / np.tan(np.pi * np.exp(logs))

    @classmethod
    def log_below(cls, x: np.ndarray, *params: np.ndarray) -> np.ndarray:
        """See `Continuous.log_below`."""
        loc, scale = params
        z = (x - loc) / scale
        return np.where(z < 0, np.log(np.arctan(-1 / z) / np.pi), np.log(0.5 + np.arctan(z) / np.pi))

    @classmethod
    def log_above(cls, x: np.ndarray, *params: np.ndarray) -> np.ndarray:
        """See `Continuous.log_above`."""
        loc, scale = params
        return cls.log_below(-x, -loc, scale)

    @classmethod
    def log_pdf(cls, x: np.ndarray, *params: np.ndarray) -> np.ndarray:
        """See `Continuous.log_pdf`."""
        loc, scale = params
        z = (x - loc) / scale
        return -2 * np.log(np.hypot(1, z)) - np.log(np.pi * scale)


class Triangular(Continuous):
    """Use `triangular`."""

    name = "triangular"
    kinds: ClassVar[Mapping[str, Kind]] = {"left": REAL, "mode": REAL, "right": REAL}
    smooth = False

    def _check(self) -> None:
        left, mode, right = self.params
        wrong = ~((left <= mode) & (mode <= right) & (left < right))
        self._refuse(wrong, "needs left <= mode <= right, and left < right")

    @classmethod
    def quantile(cls, u: np.ndarray, *params: np.ndarray) -> np.ndarray:
        """See `Continuous.quantile`."""
        return cls._cut(u, 1 - u, *params)

    @classmethod
    def lower(cls, logs: np.ndarray, *params: np.ndarray) -> np.ndarray:
        """See `Continuous.lower`."""
        return cls._cut(np.exp(logs), -np.expm1(logs), *params)

    @classmethod
    def upper(cls, logs: np.ndarray, *params: np.ndarray) -> np.ndarray:
        """See `Continuous.upper`."""
        return cls._cut(-np.expm1(logs), np.exp(logs), *params)

    @classmethod
    def _cut(cls, below: np.ndarray, above: np.ndarray, *params: np.ndarray) -> np.ndarray:
        left, mode, right = params
        rising = left + np.sqrt(below * (right - left) * (mode - left))
        falling = right - np.sqrt(above * (right - left) * (right - mode))
        return np.where(below * (right - left) < mode - left, rising, falling)

    @classmethod
    def log_below(cls, x: np.ndarray, *params: np.ndarray) -> np.ndarray:
        """See `Continuous.log_below`."""
        left, mode, right = params
        x = np.clip(x, left, right)
        rising = 2 * np.log(x - left) - np.log(right - left) - np.log(mode - left)
        above = (right - x) / (right - left) * ((right - x) / (right - mode))
        return np.where(x < mode, rising, np.log1p(-np.where(x < right, above, 0)))

    @classmethod
    def log_above(cls, x: np.ndarray, *params: np.ndarray) -> np.ndarray:
        """See `Continuous.log_above`."""
        left, mode, right = params
        return cls.log_below(-x, -right, -mode, -left)

    @classmethod
    def log_pdf(cls, x: np.ndarray, *params: np.ndarray) -> np.ndarray:
        """See `Continuous.log_pdf`."""
        left, mode, right = params
        slope = np.where(x < mode, (x - left) / (mode - left), (right - x) / (right - mode))
        inside = (x >= left) & (x <= right)
        return np.where(inside, np.log(np.where(x == mode, 1, slope)) + np.log(2 / (right - left)), -np.inf)


def uniform(low: Any = 0.0, high: Any = 1.0, dim: int | None = None) -> Uniform:
    """The uniform law on [low, high); low < high. Columns and errors as in `normal`.

    Example:
        >>> uniform(2, 3).truncate(high=2.5)
        uniform(low=2, high=2.5, dim=1) in [-inf] to [2.5]
    """
    return Uniform.of(dim, low=low, high=high)


def laplace(loc: Any = 0.0, scale: Any = 1.0, dim: int | None = None) -> Laplace:
    """The double exponential law with density exp(-|x - loc| / scale) / (2 scale). Columns and errors as in `normal`.

    Example:
        >>> laplace().log_prob([[0.0]]).round(3).tolist()
        [-0.693]
    """
    return Laplace.of(dim, loc=loc, scale=scale)


def logistic(loc: Any = 0.0, scale: Any = 1.0, dim: int | None = None) -> Logistic:
    """The law with distribution 1 / (1 + exp(-(x - loc) / scale)). Columns and errors as in `normal`.

    Example:
        >>> logistic(dim=3).dim
        3
    """
    return Logistic.of(dim, loc=loc, scale=scale)


def cauchy(loc: Any = 0.0, scale: Any = 1.0, dim: int | None = None) -> Cauchy:
    """The law with density 1 / (pi scale (1 + ((x - loc) / scale)**2)). Columns and errors as in `normal`.

    Example:
        >>> cauchy().sample(2).shape
        (2, 1)
    """
    return Cauchy.of(dim, loc=loc, scale=scale)


def triangular(left: Any, mode: Any, right: Any, dim: int | None = None) -> Triangular:
    """The law whose density rises from `left` to `mode` and falls to `right`. Columns and errors as in `normal`.

    Example:
        >>> triangular(0, 1, 4)
        triangular(left=0, mode=1, right=4, dim=1)
    """
    return Triangular.of(dim, left=left, mode=mode, right=right)
