"""What rules watch: its value in the logs, and what is refused before there are any."""

from __future__ import annotations

import pytest

from mtgen.adapters.fit_logs import Expected
from mtgen.errors import PlanError
from mtgen.training.monitor import Monitor

CERTAIN = Expected(validates=True, training=True, validation=True, metrics=frozenset({"accuracy"}))


def test_a_share_may_exceed_one_by_rounding_and_no_more() -> None:
    watched = Monitor("1 - val_accuracy")
    values = [watched.value({"val_accuracy": value}) for value in (1.0, 1.0000001, 0.25, 2.0)]
    assert values == [0.0, 0.0, 0.75, -1.0]


def test_what_is_not_in_the_logs_is_told_with_what_is() -> None:
    with pytest.raises(PlanError, match=r"monitor='val_loss' is not in the logs of this epoch, which have \['loss'\]"):
        Monitor("val_loss").value({"loss": 1.0})


@pytest.mark.parametrize("expected", [Expected(), Expected(validates=False), Expected(training=True), CERTAIN])
def test_before_a_step_only_what_is_certain_is_refused(expected: Expected) -> None:
    Monitor("val_loss").check_begin(expected)


def test_before_a_step_metrics_that_are_not_told_leave_it_open() -> None:
    Monitor("val_loss").check_begin(Expected(validates=False, training=True, metrics=None))
    for name in ("loss", "data_epoch"):
        Monitor(name).check_begin(Expected(validates=False, training=True, metrics=frozenset()))
    with pytest.raises(PlanError, match="no validation follows the first epoch"):
        Monitor("val_loss").check_begin(Expected(validates=False, training=True, metrics=frozenset()))


@pytest.mark.parametrize(
    ("text", "expected", "is_refused"),
    [
        ("val_accuracy", CERTAIN, False),
        ("1 - accuracy", CERTAIN, False),
        ("learning_rate", CERTAIN, False),
        ("test_loss", CERTAIN, False),
        ("val_acc", CERTAIN, True),
        ("acc", CERTAIN, True),
        ("val_val_accuracy", CERTAIN, True),
        ("val_acc", Expected(training=True), False),  # own steps of validation
        ("acc", Expected(training=True), True),
        ("acc", Expected(validation=True), False),  # own steps of training
        ("val_acc", Expected(validation=True), False),
    ],
)
def test_after_a_step_only_what_is_certain_is_refused(text: str, expected: Expected, is_refused: bool) -> None:
    watched = Monitor(text)
    watched.check_names([], expected)
    if not is_refused:
        watched.check_names(["loss", "accuracy"], expected)
        return
    with pytest.raises(PlanError, match=r"is not in the logs, which have \['accuracy', 'loss', 'val_accuracy', 'val_l"):
        watched.check_names(["loss", "accuracy"], expected)


def test_after_a_step_a_name_of_validation_is_refused_where_none_follows() -> None:
    expected = Expected(validates=False, training=True)
    Monitor("val_part").check_names(["loss", "val_part"], expected)
    Monitor("val_loss").check_names(["loss"], Expected(validates=False))  # own steps of training
    with pytest.raises(PlanError, match="no validation follows the first epoch"):
        Monitor("val_loss").check_names(["loss", "val_part"], expected)
