"""Laws that are refused when they are built, laws by name, and how they are written."""

from __future__ import annotations

import builtins
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from scipy import stats

from mtgen import sampling as S
from mtgen.errors import PlanError
from mtgen.sampling.laws import names


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (lambda: S.normal(scale=0), "scale of normal must be finite and > 0, received 0 (int)"),
        (lambda: S.normal(scale=[1, -1]), "scale of normal must be finite and > 0, received [1, -1] (list)"),
        (lambda: S.normal(loc=np.nan), "loc of normal must be finite, received nan (float)"),
        (lambda: S.normal(loc=np.inf), "loc of normal must be finite, received inf (float)"),
        (lambda: S.normal(loc="3"), "loc of normal must be a number or a list of numbers, received '3' (str)"),
        (lambda: S.normal(loc=True), "must be a number or a list of numbers, received True (bool)"),
        (lambda: S.normal(loc=[1, True]), "must be a number or a list of numbers, received [1, True] (list)"),
        (lambda: S.normal(loc=None), "must be a number or a list of numbers, received None"),
        (lambda: S.normal(loc=1j), "must be a number or a list of numbers"),
        (lambda: S.normal(loc=[]), "must be a number or a list of numbers"),
        (lambda: S.normal(loc=[[1], [1, 2]]), "must be a number or a list of numbers"),
        (lambda: S.normal(loc=S.normal()), "must be a number or a list of numbers"),
        (lambda: S.normal(loc=[[1, 2]]), "one for each column; received shape (1, 2)"),
        (lambda: S.normal(dim=0), "dim must be an integer >= 1"),
        (lambda: S.normal(dim=2.0), "dim must be an integer >= 1"),
        (lambda: S.normal([0, 5], [1, 2, 3]), "do not agree: loc has 2, scale has 3"),
        (lambda: S.normal([0, 5], dim=3), "do not agree: loc has 2, dim=3"),
        (lambda: S.uniform(1, 1), "low must be below high"),
        (lambda: S.uniform([0, 3], [1, 2]), "low must be below high"),
        (lambda: S.uniform(-1e308, 1e308), "must not be so far apart"),
        (lambda: S.triangular(0, 3, 2), "needs left <= mode <= right"),
        (lambda: S.gamma(-1), "shape of gamma must be finite and > 0"),
        (lambda: S.beta(0, 1), "a of beta must be finite and > 0"),
        (lambda: S.weibull(0), "a of weibull"),
        (lambda: S.poisson(-0.1), "lam of poisson must be a number in [0, 2**52]"),
        (lambda: S.binomial(1.5, 0.5), "n of binomial must be a whole number"),
        (lambda: S.binomial(-1, 0.5), "n of binomial must be a whole number"),
        (lambda: S.binomial(3, 1.01), "p of binomial must be a probability in [0, 1]"),
        (lambda: S.geometric(0), "p of geometric must be a probability in (0, 1]"),
        (lambda: S.negative_binomial(0.5, 1e-9), "n below 1 is known for p >= 2**-11 only"),
        (lambda: S.negative_binomial(1e10, 1e-9), "must not be above 2**52"),
        (lambda: S.hypergeometric(1, 2, 4), "nsample must not be above ngood + nbad"),
        (lambda: S.multinomial(3, [0.5, 0.4]), "whose sum is 0.9"),
        (lambda: S.multinomial(3, [1.5, -0.5]), "pvals of multinomial must be a list of probabilities"),
        (lambda: S.multinomial([3, 4], [0.5, 0.5]), "do not agree: n has 2, dim=1"),
        (lambda: S.multivariate_normal([0, 0], [[1]]), "received shapes (2,) and (1, 1)"),
        (lambda: S.multivariate_normal([0, 0], [[1, 0.5], [0.1, 1]]), "must be symmetric"),
        (lambda: S.multivariate_normal([0, 0], [[1, 2], [2, 1]]), "no negative eigenvalue; the smallest is -1"),
        (lambda: S.dirichlet([1]), "a list of two numbers at least"),
        (lambda: S.dirichlet([1, 0]), "alpha of dirichlet must be finite and > 0"),
        (lambda: S.choice([]), "one value or more"),
        (lambda: S.choice("abc"), "a list or an array of values, or a number of them"),
        (lambda: S.choice({1, 2}), "a list or an array of values, or a number of them"),
        (lambda: S.choice(0), "values must be an integer >= 1"),
        (lambda: S.choice(True), "a list or an array of values"),
        (lambda: S.choice([1, np.nan]), "must hold no NaN"),
        (lambda: S.choice([1, 2], p=[1]), "p has 1 probabilities for 2 values"),
        (lambda: S.choice([1, 2], p=[0.5, 0.6]), "whose sum is 1.1"),
        (lambda: S.choice([[1, 2]], dim=3), "leave dim out"),
        (lambda: S.integers(5, 5), "needs low below high"),
        (lambda: S.integers(0.5), "high of integers must be a whole number"),
        (lambda: S.integers(-(2**63), 2**63 - 1), "fewer than 2**63 values"),
        (lambda: S.integers(0, 5, endpoint=1), "endpoint must be True or False"),
        (lambda: S.normal().log_prob([["a"]]), "is over numbers"),
    ],
)
def test_what_is_refused(build: Any, text: str) -> None:
    with pytest.raises(PlanError) as caught:
        build()
    assert text in str(caught.value)


