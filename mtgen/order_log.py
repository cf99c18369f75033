"""Write down which rows were trained, step by step, so that a kill loses nothing and anybody can check it later.

The log is `order.jsonl` in a run's folder: one line per trained step, written with one call as soon as the step is
over. `mtgen.order_records` says what a line holds, `mtgen.order_check` checks a log, `mtgen audit RUN` prints it.
"""

from __future__ import annotations

import io
import os
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mtgen.audit import step_digest
from mtgen.batch import Batch
from mtgen.errors import StateError, StoreError
from mtgen.files import read_plain
from mtgen.order_reader import LOG_FILE, ROWS_FILE, Log, Tally, delivered
from mtgen.order_records import VERSION, encode
from mtgen.sampling.order import sampler_of
from mtgen.state import differences, without_lone_files
from mtgen.stores.new_folder import make_folder, publish_file

if TYPE_CHECKING:
    from mtgen.loader import Loader


_open_logs: weakref.WeakValueDictionary[str, OrderLog] = weakref.WeakValueDictionary()
"""Logs of this process by real path: the one that is opened last has the file, as when a notebook's cell runs again."""


def _leave_to_parent() -> None:
    """In a forked child: else it would keep the lock of a parent that was killed."""
    for log in list(_open_logs.values()):
        log.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_to_parent)

POSITIONS_AHEAD = 4096
"""Positions whose planned rows are computed at once: a permutation costs as much for one step as for fifty."""


