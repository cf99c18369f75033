"""The normal law and its exponential, by the quantile."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from mtgen.sampling.laws import gaussian
from mtgen.sampling.laws.law import Continuous
from mtgen.sampling.laws.parameters import POSITIVE, REAL, Kind


class Normal(Continuous):
    """Use `normal`."""

    name = "normal"
    kinds: ClassVar[Mapping[str, Kind]] = {"loc": REAL, "scale": POSITIVE}

    @classmethod
    def quantile(cls, u: np.ndarray, *params: np.ndarray) -> np.ndarray:
        """See `Continuous.quantile`."""
        loc, scale = params
        return loc + scale * gaussian.quantile(u)

    @classmethod
    def lower(cls, logs: np.ndarray, *params: np.ndarray) -> np.ndarray:
        """See `Continuous.lower`."""
        loc, scale = params
        return loc + scale * gaussian.quantile_of_log(logs)

    @classmethod
    def upper(cls, logs: np.ndarray, *params: np.ndarray) -> np.ndarray:
        """See `Continuous.upper`."""
        loc, scale = params
        return loc - scale * gaussian.quantile_of_log(logs)

    @classmethod
    def log_below(cls, x: np.ndarray, *params: np.ndarray) -> np.ndarray:
        """See `Continuous.log_below`."""
        loc, scale = params
        return gaussian.log_cdf((x - loc) / scale)

    @classmethod
    def log_above(cls, x: np.ndarray, *params: np.ndarray) -> np.ndarray:
        """See `Continuous.log_above`."""
        loc, scale = params
        return gaussian.log_cdf((loc - x) / scale)

    @classmethod
    def log_pdf(cls, x: np.ndarray, *params: np.ndarray) -> np.ndarray:
        """See `Continuous.log_pdf`."""
        loc, scale = params
        z = (x - loc) / scale
        return -0.5 * z * z - gaussian.LOG_ROOT_TAU - np.log(scale)


class LogNormal(Continuous):
    """Use `lognormal`."""

    name = "lognormal"
    kinds: ClassVar[Mapping[str, Kind]] = {"mean": REAL, "sigma": POSITIVE}

    @classmethod
    def quantile(cls, u: np.ndarray, *params: np.ndarray) -> np.ndarray:
        """See `Continuous.quantile`."""
        return np.exp(Normal.quantile(u, *params))

    @classmethod
    def lower(cls, logs: np.ndarray, *params: np.ndarray) -> np.ndarray:
        """See `Continuous.lower`."""
        return np.exp(Normal.lower(logs, *params))

    @classmethod
    def upper(cls, logs: np.ndarray, *params: np.ndarray) -> np.ndarray:
        """See `Continuous.upper`."""
        return np.exp(Normal.upper(logs, *params))

    @classmethod
    def log_below(cls, x: np.ndarray, *params: np.ndarray) -> np.ndarray:
        """See `Continuous.log_below`."""
        return Normal.log_below(np.log(np.maximum(x, 0)), *params)

    @classmethod
    def log_above(cls, x: np.ndarray, *params: np.ndarray) -> np.ndarray:
        """See `Continuous.log_above`."""
        return Normal.log_above(np.log(np.maximum(x, 0)), *params)

    @classmethod
    def log_pdf(cls, x: np.ndarray, *params: np.ndarray) -> np.ndarray:
        """See `Continuous.log_pdf`."""
        logs = np.log(np.maximum(x, 0))
        return np.where((x > 0) & (x < np.inf), Normal.log_pdf(logs, *params) - logs, -np.inf)


def normal(loc: Any = 0.0, scale: Any = 1.0, dim: int | None = None) -> Normal:
    """The normal law.

    Parameters of all laws may be one number, or a list with one for each column. Columns are independent. Drawn by the
    quantile; conditions by bounds are exact in both tails.

    Args:
        loc: mean.
        scale: standard deviation, > 0.
        dim: columns; as many as the parameters have if left out.

    Raises:
        PlanError: parameters that do not fit, or do not agree on the number of columns.

    Example:
        >>> normal(loc=[0, 5])
        normal(loc=[0, 5], scale=1, dim=2)
        >>> normal(dim=2).sample(4, seed=0).shape
        (4, 2)
    """
    return Normal.of(dim, loc=loc, scale=scale)


def lognormal(mean: Any = 0.0, sigma: Any = 1.0, dim: int | None = None) -> LogNormal:
    """The law of exp(normal(mean, sigma)); arguments, columns and errors as in `normal`.

    Example:
        >>> bool((lognormal().sample(9) > 0).all())
        True
    """
    return LogNormal.of(dim, mean=mean, sigma=sigma)
