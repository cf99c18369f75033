"""Training by rules with a test split that is scored at each new best, on the backend that KERAS_BACKEND names.

Scoring changes nothing of training, bit for bit; a run that is interrupted at any step and resumed leaves the same
rules, learning rate, weights, history, decisions and scores as one that was not.
"""

import contextlib
import json
import math
import shutil

import keras
import numpy as np
import pytest

import mtgen
from mtgen.errors import PlanError, StateError
from mtgen.training import HalvingRule, InverseEpochDecay, PatienceRule, RuleCallback, TestScores
from tests.support.saved_runs import (  # noqa: F401
    BATCH,
    STEPS,
    check_same,
    compiled_once,
    dataset,
    functional,
    loader,
    outcome,
    value_of,
)

pytestmark = pytest.mark.filterwarnings(
    # Keras says so of every tf.data.Dataset when fit(shuffle=True), its default; mtgen's order holds (that is tested).
    "ignore:`shuffle=True` was passed, but will be ignored:UserWarning",
)

ERRORS = [0.5, 0.4, 0.45, 0.3, 0.3, 0.3]
"""Told at each validation, every 4 mini-batches: two new bests, then patience of 14 runs out after 15."""
BESTS = [4, 8]
TRAINED = 15
SCHEDULES = {
    "plain": lambda: 0.1,
    "schedule": lambda: keras.optimizers.schedules.ExponentialDecay(0.1, 3, 0.8),
}


