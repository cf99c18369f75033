"""Look at every file of a dataset before a long run: is each picture decodable, each chunk readable, each file the one
that a manifest promises?

`make_manifest` writes down what the files are; `verify` compares them with it, or, without one, reads everything once.
Both call threads of their own and need no loader.
"""

from __future__ import annotations

import os
from itertools import chain
from pathlib import Path

import numpy as np

from mtgen.dataset import Dataset
from mtgen.errors import ManifestError, PlanError
from mtgen.files import hash_file
from mtgen.manifest import Entry, Manifest
from mtgen.promises import read_manifest
from mtgen.stores.new_folder import replace_file
from mtgen.verify.compare import compare
from mtgen.verify.files import File, each, parts_of
from mtgen.verify.reading import read_everything
from mtgen.verify.report import SHOWN, Problem, Report, place_of
from mtgen.waits import Note

__all__ = ["Problem", "Report", "make_manifest", "verify"]


def make_manifest(
    dataset: Dataset, path: str | os.PathLike[str], *, num_workers: int | None = None, progress: bool = False
) -> Manifest:
    """Write down size, time and checksum of every picture and store file of a dataset; reads them all.

    Columns and arrays in memory have no files. An older manifest is replaced whole, or not at all.

    Args:
        dataset: all rows of its root table are covered, whatever the split.
        path: where to write.
        num_workers: threads that read; None takes one per core.
        progress: show a progress bar.

    Raises:
        ManifestError: files that are missing or cannot be read, with the first of them, and the count; or the
            manifest cannot be written.
        PlanError: no input has files, or a store is at a URL.
        ChangedError: a file changed while it was read.

    Example:
        >>> import tempfile
        >>> table = mtgen.read_table("data_samples/digits/table.csv").head(3)
        >>> data = mtgen.Dataset(table, {"image": mtgen.Images("imgpath", root="data_samples/digits", size=(8, 8))})
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     made = make_manifest(data, f"{folder}/manifest.csv")
        ...     len(made), verify(data, f"{folder}/manifest.csv").is_fine
        (3, True)
    """
    made = Manifest([])
    failed: list[str] = []
    for files in parts_of(dataset):
        results = each(_entry, files, "hash", num_workers=num_workers, progress=progress)
        entries = []
        for file, result in zip(files, results, strict=True):
            if isinstance(result, Entry):
                entries.append(result)
            else:
                failed.append(f"{place_of(Problem(file.row, file.path, ''))}: {result}")
        made = _joined(made, Manifest(entries))
    if failed:
        shown = "; ".join(failed[:SHOWN]) + ("; ..." if len(failed) > SHOWN else "")
        raise ManifestError(
            f"{len(failed):,} files cannot be read, no manifest was written: {shown}. Restore them, or drop their rows "
            "from the table"
        )
    try:
        replace_file(Path(path), made.format())
    except OSError as error:
        raise ManifestError(
            f"the manifest cannot be written ({error}); an older one is as it was: check space and rights",
            path=str(path),
        ) from error
    return made


def verify(
    dataset: Dataset,
    manifest: str | os.PathLike[str] | None = None,
    *,
    quick: bool = False,
    num_workers: int | None = None,
    progress: bool = False,
) -> Report:
    """Compare every file of a dataset with a manifest; without one, decode every picture and read every chunk.

    Args:
        dataset: all rows of its root table are looked at, whatever the split.
        manifest: path of a manifest; None reads and decodes.
        quick: compare sizes and times only; nothing is read.
        num_workers: threads; None takes one per core.
        progress: show a progress bar.

    Returns:
        What is wrong, row by row.

    Raises:
        ManifestError: the manifest is damaged.
        PlanError: `quick` without a manifest, or a dataset without pictures and stores.
    """
    if manifest is None:
        if quick:
            raise PlanError("quick=True compares sizes and times with a manifest, and none is given")
        return read_everything(dataset, num_workers, progress)
    location = os.fspath(manifest)
    return compare(dataset, read_manifest(location), location, quick, num_workers, progress)


def _entry(file: File, note: Note) -> Entry | str:
    try:
        found, checksum = hash_file(file.path, note)
    except (OSError, ValueError) as error:
        return getattr(error, "strerror", None) or str(error)
    return Entry(file.name, found.st_size, found.st_mtime_ns, checksum)


def _joined(first: Manifest, second: Manifest) -> Manifest:
    """Both in one; a path that both name must be the same file."""
    found = first.find(second.path(place) for place in range(len(second)))
    for place, other in enumerate(found.tolist()):
        if other >= 0 and second.entry(place) != first.entry(other):
            raise ManifestError(
                f"two inputs have different files of the same path, {second.path(place)!r:.200}: make a manifest for "
                "each input, from a dataset with that input alone"
            )
    new = np.flatnonzero(found < 0).tolist()
    return Manifest(chain(map(first.entry, range(len(first))), map(second.entry, new)))
