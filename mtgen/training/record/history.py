"""A Keras callback that writes down a run: each validation, each decision of a rule, and the time of each step.

What is written is buffered, so that a step costs microseconds: lines reach the files at the end of each epoch of Keras,
when a buffer is full, and, flushed to disk, before a checkpoint is there. So a checkpoint never knows of a line that a
kill could take, and a resumed run drops what is newer than its checkpoint and writes it again.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import os
import time
from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mtgen.adapters.variables import printable
from mtgen.errors import PlanError, StateError
from mtgen.stores.new_folder import make_folder, save_file
from mtgen.training.decisions import Decision
from mtgen.training.record import growing
from mtgen.training.record.folder import WAITS_COLUMNS, RunFolder
from mtgen.training.record.run_callback import RunCallback
from mtgen.training.record.tables import read_content

MOST_BUFFERED = 4096
"""Lines of steps that are held before they are written: some 200 kB."""

_FILES = ("history", "decisions", "waits")
_OWN = ("step", "data_epoch", "seconds")
"""Columns that this callback fills in; a number of the logs with such a name is written with `log_` before it."""


@dataclass(frozen=True)
class Found:
    """What a resumed run finds in one file. Immutable.

    Args:
        num_kept: lines that it keeps, the header not counted.
        num_bytes: of the file that it keeps, the header included; 0 where no line is kept.
        num_lines: whole lines that are there.
    """

    num_kept: int
    num_bytes: int
    num_lines: int


def found_lines(folder: RunFolder, step: int, known: Mapping[str, int] | None) -> dict[str, Found]:
    """What a run that goes on at a step finds in `history`, `decisions` and `waits`; changes nothing.

    It keeps the lines of steps up to that one. Of decisions it keeps those that the checkpoint knows of: what rules do
    once more in the same step, such as to put the best variables back, they also tell once more.

    Args:
        folder: of the run.
        step: steps that are trained.
        known: file -> lines that the checkpoint knows of; None where there is no checkpoint.

    Raises:
        StateError: a damaged line, or fewer lines than the checkpoint knows of.
        StoreError: a file cannot be read.
    """
    found = {}
    steps = {
        "history": folder.read_history()["step"].tolist(),
        "decisions": [one["step"] for one in folder.read_decisions()],
        "waits": folder.read_waits()["step"].tolist(),
    }
    for name, told in steps.items():
        path: Path = getattr(folder, name)
        kept = bisect_right(told, step)
        if known is not None and kept < known[name] and path.exists():
            raise StateError(
                f"the file has {kept} lines up to step {step}, where the run goes on, and {known[name]} were "
                "written. Bring it back from a copy, or move it away: then it begins anew here",
                path=str(path),
            )
        if known is not None and name == "decisions":
            kept = min(kept, known[name])
        length = growing.kept_length(read_content(path), kept + (name != "decisions" and kept > 0))
        found[name] = Found(kept, length, len(told))
    return found


class RunHistory(RunCallback):
    """Writes `history.csv`, `decisions.jsonl` and `waits.csv` into the folder of a run.

    Keras calls it, in the thread of `fit`. Give it to `fit` after the rules, and to the checkpoint:
    `loader.checkpoint(x, folder, also=[rules, history])`. A run that is resumed after step s keeps the lines up to s,
    and goes on behind them: in the end the files are those of a run that was not interrupted, but for seconds.

    Args:
        x: what `loader.keras()` returned, given to `fit` too.
        folder: of the run, a path or a `RunFolder`; made when `fit` begins.
        rules: the `RuleCallback` whose decisions are written down; None for none.
        resume: what a run that begins at step 0 does where there are lines of a run already: True drops them, as after
            a kill before the first checkpoint; False refuses.
        say: where a line about dropped lines goes.

    Raises:
        PlanError: `rules` is something else.
        ModelError: `x` is something else.
    """

    _kind, _with_article = "RunHistory", "a RunHistory"

    def __init__(
        self,
        x: Any,
        folder: str | os.PathLike[str] | RunFolder,
        rules: Any = None,
        *,
        resume: bool = False,
        say: Callable[[str], None] = print,
    ) -> None:
        super().__init__(x, folder, resume=resume, say=say)
        self._listen("rules", rules, self.add)
        self._in_epoch = False
        self._columns: list[str] = []
        self._num_lines = dict.fromkeys(_FILES, 0)
        self._waits: list[tuple[int, float, float]] = []
        self._decisions: list[Decision] = []
        self._epoch_seconds = 0.0
        self._epoch_began = self._last = self._last_wait = 0.0

    # --- begin --------------------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        """Drop the lines of steps that this run has yet to train."""
        if self._rules is not None and not getattr(self._rules, "began", True):
            raise PlanError("RuleCallback must stand before RunHistory in the list of callbacks")
        make_folder(self.folder.path, "the folder of the run")
        if self._started:
            self._write_buffers()
        known = None if self._restored is None else self._restored["lines"]
        found = found_lines(self.folder, self.trained, known)
        new = self._is_new
        if new and not self._resume and any(one.num_lines for one in found.values()):
            raise self._another_run("history", "drop the lines", self.folder.path)
        gone = [name for name, num in (known or {}).items() if num and not getattr(self.folder, name).exists()]
        if gone:
            names = ", ".join(getattr(self.folder, name).name for name in gone)
            self._say(f"no longer there, begun anew after step {self.trained}: {names}")
        dropped = []
        for name, one in found.items():
            path: Path = getattr(self.folder, name)
            kept, num_bytes = (0, 0) if new else (one.num_kept, one.num_bytes)
            growing.cut(path, num_bytes)
            self._num_lines[name] = kept
            if one.num_lines > kept:
                dropped.append(f"{one.num_lines - kept} of {path.name}")
        if dropped:
            self._say(f"lines after step {self.trained} were dropped, to be written again: {', '.join(dropped)}")
        self._columns = self._read_columns()

    def _read_columns(self) -> list[str]:
        content = read_content(self.folder.history)
        return next(csv.reader([content[: content.find(b"\n")].decode()])) if content else []

    # --- steps, decisions, epochs -------------------------------------------------------------------------------------

    def add(self, decision: Decision) -> None:
        """Take a decision of a rule, to be written with the next lines."""
        self._decisions.append(dataclasses.replace(decision, step=decision.step + self._offset))

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Note where the clock stands."""
        super().on_epoch_begin(epoch, logs)
        self._last = time.perf_counter()
        self._epoch_began, self._epoch_seconds = self._last - self._epoch_seconds, 0.0
        self._last_wait = self._waited
        self._in_epoch = True

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Note the time of the step: since the end of the one before, with all callbacks and checkpoints."""
        super().on_train_batch_end(batch, logs)
        now, waited = time.perf_counter(), self._feed.loader.stats().wait_seconds
        self._waits.append((self.trained, now - self._last, waited - self._last_wait))
        self._last, self._last_wait = now, waited
        if len(self._waits) >= MOST_BUFFERED:
            self._write_waits()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Write the line of this validation, and all that is buffered."""
        super().on_epoch_end(epoch, logs)
        self._in_epoch = False
        self._write_line(self._numbers(logs or {}))
        self._write_buffers()

    def _numbers(self, logs: Mapping[str, Any]) -> dict[str, float]:
        numbers: dict[str, float] = {
            "step": self.trained,
            "data_epoch": self.step / self._feed.loader.steps_per_epoch,
        }
        for name, value in logs.items():
            if isinstance(value, int | float | np.number) and name != "data_epoch":
                numbers[f"log_{name}" if name in _OWN else printable(name)] = float(value)
        if "learning_rate" not in numbers:
            numbers |= self._learning_rate()
        return numbers | {"seconds": round(time.perf_counter() - self._epoch_began, 6)}

    def _learning_rate(self) -> dict[str, float]:
        """That of the next step, where no rule has put one into the logs."""
        import keras

        optimizer = getattr(self.model, "optimizer", None)  # on jax this brings the variables up to date
        rate = getattr(getattr(optimizer, "inner_optimizer", optimizer), "learning_rate", None)
        if rate is None:
            return {}
        return {"learning_rate": float(keras.ops.convert_to_numpy(getattr(rate, "value", rate)))}

    def on_train_end(self, logs: Any = None) -> None:
        """Write what is left, to disk."""
        self._write_buffers(flush=True)

    # --- files --------------------------------------------------------------------------------------------------------

    def _write_line(self, numbers: Mapping[str, float]) -> None:
        new = [name for name in numbers if name not in self._columns]
        if new:
            self._widen(new)
        line = [repr(numbers[name]) if name in numbers else "" for name in self._columns]
        growing.append(self.folder.history, _csv([line]))
        self._num_lines["history"] += 1

    def _widen(self, new: list[str]) -> None:
        """Give the lines before, if there are any, empty fields in columns that are new."""
        lines = list(csv.reader(io.StringIO(read_content(self.folder.history).decode(), newline="")))
        columns = self._columns + new
        padded = [columns, *([*line, *[""] * len(new)] for line in lines[1:])]
        remedy = "make room, and resume at the last checkpoint"
        save_file(self.folder.history, _csv(padded), "a file of the run", remedy=remedy)
        self._columns = columns

    def _write_waits(self, *, flush: bool = False) -> None:
        first = "" if self._num_lines["waits"] or not self._waits else ",".join(WAITS_COLUMNS) + "\n"
        lines = "".join(f"{step},{seconds:.6f},{waited:.6f}\n" for step, seconds, waited in self._waits)
        growing.append(self.folder.waits, (first + lines).encode(), flush=flush)
        self._num_lines["waits"] += len(self._waits)
        self._waits.clear()

    def _write_buffers(self, *, flush: bool = False) -> None:
        self._write_waits(flush=flush)
        lines = "".join(decision.line() + "\n" for decision in self._decisions)
        growing.append(self.folder.decisions, lines.encode(), flush=flush)
        self._num_lines["decisions"] += len(self._decisions)
        self._decisions.clear()
        if flush:
            growing.append(self.folder.history, b"", flush=True)

    # --- state --------------------------------------------------------------------------------------------------------

    def saved_state(self) -> dict[str, Any]:
        """How many lines there are, once they are all on disk; see `mtgen.adapters.also.Stateful`."""
        self._write_buffers(flush=True)
        seconds = time.perf_counter() - self._epoch_began if self._in_epoch else 0.0
        return {**super().saved_state(), "lines": dict(self._num_lines), "epoch_seconds": seconds}

    def _fits(self, state: Mapping[str, Any]) -> bool:
        lines = state.get("lines")
        if not isinstance(lines, Mapping) or set(lines) != set(_FILES):
            return False
        counts = [state.get("step"), *lines.values()]
        return all(type(one) is int and one >= 0 for one in counts) and isinstance(state.get("epoch_seconds"), float)

    def check_saved(self, state: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        """Refuse a state that the files do not fit.

        Raises:
            StateError: no state of a RunHistory, or files that are damaged or hold fewer lines.
            PlanError: the checkpoint stands after this callback.
        """
        super().check_saved(state, arrays)
        found_lines(self.folder, state["step"], state["lines"])

    def restore_saved(self, state: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        """Go on from a state."""
        super().restore_saved(state, arrays)
        self._epoch_seconds = state["epoch_seconds"]


def _csv(lines: list[list[str]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(lines)
    return text.getvalue().encode()
