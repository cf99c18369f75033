"""Cut files and bombs: what must be refused, and before what."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from PIL import Image

from mtgen.encoded import early_size
from mtgen.errors import DecodeError
from mtgen.recipe import named_recipe
from tests.support.pictures import clean, encode, noise, photo, pixels, png


@pytest.mark.parametrize("recipe", ["clean", "fast"])
@pytest.mark.parametrize("options", [("JPEG", {}), ("JPEG", {"progressive": True}), ("PNG", {}), ("GIF", {})])
def test_a_cut_file_raises_or_gives_the_same_pixels(options, recipe):
    """Oracle over every prefix: what does not raise has lost no pixel."""
    picture_format, settings = options
    recipe = named_recipe(recipe, size=(20, 24))
    data = encode(photo(60, 80), picture_format, **settings)
    whole = pixels(data, recipe)
    step = max(1, len(data) // 300)
    silent = []
    for length in [*range(0, len(data) - 40, step), *range(len(data) - 40, len(data))]:
        try:
            got = pixels(data[:length], recipe)
        except DecodeError:
            continue
        silent.append(length)
        np.testing.assert_array_equal(got, whole, err_msg=f"cut to {length} of {len(data)} bytes")
    assert not silent or min(silent) >= len(data) - 22, "only a lost trailer may go unnoticed"


def test_the_text_of_a_cut_file_keeps_the_cause():
    data = encode(photo(60, 80), "JPEG")
    with pytest.raises(DecodeError, match=r"JPEG picture of \d+ bytes cannot be decoded: .*truncated") as caught:
        clean(data[: len(data) // 2], (8, 8))
    assert isinstance(caught.value.__cause__, OSError)


def bomb(picture_format: str) -> bytes:
    """A small file whose header claims 30,000 x 30,000 pixels (AVIF: 16,000)."""
    side = 30_000
    if picture_format == "PNG":
        return png(side, side, 8, 2, b"")
    if picture_format == "BMP":
        data = bytearray(encode(Image.new("RGB", (4, 4)), "BMP"))
        struct.pack_into("<ii", data, 18, side, side)
    elif picture_format == "GIF":
        data = bytearray(encode(Image.new("RGB", (4, 4)), "GIF"))
        struct.pack_into("<HH", data, 6, side, side)
    elif picture_format == "JPEG":
        data = bytearray(encode(Image.new("RGB", (4, 4)), "JPEG"))
        struct.pack_into(">HH", data, data.index(b"\xff\xc0") + 5, side, side)
    elif picture_format == "AVIF":
        data = bytearray(encode(Image.new("RGB", (64, 64)), "AVIF"))
        side = 16_000  # libavif itself refuses more
        struct.pack_into(">II", data, data.index(b"ispe") + 8, side, side)
    elif picture_format == "PPM":
        return b"P6 30000 30000 255\n"
    elif picture_format == "TIFF":
        image = encode(Image.new("L", (4, 4)), "TIFF")
        data = bytearray(image)
        (start,) = struct.unpack_from("<I", data, 4)
        for entry in range(start + 2, start + 2 + 12 * struct.unpack_from("<H", data, start)[0], 12):
            if struct.unpack_from("<H", data, entry)[0] in (256, 257):
                struct.pack_into("<HII", data, entry + 2, 4, 1, side)
    else:
        size = (side - 1).to_bytes(3, "little") * 2
        return b"RIFF\x20\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + size + b"\0" * 20
    return bytes(data)


@pytest.mark.parametrize("picture_format", ["AVIF", "PNG", "BMP", "GIF", "JPEG", "PPM", "TIFF", "WEBP"])
def test_bombs_are_refused_before_anything_is_allocated(picture_format, monkeypatch):
    data = bomb(picture_format)
    monkeypatch.setattr(Image.core, "new", lambda *_: pytest.fail("Pillow allocated a picture"))
    monkeypatch.setattr(Image.core, "fill", lambda *_: pytest.fail("Pillow allocated a picture"))
    claim = "16000 x 16000 = 256,000,000" if picture_format == "AVIF" else "30000 x 30000 = 900,000,000"
    text = f"the header says {claim} pixels, the limit max_pixels is 89,478,485: refused before decoding"
    with pytest.raises(DecodeError, match=text):
        clean(data, (4, 4))


@pytest.mark.parametrize("kind", ["VP8 ", "VP8L", "VP8X"])
def test_the_size_of_every_kind_of_webp_is_read_before_pillow_sees_it(kind):
    image = Image.fromarray(noise(30, 20, 4 if kind == "VP8X" else 3))
    data = encode(image, "WEBP", lossless=kind == "VP8L")
    assert data[12:16] == kind.encode()
    assert early_size(data, "WEBP") == (20, 30)
    with pytest.raises(DecodeError, match="20 x 30 = 600 pixels, the limit max_pixels is 599"):
        clean(data, (4, 4), max_pixels=599)
    assert clean(data, (4, 4), max_pixels=600).shape == (4, 4, 3)


def test_pillows_own_limit_is_neither_used_nor_changed(monkeypatch):
    """Between Pillow's warning and its error, and above: only max_pixels decides, without a warning."""
    data = encode(photo(60, 80), "JPEG")
    for limit in (4000, 1000, None):
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        assert clean(data, (8, 8)).shape == (8, 8, 3)
        with pytest.raises(DecodeError, match="the limit max_pixels is 4,799"):
            clean(data, (8, 8), max_pixels=4799)
        assert limit == Image.MAX_IMAGE_PIXELS
