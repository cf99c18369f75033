"""Learning curves as numbers: what was logged at each validation, the best one, and what the rules changed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from mtgen.errors import PlanError

FACTS = frozenset({"step", "data_epoch", "epoch", "patience", "learning_rate", "data_wait", "seconds"})
"""Columns of a history that are no measure of the model."""

VALID = "val_"
"""What Keras puts before the names of measures on the valid split."""

TEST = "test_"
"""What stands before the names of measures on the test split, where it is scored at each new best."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Curves:
    """A history of training, one place for each validation.

    Args:
        steps: int64 `(n,)`, steps trained before each validation, ascending.
        measures: name without `val_`, the loss first -> values `(n,)` on the train split under `"train"` and on the
            valid split under `"valid"`, whichever were logged; NaN where one is missing.
        patience: `(n,)` in mini-batches, NaN where not logged; None without a rule.
        learning_rate: `(n,)`; None where not logged.
        rate_steps: steps after which the learning rate became another one, and what it became, the first at 0: also
            between validations. None where decisions do not tell all of it, as with a schedule.
        steps_per_epoch: steps in an epoch of the data; None where it is not known.
        monitor: measure whose smallest value is the best one, such as `val_loss`; None where nothing was logged.
        best: place of the best value; None where there is no finite one.
        tests: step -> measure -> value on the test split.
        resumed: steps after which the run was resumed.
        halved: steps after which a rule divided the learning rate.
        stopped: the step after which a rule ended training; None where none did.
        why: what the rule said.
    """

    steps: np.ndarray
    measures: Mapping[str, Mapping[str, np.ndarray]]
    patience: np.ndarray | None = None
    learning_rate: np.ndarray | None = None
    rate_steps: Sequence[tuple[int, float]] | None = None
    steps_per_epoch: float | None = None
    monitor: str | None = None
    best: int | None = None
    tests: Mapping[int, Mapping[str, float]] = field(default_factory=dict)
    resumed: Sequence[int] = ()
    halved: Sequence[int] = ()
    stopped: int | None = None
    why: str = ""

    @property
    def extensions(self) -> np.ndarray:
        """Places at which patience is more than at the place before; int64 `(m,)`."""
        return _changes(self.patience, 1)

    @property
    def rate_changes(self) -> np.ndarray:
        """Places at which the learning rate is another one than at the place before; int64 `(m,)`."""
        return _changes(self.learning_rate, 0)

    @property
    def not_finite(self) -> np.ndarray:
        """Places at which a measure was logged as NaN or infinite; int64 `(m,)`."""
        lost = np.zeros(len(self.steps), bool)
        for parts in self.measures.values():
            for values in parts.values():
                lost |= ~np.isfinite(values)
        return np.flatnonzero(lost)


def curves_of(
    history: pd.DataFrame,
    *,
    tests: pd.DataFrame | None = None,
    resumed: Sequence[int] = (),
    decisions: Sequence[Mapping[str, Any]] = (),
) -> Curves:
    """Read a history.

    Pure, any thread.

    Args:
        history: a line per validation: `step`, numbers of the logs, and `data_epoch`, `patience`, `learning_rate`
            where there are some.
        tests: a line per scoring of the test split: `step` and each measure, also as `test_...`.
        resumed: steps after which the run was resumed.
        decisions: of rules, as `RunFolder.read_decisions` gives them. The last improvement is the best place, and the
            measure that had its value is what is watched; without one, the smallest `val_loss`, else `loss`.

    Raises:
        PlanError: a history without the column step, or without a line.

    Example:
        >>> found = curves_of(pd.DataFrame({"step": [4, 8], "loss": [2.0, 1.0], "val_loss": [1.5, 1.7]}))
        >>> list(found.measures), found.monitor, int(found.steps[found.best])
        (['loss'], 'val_loss', 4)
    """
    if "step" not in history:
        raise PlanError(f"a history needs the column step, received {list(history.columns)}")
    if not len(history):
        raise PlanError("the history has no line: nothing was validated yet")
    steps = history["step"].to_numpy(np.int64)
    measures = _measures(history)
    monitor = _monitor(measures)
    values = None if monitor is None else _watched(history, monitor)
    known = values is not None and bool(np.isfinite(values).any())
    best = int(np.nanargmin(np.where(np.isfinite(values), values, np.nan))) if known else None  # type: ignore[arg-type]
    improved = [one for one in decisions if one["what"] == "improved" and one["step"] in steps]
    if improved:
        place = int(np.flatnonzero(steps == improved[-1]["step"])[0])
        told = _monitor_of(history, place, improved[-1])
        monitor, best = (told, place) if told is not None else (monitor, best)
    rate = _numbers(history, "learning_rate")
    ended = next((one for one in reversed(decisions) if one["what"] == "stopped"), None)
    return Curves(
        steps=steps,
        measures=measures,
        patience=_numbers(history, "patience"),
        learning_rate=rate,
        rate_steps=None if rate is None else _rate_steps(steps, rate, decisions),
        steps_per_epoch=_steps_per_epoch(history, steps),
        monitor=monitor,
        best=best,
        tests=_tests(tests) or _logged_tests(history, steps),
        resumed=tuple(int(step) for step in resumed),
        halved=tuple(int(one["step"]) for one in decisions if one["what"] == "halved"),
        stopped=None if ended is None else int(ended["step"]),
        why="" if ended is None else str(ended["text"]).partition(": ")[2] or str(ended["text"]),
    )


