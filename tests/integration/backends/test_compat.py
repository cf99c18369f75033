"""`mtgen.compat` with real training, on the backend that KERAS_BACKEND names: what was trained on, batch by batch.

`make test-backends` runs this file once per backend, each in a process of its own.
"""

import threading
import warnings

import keras
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from mtgen.compat import fit_generator, generator_from_df
from mtgen.errors import DecodeError, MtgenError, PlanError

NUM_ROWS = 22
BATCH = 4
STEPS = 5  # two rows of each epoch fill no batch

pytestmark = pytest.mark.usefixtures("no_thread_left")


@keras.saving.register_keras_serializable(package="tests-compat")
class Recorder(keras.layers.Layer):
    """Gives its input times 0, and writes down the numbers that were trained on, in a weight."""

    def build(self, shape):
        self.seen = self.add_weight(shape=(600,), initializer="zeros", trainable=False, name="seen")
        self.count = self.add_weight(shape=(), initializer="zeros", trainable=False, name="count", dtype="int32")

    def call(self, numbers, training=False):
        if training:
            ops = keras.ops
            flat = ops.cast(ops.reshape(numbers[:, :1], (-1,)), "float32")
            places = ops.expand_dims(ops.arange(ops.shape(flat)[0], dtype="int32") + self.count, 1)
            self.seen.assign(ops.scatter_update(self.seen, places, flat))
            self.count.assign(self.count + ops.shape(flat)[0])
        return numbers * 0

    def numbers(self):
        return np.asarray(keras.ops.convert_to_numpy(self.seen))[: int(self.count)].astype(int).tolist()


def compiled(model, **options):
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"], **options)
    return model


def merged():
    """A built model of a picture and three features, the first of which is recorded."""
    picture, features = keras.Input((4, 4, 3)), keras.Input((3,))
    recorder = Recorder()
    joined = keras.layers.Concatenate()([keras.layers.Flatten()(picture), recorder(features)])
    model = keras.Model([picture, features], keras.layers.Dense(3, activation="softmax")(joined))
    model.recorder = recorder
    return compiled(model)


class Unbuilt(keras.Model):
    def __init__(self):
        super().__init__()
        self.recorder, self.dense = Recorder(), keras.layers.Dense(3, activation="softmax")

    def call(self, inputs, training=False):
        picture, features = inputs
        rows = self.recorder(features, training=training)
        return self.dense(keras.ops.concatenate([keras.ops.reshape(picture, (-1, 48)), rows], axis=1))


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    for row in range(NUM_ROWS):
        Image.new("RGB", (4, 4), (row, 2 * row, 3 * row)).save(folder / f"{row}.png")
    frame = pd.DataFrame({"imgpath": [str(folder / f"{row}.png") for row in range(NUM_ROWS)]})
    frame["target"] = np.arange(NUM_ROWS) % 3
    return frame


@pytest.fixture
def generator(table):
    made = generator_from_df(table, BATCH, (4, 4), features=features(), seed=3, num_workers=2)
    yield made
    made.close()


def features():
    return np.repeat(np.arange(NUM_ROWS, dtype="float64"), 3).reshape(-1, 3) + 0.25


def expected(generator, first, last):
    return [int(row) for step in range(first, last) for row in generator.loader.rows(step)]


def counting(num_batches=10**9, size=2):
    """A plain generator: the first feature is the number of the batch. Inputs come as a list, as in 2017."""
    for number in range(num_batches):
        yield [np.zeros((size, 4, 4, 3), "float32"), np.full((size, 3), number, "float32")], np.zeros(size, "int32")


def numbers(first, last, size=2):
    return [number for number in range(first, last) for _ in range(size)]


# --- model.fit takes the generator as it is ---------------------------------------------------------------------------


@pytest.mark.parametrize("make", [merged, lambda: compiled(Unbuilt())], ids=["built", "unbuilt"])
def test_fit_takes_the_generator_and_trains_on_each_batch_once_in_order(generator, make):
    model = make()
    model.fit(generator, steps_per_epoch=STEPS, epochs=3, shuffle=False, verbose=0)
    assert model.recorder.numbers() == expected(generator, 0, 3 * STEPS)


# --- fit_generator ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [merged, lambda: compiled(Unbuilt())], ids=["built", "unbuilt"])
def test_the_generator_of_2017_is_trained_on_once_per_epoch_and_needs_no_steps(generator, make):
    model = make()
    history = fit_generator(model, generator, epochs=3, verbose=0)
    rows = model.recorder.numbers()
    assert rows == expected(generator, 0, 3 * STEPS)
    assert all(len(set(rows[start : start + STEPS * BATCH])) == STEPS * BATCH for start in range(0, len(rows), 20))
    assert history.epoch == [0, 1, 2]


