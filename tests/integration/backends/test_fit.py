"""What `fit` really trains on, on the backend that KERAS_BACKEND names: a model that writes down its rows.

`make test-backends` runs this file once per backend, each in a process of its own.
"""

import keras
import numpy as np
import pandas as pd
import pytest

import mtgen

NUM_ROWS = 22
BATCH = 4
STEPS = 6

pytestmark = pytest.mark.filterwarnings(
    # Keras says so of every tf.data.Dataset when fit(shuffle=True), its default; mtgen's order holds (that is tested).
    "ignore:`shuffle=True` was passed, but will be ignored:UserWarning",
)


@keras.saving.register_keras_serializable(package="tests")
class Recorder(keras.layers.Layer):
    """Passes its input on, and writes down the rows of every batch that was trained on, in a weight."""

    def __init__(self, **options):
        super().__init__(**options)
        self.supports_masking = True

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


def table():
    numbers = np.arange(NUM_ROWS)
    return pd.DataFrame({"row": numbers, "a": numbers * 0.1, "y": numbers % 3, "w": 1.0 + numbers % 2})


def dataset(**options):
    inputs = {"row": mtgen.Columns("row"), "a": mtgen.Rows(np.arange(NUM_ROWS * 3, dtype="float32").reshape(-1, 3))}
    return mtgen.Dataset(table(), inputs=inputs, **{"targets": "y", **options})


def loader(**options):
    data = options.pop("data", None) or dataset()
    return mtgen.Loader(data, BATCH, **{"seed": 1, "num_workers": 2, **options})


def functional(as_dict=False, names=("row", "a")):
    row, a = keras.Input((1,), name=names[0]), keras.Input((3,), name=names[1])
    recorder = Recorder()
    joined = keras.layers.Concatenate()([recorder(row), a])
    output = keras.layers.Dense(3, activation="softmax")(joined)
    model = keras.Model({"row": row, "a": a} if as_dict else [row, a], output)
    model.recorder = recorder
    return compiled(model)


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.recorder = Recorder()
        self.dense = keras.layers.Dense(3, activation="softmax")

    def call(self, inputs, training=False):
        row, a = inputs
        return self.dense(keras.ops.concatenate([self.recorder(row, training=training), a], axis=1))


def compiled(model):
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def expected(source, first, last):
    return [int(row) for step in range(first, last) for row in source.rows(step)]


def fit(model, x, **options):
    return model.fit(x, verbose=0, **options)


def test_every_row_once_per_epoch_in_mtgens_order_with_nothing_else():
    source, model = loader(), functional()
    valid = mtgen.Loader(dataset(), BATCH, shuffle=False)
    fit(model, source.keras(), epochs=3, validation_data=valid.keras())
    rows = model.recorder.rows()
    assert rows == expected(source, 0, 3 * STEPS)
    for epoch in range(3):
        assert sorted(rows[epoch * NUM_ROWS : (epoch + 1) * NUM_ROWS]) == list(range(NUM_ROWS))


@pytest.mark.parametrize("shuffle", [True, False])
def test_order_holds_whatever_shuffle_says(shuffle):
    source, model = loader(), functional()
    fit(model, source.keras(), epochs=2, shuffle=shuffle)
    assert model.recorder.rows() == expected(source, 0, 2 * STEPS)


def test_unbuilt_model_is_looked_at_without_losing_a_batch():
    source, model = loader(), compiled(Subclassed())
    fit(model, source.keras(), epochs=2)
    assert model.recorder.rows() == expected(source, 0, 2 * STEPS)


def test_model_of_lists_whose_names_differ():
    source, model = loader(), functional(names=("first", "second"))
    fit(model, source.keras(), epochs=1)
    assert model.recorder.rows() == expected(source, 0, STEPS)


def test_model_of_dicts():
    source, model = loader(), functional(as_dict=True)
    fit(model, source.keras(model), epochs=2)
    assert model.recorder.rows() == expected(source, 0, 2 * STEPS)


