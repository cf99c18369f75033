"""Turbo recipes: pixels as stated, Pillow's word on all that is not plain, no threads, no output, nothing global."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from functools import partial

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageOps

import mtgen
import mtgen.decode
from mtgen import resample, turbo
from mtgen.decode import decode
from mtgen.errors import DecodeError, PlanError
from mtgen.framing import frame_stored
from mtgen.jpeg_header import plain_jpeg
from mtgen.opened_picture import openers
from mtgen.recipe import Recipe, named_recipe
from mtgen.room import Room
from tests.support.pictures import EIGHT, clean, encode, noise, oriented, photo, pixels

pytest.importorskip("cv2")
simplejpeg = pytest.importorskip("simplejpeg")


def kinds(picture: np.ndarray) -> dict[str, bytes]:
    """The picture as JPEG of every plain kind."""
    colour = {
        f"colour {name}": simplejpeg.encode_jpeg(np.ascontiguousarray(picture), colorsubsampling=name)
        for name in ("444", "422", "420", "440", "411")  # Pillow writes but the first three
    }
    return colour | {
        "progressive": encode(picture, "JPEG", progressive=True),
        "restarts": encode(picture, "JPEG", restart_marker_blocks=3),
        "grey": encode(picture[..., 0], "JPEG"),
        "grey progressive": encode(picture[..., 0], "JPEG", progressive=True),
        "RGB as it is": encode(picture, "JPEG", keep_rgb=True),
    }


KINDS = tuple(kinds(noise(8, 8, 3)))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(60, 80), (61, 83), (1, 1), (7, 3), (16, 1)])
def test_a_full_decode_is_pillows_to_the_bit(kind, size):
    data = kinds(photo(*size))[kind]
    facts: dict[str, int] = {}
    got = pixels(data, named_recipe("turbo", size=size), facts)
    np.testing.assert_array_equal(got, clean(data, size))
    assert facts == {}, "not decoded by Pillow"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shrink", [2, 4, 8])
@pytest.mark.parametrize("size", [(64, 96), (61, 83), (9, 17), (8, 9)])
def test_a_scaled_decode_is_pillows_to_the_bit(kind, shrink, size):
    data = kinds(photo(*size))[kind]
    header = plain_jpeg(data)
    assert header is not None
    image = openers()["JPEG"](io.BytesIO(data))
    image.draft(None, (size[1] // shrink, size[0] // shrink))
    image.load()
    assert image.size == tuple(-(-length // shrink) for length in header.size)
    got = turbo._decoded(simplejpeg, data, header, shrink, False)
    np.testing.assert_array_equal(got, np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("filter", ["samples", "linear"])
@pytest.mark.parametrize("color", ["rgb", "grayscale"])
@pytest.mark.parametrize("fit", ["stretch", "crop", "pad"])
@pytest.mark.parametrize("orientation", EIGHT)
def test_a_picture_is_turned_as_pillow_turns_it(filter, color, fit, orientation):
    """Oracle: Pillow's upright picture through the same recipe. Turned before or after: one level, by rounding."""
    data = oriented(photo(96, 128) if color == "rgb" else photo(96, 128)[..., 0], orientation, "JPEG")
    recipe = Recipe(size=(21, 30), fit=fit, color=color, decoder="turbo", filter=filter)
    facts: dict[str, int] = {}
    got = pixels(data, recipe, facts)
    assert facts == ({"oriented": 1} if orientation > 1 else {})
    upright = pixels(encode(ImageOps.exif_transpose(Image.open(io.BytesIO(data)))), recipe)
    assert np.abs(got.astype(int) - upright).max() <= 1


@pytest.mark.parametrize("recipe", ["turbo", "turbo-fastest"])
@pytest.mark.parametrize("fit", ["stretch", "crop", "pad"])
@pytest.mark.parametrize("orientation", EIGHT)
def test_a_scaled_picture_is_turned_too(recipe, fit, orientation):
    data = oriented(photo(203, 277), orientation, "JPEG", quality=98, subsampling=0)
    recipe = named_recipe(recipe, size=(21, 30), fit=fit)
    assert frame_stored((277, 203), recipe, turn=orientation, may_shrink=True).shrink > 1
    difference = np.abs(pixels(data, recipe).astype(int) - clean(data, (21, 30), fit=fit))
    assert difference.mean() < 5  # a wrong turn: 30 and more