@pytest.mark.parametrize(
    ("law", "text"),
    [
        (S.normal(dim=2), "normal(loc=0, scale=1, dim=2)"),
        (S.normal([0, 5]), "normal(loc=[0, 5], scale=1, dim=2)"),
        (S.gamma(0.5), "gamma(shape=0.5, scale=1, dim=1)"),
        (S.poisson(1e12), "poisson(lam=1000000000000, dim=1)"),
        (S.integers(5), "integers(low=0, high=5, dim=1)"),
        (S.choice(["a", 1], p=[0.5, 0.5]), "choice(['a', 1], p=[0.5, 0.5])"),
        (S.choice(100), "choice([0, 1, 2, 3, 4, 5, 6, 7, 8, 9] and 90 more)"),
        (S.multinomial(3, [0.5, 0.5]), "multinomial(n=3, pvals=[0.5, 0.5])"),
        (S.multivariate_normal([0], [[1]]), "multivariate_normal(mean=[0.0], cov=[[1.0]])"),
        (S.dirichlet([1, 1]), "dirichlet(alpha=[1.0, 1.0])"),
        (S.scipy("w", 2.0, dim=2), "scipy('dweibull', 2.0, dim=2)"),
        (S.normal().truncate(9, 8), "truncated(normal(loc=0, scale=1, dim=1)) in [8.0] to [9.0]"),
    ],
)
def test_how_they_are_written(law: S.Sampler, text: str) -> None:
    assert repr(law) == text


# --- by name ----------------------------------------------------------------------------------------------------------

ALIASES: list[tuple[str, dict[str, Any], Any]] = [
    ("n norm normal Normal", {"loc": 1, "scale": 2}, lambda: S.normal(1, 2)),
    ("u uniform Uniform", {"low": 1, "high": 2}, lambda: S.uniform(1, 2)),
    ("mvn multivariate_normal", {"mean": [0], "cov": [[2]]}, lambda: S.multivariate_normal([0], [[2]])),
    ("e exponential expon Exponential", {"scale": 3}, lambda: S.exponential(3)),
    ("g gamma", {"shape": 2, "scale": 3}, lambda: S.gamma(2, 3)),
    ("be beta", {"a": 2, "b": 3}, lambda: S.beta(2, 3)),
    ("mnm multinomial", {"n": 2, "pvals": [0.5, 0.5]}, lambda: S.multinomial(2, [0.5, 0.5])),
    ("f", {"dfnum": 2, "dfden": 3}, lambda: S.f(2, 3)),
    ("p poisson", {"lam": 2}, lambda: S.poisson(2)),
    ("w weibull", {"a": 2}, lambda: S.weibull(2)),
    ("ln lognormal lognorm", {"mean": 2, "sigma": 3}, lambda: S.lognormal(2, 3)),
    ("b binomial binom", {"n": 2, "p": 0.5}, lambda: S.binomial(2, 0.5)),
    ("chi2 chisquare", {"df": 2}, lambda: S.chi2(2)),
    ("c choice", {"values": [1, 2]}, lambda: S.choice([1, 2])),
]


