"""What a manifest promises of the files of one input, and whether the files keep it.

`Promises` holds, in the order of the input (a picture per row, a file per chunk), what each file must be. Before the
first batch all files are looked at, and at each read the very file that was opened.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Literal, NamedTuple

import numpy as np
import xxhash

from mtgen.errors import ChangedError, ManifestError, PlanError
from mtgen.files import OpenFile
from mtgen.manifest import Manifest
from mtgen.threads import in_threads
from mtgen.waits import Note

Verify = Literal["open", "read", "off"]
"""When files are compared with a manifest: at opening, at each read by content too, or never."""

FILES_PART = "files of "
"""Begins the names of those parts of a dataset's digest that come from a manifest. Two digests are compared in such a
part only where both have it: giving a manifest changes no dataset."""

NUM_THREADS = 8
"""Threads that look at files: they wait for the file system, over a network for a millisecond each."""

_GROUP = 256
SHOWN = 5
"""Files that a message lists."""


class Difference(NamedTuple):
    """What is wrong with one file.

    Args:
        kind: "missing", "size", "time", or "content".
        text: what was found and what was promised.
    """

    kind: Literal["missing", "size", "time", "content"]
    text: str


class Promise(NamedTuple):
    """What one file must be.

    Args:
        size: bytes.
        mtime_ns: modification time, nanoseconds since 1970.
        checksum: xxh3_128 of the content, 16 bytes; None where contents are not compared.
        location: the manifest's path, for messages.
    """

    size: int
    mtime_ns: int
    checksum: bytes | None
    location: str

    def difference(self, found: os.stat_result) -> Difference | None:
        """How a file differs by size and time; None where it does not."""
        if found.st_size == self.size and found.st_mtime_ns == self.mtime_ns:
            return None
        if found.st_size != self.size:
            return Difference("size", f"it has {found.st_size:,} bytes, the manifest says {self.size:,}")
        seconds = (found.st_mtime_ns - self.mtime_ns) / 1e9
        way = "later" if seconds > 0 else "earlier"
        return Difference("time", f"it was modified {abs(seconds):,.3f} s {way} than the manifest says")

    def check_stat(self, found: os.stat_result, path: str) -> None:
        """Refuse a file of another size or time than promised.

        Raises:
            ChangedError: it is another file.
        """
        wrong = self.difference(found)
        if wrong is not None:
            raise ChangedError(f"the dataset changed: {wrong.text}. {self._advice()}", path=path)

    def check_content(self, content: bytes, path: str, what: str = "the file") -> None:
        """Refuse other bytes than promised, where contents are compared.

        Raises:
            ChangedError: the checksum differs.
        """
        if self.checksum is not None and xxhash.xxh3_128_digest(content) != self.checksum:
            raise ChangedError(
                f"the dataset changed: the content of {what} ({len(content):,} bytes) does not have the checksum that "
                f"the manifest says, though size and time are as they were: damaged on disk? {self._advice()}",
                path=path,
            )

    def _advice(self) -> str:
        return (
            f"Restore the file, or, where the change is meant, make the manifest {self.location} anew "
            "(mtgen verify --make)"
        )


def mode_of(verify: str | None, manifest: object, who: str) -> Verify:
    """The mode that the settings `verify` and `manifest` of an input mean.

    Raises:
        PlanError: no such mode, or one that needs a manifest without one.

    Example:
        >>> mode_of(None, None, "Images"), mode_of(None, "manifest.csv", "Images")
        ('off', 'open')
    """
    if manifest is not None and not isinstance(manifest, str | os.PathLike):
        raise PlanError(f"{who}: manifest must be the path of a manifest or None, received {manifest!r:.200}")
    match verify:
        case None:
            return "off" if manifest is None else "open"
        case "open" | "read" if manifest is None:
            raise PlanError(
                f"{who}: verify={verify!r} compares files with a manifest, and none is given: manifest='manifest.csv'; "
                "make one by mtgen verify --make"
            )
        case "open" | "read" | "off":
            return verify
    raise PlanError(f"{who}: verify must be 'open', 'read' or 'off', received {verify!r}")


def read_manifest(path: str | os.PathLike[str]) -> Manifest:
    """Read a manifest.

    Raises:
        ManifestError: it cannot be read, or is damaged.
    """
    location = os.fspath(path)
    try:
        with OpenFile(location) as file:
            if not file.is_regular:
                raise ManifestError("it is a folder or pipe, expected the file of a manifest", path=location)
            content = file.read_whole()
    except OSError as error:
        raise ManifestError(
            f"the manifest cannot be read ({error.strerror or error}): is the path right? Make one by mtgen verify "
            "--make",
            path=location,
        ) from error
    return Manifest.parse(content, location)


class Promises:
    """What each file of one input must be, by its number in that input.

    Immutable and picklable; any thread. 32 bytes a file.

    Args:
        manifest: what is promised.
        places: int64, the place in the manifest of each file.
        location: the manifest's path, for messages.
        contents: whether `check_content` compares; by size and time alone otherwise.
    """

    def __init__(self, manifest: Manifest, places: np.ndarray, *, location: str, contents: bool) -> None:
        self.location, self.contents = location, contents
        self.digest = manifest.digest(places)
        self._sizes, self._mtimes_ns = manifest.sizes[places], manifest.mtimes_ns[places]
        self._checksums = manifest.checksums[places]

    def of(self, number: int) -> Promise:
        """What one file must be."""
        checksum = self.checksum(number) if self.contents else None
        return Promise(int(self._sizes[number]), int(self._mtimes_ns[number]), checksum, self.location)

    def difference(self, number: int, found: os.stat_result) -> Difference | None:
        """How a file differs from its promise by size and time; None where it does not."""
        return self.of(number).difference(found)

    def checksum(self, number: int) -> bytes:
        """xxh3_128 of a file's content, 16 bytes."""
        checksum: bytes = self._checksums[number].tobytes()
        return checksum

    def check_stat(self, number: int, found: os.stat_result, path: str) -> None:
        """Refuse a file of another size or time than promised.

        Raises:
            ChangedError: it is another file.
        """
        self.of(number).check_stat(found, path)

    def check_content(self, number: int, content: bytes, path: str, what: str = "the file") -> None:
        """Refuse other bytes than promised, where contents are compared.

        Raises:
            ChangedError: size or checksum differ.
        """
        self.of(number).check_content(content, path, what)

    def look_at(
        self, numbers: Iterable[int], path_of: Callable[[int], str], name_of: Callable[[int], str]
    ) -> tuple[Counter[str], list[str]]:
        """Look at many files, each by one `os.stat`, in a few threads.

        Args:
            numbers: which files.
            path_of: path of a file by its number.
            name_of: what a message calls it.

        Returns:
            How many differ, by kind, and the first few of them in words.
        """
        kinds: Counter[str] = Counter()
        first: list[str] = []

        def look(number: int, note: Note) -> tuple[int, Difference | None]:
            path = path_of(number)
            note(f"look at {path}")
            try:
                return number, self.difference(number, os.stat(path))
            except (OSError, ValueError) as error:
                why = getattr(error, "strerror", None) or error
                return number, Difference("missing", f"it cannot be found ({why})")

        for number, wrong in in_threads(look, numbers, num_threads=NUM_THREADS, group=_GROUP):
            if wrong is not None:
                kinds[wrong.kind] += 1
                if len(first) < SHOWN:
                    first.append(f"{name_of(number)}: {wrong.text}")
        return kinds, first


