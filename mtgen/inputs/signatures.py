"""What the file system says of an array on disk, so that one that is replaced under a run is noticed.

A look costs some microseconds, and nothing of the array is read.
"""

from __future__ import annotations

import os
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from mtgen.errors import ChangedError, StoreError
from mtgen.stores.opening import URL, split_inside
from mtgen.stores.zarr import METADATA

FOLDER_FILES = (*METADATA, "meta/sizes", "meta/storage", "chunks.b2frame")
"""Files of an array in a folder that are looked at: those of Zarr, N5, bcolz and Blosc2 that say its
shape, dtype and (Blosc2) which chunk lies where."""


class Signature(NamedTuple):
    """Size and time of an array, as `os.stat` says.

    Attributes:
        num_bytes: of the file; of a folder, of its metadata.
        mtime_ns: modification time, nanoseconds since 1970; of a folder, of the metadata that is newest.
        inode: which file it is; 0 for a folder.
    """

    num_bytes: int
    mtime_ns: int
    inode: int


NOTHING = Signature(0, 0, 0)
"""Of what was not there yet."""


class Watch:
    """The files whose signature stands for an array. Any thread.

    Args:
        location: what `open_store` takes: a path, `container::name`, or a URL, of which nothing can be said.

    Example:
        >>> Watch("data_samples/digits/table.csv").signature().inode > 0
        True
        >>> Watch("s3://bucket/scan.zarr").signature() is None
        True
    """

    def __init__(self, location: str) -> None:
        self.files: list[str] = []
        self.in_folder = False
        if URL.match(location):
            if not location.startswith("file://"):
                return
            location = unquote(urlsplit(location).path)
        place, inside = split_inside(location)
        self.in_folder = os.path.isdir(place)
        if not self.in_folder:
            self.files = [place]
            return
        folder = os.path.join(place, inside or "")
        found = (os.path.join(folder, name) for name in FOLDER_FILES)
        self.files = [path for path in found if os.path.isfile(path)]

    def signature(self) -> Signature | None:
        """What the file system says now; None where there is nothing to look at.

        Raises:
            OSError: a file is not there, or cannot be looked at.
        """
        if not self.files:
            return None
        found = [os.stat(path) for path in self.files]
        if not self.in_folder:
            return Signature(found[0].st_size, found[0].st_mtime_ns, found[0].st_ino)
        return Signature(sum(one.st_size for one in found), max(one.st_mtime_ns for one in found), 0)

    def check_unchanged(self, before: Signature | None) -> None:
        """Refuse an array that is another one now.

        Raises:
            ChangedError: it has another size or time, or is another file.
            StoreError: it is not there any more, or cannot be looked at.
        """
        try:
            now = self.signature()
        except OSError as error:
            raise StoreError(
                f"the array was open, and cannot be found any more ({error.strerror or error}): restore it, and let "
                "nobody move the dataset while it is read",
                path=self.files[0],
            ) from error
        if now != before:
            raise changed(before or NOTHING, now or NOTHING)


def changed(before: Signature, now: Signature) -> ChangedError:
    """The error of an array that is another one now; says how it differs."""
    seconds = (now.mtime_ns - before.mtime_ns) / 1e9
    if now.num_bytes != before.num_bytes:
        how = f"it had {before.num_bytes:,} bytes, now it has {now.num_bytes:,}"
    elif seconds:
        how = f"it was modified {abs(seconds):,.3f} s {'later' if seconds > 0 else 'earlier'} than when it was opened"
    else:
        how = "it is another file of the same size and time"
    return ChangedError(
        f"the array was replaced or written to while the run reads it: {how}. Let nobody write to the dataset while it "
        "is read; where the change is meant, make the Dataset anew"
    )
