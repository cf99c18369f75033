"""What runs in a process for pictures: threads that read and decode into shared memory, and a watch for the loader.

Started by `mtgen.processes.process`, as a fresh interpreter: never forked, so no lock of the loader's process can be
locked in here. It imports what decoding needs and nothing else. It ends as soon as the loader is gone, whatever its
threads are in; it leaves nothing behind, because it owns nothing that has a name.
"""

from __future__ import annotations

import faulthandler
import json
import os
import select
import signal
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import xxhash

from mtgen.cache.layout import Identity
from mtgen.config import OnError
from mtgen.errors import DecodeError, named
from mtgen.inputs.picture_files import PictureFiles
from mtgen.opened_picture import load_decoders
from mtgen.picture import Admit, read_and_decode
from mtgen.processes.failures import describe, kind_named
from mtgen.processes.memory import Layout, Progress, Slots, mapped
from mtgen.processes.protocol import (
    Answer,
    Asked,
    Failure,
    Kind,
    ProtocolError,
    Request,
    frame,
    pack_answer,
    pack_give,
    pack_take,
    unpack_refused,
    unpack_request,
)
from mtgen.processes.wire import Wire
from mtgen.recipe import Recipe
from mtgen.retry import retrying
from mtgen.room import Room

LOOK_SECONDS = 2.0
"""The loader's process is looked for this often: a process that it forked may hold the connection open after it."""


def _go_on() -> None:
    """For waits in threads: the main thread ends them all."""


class AskingRoom(Room):
    """The loader's room for large pictures, asked for over the wire; small ones have an allowance.

    One thread.

    Attributes:
        allowance: bytes that a picture may take without asking.
    """

    def __init__(self, wire: Wire) -> None:
        super().__init__(0)
        self._wire = wire
        self.allowance = 0

    @contextmanager
    def take(self, num_bytes: int, *, file: bool = False) -> Iterator[None]:
        """See `Room.take`; raises the same."""
        if not file and num_bytes <= self.allowance:
            yield
            return
        self.allowance = 0  # which the loader gives back; from here on it takes what is asked for, and no more
        with _ends_process():
            self._wire.send(pack_take(num_bytes, file=file))
            kind, body = self._wire.receive()
            if kind not in (Kind.GRANTED, Kind.REFUSED):
                raise ProtocolError(f"{kind.name} as the answer to a question for memory")
            refused = unpack_refused(body) if kind == Kind.REFUSED else None
        if refused is not None:
            raise kind_named(refused[0])(refused[1])
        try:
            yield
        finally:
            with _ends_process():
                self._wire.send(pack_give(file=file))


@contextmanager
def _ends_process() -> Iterator[None]:
    """What is raised in the block ends the whole process: the loader sees all its wires end, and starts another."""
    try:
        yield
    except EOFError:
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)


