"""Every law over numbers beside the same law of SciPy."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import stats

from mtgen import sampling as S

MEASURED: dict[str, tuple[S.Sampler, Any]] = {
    "normal": (S.normal(3, 2), stats.norm(3, 2)),
    "lognormal": (S.lognormal(0.5, 0.7), stats.lognorm(0.7, scale=np.exp(0.5))),
    "uniform": (S.uniform(-1, 4), stats.uniform(-1, 5)),
    "laplace": (S.laplace(1, 3), stats.laplace(1, 3)),
    "logistic": (S.logistic(-2, 0.5), stats.logistic(-2, 0.5)),
    "cauchy": (S.cauchy(1, 2), stats.cauchy(1, 2)),
    "triangular": (S.triangular(-1, 0.5, 2), stats.triang(0.5, -1, 3)),
    "triangular, falling": (S.triangular(0, 0, 2), stats.triang(0, 0, 2)),
    "triangular, rising": (S.triangular(0, 2, 2), stats.triang(1, 0, 2)),
    "exponential": (S.exponential(2.5), stats.expon(scale=2.5)),
    "weibull": (S.weibull(1.7), stats.weibull_min(1.7)),
    "weibull, steep": (S.weibull(0.4), stats.weibull_min(0.4)),
    "rayleigh": (S.rayleigh(3), stats.rayleigh(scale=3)),
    "pareto": (S.pareto(3), stats.lomax(3)),
    "power": (S.power(0.6), stats.powerlaw(0.6)),
    "gumbel": (S.gumbel(1, 2), stats.gumbel_r(1, 2)),
    "scipy": (S.scipy("dweibull", 2.0), stats.dweibull(2.0)),
}
"""Laws whose quantiles are known, so that conditions are exact."""

REJECTED: dict[str, tuple[S.Sampler, Any]] = {
    "gamma": (S.gamma(2.5, 3), stats.gamma(2.5, scale=3)),
    "gamma, small": (S.gamma(0.1), stats.gamma(0.1)),
    "gamma, one": (S.gamma(1, 2), stats.gamma(1, scale=2)),
    "gamma, large": (S.gamma(1e8), stats.gamma(1e8)),
    "chi2": (S.chi2(3), stats.chi2(3)),
    "beta": (S.beta(2, 0.7), stats.beta(2, 0.7)),
    "beta, small": (S.beta(0.3, 0.2), stats.beta(0.3, 0.2)),
    "f": (S.f(5, 12), stats.f(5, 12)),
    "standard_t": (S.standard_t(4.5), stats.t(4.5)),
    "wald": (S.wald(1.5, 2), stats.invgauss(0.75, scale=2)),
}

COUNTED: dict[str, tuple[S.Sampler, Any]] = {
    "poisson": (S.poisson(4.2), stats.poisson(4.2)),
    "poisson, small": (S.poisson(0.01), stats.poisson(0.01)),
    "poisson, large": (S.poisson(1e6), stats.poisson(1e6)),
    "poisson, huge": (S.poisson(3e10), stats.poisson(3e10)),
    "binomial": (S.binomial(20, 0.3), stats.binom(20, 0.3)),
    "binomial, rare": (S.binomial(10**9, 3e-9), stats.binom(10**9, 3e-9)),
    "binomial, huge": (S.binomial(10**11, 0.2), stats.binom(10**11, 0.2)),
    "geometric": (S.geometric(0.2), stats.geom(0.2)),
    "geometric, rare": (S.geometric(1e-7), stats.geom(1e-7)),
    "negative_binomial": (S.negative_binomial(3.5, 0.3), stats.nbinom(3.5, 0.3)),
    "negative_binomial, below one": (S.negative_binomial(0.5, 0.1), stats.nbinom(0.5, 0.1)),
    "negative_binomial, huge": (S.negative_binomial(40, 1e-6), stats.nbinom(40, 1e-6)),
    "hypergeometric": (S.hypergeometric(12, 20, 9), stats.hypergeom(32, 12, 9)),
    "integers": (S.integers(-2, 5), stats.randint(-2, 5)),
    "choice of numbers": (S.choice([0, 1, 2], p=[0.2, 0, 0.8]), stats.rv_discrete(values=([0, 1, 2], [0.2, 0, 0.8]))),
    "scipy, counted": (S.scipy("poisson", 4), stats.poisson(4)),
}

JOINT: dict[str, S.Sampler] = {
    "multivariate_normal": S.multivariate_normal([1, -2], [[2, 0.8], [0.8, 1]]),
    "multinomial": S.multinomial(30, [0.2, 0.5, 0.3]),
    "dirichlet": S.dirichlet([0.4, 1, 3]),
    "choice of text": S.choice(["a", "b", 3]),
    "choice of rows": S.choice([[0, 1], [2, 3]]),
    "scipy, joint": S.scipy("dirichlet", [1.0, 2.0]),
}

ONE = MEASURED | REJECTED | COUNTED
EVERY: dict[str, S.Sampler] = {**{name: law for name, (law, _) in ONE.items()}, **JOINT}
