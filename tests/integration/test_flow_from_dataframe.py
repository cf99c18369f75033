"""`mtgen.from_dataframe` against its oracle, batch for batch: `flow_from_dataframe` as Keras 3 still carries it."""

from __future__ import annotations

import itertools
import os
import warnings
from pathlib import Path
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "jax")

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import mtgen
from mtgen.adapters.structure import Structure
from tests.support.pictures import photo

NUM_ROWS = 11
BATCH = 4
FILES = [
    ("0.png", "RGB"),
    ("1.jpg", "RGB"),
    ("2.png", "RGBA"),
    ("3.bmp", "RGB"),
    ("4.png", "L"),
    ("5.jpeg", "L"),
    ("6.tif", "RGB"),
    ("7.PNG", "P"),
    ("sub/8.ppm", "RGB"),
    ("9.tiff", "L"),
    ("10.png", "I;16"),
]


@pytest.fixture(scope="module")
def flow() -> Any:
    """`ImageDataGenerator(**settings).flow_from_dataframe(...)`, without its prints."""
    pytest.importorskip("keras")
    from keras.src.legacy.preprocessing.image import ImageDataGenerator

    def make(table: pd.DataFrame, directory: Any = None, *, settings: Any = None, **options: Any) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns of what it drops
            return ImageDataGenerator(**(settings or {})).flow_from_dataframe(
                table, None if directory is None else str(directory), shuffle=False, batch_size=BATCH, **options
            )

    return make


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("pictures")
    (made / "sub").mkdir()
    for number, (name, mode) in enumerate(FILES):
        pixels = np.roll(photo(9 + number, 14), number, axis=1)
        if mode == "I;16":
            image = Image.fromarray(pixels[..., 0].astype(np.uint16) * 100)
        elif mode == "P":
            image = Image.fromarray(pixels).quantize(32)
        elif mode == "RGBA":
            image = Image.fromarray(np.dstack([pixels, pixels[..., 0]]))
        else:
            image = Image.fromarray(pixels).convert(mode)
        image.save(made / name)
    return made


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    numbers = np.arange(NUM_ROWS)
    kinds = ["dog", "ant", "cat", "cat", "ant", "dog", "Zebra", "ant", "dog", "cat", "Zebra"]
    return pd.DataFrame(
        {
            "filename": [name for name, _ in FILES],
            "class": kinds,
            "category": pd.Categorical(kinds),
            "two": ["yes" if number % 3 else "no" for number in numbers],
            "several": [
                ["dog", "ant"], "ant", ("cat",), [], ["Zebra", "cat", "dog"], ["ant", "ant"], "dog", ["cat"], [],
                ("ant",), ["dog"],
            ],
            "number": numbers * 3 - 7,
            "share": numbers / 7,
            "flag": numbers % 2 == 0,
            "box": [[number, number + 1, 0] for number in numbers.tolist()],
            "point": [np.array([number / 3, 0.5]) for number in numbers],
            "weight": 0.1 + numbers / 3,
            "count": numbers + 1,
        },
        index=numbers[::-1] + 100,
    )  # fmt: skip


def batches(loader: mtgen.Loader) -> list[Any]:
    """What a trainer gets, step by step, as the Keras class lays it out."""
    structure = Structure.of(loader.dataset)
    made = [structure.arrange(batch) for batch in loader.epoch(0)]
    return [batch[0] if len(batch) == 1 else batch for batch in made]


def check_equal(got: Any, expected: Any) -> None:
    """Every number equal; floats of 64 bits, which the Keras class passes on, after rounding to the 32 of models."""
    if isinstance(expected, (list, tuple)):
        assert len(got) == len(expected)
        for mine, theirs in zip(got, expected, strict=True):
            check_equal(mine, theirs)
        return
    assert got.shape == expected.shape
    if expected.dtype == np.float64:
        expected = expected.astype(np.float32)
    assert got.dtype == expected.dtype or (got.dtype.kind in "iu" and expected.dtype.kind in "iub")
    np.testing.assert_array_equal(got, expected)


def check_batch(got: Any, expected: Any) -> None:
    """The same batch, but for two things that `fit` does not take from the Keras class.

    A single target is an array and not a list of one; each of several targets has its weights
    (keras-preprocessing#147).
    """
    if not isinstance(expected, tuple) or not isinstance(expected[1], list):
        check_equal(got, expected)
        return
    x, y, *weight = expected
    check_equal(got[0], x)
    check_equal(got[1] if isinstance(got[1], tuple) else (got[1],), y)
    for mine, theirs in zip(got[2:], weight, strict=True):
        check_equal(mine if isinstance(mine, tuple) else (mine,), [theirs] * len(y))


