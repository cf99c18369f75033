#!/usr/bin/env python3
"""Measure the loader against a bare thread pool around the same decode, side by side in one run.

Pictures are JPEGs of quality 90 cut from the two photographs that ship with scikit-learn; features are a bcolz matrix.
Every contender delivers the same rows in the same order, and what it delivers is compared before anything is timed.
Rounds alternate the order of the contenders; medians are printed. The machine is noisy, so only ratios count.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import typer
from PIL import Image
from sklearn.datasets import load_sample_images

import mtgen
from mtgen.decode import decode
from mtgen.gather.pictures import GROUP_PICTURES
from mtgen.stores.bcolz_writer import write_bcolz

HEIGHT, WIDTH = 375, 500
SIZE = (150, 150)
BATCH = 64
AHEAD = 4


def make_data(folder: Path, num_pictures: int, num_features: int) -> pd.DataFrame:
    """Pictures and features on disk; returns the table."""
    photographs = load_sample_images().images
    rng = np.random.default_rng(0)
    for number in range(num_pictures):
        photograph = photographs[number % 2]
        top = rng.integers(0, photograph.shape[0] - HEIGHT)
        left = rng.integers(0, photograph.shape[1] - WIDTH)
        cut = Image.fromarray(photograph[top : top + HEIGHT, left : left + WIDTH])
        cut.save(folder / f"{number}.jpg", quality=90)
    features = rng.standard_normal((num_pictures, num_features), np.float32)
    write_bcolz(folder / "features.bcolz", features * (rng.random(features.shape) < 0.2))
    return pd.DataFrame({"path": [f"{number}.jpg" for number in range(num_pictures)], "y": 0})


def bare_pool(dataset: mtgen.Dataset, loader: mtgen.Loader, num_workers: int) -> Iterator[np.ndarray]:
    """The floor: a thread pool that decodes the same groups into the same buffers, a few batches ahead."""
    bound = dataset.fields[0].bound

    def group(rows: np.ndarray, out: np.ndarray) -> None:
        for slot, row in enumerate(rows):
            decode(bound.read_bytes(int(row)), bound.recipe, out[slot], None)

    with ThreadPoolExecutor(num_workers) as pool:
        waiting: deque[tuple[np.ndarray, list[Future[None]]]] = deque()
        for step in range(loader.steps_per_epoch + AHEAD):
            if step < loader.steps_per_epoch:
                rows = loader.rows(step)
                out = np.empty((len(rows), *SIZE, 3), np.uint8)
                starts = range(0, len(rows), GROUP_PICTURES)
                jobs = [pool.submit(group, rows[s : s + GROUP_PICTURES], out[s : s + GROUP_PICTURES]) for s in starts]
                waiting.append((out, jobs))
            if len(waiting) > AHEAD or step >= loader.steps_per_epoch:
                out, jobs = waiting.popleft()
                for job in jobs:
                    job.result()
                yield out


def seconds(consume: Callable[[], object]) -> float:
    """Wall-clock seconds of one call."""
    started = time.perf_counter()
    consume()
    return time.perf_counter() - started


def main(
    pictures: Annotated[int, typer.Option(help="JPEG files to make")] = 768,
    features: Annotated[int, typer.Option(help="columns of the feature matrix")] = 512,
    workers: Annotated[int, typer.Option(help="threads of every contender")] = 2,
    rounds: Annotated[int, typer.Option(help="rounds; medians are printed")] = 7,
    recipe: Annotated[str, typer.Option(help="pixel recipe")] = "clean",
) -> None:
    """Run the contenders and print rows per second and the ratio to the bare pool."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        table = make_data(folder, pictures, features)
        image = mtgen.Images("path", root=folder, size=SIZE, recipe=recipe)
        plain = mtgen.Dataset(table, inputs={"image": image}, targets="y")
        both = mtgen.Dataset(
            table, inputs={"image": image, "features": mtgen.Rows(folder / "features.bcolz")}, targets="y"
        )
        loader, merged = (mtgen.Loader(data, BATCH, seed=0, num_workers=workers) for data in (plain, both))
        epochs = iter(range(1_000_000))

        def run_loader(source: mtgen.Loader) -> None:
            for batch in source.epoch(next(epochs)):
                del batch
            source.close()  # nothing made ahead for the next round

        contenders: dict[str, Callable[[], object]] = {
            "bare thread pool, pictures": lambda: deque(bare_pool(plain, loader, workers), maxlen=0),
            "loader, pictures": lambda: run_loader(loader),
            "loader, pictures + features": lambda: run_loader(merged),
        }
        for given, batch in zip(bare_pool(plain, loader, workers), loader.epoch(0), strict=True):
            np.testing.assert_array_equal(given, batch.inputs["image"])
        loader.close()
        times: dict[str, list[float]] = {name: [] for name in contenders}
        for turn in range(rounds):
            names = list(contenders)[:: 1 if turn % 2 else -1]
            for contender in names:
                times[contender].append(seconds(contenders[contender]))
        floor = statistics.median(times["bare thread pool, pictures"])
        typer.echo(
            f"{pictures} JPEG {WIDTH}x{HEIGHT} -> {SIZE[1]}x{SIZE[0]}, recipe {recipe}, batch {BATCH}, "
            f"{workers} workers, median of {rounds} rounds"
        )
        for contender, measured in times.items():
            middle = statistics.median(measured)
            ratios = [bare / own for bare, own in zip(times["bare thread pool, pictures"], measured, strict=True)]
            typer.echo(
                f"{contender:30} {pictures / middle:8.0f} rows/s   {floor / middle:5.2f} of the bare pool "
                f"(round by round {min(ratios):.2f} to {max(ratios):.2f})"
            )


if __name__ == "__main__":
    typer.run(main)
