"""`run.json`: what nobody chose, but a run depends on. Versions, the device, what the data were, and each resume."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from mtgen import __version__
from mtgen.checkpoint import Checkpoints
from mtgen.errors import PlanError, StateError
from mtgen.loader import Loader
from mtgen.settings import check_flag, check_kind, check_whole_or_none
from mtgen.state import differences, without_lone_files
from mtgen.stores.new_folder import make_folder, save_file
from mtgen.training.record.folder import RunFolder

VERSION = 1
"""Version of the layout; raised when something changes its meaning."""

FORMAT = "mtgen run"
PACKAGES = ("keras", "numpy", "pandas", "pillow", "jax", "torch", "tensorflow")
"""Distributions whose versions are recorded, where they are installed."""


def record_run(
    folder: str | os.PathLike[str] | RunFolder,
    parts: Mapping[str, Any],
    *,
    seed: int | None = None,
    resume: bool = False,
    say: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Write `run.json` for a run that begins, or add to it that the run is resumed; before `fit`.

    A run whose data, rows or seed are not those that it began with is refused: it would be another run. Versions and
    the device may change; what differs is said and written down.

    Args:
        folder: of the run; made if it is not there.
        parts: name of a split -> its `Loader`; or a dataset, where it has no loader, or is sealed.
        seed: of the splits and of the model, >= 0; None where there is no such number.
        resume: True goes on with the run in the folder, or begins it where there is none; False refuses such a folder.
        say: where a line about changed versions goes.

    Returns:
        What `run.json` holds now.

    Raises:
        PlanError: the folder has a run and `resume` is False; or parts that are none.
        StateError: the data are not those of the run; names each part that differs.
        StoreError: it cannot be written.
    """
    run = RunFolder(folder)
    check_kind("parts", parts, Mapping, 'a dict of name -> Loader, such as {"train": loader}')
    now = {
        "seed": check_whole_or_none("seed", seed),
        "splits": {str(name): _described(str(name), part) for name, part in parts.items()},
        **surroundings(),
    }
    before = run.read_record()
    if before and not check_flag("resume", resume):
        raise PlanError(
            "the folder has the record of a run. Go on with that one with resume=True, or choose another folder",
            path=str(run.record),
        )
    content = _resumed(run, before, now, say) if before else _begun(now)
    make_folder(run.path, "the folder of the run")
    save_file(run.record, (json.dumps(content, indent=2) + "\n").encode(), "the record of the run")
    return content


def surroundings() -> dict[str, Any]:
    """Versions, backend, device and system of this process."""
    import keras

    versions = {"python": platform.python_version(), "mtgen": __version__}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    backend = keras.backend.backend()
    return {
        "versions": versions,
        "backend": backend,
        "device": device_name(backend),
        "system": f"{platform.system()} {platform.machine()}",
    }


def device_name(backend: str) -> str:
    """The device that a backend of Keras computes on, as its maker calls it; `cpu` for none.

    Args:
        backend: `jax`, `torch` or `tensorflow`; another one is told by its own name.
    """
    if backend == "jax":
        import jax

        return str(jax.devices()[0].device_kind)
    if backend == "torch":
        import torch

        return str(torch.cuda.get_device_name()) if torch.cuda.is_available() else "cpu"
    if backend == "tensorflow":
        import tensorflow

        found = tensorflow.config.list_physical_devices("GPU")
        details = tensorflow.config.experimental.get_device_details(found[0]) if found else {}
        return str(details.get("device_name", "gpu")) if found else "cpu"
    return backend


def _described(name: str, part: Any) -> dict[str, Any]:
    if isinstance(part, Loader):
        return {
            "num_rows": len(part.dataset),
            "batch_size": part.batch_size,
            "steps_per_epoch": part.steps_per_epoch,
            "digests": dict(part.dataset.digests),
        }
    digests = getattr(part, "digests", None)
    check_kind(f"parts[{name!r}]", digests, Mapping, "a Loader, a Dataset or a sealed split")
    return {"num_rows": len(part), "digests": dict(digests or {})}


def _begun(now: Mapping[str, Any]) -> dict[str, Any]:
    return {"format": FORMAT, "version": VERSION, "began": _clock(), **now, "resumes": []}


def _clock() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _resumed(
    run: RunFolder, before: dict[str, Any], now: Mapping[str, Any], say: Callable[[str], None]
) -> dict[str, Any]:
    """The record with another resume.

    Raises:
        StateError: the run is another one, or the record is none.
    """
    if (
        before.get("format") != FORMAT
        or before.get("version") != VERSION
        or not isinstance(before.get("resumes"), list)
    ):
        raise StateError(
            f"expected the record of a run, {FORMAT!r} of version {VERSION}; it says {before.get('format')!r} of "
            f"version {before.get('version')!r}. Bring it back from a copy, or choose another folder for a new run",
            path=str(run.record),
        )
    differing = _other_data(before, now)
    if differing:
        raise StateError(
            "the run began with other data, and going on would be another run. Differing: "
            + "; ".join(differing)
            + ". Make them as they were, or choose another folder for a new run",
            path=str(run.record),
        )
    last = before
    for one in before["resumes"]:
        last = {**last, **one}
    kinds = ("backend", "device", "system")
    changed = [
        *differences("version of", last.get("versions"), now["versions"]),
        *differences("", {name: last.get(name) for name in kinds}, {name: now[name] for name in kinds}),
    ]
    if changed:
        say(f"resumed in other surroundings: {'; '.join(line.strip() for line in changed)}")
    steps = Checkpoints(run.checkpoints).steps()
    entry = {"at": _clock(), "step": steps[-1] if steps else 0}
    entry |= {name: now[name] for name in ("versions", *kinds) if now[name] != last.get(name)}
    return {**before, "resumes": [*before["resumes"], entry]}


def _other_data(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    found = differences("", {"seed": before.get("seed")}, {"seed": now["seed"]})
    splits = before.get("splits")
    if not isinstance(splits, Mapping) or set(splits) != set(now["splits"]):
        return [*found, f"splits were {sorted(map(str, splits or ()))} and are {sorted(now['splits'])}"]
    for name, one in now["splits"].items():
        digests = splits[name].get("digests") if isinstance(splits[name], Mapping) else None
        found += differences(
            f"{name} dataset part",
            without_lone_files(digests, one["digests"]),
            without_lone_files(one["digests"], digests),
        )
    return [line.strip() for line in found]
