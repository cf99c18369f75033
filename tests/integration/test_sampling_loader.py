"""Laws over rows and places in a loader, as issue and specification ask: in shares, shards and pieces, from disk."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import zarr

import mtgen
from mtgen import sampling as S
from mtgen.batch import Batch
from mtgen.errors import PlanError, StateError, StoreError
from mtgen.plan import Shard
from tests.support.points import telling, window
from tests.support.statistics import assert_counts_fit

pytestmark = pytest.mark.usefixtures("no_thread_left")


def write(kind: str, path: Path, array: np.ndarray) -> str:
    """An array as a `.npy` file or a Zarr folder; where it is."""
    if kind == "npy":
        np.save(f"{path}.npy", array)
    else:
        zarr.create_array(f"{path}.zarr", data=array, chunks=(8,) * array.ndim)
    return f"{path}.{kind}"


# --- the article: patches of a seismic cube ---------------------------------------------------------------------------

SHAPE, SIZE, BATCH = (48, 40, 32), (8, 8, 8), 16
CUBE = telling(*SHAPE, dtype="float32")


def surface() -> np.ndarray:
    """Pixels of a horizon through the cube."""
    inline, crossline = np.meshgrid(np.arange(SHAPE[0]), np.arange(SHAPE[1]), indexing="ij")
    depth = 16 + 6 * np.sin(inline / 9) + 3 * np.cos(crossline / 7)
    return np.stack([inline.ravel(), crossline.ravel(), depth.round().astype(int).ravel()], axis=1)


HORIZON = surface()
SEEN = np.zeros(SHAPE, np.uint8)
SEEN[tuple(HORIZON.T)] = 1


def left_two_thirds(share: float) -> S.Sampler:
    """Near the horizon with a share, anywhere with the rest; the right third is kept for the test."""
    near = S.histogram((HORIZON + 0.5) / SHAPE, bins=[24, 20, 16])
    wide = S.normal(0.5, 0.3, dim=3)
    return (share & near | (1 - share) & wide).truncate(high=[2 / 3, 1, 1], low=0, each=True)


def of_cube(folder: Path, kind: str, points: Any, **settings: Any) -> mtgen.Dataset:
    cube, mask = write(kind, folder / "cube", CUBE), write(kind, folder / "mask", SEEN)
    return mtgen.Dataset(
        pd.DataFrame({"survey": ["F3"]}),
        inputs={"cube": mtgen.Patches(cube, points, SIZE, **settings)},
        targets={"mask": mtgen.Patches(mask, points, SIZE, **settings)},
    )


def check_cut(batch: Batch) -> None:
    """Every patch is the window of the cube at its place, and the mask is of the same place."""
    np.testing.assert_array_equal(batch.places["cube"], batch.places["mask"])
    for start, patch, mask in zip(batch.places["cube"], batch.inputs["cube"], batch.targets["mask"], strict=True):
        np.testing.assert_array_equal(patch, window(CUBE, start, SIZE))
        np.testing.assert_array_equal(mask, window(SEEN, start, SIZE))


@pytest.mark.parametrize("kind", ["npy", "zarr"])
@pytest.mark.parametrize("border", ["inside", "shift"])
def test_the_article_from_disk_through_a_loader(tmp_path: Path, kind: str, border: str) -> None:
    share = 0.75
    data = of_cube(tmp_path, kind, left_two_thirds(share), border=border)
    law = data.rows.uniform().sized(BATCH * 12)
    with mtgen.Loader(data, BATCH, sampler=law, seed=4, num_workers=2) as loader:
        batches = list(loader.steps(0, 15))
        assert loader.steps_per_epoch == 12
        assert loader.step_of(loader.state(7)) == 7
    positives = []
    for batch in batches:
        check_cut(batch)
        places = batch.places["cube"]
        assert places.dtype == np.int64
        assert (places[:, 0] + 4 <= 32).all()  # left two thirds of 48
        assert ((places >= 0) & (places + SIZE <= SHAPE)).all()
        positives.append(int(batch.targets["mask"].any(axis=(1, 2, 3)).sum()))
    assert min(positives) >= share * BATCH
    assert min(positives) < BATCH  # the Gaussian finds places without
    assert len({batch.places["cube"].tobytes() for batch in batches}) == 15


def test_an_exact_share_of_positives_in_every_batch_of_every_shard(tmp_path: Path) -> None:
    near = S.histogram((HORIZON + 0.5) / SHAPE, bins=[24, 20, 16]).truncate(high=[2 / 3, 1, 1], low=0).crop(SIZE)
    none = S.touching(SEEN, SIZE, at_most=0).truncate(high=[28, np.inf, np.inf])
    data = of_cube(tmp_path, "zarr", 0.25 & near | 0.75 & none)
    law = data.rows.uniform().sized(BATCH * 6)
    found = {}
    for count in (1, 2, 3):
        places = {}
        for index in range(count):
            with mtgen.Loader(data, BATCH, sampler=law, shard=Shard(index, count), num_workers=index) as loader:
                for batch in loader.epoch(1):
                    check_cut(batch)
                    assert batch.targets["mask"].any(axis=(1, 2, 3)).sum() == BATCH // 4
                    assert (batch.places["cube"][:, 0] + 4 <= 32).all()
                    places[(batch.step or 0) % loader.steps_per_epoch * count + index] = batch.places["cube"]
        found[count] = np.concatenate([places[block] for block in sorted(places)])
    assert np.array_equal(found[1], found[2])
    assert np.array_equal(found[1], found[3])


def test_npy_and_zarr_are_cut_alike_and_a_run_goes_on_where_it_was(tmp_path: Path) -> None:
    law = left_two_thirds(0.5)
    made = []
    for kind in ("npy", "zarr"):
        data = of_cube(tmp_path, kind, law)
        rows = data.rows.uniform().sized(BATCH * 4)
        with mtgen.Loader(data, BATCH, sampler=rows, seed=1, num_workers=3) as loader:
            made.append([batch.inputs["cube"].tobytes() for batch in loader.epoch(2)])
            state = loader.state(9)
        with mtgen.Loader(data, BATCH, sampler=rows, seed=1, num_workers=0) as again:
            again.restore(state)
            assert [batch.inputs["cube"].tobytes() for batch in again.steps(None, 12)] == made[-1][1:]
    assert made[0] == made[1]


# --- the examples of the specification --------------------------------------------------------------------------------


def cubes(folder: Path) -> tuple[mtgen.Dataset, list[np.ndarray], list[np.ndarray]]:
    """Scans of two kinds of file and several shapes, each with a mask of its own."""
    rng, arrays, masks, files = np.random.default_rng(0), [], [], []
    for number in range(6):
        shape = (12 + number, 14, 10)
        mask = np.zeros(shape, np.uint8)
        mask[tuple(rng.integers(4, length - 4) for length in shape)] = 1
        kind = "npy" if number % 2 else "zarr"
        array = telling(*shape, dtype="float32") + 10_000 * number
        files.append([write(kind, folder / f"{name}{number}", one) for name, one in (("x", array), ("y", mask))])
        arrays.append(array)
        masks.append(mask)
    table = pd.DataFrame(files, columns=["x", "y"])
    table["name"], table["split"] = list("AABBAB"), ["train", "test", "train", "train", "train", "test"]
    table["voxels"] = [array.size for array in arrays]
    data = mtgen.Dataset(
        table,
        inputs={"x": mtgen.Patches(mtgen.Volumes("x"), None, (6, 6, 6))},
        targets={"y": mtgen.Patches(mtgen.Volumes("y"), None, (6, 6, 6))},
    )
    return data, arrays, masks


def test_cubes_by_share_at_points(tmp_path: Path) -> None:
    data, arrays, masks = cubes(tmp_path)
    near = S.histogram(np.random.default_rng(1).random((500, 3)), bins=100) + 0.02 * S.normal(dim=3)
    wide = S.uniform(dim=3)
    pts = (0.8 & near | 0.2 & wide).truncate(high=[2 / 3, 1, 1], low=0)
    cube_a, cube_b = data.rows.where("name = 'A'"), data.rows.where("name = 'B'")
    law = (0.7 & cube_a.sized(60) | 0.3 & cube_b).sized(60) @ pts.crop((6, 6, 6))
    with mtgen.Loader(data, 10, sampler=law, num_workers=2) as loader:
        for batch in loader.epoch(0):
            assert (data.table["name"].iloc[batch.rows] == "A").sum() == 7
            for row, start, x, y in zip(
                batch.rows, batch.places["x"], batch.inputs["x"], batch.targets["y"], strict=True
            ):
                np.testing.assert_array_equal(x, window(arrays[row], start, (6, 6, 6)))
                np.testing.assert_array_equal(y, window(masks[row], start, (6, 6, 6)))
                assert start[0] + 3 <= arrays[row].shape[0] * 2 / 3


def test_foreground_of_each_scan_of_the_training_part(tmp_path: Path) -> None:
    data, _, masks = cubes(tmp_path)
    fg = lambda row: S.labels(masks[row], {0: 0.5, 1: 0.5}).crop(6)  # noqa: E731
    law = data.rows.where("split == 'train'").sized(400) @ fg
    with mtgen.Loader(data, 8, sampler=law, seed=1, num_workers=2) as loader:
        batches = list(loader.epoch(0))
        with pytest.raises((pickle.PicklingError, AttributeError), match="lambda"):
            pickle.dumps(loader)
    assert set(np.concatenate([batch.rows for batch in batches]).tolist()) == {0, 2, 3, 4}
    centred = np.concatenate([batch.targets["y"][:, 3, 3, 3] for batch in batches])
    assert abs(centred.mean() - 0.5) < 5 * 0.5 / 20


def test_patches_of_each_scan_by_its_size_and_so_many_of_each_reading(tmp_path: Path) -> None:
    """TorchIO #604, #789: patches per volume in proportion of its voxels."""
    data, arrays, _ = cubes(tmp_path)
    law = (data.rows.weighted("voxels", limit=1000) @ S.uniform(dim=3).crop(6)).times(4)
    loader = mtgen.Loader(data, 8, sampler=law, num_workers=0)
    rows = np.concatenate([loader.rows(step) for step in range(loader.steps_per_epoch)])
    assert len(rows) == 4000
    assert (rows.reshape(-1, 4) == rows[::4, None]).all()
    sizes = np.array([array.size for array in arrays])
    due = 1000 * sizes / sizes.sum()
    assert (abs(np.bincount(rows[::4]) - due) < 1).all()


