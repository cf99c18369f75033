"""What a loader and its processes say to each other: frames of bytes, packed and taken apart. Pure.

A frame is a uint32 (bytes that follow), a uint8 (`Kind`) and a body; all numbers are little-endian, texts are UTF-8
with lone surrogates, each with its length before it. No pickle: whatever a hostile picture may make of a process, what
comes back from there is numbers and texts, and is looked at before it is believed.

    loader -> process   SETUP once; JOB; GRANTED or REFUSED after each TAKE
    process -> loader   READY once; after a JOB any number of TAKE and GIVE, then DONE
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from mtgen.cache.layout import Identity
from mtgen.promises import Promise

MOST_BYTES = 1 << 28
"""Longest frame that is believed."""

MOST_TEXT = 20_000
"""Characters of a message or a traceback that are sent; an error shows no more of its message either."""


class Kind(enum.IntEnum):
    """What a frame says."""

    SETUP = 1
    READY = 2
    JOB = 3
    DONE = 4
    TAKE = 5
    GIVE = 6
    GRANTED = 7
    REFUSED = 8


class ProtocolError(Exception):
    """Bytes that are no frame of this protocol."""


class Asked(NamedTuple):
    """One picture to read and decode.

    Args:
        row: place in the root table.
        path: the file, root joined.
        promise: what the file must be, without the manifest's path; None compares nothing.
    """

    row: int
    path: str
    promise: Promise | None


class Request(NamedTuple):
    """Pictures for one thread of a process.

    Args:
        number: of the job; the answer has the same.
        field: which input, in the order of the set-up.
        allowance: bytes that a picture may take without asking; -1 for any number.
        folder: working folder of the loader, that relative paths start from; "" where there are none.
        identify: whether to say of each file which bytes it had.
        pictures: in the order of the places that they are put in.
    """

    number: int
    field: int
    allowance: int
    folder: str
    identify: bool
    pictures: Sequence[Asked]


class Cause(NamedTuple):
    """What was behind an error: name of its class, its code where the operating system gave one, text and file."""

    kind: str
    code: int
    text: str
    path: str


class Failure(NamedTuple):
    """One picture that could not be delivered.

    Args:
        place: which one of the request.
        kind: name of a class in `mtgen.errors`.
        message: its text.
        row: place in the root table, or None.
        path: the file, or None.
        cause: what was behind it, or None.
        trace: the traceback there.
    """

    place: int
    kind: str
    message: str
    row: int | None = None
    path: str | None = None
    cause: Cause | None = None
    trace: str = ""


class Answer(NamedTuple):
    """What became of a request.

    Args:
        number: of the job.
        read_seconds: time spent reading, the pictures together.
        decode_seconds: likewise for decoding.
        num_retries: reads tried again.
        facts: counts of what was done to the pictures.
        failures: those that were not delivered; all others are in their places.
        seen: per picture the file that it was, or None where it was not delivered; empty unless asked for.
    """

    number: int
    read_seconds: float
    decode_seconds: float
    num_retries: int
    facts: Mapping[str, int]
    failures: Sequence[Failure]
    seen: Sequence[Identity | None] = ()


_FRAME = struct.Struct("<IB")
_LENGTH = struct.Struct("<I")
_REQUEST = struct.Struct("<QIq?I")
_ASKED = struct.Struct("<q?")
_PROMISE = struct.Struct("<qq")
_ANSWER = struct.Struct("<QddQIII")
_IS_SEEN = struct.Struct("<?")
_SEEN = struct.Struct("<QqI")
_FACT = struct.Struct("<Q")
_FAILURE = struct.Struct("<I???q")
_CODE = struct.Struct("<q")
_TAKE = struct.Struct("<q?")
_GIVE = struct.Struct("<?")


def frame(kind: Kind, *parts: bytes) -> bytes:
    """A frame of the parts together.

    Example:
        >>> list(frame(Kind.READY))
        [0, 0, 0, 0, 2]
    """
    body = b"".join(parts)
    return _FRAME.pack(len(body), kind) + body


class Frames:
    """Takes frames out of bytes as they come. One thread.

    Example:
        >>> frames = Frames()
        >>> frames.feed(frame(Kind.GRANTED)[:3]); frames.take() is None
        True
        >>> frames.feed(frame(Kind.GRANTED)[3:]); frames.take()
        (<Kind.GRANTED: 7>, b'')
    """

    def __init__(self) -> None:
        self._pieces = bytearray()

    def feed(self, piece: bytes) -> None:
        """Add bytes that came."""
        self._pieces += piece

    def take(self) -> tuple[Kind, bytes] | None:
        """The next frame, or None where it is not whole yet.

        Raises:
            ProtocolError: no such kind, or too long.
        """
        if len(self._pieces) < _FRAME.size:
            return None
        length, number = _FRAME.unpack_from(self._pieces)
        if length > MOST_BYTES:
            raise ProtocolError(f"a frame of {length:,} bytes")
        try:
            kind = Kind(number)
        except ValueError:
            raise ProtocolError(f"a frame of kind {number}") from None
        end = _FRAME.size + length
        if len(self._pieces) < end:
            return None
        body = bytes(self._pieces[_FRAME.size : end])
        del self._pieces[:end]
        return kind, body


class _Cursor:
    """Takes numbers and texts out of a body, never from beyond its end."""

    def __init__(self, body: bytes) -> None:
        self._body, self._place = body, 0

    def numbers(self, layout: struct.Struct) -> tuple[int, ...]:
        return layout.unpack(self.taken(layout.size))

    def taken(self, num_bytes: int) -> bytes:
        end = self._place + num_bytes
        if end > len(self._body):
            raise ProtocolError(f"a body of {len(self._body)} bytes ends early")
        taken, self._place = self._body[self._place : end], end
        return taken

    def text(self) -> str:
        try:
            return self.taken(self.numbers(_LENGTH)[0]).decode("utf-8", "surrogatepass")
        except UnicodeDecodeError as error:
            raise ProtocolError(f"a text that is none: {error}") from None

    def end(self) -> None:
        if self._place != len(self._body):
            raise ProtocolError(f"{len(self._body) - self._place} bytes too many")


def _text(value: str) -> bytes:
    encoded = value.encode("utf-8", "surrogatepass")
    return _LENGTH.pack(len(encoded)) + encoded


def pack_request(request: Request) -> bytes:
    """The frame of a request."""
    number, field, allowance, folder, identify, pictures = request
    parts = [_REQUEST.pack(number, field, allowance, identify, len(pictures)), _text(folder)]
    for row, path, promise in pictures:
        parts += [_ASKED.pack(row, promise is not None), _text(path)]
        if promise is not None:
            checksum = promise.checksum or b""
            parts += [_PROMISE.pack(promise.size, promise.mtime_ns), _LENGTH.pack(len(checksum)), checksum]
    return frame(Kind.JOB, *parts)


def unpack_request(body: bytes, locations: Sequence[str]) -> Request:
    """A request out of its body.

    Args:
        body: of a `JOB` frame.
        locations: path of the manifest of each field, "" where there is none.

    Raises:
        ProtocolError: it is no request.
    """
    cursor = _Cursor(body)
    number, field, allowance, identify, num_pictures = cursor.numbers(_REQUEST)
    folder = cursor.text()
    if field >= len(locations):
        raise ProtocolError(f"input {field} of {len(locations)}")
    pictures = []
    for _ in range(num_pictures):
        row, promised = cursor.numbers(_ASKED)
        path, promise = cursor.text(), None
        if promised:
            size, mtime_ns = cursor.numbers(_PROMISE)
            checksum = cursor.taken(cursor.numbers(_LENGTH)[0])
            promise = Promise(size, mtime_ns, checksum or None, locations[field])
        pictures.append(Asked(row, path, promise))
    cursor.end()
    return Request(number, field, allowance, folder, bool(identify), pictures)


def pack_answer(answer: Answer) -> bytes:
    """The frame of an answer."""
    number, read_seconds, decode_seconds, num_retries, facts, failures, seen = answer
    lengths = len(facts), len(failures), len(seen)
    parts = [_ANSWER.pack(number, read_seconds, decode_seconds, num_retries, *lengths)]
    for name, count in facts.items():
        parts += [_text(name), _FACT.pack(count)]
    for place, kind, message, row, path, cause, trace in failures:
        known = row is not None, path is not None, cause is not None
        parts += [_FAILURE.pack(place, *known, row or 0), *map(_text, (kind, message, path or "", trace))]
        if cause is not None:
            parts += [_CODE.pack(cause.code), *map(_text, (cause.kind, cause.text, cause.path))]
    for one in seen:
        parts.append(_IS_SEEN.pack(one is not None))
        if one is not None:
            parts += [_SEEN.pack(one.size, one.mtime_ns, len(one.content)), one.content]
    return frame(Kind.DONE, *parts)


def unpack_answer(body: bytes) -> Answer:
    """An answer out of its body.

    Raises:
        ProtocolError: it is no answer.
    """
    cursor = _Cursor(body)
    number, read_seconds, decode_seconds, num_retries, *lengths = cursor.numbers(_ANSWER)
    num_facts, num_failures, num_seen = lengths
    facts = {}
    for _ in range(num_facts):
        name = cursor.text()
        facts[name] = cursor.numbers(_FACT)[0]
    failures = []
    for _ in range(num_failures):
        place, has_row, has_path, has_cause, row = cursor.numbers(_FAILURE)
        kind, message, path, trace = (cursor.text() for _ in range(4))
        cause = None
        if has_cause:
            code = cursor.numbers(_CODE)[0]
            cause = Cause(cursor.text(), code, cursor.text(), cursor.text())
        failures.append(
            Failure(place, kind, message, row if has_row else None, path if has_path else None, cause, trace)
        )
    seen: list[Identity | None] = []
    for _ in range(num_seen):
        one = None
        if cursor.numbers(_IS_SEEN)[0]:
            size, mtime_ns, length = cursor.numbers(_SEEN)
            one = Identity(size, mtime_ns, cursor.taken(length))
        seen.append(one)
    cursor.end()
    return Answer(number, read_seconds, decode_seconds, num_retries, facts, failures, seen)


def pack_take(num_bytes: int, *, file: bool) -> bytes:
    """The frame that asks for memory: for a file, or for a picture."""
    return frame(Kind.TAKE, _TAKE.pack(num_bytes, file))


def unpack_take(body: bytes) -> tuple[int, bool]:
    """Bytes asked for, and whether for a file.

    Raises:
        ProtocolError: it is no such question.
    """
    cursor = _Cursor(body)
    num_bytes, file = cursor.numbers(_TAKE)
    cursor.end()
    return num_bytes, bool(file)


def pack_give(*, file: bool) -> bytes:
    """The frame that gives memory back."""
    return frame(Kind.GIVE, _GIVE.pack(file))


def unpack_give(body: bytes) -> bool:
    """Whether a file's memory is given back, else a picture's.

    Raises:
        ProtocolError: it says no such thing.
    """
    cursor = _Cursor(body)
    (file,) = cursor.numbers(_GIVE)
    cursor.end()
    return bool(file)


def pack_refused(kind: str, message: str) -> bytes:
    """The frame that refuses memory, with the error to raise."""
    return frame(Kind.REFUSED, _text(kind), _text(message))


def unpack_refused(body: bytes) -> tuple[str, str]:
    """Name of the error's class in `mtgen.errors`, and its message.

    Raises:
        ProtocolError: it says no such thing.
    """
    cursor = _Cursor(body)
    kind, message = cursor.text(), cursor.text()
    cursor.end()
    return kind, message
