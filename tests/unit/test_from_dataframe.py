"""`mtgen.from_dataframe`: what it refuses, and in which words; what it drops, and how that is listed; its features.

That its batches equal those of Keras is tested in `tests/integration/test_flow_from_dataframe.py`.
"""

from __future__ import annotations

import inspect
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import mtgen
from mtgen.adapters.structure import Structure
from mtgen.dataframe.loader import DataFrameLoader
from mtgen.dataframe.options import _REFUSED
from mtgen.errors import AlignmentError, MtgenError, PlanError, TableError
from tests.support.samples import features, make_pictures, picture

NUM_ROWS = 10

pytestmark = pytest.mark.usefixtures("no_thread_left")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_pictures(tmp_path_factory.mktemp("pictures"), NUM_ROWS)


@pytest.fixture
def table() -> pd.DataFrame:
    numbers = np.arange(NUM_ROWS)
    return pd.DataFrame(
        {
            "filename": [f"{row}.png" for row in numbers],
            "class": ["b", "a", "c", "a", "b", "c", "a", "b", "c", "a"],
            "number": numbers,
            "w": numbers / 4,
            "place": numbers[::-1],
        },
        index=numbers * 3 + 1,
    )


def made(table: pd.DataFrame, folder: Path | None = None, **options: Any) -> DataFrameLoader:
    settings: dict[str, Any] = {"target_size": (4, 4), "batch_size": 4, "shuffle": False, "num_workers": 0}
    return mtgen.from_dataframe(table, folder, **{**settings, **options})


def refusal(table: pd.DataFrame, folder: Path | None = None, **options: Any) -> str:
    with pytest.raises(MtgenError) as caught:
        made(table, folder, **options)
    return str(caught.value)


# --- the loader -------------------------------------------------------------------------------------------------------


def test_the_arguments_stand_in_the_order_of_keras() -> None:
    names = list(inspect.signature(mtgen.from_dataframe).parameters)
    pytest.importorskip("keras")
    from keras.src.legacy.preprocessing.image import ImageDataGenerator

    parameters = inspect.signature(ImageDataGenerator.flow_from_dataframe).parameters
    theirs = [name for name in parameters if name not in ("self", "kwargs")]
    same = theirs.index("save_to_dir")
    assert names[:same] == theirs[:same]
    assert set(theirs) <= {*names, *_REFUSED}
    ours = inspect.signature(mtgen.from_dataframe).parameters
    differ = {name for name in theirs if name in ours and ours[name].default != parameters[name].default}
    assert differ == set()


def test_every_option_of_the_keras_generator_is_done_or_refused() -> None:
    pytest.importorskip("keras")
    from keras.src.legacy.preprocessing.image import DataFrameIterator, ImageDataGenerator

    ours = {*inspect.signature(mtgen.from_dataframe).parameters, *_REFUSED}
    for kind in (ImageDataGenerator, DataFrameIterator):
        parameters = inspect.signature(kind.__init__).parameters
        assert set(parameters) - {"self", "image_data_generator"} <= ours
        for name, one in parameters.items():
            if name in _REFUSED:
                assert _REFUSED[name][0] == one.default, name


def test_the_result_is_a_loader_like_any_other(table: pd.DataFrame, folder: Path) -> None:
    loader = made(table, folder, shuffle=True, seed=3, features=features(40), drop_last=True, num_workers=2)
    data = mtgen.Dataset(
        table,
        {"image": mtgen.Images("filename", root=folder, size=(4, 4), recipe="keras", dtype="float32"),
         "features": mtgen.Rows(features(40))},
        {"class": mtgen.OneHot("class")},
    )  # fmt: skip
    with loader, mtgen.Loader(data, 4, seed=3, drop_last=True, num_workers=2) as plain:
        assert isinstance(loader, mtgen.Loader)
        assert (loader.steps_per_epoch, loader.seed) == (plain.steps_per_epoch, 3)
        for step in range(5):
            assert loader.rows(step).tolist() == plain.rows(step).tolist()
            mine, theirs = loader.batch(step), plain.batch(step)
            for name, array in {**theirs.inputs, **theirs.targets}.items():
                np.testing.assert_array_equal({**mine.inputs, **mine.targets}[name], array)
        state = json.loads(json.dumps(loader.state(7)))
        again = made(table, folder, shuffle=True, seed=3, features=features(40), drop_last=True)
        again.restore(state)
        assert again.step == 7


