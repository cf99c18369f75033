"""Work on hostile bytes in a process of its own: little memory, little time, and a native crash is only a result.

`confined(work, cases)` starts one Python process, which forks for every case, so that a case costs milliseconds. Each
fork limits its own address space (`RLIMIT_AS`) and processor time, runs one function and tells how it ended.
"""

from __future__ import annotations

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


def confined(
    work: str, cases: Mapping[str, Any], *, memory_bytes: int = 512 * MEBIBYTE, cpu_seconds: int = 20
) -> dict[str, Outcome]:
    """Run `module:function` on every case, each in a fork with at most so much more memory and time."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "tests.support.confined", work, str(memory_bytes), str(cpu_seconds)],
        input=pickle.dumps(dict(cases)),
        capture_output=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=300,
    )
    assert done.returncode == 0, done.stderr.decode()
    return {name: Outcome(**one) for name, one in json.loads(done.stdout.splitlines()[-1]).items()}


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
    """Read pickled cases from standard input, print outcomes as one line of JSON."""
    module, _, name = sys.argv[1].partition(":")
    work = getattr(importlib.import_module(module), name)
    outcomes = {
        case: vars(_in_fork(work, value, int(sys.argv[2]), int(sys.argv[3])))
        for case, value in pickle.load(sys.stdin.buffer).items()
    }
    print(json.dumps(outcomes))


if __name__ == "__main__":
    main()
