"""Read one picture and decode it into its slot: the same steps in a worker thread and in a process for pictures."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, MutableMapping, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Protocol

import numpy as np

from mtgen.cache.layout import Identity
from mtgen.decode import decode
from mtgen.encoded import extension_mismatch
from mtgen.errors import MtgenError
from mtgen.recipe import Recipe
from mtgen.room import Room
from mtgen.waits import Note

if TYPE_CHECKING:
    from mtgen.inputs.images import BoundImages

Admit = Callable[[int], None]
"""Called with the size of a file before it is read; may wait, or refuse by raising."""


class Decoder(Protocol):
    """Whoever reads and decodes pictures in place of the thread that wants them: `mtgen.processes.pool.Processes`."""

    def fill(
        self,
        bound: BoundImages,
        rows: Iterable[int],
        outs: Sequence[np.ndarray],
        note: Note,
        seen: MutableMapping[int, Identity] | None = None,
    ) -> Sequence[MtgenError | None]:
        """Fill a slot per row, and say of each row in `seen` which file it was; per row its error, or None."""

    def read(self, bound: BoundImages, row: int, out: np.ndarray, note: Note) -> None:
        """Fill one slot, with retries, or raise."""


def read_and_decode(
    read: Callable[[Admit | None], bytes],
    path: str,
    recipe: Recipe,
    out: np.ndarray,
    facts: Counter[str],
    room: Room | None,
    note: Note,
) -> float:
    """Fill a slot with a picture; when it was read, by `time.perf_counter`.

    Any thread, many at once; the caller owns `out` and `facts`. A function, so that nothing keeps the file's bytes.

    Args:
        read: gives the whole file.
        path: the file, for notes and for its ending.
        recipe: everything that decides the pixels.
        out: the slot, of `recipe.spec`.
        facts: counts of what was done to pictures, added to.
        room: where file and picture take memory from; None takes it without asking.
        note: told before each step.

    Raises:
        What `read` and `mtgen.decode.decode` raise.
    """
    data = b""
    with nullcontext() if room is None else room.file() as admit:
        try:
            note(f"read {path}")
            data = read(admit)
            middle = time.perf_counter()
            note(f"decode {path}")
            decode(data, recipe, out, facts, room)
            facts["extension_mismatch"] += extension_mismatch(path, data)
        finally:
            del data  # before others may take its room
    return middle
