"""Pictures made to hurt: each is refused with a clear text before memory is taken, or decoded right.

They are decoded in a process of their own that has little memory and time, so that a crash is a result too.
"""

from __future__ import annotations

import re
import struct
import sys
import zlib
from collections.abc import Mapping

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import mtgen
from mtgen.encoded import num_scans
from mtgen.errors import DecodeError
from mtgen.limits import MOST_SIDE
from mtgen.recipe import named_recipe
from tests.support.confined import MEBIBYTE, Outcome, confined
from tests.support.hostile_pictures import (
    chained_tiff,
    endless_apng,
    gif_of,
    grey_tiff,
    jpeg_of_plain_scans,
    jpeg_of_scans,
    jpeg_with,
    line,
    looping_exif,
    looping_tiff,
    png_of,
    webp_canvas,
    webp_of,
    webp_of_frames,
    zeros_deflated,
)
from tests.support.pictures import clean, encode, noise, photo, pixels, png_chunk

WORK = "tests.support.hostile_pictures:decode_case"
DOT = zlib.compress(b"\0\x63")
GROWN_BYTES = 100 * MEBIBYTE
"""Most that decoding any of them may take, decoder libraries included; each claims or holds more."""


def refused_pictures() -> Mapping[str, tuple[bytes, str]]:
    """Name -> picture, and what its error must say."""
    zeros = zeros_deflated()
    mebibyte = zeros_deflated(MEBIBYTE)
    limit = "pixels, the limit max_pixels is 89,478,485: refused before decoding"
    side = "the longest side that is read is 1,048,576 pixels"
    small = encode(noise(4, 4, 3), "JPEG")
    frame = small.index(b"\xff\xc0") + 5
    webp = encode(noise(30, 20, 3), "WEBP")[12:]
    return {
        "png of 2**31 x 2**31": (png_of(2**31 - 1, 2**31 - 1, DOT), limit),
        "png of 65535 x 65535": (png_of(65535, 65535, zeros), limit),
        "jpeg of 65535 x 65535": (small[:frame] + b"\xff\xff\xff\xff" + small[frame + 4 :], "65535 x 65535|65500"),
        "gif of 65535 x 65535": (gif_of((65535, 65535), (1, 1)), limit),
        "gif frame of 65535 x 65535 on a screen of 1 x 1": (gif_of((1, 1), (65535, 65535)), "exceeds limit"),
        "gif frame of 9000 x 9000 without data": (gif_of((1, 1), (9000, 9000)), "truncated"),
        "tiff of 65535 x 65535": (grey_tiff(65535, 65535, zeros, 8), limit),
        "webp of 16384 x 16384": (webp_of(webp_canvas(16384, 16384), (b"VP8 ", webp[8:])), limit),
        "webp with a stranger first": (webp_of((b"JUNK", b"abcd"), webp_canvas(16384, 16384)), "not a WEBP"),
        "ppm of 10 ** 8 x 10 ** 8": (b"P6 100000000 100000000 255\n", limit),
        "ppm of more digits than ten": (b"P6 " + b"9" * 5000 + b" 4 255\n", "Token too long"),
        "ppm without its text": (b"P3 9000 9000 255 1 2 3", "not enough image data"),
        "ppm of comments": (b"P2 100 100 255\n" + b"#\n" * 500_000 + b"1 " * 10_000, "500,000 comments, at most 1,000"),
        "iCCP of 128 MiB": (png_of(1, 1, DOT, png_chunk(b"iCCP", b"a\0\0" + zeros)), "Decompressed data too large"),
        "zTXt of 128 MiB": (png_of(1, 1, DOT, png_chunk(b"zTXt", b"a\0\0" + zeros)), "Decompressed data too large"),
        "iTXt of 128 MiB": (png_of(1, 1, DOT, png_chunk(b"iTXt", b"a\0\1\0\0\0" + zeros)), "Decompressed data too"),
        "200 zTXt of 1 MiB": (
            png_of(1, 1, DOT, *[png_chunk(b"zTXt", b"%d\0\0" % number + mebibyte) for number in range(200)]),
            "Too much memory used in text chunks",
        ),
        "tiff of one pixel in a tile of 2**28": (
            grey_tiff(1, 1, zeros, 8, t322=(4, 1, 1 << 15), t323=(4, 1, 1 << 13), t324=(4, 1, 8), t325=(4, 1, 1 << 17)),
            "tiles of 32768 x 8192 pixels, the limit max_pixels is",
        ),
        "tiff of strips on each other": (
            grey_tiff(
                1000,
                1000,
                bytes(10**6) + struct.pack("<I", 8) * 50_000,
                1,
                t273=(4, 50_000, 8 + 10**6),
                t278=(4, 1, 999),
            ),
            "hold 25,000,000,000 pixels, the picture has 1,000,000: they lie on each other",
        ),
        "tiff of 2**32 - 1 samples": (grey_tiff(4, 4, bytes(16), 1, t277=(4, 1, 2**32 - 1)), "cannot be decoded"),
        "tiff tag of 32 GiB": (grey_tiff(4, 4, bytes(16), 1, t700=(12, 2**32 - 1, 0)), "larger than file"),
        "jpeg of 1,005 scans": (jpeg_of_scans(64, 1000), "1,005 scans, at most 100 are read"),
        "baseline jpeg of 1,003 scans": (jpeg_of_plain_scans(1001), "1,003 scans, at most 100 are read"),
        "png of one column": (png_of(1, 80_000_000, zeros), f"1 x 80000000, {side}"),
        "png of one line": (png_of(80_000_000, 1, zeros), f"80000000 x 1, {side}"),
        "png of no size": (png_of(0, 0, DOT), "cannot be decoded"),
        "png of no width": (png_of(0, 4, DOT), "cannot be decoded"),
        "gif of no size": (gif_of((0, 0), (0, 0)), "cannot be decoded"),
        "tiff of no size": (grey_tiff(0, 4, b"", 1), "cannot be decoded"),
        "ppm of no size": (b"P5 0 4 255\n", "cannot be decoded"),
        "jpeg of no height": (small[:frame] + b"\0\0\0\4" + small[frame + 4 :], "cannot be decoded"),
    }


