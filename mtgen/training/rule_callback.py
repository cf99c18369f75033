"""A Keras callback that trains by rules: when to validate, when to stop, and the learning rate.

It asks the rules and does what they say; the rules decide. Mini-batches are counted by the loader's steps, not by
calls, so `steps_per_execution` changes no decision; a stop is followed when the execution ends.

Validation inside an epoch: an "epoch" of Keras is the time between two validations,
`loader.keras(model, steps_per_epoch=rule.validation_frequency)`, and goes on in the loader's epoch where the one before
ended. The other way, `evaluate` from `on_train_batch_end`, resets the metrics of training in the middle of an epoch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from mtgen.adapters import variables
from mtgen.adapters.keras import Progress
from mtgen.adapters.learning_rate import ScaledRate
from mtgen.errors import PlanError, StateError
from mtgen.settings import check_flag, check_kind, short
from mtgen.training.decisions import Decision
from mtgen.training.rules import CombinedRate, HalvingRule, InverseEpochDecay, PatienceRule
from mtgen.training.scores import TestScores

_INVERTED = "1 - "
_ROUNDING = 1e-6
"""Share of an accuracy by which sums in float32 may exceed 1."""
_KIND = "RuleCallback"


class RuleCallback(Progress):
    """Trains by one rule, or by several together.

    Keras calls it, in the thread of `fit`. It takes the place of `loader.callback(x)`. To save and resume its rules
    with the run, give it to the checkpoint: `loader.checkpoint(x, folder, also=[rules])`, which stands before it in the
    list of callbacks. Another `fit` with the same callback goes on; when a rule has said stop, it trains nothing.

    The logs of each epoch get `patience` and `learning_rate`, and `data_epoch`, the epochs of the loader so far,
    where those of Keras are others.

    Args:
        x: what `loader.keras()` returned, given to `fit` too.
        patience: stops; needs `loader.keras(model, steps_per_epoch=patience.validation_frequency)`.
        halving: divides the learning rate, or what a schedule gives, and stops.
        decay: the learning rate falls with the loader's epochs; with `halving`, both at once.
        monitor: name in the logs of what is to become small, such as `val_loss`; or `1 - val_accuracy`.
        restore_best: keep the model's variables at each improvement, and put the best ones back in the end.
        say: where a line about each decision goes, between two progress bars.
        test: scores the test split at each improvement; the logs of that epoch get `test_loss` and each metric so.

    Raises:
        PlanError: no rule at all, or something that is no rule.
        ModelError: `x` is something else.
    """

    def __init__(
        self,
        x: Any,
        *,
        patience: PatienceRule | None = None,
        halving: HalvingRule | None = None,
        decay: InverseEpochDecay | None = None,
        monitor: str = "val_loss",
        restore_best: bool = False,
        say: Callable[[str], None] = print,
        test: TestScores | None = None,
    ) -> None:
        super().__init__(x)
        check_kind("test", test, TestScores | None, "a mtgen.training.TestScores or None")
        check_kind("patience", patience, PatienceRule | None, "a PatienceRule or None")
        check_kind("monitor", monitor, str, "a name in the logs")
        both = None if halving is None and decay is None else CombinedRate(halving=halving, decay=decay)
        if patience is None and both is None:
            raise PlanError("RuleCallback needs patience, halving or decay, received none of them")
        self.patience, self.halving, self.decay = patience, halving, decay
        self.monitor, self.restore_best = monitor, check_flag("restore_best", restore_best)
        if self.restore_best and patience is None and halving is None:
            raise PlanError("restore_best=True needs patience or halving: a decay does not know what is best")
        if test is not None and patience is None and halving is None:
            raise PlanError("test=... needs patience or halving: a decay does not know what is best")
        self.test = test
        self._both, self._say = both, say
        self._rate: ScaledRate | None = None
        self._base: float | None = None
        self._origin: int | None = None
        self._applied: float | None = None
        self._best: dict[str, np.ndarray] = {}
        self._lines: list[str] = []
        self._listeners: list[Callable[[Decision], None]] = []
        self._began = False

    @property
    def stopped(self) -> bool:
        """Whether a rule has ended training."""
        return any(rule is not None and rule.stopped for rule in (self.patience, self.halving))

    @property
    def iteration(self) -> int:
        """The 0-based number of the mini-batch last trained, since training began; -1 before the first."""
        return self.step - 1 - (self.step if self._origin is None else self._origin)

    @property
    def began(self) -> bool:
        """Whether the `fit` under way has called `on_train_begin`, so that the order of callbacks can be checked."""
        return self._began

    def listen(self, listener: Callable[[Decision], None]) -> None:
        """Tell `listener` each decision from here on, in the thread of `fit`, as soon as it is made."""
        self._listeners.append(listener)

    def _decided(
        self, rule: str, what: str, text: str, *, value: float | None = None, change: tuple[Any, Any] = (None, None)
    ) -> None:
        """Tell a decision about the mini-batch last trained."""
        iteration = self.patience.iteration if rule == "patience" and self.patience is not None else self.iteration
        before, after = (None if one is None or math.isinf(one) else one for one in change)
        decision = Decision(self.step, iteration, rule, what, value, before, after, text)
        for listener in self._listeners:
            listener(decision)

    # --- begin --------------------------------------------------------------------------------------------------------

    def set_model(self, model: Any) -> None:
        """Take hold of the learning rate, before a checkpoint looks at the optimizer's variables."""
        super().set_model(model)
        self._began = False
        if self._both is not None:
            self._rate = ScaledRate(model)

    def on_train_begin(self, logs: Any = None) -> None:
        """Compare the rules with the data; train nothing where they have said stop.

        Raises:
            PlanError: epochs of Keras that are not the time between two validations; see `Progress.on_train_begin`.
        """
        super().on_train_begin(logs)
        self._began = True
        self._check_steps()
        if self._origin is None:
            self._origin = self.step
            line = None if self.test is None else self.test.go_back(self.step)
            self._lines += [] if line is None else [line]
        if self._rate is not None:
            self._rate.begin(self._base)
            self._base = self._rate.base
        self._applied = None
        model = self._model
        self._kept_epoch = model._initial_epoch
        if self.stopped:
            model._initial_epoch = self.params["epochs"]
            self._lines.append("a rule ended training before: nothing is trained")

    def _check_steps(self) -> None:
        num_batches, loader = self._feed.num_batches, self._feed.loader
        execution = self._model.steps_per_execution
        if self.patience is not None:
            every, length = self.patience.validation_frequency, self.patience.settings.batches_per_epoch
            if length != loader.steps_per_epoch:
                raise PlanError(
                    f"PatienceRule(batches_per_epoch={length}), and the loader has {loader.steps_per_epoch} steps per "
                    "epoch: give it loader.steps_per_epoch"
                )
            if num_batches != every or self.params.get("steps") != every:
                raise PlanError(
                    f"the rule validates every {every} mini-batches, and an epoch of Keras has "
                    f"{self.params.get('steps')}: write x = loader.keras(model, steps_per_epoch="
                    "rule.validation_frequency), and leave steps_per_epoch out of fit"
                )
        inside = num_batches != loader.steps_per_epoch
        if self.decay is not None and inside and (num_batches % execution or loader.steps_per_epoch % execution):
            raise PlanError(
                f"steps_per_execution={execution} does not divide the {num_batches} steps of an epoch of Keras and "
                f"the {loader.steps_per_epoch} of the loader, so the learning rate would change late. Choose another "
                "steps_per_execution"
            )

    # --- steps and validations ----------------------------------------------------------------------------------------

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Say what was decided, now that the progress bar has ended its line."""
        self._flush()
        super().on_epoch_begin(epoch, logs)

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Set the learning rate of this step, where it changes."""
        if self._both is None or self._rate is None:
            return
        epoch, step_in_epoch = divmod(self.step, self._feed.loader.steps_per_epoch)
        wanted = self._both.multiplier(epoch)
        if self.decay is not None and self.iteration >= 0 and not step_in_epoch and self.decay.d:
            change = self.decay.multiplier(epoch - 1), self.decay.multiplier(epoch)
            self._decided("decay", "decayed", f"epoch {epoch}: learning rate times {change[1]:.6g}", change=change)
        if wanted != self._applied and self.model is not None:  # on jax this brings the variables up to date
            self._rate.multiply(wanted)
            self._applied = wanted

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Count the step, and stop where patience has run out between two validations."""
        super().on_train_batch_end(batch, logs)
        rule = self.patience
        # One by one, also those of an execution of several steps: the rule may end at any of them.
        while rule is not None and not rule.stopped and rule.iteration < self.iteration:
            if rule.is_due(rule.iteration + 1):
                break  # its value is known at the end of the epoch
            if rule.update(rule.iteration + 1).stop:
                self._stop("patience", f"patience of {rule.patience:g} mini-batches has run out")

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Tell the rules the validation, keep the best variables, and do what the rules say."""
        super().on_epoch_end(epoch, logs)
        logs = {} if logs is None else logs
        if self._rate is not None and self.model is not None:  # on jax this brings the variables up to date
            logs["learning_rate"] = self._rate.current
        whole = (self.iteration + 1) % self._feed.num_batches == 0
        watches = self.patience is not None or self.halving is not None
        if watches and whole and not self.stopped:
            self._validated(logs)
        elif watches and not whole and not self._model.stop_training:
            raise PlanError(
                f"an epoch of Keras ended after mini-batch {self.iteration}, and validations are due every "
                f"{self._feed.num_batches} mini-batches: a fit before was interrupted inside of one. Begin anew, or "
                "continue with loader.checkpoint(x, folder, also=[...])"
            )
        if self.patience is not None:
            logs["patience"] = float(self.patience.patience)
        if self._feed.num_batches != self._feed.loader.steps_per_epoch:
            logs["data_epoch"] = self.step / self._feed.loader.steps_per_epoch

    def _validated(self, logs: dict[str, Any]) -> None:
        value, at, improved = self._value(logs), f"mini-batch {self.iteration}", False
        if self.patience is not None:
            before, best = self.patience.patience, self.patience.best
            told = self.patience.update(self.iteration, value)
            improved |= told.improved
            if told.improved:
                self._improved("patience", best, value)
            if self.patience.patience != before:
                line = f"{at}: {self.monitor} {value:.6g}, patience {before:g} -> {self.patience.patience:g}"
                self._lines.append(line)
                self._decided("patience", "extended", line, value=value, change=(before, self.patience.patience))
            if told.stop and not math.isnan(value):
                self._stop("patience", f"patience of {self.patience.patience:g} mini-batches has run out", value)
        if self.halving is not None:
            share, best = self.halving.multiplier, self.halving.best
            decided = self.halving.update(value)
            improved |= decided.improved
            if decided.improved:
                self._improved("halving", best, value)
            if decided.halved:
                line = f"{at}: no improvement, learning rate times {self.halving.multiplier:.6g}"
                self._lines.append(line)
                self._decided("halving", "halved", line, value=value, change=(share, self.halving.multiplier))
            if decided.stop and not math.isnan(value):
                self._stop("halving", "no improvement, and the learning rate is at its floor", value)
        if math.isnan(value):
            self._stop(self._watching, f"{self.monitor} is nan", value)
        if improved and self.restore_best:
            self._best = variables.read({"model": list(self.model.variables)})
        if improved and self.test is not None:
            self._lines.append(f"{at}: {self.test.at_new_best(self.model, self.step, logs)}")

    def _value(self, logs: Mapping[str, Any]) -> float:
        name = self.monitor.removeprefix(_INVERTED)
        if name not in logs:
            raise PlanError(
                f"monitor={self.monitor!r} is not in the logs of this epoch, which have {sorted(logs)}: give fit "
                "validation_data, leave validation_freq out, and name one of them"
            )
        value = float(logs[name])
        if name == self.monitor:
            return value
        return 0.0 if 1 < value < 1 + _ROUNDING else 1 - value

    @property
    def _watching(self) -> str:
        return "halving" if self.patience is None else "patience"

    def _improved(self, rule: str, best: float, value: float) -> None:
        text = f"mini-batch {self.iteration}: {self.monitor} {value:.6g} is the best so far"
        self._decided(rule, "improved", text, value=value, change=(best, value))

    def _stop(self, rule: str, why: str, value: float | None = None) -> None:
        iteration = self.patience.iteration if rule == "patience" and self.patience is not None else self.iteration
        self._lines.append(f"stopped after {iteration + 1} mini-batches: {why}")
        self._decided(rule, "stopped", self._lines[-1], value=value)
        self._model.stop_training = True

    def on_train_end(self, logs: Any = None) -> None:
        """Put the best variables back where asked, and give the schedule back."""
        model = self._model
        if model._initial_epoch == self.params["epochs"]:
            model._initial_epoch = self._kept_epoch
        if self.restore_best and self._best:
            variables.assign({"model": list(model.variables)}, self._best)
            self._lines.append("the best variables were put back")
            best = min(rule.best for rule in (self.patience, self.halving) if rule is not None)
            self._decided(self._watching, "restored", self._lines[-1], value=best, change=(None, best))
        if self._rate is not None:
            self._rate.release(model)
        self._flush()

    def _flush(self) -> None:
        lines, self._lines = self._lines, []
        for line in lines:
            self._say(line)

    # --- state --------------------------------------------------------------------------------------------------------

    def saved_state(self) -> dict[str, Any]:
        """Rules and counts as JSON; see `mtgen.adapters.also.Stateful`."""
        return {
            "kind": _KIND,
            "monitor": self.monitor,
            "restore_best": self.restore_best,
            "origin": self._origin,
            "iteration": self.iteration,
            "base": self._base,
            "patience": None if self.patience is None else self.patience.state(),
            "halving": None if self.halving is None else self.halving.state(),
            "decay": None if self.decay is None else self.decay.d,
            "test": None if self.test is None else self.test.state(),
        }

    def saved_arrays(self) -> Mapping[str, np.ndarray]:
        """The best variables so far."""
        return self._best

    def check_saved(self, state: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        """Refuse a state that does not fit.

        Raises:
            StateError: saved with other rules, with other settings, or with another model.
            PlanError: the checkpoint stands after this callback.
        """
        if self._began:
            raise PlanError("the checkpoint must stand before RuleCallback in the list of callbacks: make it the first")
        own = self.saved_state()
        if state.get("kind") != _KIND or {*state, "test"} != set(own):  # older ones have no test
            raise StateError(f"this is not the state of a RuleCallback: {short(dict(state))}")
        plain = [name for name in ("monitor", "restore_best", "decay") if state[name] != own[name]]
        optional = ("patience", "halving", "test")
        plain += [name for name in optional if (state.get(name) is None) != (own[name] is None)]
        if plain:
            raise StateError(
                "the run was saved with other rules. Differing: "
                + "; ".join(f"{name} was {short(state.get(name))} and is {short(own[name])}" for name in plain)
                + ". Make them as they were, or choose another folder for a new run"
            )
        self._rules_of(state)
        if self.test is not None:
            self.test.check_state(state["test"])
        if not all(isinstance(state[name], int) for name in ("origin", "iteration")):
            raise StateError(f"origin and iteration must be integers, received {short(dict(state))}")
        if not isinstance(state["base"], float | None):
            raise StateError(f"base must be a number or None, received {short(state['base'])}")
        differing = variables.differences({"model": list(self.model.variables)}, arrays) if arrays else []
        if differing:
            raise StateError(f"the best variables belong to another model: {'; '.join(differing)}")

    def restore_saved(self, state: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        """Go on from a state.

        Raises:
            StateError: mini-batches are counted otherwise than when it was saved, as with another number of shards.
        """
        for rule, saved in self._rules_of(state):
            rule.restore(saved)
        self._origin, self._base, self._best = state["origin"], state["base"], dict(arrays)
        if self.patience is not None and self.iteration != state["iteration"]:
            raise StateError(
                f"{state['iteration'] + 1} mini-batches were trained when this was saved, now they count as "
                f"{self.iteration + 1}: patience in mini-batches cannot go on with another number of shards"
            )
        if self.test is not None:  # last: it cuts its file
            self.test.restore(state["test"])

    def _rules_of(self, state: Mapping[str, Any]) -> list[tuple[Any, Mapping[str, Any]]]:
        """The rules with their saved states, each of which fits.

        Raises:
            StateError: one does not.
        """
        found: list[tuple[Any, Mapping[str, Any]]] = [
            (rule, state[name])
            for name, rule in (("patience", self.patience), ("halving", self.halving))
            if rule is not None
        ]
        for rule, saved in found:
            type(rule).from_state(rule.state()).restore(saved)
        return found
