"""Damaged pictures through `decode`, each in a process of its own: pixels or a DecodeError, soon, in little memory."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given

from tests.fuzz.corpus import inputs
from tests.support.confined import MEBIBYTE, Confined
from tests.support.damage import HURTS, damaged
from tests.support.hostile_pictures import HAS_TURBO, chained_tiff, gif_of, looping_exif, webp_of_frames
from tests.support.pictures import encode, noise, oriented, photo

WHOLE = {
    "JPEG": encode(photo(40, 50), "JPEG", progressive=True),
    "JPEG with EXIF": oriented(noise(16, 24, 3), 6, "JPEG"),
    "PNG": encode(noise(16, 24, 4), "PNG"),
    "PNG of a palette": encode(noise(16, 24), "PNG", bits=4),
    "GIF": encode(noise(16, 24), "GIF"),
    "GIF of frames": gif_of((3, 3), (1, 1), 5),
    "BMP": encode(noise(16, 24, 3), "BMP"),
    "TIFF": encode(noise(16, 24, 3), "TIFF"),
    "TIFF of directories": chained_tiff(5),
    "TIFF packed": encode(noise(16, 24, 3), "TIFF", compression="tiff_lzw"),
    "WEBP": encode(noise(16, 24, 3), "WEBP", exif=looping_exif()),
    "WEBP of frames": webp_of_frames(3),
    "PPM": b"P3 # text\n4 4 255\n" + b"7 " * 48,
    "AVIF": encode(noise(16, 24, 3), "AVIF"),
}
SETTINGS: tuple[dict[str, object], ...] = (
    {},
    {"recipe": "fast"},
    {"color": "grayscale", "fit": "crop"},
    {"color": "rgba", "fit": "pad"},
    *([{"recipe": "turbo"}, {"recipe": "turbo-fastest", "color": "grayscale"}] if HAS_TURBO else []),
)


@pytest.fixture(scope="module")
def run() -> Iterator[Confined]:
    # The default of max_pixels allows half a GiB; here only what is small may pass.
    with Confined("tests.support.hostile_pictures:decode_case", memory_bytes=512 * MEBIBYTE, cpu_seconds=20) as process:
        yield process


def check(run: Confined, data: bytes, number: int) -> None:
    outcome = run((data, {"max_pixels": 1 << 20, **SETTINGS[number % len(SETTINGS)]}))
    assert outcome.ended in ("returned", "DecodeError"), outcome
    assert outcome.grown_bytes < 64 * MEBIBYTE, outcome
    assert outcome.seconds < 5, outcome
    assert outcome.ended == "returned" or len(outcome.text) < 1000


@pytest.mark.parametrize("name", inputs("pictures"))
def test_what_failed_once(run, name):
    for number in range(len(SETTINGS)):
        check(run, inputs("pictures")[name], number)


@pytest.mark.parametrize("name", WHOLE)
def test_a_damaged_picture_is_pixels_or_a_decode_error(run, name):
    assert run(WHOLE[name]).ended == "returned"

    @given(HURTS)
    def try_it(hurts):
        check(run, damaged(WHOLE[name], hurts), len(hurts))

    try_it()