def test_a_batch_taken_by_hand_is_not_trained_on_and_a_second_fit_goes_on(generator):
    model = merged()
    (_, first), _ = next(generator)
    assert first[:, 0].astype(int).tolist() == expected(generator, 0, 1)
    fit_generator(model, generator, STEPS, 1, verbose=0)
    fit_generator(model, generator, STEPS, 2, verbose=0)
    assert model.recorder.numbers() == expected(generator, 1, 1 + 3 * STEPS)
    assert generator.step == 1 + 3 * STEPS


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_every_batch_of_a_plain_generator_once_whatever_the_steps(steps):
    model = compiled(Unbuilt())
    fit_generator(model, counting(), steps_per_epoch=steps, epochs=4, verbose=0)
    assert model.recorder.numbers() == numbers(0, 4 * steps)


def test_an_iterator_that_is_no_generator_is_taken():
    class Locked:
        """The thread-safe iterator of 2017, which Keras 3 refuses."""

        def __init__(self, iterator):
            self.iterator, self.lock = iterator, threading.Lock()

        def __iter__(self):
            return self

        def __next__(self):
            with self.lock:
                return next(self.iterator)

    model = merged()
    with pytest.raises(ValueError, match="Unrecognized data type"):
        model.fit(Locked(counting()), steps_per_epoch=3, shuffle=False, verbose=0)
    fit_generator(model, Locked(counting()), 3, 2, verbose=0)
    assert model.recorder.numbers() == numbers(0, 6)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("shuffle", [True, False])
def test_no_warning_about_shuffle(generator, shuffle):
    model = merged()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit_generator(
            model, generator, STEPS, validation_data=counting(), validation_steps=1, verbose=0, shuffle=shuffle
        )
    assert [str(one.message) for one in caught if "shuffle" in str(one.message)] == []


def test_a_generator_that_ends_early_is_an_error_and_never_trains_on_two_batches_again():
    model = merged()
    with pytest.raises(PlanError, match=r"the generator ended after 7 batches.*while True.*\[step 7\]"):
        fit_generator(model, counting(7), steps_per_epoch=5, epochs=3, verbose=0)
    assert model.recorder.numbers() == numbers(0, 7)


def test_an_empty_generator_is_an_error():
    with pytest.raises(PlanError, match="ended after 0 batches"):
        fit_generator(merged(), counting(0), steps_per_epoch=5, verbose=0)


def test_a_generator_with_exactly_enough_batches_is_enough():
    model = compiled(Unbuilt())
    fit_generator(model, counting(6), steps_per_epoch=2, epochs=3, verbose=0)
    assert model.recorder.numbers() == numbers(0, 6)


def test_an_error_inside_the_generator_arrives_as_it_is(table):
    row = expected(generator_from_df(table, BATCH, (4, 4), seed=3), 0, STEPS + 3)[-1]
    broken = table.copy()
    broken.loc[row, "imgpath"] = "nowhere.png"
    generator = generator_from_df(broken, BATCH, (4, 4), features=features(), seed=3, num_workers=2)
    with pytest.raises(DecodeError, match=rf"row {row}, path nowhere\.png"):
        fit_generator(merged(), generator, epochs=2, verbose=0)
    generator.close()


def test_what_is_no_batch_is_an_error():
    with pytest.raises(PlanError, match=r"gave a NoneType, expected \(x, y\)"):
        fit_generator(merged(), (None for _ in range(9)), steps_per_epoch=2, verbose=0)


def test_validation_by_a_generator_goes_on_where_it_stopped():
    seen = []

    def watched():
        for number, batch in enumerate(counting()):
            seen.append(number)
            yield batch

    model = merged()
    history = fit_generator(
        model, counting(), 2, 3, validation_data=watched(), validation_steps=2, verbose=0, workers=4, max_queue_size=50
    )
    assert seen == list(range(6))
    assert len(history.history["val_loss"]) == 3
    assert model.recorder.numbers() == numbers(0, 6)


def test_validation_values_are_those_of_the_batches():
    model = merged()
    model.optimizer.learning_rate = 0.0
    x, y = [np.random.default_rng(0).random((6, 4, 4, 3)), np.ones((6, 3))], np.array([0, 1, 2, 0, 1, 2])
    halves = [((x[0][:3], x[1][:3]), y[:3]), ((x[0][3:], x[1][3:]), y[3:])]
    endless = (halves[number % 2] for number in range(10**6))
    by_generator = fit_generator(model, counting(), 2, 2, validation_data=endless, validation_steps=2, verbose=0)
    by_arrays = fit_generator(model, counting(), 2, 2, validation_data=[x, y], verbose=0)
    np.testing.assert_allclose(by_generator.history["val_loss"], by_arrays.history["val_loss"][:1] * 2, rtol=1e-5)


