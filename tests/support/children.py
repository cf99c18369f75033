"""Hundreds of processes quickly: a warm one without threads forks a child per case and tells how it ended.

A child is a process in all that counts: it comes out of the case's function through the top of its own interpreter,
with exit hooks, exit code and traceback. It costs some 50 milliseconds instead of a second for the imports.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Ended:
    """How a child ended.

    Args:
        code: exit code, minus the number of the signal that ended it; None where it had to be killed.
        seconds: from its start, or from the signal where one was sent, to its end.
        output: what it wrote.
        errors: what it wrote to the standard error.
        left: whether a process that it started outlived it until the deadline.
    """

    code: int | None
    seconds: float
    output: str
    errors: str
    left: bool


class Children:
    """A warm process that forks. Used by one thread.

    Args:
        modules: imported before the first fork; cases are functions in them.
    """

    def __init__(self, *modules: str) -> None:
        self._server = subprocess.Popen(
            [
                sys.executable,
                "-W",
                "error",
                "-X",
                "faulthandler",
                "-c",
                f"from tests.support.children import serve; serve({modules!r})",
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), "KERAS_BACKEND": "jax"},
        )
        assert self._server.stdout is not None
        assert self._server.stdout.readline() == "ready\n"

    def run(
        self,
        function: Any,
        *arguments: Any,
        send: int | None = None,
        after: float = 0.0,
        seconds: float = 20.0,
    ) -> Ended:
        """Run a function of an imported module in a child.

        Args:
            function: found again by its module and name.
            *arguments: JSON.
            send: a signal for the child.
            after: seconds from when the child says it is ready (`say_ready`) to the signal.
            seconds: a child that is there after this time is killed.
        """
        request = [function.__module__, function.__name__, arguments, send, after, seconds]
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.write(json.dumps(request) + "\n")
        self._server.stdin.flush()
        return Ended(**json.loads(self._server.stdout.readline()))

    def close(self) -> None:
        """End the process that forks."""
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.close()
        self._server.wait(20)
        self._server.stdout.close()


_ready: int | None = None


def say_ready() -> None:
    """Called by a case: from here on a signal may come."""
    assert _ready is not None
    os.write(_ready, b"r")


def serve(modules: tuple[str, ...]) -> None:
    """The warm process: a request a line on the standard input, an answer a line on the standard output."""
    # A shell has what it starts in the background ignore it (`make soak &`), and children inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for module in modules:
        importlib.import_module(module)
    requests, answers = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    os.close(null)
    gc.collect()
    gc.freeze()  # children copy fewer pages
    os.write(answers, b"ready\n")
    while line := _line(requests):
        module, name, arguments, send, after, seconds = json.loads(line)
        ready, told = os.pipe()
        with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
            started = time.monotonic()
            child = os.fork()
            if child == 0:
                os.dup2(output.fileno(), 1)
                os.dup2(errors.fileno(), 2)
                for file in (requests, answers, ready):
                    os.close(file)
                global _ready
                _ready = told
                # Out of here through the top: what the function raises is the process's own end.
                getattr(sys.modules[module], name)(*arguments)
                return
            os.close(told)
            answer = _watch(child, ready, send, after, started + seconds)
            for key, written in (("output", output), ("errors", errors)):
                written.seek(0)
                answer[key] = written.read().decode(errors="replace")
        os.write(answers, json.dumps(answer).encode() + b"\n")


def _line(file: int) -> bytes:
    """The next line; the other side waits for an answer to each, so nothing comes after it. Empty at the end."""
    line = b""
    while not line.endswith(b"\n") and (more := os.read(file, 65536)):
        line += more
    return line


def _watch(child: int, ready: int, send: int | None, after: float, until: float) -> dict[str, Any]:
    """Wait for the end of a child and of all that hold its pipe; end it where it takes too long."""
    started = time.monotonic()
    end = os.pidfd_open(child)
    try:
        if send is not None and select.select([ready, end], [], [], max(0.0, until - time.monotonic()))[0] == [ready]:
            os.read(ready, 1)
            # The moment of the signal is the case's own choice.
            select.select([end], [], [], after)
            started = time.monotonic()
            signal.pidfd_send_signal(end, send)
        ended = select.select([end], [], [], max(0.0, until - time.monotonic()))[0]
        if not ended:
            os.kill(child, signal.SIGABRT)
            if not select.select([end], [], [], 5.0)[0]:
                os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        seconds = time.monotonic() - started
        left = True
        while select.select([ready], [], [], max(0.0, until - time.monotonic()))[0]:
            if not os.read(ready, 16):
                left = False
                break
        return {"code": os.waitstatus_to_exitcode(status) if ended else None, "seconds": seconds, "left": left}
    finally:
        os.close(end)
        os.close(ready)
