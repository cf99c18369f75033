"""Each law over numbers: against SciPy's distribution and density, alone and as a value."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
from scipy import stats

from mtgen import sampling as S
from mtgen.errors import NoDensityError
from mtgen.sampling.laws import gaussian, masses
from mtgen.sampling.laws.tables import MOST_ENTRIES, log_concave, table_of
from tests.support.laws import COUNTED, EVERY, JOINT, MEASURED, ONE, REJECTED

NUM = 20_000
LEAST = 1e-6
"""Of the p-value of a test that a right law passes all but once in a million seeds; the seeds are fixed."""


def is_wide(law: Any) -> bool:
    return float(law.std()) > 1000


@pytest.mark.parametrize("name", [*MEASURED, *REJECTED])
def test_measured_laws_have_the_distribution(name: str) -> None:
    law, oracle = ONE[name]
    points = law.sample(NUM, seed=3)
    assert points.dtype == np.float64
    assert points.shape == (NUM, 1)
    assert stats.kstest(points[:, 0], oracle.cdf).pvalue > LEAST


@pytest.mark.parametrize("name", COUNTED)
def test_counted_laws_have_the_distribution(name: str) -> None:
    law, oracle = COUNTED[name]
    points = law.sample(NUM, seed=3)[:, 0]
    assert points.dtype == np.int64
    if is_wide(oracle):  # an atom is small beside the statistic
        assert stats.kstest(points, oracle.cdf).pvalue > LEAST
        return
    assert fits(points, oracle)


def fits(points: np.ndarray, oracle: Any) -> bool:
    """Chi-square over counts, those that are rare taken together at either end."""
    values = np.arange(oracle.ppf(1e-3), oracle.ppf(1 - 1e-3) + 1)
    edges = np.concatenate([[-np.inf], values, [np.inf]])
    expected = np.diff(np.concatenate([[0], oracle.cdf(values), [1]])) * len(points)
    found = np.histogram(points, bins=np.concatenate([[-np.inf], values + 0.5, [np.inf]]))[0]
    kept = expected > 5
    assert len(edges) == len(expected) + 1
    assert found[expected < 1e-9 * len(points)].sum() == 0
    rest = np.array([found[~kept].sum()]), np.array([expected[~kept].sum()])
    found, expected = np.concatenate([found[kept], rest[0]]), np.concatenate([expected[kept], rest[1]])
    found, expected = found[expected > 0], expected[expected > 0]
    return len(found) == 1 or bool(stats.chisquare(found, expected, sum_check=False).pvalue > LEAST)


@pytest.mark.parametrize("name", sorted(set(ONE) - {"cauchy", "weibull, steep", "choice of numbers"}))
def test_moments(name: str) -> None:
    law, oracle = ONE[name]
    points = law.sample(NUM, seed=4)[:, 0].astype(np.float64)
    assert abs(points.mean() - oracle.mean()) < 5 * oracle.std() / np.sqrt(NUM)
    fourth = float(oracle.stats("k")) if np.isfinite(oracle.stats("k")) else None
    if fourth is not None and fourth < 20:
        error = oracle.var() * np.sqrt((fourth + 2) / NUM)
        assert abs(points.var() - oracle.var()) < 5 * error


@pytest.mark.parametrize("name", ONE)
def test_log_prob_is_that_of_scipy(name: str) -> None:
    law, oracle = ONE[name]
    counted = law.discrete[0]
    logs = oracle.logpmf if counted else oracle.logpdf
    points = np.concatenate([law.sample(300, seed=5), law.sample(3, seed=6) + 0.5, [[-41.0], [41.0], [0.0], [1.0]]])
    if name.startswith(("triangular", "power")):  # at the kink SciPy's formula is 0 / 0, at the pole it says 0
        points = points[~np.isin(points, [0, 2])][:, None]
    found, expected = law.log_prob(points), logs(points[:, 0])
    assert np.array_equal(np.isneginf(found), np.isneginf(expected))
    # Where SciPy subtracts large logarithms, its own digits are the limit.
    tolerance = 1e-4 if "huge" in name or "rare" in name else 1e-7 if "large" in name else 1e-10
    some = np.isfinite(expected)
    np.testing.assert_allclose(found[some], expected[some], rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", ONE)
def test_no_number_and_infinity_have_no_density(name: str) -> None:
    law, _ = ONE[name]
    found = law.log_prob([[np.nan], [np.inf], [-np.inf]])
    assert np.isneginf(found[1:]).all()
    if not name.startswith("scipy"):
        assert np.isneginf(found[0])


@pytest.mark.parametrize("name", EVERY)
def test_ten_points_are_four_and_six(name: str) -> None:
    law = EVERY[name]
    whole = law.sample(10, seed=1, epoch=2)
    parts = [law.sample(4, seed=1, epoch=2), law.sample(6, seed=1, epoch=2, start=4)]
    assert whole.dtype == parts[0].dtype
    assert np.array_equal(whole, np.concatenate(parts))


@pytest.mark.parametrize("name", EVERY)
def test_a_point_depends_on_its_position_only(name: str) -> None:
    law = EVERY[name]
    num = 50 if name == "scipy, joint" else 2000
    whole = law.sample(num, seed=1)
    for start in (0, 17, num - 3):
        assert np.array_equal(law.sample(3, seed=1, start=start), whole[start : start + 3])
    assert law.sample(0).shape == (0, law.dim)
    assert law.sample(0).dtype == whole.dtype


@pytest.mark.parametrize("name", EVERY)
def test_seeds_and_epochs_are_unrelated(name: str) -> None:
    law = EVERY[name]
    if name.startswith(("poisson, small", "choice")):
        return  # too few values to tell
    drawn = [law.sample(60, seed=seed, epoch=epoch) for seed, epoch in ((0, 0), (0, 1), (1, 0))]
    assert not any(np.array_equal(drawn[i], drawn[j]) for i, j in ((0, 1), (0, 2), (1, 2)))


@pytest.mark.parametrize("name", EVERY)
def test_a_law_is_a_value(name: str) -> None:
    law = EVERY[name]
    law.sample(3)  # tables that were built do not count
    other = pickle.loads(pickle.dumps(law))
    assert other == law
    assert hash(other) == hash(law)
    assert copy.deepcopy(law) == law
    assert np.array_equal(other.sample(5), law.sample(5))
    assert (0.5 & law) != law
    assert (0.5 & law).weight == 0.5
    assert np.array_equal((0.5 & law).sample(5), law.sample(5))
    assert [one for one, two in EVERY.items() if two == law] == [name]


@pytest.mark.parametrize("name", sorted(set(ONE) - {"choice of numbers"}))
def test_columns_are_independent(name: str) -> None:
    law = ONE[name][0]
    two = type(law)((*((np.repeat(p, 2)) for p in law.params),)) if hasattr(law, "params") else law & law
    points = two.sample(NUM, seed=2)
    assert points.shape == (NUM, 2)
    assert np.array_equal(points[:, :1], law.sample(NUM, seed=2)) or not hasattr(law, "params")
    if points[:, 0].std() > 0:
        assert abs(stats.spearmanr(points[:, 0], points[:, 1]).statistic) < 5 / np.sqrt(NUM)
        assert abs(stats.spearmanr(points[1:, 0], points[:-1, 0]).statistic) < 5 / np.sqrt(NUM)


def test_parameters_of_each_column() -> None:
    law = S.normal(loc=[0, 5], scale=[1, 10])
    points = law.sample(NUM, seed=0)
    for number, oracle in enumerate([stats.norm(0, 1), stats.norm(5, 10)]):
        assert stats.kstest(points[:, number], oracle.cdf).pvalue > LEAST
    expected = stats.norm(0, 1).logpdf(points[:, 0]) + stats.norm(5, 10).logpdf(points[:, 1])
    np.testing.assert_allclose(law.log_prob(points), expected, rtol=1e-12)
    assert S.gamma([0.5, 20.0], scale=2).dim == 2
    assert S.poisson([1, 1e10, 3]).sample(4).shape == (4, 3)


# --- laws of several columns ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cov", [[[2, 0.8], [0.8, 1]], [[1, 1], [1, 1]], [[4, 0], [0, 0]], [[0, 0], [0, 0]]])
def test_multivariate_normal(cov: list[list[float]]) -> None:
    law = S.multivariate_normal([1, -2], cov)
    points = law.sample(NUM, seed=7)
    matrix = np.array(cov, float)
    for direction in ([1, 0], [0, 1], [1, -1], [1, 2]):
        deviation = np.sqrt(np.array(direction) @ matrix @ direction)
        along = (points - [1, -2]) @ direction
        if deviation < 1e-9:
            assert np.abs(along).max() < 1e-6
        else:
            assert stats.kstest(along / deviation, "norm").pvalue > LEAST
    if np.linalg.det(matrix) > 0:
        expected = stats.multivariate_normal([1, -2], cov).logpdf(points)
        np.testing.assert_allclose(law.log_prob(points), expected, rtol=1e-10)
    else:
        with pytest.raises(NoDensityError):
            law.log_prob(points)


def test_multinomial() -> None:
    pvals = [0.2, 0, 0.5, 0.3]
    law = S.multinomial(30, pvals)
    points = law.sample(NUM, seed=8)
    assert points.dtype == np.int64
    assert (points.sum(axis=1) == 30).all()
    assert (points[:, 1] == 0).all()
    for number in (0, 2, 3):
        assert fits(points[:, number], stats.binom(30, pvals[number]))
    assert fits(points[:, 0] + points[:, 3], stats.binom(30, 0.5))
    expected = stats.multinomial(30, pvals).logpmf(points[:50])
    np.testing.assert_allclose(law.log_prob(points[:50]), expected, rtol=1e-10)
    assert np.isneginf(law.log_prob([[30, 0, 0, 1], [29.5, 0, 0.5, 0], [29, 1, 0, 0]])).all()
    assert S.multinomial(0, pvals).sample(2).tolist() == [[0, 0, 0, 0]] * 2
    huge = S.multinomial(10**12, [0.25, 0.75]).sample(NUM, seed=1)[:, 0]
    assert stats.kstest(huge, stats.norm(2.5e11, np.sqrt(10**12 * 3 / 16)).cdf).pvalue > LEAST


def test_dirichlet() -> None:
    alpha = np.array([0.4, 1, 3])
    law = S.dirichlet(alpha)
    points = law.sample(NUM, seed=9)
    np.testing.assert_allclose(points.sum(axis=1), 1, rtol=1e-14)
    for number in range(3):
        oracle = stats.beta(alpha[number], alpha.sum() - alpha[number])
        assert stats.kstest(points[:, number], oracle.cdf).pvalue > LEAST
    inner = points[(points > 1e-6).all(axis=1)][:50]
    expected = [stats.dirichlet(alpha).logpdf(one / one.sum()) for one in inner]
    np.testing.assert_allclose(law.log_prob(inner), expected, rtol=1e-9)
    assert not np.isnan(S.dirichlet([1e-4, 1e-4]).sample(1000)).any()


def test_choice() -> None:
    law = S.choice(["a", "b", 3], p=[0.5, 0, 0.5])
    points = law.sample(1000, seed=0)[:, 0]
    assert set(points.tolist()) == {"a", 3}
    assert abs((points == "a").sum() - 500) < 5 * np.sqrt(250)
    assert np.exp(law.log_prob([["a"], ["b"], [3], ["c"]])).tolist() == [0.5, 0, 0.5, 0]
    assert S.choice([1, 1, 2]).log_prob([[1]])[0] == pytest.approx(np.log(2 / 3))
    assert S.choice(["x", "yy"]).sample(1).dtype == np.dtype("<U2")
    assert S.choice([2**62 + 1, 5]).sample(9).dtype == np.int64
    assert S.choice(4).sample(1000).max() == 3
    assert S.choice([[0, 1], [2, 3]]).dim == 2
    assert S.choice(["a", "b"], dim=3).sample(5).shape == (5, 3)
    assert len(set(map(tuple, S.choice(["a", "b"], dim=2).sample(100).tolist()))) == 4
    assert S.choice([True, 0, "x"]).sample(50).tolist().count([True]) > 0


def test_integers_of_any_range() -> None:
    assert set(S.integers(3).sample(100).ravel().tolist()) == {0, 1, 2}
    assert set(S.integers(3, 5, endpoint=True).sample(100).ravel().tolist()) == {3, 4, 5}
    low, high = -(2**62), 2**62
    points = S.integers(low, high).sample(NUM, seed=1)[:, 0]
    assert stats.kstest(points / 2.0**63 + 0.5, "uniform").pvalue > LEAST
    large = S.integers(2**53, 2**53 + 4)
    assert set(large.sample(100).ravel().tolist()) == set(range(2**53, 2**53 + 4))
    assert np.isneginf(large.log_prob([[2**53 + 4]]))[0]
    assert S.integers([0, 10], [3, 20]).sample(50).min(axis=0).tolist() == [0, 10]


# --- the pieces -------------------------------------------------------------------------------------------------------


def test_quantile_of_the_normal_law() -> None:
    special = pytest.importorskip("scipy.special")
    u = np.concatenate([np.linspace(1e-3, 1 - 1e-3, 5001), 10.0 ** -np.arange(1, 300), 1 - 10.0 ** -np.arange(1, 16)])
    np.testing.assert_allclose(gaussian.quantile(u), special.ndtri(u), rtol=2e-14, atol=2e-16)
    x = -np.concatenate([np.linspace(0, 60, 601), [1e3, 1e8, 1e150]])
    logs = gaussian.log_cdf(x)
    np.testing.assert_allclose(logs, special.log_ndtr(x), rtol=2e-15)
    np.testing.assert_allclose(gaussian.quantile_of_log(logs), x, rtol=2e-15, atol=2e-16)
    assert gaussian.quantile_of_log(np.array([-np.inf])).tolist() == [-np.inf]


@pytest.mark.parametrize("lam", [0.3, 5, 1e4, 1e5, 1e7, 1e8])
def test_a_table_holds_all_but_1e_18(lam: float) -> None:
    mass = lambda k: masses.log_poisson(k, np.array(lam))  # noqa: E731
    table = table_of(mass, np.floor(lam), -np.inf, np.inf)
    assert table is not None
    last = table.first + len(table.cumulative) - 1
    oracle = stats.poisson(lam)
    assert oracle.sf(last) + oracle.cdf(table.first - 1) < 1e-18
    assert abs(table.log_mass) < 1e-11
    if lam > 1e5:  # SciPy 1.17 jumps by 1e-7 at 4.5 deviations from 1e7
        return
    assert abs(table.cumulative - oracle.cdf(np.arange(table.first, last + 1))).max() < 1e-11


def test_a_table_is_bounded() -> None:
    assert table_of(lambda k: masses.log_poisson(k, np.array(1e12)), 1e12, -np.inf, np.inf) is None
    ends = 1e12 + np.array([0, MOST_ENTRIES - 1])
    found = table_of(lambda k: masses.log_poisson(k, np.array(1e12)), 1e12, *ends)
    assert found is not None
    assert len(found.cumulative) == MOST_ENTRIES


def test_rejection_of_counts_has_the_law_of_the_table() -> None:
    from mtgen.sampling.bits import Bits

    ones = np.ones(NUM)
    for lam in (0.5, 4.2, 300.0):
        points = log_concave(Bits(0), np.arange(NUM), "0", masses.log_poisson, np.floor(lam) * ones, lam * ones)
        assert fits(points, stats.poisson(lam))


def test_counts_around_1e12_lose_no_digits() -> None:
    # The normal approximation has an error of 1 / sqrt(lam) here, SciPy's difference of logarithms one of 1e-3.
    lam = 1e12
    k = lam + np.array([-2e6, 0, 1e6])
    z = (k - lam) / np.sqrt(lam)
    expected = -0.5 * z**2 - 0.5 * np.log(2 * np.pi * lam) + (z**3 - 3 * z) / (6 * np.sqrt(lam))
    np.testing.assert_allclose(S.poisson(lam).log_prob(k[:, None]), expected, atol=1e-10)


def test_rare_successes_among_many_lose_no_digits() -> None:
    n, p = 10**9, 3e-9
    for k in range(12):
        ways = sum(np.log((n - one) / (one + 1)) for one in range(k))
        expected = ways + k * np.log(p) + (n - k) * np.log1p(-p)
        assert S.binomial(n, p).log_prob([[k]])[0] == pytest.approx(expected, abs=1e-12)


def test_joint_laws_are_all_looked_at() -> None:
    assert {type(law).__name__ for law in JOINT.values()} == {
        "MultivariateNormal",
        "Multinomial",
        "Dirichlet",
        "Choice",
        "ScipyJoint",
    }