def decoded_pictures() -> Mapping[str, tuple[bytes, str]]:
    """Name -> picture, and what decoding it to 8 x 8 tells."""
    zeros = zeros_deflated()
    index_of_pictures = struct.pack("<HHHII", 1, 0xB001, 4, 1, 2**32 - 1) + struct.pack("<I", 8)
    plain = encode(noise(16, 16, 3), "JPEG")
    mean = f"(8, 8, 3) {clean(plain, (8, 8)).mean():.1f}"
    return {
        "png of one pixel with 128 MiB behind it": (png_of(1, 1, zeros), "(8, 8, 3) 0.0"),
        "png of 2**31 - 1 frames": (endless_apng(2**31 - 1), "(8, 8, 3) 99.0"),
        "png of 50,000 texts": (
            png_of(1, 1, DOT, *[png_chunk(b"tEXt", b"%d\0x" % number) for number in range(50_000)]),
            "(8, 8, 3) 99.0",
        ),
        "gif of 200,000 frames": (gif_of((1, 1), (1, 1), 200_000), "(8, 8, 3) 255.0"),
        "webp of 2,000 frames": (webp_of_frames(2000), f"(8, 8, 3) {clean(webp_of_frames(1), (8, 8)).mean():.1f}"),
        "tiff that leads to itself": (looping_tiff(), "(8, 8, 3) 7.5"),
        "tiff of a million directories": (chained_tiff(1_000_000), "(8, 8, 3) 7.5"),
        "tiff of one row in 2**32 - 1": (grey_tiff(1, 1, zeros, 8, t278=(4, 1, 2**32 - 1)), "(8, 8, 3) 0.0"),
        "tiff of one pixel with 128 MiB behind it": (grey_tiff(1, 1, zeros, 8), "(8, 8, 3) 0.0"),
        "exif that leads to itself": (jpeg_with(1, looping_exif()), mean),
        "mpo that leads to itself": (jpeg_with(2, b"MPF\0" + looping_exif()[6:]), mean),
        "mpo of 2**32 - 1 pictures": (jpeg_with(2, b"MPF\0II*\0\x08\0\0\0" + index_of_pictures), mean),
        "jpeg of 55 scans": (jpeg_of_scans(64, 50), "(8, 8, 3) 99.0"),
        "png of 1 x 100,000": (line(1, 100_000), "(8, 8, 3) 70.0"),
        "png of 100,000 x 1": (line(100_000, 1), "(8, 8, 3) 70.0"),
    }


