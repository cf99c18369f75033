"""Files of pictures: read whole, one open and one read each, refused where links or a manifest say otherwise.

Knows no table, so that a process that decodes pictures needs nothing but a path and what is promised of it.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from mtgen.errors import ChangedError, DecodeError
from mtgen.files import OpenFile
from mtgen.inputs.links import Inside
from mtgen.inputs.paths import explain, not_regular
from mtgen.promises import Promise

MAX_FILE_BYTES = 1 << 29
"""Largest file that is read as a picture, 512 MiB: more than an uncompressed picture of the most pixels takes."""


class PictureFiles:
    """How the files of one input are read.

    Immutable and picklable; any thread, many at once.

    Args:
        root: folder that they are under, or None.
        follow_links: whether links may lead out of it.
    """

    def __init__(self, root: str | None, *, follow_links: bool) -> None:
        self.root, self.follow_links = root, follow_links
        self._inside = None if root is None or follow_links else Inside(root)

    def read_file(
        self, path: str, row: int, promise: Promise | None = None, admit: Callable[[int], None] | None = None
    ) -> tuple[bytes, os.stat_result]:
        """A whole file, in one open and one read, and what the system says of that very file.

        The caller owns the bytes. The wait is without the GIL.

        Args:
            path: the file, root joined.
            row: whose it is, for messages.
            promise: what it must be; None compares nothing.
            admit: called with the size in bytes before anything is read; may wait, or refuse by raising.

        Raises:
            DecodeError: it cannot be read, or links lead out of the root; with row, path, and what to look at.
            ChangedError: it is not the one that was promised, or changes while it is read.
        """
        self._refuse_link(path, row)
        try:
            with OpenFile(path) as file:
                if not file.is_regular:
                    raise DecodeError(not_regular(path))
                if file.stat.st_size > MAX_FILE_BYTES:
                    raise DecodeError(
                        f"the file has {file.stat.st_size:,} bytes, more than any picture mtgen reads "
                        f"({MAX_FILE_BYTES:,})"
                    )
                if promise is not None:
                    promise.check_stat(file.stat, path)
                if admit is not None:
                    admit(file.stat.st_size)
                data = file.read_whole()
        except (DecodeError, ChangedError) as error:
            raise error.at(row=row, path=path) from error.__cause__
        except OSError as cause:
            raise DecodeError(explain(cause, path, self.root), row=row, path=path) from cause
        if promise is not None:
            try:
                promise.check_content(data, path)
            except ChangedError as error:
                raise error.at(row=row) from None
        return data, file.stat

    def leads_out(self, path: str) -> str | None:
        """Where a picture really is, if links lead there out of the root and must not be followed; else None."""
        return None if self._inside is None else self._inside.leads_out(path)

    def _refuse_link(self, path: str, row: int) -> None:
        """Refuse a path whose links lead out of the root, unless the user allowed them."""
        outside = self.leads_out(path)
        if outside is not None:
            raise DecodeError(
                f"the picture is a link, or in a linked folder, that leads out of root={self.root!r} to {outside!r}, "
                "which is not read. If such links are meant, say Images(..., follow_links=True), or choose a root that "
                "holds both",
                row=row,
                path=path,
            )
