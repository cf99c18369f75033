"""Laws of SciPy: any frozen distribution of `scipy.stats`. SciPy is imported when one is asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import FunctionType, ModuleType
from typing import Any

import numpy as np

from mtgen.errors import PlanError
from mtgen.sampling.bits import Bits, inner_uniforms
from mtgen.sampling.laws.joint import multivariate_normal
from mtgen.sampling.laws.law import as_numbers
from mtgen.sampling.laws.names import near, refuse_drawing
from mtgen.sampling.laws.parameters import agreed_dim
from mtgen.sampling.sampler import Sampler
from mtgen.settings import shown

ALIASES = {
    "n": "norm",
    "normal": "norm",
    "u": "uniform",
    "mvn": "multivariate_normal",
    "e": "expon",
    "exponential": "expon",
    "g": "gamma",
    "be": "beta",
    "mnm": "multinomial",
    "p": "poisson",
    "w": "dweibull",
    "ln": "lognorm",
    "lognormal": "lognorm",
    "b": "binom",
    "binomial": "binom",
    "chisquare": "chi2",
}
"""What BatchFlow's aliases meant in SciPy; "w" is the two-sided law."""


def scipy(law: Any, *args: Any, dim: int | None = None, **params: Any) -> Sampler:
    """A law of SciPy.

    One with a quantile function (`ppf`) is drawn by it, one uniform number for each coordinate; bounds of `truncate`
    are met exactly as far as its `cdf` and `sf` reach. Others, mostly of several columns, are drawn by their `rvs` with
    a generator for each position: about 20 microseconds a point or more, and the points are those of the installed
    versions of NumPy and SciPy, which promise none. A frozen multivariate normal is drawn as `multivariate_normal`.

    Args:
        law: a frozen distribution such as `scipy.stats.gamma(2)`; or a name in `scipy.stats`, or an alias of BatchFlow:
            n, u, mvn, e, g, be, mnm, f, p, w (dweibull), ln, b, chi2.
        *args: of the named distribution, with SciPy's names and meaning.
        dim: columns of a law of one number.
        **params: the same by name.

    Raises:
        PlanError: SciPy is not installed, an unknown name, parameters that do not fit.

    Example:
        >>> scipy("gamma", a=2, dim=2).sample(3).shape
        (3, 2)
    """
    refuse_drawing(params, "scipy")
    stats = _stats()
    if isinstance(law, str):
        frozen = _frozen(stats, law, args, params)
    elif args or params:
        raise PlanError(f"a frozen law has its parameters already: {shown(law)}; received {args or ''} {params or ''}")
    else:
        frozen = law
    if not hasattr(frozen, "rvs"):
        raise PlanError(f"scipy needs a frozen law such as scipy.stats.gamma(2), or a name; received {shown(law)}")
    if callable(frozen):
        raise PlanError(f"{shown(law)} is not frozen: give it its parameters, as in scipy.stats.gamma(2)")
    if hasattr(frozen, "ppf") and hasattr(frozen, "cdf"):
        return _by_quantile(frozen, dim)
    if type(frozen).__name__ == "multivariate_normal_frozen":
        normal = multivariate_normal(frozen.mean, frozen.cov_object.covariance)
        return _agreed(normal, dim)
    return _agreed(ScipyJoint(frozen), dim)


def _stats() -> ModuleType:
    try:
        from scipy import stats
    except ImportError as error:
        raise PlanError(f"laws of SciPy need it ({error}): pip install 'mtgen[scipy]'") from error
    return stats


def _frozen(stats: ModuleType, name: str, args: tuple[Any, ...], params: dict[str, Any]) -> Any:
    known = [one for one in dir(stats) if _is_law(getattr(stats, one))]
    full = ALIASES.get(name, name)
    if full not in known:
        raise PlanError(f"scipy.stats has no law named {name!r}{near(name, [*known, *ALIASES])}")
    try:
        frozen = getattr(stats, full)(*args, **params)
    except (TypeError, ValueError) as error:
        raise PlanError(f"scipy.stats.{full} refuses its parameters {args or ''} {params or ''}: {error}") from error
    return frozen


def _is_law(value: Any) -> bool:
    return hasattr(value, "rvs") and callable(value) and not isinstance(value, type)


