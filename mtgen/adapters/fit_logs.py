"""What Keras is about to put into the logs of an epoch, as far as that is certain before the epoch is over.

Keras tells a callback neither the other callbacks nor whether `fit` has validation data, so the frames that call are
looked at. What is not certain is told as such: a model with steps of its own, and a callback of the user that may add
to the logs, can bring any name.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

_MOST_FRAMES = 16
"""Frames between a callback and the `fit` that calls it, at most; Keras has two or three."""
_OF_BOTH = ("compute_metrics", "get_metrics_result", "metrics")
_OF_TRAINING = ("fit", "train_step", "make_train_function")
_OF_VALIDATION = ("evaluate", "test_step", "make_test_function")
"""What makes the logs of a model; one that has its own may tell anything."""
_KNOWN = ("keras", "mtgen")
"""Packages whose callbacks and steps are known to add no name to the logs but for learning rates and the like."""


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What is certain of the logs of an epoch before they are there.

    Immutable; any thread.

    Args:
        validates: whether a validation follows the epoch; None where that is not known.
        training: the logs are the metrics of the model, by Keras's own steps of training, and nothing adds to them.
        validation: the same of the steps of validation.
        metrics: names that the model's metrics may have, before the first step; None where they cannot be told.
    """

    validates: bool | None = None
    training: bool = False
    validation: bool = False
    metrics: frozenset[str] | None = None


def expected_logs(callback: Any, epoch: int) -> Expected:
    """What the logs of the epoch that begins will have. Call it in `on_epoch_begin`, in the thread of `fit`.

    Args:
        callback: whose `on_epoch_end` is to be given the logs.
        epoch: that begins, 0-based.
    """
    import keras

    model, frame = callback.model, sys._getframe(1)
    before: list[Any] | None = None
    validates: bool | None = None
    for _ in range(_MOST_FRAMES):
        scope = frame.f_locals
        who = scope.get("self")
        if isinstance(who, keras.callbacks.CallbackList) and callback in who.callbacks:
            before = who.callbacks[: who.callbacks.index(callback)]
        if who is model and frame.f_code.co_name == "fit" and _trusted(frame.f_globals.get("__name__")):
            validates = _validates(scope, epoch)
            break
        if frame.f_back is None:
            break
        frame = frame.f_back
    adds = before is None or adds_logs([*before, callback])
    return Expected(
        validates=validates,
        training=not adds and computes_logs(model, validation=False),
        validation=not adds and computes_logs(model, validation=True),
        metrics=metric_names(model),
    )


def _validates(scope: Any, epoch: int) -> bool | None:
    """Whether the `fit` of these variables validates after the epoch; None where it does not say."""
    if "validation_data" not in scope:
        return None
    if scope["validation_data"] is None:
        return False
    often = scope.get("validation_freq", 1)
    return not (epoch + 1) % often if isinstance(often, int) and often > 0 else None


def computes_logs(model: Any, *, validation: bool) -> bool:
    """Whether the logs of a model are those of Keras's own steps: the same metrics at each of them.

    Args:
        model: compiled.
        validation: of the steps of validation; else of those of training.
    """
    for name in (*_OF_BOTH, *(_OF_VALIDATION if validation else _OF_TRAINING)):
        found = inspect.getattr_static(type(model), name, None)
        if name in vars(model) or not _trusted(getattr(getattr(found, "fget", found), "__module__", None)):
            return False
    return True


def adds_logs(callbacks: Sequence[Any]) -> bool:
    """Whether one of these may put a number of its own into the logs of an epoch."""
    return not all(_trusted(getattr(one.on_epoch_end, "__module__", None)) for one in callbacks)


def metric_names(model: Any) -> frozenset[str] | None:
    """Names that a compiled model's metrics may have in the logs, built or not; None where they cannot be told."""
    import keras

    compiled = getattr(model, "_compile_metrics", None)
    asked = [getattr(compiled, name, None) for name in ("_user_metrics", "_user_weighted_metrics")]
    metrics = [one for one in [*keras.tree.flatten(asked), *model.metrics] if one is not None]
    names = [getattr(one, "name", None) or getattr(one, "__name__", None) or one for one in metrics]
    outputs = _output_names(model)
    # A metric that is an object may answer with several names of its own.
    results = [one.result for one in metrics if hasattr(one, "result")]
    if outputs is None or not all(_trusted(getattr(one, "__module__", None)) for one in results):
        return None
    if not all(isinstance(one, str) for one in names):
        return None
    return frozenset([*names, *(f"{output}_{name}" for output in outputs for name in [*names, "loss"])])


def _output_names(model: Any) -> list[str] | None:
    """What Keras may put before the names of metrics; None where outputs are known only once the model is called."""
    outputs = getattr(model, "outputs", None)
    if not outputs:
        return None
    if len(outputs) == 1:
        return []
    struct = getattr(model, "_outputs_struct", None)
    return [*getattr(model, "output_names", ()), *(map(str, struct) if isinstance(struct, dict) else ())]


def _trusted(module: Any) -> bool:
    """Whether a module is one of Keras's or of ours."""
    return isinstance(module, str) and module.partition(".")[0] in _KNOWN
