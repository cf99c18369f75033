"""Laws over places: what goes wrong and what it says, frames, and the defects that such laws had elsewhere."""

from __future__ import annotations

import pickle
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mtgen import sampling as S
from mtgen.errors import EmptySupportError, NoDensityError, PlanError
from mtgen.sampling.places.labels import Labels
from mtgen.sampling.places.mask import Mask
from mtgen.sampling.sampler import Sampler
from tests.support.statistics import assert_counts_fit

EDGES = [np.array([0.0, 0.1, 1.0])]
SPOT = np.zeros((8, 8), np.uint8)
SPOT[5, 6] = 1

# --- defects of other samplers (research, section 1.4) ----------------------------------------------------------------


def test_b4_updated_changes_the_draws_of_the_new_one_only() -> None:
    old = S.histogram(counts=[1, 0], edges=EDGES)
    assert (old.sample(50) < 0.1).all()
    new = old.updated([[0.5]] * 99)
    assert 0.9 < (new.sample(1000) >= 0.1).mean() < 1
    assert (old.sample(50) < 0.1).all()
    assert (old.total, new.total) == (1, 100)
    assert old != new


def test_b5_an_empty_histogram_is_filled_later() -> None:
    empty = S.histogram(edges=EDGES)
    assert empty.sample(0).shape == (0, 1)
    with pytest.raises(EmptySupportError, match=r"empty, 0 points lay outside its edges: add points with .updated"):
        empty.sample(1)
    with pytest.raises(EmptySupportError, match="no point of histogram"):
        empty.truncate(high=1)
    full = empty.updated([[0.05], [0.5], [7.0], [np.nan]])
    assert (full.num_outside, full.total) == (2, 2)
    assert full.sample(10).shape == (10, 1)
    with pytest.raises(EmptySupportError, match="2 points lay outside"):
        empty.updated([[7.0], [8.0]]).sample(1)


def test_b6_densities_count_by_the_volume_of_their_bins() -> None:
    law = S.histogram(counts=[1.0, 1.0], edges=EDGES, density=True)
    points = law.sample(20_000, seed=1)
    assert_counts_fit(np.histogram(points, EDGES[0])[0], np.array([0.1, 0.9]))
    density, edges = np.histogram(np.random.default_rng(0).random(1000) ** 2, bins=EDGES[0], density=True)
    np.testing.assert_allclose(
        np.exp(S.histogram(counts=density, edges=[edges], density=True).log_prob([[0.05], [0.5]])), density
    )
    with pytest.raises(PlanError, match="has densities, so counts of points cannot be added"):
        law.updated([[0.5]])


def test_b17_only_used_bins_are_kept() -> None:
    rng = np.random.default_rng(0)
    counts = np.zeros(100**3, np.int64)
    counts[rng.choice(len(counts), 95_000, replace=False)] = 1
    edges = [np.linspace(0, 1, 101)] * 3
    tracemalloc.start()
    law = S.histogram(counts=counts.reshape(100, 100, 100), edges=edges)
    law.sample(256)
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 4e6
    assert law.num_bins == 95_000


def test_b17_points_never_become_a_full_array_of_bins() -> None:
    points = np.random.default_rng(1).random((200_000, 3))
    tracemalloc.start()
    law = S.histogram(points, bins=[800, 800, 800])  # 5e8 bins
    law.sample(256)
    kept, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert law.num_bins > 190_000
    assert kept < 50 * law.num_bins  # 50 MB for a million
    assert peak < 50e6


# --- histograms -------------------------------------------------------------------------------------------------------


def test_points_never_leave_their_bins() -> None:
    edges = np.array([1.0, np.nextafter(1.0, 2), 1.0 + 1e-15, 1e300])
    law = S.histogram(counts=[5, 5, 1], edges=[edges])
    points = law.sample(1000)
    assert np.array_equal(np.histogram(points, edges)[0] > 0, [True, True, True])
    assert (points < edges[-1]).all()
    assert S.histogram(edges=[edges]).updated(edges[[0, -1], None]).masses.tolist() == [1, 1]  # on first and last edge
    one = S.histogram([[3.0]], bins=1)
    assert ((one.sample(100) >= 2.5) & (one.sample(100) < 3.5)).all()


