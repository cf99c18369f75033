"""A whole benchmark: suites one after the other, what they ran on, and the result as JSON."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import platform
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import mtgen
from mtgen.bench.data import Data
from mtgen.bench.drawing.run import TaskRun
from mtgen.bench.runner import Run
from mtgen.bench.settings import Places, Settings, usable_cores
from mtgen.bench.suites import contenders
from mtgen.errors import PlanError, StoreError

FORMAT = 1
"""Of the JSON; rises when its meaning changes."""

PACKAGES = (
    *(
        "numpy",
        "pandas",
        "pillow",
        "keras",
        "torch",
        "tensorflow",
        "tensorflow-cpu",
        "grain",
        "pylance",
        "h5py",
        "zarr",
    ),
    *("bcolz-zipline", "blosc2", "numcodecs", "tensorstore", "opencv-python-headless", "ffcv", "scikit-image"),
    *("scipy", "batchflow", "numba", "deeplake"),
)


def measure(
    suites: Sequence[str],
    settings: Settings,
    places: Places,
    *,
    only: Sequence[str] = (),
    groups: Sequence[str] = (),
    say: Callable[[str], object] = lambda text: None,
) -> dict[str, Any]:
    """Run suites.

    Call it from one thread; processes are started and ended within.

    Args:
        suites: names of suites.
        settings: sizes and rounds.
        places: where the data lies.
        only: contenders whose names contain any of these texts, whatever the case; none for all.
        groups: contenders of these classes; none for all.
        say: is told how far it is.

    Returns:
        The result, ready for JSON.

    Raises:
        PlanError: a suite that there is not, or texts that no name contains.
        StoreError: data that cannot be made.
    """
    chosen = {suite: _chosen(suite, only, groups) for suite in suites}
    found = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = places.folder or Path(temporary)
        for suite in suites:
            data = Data(folder=folder, settings=settings, suite=suite, photographs=places.photographs, say=say)
            run = (TaskRun if suite == "sampling" else Run)(suite=suite, settings=settings, data=data, say=say)
            found.append({**run.result(chosen[suite]), "settings": _settings(settings, suite)})
    return {"format": FORMAT, "mtgen": mtgen.__version__, "machine": machine(), "suites": found}


def _chosen(suite: str, only: Sequence[str], groups: Sequence[str]) -> list[Any]:
    everyone = contenders(suite)
    if unknown := set(groups) - {one.group for one in everyone}:
        known = ", ".join(dict.fromkeys(one.group for one in everyone))
        raise PlanError(f"the suite {suite} has the classes {known}, received {', '.join(sorted(unknown))}")
    everyone = [one for one in everyone if not groups or one.group in groups]
    chosen = [one for one in everyone if not only or any(text.lower() in one.name.lower() for text in only)]
    if not chosen:
        names = "; ".join(one.name for one in everyone)
        raise PlanError(
            f"no contender of the suite {suite} is called anything like {', '.join(only)}; there are {names}"
        )
    return chosen


def _settings(settings: Settings, suite: str) -> dict[str, Any]:
    return {
        **dataclasses.asdict(settings),
        "num_rows": settings.num_rows(suite),
        "num_columns": settings.num_columns(suite),
        "workers": settings.num_workers,
    }


def machine() -> dict[str, Any]:
    """What the benchmark runs on: cores, system, versions of the packages that take part."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "cores": usable_cores(),
        "machine": platform.machine(),
        "system": platform.system(),
        "python": platform.python_version(),
        "packages": versions,
    }


def read_result(path: Path) -> dict[str, Any]:
    """A result that `--json` wrote.

    Raises:
        StoreError: there is none, or of another format.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StoreError(f"it is no result of mtgen bench run --json ({error})", path=str(path)) from error
    if not isinstance(found, dict) or found.get("format") != FORMAT or "suites" not in found:
        raise StoreError(
            f"it is no result of format {FORMAT}, as mtgen bench run --json writes it: measure again", path=str(path)
        )
    return found