def test_no_seed_is_seed_0(table: pd.DataFrame, folder: Path) -> None:
    orders = [made(table, folder, shuffle=True, **seed).rows(0).tolist() for seed in ({}, {"seed": None}, {"seed": 0})]
    assert orders[0] == orders[1] == orders[2]
    assert made(table, folder, shuffle=True, seed=1).rows(0).tolist() != orders[0]
    assert made(table, folder, shuffle="exact").rows(0).tolist() == orders[0]


def test_what_it_knows_survives_a_pickle(table: pd.DataFrame, folder: Path) -> None:
    table.iloc[3, 0] = "gone.png"
    loader = pickle.loads(pickle.dumps(made(table, folder, on_missing="drop")))
    assert loader.dropped["row"].tolist() == [3]
    assert loader.class_indices == {"a": 0, "b": 1, "c": 2}
    assert loader.classes == [1, 0, 2, 1, 2, 0, 1, 2, 0]
    assert loader.filenames[3] == "4.png"
    assert loader.filepaths[3] == str(folder / "4.png")
    assert loader.samples == 9
    assert repr(loader).endswith("with 1 rows dropped or cut, see loader.dropped")


def test_nothing_dropped_is_an_empty_list_with_the_same_columns(table: pd.DataFrame, folder: Path) -> None:
    loader = made(table, folder)
    assert loader.dropped.columns.tolist() == ["row", "dropped", "reason", "value"]
    assert loader.dropped.empty
    assert "dropped" not in repr(loader)


def test_import_and_call_need_no_keras(table: pd.DataFrame, folder: Path) -> None:
    table.to_csv(folder / "table.csv")
    code = f"""
import sys, mtgen
from mtgen.dataframe import choice  # the function must stay one, whatever is imported
table = mtgen.read_table({str(folder / "table.csv")!r}, index_col=0)
with mtgen.from_dataframe(table, {str(folder)!r}, target_size=(4, 4)) as loader:
    loader.batch(0)
assert not {{"keras", "jax", "tensorflow", "torch"}} & set(sys.modules)
"""
    root = Path(mtgen.__file__).parents[1]
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.returncode == 0, run.stderr


# --- image and features from one call ---------------------------------------------------------------------------------


def test_each_picture_comes_with_its_own_features(table: pd.DataFrame, folder: Path) -> None:
    loader = made(table, folder, features=features(40), shuffle=True, class_mode="raw", y_col="number", weight_col="w")
    structure = Structure.of(loader.dataset)
    for step in range(9):
        batch = loader.batch(step)
        (image, rows), y, weight = structure.arrange(batch)
        for slot, row in enumerate(batch.rows):
            np.testing.assert_array_equal(image[slot], picture(row).astype("float32"))
            np.testing.assert_array_equal(rows[slot], features(40)[table.index[row]])
            assert (y[slot], weight[slot]) == (row, row / 4)


def test_features_stay_beside_their_pictures_where_rows_are_dropped_and_cut(table: pd.DataFrame, folder: Path) -> None:
    """The Keras class counts rows anew after every filter, so features by place belong to other pictures."""
    table.iloc[[0, 4], 0] = "gone.png"
    loader = made(
        table, folder, features=features(40), on_missing="drop", classes=["a", "b"], on_unlisted="drop",
        subset="training", validation_split=0.3,
    )  # fmt: skip
    assert loader.dataset.rows.tolist() == [3, 6, 7, 9]
    assert loader.dropped["row"].tolist() == [0, 2, 4, 5, 8]
    assert loader.dropped["reason"].tolist() == [
        "missing file", "no label in classes", "missing file", "no label in classes", "no label in classes",
    ]  # fmt: skip
    batch = loader.batch(0)
    assert batch.rows.tolist() == [3, 6, 7, 9]
    np.testing.assert_array_equal(batch.inputs["features"], features(40)[table.index[batch.rows]])
    np.testing.assert_array_equal(batch.inputs["image"][0], picture(3))


