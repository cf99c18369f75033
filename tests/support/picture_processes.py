"""Loaders whose pictures are decoded in processes, what those processes leave behind, and code that they run first."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import mtgen
from mtgen.config import Prefetch
from tests.support.pictures import encode, noise, oriented, photo
from tests.support.waiting import eventually

ROOT = Path(__file__).resolve().parents[2]

POISON_SIZE = (13, 17)
"""Width and height of pictures at which the decoder of `POISON` crashes."""

POISON = f"""
import signal
from PIL.PngImagePlugin import PngImageFile
prepare = PngImageFile.load_prepare
def load_prepare(self):
    if self.size == {POISON_SIZE!r}:
        signal.raise_signal(signal.SIGSEGV)  # in this thread, at once
    prepare(self)
PngImageFile.load_prepare = load_prepare
"""
"""A decoder that crashes, as one with a hole in it does, for a `sitecustomize` of the processes alone."""


def write_pictures(folder: Path, num_pictures: int, *, bad: bool = False) -> list[str]:
    """Pictures of many kinds, each of another content; with `bad`, every seventh cannot be read. Gives their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number in range(num_pictures):
        height, width = 20 + number % 11, 24 + number % 7
        match number % 5:
            case 0:
                name, data = f"{number}.jpg", encode(photo(height, width), "JPEG", quality=90)
            case 1:
                name, data = f"{number}.png", encode(noise(height, width, 4, seed=number))
            case 2:
                name, data = f"{number}.jpg", oriented(photo(height, width), 1 + number % 8, "JPEG")
            case 3:
                name, data = f"{number}.png", encode(noise(height, width, seed=number).astype(np.uint16) * 257)
            case _:
                name, data = f"{number}.jpg", encode(noise(height, width, 3, seed=number), "WEBP", lossless=True)
        if bad and number % 7 == 3:
            match number // 7 % 4:
                case 0:
                    data = data[: len(data) // 2] if name.endswith("png") else data[:20]
                case 1:
                    data = b"<html>no picture</html>"
                case 2:
                    name = f"missing/{number}.png"
                case _:
                    (folder / name).symlink_to(__file__)
        if not name.startswith("missing") and not (folder / name).is_symlink():
            (folder / name).write_bytes(data)
        paths.append(name)
    return paths


def make_data(folder: Path, paths: list[str], **settings: Any) -> mtgen.Dataset:
    """A dataset of these pictures and a column with their row."""
    table = pd.DataFrame({"path": paths, "row": range(len(paths))})
    images = mtgen.Images("path", root=folder, **{"size": (12, 10), **settings})
    return mtgen.Dataset(table, {"image": images, "row": mtgen.Columns("row")}, targets="row")


def make_loader(data: mtgen.Dataset, batch_size: int = 8, **settings: Any) -> mtgen.Loader:
    """A loader that works ahead."""
    return mtgen.Loader(data, batch_size, **{"seed": 3, "prefetch": Prefetch(depth=4, stall_seconds=60), **settings})


def pids_of(loader: mtgen.Loader) -> list[int]:
    """Process ids of a loader's processes."""
    assert loader._processes is not None
    return list(loader._processes.pids())


def is_running(pid: int) -> bool:
    """Whether a process is there, and not only its exit code."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def stop(pid: int) -> None:
    """Let a process stand still, all its threads: the system stops them one after the other."""
    os.kill(pid, signal.SIGSTOP)
    tasks = Path(f"/proc/{pid}/task")
    assert eventually(
        lambda: all((one / "stat").read_text().rpartition(")")[2].split()[0] == "T" for one in tasks.iterdir())
    )


def all_gone(pids: list[int], seconds: float = 5.0) -> bool:
    """Whether processes end within the time."""
    return eventually(lambda: not any(map(is_running, pids)), seconds)


def children() -> list[int]:
    """Process ids of all children of this process, also of those that nobody waited for."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                parent = Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()[1]
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(parent) == os.getpid():
                found.append(int(name))
    return found


def holders(name: str = "memfd:mtgen") -> list[int]:
    """Processes that have shared memory of that name open or mapped, of those that this one may look into."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            files = [os.readlink(f"/proc/{pid}/fd/{number}") for number in os.listdir(f"/proc/{pid}/fd")]
            if any(name in one for one in [*files, Path(f"/proc/{pid}/maps").read_text()]):
                found.append(int(pid))
        except OSError:
            continue
    return found


def run_python(
    code: str, *arguments: str, seconds: float = 60.0, cwd: Path | None = None, paths: tuple[Path, ...] = (ROOT,)
) -> tuple[int, str, str]:
    """Exit code, output and errors of a process of its own; one that hangs, or leaves one that does, fails the test."""
    done = subprocess.run(
        [sys.executable, "-W", "error", *arguments, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=seconds,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))},
        check=False,
    )
    return done.returncode, done.stdout.strip(), done.stderr.strip()
