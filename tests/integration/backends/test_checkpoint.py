"""Runs that stop anywhere and go on: the very same batches and weights, on the backend that KERAS_BACKEND names."""

import keras
import numpy as np
import pandas as pd
import pytest

import mtgen
from mtgen.errors import MtgenError

NUM_ROWS, BATCH, STEPS, EPOCHS = 22, 4, 6, 3

pytestmark = [
    pytest.mark.usefixtures("no_thread_left"),
    pytest.mark.filterwarnings("ignore:`shuffle=True` was passed, but will be ignored:UserWarning"),
]


def loader(**options):
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"y": rng.normal(size=NUM_ROWS)})
    data = mtgen.Dataset(table, {"f": mtgen.Rows(rng.normal(size=(NUM_ROWS, 3)).astype("float32"))}, "y")
    return mtgen.Loader(data, BATCH, **{"seed": 3, "num_workers": 1, **options})


def make_model():
    keras.utils.set_random_seed(5)
    f = keras.Input((3,), name="f")
    hidden = keras.layers.BatchNormalization()(keras.layers.Dense(8, activation="relu")(f))
    output = keras.layers.Dense(1)(keras.layers.Dropout(0.3, seed=7)(hidden))
    model = keras.Model(f, output)
    model.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(0.05, EPOCHS * STEPS)), "mse")
    return model


class Killed(Exception):
    """What stands for a kill after a step."""


class KillAfter(keras.callbacks.Callback):
    def __init__(self, num_steps):
        super().__init__()
        self.left = num_steps

    def on_train_batch_end(self, batch, logs=None):
        self.left -= 1
        if not self.left:
            raise Killed


def fit(folder, *callbacks, **options):
    model, source = make_model(), loader(**options)
    with source:
        x = source.keras(model)
        checkpoint = source.checkpoint(x, folder, every_steps=1, say=lambda line: None)
        history = model.fit(x, epochs=EPOCHS, verbose=0, shuffle=False, callbacks=[checkpoint, *callbacks])
    return [np.asarray(keras.ops.convert_to_numpy(one)) for one in model.variables], history.history["loss"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return fit(tmp_path_factory.mktemp("whole"))


@pytest.mark.parametrize("num_steps", [1, 3, 6, 7, 11, 12, 17, 18])
def test_a_run_that_stopped_at_any_step_ends_with_the_weights_of_the_whole_one(tmp_path, whole, num_steps):
    with pytest.raises(Killed):
        fit(tmp_path, KillAfter(num_steps))
    weights, losses = fit(tmp_path, num_workers=0)
    exact = keras.backend.backend() == "jax"
    for found, wanted in zip(weights, whole[0], strict=True):
        if exact:
            assert found.tobytes() == wanted.tobytes()
        else:
            np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(losses, whole[1], rtol=1e-4)


def test_another_run_is_refused(tmp_path):
    with pytest.raises(Killed):
        fit(tmp_path, KillAfter(4))
    with pytest.raises(MtgenError, match="seed"):
        fit(tmp_path, seed=4)
