"""Training, evaluating and predicting over bad samples, on the backend that KERAS_BACKEND names."""

import keras
import numpy as np
import pandas as pd
import pytest

import mtgen
from mtgen.config import OnError
from mtgen.errors import BudgetError
from tests.support.stores import MemoryStore

NUM_ROWS, BATCH = 22, 4
BAD = {3, 17}

pytestmark = [
    pytest.mark.usefixtures("no_thread_left"),
    pytest.mark.filterwarnings("ignore:`shuffle=True` was passed, but will be ignored:UserWarning"),
]


def make(policy, *, bad=BAD, max_errors=2, **options):
    rng = np.random.default_rng(0)
    store = MemoryStore(rng.normal(size=(NUM_ROWS, 3)).astype("float32"), 1)
    table = pd.DataFrame({"y": rng.normal(size=NUM_ROWS)}, index=[f"r{row}" for row in range(NUM_ROWS)])
    loader = mtgen.Loader(
        mtgen.Dataset(table, {"f": mtgen.Rows(store)}, "y"),
        BATCH,
        on_error=OnError(policy=policy, max_errors=max_errors),
        **options,
    )
    store.bad_chunks = bad
    return loader, store


def linear(reduction="sum"):
    f = keras.Input((3,), name="f")
    model = keras.Model(f, keras.layers.Dense(1, kernel_initializer="ones")(f))
    # The sum, not Keras's mean: a mean divides by all slots, masked ones included.
    model.compile(
        keras.optimizers.SGD(0.01), keras.losses.MeanSquaredError(reduction=reduction), weighted_metrics=["mae"]
    )
    return model


def weights(model):
    return [np.asarray(keras.ops.convert_to_numpy(weight)) for weight in model.weights]


def step_by_hand(kernel, bias, batches, rate=0.01):
    """Gradient descent on the sum of squared errors, in a few plain lines."""
    for x, y, w in batches:
        error = (x @ kernel + bias)[:, 0] - y
        grad = 2 * w * error
        kernel = kernel - rate * (x * grad[:, None]).sum(0)[:, None]
        bias = bias - rate * grad.sum()
    return kernel, bias


@pytest.mark.parametrize("policy", ["refill", "mask"])
def test_fit_trains_on_what_the_policy_says_and_on_nothing_else(policy):
    loader, store = make(policy)
    with loader:
        model = linear()
        kernel, bias = weights(model)
        model.fit(loader.keras(model), epochs=2, verbose=0)
        y = loader.dataset.table["y"].to_numpy(np.float32)
        batches = []
        for step in range(2 * loader.steps_per_epoch):
            rows = loader.batch(step).rows
            good = rows >= 0
            batches.append((store.array[rows], y[rows], good.astype(np.float32)))
            assert not set(rows.tolist()) & BAD
            assert good.all() == (policy == "refill" or not set(loader.rows(step).tolist()) & BAD)
    expected = step_by_hand(kernel, bias, batches)
    for found, wanted in zip(weights(model), expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)
    assert sorted(loader.quarantine()["row"]) == sorted(BAD)


def test_weighted_metrics_leave_masked_slots_out():
    loader, store = make("mask", shuffle=False)
    with loader:
        model = linear()
        found = model.evaluate(loader.keras(model), verbose=0, return_dict=True)["mae"]
        good = [row for row in range(NUM_ROWS) if row not in BAD]
        predicted = store.array[good].sum(1)
        wanted = np.abs(predicted - loader.dataset.table["y"].to_numpy(np.float32)[good]).mean()
    assert found == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("policy", ["refill", "mask"])
def test_predict_gives_nan_for_rows_that_could_not_be_read(policy):
    """Predictions of the rows drawn in their place were handed out under the bad rows' names."""
    loader, store = make(policy)
    with loader:
        frame = loader.predict(linear(), verbose=0).sort_values("row")
    values = frame.drop(columns="row").to_numpy()[:, 0]
    wanted = store.array.sum(1)
    wanted[sorted(BAD)] = np.nan
    np.testing.assert_allclose(values, wanted, rtol=1e-5)
    assert frame.index.tolist() == [f"r{row}" for row in range(NUM_ROWS)]


def test_more_bad_rows_than_allowed_stop_fit_with_the_whole_text():
    loader, _ = make("refill", max_errors=1)
    with loader, pytest.raises(Exception, match="rows could not be read, max_errors=1 allows 1 of 22") as caught:
        linear().fit(loader.keras(), epochs=1, verbose=0)
    if keras.backend.backend() != "tensorflow":  # which keeps the text only
        assert isinstance(caught.value, BudgetError)
