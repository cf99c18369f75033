"""A manifest: what the files of a dataset are, by size, time of modification and content; as a value and as text.

No file is opened here. The text is one line with a checksum over the rest, then CSV:

    mtgen manifest,1,<xxh3_128 of all that follows, 32 hex digits>
    path,size,mtime_ns,xxh3_128
    "images/a.png",1234,1700000000000000000,<32 hex digits>

Paths are as the table has them, or begin with the name of the store they belong to. They are bytes, as the system has
them: UTF-8 where they can be, and through `surrogateescape` where not. `pandas.read_csv(path, skiprows=1)` reads it.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
from array import array
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import NamedTuple

import numpy as np
import xxhash

from mtgen.errors import ManifestError

VERSION = 1
"""Version of the text; rises when it changes its meaning."""

COLUMNS = ["path", "size", "mtime_ns", "xxh3_128"]

MAX_PATH_BYTES = 32_767
"""Longest path taken: the most that any common system has. Some limit must be: the csv module has one too."""

CHECKSUM_BYTES = 16

_HEAD = re.compile(rb"mtgen manifest,([0-9]{1,9}),([0-9a-f]{32})")
_BLOCK = 4096
_INT64 = np.iinfo(np.int64)


class Entry(NamedTuple):
    """One file.

    Args:
        path: as bytes.
        size: in bytes.
        mtime_ns: time of modification, in nanoseconds since 1970.
        checksum: xxh3_128 of the content, 16 bytes.
    """

    path: bytes
    size: int
    mtime_ns: int
    checksum: bytes


def path_bytes(path: str) -> bytes:
    r"""A path as a manifest has it.

    Raises:
        ManifestError: no file can have this name.

    Example:
        >>> path_bytes("caf\udce9.png")
        b'caf\xe9.png'
    """
    try:
        return path.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise ManifestError(f"no file can be called {path!r:.200}: {error.reason}; correct the path") from error


class Manifest:
    """Path, size, time and checksum of many files; each path once, in a fixed order.

    Immutable and picklable; any thread. Paths are one piece of bytes, the rest arrays: 60 bytes a file and its path.

    Args:
        entries: the files.

    Attributes:
        sizes: int64 `(n,)`, bytes.
        mtimes_ns: int64 `(n,)`, nanoseconds since 1970.
        checksums: uint8 `(n, 16)`.

    Raises:
        ManifestError: a path that is empty, too long, holds a zero byte or comes twice; numbers out of range.

    Example:
        >>> manifest = Manifest([Entry(b"a.png", 3, 10**18, bytes(16)), Entry(b"b.png", 5, 10**18, bytes(16))])
        >>> manifest.find([b"b.png", b"c.png"]).tolist(), Manifest.parse(manifest.format()).sizes.tolist()
        ([1, -1], [3, 5])
    """

    def __init__(self, entries: Iterable[Entry]) -> None:
        sizes, mtimes, ends = array("q"), array("q"), array("q", [0])
        text, sums = bytearray(), bytearray()
        for path, size, mtime_ns, checksum in entries:
            _check_entry(path, size, mtime_ns, checksum)
            text += path
            ends.append(len(text))
            sizes.append(size)
            mtimes.append(mtime_ns)
            sums += checksum
        self._text, self._ends = bytes(text), np.array(ends, np.int64)
        self.sizes, self.mtimes_ns = np.array(sizes, np.int64), np.array(mtimes, np.int64)
        self.checksums = np.frombuffer(bytes(sums), np.uint8).reshape(-1, CHECKSUM_BYTES)
        self.sizes.flags.writeable = self.mtimes_ns.flags.writeable = False
        hashes = hashes_of(self.path(place) for place in range(len(self)))
        self._order = np.argsort(hashes, kind="stable")
        self._hashes = hashes[self._order]
        self._refuse_twice(hashes)

    def __len__(self) -> int:
        return len(self.sizes)

    def __repr__(self) -> str:
        return f"Manifest({len(self)} files, {int(self.sizes.sum()):,} bytes, digest {self.digest()})"

    def path(self, place: int) -> bytes:
        """Path of the file at a place, 0-based."""
        return self._text[self._ends[place] : self._ends[place + 1]]

    def entry(self, place: int) -> Entry:
        """All that is known of the file at a place, 0-based."""
        sums = self.checksums[place].tobytes()
        return Entry(self.path(place), int(self.sizes[place]), int(self.mtimes_ns[place]), sums)

    def find(self, paths: Iterable[bytes]) -> np.ndarray:
        """Places of paths, by binary search.

        Returns:
            int64 `(number of paths,)`; -1 where the manifest does not name the path.
        """
        found = array("q")
        paths = iter(paths)
        while block := list(islice(paths, _BLOCK)):
            hashes = hashes_of(block)
            starts = np.searchsorted(self._hashes, hashes, "left")
            stops = np.searchsorted(self._hashes, hashes, "right")
            for path, start, stop in zip(block, starts.tolist(), stops.tolist(), strict=True):
                found.append(self._among(path, start, stop))
        return np.array(found, np.int64)

    def starting_with(self, prefix: bytes) -> np.ndarray:
        """Places, int64, of the paths that begin with `prefix`; looks at each."""
        return np.array([place for place in range(len(self)) if self.path(place).startswith(prefix)], np.int64)

    def digest(self, places: np.ndarray | None = None) -> str:
        """32 hex digits over paths, sizes and checksums, not over times: a copy of the files has the same.

        Args:
            places: int64, which files and in which order; None takes all.
        """
        chosen = np.arange(len(self)) if places is None else places
        state = hashlib.blake2b(digest_size=16)
        state.update(self.sizes[chosen].astype("<i8").tobytes() + self.checksums[chosen].tobytes())
        for place in chosen.tolist():
            path = self.path(place)
            state.update(len(path).to_bytes(8, "little") + path)
        return state.hexdigest()

    def format(self) -> bytes:
        """The manifest as text."""
        body = io.BytesIO()
        with io.TextIOWrapper(body, "utf-8", "surrogateescape", newline="") as text:
            # Quoted always: the csv module leaves a carriage return alone otherwise, and reads it as the line's end.
            writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
            writer.writerow(COLUMNS)
            for path, size, mtime_ns, checksum in map(self.entry, range(len(self))):
                writer.writerow([path.decode("utf-8", "surrogateescape"), size, mtime_ns, checksum.hex()])
            text.flush()
            content = body.getvalue()
        return b"mtgen manifest,%d,%s\n" % (VERSION, xxhash.xxh3_128_hexdigest(content).encode()) + content

    @classmethod
    def parse(cls, content: bytes, location: str | None = None) -> Manifest:
        """A manifest from its text.

        Args:
            content: the whole text.
            location: where it comes from, for messages.

        Raises:
            ManifestError: it is no manifest, of another version, or damaged anywhere.
        """
        try:
            return cls(_entries(content))
        except ManifestError as error:
            raise error.at(path=location) from error.__cause__

    def _among(self, path: bytes, start: int, stop: int) -> int:
        for place in self._order[start:stop].tolist():
            if self.path(place) == path:
                return int(place)
        return -1

    def _refuse_twice(self, hashes: np.ndarray) -> None:
        first = distinct(hashes, self.path)
        if len(first) < len(self):
            again = int(np.setdiff1d(np.arange(len(self)), first)[0])
            raise ManifestError(
                f"the path {self.path(again)!r:.200} comes twice, expected each file once: make it anew"
            )


def distinct(hashes: np.ndarray, path_of: Callable[[int], bytes]) -> np.ndarray:
    """The first place of each path, sorted.

    Args:
        hashes: uint64 `(n,)`, `hashes_of` the paths.
        path_of: path at a place; asked only where hashes are equal.

    Example:
        >>> paths = [b"a", b"b", b"a"]
        >>> distinct(hashes_of(paths), lambda place: paths[place]).tolist()
        [0, 1]
    """
    order = np.argsort(hashes, kind="stable")
    again = np.zeros(len(order), bool)
    again[1:] = hashes[order][1:] == hashes[order][:-1]
    kept = np.ones(len(order), bool)
    run: set[bytes] = set()
    for number in np.flatnonzero(again).tolist():
        if not again[number - 1]:
            run = {path_of(int(order[number - 1]))}
        path = path_of(int(order[number]))
        kept[number] = path not in run
        run.add(path)
    return np.sort(order[kept])


def hashes_of(paths: Iterable[bytes]) -> np.ndarray:
    """xxh3_64 of each path, uint64."""
    return np.array(array("Q", map(xxhash.xxh3_64_intdigest, paths)), np.uint64)


def _check_entry(path: bytes, size: int, mtime_ns: int, checksum: bytes) -> None:
    if not 0 < len(path) <= MAX_PATH_BYTES or b"\0" in path:
        raise ManifestError(
            f"{path!r:.200} is no path of a file: expected 1 to {MAX_PATH_BYTES:,} bytes and no zero byte"
        )
    if not 0 <= size <= _INT64.max or not _INT64.min <= mtime_ns <= _INT64.max:
        raise ManifestError(
            f"{path!r:.200} has size {size} and time {mtime_ns} ns; expected a size of 0 or more, and a time that fits "
            "in 64 bits (until the year 2262): is the clock of its machine right? `touch` the file"
        )
    if len(checksum) != CHECKSUM_BYTES:
        raise ManifestError(f"{path!r:.200} has a checksum of {len(checksum)} bytes, expected {CHECKSUM_BYTES}")


def _entries(content: bytes) -> Iterator[Entry]:
    """The entries of a text whose checksum is right; anything else is refused."""
    end = content.find(b"\n")
    head = _HEAD.fullmatch(content[: max(end, 0)]) if end <= 100 else None
    if head is None:
        raise ManifestError(
            f"this is no manifest: it begins with {content[:40]!r}, expected b'mtgen manifest,{VERSION},' and a "
            "checksum. Make one by mtgen verify --make"
        )
    if int(head[1]) != VERSION:
        raise ManifestError(
            f"the manifest has version {int(head[1])}, this mtgen reads version {VERSION}: make it anew by mtgen "
            "verify --make, or use the mtgen that wrote it"
        )
    if xxhash.xxh3_128_hexdigest(memoryview(content)[end + 1 :]).encode() != head[2]:
        raise ManifestError(
            "the manifest is damaged: its content does not have the checksum of its first line. It was cut or edited, "
            "or its line ends were converted; restore it, or make it anew by mtgen verify --make"
        )
    body = io.BytesIO(content)
    body.seek(end + 1)
    number = 0
    try:
        text = io.TextIOWrapper(body, "utf-8", "surrogateescape", newline="")
        for number, fields in enumerate(csv.reader(text, strict=True)):
            if number == 0 and fields == COLUMNS:
                continue
            yield _entry(fields if number else [])
    except csv.Error as error:
        raise ManifestError(
            f"the manifest is no CSV after record {number + 1} ({error}): make it anew by mtgen verify --make"
        ) from error
    if number == 0 and end + 1 == len(content):
        raise ManifestError(
            f"the manifest ends before its column names, expected {','.join(COLUMNS)}: make it anew by mtgen verify "
            "--make"
        )


def _entry(fields: list[str]) -> Entry:
    if len(fields) == len(COLUMNS):
        path, size, mtime_ns, checksum = fields
        numbers = re.fullmatch("[0-9]{1,19}", size) and re.fullmatch("-?[0-9]{1,19}", mtime_ns)
        if numbers and re.fullmatch("[0-9a-f]{32}", checksum):
            return Entry(path_bytes(path), int(size), int(mtime_ns), bytes.fromhex(checksum))
    raise ManifestError(f"{fields!r:.200} is no line of a manifest, expected {','.join(COLUMNS)}: make it anew")
