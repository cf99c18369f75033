"""What pictures of runs ask a model, on the backend that KERAS_BACKEND names."""

import keras
import numpy as np
import pandas as pd
import pytest

import mtgen
from mtgen.errors import ModelError, PlanError, StateError
from mtgen.training import RunFolder
from mtgen.training.measures import answers, graph, maps, scores
from mtgen.training.measures.held_samples import hold
from mtgen.training.measures.states import rebuilt
from mtgen.training.record.layers import variable_names
from mtgen.training.record.snapshots import write_snapshot
from tests.support.saved_runs import value_of

NUM = 60


def dataset():
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"y": rng.integers(0, 3, NUM)})
    pictures = rng.integers(0, 256, (NUM, 6, 5, 3)).astype("uint8")
    features = rng.normal(size=(NUM, 4)).astype("float32")
    features[:, 0] += table["y"]
    return mtgen.Dataset(table, {"image": mtgen.Rows(pictures), "features": mtgen.Rows(features)}, targets="y")


def merged(*, ignore_image=False):
    keras.utils.set_random_seed(0)
    image = keras.Input((6, 5, 3), name="image", dtype="uint8")
    features = keras.Input((4,), name="features")
    drawn = keras.layers.Conv2D(7, 3, padding="same", activation="relu", name="conv")(
        keras.layers.Rescaling(0 if ignore_image else 1 / 255)(image)
    )
    drawn = keras.layers.Conv2D(2, 3, name="second")(drawn)
    joined = keras.layers.Concatenate()(
        [
            keras.layers.Flatten()(drawn),
            keras.layers.Dense(5, activation="relu", name="units")(features),
        ]
    )
    output = keras.layers.Dense(3, activation="softmax", name="answer")(joined)
    model = keras.Model([image, features], output)
    model.compile(loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


@pytest.fixture(scope="module")
def held():
    with mtgen.Loader(dataset(), 16, seed=3) as loader:  # a shuffled one: rows are held in their own order
        yield hold(loader, merged())


def test_held_samples_are_the_rows_in_order(held):
    assert held.batch.rows.tolist() == list(range(NUM))
    assert held.said() == "60 rows"
    plain = dataset().fetch(range(NUM))
    assert all((held.inputs[name] == plain.inputs[name]).all() for name in plain.inputs)
    with mtgen.Loader(dataset(), 16) as loader:
        part = hold(loader, merged(), most_bytes=10 * sum(one.spec.row_bytes for one in dataset().fields))
        with pytest.raises(PlanError, match="one row has 110 bytes, and no more than 5 may be held"):
            hold(loader, merged(), most_bytes=5)
    assert part.said() == "10 of 60 rows"
    assert (part.inputs["image"] == plain.inputs["image"][part.batch.rows]).all()


def test_rows_that_cannot_be_read_are_left_out(tmp_path):
    from PIL import Image

    for place in range(5):
        Image.new("L", (4, 4), place).save(tmp_path / f"{place}.png")
    (tmp_path / "2.png").write_bytes(b"no picture")
    table = pd.DataFrame({"path": [f"{place}.png" for place in range(5)], "y": [0, 1, 0, 1, 0]})
    images = mtgen.Images("path", root=tmp_path, size=(4, 4), color="grayscale")
    data = mtgen.Dataset(table, {"image": images}, targets="y")
    inputs = keras.Input((4, 4, 1), name="image", dtype="uint8")
    flat = keras.layers.Flatten()(keras.layers.Rescaling(1.0)(inputs))
    model = keras.Model(inputs, keras.layers.Dense(2)(flat))
    for policy in ("mask", "refill"):
        report = tmp_path / f"{policy}.csv"
        with mtgen.Loader(data, 2, on_error=mtgen.OnError(policy=policy, max_errors=3, report=report)) as loader:
            kept = hold(loader, model)
        assert kept.batch.rows.tolist() == [0, 1, 3, 4]
        assert kept.said() == "4 of 5 rows"
        assert not report.exists()  # looking at a run writes nothing into it


# --- permuted inputs --------------------------------------------------------------------------------------------------


def test_permuted_scores_are_those_of_exchanged_rows(held):
    model = merged()
    found = scores.permuted_scores(model, held, repeats=3, seed=5)
    assert found.kinds == ((), ("image",), ("features",), ("image", "features"))
    assert next(iter(found.scores)) == "loss"
    wanted = held.batch.targets["y"]

    def loss(image, features):
        given = model.predict([image, features], verbose=0).astype("float64")
        return -np.log(given[np.arange(NUM), wanted]).mean(), (given.argmax(axis=1) == wanted).mean()

    image, features = held.inputs["image"], held.inputs["features"]
    for repeat in range(3):
        places = scores.permutation(NUM, 5, repeat)
        lines = [
            (image, features),
            (image[places], features),
            (image, features[places]),
            (image[places], features[places]),
        ]
        for kind, line in enumerate(lines):
            plain = loss(*line)
            assert found.scores["loss"][kind, repeat] == pytest.approx(plain[0], rel=1e-4)
            assert found.scores["accuracy"][kind, repeat] == pytest.approx(plain[1])


def test_an_input_that_the_model_ignores_changes_nothing(held):
    found = scores.permuted_scores(merged(ignore_image=True), held, repeats=2)
    assert (found.scores["loss"][1] == found.scores["loss"][0]).all()
    assert (found.scores["loss"][2] != found.scores["loss"][0]).all()


def test_a_single_input_is_permuted_once():
    data = mtgen.Dataset(dataset().table.assign(x=np.arange(NUM) / NUM), {"x": mtgen.Columns("x")}, targets="y")
    inputs = keras.Input((1,), name="x")
    model = keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(inputs))
    model.compile(loss="sparse_categorical_crossentropy")
    with mtgen.Loader(data, 16) as loader:
        found = scores.permuted_scores(model, hold(loader, model), repeats=2)
    assert found.kinds == ((), ("x",))