@pytest.mark.parametrize(("spelled", "params", "law"), ALIASES, ids=lambda one: one if isinstance(one, str) else "")
def test_every_alias(spelled: str, params: dict[str, Any], law: Any) -> None:
    for name in spelled.split():
        assert S.named(name, **params) == law()


def test_parameters_are_those_of_numpy() -> None:
    """Each method of Generator that is known takes the same names, and draws the same law."""
    generator = np.random.default_rng(0)
    given = {
        "normal": {"loc": 1, "scale": 2},
        "gumbel": {"loc": 1, "scale": 2},
        "standard_gamma": {"shape": 2},
        "standard_cauchy": {},
        "standard_exponential": {},
        "standard_normal": {},
        "standard_t": {"df": 3},
        "random": {},
        "triangular": {"left": 0, "mode": 1, "right": 3},
        "hypergeometric": {"ngood": 5, "nbad": 6, "nsample": 4},
        "negative_binomial": {"n": 3, "p": 0.4},
        "geometric": {"p": 0.3},
        "pareto": {"a": 3},
        "power": {"a": 3},
        "rayleigh": {"scale": 2},
        "wald": {"mean": 1, "scale": 2},
        "laplace": {"loc": 1, "scale": 2},
        "logistic": {"loc": 1, "scale": 2},
        "integers": {"low": 1, "high": 9},
        "weibull": {"a": 2},
        "f": {"dfnum": 4, "dfden": 9},
        "chisquare": {"df": 3},
    }
    for name, params in given.items():
        theirs = getattr(generator, name)(**params, size=5000)
        ours = S.named(name, **params).sample(5000, seed=1)[:, 0]
        assert stats.ks_2samp(theirs, ours).pvalue > 1e-6, name
    methods = {name for name in dir(np.random.Generator) if not name.startswith("_")}
    no_laws = {"bit_generator", "bytes", "permutation", "permuted", "shuffle", "spawn"}
    assert methods - no_laws - set(names.LAWS) == set(names.ELSEWHERE) & methods


def test_dim_of_named_laws() -> None:
    assert S.named("n", dim=3).dim == 3
    assert S.named("mnm", dim=2, n=3, pvals=[0.5, 0.5]).dim == 2
    with pytest.raises(PlanError, match="has 2 columns, and dim=3"):
        S.named("mnm", dim=3, n=3, pvals=[0.5, 0.5])


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (lambda: S.named("nomal"), "there is no law named 'nomal'; did you mean 'normal'"),
        (lambda: S.named("q7"), "known are Beta, Exponential"),
        (lambda: S.named("randint", low=0, high=5), "write integers(low, high)"),
        (lambda: S.named("zipf", a=2), 'write scipy("zipf", a)'),
        (lambda: S.named(3), "needs the name of a law, received 3 (int)"),
        (lambda: S.named("n", seed=3), "Seeds are given where points are drawn: sample(n, seed=3)"),
        (lambda: S.named("n", size=3), "sample(n)"),
        (lambda: S.named("n", sigma=3), "n has no parameter 'sigma'; it has loc, scale"),
        (lambda: S.named("random", low=3), "random has no parameter 'low'; it has none"),
        (lambda: S.named("b", n=3), "b needs p; received n"),
        (lambda: S.named("gamma"), "gamma needs shape; received no parameters"),
        (lambda: S.scipy("n", random_state=3), "scipy takes no random_state"),
        (lambda: S.scipy("nrm"), "scipy.stats has no law named 'nrm'; did you mean 'norm'"),
        (lambda: S.scipy("describe"), "has no law named 'describe'"),
        (lambda: S.scipy("gamma"), "scipy.stats.gamma refuses its parameters"),
        (lambda: S.scipy("gamma", a=-1), "the parameters do not fit"),
        (lambda: S.scipy(stats.norm(), 3), "has its parameters already"),
        (lambda: S.scipy(stats.norm), "is not frozen"),
        (lambda: S.scipy(stats.multivariate_normal), "is not frozen"),
        (lambda: S.scipy(3), "needs a frozen law such as scipy.stats.gamma(2), or a name; received 3 (int)"),
        (lambda: S.scipy(stats.norm([0, 1]), dim=3), "do not agree: the law has 2, dim=3"),
        (lambda: S.scipy("mvn", [0, 0], dim=3), "has 2 columns, and dim=3"),
    ],
)
def test_what_names_are_refused(build: Any, text: str) -> None:
    with pytest.raises(PlanError) as caught:
        build()
    assert text in str(caught.value)