def test_a_third_of_every_batch_on_a_class(tmp_path: Path) -> None:
    """nnU-Net: a third of each batch is centred on foreground, the rest lies anywhere."""
    mask = np.zeros((30, 30), np.uint8)
    mask[20, 11] = 1
    where = 1 / 3 & S.mask(mask).crop(5) | 2 / 3 & S.touching(mask, 5, at_most=0)
    table = pd.DataFrame({"n": range(24)})
    data = mtgen.Dataset(table, {"y": mtgen.Patches(mask, where, (5, 5))})
    with mtgen.Loader(data, 6, num_workers=2) as loader:
        assert [int(batch.inputs["y"][:, 2, 2].sum()) for batch in loader.steps(0, 8)] == [2] * 8


def test_a_scan_without_the_class_is_named(tmp_path: Path) -> None:
    """MONAI #6576: the error named no file."""
    data, _, masks = cubes(tmp_path)
    masks[2][:] = 0
    law = data.rows.uniform() @ (lambda row: S.labels(masks[row], {1: 1}).crop(6))
    with mtgen.Loader(data, 6, sampler=law, num_workers=0) as loader, pytest.raises(PlanError) as caught:
        loader.batch(0)
    assert "holds none of the classes 1; it holds 0" in str(caught.value)
    assert caught.value.row == 2
    assert str(data.table["x"][2]) in str(caught.value)