@pytest.mark.parametrize("steps", [2, 3])
def test_steps_per_epoch_that_divides_the_epoch_goes_on_where_it_stopped(steps):
    source, model = loader(), functional()
    fit(model, source.keras(), epochs=4, steps_per_epoch=steps)
    assert model.recorder.rows() == expected(source, 0, 4 * steps)


def test_steps_per_epoch_of_the_loader_goes_on_for_ever():
    source, model = loader(), functional()
    history = fit(model, source.keras(steps_per_epoch=4), epochs=5)
    assert model.recorder.rows() == expected(source, 0, 20)
    assert len(history.epoch) == 5


def test_steps_per_epoch_longer_than_an_epoch():
    source, model = loader(), functional()
    fit(model, source.keras(steps_per_epoch=8), epochs=2)
    assert model.recorder.rows() == expected(source, 0, 16)


def test_the_callback_refuses_a_steps_per_epoch_that_would_cut_epochs_short():
    source, model = loader(), functional()
    x = source.keras()
    with pytest.raises(mtgen.errors.PlanError, match=r"loader\.keras\(steps_per_epoch=4\)"):
        fit(model, x, epochs=4, steps_per_epoch=4, callbacks=[source.callback(x)])
    assert model.recorder.rows() == []


@pytest.mark.filterwarnings("ignore:Your input ran out of data:UserWarning")
def test_steps_per_epoch_that_does_not_divide_still_loses_and_repeats_nothing():
    source, model = loader(), functional()
    fit(model, source.keras(), epochs=4, steps_per_epoch=4)
    assert model.recorder.rows() == expected(source, 0, 2 * STEPS)


def test_validation_steps_are_always_the_same_batches():
    source, model = loader(), functional()
    model.optimizer.learning_rate = 0.0
    valid = mtgen.Loader(dataset(), BATCH, seed=5)
    history = fit(model, source.keras(), epochs=4, validation_data=valid.keras(), validation_steps=2)
    assert len(set(history.history["val_loss"])) == 1
    assert model.recorder.rows() == expected(source, 0, 4 * STEPS)


def test_initial_epoch_trains_the_remaining_epochs():
    source, model = loader(), functional()
    history = fit(model, source.keras(), epochs=5, initial_epoch=3)
    assert history.epoch == [3, 4]
    assert model.recorder.rows() == expected(source, 0, 2 * STEPS)


def test_initial_epoch_with_a_restored_loader_trains_those_very_epochs():
    source, model = loader(), functional()
    source.restore(source.state(3 * STEPS))
    fit(model, source.keras(), epochs=5, initial_epoch=3)
    assert model.recorder.rows() == expected(source, 3 * STEPS, 5 * STEPS)


def test_class_weight_is_applied_and_order_kept():
    source, model = loader(), functional()
    model.optimizer.learning_rate = 0.0
    plain = fit(model, source.keras(), epochs=1).history["loss"][0]
    weighted = fit(model, loader().keras(), epochs=1, class_weight={0: 3.0, 1: 3.0, 2: 3.0}).history["loss"][0]
    assert weighted == pytest.approx(3 * plain, rel=1e-4)
    heavy = fit(model, loader().keras(), epochs=1, class_weight={0: 9.0, 1: 1.0, 2: 1.0}).history["loss"][0]
    assert heavy != pytest.approx(plain, rel=1e-3)
    assert model.recorder.rows() == 3 * expected(source, 0, STEPS)


class StopAfter(keras.callbacks.Callback):
    """Stops training after a number of batches."""

    def __init__(self, num_batches):
        super().__init__()
        self.left = num_batches

    def on_train_batch_end(self, batch, logs=None):
        self.left -= 1
        if self.left == 0:
            self.model.stop_training = True


def test_second_fit_goes_on():
    source, model = loader(), functional()
    x = source.keras()
    fit(model, x, epochs=2)
    fit(model, x, epochs=1)
    assert model.recorder.rows() == expected(source, 0, 3 * STEPS)


def test_early_stop_in_mid_epoch_then_a_second_fit_starts_that_epoch_again():
    source, model = loader(), functional()
    x = source.keras()
    fit(model, x, epochs=3, callbacks=[StopAfter(STEPS + 2)])
    fit(model, x, epochs=2)
    assert model.recorder.rows() == expected(source, 0, STEPS + 2) + expected(source, STEPS, 3 * STEPS)


