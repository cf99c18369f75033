"""Measure how fast pictures come out of a warm cache, against copying them from memory: `measure_cache.py --help`.

The floor is `np.take` of the same pictures from an array in memory into reused buffers, by as many threads: into one
buffer each, which stays in the processor's cache, and into eight each, which is what a loader that works ahead holds.
Contenders take turns, and of each the median counts; CPU seconds are less disturbed by others on the machine.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

import mtgen

BATCH = 64


def make_pictures(root: Path, num: int, side: int) -> tuple[pd.DataFrame, np.ndarray]:
    tile = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    pictures = np.empty((num, side, side, 3), np.uint8)
    for number in range(num):
        pictures[number] = np.roll(tile, number, axis=1)
        Image.fromarray(pictures[number]).save(root / f"{number}.ppm")
        os.utime(root / f"{number}.ppm", (1e9, 1e9))
    return pd.DataFrame({"path": [f"{number}.ppm" for number in range(num)], "y": range(num)}), pictures


def in_threads(work: Callable[[int], None], num_threads: int) -> None:
    threads = [threading.Thread(target=work, args=(number,)) for number in range(num_threads)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(600)


def copies(
    fill: Callable[[np.ndarray, np.ndarray], object], shape: tuple[int, ...], num: int, threads: int, buffers: int
) -> int:
    """Fill batches of random rows; how many rows."""
    steps = 200

    def work(number: int) -> None:
        rng = np.random.default_rng(number)
        held = [np.empty((BATCH, *shape), np.uint8) for _ in range(buffers)]
        for step in range(steps):
            fill(rng.integers(0, num, BATCH), held[step % buffers])

    in_threads(work, threads)
    return steps * BATCH * threads


def epoch(loader: mtgen.Loader, numbers: list[int]) -> int:
    numbers[0] += 1
    return sum(len(batch.rows) for batch in loader.epoch(numbers[0]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=6000)
    parser.add_argument("--side", type=int, default=150)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        table, pictures = make_pictures(Path(folder), options.pictures, options.side)
        images = mtgen.Images(
            "path", root=folder, size=(options.side, options.side), cache=os.path.join(folder, "cache")
        )
        data = mtgen.Dataset(table, inputs={"image": images}, targets="y")
        print(mtgen.pack_images(data))
        loader = mtgen.Loader(data, BATCH, num_workers=options.threads)
        numbers, slots = [0], np.arange(BATCH)
        epoch(loader, numbers)
        cache = data.fields[0].bound.cache
        take = partial(np.take, pictures, axis=0, mode="clip")
        copied = partial(copies, shape=pictures.shape[1:], num=options.pictures, threads=options.threads)
        contenders: dict[str, Callable[[], int]] = {
            "np.take, 1 buffer": lambda: copied(lambda rows, out: take(rows, out=out), buffers=1),
            "np.take, 8 buffers": lambda: copied(lambda rows, out: take(rows, out=out), buffers=8),
            "cache, 1 buffer": lambda: copied(lambda rows, out: cache.fill(rows, slots, out), buffers=1),
            "cache, 8 buffers": lambda: copied(lambda rows, out: cache.fill(rows, slots, out), buffers=8),
            "loader": lambda: epoch(loader, numbers),
        }
        walls: dict[str, list[float]] = {name: [] for name in contenders}
        cpus: dict[str, list[float]] = {name: [] for name in contenders}
        for turn in range(options.rounds):
            for name in list(contenders)[:: 1 if turn % 2 else -1]:
                wall, cpu = time.perf_counter(), time.process_time()
                num = contenders[name]()
                walls[name].append(num / (time.perf_counter() - wall))
                cpus[name].append((time.process_time() - cpu) / num * 1e6)
        for name in contenders:
            print(
                f"{name:20} {statistics.median(walls[name]):10,.0f} pictures/s, "
                f"{statistics.median(cpus[name]):6.2f} us of CPU each"
            )


if __name__ == "__main__":
    main()
