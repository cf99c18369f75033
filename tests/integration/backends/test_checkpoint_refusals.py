"""Checkpoints of another run are refused, whatever backend KERAS_BACKEND names: with the differences, at no loss."""

import json

import keras
import numpy as np
import pytest

from mtgen.checkpoint import Checkpoints
from mtgen.errors import ModelError, PlanError, StateError
from tests.support.saved_runs import (
    LAST,
    Recorder,
    Setup,
    compiled_once,  # noqa: F401  used by every test here
    cosine,
    dataset,
    expected_rows,
    functional,
    loader,
    only,
)

pytestmark = pytest.mark.filterwarnings(
    # Keras says so of every tf.data.Dataset when fit(shuffle=True), its default; mtgen's order holds (that is tested).
    "ignore:`shuffle=True` was passed, but will be ignored:UserWarning",
)


@pytest.fixture(scope="module")
def every(tmp_path_factory):
    """A run that was saved after every step."""
    folder = tmp_path_factory.mktemp("every")
    return folder, Setup().run(folder, keep=100)


# --- other runs are refused -------------------------------------------------------------------------------------------


def wider():
    return functional(units=7)


def deeper():
    model = functional()
    output = keras.layers.Dense(3, activation="softmax", name="more")(model.output)
    other = keras.Model(model.inputs, output)
    other.recorder = model.recorder
    return other


def renamed():
    return functional(name="other")


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"loader": {"data": dataset(2.0)}}, StateError, "dataset part"),
        ({"loader": {"seed": 2}}, StateError, "setting 'seed' was 1 and is 2"),
        ({"loader": {"shuffle": False}}, StateError, "setting 'sampler' was"),
        ({"loader": {"batch_size": 5}}, StateError, "setting 'batch_size' was 4 and is 5"),
        (
            {"loader": {"seed": 2, "batch_size": 5}},
            StateError,
            r"Differing: setting 'batch_size' was 4 and is 5; setting 'seed' was 1 and is 2\. Make the loader as it",
        ),
        ({"steps": 3}, StateError, "a run with 5 steps per epoch was saved, this one has 3"),
        (
            {"make": wider},
            StateError,
            r"model variable 'hidden/kernel' is \(6, 7\) float32, saved was \(6, 6\)",
        ),
        ({"make": deeper}, StateError, r"the model has 13 variables, saved were 11"),
        (
            {"make": renamed},
            StateError,
            "'other/kernel' is where model variable 'hidden/kernel' was",
        ),
        (
            {"optimizer": lambda: keras.optimizers.SGD(0.1)},
            StateError,
            r"the optimizer has \d variables, saved were",
        ),
        (
            {"optimizer": lambda: keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(0.05, 11))},
            StateError,
            r"optimizer setting 'config.learning_rate.config.decay_steps' was 10 and is 11",
        ),
        (
            {"optimizer": lambda: keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(0.05, 10), beta_1=0.5)},
            StateError,
            r"optimizer setting 'config.beta_1' was 0.9 and is 0.5",
        ),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_another_run_is_refused_and_nothing_is_changed(tmp_path, every, change, error, says):
    step = 5 if "loader" in change else 3  # at an epoch's end, and inside one
    folder = only(every[0], step, tmp_path)
    setup = Setup(**change)
    with pytest.raises(error, match=says):
        setup.fit(folder)
    assert setup.recorder_rows() == []
    assert setup.source.step == 0
    assert setup.model._initial_epoch is None
    assert [path.name for path in folder.iterdir()] == [f"checkpoint-{step:010d}"]


def test_a_refused_resume_leaves_a_loader_where_it_stands(tmp_path, every):
    """The loader was put to the checkpoint and back to its first step, so the run before began anew."""
    model, source = renamed(), loader(num_workers=1)
    model.compile(cosine(), "sparse_categorical_crossentropy", metrics=["accuracy"])
    x = source.keras()
    progress = source.callback(x)
    model.fit(x, epochs=1, verbose=0, callbacks=[progress])
    with pytest.raises(StateError, match="'other/kernel' is where"):
        model.fit(x, epochs=2, verbose=0, callbacks=[source.checkpoint(x, only(every[0], 3, tmp_path))])
    assert (progress.step, source.num_restores) == (5, 0)
    model.fit(x, epochs=1, verbose=0, callbacks=[progress])
    assert model.recorder.rows() == expected_rows(0, 10)
    source.close()


