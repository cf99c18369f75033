"""Five failures that users meet first, tried by hand and read by somebody who had not written the messages.

Each text is held as a whole: what happened, what was expected, how to mend it, and where.
"""

import shutil

import keras
import numpy as np
import pytest

import mtgen


@pytest.fixture
def copy(digits, tmp_path):
    """A copy of the digits that may be broken."""
    return shutil.copytree(digits, tmp_path / "digits")


def dataset(folder, features=None):
    table = mtgen.read_table(folder / "table.csv")
    image = mtgen.Images("imgpath", root=folder, size=(4, 8), color="grayscale")
    store = folder / "features.bcolz" if features is None else features
    return mtgen.Dataset(table, inputs={"image": image, "features": mtgen.Rows(store)}, targets="target")


def message(kind, act):
    with pytest.raises(kind) as caught:
        act()
    return str(caught.value)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_missing_picture(copy, num_workers):
    loader = mtgen.Loader(dataset(copy), 64, seed=0, num_workers=num_workers)
    row = int(loader.rows(3)[5])
    path = copy / loader.dataset.table["imgpath"][row]
    path.unlink()
    for step in range(3):
        loader.batch(step)
    assert message(mtgen.errors.DecodeError, lambda: list(loader.epoch(0))) == (
        f"cannot read the picture: No such file or directory; is root={str(copy)!r} right? The nearest folder that "
        "exists "
        f"is {str(path.parent)!r} [step 3, row {row}, path {path}]"
    )
    loader.close()


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_truncated_picture(copy, num_workers):
    loader = mtgen.Loader(dataset(copy), 64, seed=0, num_workers=num_workers)
    row = int(loader.rows(1)[0])
    path = copy / loader.dataset.table["imgpath"][row]
    path.write_bytes(path.read_bytes()[:60])
    text = message(mtgen.errors.DecodeError, lambda: list(loader.epoch(0)))
    assert text.startswith("the PNG picture of 60 bytes cannot be decoded: ")
    assert text.endswith(
        f". Is the file whole? Copy it again, or leave its row out of the table [step 1, row {row}, path {path}]"
    )
    loader.close()


def test_a_directory_that_is_no_store(copy):
    assert message(mtgen.errors.StoreError, lambda: dataset(copy, copy / "images" / "000")).startswith(
        "this folder is no store: it has '"
    )
    text = message(mtgen.errors.StoreError, lambda: dataset(copy, copy / "images"))
    assert "expected a bcolz carray (meta/sizes, meta/storage)" in text
    assert text.endswith(f"[path {copy / 'images'}]")


def test_a_store_shorter_than_the_table(copy):
    np.save(copy / "short.npy", np.zeros((1700, 32), "float32"))
    assert message(mtgen.errors.AlignmentError, lambda: dataset(copy, copy / "short.npy")) == (
        "an index label of the table asks for store row 1700, the store has rows 0 to 1699 (1797 table rows, 1700 "
        "store "
        "rows). Outside: 97 rows (1700, 1701, 1702, 1703, 1704, ...). Is this the store that was written for the "
        "table? "
        f"[row 1700, path {copy / 'short.npy'}]"
    )


def test_a_model_whose_inputs_do_not_fit(copy):
    image, features = keras.Input((8, 8, 1), name="image"), keras.Input((32,), name="features")
    joined = keras.layers.Concatenate()([keras.layers.Flatten()(image), features])
    model = keras.Model([image, features], keras.layers.Dense(10)(joined), name="mine")
    loader = mtgen.Loader(dataset(copy), 64)
    expected = (
        "the model 'mine' does not fit the dataset. input 'image' is (4, 8, 1) uint8, the model's input 'image' takes "
        "(8, 8, 1) float32. The dataset gives image: (4, 8, 1) uint8, features: (32) float32"
    )
    assert message(mtgen.errors.ModelError, lambda: loader.check(model)) == expected
    assert message(mtgen.errors.ModelError, lambda: loader.keras(model)) == expected