def compare(
    flow: Any, table: pd.DataFrame, folder: Path, *, ours: Any = None, settings: Any = None, **options: Any
) -> Any:
    """Both with the same arguments; returns both."""
    theirs = flow(table, folder, settings=settings, **options)
    with mtgen.from_dataframe(
        table, folder, shuffle=False, batch_size=BATCH, num_workers=0, **options, **(settings or {}), **(ours or {})
    ) as loader:
        got = batches(loader)
        assert len(got) == len(theirs) == len(loader)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow says that a palette's transparency is lost
            for step, batch in enumerate(got):
                check_batch(batch, theirs[step])
    assert loader.samples == theirs.samples
    assert loader.filenames == theirs.filenames
    assert loader.filepaths == theirs.filepaths
    if hasattr(theirs, "class_indices"):
        assert loader.class_indices == theirs.class_indices
        assert loader.classes == theirs.classes
    return loader, theirs


MODES: list[dict[str, Any]] = [
    {"class_mode": "categorical"},
    {"class_mode": "categorical", "y_col": "category"},
    {"class_mode": "categorical", "y_col": "several"},
    {"class_mode": "sparse"},
    {"class_mode": "binary", "y_col": "two"},
    {"class_mode": "input"},
    {"class_mode": None},
    {"class_mode": "raw", "y_col": "number"},
    {"class_mode": "raw", "y_col": "share"},
    {"class_mode": "raw", "y_col": ["number"]},
    {"class_mode": "raw", "y_col": ["share", "number"]},
    {"class_mode": "multi_output", "y_col": ["number", "share"]},
    {"class_mode": "multi_output", "y_col": ["flag"]},
    {"class_mode": "multi_output", "y_col": ["box", "point", "flag"]},
]


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: "-".join(map(str, mode.values())))
@pytest.mark.parametrize("weighted", [None, "weight", "count"])
def test_every_class_mode_gives_the_same_batches(flow, table, folder, mode, weighted):
    if mode["class_mode"] is None:
        weighted = None  # Keras forgets the weights there, mtgen refuses them
    options = {"weight_col": weighted, "target_size": (6, 5), **mode}
    if weighted == "count":  # Keras passes whole numbers on as they are; weights are float32 here
        table = table.astype({"count": "float32"})
    compare(flow, table, folder, **options)


FILTERS = ["nearest", "bilinear", "bicubic", "lanczos", "box", "hamming"]


@pytest.mark.parametrize("color_mode", ["rgb", "rgba", "grayscale"])
@pytest.mark.parametrize("interpolation", FILTERS)
def test_pixels_are_equal_in_every_colour_size_and_filter(flow, table, folder, color_mode, interpolation):
    for size in ((6, 5), (20, 20), (9, 14)):
        compare(flow, table, folder, target_size=size, color_mode=color_mode, interpolation=interpolation)


@pytest.mark.parametrize("rescale", [None, 1 / 255, 1.0 / 127.5, 3, 0.1])
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_rescale_and_data_format_are_equal(flow, table, folder, rescale, data_format):
    compare(flow, table, folder, target_size=(6, 5), settings={"rescale": rescale, "data_format": data_format})


def test_defaults_are_equal(flow, table, folder):
    loader, theirs = compare(flow, table.iloc[:2], folder)
    assert loader.batch(0).inputs["image"].shape == (2, 256, 256, 3)
    assert theirs.image_shape == (256, 256, 3)


def test_bytes_are_equal_where_bytes_are_asked_for(flow, table, folder):
    eight = table.iloc[:10]  # the last picture has 16 bits
    theirs = flow(eight, folder, settings={"dtype": "uint8"}, target_size=(6, 5), class_mode=None)
    with mtgen.from_dataframe(
        eight,
        folder,
        shuffle=False,
        batch_size=BATCH,
        target_size=(6, 5),
        class_mode=None,
        dtype="uint8",
        num_workers=0,
    ) as loader:
        for step, got in enumerate(batches(loader)):
            assert got.dtype == theirs[step].dtype == np.uint8
            np.testing.assert_array_equal(got, theirs[step])


