"""A user's own script, as docs/checkpoints.md has it: a merged model on the digits, saved, logged, and resumed.

Arguments: folder of the run, worker threads, steps of a window, steps ahead.
"""

import sys
from pathlib import Path

import keras
import numpy as np

import mtgen

BATCH, EPOCHS = 16, 3
PARTS = {"train": 0.1, "valid": 0.05, "rest": 0.85}


def merged(data: mtgen.Dataset) -> keras.Model:
    first = (
        keras.initializers.GlorotUniform
    )  # with seeds: a run killed before it was saved begins with the same weights
    image, features = (keras.Input(spec.shape, name=name) for name, spec in data.input_specs.items())
    scaled = keras.layers.Rescaling(1 / 255)(image)
    pixels = keras.layers.Conv2D(4, 3, padding="same", activation="relu", kernel_initializer=first(1))(scaled)
    joined = keras.layers.Concatenate()([keras.layers.Flatten()(pixels), features])
    hidden = keras.layers.Dense(16, activation="relu", kernel_initializer=first(2))(joined)
    hidden = keras.layers.Dropout(0.2, seed=3)(keras.layers.BatchNormalization()(hidden))
    output = keras.layers.Dense(10, activation="softmax", kernel_initializer=first(4))(hidden)
    return keras.Model([image, features], output)


def main(folder: str, num_workers: str, window: str, depth: str) -> None:
    run, digits = Path(folder), Path(__file__).resolve().parents[2] / "data_samples" / "digits"
    table = mtgen.read_table(digits / "table.csv")
    inputs = {
        "image": mtgen.Images("imgpath", root=digits, size=(4, 8), color="grayscale"),
        "features": mtgen.Rows(digits / "features.bcolz", key="id"),
    }
    train, valid, _ = mtgen.Dataset(table, inputs, "target").split(PARTS, stratify="target", seed=0)
    loader = mtgen.Loader(
        train,
        BATCH,
        seed=1,
        num_workers=int(num_workers),
        prefetch=mtgen.Prefetch(window=int(window), depth=int(depth)),
    )
    model = merged(train)
    rate = keras.optimizers.schedules.CosineDecay(0.01, EPOCHS * loader.steps_per_epoch)
    model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
    x = loader.keras(model)
    checkpoint = loader.checkpoint(x, run / "checkpoints", every_steps=3)
    history = model.fit(
        x,
        epochs=EPOCHS,
        validation_data=mtgen.Loader(valid, BATCH, shuffle=False, num_workers=0).keras(model),
        callbacks=[checkpoint, loader.order_log(x, run)],
        verbose=0,
    ).history
    loader.close()
    values = [*model.variables, *model.optimizer.variables]
    logs = {name: np.array(series) for name, series in history.items() if name != "data_wait"}
    arrays = [keras.ops.convert_to_numpy(one.value) for one in values]
    np.savez(run / "final.npz", *arrays, **logs)


if __name__ == "__main__":
    main(*sys.argv[1:])