class OrderLog:
    """The log of one run, opened to go on writing.

    A new folder gets a header with all that is needed to make the plan again without the dataset. A log of the same
    run is gone on with: a torn last line is cut off, and the first step appends a `resumed_at` record. Steps from that
    one on that stand in the log already count as lost with the process that trained them.

    One thread; one process per folder, so each shard needs a folder of its own. Within a process the log that is opened
    last goes on, and the one before is closed. Every line is handed to the operating
    system at once: a killed process loses at most the line it was writing. A power cut may lose the lines since the
    end of the last epoch, when the file is flushed to disk.

    Args:
        folder: of the run; made if it is not there.
        loader: whose batches are trained.

    Raises:
        StateError: the folder holds the log of another run or shard, a damaged one, or one that another process writes.
        StoreError: the folder or file cannot be written.

    Example:
        >>> import tempfile
        >>> data = mtgen.Dataset(pd.DataFrame({"a": range(5)}), inputs={"a": mtgen.Columns("a")})
        >>> loader = mtgen.Loader(data, 2, num_workers=0)
        >>> with tempfile.TemporaryDirectory() as folder, OrderLog(folder, loader) as log:
        ...     for batch in loader.epoch(0):
        ...         log.add(batch)  # once it was trained on
        ...     log.next_step
        3
    """

    def __init__(self, folder: str | os.PathLike[str], loader: Loader) -> None:
        self.folder = Path(folder)
        self.path = self.folder / LOG_FILE
        self.next_step: int | None = None
        """The step expected next; None before the first."""
        self._loader = loader
        self._num_restores = loader.num_restores
        self._plan = loader.plan()
        self._rebuilds = sampler_of(loader.sampler.settings()) == loader.sampler
        self._ahead: dict[int, np.ndarray] = {}
        self._tally = Tally(self._plan.rows)
        self._under_way = False
        key = os.path.realpath(self.path)
        if (before := _open_logs.pop(key, None)) is not None:
            before.close()
        if not os.path.lexists(self.path):
            self._create()
        self._handle = self._open()
        self._close = weakref.finalize(self, os.close, self._handle)
        try:
            self._go_on()
        except BaseException:
            self.close()
            raise
        _open_logs[key] = self

    def _create(self) -> None:
        rows = self._plan.rows
        plain = bool((rows == np.arange(len(rows))).all())
        header = {
            "order_log": VERSION,
            "settings": self._loader.settings(),
            "size": self._plan.batching.size,
            "num_rows": len(rows),
            "rows_file": None if plain else ROWS_FILE,
            "dataset": self._loader.dataset.digests,
            "rebuilds": self._rebuilds,
        }
        make_folder(self.folder, "the run's folder")
        if not plain:
            content = io.BytesIO()
            np.save(content, rows, allow_pickle=False)
            self._write_new(self.folder / ROWS_FILE, content.getvalue())
        self._write_new(self.path, encode(header, 0)[0])

    def _write_new(self, path: Path, content: bytes) -> None:
        """A new file, whole or not at all; nothing is overwritten, but the same bytes may be there already."""
        try:
            try:
                publish_file(path, content)
            except FileExistsError:
                if read_plain(path) != content:
                    raise StateError(
                        "a file of this name is there already and holds something else; nothing is overwritten: "
                        "choose another folder for the run",
                        path=str(path),
                    ) from None
        except OSError as error:
            raise StoreError(
                f"the order log cannot be made ({error}): check space and rights", path=str(path)
            ) from error

    def _open(self) -> int:
        try:
            handle = os.open(self.path, os.O_RDWR | os.O_APPEND | getattr(os, "O_BINARY", 0))
        except OSError as error:
            raise StoreError(
                f"the order log cannot be opened for writing ({error}): check rights", path=str(self.path)
            ) from error
        try:
            _lock(handle)
        except BlockingIOError as error:
            os.close(handle)
            raise StateError(
                "another process is writing this order log. Give each run and each shard a folder of its own",
                path=str(self.path),
            ) from error
        return handle

    def _go_on(self) -> None:
        """Compare the log in the folder with the loader, and cut off a torn last line."""
        log = Log(self.folder)
        now, last = self._loader.settings(), log.last_batching.shard
        logged, digests = log.header["dataset"], self._loader.dataset.digests
        differing = [
            *differences("setting", log.header["settings"], now, but=("shard",)),
            *differences("dataset part", without_lone_files(logged, digests), without_lone_files(digests, logged)),
        ]
        shard = self._plan.batching.shard
        if last.count == shard.count and last.index != shard.index:
            differing.append(f"shard index was {last.index} and is {shard.index}, of {last.count}")
        if differing:
            raise StateError(
                "the folder holds the order log of another run. Differing: "
                + "; ".join(differing)
                + ". Choose another folder, each shard its own",
                path=str(self.path),
            )
        log.rows()
        self._rebuilds = self._rebuilds and log.header["rebuilds"]
        self._check, self._num_bytes = log.check, log.num_bytes
        self._empty = log.num_lines == 1
        self._must_resume = not self._empty
        try:
            os.ftruncate(self._handle, log.num_bytes)
        except OSError as error:
            raise StoreError(
                f"a torn last line cannot be cut off ({error}): check rights and the disk", path=str(self.path)
            ) from error

    def add(self, batch: Batch) -> None:
        """Log a batch that was trained on; in the order of training.

        Raises:
            StateError: a batch without a step, or a step that was logged before and not put back by `restore`.
            StoreError: the line cannot be written; training should stop.
        """
        if batch.step is None:
            raise StateError("the batch has no step, so it belongs to no order: log batches of a loader's steps")
        self.note(batch.step, batch.rows)

    def note(self, step: int, rows: np.ndarray) -> None:
        """Log a trained step by its number and the rows that were delivered; see `add`.

        After an interrupt within, such as Ctrl-C, the log takes no more until it is opened again.

        Args:
            step: batch number since training began.
            rows: int64 `(slots,)`, -1 for an empty slot.
        """
        if self._under_way:  # interrupted somewhere within: nobody knows whether that line is in the file
            self.close()
        if not self._close.alive:
            raise StateError(
                "the order log was closed: by close(), because it was opened once more, because it could not be "
                "written before, or because that was interrupted. Open it again: it goes on where it stands",
                path=str(self.path),
            )
        self._under_way = True
        try:
            self._note(step, rows)
        except Exception:
            self._under_way = False
            raise
        self._under_way = False

    def _note(self, step: int, rows: np.ndarray) -> None:
        restored = self._num_restores != self._loader.num_restores
        if self.next_step is not None and step < self.next_step and not restored:
            raise StateError(
                f"step {step} was logged before, step {self.next_step} comes next. If training was put back, say so by "
                "loader.restore(state) first; a step that was trained twice is no epoch with each row once",
                step=step,
            )
        if self._must_resume or (restored and step != self.next_step and not self._empty):
            self._resume(step)
        self._num_restores = self._loader.num_restores
        self._log_step(step, rows)

    def _resume(self, step: int) -> None:
        shard = self._plan.batching.shard
        self._append({"resumed_at": step, "shard": [shard.index, shard.count]})
        self._must_resume, self.next_step = False, None
        self._tally = self._tally_before(step)

    def _tally_before(self, step: int) -> Tally:
        """What counts of the epoch of a step, from the log; nothing from that step on is left in it."""
        tally, epoch = Tally(self._plan.rows), step // self._plan.batching.steps_per_epoch
        for one in Log(self.folder).steps():
            if one.place.epoch == epoch and not one.lost and "step" in one.record:
                step_in_epoch = one.record["step"] % one.batching.steps_per_epoch
                planned = self._plan.slots(epoch, [step_in_epoch], one.batching.shard)[0]
                tally.add(delivered(one.record, None if "slots" in one.record else planned))
        return tally

    def _log_step(self, step: int, rows: np.ndarray) -> None:
        epoch, step_in_epoch = divmod(step, self._plan.batching.steps_per_epoch)
        planned = self._planned(step)
        if rows.shape != planned.shape:
            raise StateError(
                f"the batch has {len(rows)} slots, step {step} of this loader has {len(planned)}: is it the batch of "
                "another loader?",
                step=step,
            )
        record = {"step": step, "rows": int((rows >= 0).sum()), "digest": step_digest(rows).hex()}
        other = np.flatnonzero(planned != rows)
        if len(other):
            record["replaced"] = [[int(slot), int(planned[slot]), int(rows[slot])] for slot in other]
        if not self._rebuilds:
            record["slots"] = rows.tolist()
        if not step_in_epoch:
            self._tally = Tally(self._plan.rows)
        self._append(record)
        self._tally.add(rows)
        self._empty, self.next_step = False, step + 1
        if step_in_epoch + 1 == self._plan.batching.steps_per_epoch:
            self._append(self._tally.record(epoch))
            self._sync()

    def _planned(self, step: int) -> np.ndarray:
        """The slots of a step by the plan."""
        if step not in self._ahead:
            epoch, first = divmod(step, self._plan.batching.steps_per_epoch)
            num_steps = max(1, POSITIONS_AHEAD // self._plan.batching.batch_size)
            steps = range(first, min(first + num_steps, self._plan.batching.steps_per_epoch))
            slots = self._plan.slots(epoch, steps)
            self._ahead = dict(enumerate(slots, start=step))
        return self._ahead[step]

    def _append(self, record: Mapping[str, Any]) -> None:
        line, check = encode(record, self._check)
        written = 0
        try:
            while written < len(line):
                written += os.write(self._handle, line[written:])
        except OSError as error:
            # Half a line in the middle would be damage: take it back, or write no more.
            try:
                os.ftruncate(self._handle, self._num_bytes)
            except OSError:
                self.close()
            raise StoreError(
                f"the order log cannot be written ({error}): make room, and resume at the last checkpoint",
                path=str(self.path),
            ) from error
        self._check, self._num_bytes = check, self._num_bytes + len(line)

    def _sync(self) -> None:
        try:
            os.fsync(self._handle)
        except OSError as error:
            self.close()  # a failed flush is never tried again: the system may have dropped what it could not write
            raise StoreError(
                f"the order log cannot be flushed to disk ({error}): check the disk, and resume at the last checkpoint",
                path=str(self.path),
            ) from error

    def close(self) -> None:
        """Close the file; again is no harm."""
        self._close()

    def __enter__(self) -> OrderLog:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def _lock(handle: int) -> None:
    """Keep other writers out until the handle is closed, also by a kill.

    Raises:
        BlockingIOError: somebody else has it.
    """
    try:
        import fcntl
    except ImportError:  # Windows; two writers then break the chain of checksums, which any reader finds
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:
        # A file system without locks; as above.
        return