def test_orientation_is_left_alone_where_the_recipe_says_so():
    recipe = Recipe(size=(8, 12), decoder="turbo", filter="linear", orientation="none")
    data = oriented(photo(48, 32), 6, "JPEG")
    facts: dict[str, int] = {}
    np.testing.assert_array_equal(pixels(data, recipe, facts), pixels(encode(Image.open(io.BytesIO(data))), recipe))
    assert facts == {}


@pytest.mark.parametrize("recipe", ["turbo", "turbo-fastest"])
def test_what_is_not_plain_is_decoded_by_pillow_and_counted(recipe):
    """The same pixels as a plain JPEG would give, from whatever Pillow can read."""
    recipe = named_recipe(recipe, size=(20, 30))
    picture = photo(60, 80)
    expected = pixels(encode(picture), recipe)
    cases = {
        "PNG": encode(picture),
        "BMP": encode(picture, "BMP"),
        "TIFF": encode(picture, "TIFF"),
        "WEBP": encode(picture, "WEBP", lossless=True),
    }
    for name, data in cases.items():
        facts: dict[str, int] = {}
        np.testing.assert_array_equal(pixels(data, recipe, facts), expected, err_msg=name)
        assert facts == {"pillow_decoded": 1}, name
    facts = {}
    pixels(encode(Image.fromarray(picture).convert("CMYK"), "JPEG"), recipe, facts)
    assert facts == {"cmyk": 1, "pillow_decoded": 1}
    facts = {}
    pixels(encode(Image.fromarray(picture).convert("P")), recipe, facts)
    assert facts == {"palette": 1, "pillow_decoded": 1}
    facts = {}
    got = pixels(encode(np.dstack([picture, picture[..., :1]])), recipe, facts)
    assert facts == {"alpha": 1, "pillow_decoded": 1}
    assert got.mean() > expected.mean(), "laid on white"


@pytest.mark.parametrize("orientation", EIGHT)
@pytest.mark.parametrize("picture_format", ["PNG", "TIFF"])
def test_pillows_pictures_are_upright_too(orientation, picture_format):
    picture = photo(30, 40)
    recipe = named_recipe("turbo", size=(30, 40))
    np.testing.assert_array_equal(pixels(oriented(picture, orientation, picture_format), recipe), picture)


def test_sixteen_bits_are_divided_after_they_are_small():
    grey = (np.arange(64 * 64, dtype=np.uint16).reshape(64, 64) * 16)[:, ::-1]
    recipe = named_recipe("turbo", size=(16, 16), color="grayscale")
    got = pixels(encode(Image.fromarray(np.ascontiguousarray(grey))), recipe)
    means = grey.reshape(16, 4, 16, 4).mean((1, 3)) / 257
    np.testing.assert_allclose(got[..., 0], means, atol=0.6)
    wide = pixels(
        encode(Image.fromarray(np.ascontiguousarray(grey))),
        named_recipe("turbo", size=(64, 64), color="grayscale", dtype="uint16"),
    )
    np.testing.assert_array_equal(wide[..., 0], grey)


@pytest.mark.parametrize("marker", [0xC3, 0xC5, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCF])
def test_no_frame_but_huffman_coded_ones_reaches_the_decoder(marker, monkeypatch):
    """simplejpeg 1.9 writes beyond its buffer when it scales lossless JPEG (C3)."""
    data = encode(photo(64, 64), "JPEG").replace(b"\xff\xc0", bytes([0xFF, marker]))
    monkeypatch.setattr(turbo, "simplejpeg", lambda: pytest.fail("the decoder saw it"))
    assert plain_jpeg(data) is None
    facts: dict[str, int] = {}
    with contextlib.suppress(DecodeError):  # what is no arithmetic code decodes to something as such (C9)
        pixels(data, named_recipe("turbo-fastest", size=(8, 8)), facts)
    assert facts in ({}, {"pillow_decoded": 1})


def test_limits_hold_before_the_decoder_sees_a_byte(monkeypatch):
    monkeypatch.setattr(turbo, "simplejpeg", lambda: pytest.fail("the decoder saw it"))
    data = encode(photo(60, 80), "JPEG")
    with pytest.raises(DecodeError, match="80 x 60 = 4,800 pixels, the limit max_pixels is 4,799"):
        pixels(data, named_recipe("turbo", size=(8, 8), max_pixels=4799))
    from tests.support.hostile_pictures import jpeg_of_plain_scans, jpeg_of_scans

    for hostile in (jpeg_of_scans(32, 200), jpeg_of_plain_scans(200)):
        with pytest.raises(DecodeError, match=r"scans, at most 100 are read"):
            pixels(hostile, named_recipe("turbo", size=(8, 8)))


