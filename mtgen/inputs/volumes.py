"""Arrays on disk named by a column of the table: a volume, a scan or a large picture per row."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mtgen.errors import ChangedError, MtgenError, PlanError, StoreError, TableError
from mtgen.inputs.links import Inside
from mtgen.inputs.open_arrays import OpenArrays
from mtgen.inputs.paths import check_paths
from mtgen.inputs.signatures import Signature, changed
from mtgen.settings import check_flag, check_kind, shown
from mtgen.stores import Store
from mtgen.table import column

TRIED_ROWS = 10
"""Arrays that are tried in turn for one to tell dtype and channels, where the first ones cannot be opened."""


@dataclass(frozen=True)
class Volumes:
    """Arrays on disk named by a column of the table, for `Patches`.

    Each row has an array of its own: `.npy`, Zarr v2 and v3, N5, HDF5 (`"scan.h5::t1"`), Blosc2, or any other that
    `open_store` opens. They may differ in shape, not in dtype or channels. Immutable, picklable; reads nothing.

    A file that is replaced or written to under a run is a `ChangedError`: size and time are compared at each read, and
    the inode while it is open. Of an array in a folder that goes for its metadata, not for its chunks; of one at a URL
    for nothing.

    Args:
        column: table column of paths, as text; an array inside a container is named after `::`.
        root: folder that the paths are under; None takes them as they are (also URLs).
        follow_links: True also reads arrays that links lead to from under `root` to somewhere else.

    Raises:
        PlanError: settings of the wrong kind.

    Example:
        >>> Volumes("scan", root="scans").column
        'scan'
    """

    column: str
    _: dataclasses.KW_ONLY
    root: str | os.PathLike[str] | None = None
    follow_links: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.column, str):
            raise PlanError(f"column must be the name of a table column, received {shown(self.column)}")
        if self.root is not None:
            check_kind("root", self.root, str | os.PathLike, "a folder or None")
            check_kind("root", os.fspath(self.root), str, "a folder named by text")
        check_flag("follow_links", self.follow_links)

    def bind(self, table: pd.DataFrame) -> Any:
        """Refused: arrays of different shapes fit in no batch.

        Raises:
            PlanError: always; says how to cut windows out of them.
        """
        raise PlanError(
            f"Volumes({self.column!r}) names arrays of any size, which fit in no batch: cut windows out of them, "
            f"Patches(Volumes({self.column!r}), sampler, size)"
        )

    def paths(self, table: pd.DataFrame) -> BoundVolumes:
        """Take the paths out of the root table; opens nothing.

        Raises:
            TableError: no such column; a row whose path is missing, empty, no text, or leaves the root.
        """
        return BoundVolumes(self, column(table, self.column, "Volumes").tolist())


class BoundVolumes:
    """Paths of a table's arrays, and those that are open.

    Any thread; picklable.

    Args:
        volumes: the settings.
        paths: a path per row.
    """

    def __init__(self, volumes: Volumes, paths: Sequence[Any]) -> None:
        self.volumes = volumes
        self._root = None if volumes.root is None else os.fspath(volumes.root)
        outer = [path.partition("::")[0] if isinstance(path, str) else path for path in paths]
        check_paths(outer, volumes.column, self._root)
        codes, distinct = pd.factorize(pd.Series(paths, dtype=object))
        self.codes = codes.astype(np.int64)
        """Number of each row's array; rows with one path share one."""
        self._distinct: list[str] = list(distinct)
        self._inside = None if self._root is None or volumes.follow_links else Inside(self._root)
        self._open = OpenArrays()
        self._begin()

    def _begin(self) -> None:
        self._seen = np.zeros((len(self._distinct), 2), np.int64)  # size and time of each array when first opened

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_seen"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._begin()

    def __len__(self) -> int:
        return len(self.codes)

    @property
    def most_open(self) -> int:
        """Arrays that stay open."""
        return min(self._open.most, len(self._distinct))

    @property
    def open_arrays(self) -> OpenArrays:
        """Those that are open."""
        return self._open

    def path(self, row: int) -> str:
        """Path of a row's array, root joined.

        Raises:
            TableError: the table has no such row.
        """
        row = int(row)
        if not 0 <= row < len(self):
            raise TableError(f"row {row} was asked for, the table has rows 0 to {len(self) - 1}", row=row)
        path = self.given(row)
        return path if self._root is None else os.path.join(self._root, path)

    def given(self, row: int) -> str:
        """Path of a row's array as the table has it."""
        return self._distinct[self.codes[row]]

    @contextmanager
    def lend(self, row: int) -> Iterator[Store]:
        """A row's array, open for a block; any thread.

        Raises:
            StoreError: it cannot be opened, or links lead out of the root; with its path.
            ChangedError: it is another one than when this process first opened it, or changes in the block.
        """
        path = self.path(row)
        self._refuse_link(path, row)
        try:
            with self._open.lend(path) as (store, signature):
                if signature is not None:
                    self._compare(int(self.codes[row]), signature)
                yield store
        except ChangedError as error:
            raise error.at(row=int(row), path=path) from error.__cause__

    def _compare(self, code: int, signature: Signature) -> None:
        """Refuse an array that was closed meanwhile and is another one now that it is open again.

        Not by its inode, which some network file systems make up anew for a file that nobody has open.
        """
        num_bytes, mtime_ns = self._seen[code].tolist()
        now = signature._replace(inode=0)
        before = Signature(num_bytes, mtime_ns, 0)
        if before == (0, 0, 0):
            self._seen[code] = now[:2]
        elif before != now:
            raise changed(before, now)

    def _refuse_link(self, path: str, row: int) -> None:
        outside = None if self._inside is None else self._inside.leads_out(path.partition("::")[0])
        if outside is not None:
            raise StoreError(
                f"the array is a link, or in a linked folder, that leads out of root={self._root!r} to {outside!r}, "
                "which is not read. If such links are meant, say Volumes(..., follow_links=True)",
                row=row,
                path=path,
            )

    def missing_rows(self, rows: Iterable[int]) -> np.ndarray:
        """Those of the rows at whose path there is nothing, int64, in the order given; URLs are not looked at."""
        is_there: dict[int, bool] = {}
        missing = []
        for row in rows:
            code = int(self.codes[row])
            if code not in is_there:
                path = self.path(row)
                is_there[code] = "://" in path or os.path.exists(path) or os.path.exists(path.partition("::")[0])
            if not is_there[code]:
                missing.append(int(row))
        return np.array(missing, np.int64)

    def first(self) -> tuple[int, Store]:
        """The first row whose array can be opened, and that array, for its dtype and axes; it stays open.

        Raises:
            StoreError: none of the first ones can be; the error of the first.
        """
        failed: MtgenError | None = None
        for code in range(min(TRIED_ROWS, len(self._distinct))):
            row = int(np.argmax(self.codes == code))
            try:
                with self.lend(row) as store:
                    return row, store
            except MtgenError as error:
                failed = failed or error.at(row=row)
        raise failed or StoreError("the table has no rows, so there is no array to look at")

    def digest(self) -> str:
        """32 hex digits over the paths as the table has them; the root may move."""
        text = hashlib.blake2b(digest_size=16)
        text.update(self.codes.astype("<i8").tobytes())
        for path in self._distinct:
            encoded = path.encode("utf-8", "surrogatepass")
            text.update(len(encoded).to_bytes(8, "little") + encoded)
        return text.hexdigest()