def test_early_stop_with_the_callback_goes_on_right_after_the_last_trained_batch():
    source, model = loader(), functional()
    x = source.keras()
    progress = source.callback(x)
    fit(model, x, epochs=3, callbacks=[StopAfter(STEPS + 2), progress])
    assert progress.step == STEPS + 2
    assert progress.state()["step_in_epoch"] == 2
    fit(model, x, epochs=2, callbacks=[progress])
    assert model.recorder.rows() == expected(source, 0, STEPS + 2 + 2 * STEPS)


def test_callback_logs_the_time_spent_waiting():
    source, model = loader(), functional()
    x = source.keras()
    history = fit(model, x, epochs=2, callbacks=[source.callback(x)])
    assert len(history.history["data_wait"]) == 2
    assert all(seconds >= 0 for seconds in history.history["data_wait"])


@pytest.mark.skipif(keras.backend.backend() == "torch", reason="Keras refuses steps_per_execution on torch")
@pytest.mark.parametrize("execution", [2, 4])
def test_steps_per_execution_counts_batches(execution):
    source, model = loader(drop_last=True, seed=2), functional()
    model.compile("sgd", "sparse_categorical_crossentropy", steps_per_execution=execution)
    x = source.keras(steps_per_epoch=4)
    progress = source.callback(x)
    fit(model, x, epochs=3, callbacks=[progress])
    assert progress.step == 12
    assert model.recorder.rows() == expected(source, 0, 12)


@pytest.mark.skipif(keras.backend.backend() == "torch", reason="Keras refuses steps_per_execution on torch")
@pytest.mark.parametrize("execution", [4, 5, 7])
def test_steps_per_execution_that_leaves_a_rest_was_counted_beyond_the_epoch(execution):
    source, model = loader(), functional()
    model.compile("sgd", "sparse_categorical_crossentropy", steps_per_execution=execution)
    x = source.keras()
    progress = source.callback(x)
    fit(model, x, epochs=2, callbacks=[progress])
    assert progress.step == 2 * STEPS == len(model.recorder.rows()) * 2 * STEPS // (2 * NUM_ROWS)


def test_validating_on_the_dataset_that_is_trained_on_is_refused_where_it_would_be_miscounted():
    source, model = loader(), functional()
    x = source.keras()
    with pytest.raises(mtgen.errors.PlanError, match=r"a loader\.keras\(\) of its own"):
        fit(model, x, epochs=3, validation_data=x, callbacks=[source.callback(x)])


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="only jax keeps 32 bits of an integer")
def test_integers_that_jax_would_cut_to_32_bits_are_refused():
    big = table().assign(y=2**40 + np.arange(NUM_ROWS))
    inputs = {"row": mtgen.Columns("row"), "a": mtgen.Columns(["a", "a", "a"])}
    source = mtgen.Loader(mtgen.Dataset(big, inputs=inputs, targets="y"), BATCH)
    row, a = keras.Input((1,), name="row"), keras.Input((3,), name="a")
    model = keras.Model([row, a], keras.layers.Dense(1)(keras.layers.Concatenate()([row, a])))
    model.compile("sgd", "mse")
    wide = mtgen.Dataset(big, inputs={"row": mtgen.Rows(big["y"].to_numpy()[:, None]), "a": mtgen.Columns(["a"] * 3)})
    with pytest.raises(mtgen.errors.ModelError, match="'row' holds integers"):
        mtgen.Loader(wide, BATCH).predict(model, verbose=0)
    with pytest.raises(mtgen.errors.ModelError, match=r"'y' holds integers from 109951162\d+ to .*32 bits"):
        fit(model, source.keras(), epochs=1)


def test_names_that_match_in_part_are_refused_not_taken_by_position():
    a, b = keras.Input((1,), name="row"), keras.Input((3,), name="b")
    model = keras.Model([a, b], keras.layers.Dense(3)(b))
    with pytest.raises(mtgen.errors.ModelError, match="name all alike, or none"):
        loader().check(model)


