"""Sample weights through `fit`, on the backend that KERAS_BACKEND names: the loss is the one computed by hand.

`make test-backends` runs this file once per backend, each in a process of its own.
"""

import keras
import numpy as np
import pandas as pd
import pytest
from PIL import Image

import mtgen
from mtgen.sampling.importance import importance

NUM_ROWS = 20
BATCH = 5
FINDINGS = np.array(["edema", "hernia", "none"])

pytestmark = pytest.mark.filterwarnings(
    # Keras says so of every tf.data.Dataset when fit(shuffle=True), its default; mtgen's order holds (that is tested).
    "ignore:`shuffle=True` was passed, but will be ignored:UserWarning",
)


def table():
    numbers = np.arange(NUM_ROWS)
    finding = FINDINGS[np.minimum(numbers * 7 % 11, 2)]
    side = np.where(numbers % 3 == 0, "left", "right")
    return pd.DataFrame({"finding": finding, "side": side, "quality": 0.5 + numbers % 4 / 2, "path": "good.png"})


def dataset(frame=None, **options):
    frame = table() if frame is None else frame
    features = np.random.default_rng(0).normal(size=(NUM_ROWS, 4)).astype("float32")
    targets = {"finding": "finding", "side": "side"}
    return mtgen.Dataset(frame, {"x": mtgen.Rows(features)}, **{"targets": targets, **options})


def two_outputs(as_dict=False):
    keras.utils.set_random_seed(3)
    x = keras.Input((4,), name="x")
    finding = keras.layers.Dense(3, activation="softmax", name="finding")(x)
    side = keras.layers.Dense(2, activation="softmax", name="side")(x)
    return compiled(keras.Model(x, {"finding": finding, "side": side} if as_dict else [finding, side]))


def one_output(name="finding", num_classes=3, **inputs):
    keras.utils.set_random_seed(3)
    x = keras.Input((4,), name="x")
    return compiled(keras.Model(x, keras.layers.Dense(num_classes, activation="softmax", name=name)(x)))


def compiled(model):
    # Nothing is learned, so that one model's losses can be computed before and after.
    model.compile(keras.optimizers.SGD(0.0), "sparse_categorical_crossentropy")
    return model


def losses(model, data):
    """Cross-entropy of each row of the table, by target, float64."""
    batch = data.fetch(np.arange(len(data.table)))
    outputs = model.predict(batch.inputs["x"], verbose=0)
    if not isinstance(outputs, dict):
        named = outputs if isinstance(outputs, list) else [outputs]
        outputs = dict(zip(data.target_specs, named, strict=True))
    found = {}
    for name, values in outputs.items():
        chosen = np.asarray(values, np.float64)[np.arange(len(values)), batch.targets[name]]
        found[name] = -np.log(chosen)
    return found


def fitted(model, data, **options):
    loader = mtgen.Loader(data, BATCH, **{"seed": 1, "num_workers": 1, **options})
    return model.fit(loader.keras(model), epochs=1, verbose=0).history["loss"][0]


WEIGHTS = {
    "finding": mtgen.ClassWeights({"edema": 5, "hernia": 20, "none": 1}),
    "side": [mtgen.ClassWeights("balanced"), "quality"],
}


def by_hand(frame):
    """The weights of `WEIGHTS`, from their definition."""
    finding = frame["finding"].map({"edema": 5.0, "hernia": 20.0, "none": 1.0}).to_numpy()
    counts = frame["side"].value_counts()
    balanced = frame["side"].map(len(frame) / (len(counts) * counts)).to_numpy()
    return {"finding": finding, "side": balanced * frame["quality"].to_numpy()}


@pytest.mark.parametrize("as_dict", [False, True])
def test_each_output_has_class_weights_of_its_own(as_dict):
    data, model = dataset(weight=WEIGHTS), two_outputs(as_dict)
    expected, weights = losses(model, data), by_hand(data.table)
    total = sum(np.mean(weights[name] * expected[name]) for name in weights)
    assert abs(fitted(model, data) - total) < 1e-5
    plain = sum(np.mean(expected[name]) for name in weights)
    assert abs(fitted(model, dataset()) - plain) < 1e-5
    assert abs(total - plain) > 0.5  # so that weights which are not used would be seen


def test_a_weight_of_one_output_leaves_the_other_as_it_is():
    data, model = dataset(weight={"side": mtgen.ClassWeights({"left": 3, "right": 0})}), two_outputs()
    expected = losses(model, data)
    side = np.where(data.table["side"] == "left", 3.0, 0.0)
    assert abs(fitted(model, data) - np.mean(expected["finding"]) - np.mean(side * expected["side"])) < 1e-5


def test_one_output():
    data = dataset(targets="finding", weight=WEIGHTS["finding"])
    model = one_output()
    expected = np.mean(by_hand(data.table)["finding"] * losses(model, data)["finding"])
    assert abs(fitted(model, data) - expected) < 1e-5


