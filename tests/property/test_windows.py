"""Crops, touching, grids and stitching against plain loops: for any array, size and border."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mtgen import sampling as S
from mtgen.errors import EmptySupportError, PlanError
from mtgen.sampling.places import touching as touching_module
from mtgen.sampling.places.pixels import least
from mtgen.sampling.places.stitch import How
from tests.support.statistics import assert_counts_fit

shapes = hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=7)
masks = hnp.arrays(bool, shapes)


def sizes(data: st.DataObject, shape: tuple[int, ...], beyond: int = 0) -> tuple[int, ...]:
    return tuple(data.draw(st.integers(1, length + beyond)) for length in shape)


def starts_of(shape: tuple[int, ...], size: tuple[int, ...]) -> list[tuple[int, ...]]:
    return list(itertools.product(*(range(whole - length + 1) for whole, length in zip(shape, size, strict=True))))


def held(mask: np.ndarray, start: tuple[int, ...], size: tuple[int, ...]) -> int:
    window = tuple(slice(first, first + length) for first, length in zip(start, size, strict=True))
    return int(np.count_nonzero(mask[window]))


# --- pixels -----------------------------------------------------------------------------------------------------------


@given(st.integers(-5, 10**6), st.integers(1, 10**5))
def test_least_is_the_first_share_of_a_pixel(place: int, scale: int) -> None:
    found = least(place, scale)
    assert np.floor(found * scale) >= place
    assert np.floor(np.nextafter(found, -np.inf) * scale) < place


@given(st.integers(1, 60), st.data())
def test_a_pixel_of_a_share_has_the_mass_of_its_part(length: int, data: st.DataObject) -> None:
    edges = [0.0, 0.25, 0.6, 1.0]
    counts = np.array(data.draw(st.lists(st.integers(0, 3), min_size=3, max_size=3).filter(any)))
    law = S.histogram(counts=counts, edges=edges).to_pixels([length])
    masses = np.exp(law.log_prob(np.arange(length)[:, None]))
    ends = np.arange(length + 1) / length
    wanted = np.diff(np.interp(ends, edges, np.append(0, np.cumsum(counts)) / counts.sum()))
    np.testing.assert_allclose(masses, wanted, atol=1e-12)
    low, high = sorted([data.draw(st.integers(-1, length)), data.draw(st.integers(-1, length))])
    found = law.condition(np.array([low]), np.array([high]))
    assert found is not None
    assert found[0] == pytest.approx(wanted[max(low, 0) : high + 1].sum(), abs=1e-12)
    if found[0]:
        drawn = found[1].sample(30)
        assert drawn.dtype == np.int64
        assert ((drawn >= low) & (drawn <= high)).all()


# --- crops ------------------------------------------------------------------------------------------------------------


@given(masks.filter(lambda mask: bool(mask.any())), st.sampled_from(["inside", "shift", "pad"]), st.data())
def test_starts_of_crops_are_those_of_an_enumeration(mask: np.ndarray, border: str, data: st.DataObject) -> None:
    size = sizes(data, mask.shape, beyond=2 if border == "pad" else 0)
    last = np.array(mask.shape) - size
    wanted: dict[tuple[int, ...], int] = {}
    for centre in np.argwhere(mask):
        start = centre - np.array(size) // 2
        if border == "shift":
            start = np.minimum(np.maximum(start, 0), last)
        if border != "inside" or ((start >= 0) & (start <= last)).all():
            key = tuple(start.tolist())
            wanted[key] = wanted.get(key, 0) + 1
    if not wanted:
        with pytest.raises(EmptySupportError, match="no centre of a crop"):
            S.mask(mask).crop(size, border)
        return
    law = S.mask(mask).crop(size, border)
    keys = list(wanted)
    np.testing.assert_allclose(
        np.exp(law.log_prob(np.array(keys))), np.array(list(wanted.values())) / sum(wanted.values())
    )
    drawn = law.sample(60, seed=1)
    assert drawn.dtype == np.int64
    assert set(map(tuple, drawn.tolist())) <= set(keys)
    low, high = np.sort(np.array([data.draw(st.integers(-2, 7)) for _ in range(2 * mask.ndim)]).reshape(2, -1), axis=0)
    inside = [key for key in keys if (low <= key).all() and (key <= high).all()]
    found = law.condition(low.astype(float), high.astype(float))
    assert found is not None
    assert found[0] == pytest.approx(sum(wanted[key] for key in inside) / sum(wanted.values()))
    if inside:
        assert set(map(tuple, found[1].sample(30).tolist())) <= set(inside)


@given(hnp.arrays(np.uint8, shapes, elements=st.integers(0, 2)), st.data())
def test_classes_keep_their_shares_at_the_border(array: np.ndarray, data: st.DataObject) -> None:
    """TorchIO #458: shares were taken first and the border cut afterwards."""
    size = sizes(data, array.shape)
    first = np.array(size) // 2
    inside = array[tuple(slice(f, f + w - s + 1) for f, w, s in zip(first, array.shape, size, strict=True))]
    valid = [one for one in (0, 1, 2) if (inside == one).any()]
    shares = {0: 1.0, 1: 2.0, 2: 3.0}
    law = S.labels(array, shares).crop(size)
    starts = law.sample(24, seed=3, block=12)
    classes = array[tuple((starts + first).T)].reshape(2, 12)
    whole = sum(shares[one] for one in valid)
    for one in valid:
        assert (abs((classes == one).sum(axis=1) - 12 * shares[one] / whole) < 1 + 1e-9).all()
    assert {one for one, _ in law.missing} == {0, 1, 2} - set(valid)


