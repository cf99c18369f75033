"""What a training run leaves in its folder: checkpoints while it trains, and the model in the end."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mtgen.checkpoint import Checkpoints
from mtgen.errors import PlanError, StoreError
from mtgen.loader import Loader
from mtgen.stores.new_folder import make_folder, put_in_place
from mtgen.training.record.folder import BAD_ROWS, CHECKPOINTS, MODEL
from mtgen.training.settings import Run

if TYPE_CHECKING:
    import keras


def check_run(run: Run) -> None:
    """Refuse a folder that has a run in it, where none is to be continued; nothing is written.

    Raises:
        PlanError: says how to continue.
    """
    if run.run is None or run.resume:
        return
    steps = Checkpoints(run.run / CHECKPOINTS).steps()
    if steps:
        raise PlanError(
            f"the folder has a run that was saved after step {steps[-1]}. Continue it with --resume, or choose another "
            "folder for a new one: --run",
            path=str(run.run),
        )


def part_of(run: Run, name: str) -> Run:
    """The run in a folder of its own under the run's, for one of several trainings.

    Example:
        >>> part_of(Run(run=Path("out")), "merged, features shifted one row").run.as_posix()
        'out/merged-features-shifted-one-row'
    """
    if run.run is None:
        return run
    return replace(run, run=run.run / name.replace(",", "").replace(" ", "-"))


def bad_rows_report(run: Run) -> Path | None:
    """Where bad rows are listed, one line each; None without a folder. Makes the folder."""
    if run.run is None:
        return None
    make_folder(run.run, "the folder of the run")
    return run.run / BAD_ROWS


def checkpoint_callback(run: Run, loader: Loader, x: Any, say: Callable[[str], None]) -> Any:
    """The callback that saves and resumes the run, to be the first one; None without a folder."""
    if run.run is None:
        return None
    return loader.checkpoint(x, run.run / CHECKPOINTS, every_steps=run.checkpoint_steps, resume=run.resume, say=say)


@contextmanager
def saved_on_sigterm(callback: Any) -> Iterator[None]:
    """While the block runs, SIGTERM saves a checkpoint and ends the process; in the main thread only."""
    if callback is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, callback.save_and_exit)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def save_model(run: Run, model: keras.Model) -> Path | None:
    """Write `model.keras` into the run's folder: a reader sees the one before or the whole new one.

    Raises:
        StoreError: it cannot be written; the one before is untouched.
    """
    if run.run is None:
        return None
    path = run.run / MODEL
    partial = run.run / f".partial.{MODEL}"  # Keras decides by the ending
    try:
        model.save(partial)
        handle = os.open(partial, os.O_RDWR)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
        put_in_place(partial, path)
    except BaseException as error:
        with suppress(OSError):
            os.unlink(partial)
        if isinstance(error, OSError):
            raise StoreError(f"the model cannot be saved ({error}): check space and rights", path=str(path)) from error
        raise
    return path
