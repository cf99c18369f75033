#!/usr/bin/env python3
"""Measure how decoding scales over processes on this machine, and what a real `fit` waits for data there.

    python scripts/scaling.py --json scaling.json
    KERAS_BACKEND=jax python scripts/scaling.py --fit --json scaling.json

Pictures are JPEGs of 500 x 375, quality 90, cut from the two photographs that ship with scikit-learn; `--folder` keeps
them for a machine without it. Every contender delivers the same rows in the same order with as many threads in all,
and the first batches of each are compared before anything is timed. Rounds alternate the order; medians are printed.
Options are read by the standard library, so that a bare machine needs what mtgen imports, and Keras for `--fit`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import sys
import tempfile
import time
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import PIL
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that nothing needs to be installed

import mtgen
from mtgen.config import Prefetch

HEIGHT, WIDTH = 375, 500
NUM_CLASSES = 10
COMPARED_STEPS = 3


@dataclass(frozen=True)
class Rate:
    """One run of one contender.

    Args:
        num_processes: of the loader; 0 decodes in threads.
        num_workers: threads in all.
        rows_per_second: rows delivered, once everything runs.
        first_batch_seconds: from nothing to the first batch, processes started within.
        loader_seconds: processor time of the loader's own process for 1,000 rows.
        children_seconds: likewise of its processes.
    """

    num_processes: int
    num_workers: int
    rows_per_second: float
    first_batch_seconds: float
    loader_seconds: float
    children_seconds: float


def make_pictures(folder: Path, num_pictures: int) -> None:
    """Write the pictures that are not there yet."""
    missing = [number for number in range(num_pictures) if not (folder / f"{number}.jpg").exists()]
    if not missing:
        return
    from sklearn.datasets import load_sample_images

    photographs = load_sample_images().images
    folder.mkdir(parents=True, exist_ok=True)
    for number in missing:
        rng = np.random.default_rng(number)
        photograph = photographs[number % 2]
        top = rng.integers(0, photograph.shape[0] - HEIGHT)
        left = rng.integers(0, photograph.shape[1] - WIDTH)
        cut = Image.fromarray(photograph[top : top + HEIGHT, left : left + WIDTH])
        cut.save(folder / f"{number}.jpg", quality=90)


def make_data(folder: Path, num_pictures: int, size: int, recipe: str) -> mtgen.Dataset:
    """The pictures, a few columns beside each, and a class to learn."""
    rng = np.random.default_rng(0)
    columns = {f"x{number}": rng.standard_normal(num_pictures, np.float32) for number in range(16)}
    table = pd.DataFrame(
        {"path": [f"{number}.jpg" for number in range(num_pictures)], "y": np.arange(num_pictures) % NUM_CLASSES}
        | columns
    )
    inputs = {
        "image": mtgen.Images("path", root=folder, size=(size, size), recipe=recipe),
        "features": mtgen.Columns(list(columns)),
    }
    return mtgen.Dataset(table, inputs, targets="y")


def make_loader(data: mtgen.Dataset, given: argparse.Namespace, num_processes: int) -> mtgen.Loader:
    """A loader with so many processes; the number of threads in all is the same for each."""
    num_workers = max(given.workers or len(os.sched_getaffinity(0)), num_processes)
    return mtgen.Loader(
        data, given.batch, seed=0, num_workers=num_workers, num_processes=num_processes, prefetch=Prefetch(depth=8)
    )


def processor_seconds(who: int) -> float:
    """Time of this process, or of its children that ended."""
    used = resource.getrusage(who)
    return used.ru_utime + used.ru_stime


def measure(data: mtgen.Dataset, given: argparse.Namespace, num_processes: int) -> Rate:
    """Rows per second of one contender, over whole batches for at least the time asked for."""
    children = processor_seconds(resource.RUSAGE_CHILDREN)
    with make_loader(data, given, num_processes) as loader:
        begun = time.perf_counter()
        steps = loader.steps(0)
        next(steps)
        first = time.perf_counter() - begun
        warm = time.perf_counter() + min(1.0, given.seconds / 3)
        while time.perf_counter() < warm:
            next(steps)
        rows, started, own = 0, time.perf_counter(), processor_seconds(resource.RUSAGE_SELF)
        while (seconds := time.perf_counter() - started) < given.seconds:
            rows += len(next(steps).rows)
        own = processor_seconds(resource.RUSAGE_SELF) - own
        del steps
        all_rows = loader.stats().num_rows
    children = processor_seconds(resource.RUSAGE_CHILDREN) - children
    return Rate(
        num_processes=num_processes,
        num_workers=loader.num_workers,
        rows_per_second=rows / seconds,
        first_batch_seconds=first,
        loader_seconds=own / rows * 1000,
        children_seconds=children / all_rows * 1000,
    )


def compare(data: mtgen.Dataset, given: argparse.Namespace) -> None:
    """The same bytes by each contender, or an end with an error."""
    expected = [make_loader(data, given, 0).batch(step) for step in range(COMPARED_STEPS)]
    for num_processes in given.processes:
        with make_loader(data, given, num_processes) as loader:
            for one, batch in zip(expected, loader.steps(0, COMPARED_STEPS), strict=True):
                np.testing.assert_array_equal(one.rows, batch.rows)
                np.testing.assert_array_equal(one.inputs["image"], batch.inputs["image"])


def medians(rounds: list[Rate]) -> Rate:
    """Each number's median over the rounds of one contender."""
    return Rate(**{name: statistics.median(getattr(one, name) for one in rounds) for name in asdict(rounds[0])})


