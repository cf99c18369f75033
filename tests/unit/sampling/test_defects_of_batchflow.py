"""The defects of BatchFlow's samplers, each as a test that would have caught it. B4 and B17 are of histograms alone."""

from __future__ import annotations

import pickle
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from mtgen import sampling as S
from mtgen.errors import EmptySupportError, PlanError


def test_b1_coordinates_do_not_repeat_each_other() -> None:
    for law in (S.named("n", dim=2), S.named("u", dim=2), S.named("g", shape=2, dim=2), S.poisson(1e4, dim=2)):
        points = law.sample(20_000, seed=1).astype(float)
        assert abs(np.corrcoef(points.T)[0, 1]) < 5 / np.sqrt(20_000)
        assert (points[:, 0] != points[:, 1]).any()


def test_b2_a_weight_survives_arithmetic() -> None:
    mixture = (0.3 & S.constant(0)) + 5 | 0.7 & S.constant(1)
    counts = mixture.sample(10_000, seed=0, block=10_000)
    assert (counts == 5).sum() in (2999, 3000, 3001)
    third = 0.3 & S.normal()
    for law in (-third, third.apply(np.abs), third.truncate(1), third & S.normal()):
        assert law.weight == 0.3


def test_b3_mixtures_are_reproducible_in_every_process() -> None:
    law = 0.4 & S.normal(dim=2) | 0.6 & S.uniform(dim=2)
    np.random.seed(1)
    one = law.sample(50, seed=3)
    np.random.seed(2)
    assert np.array_equal(law.sample(50, seed=3), one)
    code = (
        "import sys; from mtgen import sampling as S; law = 0.4 & S.normal(dim=2) | 0.6 & S.uniform(dim=2); "
        "sys.stdout.buffer.write(law.sample(50, seed=3).tobytes())"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60, check=True)
    np.testing.assert_allclose(np.frombuffer(run.stdout).reshape(50, 2), one, rtol=0, atol=0)


def test_b3_nothing_touches_the_global_generator() -> None:
    np.random.seed(5)
    before = np.random.get_state()[1].copy()  # type: ignore[index, union-attr]
    (S.normal() | S.gamma(2)).truncate(expr=lambda x: x > 0).sample(100)
    S.scipy("dirichlet", [1.0, 2.0]).sample(3)
    assert np.array_equal(np.random.get_state()[1], before)  # type: ignore[index]


def test_b5_a_law_without_any_probability_is_refused_when_it_is_built() -> None:
    with pytest.raises(EmptySupportError):
        S.mix(0 & S.normal(), 0 & S.uniform())
    with pytest.raises(PlanError):
        S.choice([1, 2], p=[0, 0])
    with pytest.raises(PlanError):
        S.choice([1, 2], p=[np.nan, 1])


def test_b6_probability_of_a_region_is_its_mass_not_its_density() -> None:
    law = 0.1 & S.uniform(0, 0.1) | 0.9 & S.uniform(0.1, 1)  # bins 0.1 and 0.9 wide, of equal density
    found = law.condition(np.array([0.0]), np.array([0.1]))
    assert found is not None
    assert found[0] == pytest.approx(0.1)
    np.testing.assert_allclose(law.log_prob([[0.05], [0.5]]), 0, atol=1e-12)


def test_b7_expr_may_return_one_bool_for_each_point() -> None:
    points = S.normal(dim=2).truncate(expr=lambda x: x[:, 0] > x[:, 1]).sample(100)
    assert (points[:, 0] > points[:, 1]).all()


def test_b8_no_name_is_used_that_some_numpy_lacks() -> None:
    assert S.normal().truncate(expr=lambda x: (x > 0).astype(np.bool_)).sample(5).min() > 0


def test_b9_scipy_is_optional() -> None:
    code = """
import sys
sys.modules["scipy"] = None
from mtgen import sampling as S
S.named("n", dim=2).sample(3)
"""
    subprocess.run([sys.executable, "-c", code], timeout=60, check=True, capture_output=True)


def test_b10_scipy_laws_have_a_dim() -> None:
    assert S.scipy("n", dim=2).sample(5).shape == (5, 2)


