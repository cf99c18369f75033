"""The laws that the algebra of samplers obeys, over random expressions; and what it does at the edges."""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from mtgen import sampling as S
from mtgen.errors import EmptySupportError, NoDensityError, PlanError
from mtgen.sampling.bits import Bits
from mtgen.sampling.mixture import Mixture
from mtgen.sampling.product import Product
from mtgen.sampling.truncation import Conditioned, Rejected
from tests.support.laws import EVERY

LEAST = 1e-6
WEIGHTS = st.floats(0.01, 100)
NUMBERS = st.floats(-50, 50)


def leaves(dim: int) -> st.SearchStrategy[S.Sampler]:
    scales = st.floats(0.1, 20)
    return st.one_of(
        st.builds(lambda loc, scale: S.normal(loc, scale, dim), NUMBERS, scales),
        st.builds(lambda low, width: S.uniform(low, low + width, dim), NUMBERS, scales),
        st.builds(lambda scale: S.exponential(scale, dim), scales),
        st.builds(lambda lam: S.poisson(lam, dim), scales),
        st.builds(lambda shape: S.gamma(shape, dim=dim), scales),
        st.builds(lambda low, width: S.integers(low, low + width, dim), st.integers(-9, 9), st.integers(1, 9)),
        st.builds(lambda value: S.constant([value] * dim), NUMBERS),
    )


def samplers(dim: int) -> st.SearchStrategy[S.Sampler]:
    """Random expressions with points of `dim` columns."""

    def grown(inner: st.SearchStrategy[S.Sampler]) -> st.SearchStrategy[S.Sampler]:
        return st.one_of(
            st.builds(lambda a, b: a | b, inner, inner),
            st.builds(lambda a, w: w & a, inner, WEIGHTS),
            st.builds(lambda a, c: a + c, inner, NUMBERS),
            st.builds(lambda a, c: c * a, inner, st.floats(0.5, 3)),
            st.builds(lambda a, b: a - b, inner, inner),
            st.builds(lambda a: a.apply(np.abs), inner),
            st.builds(lambda a: a.truncate(low=-1e6), inner),
            st.builds(lambda a, b: (a & b)[:dim], inner, inner),
        )

    return st.recursive(leaves(dim), grown, max_leaves=5)


ANY = st.integers(1, 3).flatmap(samplers)
PAIRS = st.integers(1, 2).flatmap(lambda dim: st.tuples(samplers(dim), samplers(dim), samplers(dim)))


def same(a: S.Sampler, b: S.Sampler) -> bool:
    """Equal as a value, and in every point."""
    return a == b and hash(a) == hash(b) and np.array_equal(a.sample(40), b.sample(40))


def alike(a: S.Sampler, b: S.Sampler, num: int = 4000) -> bool:
    """Equal in law, as far as points of different seeds tell: each column, and the columns' sum."""
    first, second = a.sample(num, seed=1).astype(float), b.sample(num, seed=2).astype(float)
    columns = [(first[:, j], second[:, j]) for j in range(a.dim)] + [(first.sum(axis=1), second.sum(axis=1))]
    return all(stats.ks_2samp(one, two).pvalue > LEAST for one, two in columns)


# --- every expression -------------------------------------------------------------------------------------------------


@given(ANY, st.integers(0, 50), st.integers(0, 50), st.integers(0, 2**70), st.integers(0, 5))
@settings(max_examples=100)
def test_points_are_a_function_of_their_position(law: S.Sampler, few: int, more: int, seed: int, epoch: int) -> None:
    whole = law.sample(few + more, seed, epoch=epoch)
    parts = [law.sample(few, seed, epoch=epoch), law.sample(more, seed, epoch=epoch, start=few)]
    assert np.array_equal(whole, np.concatenate(parts))
    assert {whole.dtype} == {part.dtype for part in parts}
    shuffled = np.random.default_rng(few).permutation(few + more)
    assert np.array_equal(law.draw(Bits(seed, epoch), shuffled), whole[shuffled])


