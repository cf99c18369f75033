"""What a training run leaves in its folder: checkpoints while it trains, and the model in the end."""

from __future__ import annotations

import os
import signal
import threading
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mtgen.checkpoint import Checkpoints
from mtgen.errors import ModelError, MtgenError, PlanError, StateError, StoreError
from mtgen.loader import Loader
from mtgen.settings import short
from mtgen.splits import Splits
from mtgen.state import differences
from mtgen.stores.new_folder import make_folder, put_in_place, save_file
from mtgen.training.config.paths import absolute
from mtgen.training.config.reading import read_document
from mtgen.training.config.sections import Config
from mtgen.training.config.writing import to_toml
from mtgen.training.models import with_state
from mtgen.training.record.folder import BAD_ROWS, CHECKPOINTS, MODEL, RunFolder
from mtgen.training.record.run_record import record_run
from mtgen.training.settings import Run

if TYPE_CHECKING:
    import keras

KEPT_SNAPSHOTS = 2
"""Snapshots that stay besides that of the best, where no steps were asked for."""

Say = Callable[[str], None]
"""Takes a line of progress."""


def run_of(config: Config) -> Run:
    """Where the run is kept, as it can be opened."""
    folder = config.run.run
    return config.run if folder is None else replace(config.run, run=Path(absolute(folder, config.folder)))


def check_run(run: Run) -> None:
    """Refuse a folder that has a run in it, where none is to be continued; nothing is written.

    Raises:
        PlanError: says how to continue; or something is to be saved, and no folder is named.
    """
    run.check()
    if run.run is None or run.resume:
        return
    steps = Checkpoints(run.run / CHECKPOINTS).steps()
    if steps or os.path.exists(RunFolder(run.run).record):
        saved = f"was saved after step {steps[-1]}" if steps else "began, and was not saved yet"
        raise PlanError(
            f"the folder has a run that {saved}. Continue it with --resume, or choose another "
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


def run_callbacks(
    config: Config, run: Run, x: Any, parts: Mapping[str, Any], rules: Any, own: list[Any], say: Say
) -> tuple[Any, list[Any]]:
    """The checkpoint, which is None without a folder, and all callbacks in their order, with it.

    What a run writes down stands around the rules: a snapshot of the last parameters comes before they put the best
    ones back, a line of the history after what they add to the logs. Callbacks of the user come before the rules, which
    may watch what they add.

    Args:
        config: what is trained.
        run: where it is kept.
        x: what `loader.keras()` returned.
        parts: name of a split -> its loader, or the split where it has none.
        rules: a `RuleCallback` or None.
        own: callbacks of the user.
        say: where lines go.
    """
    kept = [] if rules is None else [rules]
    if run.run is None:
        return None, [*own, *kept]
    from mtgen.training.record.history import RunHistory
    from mtgen.training.record.snapshot_callback import Snapshots

    keep = KEPT_SNAPSHOTS if run.snapshot_steps is None else None
    snapshots = Snapshots(
        x, run.run, every_steps=run.snapshot_steps, at_best=rules, keep=keep, resume=run.resume, say=say
    )
    history = RunHistory(x, run.run, rules, resume=run.resume, say=say)
    checkpoint = parts["train"].checkpoint(
        x,
        run.run / CHECKPOINTS,
        every_steps=run.checkpoint_steps,
        resume=run.resume,
        say=say,
        also=[*kept, history, snapshots, *with_state(own)],
    )
    begins = begins_run(config, run, parts, say)
    found = [checkpoint, begins, parts["train"].order_log(x, run.run), snapshots, *own, *kept, history]
    if run.tensorboard:
        from mtgen.training.tensorboard import TensorBoardLog

        found.append(TensorBoardLog(x, RunFolder(run.run).tensorboard, say))
    return checkpoint, found


def begins_run(config: Config, run: Run, parts: Mapping[str, Any], say: Say) -> Any:
    """A callback that fixes what is trained, when training begins: `run.toml`, `splits.csv` and `run.json`.

    It stands after the checkpoint, which holds the folder then, and has refused what does not fit.

    Args:
        config: what is trained.
        run: with a folder.
        parts: name of a split -> its loader, or what has none.
        say: where lines go.
    """
    import keras

    folder = RunFolder(run.run or "")

    def begin(logs: Any = None) -> None:
        content = to_toml(config, folder.path)
        if run.resume:
            check_model(folder, content)
            say_missing(folder, say)
        splits = {name: part.dataset if isinstance(part, Loader) else part for name, part in parts.items()}
        Splits(splits).save(folder.splits)
        record_run(folder, parts, seed=config.fit.seed, resume=run.resume, say=say)
        save_file(folder.config, content.encode(), "the configuration")

    return keras.callbacks.LambdaCallback(on_train_begin=begin)


def say_missing(folder: RunFolder, say: Say) -> None:
    """Say which files of a run that is continued are gone: what they fixed cannot be compared, and they begin anew."""
    files = [one.name for one in (folder.config, folder.splits, folder.record) if not os.path.lexists(one)]
    if files and Checkpoints(folder.checkpoints).steps():
        say(f"{', '.join(files)} of the run that goes on are gone: written anew, compared with nothing")


def check_model(folder: RunFolder, content: str) -> None:
    """Refuse to go on with another model: its variables may fit all the same, as with another dropout.

    Args:
        folder: of the run.
        content: of the `run.toml` that is about to stand there.

    Raises:
        StateError: names what differs; `run.toml` stays as it is.
        PlanError: the one that is there is damaged.
    """
    if not os.path.lexists(folder.config):
        return
    before, now = (one.get("model", {}) for one in (read_document(folder.config), tomllib.loads(content)))
    found = differences("[model]", before, now)
    if found:
        raise StateError(
            f"the run began with another model. Differing: {'; '.join(found)}. Make it as it was, or choose another "
            "folder for a new run",
            path=str(folder.config),
        )


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


@contextmanager
def no_silent_exit() -> Iterator[None]:
    """While the block runs, nothing ends the process as if all had gone well; what fails ends it as it likes.

    Raises:
        ModelError: something in the block did, such as a callback of the user.
    """
    try:
        yield
    except SystemExit as error:
        if error.code not in (None, 0):
            raise
        raise ModelError(
            "something called sys.exit while the model was trained, so training is not over: let a callback set "
            "self.model.stop_training = True instead"
        ) from error


def save_model(run: Run, model: keras.Model) -> Path | None:
    """Write `model.keras` into the run's folder: a reader sees the one before or the whole new one.

    Raises:
        StoreError: it cannot be written; the one before is untouched.
        ModelError: Keras cannot save such a model.
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
        if not isinstance(error, Exception) or isinstance(error, MtgenError):
            raise
        raise ModelError(  # of the user's own layers, which may raise anything
            f"training is over, and Keras cannot save the model ({type(error).__name__}: {short(str(error).strip())}): "
            "its variables are in checkpoints and snapshots. Give its own layers get_config, and the same command "
            "with --resume saves it without training again",
            path=str(path),
        ) from error
    return path
