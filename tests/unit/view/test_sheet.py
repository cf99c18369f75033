"""The contact sheet: what is drawn is what was delivered, and equal steps give equal bytes."""

from __future__ import annotations

import io
import itertools
import random
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import mtgen
from mtgen.errors import PlanError
from mtgen.view import captions
from mtgen.view.bands import Band
from mtgen.view.pixels import as_bytes, zoom_of, zoomed
from mtgen.view.sheet import GAP, Layout, contact_sheet

pytestmark = pytest.mark.usefixtures("no_thread_left")


def digits_data(digits: Path, **options: Any) -> mtgen.Dataset:
    settings: dict[str, Any] = {"size": (4, 8), "color": "grayscale", **options}
    return mtgen.Dataset(
        mtgen.read_table(digits / "table.csv"),
        inputs={
            "image": mtgen.Images("imgpath", root=digits, **settings),
            "features": mtgen.Rows(digits / "features.bcolz"),
        },
        targets="target",
    )


def pixels_of(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


def find(sheet: np.ndarray, picture: np.ndarray) -> list[tuple[int, int]]:
    """Upper left corners at which the sheet holds exactly the picture."""
    height, width = picture.shape[:2]
    first = np.argwhere((sheet[: 1 - height, : 1 - width] == picture[0, 0]).all(axis=-1))
    return [
        (int(top), int(left))
        for top, left in first
        if np.array_equal(sheet[top : top + height, left : left + width], picture)
    ]


def test_each_picture_stands_in_the_sheet_dot_for_dot(digits: Path, tmp_path: Path) -> None:
    loader = mtgen.Loader(digits_data(digits), 5, seed=3, num_workers=0)
    sheet = pixels_of(contact_sheet(loader, 11, tmp_path / "sheet.png"))
    batch = loader.batch(11)
    corners = []
    for picture in batch.inputs["image"]:
        large = picture.repeat(16, axis=0).repeat(16, axis=1).repeat(3, axis=2)
        corners += find(sheet, large)
    assert len(corners) == 5
    assert corners == sorted(corners)  # in slot order: by grid row, then column


def test_same_step_gives_the_same_bytes_with_any_workers(digits: Path, tmp_path: Path) -> None:
    data, made = digits_data(digits), []
    for workers in (0, 2):
        random.seed(workers)
        with mtgen.Loader(data, 6, seed=1, num_workers=workers) as loader:
            made.append(contact_sheet(loader, 7, tmp_path / f"{workers}.png", split="train").read_bytes())
    assert made[0] == made[1]
    with mtgen.Loader(data, 6, seed=1, num_workers=0) as loader:
        assert contact_sheet(loader, 8, tmp_path / "other.png", split="train").read_bytes() != made[0]


def test_no_pyplot_state_is_touched(digits: Path, tmp_path: Path) -> None:
    contact_sheet(mtgen.Loader(digits_data(digits), 2, num_workers=0), 0, tmp_path / "sheet.png")
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or pyplot.get_fignums() == []


@pytest.mark.parametrize(
    "settings",
    [
        {"dtype": "float32", "scale": (1 / 255, 0)},
        {"dtype": "float32", "scale": (2 / 255, -1)},
        {"dtype": "float32"},
        {"dtype": "uint16"},
        {"data_format": "channels_first"},
        {"data_format": "channels_first", "dtype": "float32", "scale": (1 / 255, 0)},
    ],
    ids=str,
)
def test_a_recipes_scale_is_undone_and_brightness_kept(digits: Path, settings: dict[str, Any]) -> None:
    plain, scaled = digits_data(digits), digits_data(digits, **settings)
    rows = [0, 900, 1796]
    bound = next(one.bound for one in scaled.fields if one.name == "image")
    for want, got in zip(plain.fetch(rows).inputs["image"], scaled.fetch(rows).inputs["image"], strict=True):
        pixels, num_outside = as_bytes(got, bound)
        np.testing.assert_array_equal(pixels, want.repeat(3, axis=2))
        assert num_outside == 0


def test_values_that_no_8_bits_hold_are_counted(digits: Path) -> None:
    bound = next(one.bound for one in digits_data(digits, dtype="float32").fields if one.name == "image")
    pixels, num_outside = as_bytes(np.array([[[-3.0], [256.0], [np.nan], [255.4]]]), bound)
    assert pixels[0, :, 0].tolist() == [0, 255, 0, 255]
    assert num_outside == 3


def test_rows_of_bytes_are_drawn_and_other_rows_are_lines(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    decoded = rng.integers(0, 256, (6, 40, 30, 3), dtype=np.uint8)
    table = pd.DataFrame({"name": ["straße $x$", "b", "b", "a" * 60, "b", "b"], "w": [1.0, 2, 1, 1, 1, 0.5]})
    inputs = {"picture": mtgen.Rows(decoded), "wide": mtgen.Rows(rng.normal(size=(6, 2, 3))), "w": mtgen.Columns("w")}
    data = mtgen.Dataset(table, inputs=inputs, targets="name", weight="w")
    loader = mtgen.Loader(data, 4, shuffle=False, pad_last=True, num_workers=0)
    sheet = pixels_of(contact_sheet(loader, 1, tmp_path / "sheet.png"))
    for picture in decoded[4:]:
        assert len(find(sheet, picture.repeat(3, axis=0).repeat(3, axis=1))) == 1
    contact_sheet(loader, 0, tmp_path / "text.png")


def test_a_title_says_when_slots_are_left_out(digits: Path, tmp_path: Path) -> None:
    loader = mtgen.Loader(digits_data(digits), 9, num_workers=0)
    few = pixels_of(contact_sheet(loader, 0, tmp_path / "few.png", most_slots=4))
    large = loader.batch(0).inputs["image"].repeat(16, axis=1).repeat(16, axis=2).repeat(3, axis=3)
    assert [len(find(few, picture)) for picture in large] == [1] * 4 + [0] * 5


def test_captions_name_classes_keys_and_files(digits: Path) -> None:
    data = digits_data(digits)
    assert captions.identities(data, np.array([1, 0])) == ["id 601953", "id 100000"]
    pictures = mtgen.Dataset(data.table, inputs={"image": mtgen.Images("imgpath", size=(4, 8))}, targets="target")
    assert captions.identities(pictures, np.array([1])) == ["601953.png"]
    table = pd.DataFrame({"kind": ["cat", "dog"], "size": [1.5, 2.0], "w": [1.0, 0.25]})
    named = mtgen.Dataset(table, {"size": mtgen.Columns("size")}, targets={"kind": "kind", "size": "size"}, weight="w")
    assert captions.target_texts(named, named.fetch([1]), 0) == ["kind dog", "size 2", "weight 0.25"]


def test_errors_say_what_to_do(digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loader = mtgen.Loader(digits_data(digits), 2, num_workers=0)
    with pytest.raises(PlanError, match=r"must end in \.png, received .*sheet\.pdf"):
        contact_sheet(loader, 0, tmp_path / "sheet.pdf")
    with pytest.raises(PlanError, match=r"cannot write the contact sheet: No such file .*missing"):
        contact_sheet(loader, 0, tmp_path / "missing" / "sheet.png")
    with pytest.raises(PlanError, match="most_slots must be >= 1, received 0"):
        contact_sheet(loader, 0, tmp_path / "sheet.png", most_slots=0)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(PlanError, match=r"needs matplotlib: pip install 'mtgen\[plot\]'"):
        contact_sheet(loader, 0, tmp_path / "sheet.png")
    assert not (tmp_path / "sheet.png").exists()


@given(
    st.integers(1, 300), st.lists(st.tuples(st.integers(1, 256), st.integers(1, 256)), max_size=4), st.integers(1, 3)
)
def test_cells_and_panels_lie_on_the_sheet_and_never_overlap(
    num_cells: int, panels: list[tuple[int, int]], num_lines: int
) -> None:
    layout = Layout.of(num_cells, panels, num_lines)
    width, height = layout.size
    boxes = [(*layout.corner(cell), layout.cell_width, layout.cell_height) for cell in range(num_cells)]
    corners = {(left, top) for left, top, *_ in boxes}
    assert len(corners) == num_cells
    for left, top, wide, high in boxes:
        assert (left >= 0, left + wide <= width) == (True, True)
        assert (top >= 0, top + high <= height) == (True, True)
    steps_across = {b[0] - a[0] for a, b in itertools.pairwise(boxes) if a[1] == b[1]}
    assert steps_across <= {layout.cell_width + GAP}
    for place, (panel_height, panel_width) in enumerate(panels):
        left, top = layout.panel(0, place)
        assert layout.panel(0, place + 1)[1] >= top + panel_height
        assert panel_width <= layout.cell_width
    assert layout.panel(0, len(panels))[1] + 15 * num_lines <= layout.corner(0)[1] + layout.cell_height


@given(st.integers(1, 2000), st.integers(1, 2000))
def test_zoom_keeps_pictures_between_the_bounds(height: int, width: int) -> None:
    zoom = zoom_of(height, width)
    shown = zoomed(np.zeros((height, width, 3), np.uint8), zoom).shape
    assert max(shown) <= 256
    assert zoom == 1 or zoom < 0 or max(shown) > 64


@given(st.integers(0, 2**32 - 1), st.integers(1, 40))
def test_bands_hold_ninety_percent_and_lie_on_the_axis(seed: int, num_values: int) -> None:
    values = np.random.default_rng(seed).normal(size=(200, num_values)) * np.logspace(0, 3, num_values)
    band = Band.of(values)
    placed = np.stack([band.place(row) for row in values])
    inside = (placed >= band.low - 1e-9) & (placed <= band.high + 1e-9)
    assert inside.mean(axis=0) == pytest.approx(0.9, abs=0.011)
    assert (band.low >= 0).all()
    assert (band.high <= 1).all()
    assert (band.low < band.high).all()


def test_values_of_very_different_size_get_an_axis_each() -> None:
    rng = np.random.default_rng(0)
    same = Band.of(rng.normal(size=(50, 3)))
    different = Band.of(rng.normal(size=(50, 3)) * [1, 1, 1000])
    assert (same.shared, different.shared) == (True, False)
    assert "axis -" in str(same)
    assert "own axis" in str(different)
    constant = Band.of(np.full((50, 2), 7.0))
    assert constant.place(np.array([7.0, 8.0])).tolist() == pytest.approx([0.125, 0.875])


def test_a_png_of_one_slot_has_room_for_its_title(digits: Path, tmp_path: Path) -> None:
    loader = mtgen.Loader(digits_data(digits), 1, num_workers=0)
    data = contact_sheet(loader, 0, tmp_path / "one.png").read_bytes()
    with Image.open(io.BytesIO(data)) as picture:
        assert picture.size[0] >= 760
        assert picture.info["Description"].startswith("step 0 (step 0 of epoch 0")
