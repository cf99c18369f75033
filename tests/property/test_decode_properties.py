"""`decode` against the same picture by a few plain lines of Pillow, over random sizes, modes, fits and orientations."""

from __future__ import annotations

import io

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from mtgen.decode import decode
from mtgen.encoded import orientation_of
from mtgen.errors import DecodeError
from mtgen.recipe import Recipe, named_recipe

FILTERS = ["nearest", "bilinear", "bicubic", "lanczos", "box", "hamming"]
sides = st.integers(1, 40)
sizes = st.tuples(sides, sides)


def encode(mode: str, size: tuple[int, int], orientation: int, picture_format: str, seed: int) -> bytes:
    values = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    image = Image.fromarray(values).convert(mode)
    if mode in ("LA", "RGBA"):
        image.putalpha(Image.fromarray(values[..., 0]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    image.save(file, picture_format, exif=exif.tobytes())
    return file.getvalue()


def plain(data: bytes, recipe: Recipe) -> np.ndarray:
    """The oracle: what the recipe `clean` says, step by step, in Pillow's own words."""
    image = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    if image.mode in ("LA", "RGBA") and recipe.alpha in ("white", "black"):
        ground = Image.new("RGBA", image.size, recipe.alpha)
        image = Image.alpha_composite(ground, image.convert("RGBA")).convert("RGB")
    image = image.convert({"rgb": "RGB", "grayscale": "L", "rgba": "RGBA"}[recipe.color])
    height, width = recipe.size
    box = (0, 0, *image.size)
    if recipe.fit == "crop":
        crop = min(image.width, image.height * width // height), min(image.height, image.width * height // width)
        crop = max(1, crop[0]), max(1, crop[1])
        left, top = (image.width - crop[0]) // 2, (image.height - crop[1]) // 2
        box = (left, top, left + crop[0], top + crop[1])
    pixels = np.asarray(image.resize((width, height), Image.Resampling[recipe.filter.upper()], box))
    return pixels.reshape(height, width, -1)


@settings(max_examples=300, deadline=None)
@given(
    mode=st.sampled_from(["L", "RGB", "P", "1", "LA", "RGBA"]),
    size=sizes,
    target=sizes,
    orientation=st.integers(1, 8),
    fit=st.sampled_from(["stretch", "crop"]),
    color=st.sampled_from(["rgb", "grayscale", "rgba"]),
    filter=st.sampled_from(FILTERS),
    ground=st.sampled_from(["white", "black"]),
    seed=st.integers(0, 9),
)
def test_clean_equals_the_plain_steps(mode, size, target, orientation, fit, color, filter, ground, seed):
    data = encode(mode, size, orientation, "PNG", seed)
    alpha = "keep" if color == "rgba" else ground
    recipe = named_recipe("clean", size=target, color=color, fit=fit, filter=filter, alpha=alpha)
    out = recipe.spec.empty(1)[0]
    decode(data, recipe, out)
    difference = np.abs(out.astype(int) - plain(data, recipe).astype(int))
    tolerance = 1 if mode in ("LA", "RGBA") and color != "rgba" else 0  # two ways to round a blend of colours
    assert difference.max() <= tolerance


@settings(max_examples=150, deadline=None)
@given(
    size=st.tuples(st.integers(1, 200), st.integers(1, 200)),
    target=sizes,
    orientation=st.integers(1, 8),
    fit=st.sampled_from(["stretch", "crop", "pad"]),
    name=st.sampled_from(["clean", "fast", "fastest"]),
    dtype=st.sampled_from(["uint8", "float32"]),
    data_format=st.sampled_from(["channels_last", "channels_first"]),
)
def test_every_shape_fills_its_slot_and_no_other(size, target, orientation, fit, name, dtype, data_format):
    data = encode("RGB", size, orientation, "JPEG", 0)
    recipe = named_recipe(name, size=target, fit=fit, dtype=dtype, data_format=data_format, alpha="white")
    first, second = recipe.spec.empty(3), recipe.spec.empty(3)
    first[...], second[...] = 0, 255
    for batch in (first, second):
        decode(data, recipe, batch[1])
    np.testing.assert_array_equal(first[1], second[1])  # nothing of the slot is left as it was
    assert (first[[0, 2]] == 0).all()
    assert (second[[0, 2]] == 255).all()


@settings(max_examples=200, deadline=None)
@given(
    picture_format=st.sampled_from(["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM"]),
    changes=st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=8),
    cut=st.integers(0, 400),
)
def test_damage_raises_decode_error_or_nothing(picture_format, changes, cut):
    """No other exception leaves `decode`, whatever the bytes."""
    file = io.BytesIO()
    Image.fromarray(np.arange(192, dtype=np.uint8).reshape(8, 8, 3)).save(file, picture_format)
    data = bytearray(file.getvalue())
    for place, value in changes:
        data[place % len(data)] = value
    recipe = named_recipe("clean", size=(4, 4), max_pixels=10_000)
    out = np.full((4, 4, 3), 7, np.uint8)
    failure = ""
    try:
        decode(bytes(data[: max(0, len(data) - cut)]), recipe, out)
    except DecodeError as error:
        failure = str(error)
    if failure:
        assert len(failure) > 20
        assert (out == 7).all()


@settings(max_examples=300, deadline=None)
@given(
    exif=st.binary(max_size=60), start=st.sampled_from([b"", b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08", b"Exif\0\0II*\0"])
)
def test_any_exif_bytes_have_an_orientation(exif, start):
    assert orientation_of({"exif": start + exif}) in range(9)


@settings(max_examples=100, deadline=None)
@given(
    orientation=st.integers(1, 8),
    others=st.dictionaries(
        st.sampled_from([271, 272, 305, 306]), st.text(st.characters(max_codepoint=127), max_size=9)
    ),
)
def test_orientation_is_read_as_pillow_reads_it(orientation, others):
    exif = Image.Exif()
    for tag, text in others.items():
        exif[tag] = text
    exif[0x0112] = orientation
    assert orientation_of({"exif": exif.tobytes()}) == orientation
    del exif[0x0112]
    assert orientation_of({"exif": exif.tobytes()}) == 1
