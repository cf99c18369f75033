"""Conditions on laws over numbers: exact, in both tails, again and again."""

from __future__ import annotations

import math
import pickle
from typing import Any

import numpy as np
import pytest
from scipy import special, stats

from mtgen import sampling as S
from mtgen.errors import EmptySupportError
from mtgen.sampling.truncation import Conditioned, Rejected
from tests.support.laws import COUNTED, MEASURED, REJECTED

NUM = 20_000
LEAST = 1e-6


def bounds_of(oracle: Any) -> list[tuple[float, float]]:
    """Around the median, in each tail, with one open end, and narrow ones."""
    at = [float(oracle.ppf(p)) for p in (1e-9, 1e-6, 0.1, 0.45, 0.4500001, 0.7, 1 - 1e-6, 1 - 1e-9)]
    return [
        (at[2], at[5]),
        (at[0], at[1]),
        (at[6], at[7]),
        (at[3], at[4]),
        (-np.inf, at[2]),
        (at[5], np.inf),
        (at[2], np.inf),
    ]


def inside(oracle: Any, low: float, high: float) -> float:
    """Probability, from the tail that is nearer."""
    if low > oracle.ppf(0.5):
        return float(oracle.sf(low) - oracle.sf(high))
    return float(oracle.cdf(high) - oracle.cdf(low))


@pytest.mark.parametrize("name", MEASURED)
def test_measured_laws_in_bounds(name: str) -> None:
    law, oracle = MEASURED[name]
    for low, high in bounds_of(oracle):
        found = law.condition(np.array([low]), np.array([high]))
        assert found is not None
        mass = inside(oracle, low, high)
        if mass > 1e-5:  # below, SciPy's differences have no digits left
            assert found[0] == pytest.approx(mass, rel=1e-9)
        conditioned = law.truncate(high, low)
        assert isinstance(conditioned, Conditioned)
        points = conditioned.sample(5000, seed=1)[:, 0]
        assert ((points >= low) & (points <= high)).all()
        total = found[0]
        upper = low > oracle.ppf(0.5)
        cdf = lambda x: (oracle.sf(low) - oracle.sf(x) if upper else oracle.cdf(x) - oracle.cdf(low)) / total  # noqa: B023, E731
        assert stats.kstest(points, cdf).pvalue > LEAST
        np.testing.assert_allclose(
            conditioned.log_prob(points[:50, None]), law.log_prob(points[:50, None]) - math.log(total), rtol=1e-9
        )


@pytest.mark.parametrize("name", MEASURED)
def test_a_condition_in_two_steps_is_that_in_one(name: str) -> None:
    law, oracle = MEASURED[name]
    low, high = float(oracle.ppf(0.2)), float(oracle.ppf(0.6))
    wide = law.truncate(float(oracle.ppf(0.8)), float(oracle.ppf(0.1)))
    both = wide.truncate(high, low)
    once = law.truncate(high, low)
    assert both == once
    assert once.truncate(high, low) == once
    assert np.array_equal(both.sample(99), once.sample(99))
    assert pickle.loads(pickle.dumps(once)) == once
    found = wide.condition(np.array([low]), np.array([high]))
    assert found is not None
    assert found[0] == pytest.approx(0.4 / 0.7, rel=1e-9)
    with pytest.raises(EmptySupportError):
        once.truncate(low - 1, low - 2)


@pytest.mark.parametrize("name", sorted(set(MEASURED) - {"scipy"}))
def test_conditions_are_those_of_rejection(name: str) -> None:
    law, oracle = MEASURED[name]
    low, high = float(oracle.ppf(0.3)), float(oracle.ppf(0.9))
    tried = law.truncate(expr=lambda x: (x >= low) & (x <= high))
    assert isinstance(tried, Rejected)
    exact, rejected = law.truncate(high, low).sample(5000)[:, 0], tried.sample(5000)[:, 0]
    assert stats.ks_2samp(exact, rejected).pvalue > LEAST