def test_features_by_column_by_key_and_by_input(table: pd.DataFrame, folder: Path) -> None:
    by_column = made(table, folder, features=features(10), feature_index="place")
    np.testing.assert_array_equal(by_column.batch(0).inputs["features"], features(10)[[9, 8, 7, 6]])
    keyed = mtgen.open_store(features(10), keys=table["number"].to_numpy())
    plain = table.reset_index(drop=True)
    assert made(plain, folder, features=keyed, feature_key="number").batch(0).inputs["features"].shape == (4, 3)
    with pytest.raises(AlignmentError, match="keys differ"):
        made(plain, folder, features=keyed, feature_key="place")
    columns = made(table, folder, features=mtgen.Columns(["number", "w"]))
    assert columns.batch(0).inputs["features"].tolist() == [[0, 0], [1, 0.25], [2, 0.5], [3, 0.75]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"feature_index": "place"}, "feature_index and feature_key say how to read features=, and there are none"),
        ({"feature_key": False}, "feature_index and feature_key say how to read features=, and there are none"),
        ({"features": ["number", "w"]}, "for columns of the table write features=mtgen.Columns([...])"),
        (
            {"features": mtgen.Columns("w"), "feature_key": "w"},
            "features is a Columns, which says itself how it is read; leave out feature_index and feature_key",
        ),
        ({"features": features(10)}, "an index label of the table asks for store row 10, the store has rows 0 to 9"),
    ],
)
def test_features_that_cannot_be_read(table: pd.DataFrame, folder: Path, options: Any, message: str) -> None:
    assert message in refusal(table, folder, **options)


# --- what the Keras class drops, ignores or lets pass -----------------------------------------------------------------


def test_missing_files_are_an_error_that_lists_them(table: pd.DataFrame, folder: Path) -> None:
    table.iloc[[2, 5], 0] = ["gone.png", "sub/gone.png"]
    assert refusal(table, folder) == (
        f"x_col: 2 of 10 rows name a file that does not exist (row 2: {folder}/gone.png, row 5: "
        f"{folder}/sub/gone.png). Is directory={str(folder)!r} right? To train without these rows write "
        f"on_missing='drop', and read loader.dropped [row 2, path {folder}/gone.png]"
    )


def test_of_many_missing_files_the_first_ten_are_listed_and_all_counted(folder: Path) -> None:
    table = pd.DataFrame({"filename": ["0.png", *(f"gone{row}.png" for row in range(30))], "class": "a"})
    message = refusal(table, folder)
    assert "30 of 31 rows name a file that does not exist" in message
    assert "row 10: " in message
    assert "row 11: " not in message
    assert ", ...)" in message
    assert len(made(table, folder, on_missing="drop").dropped) == 30


def test_a_wrong_directory_is_an_error_also_where_dropping_is_chosen(table: pd.DataFrame, tmp_path: Path) -> None:
    message = refusal(table, tmp_path, on_missing="drop")
    assert "10 of 10 rows name a file that does not exist" in message
    assert f"Is directory={str(tmp_path)!r} right?" in message
    assert "on_missing" not in message


def test_without_looking_a_missing_file_is_an_error_of_its_batch(table: pd.DataFrame, folder: Path) -> None:
    table.iloc[6, 0] = "gone.png"
    loader = made(table, folder, validate_filenames=False)
    loader.batch(0)
    with pytest.raises(mtgen.errors.DecodeError, match="cannot read the picture") as caught:
        loader.batch(1)
    assert (caught.value.row, caught.value.step) == (6, 1)
    assert "on_missing='drop' needs validate_filenames=True" in refusal(
        table, folder, validate_filenames=False, on_missing="drop"
    )


