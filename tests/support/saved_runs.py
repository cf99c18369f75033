"""A model, its data and a `fit` with a checkpoint, as a user's script has them; for whatever backend Keras has.

The model writes down the rows it was trained on in a weight, which is saved and restored with it: so in the end it
tells what the whole run was trained on, however often it was resumed.
"""

from __future__ import annotations

import shutil

import keras
import numpy as np
import pandas as pd
import pytest

import mtgen

NUM_ROWS = 18
BATCH = 4
STEPS = 5
EPOCHS = 2
LAST = EPOCHS * STEPS


@keras.saving.register_keras_serializable(package="tests-checkpoint")
class Recorder(keras.layers.Layer):
    """Passes zeros on, and writes down the rows of every batch that was trained on, in a weight."""

    def build(self, shape):
        self.seen = self.add_weight(shape=(200,), initializer="zeros", trainable=False, name="seen")
        self.count = self.add_weight(shape=(), initializer="zeros", trainable=False, name="count", dtype="int32")

    def call(self, rows, training=False):
        if training:
            ops = keras.ops
            flat = ops.cast(ops.reshape(rows, (-1,)), "float32") + 1
            places = ops.expand_dims(ops.arange(ops.shape(flat)[0], dtype="int32") + self.count, 1)
            self.seen.assign(ops.scatter_update(self.seen, places, flat))
            self.count.assign(self.count + ops.shape(flat)[0])
        return rows * 0

    def rows(self):
        return (value_of(self.seen)[: int(value_of(self.count))] - 1).astype(int).tolist()


def value_of(variable):
    return np.asarray(keras.ops.convert_to_numpy(variable.value))


def dataset(scale=1.0):
    table = pd.DataFrame({"row": np.arange(NUM_ROWS), "y": np.arange(NUM_ROWS) % 3})
    features = np.random.default_rng(0).normal(size=(NUM_ROWS, 5)).astype("float32") * scale
    return mtgen.Dataset(table, {"row": mtgen.Columns("row"), "a": mtgen.Rows(features)}, targets="y")


def loader(**options):
    return mtgen.Loader(options.pop("data", None) or dataset(), **{"batch_size": BATCH, "seed": 1, **options})


def starts(seed):
    return keras.initializers.GlorotUniform(seed=seed)


def layers(units, dtype, name="hidden"):
    return [
        keras.layers.Dense(units, activation="relu", kernel_initializer=starts(1), name=name, dtype=dtype),
        keras.layers.BatchNormalization(name="norm", dtype=dtype),
        keras.layers.Dropout(0.3, seed=3, name="drop", dtype=dtype),
        keras.layers.Dense(3, activation="softmax", kernel_initializer=starts(2), name="classes", dtype=dtype),
    ]


def functional(units=6, dtype=None, name="hidden"):
    row, a = keras.Input((1,), name="row"), keras.Input((5,), name="a")
    recorder = Recorder(name="recorder")
    result = keras.layers.Concatenate(name="join")([recorder(row), a])
    for layer in layers(units, dtype, name):
        result = layer(result)
    model = keras.Model([row, a], result, name="merged")
    model.recorder = recorder
    return model


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__(name="merged")
        self.recorder = Recorder(name="recorder")
        self.parts = layers(6, None)

    def call(self, inputs, training=False):
        row, a = inputs
        result = keras.ops.concatenate([self.recorder(row, training=training), a], axis=1)
        for layer in self.parts:
            result = layer(result, training=training) if layer.name in ("norm", "drop") else layer(result)
        return result


def cosine():
    return keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(0.05, LAST))


class Setup:
    """One script as a user has it; each `fit` is a process of its own, as far as objects go."""

    def __init__(
        self,
        *,
        make=functional,
        optimizer=cosine,
        steps=None,
        epochs=EPOCHS,
        valid=True,
        loader=None,
        names_model=False,
        **compiled,
    ):
        self.make, self.optimizer, self.steps, self.epochs = make, optimizer, steps, epochs
        self.valid, self.loader, self.compiled = valid, loader or {}, compiled
        self.names_model = names_model
        self.said = []

    def fit(self, folder, *, callbacks=(), last=(), epochs=None, loader_options=None, fit=None, **options):
        """Model and history after `fit`, with a checkpoint between `callbacks` and `last` where there is a folder."""
        model = self.make()
        model.compile(self.optimizer(), "sparse_categorical_crossentropy", metrics=["accuracy"], **self.compiled)
        source = loader(**{"num_workers": 1, **self.loader, **(loader_options or {})})
        x = source.keras(model if self.names_model else None, steps_per_epoch=self.steps)
        saving = []
        if folder is not None:
            saving = [source.checkpoint(x, folder, say=self.said.append, **{"every_steps": 1, **options})]
            self.callback = saving[0]
        valid = loader(shuffle=False, num_workers=0).keras() if self.valid else None
        self.model, self.source = model, source
        try:
            history = model.fit(
                x,
                epochs=epochs or self.epochs,
                verbose=0,
                validation_data=valid,
                callbacks=[*callbacks, *saving, *last],
                **(fit or {}),
            )
        finally:
            source.close()
        return model, history

    def run(self, folder, **options):
        return outcome(*self.fit(folder, **options))

    def recorder_rows(self):
        return self.model.recorder.rows()


def outcome(model, history):
    """All that a run leaves, but for the time it took."""
    values = [value_of(one) for one in [*model.variables, *model.optimizer.variables]]
    logs = {name: list(map(float, series)) for name, series in history.history.items() if name != "data_wait"}
    return values, logs, list(history.epoch), model.recorder.rows()


def check_same(found, expected):
    (values, logs, epochs, rows), (right, right_logs, right_epochs, right_rows) = found, expected
    assert rows == right_rows
    assert epochs == right_epochs
    assert logs == right_logs
    for value, other in zip(values, right, strict=True):
        assert value.dtype == other.dtype
        np.testing.assert_array_equal(value, other)


def expected_rows(first, last, **options):
    source = loader(**options)
    return [int(row) for step in range(first, last) for row in source.rows(step)]


def only(folder, step, target):
    """A folder with the checkpoint of one step, as a kill right after it would leave it."""
    name = f"checkpoint-{step:010d}"
    shutil.copytree(folder / name, target / name)
    return target


@pytest.fixture(scope="module", autouse=True)
def compiled_once(tmp_path_factory):
    """These tests fit the same few models again and again: jax keeps what it compiled, for as long as a file runs."""
    if keras.backend.backend() != "jax":
        yield
        return
    import jax
    from jax.experimental.compilation_cache import compilation_cache

    wanted = {
        "jax_compilation_cache_dir": str(tmp_path_factory.mktemp("jax")),
        "jax_persistent_cache_min_compile_time_secs": 0,
        "jax_persistent_cache_min_entry_size_bytes": -1,
    }
    before = {name: getattr(jax.config, name) for name in wanted}
    for name, value in wanted.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()
    yield
    for name, value in before.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()