@pytest.mark.parametrize("batch_size", [BATCH, 2])
def test_keras_refuses_class_weights_for_two_outputs(batch_size):
    """The reason for `ClassWeights`. From a `PyDataset` Keras took two targets for one array of two rows, and with a
    batch of two trained on weights of other samples without a word."""
    by_class, model, data = {0: 5.0, 1: 20.0, 2: 1.0}, two_outputs(), dataset()
    batch = data.fetch(data.rows)
    with pytest.raises(ValueError, match="`class_weight` is only supported for Models with a single output"):
        model.fit(batch.inputs["x"], list(batch.targets.values()), class_weight=by_class, verbose=0)
    x = mtgen.Loader(data, batch_size).keras(model)
    with pytest.raises(ValueError, match=r"class_weight.* (models of one|Models with a single) output"):
        model.fit(x, class_weight=by_class, verbose=0)


def test_keras_takes_class_weights_for_one_output_and_gives_the_same_loss():
    data, single = dataset(targets="finding"), one_output()
    theirs = single.fit(
        mtgen.Loader(data, BATCH).keras(single), class_weight={0: 5.0, 1: 20.0, 2: 1.0}, verbose=0
    ).history["loss"][0]
    ours = fitted(single, data.with_weight(mtgen.ClassWeights({"edema": 5, "hernia": 20, "none": 1})))
    assert abs(theirs - ours) < 1e-5


@pytest.mark.parametrize("as_dict", [False, True])
def test_a_masked_row_keeps_weight_zero(tmp_path, as_dict):
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "good.png")
    frame = table()
    frame.loc[[3, 11], "path"] = "bad.png"
    (tmp_path / "bad.png").write_bytes(b"no picture")
    inputs = {
        "x": mtgen.Rows(np.random.default_rng(0).normal(size=(NUM_ROWS, 4)).astype("float32")),
        "image": mtgen.Images("path", root=tmp_path, size=(4, 4), color="grayscale", dtype="float32"),
    }
    data = mtgen.Dataset(frame, inputs, targets={"finding": "finding", "side": "side"}, weight=WEIGHTS)
    keras.utils.set_random_seed(3)
    x, image = keras.Input((4,), name="x"), keras.Input((4, 4, 1), name="image")
    joined = keras.layers.Concatenate()([x, keras.layers.Flatten()(image)])
    finding = keras.layers.Dense(3, activation="softmax", name="finding")(joined)
    side = keras.layers.Dense(2, activation="softmax", name="side")(joined)
    model = compiled(keras.Model([x, image], {"finding": finding, "side": side} if as_dict else [finding, side]))
    good = np.setdiff1d(np.arange(NUM_ROWS), [3, 11])
    batch = data.fetch(good)
    outputs = model.predict([batch.inputs["x"], batch.inputs["image"]], verbose=0)
    outputs = outputs if isinstance(outputs, dict) else dict(zip(data.target_specs, outputs, strict=True))
    weights, expected = by_hand(frame), 0.0
    for name, values in outputs.items():
        loss = -np.log(np.asarray(values, np.float64)[np.arange(len(good)), batch.targets[name]])
        expected += np.sum(weights[name][good] * loss) / NUM_ROWS  # Keras divides by all slots
    assert abs(fitted(model, data, on_error=mtgen.OnError(policy="mask", max_errors=2)) - expected) < 1e-5


class Often:
    """An epoch in which row r comes `counts[r]` times."""

    def __init__(self, counts):
        self.places = np.repeat(np.arange(len(counts)), counts)
        self.probabilities = counts / counts.sum()

    def size(self, num_rows):
        return len(self.places)

    def order(self, num_rows, *, seed, epoch):
        return self

    def at(self, positions):
        return self.places[positions]

    def settings(self):
        return {"law": "often"}


def test_importance_makes_the_loss_that_of_all_rows_again():
    """Rare rows come more often, and the expected weighted loss is the mean over the data as it is."""
    law = Often(np.array([1, 4] * (NUM_ROWS // 2)))
    data, model = dataset(), two_outputs()
    expected = {name: np.mean(one) for name, one in losses(model, data).items()}
    total = sum(expected.values())
    weighted = data.with_weight(importance(law.probabilities))
    assert abs(fitted(model, weighted, sampler=law) - total) < 1e-5
    assert abs(fitted(model, data, sampler=law) - total) > 1e-3
    # For one output alone, on top of a class weight.
    only = data.with_weight(importance(law.probabilities), targets=["side"])
    drawn = np.mean(losses(model, data)["finding"][law.places])
    assert abs(fitted(model, only, sampler=law) - drawn - expected["side"]) < 1e-5


def test_the_loader_checks_a_model_with_weights():
    loader = mtgen.Loader(dataset(weight=WEIGHTS), BATCH)
    loader.check(two_outputs())
    loader.check(two_outputs(as_dict=True))
    with pytest.raises(mtgen.errors.ModelError, match="the model has 1 outputs"):
        loader.check(one_output())