def test_b11_a_name_that_passes_can_be_drawn() -> None:
    assert S.named("integers", low=0, high=5).sample(3).dtype == np.int64
    with pytest.raises(PlanError, match="integers"):
        S.named("randint", low=0, high=5)


@pytest.mark.parametrize("weight", [np.int64(2), np.float32(0.5), np.float64(0.5), np.uint8(3), 2, 0.5])
def test_b12_numbers_of_numpy_are_weights(weight: Any) -> None:
    for law in (weight & S.normal(), S.normal() & weight):
        assert law.weight == float(weight)
        assert law.dim == 1


@pytest.mark.parametrize("weight", [True, np.True_, -1, np.nan, np.inf, -0.5])
def test_b12_what_is_no_weight_is_refused(weight: Any) -> None:
    with pytest.raises(PlanError):
        _ = weight & S.normal()
    with pytest.raises(PlanError):
        _ = S.normal() & weight


@pytest.mark.parametrize("weight", ["0.5", None, 1j, [1]])
def test_b12_other_values_are_no_operands(weight: Any) -> None:
    with pytest.raises(TypeError):
        _ = weight & S.normal()


def test_b13_dims_are_compared_when_a_mixture_is_built() -> None:
    with pytest.raises(PlanError, match="received 1 and 2"):
        _ = 1e-9 & S.normal() | S.normal(dim=2)


def test_b14_settings_that_make_no_sense_are_refused_at_once() -> None:
    law = S.normal()
    for build in (
        lambda: law.truncate(1, prob=0),
        lambda: law.truncate(1, prob=1.1),
        lambda: law.truncate(),
        lambda: -1 & law,
        lambda: 0 & law | 0 & law,
    ):
        with pytest.raises(PlanError):
            build()


def test_b15_an_impossible_condition_is_an_error_soon() -> None:
    with pytest.raises(EmptySupportError, match="lies in"):
        S.uniform().truncate(3, 2)
    with pytest.raises(EmptySupportError, match=r"0 of .* draws"):
        S.uniform().truncate(expr=lambda x: x > 2).sample(1)


def test_b16_parameters_of_each_coordinate() -> None:
    law = S.named("n", loc=[0, 500])
    for num in (1, 2, 3, 100):
        points = law.sample(num)
        assert points.shape == (num, 2)
        assert (points[:, 1] > 400).all()
    with pytest.raises(PlanError, match="do not agree"):
        S.named("n", loc=[0, 5], dim=3)


def test_b18_text_beside_numbers_leaves_them_numbers() -> None:
    law = S.constant("cube A") & S.uniform(dim=2)
    (row,) = law.sample(1).tolist()
    assert [type(one) for one in row] == [str, float, float]
    assert law[1:].sample(5).dtype == np.float64
    assert law[1:].truncate(0.5).sample(20).max() <= 0.5
    assert np.isfinite(law.log_prob([["cube A", 0.5, 0.5]])[0])


def test_b19_the_size_of_a_batch_changes_no_point() -> None:
    for law in (
        S.normal(dim=2) | S.uniform(dim=2),
        S.normal().truncate(expr=lambda x: x > 1),
        S.gamma(0.5) & S.poisson(3),
    ):
        whole = law.sample(10, seed=4)
        for cut in range(11):
            parts = law.sample(cut, seed=4), law.sample(10 - cut, seed=4, start=cut)
            assert np.array_equal(np.concatenate(parts), whole)


def test_b20_values_are_immutable() -> None:
    law = S.normal([0, 5])
    digest = law.digest()
    heavier = 0.5 & law
    assert heavier.weight == 0.5
    assert law.weight == 1.0
    assert law.digest() == digest
    with pytest.raises(AttributeError):
        law.weight = 2.0  # type: ignore[misc]
    with pytest.raises(ValueError, match="read-only"):
        law.params[0][0] = 7
    given = np.array([0.0, 5.0])
    held = S.normal(given)
    given[0] = 100
    assert held == law
    assert pickle.loads(pickle.dumps(law)) == law


def test_precedence_is_that_of_batchflow() -> None:
    a, b = S.normal(), S.uniform()
    left = 0.4 & a + 3 | 0.6 & b.truncate(1)
    right = (0.4 & (a + 3)) | (0.6 & (b.truncate(1)))
    assert left == right
