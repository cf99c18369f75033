"""A Keras callback that keeps intermediate models as plain arrays; `snapshots` says how they lie on disk."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import numpy as np

from mtgen import __version__
from mtgen.adapters import variables
from mtgen.adapters.fit_state import is_due
from mtgen.errors import PlanError, StateError, StoreError
from mtgen.settings import check_whole_or_none, short
from mtgen.stores.new_folder import make_folder, save_file, withdraw
from mtgen.training.decisions import Decision
from mtgen.training.record.folder import RunFolder
from mtgen.training.record.layers import described_variables, first_layers
from mtgen.training.record.run_callback import RunCallback
from mtgen.training.record.snapshots import read_metadata, remove_snapshots_after, snapshot_path, write_snapshot


class Snapshots(RunCallback):
    """Saves the model's variables as arrays, by step: before training, every so many steps, at the best, at the end.

    Keras calls it, in the thread of `fit`. Give it to `fit` before the rules, because they put the best variables back
    in the end; and to the checkpoint: `loader.checkpoint(x, folder, also=[rules, history, snapshots])`. A run that is
    resumed after step s removes the snapshots of later steps and makes them again. Each one is there whole or not at
    all, and is never changed. It also writes `model.json`, the architecture, before training.

    Args:
        x: what `loader.keras()` returned, given to `fit` too.
        folder: of the run, a path or a `RunFolder`; made when `fit` begins.
        every_steps: save whenever the number of trained steps passes a multiple of this, >= 1; None for never.
        at_best: a `RuleCallback`: save at each improvement that it sees.
        keep: how many to keep at most, the newest, and besides them the first and that of the best; >= 1, None for all.
        resume: what a run that begins at step 0 does where there are snapshots already: True removes them, as after a
            kill before the first checkpoint; False refuses.
        say: where lines go: how large a snapshot is, before the first one is written, and what was removed.

    Raises:
        PlanError: settings out of their range.
        ModelError: `x` is something else.
    """

    _kind = _with_article = "Snapshots"

    def __init__(
        self,
        x: Any,
        folder: str | os.PathLike[str] | RunFolder,
        *,
        every_steps: int | None = None,
        at_best: Any = None,
        keep: int | None = None,
        resume: bool = False,
        say: Callable[[str], None] = print,
    ) -> None:
        super().__init__(x, folder, resume=resume, say=say)
        self.every_steps = check_whole_or_none("every_steps", every_steps, 1)
        self.keep = check_whole_or_none("keep", keep, 1)
        self._listen("at_best", at_best, self._decided)
        self._forecast = False
        self._seen = 0
        self._best: int | None = None
        self._epoch = 0
        self._logs: dict[str, float | None] = {}
        self._logs_step: int | None = None
        self._described: dict[str, Any] = {}

    # --- begin --------------------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        """Remove the snapshots of steps that this run has yet to train, and save what it begins with."""
        if getattr(self._rules, "began", False):
            raise PlanError("Snapshots must stand before RuleCallback in the list of callbacks")
        step = self.trained
        new = self._is_new
        if new and self.folder.snapshot_steps() and not self._resume:
            raise self._another_run("snapshots", "remove them", self.folder.snapshots)
        removed = remove_snapshots_after(self.folder.snapshots, -1 if new else step)
        if removed:
            self._say(f"snapshots after step {step} were removed, to be made again: {short(removed)}")
        make_folder(self.folder.path, "the folder of the run")
        self._describe()
        self._seen = self.step
        if not self.folder.snapshot_steps():
            self._save()

    def _describe(self) -> None:
        """Find out what each variable is, and write the architecture.

        A resumed run takes both from the snapshots before, where they fit: Keras numbers what has no name anew in each
        process, and one array should have one name all along.
        """
        model = self.model
        if not model.built and self._structure is not None:
            variables.build(model, self._structure.signature(variables.symbolic))
        shapes = [(list(one.shape), str(one.dtype)) for one in model.variables]
        for step in reversed(self.folder.snapshot_steps()):
            with suppress(StateError):
                before = read_metadata(self.folder.snapshots, step)
                if [(one.get("shape"), one.get("dtype")) for one in before["arrays"].values()] == shapes:
                    kept = ("model", "architecture", "inputs", "arrays")
                    self._described = {name: before[name] for name in kept if name in before}
                    return
        self._described = {
            "model": str(model.name),
            "architecture": self._write_architecture(model),
            "inputs": first_layers(model),
            "arrays": described_variables(model),
        }

    def _write_architecture(self, model: Any) -> str:
        """Write `model.json`; what a snapshot says of it."""
        try:
            content = model.to_json(indent=2)
        except Exception as error:  # of the user's own layers, which may raise anything
            self._say(f"model.json was not written, this model cannot be written as JSON ({short(error)})")
            return f"not written: {type(error).__name__}: {error}"
        save_file(self.folder.architecture, content.encode(), "the architecture")
        return self.folder.architecture.name

    # --- when ---------------------------------------------------------------------------------------------------------

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Note the epoch."""
        super().on_epoch_begin(epoch, logs)
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Save where it is time to; after the last step of an epoch, once it was validated."""
        super().on_train_batch_end(batch, logs)
        last = batch + 1 >= self._feed.num_batches or self._model.stop_training
        if not last and is_due(self.every_steps, self.trained, self._seen + self._offset):
            self._save()
        if not last:
            self._seen = self.step

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Note the numbers of the validation; save where it is time to, or where nothing follows."""
        super().on_epoch_end(epoch, logs)
        numbers = {name: value for name, value in (logs or {}).items() if isinstance(value, int | float | np.number)}
        self._logs = {name: float(value) if np.isfinite(value) else None for name, value in numbers.items()}
        self._logs_step = self.trained
        ends = self._model.stop_training or epoch + 1 >= (self.params.get("epochs") or 0)
        if ends or is_due(self.every_steps, self.trained, self._seen + self._offset):
            self._save()
        self._seen = self.step

    def _decided(self, decision: Decision) -> None:
        if decision.what == "improved":
            self._best = self.trained
            self._save()

    def on_train_end(self, logs: Any = None) -> None:
        """Save what training came to."""
        self._save()

    # --- what ---------------------------------------------------------------------------------------------------------

    def _save(self) -> None:
        """Write the snapshot of this step, unless it is there."""
        step = self.trained
        if snapshot_path(self.folder.snapshots, step).exists():
            return
        model = self.model  # on jax this brings the variables up to date, which costs: only here
        read = variables.read({"model": list(model.variables)})
        arrays = dict(zip(self._described["arrays"], read.values(), strict=True))
        self._tell(arrays)
        write_snapshot(self.folder.snapshots, step, arrays, self._metadata())
        self._prune()

    def _metadata(self) -> dict[str, Any]:
        import keras

        return {
            **self._described,
            "epoch": self._epoch,
            "data_epoch": self.step / self._feed.loader.steps_per_epoch,
            "logs_step": self._logs_step,
            "logs": self._logs,
            "versions": {
                "python": platform.python_version(),
                "mtgen": __version__,
                "numpy": np.__version__,
                "keras": keras.__version__,
                "backend": keras.backend.backend(),
            },
        }

    def _tell(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Say what snapshots will take, once."""
        if self._forecast:
            return
        self._forecast = True
        each = sum(array.nbytes for array in arrays.values())
        line = f"snapshots: {each:,} bytes each, {len(arrays)} arrays, in {self.folder.snapshots}"
        if self.every_steps is not None:
            steps = (self.params.get("epochs") or 0) * self._feed.num_batches
            num = steps // self.every_steps + 1 + bool(steps % self.every_steps)
            num = num if self.keep is None else min(num, self.keep + 1)
            line += f"; every {self.every_steps} steps at most {num}, {num * each:,} bytes"
        if self._rules is not None:
            line += "; and one at each improvement" if self.keep is None else "; and the first and the best"
        self._say(line)

    def _prune(self) -> None:
        if self.keep is None:
            return
        try:
            for step in self.folder.snapshot_steps()[1 : -self.keep]:  # the first one shows what training changed
                if step != self._best:
                    withdraw(snapshot_path(self.folder.snapshots, step))
        except OSError as error:
            raise StoreError(
                f"an older snapshot cannot be removed ({error}): without that the disk would fill up. Check rights",
                path=str(self.folder.snapshots),
            ) from error

    # --- state --------------------------------------------------------------------------------------------------------

    def saved_state(self) -> dict[str, Any]:
        """Where it stands, as JSON; see `mtgen.adapters.also.Stateful`."""
        return {**super().saved_state(), "best": self._best, "logs": self._logs, "logs_step": self._logs_step}

    def _fits(self, state: Mapping[str, Any]) -> bool:
        return (
            set(state) == set(self.saved_state())
            and type(state["step"]) is int
            and isinstance(state["best"], int | None)
            and isinstance(state["logs_step"], int | None)
            and isinstance(state["logs"], Mapping)
        )

    def restore_saved(self, state: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        """Go on from a state."""
        super().restore_saved(state, arrays)
        self._best, self._logs, self._logs_step = state["best"], dict(state["logs"]), state["logs_step"]