def make_model(size: int) -> Any:
    """A small residual network on the picture, merged with a dense layer on the features."""
    import keras
    from keras import layers

    image = keras.Input((size, size, 3), dtype="uint8", name="image")
    features = keras.Input((16,), name="features")
    x = layers.Rescaling(1 / 127.5, -1)(image)
    x = layers.Conv2D(64, 7, strides=2, padding="same", activation="relu")(x)
    for width in (64, 128, 256):
        beside = layers.Conv2D(width, 1, strides=2)(x)
        x = layers.Conv2D(width, 3, strides=2, padding="same", activation="relu")(x)
        x = layers.Conv2D(width, 3, padding="same")(x)
        x = layers.Activation("relu")(layers.Add()([x, beside]))
    x = layers.Concatenate()([layers.GlobalAveragePooling2D()(x), layers.Dense(32, activation="relu")(features)])
    model = keras.Model([image, features], layers.Dense(NUM_CLASSES)(x))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(1e-3), loss)
    return model


def fit(data: mtgen.Dataset, given: argparse.Namespace, num_processes: int) -> dict[str, Any]:
    """Train for real; which share of the time went into waiting for batches, from the second epoch on."""
    import keras

    class Clock(keras.callbacks.Callback):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.seconds: list[float] = []

        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            self._begun = time.perf_counter()

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.seconds.append(time.perf_counter() - self._begun)

    keras.utils.set_random_seed(0)
    with make_loader(data, given, num_processes) as loader:
        clock, x = Clock(), loader.keras(steps_per_epoch=given.fit_steps)
        history = make_model(given.size).fit(
            x, epochs=given.fit_epochs, verbose=0, callbacks=[loader.callback(x), clock], shuffle=False
        )
    seconds, waited = sum(clock.seconds[1:]), sum(history.history["data_wait"][1:])
    rows = given.fit_steps * given.batch * (given.fit_epochs - 1)
    return {
        "num_processes": num_processes,
        "rows_per_second": rows / seconds,
        "share_of_time_spent_waiting": waited / seconds,
        "seconds_per_epoch": clock.seconds,
        "loss": history.history["loss"],
    }


def device() -> str:
    """What Keras trains on."""
    import keras

    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        return f"jax, {jax.devices()[0].device_kind}"
    if backend == "torch":
        import torch

        return f"torch, {torch.cuda.get_device_name() if torch.cuda.is_available() else 'cpu'}"
    import tensorflow

    return f"tensorflow, {[one.name for one in tensorflow.config.list_physical_devices('GPU')] or 'cpu'}"


