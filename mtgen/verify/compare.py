"""Compare the files of a dataset with a manifest."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

import numpy as np

from mtgen.dataset import Dataset
from mtgen.errors import MtgenError
from mtgen.files import hash_file
from mtgen.manifest import Manifest, path_bytes
from mtgen.promises import Promises
from mtgen.stores.promised import files_at, in_memory, missing_of, places_of
from mtgen.verify.files import File, by_row, each, parts_of, stores_of
from mtgen.verify.report import Problem, Report
from mtgen.waits import Note


def compare(
    dataset: Dataset, manifest: Manifest, location: str, quick: bool, num_workers: int | None, progress: bool
) -> Report:
    """What differs; see `mtgen.verify.verify`."""
    problems: list[Problem] = []
    touched: list[str] = []
    num_checked, used = 0, np.zeros(len(manifest), bool)
    for files in parts_of(dataset):
        places = manifest.find(file.name for file in files)
        used[places[places >= 0]] = True
        look = _Look(files, places, manifest, location, contents=not quick)
        texts = each(look, range(len(files)), "compare", num_workers=num_workers, progress=progress)
        wrong: dict[bytes, Problem] = {}
        for file, text in zip(files, texts, strict=True):
            if text.startswith(_TOUCHED):
                touched.append(file.path)
            elif text:
                wrong[file.name] = Problem(file.row, file.path, text)
        num_checked += len(files)
        problems += by_row(files, wrong)
    for store in (store for one in dataset.fields for store in stores_of(one)):
        if not in_memory(store):
            listed = [file for place in places_of(store) for file in files_at(place)]
            for name in missing_of(listed, places_of(store), manifest):
                problems.append(Problem(None, name, "missing: the manifest names it as a file of the store"))
                used[manifest.find([path_bytes(name)])] = True
    return Report(
        num_checked=num_checked, problems=tuple(problems), remarks=tuple(_remarks(touched, int((~used).sum())))
    )


class _Look:
    """What is wrong with a file, by its number; empty text where nothing is."""

    def __init__(
        self, files: Sequence[File], places: np.ndarray, manifest: Manifest, location: str, *, contents: bool
    ) -> None:
        self._files, self._known = files, places >= 0
        self._numbers = np.cumsum(self._known) - 1  # of the files that the manifest names, counted by themselves
        self._promises = Promises(manifest, places[self._known], location=location, contents=contents)

    def __call__(self, number: int, note: Note) -> str:
        if not self._known[number]:
            return "new: the manifest does not name it"
        return _found(self._files[number], int(self._numbers[number]), self._promises, note)


_TOUCHED = "only the time differs"


def _found(file: File, number: int, promises: Promises, note: Note) -> str:
    """What is wrong with a file; empty where nothing is."""
    try:
        note(f"look at {file.path}")
        difference = promises.difference(number, os.stat(file.path))
        if not promises.contents or (difference is not None and difference.kind == "size"):
            return "" if difference is None else f"{difference.kind}: {difference.text}"
        _, checksum = hash_file(file.path, note)
    except (OSError, ValueError) as error:
        missing = isinstance(error, FileNotFoundError | NotADirectoryError)
        return f"{'missing' if missing else 'unreadable'}: {getattr(error, 'strerror', None) or error}"
    except MtgenError as error:
        return f"changing: {error.message}"
    if checksum != promises.checksum(number):
        when = "" if difference is None else f"; {difference.text}"
        return f"content: it does not have the checksum that the manifest says{when}"
    return "" if difference is None else f"{_TOUCHED}: {difference.text}"


def _remarks(touched: list[str], num_unused: int) -> Iterator[str]:
    if touched:
        shown = ", ".join(touched[:3]) + (", ..." if len(touched) > 3 else "")
        yield (
            f"{len(touched):,} files have another time of modification and the same content ({shown}): copied? verify="
            "'open' takes them for changed until the manifest is made anew"
        )
    if num_unused:
        yield f"{num_unused:,} files of the manifest belong to no row and no store of this dataset; not looked at"
