"""Checkpoints on disk: arrays and a small JSON state, whole or not at all, found again after any kill.

A checkpoint is a folder, one per generation, such as `checkpoint-0000000120`; `checkpoint_files` says what is in it. It
is written under a hidden temporary name, every file and the folder are flushed to disk, one rename publishes it, and
the folder around it is flushed. Two generations are kept, so that a damaged one has another behind it.
Nothing here knows what the arrays mean.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mtgen.checkpoint_files import DamagedError, read_files, state_content, write_files
from mtgen.errors import StateError, StoreError
from mtgen.folder_lock import FolderLock
from mtgen.settings import check_whole
from mtgen.stores.new_folder import PARTIAL, make_folder, new_folder, withdraw

_NAME = re.compile(r"checkpoint-(\d{10,})")
_ROOM_PER_ARRAY = 1024
"""Bytes that an array takes besides its values: headers of the archive, and its line in the state."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Checkpoint:
    """One checkpoint as it was read.

    Args:
        step: number of steps trained when it was saved.
        arrays: by name; the caller owns them.
        state: what was given to `save`.
        path: its folder.
        skipped: one line for each newer generation that is damaged, naming the file; show them.
    """

    step: int
    arrays: Mapping[str, np.ndarray]
    state: dict[str, Any]
    path: Path
    skipped: tuple[str, ...] = ()


