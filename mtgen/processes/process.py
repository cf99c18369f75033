"""A process for pictures as its loader sees it: started, asked over one line per thread, noticed when it is gone."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress

from mtgen.errors import StallError
from mtgen.processes.memory import Layout, Slots, mapped, new_memory
from mtgen.processes.protocol import Kind, ProtocolError
from mtgen.processes.wire import Wire
from mtgen.waits import POLL_SECONDS

START_SECONDS = 60.0
"""A process that is not ready after this time is given up: a fifth of a second is usual."""

END_SECONDS = 2.0
"""Longest wait for a process that was killed; one that waits for a file system may take longer."""

_CODE = (
    "import sys; sys.path[:] = sys.argv[3:]; from mtgen.processes.child import main; "
    "main([int(one) for one in sys.argv[1].split(',')], int(sys.argv[2]))"
)

_ASKING = {signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT}

left_behind: list[subprocess.Popen[bytes]] = []
"""Killed, and not gone in time: kept because Python warns of one that is forgotten, and asked again later."""


class GoneError(Exception):
    """The process ended before it answered."""


class KilledError(StallError):
    """The process was ended by a signal before it was ready."""


class Line:
    """The connection to one thread of a process, and that thread's slots. One thread at a time.

    Args:
        wire: frames to and from there.
        slots: of the thread.
        look: raises `GoneError` once the process has ended, whatever the wire says.

    Attributes:
        rows: that are in work there.
    """

    def __init__(self, wire: Wire, slots: Slots, look: Callable[[], None]) -> None:
        self.wire, self.slots, self.look = wire, slots, look
        self.rows: Sequence[int] = ()


class Process:
    """One process and its lines.

    Args:
        setup: the frame that it begins with.
        layout: threads, and memory for each.

    Attributes:
        lines: one per thread.
        pid: process id.
        gone: whether somebody found it ended.

    Raises:
        StallError: it cannot be started.
    """

    def __init__(self, setup: bytes, layout: Layout) -> None:
        self.gone = False
        self.pid = -1
        self.lines: list[Line] = []
        self._wires: list[Wire] = []
        self._popen: subprocess.Popen[bytes] | None = None
        try:
            with ExitStack() as ends:
                self._start(layout, ends)
            self._greet(setup)
        except BaseException as error:
            self.gone = True
            self.kill()
            self.end()
            self.close()
            if not isinstance(error, OSError) or isinstance(error, StallError):  # which is one too
                raise
            raise StallError(
                f"a process for pictures cannot be started ({error}): raise the limits on processes, open files and "
                "memory, or give fewer num_processes"
            ) from error

    def _start(self, layout: Layout, ends: ExitStack) -> None:
        """Start the interpreter; its ends of the connections are closed here afterwards."""
        theirs = []
        for _ in range(1 + layout.num_threads):
            here, there = (end.detach() for end in socket.socketpair())
            ends.callback(os.close, there)
            theirs.append(there)
            self._wires.append(Wire(here, self._look))
        memory = new_memory(layout.total_bytes)
        ends.callback(os.close, memory)
        shared = mapped(memory, layout)
        theirs.insert(1, memory)
        self._popen = subprocess.Popen(
            [*_interpreter(), "-c", _CODE, ",".join(map(str, theirs)), str(os.getpid()), *_paths()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=theirs,
            # Its own session: a Ctrl-C in the terminal is for the loader, which decides what becomes of this one.
            start_new_session=True,
            # Nothing is calculated there, and each thread of NumPy's algebra takes memory as it is loaded.
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        )
        self.pid = self._popen.pid
        self.lines = [
            Line(wire, Slots(shared, layout, number), self._look) for number, wire in enumerate(self._wires[1:])
        ]

    def _greet(self, setup: bytes) -> None:
        control = self._wires[0]
        left = START_SECONDS

        def wait() -> None:
            nonlocal left
            left -= POLL_SECONDS
            self._look()
            if left <= 0:
                raise StallError(f"process {self.pid} for pictures is not ready after {START_SECONDS:g} s")

        control.tick = wait
        try:
            control.send(setup)
            kind, _ = control.receive()
        except (EOFError, GoneError, ProtocolError) as error:
            how = self.end()
            raise (KilledError if self.was_killed else StallError)(
                f"a process for pictures {how} before it was ready; what it wrote to the standard error says "
                f"why. It runs {sys.executable!r} and imports mtgen and what this program's sys.path holds"
            ) from error
        if kind != Kind.READY:
            raise StallError(f"process {self.pid} for pictures begins with {kind.name}")

    def _look(self) -> None:
        """Notice an end that the connection does not show, because a forked process holds the other end open.

        Raises:
            GoneError: it has ended.
        """
        if self.has_ended:
            raise GoneError

    @property
    def has_ended(self) -> bool:
        """Whether it is gone, whatever its connections say."""
        return self._popen is None or self._popen.poll() is not None

    @property
    def was_killed(self) -> bool:
        """Whether a signal ended it."""
        return self._popen is not None and (self._popen.returncode or 0) < 0

    @property
    def was_asked_to_end(self) -> bool:
        """Whether it ended by a signal that somebody sends, and no crash and no lack of memory does."""
        return self._popen is not None and -(self._popen.returncode or 0) in _ASKING

    def kill(self) -> None:
        """Let it end now; whoever waits for it sees the connection end."""
        if self._popen is not None:
            with suppress(ProcessLookupError):
                self._popen.kill()

    def end(self) -> str:
        """Wait until it is gone, kill it where it is not, and say how it ended: "was ended by signal 9 (SIGKILL)"."""
        popen = self._popen
        if popen is None:
            return "did not start"
        try:
            code = popen.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            try:
                popen.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                left_behind.append(popen)
            return "closed its connection and went on, and was ended"
        if code < 0:
            with suppress(ValueError):
                return f"was ended by signal {-code} ({signal.Signals(-code).name})"
            return f"was ended by signal {-code}"
        return f"ended with exit code {code}"

    def close(self) -> None:
        """Close the connections and let go of the memory; nobody may be using a line."""
        for wire in self._wires:
            wire.close()
        # Wires and lines look after this process: a ring, which would keep the memory until it is collected.
        self._wires.clear()
        self.lines.clear()

    def forget(self) -> None:
        """In a forked child, whose process this is not: close the connections and leave it alone."""
        self.gone = True
        if self._popen is not None:
            self._popen.returncode = 0  # not ours to wait for, and Python would warn of it
        self.close()


def _interpreter() -> list[str]:
    """This interpreter with this one's options; its search path is given by hand."""
    flags: Callable[[], list[str]] = subprocess._args_from_interpreter_flags  # type: ignore[attr-defined]
    return [sys.executable, *flags(), "-P"]


def _paths() -> list[str]:
    return [path for path in sys.path if isinstance(path, str) and "\0" not in path]


def reap() -> None:
    """Look again at processes that were killed and were not gone in time."""
    left_behind[:] = [popen for popen in left_behind if popen.poll() is None]
