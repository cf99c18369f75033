"""Values that are read once and held: in memory, or on a device, for as long as a loader is open."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

import numpy as np

from mtgen.config import OnError, Placement, Prefetch, Where
from mtgen.dataset import Dataset
from mtgen.errors import MtgenError, PlanError, StallError
from mtgen.gather import pages, window_jobs
from mtgen.inputs.bound_patches import BoundPatches
from mtgen.inputs.columns import BoundColumns
from mtgen.inputs.held import BoundHeld
from mtgen.inputs.rows import BoundRows
from mtgen.memory import Forecast
from mtgen.metrics import Recorder
from mtgen.pending import Field, Job, Pending
from mtgen.picture import Decoder
from mtgen.placements import DeviceMemory, PlacedInput, PlacementPlan, Places, block_rows, wheres
from mtgen.prefetch import Ration, Stream
from mtgen.repair import is_scarce
from mtgen.room import Room
from mtgen.spec import Spec
from mtgen.waits import Note, ProcessTurns
from mtgen.workers import WorkerPool


class Sink(Protocol):
    """An array that is filled block by block; zeros where nothing was written."""

    def write(self, start: int, values: np.ndarray) -> None:
        """Put the values at places from `start` on."""

    def finish(self) -> Any:
        """The array, whole; nothing is written any more."""


class Device(Protocol):
    """Where arrays of a training backend are, and how rows are taken out of them. One thread at a time."""

    def memory(self) -> DeviceMemory:
        """What it has now."""

    def row_bytes(self, spec: Spec) -> int:
        """Bytes that a sample takes there; not always those of NumPy, as jax keeps 32 bits of 64."""

    def sink(self, name: str, num_rows: int, spec: Spec) -> Sink:
        """A new array of so many samples of an input."""

    def take(self, values: Any, places: np.ndarray) -> Any:
        """The values at some places, on the device."""


@dataclass(frozen=True)
class Blocks:
    """How a loader reads blocks of rows of one input: with its workers, its retries, its room and its processes."""

    recorder: Recorder
    on_error: OnError
    room: Room | None
    decoder: Decoder | None
    pool: WorkerPool | None
    prefetch: Prefetch

    def stream(self, field: Field, parts: Sequence[np.ndarray], bad: dict[int, MtgenError]) -> Stream:
        """A stream whose step k has the rows `parts[k]`; a row that cannot be read is all zeros, and its error kept.

        Args:
            field: the input.
            parts: int64 rows of each block.
            bad: row -> error, filled.
        """
        few = Forecast(window=1, depth=1, batch_bytes=0, scratch_bytes=0, num_workers=0)
        make_window = partial(self._make_window, field, parts, bad)
        return Stream(make_window, lambda start, window: None, self.pool, few, Ration(few), self.prefetch.stall_seconds)

    def _make_window(
        self, field: Field, parts: Sequence[np.ndarray], bad: dict[int, MtgenError], steps: Sequence[int], stager: Any
    ) -> tuple[list[Pending], list[Job]]:
        pendings = []
        for step in steps:
            rows = parts[step] if step < len(parts) else np.empty(0, np.int64)
            pendings.append(Pending((field,), rows, len(rows), None, None))
            pendings[-1].repair = partial(_note_bad, bad)
        return pendings, window_jobs(pendings, self.recorder, self.on_error, self.room, self.decoder)


def _note_bad(bad: dict[int, MtgenError], pending: Pending, note: Note) -> None:
    """Keep the error of each row that cannot be read; a lack of memory or handles is none of the row's, and raises."""
    for slot, errors in pending.errors_by_slot().items():
        error = errors[0]
        if slot < 0 or not isinstance(error, MtgenError) or is_scarce(error):
            continue
        kept = copy.copy(error)  # without its traceback, which holds the buffers of this block
        kept.__cause__ = error.__cause__
        if kept.__cause__ is not None:
            kept.__cause__ = kept.__cause__.with_traceback(None)
        bad[int(pending.rows[slot])] = kept
        pending.mask(slot)


@dataclass(frozen=True, kw_only=True)
class _Kept:
    """What was read of one input."""

    values: Any
    places: Places
    bad: Mapping[int, MtgenError]