class Told(keras.callbacks.Callback):
    """Puts the errors into the logs, and ends the process after a step, as far as a callback can."""

    def __init__(self, errors, last_step):
        super().__init__()
        self.errors, self.last_step, self.rules = errors, last_step, None

    def on_train_batch_end(self, batch, logs=None):
        if self.rules.step == self.last_step:  # counted by the checkpoint, which is the first
            raise KeyboardInterrupt

    def on_epoch_end(self, epoch, logs=None):
        logs["error"] = self.errors[self.rules.step // 4 - 1]


class Run:
    """One script as a user has it; each `fit` is a process of its own, as far as objects go."""

    def __init__(self, folder, kind="plain", *, scored=True, every=3, errors=ERRORS, last_step=None, test=None):
        rules = {
            "patience": PatienceRule(
                patience=8, patience_increase=2, improvement_threshold=0.995, batches_per_epoch=STEPS
            ),
            "halving": HalvingRule(1),
            "decay": InverseEpochDecay(0.5),
        }
        self.model, source = functional(), loader(num_workers=1)
        optimizer = keras.optimizers.Adam(SCHEDULES[kind]())
        self.model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
        x = source.keras(self.model, steps_per_epoch=4)
        self.scores = None
        if scored:
            path = None if folder is None else folder / "test_scores.csv"
            self.scores = TestScores(test or dataset(2.0), batch_size=5, path=path, num_workers=0)
        self.said = []
        options = {"monitor": "error", "restore_best": True, "say": self.said.append, "test": self.scores}
        told = Told(errors, last_step)
        told.rules = self.rules = RuleCallback(x, **rules, **options)
        saving = []
        if folder is not None:
            also = {"every_steps": every, "also": [self.rules], "say": lambda line: None}
            saving = [source.checkpoint(x, folder / "checkpoints", **also)]
        callbacks = [*saving, told, self.rules]
        valid = loader(shuffle=False, num_workers=0).keras(self.model)
        try:
            self.history = self.model.fit(x, epochs=6, verbose=0, validation_data=valid, callbacks=callbacks)
        except KeyboardInterrupt:
            self.history = None
        source.close()

    def left(self):
        """All that the run leaves, but for the time it took."""
        rate = self.model.optimizer.learning_rate
        rate = float(value_of(rate) if isinstance(rate, keras.Variable) else keras.ops.convert_to_numpy(rate))
        return json.dumps(self.rules.saved_state(), sort_keys=True), rate


@pytest.fixture(scope="module", params=SCHEDULES)
def whole(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    run = Run(folder, request.param)
    assert run.rules.iteration == TRAINED - 1
    assert [score.step for score in run.scores.scores] == BESTS
    return request.param, run, (folder / "test_scores.csv").read_bytes()


def test_training_is_the_same_bit_for_bit_with_and_without_scores(whole):
    kind, run, _ = whole
    plain = Run(None, kind, scored=False)
    (values, logs, epochs, rows), expected = outcome(run.model, run.history), outcome(plain.model, plain.history)
    assert {name for name in logs if name.startswith("test_")} == {"test_loss", "test_accuracy"}
    logs = {name: series for name, series in logs.items() if not name.startswith("test_")}
    check_same((values, logs, epochs, rows), expected)
    state, other = run.rules.saved_state(), plain.rules.saved_state()
    assert {**state, "test": None} == other
    assert [line for line in run.said if "on the test split" not in line] == plain.said


def test_the_scores_are_those_of_the_best_models_and_are_said_and_logged(whole):
    _, run, content = whole
    (first, second) = run.scores.scores
    assert run.history.history["test_loss"] == [first.values["loss"], second.values["loss"]]
    told = ", ".join(f"{name} {value:.6g}" for name, value in second.values.items())
    assert f"mini-batch 7: new best, on the test split {told} (look 2)" in run.said
    assert content.decode().splitlines()[0].split(",")[:3] == ["step", "why", "num_rows"]
    # restore_best put the variables of the second one back.
    alone = TestScores(dataset(2.0), batch_size=5).score(run.model, step=0, why="again")
    assert alone == second.values


@pytest.mark.parametrize("last_step", [2, 4, 8, 9])
def test_interrupted_at_any_step_and_resumed_all_is_the_same(tmp_path, whole, last_step):
    kind, run, content = whole
    every = 1 + last_step % 4
    interrupted = Run(tmp_path, kind, last_step=last_step, every=every)
    assert interrupted.history is None
    before = interrupted.scores.num_scores
    assert before == sum(step < last_step for step in BESTS)
    resumed = Run(tmp_path, kind, every=every)
    check_same(outcome(resumed.model, resumed.history), outcome(run.model, run.history))
    assert resumed.left() == run.left()
    assert (tmp_path / "test_scores.csv").read_bytes() == content
    assert resumed.scores.scores == run.scores.scores
    decided = {line for line in run.said if line.startswith(("mini-batch", "stopped"))}
    assert {line for line in interrupted.said + resumed.said if line.startswith(("mini-batch", "stopped"))} <= decided
    assert resumed.said[-1] == run.said[-1] == "the best variables were put back"


def test_interrupted_again_and_again_all_is_the_same(tmp_path, whole):
    kind, run, content = whole
    for last_step in (5, 9):
        assert Run(tmp_path, kind, last_step=last_step, every=2).history is None
    resumed = Run(tmp_path, kind, every=2)
    check_same(outcome(resumed.model, resumed.history), outcome(run.model, run.history))
    assert resumed.left() == run.left()
    assert (tmp_path / "test_scores.csv").read_bytes() == content


def test_scores_of_a_run_that_was_never_saved_are_left_out_and_that_is_said(tmp_path):
    interrupted = Run(tmp_path, last_step=6, every=None)
    assert interrupted.scores.num_scores == 1
    shutil.rmtree(tmp_path / "checkpoints")
    again = Run(tmp_path)
    assert again.said[0].startswith("1 scores of later steps in ")
    assert [score.step for score in again.scores.scores] == BESTS


def test_nan_stops_and_is_no_new_best():
    run = Run(None, errors=[0.5, math.nan])
    assert [score.step for score in run.scores.scores] == [4]
    assert run.said[-2:] == ["stopped after 8 mini-batches: error is nan", "the best variables were put back"]
    first = Run(None, errors=[math.nan])
    assert first.scores.num_scores == 0
    assert first.said == ["stopped after 4 mini-batches: error is nan"]
    assert "test_loss" not in first.history.history


def test_another_test_split_or_none_is_refused(tmp_path):
    Run(tmp_path, last_step=9)
    content = (tmp_path / "test_scores.csv").read_bytes()
    with pytest.raises(StateError, match=r"scored on another test split. Differing: dataset part 'input a' was"):
        Run(tmp_path, test=dataset(3.0))
    with pytest.raises(StateError, match=r"saved with other rules. Differing: test was \{.* and is None"):
        Run(tmp_path, scored=False)
    assert (tmp_path / "test_scores.csv").read_bytes() == content


def test_a_checkpoint_without_scores_is_refused_with_them(tmp_path):
    Run(tmp_path, last_step=9, scored=False)
    with pytest.raises(StateError, match=r"saved with other rules. Differing: test was None and is \{"):
        Run(tmp_path)


def test_scores_need_a_rule_that_knows_the_best():
    x, scores = loader().keras(), TestScores(dataset(), batch_size=BATCH)
    with pytest.raises(PlanError, match=r"test=\.\.\. needs patience or halving"):
        RuleCallback(x, decay=InverseEpochDecay(1), test=scores)
    with pytest.raises(PlanError, match=r"test must be a mtgen.training.TestScores or None, received Dataset"):
        RuleCallback(x, halving=HalvingRule(1), test=dataset())


def test_a_sealed_split_is_opened_by_its_scores_alone():
    train, test = dataset().split({"train": 12, "test": 6}, sealed="test")
    model = functional()
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    source = mtgen.Loader(train, BATCH, num_workers=0)
    x = source.keras(model)
    scores = TestScores(test, batch_size=4, num_workers=0)
    rules = RuleCallback(x, halving=HalvingRule(1), monitor="loss", test=scores, say=lambda line: None)
    model.fit(x, epochs=1, verbose=0, callbacks=[rules])
    assert [(one.step, one.why, one.num_rows) for one in scores.scores] == [(3, "new best", 6)]
    assert set(model.recorder.rows()) == set(train.rows.tolist())


# --- saved by callbacks of Keras --------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning")
@pytest.mark.parametrize("scaled", [False, True], ids=["adam", "loss scale"])
@pytest.mark.parametrize("kind", SCHEDULES)
def test_a_model_that_keras_saves_while_it_trains_by_rules_can_be_read(tmp_path, kind, scaled):
    """Keras refused to read it: the wrapped schedule had a variable that no optimizer has."""
    path, seen = tmp_path / "model.keras", []
    one = keras.Input((1,), name="row")
    model = keras.Model(one, keras.layers.Dense(1)(one))
    optimizer = keras.optimizers.Adam(SCHEDULES[kind]())
    model.compile(keras.optimizers.LossScaleOptimizer(optimizer) if scaled else optimizer, "mse")
    data = mtgen.Dataset(dataset().table, {"row": mtgen.Columns("row")}, "y")
    x = mtgen.Loader(data, BATCH, num_workers=0).keras(model)
    note = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: seen.append([value_of(one) for one in model.optimizer.variables])
    )
    rules = RuleCallback(x, halving=HalvingRule(1), decay=InverseEpochDecay(0.5), monitor="loss", say=lambda line: None)
    saving = keras.callbacks.ModelCheckpoint(path)
    model.fit(x, epochs=3, verbose=0, callbacks=[rules, note, saving])
    read = keras.saving.load_model(path)
    inner = getattr(read.optimizer, "inner_optimizer", read.optimizer)
    if kind == "schedule":
        assert type(inner._learning_rate) is keras.optimizers.schedules.ExponentialDecay
    assert "mtgen" not in json.dumps(keras.saving.serialize_keras_object(read.optimizer))
    found = [value_of(one) for one in read.optimizer.variables]
    expected = seen[-1]
    if kind == "schedule":  # all but the multiplier
        assert len(found) == len(expected) - 1
        names = [one.path for one in model.optimizer.variables]
        assert not any("rate_multiplier" in name for name in names), "given back after fit"
    places = iter(expected)
    for value in found:  # in order, one of them left out
        assert any(value.shape == other.shape and (value == other).all() for other in places)
    assert int(read.optimizer.iterations) == 3 * STEPS


@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning")
@pytest.mark.parametrize("kind", SCHEDULES)
def test_keras_restores_what_it_backed_up_while_a_schedule_is_wrapped(tmp_path, kind):
    def fit(last_step):
        model = functional()
        model.compile(keras.optimizers.Adam(SCHEDULES[kind]()), "sparse_categorical_crossentropy", metrics=["accuracy"])
        source = loader(num_workers=0)
        x = source.keras(model)
        rules = RuleCallback(x, decay=InverseEpochDecay(0.5), say=lambda line: None)
        begun = []

        class Look(keras.callbacks.Callback):
            def on_epoch_begin(self, epoch, logs=None):
                begun.append([value_of(one) for one in [*self.model.weights, *self.model.optimizer.variables]])

            def on_train_batch_end(self, batch, logs=None):
                if len(begun) == 2 and last_step:
                    raise KeyboardInterrupt

        backup = keras.callbacks.BackupAndRestore(tmp_path / "backup", delete_checkpoint=False)
        with contextlib.suppress(KeyboardInterrupt):
            model.fit(x, epochs=3, verbose=0, callbacks=[backup, rules, Look()])
        return begun

    interrupted = fit(last_step=True)
    resumed = fit(last_step=False)
    assert len(resumed) == 2, "the first epoch was restored"
    for value, other in zip(resumed[0], interrupted[1], strict=True):
        np.testing.assert_array_equal(value, other)
