"""Laws without a quantile in closed form: gamma, beta, chi2, f, student's t by rejection, wald by its roots.

Attempt a of a position has words of its own, so that a point never depends on its neighbours. Gamma: G. Marsaglia and
W. W. Tsang, "A simple method for generating gamma variables", ACM TOMS 26 (2000) 363-372; below shape 1 a gamma of
shape + 1 times U**(1 / shape). All of them are exact, and kept as logarithms, so that tiny shapes do not end at 0 / 0.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np

from mtgen.errors import EmptySupportError
from mtgen.sampling.bits import Bits
from mtgen.sampling.laws import gaussian
from mtgen.sampling.laws.law import Elementwise, column
from mtgen.sampling.laws.parameters import POSITIVE, Kind

MOST_ATTEMPTS = 4096
"""Attempts of one position. Each succeeds with a probability of 1/5 at least, so nobody gets there."""


def tried(
    bits: Bits, positions: np.ndarray, attempt: Callable[[Bits, np.ndarray, np.ndarray, int], tuple[Any, Any]]
) -> np.ndarray:
    """The first attempt of each position that is accepted, float64 `(n,)`.

    Args:
        bits: words of the node.
        positions: int64 `(n,)`.
        attempt: function of (bits, positions, their places in the batch, number of the attempt), to the values and
            whether each is accepted.
    """
    out = np.empty(len(positions))
    places = np.arange(len(positions))
    for number in range(MOST_ATTEMPTS):
        if not len(places):
            return out
        values, accepted = attempt(bits.at(places), positions[places], places, number)
        out[places[accepted]] = values[accepted]
        places = places[~accepted]
    raise EmptySupportError(f"no point was accepted in {MOST_ATTEMPTS} attempts; are the parameters finite numbers?")


def log_gammas(bits: Bits, positions: np.ndarray, name: str, shape: np.ndarray) -> np.ndarray:
    """Logarithms of gamma numbers of scale 1, float64 `(n,)`; shape `(n,)` > 0."""
    small = shape < 1
    d = np.where(small, shape + 1, shape) - 1 / 3
    c = 1 / np.sqrt(9 * d)

    def attempt(bits: Bits, positions: np.ndarray, places: np.ndarray, number: int) -> tuple[Any, Any]:
        x = gaussian.quantile(bits.inner_uniforms(positions, f"{name}/{number}/x"))
        u = bits.inner_uniforms(positions, f"{name}/{number}/u")
        here = d[places]
        root = 1 + c[places] * x
        v = root * root * root
        with np.errstate(all="ignore"):
            logs = np.log(v)
            return np.log(here) + logs, (v > 0) & (np.log(u) < 0.5 * x * x + here - here * v + here * logs)

    out = tried(bits, positions, attempt)
    if small.any():
        out = out + np.where(small, np.log(bits.inner_uniforms(positions, f"{name}/boost")) / shape, 0)
    return out


def log_gamma(x: np.ndarray) -> np.ndarray:
    """Logarithm of the gamma function of parameters."""
    return np.vectorize(math.lgamma, otypes=[float])(x)


def _gamma_density(x: np.ndarray, shape: np.ndarray, scale: np.ndarray) -> np.ndarray:
    z = x / scale
    power = np.where(shape == 1, 0, (shape - 1) * np.log(np.maximum(z, 0)))  # 0 * -inf is no number
    return np.where((x >= 0) & (x < np.inf), power - z - log_gamma(shape) - np.log(scale), -np.inf)


def _log_beta(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return log_gamma(a) + log_gamma(b) - log_gamma(a + b)


class OfGammas(Elementwise):
    """A law whose columns are drawn one by one, of gamma numbers."""

    @classmethod
    def _points(cls, bits: Bits, positions: np.ndarray, params: tuple[np.ndarray, ...]) -> np.ndarray:
        dim, num = params[0].shape[-1], len(positions)
        out = np.empty((num, dim))
        for number in range(dim):
            each = [column(param, number, num) for param in params]
            out[:, number] = cls._column(bits, positions, str(number), *each)
        return out

    @classmethod
    @abstractmethod
    def _column(cls, bits: Bits, positions: np.ndarray, name: str, *params: np.ndarray) -> np.ndarray:
        """One column, `(n,)`, of parameters `(n,)`; words of names that begin with `name`."""


class Gamma(OfGammas):
    """Use `gamma`."""

    name = "gamma"
    kinds: ClassVar[Mapping[str, Kind]] = {"shape": POSITIVE, "scale": POSITIVE}

    @classmethod
    def _column(cls, bits: Bits, positions: np.ndarray, name: str, *params: np.ndarray) -> np.ndarray:
        shape, scale = params
        return scale * np.exp(log_gammas(bits, positions, name, shape))

    def _log_densities(self, x: np.ndarray) -> np.ndarray:
        return _gamma_density(x, *self.params)


class Chi2(OfGammas):
    """Use `chi2`."""

    name = "chi2"
    kinds: ClassVar[Mapping[str, Kind]] = {"df": POSITIVE}

    @classmethod
    def _column(cls, bits: Bits, positions: np.ndarray, name: str, *params: np.ndarray) -> np.ndarray:
        return 2 * np.exp(log_gammas(bits, positions, name, params[0] / 2))

    def _log_densities(self, x: np.ndarray) -> np.ndarray:
        return _gamma_density(x, self.params[0] / 2, np.array(2.0))


class Beta(OfGammas):
    """Use `beta`."""

    name = "beta"
    kinds: ClassVar[Mapping[str, Kind]] = {"a": POSITIVE, "b": POSITIVE}

    @classmethod
    def _column(cls, bits: Bits, positions: np.ndarray, name: str, *params: np.ndarray) -> np.ndarray:
        first, second = (log_gammas(bits, positions, f"{name}/{k}", one) for k, one in zip("ab", params, strict=True))
        with np.errstate(over="ignore"):
            return 1 / (1 + np.exp(second - first))

    def _log_densities(self, x: np.ndarray) -> np.ndarray:
        a, b = self.params
        inside = (x >= 0) & (x <= 1)
        x = np.clip(x, 0, 1)
        rising = np.where(a == 1, 0, (a - 1) * np.log(x))
        falling = np.where(b == 1, 0, (b - 1) * np.log1p(-x))
        return np.where(inside, rising + falling - _log_beta(a, b), -np.inf)


class F(OfGammas):
    """Use `f`."""

    name = "f"
    kinds: ClassVar[Mapping[str, Kind]] = {"dfnum": POSITIVE, "dfden": POSITIVE}

    @classmethod
    def _column(cls, bits: Bits, positions: np.ndarray, name: str, *params: np.ndarray) -> np.ndarray:
        dfnum, dfden = params
        above = log_gammas(bits, positions, f"{name}/above", dfnum / 2)
        below = log_gammas(bits, positions, f"{name}/below", dfden / 2)
        with np.errstate(over="ignore"):
            return dfden / dfnum * np.exp(above - below)

    def _log_densities(self, x: np.ndarray) -> np.ndarray:
        m, n = self.params
        ratio = m / n * np.maximum(x, 0)
        rising = np.where(m == 2, 0, (m / 2 - 1) * np.log(ratio))
        logs = np.log(m / n) + rising - (m + n) / 2 * np.log1p(ratio) - _log_beta(m / 2, n / 2)
        return np.where((x >= 0) & (x < np.inf), logs, -np.inf)


class StandardT(OfGammas):
    """Use `standard_t`."""

    name = "standard_t"
    kinds: ClassVar[Mapping[str, Kind]] = {"df": POSITIVE}

    @classmethod
    def _column(cls, bits: Bits, positions: np.ndarray, name: str, *params: np.ndarray) -> np.ndarray:
        (df,) = params
        z = gaussian.quantile(bits.inner_uniforms(positions, f"{name}/z"))
        with np.errstate(over="ignore"):
            return z * np.exp(-0.5 * (log_gammas(bits, positions, name, df / 2) - np.log(df / 2)))

    def _log_densities(self, x: np.ndarray) -> np.ndarray:
        (df,) = self.params
        # log(1 + x**2 / df) without an overflow of the square.
        return -(df + 1) * np.log(np.hypot(1, x / np.sqrt(df))) - _log_beta(df / 2, np.array(0.5)) - 0.5 * np.log(df)


class Wald(OfGammas):
    """Use `wald`."""

    name = "wald"
    kinds: ClassVar[Mapping[str, Kind]] = {"mean": POSITIVE, "scale": POSITIVE}

    @classmethod
    def _column(cls, bits: Bits, positions: np.ndarray, name: str, *params: np.ndarray) -> np.ndarray:
        mean, scale = params
        z = gaussian.quantile(bits.inner_uniforms(positions, f"{name}/z"))
        w = mean / (2 * scale) * z * z
        # The smaller root, written without the difference of two large numbers; then it or the larger one.
        x = mean / (1 + w + np.sqrt(w * (2 + w)))
        u = bits.inner_uniforms(positions, f"{name}/u")
        return np.where(u * (mean + x) <= mean, x, mean / x * mean)

    def _log_densities(self, x: np.ndarray) -> np.ndarray:
        mean, scale = self.params
        y = np.where(x > 0, x, 1)
        deviation = (y - mean) / mean
        logs = 0.5 * np.log(scale / (2 * np.pi)) - 1.5 * np.log(y) - scale * deviation * (deviation / (2 * y))
        return np.where((x > 0) & (x < np.inf), logs, -np.inf)


def gamma(shape: Any, scale: Any = 1.0, dim: int | None = None) -> Gamma:
    """The gamma law with mean shape * scale, both > 0. Columns and errors as in `normal`.

    Bounds of `truncate` are met by rejection, for this and all laws of this module.

    Example:
        >>> gamma(2, scale=[1, 3]).sample(5).shape
        (5, 2)
    """
    return Gamma.of(dim, shape=shape, scale=scale)


def chi2(df: Any, dim: int | None = None) -> Chi2:
    """The chi-square law with `df` > 0 degrees of freedom. Columns and errors as in `normal`.

    Example:
        >>> chi2(3)
        chi2(df=3, dim=1)
    """
    return Chi2.of(dim, df=df)


def beta(a: Any, b: Any, dim: int | None = None) -> Beta:
    """The beta law on [0, 1], a and b > 0. Columns and errors as in `normal`.

    Example:
        >>> beta(2, 2).log_prob([[0.5]]).round(3).tolist()
        [0.405]
    """
    return Beta.of(dim, a=a, b=b)


def f(dfnum: Any, dfden: Any, dim: int | None = None) -> F:
    """Fisher's law with dfnum and dfden > 0 degrees of freedom. Columns and errors as in `normal`.

    Example:
        >>> f(3, 9).dim
        1
    """
    return F.of(dim, dfnum=dfnum, dfden=dfden)


def standard_t(df: Any, dim: int | None = None) -> StandardT:
    """Student's law with `df` > 0 degrees of freedom. Columns and errors as in `normal`.

    Example:
        >>> (5 + 2 * standard_t(4)).sample(3).shape
        (3, 1)
    """
    return StandardT.of(dim, df=df)


def wald(mean: Any, scale: Any, dim: int | None = None) -> Wald:
    """The inverse Gaussian law, mean and scale > 0. Columns and errors as in `normal`.

    J. R. Michael, W. R. Schucany and R. W. Haas, The American Statistician 30 (1976) 88-90.

    Example:
        >>> bool((wald(1, 2).sample(9) > 0).all())
        True
    """
    return Wald.of(dim, mean=mean, scale=scale)
