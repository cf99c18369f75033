"""Turbo recipes over random sizes and random damage: the stated samples, and never another end than Pillow alone."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL.JpegImagePlugin import JpegImageFile

import mtgen.decode
from mtgen import resample
from mtgen.encoded import orientation_of
from mtgen.errors import DecodeError
from mtgen.framing import frame, frame_stored
from mtgen.jpeg_header import plain_jpeg
from mtgen.recipe import Recipe, named_recipe
from tests.support.damage import HURTS, damaged
from tests.support.hostile_pictures import jpeg_of_plain_scans, jpeg_of_scans, jpeg_with
from tests.support.pictures import EIGHT, encode, noise, oriented, photo, pixels

pytest.importorskip("cv2")
pytest.importorskip("simplejpeg")

sides = st.integers(1, 70)
targets = st.integers(1, 24)
FITS = st.sampled_from(["stretch", "crop", "pad"])
TURNS = st.integers(1, 8)


# --- framing --------------------------------------------------------------------------------------------------------


@settings(max_examples=300)
@given(size=st.tuples(sides, sides), target=st.tuples(targets, targets), fit=FITS, turn=TURNS)
def test_the_part_used_is_that_of_the_upright_picture(size, target, fit, turn):
    """Oracle: number the pixels, turn them upright, cut there."""
    numbers = np.arange(size[0] * size[1]).reshape(size[1], size[0])
    recipe = Recipe(size=target, fit=fit)
    stored = frame_stored(size, recipe, turn=turn)
    cut = numbers[stored.top : stored.top + stored.height, stored.left : stored.left + stored.width]
    cut = cut[:: -1 if stored.flip_y else 1, :: -1 if stored.flip_x else 1]
    cut = cut.T if stored.swap else cut
    upright = np.arange(0)
    for candidate in (numbers, numbers.T):  # undo: the picture whose stored form is `numbers`
        for flipped in (candidate, candidate[::-1], candidate[:, ::-1], candidate[::-1, ::-1]):
            if np.array_equal(EIGHT[turn](flipped), numbers):
                upright = flipped
    plain = frame(size, recipe, turn=turn)
    left, top, right, bottom = map(int, plain.box)
    np.testing.assert_array_equal(cut, upright[top:bottom, left:right])
    assert plain.size == (stored.size[::-1] if stored.swap else stored.size)


@settings(max_examples=300)
@given(
    size=st.tuples(st.integers(1, 3000), st.integers(1, 3000)),
    target=st.tuples(targets, targets),
    fit=FITS,
    turn=TURNS,
    scaled=st.sampled_from([0, 1, 2]),
)
def test_the_part_used_is_inside_what_is_decoded(size, target, fit, turn, scaled):
    recipe = Recipe(size=target, fit=fit, scaled_decode=scaled)
    stored = frame_stored(size, recipe, turn=turn, may_shrink=True)
    assert stored.shrink == frame(size, recipe, turn=turn, may_shrink=True).shrink
    for start, length, whole in ((stored.left, stored.width, size[0]), (stored.top, stored.height, size[1])):
        assert 0 <= start <= start - (-length // stored.shrink) <= -(-whole // stored.shrink)


# --- samples ----------------------------------------------------------------------------------------------------------


def axis_samples(length: int, shrink: int, num_decoded: int, size: int, antialias: bool) -> np.ndarray:
    """`(size, num_decoded)`: weight of each decoded pixel in each delivered one, along one axis, by the definition."""
    scale = length / shrink / size
    per_pixel = 1 if not antialias or scale <= 1 else max(2, -(-length // (2 * shrink * size)))
    weights = np.zeros((size, num_decoded))
    for pixel in range(size):
        for sample in range(per_pixel):
            middle = (pixel + (sample + 0.5) / per_pixel) * scale - 0.5
            low = int(np.floor(middle))
            for place_of, weight in ((low, 1 - (middle - low)), (low + 1, middle - low)):
                weights[pixel, min(max(place_of, 0), num_decoded - 1)] += weight / per_pixel
    return weights


NEAR_ONE = {"size": (4, 7), "target": (1, 1), "fit": "stretch", "turn": 1, "scaled": 1, "channels": ()}
PHOTOGRAPH = {**NEAR_ONE, "size": (199, 151), "target": (19, 25)}
"""A bug: OpenCV copies where the rounded size is that of the picture, whatever scale was asked for."""


@example(**NEAR_ONE, dtype="uint8", filter="samples", most=1, with_slot=False)
@example(**NEAR_ONE, dtype="uint16", filter="samples", most=98_303, with_slot=True)
@example(**PHOTOGRAPH, dtype="uint8", filter="samples", most=98_303, with_slot=True)
@settings(max_examples=300, deadline=None)
@given(
    size=st.tuples(sides, sides),
    target=st.tuples(targets, targets),
    fit=st.sampled_from(["stretch", "crop"]),
    turn=TURNS,
    scaled=st.sampled_from([0, 1, 2]),
    channels=st.sampled_from([(), (3,)]),
    dtype=st.sampled_from(["uint8", "uint16"]),
    filter=st.sampled_from(["samples", "linear"]),
    most=st.sampled_from([1, 40, 98_303]),
    with_slot=st.booleans(),
)
def test_pixels_are_the_stated_samples(size, target, fit, turn, scaled, channels, dtype, filter, most, with_slot):
    recipe = Recipe(size=target, fit=fit, scaled_decode=scaled, decoder="turbo", filter=filter)
    stored = frame_stored(size, recipe, turn=turn, may_shrink=True)
    columns, rows = (-(-length // stored.shrink) for length in size)
    top = 255 if dtype == "uint8" else 65535
    picture = np.random.default_rng(0).integers(0, top + 1, (rows, columns, *channels)).astype(dtype)
    slot = np.empty((*target, *channels), dtype) if with_slot else None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(resample, "MOST_PIXELS", most)
        got = resample.resized(picture, stored, filter, slot)
    assert slot is None or got is slot
    used = picture[stored.top :, stored.left :].astype(float)
    used = used[: -(-stored.height // stored.shrink), : -(-stored.width // stored.shrink)]
    antialias = filter == "samples"
    across = axis_samples(stored.width, stored.shrink, used.shape[1], stored.size[0], antialias)
    down = axis_samples(stored.height, stored.shrink, used.shape[0], stored.size[1], antialias)
    expected = np.einsum("yY,YX...,xX->yx...", down, used, across)
    expected = expected[:: -1 if stored.flip_y else 1, :: -1 if stored.flip_x else 1]
    expected = expected.swapaxes(0, 1) if stored.swap else expected
    # Rounded after the samples across, after those down, and after their mean; weights of 11 bits for uint8.
    np.testing.assert_allclose(got, expected, atol=1.75 if dtype == "uint8" else 2)


# --- damage -----------------------------------------------------------------------------------------------------------

WHOLE = {
    "4:4:4": encode(photo(40, 50), "JPEG", subsampling=0),
    "4:2:0 progressive": encode(photo(41, 53), "JPEG", progressive=True),
    "restarts": encode(photo(33, 80), "JPEG", restart_marker_blocks=3),
    "grey": encode(photo(60, 31)[..., 0], "JPEG"),
    "EXIF": oriented(noise(16, 24, 3), 6, "JPEG"),
    "metadata": oriented(photo(64, 96), 3, "JPEG", icc_profile=b"x" * 200, xmp=b'<a tiff:Orientation="2"/>'),
    "Adobe": jpeg_with(14, b"Adobe\0\x64\0\0\0\0\0"),
    "several pictures": jpeg_with(2, b"MPF\0II*\0"),
    "scans": jpeg_of_scans(32, 5),
    "plain scans": jpeg_of_plain_scans(3),
}
RECIPES = (
    named_recipe("turbo", size=(9, 11)),
    named_recipe("turbo-fastest", size=(20, 15), fit="crop"),
    named_recipe("turbo-fastest", size=(5, 5), filter="samples", fit="pad"),
)
SEGMENTS = st.tuples(
    st.sampled_from([0xE0, 0xE1, 0xE2, 0xEE, 0xFE, 0xDB, 0xC4, 0xC0, 0xDD]),
    st.sampled_from(
        [b"", b"JFIF\0", b"Exif\0\0", b"Adobe\0", b"ICC_PROFILE\0", b"MPF\0", b"http://ns.adobe.com/xap/1.0/\0"]
    ),
    st.binary(max_size=20),
)


def outcome(data: bytes, recipe: Recipe) -> tuple[object, dict[str, int]]:
    facts: dict[str, int] = {}
    try:
        got = pixels(data, recipe, facts).tobytes()
    except DecodeError as error:
        return str(error), facts
    facts.pop("pillow_decoded", None)
    return got, facts


def check(data: bytes, recipe: Recipe) -> None:
    with pytest.MonkeyPatch.context() as alone:
        alone.setattr(mtgen.decode, "plain_jpeg", lambda data: None)
        expected = outcome(data, recipe)
    assert outcome(data, recipe) == expected


@pytest.mark.parametrize("name", WHOLE)
def test_a_damaged_jpeg_ends_as_with_pillow_alone(name, capfd):
    @settings(max_examples=60, deadline=None)
    @given(hurts=HURTS, recipe=st.sampled_from(RECIPES))
    def try_it(hurts, recipe):
        check(damaged(WHOLE[name], hurts), recipe)

    try_it()
    assert capfd.readouterr() == ("", "")


@settings(max_examples=300, deadline=None)
@given(
    name=st.sampled_from(sorted(WHOLE)), place_of=st.integers(0, 20), segment=SEGMENTS, recipe=st.sampled_from(RECIPES)
)
def test_headers_are_read_as_pillow_reads_them(name, place_of, segment, recipe):
    """One more segment anywhere among the others: the same pixels and facts, or the same refusal."""
    data, starts = WHOLE[name], [2]
    while data[starts[-1] + 1] != 0xDA:
        starts.append(starts[-1] + 2 + struct.unpack_from(">H", data, starts[-1] + 2)[0])
    at = starts[place_of % len(starts)]
    content = segment[1] + segment[2]
    data = data[:at] + bytes([0xFF, segment[0]]) + struct.pack(">H", len(content) + 2) + content + data[at:]
    header = plain_jpeg(data)
    if header is not None:
        try:
            image = JpegImageFile(io.BytesIO(data))
        except SyntaxError:  # a table that no decoder takes either
            image = None
        if image is not None:
            assert image.size == header.size
            assert image.mode in ("L", "RGB")
            assert orientation_of(image.info) == orientation_of(header.info)
            assert ("icc_profile" in image.info) == ("icc_profile" in header.info)
    check(data, recipe)


@settings(max_examples=200)
@given(
    st.binary(max_size=80),
    st.sampled_from([b"", b"\xff\xd8", b"\xff\xd8\xff\xe1\x00\x10Exif\0\0", b"\xff\xd8\xff\xc0\0\x0b\x08"]),
)
def test_any_bytes_have_a_header_or_none(data, start):
    header = plain_jpeg(start + data)
    assert header is None or min(header.size) >= 1