@pytest.mark.parametrize(
    ("low", "high"), [(8, 9), (-40, -39), (37.5, np.inf), (-np.inf, -38), (100, 101), (6.0, 6.0 + 1e-6), (-1e8, -1e7)]
)
def test_a_normal_law_far_out(low: float, high: float) -> None:
    law = S.normal(1, 2)
    low, high = 1 + 2 * low, 1 + 2 * high
    points = law.truncate(high, low).sample(NUM, seed=2)[:, 0]
    assert ((points >= low) & (points <= high)).all()
    assert len(set(points.tolist())) > 0.9 * NUM or high == -1e7 * 2 + 1
    # The distribution inside, from logarithms: exp(log F(x) - log F(end)), on the side where F is small.
    near, far = sorted((abs(low - 1) / 2, abs(high - 1) / 2))
    logs = special.log_ndtr(-np.abs(points - 1) / 2)
    top, bottom = special.log_ndtr(-near), special.log_ndtr(-far)
    uniform = -np.expm1(logs - top) / -np.expm1(bottom - top)
    assert stats.kstest(np.clip(uniform, 0, 1), "uniform").pvalue > LEAST
    found = law.log_condition(np.array([low]), np.array([high]))
    assert found is not None
    assert found[0] == pytest.approx(top + math.log(-math.expm1(bottom - top)), rel=1e-8)


def test_acceptance_1e_9_and_1e_300_cost_no_more() -> None:
    for edge in (0.0, 6.0, 37.0, 1000.0):
        law = S.normal().truncate(low=edge)
        assert isinstance(law, Conditioned)
        assert (law.sample(1000) >= edge).all()
    product = S.normal(dim=3).truncate(low=30)  # 1e-600 of all points
    assert (product.sample(100) >= 30).all()


def test_mixtures_far_out_keep_their_shares() -> None:
    # Both masses are below all of float64; their ratio is exp(-40.5 * 0.5), far from 1.
    law = (S.normal(0, 1) | S.normal(0.25, 1)).truncate(low=41)
    masses = special.log_ndtr([-41.0, -40.75])
    share = 1 / (1 + math.exp(masses[0] - masses[1]))
    assert law.log_prob([[41.0]])[0] == pytest.approx(
        np.logaddexp(*(stats.norm([0, 0.25]).logpdf(41) - np.logaddexp(*masses))), rel=1e-12
    )
    assert share > 0.9999


def test_an_interval_over_the_median_never_ends_at_infinity() -> None:
    points = S.normal().truncate(low=-1).sample(NUM)
    assert np.isfinite(points).all()
    points = S.cauchy().truncate(high=np.inf, low=-3).sample(NUM)
    assert np.isfinite(points).all()


def test_narrow_intervals_keep_their_mass() -> None:
    for low in (0.3, 5.0, -20.0):
        found = S.normal().log_condition(np.array([low]), np.array([low + 1e-9]))
        assert found is not None
        width = np.float64(low + 1e-9) - low
        assert found[0] == pytest.approx(stats.norm.logpdf(low + 0.5e-9) + math.log(width), rel=1e-12)


def test_columns_have_conditions_of_their_own() -> None:
    law = S.normal([0, 100, 0], [1, 1, 5]).truncate(high=[9, 101, np.inf], low=[8, -np.inf, -1])
    points = law.sample(NUM)
    assert ((points >= [8, -np.inf, -1]) & (points <= [9, 101, np.inf])).all()
    assert stats.kstest(points[:, 1], stats.truncnorm(-np.inf, 1, 100, 1).cdf).pvalue > LEAST
    assert stats.kstest(points[:, 2], stats.truncnorm(-0.2, np.inf, 0, 5).cdf).pvalue > LEAST


# --- counts -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in COUNTED if "huge" not in name and "geometric, rare" != name])
def test_counted_laws_in_bounds(name: str) -> None:
    law, oracle = COUNTED[name]
    for low, high in [(oracle.ppf(0.2), oracle.ppf(0.7) + 1), (oracle.ppf(0.9), np.inf), (-np.inf, oracle.ppf(0.5))]:
        conditioned = law.truncate(high, low)
        assert not isinstance(conditioned, Rejected)
        mass = float(oracle.cdf(high) - oracle.cdf(low - 1))
        found = law.condition(np.array([low]), np.array([high]))
        assert found is not None
        assert found[0] == pytest.approx(mass, rel=1e-8)
        points = conditioned.sample(NUM, seed=3)
        assert points.dtype == np.int64
        assert ((points >= low) & (points <= high)).all()
        logs = conditioned.log_prob(points[:20])
        np.testing.assert_allclose(logs, law.log_prob(points[:20]) - math.log(mass), atol=1e-8)
        values, counts = np.unique(points[:, 0], return_counts=True)
        if len(values) > 500:
            continue
        expected = np.exp(conditioned.log_prob(values[:, None])) * NUM
        kept = expected > 5
        if kept.sum() > 1:
            scaled = expected[kept] * counts[kept].sum() / expected[kept].sum()
            assert stats.chisquare(counts[kept], scaled).pvalue > LEAST
        assert conditioned.truncate(high, low) == conditioned
        again = conditioned.truncate(high, low)
        assert np.array_equal(again.sample(50), conditioned.sample(50))


