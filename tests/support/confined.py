"""Work on hostile bytes in a process of its own: little memory, little time, and a native crash is only a result.

`Confined` is one Python process, which forks for every case, so that a case costs milliseconds. Each fork limits its
own address space (`RLIMIT_AS`) and processor time, runs one function and tells how it ended.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import pickle
import resource
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
MEBIBYTE = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How one case ended.

    Args:
        ended: "returned", the name of an exception class, or "signal <number>" where the process was killed.
        text: what was returned, or the exception's text.
        grown_bytes: by how much resident memory rose over what it was before, at its highest.
        seconds: processor time.
    """

    ended: str
    text: str = ""
    grown_bytes: int = 0
    seconds: float = 0.0


class Confined:
    """A process that forks for every case: `with Confined("module:function") as run: run(case)`.

    Args:
        work: `module:function`; a `warm` in the module is called once, to import what every case needs.
        memory_bytes: most address space that a case may add.
        cpu_seconds: most processor time of a case.
    """

    def __init__(self, work: str, *, memory_bytes: int = 512 * MEBIBYTE, cpu_seconds: int = 20) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "tests.support.confined", work, str(memory_bytes), str(cpu_seconds)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )

    def __call__(self, case: Any) -> Outcome:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        pickle.dump(case, stdin)
        stdin.flush()
        return Outcome(**json.loads(stdout.readline()))

    def __enter__(self) -> Confined:
        return self

    def __exit__(self, *error: object) -> None:
        self._process.communicate()


def confined(work: str, cases: Mapping[str, Any], **limits: int) -> dict[str, Outcome]:
    """Run `module:function` on every case; see `Confined`."""
    with Confined(work, **limits) as run:
        return {name: run(case) for name, case in cases.items()}


def _resident() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _address_space() -> int:
    try:
        return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except OSError:
        return 0


def _perform(work: Any, case: Any, memory_bytes: int, cpu_seconds: int) -> Outcome:
    if used := _address_space():
        resource.setrlimit(resource.RLIMIT_AS, (used + memory_bytes, used + memory_bytes))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    before, started = _resident(), time.process_time()
    try:
        ended, text = "returned", str(work(case))
    except Exception as error:
        ended, text = type(error).__name__, str(error)
    return Outcome(
        ended=ended, text=text[:2000], grown_bytes=_resident() - before, seconds=time.process_time() - started
    )


def _in_fork(work: Any, case: Any, memory_bytes: int, cpu_seconds: int) -> Outcome:
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        with os.fdopen(writing, "wb") as file:
            file.write(json.dumps(vars(_perform(work, case, memory_bytes, cpu_seconds))).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as file:
        answer = file.read()
    _, status = os.waitpid(child, 0)
    return Outcome(**json.loads(answer)) if answer else Outcome(ended=f"signal {os.waitstatus_to_exitcode(status)}")


def main() -> None:
    """Read pickled cases from standard input until it ends; print each outcome as a line of JSON."""
    module_name, _, name = sys.argv[1].partition(":")
    module = importlib.import_module(module_name)
    getattr(module, "warm", lambda: None)()
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a decoder prints is no answer
    with contextlib.suppress(EOFError):
        while True:
            case = pickle.load(sys.stdin.buffer)
            outcome = _in_fork(getattr(module, name), case, int(sys.argv[2]), int(sys.argv[3]))
            print(json.dumps(vars(outcome)), file=answers, flush=True)


if __name__ == "__main__":
    main()