def test_a_crop_larger_than_a_scan_is_told_with_path_and_shape(tmp_path: Path) -> None:
    table = pd.DataFrame({"x": [write("npy", tmp_path / "small", telling(4, 4, 4))]})
    where = S.uniform(dim=3).crop(6)
    data = mtgen.Dataset(table, {"x": mtgen.Patches(mtgen.Volumes("x"), where)})
    with pytest.raises(StoreError, match=r"\(4, 4, 4\), and patches are \(6, 6, 6\).*small.npy"):
        data.fetch([0])
    padded = mtgen.Patches(mtgen.Volumes("x"), S.uniform(dim=3).crop(6, "pad"))
    assert mtgen.Dataset(table, {"x": padded}).fetch([0]).inputs["x"].shape == (1, 6, 6, 6)


# --- weighted, sharded, resumed ---------------------------------------------------------------------------------------


def findings() -> mtgen.Dataset:
    """Rows with several labels each, and features that tell their row."""
    rng = np.random.default_rng(5)
    names = np.array(["Hernia", "Edema", "Mass", "Fibrosis"])
    lists = [names[rng.random(4) < [0.02, 0.1, 0.3, 0.05]].tolist() for _ in range(500)]
    table = pd.DataFrame({"row": np.arange(500), "findings": lists, "site": rng.choice(["a", "b"], 500)})
    features = np.repeat(np.arange(500, dtype=np.float32)[:, None], 3, axis=1)
    return mtgen.Dataset(table, {"row": mtgen.Columns("row"), "x": mtgen.Rows(features)}, targets="site")


