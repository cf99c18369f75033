"""JPEG files cut from photographs: each another cut, each with its number marked in its corner."""

from __future__ import annotations

import hashlib
import importlib.util
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mtgen.bench.marks import draw_mark
from mtgen.bench.settings import usable_cores
from mtgen.errors import StoreError
from mtgen.threads import in_threads
from mtgen.waits import Note

HEIGHT, WIDTH, QUALITY = 375, 500, 90
"""The mean size of ImageNet's pictures is about 500 x 375."""

NAMES = ("astronaut.png", "coffee.png", "rocket.jpg", "motorcycle_left.png", "motorcycle_right.png")
"""Colour photographs inside the wheel of scikit-image that are large enough to cut from."""


def load_photographs(folder: Path | None) -> list[np.ndarray]:
    """Photographs to cut from, each uint8 `(height, width, 3)`.

    Args:
        folder: pictures of your own; None takes those that scikit-image brings along, nothing is downloaded.

    Raises:
        StoreError: there is none large enough, or scikit-image is not installed.
    """
    from PIL import Image

    paths = sorted(folder.iterdir()) if folder is not None else _bundled()
    found = []
    for path in paths:
        if path.suffix.lower() in (".png", ".jpg", ".jpeg"):
            with Image.open(path) as image:
                pixels = np.asarray(image.convert("RGB"))
            if pixels.shape[0] >= HEIGHT and pixels.shape[1] >= WIDTH:
                found.append(pixels)
    if not found:
        raise StoreError(
            f"no photograph of at least {WIDTH}x{HEIGHT} pixels in PNG or JPEG is here; choose another folder, or "
            "leave it out and install mtgen[bench] for those of scikit-image",
            path=str(folder) if folder is not None else None,
        )
    return found


def _bundled() -> list[Path]:
    spec = importlib.util.find_spec("skimage")
    if spec is None or spec.origin is None:
        raise StoreError(
            "the pictures are cut from photographs of scikit-image, which is not installed: pip install mtgen[bench], "
            "or name a folder of your own photographs with --photographs"
        )
    paths = [Path(spec.origin).parent / "data" / name for name in NAMES]
    return [path for path in paths if path.is_file()]


def digest(photographs: Sequence[np.ndarray]) -> str:
    """Eight hex digits that stand for the photographs, so that pictures cut from others are not taken for these."""
    hashed = hashlib.sha256()
    for one in photographs:
        hashed.update(repr(one.shape).encode())
        hashed.update(np.ascontiguousarray(one).data)
    return hashed.hexdigest()[:8]


def file_name(number: int) -> str:
    """The name of a picture's file."""
    return f"{number:06d}.jpg"


def cut(photographs: Sequence[np.ndarray], number: int, seed: int) -> np.ndarray:
    """The picture of that number, uint8 `(HEIGHT, WIDTH, 3)`, new; pure.

    Args:
        photographs: to cut from.
        number: decides photograph, place and whether it is mirrored, and is marked in the corner.
        seed: another one gives other cuts.
    """
    rng = np.random.default_rng([seed, number])
    photograph = photographs[number % len(photographs)]
    top = int(rng.integers(0, photograph.shape[0] - HEIGHT + 1))
    left = int(rng.integers(0, photograph.shape[1] - WIDTH + 1))
    picture = photograph[top : top + HEIGHT, left : left + WIDTH]
    picture = np.array(picture[:, ::-1] if rng.random() < 0.5 else picture)
    draw_mark(picture, number)
    return picture


def write_pictures(folder: Path, photographs: Sequence[np.ndarray], num_pictures: int, seed: int) -> None:
    """Write the files into a folder that exists, with as many threads as there are cores."""
    from PIL import Image

    def write(number: int, note: Note) -> None:
        path = os.path.join(folder, file_name(number))
        Image.fromarray(cut(photographs, number, seed)).save(path, "JPEG", quality=QUALITY)

    for _ in in_threads(write, range(num_pictures), num_threads=usable_cores(), group=16):
        pass
