"""Patches with the laws over places: crops, labels, shares in every batch, grids that are put together again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import mtgen
from mtgen import sampling as S
from mtgen.errors import PlanError, StoreError
from mtgen.plan import Shard
from tests.support.points import Uniform, make_photo, telling, window

pytestmark = pytest.mark.usefixtures("no_thread_left")

CUBE = telling(20, 24, 28)


def table(num_rows: int) -> pd.DataFrame:
    return pd.DataFrame({"label": np.arange(num_rows)})


def patches(source: Any, sampler: Any, size: Any = None, **settings: Any) -> mtgen.Patches:
    return mtgen.Patches(source, sampler, size, **settings)


@pytest.mark.parametrize("border", ["inside", "shift", "pad"])
def test_a_crop_is_cut_where_its_points_would_be(border: Any) -> None:
    """Size and border may be said by the crop or by the patches, and the places are the same."""
    inputs = {
        "crop": patches(CUBE, Uniform(3).crop((4, 5, 6), border)),
        "points": patches(CUBE, Uniform(3), (4, 5, 6), border=border),
    }
    batch = mtgen.Dataset(table(200), inputs, "label").fetch(np.arange(200))
    np.testing.assert_array_equal(batch.places["crop"], batch.places["points"])
    for start, patch in zip(batch.places["crop"], batch.inputs["crop"], strict=True):
        np.testing.assert_array_equal(patch, window(CUBE, start, (4, 5, 6)))


def test_what_contradicts_a_crop_is_refused() -> None:
    crop = Uniform(3).crop((4, 5, 6), "pad")
    with pytest.raises(PlanError, match=r"patches have size \(4, 4, 4\), .* gives windows of \(4, 5, 6\)"):
        patches(CUBE, crop, (4, 4, 4))
    with pytest.raises(PlanError, match=r"border=.shift., but .* says .pad."):
        patches(CUBE, crop, border="shift")
    seen = np.zeros((9, 9), bool)
    seen[4, 4] = True
    data = mtgen.Dataset(table(2), {"patch": patches(telling(9, 10), S.touching(seen, 3))}, "label")
    with pytest.raises(StoreError, match=r"mask of shape \(9, 9\), and the array has \(9, 10\)"):
        data.fetch([0])


@pytest.mark.parametrize("num_workers", [0, 3])
@pytest.mark.parametrize("shard", [Shard(), Shard(1, 3)], ids=str)
def test_every_batch_has_its_share_of_positives(num_workers: int, shard: Shard) -> None:
    seen = np.zeros(CUBE.shape, bool)
    seen[3:6, 20:22, 5] = True
    size = (4, 4, 4)
    sampler = 0.25 & S.touching(seen, size) | 0.75 & S.touching(seen, size, at_most=0)
    inputs = {"patch": patches(CUBE, sampler)}
    targets = {"mask": patches(seen, sampler), "label": "label"}
    data = mtgen.Dataset(table(60), inputs, targets)
    with mtgen.Loader(data, 8, seed=1, num_workers=num_workers, shard=shard, drop_last=True) as loader:
        found = [batch.targets["mask"].any(axis=(1, 2, 3)) for batch in loader.steps(0, 6)]
    assert [int(one.sum()) for one in found] == [2] * 6
    assert len({one.tobytes() for one in found}) > 2  # and not always the same slots


def test_labels_of_each_picture_keep_their_shares(tmp_path: Path) -> None:
    """Foreground is one voxel in thousands, in another place of each scan, and every second patch is centred on it."""
    rng = np.random.default_rng(0)
    masks, paths = [], []
    for row in range(6):
        mask = np.zeros((12 + row, 14, 16), np.uint8)
        mask[tuple(rng.integers(3, length - 3) for length in mask.shape)] = 1
        np.save(tmp_path / f"{row}.npy", mask)
        masks.append(mask)
        paths.append(f"{row}.npy")

    def half(row: int) -> Any:
        return S.labels(masks[row], {0: 0.5, 1: 0.5})

    frame = pd.DataFrame({"label": np.arange(6), "scan": paths})
    scans = mtgen.Volumes("scan", root=tmp_path)
    data = mtgen.Dataset(frame, {"scan": patches(scans, half, (5, 5, 5))}, "label")
    with mtgen.Loader(data, 6, num_workers=2) as loader:
        centred = [batch.inputs["scan"][:, 2, 2, 2].astype(bool) for batch in loader.steps(0, 60)]
    share = np.concatenate(centred).mean()
    assert abs(share - 0.5) < 5 * 0.5 / 360**0.5


@pytest.mark.parametrize("num_workers", [0, 2])
def test_points_come_with_the_rows(num_workers: int) -> None:
    """`rows @ points`, three patches of each row, at points of the row's own."""

    def near(row: int) -> Any:
        return S.constant([row, row + 1, row + 2]).in_pixels()

    inputs = {"patch": patches(CUBE, None, (1, 1, 1)), "wide": patches(CUBE, Uniform(3), (2, 2, 2), stream="wide")}
    data = mtgen.Dataset(table(9), inputs, "label").take([1, 2, 4, 5, 8])
    law = (data.rows.uniform() @ near).times(3)
    with mtgen.Loader(data, 4, sampler=law, num_workers=num_workers) as loader:
        batches = list(loader.epoch(1))
        state = loader.state(2)
    rows = np.concatenate([batch.rows for batch in batches])
    assert sorted(rows.tolist()) == sorted([1, 2, 4, 5, 8] * 3)
    for batch in batches:
        for row, start, patch in zip(batch.rows, batch.places["patch"], batch.inputs["patch"], strict=True):
            assert start.tolist() == [row, row + 1, row + 2]
            assert patch.ravel().tolist() == [CUBE[tuple(start)]]
    wide = np.concatenate([batch.places["wide"] for batch in batches])
    assert len(np.unique(wide, axis=0)) > 12  # each of the three patches of a row is drawn anew
    with mtgen.Loader(data, 4, sampler=law, num_workers=0) as again:
        assert again.step_of(state) == 2


