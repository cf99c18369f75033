"""Training from `from_dataframe`, picture and features, on the backend that KERAS_BACKEND names.

`make test-backends` runs this file once per backend, each in a process of its own.
"""

import keras
import numpy as np
import pandas as pd
import pytest
from PIL import Image

import mtgen

NUM_ROWS = 26
BATCH = 4
KINDS = ("ant", "bee", "cow")

pytestmark = [
    pytest.mark.usefixtures("no_thread_left"),
    # Keras says so of every tf.data.Dataset when fit(shuffle=True), its default; mtgen's order holds (that is tested).
    pytest.mark.filterwarnings("ignore:`shuffle=True` was passed, but will be ignored:UserWarning"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Pictures 0.png, 1.png, ... of one colour: red is the row; two are missing."""
    made = tmp_path_factory.mktemp("pictures")
    for row in range(NUM_ROWS):
        if row not in (3, 17):
            Image.new("RGB", (5, 3), (row, 100, 200)).save(made / f"{row}.png")
    return made


@pytest.fixture
def table():
    rows = np.arange(NUM_ROWS)
    columns = {
        "filename": [f"{row}.png" for row in rows],
        "class": [KINDS[row % 3] for row in rows],
        "w": 1.0 + rows % 2,
    }
    return pd.DataFrame(columns, index=2 * rows + 1)


FEATURES = np.repeat(np.arange(2 * NUM_ROWS, dtype="float32")[:, None], 3, axis=1)
"""Row k is k, k, k; the features of table row r are those of its label, 2 r + 1."""


@keras.saving.register_keras_serializable(package="tests-from-dataframe")
class Watch(keras.layers.Layer):
    """Counts the samples that were trained on, and those whose picture and features are of different rows."""

    def build(self, shapes):
        self.counts = self.add_weight(shape=(2,), initializer="zeros", trainable=False, name="counts")

    def call(self, inputs, training=False):
        picture, features = inputs
        if training:
            ops = keras.ops
            row = ops.mean(picture[:, :, :, 0], axis=(1, 2))
            wrong = ops.abs(features[:, 0] - (2 * row + 1)) > 0.01
            ones = ops.ones_like(row)
            self.counts.assign(self.counts + ops.stack([ops.sum(ones), ops.sum(ops.cast(wrong, "float32"))]))
        return features * 0

    def result(self):
        return np.asarray(keras.ops.convert_to_numpy(self.counts)).tolist()


def model(outputs, loss):
    picture, features = keras.Input((4, 4, 3)), keras.Input((3,))
    watch = Watch()
    joined = keras.layers.Concatenate()([keras.layers.Flatten()(picture), watch([picture, features])])
    # Small numbers and a softmax: sigmoids that are all 0 leave 0 / 0 as the loss, with some first weights.
    activation = "softmax" if loss.endswith("categorical_crossentropy") else "sigmoid"
    joined = keras.layers.Rescaling(1 / 64)(joined)
    made = keras.Model([picture, features], keras.layers.Dense(outputs, activation=activation)(joined))
    made.compile("sgd", loss, weighted_metrics=["accuracy"])
    made.watch = watch
    return made


def loader(table, folder, **options):
    settings = {"target_size": (4, 4), "batch_size": BATCH, "features": FEATURES, "weight_col": "w", "num_workers": 2}
    return mtgen.from_dataframe(table, folder, **{**settings, "on_missing": "drop", **options})


@pytest.mark.parametrize(
    ("class_mode", "outputs", "loss"),
    [("categorical", 3, "categorical_crossentropy"), ("sparse", 3, "sparse_categorical_crossentropy")],
)
def test_fit_on_picture_and_features(table, folder, class_mode, outputs, loss):
    made = model(outputs, loss)
    with loader(table, folder, class_mode=class_mode) as train, loader(table, folder, class_mode=class_mode) as valid:
        train.check(made)
        history = made.fit(train.keras(made), epochs=3, validation_data=valid.keras(made), verbose=0)
        assert train.dropped["row"].tolist() == [3, 17]
    assert made.watch.result() == [3 * (NUM_ROWS - 2), 0]
    assert np.isfinite(history.history["loss"]).all()
    assert np.isfinite(history.history["val_loss"]).all()


def test_fit_on_two_classes_and_on_lists_of_labels(table, folder):
    binary = model(1, "binary_crossentropy")
    with loader(table, folder, class_mode="binary", classes=["cow", "ant"], on_unlisted="drop") as train:
        binary.fit(train.keras(binary), epochs=1, verbose=0)
        assert binary.watch.result() == [train.samples, 0]
    table["class"] = [list(KINDS[: row % 4]) for row in range(NUM_ROWS)]
    several = model(3, "binary_crossentropy")
    with loader(table, folder) as train:
        several.fit(train.keras(several), epochs=1, verbose=0)
        assert several.watch.result() == [NUM_ROWS - 2, 0]


def test_targets_reach_the_loss_beside_their_pictures(table, folder):
    """A model without a free weight: its loss is known from the table alone."""
    picture, features = keras.Input((4, 4, 3)), keras.Input((3,))
    made = keras.Model([picture, features], keras.layers.Concatenate()([features, features])[:, :3] * 0 + 0.25)
    made.compile(loss="mean_squared_error")
    with loader(table, folder, class_mode="categorical") as source:
        loss = made.evaluate(source.keras(made), verbose=0)
    assert loss == pytest.approx(_weighted_loss(table), rel=1e-5)


def _weighted_loss(table):
    kept = [row for row in range(NUM_ROWS) if row not in (3, 17)]
    each = (0.75**2 + 2 * 0.25**2) / 3
    per_batch = [kept[start : start + BATCH] for start in range(0, len(kept), BATCH)]
    assert all(len(rows) == BATCH for rows in per_batch)
    return each * table["w"].iloc[kept].mean()
