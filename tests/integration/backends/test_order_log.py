"""The order log under `fit`, on the backend that KERAS_BACKEND names: it holds what the model was trained on.

The model writes down its rows itself, so the log is compared with what really was trained, not with the plan.
"""

import keras
import numpy as np
import pandas as pd
import pytest

import mtgen
from mtgen.adapters.keras import Progress
from mtgen.errors import PlanError
from mtgen.order_check import audit_run
from mtgen.order_reader import Log

NUM_ROWS = 22
BATCH = 4
STEPS = 6

pytestmark = pytest.mark.filterwarnings(
    # Keras says so of every tf.data.Dataset when fit(shuffle=True), its default; mtgen's order holds (that is tested).
    "ignore:`shuffle=True` was passed, but will be ignored:UserWarning",
)


@keras.saving.register_keras_serializable(package="tests")
class Seen(keras.layers.Layer):
    """Passes its input on, and writes down the rows of every batch that was trained on, in a weight."""

    def build(self, shape):
        self.seen = self.add_weight(shape=(400,), initializer="zeros", trainable=False, name="seen")
        self.count = self.add_weight(shape=(), initializer="zeros", trainable=False, name="count", dtype="int32")

    def call(self, rows, training=False):
        if training:
            ops = keras.ops
            flat = ops.cast(ops.reshape(rows, (-1,)), "float32") + 1
            num = ops.shape(flat)[0]
            places = ops.expand_dims(ops.arange(num, dtype="int32") + self.count, 1)
            self.seen.assign(ops.scatter_update(self.seen, places, flat))
            self.count.assign(self.count + num)
        return rows * 0

    def rows(self):
        return (np.asarray(keras.ops.convert_to_numpy(self.seen))[: int(self.count)] - 1).astype(int).tolist()


def dataset():
    table = pd.DataFrame({"row": range(NUM_ROWS), "y": np.arange(NUM_ROWS) % 3})
    return mtgen.Dataset(table, inputs={"row": mtgen.Columns("row")}, targets="y")


def loader(**options):
    return mtgen.Loader(dataset(), BATCH, **{"seed": 1, "num_workers": 2, **options})


def model(**options):
    row = keras.Input((1,), name="row")
    seen = Seen()
    made = keras.Model(row, keras.layers.Dense(3, activation="softmax")(seen(row)))
    made.seen = seen
    made.compile("sgd", "sparse_categorical_crossentropy", **options)
    return made


class StopAfter(keras.callbacks.Callback):
    """Stops training, or raises, after a number of batches."""

    def __init__(self, num_batches, error=None):
        super().__init__()
        self.left, self.error = num_batches, error

    def on_train_batch_end(self, batch, logs=None):
        self.left -= 1
        if self.left == 0:
            if self.error is not None:
                raise self.error
            self.model.stop_training = True


class Watch(Progress):
    """Stands for a checkpoint: after each step, notes the step it would save and the last one in the log."""

    def __init__(self, x, folder):
        super().__init__(x)
        self.folder, self.noted = folder, []

    def on_train_batch_end(self, batch, logs=None):
        super().on_train_batch_end(batch, logs)
        self.noted.append((self.step, logged(self.folder)[-1] + 1))


def logged(folder):
    return [one.record["step"] for one in Log(folder).steps() if not one.lost and "step" in one.record]


def checked(folder, trained, source):
    """The report of a log, after comparing it with the rows that the model saw."""
    found = audit_run(folder)
    assert found.ok, str(found)
    assert [int(row) for step in logged(folder) for row in source.rows(step)] == trained
    return found


def test_every_epoch_each_row_once_also_with_shuffle_and_validation(tmp_path):
    source, trained = loader(), model()
    x = source.keras()
    valid = mtgen.Loader(dataset(), BATCH, shuffle=False).keras()
    history = trained.fit(
        x, epochs=3, shuffle=True, validation_data=valid, verbose=0, callbacks=[source.order_log(x, tmp_path)]
    )
    found = checked(tmp_path, trained.seen.rows(), source)
    assert [one.counts for one in found.epochs] == 3 * [{1: NUM_ROWS}]
    assert [one.digest for one in found.epochs] == [one.digest for one in source.audit(3).epochs]
    assert found.resumes == []
    assert len(history.history["data_wait"]) == 3


def test_early_stop_then_more_then_a_restore(tmp_path):
    source, trained = loader(), model()
    x = source.keras()
    log = source.order_log(x, tmp_path)
    trained.fit(x, epochs=3, verbose=0, callbacks=[StopAfter(STEPS + 2), log])
    assert log.step == STEPS + 2
    assert logged(tmp_path) == list(range(STEPS + 2))
    trained.fit(x, epochs=1, verbose=0, callbacks=[log])
    checked(tmp_path, trained.seen.rows(), source)
    before = trained.seen.rows()
    source.restore(source.state(4))
    trained.fit(x, epochs=2, verbose=0, callbacks=[log])
    found = audit_run(tmp_path)
    assert found.ok, str(found)
    assert (found.resumes, found.num_lost) == ([4], 2 * STEPS + 2 - 4)
    counted = before[: 4 * BATCH] + trained.seen.rows()[len(before) :]
    checked(tmp_path, counted, source)


