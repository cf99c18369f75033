"""Make a batch whole whose samples could not all be read: another row in the slot, or an empty slot."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable
from functools import partial

from mtgen.batch import BadSample
from mtgen.config import OnError
from mtgen.errors import DecodeError, MtgenError, StoreError
from mtgen.inputs.images import BoundImages
from mtgen.pending import REPAIR, Pending
from mtgen.picture import Decoder
from mtgen.retry import retrying
from mtgen.room import Room
from mtgen.sample import fill_slot
from mtgen.waits import Note

Replacements = Callable[[int], Iterable[int]]
"""Slot of a batch -> rows to try in its place, in turn."""


_SCARCE = {errno.EMFILE, errno.ENFILE, errno.ENOMEM}
"""Codes that speak of this process, not of the file."""


def repairable(error: BaseException) -> bool:
    """Whether a sample with this error may be left out: it cannot be read, and nothing else is in doubt. Pure.

    Keys that differ or files that changed mean that the data are not what they were said to be; a lack of memory or
    of file handles says nothing about the sample. Neither is put up with.
    """
    return type(error) in (DecodeError, StoreError) and not is_scarce(error)


def is_scarce(error: BaseException) -> bool:
    """Whether an error came of a lack of memory or of file handles. Pure."""
    cause = error.__cause__
    return isinstance(cause, MemoryError) or (isinstance(cause, OSError) and cause.errno in _SCARCE)


def repair(
    pending: Pending,
    note: Note,
    *,
    on_error: OnError,
    replacements: Replacements,
    count_retry: Callable[[], None],
    room: Room | None = None,
    decoder: Decoder | None = None,
) -> None:
    """Refill or mask the slots of a batch that could not be read, before the batch is handed over.

    Called once, by the thread that finished the batch's last job. A slot whose error is no matter of reading, such as
    keys that differ, is left alone: that batch raises.

    Args:
        pending: the batch; its slots are rewritten.
        note: told what is being read.
        on_error: policy and retries.
        replacements: rows by slot, for `"refill"`.
        count_retry: called at each retry.
        room: where pictures take memory from while they are decoded.
        decoder: reads pictures and counts its retries, in place of this thread; None where there is none.
    """

    def read(number: int, slot: int, row: int) -> None:
        bound = pending.fields[number].bound
        if decoder is not None and isinstance(bound, BoundImages):
            decoder.read(bound, row, pending.buffers[number][slot], note)
            return
        retrying(partial(fill_slot, pending, number, slot, row, room), on_error, count_retry)

    for slot, errors in pending.errors_by_slot().items():
        if slot < 0 or not all(map(repairable, errors)):
            continue
        if on_error.policy == "mask":
            pending.mask(slot)
        else:
            _refill(pending, slot, note, replacements(slot), read)


def _refill(
    pending: Pending,
    slot: int,
    note: Note,
    rows: Iterable[int],
    read: Callable[[int, int, int], None],
) -> None:
    tried: list[BadSample] = []
    for row in rows:
        note(f"refill slot {slot} with row {row}")
        try:
            for number in range(len(pending.fields)):
                read(number, slot, row)
        except MtgenError as error:
            if not repairable(error):
                pending.fail(slot, REPAIR, error.at(row=row))
                return
            tried.append(BadSample(row=row, path=error.path, error=error.message, step=pending.step, slot=slot))
            pending.tried.append(tried[-1])
        else:
            pending.replace(slot, row)
            return
    last = "; ".join(f"row {bad.row}: {bad.error} ({bad.path})" for bad in tried[-3:])
    said = f"none of {len(tried)} rows drawn in place of a bad one could be read either; the last ones: {last}"
    if not tried:
        said = "no other row could be drawn in place of a bad one"
    pending.fail(slot, REPAIR, StoreError(f"{said}. Is the disk there?"))
