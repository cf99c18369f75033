"""Runs in processes of their own, killed at moments that progress decides and fixed seeds draw: never by the clock.

Run as a program, this file is the child: it runs a script, or a module, as `python` does, tells each trained step on
its standard output, and where it is told to, ends itself by SIGKILL at a call that changes files. The parent can also
kill it whenever it has read of a step; then training is somewhere behind that step.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import os
import random
import runpy
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
STEP = "a step was trained"
CALLS = ("write", "fsync", "link", "rename", "replace", "mkdir", "unlink", "rmdir", "ftruncate", "close")
"""Functions of `os` before which, and after which, a child can be killed."""

# The exception is Keras's own, see setup.cfg.
_WARNINGS = ("-W", "error", "-W", "ignore:__array__ implementation doesn't accept:DeprecationWarning")
_ENVIRONMENT = {
    "PYTHONPATH": str(ROOT),
    "KERAS_BACKEND": "jax",
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
}


@dataclass(frozen=True)
class Kill:
    """When a process is killed.

    Args:
        steps: after so many steps that it trained.
        calls: after so many calls more that change files, by itself; None for the parent to kill at once.
        done: whether the last of these calls is made before the kill, or never.
    """

    steps: int
    calls: int | None
    done: bool

    @staticmethod
    def draw(rng: random.Random, most_steps: int) -> Kill:
        """A moment of a life, often one in a save, after at most so many steps."""
        steps = rng.randrange(most_steps + 1)
        calls = rng.choice([None, rng.randrange(1, 8), rng.randrange(1, 40)])
        if calls is None:
            steps = max(steps, 1)
        return Kill(steps, calls, rng.random() < 0.5)


def life(command: Sequence[object], kill: Kill | None, cache: Path) -> tuple[bool, int, str]:
    """One process of a run.

    Args:
        command: a script's path or `-m` and a module, and arguments.
        kill: None lets it end.
        cache: folder where jax keeps what it compiled, for the lives that follow.

    Returns:
        Whether it ended by itself, the steps that it told, and all other lines that it printed.
    """
    asked = "never" if kill is None or kill.calls is None else f"{kill.steps} {kill.calls} {int(kill.done)}"
    told, lines = 0, []
    with subprocess.Popen(
        [sys.executable, *_WARNINGS, __file__, asked, *map(str, command)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **_ENVIRONMENT, "JAX_COMPILATION_CACHE_DIR": str(cache)},
    ) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        errors: list[str] = []
        reader = threading.Thread(target=lambda: errors.append(child.stderr.read()))  # type: ignore[union-attr]
        reader.start()
        for line in child.stdout:
            if line.rstrip("\n") != STEP:
                lines.append(line)
                continue
            told += 1
            if kill is not None and kill.calls is None and told == kill.steps:
                child.kill()
        code = child.wait()
        reader.join()
    if code not in (0, -signal.SIGKILL) or (code and kill is None):
        raise AssertionError(f"exit code {code}\n{''.join(lines)}\n{errors[0]}")
    return code == 0, told, "".join(lines)


def _arm(steps: int, calls: int, done: bool) -> None:
    """Kill this process at a call of its main thread."""
    own, left = threading.main_thread(), calls

    def armed(real: Any) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            nonlocal left
            if _trained < steps or threading.current_thread() is not own:
                return real(*arguments, **options)
            left -= 1
            if left == 0 and not done:
                os.kill(os.getpid(), signal.SIGKILL)
            result = real(*arguments, **options)
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return call

    for name in CALLS:
        setattr(os, name, armed(getattr(os, name)))


_trained = 0


def _tell_steps() -> None:
    """Tell of each step when Keras has ended it, with all callbacks."""
    import keras

    real, tell = keras.callbacks.CallbackList.on_train_batch_end, os.write

    def on_train_batch_end(self: Any, batch: int, logs: Any = None) -> None:
        global _trained
        real(self, batch, logs)
        _trained += 1
        tell(1, f"{STEP}\n".encode())

    keras.callbacks.CallbackList.on_train_batch_end = on_train_batch_end


class _Absent(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Keras imports tensorflow, which takes seconds, wherever it is installed: here it cannot be imported."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        return importlib.machinery.ModuleSpec(name, self) if name == "tensorflow" else None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> None:
        raise ImportError(spec.name)

    def exec_module(self, module: Any) -> None:
        """Never reached."""


def _main() -> None:
    asked, *command = sys.argv[1:]
    sys.meta_path.insert(0, _Absent())
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    _tell_steps()
    if asked != "never":
        steps, calls, done = map(int, asked.split())
        _arm(steps, calls, bool(done))
    if command[0] == "-m":
        sys.argv = command[1:]
        runpy.run_module(command[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = command
        runpy.run_path(command[0], run_name="__main__")


if __name__ == "__main__":
    _main()