def test_a_new_process_goes_on_where_a_state_says(tmp_path):
    """As after a kill: another loader, another feed, another log in the same folder."""
    first, trained = loader(), model()
    x = first.keras()
    log = first.order_log(x, tmp_path)
    trained.fit(x, epochs=2, verbose=0, callbacks=[StopAfter(9), log])
    state = first.state(5)
    log.log.close()
    second, again = loader(num_workers=0), model()
    second.restore(state)
    x = second.keras()
    again.fit(x, epochs=2, verbose=0, callbacks=[second.order_log(x, tmp_path)])
    found = checked(tmp_path, trained.seen.rows()[: 5 * BATCH] + again.seen.rows(), second)
    assert (found.resumes, found.num_lost) == ([5], 4)


def test_steps_per_epoch_of_the_loader(tmp_path):
    source, trained = loader(), model()
    x = source.keras(steps_per_epoch=4)
    trained.fit(x, epochs=5, verbose=0, callbacks=[source.order_log(x, tmp_path)])
    found = checked(tmp_path, trained.seen.rows(), source)
    assert [(one.num_steps, one.whole) for one in found.epochs] == [(6, True)] * 3 + [(2, False)]


def test_steps_per_epoch_of_fit_that_divides(tmp_path):
    source, trained = loader(), model()
    x = source.keras()
    trained.fit(x, epochs=5, steps_per_epoch=2, verbose=0, callbacks=[source.order_log(x, tmp_path)])
    assert len(logged(tmp_path)) == 10
    checked(tmp_path, trained.seen.rows(), source)


@pytest.mark.skipif(keras.backend.backend() == "torch", reason="Keras refuses steps_per_execution on torch")
@pytest.mark.parametrize("execution", [2, 5])
def test_steps_per_execution(execution, tmp_path):
    # Not compared with the model's own rows: with a rest Keras trains short of a whole execution.
    source, trained = loader(), model(steps_per_execution=execution)
    x = source.keras()
    trained.fit(x, epochs=2, verbose=0, callbacks=[source.order_log(x, tmp_path)])
    assert logged(tmp_path) == list(range(2 * STEPS))
    assert audit_run(tmp_path).ok


@pytest.mark.parametrize("log_first", [True, False])
def test_beside_progress_checkpoints_and_another_log_all_count_alike(log_first, tmp_path):
    source, trained = loader(), model()
    x = source.keras()
    log, watch, progress = source.order_log(x, tmp_path), Watch(x, tmp_path), source.callback(x)
    twin = source.order_log(x, tmp_path / "twin")
    callbacks = [log, watch, progress, twin] if log_first else [progress, watch, twin, log]
    trained.fit(x, epochs=2, verbose=0, callbacks=callbacks)
    # A checkpoint of a step finds the step in the log, whichever callback comes first.
    assert watch.noted == [(step, step) for step in range(1, 2 * STEPS + 1)]
    assert log.step == watch.step == progress.step == 2 * STEPS
    checked(tmp_path, trained.seen.rows(), source)
    assert (tmp_path / "order.jsonl").read_bytes() == (tmp_path / "twin" / "order.jsonl").read_bytes()


def test_two_counters_count_once():
    source, trained = loader(), model()
    x = source.keras()
    counters = [source.callback(x), source.callback(x)]
    trained.fit(x, epochs=1, verbose=0, callbacks=[*counters, StopAfter(4)])
    assert [one.step for one in counters] == [4, 4]
    trained.fit(x, epochs=1, verbose=0, callbacks=counters)
    assert [one.step for one in counters] == [10, 10]
    assert trained.seen.rows() == [int(row) for step in range(10) for row in source.rows(step)]


def test_an_error_in_mid_epoch_then_a_second_fit(tmp_path):
    source, trained = loader(), model()
    x = source.keras()
    log = source.order_log(x, tmp_path)
    with pytest.raises(ZeroDivisionError):
        trained.fit(x, epochs=2, verbose=0, callbacks=[log, StopAfter(3, ZeroDivisionError())])
    assert logged(tmp_path) == [0, 1, 2]
    trained.fit(x, epochs=1, verbose=0, callbacks=[log])
    checked(tmp_path, trained.seen.rows(), source)
    assert logged(tmp_path) == list(range(9))


def test_evaluate_and_predict_are_not_training(tmp_path):
    source, trained = loader(), model()
    x = source.keras()
    log = source.order_log(x, tmp_path)
    trained.fit(x, epochs=1, verbose=0, callbacks=[log])
    trained.evaluate(source.keras(), verbose=0)
    source.predict(trained, verbose=0)
    trained.fit(x, epochs=1, verbose=0, callbacks=[log])
    assert logged(tmp_path) == list(range(2 * STEPS))


