"""Options of the command line as a configuration, and over one: both ways end in the same `Config`.

Pure. `Samples`, `Fit`, `Rules` and `Run` are the options; a file says more.
"""

from __future__ import annotations

import copy
import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mtgen.errors import PlanError
from mtgen.training.config.checking import keys_of
from mtgen.training.config.paths import rebased
from mtgen.training.config.reading import config_of
from mtgen.training.config.sections import Config
from mtgen.training.settings import Fit, Rules, Run, Samples

IMAGE, FEATURES = "image", "features"
"""Names of the inputs that options describe."""

_INPUT = {
    "image_column": (IMAGE, "column"),
    "image_root": (IMAGE, "root"),
    "size": (IMAGE, "size"),
    "color": (IMAGE, "color"),
    "recipe": (IMAGE, "recipe"),
    "cache": (IMAGE, "cache"),
    "features": (FEATURES, "store"),
    "index": (FEATURES, "index"),
    "key": (FEATURES, "key"),
}
"""Option -> the input it is about, and its key there."""

_DATA = {one.name for one in dataclasses.fields(Samples)}

_PATHS = {"table", "image_root", "cache", "features", "manifest", "run"}


def config_of_options(samples: Samples, fit: Fit, rules: Rules, run: Run) -> Config:
    """The configuration that options say, all of them.

    Args:
        samples: with the digits filled in, see `mtgen.training.samples.resolved`.
        fit: how a model is fitted.
        rules: the recipe.
        run: where the run is kept.

    Raises:
        PlanError: settings that contradict each other.
    """
    given = {one.name: getattr(samples, one.name) for one in dataclasses.fields(samples)}
    document: dict[str, Any] = {"table": {}, "inputs": {}, "targets": {samples.target: {"column": samples.target}}}
    if samples.image_column is not None:
        document["inputs"][IMAGE] = {"root": ""}
    if samples.features is not None:
        document["inputs"][FEATURES] = {}
    wanted = {name: value for name, value in given.items() if value is not None}
    if samples.features is None:  # options of the store are for nothing then
        wanted = {name: value for name, value in wanted.items() if name not in ("index", "key", "keys")}
    if samples.image_column is None:
        wanted = {name: value for name, value in wanted.items() if _INPUT.get(name, ("",))[0] != IMAGE}
    made = config_of(_with(document, wanted), Path())
    return dataclasses.replace(made, fit=fit, recipe=rules, run=run)


def config_over(document: Mapping[str, Any], folder: Path, given: Mapping[str, Any]) -> Config:
    """The configuration of a document with options that stand over what it says.

    Args:
        document: as `read_document` gives it.
        folder: that its relative paths are under.
        given: the options that were given: field of `Samples`, `Fit`, `Rules` or `Run` -> value. Relative paths among
            them are under the working folder.

    Raises:
        PlanError: an option for something that the document does not have; or see `config_of`.
    """
    moved = {
        name: rebased(os.fspath(value), Path.cwd(), folder, is_store=name == "features") if name in _PATHS else value
        for name, value in given.items()
    }
    config = config_of(_with(copy.deepcopy(dict(document)), moved), folder)
    if "resume" in given:
        config = dataclasses.replace(config, run=dataclasses.replace(config.run, resume=given["resume"]))
    return config


def config_beside(document: Mapping[str, Any], folder: Path, given: Mapping[str, Any]) -> Config:
    """The configuration of a document that alone says what the data are: what is looked at is what is trained on.

    Args:
        document: as `read_document` gives it.
        folder: that its relative paths are under.
        given: the options that were given, as for `config_over`; those of `[fit]` stand over the document.

    Raises:
        PlanError: an option that says what the data are or how they are split; or see `config_over`.
    """
    said = [_option(f"no_{name}" if value is False else name) for name, value in given.items() if name in _DATA]
    if said:
        raise PlanError(
            f"{', '.join(said)} beside --config: the file says what the data are and how they are split. Leave out one "
            "or the other, or say it in the file"
        )
    config = config_over(document, folder, given)
    if "seed" in given and config.split.by is None and config.split.seed is None:
        raise PlanError(
            "--seed beside --config: the file says no seed in [split], so another seed would be another split. Leave "
            "it out, or say seed in [split] of the file"
        )
    return config


def _with(document: dict[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The document, with options over it."""
    for name, value in given.items():
        if name in _SECTIONS:
            section, key = _SECTIONS[name]
            _table(document, section)[key] = _plain(value)
        elif name in _INPUT:
            inner, key = _INPUT[name]
            _input(document, inner, name)[key] = _plain(value)
        elif name == "keys":
            if not value:
                _input(document, FEATURES, "no_keys")["key"] = False
        elif name in ("manifest", "verify"):
            for entry in _table(document, "inputs").values():
                if isinstance(entry, dict) and "columns" not in entry:
                    entry[name] = _plain(value)
        elif name in ("target", "task"):
            _target(document, name)["column" if name == "target" else name] = value
        elif name == "split_by":
            document["split"] = {"by": value}
        elif name == "stratify":
            _table(document, "split")["stratify"] = value
    return document


_SECTIONS = {
    field: (name, key)
    for name, kind in (("fit", Fit), ("recipe", Rules), ("run", Run))
    for key, field in keys_of(kind).items()
} | {"table": ("table", "path")}
"""Option -> section and key."""


def _table(document: dict[str, Any], name: str) -> dict[str, Any]:
    found = document.setdefault(name, {})
    if not isinstance(found, dict):
        raise PlanError(f"[{name}] must be a table")
    return found


def _input(document: dict[str, Any], inner: str, option: str) -> dict[str, Any]:
    inputs = _table(document, "inputs")
    found = inputs.get(inner)
    if not isinstance(found, dict):
        raise PlanError(
            f"{_option(option)} is about the input {inner!r}, and the configuration has {', '.join(inputs) or 'none'}: "
            "say it in the file"
        )
    return found


def _target(document: dict[str, Any], option: str) -> dict[str, Any]:
    targets = document.get("targets")
    if isinstance(targets, str):
        targets = document["targets"] = {targets: {"column": targets}}
    if not isinstance(targets, dict) or len(targets) != 1:
        named = ", ".join(targets) if isinstance(targets, dict) else "none"
        raise PlanError(f"{_option(option)} is about one target, and the configuration has {named}: say it in the file")
    ((name, entry),) = targets.items()
    if not isinstance(entry, dict):
        entry = targets[name] = {"columns": entry} if isinstance(entry, list) else {"column": entry}
    if option == "target":
        entry.pop("columns", None)
    return entry


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


def _plain(value: Any) -> Any:
    """A value as TOML would have it."""
    if isinstance(value, tuple):
        return list(value)
    return os.fspath(value) if isinstance(value, os.PathLike) else value
