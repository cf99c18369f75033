"""A Keras callback that saves a run and resumes it: model, optimizer, metrics and the loader's place together.

Where in the loop things happen decides whether a resumed run is the same run:

- A state is saved between two steps, when every callback has finished the one (`on_..._end`) and, where this callback
  is the first in the list, none has begun the other: in `on_train_batch_begin`, `on_epoch_begin` and `on_train_end`.
- Keras has a fixed number of steps per epoch. An epoch that is resumed in its middle is ended by `stop_training` after
  its last step, and that is taken back before Keras looks at it to end training. A stop that another callback asked for
  is another value, and stays.
- What callbacks change when such an epoch begins (`reset_metrics`, a learning rate) was changed once before, so all
  variables are put back once more before its first step.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from mtgen import checkpoint as saved
from mtgen.adapters import variables
from mtgen.adapters.also import Stateful, arrays_of, check_also, check_number, restore_also
from mtgen.adapters.fit_state import FitState, check_rest, check_steps, is_due
from mtgen.adapters.keras import Progress
from mtgen.errors import ModelError, MtgenError, OtherRunError, PlanError, StateError
from mtgen.settings import check_whole_or_none


class _EpochEnd:
    """What `stop_training` is set to at the end of an epoch that was resumed in its middle; true, as any object."""


_EPOCH_END = _EpochEnd()


class Checkpoint(Progress):
    """Saves a run while it trains, and continues it where it was saved.

    Give it to `fit` as the first callback. It saves at the end of each epoch, and every so many steps in between: all
    variables of the model (weights, statistics, states of seed generators), of the optimizer and of the metrics, the
    loader's state, and the history. When `fit` begins, the newest checkpoint that is whole is restored, if there is
    one, and `fit(epochs=E)` trains what is left of E epochs: the very batches that come next. The history that `fit`
    returns holds the epochs before as well.

    Keras calls it, in the thread of `fit`; `save_and_exit` may come from any.

    Not restored: what callbacks count that are not in `also`, such as the patience of EarlyStopping; random numbers
    without a seed generator of their own; `fit(initial_epoch=...)` is replaced by the epoch of the checkpoint. What
    changes no variable's shape and no setting of the optimizer, such as another loss, is not noticed.

    Args:
        x: what `loader.keras()` returned, given to `fit` too.
        folder: where checkpoints are; one run has one folder.
        every_steps: save whenever the number of trained steps passes a multiple of this, >= 1; None for epochs only.
        keep: checkpoints kept, >= 1.
        resume: False refuses a folder that has checkpoints, instead of continuing.
        say: where a line about what was resumed, and about each damaged checkpoint, goes.
        also: callbacks after this one whose state is saved and restored with the run, such as
            `mtgen.training.RuleCallback`; see `Stateful`.

    Raises:
        PlanError: `every_steps` is no integer >= 1.
        StateError: `keep` is no integer >= 1.
    """

    def __init__(
        self,
        x: Any,
        folder: str | os.PathLike[str],
        *,
        every_steps: int | None = None,
        keep: int = 2,
        resume: bool = True,
        say: Callable[[str], None] = print,
        also: Sequence[Stateful] = (),
    ) -> None:
        super().__init__(x)
        self._x = x
        self.checkpoints = saved.Checkpoints(folder, keep)
        self.every_steps = check_whole_or_none("every_steps", every_steps, 1)
        self._resume, self._say_shown, self._also = resume, say, tuple(also)
        self._optimizer: Mapping[str, Any] | None = None
        self.start_step = 0
        """The step at which the last `fit` began; not 0 where a run was resumed."""
        self._offset = 0
        self._signal: int | None = None
        self._started = False
        self._reset()

    def _reset(self) -> None:
        """Where a `fit` stands before it begins."""
        self._saved_step = self._epoch = self._before = 0
        self._begin_step = self.step
        self._in_epoch = self._epoch_done = False
        self._resumed: FitState | None = None
        self._again: Mapping[str, Any] | None = None
        self._taken: tuple[int, dict[str, np.ndarray], dict[str, Any]] | None = None

    @property
    def step_in_epoch(self) -> int:
        """Steps trained in Keras's current epoch, those before the run was resumed included."""
        return self._before + self.step - self._begin_step

    # --- begin --------------------------------------------------------------------------------------------------------

    def on_train_begin(self, logs: Any = None) -> None:
        """Take the folder, and restore the newest checkpoint where there is one.

        Raises:
            StateError: the checkpoint belongs to other data, settings, model or optimizer; names what differs.
            StoreError: another run writes into the folder.
            PlanError: settings of `fit` or `compile` that no checkpoint can follow.
        """
        check_steps(self.params.get("steps"), self._feed.num_batches, self.model.steps_per_execution, self.every_steps)
        self._reset()
        self.checkpoints.close()
        self.checkpoints.open()
        try:
            found = self._found()
            if found is not None:
                self._restore(found)
            elif not self._started:
                self._optimizer = variables.optimizer_settings(self.model)
        except BaseException:
            self.checkpoints.close()
            raise
        super().on_train_begin(logs)
        self.start_step = self._saved_step = self._begin_step = self.step
        self._started = True

    def _found(self) -> saved.Checkpoint | None:
        if not self._resume:
            steps = self.checkpoints.steps()
            if steps and not self._started:
                raise StateError(
                    f"the folder has a checkpoint of step {steps[-1]}, and resume=False. Continue with resume=True, or "
                    "choose another folder for a new run",
                    path=str(self.checkpoints.folder),
                )
            return None
        return self.checkpoints.latest()

    def _restore(self, found: saved.Checkpoint) -> None:
        for line in found.skipped:
            self._say(f"{line}; it was left out")
        loader, model = self._feed.loader, self.model
        try:
            state = FitState.of(found.state)
            step = loader.step_of(state.loader)
            epoch, step_in_epoch = state.place(
                step, num_batches=self._feed.num_batches, steps_per_epoch=loader.steps_per_epoch
            )
            self._check(state, found.arrays, step_in_epoch)
        except MtgenError as error:
            raise error.at(path=str(found.path)) from error.__cause__
        loader.restore(state.loader)
        variables.assign(variables.groups(model, metrics=step_in_epoch > 0), found.arrays)
        restore_also(self._also, state.also, found.arrays)
        self._resumed, self._again = state, found.arrays if step_in_epoch else None
        self._before, self._epoch, self._optimizer = step_in_epoch, epoch, state.optimizer
        self._kept_epoch, model._initial_epoch = model._initial_epoch, epoch
        self._offset = found.step - step  # not 0 where another number of shards counts other steps
        inside = f" and {step_in_epoch} of {self._feed.num_batches} steps of the next one" if step_in_epoch else ""
        self._say(f"resumed after {found.step} steps ({epoch} epochs{inside}) from {found.path}")

    def _say(self, line: str) -> None:
        """Say a line without what stands for odd bytes in a path, which no terminal takes."""
        self._say_shown(line.encode("utf-8", "backslashreplace").decode())

    def _check(self, state: FitState, arrays: Mapping[str, np.ndarray], step_in_epoch: int) -> None:
        """Refuse another model or optimizer, and an epoch that Keras cannot go on with."""
        check_number(self._also, state.also)
        model = self.model
        if self._structure is not None:
            variables.build(model, self._structure.signature(variables.symbolic))
        differing = variables.differences(variables.groups(model, metrics=step_in_epoch > 0), arrays)
        settings, changed = variables.optimizer_settings(model), dict[str, str]()
        # An optimizer that has trained already has the learning rate that training gave it.
        if settings is not None and state.optimizer is not None and not int(model.optimizer.iterations):
            changed = variables.setting_differences(state.optimizer, settings)
        if differing or changed:
            raise OtherRunError(
                "the checkpoint belongs to another run. Differing: "
                + "; ".join([*differing, *changed.values()])
                + ". Make them as they were, or choose another folder for a new run",
                settings=tuple(changed),
            )
        check_rest(step_in_epoch, self._feed.num_batches, model.steps_per_execution)
        check_also(self._also, state.also, arrays)
        if step_in_epoch and not getattr(self._x, "can_leave_epoch", True):
            raise ModelError(
                "this version of Keras does not allow an epoch to be resumed in its middle. Use the version that the "
                "run was saved with, and leave every_steps out"
            )

    # --- epochs and steps ---------------------------------------------------------------------------------------------

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Save what the epoch before left, or check that the right epoch begins."""
        if self._resumed is not None:
            self._check_epoch(epoch)
            self._put_history()
        elif epoch and self.step == self.start_step:
            raise PlanError(
                f"fit(initial_epoch={epoch}) with a checkpoint callback: it says itself with which epoch a run goes "
                "on, leave initial_epoch out of fit"
            )
        elif self._epoch_done:
            self._save(self._epoch + 1, 0)
            self._end_if_asked()
        self._save_taken()  # of an epoch that another callback let go on
        if self._again is None:
            self._before = 0
        self._epoch, self._in_epoch, self._epoch_done = epoch, True, False
        super().on_epoch_begin(epoch, logs)
        self._begin_step = self.step
        if self._resumed is not None:
            self._waited -= self._resumed.data_wait
            self._resumed = None

    def _check_epoch(self, epoch: int) -> None:
        if epoch != self._epoch:
            raise StateError(
                f"fit begins with epoch {epoch}, the checkpoint is in epoch {self._epoch} (counted from 0): leave "
                "initial_epoch out of fit"
            )

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Save what the step before left, where it is time to; put variables back before the first resumed step."""
        if self._again is not None:
            variables.assign(variables.groups(self.model, metrics=True), self._again)
            self._again = None
        elif 0 < self.step_in_epoch < self._feed.num_batches and is_due(self.every_steps, self.step, self._saved_step):
            self._save(self._epoch, self.step_in_epoch)
        if not self._feed.num_batches % self._model.steps_per_execution:  # not self.model: that costs, see _save
            self._end_if_asked()

    def save_and_exit(self, number: int = signal.SIGTERM, frame: Any = None) -> None:
        """Ask for a checkpoint after the step that is under way, and for the end of the process then.

        Any thread may call. It is a signal handler: `signal.signal(signal.SIGTERM, callback.save_and_exit)`. Where
        `steps_per_execution` does not divide the epoch, and during validation, the end of the epoch is waited for.

        Args:
            number: of the signal; `fit` raises `SystemExit` with 128 + number, as shells have it.
            frame: not looked at.
        """
        self._signal = number

    def _end_if_asked(self) -> None:
        if self._signal is not None:
            number, self._signal = self._signal, None
            self._take_if_stopped()
            self._save_taken()
            self.checkpoints.close()
            self._say(f"signal {number}: saved after step {self._saved_step + self._offset}, ending")
            raise SystemExit(128 + number)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Count the step; end an epoch that was resumed in its middle after its last step."""
        super().on_train_batch_end(batch, logs)
        if self._before and self.step_in_epoch >= self._feed.num_batches:
            model = self.model
            if not model.stop_training:
                model.stop_training = _EPOCH_END

    def on_test_begin(self, logs: Any = None) -> None:
        """Take what is to be saved where training was stopped inside an epoch, before validation uses the metrics."""
        if self._in_epoch:
            self._take_if_stopped()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Add `data_wait` to the logs, and take back what ended a resumed epoch."""
        super().on_epoch_end(epoch, logs)
        model = self.model
        if model.stop_training is _EPOCH_END:
            model.stop_training = False
        self._take_if_stopped()
        if self.step_in_epoch >= self._feed.num_batches:
            self._epoch_done = True
            if self._before:  # the pass goes on beyond the epoch: leave both
                if hasattr(self._x, "leave_epoch"):
                    self._x.leave_epoch()
                self._feed.go_to(self.step)
                self._first_step = self.step
        self._in_epoch = False

    def _take_if_stopped(self) -> None:
        """Saved in the end: a run that stops for good is saved when all that its last epoch leaves is written."""
        known = self._saved_step if self._taken is None else self._taken[0]
        if 0 < self.step_in_epoch < self._feed.num_batches and self.step != known:
            self._taken = self._take(self._epoch, self.step_in_epoch)

    def _save_taken(self) -> None:
        if self._taken is not None:
            taken, self._taken = self._taken, None
            self._write(*taken)

    def on_train_end(self, logs: Any = None) -> None:
        """Save what the last epoch left, and give the folder back."""
        if self._resumed is not None:  # nothing was left to train
            self._put_history()
            self._resumed = self._again = None
        elif self._epoch_done:
            self._save(self._epoch + 1, 0)
        self._save_taken()
        self._end_if_asked()
        self.checkpoints.close()

    # --- state --------------------------------------------------------------------------------------------------------

    def _put_history(self) -> None:
        """Epochs before go into the history that `fit` returns, and Keras's own `initial_epoch` counts again."""
        model, resumed = self.model, self._resumed
        model._initial_epoch = self._kept_epoch
        history = getattr(model, "history", None)
        if history is not None and resumed is not None:
            history.epoch = list(resumed.epochs)
            history.history = {name: list(values) for name, values in resumed.logs.items()}

    def _save(self, epoch: int, step_in_epoch: int) -> None:
        self._write(*self._take(epoch, step_in_epoch))

    def _take(self, epoch: int, step_in_epoch: int) -> tuple[int, dict[str, np.ndarray], dict[str, Any]]:
        """The step, and copies of what stands there: arrays and state."""
        model = self.model  # on jax this brings the variables up to date, which costs: only here
        history = getattr(model, "history", None)
        logs = getattr(history, "history", {})
        state = FitState(
            loader=self.state(),
            epoch=epoch,
            step_in_epoch=step_in_epoch,
            steps_per_epoch=self._feed.num_batches,
            whole_epochs=self._feed.num_batches == self._feed.loader.steps_per_epoch,
            epochs=tuple(getattr(history, "epoch", ())),
            logs={name: [_plain(value) for value in values] for name, values in logs.items()},
            optimizer=self._optimizer,
            data_wait=self._feed.loader.stats().wait_seconds - self._waited if step_in_epoch else 0.0,
            also=tuple(one.saved_state() for one in self._also),
        )
        arrays = variables.read(variables.groups(model, metrics=step_in_epoch > 0)) | arrays_of(self._also)
        return self.step, arrays, state.content()

    def _write(self, step: int, arrays: Mapping[str, np.ndarray], content: Mapping[str, Any]) -> None:
        self.checkpoints.save(step + self._offset, arrays, content)
        self._saved_step, self._taken = step, None  # what is older is not saved after it


def _plain(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else value
