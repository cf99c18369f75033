"""What a picture may cost: refused by what its header says, before pixels are decoded. No files, no threads."""

from __future__ import annotations

from typing import Any

from mtgen.encoded import num_scans
from mtgen.errors import DecodeError
from mtgen.recipe import Recipe

MOST_SIDE = 1 << 20
"""Longest side in pixels. Resizing needs 16 bytes and more for each pixel of a side, however narrow the picture is."""

MOST_SCANS = 100
"""Most scans of a JPEG. Encoders write some ten; thirty bytes make one more, and each is a pass over all pixels."""

MOST_COMMENTS = 1_000
"""Most `#` in a PPM written as text: Pillow moves a mebibyte for each."""

MOST_LAYERS = 8
"""How often the strips or tiles of a TIFF may cover it: once for each of its planes, which are six at most."""


def check_pixels(size: tuple[int, int], recipe: Recipe) -> None:
    """Refuse more pixels than the recipe allows.

    Raises:
        DecodeError: says both numbers.
    """
    if size[0] * size[1] > recipe.max_pixels:
        raise DecodeError(
            f"the header says {size[0]} x {size[1]} = {size[0] * size[1]:,} pixels, the limit max_pixels is "
            f"{recipe.max_pixels:,}: refused before decoding; raise max_pixels if the picture is genuine"
        )


def check_comments(data: bytes, picture_format: str) -> None:
    """Refuse a PPM that is slow to open, before it is opened.

    Raises:
        DecodeError: says how many comments it has.
    """
    if picture_format == "PPM" and data[1:2] in b"123" and data.count(b"#") > MOST_COMMENTS:
        raise DecodeError(
            f"a PPM of text with {data.count(b'#'):,} comments, at most {MOST_COMMENTS:,} are read: save it in binary"
        )


def check_work(image: Any, data: bytes, picture_format: str, recipe: Recipe) -> None:
    """Refuse what costs far more than its pixels: a side without end, scan on scan, tiles larger than the picture.

    Args:
        image: opened by Pillow, its pixels not yet loaded.
        data: the whole file.
        picture_format: as `mtgen.encoded.format_of` names it.
        recipe: for its `max_pixels`.

    Raises:
        DecodeError: says what is too much of what.
    """
    if max(image.size) > MOST_SIDE:
        raise DecodeError(
            f"the header says {image.size[0]} x {image.size[1]}, the longest side that is read is {MOST_SIDE:,} "
            "pixels, whatever max_pixels is: refused before decoding; cut the picture"
        )
    if picture_format == "JPEG" and (scans := num_scans(data)) > MOST_SCANS:
        raise DecodeError(
            f"the JPEG picture has {scans:,} scans, at most {MOST_SCANS} are read, as each costs a pass over all "
            "pixels: save it again"
        )
    if picture_format != "TIFF":
        return
    width, height = image.tag_v2.get(322, 1), image.tag_v2.get(323, 1)  # TileWidth, TileLength
    if not isinstance(width, int) or not isinstance(height, int) or width * height > recipe.max_pixels:
        raise DecodeError(
            f"the TIFF picture has tiles of {width} x {height} pixels, the limit max_pixels is {recipe.max_pixels:,}: "
            "refused before decoding; save it in smaller tiles or in strips"
        )
    covered = sum((right - left) * (low - top) for _, (left, top, right, low), *_ in image.tile)
    if covered > MOST_LAYERS * image.size[0] * image.size[1]:
        raise DecodeError(
            f"the strips or tiles of the TIFF picture hold {covered:,} pixels, the picture has "
            f"{image.size[0] * image.size[1]:,}: they lie on each other; save it again"
        )
