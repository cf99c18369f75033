"""The folder in which a store is packed until it is whole: its record, and how it gets its place."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mtgen.errors import MtgenError, StoreError
from mtgen.folder_lock import FolderLock
from mtgen.packing.layout import Layout, layout_from
from mtgen.state import differences
from mtgen.stores import Store
from mtgen.stores.new_folder import make_folder, remove_tree, replace_file, sync_folder

VERSION = 2
RECORD, ROWS = "record.json", "rows.zarr"


class Work:
    """`.<name>.packing` beside the place of the new store.

    One thread.

    Args:
        place: where the store will be.

    Attributes:
        num_written: shards written by this run.
    """

    def __init__(self, place: Path) -> None:
        self.place = place
        self.folder = place.with_name(f".{place.name}.packing")
        self.num_written = 0

    def make(self) -> None:
        """Make the folder where it is not there.

        Raises:
            StoreError: it cannot be made.
        """
        make_folder(self.folder, "the folder to pack in")

    def layout_of(self, store: Store, make: Callable[[], Layout], codec: str, block_rows: int | None) -> Layout:
        """The layout of the run that was interrupted here, or a new one, which is written down.

        Raises:
            StoreError: the folder belongs to the packing of another source, or with other settings; nothing is lost.
        """
        asked = {"source": source_identity(store), "codec": codec, "block_rows": block_rows}
        path = self.folder / RECORD
        if path.exists():
            record = self._record(path)
            if found := differences("setting", record["asked"], asked):
                raise StoreError(
                    f"a packing of something else was interrupted here: {'; '.join(found)}. Finish that one, or remove "
                    "the folder to begin anew",
                    path=str(self.folder),
                )
            return layout_from(record["layout"])
        made = make()
        content = {"packing": VERSION, "asked": asked, "layout": made.settings()}
        try:
            replace_file(path, json.dumps(content, indent=1).encode())
        except OSError as error:
            raise self.failed(error) from error
        return made

    def _record(self, path: Path) -> dict[str, Any]:
        try:
            record = json.loads(path.read_bytes())
            if record["packing"] != VERSION or not isinstance(record["asked"], dict):
                raise ValueError("of another version")
            layout_from(record["layout"])
        except (MtgenError, OSError, ValueError, KeyError, TypeError) as error:
            raise StoreError(
                f"the record of an interrupted packing cannot be read ({error}): remove the folder to begin anew",
                path=str(self.folder),
            ) from error
        return dict(record)

    @property
    def rows(self) -> Path:
        """Where the store is made."""
        return self.folder / ROWS

    @property
    def num_bytes(self) -> int:
        """Size on disk."""
        return sum(path.stat().st_size for path in self.rows.rglob("*") if path.is_file())

    def publish(self, lock: FolderLock) -> None:
        """Give the finished store its place, and remove the folder.

        Raises:
            StoreError: somebody else made it meanwhile, or it cannot be renamed; the folder stays, to be gone on with.
        """
        try:
            for folder, _, _ in os.walk(self.rows):
                sync_folder(Path(folder))
            if os.path.lexists(self.place):
                raise StoreError("it was made by someone else meanwhile, nothing is overwritten", path=str(self.place))
            os.rename(self.rows, self.place)
            sync_folder(self.place.parent)
            lock.release()
            remove_tree(self.folder)
        except OSError as error:
            if isinstance(error, StoreError):
                raise
            raise self.failed(error) from error

    def failed(self, error: BaseException) -> StoreError:
        """The error of what could not be written."""
        return StoreError(
            f"packing failed ({error}): check space and rights. What is done is in {self.folder}, and the same command "
            "goes on from there",
            path=str(self.place),
        )


def has_files(store: Store) -> bool:
    """Whether the source is in local files, whose names, sizes and times tell whether it changed."""
    return Path(store.location.partition("::")[0]).exists()


def source_identity(store: Store) -> dict[str, Any]:
    """What must stay the same while a source is packed: shape and dtype, and of local files names, sizes and times."""
    found: dict[str, Any] = {
        "location": store.location,
        "shape": [store.num_rows, *store.row_shape],
        "dtype": str(store.dtype),
    }
    path = Path(store.location.partition("::")[0])
    if has_files(store):
        files = sorted(one for one in path.rglob("*") if one.is_file()) if path.is_dir() else [path]
        listed = hashlib.blake2b(digest_size=16)
        for one in files:
            stat = one.stat()
            listed.update(
                f"{one.relative_to(path)}\0{stat.st_size}\0{stat.st_mtime_ns}\0".encode(errors="surrogateescape")
            )
        found["files"] = listed.hexdigest()
    return found
