"""Pictures on disk for tests of the cache, and loaders over them with and without one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pandas as pd

import mtgen
from tests.support.pictures import encode, noise

OLD_NS = 1_000_000_000 * 10**9
"""Files are of the year 2001: what was modified a moment ago is not stored."""


def write_picture(path: Path, seed: int, mtime_ns: int = OLD_NS, side: int = 12) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode(noise(side, side, 3, seed=seed)))
    os.utime(path, ns=(mtime_ns, mtime_ns))


def make_pictures(root: Path, num: int) -> pd.DataFrame:
    for number in range(num):
        write_picture(root / f"{number}.png", number, OLD_NS + number)
    return pd.DataFrame({"path": [f"{number}.png" for number in range(num)], "y": range(num)})


def dataset(table: pd.DataFrame, root: Path, cache: Any, **settings: Any) -> mtgen.Dataset:
    settings = {"size": (6, 5), **settings}
    images = mtgen.Images("path", root=root, cache=cache, **settings)
    return mtgen.Dataset(table, inputs={"image": images}, targets="y")


def loader(table: pd.DataFrame, root: Path, cache: Any, **settings: Any) -> mtgen.Loader:
    """Without workers, so that every count is exact."""
    keys = ("batch_size", "num_workers", "num_processes", "on_error", "shuffle", "seed", "shard", "memory")
    chosen = {name: settings.pop(name) for name in keys if name in settings}
    return mtgen.Loader(dataset(table, root, cache, **settings), **{"batch_size": 4, "num_workers": 0, **chosen})


def pictures_of(one: mtgen.Loader, epoch: int = 0) -> dict[int, bytes]:
    """Row -> bytes of its picture, of one epoch."""
    return {
        int(row): picture.tobytes()
        for batch in one.epoch(epoch)
        for row, picture in zip(batch.rows, batch.inputs["image"], strict=True)
    }


def counts(one: mtgen.Loader) -> tuple[int, int, int, int]:
    """Hits, misses, stored, damaged."""
    stats = one.stats()
    return stats.num_cache_hits, stats.num_cache_misses, stats.num_cache_stored, stats.num_cache_damaged


def recipe_folder(cache: Path) -> Path:
    (folder,) = (one for one in cache.iterdir() if one.is_dir())
    return folder


def segment(cache: Path, number: int = 0) -> Path:
    return recipe_folder(cache) / "c" / str(number) / "0" / "0" / "0"


def flip(path: Path, place: int, bit: int = 1) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= bit
    path.write_bytes(content)


def files_bytes(folder: Path) -> int:
    return sum(one.stat().st_size for one in folder.rglob("*") if one.is_file())
