#!/usr/bin/env python3
"""Measure the time of an epoch of a merged model by placement: streamed, held in memory, on the device, and split.

Two made-up datasets in a temporary folder, of the size of the digits (1,797 pictures of 8 x 4) and of CIFAR (50,000 of
32 x 32 in colour), with a feature row beside each picture. The model is small, so that data are what takes time. The
backend is that of KERAS_BACKEND, on a GPU where it finds one. The first epoch compiles and reads what is held; it is
told apart. Placements take turns, and the median epoch counts. Exits with 1 where weights differ after training.
"""

from __future__ import annotations

import json
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import typer

import mtgen
from mtgen.stores.bcolz_writer import write_bcolz

SIZES: dict[str, tuple[int, tuple[int, int, int], int, int]] = {
    "digits": (1_797, (8, 4, 1), 32, 10),
    "cifar": (50_000, (32, 32, 3), 64, 10),
}
"""Rows, shape of a picture, features, classes."""

PLACEMENTS: dict[str, Any] = {
    "stream": "stream",
    "ram": "ram",
    "features on the device": {"features": "device"},
    "device": "device",
}


def make_data(folder: Path, size: str) -> mtgen.Dataset:
    """Pictures as raw pixels in one file, features in a compressed folder."""
    num_rows, shape, num_features, num_classes = SIZES[size]
    rng = np.random.default_rng(0)
    np.save(folder / "pictures.npy", rng.integers(0, 256, (num_rows, *shape), np.uint8))
    write_bcolz(folder / "features.bcolz", [rng.normal(size=(num_rows, num_features)).astype(np.float32)])
    table = pd.DataFrame({"label": rng.integers(0, num_classes, num_rows)})
    inputs = {"image": mtgen.Rows(folder / "pictures.npy"), "features": mtgen.Rows(folder / "features.bcolz")}
    return mtgen.Dataset(table, inputs, "label")


def make_model(size: str) -> Any:
    """A small merged model, always with the same weights."""
    import keras

    _, shape, num_features, num_classes = SIZES[size]
    keras.utils.set_random_seed(0)
    image = keras.Input(shape, dtype="uint8", name="image")
    features = keras.Input((num_features,), name="features")
    pixels = keras.layers.Conv2D(16, 3, 2, activation="relu")(keras.layers.Rescaling(1 / 255)(image))
    joined = keras.layers.Concatenate()([keras.layers.Flatten()(pixels), features])
    hidden = keras.layers.Dense(64, activation="relu")(joined)
    model = keras.Model([image, features], keras.layers.Dense(num_classes, activation="softmax", name="label")(hidden))
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


class Run:
    """One placement: a loader, a model, and the seconds of each epoch."""

    def __init__(self, data: mtgen.Dataset, size: str, placement: Any, batch_size: int) -> None:
        import keras

        self.loader = mtgen.Loader(data, batch_size, seed=0, drop_last=True, placement=placement)
        self.model = make_model(size)
        self.x = self.loader.keras(self.model)
        self.seconds: list[float] = []
        self.waits: list[float] = []
        self._keras = keras

    def epoch(self) -> None:
        """Train one epoch, to the last weight."""
        waited, started = self.loader.stats().wait_seconds, time.perf_counter()
        self.model.fit(self.x, epochs=1, verbose=0)
        self.weights()  # the device may still be at work
        self.seconds.append(time.perf_counter() - started)
        self.waits.append(self.loader.stats().wait_seconds - waited)

    def weights(self) -> list[np.ndarray]:
        """All weights."""
        return [np.asarray(self._keras.ops.convert_to_numpy(weight)) for weight in self.model.weights]

    def summary(self) -> dict[str, float]:
        """The first epoch, and the median of the others."""
        seconds = statistics.median(self.seconds[1:])
        return {
            "first_seconds": self.seconds[0],
            "epoch_seconds": seconds,
            "samples_per_second": self.loader.steps_per_epoch * self.loader.batch_size / seconds,
            "wait_share": sum(self.waits[1:]) / sum(self.seconds[1:]),
        }


def main(
    size: Annotated[list[str] | None, typer.Option(help="digits, cifar; all where left out.")] = None,
    epochs: Annotated[int, typer.Option(min=2, help="Epochs of each placement; the first one is told apart.")] = 6,
    batch_size: Annotated[int, typer.Option(min=1)] = 128,
    output: Annotated[Path | None, typer.Option("--json", help="Write the results here as well.")] = None,
) -> None:
    """Time each placement, and compare what was learned."""
    os.environ.setdefault("KERAS_BACKEND", "jax")
    import keras

    from mtgen.adapters import device

    backend = keras.backend.backend()
    placements = {name: one for name, one in PLACEMENTS.items() if backend != "tensorflow" or "device" not in name}
    machine = device.find().memory() if backend != "tensorflow" else None
    print(f"backend {backend}, device {machine.name if machine else 'not asked'}, batch size {batch_size}")
    results: dict[str, Any] = {"backend": backend, "device": machine.name if machine else None, "sizes": {}}
    same = True
    for name in size or list(SIZES):
        with tempfile.TemporaryDirectory() as folder:
            data = make_data(Path(folder), name)
            runs = {label: Run(data, name, one, batch_size) for label, one in placements.items()}
            for _ in range(epochs):
                for run in runs.values():
                    run.epoch()
            first = runs["stream"].weights()
            print(f"\n{name}: {len(data):,} rows")
            print(f"{'placement':<24}{'first':>9}{'epoch':>9}{'samples/s':>12}{'waiting':>9}")
            for label, run in runs.items():
                found = run.summary()
                equal = all(np.array_equal(one, other) for one, other in zip(first, run.weights(), strict=True))
                results["sizes"].setdefault(name, {})[label] = found | {"same_weights": equal}
                same &= equal
                print(
                    f"{label:<24}{found['first_seconds']:>8.2f}s{found['epoch_seconds']:>8.3f}s"
                    f"{found['samples_per_second']:>12,.0f}{found['wait_share']:>9.1%}"
                    + ("" if equal else "  other weights!")
                )
                run.loader.close()
    if output is not None:
        output.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    raise typer.Exit(0 if same else 1)


if __name__ == "__main__":
    typer.run(main)
