"""The files of a dataset, each once, and work on them in threads."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np

from mtgen.dataset import Dataset
from mtgen.errors import PlanError
from mtgen.inputs.bound_patches import ArrayPatches, PicturePatches
from mtgen.inputs.images import BoundImages
from mtgen.inputs.patch_arrays import DiskArrays
from mtgen.inputs.rows import BoundRows
from mtgen.inputs.volumes import BoundVolumes
from mtgen.manifest import distinct, hashes_of, path_bytes
from mtgen.pending import Field
from mtgen.stores import Store
from mtgen.stores.opening import URL, split_inside
from mtgen.stores.promised import files_at, in_memory, places_of
from mtgen.threads import in_threads
from mtgen.verify.report import Problem
from mtgen.waits import Note
from mtgen.workers import default_num_workers

_GROUP = 16
_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class File(NamedTuple):
    """One file of a dataset.

    Args:
        name: its path as a manifest has it.
        path: where it is.
        row: the first row that needs it; None for files of stores.
    """

    name: bytes
    path: str
    row: int | None


class Pictures(Sequence[File]):
    """The distinct pictures of an input, made one by one: no list of them is kept."""

    def __init__(self, bound: BoundImages) -> None:
        self.bound = bound
        self.rows = distinct(hashes_of(bound.names()), bound.name)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, place: Any) -> Any:
        row = int(self.rows[place])
        return File(self.bound.name(row), self.bound.path(row), row)


def stores_of(one: Field) -> Sequence[Store]:
    """The stores that all rows of a field come from."""
    if isinstance(one.bound, BoundRows):
        return [one.bound.store]
    return one.bound.arrays.stores if isinstance(one.bound, ArrayPatches) else []


def _files_of_volumes(volumes: BoundVolumes) -> list[File]:
    """The files of each array that a column names, once each, named after the column's path."""
    found: dict[bytes, File] = {}
    for row in np.unique(volumes.codes, return_index=True)[1].tolist():
        if URL.match(volumes.path(row)):
            raise PlanError(f"only local files are looked at, and {volumes.path(row)} is none")
        given, place = volumes.given(row).partition("::")[0], Path(split_inside(volumes.path(row))[0]).absolute()
        for _, path in files_at(place):
            inside = Path(path).relative_to(place).as_posix()
            name = path_bytes(given if inside == "." else f"{given}/{inside}")
            found.setdefault(name, File(name, path, row))
    return list(found.values())


def parts_of(dataset: Dataset) -> list[Sequence[File]]:
    """The files of each input and target that has some."""
    parts: list[Sequence[File]] = []
    for one in dataset.fields:
        if isinstance(one.bound, BoundImages | BoundRows) and len(one.bound.members) > 1:
            raise PlanError(
                f"{one.role} {one.name!r} is joined of {len(one.bound.members)} parts, and a manifest is of the files "
                "of one: verify each dataset that was joined, with its own manifest; its inputs keep theirs when joined"
            )
        if isinstance(one.bound, BoundImages):
            parts.append(Pictures(one.bound))
        elif isinstance(one.bound, PicturePatches):
            parts.append(Pictures(one.bound.images))
        elif isinstance(one.bound, ArrayPatches) and isinstance(one.bound.arrays, DiskArrays):
            parts.append(_files_of_volumes(one.bound.arrays.volumes))
        parts += [
            [File(*file, None) for place in places_of(store) for file in files_at(place)]
            for store in stores_of(one)
            if not in_memory(store)
        ]
    if not parts:
        raise PlanError("the dataset has neither pictures nor stores on disk: there are no files to look at")
    return parts


def each(
    work: Callable[[_Item, Note], _Result],
    items: Sequence[_Item],
    what: str,
    *,
    num_workers: int | None,
    progress: bool,
    group: int = _GROUP,
) -> Iterator[_Result]:
    """`work(item, note)` of each item, in order, by threads, with a progress bar if asked for.

    Args:
        work: called from any of the threads; what takes long calls `note` now and then.
        items: what to work on.
        what: name of the bar.
        num_workers: threads; None takes one per core, 0 works in the caller's thread.
        progress: show the bar.
        group: items that one thread takes at a time.
    """
    from tqdm import tqdm

    results = in_threads(work, items, num_threads=default_num_workers(num_workers), group=group)
    return iter(tqdm(results, desc=what, total=len(items), disable=not progress, leave=False))


def by_row(files: Sequence[File], wrong: dict[bytes, Problem]) -> Iterator[Problem]:
    """A line for each row that needs a wrong file."""
    if not wrong:
        return
    if not isinstance(files, Pictures):
        yield from wrong.values()
        return
    for row, name in enumerate(files.bound.names()):
        if name in wrong:
            yield wrong[name]._replace(row=row)
