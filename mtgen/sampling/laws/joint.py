"""Laws whose columns depend on each other: multivariate normal, multinomial, dirichlet."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from mtgen.errors import PlanError
from mtgen.sampling.bits import Bits, inner_uniforms
from mtgen.sampling.laws import gaussian
from mtgen.sampling.laws.counted import Binomial
from mtgen.sampling.laws.law import as_numbers
from mtgen.sampling.laws.masses import log_binomial
from mtgen.sampling.laws.normals import Normal
from mtgen.sampling.laws.parameters import COUNT, POSITIVE, columns_of, frozen, numbers_of, written
from mtgen.sampling.laws.rejection import log_gamma, log_gammas
from mtgen.sampling.laws.tables import log_concave
from mtgen.sampling.sampler import Sampler
from mtgen.settings import shown

_NOISE = 1e-8
"""Share of a covariance's largest eigenvalue below which a negative one is taken for a rounding."""


@dataclass(frozen=True, eq=False, repr=False)
class MultivariateNormal(Sampler):
    """Use `multivariate_normal`."""

    mean: np.ndarray
    cov: np.ndarray

    @property
    def dim(self) -> int:
        """See `Sampler.dim`."""
        return len(self.mean)

    @cached_property
    def _root(self) -> np.ndarray:
        """A matrix whose product with its transpose is the covariance: lower, so that column j needs the first j."""
        try:
            return np.linalg.cholesky(self.cov)
        except np.linalg.LinAlgError:
            values, vectors = np.linalg.eigh(self.cov)
            # Upper factor of the root's transpose, signs made unique: R.T is lower and R.T R the covariance.
            _, upper = np.linalg.qr((vectors * np.sqrt(np.maximum(values, 0))).T)
            return (upper * np.where(np.diag(upper) < 0, -1, 1)[:, None]).T

    def draw(self, bits: Bits, positions: np.ndarray) -> np.ndarray:
        """See `Sampler.draw`."""
        z = gaussian.quantile(inner_uniforms(bits.columns(positions, self.dim)))
        # Column by column, not as one product: a BLAS product rounds differently for other numbers of points.
        out = np.repeat(self.mean[None, :], len(positions), axis=0)
        for number in range(self.dim):
            out += z[:, number : number + 1] * self._root[:, number]
        return out

    def log_density(self, points: np.ndarray) -> np.ndarray:
        """See `Sampler.log_density`.

        Raises:
            NoDensityError: the covariance is singular, so that all points lie in a plane.
        """
        x = as_numbers(points, self) - self.mean
        diagonal = np.diag(self._root)
        if not (diagonal > _NOISE * diagonal.max()).all():
            return super().log_density(points)
        z = np.linalg.solve(self._root, x.T)
        total = -0.5 * (z * z).sum(axis=0) - np.log(diagonal).sum() - self.dim * gaussian.LOG_ROOT_TAU
        return np.where(np.isfinite(x).all(axis=1), total, -np.inf)

    def log_condition(self, low: np.ndarray, high: np.ndarray) -> tuple[float, Sampler] | None:
        """See `Sampler.log_condition`: known where the columns are independent."""
        variance = np.diag(self.cov)
        if not np.array_equal(np.diag(variance), self.cov) or not (variance > 0).all():
            return None
        return Normal((self.mean, np.sqrt(variance)), weight=self.weight).log_condition(low, high)

    def structure(self) -> tuple[Any, ...]:
        """See `Sampler.structure`."""
        return self.mean, self.cov

    def __repr__(self) -> str:
        return f"multivariate_normal(mean={self.mean.tolist()}, cov={self.cov.tolist()})"


def multivariate_normal(mean: Any, cov: Any) -> MultivariateNormal:
    """The normal law of several columns with a covariance, which may be singular.

    Args:
        mean: `(dim,)`.
        cov: `(dim, dim)`, symmetric, without negative eigenvalues.

    Raises:
        PlanError: shapes that do not agree, or no covariance.

    Example:
        >>> multivariate_normal([0, 5], [[1, 0.5], [0.5, 1]]).sample(3).shape
        (3, 2)
    """
    center = np.asarray(numbers_of("multivariate_normal", "mean", mean), np.float64)
    matrix = np.asarray(numbers_of("multivariate_normal", "cov", cov), np.float64)
    if center.ndim != 1 or matrix.shape != (len(center), len(center)):
        raise PlanError(
            "multivariate_normal needs mean of shape (dim,) and cov of shape (dim, dim), received shapes "
            f"{center.shape} and {matrix.shape}"
        )
    scale = np.abs(matrix).max()
    if not np.allclose(matrix, matrix.T, rtol=0, atol=_NOISE * scale):
        raise PlanError(f"cov of multivariate_normal must be symmetric, received {shown(cov)}")
    matrix = (matrix + matrix.T) / 2
    smallest = float(np.linalg.eigvalsh(matrix)[0])
    if smallest < -_NOISE * scale:
        raise PlanError(
            f"cov of multivariate_normal must have no negative eigenvalue; the smallest is {smallest:.3g}, received "
            f"{shown(cov)}"
        )
    return MultivariateNormal(frozen(center), frozen(matrix))


