"""Training by rules, on the backend that KERAS_BACKEND names: decisions, learning rates and weights at every step."""

import json
import math
import re
import shutil

import keras
import numpy as np
import pandas as pd
import pytest

import mtgen
from mtgen.errors import ModelError, PlanError, StateError
from mtgen.training import HalvingRule, InverseEpochDecay, PatienceRule, RuleCallback
from tests.support.saved_runs import check_same, compiled_once, functional, loader, only, outcome, value_of  # noqa: F401

pytestmark = pytest.mark.filterwarnings(
    # Keras says so of every tf.data.Dataset when fit(shuffle=True), its default; mtgen's order holds (that is tested).
    "ignore:`shuffle=True` was passed, but will be ignored:UserWarning",
)

STEPS = 5
"""Of an epoch of the loader; the rule validates every 4."""
ERRORS = [0.5, 0.4, 0.45, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3]
"""Told at each validation. Patience grows to 14 after mini-batch 7, and runs out before the next improvement."""
TRAINED = 15
SCHEDULES = {
    "plain": lambda: 0.1,
    "schedule": lambda: keras.optimizers.schedules.ExponentialDecay(0.1, 3, 0.8),
}


def rate(step, kind):
    """What the rate of a step has to be: halved after mini-batch 11, falling with epochs of 5 mini-batches."""
    given = 0.1 if kind == "plain" else 0.1 * 0.8 ** (step / 3)
    return given * (0.5 if step >= 12 else 1.0) / (1 + 0.5 * (step // STEPS))


def rate_of(model):
    found = model.optimizer.learning_rate
    return float(value_of(found) if isinstance(found, keras.Variable) else keras.ops.convert_to_numpy(found))


def all_rules():
    return {
        "patience": PatienceRule(patience=8, patience_increase=2, improvement_threshold=0.995, batches_per_epoch=STEPS),
        "halving": HalvingRule(1),
        "decay": InverseEpochDecay(0.5),
    }


class Told(keras.callbacks.Callback):
    """Puts the errors above into the logs, whatever the model has learned."""

    def __init__(self, rules, errors=ERRORS):
        super().__init__()
        self.rules, self.errors = rules, errors

    def on_epoch_end(self, epoch, logs=None):
        logs["error"] = self.errors[self.rules.step // 4 - 1]


class Weights(keras.callbacks.Callback):
    """Notes the first weight after each call."""

    def __init__(self):
        super().__init__()
        self.seen = {}
        self.calls = 0

    def on_train_batch_end(self, batch, logs=None):
        self.calls += 1
        self.seen[self.calls] = float(value_of(self.model.trainable_variables[0]).ravel()[0])


def falling(kind, **compiled):
    """A model whose weight falls by the learning rate at each step: its loss is its output, its input is 1."""
    one = keras.Input((1,), name="one")
    model = keras.Model(one, keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")(one))
    model.compile(keras.optimizers.SGD(SCHEDULES[kind]()), lambda _, out: keras.ops.mean(out, axis=-1), **compiled)
    return model


def ones():
    table = pd.DataFrame({"one": np.ones(STEPS * 4), "y": np.zeros(STEPS * 4)})
    return mtgen.Loader(mtgen.Dataset(table, {"one": mtgen.Columns("one")}, "y"), 4, seed=0)


def fit(model, source, folder=None, *, rules=None, length=4, epochs=9, errors=ERRORS, last=(), **options):
    """History and callback of a `fit` by rules; `source` is a loader."""
    x = source.keras(model, steps_per_epoch=length)
    said = []
    given = {"monitor": "error", "say": said.append, **options}
    callback = RuleCallback(x, **(all_rules() if rules is None else rules), **given)
    callback.said = said
    saving = [source.checkpoint(x, folder, every_steps=1, keep=100, say=said.append, also=[callback])] if folder else []
    history = model.fit(x, epochs=epochs, verbose=0, callbacks=[*saving, Told(callback, errors), callback, *last])
    return history, callback


# --- decisions --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", SCHEDULES)
def test_every_step_has_the_learning_rate_of_the_rules(kind):
    weights = Weights()
    model = falling(kind)
    _, callback = fit(model, ones(), last=[weights])
    assert callback.patience.iteration == TRAINED - 1
    expected = -np.cumsum([rate(step, kind) for step in range(TRAINED)])
    np.testing.assert_allclose([weights.seen[call] for call in range(1, TRAINED + 1)], expected, rtol=1e-5)


@pytest.mark.skipif(keras.backend.backend() == "torch", reason="Keras refuses steps_per_execution on torch")
@pytest.mark.parametrize("kind", SCHEDULES)
def test_mini_batches_are_counted_and_not_calls(kind):
    weights = Weights()
    rules = {**all_rules(), "decay": None}
    _, callback = fit(falling(kind, steps_per_execution=2), ones(), rules=rules, last=[weights])
    # Patience of 14 runs out after mini-batch 14, in the execution that 15 ends; the validation then counts no more.
    assert weights.calls == 8
    assert (callback.patience.iteration, callback.iteration) == (14, 15)
    assert callback.patience.best == 0.4
    expected = -sum(rate(step, kind) * (1 + 0.5 * (step // STEPS)) for step in range(8))
    assert weights.seen[4] == pytest.approx(expected, rel=1e-5)


@pytest.mark.skipif(keras.backend.backend() == "torch", reason="Keras refuses steps_per_execution on torch")
def test_a_learning_rate_that_would_change_late_is_refused():
    with pytest.raises(
        PlanError, match=r"steps_per_execution=2 does not divide the 4 steps .* and the 5 of the loader"
    ):
        fit(falling("plain", steps_per_execution=2), ones())


def test_decisions_are_said_and_logged():
    history, callback = fit(falling("plain"), ones())
    assert callback.said == [
        "mini-batch 7: error 0.4, patience 8 -> 14",
        "mini-batch 11: no improvement, learning rate times 0.5",
        "stopped after 15 mini-batches: patience of 14 mini-batches has run out",
    ]
    assert history.history["patience"] == [8, 14, 14, 14]
    assert history.history["data_epoch"] == [0.8, 1.6, 2.4, 3.0]
    np.testing.assert_allclose(history.history["learning_rate"], [rate(step, "plain") for step in (3, 7, 11, 14)])


def test_decisions_are_those_of_the_rule_alone_on_what_the_model_learned():
    model, source = functional(), loader(drop_last=True)
    model.compile(keras.optimizers.Adam(0.05), "sparse_categorical_crossentropy", metrics=["accuracy"])
    settings = {
        "patience": 7,
        "patience_increase": 1.5,
        "improvement_threshold": 0.98,
        "batches_per_epoch": source.steps_per_epoch,
    }
    rule = PatienceRule(**settings)
    x = source.keras(model, steps_per_epoch=rule.validation_frequency)
    callback = RuleCallback(x, patience=rule, monitor="1 - val_accuracy", say=lambda line: None)
    valid = loader(shuffle=False).keras(model)
    history = model.fit(x, epochs=20, validation_data=valid, callbacks=[callback], verbose=0).history
    alone = PatienceRule(**settings)
    values = iter(1 - value for value in history["val_accuracy"])
    for iteration in range(callback.step):
        alone.update(iteration, next(values) if alone.is_due(iteration) else None)
    assert alone.state() == rule.state()
    assert rule.stopped or callback.step == 20 * 3


def test_the_progress_bar_is_whole(capsys):
    model, source = functional(), loader()
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    rule = all_rules()["patience"]
    x = source.keras(model, steps_per_epoch=rule.validation_frequency)
    callback = RuleCallback(x, patience=rule, halving=HalvingRule(1), say=print)
    valid = loader(shuffle=False).keras(model)
    history = model.fit(x, epochs=2, validation_data=valid, callbacks=[callback], verbose=1)
    shown = re.sub(r"\x1b\[[0-9;]*m|\x08", "", capsys.readouterr().out)
    first, *epochs = re.split(r"Epoch \d/2\n", shown)
    assert first == ""
    assert {steps for steps in re.findall(r"\b\d+/\d+\b", "".join(epochs)) if not steps.endswith("/4")} == set()
    for shown_epoch, loss, value in zip(epochs, history.history["loss"], history.history["val_loss"], strict=True):
        bar = next(line for line in reversed(shown_epoch.splitlines()) if "4/4" in line)
        last = bar[bar.rindex("4/4") :]
        assert f" - loss: {loss:.4f}" in last
        assert f"val_loss: {value:.4f}" in last
        assert "patience: " in last


def test_nan_stops_training():
    history, callback = fit(falling("plain"), ones(), errors=[0.5, math.nan])
    assert len(history.epoch) == 2
    assert callback.said == ["stopped after 8 mini-batches: error is nan"]
    assert callback.patience.stopped
    assert callback.halving.stopped


def test_halving_alone_needs_no_length_of_its_own_and_stops_at_its_floor():
    rules = {"halving": HalvingRule(1, floor=1 / 4)}
    history, callback = fit(falling("schedule"), ones(), rules=rules, length=None, errors=[0.5] * 99, epochs=20)
    assert len(history.epoch) == 4
    assert callback.halving.num_halvings == 2
    assert "data_epoch" not in history.history
    assert callback.said[-1].startswith("stopped after 20 mini-batches: no improvement, and the learning rate is at")


def test_the_best_variables_are_put_back():
    seen = []
    model = functional()
    model.compile("sgd", "sparse_categorical_crossentropy")
    note = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: seen.append([value_of(one) for one in model.variables])
    )
    fit(model, loader(), last=[note], restore_best=True)
    for value, best in zip(model.variables, seen[1], strict=True):
        np.testing.assert_array_equal(value_of(value), best)
    assert any((best != last).any() for best, last in zip(seen[1], seen[-1], strict=True))


def test_a_schedule_is_given_back_and_a_second_fit_uses_it_alone():
    model, source = falling("schedule"), ones()
    schedule, num = model.optimizer._learning_rate, len(model.optimizer.variables)
    fit(model, source)
    assert model.optimizer._learning_rate is schedule
    assert len(model.optimizer.variables) == num
    before = value_of(model.trainable_variables[0])[0, 0]
    model.fit(ones().keras(model, steps_per_epoch=1), epochs=1, verbose=0)
    assert before - value_of(model.trainable_variables[0])[0, 0] == pytest.approx(0.1 * 0.8**5, rel=1e-4)


def test_a_model_in_training_can_be_saved_and_read_with_its_schedule(tmp_path):
    path = tmp_path / "model.keras"
    one = keras.Input((1,), name="one")
    model = keras.Model(one, keras.layers.Dense(1)(one))
    model.compile(keras.optimizers.SGD(SCHEDULES["schedule"]()), "mse")
    note = keras.callbacks.LambdaCallback(on_train_end=lambda logs: model.save(path))
    fit(model, ones(), last=[note])
    read = keras.saving.load_model(path)
    assert type(read.optimizer._learning_rate).__name__ == "ExponentialDecay"
    assert int(read.optimizer.iterations) == TRAINED


# --- saved and resumed ------------------------------------------------------------------------------------------------


def saved(kind, folder, **options):
    model = functional()
    model.compile(keras.optimizers.Adam(SCHEDULES[kind]()), "sparse_categorical_crossentropy", metrics=["accuracy"])
    history, callback = fit(model, loader(), folder, restore_best=True, **options)
    return model, history, callback


@pytest.fixture(scope="module", params=SCHEDULES)
def every(request, tmp_path_factory):
    """A run by rules that was saved after every step; the same as without being saved."""
    folder = tmp_path_factory.mktemp("every")
    model, history, callback = saved(request.param, folder)
    plain, plain_history, plain_callback = saved(request.param, None)
    check_same(outcome(model, history), outcome(plain, plain_history))
    assert callback.saved_state() == plain_callback.saved_state()
    assert callback.patience.iteration == TRAINED - 1
    return (
        request.param,
        folder,
        outcome(model, history),
        callback.saved_state(),
        rate_of(model),
    )


@pytest.mark.parametrize("step", range(1, TRAINED))
def test_resumed_at_any_step_rules_rate_and_weights_are_the_same(tmp_path, every, step):
    kind, folder, whole, state, last_rate = every
    model, history, callback = saved(kind, only(folder, step, tmp_path))
    check_same(outcome(model, history), whole)
    assert callback.saved_state() == state
    assert rate_of(model) == last_rate


def test_a_run_that_a_rule_ended_trains_nothing_more(tmp_path, every):
    kind, folder, whole, state, _ = every
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    model, _, callback = saved(kind, copy)
    assert callback.saved_state() == state
    assert callback.said[-2:] == [
        "a rule ended training before: nothing is trained",
        "the best variables were put back",
    ]
    for value, right in zip([*model.variables, *model.optimizer.variables], whole[0], strict=True):
        np.testing.assert_array_equal(value_of(value), right)


def test_a_second_fit_goes_on_and_a_third_after_the_end_trains_nothing():
    model, source = falling("plain"), ones()
    x = source.keras(model, steps_per_epoch=4)
    callback = RuleCallback(x, **all_rules(), monitor="error", say=lambda line: None)
    told, weights = Told(callback), Weights()
    for epochs, trained in ((2, 8), (9, TRAINED), (9, TRAINED)):
        model.fit(x, epochs=epochs, verbose=0, callbacks=[told, callback, weights])
        assert callback.step == trained
        assert model._initial_epoch is None
    expected = -np.cumsum([rate(step, "plain") for step in range(TRAINED)])
    np.testing.assert_allclose([weights.seen[call] for call in range(1, TRAINED + 1)], expected, rtol=1e-5)


def test_the_state_is_json_and_the_best_is_in_the_checkpoint(every):
    _, folder, _, _, _ = every
    state = json.loads((folder / "checkpoint-0000000009" / "state.json").read_text())
    assert state["state"]["also"][0]["patience"]["best_iteration"] == 7
    with np.load(folder / "checkpoint-0000000009" / "arrays.npz") as arrays:
        assert any(name.startswith("also/0/model/0000/") for name in arrays.files)


# --- refusals ---------------------------------------------------------------------------------------------------------


def test_other_rules_are_refused_and_nothing_changes(tmp_path, every):
    kind, folder, _, _, _ = every
    target = only(folder, 6, tmp_path)
    cases = [
        ({"rules": {**all_rules(), "halving": HalvingRule(2)}}, "n was 1 and is 2"),
        ({"rules": {**all_rules(), "decay": InverseEpochDecay(0.4)}}, "decay was 0.5 and is 0.4"),
        ({"rules": {**all_rules(), "halving": None}}, "halving was {.* and is None"),
        ({"monitor": "loss"}, "monitor was 'error' and is 'loss'"),
    ]
    for changed, message in cases:
        with pytest.raises(StateError, match=message):
            saved(kind, target, **changed)
    assert [path.name for path in target.iterdir() if path.name.startswith("check")] == ["checkpoint-0000000006"]


def test_a_checkpoint_without_the_rules_is_refused(tmp_path, every):
    _, folder, _, _, _ = every
    model = functional()
    model.compile(keras.optimizers.Adam(0.1), "sparse_categorical_crossentropy", metrics=["accuracy"])
    source = loader()
    x = source.keras(model, steps_per_epoch=4)
    checkpoint = source.checkpoint(x, only(folder, 6, tmp_path), say=lambda line: None)
    with pytest.raises(StateError, match=r"the states of 1 other callbacks, and .* names 0"):
        model.fit(x, epochs=9, verbose=0, callbacks=[checkpoint])


def test_a_checkpoint_after_the_rules_is_refused(tmp_path, every):
    kind, folder, _, _, _ = every
    model = functional()
    model.compile(keras.optimizers.Adam(SCHEDULES[kind]()), "sparse_categorical_crossentropy", metrics=["accuracy"])
    source = loader()
    x = source.keras(model, steps_per_epoch=4)
    rules = RuleCallback(x, **all_rules(), monitor="error", restore_best=True)
    checkpoint = source.checkpoint(x, only(folder, 6, tmp_path), say=lambda line: None, also=[rules])
    with pytest.raises(PlanError, match="the checkpoint must stand before RuleCallback"):
        model.fit(x, epochs=9, verbose=0, callbacks=[rules, checkpoint])


def test_epochs_of_another_length_are_refused():
    with pytest.raises(
        PlanError, match=r"validates every 4 mini-batches, and an epoch of Keras has 5: write x = loader"
    ):
        fit(falling("plain"), ones(), length=None)
    wrong = PatienceRule(patience=8, patience_increase=2, improvement_threshold=0.9, batches_per_epoch=6)
    with pytest.raises(PlanError, match=r"PatienceRule\(batches_per_epoch=6\), and the loader has 5 steps"):
        fit(falling("plain"), ones(), rules={"patience": wrong})


def test_what_is_watched_must_be_in_the_logs():
    with pytest.raises(PlanError, match=r"monitor='val_loss' is not in the logs of this epoch, which have .*'loss'"):
        fit(falling("plain"), ones(), monitor="val_loss")


def test_a_rate_that_is_a_function_is_refused():
    model = falling("plain")
    model.compile(keras.optimizers.SGD(lambda: 0.1), "mse")
    with pytest.raises(PlanError, match=r"give the optimizer a float or a keras.optimizers.schedules"):
        fit(model, ones())


def test_no_rules_and_wrong_ones_are_refused():
    x = ones().keras()
    with pytest.raises(PlanError, match="needs patience, halving or decay, received none"):
        RuleCallback(x)
    with pytest.raises(PlanError, match="patience must be a PatienceRule or None, received 3"):
        RuleCallback(x, patience=3)
    with pytest.raises(PlanError, match="restore_best=True needs patience or halving"):
        RuleCallback(x, decay=InverseEpochDecay(1), restore_best=True)
    with pytest.raises(ModelError, match=r"what loader.keras\(\) returned"):
        RuleCallback(3, decay=InverseEpochDecay(1))