# --- points that would go astray --------------------------------------------------------------------------------------


def refusal(inputs: dict[str, Any], sampler: Any, targets: Any = "label") -> str:
    data = mtgen.Dataset(table(9), inputs, targets)
    with pytest.raises(PlanError) as caught:
        mtgen.Loader(data, 4, sampler=None if sampler is None else sampler(data.rows), num_workers=0)
    return str(caught.value)


def test_points_that_no_patch_takes_are_refused() -> None:
    """They were ignored without a word."""
    said = refusal({"a": mtgen.Columns("label")}, lambda rows: rows @ S.uniform(dim=3))
    assert "and no input or target takes them: there are no Patches. Give the loader rows alone" in said
    own = patches(CUBE, Uniform(3), (2, 2, 2), stream="own")
    said = refusal({"p": own}, lambda rows: (rows @ S.uniform(dim=3)).times(2))
    assert "no input or target takes them: the Patches 'p' have a sampler of their own" in said


def test_a_sampler_of_its_own_beside_points_of_the_rows_is_refused() -> None:
    """It won without a word: a picture at the points, its mask elsewhere."""
    taker, own = patches(CUBE, None, (2, 2, 2)), patches(CUBE, Uniform(3), (2, 2, 2))
    said = refusal({"p": taker}, lambda rows: rows @ S.uniform(dim=3), {"q": own, "r": own})
    assert "the Patches 'q', 'r' have a sampler of their own, which would be cut elsewhere: leave out that" in said
    assert "Patches(..., stream='name')" in said
    assert "the Patches 'p' have a sampler of their own" in refusal({"p": own}, lambda rows: rows @ Uniform(3))
    named = patches(CUBE, Uniform(3), (2, 2, 2), stream="elsewhere")
    data = mtgen.Dataset(table(9), {"p": taker}, {"q": named})
    mtgen.Loader(data, 4, sampler=data.rows @ S.uniform(dim=3), num_workers=0).batch(0)


def test_patches_without_a_sampler_are_refused_before_the_first_batch() -> None:
    taker = {"p": patches(CUBE, None, (2, 2, 2))}
    for sampler in (None, lambda rows: rows.uniform()):
        assert "the Patches 'p' have no sampler of their own, and the rows come without points" in refusal(
            taker, sampler
        )


def test_several_products_in_a_row_are_refused() -> None:
    """Their last points went nowhere."""
    taker = {"p": patches(CUBE, None, (2, 2, 2))}
    said = refusal(taker, lambda rows: rows @ S.uniform(dim=1) @ S.uniform(dim=2))
    assert "has several products in a row, and a patch is cut at one point" in said


@pytest.mark.parametrize("how", ["mean", "crop", "hann"])
def test_a_grid_is_cut_and_put_together_again(tmp_path: Path, how: Any) -> None:
    np.save(tmp_path / "cube.npy", CUBE)
    tiles = S.grid(CUBE.shape, (8, 9, 10), overlap=(2, 3, 4))
    inputs = {"patch": patches(str(tmp_path / "cube.npy"), tiles)}
    data = mtgen.Dataset(table(len(tiles)), inputs)
    with mtgen.Loader(data, 7, shuffle=False, num_workers=3) as loader:
        starts = np.concatenate([loader.places(step)["patch"] for step in range(loader.steps_per_epoch)])
        pieces = np.concatenate([batch.inputs["patch"] for batch in loader.epoch(0)]).astype(np.float64)
    np.testing.assert_array_equal(starts, tiles.starts())
    np.testing.assert_allclose(S.stitch(pieces, tiles, how, starts=starts), CUBE, rtol=1e-12)