def _agreed(law: Sampler, dim: int | None) -> Sampler:
    if dim is not None and dim != law.dim:
        raise PlanError(f"{law!r} has {law.dim} columns, and dim={dim}; leave dim out")
    return law


def _by_quantile(frozen: Any, dim: int | None) -> Sampler:
    middle = np.asarray(frozen.ppf(0.5), np.float64)
    if middle.ndim > 1 or np.isnan(middle).any():
        raise PlanError(
            f"scipy.stats.{_name(frozen)} with {frozen.args} {frozen.kwds}: the parameters do not fit, or are not one "
            f"for each column; its median is {middle!r}"
        )
    columns = agreed_dim(f"scipy {_name(frozen)}", {"the law": len(middle)} if middle.ndim else {}, dim)
    return ScipyQuantile(frozen, columns)


def _name(frozen: Any) -> str:
    return str(getattr(getattr(frozen, "dist", None), "name", None) or type(frozen).__name__.removesuffix("_frozen"))


def _written(frozen: Any) -> str:
    args = [repr(one) for one in getattr(frozen, "args", ())]
    return ", ".join([repr(_name(frozen)), *args, *(f"{k}={v!r}" for k, v in getattr(frozen, "kwds", {}).items())])


@dataclass(frozen=True, eq=False, repr=False)
class ScipyQuantile(Sampler):
    """A frozen law of one number for each column, by its quantile; use `scipy`."""

    frozen: Any
    columns: int

    @property
    def dim(self) -> int:
        """See `Sampler.dim`."""
        return self.columns

    @property
    def discrete(self) -> tuple[bool, ...]:
        """See `Sampler.discrete`."""
        return (hasattr(self.frozen, "pmf"),) * self.dim

    def draw(self, bits: Bits, positions: np.ndarray) -> np.ndarray:
        """See `Sampler.draw`."""
        return self._typed(self.frozen.ppf(inner_uniforms(bits.columns(positions, self.dim))))

    def _typed(self, points: Any) -> np.ndarray:
        array = np.asarray(points, np.float64)
        return array.astype(np.int64) if self.discrete[0] else array

    def log_density(self, points: np.ndarray) -> np.ndarray:
        """See `Sampler.log_density`."""
        x = as_numbers(points, self)
        logs = self.frozen.logpmf(x) if self.discrete[0] else self.frozen.logpdf(x)
        return np.where(np.isfinite(x).all(axis=1), np.broadcast_to(logs, x.shape).sum(axis=1), -np.inf)

    def log_condition(self, low: np.ndarray, high: np.ndarray) -> tuple[float, Sampler] | None:
        """See `Sampler.log_condition`; not known where a probability is below all of float64."""
        law = ScipyInside(self, np.array(low, np.float64), np.array(high, np.float64), weight=self.weight)
        masses = law.masses
        return (float(np.log(masses).sum()), law) if (masses > 0).all() else None

    def structure(self) -> tuple[Any, ...]:
        """See `Sampler.structure`."""
        return (*_structure(self.frozen), self.columns)

    def __repr__(self) -> str:
        return f"scipy({_written(self.frozen)}, dim={self.dim})"


