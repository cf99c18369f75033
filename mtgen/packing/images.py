"""Fill the caches of a dataset's pictures ahead of the first epoch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from mtgen.cache.bound import BoundCache
from mtgen.config import OnError
from mtgen.dataset import Dataset
from mtgen.decode import decode
from mtgen.errors import MtgenError, PlanError
from mtgen.gather.pictures import fill_slots
from mtgen.gather.reader import Reader
from mtgen.inputs.images import BoundImages
from mtgen.manifest import distinct, hashes_of
from mtgen.memory import PICTURE_SHARE, budget_bytes
from mtgen.metrics import Recorder
from mtgen.room import Room
from mtgen.settings import check_kind
from mtgen.verify.files import each
from mtgen.verify.report import Problem, Report
from mtgen.waits import Note

BLOCK_PICTURES = 16
BLOCK_BYTES = 8 << 20
"""Pictures that one thread takes at a time, at most, and their bytes; they lie next to each other in the cache."""


@dataclass(frozen=True, kw_only=True, eq=False)
class PackedImages:
    """What was put into caches.

    Args:
        folders: the caches.
        num_pictures: different files.
        num_there: of them, those that were in the cache and whole.
        num_stored: those that were stored now.
        report: those that cannot be read or decoded, and those that differ, a line for each row.
        compared: whether each stored picture was compared with its file, decoded once more.
    """

    folders: tuple[str, ...]
    num_pictures: int
    num_there: int
    num_stored: int
    report: Report
    compared: bool

    @property
    def num_left(self) -> int:
        """Good pictures that were not stored: no room, or modified a moment ago."""
        return self.num_pictures - self.num_there - self.num_stored - len(self.report.problems)

    def __str__(self) -> str:
        parts = [f"{self.num_stored:,} pictures stored"]
        if self.num_there:
            parts.append(f"{self.num_there:,} were there")
        if self.report.problems:
            parts.append(f"{len(self.report.problems):,} are bad and are left to on_error")
        if self.num_left:
            parts.append(f"{self.num_left:,} did not fit or were modified within the last seconds")
        if self.compared:
            parts.append("each compared with its file")
        lines = [f"{', '.join(self.folders)}: {', '.join(parts)}"]
        return "\n".join([*lines, str(self.report)] if self.report.problems else lines)


class _Done(NamedTuple):
    num_there: int
    num_stored: int
    problems: list[Problem]


def pack_images(
    dataset: Dataset, *, num_workers: int | None = None, verify: bool = False, progress: bool = False
) -> PackedImages:
    """Decode the pictures of a dataset into the caches of its inputs, as far as they are not there.

    Call it from any thread. It may be interrupted at any moment: the same call goes on with what is missing. Bad
    pictures are listed, and stay what they are: the loader's `on_error` decides about them.

    Args:
        dataset: has `Images(..., cache=...)` among its inputs or targets; its rows are packed.
        num_workers: threads; None for one per core.
        verify: decode every picture once more and compare it with what is in the cache.
        progress: show a progress bar.

    Raises:
        PlanError: no input has a cache.
        StoreError: a cache cannot be written, because another process writes it, or the disk is full or fails.
        ChangedError: files are not what their manifest says.

    Example:
        >>> import tempfile
        >>> pictures = mtgen.Images("file", root="data_samples/digits", size=(8, 8), cache=tempfile.mkdtemp())
        >>> table = pd.DataFrame({"file": ["images/011/07/100000.png"]})
        >>> pack_images(mtgen.Dataset(table, inputs={"image": pictures})).num_stored
        1
    """
    check_kind("dataset", dataset, Dataset, "a mtgen.Dataset")
    wanted = [one for one in dataset.fields if isinstance(one.bound, BoundImages) and one.bound.cache is not None]
    if not wanted:
        raise PlanError("no input of the dataset has a cache to fill: mtgen.Images(..., cache='pictures.cache')")
    results: list[_Done] = []
    num_pictures = 0
    for one in wanted:
        packer = _Packer(one.bound, one.bound.cache)
        blocks = packer.blocks(one.bound.cache.covered(dataset.rows))
        num_pictures += sum(map(len, blocks))
        passes = [(packer.fill, f"pack {one.name}")] + ([(packer.compare, f"compare {one.name}")] if verify else [])
        for work, what in passes:
            results += each(work, blocks, what, num_workers=num_workers, progress=progress, group=1)
            packer.cache.check_writable()
            packer.cache.sync()
    problems = tuple(problem for done in results for problem in done.problems)
    return PackedImages(
        folders=tuple(dict.fromkeys(folder for one in wanted for folder in one.bound.cache.folders)),
        num_pictures=num_pictures,
        num_there=sum(done.num_there for done in results),
        num_stored=sum(done.num_stored for done in results),
        report=Report(num_checked=num_pictures, problems=problems),
        compared=verify,
    )


class _Packer:
    """Fills and compares the cache of one input, block by block; any thread."""

    def __init__(self, bound: BoundImages, cache: BoundCache) -> None:
        self.bound, self.cache = bound, cache
        self._room = Room(budget_bytes("auto") // PICTURE_SHARE)
        cache.try_again()

    def blocks(self, rows: np.ndarray) -> list[np.ndarray]:
        """The rows of different files, some at a time."""
        first = distinct(
            hashes_of(map(self.bound.path_text, rows.tolist())), lambda place: self.bound.path_text(int(rows[place]))
        )
        size = max(1, min(BLOCK_PICTURES, BLOCK_BYTES // self.bound.spec.row_bytes))
        return [rows[first[start : start + size]] for start in range(0, len(first), size)]

    def fill(self, rows: np.ndarray, note: Note) -> _Done:
        """Put into the cache what is not there."""
        problems: list[Problem] = []

        def fail(slot: int, path: str | None, error: Exception) -> None:
            if isinstance(error, MtgenError) and not isinstance(error, OSError):
                raise error  # a changed dataset is no bad picture
            problems.append(Problem(int(rows[slot]), str(path), _text(error)))

        recorder = Recorder()
        self.cache.has(rows)
        reader = Reader(recorder, OnError(), self._room)
        fill_slots(self.bound, rows, np.arange(len(rows)), self.bound.spec.empty(len(rows)), reader, note, fail)
        counted = recorder.stats()
        return _Done(counted.num_cache_hits, counted.num_cache_stored, problems)

    def compare(self, rows: np.ndarray, note: Note) -> _Done:
        """Compare what is in the cache with the files, decoded once more."""
        self.cache.has(rows)
        kept, anew = self.bound.spec.empty(len(rows)), self.bound.spec.empty(1)
        missed = self.cache.fill(rows, np.arange(len(rows)), kept, note).missed
        problems = []
        for slot in np.setdiff1d(np.arange(len(rows)), missed).tolist():
            row = int(rows[slot])
            path = self.bound.path(row)
            note(f"compare {path}")
            try:
                with self._room.file() as admit:
                    decode(self.bound.read_bytes(row, admit), self.bound.recipe, anew[0], None, self._room)
            except MtgenError as error:
                problems.append(Problem(row, path, f"it was packed, and cannot be decoded now: {_text(error)}"))
                continue
            if anew[0].tobytes() != kept[slot].tobytes():
                problems.append(
                    Problem(
                        row, path, "what is in the cache differs from the file: was it written to, and its time set?"
                    )
                )
        return _Done(0, 0, problems)


def _text(error: Exception) -> str:
    return error.message if isinstance(error, MtgenError) else f"{type(error).__name__}: {error}"