def test_extensions_play_no_part(table: pd.DataFrame, folder: Path, tmp_path: Path) -> None:
    """The Keras class drops .webp, .gif and files without an extension, which it could decode."""
    for row, (name, kind) in enumerate([("a.webp", "WEBP"), ("b.gif", "GIF"), ("c", "PNG")]):
        Image.fromarray(picture(row)).save(tmp_path / name, kind)
    loader = made(table.iloc[:3].assign(filename=["a.webp", "b.gif", "c"]), tmp_path)
    np.testing.assert_array_equal(loader.batch(0).inputs["image"][2], picture(2))
    assert loader.samples == 3


def test_labels_outside_classes_are_an_error_that_lists_them(table: pd.DataFrame, folder: Path) -> None:
    assert refusal(table, folder, classes=["a", "b"]) == (
        "y_col: column 'class' holds labels that are not in classes=['a', 'b']: 'c' in 3 rows (2, 5, 8). Add them to "
        "classes, or write on_unlisted='drop' to train without them, and read loader.dropped [row 2]"
    )
    assert "no row is left after dropping 10 rows" in refusal(table, folder, classes=["z"], on_unlisted="drop")


def test_labels_of_rows_that_are_gone_already_are_not_looked_at(table: pd.DataFrame, folder: Path) -> None:
    table.iloc[2, 0] = "gone.png"
    labels = [["a"], ["b"], ["a", "odd"], *[["a", "b"]] * 7]
    lists = table.assign(**{"class": pd.Series(labels, index=table.index)})
    for on_unlisted in ("raise", "drop"):
        loader = made(lists, folder, classes=["a", "b"], on_missing="drop", on_unlisted=on_unlisted)
        assert loader.dropped["reason"].tolist() == ["missing file"]


def test_a_row_without_labels_is_kept_as_zeros(table: pd.DataFrame, folder: Path) -> None:
    """The Keras class drops it if `classes` is given, and keeps it if not."""
    lists = table.assign(**{"class": [[], ["a"], *[["b", "a"]] * 8]})
    for classes in (None, ["a", "b"]):
        assert made(lists, folder, classes=classes).batch(0).targets["class"].tolist()[:2] == [[0, 0], [1, 0]]