def test_counts_far_out() -> None:
    law = S.poisson(5).truncate(low=60)
    points = law.sample(NUM)[:, 0]
    assert points.min() == 60
    logs = stats.poisson(5).logpmf(np.arange(60, 140))
    expected = np.exp(logs - special.logsumexp(logs)) * NUM
    counts = np.bincount(points - 60, minlength=80)
    kept = expected > 5
    assert stats.chisquare(counts[kept], expected[kept], sum_check=False).pvalue > LEAST
    assert S.binomial(1000, 1e-3).truncate(low=999).sample(9).min() >= 999
    assert S.binomial(1000, 1e-3).log_condition(np.array([1000.0]), np.array([np.inf]))[0] == pytest.approx(
        1000 * math.log(1e-3)
    )
    assert S.geometric(1e-9).truncate(low=1e12).sample(9).min() >= 10**12
    found = S.geometric(0.25).log_condition(np.array([5.0]), np.array([np.inf]))
    assert found is not None
    assert found[0] == pytest.approx(4 * math.log(0.75))


def test_bounds_between_counts_and_outside() -> None:
    assert set(S.binomial(5, 0.5).truncate(high=2.5, low=0.5).sample(100).ravel().tolist()) == {1, 2}
    for law in (S.binomial(5, 0.5), S.integers(0, 6), S.choice([0, 5]), S.geometric(0.5)):
        with pytest.raises(EmptySupportError, match="no point"):
            law.truncate(high=-1)
    with pytest.raises(EmptySupportError, match="no point"):
        S.binomial(5, 0.5).truncate(high=2.7, low=2.2)
    assert S.integers(0, 10).truncate(high=np.inf, low=8).sample(50).min() == 8


def test_counts_too_wide_for_a_table_are_tried() -> None:
    law = S.poisson(3e10).truncate(high=3e10)
    assert isinstance(law, Rejected)
    points = law.sample(2000)[:, 0]
    assert points.dtype == np.int64
    half = -np.abs(stats.norm(3e10, np.sqrt(3e10)).rvs(2000, random_state=0) - 3e10) + 3e10
    assert stats.ks_2samp(points, half).pvalue > LEAST


@pytest.mark.parametrize("name", sorted(set(REJECTED) - {"gamma, large"}))
def test_laws_without_a_quantile_are_tried(name: str) -> None:
    law, oracle = REJECTED[name]
    low, high = float(oracle.ppf(0.3)), float(oracle.ppf(0.8))
    conditioned = law.truncate(high, low)
    assert isinstance(conditioned, Rejected)
    points = conditioned.sample(4000)[:, 0]
    assert stats.kstest(points, lambda x: (oracle.cdf(x) - 0.3) / 0.5).pvalue > LEAST


def test_uniform_laws_stay_uniform() -> None:
    law = S.uniform(0, 4, dim=2).truncate(high=[1, 9], low=[-1, 3])
    points = law.sample(NUM)
    assert stats.kstest(points[:, 0], "uniform").pvalue > LEAST
    assert stats.kstest(points[:, 1] - 3, "uniform").pvalue > LEAST
    assert law.log_prob([[0.5, 3.5]])[0] == pytest.approx(0)
    with pytest.raises(EmptySupportError):
        S.uniform().truncate(high=0)


def test_a_multivariate_normal_of_independent_columns() -> None:
    law = S.multivariate_normal([0, 1], [[4, 0], [0, 1]]).truncate(low=[16, 10])
    assert not isinstance(law, Rejected)
    assert (law.sample(50) >= [16, 10]).all()
    assert isinstance(S.multivariate_normal([0, 0], [[1, 0.5], [0.5, 1]]).truncate(low=0), Rejected)