@given(ANY, WEIGHTS)
@settings(max_examples=50)
def test_a_sampler_is_a_value(law: S.Sampler, weight: float) -> None:
    before = law.digest(), law.weight, law.sample(5)
    _ = weight & law, law + 1, law | law, law & law, law.apply(np.sign), -law
    assert (law.digest(), law.weight) == before[:2]
    assert np.array_equal(law.sample(5), before[2])
    assert (weight & law).weight == pytest.approx(law.weight * weight)
    assert eval(repr(law.dim)) == law.sample(0).shape[1] == len(law.discrete)
    assert isinstance(repr(law), str)


@pytest.mark.parametrize("name", EVERY)
def test_every_law_in_an_expression(name: str) -> None:
    law = EVERY[name]
    both = (0.5 & law | 2 & law) & S.uniform()
    whole = both.sample(30, seed=3, block=10)
    assert np.array_equal(whole[20:], both.sample(10, seed=3, start=20, block=10))
    assert pickle.loads(pickle.dumps(both)) == both


@pytest.mark.parametrize(
    "law",
    [
        S.constant(1) | 1e-3 & S.normal(),
        S.constant("a") | 1e-3 & S.constant(2),
        S.constant("a") | 1e-3 & S.constant("long"),
        ((S.constant("a") | 1e-3 & S.constant(2)) & S.normal())[:, 1],
        (S.integers(9) & S.constant("a") & S.normal())[[0, 2]],
        S.rows(9) @ (lambda row: S.integers(9) | 1e-3 & S.integers(5)),
        (S.constant(1) | 1e-3 & S.normal()).truncate(expr=lambda points: points < 3),
    ],
)
def test_the_dtype_of_points_does_not_depend_on_which_were_drawn(law: S.Sampler) -> None:
    found = {law.sample(num).dtype for num in (0, 1, 3, 10_000)}
    assert len(found) == 1, found


def test_a_chosen_column_of_a_product_is_as_it_is_alone() -> None:
    law = S.constant("cube") & S.integers(9, dim=2) & S.normal()
    points = law.sample(20)
    chosen = law[[3, 1, 1]].sample(20)
    assert chosen.dtype == np.float64
    assert np.array_equal(chosen, points[:, [3, 1, 1]].astype(float))
    assert law[1:3].sample(5).dtype == np.int64


def test_a_condition_that_is_met_changes_nothing() -> None:
    """The shares of a mixture were computed again, and differed in the last bit."""
    once = (S.exponential() | S.normal()).truncate(high=2, low=0)
    assert once.truncate(high=2, low=0) == once == once.truncate(high=3)


def test_a_function_is_not_asked_about_no_points() -> None:
    stacked = S.normal().apply(lambda points: np.stack([one * 2 for one in points]))
    assert stacked.sample(0).shape == (0, 1)
    assert (stacked.truncate(expr=lambda points: points > 0).sample(3) > 0).all()
    assert (stacked | S.constant(1)).sample(0).shape == (0, 1)


# --- mixtures ---------------------------------------------------------------------------------------------------------


@given(PAIRS)
@settings(max_examples=30)
def test_mixtures_are_associative(laws: tuple[S.Sampler, S.Sampler, S.Sampler]) -> None:
    a, b, c = laws
    left, right, flat = (a | b) | c, a | (b | c), S.mix(a, b, c)
    assert isinstance(left, Mixture)
    for other in (right, flat):
        assert isinstance(other, Mixture)
        assert [part.structure() for part in left.parts] == [part.structure() for part in other.parts] or a == b
        np.testing.assert_allclose(left.shares, other.shares, rtol=1e-12)
        assert other.weight == pytest.approx(left.weight)
        same_points = (left.sample(50) == other.sample(50)).all(axis=1)
        assert same_points.mean() > 0.9  # a share may differ in its last digit


