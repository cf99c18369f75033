"""One end of a connection between a loader and a process: frames out, frames in, and a word in between."""

from __future__ import annotations

import os
import select
from collections.abc import Callable

from mtgen.processes.protocol import Frames, Kind
from mtgen.waits import POLL_SECONDS

_PIECE_BYTES = 1 << 16


class Wire:
    """Frames over a descriptor. One thread at a time; a signal handler that raises leaves it of no more use.

    Args:
        descriptor: a connected stream socket; from now on it does not block.
        tick: called after each `POLL_SECONDS` without a byte; raises to end the wait.

    Example:
        >>> import socket
        >>> from mtgen.processes.protocol import frame
        >>> one, other = (Wire(end.detach(), tick=lambda: None) for end in socket.socketpair())
        >>> one.send(frame(Kind.READY)); other.receive()
        (<Kind.READY: 2>, b'')
        >>> one.close(); other.close()
    """

    def __init__(self, descriptor: int, tick: Callable[[], None]) -> None:
        os.set_blocking(descriptor, False)
        self.descriptor, self.tick = descriptor, tick
        self._frames = Frames()
        self._readable, self._writable = select.poll(), select.poll()
        self._readable.register(descriptor, select.POLLIN)
        self._writable.register(descriptor, select.POLLOUT)

    def send(self, data: bytes) -> None:
        """Send all of it.

        Raises:
            EOFError: nobody is at the other end.
            What `tick` raises.
        """
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[os.write(self.descriptor, rest) :]
            except BlockingIOError:
                if not self._writable.poll(POLL_SECONDS * 1000):
                    self.tick()
            except (BrokenPipeError, ConnectionError) as error:
                raise EOFError("the other end is closed") from error

    def receive(self) -> tuple[Kind, bytes]:
        """The next frame.

        Raises:
            EOFError: nobody is at the other end.
            ProtocolError: what came is no frame.
            What `tick` raises.
        """
        while (found := self._frames.take()) is None:
            if not self._readable.poll(POLL_SECONDS * 1000):
                self.tick()
                continue
            try:
                piece = os.read(self.descriptor, _PIECE_BYTES)
            except BlockingIOError:
                continue
            except ConnectionError as error:
                raise EOFError("the other end is closed") from error
            if not piece:
                raise EOFError("the other end is closed")
            self._frames.feed(piece)
        return found

    def close(self) -> None:
        """Close the descriptor; nobody may be waiting on it."""
        descriptor, self.descriptor = self.descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)