class Held:
    """The inputs of one loader that are held, each read once, when a batch is first asked for.

    Any thread may ask; one reads, and the others wait for it for as long as it comes forward. Whoever takes a batch
    from held values keeps them alive until it has it, so that `close` may come at any time.

    Args:
        dataset: whose inputs, and which rows of them.
        placement: where.
        blocks: how rows are read.
        find_device: gives the device of the backend; called when a value goes there.
    """

    def __init__(
        self, dataset: Dataset, placement: Placement, blocks: Blocks, find_device: Callable[[], Device]
    ) -> None:
        self._dataset, self._placement, self._blocks = dataset, placement, blocks
        self._find_device = find_device
        self._device: Device | None = None
        self._where = placed_fields(placement, dataset.fields)
        self._turns = ProcessTurns("read the values that are held", blocks.prefetch.stall_seconds)
        self._num_blocks = 0
        self._kept: dict[int, _Kept] = {}

    @property
    def on_device(self) -> tuple[str, ...]:
        """Names of the inputs that are on the device."""
        return tuple(self._dataset.fields[number].name for number in self._numbers("device"))

    def _numbers(self, where: Where) -> list[int]:
        return [number for number, word in self._where.items() if word == where]

    def fields(self) -> tuple[Field, ...]:
        """The dataset's fields, those that are held in memory out of memory; reads what was not read yet.

        Raises:
            MtgenError: the values cannot be read; nothing is kept of an input then.
            StallError: another thread reads, and does not come forward.
        """
        if "ram" not in self._where.values():  # the usual case, and asked with every batch
            return self._dataset.fields
        fields = list(self._dataset.fields)
        for number, kept in self._ready("ram").items():
            fields[number] = replace(fields[number], bound=BoundHeld(kept.places, kept.bad, kept.values))
        return tuple(fields)

    def fields_by_place(self) -> tuple[Field, ...]:
        """The same, and of inputs on the device the places of rows in their stead.

        Raises:
            MtgenError: see `fields`.
            PlanError: the values do not fit on the device, or the backend has none.
        """
        fields = list(self.fields())
        for number, kept in self._ready("device").items():
            fields[number] = replace(fields[number], bound=BoundHeld(kept.places, kept.bad, None))
        return tuple(fields)

    def take(self, name: str, places: np.ndarray) -> Any:
        """Values of an input on the device, `(n, *shape)` there, at places that a batch holds in their stead."""
        number = next(number for number in self._numbers("device") if self._dataset.fields[number].name == name)
        return self._known_device().take(self._ready("device")[number].values, places)

    def plan(self) -> PlacementPlan:
        """Where everything is and what that takes; the device is looked at, nothing is read."""
        device = self._known_device() if self.on_device else None
        return PlacementPlan(
            inputs=tuple(self._placed(device)),
            device=None if device is None else device.memory(),
            reserve_bytes=self._placement.reserve_bytes,
        )

    def _known_device(self) -> Device:
        """Always the same, because it keeps what it compiled."""
        if self._device is None:
            self._device = self._find_device()
        return self._device

    def _placed(self, device: Device | None) -> list[PlacedInput]:
        placed = placed_inputs(self._placement, self._dataset)
        for place, (number, one) in enumerate(zip(self._where, placed, strict=True)):
            there = replace(one, is_there=number in self._kept)
            if one.where == "device" and device is not None:
                there = replace(there, row_bytes=device.row_bytes(self._dataset.fields[number].spec))
            placed[place] = there
        return placed

    def close(self) -> None:
        """Let go of all values; they are read again when they are wanted again."""
        self._kept = {}

    def _ready(self, where: Where) -> dict[int, _Kept]:
        wanted = self._numbers(where)
        while True:
            kept = dict(self._kept)
            if all(number in kept for number in wanted):
                return {number: kept[number] for number in wanted}
            seen, inside = self._num_blocks, False
            try:
                with self._turns.here:
                    inside = True
                    self._read([number for number in wanted if number not in self._kept], where)
            except StallError:
                # Values may take long to read. As long as blocks come in, nothing stalls.
                if inside or self._num_blocks == seen:
                    raise

    def _read(self, numbers: Sequence[int], where: Where) -> None:
        if not numbers:
            return
        make_sink: Callable[[str, int, Spec], Sink] = _MemorySink
        if where == "device":
            self.plan().check()
            make_sink = self._known_device().sink
        for number in numbers:
            found = self._read_one(self._dataset.fields[number], make_sink)
            self._kept = {**self._kept, number: found}
        if where == "device":
            plan = self.plan()
            names = ", ".join(one.name for one in plan.inputs if one.where == "device")
            device = "" if plan.device is None else f" {plan.device.name}, {plan.device.free_bytes:,} bytes are free"
            self._placement.say(f"placement: {names} uploaded, {plan.device_bytes:,} bytes on{device}")

    def _read_one(self, field: Field, make_sink: Callable[[str, int, Spec], Sink]) -> _Kept:
        rows = _reading_order(field, np.asarray(self._dataset.rows))
        size = block_rows(field.spec.row_bytes)
        parts = [rows[start : start + size] for start in range(0, len(rows), size)]
        bad: dict[int, MtgenError] = {}
        places, stream = Places(rows), self._blocks.stream(field, parts, bad)
        try:
            sink = _guarded(field.name, lambda: make_sink(field.name, len(rows) + 1, field.spec))
            for number in range(len(parts)):
                values = stream.get(number)[0].inputs[field.name]
                _guarded(field.name, partial(sink.write, 1 + number * size, values))
                self._num_blocks += 1
            return _Kept(values=_guarded(field.name, sink.finish), places=places, bad=bad)
        finally:
            stream.close()


