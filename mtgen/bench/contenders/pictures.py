"""One picture from a path, as user code in the loaders of others does it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from mtgen.bench.work import Work

Load = Callable[[str], np.ndarray]


def pillow(size: int) -> Load:
    """Pillow, full decode, antialiased bilinear filter, as its documentation has it."""
    from PIL import Image

    def load(path: str) -> np.ndarray:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB").resize((size, size), Image.Resampling.BILINEAR))

    return load


def opencv(size: int, halved: bool) -> Load:
    """OpenCV, bilinear without antialiasing; `halved` lets libjpeg decode at half the size.

    OpenCV's own threads are switched off, because there are several workers.
    """
    import cv2

    cv2.setNumThreads(0)
    flag = cv2.IMREAD_REDUCED_COLOR_2 if halved else cv2.IMREAD_COLOR

    def load(path: str) -> np.ndarray:
        resized = cv2.resize(cv2.imread(path, flag), (size, size), interpolation=cv2.INTER_LINEAR)
        return np.asarray(cv2.cvtColor(resized, cv2.COLOR_BGR2RGB))

    return load


def keras_load_img(size: int, interpolation: str) -> Load:
    """`keras.utils.load_img` and `img_to_array`."""
    from keras.utils import img_to_array, load_img

    def load(path: str) -> np.ndarray:
        image = load_img(path, target_size=(size, size), interpolation=interpolation)
        return np.asarray(img_to_array(image, dtype="uint8"))

    return load


def signed(load: Load) -> Load:
    """As float32 from -1 to 1, the preprocessing of the 2017 generator."""

    def load_signed(path: str) -> np.ndarray:
        scaled: np.ndarray = 2 * (load(path).astype(np.float32) / 255.0 - 0.5)
        return scaled

    return load_signed


def loader(name: str, size: int) -> Load:
    """One of the ways above by its name.

    Example:
        >>> loader("unknown", 8)
        Traceback (most recent call last):
        KeyError: 'unknown'
    """
    ways: dict[str, Callable[[], Load]] = {
        "pillow": lambda: pillow(size),
        "opencv": lambda: opencv(size, halved=False),
        "opencv half": lambda: opencv(size, halved=True),
        "keras": lambda: signed(keras_load_img(size, "nearest")),
        "keras bilinear": lambda: keras_load_img(size, "bilinear"),
    }
    return ways[name]()


class Samples:
    """The samples of map-style datasets: features from a memory map, and a way to a picture for each.

    Args:
        work: what to deliver.
        decode: name of a way to load a picture; `"pixels"` for decoded ones from a memory map; None for none.
    """

    def __init__(self, work: Work, decode: str | None) -> None:
        self.wanted = work.wanted
        self.size, self.decode = work.size, decode
        self.features = np.load(work.place("features.npy"), mmap_mode="r")
        self.pixels = np.load(work.place("pixels.npy"), mmap_mode="r") if decode == "pixels" else None
        self.paths = work.paths() if decode not in (None, "pixels") else []
        self.load: Any = None

    def __len__(self) -> int:
        return len(self.wanted)