def test_one_batch_per_epoch_has_every_row_and_with_the_callback_the_exact_order():
    # A peek at the only batch looks like an epoch; then the orders are those of later epochs (decision 0003).
    source, model = loader(data=dataset().take([3, 1, 2])), functional()
    x = source.keras()
    fit(model, x, epochs=3, callbacks=[source.callback(x)])
    assert model.recorder.rows() == expected(source, 0, 3)
    fit(model, loader(data=dataset().take([3, 1, 2])).keras(), epochs=2)
    assert sorted(model.recorder.rows()[9:12]) == sorted(model.recorder.rows()[12:]) == [1, 2, 3]


def test_looking_at_the_dataset_between_epochs_changes_nothing():
    source, model = loader(), functional()
    x = source.keras()
    look = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: len(x))
    fit(model, x, epochs=2, callbacks=[look])
    assert model.recorder.rows() == expected(source, 0, 2 * STEPS)


def test_sample_weights_reach_the_loss():
    weighted = loader(data=dataset(weight="w"))
    model = functional()
    model.optimizer.learning_rate = 0.0
    zero = table().assign(w=0.0)
    inputs = {"row": mtgen.Columns("row"), "a": mtgen.Columns(["a", "a", "a"])}
    nothing = mtgen.Loader(mtgen.Dataset(zero, inputs=inputs, targets="y", weight="w"), BATCH)
    assert fit(model, weighted.keras(), epochs=1).history["loss"][0] > 0
    assert fit(model, nothing.keras(), epochs=1).history["loss"][0] == pytest.approx(0, abs=1e-7)


def test_empty_slots_would_count_in_plain_metrics_so_they_are_refused():
    with pytest.raises(mtgen.errors.PlanError, match=r"pad_last .* use drop_last=True"):
        loader(pad_last=True).keras()


def test_inputs_named_alike_in_another_order_are_never_taken_one_for_the_other():
    # Of equal shape they trained without a word, each on the other's values.
    data = mtgen.Dataset(table(), inputs={"row": mtgen.Columns("row"), "a": mtgen.Columns("a")}, targets="y")
    a, row = keras.Input((1,), name="a"), keras.Input((1,), name="row")
    recorder = Recorder()
    output = keras.layers.Dense(3, activation="softmax")(keras.layers.Concatenate()([a, recorder(row)]))
    model = compiled(keras.Model([a, row], output))
    source = loader(data=data)
    x = source.keras()
    with pytest.raises(mtgen.errors.ModelError, match=r"order \['a', 'row'\].*\['row', 'a'\].*loader\.keras\(model\)"):
        fit(model, x, epochs=1, callbacks=[source.callback(x)])
    source.check(model)
    with pytest.raises(mtgen.errors.ModelError, match=r"loader\.keras\(model\)"):
        source.keras()
    fit(model, source.keras(model), epochs=1)
    assert recorder.rows() == expected(source, 0, STEPS)


def test_check_says_when_the_model_has_too_few_classes():
    row, a = keras.Input((1,), name="row"), keras.Input((3,), name="a")
    model = keras.Model([row, a], keras.layers.Dense(2)(keras.layers.Concatenate()([row, a])))
    with pytest.raises(mtgen.errors.ModelError, match=r"classes 0 to 2, the model's output has 2 values"):
        loader().check(model)


def test_restore_after_the_dataset_was_made_is_followed():
    source, model = loader(), functional()
    x = source.keras()
    source.restore(source.state(4))
    fit(model, x, epochs=1)
    source.restore(source.state(1))
    progress = source.callback(x)
    assert progress.step == 1
    fit(model, x, epochs=1, callbacks=[progress])
    source.restore(source.state(2))
    fit(model, x, epochs=1, callbacks=[progress])
    rows = [*expected(source, 4, 4 + STEPS), *expected(source, 1, 1 + STEPS), *expected(source, 2, 2 + STEPS)]
    assert model.recorder.rows() == rows