def test_a_histogram_takes_what_numpy_gives() -> None:
    points = np.random.default_rng(0).normal(size=(500, 2))
    law = S.histogram(points, bins=[7, 9])
    pair = np.histogramdd(points, bins=[7, 9])
    assert law == S.histogram(pair) == S.histogram(*pair) == S.histogram(counts=pair[0], edges=pair[1])
    assert S.histogram(points, 8) == S.histogram(points, (8, 8))
    flat = np.histogram(points[:, 0], bins=6)
    assert S.histogram(points[:, 0], 6) == S.histogram(points[:, :1], [6]) == S.histogram(*flat)
    assert S.histogram(points[:, :1], flat[1]) == S.histogram(*flat)
    halves = S.histogram(counts=[0.5, 1.5], edges=EDGES)
    assert np.exp(halves.log_prob([[0.05]])) == pytest.approx(0.25 / 0.1)
    assert halves.updated([[0.05]]).total == 3.0


def test_a_memory_map_of_points_is_read_in_blocks(tmp_path: Path) -> None:
    points = np.random.default_rng(0).random((1000, 2))
    np.save(tmp_path / "points.npy", points)
    opened = np.load(tmp_path / "points.npy", mmap_mode="r")
    assert S.histogram(opened, 5) == S.histogram(points, 5)
    assert S.cloud(opened) == S.cloud(points)
    assert np.shares_memory(S.cloud(opened).points, opened)


