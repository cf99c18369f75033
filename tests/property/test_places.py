"""Clouds, histograms, masks and labels against plain NumPy: draws, probabilities, conditions, for any array."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mtgen import sampling as S
from mtgen.errors import EmptySupportError
from mtgen.sampling.places import binning, runs
from mtgen.sampling.places.cells import Cells
from mtgen.sampling.sampler import Sampler
from tests.support.statistics import assert_counts_fit, assert_mean_fits

shapes = hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=6)
weight_maps = st.one_of(
    hnp.arrays(bool, shapes),
    hnp.arrays(np.uint8, shapes, elements=st.sampled_from([0, 0, 1, 1, 3, 200])),
    hnp.arrays(np.float32, shapes, elements=st.sampled_from([0, 0, 0.5, 1.25, 1.25, 7])),
).filter(lambda array: bool(array.any()))
bounds = st.one_of(st.floats(-2, 7), st.sampled_from([-np.inf, np.inf, 0.0, 1.0, 2.0]))


def all_pixels(shape: tuple[int, ...]) -> np.ndarray:
    return np.array(list(itertools.product(*map(range, shape))))


def box(data: st.DataObject, dim: int) -> tuple[np.ndarray, np.ndarray]:
    ends = [sorted([data.draw(bounds), data.draw(bounds)]) for _ in range(dim)]
    return np.array([low for low, _ in ends]), np.array([high for _, high in ends])


# --- cells ------------------------------------------------------------------------------------------------------------


@given(
    st.lists(st.integers(0, 2**40), min_size=1, max_size=8).filter(any),
    st.lists(st.integers(0, 2**64 - 1), max_size=9),
)
def test_cells_are_the_exact_inverse_of_whole_sums(masses: list[int], words: list[int]) -> None:
    words = [0, 2**64 - 1, *words]
    sums = list(itertools.accumulate(masses))
    wanted = [next(cell for cell, end in enumerate(sums) if word * sums[-1] >> 64 < end) for word in words]
    found = Cells(np.array(masses)).at(np.array(words, np.uint64))
    assert found.tolist() == wanted
    real = Cells(np.array(masses, float)).at(np.array(words, np.uint64))
    assert all(masses[cell] > 0 for cell in real)


def test_cells_say_how_many_are_too_light_to_come() -> None:
    cells = Cells(np.array([1.0, 1e-300, 2.0, 0.0]))
    assert cells.num_unreachable == 1
    assert set(cells.at(np.array([0, 2**63, 2**64 - 1], np.uint64)).tolist()) <= {0, 2}
    assert Cells(np.array([1e300, 3e300])).at(np.array([2**61, 2**63], np.uint64)).tolist() == [0, 1]


# --- masks ------------------------------------------------------------------------------------------------------------


@given(weight_maps, st.integers(1, 40))
def test_a_mask_has_the_probability_of_each_pixel(array: np.ndarray, slab: int) -> None:
    before, runs.SLAB = runs.SLAB, slab
    try:
        law = S.mask(array)
    finally:
        runs.SLAB = before
    assert law == S.mask(array)
    pixels = all_pixels(array.shape)
    shares = array.ravel().astype(float) / array.astype(float).sum()
    np.testing.assert_allclose(np.exp(law.log_prob(pixels)), shares, rtol=1e-12)
    assert np.isneginf(law.log_prob(np.array([[-1] * array.ndim, list(array.shape), [0.5] * array.ndim]))).all()
    points = law.sample(50, seed=1)
    assert points.dtype == np.int64
    assert points.shape == (50, array.ndim)
    assert (array[tuple(points.T)] > 0).all()
    assert law.num_pixels == np.count_nonzero(array)


@given(weight_maps, st.data())
def test_a_mask_in_a_box_is_the_mask_of_the_box(array: np.ndarray, data: st.DataObject) -> None:
    law = S.mask(array)
    low, high = box(data, array.ndim)
    pixels = all_pixels(array.shape)
    inside = ((pixels >= low) & (pixels <= high)).all(axis=1).reshape(array.shape)
    left = np.where(inside, array, 0)
    found = law.condition(low, high)
    assert found is not None
    assert found[0] == pytest.approx(left.astype(float).sum() / array.astype(float).sum(), rel=1e-12)
    if found[0]:
        assert found[1] == S.mask(left)
        second = box(data, array.ndim)
        again, both = (
            found[1].condition(*second),
            law.condition(np.maximum(low, second[0]), np.minimum(high, second[1])),
        )
        assert again is not None
        assert both is not None
        assert again[0] * found[0] == pytest.approx(both[0], rel=1e-12)


def test_pixels_come_as_often_as_their_weights_say() -> None:
    array = np.random.default_rng(0).integers(0, 5, (6, 7))
    array[2] = 3  # one run
    for weights in (array, array * 0.1):
        points = S.mask(weights).sample(60_000, seed=3)
        assert_counts_fit(np.histogramdd(points, [np.arange(7), np.arange(8)])[0], array)


# --- labels -----------------------------------------------------------------------------------------------------------

label_maps = hnp.arrays(st.sampled_from([np.uint8, np.int64, np.float32]), shapes, elements=st.integers(0, 4))


@given(label_maps, st.dictionaries(st.integers(0, 5), st.floats(0.1, 3), min_size=1))
def test_labels_have_their_shares_and_pixels_alike(array: np.ndarray, shares: dict[int, float]) -> None:
    present = [one for one in shares if (array == one).any()]
    if not present:
        with pytest.raises(EmptySupportError):
            S.labels(array, shares)
        return
    law = S.labels(array, shares)
    whole = sum(shares[one] for one in present)
    pixels = all_pixels(array.shape)
    values = array.ravel()
    wanted = [shares[one] / whole / (values == one).sum() if one in present else 0 for one in values.tolist()]
    np.testing.assert_allclose(np.exp(law.log_prob(pixels)), wanted, rtol=1e-9)
    everything = sum(shares.values())
    assert dict(law.missing) == pytest.approx({one: shares[one] / everything for one in shares if one not in present})
    points = law.sample(40, seed=2, block=8)
    found = array[tuple(points.T)].reshape(5, 8)
    for one in present:
        assert (abs((found == one).sum(axis=1) - 8 * shares[one] / whole) < 1 + 1e-9).all()


# --- clouds -----------------------------------------------------------------------------------------------------------

clouds = hnp.arrays(
    st.sampled_from([np.int64, np.float64]), st.tuples(st.integers(1, 8), st.integers(1, 3)), elements=st.integers(0, 4)
)


@given(clouds, st.data())
def test_a_cloud_counts_its_points_inside_any_box(points: np.ndarray, data: st.DataObject) -> None:
    weights = data.draw(st.one_of(st.none(), hnp.arrays(np.int64, len(points), elements=st.integers(0, 3))))
    if weights is not None and not weights.any():
        weights = None
    law = S.cloud(points, weights=weights)
    masses = np.ones(len(points)) if weights is None else weights
    low, high = box(data, points.shape[1])
    inside = ((points >= low) & (points <= high)).all(axis=1)
    found = law.condition(low, high)
    assert found is not None
    assert found[0] == pytest.approx(masses[inside].sum() / masses.sum())
    for center in points:
        same = (points == center).all(axis=1)
        assert np.exp(law.log_prob(center[None])) == pytest.approx(masses[same].sum() / masses.sum())
        if found[0]:
            share = masses[same & inside].sum() / masses[inside].sum()
            assert np.exp(found[1].log_prob(center[None])) == pytest.approx(share)
    assert law.sample(5).dtype == points.dtype


@given(clouds, st.data())
def test_a_cloud_with_jitter_is_uniform_boxes_around_its_points(points: np.ndarray, data: st.DataObject) -> None:
    dim = points.shape[1]
    jitter = np.array(data.draw(st.lists(st.sampled_from([0.0, 0.25, 1.5]), min_size=dim, max_size=dim)))
    law = S.cloud(points, jitter)
    low, high = box(data, dim)
    masses = np.ones(len(points))
    for column in range(dim):
        here = points[:, column]
        if jitter[column]:
            ends = np.minimum(here + jitter[column], high[column]) - np.maximum(here - jitter[column], low[column])
            masses *= np.clip(ends / (2 * jitter[column]), 0, 1)
        else:
            masses *= (here >= low[column]) & (here <= high[column])
    found = law.condition(low, high)
    assert found is not None
    assert found[0] == pytest.approx(masses.mean(), abs=1e-12)
    if found[0]:
        drawn = found[1].sample(30, seed=4)
        assert ((drawn >= low) & (drawn <= high)).all()
        near = (abs(drawn[:, None, :] - points) <= jitter + 1e-12).all(axis=2)
        assert near.any(axis=1).all()


def test_jitter_and_its_density_fit() -> None:
    law = S.cloud([[0.0], [1.0]], jitter=0.75, weights=[1, 3])
    points = law.sample(40_000, seed=0)
    edges = np.linspace(-0.75, 1.75, 11)  # the boxes end on them
    density = np.exp(law.log_prob((edges[1:] + edges[:-1])[:, None] / 2))
    assert_counts_fit(np.histogram(points, edges)[0], density)
    assert density.sum() * 0.25 == pytest.approx(1)
    cut = law.truncate(high=0.5, low=0)
    grid = np.linspace(0.0005, 0.4995, 500)[:, None]
    assert float(np.exp(cut.log_prob(grid)).mean() * 0.5) == pytest.approx(1, rel=1e-2)


# --- histograms -------------------------------------------------------------------------------------------------------


def some_edges(data: st.DataObject, dim: int) -> list[np.ndarray]:
    widths = st.lists(st.sampled_from([0.1, 0.5, 1.0, 2.25]), min_size=1, max_size=4)
    return [data.draw(st.integers(-2, 2)) + np.cumsum([0, *data.draw(widths)]) for _ in range(dim)]


@given(st.integers(1, 3), st.data())
def test_a_histogram_of_points_is_that_of_numpy(dim: int, data: st.DataObject) -> None:
    edges = some_edges(data, dim)
    values = st.sampled_from([-9.0, *np.concatenate(edges).tolist(), 0.3, 0.77, 1.01, 50.0])
    points = data.draw(hnp.arrays(float, (data.draw(st.integers(1, 12)), dim), elements=values))
    counts, _ = np.histogramdd(points, edges)
    before, binning.BLOCK = binning.BLOCK, data.draw(st.sampled_from([1, 2, 5, 1000]))
    try:
        law = S.histogram(points=points, bins=edges)
        in_parts = S.histogram(edges=edges).updated(points[:4]).updated(points[4:])
    finally:
        binning.BLOCK = before
    dense = np.zeros(counts.size)
    dense[law.bins] = law.masses
    assert np.array_equal(dense.reshape(counts.shape), counts)
    assert law.num_outside == len(points) - counts.sum()
    assert law == in_parts
    assert in_parts.num_outside == law.num_outside
    if counts.any():
        assert law == S.histogram(counts=counts, edges=edges)
        drawn = law.sample(40, seed=5)
        again, _ = np.histogramdd(drawn, edges)
        assert again.sum() == 40
        assert not again[counts == 0].any()


@given(st.integers(1, 3), st.data())
def test_a_box_cuts_bins_by_their_volume(dim: int, data: st.DataObject) -> None:
    edges = some_edges(data, dim)
    shape = tuple(len(one) - 1 for one in edges)
    counts = data.draw(hnp.arrays(np.int64, shape, elements=st.integers(0, 3)).filter(lambda array: bool(array.any())))
    law = S.histogram(counts=counts, edges=edges)
    low, high = box(data, dim)
    left = counts.astype(float)
    for axis in range(dim):
        part = np.minimum(edges[axis][1:], high[axis]) - np.maximum(edges[axis][:-1], low[axis])
        part = np.clip(part, 0, None) / np.diff(edges[axis])
        left = left * part.reshape([-1 if one == axis else 1 for one in range(dim)])
    found = law.condition(low, high)
    assert found is not None
    assert found[0] == pytest.approx(left.sum() / counts.sum(), abs=1e-12)
    if found[0]:
        drawn = found[1].sample(30, seed=6)
        assert ((drawn >= low) & (drawn <= high)).all()
        inside = np.exp(found[1].log_prob(drawn))
        np.testing.assert_allclose(inside, np.exp(law.log_prob(drawn)) / found[0], rtol=1e-9)
        second = box(data, dim)
        again, both = (
            found[1].condition(*second),
            law.condition(np.maximum(low, second[0]), np.minimum(high, second[1])),
        )
        assert again is not None
        assert both is not None
        assert again[0] * found[0] == pytest.approx(both[0], abs=1e-12)


def test_a_histogram_is_uniform_inside_its_bins_and_by_count_among_them() -> None:
    law = S.histogram(counts=[[1, 0, 4], [2, 3, 0]], edges=[[0, 1, 4], [0, 0.5, 1, 8]])
    points = law.sample(60_000, seed=7)
    assert_counts_fit(np.histogramdd(points, law.edges)[0], np.array([[1, 0, 4], [2, 3, 0]]))
    inside = points[(points[:, 0] >= 1) & (points[:, 1] < 0.5)]
    fine = np.histogramdd(inside, [np.linspace(1, 4, 6), np.linspace(0, 0.5, 5)])[0]
    assert_counts_fit(fine, np.ones((5, 4)))
    cut = law.truncate(high=[2.5, 4.5], low=[0.5, 0])
    expected = np.array([[0.5, 0, 4 * 0.5 * 0.5], [1, 1.5, 0]])
    assert_counts_fit(np.histogramdd(cut.sample(60_000, seed=8), law.edges)[0], expected)


@given(weight_maps, st.sampled_from(["mask", "cloud", "histogram"]), st.data())
def test_a_point_depends_on_its_position_alone(array: np.ndarray, kind: str, data: st.DataObject) -> None:
    pixels = np.argwhere(array)
    laws: dict[str, Sampler] = {
        "mask": S.mask(array),
        "cloud": S.cloud(pixels, 0.5),
        "histogram": S.histogram(pixels, 3),
    }
    law = laws[kind]
    start = data.draw(st.integers(0, 30))
    assert np.array_equal(law.sample(40, seed=9)[start:], law.sample(40 - start, seed=9, start=start))
    assert not np.array_equal(S.cloud(np.arange(1000)).sample(20), S.cloud(np.arange(1000)).sample(20, epoch=1))


def test_means_of_jitter_are_those_of_the_points() -> None:
    assert_mean_fits(S.cloud([[3.0]], jitter=2).sample(20_000, seed=1), 3.0, 2 / np.sqrt(3))