def test_other_metrics_are_refused_inside_an_epoch_and_may_change_between_epochs(tmp_path, every):
    setup = Setup(weighted_metrics=["sparse_categorical_crossentropy"])
    with pytest.raises(StateError, match=r"the metrics has \d variables, saved were \d"):
        setup.fit(only(every[0], 3, tmp_path / "3"))
    setup.fit(only(every[0], 5, tmp_path / "5"))
    assert setup.recorder_rows() == expected_rows(0, LAST)


def test_models_built_twice_in_a_process_are_the_same(tmp_path, every):
    """Keras numbers the names of layers that a script does not name: dense, then dense_1."""

    def make():
        row, a = keras.Input((1,), name="row"), keras.Input((5,), name="a")
        recorder = Recorder()
        joined = keras.layers.Concatenate()([recorder(row), a])
        model = keras.Model([row, a], keras.layers.Dense(3)(keras.layers.Dense(4)(joined)))
        model.recorder = recorder
        return model

    setup = Setup(make=make)
    setup.fit(tmp_path, epochs=1)
    first = [variable.path for variable in setup.model.variables]
    setup.fit(tmp_path)
    assert [variable.path for variable in setup.model.variables] != first
    assert setup.recorder_rows() == expected_rows(0, LAST)


def test_branches_that_changed_places_are_refused(tmp_path):
    def make(names):
        row, a = keras.Input((1,), name="row"), keras.Input((5,), name="a")
        recorder = Recorder(name="recorder")
        result = keras.layers.Concatenate()([recorder(row), a])
        for name in names:
            result = keras.layers.Dense(6, name=name)(result)
        model = keras.Model([row, a], result)
        model.recorder = recorder
        return model

    Setup(make=lambda: make(["first", "left_1", "left_2"])).fit(tmp_path, epochs=1)
    with pytest.raises(StateError, match="'left_2/kernel' is where model variable 'left_1/kernel' was saved"):
        Setup(make=lambda: make(["first", "left_2", "left_1"])).fit(tmp_path)


def test_steps_of_fit_and_of_the_dataset_must_agree(tmp_path):
    with pytest.raises(PlanError, match=r"fit takes 2 steps .* the dataset has 5.* loader\.keras\(steps_per_epoch=2\)"):
        Setup().fit(tmp_path, fit={"steps_per_epoch": 2})
    assert list(tmp_path.iterdir()) == []


def test_initial_epoch_that_contradicts_the_checkpoint_is_refused(tmp_path, every):
    with pytest.raises(StateError, match=r"fit begins with epoch 1, the checkpoint is in epoch 0 .* leave"):
        Setup().fit(only(every[0], 3, tmp_path), fit={"initial_epoch": 1})


@pytest.mark.parametrize("every_steps", [0, -1, True, 2.0, "epoch"])
def test_every_steps_is_a_number_of_steps(tmp_path, every_steps):
    source = loader()
    with pytest.raises(PlanError, match="every_steps must be an integer >= 1 or None, received"):
        source.checkpoint(source.keras(), tmp_path, every_steps=every_steps)


def test_the_callback_needs_the_dataset_of_a_loader(tmp_path):
    with pytest.raises(ModelError, match=r"needs what loader\.keras"):
        loader().checkpoint(np.zeros(3), tmp_path)


def test_a_checkpoint_of_something_else_is_refused(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(3, {}, {"of": "something else"})
    with pytest.raises(StateError, match=r"was not saved by loader\.checkpoint"):
        Setup().fit(tmp_path)


def test_a_person_can_read_where_a_run_stands(every):
    state = json.loads((every[0] / "checkpoint-0000000007" / "state.json").read_text())
    assert state["state"]["fit"] == {"epoch": 1, "step_in_epoch": 2, "steps_per_epoch": 5, "whole_epochs": True}
    assert state["state"]["loader"]["step"] == 7
    assert state["arrays"]["model/0002/hidden/kernel"] == {"dtype": "<f4", "shape": [6, 6]}


def test_steps_between_checkpoints_are_counted_over_epochs(tmp_path):
    Setup().fit(tmp_path, every_steps=3, keep=100)
    assert Checkpoints(tmp_path).steps() == [3, 5, 6, 9, 10]


def test_an_initial_epoch_was_taken_and_counted_wrong(tmp_path):
    with pytest.raises(PlanError, match=r"fit\(initial_epoch=1\) with a checkpoint callback"):
        Setup().fit(tmp_path, fit={"initial_epoch": 1})
    assert not list(tmp_path.glob("checkpoint-*"))