def test_evaluate_and_predict_see_every_row_and_predictions_know_theirs():
    source = loader(shuffle=False)
    model = functional()
    direct = model.predict((np.arange(NUM_ROWS)[:, None], dataset().fetch(range(NUM_ROWS)).inputs["a"]), verbose=0)
    np.testing.assert_allclose(model.predict(source.keras(), verbose=0), direct, rtol=1e-4, atol=1e-6)
    for each in (loader(), loader(pad_last=True), loader(data=dataset().take([7, 3, 12, 4, 9]))):
        frame = each.predict(model, verbose=0)
        np.testing.assert_array_equal(np.sort(frame["row"]), np.sort(each.dataset.rows))
        np.testing.assert_allclose(frame.drop(columns="row").to_numpy(), direct[frame["row"]], rtol=1e-4, atol=1e-6)
        assert frame.index.tolist() == frame["row"].tolist()


def two_outputs(as_dict):
    row, a = keras.Input((1,), name="row"), keras.Input((3,), name="a")
    recorder = Recorder()
    joined = keras.layers.Concatenate()([recorder(row), a])
    kind = keras.layers.Dense(3, activation="softmax", name="kind")(joined)
    size = keras.layers.Dense(1, name="size")(joined)
    model = keras.Model([row, a], {"kind": kind, "size": size} if as_dict else [kind, size])
    model.recorder = recorder
    losses = {"kind": "sparse_categorical_crossentropy", "size": "mse"}
    model.compile("sgd", losses if as_dict else list(losses.values()))
    return model


@pytest.mark.parametrize("as_dict", [True, False])
@pytest.mark.parametrize("weight", [None, "w", {"size": "w"}])
def test_several_targets(as_dict, weight):
    # Named in the other order than the model's outputs: the model decides.
    data = dataset(targets={"size": "a", "kind": "y"}, weight=weight)
    source, model = loader(data=data), two_outputs(as_dict)
    fit(model, source.keras(model), epochs=2)
    assert model.recorder.rows() == expected(source, 0, 2 * STEPS)


def test_missing_picture_reaches_the_user_with_row_and_path(tmp_path):
    frame = table().assign(path=[f"{row}.png" for row in range(NUM_ROWS)])
    inputs = {"row": mtgen.Columns("row"), "a": mtgen.Images("path", root=tmp_path, size=(1, 1))}
    data = mtgen.Dataset(frame, inputs=inputs, targets="y")
    row, image = keras.Input((1,)), keras.Input((1, 1, 3))
    model = compiled(keras.Model([row, image], keras.layers.Dense(3)(keras.layers.Flatten()(image))))
    source = mtgen.Loader(data, BATCH, seed=1)
    with pytest.raises(Exception, match=rf"row {source.rows(0)[0]}\b.*{source.rows(0)[0]}\.png"):
        fit(model, source.keras(), epochs=1)


def test_keras_workers_are_refused_with_the_way_to_have_them():
    x = loader().keras()
    if not isinstance(x, keras.utils.PyDataset):
        pytest.skip("tf.data has no workers of Keras")
    with pytest.raises(mtgen.MtgenError, match=r"num_workers=4"):
        x.workers = 4


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ([(1,)], "takes 1 inputs"),
        ([(3,), (1,)], r"input 'row' is \(1\) float32, the model's input .* takes \(3\)"),
        ([(1,), (4,)], r"input 'a' is \(3\) float32, the model's input 'second' takes \(4\)"),
    ],
)
def test_check_says_what_does_not_fit(inputs, message):
    tensors = [keras.Input(shape, name=name) for shape, name in zip(inputs, ("first", "second"), strict=False)]
    model = keras.Model(tensors, keras.layers.Dense(3)(tensors[0]))
    with pytest.raises(mtgen.errors.ModelError, match=message):
        loader().check(model)


def test_check_accepts_what_fits_and_compares_dict_keys():
    loader().check(functional())
    loader().check(functional(as_dict=True))
    a, b = keras.Input((1,), name="x"), keras.Input((3,), name="z")
    model = keras.Model({"x": a, "z": b}, keras.layers.Dense(3)(b))
    with pytest.raises(mtgen.errors.ModelError, match=r"dict keys \['x', 'z'\].*\['a', 'row'\]"):
        loader().keras(model)
