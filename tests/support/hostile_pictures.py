"""Pictures made to hurt: small files that claim, hide or repeat far more than they hold."""

from __future__ import annotations

import functools
import importlib.util
import struct
import zlib

import numpy as np
from PIL import Image

from mtgen.recipe import FORMATS, named_recipe
from tests.support.pictures import clean, encode, noise, pixels, png, png_chunk

HAS_TURBO = all(importlib.util.find_spec(name) for name in ("cv2", "simplejpeg"))
"""Whether the packages of the extra `turbo` are here."""

HUGE_BYTES = 1 << 27
"""What the compressed bombs inflate to: 128 MiB, far more than the process they are opened in may take."""


def warm() -> None:
    """Import every decoder once, before the forks."""
    for picture_format in FORMATS:
        clean(encode(noise(4, 4, 3), picture_format), (4, 4))
    if HAS_TURBO:
        pixels(encode(noise(4, 4, 3), "JPEG"), named_recipe("turbo", size=(4, 4)))


def decode_case(case: bytes | tuple[bytes, dict[str, object]]) -> str:
    """What `confined` runs: decode, and tell shape and mean."""
    data, settings = case if isinstance(case, tuple) else (case, {})
    out = pixels(data, named_recipe(settings.pop("recipe", "clean"), **{"size": (8, 8), **settings}))  # type: ignore[arg-type]
    return f"{out.shape} {out.mean():.1f}"


@functools.cache
def zeros_deflated(num_bytes: int = HUGE_BYTES) -> bytes:
    """A zlib stream of that many zeros, about a thousandth of their size."""
    packer = zlib.compressobj(1)
    block = bytes(1 << 20)
    return b"".join([*(packer.compress(block) for _ in range(num_bytes >> 20)), packer.flush()])


