"""The recipe `keras` against its oracle, pixel for pixel: `keras.utils.load_img` and `img_to_array`."""

from __future__ import annotations

import io
import os
import warnings

os.environ.setdefault("KERAS_BACKEND", "jax")

import numpy as np
import pytest
from PIL import Image

from mtgen.decode import decode
from mtgen.recipe import named_recipe

FILTERS = ["nearest", "bilinear", "bicubic", "lanczos", "box", "hamming"]
SIZES = [(7, 5), (16, 16), (5, 40), (24, 31)]
MODES = ["L", "RGB", "RGBA", "P", "P transparent", "P bytes", "1", "LA", "CMYK", "I;16", "I", "RGB keyed", "LAB"]
FORMATS = {
    "PNG": {"L", "RGB", "RGBA", "P", "P transparent", "P bytes", "1", "LA", "I;16", "RGB keyed"},
    "JPEG": {"L", "RGB", "CMYK"},
    "WEBP": {"RGB", "RGBA"},
    "BMP": {"L", "RGB", "RGBA", "P", "1"},
    "GIF": {"L", "P", "P transparent", "1"},
    "TIFF": {"L", "RGB", "RGBA", "P", "1", "LA", "CMYK", "I;16", "I", "LAB"},
    "AVIF": {"RGB", "RGBA"},
    "PPM": {"L", "RGB", "1", "I"},
}
CASES = [
    (name, mode, color)
    for name, modes in FORMATS.items()
    for mode in MODES
    for color in ("rgb", "grayscale", "rgba")
    if mode in modes and (mode, color) != ("LAB", "grayscale")  # neither Pillow nor Keras converts this
]


@pytest.fixture(scope="module")
def keras():
    return pytest.importorskip("keras")


def encoded(picture_format: str, mode: str, size: tuple[int, int] = (24, 31), **options: object) -> bytes:
    """A picture of noise over a ramp in that mode; size is (height, width)."""
    random = np.random.default_rng(7)
    ramp = np.linspace(0, 200, size[0] * size[1]).reshape(*size, 1)
    colours = (ramp + random.integers(0, 56, (*size, 4))).astype(np.uint8)
    if mode == "RGB keyed":
        image = Image.fromarray(colours[..., :3])
        options["transparency"] = tuple(int(value) for value in colours[0, 0, :3])
    elif mode in ("I;16", "I"):
        wide = colours[..., 0].astype(np.uint16) * 256 + colours[..., 1]
        wide[:3] = wide[:3] // 300
        image = Image.fromarray(wide if mode == "I;16" else wide.astype(np.int32))
    elif mode == "LA":
        image = Image.fromarray(np.ascontiguousarray(colours[..., :2]))
    elif mode == "RGBA":
        image = Image.fromarray(colours)
    elif mode.startswith("P"):
        image = Image.fromarray(colours[..., :3]).quantize(32)
        if mode == "P transparent":
            options["transparency"] = 3
        if mode == "P bytes":
            options["transparency"] = bytes(range(0, 256, 8))
    else:
        image = Image.fromarray(colours[..., :3]).convert(mode)
    file = io.BytesIO()
    image.save(file, picture_format, **options)
    return file.getvalue()


def by_keras(keras, data: bytes, color: str, size: tuple[int, int], filter: str, crop: bool, dtype: str) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns in Keras that it drops a palette's transparency
        image = keras.utils.load_img(
            io.BytesIO(data), color_mode=color, target_size=size, interpolation=filter, keep_aspect_ratio=crop
        )
    return keras.utils.img_to_array(image, dtype=dtype)


def by_mtgen(data: bytes, **settings: object) -> np.ndarray:
    recipe = named_recipe("keras", **settings)
    out = recipe.spec.empty(1)
    decode(data, recipe, out[0])
    return out[0]


@pytest.mark.parametrize(("picture_format", "mode", "color"), CASES)
def test_the_keras_recipe_equals_load_img(keras, picture_format, mode, color):
    data = encoded(picture_format, mode)
    for filter in FILTERS:
        for size in SIZES:
            for crop in (False, True):
                expected = by_keras(keras, data, color, size, filter, crop, "float32")
                fit = "crop" if crop else "stretch"
                got = by_mtgen(data, size=size, color=color, filter=filter, fit=fit, dtype="float32")
                np.testing.assert_array_equal(got, expected, err_msg=f"{filter} {size} crop={crop}")


def test_the_default_filter_is_that_of_keras(keras):
    data = encoded("JPEG", "RGB", (40, 60))
    expected = keras.utils.img_to_array(keras.utils.load_img(io.BytesIO(data), target_size=(9, 11)), dtype="uint8")
    np.testing.assert_array_equal(by_mtgen(data, size=(9, 11)), expected)


@pytest.mark.parametrize("picture_format", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_ignored_where_keras_ignores_it(keras, picture_format, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(picture_format, "RGB", exif=exif.tobytes() if picture_format != "TIFF" else exif)
    expected = by_keras(keras, data, "rgb", (12, 17), "bilinear", True, "uint8")
    np.testing.assert_array_equal(by_mtgen(data, size=(12, 17), filter="bilinear", fit="crop"), expected)


def test_sixteen_bit_grey_keeps_its_values_and_colour_clips_as_in_keras(keras):
    data = encoded("PNG", "I;16")
    grey = by_mtgen(data, size=(24, 31), color="grayscale", dtype="uint16")
    np.testing.assert_array_equal(grey, by_keras(keras, data, "grayscale", (24, 31), "nearest", False, "uint16"))
    assert grey.max() > 255
    facts: dict[str, int] = {}
    recipe = named_recipe("keras", size=(24, 31))
    out = recipe.spec.empty(1)
    decode(data, recipe, out[0], facts)
    assert facts == {"sixteen_bit": 1, "clipped": 1}
    assert out.max() == 255


def test_channels_first_holds_the_same_values(keras):
    data = encoded("PNG", "RGB")
    first = by_mtgen(data, size=(8, 6), data_format="channels_first")
    np.testing.assert_array_equal(
        np.moveaxis(first, 0, -1), by_keras(keras, data, "rgb", (8, 6), "nearest", False, "uint8")
    )