def test_keep_aspect_ratio_is_that_of_the_iterator(table, folder):
    from keras.src.legacy.preprocessing.image import DataFrameIterator, ImageDataGenerator

    theirs = DataFrameIterator(
        table,
        str(folder),
        ImageDataGenerator(),
        target_size=(6, 5),
        shuffle=False,
        batch_size=BATCH,
        keep_aspect_ratio=True,
    )
    with (
        mtgen.from_dataframe(
            table, folder, target_size=(6, 5), shuffle=False, batch_size=BATCH, keep_aspect_ratio=True, num_workers=0
        ) as loader,
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        check_equal(batches(loader), [theirs[step] for step in range(len(theirs))])


@pytest.mark.parametrize("classes", [["dog", "Zebra", "cat", "ant"], ["none", "cat", "dog", "ant", "Zebra"]])
@pytest.mark.parametrize("mode", ["categorical", "sparse"])
def test_given_classes_are_numbered_in_their_order(flow, table, folder, classes, mode):
    loader, _ = compare(flow, table, folder, target_size=(2, 2), classes=classes, class_mode=mode)
    assert list(loader.class_indices) == classes


def test_sorted_classes_are_numbered_by_code_point(flow, table, folder):
    loader, _ = compare(flow, table, folder, target_size=(2, 2))
    assert list(loader.class_indices) == ["Zebra", "ant", "cat", "dog"]


def test_binary_classes_in_the_order_given(flow, table, folder):
    loader, _ = compare(
        flow, table, folder, target_size=(2, 2), y_col="two", class_mode="binary", classes=["yes", "no"]
    )
    assert loader.class_indices == {"yes": 0, "no": 1}


@pytest.mark.parametrize("mode", ["categorical", "sparse", "binary"])
def test_rows_of_other_classes_are_dropped_where_that_is_chosen(flow, table, folder, mode):
    options = {"target_size": (2, 2), "class_mode": mode, "classes": ["cat", "ant"], "weight_col": "weight"}
    loader, theirs = compare(flow, table, folder, ours={"on_unlisted": "drop"}, **options)
    gone = [0, 5, 6, 8, 10]
    assert loader.dropped["row"].tolist() == gone
    assert loader.dropped["value"].tolist() == table["class"].iloc[gone].tolist()
    assert loader.dataset.rows.tolist() == [row for row in range(NUM_ROWS) if row not in gone]
    assert theirs.samples == 6


def test_labels_of_other_classes_are_cut_from_lists_where_that_is_chosen(flow, table, folder):
    options = {"target_size": (2, 2), "y_col": "several", "classes": ["dog", "cat"]}
    loader, _ = compare(flow, table, folder, ours={"on_unlisted": "drop"}, **options)
    lines = loader.dropped[["row", "dropped", "value"]].values.tolist()
    assert lines == [
        [0, "labels", ["ant"]],
        [1, "row", "ant"],
        [3, "row", []],
        [4, "labels", ["Zebra"]],
        [5, "row", ["ant", "ant"]],
        [8, "row", []],
        [9, "row", ("ant",)],
    ]


@pytest.mark.parametrize("mode", ["categorical", "raw", None])
def test_missing_files_are_dropped_where_that_is_chosen(flow, table, folder, mode):
    broken = table.copy()
    broken["filename"] = broken["filename"].replace({"2.png": "gone.png", "9.tiff": "sub/9.tiff"})
    broken.loc[broken.index[2], "class"] = "only there"  # a class of missing pictures gets no number
    options = {"target_size": (2, 2), "class_mode": mode, "y_col": "number" if mode == "raw" else "class"}
    loader, _ = compare(flow, broken, folder, ours={"on_missing": "drop"}, **options)
    assert loader.dropped["row"].tolist() == [2, 9]
    assert loader.dropped["value"].tolist() == [str(folder / "gone.png"), str(folder / "sub/9.tiff")]
    if mode == "categorical":
        assert "only there" not in loader.class_indices


@pytest.mark.parametrize("share", [0.1, 0.2, 1 / 3, 0.5, 0.9])
@pytest.mark.parametrize("subset", ["training", "validation"])
def test_subsets_are_the_first_rows_and_the_rest(flow, table, folder, share, subset):
    known = {"classes": ["Zebra", "ant", "cat", "dog"]}
    options = {"target_size": (2, 2), "subset": subset, "settings": {"validation_split": share}}
    loader, _ = compare(flow, table, folder, **options, **known)
    border = int(share * NUM_ROWS)
    expected = range(border) if subset == "validation" else range(border, NUM_ROWS)
    assert loader.dataset.rows.tolist() == list(expected)


def test_classes_are_those_of_all_rows_whatever_the_subset(flow, table, folder):
    loader, _ = compare(
        flow, table, folder, target_size=(2, 2), subset="validation", settings={"validation_split": 0.2}
    )
    assert len(loader.class_indices) == 4
    assert sorted(set(loader.classes)) == [1, 3]


def test_paths_without_directory_and_without_looking(flow, table, folder):
    absolute = table.assign(filename=[str(folder / name) for name in table["filename"]])
    for validate in (True, False):
        theirs = flow(absolute, None, target_size=(2, 2), validate_filenames=validate)
        with (
            mtgen.from_dataframe(
                absolute,
                target_size=(2, 2),
                shuffle=False,
                batch_size=BATCH,
                validate_filenames=validate,
                num_workers=0,
            ) as loader,
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            check_equal(batches(loader), [theirs[step] for step in range(len(theirs))])


def test_shuffled_epochs_hold_the_same_samples(flow, table, folder):
    """The order is mtgen's own; the samples of an epoch are the same."""
    theirs = flow(table, folder, target_size=(3, 3))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pictures = np.concatenate([theirs[step][0] for step in range(len(theirs))])
        targets = np.concatenate([theirs[step][1] for step in range(len(theirs))])
    with mtgen.from_dataframe(table, folder, target_size=(3, 3), batch_size=BATCH, seed=5, num_workers=2) as loader:
        for epoch in range(2):
            made = list(loader.epoch(epoch))
            rows = np.concatenate([batch.rows for batch in made])
            assert sorted(rows) == list(range(NUM_ROWS))
            assert rows.tolist() != list(range(NUM_ROWS))
            np.testing.assert_array_equal(np.concatenate([batch.inputs["image"] for batch in made]), pictures[rows])
            np.testing.assert_array_equal(np.concatenate([batch.targets["class"] for batch in made]), targets[rows])


NAMES = [name for name, mode in FILES if mode in ("RGB", "L")]


@st.composite
def cases(draw: st.DrawFn) -> tuple[pd.DataFrame, dict[str, Any], dict[str, Any]]:
    """A small table, arguments for both, and Keras's settings."""
    mode = draw(st.sampled_from(["categorical", "sparse", "raw", "input", None, "multi_output"]))
    label = st.sampled_from(["a", "b", "B", "ä", ""])
    labels = st.one_of(label, st.lists(label, max_size=3), st.lists(label, max_size=2).map(tuple))
    count = draw(st.integers(1, 9))

    def column(values: st.SearchStrategy[Any]) -> list[Any]:
        return draw(st.lists(values, min_size=count, max_size=count))

    table = pd.DataFrame(
        {
            "filename": column(st.sampled_from([*NAMES, "gone.png"])),
            "class": pd.Series(column(labels if mode == "categorical" else label), dtype=object),
            "number": column(st.integers(-(2**24), 2**24)),
            "large": column(st.integers(-(2**40), 2**40)),
            "share": column(st.floats(-1e6, 1e6)),
            "weight": column(st.floats(0, 1e6)),
        },
        index=draw(st.permutations(range(count))),
    )
    options: dict[str, Any] = {"class_mode": mode, "target_size": (2, 3)}
    if mode in ("raw", "multi_output"):
        options["y_col"] = draw(st.sampled_from([["share", "number"], ["large", "number"], ["share"]]))
    if mode in ("categorical", "sparse"):
        options["classes"] = draw(st.one_of(st.none(), st.permutations(["a", "b", "B", "ä"]).map(lambda all: all[:3])))
    if mode is not None and draw(st.booleans()):
        options["weight_col"] = "weight"
    share = draw(st.sampled_from([None, 0.25, 0.5]))
    if share is not None:
        options["subset"] = draw(st.sampled_from(["training", "validation"]))
    return table, options, {} if share is None else {"validation_split": share}


@given(cases())
def test_random_tables(flow, folder, case):
    table, options, settings = case
    theirs = flow(table, folder, settings=settings, **options)
    chosen = {"on_missing": "drop", "on_unlisted": "drop"}
    try:
        loader = mtgen.from_dataframe(
            table, folder, shuffle=False, batch_size=BATCH, num_workers=0, **options, **settings, **chosen
        )
    except mtgen.MtgenError as error:
        # Refused rightly: nothing is left, no label at all, or a training subset that lacks a class.
        message = str(error)
        if "has no row of class" in message:
            assert set(theirs.class_indices.values()) > set(itertools.chain(*map(np.ravel, theirs.classes)))
        else:
            assert theirs.samples == 0 or not theirs.class_indices, message
        return
    for got, step in zip(batches(loader), range(len(theirs)), strict=True):
        check_batch(got, theirs[step])
    whole = len(table) - len(loader.dropped.query("dropped == 'row'"))
    border = int(settings.get("validation_split", 0) * whole)
    assert len(loader.dataset) == {"training": whole - border, "validation": border, None: whole}[options.get("subset")]
    assert loader.filenames == theirs.filenames