WORDS = "max_weight(contains(findings,'Hernia'): 20, contains(findings,'Edema'): 5, True: 1)"


def test_the_first_example_of_the_specification() -> None:
    data = findings()
    plan = data.rows.weighted(WORDS).plan(size=50_000, seed=0, epoch=3)
    weights = data.table["findings"].map(lambda one: 20 if "Hernia" in one else 5 if "Edema" in one else 1).to_numpy()
    due = 50_000 * weights / weights.sum()
    counts = np.bincount(plan[:], minlength=500)
    assert ((counts >= np.floor(due)) & (counts <= np.ceil(due))).all()
    drawn = np.bincount(data.rows.weighted(WORDS).plan(50_000, spread="iid")[:], minlength=500)
    assert_counts_fit(drawn, due)


@pytest.mark.parametrize("replace", [True, False])
def test_several_labels_each_weighted_sharded_and_resumed_with_other_shards(replace: bool) -> None:
    data = findings()
    law = data.rows.weighted(WORDS, replace=replace, limit=480)

    def loaders(count: int) -> list[mtgen.Loader]:
        shards = [Shard(index, count) for index in range(count)]
        return [mtgen.Loader(data, 8, sampler=law, seed=9, shard=one, num_workers=2) for one in shards]

    taken: list[int] = []

    def take(loader: mtgen.Loader, first: int, stop: int) -> None:
        with loader:
            for batch in loader.steps(first, stop):
                assert (batch.inputs["x"] == batch.rows[:, None]).all()
                assert (batch.inputs["row"][:, 0] == batch.rows).all()
                taken.extend(batch.rows.tolist())

    state: dict[str, Any] = {}
    for count, positions in ((3, 96), (2, 288), (4, 480)):  # of the epoch of 480, by 24, 16 and 32 a step
        for loader in loaders(count):
            if state:
                loader.restore(state)
            stop = positions // (8 * count)
            take(loader, loader.step, stop)
        state = loaders(count)[0].state(positions // (8 * count))
    plan = law.plan(seed=9)[:]
    assert sorted(taken) == sorted(plan.tolist())
    assert replace or len(set(taken)) == 480


def test_weights_that_changed_on_disk_are_refused_at_resume(tmp_path: Path) -> None:
    data = findings()
    np.save(tmp_path / "w.npy", np.arange(500.0))

    def loader() -> mtgen.Loader:
        weights = np.load(tmp_path / "w.npy", mmap_mode="r")
        return mtgen.Loader(data, 8, sampler=data.rows.weighted(weights), num_workers=0)

    state = loader().state(5)
    loader().restore(state)
    changed = np.arange(500.0)
    changed[400] = 7
    np.save(tmp_path / "w.npy", changed)
    with pytest.raises(StateError, match="setting 'sampler' was"):
        loader().restore(state)


def test_a_state_of_other_points_is_refused(tmp_path: Path) -> None:
    data, _, _ = cubes(tmp_path)
    one, other = (data.rows @ S.uniform(0, high, dim=3).crop(6) for high in (1, 0.9))
    state = mtgen.Loader(data, 2, sampler=one, num_workers=0).state(3)
    with pytest.raises(StateError, match="setting 'sampler' was"):
        mtgen.Loader(data, 2, sampler=other, num_workers=0).restore(state)


@pytest.mark.parametrize("ending", [{}, {"drop_last": True}, {"pad_last": True}])
def test_sizes_that_fill_no_batch_and_no_shard(ending: dict[str, Any]) -> None:
    data = findings()
    law = data.rows.weighted(WORDS, limit=75)
    shards = [mtgen.Loader(data, 8, sampler=law, shard=Shard(index, 2), num_workers=0, **ending) for index in range(2)]
    assert len({loader.steps_per_epoch for loader in shards}) == 1
    rows = [
        row
        for loader in shards
        for step in range(loader.steps_per_epoch)
        for row in loader.rows(step).tolist()
        if row >= 0
    ]
    plan = law.plan(seed=0)[:].tolist()
    assert sorted(rows) == sorted(plan[:64] if "drop_last" in ending else plan)
