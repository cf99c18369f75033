"""What a run writes into its folder, on the backend that KERAS_BACKEND names: by step, and the same if resumed."""

import csv
import json
import math
import re
import shutil

import keras
import numpy as np
import pytest

from mtgen.errors import ModelError, PlanError, StateError
from mtgen.training import (
    HalvingRule,
    InverseEpochDecay,
    PatienceRule,
    RuleCallback,
    RunFolder,
    RunHistory,
    Snapshots,
)
from tests.support.saved_runs import Subclassed, compiled_once, functional, loader, only, value_of  # noqa: F401

pytestmark = pytest.mark.filterwarnings(
    # Keras says so of every tf.data.Dataset when fit(shuffle=True), its default; mtgen's order holds (that is tested).
    "ignore:`shuffle=True` was passed, but will be ignored:UserWarning",
)

STEPS = 5
"""Of an epoch of the loader; the rule validates every 4."""
ERRORS = [0.5, 0.4, 0.45, 0.3, 0.3, 0.3, 0.3]
"""Told at each validation. Patience grows to 14 after mini-batch 7, and runs out before the next improvement."""
TRAINED = 15
SECONDS = {"data_wait", "seconds", "wait_seconds", "val_seconds"}


class Told(keras.callbacks.Callback):
    """Puts the errors above into the logs, whatever the model has learned."""

    def __init__(self, rules):
        super().__init__()
        self.rules = rules

    def on_epoch_end(self, epoch, logs=None):
        logs["error"] = ERRORS[self.rules.step // 4 - 1]


class Weights(keras.callbacks.Callback):
    """Notes all variables after each step, by step."""

    def __init__(self, rules):
        super().__init__()
        self.rules, self.seen = rules, {}

    def on_train_begin(self, logs=None):
        self._note()

    def on_train_batch_end(self, batch, logs=None):
        self._note()

    def _note(self):
        self.seen[self.rules.step] = {one.path: value_of(one) for one in self.model.variables}


def rule():
    return PatienceRule(patience=8, patience_increase=2, improvement_threshold=0.995, batches_per_epoch=STEPS)


class Run:
    """One script as a user has it: a `fit` by rules that records itself."""

    def __init__(self, path, *, saving=None, resume=False, epochs=9, keep=None, every_steps=3, **compiled):
        self.said = []
        self.model, self.source = functional(), loader()
        self.model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"], **compiled)
        patience = rule()
        x = self.source.keras(self.model, steps_per_epoch=patience.validation_frequency)
        self.rules = RuleCallback(
            x,
            patience=patience,
            halving=HalvingRule(1),
            decay=None if compiled else InverseEpochDecay(0.5),
            monitor="error",
            restore_best=True,
            say=self.said.append,
        )
        self.heard = []
        self.rules.listen(self.heard.append)
        say = {"say": self.said.append}
        self.folder = RunFolder(path)
        self.history = RunHistory(x, path, self.rules, resume=resume, **say)
        self.snapshots = Snapshots(
            x, self.folder, every_steps=every_steps, at_best=self.rules, resume=resume, keep=keep, **say
        )
        self.weights = Weights(self.rules)
        also = [self.rules, self.history, self.snapshots]
        first = []
        if saving is not None:
            first = [self.source.checkpoint(x, saving, every_steps=1, keep=100, also=also, **say)]
        self.callbacks = [*first, self.snapshots, Told(self.rules), self.rules, self.history, self.weights]
        self.x, self.epochs = x, epochs

    def fit(self, callbacks=None):
        valid = loader(shuffle=False).keras(self.model)
        callbacks = self.callbacks if callbacks is None else callbacks
        self.model.fit(self.x, epochs=self.epochs, validation_data=valid, verbose=0, callbacks=callbacks)
        return self


def table(path):
    """Header and lines of a CSV file, without columns of seconds."""
    lines = list(csv.reader(path.read_text().splitlines()))
    kept = [place for place, name in enumerate(lines[0]) if name not in SECONDS]
    return [[line[place] for place in kept] for line in lines]


def plain(snapshot):
    """A snapshot without seconds, and without the numbers that Keras gives in the order in which it makes things."""
    metadata = json.loads(re.sub(r"(seed_generator)_\d+", r"\1", json.dumps(snapshot.metadata)))
    metadata["logs"] = {name: value for name, value in metadata["logs"].items() if name not in SECONDS}
    return snapshot.step, metadata, [(one.dtype, one.tolist()) for one in snapshot.arrays.values()]


def contents(folder):
    """All that a run has recorded, but for seconds."""
    return {
        "history": table(folder.history),
        "waits": table(folder.waits),
        "decisions": folder.decisions.read_text(),
        "snapshots": [plain(folder.snapshot(step)) for step in folder.snapshot_steps()],
        "architecture": json.loads(folder.architecture.read_text())["class_name"],
    }


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that was saved after every step."""
    folder = tmp_path_factory.mktemp("whole")
    return Run(folder, saving=folder / "checkpoints").fit()


def test_the_history_has_a_line_per_validation(whole):
    frame = whole.folder.read_history()
    assert frame["step"].tolist() == [4, 8, 12, 15]
    assert frame["data_epoch"].tolist() == [0.8, 1.6, 2.4, 3.0]
    logs = whole.model.history.history
    assert {*logs} | {"step", "seconds"} == {*frame.columns}
    for name, values in logs.items():
        assert frame[name].tolist() == values
    assert frame["patience"].tolist() == [8, 14, 14, 14]
    assert (frame["seconds"] > 0).all()
    assert (frame["seconds"] >= frame["data_wait"]).all()


def test_waits_have_a_line_per_step(whole):
    frame = whole.folder.read_waits()
    assert frame["step"].tolist() == list(range(1, TRAINED + 1))
    assert (frame["seconds"] > 0).all()
    assert (frame["wait_seconds"] >= 0).all()
    history = whole.folder.read_history()
    assert frame["seconds"].sum() <= history["seconds"].sum() + 1e-4
    assert frame["wait_seconds"].sum() <= history["data_wait"].sum() + 1e-4


def test_decisions_are_those_that_the_rules_made(whole):
    found = whole.folder.read_decisions()
    told = [(one["step"], one["rule"], one["what"], one["before"], one["after"]) for one in found]
    assert told == [
        (4, "patience", "improved", None, 0.5),
        (4, "halving", "improved", None, 0.5),
        (5, "decay", "decayed", 1.0, 1 / 1.5),
        (8, "patience", "improved", 0.5, 0.4),
        (8, "patience", "extended", 8, 14),
        (8, "halving", "improved", 0.5, 0.4),
        (10, "decay", "decayed", 1 / 1.5, 0.5),
        (12, "halving", "halved", 1.0, 0.5),
        (15, "patience", "stopped", None, None),
        (15, "patience", "restored", None, 0.4),
    ]
    assert [one["iteration"] for one in found] == [one["step"] - 1 for one in found]
    assert [one["value"] for one in found] == [0.5, 0.5, None, 0.4, 0.4, 0.4, None, 0.45, None, 0.4]
    assert [json.loads(one.line()) for one in whole.heard] == found
    said = [line for line in whole.said if "mini-batch" in line or "best" in line]
    assert said == [one["text"] for one in found if one["what"] not in ("improved", "decayed")]


def test_snapshots_are_the_variables_of_their_steps(whole):
    # Each 3 steps; the best after 4 and 8; the beginning and the end.
    assert whole.folder.snapshot_steps() == [0, 3, 4, 6, 8, 9, 12, 15]
    for step in whole.folder.snapshot_steps():
        found = whole.folder.snapshot(step)
        right = whole.weights.seen[step]
        assert list(found.arrays) == list(right)
        for name, array in right.items():
            assert found.arrays[name].dtype == array.dtype
            np.testing.assert_array_equal(found.arrays[name], array)
        assert found.metadata["data_epoch"] == step / STEPS
        validated = step // 4 * 4
        assert found.metadata["logs_step"] == (validated or None)
        assert found.metadata["logs"].get("val_loss") == (
            dict(whole.folder.read_history()[["step", "val_loss"]].to_numpy()).get(validated)
        )
    assert [whole.folder.snapshot(step).metadata["epoch"] for step in (0, 3, 4, 6, 15)] == [0, 0, 0, 1, 3]


def test_a_snapshot_says_what_its_arrays_are(whole):
    metadata = whole.folder.snapshot(4).metadata
    assert metadata["model"] == "merged"
    assert metadata["architecture"] == "model.json"
    assert metadata["inputs"] == {
        "row": {"shape": [None, 1], "first_layers": []},
        "a": {"shape": [None, 5], "first_layers": []},
    }
    assert metadata["arrays"]["hidden/kernel"] == {
        "shape": [6, 6],
        "dtype": "float32",
        "layer": "hidden",
        "layer_class": "Dense",
        "variable": "kernel",
        "trainable": True,
    }
    assert metadata["arrays"]["norm/moving_mean"]["trainable"] is False
    assert metadata["versions"]["keras"] == keras.__version__
    assert metadata["versions"]["backend"] == keras.backend.backend()


def test_the_forecast_is_said_once(whole):
    lines = [line for line in whole.said if line.startswith("snapshots: ")]
    num_bytes = sum(array.nbytes for array in whole.folder.snapshot(0).arrays.values())
    num_arrays = len(whole.folder.snapshot(0).arrays)
    assert lines == [
        f"snapshots: {num_bytes:,} bytes each, {num_arrays} arrays, in {whole.folder.snapshots}; every 3 steps at most "
        f"13, {13 * num_bytes:,} bytes; and one at each improvement"
    ]


def test_model_json_is_the_architecture(whole):
    made = keras.models.model_from_json(
        whole.folder.architecture.read_text(), custom_objects={"Recorder": type(whole.model.recorder)}
    )
    assert [tuple(one.shape) for one in made.variables] == [tuple(one.shape) for one in whole.model.variables]


# --- resumed ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", [1, 4, 5, 9, 14, 15])
def test_a_resumed_run_leaves_the_same_files(tmp_path, whole, step):
    folder = RunFolder(tmp_path / "copy")
    shutil.copytree(whole.folder.path, folder.path, ignore=shutil.ignore_patterns("checkpoints"))
    only(whole.folder.checkpoints, step, folder.checkpoints)
    for path in (folder.waits, folder.decisions, folder.history):  # a kill in the middle of a line
        path.write_bytes(path.read_bytes() + b"16,0.")
    again = Run(folder.path, saving=folder.checkpoints).fit()
    assert contents(folder) == contents(whole.folder)
    # Keras has numbered what has no name anew, and yet each array has one name all along.
    assert {tuple(folder.snapshot(one).arrays) for one in folder.snapshot_steps()} == {
        tuple(whole.folder.snapshot(0).arrays)
    }
    dropped = [line for line in again.said if "to be written again" in line]
    if step < TRAINED:
        assert dropped[0].startswith(f"lines after step {step} were dropped, to be written again: ")
        assert f"{TRAINED - step} of waits.csv" in dropped[0]
    else:  # what was decided after the last checkpoint: the best variables were put back
        assert dropped == ["lines after step 15 were dropped, to be written again: 1 of decisions.jsonl"]


def test_a_second_fit_goes_on_in_the_same_files(tmp_path, whole):
    folder = RunFolder(tmp_path / "two")
    run = Run(folder.path, epochs=2).fit()
    assert folder.read_waits()["step"].tolist() == list(range(1, 9))
    run.epochs = 9
    run.fit()
    assert folder.read_waits()["step"].tolist() == list(range(1, TRAINED + 1))
    assert folder.read_history()["step"].tolist() == [4, 8, 12, 15]
    assert set(whole.folder.snapshot_steps()) <= set(folder.snapshot_steps())


class Killed(BaseException):
    pass


class Kill(keras.callbacks.Callback):
    def __init__(self, rules, step):
        super().__init__()
        self.rules, self.step = rules, step

    def on_train_batch_end(self, batch, logs=None):
        if self.rules.step == self.step:
            raise Killed


@pytest.mark.parametrize("step", [4, 7])
def test_a_checkpoint_never_knows_of_a_line_that_is_not_written(tmp_path, whole, step):
    """What is in memory when a process dies is newer than the last checkpoint."""
    folder = RunFolder(tmp_path / "killed")
    run = Run(folder.path, saving=folder.checkpoints)
    with pytest.raises(Killed):
        run.fit([*run.callbacks, Kill(run.rules, step)])
    saved = sorted(path.name for path in folder.checkpoints.iterdir() if path.name.startswith("checkpoint-"))
    assert int(saved[-1].removeprefix("checkpoint-")) == step - 1
    assert folder.read_waits()["step"].tolist() == list(range(1, step))
    run.callbacks[0].checkpoints.close()
    Run(folder.path, saving=folder.checkpoints).fit()
    assert contents(folder) == contents(whole.folder)


@pytest.mark.parametrize("hook", ["on_test_begin", "on_epoch_end", "on_train_end"])
def test_killed_after_the_stop_and_before_its_last_line_a_run_never_got_that_line(tmp_path, whole, hook):
    run = Run(tmp_path, saving=tmp_path / "checkpoints")

    class AfterTheStop(keras.callbacks.Callback):
        def __init__(self):
            super().__init__()

            def call(*arguments, **options):
                if run.rules.step == TRAINED:
                    raise Killed

            setattr(self, hook, call)

    with pytest.raises(Killed):  # before the snapshots, the rules and the history
        run.fit([run.callbacks[0], AfterTheStop(), *run.callbacks[1:]])
    assert Run(tmp_path, saving=tmp_path / "checkpoints").fit().rules.stopped
    assert contents(RunFolder(tmp_path)) == contents(whole.folder)


def test_a_run_killed_before_its_first_checkpoint_begins_again_where_that_is_said(tmp_path, whole):
    folder = RunFolder(tmp_path / "early")
    run = Run(folder.path)
    with pytest.raises(Killed):
        run.fit([*run.callbacks, Kill(run.rules, 7)])
    assert folder.snapshot_steps() == [0, 3, 4, 6]
    before = contents(folder)
    with pytest.raises(PlanError, match=r"the folder has the snapshots of a run, and this one begins at step 0"):
        Run(folder.path).fit()
    again = Run(folder.path)
    with pytest.raises(PlanError, match=r"the folder has the history of a run, and this one begins at step 0"):
        again.fit([again.rules, again.history])
    assert contents(folder) == before
    run = Run(folder.path, resume=True).fit()
    assert contents(folder) == contents(whole.folder)
    assert "snapshots after step 0 were removed, to be made again: [0, 3, 4, 6]" in run.said
    assert any(line.startswith("lines after step 0 were dropped") for line in run.said)


def test_files_with_fewer_lines_than_the_checkpoint_knows_are_refused(tmp_path, whole):
    folder = RunFolder(tmp_path / "copy")
    shutil.copytree(whole.folder.path, folder.path, ignore=shutil.ignore_patterns("checkpoints"))
    only(whole.folder.checkpoints, 9, folder.checkpoints)
    lines = folder.waits.read_text().splitlines(keepends=True)
    folder.waits.write_text("".join(lines[:6]))
    run = Run(folder.path, saving=folder.checkpoints)
    first = [value_of(one) for one in run.model.variables]
    with pytest.raises(
        StateError, match="the file has 5 lines up to step 9, where the run goes on, and 9 were written"
    ) as caught:
        run.fit()
    assert "waits.csv" in str(caught.value)
    for value, before in zip(run.model.variables, first, strict=True):
        np.testing.assert_array_equal(value_of(value), before)
    folder.waits.write_text("".join([*lines[:6], "x\n", *lines[6:]]))
    with pytest.raises(StateError, match="line 7 is damaged: it has 1 fields"):
        Run(folder.path, saving=folder.checkpoints).fit()
    folder.waits.unlink()
    again = Run(folder.path, saving=folder.checkpoints).fit()
    assert folder.read_waits()["step"].tolist() == list(range(10, TRAINED + 1))
    assert "no longer there, begun anew after step 9: waits.csv" in again.said
    found, right = contents(folder), contents(whole.folder)
    assert {**found, "waits": right["waits"]} == right


def test_states_of_something_else_are_refused(tmp_path):
    run = Run(tmp_path)
    for one, state in ((run.history, run.snapshots.saved_state()), (run.snapshots, {"kind": "Snapshots"})):
        with pytest.raises(StateError, match="this is not the state of"):
            one.check_saved(state, {})
    good = run.history.saved_state()
    for changed in ({"step": -1}, {"lines": {"waits": 1}}, {"lines": None}, {"epoch_seconds": "1"}):
        with pytest.raises(StateError, match="this is not the state of a RunHistory"):
            run.history.check_saved({**good, **changed}, {})


# --- order, settings --------------------------------------------------------------------------------------------------


def test_another_order_of_callbacks_is_refused(tmp_path, whole):
    run = Run(tmp_path / "a")
    with pytest.raises(PlanError, match="RuleCallback must stand before RunHistory"):
        run.fit([run.history, run.rules])
    with pytest.raises(PlanError, match="Snapshots must stand before RuleCallback"):
        run.fit([run.rules, run.snapshots])
    folder = RunFolder(tmp_path / "copy")
    shutil.copytree(whole.folder.checkpoints, folder.checkpoints)
    run = Run(folder.path, saving=folder.checkpoints)
    with pytest.raises(PlanError, match="the checkpoint must stand before Snapshots"):
        run.fit([run.snapshots, run.callbacks[0], run.rules])
    run = Run(folder.path, saving=folder.checkpoints)
    with pytest.raises(PlanError, match="the checkpoint must stand before RuleCallback"):
        run.fit([run.rules, run.history, run.callbacks[0]])
    x = run.source.keras()
    history = RunHistory(x, tmp_path / "b")
    run.model.fit(x, epochs=1, callbacks=[history], verbose=0)
    with pytest.raises(PlanError, match="the checkpoint must stand before RunHistory"):
        history.check_saved(history.saved_state(), {})


@pytest.mark.skipif(keras.backend.backend() == "torch", reason="Keras refuses steps_per_execution on torch")
def test_an_execution_of_several_steps_is_one_line_and_passes_multiples(tmp_path):
    run = Run(tmp_path, steps_per_execution=2).fit()
    assert run.folder.read_waits()["step"].tolist() == [2, 4, 6, 8, 10, 12, 14, 16]
    assert run.folder.snapshot_steps() == [0, 4, 6, 8, 10, 12, 16]
    for step in run.folder.snapshot_steps():
        for name, array in run.folder.snapshot(step).arrays.items():
            np.testing.assert_array_equal(array, run.weights.seen[step][name])


def test_only_so_many_are_kept_and_the_first_and_the_best(tmp_path):
    run = Run(tmp_path, keep=2).fit()
    assert run.folder.snapshot_steps() == [0, 8, 12, 15]
    assert "and the first and the best" in next(line for line in run.said if line.startswith("snapshots: "))


def test_without_rules_and_without_numbers_of_steps(tmp_path):
    model, source = functional(), loader()
    model.compile(
        keras.optimizers.SGD(keras.optimizers.schedules.ExponentialDecay(0.1, 5, 0.5)),
        "sparse_categorical_crossentropy",
    )
    x = source.keras(model)
    history, said = RunHistory(x, tmp_path), []
    snapshots = Snapshots(x, tmp_path, say=said.append)
    model.fit(x, epochs=2, callbacks=[snapshots, history], verbose=0)
    frame = RunFolder(tmp_path).read_history()
    assert frame.columns.tolist() == ["step", "data_epoch", "loss", "data_wait", "learning_rate", "seconds"]
    np.testing.assert_allclose(frame["learning_rate"], [0.05, 0.025], rtol=1e-6)
    assert RunFolder(tmp_path).snapshot_steps() == [0, 10]
    assert not RunFolder(tmp_path).decisions.exists()
    assert said[0].endswith(f"in {RunFolder(tmp_path).snapshots}")


def test_columns_that_come_later_are_empty_before(tmp_path):
    class Later(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch:
                logs["late, and odd\n"] = epoch
            logs["step"] = -1.0
            logs["word"] = "not a number"
            logs["worst"] = math.nan if epoch else math.inf

    model, source = functional(), loader()
    model.compile("sgd", "sparse_categorical_crossentropy")
    x = source.keras(model)
    valid = loader(shuffle=False).keras(model)
    history = RunHistory(x, tmp_path)
    callbacks = [Later(), Snapshots(x, tmp_path, say=lambda line: None), history]
    model.fit(x, epochs=4, validation_data=valid, validation_freq=2, callbacks=callbacks, verbose=0)
    frame = RunFolder(tmp_path).read_history()
    assert frame["val_loss"].isna().tolist() == [True, False, True, False]
    assert frame["late, and odd?"].tolist()[1:] == [1, 2, 3]
    assert frame["step"].tolist() == [5, 10, 15, 20]
    assert frame["log_step"].tolist() == [-1] * 4
    assert frame["worst"].iloc[0] == math.inf
    assert "word" not in frame
    assert RunFolder(tmp_path).snapshot(20).metadata["logs"]["worst"] is None


class Unwritable(Subclassed):
    def __init__(self, thing):
        super().__init__()
        self.thing = thing


def test_a_model_that_cannot_be_written_as_json_is_said(tmp_path):
    model, source, said = Unwritable(object()), loader(), []
    model.compile("sgd", "sparse_categorical_crossentropy")
    x = source.keras()
    model.fit(x, epochs=1, callbacks=[Snapshots(x, tmp_path, say=said.append)], verbose=0)
    folder = RunFolder(tmp_path)
    assert folder.snapshot_steps() == [0, 5]
    assert said[0].startswith("model.json was not written, this model cannot be written as JSON (")
    assert not folder.architecture.exists()
    metadata = folder.snapshot(0).metadata
    assert metadata["architecture"].startswith("not written: ")
    assert metadata["inputs"] == {}
    assert list(folder.snapshot(0).arrays) == [one.path for one in model.variables]


def test_settings_are_checked(tmp_path):
    x = loader().keras()
    for options, says in [
        ({"every_steps": 0}, "every_steps must be an integer >= 1 or None, received 0"),
        ({"keep": 0}, "keep must be an integer >= 1 or None"),
        ({"at_best": True}, "at_best must be a RuleCallback or None"),
        ({"resume": None}, "resume must be True or False"),
    ]:
        with pytest.raises(PlanError, match=says):
            Snapshots(x, tmp_path, **options)
    with pytest.raises(PlanError, match="rules must be a RuleCallback or None"):
        RunHistory(x, tmp_path, "rules")
    for made in (Snapshots, RunHistory):
        with pytest.raises(ModelError, match=r"needs what loader\.keras\(\) returned"):
            made(3, tmp_path)