@given(PAIRS)
@settings(max_examples=40)
def test_weight_zero_is_neutral(laws: tuple[S.Sampler, S.Sampler, S.Sampler]) -> None:
    a, other, _ = laws
    assert same(0 & other | a, a)
    assert same(a | 0 & other, a)
    with pytest.raises(EmptySupportError, match="all weights of the mixture are 0"):
        _ = 0 & a | 0 & other


@given(PAIRS, WEIGHTS, WEIGHTS)
@settings(max_examples=40)
def test_weights_multiply(laws: tuple[S.Sampler, S.Sampler, S.Sampler], k: float, j: float) -> None:
    a, b, _ = laws
    assert np.array_equal((k & (j & a)).sample(9), ((k * j) & a).sample(9))
    assert (k & (j & a)).weight == pytest.approx(((k * j) & a).weight)
    assert ((k & a) | (j & b)).weight == pytest.approx(k * a.weight + j * b.weight)
    assert ((k & a) & (j & b)).weight == pytest.approx(k * a.weight * j * b.weight)
    assert (a & k) == (k & a)


SURVIVES: dict[str, Callable[[S.Sampler], S.Sampler]] = {
    "+": lambda s: s + 5,
    "reflected +": lambda s: 5 + s,
    "-": lambda s: s - 5,
    "reflected -": lambda s: 5 - s,
    "*": lambda s: s * 5,
    "/": lambda s: s / 5,
    "reflected /": lambda s: 5 / s,
    "//": lambda s: s // 5,
    "%": lambda s: s % 5,
    "**": lambda s: s**2,
    "reflected **": lambda s: 2**s,
    "unary -": lambda s: -s,
    "array": lambda s: s + np.array([1.0]),
    "sampler": lambda s: s + S.uniform(),
    "apply": lambda s: s.apply(np.abs),
    "truncate": lambda s: s.truncate(1, -1),
    "truncate by expr": lambda s: s.truncate(expr=lambda x: x > 0),
    "truncate again": lambda s: s.truncate(1, -1).truncate(0.5),
    "product": lambda s: s & S.uniform(),
    "columns": lambda s: s[0],
    "all columns": lambda s: s[:, 0:],
    "dependent product": lambda s: s @ S.uniform(),
    "function of rows": lambda s: s @ (lambda row: S.uniform()),
}


@pytest.mark.parametrize("name", SURVIVES)
def test_weights_survive(name: str) -> None:
    assert SURVIVES[name](0.3 & S.normal()).weight == 0.3


def test_weights_survive_where_a_mixture_is_conditioned() -> None:
    mixture = 0.25 & S.uniform(0, 1) | 0.25 & S.uniform(0, 2)
    assert mixture.weight == 0.5
    assert mixture.truncate(1).weight == 0.5
    assert mixture.truncate(1, each=True).weight == 0.5
    part = mixture.truncate(0.5)
    assert isinstance(part, Conditioned)
    assert isinstance(part.inner, Mixture)
    np.testing.assert_allclose(part.inner.shares, [2 / 3, 1 / 3])
    whole = mixture.truncate(0.5, each=True)
    assert isinstance(whole, Mixture)
    np.testing.assert_allclose(whole.shares, [0.5, 0.5])


@given(st.lists(st.tuples(WEIGHTS, samplers(1)), min_size=1, max_size=8), st.integers(1, 64))
@settings(max_examples=40)
def test_shares_are_kept_in_blocks(parts: list[tuple[float, S.Sampler]], block: int) -> None:
    marked = S.mix(*(weight & S.constant(number) for number, (weight, _) in enumerate(parts)))
    drawn = marked.sample(5 * block, block=block).reshape(5, block)
    total = sum(weight for weight, _ in parts)
    for number, (weight, _) in enumerate(parts):
        counts = (drawn == number).sum(axis=1)
        assert (np.abs(counts - block * weight / total) < 1 + 1e-6).all()