def png_of(width: int, height: int, deflated: bytes, *extra: bytes, depth: int = 8, color_type: int = 0) -> bytes:
    """A PNG with the compressed pixels as given."""
    header = struct.pack(">IIBBBBB", width, height, depth, color_type, 0, 0, 0)
    chunks = [png_chunk(b"IHDR", header), *extra, png_chunk(b"IDAT", deflated), png_chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def tiff_of(tags: dict[int, tuple[int, int, int]], content: bytes = b"", next_directory: int = 0) -> bytes:
    """A little-endian TIFF: tag -> (type, count, value or offset); `content` starts at byte 8."""
    start = 8 + len(content)
    entries = b"".join(struct.pack("<HHII", tag, *tags[tag]) for tag in sorted(tags))
    directory = struct.pack("<H", len(tags)) + entries + struct.pack("<I", next_directory)
    return b"II*\0" + struct.pack("<I", start) + content + directory


def grey_tiff(width: int, height: int, content: bytes, compression: int, **tags: tuple[int, int, int]) -> bytes:
    """A grey TIFF of one strip of compressed bytes."""
    base = {
        256: (4, 1, width),
        257: (4, 1, height),
        258: (3, 1, 8),
        259: (3, 1, compression),
        262: (3, 1, 1),
        273: (4, 1, 8),
        277: (3, 1, 1),
        278: (4, 1, height),
        279: (4, 1, len(content)),
    }
    return tiff_of(base | {int(tag[1:]): value for tag, value in tags.items()}, content)


def gif_of(screen: tuple[int, int], frame: tuple[int, int], repeat: int = 1) -> bytes:
    """A GIF whose frames (all alike, of 1 x 1 data) may be larger than its screen."""
    one = b"\x2c" + struct.pack("<HHHHB", 0, 0, *frame, 0) + b"\x02\x02\x4c\x01\0"
    return b"GIF89a" + struct.pack("<HH", *screen) + b"\x80\0\0\0\0\0\xff\xff\xff" + one * repeat + b";"


def jpeg_of_scans(side: int, num_scans: int) -> bytes:
    """A progressive JPEG whose last scan is there again and again; each costs a pass over the whole picture."""
    data = encode(Image.new("L", (side, side), 99), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * num_scans + b"\xff\xd9"


def jpeg_of_plain_scans(num_scans: int) -> bytes:
    """A baseline JPEG of three components in scans of their own, one of them there again and again."""
    data = encode(Image.new("L", (64, 64), 99), "JPEG")
    frame, scan = data.index(b"\xff\xc0"), data.index(b"\xff\xda")
    components = b"".join(bytes([number, 0x11, 0]) for number in (1, 2, 3))
    head = data[:frame] + b"\xff\xc0" + struct.pack(">HBHHB", 17, 8, 64, 64, 3) + components
    tables = data[frame + 2 + struct.unpack_from(">H", data, frame + 2)[0] : scan]
    scans = [data[scan:-2].replace(b"\xff\xda\0\x08\x01\x01", b"\xff\xda\0\x08\x01" + bytes([n])) for n in (1, 2, 3)]
    return head + tables + scans[0] + scans[1] + scans[2] * num_scans + b"\xff\xd9"


def webp_of(*chunks: tuple[bytes, bytes]) -> bytes:
    """A WebP container of the given chunks."""
    content = b"WEBP" + b"".join(
        kind + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2) for kind, body in chunks
    )
    return b"RIFF" + struct.pack("<I", len(content)) + content


def webp_canvas(width: int, height: int, flags: int = 0) -> tuple[bytes, bytes]:
    """The VP8X chunk of a WebP."""
    return b"VP8X", bytes([flags, 0, 0, 0]) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")


def webp_of_frames(num_frames: int) -> bytes:
    """An animated WebP of so many frames of 20 x 30, all alike."""
    picture = encode(noise(30, 20, 3), "WEBP", lossless=False)[12:]
    head = bytes(6) + (19).to_bytes(3, "little") + (29).to_bytes(3, "little") + b"\x01\0\0\0"
    return webp_of(webp_canvas(20, 30, 2), (b"ANIM", bytes(6)), *[(b"ANMF", head + picture)] * num_frames)


def jpeg_with(segment: int, content: bytes, picture: np.ndarray | None = None) -> bytes:
    """A JPEG with one more application segment right behind its start."""
    data = encode(noise(16, 16, 3) if picture is None else picture, "JPEG")
    return data[:2] + bytes([0xFF, 0xE0 + segment]) + struct.pack(">H", len(content) + 2) + content + data[2:]


def looping_exif(orientation: int = 1) -> bytes:
    """EXIF whose next directory, EXIF directory and GPS directory are all the first one again."""
    entries = [
        struct.pack("<HHII", 0x0112, 3, 1, orientation),
        struct.pack("<HHII", 0x8769, 4, 1, 8),
        struct.pack("<HHII", 0x8825, 4, 1, 8),
    ]
    return b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", 3) + b"".join(entries) + struct.pack("<I", 8)


def chained_tiff(num_directories: int) -> bytes:
    """A TIFF of one real picture and a long chain of directories behind it."""
    picture = grey_tiff(4, 4, bytes(range(16)), 1)
    step = 2 + 12 + 4
    start = len(picture)
    chain = b"".join(
        struct.pack("<H", 1)
        + struct.pack("<HHII", 256, 4, 1, 4)
        + struct.pack("<I", start + step * (number + 1) if number + 1 < num_directories else 0)
        for number in range(num_directories)
    )
    return picture[:-4] + struct.pack("<I", start) + chain


def looping_tiff() -> bytes:
    """A TIFF whose directory names itself as the next one."""
    picture = grey_tiff(4, 4, bytes(range(16)), 1)
    return picture[:-4] + picture[4:8]


def endless_apng(num_frames: int) -> bytes:
    """A 1 x 1 PNG that says it has so many frames."""
    return png_of(1, 1, zlib.compress(b"\0\x63"), png_chunk(b"acTL", struct.pack(">II", num_frames, 0)))


def line(width: int, height: int) -> bytes:
    """A grey PNG of one pixel in one of its directions."""
    return png(width, height, 8, 0, (b"\0" + bytes([70]) * width) * height)