def test_a_subset_for_training_has_every_class(table: pd.DataFrame, folder: Path) -> None:
    by_class = table.sort_values("class")
    options: dict[str, Any] = {"subset": "training", "validation_split": 0.4}
    assert refusal(by_class, folder, **options) == (
        "the subset 'training' has no row of class 'a' (1 such classes): the first 4 of 10 rows are the validation, so "
        "a table sorted by class is cut by class. Shuffle the table once, dataframe.sample(frac=1, random_state=0), "
        "which keeps the index labels; or go without subset and use loader.dataset.split(..., stratify=...); or name "
        "classes=[...] to say that these are meant"
    )
    assert made(by_class, folder, classes=["a", "b", "c"], **options).samples == 6
    assert made(by_class, folder, subset="validation", validation_split=0.4).classes == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"subset": "training"}, "subset='training' needs validation_split between 0 and 1, received None"),
        ({"subset": "training", "validation_split": 0.0}, "between 0 and 1, received 0.0"),
        ({"subset": "training", "validation_split": 1}, "between 0 and 1, received 1"),
        ({"subset": "training", "validation_split": True}, "between 0 and 1, received True"),
        ({"validation_split": 0.2}, "validation_split=0.2 says how to cut, and nothing says which part is wanted"),
        ({"subset": "validation", "validation_split": 0.05}, "subset='validation' has no row: validation_split=0.05"),
        ({"subset": "test"}, "subset must be one of 'training', 'validation', None, received 'test'"),
        ({"class_mode": "other"}, "class_mode='other' is the old name of 'raw': write class_mode='raw'"),
        ({"class_mode": "sparce"}, "received 'sparce'; did you mean 'sparse'?"),
        ({"color_mode": "gray"}, "color_mode must be one of 'rgb', 'rgba', 'grayscale', received 'gray'"),
        ({"interpolation": "linear"}, "did you mean 'bilinear'?"),
        ({"on_missing": "ignore"}, "on_missing must be one of 'raise', 'drop', received 'ignore'"),
        ({"on_unlisted": "error"}, "on_unlisted must be one of 'raise', 'drop', received 'error'"),
        ({"dtype": "float64"}, "dtype must be one of 'float32', 'uint8', received 'float64'"),
        ({"shuffle": "full"}, "shuffle must be one of True, False, 'exact', 'blocks', received 'full'"),
        ({"target_size": 150}, "target_size must be (height, width) in pixels, received 150"),
        ({"target_size": (0, 4)}, "size must be (height, width), two integers >= 1"),
        ({"rescale": 0}, "the factor not 0, received (0, 0.0)"),
        ({"dtype": "uint8", "rescale": 0.5}, "scale needs dtype='float32', received dtype='uint8'"),
        ({"class_mode": "multi_output"}, "class_mode='multi_output' needs a list of columns, received y_col='class'"),
        ({"y_col": ["class"]}, "class_mode='categorical' takes one column, received y_col=['class']"),
        ({"class_mode": "raw", "y_col": []}, "y_col must be the name of a column, or a list of names, received []"),
        ({"class_mode": "raw"}, "class_mode='raw' delivers values as they are, and column 'class' holds text"),
        ({"class_mode": "raw", "y_col": "numbr"}, "y_col: the table has no column 'numbr'. Did you mean 'number'?"),
        ({"class_mode": "raw", "classes": ["a"]}, "classes=... has no effect with class_mode='raw'"),
        ({"class_mode": None, "weight_col": "w"}, "weight_col='w' has no effect with class_mode=None"),
        ({"class_mode": "binary"}, "class_mode='binary' needs two classes, found 3 in column 'class': ['a', 'b', 'c']"),
        (
            {"y_col": "number"},
            "class_mode='categorical' needs text, or lists of text, in column 'number', which holds int",
        ),
        ({"class_mode": "sparse", "y_col": "number"}, "write dataframe['number'].astype(str) if that is meant"),
        ({"classes": "abc"}, "classes must be a list of labels, received 'abc'"),
        ({"classes": ["a", "a"]}, "classes names 'a' twice"),
        ({"x_col": "file"}, "the table has no column 'file'"),
        ({"weight_col": "class"}, "column 'class' holds"),
        ({"seed": -1}, "seed must be an integer >= 0, received -1"),
        ({"batch_size": 0}, "batch_size"),
    ],
)
def test_settings_that_cannot_be_followed(table: pd.DataFrame, folder: Path, options: Any, message: str) -> None:
    assert message in refusal(table, folder, **options)


@pytest.mark.parametrize(
    ("changes", "options", "message"),
    [
        ({"class": [["a"]] * 10}, {"class_mode": "sparse"}, "needs text in column 'class', which holds lists"),
        ({"class": [["a"]] * 10}, {"class_mode": "sparse"}, "a row with several labels needs class_mode='categorical'"),
        ({"class": [[]] * 10}, {}, "no row of column 'class' has a label, so there are no classes"),
        ({"class": ["a", None, *"abcabcab"]}, {}, "classes: column 'class' has no value in 1 row (1)"),
        ({"class": ["a", 1, *"abcabcab"]}, {}, "has the label 1 of type int, where row 0 has 'a'"),
        ({"filename": ["0.png", None, *["1.png"] * 8]}, {}, "column 'filename' must hold a path, as text, in ev"),
        ({"filename": ["../0.png"] * 10}, {}, "column 'filename' must hold paths under root"),
        ({"w": [np.nan] * 10}, {"weight_col": "w"}, "column 'w' has no value in 10 rows"),
        ({"w": [-1.0] * 10}, {"weight_col": "w"}, "weights are finite and >= 0"),
        ({"w": [np.nan] * 10}, {"class_mode": "raw", "y_col": "w"}, "column 'w' has no value in 10 rows"),
    ],
)  # fmt: skip
def test_tables_that_cannot_be_used(
    table: pd.DataFrame, folder: Path, changes: Any, options: Any, message: str
) -> None:
    for name, values in changes.items():
        table[name] = pd.Series(values, index=table.index, dtype=float if name == "w" else object)
    assert message in refusal(table, folder, **options)