def machine() -> dict[str, Any]:
    """What was measured on."""
    return {
        "cores": len(os.sched_getaffinity(0)),
        "processor": platform.machine(),
        "python": platform.python_version(),
        "pillow": PIL.__version__,
        "numpy": np.__version__,
    }


def arguments() -> argparse.Namespace:
    """What the user says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    numbers = [0, 1, 2, 4, 8, 16]
    parser.add_argument("--processes", type=int, nargs="+", default=numbers, help="numbers of processes to go through")
    parser.add_argument("--workers", type=int, help="threads in all; as many as cores by default")
    parser.add_argument("--pictures", type=int, default=1024, help="JPEG files to make")
    parser.add_argument("--folder", type=Path, help="where the pictures are kept; a temporary folder by default")
    parser.add_argument("--size", type=int, default=150, help="height and width of what is delivered")
    parser.add_argument("--recipe", default="clean", help="pixel recipe")
    parser.add_argument("--batch", type=int, default=64, help="samples per batch")
    parser.add_argument("--seconds", type=float, default=5.0, help="time for one measurement")
    parser.add_argument("--rounds", type=int, default=3, help="rounds; medians are printed")
    parser.add_argument("--fit", action="store_true", help="train too, with each number of processes")
    parser.add_argument("--fit-steps", type=int, default=100, help="steps of an epoch of that")
    parser.add_argument("--fit-epochs", type=int, default=4, help="epochs of that; the first one compiles")
    parser.add_argument("--json", type=Path, help="file for all numbers")
    return parser.parse_args()


def main() -> None:
    """Measure, print a table, write the numbers."""
    given = arguments()
    with nullcontext(given.folder) if given.folder else tempfile.TemporaryDirectory() as name:
        make_pictures(Path(name), given.pictures)
        data = make_data(Path(name), given.pictures, given.size, given.recipe)
        compare(data, given)
        found: dict[int, list[Rate]] = {number: [] for number in given.processes}
        for turn in range(given.rounds):
            for number in given.processes[:: -1 if turn % 2 else 1]:
                found[number].append(measure(data, given, number))
        result: dict[str, Any] = {
            "machine": machine(),
            "settings": {key: str(value) if isinstance(value, Path) else value for key, value in vars(given).items()},
            "medians": [asdict(medians(rounds)) for rounds in found.values()],
            "rounds": {number: [asdict(one) for one in rounds] for number, rounds in found.items()},
        }
        show(result)
        if given.fit:
            result["device"] = device()
            result["fit"] = [fit(data, given, number) for number in given.processes]
            show_fit(result)
        if given.json:
            given.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def show(result: dict[str, Any]) -> None:
    """Print the curve as a table."""
    print(
        f"{result['machine']['cores']} cores, {result['settings']['recipe']}, medians of {result['settings']['rounds']}"
    )
    print("| processes | threads in all | rows/s | to the first | first batch | loader s/1,000 rows | processes |")
    print("|---|---|---|---|---|---|---|")
    base = result["medians"][0]["rows_per_second"]
    for one in result["medians"]:
        print(
            f"| {one['num_processes']:.0f} | {one['num_workers']:.0f} | {one['rows_per_second']:,.0f} "
            f"| {one['rows_per_second'] / base:.2f} | {one['first_batch_seconds']:.2f} s "
            f"| {one['loader_seconds']:.2f} | {one['children_seconds']:.2f} |"
        )


def show_fit(result: dict[str, Any]) -> None:
    """Print what training waited for."""
    print(f"fit on {result['device']}, epochs after the first")
    print("| processes | rows/s | of the time spent waiting for data |")
    print("|---|---|---|")
    for one in result["fit"]:
        waited = one["share_of_time_spent_waiting"]
        print(f"| {one['num_processes']} | {one['rows_per_second']:,.0f} | {waited:.1%} |")


if __name__ == "__main__":
    main()
