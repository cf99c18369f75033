"""One job over one line: what is sent, the memory that is lent meanwhile, how long is waited, what comes back."""

from __future__ import annotations

from contextlib import ExitStack
from typing import NamedTuple

import numpy as np

from mtgen.errors import MtgenError
from mtgen.processes.failures import made_again
from mtgen.processes.memory import STAGES, Progress
from mtgen.processes.process import GoneError, Line
from mtgen.processes.protocol import (
    Answer,
    Kind,
    ProtocolError,
    Request,
    frame,
    pack_refused,
    pack_request,
    unpack_answer,
    unpack_give,
    unpack_take,
)
from mtgen.room import Room
from mtgen.spec import Spec
from mtgen.waits import POLL_SECONDS, Note


class HangsError(Exception):
    """The process made no progress for too long."""


class Terms(NamedTuple):
    """What all jobs of a loader have in common.

    Args:
        room: where large pictures take memory from; None lets them take it without asking.
        allowance: bytes of it that a job has from the start, for each of its pictures in turn.
        patience: longest wait without a sign of progress.
    """

    room: Room | None
    allowance: int
    patience: float


def was_begun(line: Line) -> bool:
    """Whether the process had taken up one of the pictures that it was last asked for."""
    return Progress.of(line.slots.progress).stage > 0


class _Held:
    """Memory that is held for the process while it works; one thread."""

    def __init__(self, terms: Terms) -> None:
        self._room = terms.room
        self._held: dict[str, ExitStack] = {}
        if terms.allowance:
            self._take("allowance", terms.allowance, file=False)

    def _take(self, name: str, num_bytes: int, *, file: bool) -> None:
        if self._room is not None:
            with ExitStack() as stack:
                stack.enter_context(self._room.take(num_bytes, file=file))
                self._held[name] = stack.pop_all()

    def take(self, num_bytes: int, *, file: bool) -> None:
        """Take what a picture needs; the allowance is given back, for a thread takes once at a time."""
        self.give("allowance")
        self._take("file" if file else "picture", num_bytes, file=file)

    def give(self, name: str) -> None:
        """Give back, where there is something."""
        if (stack := self._held.pop(name, None)) is not None:
            stack.close()

    def give_all(self) -> None:
        for name in ("picture", "file", "allowance"):
            self.give(name)


def ask(line: Line, pid: int, request: Request, terms: Terms, note: Note) -> Answer:
    """Send a request and wait for its answer.

    Args:
        line: nobody else uses it.
        pid: process at the other end.
        request: what is asked.
        terms: of the loader.
        note: told what the process does.

    Raises:
        GoneError: the process ended, or said what is no answer.
        HangsError: it made no progress.
        StallError: there was no memory for the pictures; nothing was asked.
    """
    held = _Held(terms)
    wait = _Wait(line, pid, request, terms.patience, note)
    line.wire.tick = wait.tick
    try:
        line.wire.send(pack_request(request))
        while True:
            kind, body = line.wire.receive()
            if kind == Kind.DONE:
                return _checked(unpack_answer(body), request)
            wait.begin()
            if kind == Kind.TAKE:
                line.wire.send(_lent(held, *unpack_take(body)))
            elif kind == Kind.GIVE:
                held.give("file" if unpack_give(body) else "picture")
            else:
                raise ProtocolError(f"{kind.name} instead of an answer")
    except EOFError as error:
        raise GoneError("") from error
    except ProtocolError as error:
        raise GoneError(f"it answered what is no answer ({error})") from error
    finally:
        held.give_all()
        line.wire.tick = line.look  # without what this job had in hand


def _lent(held: _Held, num_bytes: int, file: bool) -> bytes:
    """Take memory on the process's behalf; the frame that says so, or why not."""
    try:
        held.take(num_bytes, file=file)
    except MtgenError as error:
        return pack_refused(type(error).__name__, error.message)
    return frame(Kind.GRANTED)


def _checked(answer: Answer, request: Request) -> Answer:
    if answer.number != request.number:
        raise ProtocolError(f"the answer to job {answer.number} instead of {request.number}")
    num_pictures = len(request.pictures)
    if len(answer.seen) != num_pictures * request.identify or any(one.place >= num_pictures for one in answer.failures):
        raise ProtocolError(f"an answer that does not fit {num_pictures} pictures")
    return answer


def delivered(
    answer: Answer, request: Request, line: Line, spec: Spec, outs: list[np.ndarray], pid: int
) -> list[MtgenError | None]:
    """Copy what was decoded out of the shared memory, without the GIL.

    Returns:
        Per picture its error, or None.

    Raises:
        ProtocolError: an error of no known kind.
    """
    errors: list[MtgenError | None] = [None] * len(request.pictures)
    for failure in answer.failures:
        errors[failure.place] = made_again(failure, pid)
    for out, pixels, error in zip(outs, line.slots.of(spec, len(outs)), errors, strict=True):
        if error is None:
            np.copyto(out, pixels)
    return errors


class _Wait:
    """The wait for a process: what it is doing is told, and how long it may do so."""

    def __init__(self, line: Line, pid: int, request: Request, patience: float, note: Note) -> None:
        self._slots, self._pid, self._request, self._patience, self._note = line.slots, pid, request, patience, note
        self._look = line.look
        Progress.tell(self._slots.progress, 0, 0)
        self.begin()

    def begin(self) -> None:
        """Start anew: there was a word."""
        self._left, self._seen = self._patience, int(self._slots.progress[0])
        self._note(self.doing)

    @property
    def doing(self) -> str:
        """What the process does, in words."""
        place, stage = Progress.of(self._slots.progress)
        path = self._request.pictures[min(place, len(self._request.pictures) - 1)].path
        return f"{STAGES[min(stage, len(STAGES) - 1)]} {path} in process {self._pid}"

    def tick(self) -> None:
        """Called after each piece of the wait."""
        self._look()
        if int(self._slots.progress[0]) != self._seen:
            self.begin()
            return
        self._left -= POLL_SECONDS
        if self._left <= 0:
            raise HangsError(
                f"no progress for {self._patience:g} s by what is to {self.doing}; the process is ended and replaced. "
                "A file system may hang; give Prefetch(stall_seconds=...) more time if such waits are normal here"
            )