@dataclass(frozen=True, eq=False, repr=False)
class ScipyInside(Sampler):
    """A law of SciPy inside `low <= x <= high`, by the quantile; the tail that is nearer is the one that counts."""

    inner: ScipyQuantile
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

    def _tails(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Whether each column is counted from above, and the tails of its two bounds, the smaller one first."""
        law = self.inner.frozen
        low = np.ceil(self.low) - 1 if self.discrete[0] else self.low  # what lies below the bound is left out
        median = np.broadcast_to(law.ppf(0.5), (self.dim,))
        above = low >= median
        below = np.broadcast_to(law.cdf(low), (self.dim,)), np.broadcast_to(law.cdf(self.high), (self.dim,))
        over = np.broadcast_to(law.sf(low), (self.dim,)), np.broadcast_to(law.sf(self.high), (self.dim,))
        return above, np.where(above, over[1], below[0]), np.where(above, over[0], below[1])

    @property
    def masses(self) -> np.ndarray:
        """Probability of each column's interval, in the law without bounds."""
        _, small, large = self._tails()
        return np.maximum(large - small, 0)

    def draw(self, bits: Bits, positions: np.ndarray) -> np.ndarray:
        """See `Sampler.draw`."""
        u = inner_uniforms(bits.columns(positions, self.dim))
        above, small, large = self._tails()
        law = self.inner.frozen
        tail = small + np.where(above, 1 - u, u) * (large - small)
        if above.all():
            points = law.isf(tail)
        elif not above.any():
            points = law.ppf(tail)
        else:
            points = np.where(above, law.isf(tail), law.ppf(tail))
        return self.inner._typed(np.clip(points, self.low, self.high))

    def log_density(self, points: np.ndarray) -> np.ndarray:
        """See `Sampler.log_density`."""
        x = as_numbers(points, self)
        inside = ((x >= self.low) & (x <= self.high)).all(axis=1)
        return np.where(inside, self.inner.log_density(x) - np.log(self.masses).sum(), -np.inf)

    def log_condition(self, low: np.ndarray, high: np.ndarray) -> tuple[float, Sampler] | None:
        """See `Sampler.log_condition`: the intersection, of the law without bounds."""
        found = self.inner.log_condition(np.maximum(low, self.low), np.minimum(high, self.high))
        if found is None:
            return None
        return found[0] - float(np.log(self.masses).sum()), found[1].reweighted(self.weight)

    def structure(self) -> tuple[Any, ...]:
        """See `Sampler.structure`."""
        return self.inner, self.low, self.high

    def __repr__(self) -> str:
        return f"truncated({self.inner!r})"


@dataclass(frozen=True, eq=False, repr=False)
class ScipyJoint(Sampler):
    """A frozen law without a quantile, by `rvs` with a generator for each position; use `scipy`."""

    frozen: Any

    def __post_init__(self) -> None:
        object.__setattr__(self, "_dim", self._one(0).size)

    def _one(self, word: int) -> np.ndarray:
        generator = np.random.Generator(np.random.Philox(key=word))
        return np.asarray(self.frozen.rvs(random_state=generator)).ravel()

    @property
    def dim(self) -> int:
        """See `Sampler.dim`; the entries of a matrix are columns, row by row."""
        dim: int = self.__dict__["_dim"]
        return dim

    @property
    def discrete(self) -> tuple[bool, ...]:
        """See `Sampler.discrete`."""
        return (hasattr(self.frozen, "pmf") or hasattr(self.frozen, "logpmf"),) * self.dim

    def draw(self, bits: Bits, positions: np.ndarray) -> np.ndarray:
        """See `Sampler.draw`."""
        each = [self._one(word) for word in bits.words(positions).tolist()]
        return np.stack(each) if each else np.empty((0, self.dim), self._one(0).dtype)

    def log_density(self, points: np.ndarray) -> np.ndarray:
        """See `Sampler.log_density`."""
        function: Callable[..., Any] | None = getattr(self.frozen, "logpmf" if self.discrete[0] else "logpdf", None)
        if function is None or np.ndim(self._shape()) != 1:
            return super().log_density(points)
        return np.array([float(function(one)) for one in as_numbers(points, self)], np.float64)

    def _shape(self) -> np.ndarray:
        return np.squeeze(np.asarray(self.frozen.rvs(random_state=np.random.Generator(np.random.Philox(key=0)))))

    def structure(self) -> tuple[Any, ...]:
        """See `Sampler.structure`."""
        return _structure(self.frozen)

    def __repr__(self) -> str:
        return f"scipy({_written(self.frozen)})"


def _structure(frozen: Any) -> tuple[Any, ...]:
    """What decides a frozen law: its name and parameters, or the plain values it holds."""
    if hasattr(frozen, "args") and hasattr(frozen, "kwds"):
        own = type(frozen.dist)
        given = not own.__module__.startswith("scipy.") or own.__name__ in ("rv_histogram", "rv_sample")
        held = _plain(vars(frozen.dist)) if given else {}
        return f"{own.__module__}.{own.__qualname__}", frozen.args, dict(frozen.kwds), held
    own = type(frozen)
    held = _plain(vars(frozen)) if own.__module__.startswith("scipy.") else dict(vars(frozen))
    return f"{own.__module__}.{own.__qualname__}", held


def _plain(held: dict[str, Any]) -> dict[str, Any]:
    """Without what SciPy's base classes hold for themselves."""
    kinds = (bool, int, float, str, list, tuple, np.ndarray, np.generic, FunctionType)
    return {name: value for name, value in held.items() if isinstance(value, kinds) and not name.startswith("__")}