class Service:
    """What all threads of the process share; immutable, but for the working folder.

    Args:
        settings: the set-up, as the loader's JSON.
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        self.recipes = [Recipe(**_tuples(one["recipe"])) for one in settings["fields"]]
        self.files = [PictureFiles(one["root"], follow_links=one["follow_links"]) for one in settings["fields"]]
        self.locations = [one["manifest"] for one in settings["fields"]]
        self.on_error = OnError(**settings["on_error"])
        self.layout = Layout(*settings["layout"])
        self._folder = os.getcwd()

    def go_to(self, folder: str) -> None:
        """Let relative paths start where they do in the loader's process.

        Raises:
            DecodeError: they start nowhere.
        """
        if folder and folder != self._folder:
            try:
                os.chdir(folder)
            except (OSError, ValueError) as error:
                self._folder = ""
                raise DecodeError(f"the working folder that the path starts from is gone ({error})") from error
            self._folder = folder

    def run(self, request: Request, slots: Slots, room: AskingRoom) -> Answer:
        """Read and decode the pictures of a request into their slots."""
        outs = slots.of(self.recipes[request.field].spec, len(request.pictures))
        room.allowance = request.allowance
        work = _Work(self, request, slots, None if request.allowance < 0 else room)
        for place, asked in enumerate(request.pictures):
            work.fill(place, asked, outs[place])
        return work.answer()


class _Work:
    """One request on its way."""

    def __init__(self, service: Service, request: Request, slots: Slots, room: Room | None) -> None:
        self._service, self._request, self._slots, self._room = service, request, slots, room
        self._read_seconds = self._decode_seconds = 0.0
        self._facts: Counter[str] = Counter()
        self._failures: list[Failure] = []
        self._seen: list[Identity | None] = []
        self._num_retries = 0
        self._place = self._stage = 0

    def fill(self, place: int, asked: Asked, out: np.ndarray) -> None:
        files = self._service.files[self._request.field]
        self._place, self._stage = place, 0

        def read(admit: Admit | None) -> bytes:
            data, stat = retrying(
                lambda: files.read_file(asked.path, asked.row, asked.promise, admit),
                self._service.on_error,
                self._retry,
            )
            if self._request.identify:
                seen.append(Identity(stat.st_size, stat.st_mtime_ns, xxhash.xxh3_128_digest(data)))
            return data

        seen: list[Identity | None] = []

        started = middle = time.perf_counter()
        try:
            self._service.go_to(self._request.folder)
            recipe = self._service.recipes[self._request.field]
            middle = read_and_decode(read, asked.path, recipe, out, self._facts, self._room, self._note)
        except Exception as error:
            self._failures.append(describe(named(error, asked.path, DecodeError), place))
            seen = [None] if self._request.identify else []
        self._seen += seen
        self._read_seconds += middle - started
        self._decode_seconds += time.perf_counter() - middle

    def _note(self, what: str) -> None:
        self._stage += 1
        Progress.tell(self._slots.progress, self._place, self._stage)

    def _retry(self) -> None:
        self._num_retries += 1
        Progress.tell(self._slots.progress, self._place, self._stage)

    def answer(self) -> Answer:
        return Answer(
            self._request.number,
            self._read_seconds,
            self._decode_seconds,
            self._num_retries,
            +self._facts,
            self._failures,
            self._seen,
        )


def _tuples(settings: dict[str, Any]) -> dict[str, Any]:
    """JSON has lists where a recipe has tuples."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in settings.items()}


def serve(service: Service, wire: Wire, slots: Slots) -> None:
    """Answer requests until the loader is gone; never returns."""
    with _ends_process():
        room = AskingRoom(wire)
        while True:
            kind, body = wire.receive()
            if kind != Kind.JOB:
                raise ProtocolError(f"{kind.name} instead of a job")
            wire.send(pack_answer(service.run(unpack_request(body, service.locations), slots, room)))


def watch(control: int, parent: int) -> None:
    """Wait until the loader is gone, and end at once; never returns."""
    poller = select.poll()
    poller.register(control, select.POLLIN)
    while os.getppid() == parent:
        if poller.poll(LOOK_SECONDS * 1000) and not os.read(control, 1):
            break
    os._exit(0)


def main(descriptors: Sequence[int], parent: int) -> None:
    """Run a process for pictures; never returns.

    Args:
        descriptors: the wire for the set-up, the shared memory, then one wire per thread.
        parent: process id of the loader.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is for the loader's process, which ends this one
    if sys.stderr is not None:
        faulthandler.enable()
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)
    control, memory, *lines = descriptors

    def look() -> None:
        if os.getppid() != parent:
            os._exit(0)

    wire = Wire(control, look)
    with _ends_process():
        _, body = wire.receive()
        service = Service(json.loads(body))
        shared = mapped(memory, service.layout)
        os.close(memory)
        for number, line in enumerate(lines):
            slots = Slots(shared, service.layout, number)
            threading.Thread(target=serve, args=(service, Wire(line, _go_on), slots), daemon=True).start()
        load_decoders()
        wire.send(frame(Kind.READY))
    watch(control, parent)