def bind_promises(
    manifest_path: str | os.PathLike[str],
    mode: Verify,
    names: Iterable[bytes],
    path_of: Callable[[int], str],
    what: str,
) -> Promises:
    """What a manifest says of numbered files, after a look at each file.

    Args:
        manifest_path: the manifest.
        mode: "open" or "read".
        names: the path of file 0, 1, ... as the manifest has it; several numbers may share a file.
        path_of: where a file is, by its number.
        what: what a number is, such as "row".

    Raises:
        ManifestError: the manifest is damaged, or does not name each file.
        ChangedError: a file is missing, or of another size or time.
    """
    location = os.fspath(manifest_path)
    manifest = read_manifest(location)
    places = manifest.find(names)
    unnamed = np.flatnonzero(places < 0)
    if len(unnamed):
        shown = ", ".join(f"{what} {number}: {path_of(number)}" for number in unnamed[:SHOWN].tolist())
        raise ManifestError(
            f"the manifest does not name the files of {len(unnamed):,} of {len(places):,} {what}s ({shown}"
            f"{', ...' if len(unnamed) > SHOWN else ''}); it names {len(manifest):,} files. Was it made from this "
            f"table and folder? Make it anew (mtgen verify --make), or drop these {what}s",
            row=int(unnamed[0]) if what == "row" else None,
            path=location,
        )
    promises = Promises(manifest, places, location=location, contents=mode == "read")
    _, first = np.unique(places, return_index=True)
    kinds, listed = promises.look_at(
        np.sort(first).tolist(), path_of, lambda number: f"{what} {number}, {path_of(number)}"
    )
    if kinds:
        raise ChangedError(changed_text(kinds, listed, len(first)), path=location)
    return promises


def changed_text(kinds: Counter[str], first: list[str], total: int) -> str:
    """The message about files that differ, of `total` that were looked at."""
    names = {"missing": "missing", "size": "of another size", "time": "modified at another time", "new": "new"}
    counts = ", ".join(f"{kinds[kind]:,} {name}" for kind, name in names.items() if kinds[kind])
    num_wrong = sum(kinds.values())
    more = f"; and {num_wrong - len(first):,} more" if num_wrong > len(first) else ""
    return (
        f"the dataset changed since its manifest was made: {num_wrong:,} of {total:,} files differ ({counts}): "
        f"{'; '.join(first)}{more}. Compare contents by mtgen verify --manifest; then restore the files, or, where the "
        "change is meant, make the manifest anew (mtgen verify --make)"
    )