class Checkpoints:
    """The checkpoints in one folder, with one writer at a time.

    Reading changes nothing on disk. The first `save`, or `open`, makes the folder, takes its lock and removes what dead
    writers left. One thread at a time.

    Args:
        folder: where checkpoints are; made when the first one is saved.
        keep: generations kept, >= 1. With 1 there is nothing behind a damaged one.

    Raises:
        StateError: `keep` is no integer >= 1.

    Example:
        >>> import tempfile
        >>> with Checkpoints(tempfile.mkdtemp()) as checkpoints:
        ...     path = checkpoints.save(120, {"weights": np.arange(3.0)}, {"note": "any JSON"})
        ...     found = checkpoints.latest()
        >>> path.name, found.step, found.arrays["weights"].tolist(), found.state
        ('checkpoint-0000000120', 120, [0.0, 1.0, 2.0], {'note': 'any JSON'})
    """

    def __init__(self, folder: str | os.PathLike[str], keep: int = 2) -> None:
        self.folder = Path(folder)
        self.keep = check_whole("keep", keep, 1, StateError)
        self._lock = FolderLock(self.folder)
        self._opened = False
        self._damaged: set[Path] = set()

    def steps(self) -> list[int]:
        """Steps of the checkpoints that are there, ascending; they are not looked into."""
        return [step for step, _ in self._generations()]

    def open(self) -> None:
        """Make the folder, take its lock, and remove what dead writers left.

        Raises:
            StoreError: another process writes into it, or it cannot be made or written to.
        """
        if self._lock.is_held:
            return
        if self._opened:
            raise StoreError(
                "another run took over this folder, so this one saves nothing more; two runs need two folders",
                path=str(self.folder),
            )
        make_folder(self.folder, "the folder of checkpoints")
        self._lock.take()
        self._opened = True
        try:
            for one in self.folder.iterdir():
                if one.name.startswith(".checkpoint-") and one.name.endswith(PARTIAL):
                    withdraw(one)
        except OSError as error:
            self.close()
            raise StoreError(
                f"what a dead writer left cannot be removed ({error}): check rights", path=str(self.folder)
            ) from error

    def close(self) -> None:
        """Give the lock back; the object can be used again."""
        self._lock.release()
        self._opened = False

    def __enter__(self) -> Checkpoints:
        self.open()
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def save(self, step: int, arrays: Mapping[str, np.ndarray], state: Mapping[str, Any]) -> Path:
        """Write a checkpoint; when this returns, it survives a power cut. Then remove the oldest beyond `keep`.

        Arrays are read, never changed. Where less is free on disk than they take, nothing is begun.

        Args:
            step: steps trained so far, more than those of any checkpoint that is there and whole.
            arrays: by name, any shape; numbers, text or dates of NumPy, or dtypes of ml_dtypes such as bfloat16.
            state: plain JSON values.

        Returns:
            The checkpoint's folder.

        Raises:
            StateError: something that cannot be saved.
            StoreError: the disk is full or fails, or another run writes here; checkpoints before are untouched, and
                nothing temporary is left.
        """
        step = check_whole("the step of a checkpoint", step, 0, StateError)
        plain = {name: np.asarray(array) for name, array in arrays.items()}
        content = state_content(step, plain, state)
        self.open()
        self._check_newest(step)
        needed = sum(array.nbytes + _ROOM_PER_ARRAY for array in plain.values()) + len(content)
        target = self.folder / f"checkpoint-{step:010d}"
        try:
            self._remove_damaged(step)
            if shutil.disk_usage(self.folder).free < needed:
                raise OSError(errno.ENOSPC, "too little room")
            with new_folder(target) as folder:
                write_files(folder, plain, content)
        except OSError as error:
            raise self._not_saved(step, needed, error) from error
        self._prune(step)
        return target

    def latest(self) -> Checkpoint | None:
        """The newest checkpoint that is whole; None where there is none at all.

        Raises:
            StateError: there are checkpoints and none can be read; names the files and what to do.
            StoreError: one cannot be read for a reason that is no damage, such as missing rights.
        """
        while True:
            skipped: list[str] = []
            generations = self._generations()
            for step, path in reversed(generations):
                try:
                    arrays, state = read_files(path, step)
                    return Checkpoint(step=step, arrays=arrays, state=state, path=path, skipped=tuple(skipped))
                except DamagedError as damage:
                    if not os.path.lexists(path):  # a link that leads nowhere is damage
                        break  # its writer removed it since it was listed, so there is a newer one
                    skipped.append(f"{path.name} is damaged: {damage}")
                    self._damaged.add(path)
            else:
                if not generations:
                    return None
                raise StateError(
                    f"none of the {len(generations)} checkpoints can be read: {'; '.join(skipped)}. Bring their files "
                    "back from a copy, or remove the folder to begin again",
                    path=str(self.folder),
                )

    def _generations(self) -> list[tuple[int, Path]]:
        """Step and folder of each checkpoint, by step."""
        try:
            names = os.listdir(self.folder)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StoreError(
                f"the folder of checkpoints cannot be read ({error}): check path and rights", path=str(self.folder)
            ) from error
        found = [(int(match[1]), self.folder / name) for name in names if (match := _NAME.fullmatch(name))]
        return sorted(found)

    def _check_newest(self, step: int) -> None:
        """Refuse to save before a checkpoint that is whole: it would stay the newest one."""
        for later, path in reversed(self._generations()):
            if later >= step:
                with suppress(DamagedError):
                    read_files(path, later)
                    raise StoreError(
                        f"step {step} cannot be saved: the folder has a checkpoint of step {later}. Continue from it, "
                        "or choose another folder",
                        path=str(path),
                    )

    def _remove_damaged(self, step: int) -> None:
        """Remove what `latest` found damaged, and what `_check_newest` let pass: it counts for no generation."""
        for later, path in self._generations():
            if later >= step or path in self._damaged:
                withdraw(path)
        self._damaged.clear()

    def _not_saved(self, step: int, needed: int, error: OSError) -> StoreError:
        before = self.steps()
        kept = f"the one of step {before[-1]} is untouched" if before else "there is none before it"
        cause = error.__cause__ if isinstance(error, StoreError) else error
        if isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT):
            free = shutil.disk_usage(self.folder).free
            why = (
                f"the disk or a quota is full, {needed:,} bytes are needed and {free:,} are free (generations before "
                "stay until the new one is there). Make room"
            )
        else:
            why = error.message if isinstance(error, StoreError) else str(error)
        return StoreError(f"the checkpoint of step {step} was not saved, {kept}: {why}", path=str(self.folder))

    def _prune(self, step: int) -> None:
        try:
            for _, path in self._generations()[: -self.keep]:
                withdraw(path)
        except OSError as error:
            raise StoreError(
                f"the checkpoint of step {step} was saved, but an older one could not be removed ({error}): "
                "without that the disk would fill up. Check rights",
                path=str(self.folder),
            ) from error