# --- layers -----------------------------------------------------------------------------------------------------------


def test_the_first_layers_are_found():
    found = graph.first_layers(merged())
    assert {name: (one.name, one.is_convolution, one.is_dense) for name, one in found.items()} == {
        "image": ("conv", True, False),
        "features": ("units", False, True),
    }
    model = merged()
    layer = graph.first_layers(model)["image"]
    assert layer.kernel() == pytest.approx(value_of(model.get_layer("conv").kernel))
    assert [one.name for one in graph.convolutions_behind(model, "image")] == ["conv", "second"]
    assert graph.convolutions_behind(model, "features") == []


def test_layers_inside_of_models_that_are_layers_are_found():
    inner = keras.Sequential([keras.Input((6, 5, 3)), keras.layers.Conv2D(4, 3, name="inside"), keras.layers.Flatten()])
    image, features = keras.Input((6, 5, 3), name="image"), keras.Input((4,), name="features")
    joined = keras.layers.Concatenate()([inner(image), features])
    model = keras.Model({"image": image, "features": features}, keras.layers.Dense(2, name="end")(joined))
    found = graph.first_layers(model)
    assert found["image"].name == "inside"
    assert found["features"] is None  # what joins the branches is no filter of this one
    assert maps.first_convolution(model, "image") is None  # its output belongs to the inner model
    with pytest.raises(ModelError, match="does not say how its layers are joined"):
        graph.first_layers(keras.Model())


def test_feature_maps_are_the_output_of_the_layer(held):
    model = merged()
    layer = maps.first_convolution(model, "image")
    assert layer.name == "conv"
    assert maps.behind(model, layer) == ["image"]
    assert maps.behind(model, maps.layer_named(model, "answer")) == ["image", "features"]
    inputs = {name: values[:5] for name, values in held.inputs.items()}
    ask = maps.asker(model, layer)
    second = keras.Model(model.inputs, layer.output)
    for factor in (1.0, -2.0):  # asked again with other values of the model
        layer.kernel.assign(layer.kernel * factor)
        wanted = second.predict([inputs["image"], inputs["features"]], verbose=0)
        assert ask(inputs) == pytest.approx(wanted, abs=1e-6)
        assert ask(inputs).shape == (5, 6, 5, 7)
    with pytest.raises(PlanError, match="no layer 'nothing'; its layers are image, "):
        maps.layer_named(model, "nothing")


@pytest.mark.skipif(keras.backend.backend() == "tensorflow", reason="its convolutions on a CPU are channels last")
def test_maps_of_channels_first_come_channels_last():
    inputs = keras.Input((2, 6, 5), name="image")
    layer = keras.layers.Conv2D(4, 3, data_format="channels_first", name="conv")
    model = keras.Model(inputs, layer(inputs))
    values = np.random.default_rng(0).normal(size=(3, 2, 6, 5)).astype("float32")
    found = maps.asker(model, layer)({"image": values})
    assert found == pytest.approx(np.moveaxis(model.predict(values, verbose=0), 1, -1), abs=1e-6)


# --- answers and states -----------------------------------------------------------------------------------------------