def test_stacked_parts_draw_what_they_would_alone() -> None:
    kinds: list[Callable[[int], S.Sampler]] = [
        lambda i: S.normal(i, 1 + i, dim=2),
        lambda i: S.exponential([1 + i, 2]),
        lambda i: S.weibull(0.5 + i, dim=2),
        lambda i: S.power(0.5 + i, dim=2),
        lambda i: S.cauchy(i, dim=2),
        lambda i: S.triangular(0, i, 50, dim=2),
        lambda i: S.lognormal(0, 1 + i, dim=2),
        lambda i: S.gamma(0.1 + i, dim=2),
        lambda i: S.beta(0.1 + i, 2, dim=2),
        lambda i: S.standard_t(1 + i, dim=2),
        lambda i: S.wald(1 + i, 2, dim=2),
        lambda i: S.poisson([i, 1e10]),
        lambda i: S.geometric(0.5 / (1 + i), dim=2),
        lambda i: S.normal(i) & S.uniform(0, 1 + i),
        lambda i: S.normal(i) & S.poisson(1 + i),
        lambda i: S.constant([i, 0]),
        lambda i: (S.normal(i) & S.uniform()).truncate(i + 1),
        lambda i: S.normal(i, dim=2) + 1,
        lambda i: 3 - S.gamma(1 + i, dim=2) / [1 + i, 2],
        lambda i: S.normal(dim=2).truncate(3 + i, i - 3),
        lambda i: S.exponential(1 + i, dim=2).truncate([9, 1 + i], [0.5, 0]),
        lambda i: (2 * S.normal(dim=2) + i).truncate(3 + i, i - 3) * 7,
        lambda i: S.constant(float(i)) & S.normal(i).truncate(low=i),
    ]
    for kind in kinds:
        parts = [kind(i) for i in range(7)]
        mixture = S.mix(*parts, S.uniform(dim=2))
        assert isinstance(mixture, Mixture)
        bits, positions = Bits(3), np.arange(300)
        whole = mixture.draw(bits, positions)
        alone = np.stack([part.draw(bits.child(i), positions) for i, part in enumerate(mixture.parts)])
        owners = (alone == whole).all(axis=2)
        assert owners.any(axis=0).all(), repr(parts[1])
        assert (owners.sum(axis=1)[:-1] >= 10).all(), repr(parts[1])


# --- products ---------------------------------------------------------------------------------------------------------


@given(PAIRS)
@settings(max_examples=15)
def test_products_distribute_over_mixtures(laws: tuple[S.Sampler, S.Sampler, S.Sampler]) -> None:
    a, b, c = laws
    left, right = (a | b) & c, (a & c) | (b & c)
    assert left.weight == pytest.approx(right.weight)
    assert alike(left, right)


@given(PAIRS)
@settings(max_examples=15)
def test_columns_of_a_product_are_its_parts(laws: tuple[S.Sampler, S.Sampler, S.Sampler]) -> None:
    a, b, c = laws
    both = a & b & c
    assert isinstance(both, Product)
    assert both.structure() == (a & (b & c)).structure()
    assert both.dim == 3 * a.dim
    assert alike(both[: a.dim], a)
    assert alike(both[:, a.dim : 2 * a.dim], b)
    assert np.array_equal(both[::-1].sample(9), both.sample(9)[:, ::-1])
    assert np.array_equal(both[[0, 0]].sample(9)[:, 0], both[0].sample(9)[:, 0])


def test_columns_of_a_product_have_its_density() -> None:
    both = S.normal() & S.uniform(0, 2) & S.poisson(3)
    points = both.sample(20)
    np.testing.assert_allclose(both[:2].log_prob(points[:, :2]), (S.normal() & S.uniform(0, 2)).log_prob(points[:, :2]))
    np.testing.assert_allclose(both[[2, 0, 1]].log_prob(points[:, [2, 0, 1]]), both.log_prob(points))


# --- arithmetic -------------------------------------------------------------------------------------------------------