def test_what_is_no_table() -> None:
    with pytest.raises(TableError, match="the table must be a pandas DataFrame, received dict"):
        mtgen.from_dataframe({"filename": ["a.png"]})  # type: ignore[arg-type]


# --- options of Keras that mtgen leaves to the model ------------------------------------------------------------------

ASKED = {
    "rotation_range": (20, "keras.layers.RandomRotation(degrees / 360)"),
    "width_shift_range": (0.1, "keras.layers.RandomTranslation(0.0, share)"),
    "zoom_range": ([0.8, 1.2], "keras.layers.RandomZoom"),
    "brightness_range": ((0.5, 1.5), "keras.layers.RandomBrightness"),
    "horizontal_flip": (True, "keras.layers.RandomFlip('horizontal')"),
    "featurewise_center": (True, "keras.layers.Normalization"),
    "preprocessing_function": (abs, "use rescale=, or call the function on the tensors"),
    "save_to_dir": ("folder", "mtgen.view.sheet.contact_sheet(loader, step, 'sheet.png')"),
    "workers": (4, "num_workers=N"),
    "use_multiprocessing": (True, "num_workers=N"),
    "drop_duplicates": (False, "dataframe.drop_duplicates"),
}


@pytest.mark.parametrize("name", ASKED)
def test_what_mtgen_does_otherwise_is_refused_with_what_to_write(table: pd.DataFrame, folder: Path, name: str) -> None:
    value, advice = ASKED[name]
    message = refusal(table, folder, **{name: value})
    assert message.startswith(f"from_dataframe does not do {name}={value!r:.100}: ")
    assert advice in message


def test_options_that_ask_for_nothing_are_taken(table: pd.DataFrame, folder: Path) -> None:
    loader = made(table, folder, **{name: default for name, (default, _) in _REFUSED.items()})
    assert loader.batch(0).rows.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("name", sorted(set(_REFUSED)))
def test_the_layers_and_functions_that_are_named_exist(name: str) -> None:
    keras = pytest.importorskip("keras")
    advice = _REFUSED[name][1]
    for word in advice.replace("(", " ").replace(",", " ").split():
        if word.startswith("keras.layers."):
            assert hasattr(keras.layers, word.removeprefix("keras.layers."))


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("colour_mode", "did you mean color_mode"),
        ("num_worker", "did you mean num_workers"),
        ("rotation", "did you mean rotation_range"),
        ("quux", "those of a Loader are sampler, "),
        ("shufle", "did you mean shuffle"),
    ],
)
def test_misspelt_options_are_refused(table: pd.DataFrame, folder: Path, name: str, hint: str) -> None:
    """The Keras class swallows every unknown option, such as `keep_aspect_ratio`, without a word."""
    message = refusal(table, folder, **{name: 1})
    assert message.startswith(f"from_dataframe has no option {name!r}; ")
    assert hint in message


def test_the_model_is_checked_against_the_classes(table: pd.DataFrame, folder: Path) -> None:
    keras = pytest.importorskip("keras")
    picture_input = keras.Input((4, 4, 3))
    model = keras.Model(picture_input, keras.layers.Dense(2)(keras.layers.Flatten()(picture_input)))
    with pytest.raises(
        mtgen.errors.ModelError, match=r"target 'class' has shape \(3,\), the model's output has \(2,\)"
    ):
        made(table, folder).check(model)
    with pytest.raises(mtgen.errors.ModelError, match="target 'class' has classes 0 to 2, the model's output has 2"):
        made(table, folder, class_mode="sparse").check(model)


def test_plan_error_is_what_settings_raise(table: pd.DataFrame, folder: Path) -> None:
    with pytest.raises(PlanError):
        made(table, folder, rotation_range=5)
