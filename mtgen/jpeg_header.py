"""The header of a plain JPEG: what `mtgen.turbo` must know before a decoder that checks nothing sees the bytes.

Plain means: 8 bits, grey or three components, Huffman coded, baseline, extended or progressive, and a header that is a
chain of segments without a gap. All else is for Pillow, which has a rule for each case; so a doubt costs time, never
pixels. Plain arithmetic on bytes: no files, nothing allocated.
"""

from __future__ import annotations

from typing import Any, NamedTuple

_PLAIN_FRAMES = frozenset({0xC0, 0xC1, 0xC2})
"""Start of frame of baseline, extended and progressive Huffman coding (ITU-T T.81, table B.1)."""

_TABLES = frozenset({0xC4, 0xDB, 0xDD})
"""Huffman tables, quantisation tables, restart interval."""

_PROGRESSIVE = 0xC2
_START_OF_SCAN = 0xDA
_COMMENT = 0xFE
_NOTED = frozenset({0xE0, 0xE1, 0xE2, 0xEE})
"""Application segments in which Pillow finds what decides something: JFIF, EXIF and XMP, ICC and MPF, Adobe."""

_XMP = b"http://ns.adobe.com/xap/1.0/\0"
_LEAST = {0xE0: (b"JFIF", 7), 0xE2: (b"ICC_PROFILE\0", 14), 0xEE: (b"Adobe", 7)}
"""Least bytes of segments that Pillow refuses to read when they are shorter; so they are for Pillow."""


class PlainJpeg(NamedTuple):
    """What the header of a plain JPEG says.

    Attributes:
        size: (width, height) as stored, in pixels.
        one_scan: whether the first scan holds the whole picture, so that no other can follow.
        info: metadata as Pillow's `Image.info` has it: `exif`, `xmp`, and `icc_profile` where there is a profile.
    """

    size: tuple[int, int]
    one_scan: bool
    info: dict[str, Any]


def plain_jpeg(data: bytes) -> PlainJpeg | None:
    """Read the header of a JPEG, up to its first scan.

    Pure. Any thread.

    Args:
        data: the encoded picture, or its beginning.

    Returns:
        What it says; None where the JPEG is not plain, is one of several pictures, or the header is not whole.

    Example:
        >>> plain_jpeg(b"no picture") is None
        True
    """
    place, num_bytes = 2, len(data)
    num_components = 0
    progressive = profile = False
    size = 0, 0
    info: dict[str, Any] = {}
    while place + 4 <= num_bytes and data[place] == 0xFF:
        marker = data[place + 1]
        length = data[place + 2] << 8 | data[place + 3]
        start, end = place + 4, place + 2 + length
        if length < 2 or end > num_bytes:
            return None
        if marker in _TABLES:
            pass
        elif 0xE0 <= marker <= 0xEF:
            if marker in _NOTED and not _note_segment(marker, data[start:end], info):
                return None
        elif marker == _START_OF_SCAN:
            if not num_components or length < 3:
                return None
            if profile:
                info["icc_profile"] = info.pop("icc", None)
            info.pop("icc", None)
            return PlainJpeg(size, not progressive and data[start] >= num_components, info)
        elif marker in _PLAIN_FRAMES:
            if num_components or length < 8:
                return None
            num_components, progressive, profile = data[start + 5], marker == _PROGRESSIVE, "icc" in info
            size = data[start + 3] << 8 | data[start + 4], data[start + 1] << 8 | data[start + 2]
            if num_components not in (1, 3) or length != 8 + 3 * num_components or data[start] != 8 or 0 in size:
                return None
        elif marker != _COMMENT:
            return None
        place = end
    return None


def _note_segment(marker: int, content: bytes, info: dict[str, Any]) -> bool:
    """Note an application segment as Pillow does; False where only Pillow knows what to do."""
    if marker == 0xE1:
        if content.startswith(b"Exif\0\0"):
            info["exif"] = info["exif"] + content[6:] if "exif" in info else content
        elif content.startswith(_XMP):
            info["xmp"] = content.split(b"\0", 1)[1]
        return True
    start, least = _LEAST[marker]
    if content.startswith(start):
        if marker == 0xE2:
            info["icc"] = True
        return len(content) >= least
    return marker != 0xE2 or not content.startswith(b"MPF\0")  # several pictures, CIPA DC-007