@given(shapes, st.data())
def test_unit_points_are_cropped_in_any_shape(shape: tuple[int, ...], data: st.DataObject) -> None:
    size = sizes(data, shape)
    points = data.draw(hnp.arrays(float, (6, len(shape)), elements=st.floats(0, 1, exclude_max=True)))
    crop = S.cloud(points).crop(size)
    centres = np.floor(points * shape).astype(int)
    starts = centres - np.array(size) // 2
    valid = ((starts >= 0) & (starts + size <= shape)).all(axis=1)
    if not valid.any():
        with pytest.raises(EmptySupportError):
            crop.bound(shape)
        return
    drawn = {tuple(one) for one in crop.bound(shape).sample(200).tolist()}
    assert drawn == {tuple(one) for one in starts[valid].tolist()}
    shifted = S.cloud(points).crop(size, "shift").bound(shape).sample(200)
    assert {tuple(one) for one in shifted.tolist()} == {
        tuple(one) for one in np.clip(starts, 0, np.array(shape) - size).tolist()
    }


# --- touching ---------------------------------------------------------------------------------------------------------


@given(hnp.arrays(st.sampled_from([bool, np.int16]), shapes, elements=st.integers(0, 1)), st.data())
def test_touching_is_every_window_that_holds_enough(mask: np.ndarray, data: st.DataObject) -> None:
    size = sizes(data, mask.shape)
    volume = int(np.prod(size))
    low, high = sorted(
        [data.draw(st.one_of(st.integers(0, volume), st.floats(0, 1).map(lambda x: round(x, 2)))) for _ in range(2)],
        key=lambda one: one if isinstance(one, int) else one * volume,
    )
    least_held = low if isinstance(low, int) else Fraction(str(low)) * volume
    most_held = high if isinstance(high, int) else Fraction(str(high)) * volume
    good = [start for start in starts_of(mask.shape, size) if least_held <= held(mask, start, size) <= most_held]
    before, touching_module.SLAB = touching_module.SLAB, data.draw(st.sampled_from([1, 9, 30, 10**6]))
    try:
        if not good:
            with pytest.raises(PlanError):  # nothing holds so much; or no whole number is between the two
                S.touching(mask, size, low, at_most=high)
            return
        law = S.touching(mask, size, low, at_most=high)
    finally:
        touching_module.SLAB = before
    assert law == S.touching(mask, size, low, at_most=high)
    assert law.num_windows == len(good)
    np.testing.assert_allclose(np.exp(law.log_prob(np.array(good))), 1 / len(good))
    assert set(map(tuple, law.sample(40).tolist())) <= set(good)