@given(ANY, NUMBERS, st.floats(0.1, 10))
@settings(max_examples=30)
def test_arithmetic_with_numbers_moves_points(a: S.Sampler, shift: float, factor: float) -> None:
    points = a.sample(20, seed=5).astype(float)
    np.testing.assert_allclose((factor * (a + shift)).sample(20, seed=5), factor * (points + shift), atol=1e-9)
    inside, outside = factor * (a + shift), factor * a + factor * shift
    np.testing.assert_allclose(inside.sample(20, seed=5), outside.sample(20, seed=5), rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal((-a).sample(20, seed=5), -points)
    np.testing.assert_array_equal((a / factor).sample(20, seed=5), points / factor)
    np.testing.assert_array_equal((a % factor).sample(20, seed=5), points % factor)


@pytest.mark.parametrize("law", [S.normal(), S.uniform(), S.poisson(1000), S.gamma(2)])
def test_two_samplers_are_two_draws(law: S.Sampler) -> None:
    num = 20_000
    spread = float(law.sample(num)[:, 0].std())
    assert float((law + law).sample(num)[:, 0].std()) == pytest.approx(math.sqrt(2) * spread, rel=0.05)
    assert float((2 * law).sample(num)[:, 0].std()) == pytest.approx(2 * spread, rel=0.05)
    assert (law - law).sample(num).any()
    both = (law & law).sample(num)
    assert abs(np.corrcoef(both.T)[0, 1]) < 5 / math.sqrt(num)


@given(st.floats(-5, 5), st.floats(0.1, 5), st.floats(-3, 3).filter(lambda c: abs(c) > 0.1))
def test_density_of_an_affine_law(loc: float, scale: float, factor: float) -> None:
    law = 1 - factor * (S.normal(loc, scale) / 2 + 3)
    oracle = stats.norm(1 - factor * (loc / 2 + 3), abs(factor) * scale / 2)
    x = oracle.mean() + oracle.std() * np.array([[-2.0], [0.1], [3.0]])
    np.testing.assert_allclose(law.log_prob(x), oracle.logpdf(x[:, 0]), rtol=1e-9, atol=1e-9)


@given(st.integers(-5, 5), st.integers(1, 30), st.integers(-20, 20), st.sampled_from([0.1, 0.3, 1, 3, 7, 10, -0.1]))
def test_counts_times_a_number_have_their_probability(low: int, width: int, shift: int, factor: float) -> None:
    whole = S.integers(low, low + width)
    for law in (whole * factor, whole / factor, whole * factor + shift, shift - whole / factor):
        points = np.unique(law.sample(300, seed=1))[:, None]
        np.testing.assert_allclose(law.log_prob(points), -math.log(width), rtol=1e-12)
        edge = float(points[len(points) // 2, 0])
        below, above = law.truncate(high=edge), law.truncate(low=edge)
        assert float(below.sample(300, seed=2).max()) == edge or width > 9
        assert float(below.sample(300, seed=2).max()) <= edge <= float(above.sample(300, seed=2).min())
        one = law.truncate(edge, edge)
        assert set(one.sample(5).ravel().tolist()) == {edge}


# --- truncate and apply -----------------------------------------------------------------------------------------------


@given(ANY, st.floats(-5, 0), st.floats(0, 60), st.floats(-60, 60))
@settings(max_examples=30)
def test_conditions_are_met_repeated_and_intersected(law: S.Sampler, low: float, high: float, second: float) -> None:
    points = law.sample(400)
    if not ((points >= low) & (points <= high)).all(axis=1).sum() > 20:
        return
    once = law.truncate(high, low)
    drawn = once.sample(50)
    assert ((drawn >= low) & (drawn <= high)).all()
    assert once.truncate(high, low).dim == law.dim
    if isinstance(once, Conditioned):
        assert same(once.truncate(high, low), once)
    mask = ((points >= max(low, second)) & (points <= high)).all(axis=1)
    if mask.sum() > 20:
        both, joint = once.truncate(low=second), law.truncate(high, max(low, second))
        assert (both.sample(50) >= second).all()
        if isinstance(both, Conditioned) and isinstance(joint, Conditioned):
            assert alike(both, joint, 1000)


@given(samplers(1), st.floats(-20, 20))
@settings(max_examples=25)
def test_exact_conditions_are_those_of_rejection(law: S.Sampler, edge: float) -> None:
    points = law.sample(2000, seed=9)
    share = float((points >= edge).mean())
    if share < 0.05:
        return
    exact = law.truncate(low=edge)
    tried = law.truncate(expr=lambda x: x >= edge, prob=share)
    assert alike(exact, tried, 2000)
    found = law.condition(np.array([edge]), np.array([np.inf]))
    if found is not None:
        assert abs(found[0] - share) < 5 * math.sqrt(0.25 / 2000)


def twice(x: np.ndarray) -> np.ndarray:
    return 2 * x


def root(x: np.ndarray) -> np.ndarray:
    return np.sqrt(np.abs(x))


@given(ANY)
@settings(max_examples=40)
def test_apply_composes(law: S.Sampler) -> None:
    one, two = law.apply(twice).apply(root), law.apply(lambda x: root(twice(x)))
    assert np.array_equal(one.sample(30), two.sample(30))
    assert np.array_equal(law.apply(lambda x: x).sample(30), law.sample(30))
    assert law.apply(lambda x: x[:, 0]).dim == 1
    assert law.apply(lambda x: np.hstack([x, x])).dim == 2 * law.dim
    assert law.apply(twice) == law.apply(twice)
    assert law.apply(twice) != law.apply(root)


@pytest.mark.parametrize(
    ("expr", "low", "high"),
    [
        (lambda x: x[:, 0] > 0, None, None),
        (lambda x: x[:, :1] > 0, None, None),
        (lambda x: x > 0, None, None),
        (lambda x: (x[:, 0] > 0).astype(float), None, None),
        (lambda x: (x > 0).all(axis=1).tolist(), None, None),
        (lambda x: x.min(axis=1), 0, None),
        (lambda x: x, 0, [3.0, 3.0]),
        (lambda x: np.hstack([x, x, x]), 0, 3),
    ],
)
def test_what_expr_may_return(expr: Any, low: Any, high: Any) -> None:
    points = S.normal(dim=2).truncate(high, low, expr).sample(200)
    assert (points[:, 0] >= 0).all()


@pytest.mark.parametrize(
    ("expr", "text"),
    [
        (lambda x: x[:1, 0] > 0, "returned shape"),
        (lambda x: np.zeros((len(x), 2, 2)), "returned shape"),
        (lambda x: np.array(["a"] * len(x)), "must return whether points are kept"),
    ],
)
def test_what_expr_may_not_return(expr: Any, text: str) -> None:
    with pytest.raises(PlanError, match=text):
        S.normal(dim=2).truncate(expr=expr).sample(3)


def test_what_is_no_number_is_outside() -> None:
    holes = S.uniform().apply(lambda x: np.where(x < 0.5, np.nan, x))
    assert (holes.truncate(1, 0).sample(200) >= 0.5).all()
    assert (S.uniform().truncate(expr=lambda x: np.where(x < 0.5, np.nan, 1.0)).sample(200) >= 0.5).all()
    with pytest.raises(EmptySupportError, match="0 of "):
        S.uniform().apply(lambda x: x * np.nan).truncate(1, tries=1000).sample(3)


def test_an_impossible_condition_ends_soon_and_says_how_rare_it_is() -> None:
    law = S.normal(dim=2).truncate(expr=lambda x: x[:, 0] > 100)
    with pytest.raises(EmptySupportError, match=r"0 of 1114092 draws .* below 3e-06 at 95 percent"):
        law.sample(3)


# --- the edges --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "build",
    [
        lambda: S.normal() | S.normal(dim=2),
        lambda: S.mix(S.normal(), S.normal(), S.normal(dim=2)),
        lambda: S.normal(dim=2) + S.normal(dim=3),
        lambda: S.normal(dim=2) + np.arange(3),
        lambda: S.normal() + np.zeros(1000),
        lambda: S.normal(dim=2) + np.zeros((5, 2)),
        lambda: S.normal(dim=2).truncate([1, 2, 3]),
        lambda: S.normal().truncate(),
        lambda: S.normal().truncate(0, 1),
        lambda: S.normal().truncate(np.nan),
        lambda: S.normal().truncate("1"),
        lambda: S.normal().truncate(True),
        lambda: S.normal().truncate(1, prob=0),
        lambda: S.normal().truncate(1, prob=1.5),
        lambda: S.normal().truncate(1, prob=True),
        lambda: S.normal().truncate(1, tries=0),
        lambda: S.normal().truncate(expr=3),
        lambda: S.normal().apply(3),
        lambda: S.normal().apply(lambda x: x[:1]),
        lambda: S.normal()[1],
        lambda: S.normal()[[]],
        lambda: S.normal()["a"],
        lambda: S.mix(),
        lambda: S.mix(3),
        lambda: S.normal().sample(-1),
        lambda: S.normal().sample(1.0),
        lambda: S.normal().sample(3, start=-1),
        lambda: S.normal().sample(3, seed=-1),
        lambda: S.normal().sample(3, seed=None),
        lambda: S.normal().sample(3, epoch=-1),
        lambda: S.normal().sample(3, block=0),
        lambda: S.normal().log_prob([[1, 2]]),
        lambda: S.normal() + "a",
        lambda: S.normal() + True,
    ],
)
def test_what_is_refused_as_it_is_built(build: Callable[[], object]) -> None:
    with pytest.raises(PlanError):
        build()


@given(ANY)
@settings(max_examples=40)
def test_no_points_have_their_shape(law: S.Sampler) -> None:
    assert law.sample(0).shape == (0, law.dim)


def test_no_points_have_their_dtype() -> None:
    laws = [S.normal(), S.poisson(3), S.integers(5) + 1, S.integers(5).truncate(3), S.choice(["a"])]
    laws += [S.integers(5) & S.integers(3), S.poisson(3).truncate(expr=lambda x: x > 1)]
    for law in laws:
        assert law.sample(0).dtype == law.sample(3).dtype


def test_large_integers_survive_a_mixture_with_floats() -> None:
    law = S.constant(2**53 + 1) | S.uniform()
    drawn = law.sample(50).ravel().tolist()
    assert {one for one in drawn if one > 1} == {2**53 + 1}
    assert (S.integers(2**53, 2**53 + 3) | S.integers(0, 3)).sample(20).dtype == np.int64


def test_density_of_mixtures_products_and_conditions() -> None:
    law = 0.3 & S.normal(0, 1) | 0.7 & S.normal(5, 2)
    x = np.linspace(-3, 9, 50)[:, None]
    expected = np.log(0.3 * stats.norm(0, 1).pdf(x[:, 0]) + 0.7 * stats.norm(5, 2).pdf(x[:, 0]))
    np.testing.assert_allclose(law.log_prob(x), expected, rtol=1e-12)
    inside = law.truncate(4, 1)
    grid = np.linspace(1, 4, 20_001)[:, None]
    assert np.trapezoid(np.exp(inside.log_prob(grid)), grid[:, 0]) == pytest.approx(1, abs=1e-8)
    assert np.isneginf(inside.log_prob([[0.99], [4.01]])).all()
    assert (S.uniform() & S.normal()).log_prob([0.5, 0.0]).tolist() == pytest.approx([-0.9189385332])
    for unknown in (law.apply(np.abs), law + law, S.gamma(2).truncate(1), S.normal() | S.poisson(3)):
        with pytest.raises(NoDensityError):
            unknown.log_prob([[1.0]])


def test_rejection_is_the_last_resort() -> None:
    for law in (S.normal(), S.normal() | S.uniform(), 3 - 2 * S.exponential(), (S.normal() & S.gamma(2))[0]):
        assert not isinstance(law.truncate(high=2), Rejected) or law.dim > 1 or isinstance(law, type(S.normal()[0]))