def test_the_contact_sheet_shows_patches_of_pictures(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from mtgen.view.sheet import contact_sheet

    make_photo(tmp_path / "a.png", 40, 40)
    frame = pd.DataFrame({"label": range(4), "file": "a.png"})
    inputs = {"patch": patches(mtgen.Images("file", root=tmp_path), Uniform(2), (8, 8))}
    data = mtgen.Dataset(frame, inputs, "label")
    with mtgen.Loader(data, 4, num_workers=0) as loader:
        contact_sheet(loader, 0, tmp_path / "sheet.png")
    assert (tmp_path / "sheet.png").stat().st_size > 1000


def test_a_model_is_trained_on_patches_and_their_masks() -> None:
    keras = pytest.importorskip("keras")
    seen = np.zeros(CUBE.shape, np.float32)
    seen[5:9, 5:9, 5:9] = 1
    sampler = 0.5 & S.touching(seen, 4) | 0.5 & S.touching(seen, 4, at_most=0)
    inputs = {"patch": patches(CUBE, sampler, dtype="float32", scale=(1 / CUBE.size, 0))}
    data = mtgen.Dataset(table(24), inputs, {"mask": patches(seen, sampler)})
    box = keras.Input((4, 4, 4), name="patch")
    model = keras.Model(box, keras.layers.Dense(4, activation="sigmoid", name="mask")(box))
    model.compile("sgd", "binary_crossentropy")
    with mtgen.Loader(data, 8, num_workers=2) as loader:
        loader.check(model)
        history = model.fit(loader.keras(), epochs=2, verbose=0)
    assert np.isfinite(history.history["loss"]).all()


# --- functions of the user's that fail --------------------------------------------------------------------------------


def broken_row(row: int) -> Any:
    if row == 5:
        raise ZeroDivisionError("5 has no area")
    return S.uniform(dim=3)


def unread_row(row: int) -> Any:
    if row == 5:
        raise StoreError("the mask of this row cannot be read")
    if row == 7:
        np.load("no such mask.npy")
    return S.uniform(dim=3)


@pytest.mark.parametrize("on_error", ["raise", "refill", "mask"])
@pytest.mark.parametrize("joint", [False, True], ids=["row -> law", "rows @ function"])
def test_a_row_function_that_raises_stops_the_run(on_error: Any, joint: bool) -> None:
    """It counted as a bad sample, and the run went on without these rows."""
    data = mtgen.Dataset(table(9), {"p": patches(CUBE, None if joint else broken_row, (2, 2, 2))}, "label")
    law = data.rows.uniform() @ broken_row if joint else None
    message = r"row -> law or one for apply or truncate, raised ZeroDivisionError: 5 has no area\. Correct it.*row 5\b"
    with mtgen.Loader(data, 3, sampler=law, num_workers=2, on_error=on_error) as loader:
        with pytest.raises(PlanError, match=message) as caught:
            list(loader.epoch(0))
        assert isinstance(caught.value.__cause__, ZeroDivisionError)
        assert len(loader.quarantine()) == 0


@pytest.mark.parametrize("on_error", ["raise", "refill", "mask"])
@pytest.mark.parametrize("how", ["apply", "truncate"])
def test_a_function_in_apply_or_truncate_that_raises_stops_the_run(tmp_path: Path, on_error: Any, how: str) -> None:
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(tmp_path / "a.png")
    frame = pd.DataFrame({"picture": ["a.png"] * 9, "label": range(9)})
    low = S.uniform(0, 0.4, dim=2)
    once: list[int] = []

    def fails_later(points: np.ndarray) -> np.ndarray:
        once.append(len(points))
        if len(once) > 3:
            raise KeyError("no such class")
        return points if how == "apply" else points[:, 0] >= 0

    law = low.apply(fails_later) if how == "apply" else low.truncate(expr=fails_later)
    pictures = patches(mtgen.Images("picture", root=tmp_path), law, (3, 3))
    data = mtgen.Dataset(frame, {"p": pictures}, "label")
    with (
        mtgen.Loader(data, 3, num_workers=0, on_error=on_error) as loader,
        pytest.raises(PlanError, match=r"one for apply or truncate, raised KeyError: 'no such class'.*DecodeError"),
    ):
        list(loader.steps(0, 9))


def test_a_row_that_a_function_says_it_cannot_read_is_a_bad_sample() -> None:
    data = mtgen.Dataset(table(9), {"p": patches(CUBE, unread_row, (2, 2, 2))}, "label")
    masked = mtgen.OnError(policy="mask", max_errors=9)
    with mtgen.Loader(data, 3, shuffle=False, num_workers=2, on_error=masked) as loader:
        rows = np.concatenate([batch.rows for batch in loader.epoch(0)])
        assert sorted(rows.tolist()) == [-1, -1, 0, 1, 2, 3, 4, 6, 8]
        assert loader.quarantine()["row"].tolist() == [5, 7]
