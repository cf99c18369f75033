"""What can be known of an encoded picture without decoding it: format, pixel size, orientation.

Plain arithmetic on bytes: no files, no Pillow, nothing allocated. `decode` asks here before any decoder runs.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

EXTENSIONS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "AVIF": (".avif", ".avifs"),
        "BMP": (".bmp", ".dib"),
        "GIF": (".gif",),
        "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"),
        "PNG": (".png", ".apng"),
        "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
        "TIFF": (".tif", ".tiff"),
        "WEBP": (".webp",),
    }
)
"""File name extensions that fit each format, in lower case."""

_TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_AVIF_BRANDS = (b"avif", b"avis", b"mif1", b"msf1")
_ORIENTATION_TAG = 0x0112
_START_OF_SCAN = 0xDA
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # start of frame; the others are tables (T.81, table B.1)
_BARE = frozenset({0x01, *range(0xD0, 0xD9)})
_PROGRESSIVE_FRAMES = frozenset({0xC2, 0xC6, 0xCA, 0xCE})
_INTEGER_TYPES = {1: "B", 3: "H", 4: "I"}
"""EXIF types BYTE, SHORT and LONG (EXIF 2.32, section 4.6.2); the tag should be SHORT, writers differ."""


def format_of(data: bytes) -> str | None:
    """Format of an encoded picture by its first bytes, in Pillow's names.

    Pure. Any thread.

    Args:
        data: the encoded picture, or its first 16 bytes.

    Returns:
        A key of `EXTENSIONS`, or None where the content is none of them.

    Example:
        >>> format_of(b"GIF89a..........")
        'GIF'
    """
    if data.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    if data[:6] in (b"GIF87a", b"GIF89a"):
        return "GIF"
    if data.startswith(_TIFF_STARTS):
        return "TIFF"
    if data[4:8] == b"ftyp" and data[8:12] in _AVIF_BRANDS:
        return "AVIF"
    if data.startswith(b"BM"):
        return "BMP"
    if data[:1] == b"P" and data[1:2] in b"123456" and data[2:3] in b" \t\r\n#" and len(data) > 2:
        return "PPM"
    return None


def extension_mismatch(path: str, data: bytes) -> bool:
    """Whether the file's extension belongs to another format than its content.

    A path without an extension never mismatches. Pure. Any thread.

    Args:
        path: path of the file.
        data: the encoded picture, or its first 16 bytes.

    Example:
        >>> extension_mismatch("cat.jpg", b"GIF89a..........")
        True
    """
    extension = os.path.splitext(path)[1].lower()
    return bool(extension) and extension not in EXTENSIONS.get(format_of(data) or "", ())


def early_size(data: bytes, picture_format: str) -> tuple[int, int] | None:
    """Pixel size of the formats for which Pillow allocates while it opens (WebP, GIF): read from the header itself.

    Args:
        data: the encoded picture.
        picture_format: from `format_of`.

    Returns:
        (width, height), or None where Pillow opens without allocating, or the header is no header.
    """
    if picture_format == "GIF" and len(data) >= 10:
        width, height = struct.unpack_from("<HH", data, 6)
        return width, height
    if picture_format != "WEBP" or len(data) < 30:
        return None
    kind = data[12:16]
    if kind == b"VP8X":  # RFC 9649, section 2.7: 24-bit width - 1 and height - 1
        return int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1
    if kind == b"VP8L":  # section 3.4: 14 bits each after the signature byte
        bits = int.from_bytes(data[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 ":  # RFC 6386, section 9.1: 14 bits each after the start code
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    return None


def num_scans(data: bytes) -> int:
    """Scans of a JPEG, of which each is one more pass over the whole picture.

    Markers are followed up to the first scan. Where that one holds all there is (baseline, all components), it is the
    only one; else the markers of all scans are counted, which reads the data once.

    Args:
        data: the encoded picture.

    Returns:
        How many; 0 where there is none before the data end. Scans of an embedded picture may be among them.
    """
    place, components, progressive = 2, 0, False
    while place + 4 <= len(data) and data[place] == 0xFF:
        marker = data[place + 1]
        if marker == 0xFF or marker in _BARE:
            place += 1 if marker == 0xFF else 2  # fill byte (ITU-T T.81, B.1.1.2), or a marker without a length
            continue
        (length,) = struct.unpack_from(">H", data, place + 2)
        if marker == _START_OF_SCAN:
            only = not progressive and place + 4 < len(data) and data[place + 4] >= components
            return 1 if only else data.count(b"\xff\xda", place)
        if marker in _FRAMES and place + 9 < len(data):
            components, progressive = data[place + 9], marker in _PROGRESSIVE_FRAMES
        place += 2 + length
    return data.count(b"\xff\xda")


def orientation_of(info: Mapping[Any, Any]) -> int:
    """Orientation of a picture from the metadata beside its pixels: EXIF first, then XMP.

    Own parser of one tag: Pillow's reads them all, and warns through process-wide filters on the way.

    Args:
        info: Pillow's `Image.info`.

    Returns:
        1 to 8 as EXIF counts (1 is upright, also without any metadata); 0 where there is a value or a block that
        cannot be read.
    """
    exif = info.get("exif")
    raw = info.get("Raw profile type exif")  # ImageMagick keeps EXIF in PNG text: three lines of header, then hex
    if exif is None and isinstance(raw, str):
        try:
            exif = bytes.fromhex("".join(raw.split("\n")[3:]))
        except ValueError:
            return 0
    found = _exif_orientation(exif) if isinstance(exif, bytes) and exif else None
    if found is None:
        found = _xmp_orientation(info.get("XML:com.adobe.xmp") or info.get("xmp"))
    return 1 if found is None else found if 1 <= found <= 8 else 0


def _exif_orientation(exif: bytes) -> int | None:
    """Value of the orientation tag of the first directory; None without the tag, 0 if it cannot be read."""
    prefix = 0
    while exif.startswith(b"Exif\0\0", prefix):
        prefix += 6
    exif = exif[prefix:]
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[:4])
    if order is None:
        return 0
    try:
        (start,) = struct.unpack_from(order + "I", exif, 4)
        (num_entries,) = struct.unpack_from(order + "H", exif, start)
        for entry in range(start + 2, start + 2 + 12 * num_entries, 12):
            tag, kind, count = struct.unpack_from(order + "HHI", exif, entry)
            if tag == _ORIENTATION_TAG:
                if kind not in _INTEGER_TYPES or count != 1:
                    return 0
                return int(struct.unpack_from(order + _INTEGER_TYPES[kind], exif, entry + 8)[0])
    except struct.error:
        return 0
    return None


def _xmp_orientation(xmp: Any) -> int | None:
    text = xmp.decode("latin-1") if isinstance(xmp, bytes) else xmp
    match = re.search(r'tiff:Orientation(?:="|>)([0-9])', text) if isinstance(text, str) else None
    return int(match[1]) if match else None
