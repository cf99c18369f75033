"""Laws by name: BatchFlow's aliases, and the names of the methods of `numpy.random.Generator`."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from mtgen.errors import PlanError
from mtgen.sampling.laws import choices, closed, counted, exponentials, joint, normals, rejection
from mtgen.sampling.sampler import Sampler
from mtgen.settings import nearest, shown


def _standard_gamma(shape: Any, dim: int | None = None) -> Sampler:
    return rejection.gamma(shape, dim=dim)


def _standard(law: Callable[..., Sampler]) -> Callable[..., Sampler]:
    def standard(dim: int | None = None) -> Sampler:
        return law(dim=dim)

    return standard


LAWS: dict[str, Callable[..., Sampler]] = {
    "beta": rejection.beta,
    "binomial": counted.binomial,
    "cauchy": closed.cauchy,
    "chisquare": rejection.chi2,
    "choice": choices.choice,
    "dirichlet": joint.dirichlet,
    "exponential": exponentials.exponential,
    "f": rejection.f,
    "gamma": rejection.gamma,
    "geometric": counted.geometric,
    "gumbel": exponentials.gumbel,
    "hypergeometric": counted.hypergeometric,
    "integers": choices.integers,
    "laplace": closed.laplace,
    "logistic": closed.logistic,
    "lognormal": normals.lognormal,
    "multinomial": joint.multinomial,
    "multivariate_normal": joint.multivariate_normal,
    "negative_binomial": counted.negative_binomial,
    "normal": normals.normal,
    "pareto": exponentials.pareto,
    "poisson": counted.poisson,
    "power": exponentials.power,
    "random": _standard(closed.uniform),
    "rayleigh": exponentials.rayleigh,
    "standard_cauchy": _standard(closed.cauchy),
    "standard_exponential": _standard(exponentials.exponential),
    "standard_gamma": _standard_gamma,
    "standard_normal": _standard(normals.normal),
    "standard_t": rejection.standard_t,
    "triangular": closed.triangular,
    "uniform": closed.uniform,
    "wald": rejection.wald,
    "weibull": exponentials.weibull,
}
"""By the names of the methods of `numpy.random.Generator`, and cauchy."""

ALIASES = {
    "n": "normal",
    "norm": "normal",
    "Normal": "normal",
    "u": "uniform",
    "Uniform": "uniform",
    "mvn": "multivariate_normal",
    "e": "exponential",
    "expon": "exponential",
    "Exponential": "exponential",
    "g": "gamma",
    "Gamma": "gamma",
    "be": "beta",
    "Beta": "beta",
    "mnm": "multinomial",
    "Multinomial": "multinomial",
    "p": "poisson",
    "Poisson": "poisson",
    "w": "weibull",
    "ln": "lognormal",
    "lognorm": "lognormal",
    "b": "binomial",
    "binom": "binomial",
    "chi2": "chisquare",
    "c": "choice",
    "random_sample": "random",
}
"""BatchFlow's short names and those of SciPy and TensorFlow that it took."""

ELSEWHERE = {
    "logseries": 'scipy("logser", p)',
    "zipf": 'scipy("zipf", a)',
    "vonmises": 'scipy("vonmises", kappa, loc=mu)',
    "noncentral_chisquare": 'scipy("ncx2", df, nonc)',
    "noncentral_f": 'scipy("ncf", dfnum, dfden, nonc)',
    "multivariate_hypergeometric": 'scipy("multivariate_hypergeom", m=..., n=...)',
    "randint": "integers(low, high)",
    "rand": "uniform(dim=...)",
    "randn": "normal(dim=...)",
    "dweibull": 'scipy("w", c=...)',
}
"""What is asked for and has another name here."""


def named(name: str, dim: int | None = None, **params: Any) -> Sampler:
    """A law by its name or alias, with the parameters that the method of `numpy.random.Generator` has.

    Aliases: n normal, u uniform, mvn multivariate_normal, e exponential, g gamma, be beta, mnm multinomial, f,
    p poisson, w weibull (NumPy's, on positive numbers), ln lognormal, b binomial, chi2, c choice; norm, expon, lognorm,
    binom and the like are known too.

    Args:
        name: one of these, or a method's full name.
        dim: columns.
        **params: of the law.

    Raises:
        PlanError: an unknown name or parameter, or `seed`, which belongs to `sample`.

    Example:
        >>> named("n", dim=2, scale=3)
        normal(loc=0, scale=3, dim=2)
    """
    refuse_drawing(params, "named")
    if not isinstance(name, str):
        raise PlanError(f"named needs the name of a law, received {shown(name)}")
    law = LAWS.get(ALIASES.get(name, name))
    if law is None:
        if name in ELSEWHERE:
            raise PlanError(f"there is no law named {name!r} here; write {ELSEWHERE[name]}")
        raise PlanError(f"there is no law named {name!r}{near(name, [*LAWS, *ALIASES])}")
    known = [one for one in inspect.signature(law).parameters if one != "dim"]
    wrong = [one for one in params if one not in known]
    if wrong:
        raise PlanError(f"{name} has no parameter {wrong[0]!r}; it has {', '.join(known) or 'none'}")
    missing = [
        one.name
        for one in inspect.signature(law).parameters.values()
        if one.default is inspect.Parameter.empty and one.name not in params
    ]
    if missing:
        raise PlanError(f"{name} needs {' and '.join(missing)}; received {', '.join(params) or 'no parameters'}")
    if dim is not None:
        if "dim" not in inspect.signature(law).parameters:
            return _of_dim(law(**params), dim)
        params = {**params, "dim": dim}
    return law(**params)


def _of_dim(law: Sampler, dim: int) -> Sampler:
    """A law that has its columns from its parameters, if they are so many."""
    if law.dim != dim:
        raise PlanError(f"{law!r} has {law.dim} columns, and dim={dim}; leave dim out")
    return law


def refuse_drawing(params: dict[str, Any], where: str) -> None:
    """Refuse what says how to draw, which a law does not hold.

    Raises:
        PlanError: seed, random_state or size among the parameters.
    """
    for name in ("seed", "random_state"):
        if name in params:
            raise PlanError(
                f"{where} takes no {name}: a law holds no generator. Seeds are given where points are drawn: "
                f"sample(n, seed={params[name]!r}), or the loader's seed"
            )
    if "size" in params:
        raise PlanError(f"{where} takes no size: the number of points is given where they are drawn: sample(n)")


def near(name: str, known: list[str]) -> str:
    """For a message: names that are like it, or all."""
    names = sorted(set(known))
    found = nearest(name.lower(), names)
    return f"; did you mean {found}?" if found else f"; known are {', '.join(names)}"