def test_one_batch_per_epoch(tmp_path):
    source, trained = mtgen.Loader(dataset(), NUM_ROWS, seed=1, num_workers=0), model()
    x = source.keras()
    trained.fit(x, epochs=3, verbose=0, callbacks=[source.order_log(x, tmp_path)])
    found = checked(tmp_path, trained.seen.rows(), source)
    assert [one.whole for one in found.epochs] == [True] * 3


class Unbuilt(keras.Model):
    def __init__(self):
        super().__init__()
        self.seen = Seen()
        self.dense = keras.layers.Dense(3, activation="softmax")

    def call(self, row, training=False):
        return self.dense(self.seen(row, training=training))


def test_a_model_that_keras_builds_by_looking_at_a_batch(tmp_path):
    source, trained = loader(), Unbuilt()
    trained.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    x = source.keras()
    trained.fit(x, epochs=2, verbose=0, callbacks=[source.order_log(x, tmp_path)])
    checked(tmp_path, trained.seen.rows(), source)
    assert logged(tmp_path) == list(range(2 * STEPS))


def test_what_is_no_feed_is_refused(tmp_path):
    with pytest.raises(mtgen.errors.ModelError, match=r"needs what loader\.keras\(\) returned"):
        loader().order_log([1, 2], tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_log_that_cannot_be_written_stops_training(tmp_path, monkeypatch):
    import os

    source, trained = loader(), model()
    x = source.keras()
    log = source.order_log(x, tmp_path)

    def fails(handle, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", fails)
    with pytest.raises(mtgen.errors.StoreError, match="the order log cannot be written"):
        trained.fit(x, epochs=1, verbose=0, callbacks=[log])
    monkeypatch.undo()
    assert len(trained.seen.rows()) in (BATCH, 2 * BATCH)  # jax may have begun the next step


class EvaluateAt(keras.callbacks.Callback):
    """Evaluates the dataset that is trained on, in the middle of an epoch."""

    def __init__(self, x, batch, steps):
        super().__init__()
        self.x, self.batch, self.steps = x, batch, steps

    def on_train_batch_end(self, batch, logs=None):
        if batch == self.batch:
            self.batch = -1
            self.model.evaluate(self.x, steps=self.steps, verbose=0)


@pytest.mark.parametrize("logs", [True, False])
@pytest.mark.parametrize("steps", [None, 2])
def test_an_evaluation_of_the_same_dataset_inside_fit_changed_the_rows_that_were_trained(steps, logs, tmp_path):
    """`fit` went on with batches of the next epoch, and the audit of the log found nothing wrong."""
    source, trained = loader(), model()
    x = source.keras()
    callbacks = [source.order_log(x, tmp_path)] if logs else []
    try:
        trained.fit(x, epochs=1, verbose=0, callbacks=[*callbacks, EvaluateAt(x, 1, steps)])
    except PlanError as error:
        assert "Give" in str(error)
    else:
        assert keras.backend.backend() == "tensorflow", "each iterator of tf.data walks over a pass of its own"
    if keras.backend.backend() != "jax":  # where fit raises, Keras leaves no weights behind on jax
        rows = trained.seen.rows()
        assert rows == [int(row) for step in range(STEPS) for row in source.rows(step)][: len(rows)]
    if logs:
        assert audit_run(tmp_path).num_lost == 0
        assert logged(tmp_path) == list(range(len(logged(tmp_path))))


def test_new_callbacks_for_the_same_dataset_after_an_interrupt_found_a_closed_log(tmp_path):
    """The cell of a notebook, run again after Ctrl-C: the callback of before still wanted to write."""
    source, trained = loader(), model()
    x = source.keras()
    with pytest.raises(KeyboardInterrupt):
        trained.fit(
            x, epochs=2, verbose=0, callbacks=[source.order_log(x, tmp_path), StopAfter(3, KeyboardInterrupt())]
        )
    trained.fit(x, epochs=1, verbose=0, callbacks=[source.order_log(x, tmp_path)])
    checked(tmp_path, trained.seen.rows(), source)
    assert logged(tmp_path) == list(range(9))


@pytest.mark.parametrize("kind", ["order_log", "checkpoint", "callback"])
def test_a_callback_of_another_dataset_is_refused_at_the_first_step(kind, tmp_path):
    """It was noticed after an epoch only, and a checkpoint was left that the next run went on with."""
    source, trained = loader(), model()
    other = source.callback(source.keras()) if kind == "callback" else getattr(source, kind)(source.keras(), tmp_path)
    counted = StopAfter(100)
    with pytest.raises(PlanError, match="nothing was read from the dataset that this callback was made for"):
        trained.fit(source.keras(), epochs=1, verbose=0, callbacks=[counted, other])
    assert counted.left == 99
    assert not list(tmp_path.rglob("checkpoint-*"))
