"""Samplers: which rows, and which places in pictures and volumes. Laws that decide and never read.

    from mtgen import sampling as S

Names are imported when they are first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mtgen.errors import EmptySupportError, NoDensityError
    from mtgen.sampling.laws.choices import choice, integers
    from mtgen.sampling.laws.closed import cauchy, laplace, logistic, triangular, uniform
    from mtgen.sampling.laws.counted import binomial, geometric, hypergeometric, negative_binomial, poisson
    from mtgen.sampling.laws.exponentials import exponential, gumbel, pareto, power, rayleigh, weibull
    from mtgen.sampling.laws.joint import dirichlet, multinomial, multivariate_normal
    from mtgen.sampling.laws.names import named
    from mtgen.sampling.laws.normals import lognormal, normal
    from mtgen.sampling.laws.rejection import beta, chi2, f, gamma, standard_t, wald
    from mtgen.sampling.laws.scipy_laws import scipy
    from mtgen.sampling.mixture import mix
    from mtgen.sampling.one_point import constant
    from mtgen.sampling.sampler import Sampler

__all__ = [
    "EmptySupportError",
    "NoDensityError",
    "Sampler",
    "beta",
    "binomial",
    "cauchy",
    "chi2",
    "choice",
    "constant",
    "dirichlet",
    "exponential",
    "f",
    "gamma",
    "geometric",
    "gumbel",
    "hypergeometric",
    "integers",
    "laplace",
    "logistic",
    "lognormal",
    "mix",
    "multinomial",
    "multivariate_normal",
    "named",
    "negative_binomial",
    "normal",
    "pareto",
    "poisson",
    "power",
    "rayleigh",
    "scipy",
    "standard_t",
    "triangular",
    "uniform",
    "wald",
    "weibull",
]

_HOMES = {
    "EmptySupportError": "mtgen.errors",
    "NoDensityError": "mtgen.errors",
    "Sampler": "mtgen.sampling.sampler",
    "beta": "mtgen.sampling.laws.rejection",
    "binomial": "mtgen.sampling.laws.counted",
    "cauchy": "mtgen.sampling.laws.closed",
    "chi2": "mtgen.sampling.laws.rejection",
    "choice": "mtgen.sampling.laws.choices",
    "constant": "mtgen.sampling.one_point",
    "dirichlet": "mtgen.sampling.laws.joint",
    "exponential": "mtgen.sampling.laws.exponentials",
    "f": "mtgen.sampling.laws.rejection",
    "gamma": "mtgen.sampling.laws.rejection",
    "geometric": "mtgen.sampling.laws.counted",
    "gumbel": "mtgen.sampling.laws.exponentials",
    "hypergeometric": "mtgen.sampling.laws.counted",
    "integers": "mtgen.sampling.laws.choices",
    "laplace": "mtgen.sampling.laws.closed",
    "logistic": "mtgen.sampling.laws.closed",
    "lognormal": "mtgen.sampling.laws.normals",
    "mix": "mtgen.sampling.mixture",
    "multinomial": "mtgen.sampling.laws.joint",
    "multivariate_normal": "mtgen.sampling.laws.joint",
    "named": "mtgen.sampling.laws.names",
    "negative_binomial": "mtgen.sampling.laws.counted",
    "normal": "mtgen.sampling.laws.normals",
    "pareto": "mtgen.sampling.laws.exponentials",
    "poisson": "mtgen.sampling.laws.counted",
    "power": "mtgen.sampling.laws.exponentials",
    "rayleigh": "mtgen.sampling.laws.exponentials",
    "scipy": "mtgen.sampling.laws.scipy_laws",
    "standard_t": "mtgen.sampling.laws.rejection",
    "triangular": "mtgen.sampling.laws.closed",
    "uniform": "mtgen.sampling.laws.closed",
    "wald": "mtgen.sampling.laws.rejection",
    "weibull": "mtgen.sampling.laws.exponentials",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'mtgen.sampling' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOMES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
