"""The generator of 2017 on real pictures: the pixels of `keras.utils.load_img`, and a merged model that learns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest
from PIL import Image

import mtgen
from mtgen.compat import fit_generator, generator_from_df

pytestmark = pytest.mark.usefixtures("no_thread_left")


def photo(seed: int, mode: str = "RGB", size: tuple[int, int] = (61, 47)) -> Image.Image:
    """A picture of soft shapes and noise, so that JPEG and resizing have something to do."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (9, 7, 3), dtype=np.uint8)).resize(size, Image.Resampling.BICUBIC)
    return small.convert(mode)


@pytest.fixture
def pictures(tmp_path: Path) -> pd.DataFrame:
    """Every kind of file an old table may name."""
    turned = Image.Exif()
    turned[274] = 6
    photo(0).save(tmp_path / "plain.jpg", quality=80)
    photo(1).save(tmp_path / "turned.jpg", exif=turned)
    photo(2, "L").save(tmp_path / "grey.jpg")
    photo(3, "CMYK").save(tmp_path / "print.jpg")
    photo(4).save(tmp_path / "colour.png")
    photo(5, "P").save(tmp_path / "palette.png")
    photo(6, "LA").save(tmp_path / "grey_alpha.png")
    transparent = photo(7, "RGBA")
    transparent.putalpha(photo(8, "L"))
    transparent.save(tmp_path / "alpha.png")
    photo(9).save(tmp_path / "picture.bmp")
    photo(10).save(tmp_path / "picture.webp")
    photo(11, "1").save(tmp_path / "bits.png")
    photo(12, size=(30, 20)).save(tmp_path / "exact.png")
    paths = sorted(str(path) for path in tmp_path.iterdir())
    return pd.DataFrame({"imgpath": paths, "target": np.arange(len(paths))})


@pytest.mark.parametrize("target_size", [(20, 30), (61, 47), (150, 150)])
def test_pixels_are_those_of_keras_bit_for_bit(pictures: pd.DataFrame, target_size: tuple[int, int]) -> None:
    generator = generator_from_df(pictures, len(pictures), target_size, num_workers=2)
    x, y = next(generator)
    generator.close()
    for slot, row in enumerate(y):
        image = keras.utils.load_img(pictures["imgpath"][row], target_size=target_size)
        expected = 2 * (keras.utils.img_to_array(image) / 255.0 - 0.5)  # the line of 2017
        assert expected.dtype == np.float32
        assert x[slot].tobytes() == expected.tobytes(), pictures["imgpath"][row]


def test_the_merged_model_of_2017_learns_digits(digits: Path) -> None:
    table = mtgen.read_table(digits / "table.csv")
    table["imgpath"] = str(digits) + "/" + table["imgpath"]
    train, valid = table[table.index % 5 != 0], table[table.index % 5 == 0]

    def batches(part: pd.DataFrame) -> Any:
        return generator_from_df(part, 32, (4, 8), features=str(digits / "features.bcolz"), debug_merged=True)

    keras.utils.set_random_seed(0)
    picture, features = keras.Input((4, 8, 3)), keras.Input((32,))
    seen = keras.layers.Conv2D(16, 3, activation="relu", padding="same")(picture)
    scaled = keras.layers.Rescaling(1 / 16)(features)
    joined = keras.layers.Concatenate()([keras.layers.Flatten()(seen), scaled])
    hidden = keras.layers.Dense(64, activation="relu")(joined)
    model = keras.Model([picture, features], keras.layers.Dense(10, activation="softmax")(hidden))
    model.compile(keras.optimizers.Adam(3e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
    history = fit_generator(
        model,
        batches(train),
        steps_per_epoch=len(train) // 32,
        epochs=6,
        validation_data=batches(valid),
        validation_steps=len(valid) // 32,
        verbose=0,
        workers=2,
    )
    assert history.history["val_accuracy"][-1] > 0.93  # either view alone: about 0.89
