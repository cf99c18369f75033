"""Which inputs are held where, what that takes, and whether it fits: arithmetic, before the first value is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mtgen.errors import PlanError

if TYPE_CHECKING:
    from mtgen.config import Placement, Where

BLOCK_BYTES = 8 << 20
"""Values that are read together while an input is filled in: enough work for all threads, small beside any budget."""

NUM_BLOCKS = 4
"""Blocks alive together while values are read: one that is copied, one ahead, and each as it comes out of chunks."""

RESERVE_PART = 4
"""One part in so many of the device's memory stays free unless told otherwise: weights, their gradients, two slots of
Adam and the activations of a batch come on top of the data, and nobody knows how much that is before it is there."""

MOST_ROWS = 2**31 - 2
"""Rows of one input on a device: places travel as int32."""


def wheres(placement: Placement, inputs: Mapping[str, bool]) -> dict[str, Where]:
    """The word for each input.

    Pure.

    Args:
        placement: what was asked for.
        inputs: name -> whether it has one value per row, which can be held.

    Raises:
        PlanError: no such input, or one that cannot be held.

    Example:
        >>> wheres(mtgen.Placement(inputs={"features": "ram"}), {"image": True, "features": True})
        {'image': 'stream', 'features': 'ram'}
    """
    unknown = [] if isinstance(placement.inputs, str) else [name for name in placement.inputs if name not in inputs]
    if unknown:
        raise PlanError(f"placement names {unknown}, the dataset's inputs are {list(inputs)}; targets are streamed")
    found = {name: placement.where(name) for name in inputs}
    cut = [name for name, can_be_held in inputs.items() if found[name] != "stream" and not can_be_held]
    if cut:
        name = cut[0]
        others = {other: word for other, word in found.items() if other not in cut and word != "stream"}
        raise PlanError(
            f'placement of {name!r} is "{found[name]}", and it is made of patches, which are cut anew for each '
            "position of each epoch: there is no one value per row to hold. Stream it, "
            f"placement={others or 'stream'!r}; an array that fits in memory can be read there first, "
            "Patches(np.load(path), ...)"
        )
    return found


def block_rows(row_bytes: int) -> int:
    """Rows of a block of about `BLOCK_BYTES`, at least one.

    Example:
        >>> block_rows(150_528)
        55
    """
    return max(1, BLOCK_BYTES // max(1, row_bytes))


class Places:
    """Where the values of rows are in an array that holds them: the k-th row that is read is at place k + 1.

    Place 0 is nobody's and all zeros, for slots that are masked. Immutable; any thread.

    Args:
        rows: int64 `(n,)`, distinct, in the order in which they are read.

    Example:
        >>> Places(np.array([7, 3, 9])).of(np.array([9, 7, 7])).tolist()
        [3, 1, 1]
    """

    def __init__(self, rows: np.ndarray) -> None:
        if len(rows) > MOST_ROWS:
            raise PlanError(f"{len(rows):,} rows cannot be held, at most {MOST_ROWS:,}; stream this input")
        order = np.argsort(rows, kind="stable")
        self._rows = rows[order]
        self._places = (order + 1).astype(np.int32)

    def of(self, rows: np.ndarray) -> np.ndarray:
        """Places of rows, int32 `(n,)`.

        Raises:
            PlanError: a row that is not held.
        """
        found = np.searchsorted(self._rows, rows)
        known = found < len(self._rows)
        known[known] = self._rows[found[known]] == rows[known]
        if not known.all():
            row = int(np.asarray(rows)[~known][0])
            raise PlanError(f"row {row} is not held: only the rows of the loader's dataset are", row=row)
        return self._places[found]

    @staticmethod
    def num_bytes(num_rows: int) -> int:
        """Bytes that the places of so many rows take."""
        return 12 * num_rows


@dataclass(frozen=True, kw_only=True)
class PlacedInput:
    """Where one input is.

    Args:
        name: of the input.
        where: `"stream"`, `"ram"` or `"device"`.
        num_rows: rows of the loader's dataset.
        row_bytes: bytes of one of its values, there.
        is_there: its values were read.
        is_column: it is columns of the table, which are in memory anyway.
    """

    name: str
    where: Where
    num_rows: int
    row_bytes: int
    is_there: bool = False
    is_column: bool = False

    @property
    def num_bytes(self) -> int:
        """Bytes that it takes: one row more than it has, of zeros; nothing where it is streamed."""
        return 0 if self.where == "stream" else (self.num_rows + 1) * self.row_bytes

    @property
    def host_bytes(self) -> int:
        """Bytes that it takes of the loader's `memory=`: its values where they are held there, and places of rows."""
        if self.where == "stream":
            return 0
        return Places.num_bytes(self.num_rows) + (self.num_bytes if self.where == "ram" else 0)

    def __str__(self) -> str:
        if self.where == "stream":
            return f"{self.name}: {'columns of the table, in memory' if self.is_column else 'streamed'}"
        there = {"ram": "in memory", "device": "on the device"}[self.where]
        state = "" if self.is_there else ", not read yet"
        return (
            f"{self.name}: {there}, {self.num_rows:,} rows and one of zeros x {self.row_bytes:,} bytes = "
            f"{self.num_bytes:,} bytes{state}"
        )


