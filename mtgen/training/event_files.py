"""Event files as TensorBoard reads them: one number per name and step. Written here, without TensorFlow.

A file is a sequence of records: length (uint64), its checksum, an `Event` as protobuf, its checksum; all little-endian,
checksums CRC-32C masked. Source: tensorflow/core/lib/io/record_writer.h, tensorflow/core/util/event.proto and
tensorflow/core/framework/summary.proto. Of a file that a kill cut off, the whole records count.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import google_crc32c

VERSION = "brain.Event:2"
"""What the first record of a file says."""

_MASK = 0xA282EAD8
_DOUBLE, _VARINT, _BYTES, _FLOAT = 1, 0, 2, 5
"""Kinds of fields on the wire: 64 bits, a number of variable length, a length and bytes, 32 bits."""


@dataclass(frozen=True, kw_only=True)
class Event:
    """One record.

    Args:
        wall_time: seconds since 1970.
        step: steps trained.
        scalars: name -> number, kept as float32.
        version: of the format, in the first record only.
    """

    wall_time: float
    step: int = 0
    scalars: Mapping[str, float] = field(default_factory=dict)
    version: str | None = None


def encoded(event: Event) -> bytes:
    """A record as the file has it.

    Example:
        >>> [one.scalars for one in decoded(encoded(Event(wall_time=0.0, step=3, scalars={"loss": 0.5})))]
        [{'loss': 0.5}]
    """
    data = _tag(1, _DOUBLE) + struct.pack("<d", event.wall_time)
    if event.step:
        data += _tag(2, _VARINT) + _varint(event.step)
    if event.version is not None:
        data += _delimited(3, event.version.encode())
    if event.scalars:
        values = b"".join(
            _delimited(1, _delimited(1, name.encode()) + _tag(2, _FLOAT) + struct.pack("<f", _single(number)))
            for name, number in event.scalars.items()
        )
        data += _delimited(5, values)
    length = struct.pack("<Q", len(data))
    return length + _checksum(length) + data + _checksum(data)


def decoded(content: bytes) -> Iterator[Event]:
    """The events of a file that `encoded` wrote, up to the first record that is cut off or damaged."""
    place = 0
    while place + 12 <= len(content):
        head = content[place : place + 8]
        (length,) = struct.unpack("<Q", head)
        data, end = content[place + 12 : place + 12 + length], place + 16 + length
        if end > len(content) or content[place + 8 : place + 12] != _checksum(head):
            return
        if content[end - 4 : end] != _checksum(data):
            return
        yield _event(data)
        place = end


def num_damaged(content: bytes) -> int:
    """Bytes of a file behind its last whole record; a kill leaves less than a record there.

    Example:
        >>> record = encoded(Event(wall_time=0.0)); num_damaged(record), num_damaged(record + record[:5])
        (0, 5)
    """
    return len(content) - sum(len(encoded(event)) for event in decoded(content))


def until(content: bytes, step: int) -> bytes:
    """The records of a file up to a step, as they are."""
    return b"".join(encoded(event) for event in decoded(content) if event.step <= step)


def _single(number: float) -> float:
    """A number that float32 can hold; larger ones are infinite there."""
    most = 3.4028234663852886e38
    return number if -most <= number <= most or number != number else float("inf") if number > 0 else float("-inf")


def _checksum(data: bytes) -> bytes:
    crc = google_crc32c.value(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + _MASK) & 0xFFFFFFFF)


def _tag(number: int, kind: int) -> bytes:
    return bytes([number << 3 | kind])


def _varint(number: int) -> bytes:
    parts = bytearray()
    while number > 0x7F:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*parts, number])


def _delimited(number: int, data: bytes) -> bytes:
    return _tag(number, _BYTES) + _varint(len(data)) + data


def _event(data: bytes) -> Event:
    found = dict(_fields(data))
    scalars = {}
    for number, value in _fields(found.get(5, b"")):
        if number == 1:
            inner = dict(_fields(value))
            scalars[inner[1].decode()] = struct.unpack("<f", inner[2])[0]
    version = found.get(3)
    return Event(
        wall_time=struct.unpack("<d", found[1])[0],
        step=found.get(2, 0),
        scalars=scalars,
        version=None if version is None else version.decode(),
    )


def _fields(data: bytes) -> Iterable[tuple[int, Any]]:
    place = 0
    while place < len(data):
        number, kind = data[place] >> 3, data[place] & 7
        place += 1
        if kind in (_DOUBLE, _FLOAT):
            size = 8 if kind == _DOUBLE else 4
            yield number, data[place : place + size]
            place += size
            continue
        value, shift = 0, 0
        while True:
            byte = data[place]
            place += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        if kind == _VARINT:
            yield number, value
        else:
            yield number, data[place : place + value]
            place += value
