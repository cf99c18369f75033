"""A TOML file as a `Config`: read, checked section by section, and written out again whole.

Only `read_config` opens a file.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from mtgen.errors import MtgenError, PlanError
from mtgen.files import open_plain
from mtgen.settings import check_kind
from mtgen.training.config.checking import check_keys, check_table, described, section, value_of
from mtgen.training.config.sections import (
    INPUT_KINDS,
    CallbackSettings,
    Config,
    InputSettings,
    ModelSettings,
    SamplerSettings,
    SplitSettings,
    TableSettings,
    TargetSettings,
)
from mtgen.training.settings import Fit, Rules, Run

SECTIONS: dict[str, type] = {
    "table": TableSettings,
    "split": SplitSettings,
    "sampler": SamplerSettings,
    "model": ModelSettings,
    "fit": Fit,
    "recipe": Rules,
    "run": Run,
}
"""Sections that are one table each; the others are `inputs`, `targets` and `callbacks`."""

KEYS = (
    "table",
    "inputs",
    "targets",
    "split",
    "sampler",
    "model",
    "fit",
    "recipe",
    "callbacks",
    "run",
    "code",
    "shifted",
)
"""What a file may hold, in the order in which it is written."""

MOST_BYTES = 1_000_000
"""A longer file is no configuration."""

T = TypeVar("T")


def read_document(path: str | os.PathLike[str], *, pipes: bool = False) -> dict[str, Any]:
    """The content of a TOML file.

    Args:
        path: of the file.
        pipes: whether it may be a pipe, as a shell's `<(...)` is one.

    Raises:
        PlanError: it cannot be read, or is no TOML; with the line where that is known.
    """
    check_kind("the configuration", path, str | os.PathLike, "the path of a TOML file")
    name = os.fspath(path)
    try:
        with open_plain(name, pipes=pipes) as file:
            content = file.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        raise PlanError(f"the configuration cannot be read ({error})", path=str(name)) from error
    if len(content) > MOST_BYTES:
        raise PlanError(f"a configuration has at most {MOST_BYTES:,} bytes, this file has more", path=str(name))
    try:
        return tomllib.loads(content.decode("utf-8"))
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise PlanError(f"line {line}: no text in UTF-8, which TOML is", path=str(name)) from error
    except (ValueError, RecursionError) as error:  # a number of 5,000 digits, brackets without end
        raise PlanError(f"this is no TOML: {error}", path=str(name)) from error


def read_config(path: str | os.PathLike[str]) -> Config:
    """The configuration in a TOML file; see `docs/training.md` for all sections and keys.

    Reads that file and no other; any thread.

    Args:
        path: the file; relative paths in it are under its folder.

    Raises:
        PlanError: names the section and the key, what was received and what was expected.

    Example:
        >>> config = read_config("data_samples/digits.toml")
        >>> list(config.inputs), list(config.targets)
        (['image', 'features'], ['target'])
    """
    document = read_document(path)
    try:
        return config_of(document, Path(os.fspath(path)).absolute().parent)
    except MtgenError as error:
        raise error.at(path=os.fspath(path)) from error.__cause__


def config_of(document: Mapping[str, Any], folder: Path) -> Config:
    """The configuration that a document says.

    Pure.

    Args:
        document: as tomllib reads it.
        folder: that relative paths are under.

    Raises:
        PlanError: see `read_config`.
    """
    check_keys("the configuration", document, KEYS)
    for name in ("table", "inputs", "targets"):
        if name not in document:
            raise PlanError(f"the configuration needs [{name}]: see docs/training.md for a file of ten lines")
    found: dict[str, Any] = {
        name: section(kind, f"[{name}]", document[name]) for name, kind in SECTIONS.items() if name in document
    }
    found["inputs"] = {
        _name("inputs", name): _input(name, content)
        for name, content in check_table("[inputs]", document["inputs"]).items()
    }
    found["targets"] = _targets(document["targets"])
    if "callbacks" in document:
        found["callbacks"] = _callbacks(document["callbacks"])
    for name, kind in (("code", str), ("shifted", bool)):
        if name in document:
            found[name] = value_of(kind, name, document[name])
    return Config(folder=folder, **found)


def _name(role: str, name: str) -> str:
    if not name or (role == "inputs" and "/" in name):
        raise PlanError(f"a name in [{role}] must be text, of inputs without /, received {name!r}")
    return name


def _input(name: str, content: Any) -> InputSettings:
    where = f"[inputs.{name}]"
    table = check_table(where, content)
    kind = table.get("kind")
    if kind is None:
        kind = "rows" if "store" in table else "columns" if "columns" in table else "images"
        if kind == "images" and "column" not in table:
            raise PlanError(
                f"{where} does not say what it is: column for pictures, store for rows of an array, or columns of the "
                f"table; received {', '.join(table) or 'nothing'}"
            )
    if not isinstance(kind, str) or kind not in INPUT_KINDS:
        raise PlanError(f"kind in {where} must be {', '.join(INPUT_KINDS)}, received {described(kind)}")
    if kind == "images" and "column" in table and "size" not in table:
        raise PlanError(f"{where} needs size: pictures need one, such as size = [150, 150]")
    return section(INPUT_KINDS[kind], where, table)


def _targets(content: Any) -> dict[str, TargetSettings]:
    if isinstance(content, str):
        return {_name("targets", content): TargetSettings(column=content)}
    found = {}
    for name, entry in check_table("[targets]", content).items():
        where = f"[targets.{_name('targets', name)}]"
        if isinstance(entry, str):
            entry = {"column": entry}
        elif isinstance(entry, list):
            entry = {"columns": entry}
        elif not isinstance(entry, Mapping):
            raise PlanError(
                f"{name} in [targets] must be a column, a list of columns or a table, received {described(entry)}"
            )
        found[name] = section(TargetSettings, where, entry)
    return found


def _callbacks(content: Any) -> tuple[CallbackSettings, ...]:
    if not isinstance(content, list):
        raise PlanError(
            f"callbacks must be a list of import paths, or tables [[callbacks]]; received {described(content)}"
        )
    return tuple(
        section(CallbackSettings, f"[[callbacks]] number {number}", {"callback": one} if isinstance(one, str) else one)
        for number, one in enumerate(content, start=1)
    )
