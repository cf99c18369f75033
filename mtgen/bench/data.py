"""The folder of the benchmark's data: pictures, feature matrices and decoded pictures, made once and found again.

Names say all that decides the content. Each part appears whole or not at all, so that a run that was interrupted
leaves nothing that a later one would take for finished.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mtgen.bench.photographs import digest, file_name, load_photographs, write_pictures
from mtgen.bench.settings import Settings, usable_cores
from mtgen.bench.values import values
from mtgen.bench.writers import STORES, Array
from mtgen.stores.new_folder import make_folder, new_folder
from mtgen.threads import in_threads
from mtgen.waits import Note

VERSION = 1
"""Rises when the same names would mean other data."""

_BLOCK_BYTES = 16 << 20


@dataclass(frozen=True, kw_only=True)
class Data:
    """The data of one suite.

    Call it from one thread.

    Args:
        folder: where it is kept.
        settings: sizes and seed.
        suite: which one.
        photographs: folder to cut pictures from; None for those of scikit-image.
        say: is told what is being made.
    """

    folder: Path
    settings: Settings
    suite: str
    photographs: Path | None
    say: Callable[[str], object]

    def make(self, names: Iterable[str]) -> dict[str, str]:
        """Make what is missing.

        Args:
            names: `"pictures"`, or `"features.FORMAT"` and `"pixels.FORMAT"` with a format of `STORES`, or
                `packed` (by default settings), or `plain` (packed without a codec), and
                `"pixels.cache"`, a cache that `Images` takes.

        Returns:
            Name -> path.

        Raises:
            StoreError: no photographs, no space, no rights.
        """
        made = {}
        for name in sorted(names):
            what, _, kind = name.partition(".")
            if what == "pictures":
                made[name] = str(self._pictures())
            elif kind == "cache":
                made[name] = str(self._cached())
            elif kind in ("packed", "plain"):
                made[name] = str(self._packed(what, kind))
            else:
                made[name] = str(self._store(what, kind))
        return made

    def _pictures(self) -> Path:
        return self._cut()[0]

    def _cut(self) -> tuple[Path, str]:
        photographs = load_photographs(self.photographs)
        number, seed = self.settings.pictures, self.settings.seed
        name = f"v{VERSION}-{number}-seed{seed}-{digest(photographs)}"
        place = self.folder / f"pictures-{name}"
        if self._is_missing(place):
            with new_folder(place) as folder:
                write_pictures(folder, photographs, number, seed)
        return place, name

    def _array(self, what: str) -> tuple[str, Array]:
        settings = self.settings
        if what == "features":
            num_rows, num_columns = settings.num_rows(self.suite), settings.num_columns(self.suite)
            name = f"features-v{VERSION}-{num_rows}x{num_columns}-{settings.sparsity:g}-seed{settings.seed}"
            blocks = _feature_blocks(num_rows, num_columns, settings.sparsity, settings.seed)
            return name, Array(
                num_rows=num_rows, row_shape=(num_columns,), dtype=np.dtype(np.float32), blocks=lambda: blocks()
            )
        pictures, name = self._cut()
        shape = (settings.size, settings.size, 3)
        pixels = _pixel_blocks(pictures, settings.pictures, shape)
        return f"pixels-{settings.size}-{name}", Array(
            num_rows=settings.pictures, row_shape=shape, dtype=np.dtype(np.uint8), blocks=lambda: pixels()
        )

    def _store(self, what: str, kind: str) -> Path:
        name, array = self._array(what)
        store = STORES[kind]
        place = self.folder / name / kind
        if self._is_missing(place):
            with new_folder(place) as folder:
                store.write(folder, array)
        return place / store.name

    def _packed(self, what: str, kind: str) -> Path:
        import mtgen

        source = self._store(what, "npy")
        place = source.parent.parent / f"{kind}-{_code_digest()}.zarr"
        if self._is_missing(place):
            mtgen.pack(source, place, codec="none" if kind == "plain" else "auto")
        return place

    def _cached(self) -> Path:
        import mtgen

        pictures, name = self._cut()
        size = self.settings.size
        place = self.folder / f"pixels-{size}-{name}" / f"cache-{_code_digest()}"
        if self._is_missing(place):
            table = pd.DataFrame({"path": [file_name(row) for row in range(self.settings.pictures)]})
            images = mtgen.Images("path", root=pictures, size=(size, size), cache=place)
            mtgen.pack_images(mtgen.Dataset(table, inputs={"pictures": images}))
        return place

    def _is_missing(self, place: Path) -> bool:
        missing = not place.exists()
        if missing:
            make_folder(place.parent, "the folder for the data")
            self.say(f"making {place.relative_to(self.folder)}")
        return missing


def _code_digest() -> str:
    """Eight hex digits for the code that packs, so that a store packed by other code is not taken for this one's."""
    from mtgen import packing

    hashed = hashlib.sha256()
    for path in sorted(Path(packing.__file__).parent.glob("*.py")):
        hashed.update(path.read_bytes())
    return hashed.hexdigest()[:8]


def picture_paths(folder: str, rows: Iterable[int]) -> list[str]:
    """Path of the picture of each row."""
    return [f"{folder}/{file_name(int(row))}" for row in rows]


def size_on_disk(path: Path) -> int:
    """Bytes of a file, or of all files under a folder."""
    if path.is_file():
        return path.stat().st_size
    return sum(one.stat().st_size for one in path.rglob("*") if one.is_file())


def reference_picture(path: str, size: int) -> np.ndarray:
    """A picture as the class `antialiased` has it, by Pillow alone: uint8 `(size, size, 3)`."""
    from PIL import Image

    with Image.open(path) as image:
        return np.asarray(image.convert("RGB").resize((size, size), Image.Resampling.BILINEAR))


def _feature_blocks(num_rows: int, num_columns: int, sparsity: float, seed: int) -> Callable[[], Iterator[np.ndarray]]:
    step = max(_BLOCK_BYTES // (8 * num_columns), 1)

    def blocks() -> Iterator[np.ndarray]:
        for start in range(0, num_rows, step):
            rows = np.arange(start, min(start + step, num_rows))
            yield values(rows, num_columns, sparsity=sparsity, seed=seed)

    return blocks


def _pixel_blocks(folder: Path, num_rows: int, shape: tuple[int, ...]) -> Callable[[], Iterator[np.ndarray]]:
    def one(row: int, note: Note) -> Any:
        (path,) = picture_paths(str(folder), [row])
        return reference_picture(path, shape[0])

    def blocks() -> Iterator[np.ndarray]:
        taken = []
        for picture in in_threads(one, range(num_rows), num_threads=usable_cores(), group=16):
            taken.append(picture)
            if len(taken) == 256:
                yield np.stack(taken)
                taken = []
        if taken:
            yield np.stack(taken)

    return blocks
