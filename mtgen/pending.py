"""Batches on their way: their buffers, the jobs they wait for, and what went wrong in which slot."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np

from mtgen.batch import BadSample, Batch
from mtgen.draws import Draws, draws_of_rows
from mtgen.errors import BudgetError, DecodeError, MtgenError, StoreError
from mtgen.spec import Spec
from mtgen.waits import Latch, Note, silent

NO_SLOT = -1
"""Slot of an error that no single sample is to blame for; it comes before all others."""

REPAIR = -1
"""Field number of an error that came up while a slot was refilled; it comes before those of the slot's own row."""

Role = Literal["input", "target", "weight"]
"""What a field is to the model."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Field:
    """One input, target or weight, bound to the root table."""

    role: Role
    name: str
    bound: Any

    @property
    def spec(self) -> Spec:
        """Shape and dtype of one sample."""
        spec: Spec = self.bound.spec
        return spec

    @property
    def num_axes(self) -> int:
        """Axes of the places that its samples are cut at: of patches only, else 0."""
        return int(getattr(self.bound, "num_axes", 0))


def named_places(fields: Sequence[Field], places: Mapping[int, np.ndarray]) -> dict[str, np.ndarray]:
    """Places by the name of their field; a target that shares its name with an input is `"target NAME"`."""
    inputs = {fields[number].name for number in places if fields[number].role == "input"}
    return {
        f"target {one.name}" if one.role == "target" and one.name in inputs else one.name: starts
        for one, starts in ((fields[number], starts) for number, starts in places.items())
    }


class Served(Protocol):
    """What jobs fill: a batch, or rows that batches take their part of."""

    skipped: bool
    done: Latch
    awaits: Served | None
    num_done: int

    def expect(self, num_jobs: int) -> None:
        """Count jobs to wait for; before any of them runs."""

    def finish(self, note: Note) -> None:
        """One job is over, well or badly."""

    def fail(self, slot: int, field_number: int, error: BaseException) -> None:
        """Keep an error with its slot."""

    def give_up(self) -> None:
        """Nobody will fill it."""


class Pending:
    """A batch on its way: its buffers, the jobs it still waits for, and what went wrong in which slot.

    Jobs write to disjoint slots without a lock; only the bookkeeping is locked. `draws` says of each filled slot where
    in the run it stands, which decides where patches are cut; `places` keeps where that was, by number of field.
    """

    def __init__(
        self,
        fields: Sequence[Field],
        rows: np.ndarray,
        num_slots: int,
        step: int | None,
        epoch: int | None,
        draws: Draws | None = None,
    ) -> None:
        self.fields, self.rows, self.step, self.epoch = fields, rows, step, epoch
        self.num_slots = num_slots
        self.draws = draws_of_rows(rows) if draws is None else draws
        self.buffers = [one.spec.empty(num_slots) for one in fields]
        self.places = {
            number: np.zeros((num_slots, one.num_axes), np.int64) for number, one in enumerate(fields) if one.num_axes
        }
        for buffer in self.buffers:
            buffer[len(rows) :] = 0
        self.done = Latch()
        self.skipped = False
        self.awaits: Served | None = None
        self.num_done = 0
        self.always_weighted = False
        self.repair: Callable[[Pending, Note], None] | None = None
        self.on_bad: Callable[[Sequence[BadSample]], None] | None = None
        self.tried: list[BadSample] = []
        self._delivered = rows
        self._repaired: dict[int, BadSample] = {}
        self._lock = threading.Lock()
        self._open_jobs = 0
        self._errors: list[tuple[int, int, BaseException]] = []

    def expect(self, num_jobs: int) -> None:
        """Count jobs to wait for; before any of them runs."""
        self._open_jobs += num_jobs

    def finish(self, note: Note) -> None:
        """One job is over, well or badly; the last one repairs what can be repaired."""
        with self._lock:
            self._open_jobs -= 1
            self.num_done += 1
            if self._open_jobs:
                return
        try:
            lost = self.skipped or any(slot == NO_SLOT for slot, _, _ in self._errors)
            if self._errors and self.repair is not None and not lost:
                self.repair(self, note)
        except Exception as error:
            self.fail(NO_SLOT, 0, error)
        except BaseException as error:
            self.fail(NO_SLOT, 0, StoreError(f"the work was ended by {type(error).__name__}: {error}"))
            raise
        finally:
            self.done.set()

    def fail(self, slot: int, field_number: int, error: BaseException) -> None:
        """Keep an error with its slot."""
        with self._lock:
            self._errors.append((slot, field_number, error))

    def give_up(self) -> None:
        """Nobody will fill it: whoever waits for it is to ask again."""
        self.skipped = True
        self.done.set()

    def errors_by_slot(self) -> dict[int, list[BaseException]]:
        """What went wrong in each slot, in slot order, then in the order of fields."""
        found: dict[int, list[BaseException]] = {}
        for slot, _, error in sorted(self._errors, key=lambda entry: entry[:2]):
            found.setdefault(slot, []).append(error)
        return found

    def replace(self, slot: int, row: int) -> None:
        """The slot holds another row now, and is whole."""
        self._forgive(slot)
        self._delivered = self._delivered.copy()
        self._delivered[slot] = row

    def mask(self, slot: int) -> None:
        """Make the slot an empty one: all zeros, of weight 0."""
        self._forgive(slot)
        for buffer in (*self.buffers, *self.places.values()):
            buffer[slot] = 0
        self._delivered = self._delivered.copy()
        self._delivered[slot] = -1

    def _forgive(self, slot: int) -> None:
        bad = self._bad_sample(slot)  # asks a foreign error for its text, so not under the lock
        with self._lock:
            self._repaired[slot] = bad
            self._errors = [entry for entry in self._errors if entry[0] != slot]

    def _bad_sample(self, slot: int) -> BadSample:
        """What is to be said of the slot's own row, whatever its replacements ran into."""
        own = (entry for entry in self._errors if entry[0] == slot and entry[1] != REPAIR)
        _, _, error = min(own, key=lambda entry: entry[:2])
        text = error.message if isinstance(error, MtgenError) else f"{type(error).__name__}: {error}"
        return BadSample(
            row=int(self.rows[slot]), path=getattr(error, "path", None), error=text, step=self.step, slot=slot
        )

    @property
    def bad(self) -> tuple[BadSample, ...]:
        """Rows that could not be read, in slot order, then those tried in their place."""
        unread = {
            slot
            for slot, field_number, error in self._errors
            if field_number != REPAIR and isinstance(error, DecodeError | StoreError)
        }
        failed = {slot: self._bad_sample(slot) for slot in unread if slot >= 0}
        return (*(one for _, one in sorted((self._repaired | failed).items())), *self.tried)

    def batch(self) -> Batch:
        """The batch, once `done` is set.

        Raises:
            The first error in the order of slots, then of fields.
            What `on_bad` raises, such as `BudgetError`.
        """
        bad, on_bad = self.bad, self.on_bad or (lambda bad: None)
        if self._errors:
            slot, _, error = min(self._errors, key=lambda entry: entry[:2])
            placed = self._placed(error, None if slot == NO_SLOT else int(self.rows[slot]))
            # What stops the run is this error, not that it was one more than allowed, or that no report can be written.
            try:
                on_bad(bad)
            except BudgetError:
                pass
            except MtgenError as other:
                placed.add_note(str(other))
            raise placed
        on_bad(bad)
        by_role: dict[str, dict[str, np.ndarray]] = {"input": {}, "target": {}, "weight": {}}
        for one, buffer in zip(self.fields, self.buffers, strict=True):
            by_role[one.role][one.name] = buffer
        rows = np.full(self.num_slots, -1, np.int64)
        rows[: len(self.rows)] = self._delivered
        return Batch(
            inputs=by_role["input"],
            targets=by_role["target"],
            weight=self._weight(by_role["weight"], (rows >= 0).astype(np.float32)),
            rows=rows,
            step=self.step,
            epoch=self.epoch,
            bad=bad,
            places=named_places(self.fields, self.places),
        )

    def _placed(self, error: BaseException, row: int | None) -> MtgenError:
        """The error with this batch's step and row; a copy where the object belongs to another batch too."""
        if not isinstance(error, MtgenError):
            placed = MtgenError(f"{type(error).__name__}: {error}")
            placed.__cause__ = error
        elif error.step in (None, self.step):
            placed = error
        else:
            placed = type(error)(error.message, path=error.path).with_traceback(error.__traceback__)
            placed.__cause__ = error.__cause__
        return placed.at(step=self.step, row=row)

    def _weight(self, weights: dict[str, np.ndarray], filled: np.ndarray) -> np.ndarray | dict[str, np.ndarray] | None:
        if "" in weights:
            return weights[""]
        if self.num_slots == len(self.rows) and not self.always_weighted:
            return weights or None
        if not weights:
            return filled
        targets = [one.name for one in self.fields if one.role == "target"]
        return {name: weights[name] if name in weights else filled.copy() for name in targets}


@dataclass(frozen=True, kw_only=True, eq=False)
class Job:
    """A piece of work for one thread, and the batches it helps to fill."""

    run: Callable[[Note], None]
    serves: Sequence[Served] = field(default_factory=tuple)

    def perform(self, note: Note) -> None:
        """Do the work. An error goes to the batches served, so that nobody waits for ever.

        Raises:
            Only what is no `Exception`, such as KeyboardInterrupt, and the batches served get word of it too.
        """
        try:
            self.run(note)
        except Exception as error:
            for pending in self.serves:
                pending.fail(NO_SLOT, 0, error)
        except BaseException as error:
            for pending in self.serves:
                pending.fail(NO_SLOT, 0, StoreError(f"the work was ended by {type(error).__name__}: {error}"))
            raise
        finally:
            for pending in self.serves:
                pending.finish(note)

    def skip(self) -> None:
        """Do nothing, and mark the batches served as unfilled."""
        for pending in self.serves:
            pending.skipped = True
            pending.finish(silent)