def _guarded(name: str, work: Callable[[], Any]) -> Any:
    """What `work` returns; where memory runs out although there should have been enough, that is said."""
    try:
        return work()
    except MtgenError:
        raise
    except Exception as error:  # each backend has its own
        raise PlanError(
            f"the values of {name!r} could not be held: {type(error).__name__}: {error}. The memory may be in "
            'pieces, or be taken by others: hold fewer inputs there, or stream this one (placement={...: "stream"})'
        ) from error


def _reading_order(field: Field, rows: np.ndarray) -> np.ndarray:
    """The rows in the order in which they are best read: as they lie in the store."""
    rows = np.sort(rows)
    if not isinstance(field.bound, BoundRows):
        return rows
    return rows[np.argsort(field.bound.store_rows(rows), kind="stable")]


class _MemorySink:
    """An array in memory."""

    def __init__(self, name: str, num_rows: int, spec: Spec) -> None:
        self._values = pages.empty((num_rows, *spec.shape), spec.dtype)
        self._values[0] = 0

    def write(self, start: int, values: np.ndarray) -> None:
        self._values[start : start + len(values)] = values

    def finish(self) -> np.ndarray:
        self._values.flags.writeable = False
        return self._values


def placed_fields(placement: Placement, fields: Sequence[Field]) -> dict[int, Where]:
    """The word for each input, by its number among the fields.

    Raises:
        PlanError: see `mtgen.placements.wheres`.
    """
    inputs = {number: one for number, one in enumerate(fields) if one.role == "input"}
    found = wheres(placement, {one.name: not isinstance(one.bound, BoundPatches) for one in inputs.values()})
    # Columns are in memory, and streaming takes them from there.
    there = {one.name for one in inputs.values() if isinstance(one.bound, BoundColumns) and found[one.name] == "ram"}
    return {number: "stream" if one.name in there else found[one.name] for number, one in inputs.items()}


def placed_inputs(placement: Placement, dataset: Dataset) -> list[PlacedInput]:
    """What each input takes, in bytes of NumPy.

    Raises:
        PlanError: see `mtgen.placements.wheres`.
    """
    fields = dataset.fields
    return [
        PlacedInput(
            name=fields[number].name,
            where=word,
            num_rows=len(dataset),
            row_bytes=fields[number].spec.row_bytes,
            is_column=isinstance(fields[number].bound, BoundColumns),
        )
        for number, word in placed_fields(placement, fields).items()
    ]
