"""Pictures for tests: arrays, encoded by Pillow, and the shortest way through `decode`."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from PIL import Image

from mtgen.decode import decode
from mtgen.recipe import Recipe, named_recipe

EIGHT = {  # how a picture is stored for each EXIF orientation, from the upright one
    1: lambda upright: upright,
    2: lambda upright: upright[:, ::-1],
    3: lambda upright: upright[::-1, ::-1],
    4: lambda upright: upright[::-1],
    5: lambda upright: upright.swapaxes(0, 1),
    6: lambda upright: upright.swapaxes(0, 1)[::-1],
    7: lambda upright: upright.swapaxes(0, 1)[::-1, ::-1],
    8: lambda upright: upright.swapaxes(0, 1)[:, ::-1],
}


def noise(height: int, width: int, *channels: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, *channels), dtype=np.uint8)


def photo(height: int, width: int) -> np.ndarray:
    """A picture like a photograph: smooth shades, edges, and fine noise."""
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    shades = np.stack([np.sin(5 * x + 3 * y), np.cos(7 * y), np.sin(9 * x * y + 1)], -1) * 90 + 120
    shades[(x - 0.4) ** 2 + (y - 0.3) ** 2 < 0.03] += 60
    return np.clip(shades + np.random.default_rng(1).normal(0, 6, shades.shape), 0, 255).astype(np.uint8)


def encode(picture: np.ndarray | Image.Image, picture_format: str = "PNG", **options: object) -> bytes:
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(np.ascontiguousarray(picture))
    file = io.BytesIO()
    image.save(file, picture_format, **options)
    return file.getvalue()


def oriented(picture: np.ndarray, orientation: int, picture_format: str = "PNG", **options: object) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    tag = exif if picture_format == "TIFF" else exif.tobytes()
    return encode(EIGHT[orientation](picture), picture_format, exif=tag, **options)


def pixels(data: bytes, recipe: Recipe, facts: dict[str, int] | None = None) -> np.ndarray:
    out = recipe.spec.empty(1)[0]
    decode(data, recipe, out, facts)
    return out


def clean(data: bytes, size: tuple[int, int], facts: dict[str, int] | None = None, **settings: object) -> np.ndarray:
    return pixels(data, named_recipe("clean", size=size, **settings), facts)


def png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, depth: int, color_type: int, rows: bytes, *extra: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, color_type, 0, 0, 0)
    chunks = [png_chunk(b"IHDR", header), *extra, png_chunk(b"IDAT", zlib.compress(rows)), png_chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)