def test_answers_stand_at_their_targets():
    table = pd.DataFrame({"a": np.arange(8.0), "b": np.arange(8.0) * 2, "c": np.arange(8.0) * 3})
    data = mtgen.Dataset(table, {"x": mtgen.Columns("a")}, targets={"b": "b", "c": "c"})
    inputs = keras.Input((1,), name="x")
    outputs = [keras.layers.Rescaling(3.0, name="c")(inputs), keras.layers.Rescaling(2.0, name="b")(inputs)]
    for model in (keras.Model(inputs, outputs), keras.Model(inputs, {one.name: one for one in outputs})):
        model.compile(loss="mse")
    model = keras.Model(inputs, {"b": outputs[1], "c": outputs[0]})
    with mtgen.Loader(data, 4) as loader:
        found = answers.answers_of(model, hold(loader, model))
    assert {name: answers.compared(table[name].to_numpy(), one).error for name, one in found.items()} == {
        "b": 0,
        "c": 0,
    }


def snapshot(folder, model, step):
    arrays = {name: value_of(one) for name, one in zip(variable_names(model), model.variables, strict=True)}
    write_snapshot(folder / "snapshots", step, arrays, {})


def test_a_model_is_built_again_at_each_snapshot(tmp_path, held):
    model = merged()
    (tmp_path / "model.json").write_text(model.to_json(), encoding="utf-8")
    wanted = {}
    for step in (0, 40, 80):
        kernel = model.get_layer("units").kernel
        kernel.assign(kernel * 2)
        snapshot(tmp_path, model, step)
        wanted[step] = scores.scores_of(model, held)
    found = rebuilt(RunFolder(tmp_path))
    assert found.notes == ()
    assert [state.name for state in found.states(5, best=40)] == ["step 0", "step 40 (best)", "step 80"]
    assert found.final().step == 80
    for state in reversed(found.states(5)):
        state.put()
        assert scores.scores_of(found.model, held) == pytest.approx(wanted[state.step], rel=1e-5)
    with pytest.raises(StateError, match="no snapshot of step 41; there are those of steps"):
        found.states(5, [0, 41])

    model.save(tmp_path / "model.keras")
    whole = rebuilt(RunFolder(tmp_path))
    whole.state(0).put()
    whole.final().put()
    assert whole.final().name == "trained model"
    assert scores.scores_of(whole.model, held) == pytest.approx(wanted[80], rel=1e-5)

    (tmp_path / "model.keras").write_bytes(b"damaged")
    with_note = rebuilt(RunFolder(tmp_path))
    assert with_note.final().step == 80
    assert with_note.notes[0].startswith(
        "The trained model was left out, snapshots stand in for it: Keras cannot build"
    )


def test_a_model_saved_without_its_loss_gets_one_and_says_so(tmp_path):
    model = merged()
    plain = keras.Model(model.inputs, model.outputs)
    (tmp_path / "model.json").write_text(plain.to_json(), encoding="utf-8")
    found = rebuilt(RunFolder(tmp_path))
    assert found.notes == ("The loss of the model is sparse_categorical_crossentropy here: it was saved without one.",)
    assert found.model.compiled
    with pytest.raises(StateError, match="neither snapshots nor a trained model"):
        found.final()


@keras.saving.register_keras_serializable(package="tests-plots")
class OwnLoss(keras.losses.Loss):
    def call(self, y_true, y_pred):
        return keras.ops.mean(keras.ops.square(y_pred), axis=-1)


def test_a_loss_that_nobody_knows_is_replaced_and_said(tmp_path, held):
    model = merged()
    model.compile(loss=OwnLoss())
    text = model.to_json()
    (tmp_path / "model.json").write_text(text, encoding="utf-8")
    assert rebuilt(RunFolder(tmp_path)).notes == ()
    (tmp_path / "model.json").write_text(text.replace("OwnLoss", "Gone"), encoding="utf-8")
    found = rebuilt(RunFolder(tmp_path))
    assert found.notes[0].startswith("The loss of the model is sparse_categorical_crossentropy here: its own cannot be")
    assert scores.scores_of(found.model, held)["loss"] > 0


def test_a_snapshot_of_another_model_is_refused(tmp_path):
    model = merged()
    (tmp_path / "model.json").write_text(model.to_json(), encoding="utf-8")
    small = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    snapshot(tmp_path, small, 10)
    with pytest.raises(StateError, match="belongs to another model: it has 2 arrays, the model 8 variables"):
        rebuilt(RunFolder(tmp_path)).state(10).put()
    with pytest.raises(StateError, match=r"neither model\.keras nor model\.json"):
        rebuilt(RunFolder(tmp_path / "elsewhere"))