def held_bytes(inputs: Sequence[PlacedInput]) -> int:
    """Bytes of the loader's `memory=` that held inputs take: what is kept, and the blocks that are being read.

    Example:
        >>> held_bytes([PlacedInput(name="image", where="stream", num_rows=10, row_bytes=100)])
        0
    """
    held = [one for one in inputs if one.where != "stream"]
    blocks = [min(block_rows(one.row_bytes), one.num_rows) * one.row_bytes for one in held]
    return sum(one.host_bytes for one in held) + NUM_BLOCKS * max(blocks, default=0)


@dataclass(frozen=True, kw_only=True)
class DeviceMemory:
    """What a device has now.

    Args:
        name: of the device.
        total_bytes: all there is to have; of a processor what was free, because the rest is others'.
        free_bytes: what is free.
    """

    name: str
    total_bytes: int
    free_bytes: int


@dataclass(frozen=True, kw_only=True)
class PlacementPlan:
    """The byte budget of a placement; `print` it.

    Args:
        inputs: each one.
        device: what was measured; None where nothing goes to a device.
        reserve_bytes: what must stay free there; None for a part of its memory.

    Example:
        >>> print(PlacementPlan(
        ...     inputs=(PlacedInput(name="features", where="device", num_rows=1_797, row_bytes=128),),
        ...     device=DeviceMemory(name="cuda:0", total_bytes=8_000_000, free_bytes=6_000_000)))
        features: on the device, 1,797 rows and one of zeros x 128 bytes = 230,144 bytes, not read yet
        cuda:0: 230,144 bytes to upload, 6,000,000 free, 2,000,000 in reserve, 3,769,856 left
    """

    inputs: tuple[PlacedInput, ...]
    device: DeviceMemory | None = None
    reserve_bytes: int | None = None

    @property
    def ram_bytes(self) -> int:
        """Bytes of values held in memory."""
        return sum(one.num_bytes for one in self.inputs if one.where == "ram")

    @property
    def device_bytes(self) -> int:
        """Bytes of values on the device, there already or to be uploaded."""
        return sum(one.num_bytes for one in self.inputs if one.where == "device")

    @property
    def upload_bytes(self) -> int:
        """Bytes that are still to be uploaded."""
        return sum(one.num_bytes for one in self.inputs if one.where == "device" and not one.is_there)

    @property
    def reserve(self) -> int:
        """Bytes that must stay free on the device."""
        if self.reserve_bytes is not None or self.device is None:
            return self.reserve_bytes or 0
        return self.device.total_bytes // RESERVE_PART

    @property
    def left_bytes(self) -> int:
        """Bytes free on the device after the upload, beyond the reserve; negative where it does not fit."""
        return 0 if self.device is None else self.device.free_bytes - self.upload_bytes - self.reserve

    def check(self) -> None:
        """Refuse what does not fit.

        Raises:
            PlanError: the sum, and what to do.
        """
        if self.left_bytes < 0 < self.upload_bytes:
            raise PlanError(
                f"the values do not fit on the device, {-self.left_bytes:,} bytes are missing:\n{self}\nHold fewer "
                'inputs there (placement={"name": "device"}; the others are streamed), hold some in memory ("ram"), '
                "take smaller pictures or dtypes, or name a smaller Placement(reserve_bytes=...) where the model needs "
                "less"
            )

    def __str__(self) -> str:
        lines = [str(one) for one in self.inputs]
        if self.ram_bytes:
            lines.append(f"memory: {self.ram_bytes:,} bytes of the loader's memory=")
        if self.device is not None:
            there = self.device_bytes - self.upload_bytes
            lines.append(
                f"{self.device.name}: {self.upload_bytes:,} bytes to upload, "
                + (f"{there:,} there, " if there else "")
                + f"{self.device.free_bytes:,} free, {self.reserve:,} in reserve, {self.left_bytes:,} left"
            )
        return "\n".join(lines)