def test_class_weight_counts():
    model = merged()
    model.optimizer.learning_rate = 0.0
    plain = fit_generator(model, counting(), 3, verbose=0).history["loss"][0]
    heavy = fit_generator(model, counting(), 3, verbose=0, class_weight={0: 5.0, 1: 1.0, 2: 1.0}).history["loss"][0]
    # Some backends report the weighted sum over the sum of weights; then a constant weight changes nothing.
    assert heavy == pytest.approx(5 * plain, rel=1e-4) or heavy == pytest.approx(plain, rel=1e-4)

    def mixed():
        for (picture, rows), _ in counting():
            yield (picture + np.array([1.0, 0.0]).reshape(2, 1, 1, 1), rows), np.array([0, 1])

    plain = fit_generator(model, mixed(), 3, verbose=0).history["loss"][0]
    heavy = fit_generator(model, mixed(), 3, verbose=0, class_weight={0: 9.0, 1: 1.0, 2: 1.0}).history["loss"][0]
    assert heavy != pytest.approx(plain, rel=1e-3)


def test_callbacks_verbose_and_initial_epoch_are_passed_on(capfd):
    model, ends = merged(), []
    callback = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: ends.append(epoch))
    for callbacks in (callback, [callback]):
        history = fit_generator(model, counting(), 2, 5, 2, callbacks, initial_epoch=3)
        assert history.epoch == [3, 4]
    assert ends == [3, 4, 3, 4]
    assert "Epoch 4/5" in capfd.readouterr().out
    assert model.recorder.numbers() == numbers(0, 4) * 2


class StopAfterThree(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        self.model.stop_training = batch == 2


def test_after_an_early_stop_the_generator_of_2017_goes_on_right_after_the_last_trained_batch(generator):
    model = merged()
    fit_generator(model, generator, epochs=3, verbose=0, callbacks=[StopAfterThree()])
    assert generator.step == 3
    fit_generator(model, generator, 4, 1, verbose=0)
    assert model.recorder.numbers() == expected(generator, 0, 7)


def test_after_an_early_stop_a_plain_generator_goes_on_and_repeats_nothing():
    model, source = merged(), counting()
    fit_generator(model, source, 5, 3, verbose=0, callbacks=[StopAfterThree()])
    fit_generator(model, source, 2, 1, verbose=0)
    seen = model.recorder.numbers()
    # TensorFlow may ask for the next batch before it trains on one, or not: then that one is lost, none comes twice.
    lost = (0, 1) if keras.backend.backend() == "tensorflow" else (0,)
    assert seen in [numbers(0, 3) + numbers(3 + one, 5 + one) for one in lost]


def test_a_py_dataset_is_trained_on_as_it_is():
    class Batches(keras.utils.PyDataset):
        def __len__(self):
            return 4

        def __getitem__(self, index):
            (picture, rows), y = next(counting(1))
            return (picture, rows + index), y

    model = merged()
    fit_generator(model, Batches(), epochs=2, shuffle=False, verbose=0)
    assert model.recorder.numbers() == numbers(0, 4) * 2
    model = merged()
    fit_generator(model, Batches(), epochs=1, verbose=0)
    assert sorted(model.recorder.numbers()) == numbers(0, 4)


def test_generators_of_dicts_and_of_growing_sizes():
    ragged = keras.Input((None, 2), name="ragged")
    output = keras.layers.Dense(3, activation="softmax")(keras.layers.GlobalAveragePooling1D()(ragged))
    model = compiled(keras.Model({"ragged": ragged}, output))

    def growing():
        for length in range(1, 100):
            yield {"ragged": np.ones((2, length, 2), "float32")}, np.zeros(2, "int32")

    history = fit_generator(model, growing(), 3, 2, verbose=0)
    assert np.isfinite(history.history["loss"]).all()


# --- refused ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"use_multiprocessing": True, "workers": 6}, r"generator_from_df\(\.\.\., num_workers=6\)"),
        ({"steps_per_epoch": None}, r"steps_per_epoch is needed.*number of rows // batch_size"),
        ({"steps_per_epoch": 0}, "steps_per_epoch must be an integer >= 1, received 0"),
        ({"steps_per_epoch": 2.5}, "steps_per_epoch must be an integer >= 1, received 2.5"),
        ({"validation_data": counting()}, "validation_steps is needed"),
        ({"validation_data": counting(), "validation_steps": True}, "validation_steps must be an integer"),
        ({"validation_data": {"x": 1}}, "the validation_data is a dict"),
        (
            {"generator": np.zeros((4, 4))},
            "the generator is a ndarray, expected a generator.*for arrays write model.fit",
        ),
    ],
    ids=lambda value: None if isinstance(value, dict) else value[:30],
)
def test_refused_before_a_batch_is_taken(options, says):
    model, source = merged(), counting()
    with pytest.raises(PlanError, match=says):
        fit_generator(model, **{"generator": source, "steps_per_epoch": 3, "verbose": 0, **options})
    assert model.recorder.numbers() == []
    assert next(source)[0][1][0, 0] == 0


def test_validation_steps_to_write_are_named_where_they_are_known(generator):
    with pytest.raises(PlanError, match=f"validation_steps={STEPS}$"):
        fit_generator(merged(), counting(), 3, validation_data=generator, verbose=0)


def test_a_loader_is_told_the_short_way(generator):
    with pytest.raises(MtgenError, match=r"is a Loader.*model\.fit\(loader\.keras\(\), \.\.\.\)"):
        fit_generator(merged(), generator.loader, 3, verbose=0)
