"""What rules watch is known to be in the logs or not as early as can be, on the backend that KERAS_BACKEND names."""

import keras
import pandas as pd
import pytest

import mtgen
from mtgen.adapters import fit_logs
from mtgen.errors import PlanError
from mtgen.training import HalvingRule, RuleCallback

pytestmark = [
    pytest.mark.usefixtures("no_thread_left"),
    pytest.mark.filterwarnings("ignore:`shuffle=True` was passed, but will be ignored:UserWarning"),
]

STEPS = 3
BEGIN, FIRST_STEP, LATE, NEVER = 0, 1, STEPS, 2 * STEPS
"""Steps that were trained when a name is refused, or in all where it is not."""


def source(num_targets=1):
    table = pd.DataFrame({"a": [0.0, 1.0] * 6, "y": [0.0, 1.0] * 6, "z": [1.0, 0.0] * 6})
    data = mtgen.Dataset(table, {"a": mtgen.Columns("a")}, targets=dict(zip("yz"[:num_targets], "yz", strict=False)))
    return mtgen.Loader(data, 4, shuffle=False)


def doubled(answer, name):
    """What a step answers, with another number beside the loss; on jax a step answers with its state too."""
    logs, *state = answer if isinstance(answer, tuple) else (answer,)
    logs = {**logs, name: logs["loss"] * 2}
    return (logs, *state) if state else logs


class OwnTestStep(keras.Model):
    def test_step(self, *arguments):
        return doubled(super().test_step(*arguments), "twice")


class OwnTrainStep(keras.Model):
    def train_step(self, *arguments):
        return doubled(super().train_step(*arguments), "val_twice")


class OwnMetrics(keras.Model):
    def get_metrics_result(self):
        return {**super().get_metrics_result(), "own": 1.0}


class OwnFit(keras.Model):
    def fit(self, *arguments, **options):
        return super().fit(*arguments, **options)


class Adds(keras.callbacks.Callback):
    """A callback of the user, with a number of its own."""

    def on_epoch_end(self, epoch, logs=None):
        logs["val_own"] = 0.5


class OwnRules(RuleCallback):
    def on_epoch_end(self, epoch, logs=None):
        logs["val_own"] = 0.5
        super().on_epoch_end(epoch, logs)


class Counts(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.steps = 0

    def on_train_batch_begin(self, batch, logs=None):
        self.steps += 1


def error(y_true, y_pred):
    return keras.ops.mean(keras.ops.abs(y_true - y_pred), axis=-1)


def model_of(kind=keras.Model, num_targets=1, metrics=("mae",), **compiled):
    a = keras.Input((1,), name="a")
    outputs = {name: keras.layers.Dense(1, name=name)(a) for name in "yz"[:num_targets]}
    model = kind(a, outputs if num_targets > 1 else outputs["y"])
    several = {"y": list(metrics), "z": ["mse"]}
    model.compile("sgd", "mse", metrics=several if num_targets > 1 else list(metrics), **compiled)
    return model


def trained(monitor, model=None, *, rules=RuleCallback, before=(), valid=True, num_targets=1, **options):
    """Steps that were trained, and what was refused."""
    model = model_of() if model is None else model
    train, counts = source(num_targets), Counts()
    x = train.keras(model)
    watching = rules(x, halving=HalvingRule(9), monitor=monitor, say=lambda line: None)
    data = source(num_targets).keras(model) if valid else None
    refused = None
    try:
        callbacks = [*before, counts, watching, keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: None)]
        model.fit(x, epochs=2, validation_data=data, verbose=0, callbacks=callbacks, **options)
    except PlanError as raised:
        refused = str(raised)
    train.close()
    return counts.steps, refused


@pytest.mark.parametrize("monitor", ["val_loss", "val_mae", "1 - val_accuracy", "val_anything"])
def test_a_name_of_validation_without_validation_data_is_refused_before_a_step(monitor):
    steps, refused = trained(monitor, valid=False)
    assert steps == BEGIN
    assert refused == (
        f"monitor={monitor!r} is not in the logs of training, and no validation follows the first epoch of Keras: "
        "give fit validation_data=other_loader.keras(model), and leave validation_freq out"
    )


def test_an_epoch_that_validation_leaves_out_is_refused_before_a_step():
    steps, refused = trained("val_loss", validation_freq=2)
    assert steps == BEGIN
    assert "leave validation_freq out" in refused


@pytest.mark.parametrize("monitor", ["val_acc", "1 - val_maee", "mea", "val_", "val_mse"])
def test_a_name_that_is_no_metric_is_refused_after_the_first_step(monitor):
    steps, refused = trained(monitor)
    assert steps == FIRST_STEP
    assert refused.startswith(
        f"monitor={monitor!r} is not in the logs, which have ['loss', 'mae', 'val_loss', 'val_mae']."
    )
    assert "or compile the model with such a metric" in refused


def test_the_name_that_was_meant_is_told():
    assert "Did you mean 'val_mae'" in trained("1 - val_maee")[1]


@pytest.mark.parametrize(
    ("monitor", "metrics"),
    [
        ("val_loss", ()),
        ("1 - loss", ()),
        ("val_mae", ("mae",)),
        ("val_error", (error,)),
        ("val_own name", (keras.metrics.MeanAbsoluteError(name="own name"),)),
        ("learning_rate", ()),
        ("data_wait", ()),
    ],
)
def test_names_that_the_logs_have_are_watched(monitor, metrics):
    assert trained(monitor, model_of(metrics=metrics)) == (NEVER, None)