# --- scipy ------------------------------------------------------------------------------------------------------------


def test_scipy_aliases() -> None:
    known = {"n": (), "u": (), "e": (), "g": (2,), "be": (2, 3), "f": (2, 3), "p": (2,), "ln": (1,), "b": (3, 0.5)}
    for name, args in {**known, "chi2": (3,), "w": (2,), "c": ()}.items():
        if name == "c":
            continue
        assert S.scipy(name, *args).sample(3).shape == (3, 1)
    assert (S.scipy("w", 2).sample(1000) < 0).any()
    assert (S.named("w", a=2).sample(1000) > 0).all()
    assert S.scipy("mnm", 5, [0.5, 0.5]).sample(4).sum(axis=1).tolist() == [5] * 4


def test_scipy_laws_by_quantile_and_by_generators() -> None:
    assert S.scipy(stats.norm([0, 5], 2)).sample(4).shape == (4, 2)
    assert S.scipy(stats.poisson(3), dim=2).sample(4).dtype == np.int64
    assert S.scipy("mvn", [0, 1], [[1, 0.5], [0.5, 1]]) == S.multivariate_normal([0, 1], [[1, 0.5], [0.5, 1]])
    assert S.scipy(stats.multivariate_normal([0, 1])) == S.multivariate_normal([0, 1], np.eye(2))
    law = S.scipy(stats.wishart(3, np.eye(2)))
    assert law.dim == 4
    points = S.scipy("dirichlet", [1.0, 2.0]).sample(2000, seed=0)
    assert stats.kstest(points[:, 0], stats.beta(1, 2).cdf).pvalue > 1e-6
    inner = points[:20]
    expected = [stats.dirichlet([1.0, 2.0]).logpdf(one) for one in inner]
    np.testing.assert_allclose(S.scipy("dirichlet", [1.0, 2.0]).log_prob(inner), expected)
    counts = S.scipy("multinomial", 5, [0.2, 0.8])
    assert counts.discrete == (True, True)
    np.testing.assert_allclose(counts.log_prob([[1, 4]]), stats.multinomial(5, [0.2, 0.8]).logpmf([1, 4]))


def test_scipy_laws_differ_by_what_they_hold() -> None:
    assert S.scipy("gamma", 2) != S.scipy("gamma", 3)
    assert S.scipy("gamma", 2, dim=2) != S.scipy("gamma", 2)
    one, two = (S.scipy(stats.rv_histogram((np.array(counts), np.arange(4.0)))) for counts in ([1, 2, 3], [3, 2, 1]))
    assert one != two
    values = [S.scipy(stats.rv_discrete(values=([0, 1], p))()) for p in ([0.5, 0.5], [0.9, 0.1])]
    assert values[0] != values[1]
    wide = [S.scipy(stats.dirichlet([1.0, one])) for one in (1.0, 2.0)]
    assert wide[0] != wide[1]


def test_scipy_is_only_imported_when_a_law_of_it_is_asked_for() -> None:
    code = """
import sys
sys.modules["scipy"] = None  # as if it were not installed
from mtgen import sampling as S
law = S.mix(S.named("n", dim=2), S.named("g", shape=2, dim=2), S.poisson(3, dim=2)).truncate(high=9, low=0)
assert law.sample(99).shape == (99, 2)
assert S.normal().truncate(9, 8).log_prob([[8.5]])[0] > -9
try:
    S.scipy("n")
except S.EmptySupportError:
    raise
except ValueError as error:
    assert "pip install 'mtgen[scipy]'" in str(error), error
else:
    raise SystemExit("scipy was found")
"""
    run = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr


def test_every_public_name_is_there() -> None:
    assert [name for name in S.__all__ if not hasattr(S, name)] == []
    assert set(S.__all__) <= set(dir(S))
    assert not hasattr(builtins, "normal")