@pytest.fixture(scope="module")
def outcomes() -> Mapping[str, Outcome]:
    return confined(WORK, {name: data for name, (data, _) in (refused_pictures() | decoded_pictures()).items()})


def test_bombs_end_in_a_decode_error_that_says_why(outcomes):
    for name, (_, text) in refused_pictures().items():
        assert outcomes[name].ended == "DecodeError", (name, outcomes[name])
        assert re.search(text, outcomes[name].text), (name, outcomes[name])


def test_pictures_that_only_look_dangerous_are_decoded_right(outcomes):
    for name, (_, text) in decoded_pictures().items():
        assert (outcomes[name].ended, outcomes[name].text) == ("returned", text), name


def test_no_hostile_picture_takes_memory_or_time(outcomes):
    for name, outcome in outcomes.items():
        assert outcome.grown_bytes < GROWN_BYTES, (name, outcome)
        assert outcome.seconds < 10, (name, outcome)


def test_a_tile_of_one_pixel_took_256_mebibytes():
    """Found here: a TIFF of one pixel whose only tile is 32768 x 8192 was inflated whole."""
    data = grey_tiff(1, 1, b"x", 8, t322=(4, 1, 1 << 15), t323=(4, 1, 1 << 13), t324=(4, 1, 8), t325=(4, 1, 1))
    with pytest.raises(DecodeError, match="tiles of 32768 x 8192 pixels"):
        clean(data, (4, 4))


def test_tiles_of_real_pictures_pass():
    picture = noise(40, 50)
    tiles = b"".join(
        np.pad(picture, ((0, 8), (0, 14)))[y : y + 16, x : x + 16].tobytes()
        for y in (0, 16, 32)
        for x in (0, 16, 32, 48)
    )
    offsets = b"".join(struct.pack("<I", 8 + 256 * number) for number in range(12))
    lengths = struct.pack("<I", 256) * 12
    data = grey_tiff(
        50,
        40,
        tiles + offsets + lengths,
        1,
        t322=(4, 1, 16),
        t323=(4, 1, 16),
        t324=(4, 12, 8 + 3072),
        t325=(4, 12, 8 + 3120),
    )
    for tag in (273, 278, 279):  # a tiled picture has no strips
        data = data.replace(struct.pack("<H", tag) + b"\4\0", struct.pack("<H", 60_000 + tag) + b"\4\0")
    np.testing.assert_array_equal(clean(data, (40, 50), color="grayscale")[..., 0], picture)


def test_one_column_of_80_million_pixels_took_gibibytes_to_resize():
    """Found here: 80 kB of PNG, within max_pixels, for which the resampling weights alone are 1.3 GB."""
    with pytest.raises(DecodeError, match=r"1 x 1048577, the longest side that is read is 1,048,576 pixels"):
        clean(png_of(1, MOST_SIDE + 1, DOT), (4, 4))


def test_scans_are_counted_the_same_however_they_are_written():
    assert num_scans(encode(photo(40, 50), "JPEG")) == 1
    assert num_scans(encode(photo(40, 50), "JPEG", progressive=True)) == 10
    assert num_scans(jpeg_of_scans(64, 7)) == 6 - 1 + 7
    assert num_scans(jpeg_of_plain_scans(5)) == 7
    hidden = b"\xff\x01" + b"\xff\xc0"  # a marker without a length, before what then reads as one with 65,472 bytes
    data = jpeg_of_plain_scans(500)
    assert num_scans(data[:2] + hidden[:2] + data[2:]) == 502
    assert num_scans(b"\xff\xd8\xff") == num_scans(b"") == 0