WRONG: list[tuple[str, Callable[[], Any], type[Exception], str]] = [
    ("all counts 0", lambda: S.histogram([0, 0], EDGES), EmptySupportError, "all counts are 0; for one that is filled"),
    ("negative counts", lambda: S.histogram([1, -1], EDGES), PlanError, "some are negative, infinite or NaN"),
    ("NaN counts", lambda: S.histogram([1, np.nan], EDGES), PlanError, "some are negative, infinite or NaN"),
    (
        "counts and edges",
        lambda: S.histogram([1, 2, 3], EDGES),
        PlanError,
        r"counts of shape \(3,\) need one edge more",
    ),
    ("edges decrease", lambda: S.histogram([1, 1], [[0, 2, 1]]), PlanError, "axis 0 must be finite and increase"),
    ("edges equal", lambda: S.histogram([1, 1], [[0, 1, 1]]), PlanError, "must be finite and increase"),
    ("NaN edges", lambda: S.histogram([1, 1], [[0, np.nan, 1]]), PlanError, "must be finite and increase"),
    ("infinite edges", lambda: S.histogram([1, 1], [[0, 1, np.inf]]), PlanError, "must be finite and increase"),
    ("one edge", lambda: S.histogram(edges=[[1]]), PlanError, "two or more numbers"),
    ("words as edges", lambda: S.histogram(edges=[["a", "b"]]), PlanError, "must be numbers"),
    ("nothing", lambda: S.histogram(), PlanError, "histogram needs bins or edges"),
    ("bins alone", lambda: S.histogram(bins=5), PlanError, "needs points; an empty one needs edges"),
    ("bins 0", lambda: S.histogram([[1.0]], 0), PlanError, "bins must be whole numbers >= 1"),
    ("bins of another dim", lambda: S.histogram([[1.0, 2]], [3, 4, 5]), PlanError, "or 2 of them"),
    ("edges of another dim", lambda: S.histogram(np.ones((5, 3)), EDGES * 2), PlanError, "edges of 2 axes do not fit"),
    (
        "points or counts",
        lambda: S.histogram(np.ones((1, 2)), [[0, 1], [0, 1, 2]]),
        PlanError,
        "may be points or counts",
    ),
    ("both", lambda: S.histogram(points=[[1]], counts=[1], bins=1), PlanError, "one of points and counts"),
    ("no finite point", lambda: S.histogram([[np.nan]], 3), PlanError, "none of 1 points is finite"),
    ("words as points", lambda: S.histogram(np.array([["a"]]), 3), PlanError, "points that are numbers"),
    ("density of points", lambda: S.histogram([[1.0]], 3, density=True), PlanError, "points have none"),
    ("update of another dim", lambda: S.histogram(edges=EDGES).updated([[1, 2]]), PlanError, r"shape \(n, 1\)"),
    ("too many bins", lambda: S.histogram(np.ones((2, 4)), 10**6), PlanError, "more than can be numbered"),
    ("no points", lambda: S.cloud(np.empty((0, 2))), PlanError, r"at least one; received shape \(0, 2\)"),
    ("3-d points", lambda: S.cloud(np.ones((2, 2, 2))), PlanError, r"received shape \(2, 2, 2\)"),
    ("NaN points", lambda: S.cloud([[np.nan, 1]]), PlanError, "1 of them not finite"),
    ("words in a cloud", lambda: S.cloud([["a"]]), PlanError, "points must be finite numbers"),
    ("negative jitter", lambda: S.cloud([[1.0]], -1), PlanError, "jitter must be a number >= 0"),
    ("jitter of another dim", lambda: S.cloud([[1.0]], [1, 2]), PlanError, "one for each of 1 columns"),
    (
        "weights of another length",
        lambda: S.cloud([[1], [2]], weights=[1]),
        PlanError,
        r"must be 2 numbers .*shape \(1,\)",
    ),
    ("weights all 0", lambda: S.cloud([[1]], weights=[0]), PlanError, "not all 0"),
    ("negative weight", lambda: S.cloud([[1], [2]], weights=[-1, 1]), PlanError, "smallest -1, largest 1"),
    (
        "mask of 0",
        lambda: S.mask(np.zeros((3, 4))),
        EmptySupportError,
        r"no pixel of the array of shape \(3, 4\) has a w",
    ),
    ("negative mask", lambda: S.mask([[1, -2]]), PlanError, r"the pixel \(0, 1\) has -2"),
    ("NaN mask", lambda: S.mask([[1, np.nan]]), PlanError, r"the pixel \(0, 1\) has nan"),
    ("infinite mask", lambda: S.mask([[np.inf, 1]]), PlanError, r"the pixel \(0, 0\) has inf"),
    ("empty mask", lambda: S.mask(np.ones((3, 0))), PlanError, r"received shape \(3, 0\)"),
    ("words in a mask", lambda: S.mask([["a"]]), PlanError, "mask needs an array of numbers"),
    ("mask of a number", lambda: S.mask(3), PlanError, r"received shape \(\)"),
    ("threshold", lambda: S.mask([1, 2], threshold=2), EmptySupportError, "is above the threshold 2"),
    ("threshold of NaN", lambda: S.mask([1, np.nan], threshold=0), PlanError, "holds NaN"),
    ("no shares", lambda: S.labels(SPOT, {}), PlanError, r"a dict \{class: share\}"),
    ("negative share", lambda: S.labels(SPOT, {1: -1}), PlanError, "a weight must be finite and >= 0"),
    ("shares 0", lambda: S.labels(SPOT, {1: 0}), EmptySupportError, "all shares are 0"),
    ("class names", lambda: S.labels(SPOT, {"tumour": 1}), PlanError, "classes are numbers, as in the array"),
    (
        "absent classes",
        lambda: S.labels(SPOT, {7: 1, 9: 1}),
        EmptySupportError,
        r"none of the classes 7, 9; it holds 0, 1",
    ),
    ("size 0", lambda: S.mask(SPOT).crop(0), PlanError, "size must be whole numbers >= 1"),
    ("size of another dim", lambda: S.mask(SPOT).crop((1, 2, 3)), PlanError, r"rows @ points.crop\(size\)"),
    ("border", lambda: S.mask(SPOT).crop(3, "reflect"), PlanError, "border must be 'inside', 'shift' or 'pad'"),
    (
        "crop too large",
        lambda: S.mask(SPOT).crop(9),
        PlanError,
        r"crop of \(9, 9\) is larger than the array of shape \(8, 8\)",
    ),
    ("shift too large", lambda: S.mask(SPOT).crop(9, "shift"), PlanError, "or border='pad'"),
    ("another shape", lambda: S.mask(SPOT).crop(3, shape=(9, 9)), PlanError, r"of shape \(8, 8\), not of \(9, 9\)"),
    ("bound elsewhere", lambda: S.mask(SPOT).crop(3).bound((9, 9)), PlanError, r"this one has \(9, 9\)"),
    ("no valid centre", lambda: S.mask(SPOT).crop(8), EmptySupportError, "no centre of a crop"),
    ("unbound", lambda: S.cloud([[0.5]]).crop(3).sample(1), PlanError, "does not know the shape of the array"),
    ("places", lambda: S.mask(SPOT).bound((8, 8)), PlanError, "gives places, not windows"),
    ("crop of a crop", lambda: S.mask(SPOT).crop(3).crop(3), PlanError, "gives windows already"),
    ("windows and places", lambda: S.mask(SPOT).crop(3) | S.mask(SPOT), PlanError, "places, or windows of one size"),
    ("two sizes", lambda: S.mask(SPOT).crop(3) | S.mask(SPOT).crop(4), PlanError, r"windows of \(3, 3\)"),
    ("two masks", lambda: (S.mask(SPOT) | S.mask(SPOT[:7])).crop(2), PlanError, "arrays of different shapes"),
    ("pixels of another", lambda: S.mask(SPOT).to_pixels((4, 4)), PlanError, r"array of shape \(8, 8\) already"),
    ("no pixel", lambda: S.constant([np.inf]).to_pixels([4]).sample(1), PlanError, "which is no pixel"),
    ("text as pixel", lambda: S.constant("a").to_pixels([4]).sample(1), PlanError, "only numbers can be pixels"),
    (
        "touching nothing",
        lambda: S.touching(SPOT, 3, 2),
        EmptySupportError,
        "holds 2 to 9 of its 9 pixels; the most .* is 1",
    ),
    ("touching too large", lambda: S.touching(SPOT, 9), PlanError, r"larger than the array of shape \(8, 8\)"),
    ("touching share", lambda: S.touching(SPOT, 3, 1.5), PlanError, "a float from 0 to 1"),
    ("touching count", lambda: S.touching(SPOT, 3, 10), PlanError, "an int from 0 to 9"),
    ("touching between", lambda: S.touching(SPOT, 3, 2, at_most=1), PlanError, "is above at_most=1"),
    ("touching NaN", lambda: S.touching(SPOT * np.nan, 3), PlanError, "the mask holds NaN"),
    ("overlap", lambda: S.grid((8, 8), 3, 3), PlanError, r"overlap must be below the size \(3, 3\)"),
    ("grid too large", lambda: S.grid((8, 8), 9), PlanError, "larger than the array"),
    ("grid shift", lambda: S.grid((8, 8), 3, border="shift"), PlanError, "'inside' or 'pad'"),
    ("grid elsewhere", lambda: S.grid((8, 8), 3).bound((9, 9)), PlanError, r"this one has \(9, 9\)"),
]