def _measures(history: pd.DataFrame) -> dict[str, dict[str, np.ndarray]]:
    """Pairs of train and valid, the loss first, then in the order of the logs."""
    found: dict[str, dict[str, np.ndarray]] = {}
    for column in map(str, history.columns):
        values = _numbers(history, column)
        if column in FACTS or values is None or _is_test(history, column):
            continue
        name, part = (column.removeprefix(VALID), "valid") if column.startswith(VALID) else (column, "train")
        found.setdefault(name, {})[part] = values
    return dict(sorted(found.items(), key=lambda item: item[0] != "loss"))


def _is_test(history: pd.DataFrame, column: str) -> bool:
    """Whether a column is what another one is, on the test split."""
    name = column.removeprefix(TEST)
    return name != column and (name in history or VALID + name in history)


def _rate_steps(
    steps: np.ndarray, logged: np.ndarray, decisions: Sequence[Mapping[str, Any]]
) -> tuple[tuple[int, float], ...] | None:
    """The learning rate from step to step by what the rules changed; None where that is not what was logged."""
    shares = {"halved": 1.0, "decayed": 1.0}
    changes = [(0, 1.0)]
    for one in decisions:
        if one["what"] in shares and one.get("after") is not None:
            shares[one["what"]] = float(one["after"])
            changes.append((int(one["step"]), math.prod(shares.values())))
    # A change after a step holds from the next one on, and what is logged at a validation held until then.
    places = np.searchsorted([step for step, _ in changes[1:]], steps)
    told = np.array([changes[place][1] for place in places])
    known = np.isfinite(logged)
    if not known.any():
        return None
    first = float(logged[known][0] / told[known][0])
    if not np.allclose(first * told[known], logged[known], rtol=1e-4, atol=0):
        return None
    last = dict(changes)  # two rules may change it after one step
    return tuple((step, first * share) for step, share in last.items())


def _numbers(history: pd.DataFrame, column: str) -> np.ndarray | None:
    """A column as float64; None where it is not there, or holds no number at all (an empty column is no measure)."""
    if column not in history:
        return None
    values: np.ndarray = pd.to_numeric(history[column], errors="coerce").to_numpy(np.float64)
    empty = history[column].isna().all() and column in FACTS
    return None if empty or not (pd.api.types.is_numeric_dtype(history[column])) else values


def _monitor(measures: Mapping[str, Mapping[str, np.ndarray]]) -> str | None:
    parts = measures.get("loss", {})
    return f"{VALID}loss" if "valid" in parts else "loss" if parts else None


def _monitor_of(history: pd.DataFrame, place: int, improved: Mapping[str, Any]) -> str | None:
    """The measure that had the value of a decision there, as the rule names it; None where none had."""
    names = [one for one in map(str, history.columns) if one not in FACTS and not _is_test(history, one)]
    value, text = improved["value"], str(improved.get("text", ""))
    # Two may have had that value, such as an accuracy of 0.5 and 1 less it: the one that the text names comes first.
    monitors = sorted([*names, *(f"1 - {name}" for name in names)], key=lambda one: f": {one} " not in text)
    for monitor in monitors:
        values = _watched(history, monitor)
        # Logs keep all digits; a rule's 1 - accuracy is rounded once more.
        if value is not None and values is not None and math.isclose(values[place], value, rel_tol=1e-6, abs_tol=1e-9):
            return monitor
    return None


def _watched(history: pd.DataFrame, monitor: str) -> np.ndarray | None:
    name = monitor.removeprefix("1 - ")
    values = _numbers(history, name)
    return values if values is None or name == monitor else 1 - values


def _steps_per_epoch(history: pd.DataFrame, steps: np.ndarray) -> float | None:
    epochs = _numbers(history, "data_epoch")
    if epochs is None:
        return None
    known = np.isfinite(epochs) & (epochs > 0)
    return float(np.median(steps[known] / epochs[known])) if known.any() else None


def _changes(values: np.ndarray | None, sign: int) -> np.ndarray:
    if values is None or len(values) < 2:
        return np.empty(0, np.int64)
    with np.errstate(invalid="ignore"):
        steps = np.diff(values)
        return np.flatnonzero(steps > 0 if sign else np.abs(steps) > 0) + 1


def _tests(tests: pd.DataFrame | None) -> dict[int, dict[str, float]]:
    if tests is None or not len(tests):
        return {}
    names = [
        one
        for one in map(str, tests.columns)
        if one not in ("step", "num_rows") and pd.api.types.is_numeric_dtype(tests[one])
    ]
    return {
        int(step): {name.removeprefix(TEST): float(tests[name].iloc[place]) for name in names}
        for place, step in enumerate(tests["step"])
    }


def _logged_tests(history: pd.DataFrame, steps: np.ndarray) -> dict[int, dict[str, float]]:
    """The scores of the test split that a history has, where no file of scores was given."""
    names = [column for column in map(str, history.columns) if _is_test(history, column)]
    found: dict[int, dict[str, float]] = {}
    for place, step in enumerate(steps.tolist()):
        values = {name.removeprefix(TEST): float(history[name].iloc[place]) for name in names}
        known = {name: value for name, value in values.items() if math.isfinite(value)}
        if known:
            found[step] = known
    return found