def val_error(y_true, y_pred):
    return error(y_true, y_pred)


@pytest.mark.parametrize(
    "metric", [val_error, keras.metrics.MeanSquaredError(name="val_error")], ids=["function", "object"]
)
def test_a_metric_of_training_may_be_named_like_one_of_validation(metric):
    assert trained("val_error", model_of(metrics=(metric,)), valid=False) == (NEVER, None)


class Parts(keras.metrics.Metric):
    """Answers with names of its own."""

    def __init__(self):
        super().__init__(name="parts")
        self.total = self.add_weight(shape=(), initializer="zeros", name="total")

    def update_state(self, y_true, y_pred, sample_weight=None):
        self.total.assign_add(keras.ops.mean(error(y_true, y_pred)))

    def result(self):
        return {"val_part": self.total + 0.0, "part": self.total + 0.0}


def test_names_that_a_metric_answers_with_were_refused_before_a_step():
    assert trained("val_part", model_of(metrics=(Parts(),)), valid=False) == (NEVER, None)
    steps, refused = trained("val_loss", model_of(metrics=(Parts(),)), valid=False)
    assert steps == FIRST_STEP
    assert "no validation follows the first epoch" in refused


@pytest.mark.parametrize("names", [("val_y", "z"), ("y", "z")], ids=["names", "keys"])
def test_an_output_named_like_validation_was_refused_before_a_step(names):
    keys = ("val_y", "z")
    table = pd.DataFrame({"a": [0.0, 1.0] * 6, keys[0]: [0.0, 1.0] * 6, keys[1]: [1.0, 0.0] * 6})
    train = mtgen.Loader(mtgen.Dataset(table, {"a": mtgen.Columns("a")}, targets=dict(zip(keys, keys, strict=True))), 4)
    a = keras.Input((1,), name="a")
    model = keras.Model(a, {key: keras.layers.Dense(1, name=name)(a) for key, name in zip(keys, names, strict=True)})
    model.compile("sgd", "mse", metrics={keys[0]: ["mae"], keys[1]: ["mae"]})
    x = train.keras(model)
    rules = RuleCallback(x, halving=HalvingRule(9), monitor=f"{keys[0]}_mae", say=lambda line: None)
    assert f"{keys[0]}_mae" in model.fit(x, verbose=0, callbacks=[rules]).history
    train.close()


@pytest.mark.parametrize("monitor", ["val_y_loss", "val_y_mae", "z_mse", "val_loss"])
def test_names_of_several_outputs_are_watched(monitor):
    assert trained(monitor, model_of(num_targets=2), num_targets=2) == (NEVER, None)


@pytest.mark.parametrize("monitor", ["val_mae", "val_z_mae"])
def test_a_metric_of_another_output_is_refused_after_the_first_step(monitor):
    steps, refused = trained(monitor, model_of(num_targets=2), num_targets=2)
    assert steps == FIRST_STEP
    assert "'val_y_mae', 'val_z_loss', 'val_z_mse'" in refused


@pytest.mark.parametrize(
    ("kind", "monitor", "valid"),
    [
        (OwnTestStep, "val_twice", True),
        (OwnTrainStep, "val_twice", False),
        (OwnMetrics, "val_own", True),
        (OwnFit, "val_mae", True),
    ],
)
def test_names_of_a_models_own_steps_are_watched(kind, monitor, valid):
    assert trained(monitor, model_of(kind), valid=valid) == (NEVER, None)


@pytest.mark.parametrize("kind", [OwnTestStep, OwnTrainStep, OwnMetrics, OwnFit])
def test_a_wrong_name_with_a_models_own_steps_is_refused_with_the_first_logs(kind):
    steps, refused = trained("val_bogus", model_of(kind))
    assert steps == LATE
    assert "monitor='val_bogus' is not in the logs of this epoch, which have ['data_wait'," in refused


def test_a_wrong_name_of_training_beside_an_own_test_step_is_refused_after_the_first_step():
    assert trained("maee", model_of(OwnTestStep))[0] == FIRST_STEP


@pytest.mark.parametrize("valid", [True, False])
def test_what_a_callback_adds_is_watched(valid):
    assert trained("val_own", before=[Adds()], valid=valid) == (NEVER, None)
    assert trained("val_own", rules=OwnRules, valid=valid) == (NEVER, None)
    adds = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: logs.update(val_own=0.5))
    assert trained("val_own", before=[adds], valid=valid) == (NEVER, None)


def test_callbacks_that_add_nothing_leave_the_early_refusal():
    stops = keras.callbacks.EarlyStopping(monitor="loss", patience=9)
    assert trained("val_own", before=[stops])[0] == FIRST_STEP
    assert trained("val_own", before=[stops], valid=False)[0] == BEGIN


def test_where_the_frames_of_fit_are_not_found_a_wrong_name_is_refused_with_the_first_logs(monkeypatch):
    monkeypatch.setattr(fit_logs, "_MOST_FRAMES", 1)
    for valid in (True, False):
        assert trained("val_bogus", valid=valid)[0] == LATE
        assert trained("loss", valid=valid) == (NEVER, None)


def test_a_second_fit_looks_again():
    model, train = model_of(), source()
    x = train.keras(model)
    rules = RuleCallback(x, halving=HalvingRule(9), monitor="val_mae", say=lambda line: None)
    model.fit(x, epochs=1, validation_data=source().keras(model), verbose=0, callbacks=[rules])
    with pytest.raises(PlanError, match="no validation follows"):
        model.fit(x, epochs=1, verbose=0, callbacks=[rules])
    train.close()