def test_windows_that_touch_come_alike() -> None:
    mask = np.zeros((9, 8), bool)
    mask[3:5, 2:4] = True
    law = S.touching(mask, (3, 3))
    counts = np.histogramdd(law.sample(20_000, seed=5), [np.arange(8), np.arange(7)])[0]
    good = np.array([[held(mask, (row, column), (3, 3)) > 0 for column in range(6)] for row in range(7)])
    assert_counts_fit(counts, good)


# --- grids and stitching ----------------------------------------------------------------------------------------------


@given(shapes, st.data())
def test_a_grid_covers_exactly_and_in_order(shape: tuple[int, ...], data: st.DataObject) -> None:
    size = sizes(data, shape)
    overlap = tuple(data.draw(st.integers(0, length - 1)) for length in size)
    tiles = S.grid(shape, size, overlap)
    starts = tiles.starts()
    assert len(tiles) == len(starts)
    assert starts.dtype == np.int64
    covered = np.zeros(shape, int)
    for start in starts:
        covered[tuple(slice(one, one + length) for one, length in zip(start, size, strict=True))] += 1
    assert covered.min() >= 1
    assert (starts >= 0).all()
    assert (starts + size <= shape).all()
    for axis in range(len(shape)):
        steps = np.diff(np.unique(starts[:, axis]))
        assert (steps <= size[axis] - overlap[axis]).all()
        assert (steps[:-1] == size[axis] - overlap[axis]).all()
    assert [tiles.number(start) for start in starts] == list(range(len(tiles)))
    again = tiles.sample(2 * len(tiles) + 1, seed=9, start=1)
    assert np.array_equal(again, starts[np.arange(1, 2 * len(tiles) + 2) % len(tiles)])


@given(shapes, st.sampled_from(["mean", "crop", "hann"]), st.booleans(), st.data())
def test_pieces_put_together_are_the_array(shape: tuple[int, ...], how: How, pad: bool, data: st.DataObject) -> None:
    size = sizes(data, shape, beyond=3 if pad else 0)
    overlap = tuple(data.draw(st.integers(0, length - 1)) for length in size)
    tiles = S.grid(shape, size, overlap, border="pad" if pad else "inside")
    channels = data.draw(st.sampled_from([(), (1,), (2,)]))
    dtype = data.draw(st.sampled_from([np.float32, np.float64, np.uint8, np.int64]))
    array = np.random.default_rng(len(tiles)).integers(0, 200, (*shape, *channels)).astype(dtype)
    if np.dtype(dtype).kind == "f":
        array /= 7
    before = [
        (max(0, -low), max(0, low + one - whole))
        for low, one, whole in zip(tiles.starts().min(axis=0), size, shape, strict=True)
    ]
    padded = np.pad(array, before + [(0, 0)] * len(channels), constant_values=99)
    shift = np.array([first for first, _ in before])
    order = np.array(data.draw(st.permutations(range(len(tiles)))))
    starts = tiles.starts()[order]
    pieces = np.stack(
        [
            padded[tuple(slice(one, one + length) for one, length in zip(start + shift, size, strict=True))]
            for start in starts
        ]
    )
    whole = S.stitch(pieces, tiles, how, starts=starts)
    assert whole.shape == array.shape
    if how == "crop":
        assert whole.dtype == array.dtype
        assert np.array_equal(whole, array)
    elif how == "mean":
        assert whole.dtype == (array.dtype if array.dtype.kind == "f" else np.float64)
        assert np.array_equal(whole, array)
    else:
        np.testing.assert_allclose(whole, array, rtol=1e-6)
    left = data.draw(st.integers(0, len(tiles) - 1))
    with pytest.raises(PlanError, match="have no piece"):
        S.stitch(np.delete(pieces, left, axis=0), tiles, how, starts=np.delete(starts, left, axis=0))


@pytest.mark.parametrize(("how", "wanted"), [("mean", [0, 0, 0.5, 1, 1]), ("crop", [0, 0, 0, 1, 1])])
def test_where_pieces_differ_it_shows(how: How, wanted: list[float]) -> None:
    tiles = S.grid([5], 3, overlap=1)
    assert S.stitch([np.zeros(3), np.ones(3)], tiles, how).tolist() == wanted
