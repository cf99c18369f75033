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
    from mtgen.sampling.order import OrderLaw
    from mtgen.sampling.places.cloud import cloud
    from mtgen.sampling.places.crop import Crop
    from mtgen.sampling.places.grid import Grid, grid
    from mtgen.sampling.places.histogram import histogram
    from mtgen.sampling.places.labels import labels
    from mtgen.sampling.places.mask import mask
    from mtgen.sampling.places.stitch import Stitcher, stitch
    from mtgen.sampling.places.touching import touching
    from mtgen.sampling.row_plans.base import RowSampler
    from mtgen.sampling.row_plans.order_law import RowOrderLaw
    from mtgen.sampling.row_plans.plan import RowPlan
    from mtgen.sampling.row_plans.weighted import rows
    from mtgen.sampling.sampler import Sampler

__all__ = [
    "Crop",
    "EmptySupportError",
    "Grid",
    "NoDensityError",
    "OrderLaw",
    "RowOrderLaw",
    "RowPlan",
    "RowSampler",
    "Sampler",
    "Stitcher",
    "beta",
    "binomial",
    "cauchy",
    "chi2",
    "choice",
    "cloud",
    "constant",
    "dirichlet",
    "exponential",
    "f",
    "gamma",
    "geometric",
    "grid",
    "gumbel",
    "histogram",
    "hypergeometric",
    "integers",
    "labels",
    "laplace",
    "logistic",
    "lognormal",
    "mask",
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
    "rows",
    "scipy",
    "standard_t",
    "stitch",
    "touching",
    "triangular",
    "uniform",
    "wald",
    "weibull",
]

_HOMES = {
    "Crop": "mtgen.sampling.places.crop",
    "EmptySupportError": "mtgen.errors",
    "Grid": "mtgen.sampling.places.grid",
    "NoDensityError": "mtgen.errors",
    "OrderLaw": "mtgen.sampling.order",
    "RowOrderLaw": "mtgen.sampling.row_plans.order_law",
    "RowPlan": "mtgen.sampling.row_plans.plan",
    "RowSampler": "mtgen.sampling.row_plans.base",
    "Sampler": "mtgen.sampling.sampler",
    "Stitcher": "mtgen.sampling.places.stitch",
    "beta": "mtgen.sampling.laws.rejection",
    "binomial": "mtgen.sampling.laws.counted",
    "cauchy": "mtgen.sampling.laws.closed",
    "chi2": "mtgen.sampling.laws.rejection",
    "choice": "mtgen.sampling.laws.choices",
    "cloud": "mtgen.sampling.places.cloud",
    "constant": "mtgen.sampling.one_point",
    "dirichlet": "mtgen.sampling.laws.joint",
    "exponential": "mtgen.sampling.laws.exponentials",
    "f": "mtgen.sampling.laws.rejection",
    "gamma": "mtgen.sampling.laws.rejection",
    "geometric": "mtgen.sampling.laws.counted",
    "grid": "mtgen.sampling.places.grid",
    "gumbel": "mtgen.sampling.laws.exponentials",
    "histogram": "mtgen.sampling.places.histogram",
    "hypergeometric": "mtgen.sampling.laws.counted",
    "integers": "mtgen.sampling.laws.choices",
    "labels": "mtgen.sampling.places.labels",
    "laplace": "mtgen.sampling.laws.closed",
    "logistic": "mtgen.sampling.laws.closed",
    "lognormal": "mtgen.sampling.laws.normals",
    "mask": "mtgen.sampling.places.mask",
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
    "rows": "mtgen.sampling.row_plans.weighted",
    "scipy": "mtgen.sampling.laws.scipy_laws",
    "standard_t": "mtgen.sampling.laws.rejection",
    "stitch": "mtgen.sampling.places.stitch",
    "touching": "mtgen.sampling.places.touching",
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
