"""Patches are plain slices of what they are cut from, at places that are a function of seed, epoch and position."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mtgen
from mtgen.config import Prefetch
from mtgen.draws import Draws
from mtgen.plan import Shard
from mtgen.sampling import mix
from tests.support.points import Always, Uniform, make_photo, telling, window
from tests.support.samples import content

pytestmark = pytest.mark.usefixtures("no_thread_left")

NUM_ROWS = 23
STEPS = 14


def table(num_rows: int = NUM_ROWS) -> pd.DataFrame:
    return pd.DataFrame({"label": np.arange(num_rows), "file": [f"{row % 7}.png" for row in range(num_rows)]})


def one_input(source: Any, sampler: Any, size: tuple[int, ...], num_rows: int = NUM_ROWS, **settings: Any) -> Any:
    return mtgen.Dataset(table(num_rows), {"patch": mtgen.Patches(source, sampler, size, **settings)}, "label")


def drawn(loader: mtgen.Loader, step: int) -> Draws:
    """What the loader says of a step, written down by hand."""
    epoch, step_in_epoch = divmod(step, loader.steps_per_epoch)
    positions = loader.batching.positions(step_in_epoch)
    return Draws(seed=loader.seed, epoch=epoch, positions=positions, block=loader.batch_size)


@st.composite
def cuts(draw: st.DrawFn) -> tuple[np.ndarray, tuple[int, ...], str, Any]:
    axes = draw(st.integers(1, 3))
    shape = tuple(draw(st.lists(st.integers(1, 9), min_size=axes, max_size=axes)))
    border = draw(st.sampled_from(["inside", "shift", "pad"]))
    most = [12 if border == "pad" else length for length in shape]
    size = tuple(draw(st.integers(1, length)) for length in most)
    channels = tuple(draw(st.lists(st.integers(1, 3), max_size=2)))
    lengths = draw(st.sampled_from([None, shape]))
    return telling(*shape, *channels), size, border, Uniform(axes, lengths)


@given(cuts(), st.integers(0, 5), st.integers(-5, 5))
def test_windows_are_slices(cut: tuple[np.ndarray, tuple[int, ...], str, Any], seed: int, pad_value: int) -> None:
    array, size, border, sampler = cut
    data = one_input(array, sampler, size, border=border, pad_value=pad_value)
    with mtgen.Loader(data, 5, seed=seed, num_workers=0) as loader:
        for step in range(6):
            batch = loader.batch(step)
            starts, shape = batch.places["patch"], np.array(array.shape[: len(size)])
            np.testing.assert_array_equal(loader.places(step)["patch"], starts)
            for slot, start in enumerate(starts):
                expected = window(array, start, size, pad_value)
                np.testing.assert_array_equal(batch.inputs["patch"][slot], expected)
            if border != "pad":
                assert ((starts >= 0) & (starts <= shape - size)).all()
            centres = starts + np.array(size) // 2
            assert ((centres >= 0) & (centres < shape)).all() or border == "shift"
            plain = data.fetch(batch.rows, drawn(loader, step))
            assert plain.inputs["patch"].tobytes() == batch.inputs["patch"].tobytes()
            np.testing.assert_array_equal(plain.places["patch"], starts)


@pytest.mark.parametrize("lengths", [None, (6, 5)])
def test_inside_gives_every_place_that_fits_and_no_other_alike(lengths: tuple[int, ...] | None) -> None:
    data = one_input(telling(6, 5), Uniform(2, lengths), (3, 2), num_rows=4000)
    places = mtgen.Loader(data, 4000, num_workers=0).places(0)["patch"]
    found, counts = np.unique(places, axis=0, return_counts=True)
    assert found.tolist() == [[row, column] for row in range(4) for column in range(4)]
    # Points inside are uniform over pixels, so places are: chi-square with 15 degrees, p = 1e-6 at 54.
    assert ((counts - 250) ** 2 / 250).sum() < 54


def test_inside_keeps_the_shares_of_a_mixture() -> None:
    """TorchIO issue 458: a class near the border must not lose its share to the border."""
    near_border, middle = Uniform(2).truncate(high=0.2, low=0), Uniform(2).truncate(high=0.6, low=0.4)
    data = one_input(telling(100, 100), mix(0.5 & near_border, 0.5 & middle), (30, 30), num_rows=2000)
    starts = mtgen.Loader(data, 2000, num_workers=0).places(0)["patch"]
    share = (starts < 10).all(axis=1).mean()
    assert abs(share - 0.5) < 5 * 0.5 / 2000**0.5


# --- one function of seed, epoch, position ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> mtgen.Dataset:
    """A train split with patches of pictures, of a cube, and of rows of a store, and a mask of the pictures."""
    folder = tmp_path_factory.mktemp("photos")
    for number in range(7):
        make_photo(folder / f"{number}.png", 20 + number, 31 - number, orientation=1 + number)
    images = mtgen.Images("file", root=folder)
    inputs = {
        "photo": mtgen.Patches(images, Uniform(2), (8, 9)),
        "cube": mtgen.Patches(telling(9, 10, 11), Uniform(3), (3, 4, 5), border="shift"),
        "row": mtgen.Patches(mtgen.Rows(telling(NUM_ROWS, 6, 7, 2)), Uniform(2), (3, 3), border="pad"),
        "number": mtgen.Columns("label"),
    }
    mask = mtgen.Patches(mtgen.Images("file", root=folder, color="grayscale"), Uniform(2), (8, 9))
    train, _ = mtgen.Dataset(table(), inputs, {"mask": mask, "label": "label"}).split({"a": 20, "b": 3}, seed=1)
    assert isinstance(train, mtgen.Dataset)
    return train


def all_of(batch: mtgen.Batch) -> tuple[Any, ...]:
    return content(batch), {name: starts.tobytes() for name, starts in batch.places.items()}


def reference(data: mtgen.Dataset, **settings: Any) -> list[tuple[Any, ...]]:
    loader = mtgen.Loader(data, 4, num_workers=0, **settings)
    batches = [loader.batch(step) for step in range(STEPS)]
    for step, batch in enumerate(batches):
        filled = batch.rows >= 0
        plain = data.fetch(batch.rows[filled], drawn(loader, step))
        for name, values in (plain.inputs | plain.targets | plain.places).items():
            got = (batch.inputs | batch.targets | batch.places)[name][filled]
            np.testing.assert_array_equal(got, values, err_msg=name)
        for name, starts in loader.places(step).items():
            np.testing.assert_array_equal(batch.places[name][filled], starts)
        assert not any(starts[~filled].any() for starts in batch.places.values())
    return [all_of(batch) for batch in batches]


@pytest.mark.parametrize("settings", [{}, {"shard": Shard(1, 2), "pad_last": True, "seed": 5}], ids=str)
def test_the_same_bytes_whoever_cuts_them(data: mtgen.Dataset, settings: dict[str, Any]) -> None:
    expected = reference(data, **settings)
    for num_workers, prefetch in [(1, Prefetch()), (3, Prefetch(window=3, depth=4))]:
        with mtgen.Loader(data, 4, num_workers=num_workers, prefetch=prefetch, **settings) as loader:
            assert [all_of(batch) for batch in loader.steps(0, STEPS)] == expected
            stream = loader.stream()
            for step in np.random.default_rng(0).permutation(STEPS).tolist():
                assert all_of(stream.get(step)[0]) == expected[step]
            stream.close()
    copy = pickle.loads(pickle.dumps(mtgen.Loader(data, 4, num_workers=2, **settings)))
    with copy:
        assert [all_of(batch) for batch in copy.steps(3, 6)] == expected[3:6]


def test_the_remainder_after_a_restore(data: mtgen.Dataset) -> None:
    expected = reference(data)
    first = mtgen.Loader(data, 4, num_workers=1)
    for step in (0, 3, 5, 9):
        with mtgen.Loader(data, 4, num_workers=2) as again:
            again.restore(first.state(step))
            assert [all_of(batch) for batch in again.steps(stop=STEPS)] == expected[step:]
    first.close()


def places_by_row(data: mtgen.Dataset, name: str, epoch: int, **settings: Any) -> dict[int, list[int]]:
    with mtgen.Loader(data, num_workers=0, **settings) as loader:
        batches = list(loader.epoch(epoch))
    return {int(row): batch.places[name][slot].tolist() for batch in batches for slot, row in enumerate(batch.rows)}


def test_shards_cut_what_one_process_would(data: mtgen.Dataset) -> None:
    whole = places_by_row(data, "cube", 1, batch_size=10, seed=3)
    parts = [places_by_row(data, "cube", 1, batch_size=5, seed=3, shard=Shard(index, 2)) for index in range(2)]
    assert parts[0] | parts[1] == whole
    assert len(whole) == 20


def test_epochs_and_seeds_are_cut_elsewhere(data: mtgen.Dataset) -> None:
    found = [places_by_row(data, "cube", epoch, batch_size=5, seed=seed) for seed in (0, 1) for epoch in (0, 1)]
    for number, one in enumerate(found):
        for other in found[:number]:
            same = sum(one[row] == other[row] for row in one)
            assert same < len(one) // 2


def test_equal_samplers_agree_and_streams_part_them() -> None:
    cube = telling(9, 9, 9)

    def patches(**settings: Any) -> mtgen.Patches:
        return mtgen.Patches(cube, Uniform(3), (2, 2, 2), **settings)

    inputs = {"a": patches(), "b": patches(stream="b"), "c": patches(stream="b"), "d": patches()}
    inputs["weighted"] = mtgen.Patches(cube, 3 & Uniform(3), (2, 2, 2))  # a weight decides no point
    data = mtgen.Dataset(table(), inputs, {"a": patches(), "mask": patches()})
    with mtgen.Loader(data, 8, num_workers=1) as loader:
        batch = loader.batch(1)
    for name in ("d", "weighted", "mask", "target a"):
        np.testing.assert_array_equal(batch.places[name], batch.places["a"])
    np.testing.assert_array_equal(batch.targets["mask"], batch.inputs["a"])
    np.testing.assert_array_equal(batch.places["b"], batch.places["c"])
    assert (batch.places["a"] != batch.places["b"]).any(axis=1).all()


def test_fixed_patches_depend_on_the_row_alone(data: mtgen.Dataset) -> None:
    fixed = one_input(telling(9, 10, 11), Uniform(3), (3, 4, 5), fixed=True)
    found = [places_by_row(fixed, "patch", epoch, batch_size=4, seed=seed) for seed in (0, 8) for epoch in (0, 3)]
    plain = fixed.fetch(np.arange(NUM_ROWS)).places["patch"].tolist()
    assert all(one == dict(enumerate(plain)) for one in found)
    assert len(set(map(tuple, plain))) > NUM_ROWS // 2


def test_a_sampler_for_each_row() -> None:
    asked: list[int] = []

    def centre_of(row: int) -> Always:
        asked.append(row)
        return Always((row % 6, row % 5), "pixels")

    data = one_input(telling(6, 5), centre_of, (1, 1))
    with mtgen.Loader(data, 8, num_workers=2) as loader:
        for batch in loader.epoch(0):
            assert batch.places["patch"].tolist() == [[row % 6, row % 5] for row in batch.rows.tolist()]
    assert set(asked) == set(range(NUM_ROWS))


def test_points_that_come_with_the_rows() -> None:
    """The seam for `rows @ points`: row and position give the sampler."""
    data = one_input(telling(40, 40), None, (1, 1))
    rows, positions = np.array([3, 3, 5]), np.array([10, 11, 12])
    draws = Draws(seed=0, epoch=0, positions=positions, points=lambda row, position: Always((row, position), "pixels"))
    assert data.fetch(rows, draws).places["patch"].tolist() == [[3, 10], [3, 11], [5, 12]]
    with pytest.raises(mtgen.MtgenError, match=r"no sampler of their own.*rows @ points"):
        data.fetch([0])