@pytest.mark.parametrize(
    "options",
    [
        ("WEBP", {}),
        ("WEBP", {"lossless": True}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("TIFF", {"compression": "jpeg"}),
        ("BMP", {}),
        ("PPM", {}),
        ("AVIF", {}),
    ],
    ids=str,
)
def test_the_other_formats_cut_at_every_percent_raise_or_lose_no_pixel(options):
    picture_format, settings = options
    recipe = named_recipe("clean", size=(20, 24))
    data = encode(photo(60, 80), picture_format, **settings)
    whole = pixels(data, recipe)
    refused = 0
    for percent in range(100):
        try:
            got = pixels(data[: len(data) * percent // 100], recipe)
        except DecodeError:
            refused += 1
            continue
        np.testing.assert_array_equal(got, whole, err_msg=f"cut at {percent} %")
    assert refused >= 95


OTHERS = {
    "eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n(%pipe%touch mtgen-was-here) (w) file closefile\n",
    "pdf": b"%PDF-1.7\n1 0 obj <</OpenAction <</S /Launch /F (/bin/true)>> >>\n",
    "svg": b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
    "psd": b"8BPS\0\1" + bytes(6) + struct.pack(">HIIHH", 3, 30000, 30000, 8, 3),
    "ico": b"\0\0\1\0\1\0\0\0\0\0\1\0\x20\0" + struct.pack("<II", 2**31, 22),
    "icns": b"icns\xff\xff\xff\xffic10\xff\xff\xff\xff",
    "jpeg 2000": b"\0\0\0\x0cjP  \r\n\x87\n",
    "fits": b"SIMPLE  =                    T",
    "xbm": b"#define im_width 65535\n#define im_height 65535\nstatic char im_bits[] = {\n",
    "wmf": b"\xd7\xcd\xc6\x9a\0\0" + bytes(40),
    "pickle": b"\x80\x04\x95\x1a\0\0\0\0\0\0\0\x8c\x05posix\x94\x8c\x06system\x94\x93\x94",
    "zip": b"PK\x03\x04" + bytes(40),
    "npy": b"\x93NUMPY\x01\0v\0{'descr': '|O'",
}


@pytest.mark.parametrize("name", OTHERS)
def test_formats_that_pillow_has_plugins_for_never_reach_one(name, tmp_path):
    """Ghostscript runs what an EPS says; here no parser of such a format is even loaded."""
    before = set(sys.modules)
    with pytest.raises(DecodeError, match="not a picture of a known format"):
        clean(OTHERS[name], (4, 4))
    (tmp_path / "a.png").write_bytes(OTHERS[name])
    data = mtgen.Dataset(pd.DataFrame({"p": ["a.png"]}), inputs={"x": mtgen.Images("p", root=tmp_path, size=(4, 4))})
    with pytest.raises(DecodeError, match=r"known format.*row 0, path .*a\.png\]"):
        mtgen.Loader(data, 1, num_workers=0).batch(0)
    assert not {module for module in set(sys.modules) - before if module.endswith("ImagePlugin")}


def test_the_extension_decides_nothing(tmp_path):
    """Every format under the extension of every other: the content decides, and the loader delivers the pixels."""
    formats = {"png": "PNG", "gif": "GIF", "bmp": "BMP", "ppm": "PPM", "tif": "TIFF", "webp": "WEBP"}
    picture = Image.fromarray(noise(4, 4, seed=3), "L").convert("RGB")
    names = []
    for extension in formats:
        for picture_format in formats.values():
            names.append(f"{picture_format}.{extension}")
            (tmp_path / names[-1]).write_bytes(encode(picture, picture_format, lossless=True))
    data = mtgen.Dataset(pd.DataFrame({"p": names}), inputs={"x": mtgen.Images("p", root=tmp_path, size=(4, 4))})
    batch = mtgen.Loader(data, len(names), shuffle=False, num_workers=2).batch(0)
    assert (batch.inputs["x"] == np.asarray(picture)).all()


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_bomb_in_a_dataset_fails_its_own_batch_and_no_other(tmp_path, num_workers):
    for row in range(6):
        (tmp_path / f"{row}.png").write_bytes(encode(noise(4, 4, 3), "PNG"))
    (tmp_path / "3.png").write_bytes(png_of(65535, 65535, DOT))
    table = pd.DataFrame({"p": [f"{row}.png" for row in range(6)]})
    data = mtgen.Dataset(table, inputs={"x": mtgen.Images("p", root=tmp_path, size=(4, 4))})
    with mtgen.Loader(data, 2, shuffle=False, num_workers=num_workers) as loader:
        loader.batch(0)
        with pytest.raises(DecodeError, match=r"65535 x 65535.*\[step 1, row 3, path .*3\.png\]"):
            loader.batch(1)
        loader.batch(2)
