"""The files of a dataset, each once, and work on them in threads."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

from mtgen.dataset import Dataset
from mtgen.errors import PlanError
from mtgen.inputs.images import BoundImages
from mtgen.inputs.rows import BoundRows
from mtgen.manifest import distinct, hashes_of
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
        elif isinstance(one.bound, BoundRows) and not in_memory(one.bound.store):
            parts.append([File(*file, None) for place in places_of(one.bound.store) for file in files_at(place)])
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