@pytest.mark.parametrize("kind", ["colour 420", "progressive", "restarts", "grey"])
def test_a_cut_file_ends_as_with_pillow(kind, monkeypatch, capfd):
    """Oracle over every prefix: Pillow alone on the same bytes."""
    recipe = named_recipe("turbo", size=(20, 24))
    data = kinds(photo(60, 80))[kind]
    for length in [*range(1, len(data), max(1, len(data) // 150)), *range(len(data) - 30, len(data) + 1)]:
        with monkeypatch.context() as alone:
            alone.setattr(mtgen.decode, "plain_jpeg", lambda data: None)
            expected = outcome(data[:length], recipe)
        assert outcome(data[:length], recipe) == expected, f"cut to {length} of {len(data)} bytes"
        assert length == len(data) or expected[0] == "refused" or length >= len(data) - 22
    assert capfd.readouterr() == ("", "")


def outcome(data: bytes, recipe: Recipe) -> tuple[object, ...]:
    out = np.full(recipe.spec.shape, 7, recipe.spec.dtype)
    try:
        decode(data, recipe, out)
    except DecodeError as error:
        assert (out == 7).all(), "a failed decode leaves the slot as it was"
        return "refused", str(error)
    return "decoded", out.tobytes()


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("color", ["rgb", "grayscale"])
@pytest.mark.parametrize("fit", ["stretch", "pad"])
@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_every_slot_is_filled_the_same(dtype, data_format, color, fit, orientation):
    data = oriented(photo(60, 90), orientation, "JPEG")
    base = pixels(data, named_recipe("turbo", size=(20, 24), color=color, fit=fit, fill=9 if fit == "pad" else 0))
    recipe = named_recipe(
        "turbo",
        size=(20, 24),
        color=color,
        fit=fit,
        fill=9 if fit == "pad" else 0,
        dtype=dtype,
        data_format=data_format,
    )
    for batch in (recipe.spec.empty(3), np.empty((*recipe.spec.shape, 3), dtype).transpose(3, 0, 1, 2)):
        batch[...] = 77
        decode(data, recipe, batch[1])
        got = batch[1] if data_format == "channels_last" else np.moveaxis(batch[1], 0, -1)
        np.testing.assert_array_equal(got, base)
        assert (batch[[0, 2]] == 77).all()


def test_the_room_is_taken_and_given_back():
    data = encode(photo(400, 500), "JPEG")
    recipe = named_recipe("turbo", size=(150, 150))
    room = Room(2_000_000)
    out = recipe.spec.empty(1)[0]
    decode(data, recipe, out, room=room)
    assert room.num_free == room.num_bytes
    with pytest.raises(PlanError, match=r"a picture that takes 1,230,000 bytes while it is decoded"):
        decode(data, recipe, out, room=Room(1_229_999))


@pytest.mark.parametrize("missing", ["cv2", "simplejpeg"])
def test_a_missing_package_is_named_with_its_extra(missing, monkeypatch):
    resample._import.cache_clear()
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(PlanError, match=rf"module {missing} cannot be imported .*pip install 'mtgen\[turbo\]'"):
        pixels(encode(photo(40, 40), "JPEG"), named_recipe("turbo", size=(8, 8)))
    resample._import.cache_clear()


@pytest.mark.parametrize(("missing", "package"), [("cv2", "opencv-python-headless"), ("simplejpeg", "simplejpeg")])
def test_a_missing_package_is_found_before_a_picture_is_read(missing, package, monkeypatch):
    monkeypatch.setitem(sys.modules, missing, None)
    images = mtgen.Images("p", size=(8, 8), recipe="turbo")
    with pytest.raises(PlanError, match=rf"'turbo' needs the package {package}, which is not .*'mtgen\[turbo\]'"):
        images.bind(pd.DataFrame({"p": ["a.jpg"]}))
    mtgen.Images("p", size=(8, 8), recipe="fast").bind(pd.DataFrame({"p": ["a.jpg"]}))


def test_a_loader_delivers_and_counts(tmp_path):
    """From files to a batch, in threads: each slot is what `decode` says, and what Pillow decoded is counted."""
    files = {
        "a.jpg": oriented(photo(90, 120), 6, "JPEG"),
        "b.png": encode(photo(50, 60)),
        "c.jpg": encode(photo(7, 9), "JPEG"),
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    table = pd.DataFrame({"p": list(files)})
    data = mtgen.Dataset(table, inputs={"x": mtgen.Images("p", root=tmp_path, size=(20, 24), recipe="turbo")})
    loader = mtgen.Loader(data, 3, shuffle=False, num_workers=2)
    batch = loader.batch(0)
    recipe = named_recipe("turbo", size=(20, 24))
    np.testing.assert_array_equal(batch.inputs["x"], [pixels(one, recipe) for one in files.values()])
    assert loader.stats().picture_facts == {"oriented": 1, "pillow_decoded": 1}


ALONE = """
import os, sys
import numpy as np
import mtgen.decode
assert not {"cv2", "simplejpeg"} & set(sys.modules), "imported before it is wanted"
from mtgen.recipe import named_recipe
from tests.support.pictures import encode, photo
import cv2
cv2.setNumThreads(7)
threads = lambda: len(os.listdir("/proc/self/task"))
before = threads()
data = {"jpeg": encode(photo(700, 900), "JPEG"), "png": encode(photo(700, 900))}
for name in ("turbo", "turbo-fastest"):
    for size in ((150, 150), (313, 314), (700, 500), (1200, 1100)):
        for one in data.values():
            recipe = named_recipe(name, size=size)
            mtgen.decode.decode(one, recipe, recipe.spec.empty(1)[0])
assert threads() == before, (before, threads())
assert cv2.getNumThreads() == 7
cv2.resize(np.zeros((400, 400, 3), np.uint8), (313, 315))
print(threads() > before)
"""


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="threads are counted in /proc")
def test_opencv_starts_no_threads_and_keeps_its_settings():
    """`True` at the end: one call above the limit does start them, so that the test can fail."""
    ran = subprocess.run([sys.executable, "-c", ALONE], capture_output=True, text=True, check=False)
    assert (ran.stdout, ran.stderr) == ("True\n", "")


SAME = """
import hashlib
import numpy as np
from mtgen.recipe import named_recipe
from tests.support.pictures import encode, noise, photo, pixels
text = hashlib.blake2b(digest_size=16)
for data in (encode(photo(61, 83), "JPEG"), encode(noise(90, 71, 3), "JPEG"), encode(noise(90, 71))):
    for name in ("turbo", "turbo-fastest"):
        for size in ((20, 20), (21, 30), (30, 30), (100, 90)):
            text.update(pixels(data, named_recipe(name, size=size)).tobytes())
print(text.hexdigest())
"""


def test_all_instruction_sets_give_the_same_bytes():
    digests = []
    for disabled in ("", "AVX512_SKX", "AVX2,FMA3,AVX512_SKX", "AVX,AVX2,FMA3,SSE4_1,SSE4_2,SSSE3,AVX512_SKX"):
        surroundings = os.environ | {"OPENCV_CPU_DISABLE": disabled, "OPENCV_IPP": "disabled" if disabled else ""}
        ran = subprocess.run([sys.executable, "-c", SAME], capture_output=True, text=True, check=True, env=surroundings)
        digests.append(ran.stdout)
    assert len(set(digests)) == 1


def test_the_stated_distance_to_pillow_holds_on_photographs():
    """docs/images.md has these numbers: against the recipe `clean`, in levels of 0 to 255."""
    from sklearn.datasets import load_sample_images

    limits = {
        ("turbo", None): (3.5, 22, 60),
        ("turbo-fastest", "samples"): (3.5, 22, 60),
        ("turbo-fastest", None): (7.0, 50, 120),
    }
    for picture in load_sample_images().images:
        for stored in ((375, 500), (427, 640), (213, 321)):
            image = Image.fromarray(picture).resize(stored[::-1], Image.Resampling.LANCZOS)
            for options in ({"subsampling": 0}, {"subsampling": 1}, {"subsampling": 2, "progressive": True}):
                data = encode(image, "JPEG", quality=90, **options)
                for size in ((150, 150), (100, 133), (224, 224)):
                    expected = clean(data, size).astype(int)
                    for (name, filter), (mean, most, highest) in limits.items():
                        got = pixels(data, named_recipe(name, size=size, filter=filter))
                        difference = np.abs(got - expected)
                        assert difference.mean() < mean
                        assert np.percentile(difference, 99) <= most
                        assert difference.max() <= highest


def test_grey_is_the_stored_luma():
    """Without the way through colours, which Pillow's recipes go, and which clips some."""
    data = encode(photo(60, 80), "JPEG", quality=95)
    recipe = partial(named_recipe, size=(60, 80), color="grayscale")
    difference = np.abs(pixels(data, recipe("turbo")).astype(int) - pixels(data, recipe("clean")))
    assert 0 < difference.mean() < 0.3
    assert difference.max() <= 5
