"""A Keras callback that trains by rules: when to validate, when to stop, and the learning rate.

It asks the rules and does what they say; the rules decide. Mini-batches are counted by the loader's steps, not by
calls, so `steps_per_execution` changes no decision; a stop is followed when the execution ends.

Validation inside an epoch: an "epoch" of Keras is the time between two validations,
`loader.keras(model, steps_per_epoch=rule.validation_frequency)`, and goes on in the loader's epoch where the one before
ended. The other way, `evaluate` from `on_train_batch_end`, resets the metrics of training in the middle of an epoch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from mtgen.adapters import variables
from mtgen.adapters.fit_logs import Expected, expected_logs
from mtgen.adapters.keras import Progress
from mtgen.adapters.learning_rate import ScaledRate
from mtgen.errors import PlanError, StateError
from mtgen.settings import check_flag, check_kind
from mtgen.training.decisions import Decision
from mtgen.training.monitor import Monitor
from mtgen.training.rule_state import KIND, check_same
from mtgen.training.rules import HalvingRule, InverseEpochDecay, PatienceRule
from mtgen.training.rules.together import RulesTogether
from mtgen.training.scores import TestScores

_SAID = ("extended", "halved", "stopped", "restored")
"""Decisions that are said."""


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
        self.rules = RulesTogether(patience=patience, halving=halving, decay=decay)
        self.patience, self.halving, self.decay = patience, halving, decay
        self._monitor, self.restore_best = Monitor(monitor), check_flag("restore_best", restore_best)
        for name, asked in (("restore_best=True", self.restore_best), ("test=...", test is not None)):
            if asked and not self.rules.watches:
                raise PlanError(f"{name} needs patience or halving: a decay does not know what is best")
        self.test = test
        self._say = say
        self._rate: ScaledRate | None = None
        self._base: float | None = None
        self._origin: int | None = None
        self._applied: float | None = None
        self._best: dict[str, np.ndarray] = {}
        self._lines: list[str] = []
        self._listeners: list[Callable[[Decision], None]] = []
        self._began = False
        self._expected: Expected | None = None
        self._checked = False

    @property
    def monitor(self) -> str:
        """What is to become small."""
        return self._monitor.text

    @property
    def stopped(self) -> bool:
        """Whether a rule has ended training."""
        return self.rules.stopped

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

    def _tell(self, decisions: list[Decision]) -> None:
        """Say what was decided, tell the listeners, and end training where a rule says so."""
        self._lines += [one.text for one in decisions if one.what in _SAID]
        if any(one.what == "stopped" for one in decisions):
            self._model.stop_training = True
        for decision in decisions:
            for listener in self._listeners:
                listener(decision)

    # --- begin --------------------------------------------------------------------------------------------------------

    def set_model(self, model: Any) -> None:
        """Take hold of the learning rate, before a checkpoint looks at the optimizer's variables."""
        super().set_model(model)
        self._began = False
        if self.rules.rate is not None:
            self._rate = ScaledRate(model)

    def on_train_begin(self, logs: Any = None) -> None:
        """Compare the rules with the data; train nothing where they have said stop.

        Raises:
            PlanError: epochs of Keras that are not the time between two validations; see `Progress.on_train_begin`.
        """
        super().on_train_begin(logs)
        self._began = True
        feed, execution = self._feed, self._model.steps_per_execution
        self.rules.check_steps(feed.num_batches, feed.loader.steps_per_epoch, self.params.get("steps"), execution)
        if self._origin is None:
            self._origin = self.step
            line = None if self.test is None else self.test.go_back(self.step)
            self._lines += [] if line is None else [line]
        if self._rate is not None:
            self._rate.begin(self._base)
            self._base = self._rate.base
        self._applied = self._expected = None
        self._checked = not self.rules.watches
        model = self._model
        self._kept_epoch = model._initial_epoch
        if self.stopped:
            model._initial_epoch = self.params["epochs"]
            self._lines.append("a rule ended training before: nothing is trained")

    # --- steps and validations ----------------------------------------------------------------------------------------

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Say what was decided, now that the progress bar has ended its line.

        Raises:
            PlanError: in the first epoch: what is watched cannot be in its logs.
        """
        self._flush()
        super().on_epoch_begin(epoch, logs)
        if self._expected is None and self.rules.watches:
            self._expected = expected_logs(self, epoch)
            self._monitor.check_begin(self._expected)

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Set the learning rate of this step, where it changes."""
        rate = self.rules.rate
        if rate is None or self._rate is None:
            return
        epoch, step_in_epoch = divmod(self.step, self._feed.loader.steps_per_epoch)
        if self.iteration >= 0 and not step_in_epoch:
            self._tell(self.rules.begun(epoch, self.iteration, step=self.step))
        wanted = rate.multiplier(epoch)
        if wanted != self._applied and self.model is not None:  # on jax this brings the variables up to date
            self._rate.multiply(wanted)
            self._applied = wanted

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Count the step, and stop where patience has run out between two validations.

        Raises:
            PlanError: after the first step: what is watched is none of the metrics that it told.
        """
        super().on_train_batch_end(batch, logs)
        if not self._checked and self._expected is not None:
            self._checked = True
            self._monitor.check_names(logs or {}, self._expected)
        self._tell(self.rules.trained(self.iteration, step=self.step))

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Tell the rules the validation, keep the best variables, and do what the rules say."""
        super().on_epoch_end(epoch, logs)
        logs = {} if logs is None else logs
        if self._rate is not None and self.model is not None:  # on jax this brings the variables up to date
            logs["learning_rate"] = self._rate.current
        whole = (self.iteration + 1) % self._feed.num_batches == 0
        if self.rules.watches and whole and not self.stopped:
            self._validated(logs)
        elif self.rules.watches and not whole and not self._model.stop_training:
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
        value, iteration = self._monitor.value(logs), self.iteration
        decisions = self.rules.validated(value, iteration, step=self.step, monitor=self.monitor)
        self._tell(decisions)
        if not any(one.what == "improved" for one in decisions):
            return
        if self.restore_best:
            self._best = variables.read({"model": list(self.model.variables)})
        if self.test is not None:
            self._lines.append(f"mini-batch {iteration}: {self.test.at_new_best(self.model, self.step, logs)}")

    def on_train_end(self, logs: Any = None) -> None:
        """Put the best variables back where asked, and give the schedule back."""
        model = self._model
        if model._initial_epoch == self.params["epochs"]:
            model._initial_epoch = self._kept_epoch
        if self.restore_best and self._best:
            variables.assign({"model": list(model.variables)}, self._best)
            text, best = "the best variables were put back", self.rules.best
            # By the mini-batch that the rule was told last.
            at = self.iteration if self.patience is None else self.patience.iteration
            watching = self.rules.watching
            self._tell([Decision(self.step, at, watching, "restored", best, None, best, text)])
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
            "kind": KIND,
            "monitor": self.monitor,
            "restore_best": self.restore_best,
            "origin": self._origin,
            "iteration": self.iteration,
            "base": self._base,
            **self.rules.state(),
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
        check_same(state, self.saved_state())
        self.rules.check_state(state)
        if self.test is not None:
            self.test.check_state(state["test"])
        differing = variables.differences({"model": list(self.model.variables)}, arrays) if arrays else []
        if differing:
            raise StateError(f"the best variables belong to another model: {'; '.join(differing)}")

    def restore_saved(self, state: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        """Go on from a state.

        Raises:
            StateError: mini-batches are counted otherwise than when it was saved, as with another number of shards.
        """
        self.rules.restore(state)
        self._origin, self._base, self._best = state["origin"], state["base"], dict(arrays)
        if self.patience is not None and self.iteration != state["iteration"]:
            raise StateError(
                f"{state['iteration'] + 1} mini-batches were trained when this was saved, now they count as "
                f"{self.iteration + 1}: patience in mini-batches cannot go on with another number of shards"
            )
        if self.test is not None:  # last: it cuts its file
            self.test.restore(state["test"])