@pytest.mark.parametrize(("make", "error", "text"), [case[1:] for case in WRONG], ids=[case[0] for case in WRONG])
def test_what_goes_wrong_is_said(make: Callable[[], Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        make()


# --- frames -----------------------------------------------------------------------------------------------------------


def test_frames_do_not_mix_without_a_word() -> None:
    places = S.cloud([[2, 3]])
    assert (places.frame, places.in_pixels().frame, S.mask(SPOT).frame) == (None, "pixels", "pixels")
    assert places.in_pixels().in_pixels() == places.in_pixels()
    assert places.in_pixels().log_prob([[2, 3]]) == 0
    moved = S.mask(SPOT) + 0.5 * S.cloud([[-1.0, 1.0]])
    assert (moved.frame, moved.array_shape) == ("pixels", (8, 8))
    assert moved.crop(3).sample(1).tolist() == [[3, 5]]  # floor(4.5) - 1, floor(6.5) - 1


def test_points_in_pixels_that_do_not_say_so_get_a_hint() -> None:
    crop = S.cloud([[300, 400]]).crop(32)
    with pytest.raises(EmptySupportError, match=r"points that count pixels must say so: points.in_pixels\(\)"):
        crop.bound((512, 512))
    assert S.cloud([[300, 400]]).in_pixels().crop(32).bound((512, 512)).sample(1).tolist() == [[284, 384]]


def test_pixels_above_2_53_survive() -> None:
    place = 2**53 + 1
    assert S.cloud([[place]]).in_pixels().crop(1, "pad").sample(1).tolist() == [[place]]


def test_crops_of_unit_points_are_bound_to_each_shape() -> None:
    crop = 0.3 & S.cloud([[0.5, 0.5]]).crop((4, 2))
    assert (crop.window, crop.size, crop.border, crop.shape, crop.frame) == ((4, 2), (4, 2), "inside", None, "pixels")
    bound = crop.bound((10, 20))
    assert (bound.shape, bound.weight, bound.sample(1).tolist()) == ((10, 20), 0.3, [[3, 9]])
    assert bound.bound((10, 20)) is bound
    assert bound.sample(1).dtype == np.int64
    with pytest.raises(PlanError, match="larger than the array"):
        crop.bound((3, 20))
    assert S.cloud([[0.5]]).crop(8, "pad").bound([3]).sample(1).tolist() == [[-3]]
    assert S.cloud([[0.0], [0.99]]).crop(3, "shift").bound([9]).log_prob([[0], [6], [3]]).tolist() == pytest.approx(
        [np.log(0.5), np.log(0.5), -np.inf]
    )


def test_mixtures_of_windows_are_bound_and_keep_their_weights() -> None:
    mixed = 0.25 & S.cloud([[0.2]]).crop(2) | 0.75 & S.cloud([[0.6]]).crop(2)
    assert mixed.window == (2,)
    bound = mixed.bound([10])
    assert sorted(bound.sample(8, block=8).ravel().tolist()) == [1, 1, 5, 5, 5, 5, 5, 5]
    assert mixed.truncate(high=3).bound([10]).sample(3).ravel().tolist() == [1, 1, 1]
    kept = mixed.truncate(expr=lambda starts: starts > 2).bound([10])
    assert (kept.window, kept.sample(3).ravel().tolist()) == ((2,), [5, 5, 5])
    assert bound.truncate(high=3).bound([10]).sample(2).ravel().tolist() == [1, 1]


def test_a_grid_under_a_condition_keeps_its_order() -> None:
    """It was drawn at random, with repeats, and nobody knew how many windows there are."""
    grid = S.grid((20, 31), (4, 6), overlap=2)
    every = grid.starts()
    low = grid.truncate(low=[5, 3], high=[12, 20])
    due = every[((every >= [5, 3]) & (every <= [12, 20])).all(axis=1)]
    assert 1 < len(due) == len(low) < len(grid)
    np.testing.assert_array_equal(low.starts(), due)
    np.testing.assert_array_equal(low.sample(2 * len(due)), np.concatenate([due, due]))
    by_expr = (0.3 & grid).truncate(expr=lambda starts: starts[:, 0] % 4 == 0).inside(high=[99, 15])
    np.testing.assert_array_equal(by_expr.starts(), every[(every[:, 0] % 4 == 0) & (every[:, 1] <= 15)])
    assert by_expr.weight == 0.3
    assert low == grid.truncate([12, 20], [5, 3])
    assert pickle.loads(pickle.dumps(low)) == low != grid
    inside = np.exp(low.log_prob([*due, [0, 0], [7, 7]]))
    np.testing.assert_allclose(inside, [1 / len(due)] * len(due) + [0, 0])
    assert (low.window, low.frame, low.array_shape, low.bound((20, 31))) == ((4, 6), "pixels", (20, 31), low)
    with pytest.raises(PlanError, match=r"is for an array of shape \(20, 31\), and this one has \(20, 30\)"):
        low.bound((20, 30))
    with pytest.raises(EmptySupportError, match=r"no window of grid.* starts where the condition is met"):
        grid.truncate(low=40)
    with pytest.raises(PlanError, match="grid must be a grid"):
        S.Stitcher(low)
    mixed = (grid | grid.truncate(high=5)).truncate(high=9, each=True)
    assert [len(part) for part in mixed.parts] == [len(grid.truncate(high=9)), len(grid.truncate(high=5))]


def test_starts_can_be_truncated_before_the_shape_is_known() -> None:
    crop = S.cloud([[0.2], [0.8]]).crop(2).truncate(low=4)
    assert crop.bound([10]).sample(5).ravel().tolist() == [7] * 5


# --- masks, labels ----------------------------------------------------------------------------------------------------


def test_labels_are_kept_as_runs() -> None:
    volume = np.zeros((64, 64, 64), np.uint8)
    volume[20:30, 20:30, 20:30] = 1
    law = S.labels(volume, {0: 0.5, 1: 0.5})
    background, spot = (part for part in law.parts if isinstance(part, Mask))
    assert (background.num_pixels, spot.num_pixels) == (64**3 - 1000, 1000)
    assert background.runs.num == 64 * 64 + 100
    assert len(pickle.dumps(law)) < 200_000


def test_labels_survive_pickling_and_mixing() -> None:
    law = S.labels(SPOT, {0: 1, 1: 1, 2: 2})
    again = pickle.loads(pickle.dumps(law))
    assert isinstance(again, Labels)
    assert again == law
    assert (again.classes, again.missing) == ((0, 1), ((2, 0.5),))
    assert np.array_equal(again.sample(20), law.sample(20))
    both = 0.5 & law | 0.5 & S.mask(SPOT)
    assert sum((both.sample(8, block=8) == [5, 6]).all(axis=1)) == 6
    only = S.labels(SPOT, {1: 1, 2: 1})
    assert only.sample(2).tolist() == [[5, 6], [5, 6]]


def test_threshold_and_arrays_of_other_kinds() -> None:
    assert S.mask([0.2, 0.7, 0.9], threshold=0.5) == S.mask([False, True, True])
    assert S.mask(np.asfortranarray(SPOT)) == S.mask(SPOT)
    assert S.labels(SPOT.astype(bool), {True: 1}).sample(1).tolist() == [[5, 6]]

    class OnDisk:
        shape, dtype = SPOT.shape, SPOT.dtype

        def __getitem__(self, key: Any) -> np.ndarray:
            return SPOT[key]

    assert S.mask(OnDisk()) == S.mask(SPOT)
    assert S.labels(OnDisk(), {1: 1}) == S.labels(SPOT, {1: 1})
    assert S.touching(OnDisk(), 3) == S.touching(SPOT, 3)


def test_a_class_at_no_valid_centre_counts_as_missing() -> None:
    array = SPOT.copy()
    array[0, 0] = 2
    law = S.labels(array, {0: 1, 1: 2, 2: 1}).crop(4)
    assert law.missing == ((2, 0.25),)
    assert sum((law.sample(9, block=9) == [3, 4]).all(axis=1)) == 6
    with pytest.raises(EmptySupportError, match="no pixel of the classes 2 lies in"):
        S.labels(array, {2: 1}).crop(4)


def test_parts_of_a_mixture_keep_their_shares_at_the_border() -> None:
    edge = np.ones((20, 20), bool)  # most of it is at no valid centre
    law = (0.5 & S.mask(edge) | 0.5 & S.cloud([[10, 10]]).in_pixels()).crop(18)
    assert sum((law.sample(40, block=40) == [1, 1]).all(axis=1)) >= 20
    with pytest.raises(EmptySupportError, match=r"no point of cloud\(1 points"):
        _ = (S.mask(edge) | S.cloud([[0, 0]]).in_pixels()).crop(18)
    nested = (0.5 & S.mask(edge) | 0.5 & S.mask(edge)).truncate(high=15).crop(9)
    assert (nested.sample(100) + 4 <= 15).all()


def test_densities_that_are_not_known_say_so() -> None:
    with pytest.raises(NoDensityError):
        S.mask(SPOT).apply(lambda points: points).in_pixels().crop(3, shape=(8, 8)).log_prob([[4, 5]])
    with pytest.raises(NoDensityError):
        (S.mask(SPOT) + S.cloud([[1.0, 1.0]])).crop(3).log_prob([[4, 5]])


# --- touching, grids, stitching ---------------------------------------------------------------------------------------


def test_a_chosen_share_of_positives_in_every_batch() -> None:
    mask = np.zeros((64, 48), bool)
    mask[30:36, 20:25] = True
    law = 0.25 & S.touching(mask, 8, at_least=0.05) | 0.75 & S.touching(mask, 8, at_most=0)
    assert law.bound((64, 48)) == law
    starts = law.sample(160, seed=3, block=16)
    held = np.array([mask[row : row + 8, column : column + 8].sum() for row, column in starts])
    assert ((held == 0) | (held >= 0.05 * 64)).all()
    assert ((held > 0).reshape(10, 16).sum(axis=1) == 4).all()
    with pytest.raises(PlanError, match=r"is for a mask of shape \(64, 48\)"):
        law.bound((64, 64))


def test_shares_are_not_lost_to_rounding() -> None:
    mask = np.zeros((10, 10), bool)
    mask.ravel()[:7] = True
    assert S.touching(mask, 10, at_least=0.07).num_windows == 1  # 0.07 * 100 is above 7
    assert S.touching(mask, 10, at_most=0.07).num_windows == 1
    with pytest.raises(EmptySupportError):
        S.touching(mask, 10, at_least=0.071)
    with pytest.raises(EmptySupportError, match="holds 0 to 6 of its 100 pixels; the most that one holds is 7, the l"):
        S.touching(mask, 10, at_most=0.069)


def test_touching_holds_parts_of_the_mask_only() -> None:
    mask = np.zeros((400, 128, 64), np.uint8)
    mask[100:120, 30:60, 10:30] = 1
    tracemalloc.start()
    law = S.touching(mask, (96, 32, 16), at_least=0.02)
    kept, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert law.num_windows > 0
    assert peak < 60e6  # all counts would be 8 bytes for each of 3.3 million pixels, several times
    assert kept < peak / 4


def test_a_grid_pads_what_is_smaller_than_a_window() -> None:
    tiles = S.grid((3, 10), (6, 4), border="pad")
    assert tiles.starts().tolist() == [[-1, 0], [-1, 4], [-1, 6]]
    assert (tiles.size, tiles.border, tiles.shape, tiles.window) == ((6, 4), "pad", (3, 10), (6, 4))
    assert np.exp(tiles.log_prob([[-1, 4], [0, 4]])).tolist() == pytest.approx([1 / 3, 0])


def test_a_grid_gives_every_row_all_of_its_windows() -> None:
    tiles = S.grid((4, 4), 2)
    points = (S.cloud([7]) @ tiles).times(len(tiles)).sample(8)
    assert points.tolist() == [[7, *start] for start in tiles.starts().tolist()] * 2


def test_stitching_refuses_what_does_not_fit() -> None:
    tiles = S.grid((4, 4), 2)
    whole = S.Stitcher(tiles)
    whole.add(np.ones((2, 2, 3)), (0, 2))
    for piece, start, text in [
        (np.ones((2, 2, 3)), (0, 2), r"a piece at \[0, 2\] before"),
        (np.ones((2, 2, 4)), (0, 0), r"those before had \(2, 2, 3\), float64"),
        (np.ones((2, 2, 3), np.float32), (0, 0), "float32; those before had"),
        (np.ones((3, 2, 3)), (0, 0), r"must have shape \(2, 2\)"),
        (np.ones((2, 2, 3)), (0, 1), r"no window of grid.* starts at \[0, 1\]: near it axis 1 has \[0, 2\]"),
        (np.ones((2, 2, 3)), (0, 9), "near it axis 1"),
        (np.ones((2, 2, 3)), 0, "a start needs 2 whole numbers"),
        (np.full((2, 2), "a"), (0, 0), "must have shape"),
    ]:
        with pytest.raises(PlanError, match=text):
            whole.add(piece, start)
    with pytest.raises(PlanError, match=r"3 of 4 windows of grid.* have no piece, the first at \[0, 0\]"):
        whole.result()
    for start in [(0, 0), (2, 0), (2, 2)]:
        whole.add(np.ones((2, 2, 3)), start)
    assert np.array_equal(whole.result(), np.ones((4, 4, 3)))
    assert np.array_equal(whole.result(), np.ones((4, 4, 3)))
    with pytest.raises(PlanError, match="more pieces than starts"):
        S.stitch(np.ones((5, 2, 2)), tiles)
    with pytest.raises(PlanError, match="2 starts need as many pieces"):
        S.stitch(np.ones((1, 2, 2)), tiles, starts=[[0, 0], [0, 2]])
    with pytest.raises(PlanError, match=r"starts must have shape \(n, 2\)"):
        S.stitch(np.ones((1, 2, 2)), tiles, starts=[0, 0])
    with pytest.raises(PlanError, match="how must be"):
        S.Stitcher(tiles, "median")  # type: ignore[arg-type]
    with pytest.raises(PlanError, match="grid must be a grid"):
        S.Stitcher(S.mask(SPOT))  # type: ignore[arg-type]


def test_infinite_and_missing_predictions_stay() -> None:
    tiles = S.grid([4], 2)
    assert np.array_equal(S.stitch([[np.nan, 1], [np.inf, 2]], tiles), [np.nan, 1, np.inf, 2], equal_nan=True)


# --- equality ---------------------------------------------------------------------------------------------------------


def test_laws_are_equal_by_what_they_are() -> None:
    makers: list[Callable[[], Sampler]] = [
        lambda: S.cloud([[1, 2]], 0.5),
        lambda: S.cloud([[1, 2]]),
        lambda: S.histogram([[1.0, 2]], 3),
        lambda: S.mask(SPOT),
        lambda: S.labels(SPOT, {1: 1}),
        lambda: S.mask(SPOT).crop(3),
        lambda: S.mask(SPOT).crop(3, "shift"),
        lambda: S.touching(SPOT, 3),
        lambda: S.touching(SPOT, 3, at_most=0),
        lambda: S.grid((8, 8), 3),
        lambda: S.cloud([[0.5, 0.5]]).to_pixels((8, 8)),
        lambda: S.cloud([[0.5, 0.5]]).in_pixels(),
    ]
    laws = [make() for make in makers]
    assert laws == [make() for make in makers]
    assert len(set(laws)) == len(laws)
    for law in laws:
        again = pickle.loads(pickle.dumps(law))
        assert again == law
        assert np.array_equal(again.sample(5), law.sample(5))
        assert law.sample(0).shape == (0, 2)
        assert repr(law)


def test_given_arrays_may_change_afterwards() -> None:
    points, array = np.ones((3, 2)), SPOT.copy()
    cloud, mask = S.cloud(points), S.mask(array)
    before = cloud.digest(), mask.digest()
    points[:], array[:] = 5, 1
    assert (cloud.digest(), mask.digest()) == before
    assert (cloud.sample(5) == 1).all()
