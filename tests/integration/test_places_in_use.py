"""Places as they are used: the horizon of the article, what seismic users had, labels per volume; points only."""

from __future__ import annotations

import numpy as np
import pytest

from mtgen import sampling as S
from mtgen.errors import EmptySupportError
from mtgen.sampling.sampler import Sampler
from tests.support.statistics import assert_counts_fit, assert_mean_fits

CUBE = (120, 90, 60)  # inlines, crosslines, depth
BATCH = 16


def horizon() -> np.ndarray:
    """Pixels of a surface through the cube."""
    inline, crossline = np.meshgrid(np.arange(CUBE[0]), np.arange(CUBE[1]), indexing="ij")
    depth = 30 + 8 * np.sin(inline / 20) + 5 * np.cos(crossline / 15)
    return np.stack([inline.ravel(), crossline.ravel(), depth.round().astype(int).ravel()], axis=1)


# --- the article ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.25, 0.75])
def test_the_article(share: float) -> None:
    """A histogram of a horizon and a Gaussian over the cube, left two thirds, whole pixels, a share in every batch."""
    points = horizon()
    near = S.histogram((points + 0.5) / CUBE, bins=[24, 18, 20])
    wide = S.normal(0.5, 0.3, dim=3)
    left = (share & near | (1 - share) & wide).truncate(high=[2 / 3, 1, 1], low=0, each=True)
    law = left.to_pixels(CUBE)
    places = law.sample(BATCH * 60, seed=11, block=BATCH)
    assert places.dtype == np.int64
    assert (places >= 0).all()
    assert (places[:, 0] <= 80).all()
    assert (places < CUBE).all()
    # Near points lie in bins of the horizon; the others only by chance.
    bins = S.histogram((points + 0.5) / CUBE, bins=[24, 18, 20])
    unit = left.sample(BATCH * 60, seed=11, block=BATCH)
    assert np.array_equal(np.floor(unit * CUBE).astype(int), places)
    on = np.isfinite(bins.log_prob(unit)).reshape(60, BATCH).sum(axis=1)
    assert (on >= share * BATCH).all()
    assert on.mean() < share * BATCH + 0.2 * (1 - share) * BATCH
    # Batches of 8 of the same blocks are the same points.
    halves = [law.sample(8, seed=11, start=start, block=BATCH) for start in range(0, BATCH * 60, 8)]
    assert np.array_equal(np.concatenate(halves), places)
    # Windows around them, cut where the cube is.
    starts = left.crop((16, 16, 8)).bound(CUBE).sample(BATCH * 10, seed=11, block=BATCH)
    assert (starts >= 0).all()
    assert (starts + np.array([16, 16, 8]) <= CUBE).all()


def test_truncation_of_the_whole_conditions_and_of_each_keeps_shares() -> None:
    near = S.histogram(counts=[1.0, 3.0], edges=[[0, 0.5, 1]])
    wide = S.histogram(counts=[1.0], edges=[[2, 3]])
    law = 0.5 & near | 0.5 & wide
    whole = law.truncate(expr=lambda points: (points < 0.5) | (points > 2))
    assert_mean_fits((whole.sample(4000, seed=1) < 1)[:, 0], 0.2, 0.4)
    kept = law.truncate(high=2.5, low=0, each=True)
    assert ((kept.sample(64, block=8) < 1).reshape(8, 8).sum(axis=1) == 4).all()


# --- what seismic users had -------------------------------------------------------------------------------------------


def test_every_nth_line() -> None:
    """`each=n`: points on every fifth inline only."""
    law = S.cloud(horizon()).in_pixels() // [5, 1, 1] * [5, 1, 1]
    places = law.sample(500, seed=1)
    assert law.frame == "pixels"
    assert places.dtype == np.int64
    assert (places[:, 0] % 5 == 0).all()
    starts = law.crop((1, 16, 16), shape=CUBE).sample(50)
    assert (starts[:, 0] % 5 == 0).all()


def test_excluded_regions() -> None:
    """A matrix of weights with zeros, or a condition on points."""
    allowed = np.ones(CUBE[:2], bool)
    allowed[30:60, 20:70] = False
    points = horizon()
    weighted = S.cloud(points, weights=allowed[points[:, 0], points[:, 1]].astype(int))
    tested = S.cloud(points).truncate(expr=lambda found: allowed[found[:, 0], found[:, 1]])
    for law in (weighted, tested):
        places = law.sample(2000, seed=2)
        assert allowed[places[:, 0], places[:, 1]].all()


