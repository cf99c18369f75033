"""A `Config` as TOML: every setting written out, those that are left out as comments; read again, it is the same.

A writer of its own, because it is forty lines and writes what no library does: comments for what is not set, and one
line per setting. It writes what `tomllib` reads: texts, numbers, truths, dates, lists and tables of these.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

from mtgen.errors import PlanError
from mtgen.settings import shown
from mtgen.training.config.checking import keys_of
from mtgen.training.config.paths import absolute, is_same, rebased
from mtgen.training.config.reading import SECTIONS
from mtgen.training.config.sections import Config

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def to_toml(config: Config, folder: Path | None = None) -> str:
    """The configuration as the text of a TOML file.

    Pure, but that relative paths are looked at from the working folder.

    Args:
        config: what to write.
        folder: that the file is to lie in; relative paths are written as seen from there. None: as they are.

    Raises:
        PlanError: a value that TOML has no form for.

    Example:
        >>> from mtgen.training.config import read_config
        >>> to_toml(read_config("data_samples/digits.toml")).splitlines()[:5]
        ['code = "."', 'shifted = false', '', '[table]', 'path = "digits/table.csv"']
    """
    document = document_of(config, folder)
    # Keys of no table come first, or they would be keys of one.
    lines = [f"{name} = {literal(document.pop(name))}" for name in ("code", "shifted")]
    callbacks = document.pop("callbacks")
    for name, content in document.items():
        if name in SECTIONS:
            lines += ["", f"[{name}]", *_lines(content)]
        else:
            for inner, entry in content.items():
                lines += ["", f"[{name}.{key(inner)}]", *_lines(entry)]
    for entry in callbacks:
        lines += ["", "[[callbacks]]", *_lines(entry)]
    return "\n".join(lines) + "\n"


def document_of(config: Config, folder: Path | None = None) -> dict[str, Any]:
    """The configuration as a document: what is left out is None.

    Args:
        config: what to write.
        folder: see `to_toml`.
    """

    def content(settings: Any) -> dict[str, Any]:
        fields = {one.name: one for one in dataclasses.fields(settings)}
        found = {}
        for name, field in keys_of(type(settings)).items():
            value = getattr(settings, field)
            if value is not None and fields[field].metadata.get("path"):
                value = os.fspath(value)
                if folder is not None:
                    value = rebased(value, config.folder, folder, is_store=bool(fields[field].metadata.get("store")))
            found[name] = value
        return found

    code = config.code if folder is None else rebased(config.code, config.folder, folder)
    document: dict[str, Any] = {"code": code, "shifted": config.shifted}
    for name in ("table", "inputs", "targets", "split", "sampler", "model", "fit", "recipe", "run"):
        value = getattr(config, name)
        if isinstance(value, Mapping):
            document[name] = {inner: content(entry) for inner, entry in value.items()}
        else:
            document[name] = content(value)
    if folder is not None and config.run.run is not None and is_same(absolute(config.run.run, config.folder), folder):
        document["run"]["folder"] = "."  # so the folder may be moved
    if config.split.by is None:
        document["split"]["shares"] = dict(config.shares)
        document["split"]["seed"] = config.split_seed
    document["fit"]["schedule"] = config.schedule
    document["recipe"]["restore_best"] = config.recipe.puts_best_back
    document["callbacks"] = [content(one) for one in config.callbacks]
    return document


def _lines(content: Mapping[str, Any]) -> Iterator[str]:
    for name, value in content.items():
        yield f"# {key(name)} is left out" if value is None else f"{key(name)} = {literal(value)}"


def key(name: str) -> str:
    """A key as TOML has it, in quotation marks where it needs them."""
    return name if _BARE.fullmatch(name) else _text(name)


def literal(value: Any) -> str:
    """A value in TOML's form.

    Raises:
        PlanError: TOML has none.

    Example:
        >>> literal([1, "a", {"b": 0.1, "c d": True}])
        '[1, "a", {b = 0.1, "c d" = true}]'
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(int(value))
    if isinstance(value, float):
        return repr(float(value)) if value - value == 0 else "nan" if value != value else f"{value:+}"
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key(str(name))} = {literal(entry)}" for name, entry in value.items()) + "}"
    if isinstance(value, Sequence):
        return f"[{', '.join(map(literal, value))}]"
    raise PlanError(f"a configuration holds texts, numbers, truths, lists and tables, received {shown(value)}")


def _text(value: str) -> str:
    """A basic string. JSON escapes as TOML does, but for the delete character, and for halves of characters."""
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise PlanError(f"TOML is UTF-8, and this text has bytes that are none: {value!r}") from error
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007F")