@dataclass(frozen=True, eq=False, repr=False)
class Multinomial(Sampler):
    """Use `multinomial`."""

    n: int
    pvals: np.ndarray

    @property
    def dim(self) -> int:
        """See `Sampler.dim`."""
        return len(self.pvals)

    @property
    def discrete(self) -> tuple[bool, ...]:
        """See `Sampler.discrete`."""
        return (True,) * self.dim

    def draw(self, bits: Bits, positions: np.ndarray) -> np.ndarray:
        """See `Sampler.draw`: each column is binomial in what the columns before it left."""
        out = np.zeros((len(positions), self.dim), np.int64)
        left = np.full(len(positions), float(self.n))
        rest = np.cumsum(self.pvals[::-1])[::-1]
        last = int(np.flatnonzero(self.pvals)[-1])
        for number in range(last):
            share = np.full(len(positions), min(self.pvals[number] / rest[number], 1.0))
            mode = Binomial.mode(left, share)
            out[:, number] = log_concave(bits, positions, str(number), log_binomial, mode, left, share)
            left = left - out[:, number]
        out[:, last] = left
        return out

    def log_density(self, points: np.ndarray) -> np.ndarray:
        """See `Sampler.log_density`."""
        x = as_numbers(points, self)
        total = np.where(x.sum(axis=1) == self.n, 0.0, -np.inf)
        left, rest = np.full(len(x), float(self.n)), np.cumsum(self.pvals[::-1])[::-1]
        for number in range(self.dim):
            share = min(self.pvals[number] / rest[number], 1.0) if rest[number] > 0 else 0.0
            total = total + log_binomial(x[:, number], left, np.array(share))
            left = left - x[:, number]
        return np.where(np.isnan(total), -np.inf, total)

    def structure(self) -> tuple[Any, ...]:
        """See `Sampler.structure`."""
        return self.n, self.pvals

    def __repr__(self) -> str:
        return f"multinomial(n={self.n}, pvals={self.pvals.tolist()})"


def multinomial(n: Any, pvals: Any) -> Multinomial:
    """The law of counts of each kind among `n` draws; one column for each of `pvals`.

    Args:
        n: whole number >= 0.
        pvals: probabilities, summing to 1.

    Raises:
        PlanError: something else.

    Example:
        >>> multinomial(10, [0.5, 0.3, 0.2]).sample(2).sum(axis=1).tolist()
        [10, 10]
    """
    (count,) = columns_of("multinomial", {"n": COUNT}, {"n": n}, 1)
    return Multinomial(int(count[0]), probabilities("multinomial", "pvals", pvals))


def probabilities(law: str, name: str, given: Any) -> np.ndarray:
    """Probabilities as read-only float64 `(k,)`.

    Raises:
        PlanError: no list of numbers >= 0 that sum to 1.
    """
    array = np.asarray(numbers_of(law, name, given), np.float64)
    if array.ndim != 1 or (array < 0).any() or not abs(array.sum() - 1) < 1e-8:
        raise PlanError(
            f"{name} of {law} must be a list of probabilities >= 0 that sum to 1, received {shown(given)}, whose sum "
            f"is {array.sum():.9g}"
        )
    return frozen(array / array.sum())


@dataclass(frozen=True, eq=False, repr=False)
class Dirichlet(Sampler):
    """Use `dirichlet`."""

    alpha: np.ndarray

    @property
    def dim(self) -> int:
        """See `Sampler.dim`."""
        return len(self.alpha)

    def draw(self, bits: Bits, positions: np.ndarray) -> np.ndarray:
        """See `Sampler.draw`."""
        each = [
            log_gammas(bits, positions, str(number), np.full(len(positions), one))
            for number, one in enumerate(self.alpha.tolist())
        ]
        logs = np.stack(each, axis=1)
        parts = np.exp(logs - logs.max(axis=1, keepdims=True))
        total = parts[:, 0].copy()
        for number in range(1, self.dim):  # one by one: a sum over rows rounds by the layout in memory
            total += parts[:, number]
        return parts / total[:, None]

    def log_density(self, points: np.ndarray) -> np.ndarray:
        """See `Sampler.log_density`: over all columns but the last, which follows from them."""
        x = as_numbers(points, self)
        inside = (x >= 0).all(axis=1) & (np.abs(x.sum(axis=1) - 1) < 1e-9)
        with np.errstate(all="ignore"):
            logs = np.where(self.alpha == 1, 0, (self.alpha - 1) * np.log(x)).sum(axis=1)
        constant = log_gamma(self.alpha.sum()) - log_gamma(self.alpha).sum()
        return np.where(inside, logs + constant, -np.inf)

    def structure(self) -> tuple[Any, ...]:
        """See `Sampler.structure`."""
        return (self.alpha,)

    def __repr__(self) -> str:
        return f"dirichlet(alpha={written(self.alpha) if len(set(self.alpha)) > 1 else self.alpha.tolist()})"


def dirichlet(alpha: Any) -> Dirichlet:
    """The law over shares that sum to 1, one column for each of `alpha` > 0.

    Raises:
        PlanError: something else, or fewer than two columns.

    Example:
        >>> dirichlet([1, 2, 3]).sample(2).sum(axis=1).round(9).tolist()
        [1.0, 1.0]
    """
    (checked,) = columns_of("dirichlet", {"alpha": POSITIVE}, {"alpha": alpha}, None)
    if len(checked) < 2:
        raise PlanError(f"alpha of dirichlet must be a list of two numbers at least, received {shown(alpha)}")
    return Dirichlet(checked)