def test_depth_jitter() -> None:
    law = S.cloud(horizon(), jitter=[0, 0, 4]).in_pixels()
    places = law.sample(4000, seed=3)
    depth = np.empty(CUBE[:2])
    depth[tuple(horizon()[:, :2].T)] = horizon()[:, 2]
    off = places[:, 2] - depth[places[:, 0].astype(int), places[:, 1].astype(int)]
    assert (abs(off) <= 4).all()
    assert_counts_fit(np.histogram(off, 8, (-4, 4))[0], np.ones(8))
    added = S.cloud(horizon()).in_pixels() + (S.constant([0, 0]) & S.uniform(-4, 4))
    assert (abs(added.sample(100)[:, 2] - 30) < 20).all()
    starts = law.crop((16, 16, 16), shape=CUBE).sample(100)
    assert ((starts >= 0) & (starts + 16 <= CUBE)).all()


def test_a_range_of_one_coordinate() -> None:
    """`modify_sampler(low, high)`: training on the left 70 percent, tests on the right 20, a gap between."""
    law = S.cloud(horizon() / CUBE)
    train, test = law.truncate(high=[0.7, 1, 1], low=0), law.truncate(high=1, low=[0.8, 0, 0])
    assert train.sample(1000)[:, 0].max() <= 0.7
    assert test.sample(1000)[:, 0].min() >= 0.8
    by_column = law.truncate(0.7, expr=lambda points: points[:, 0])
    assert by_column.sample(1000)[:, 0].max() <= 0.7


def test_cubes_by_weight_with_their_names() -> None:
    small, large = S.cloud([[0.1, 0.1, 0.1]]), S.cloud([[0.9, 0.9, 0.9]])
    law = 0.25 & (S.constant("cube A") & small) | 0.75 & (S.constant("cube B") & large)
    points = law.sample(8, block=8)
    assert list(points[:, 0]).count("cube A") == 2
    assert {(name, x) for name, x in points[:, :2].tolist()} == {("cube A", 0.1), ("cube B", 0.9)}


# --- labels of each row -----------------------------------------------------------------------------------------------


def test_labels_of_each_volume() -> None:
    """TorchIO, MONAI, nnU-Net: for each row the labels of its own volume, windows inside, shares of its classes."""
    rng = np.random.default_rng(0)
    volumes = {}
    for row in range(4):
        volume = np.zeros((24, 20 + row, 18), np.uint8)
        volume[8:12, 8:12, 6:10] = 1
        volume[rng.integers(9, 15), 12, 9] = 2
        volumes[row] = volume

    def near(row: int) -> Sampler:
        return S.labels(volumes[row], {0: 0.25, 1: 0.25, 2: 0.5}).crop(10)

    law = S.cloud([0, 1, 2, 3]) @ near
    points = law.sample(400, seed=5)
    assert points.dtype == np.int64
    assert points.shape == (400, 4)
    classes = np.array([volumes[row][tuple(np.array(start) + 5)] for row, *start in points.tolist()])
    assert_counts_fit(np.bincount(classes, minlength=3), np.array([0.25, 0.25, 0.5]))
    assert_counts_fit(np.bincount(points[:, 0]), np.ones(4))
    for row, *start in points.tolist():
        assert all(0 <= one <= whole - 10 for one, whole in zip(start, volumes[row].shape, strict=True))
    many = law.times(8).sample(16, seed=5)
    assert len({tuple(rows) for rows in many[:, 0].reshape(2, 8).tolist()}) <= 2
    assert all(len(set(rows)) == 1 for rows in many[:, 0].reshape(2, 8).tolist())


def test_a_volume_without_the_classes_says_so() -> None:
    """MONAI #6576: the error named no volume and no class."""
    empty = np.zeros((8, 8), int)
    full = empty + 1
    with pytest.raises(EmptySupportError, match=r"shape \(8, 8\) holds none of the classes 1; it holds 0") as caught:
        (S.cloud([2, 3]) @ (lambda row: S.labels(full if row == 2 else empty, {1: 1.0}))).sample(20)
    assert caught.value.row == 3