def test_a_model_of_layers_that_nobody_knows_is_an_error_that_says_so(tmp_path):
    (tmp_path / "model.json").write_text('{"class_name": "Strange", "config": {}}', encoding="utf-8")
    with pytest.raises(ModelError, match=r"Keras cannot build the model .* must be registered"):
        rebuilt(RunFolder(tmp_path))


# --- runs of every kind -----------------------------------------------------------------------------------------------


def whole_story(folder, model, data, steps=(0, 10)):
    """The story of a run whose snapshots are the model with its first kernel doubled each time."""
    from mtgen.view.runs.plots import story_of
    from mtgen.view.runs.story import Opened

    (folder / "model.json").write_text(model.to_json(), encoding="utf-8")
    kernel = next(one for one in model.trainable_variables if len(one.shape) > 1)
    for step in steps:
        snapshot(folder, model, step)
        kernel.assign(kernel * 2)
    return story_of(RunFolder(folder), None, lambda: Opened(valid=mtgen.Loader(data, 16, shuffle=False), rows=data))


def kinds_of(story):
    return [(one.kind, one.name) for one in story.pictures]


def test_numbers_from_columns_have_their_pictures(tmp_path):
    pytest.importorskip("matplotlib")
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"age": rng.normal(size=NUM), "$size$": rng.normal(size=NUM)}).assign(y=rng.normal(size=NUM))
    data = mtgen.Dataset(table, {"x": mtgen.Columns(["age", "$size$"])}, targets="y")
    inputs = keras.Input((2,), name="x")
    model = keras.Model(inputs, keras.layers.Dense(1, name="end")(keras.layers.Dense(4, name="units")(inputs)))
    model.compile(loss="mse", metrics=["mae"])
    found = whole_story(tmp_path, model, data)
    assert kinds_of(found) == [
        ("filters", "weights_x"),
        ("confusion", "predictions_y"),
        ("inputs", "inputs"),
        ("snapshots", "snapshots"),
    ]
    assert "age" in found.pictures[0].sentence
    assert "it is the only input" in found.pictures[2].sentence
    left = {one.kind: one.why for one in found.left_out}
    assert sorted(left) == ["curves", "maps", "waits"]
    assert "no convolution behind an input" in left["maps"]


def test_volumes_have_their_pictures(tmp_path):
    pytest.importorskip("matplotlib")
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"y": rng.integers(0, 2, NUM)})
    data = mtgen.Dataset(table, {"cube": mtgen.Rows(rng.normal(size=(NUM, 4, 5, 6, 1)).astype("float32"))}, targets="y")
    inputs = keras.Input((4, 5, 6, 1), name="cube")
    drawn = keras.layers.Flatten()(keras.layers.Conv3D(3, 3, name="conv")(inputs))
    model = keras.Model(inputs, keras.layers.Dense(1, activation="sigmoid", name="end")(drawn))
    model.compile(loss="binary_crossentropy", metrics=["accuracy"])
    found = whole_story(tmp_path, model, data)
    assert kinds_of(found) == [
        ("filters", "filters_cube"),
        ("maps", "maps_conv"),
        ("confusion", "confusion_y"),
        ("inputs", "inputs"),
        ("snapshots", "snapshots"),
    ]
    assert found.pictures[1].numbers["states"] == ["step 0", "step 10"]


def test_a_model_that_lost_its_numbers_has_pictures(tmp_path):
    pytest.importorskip("matplotlib")
    model = merged()
    for name in ("conv", "answer"):
        kernel = model.get_layer(name).kernel
        kernel.assign(np.full(kernel.shape, np.nan))
    found = whole_story(tmp_path, model, dataset())
    assert {one.kind for one in found.pictures} == {"filters", "maps", "confusion", "inputs", "snapshots"}
    said = {one.kind: one.sentence for one in found.pictures}
    assert said["inputs"] == "The loss is not a finite number, so nothing can be said of inputs."
    assert said["snapshots"] == "No snapshot has a finite loss."
    if keras.backend.backend() != "tensorflow":  # on a CPU its relu of NaN behind a convolution is 0
        assert said["maps"].endswith("Some of their values are not finite.")


def test_a_snapshot_that_is_damaged_leaves_out_what_needs_it(tmp_path):
    pytest.importorskip("matplotlib")
    found = whole_story(tmp_path, merged(), dataset())
    assert len(found.pictures) == 6
    (tmp_path / "snapshots" / "000000010" / "arrays.npz").write_bytes(b"")
    again = whole_story(tmp_path, merged(), dataset(), steps=())
    assert again.pictures == []
    assert any("of this snapshot is damaged" in one.why for one in again.left_out)
