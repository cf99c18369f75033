"""Values of a TOML file against the fields of a dataclass: names, types, and errors that say what was expected.

Pure. Nothing is converted but an integer where a number is wanted, and a list where a tuple is.
"""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

from mtgen.errors import PlanError
from mtgen.settings import nearest, short

T = TypeVar("T")

LARGEST = 2**63
"""TOML promises integers of 64 bits; Python reads larger ones, with which nothing here can count."""


class _Misfit(Exception):
    """A value is not of a type."""


def keys_of(kind: type) -> dict[str, str]:
    """The keys of a section: name in the file -> name of the field, in order."""
    found = {}
    for one in dataclasses.fields(kind):
        key = one.metadata.get("key", one.name)
        if key is not None:
            found[key] = one.name
    return found


def check_table(where: str, content: Any) -> Mapping[str, Any]:
    """The content, if it is a table.

    Raises:
        PlanError: anything else.
    """
    if not isinstance(content, Mapping):
        raise PlanError(f"{where} must be a table, received {described(content)}")
    return content


def check_keys(where: str, content: Mapping[str, Any], known: typing.Iterable[str]) -> None:
    """Refuse keys that nobody knows.

    Raises:
        PlanError: names the first one, the section, the nearest known key, and all known ones.
    """
    known = list(known)
    for key in content:
        if key not in known:
            near = nearest(key, known, 1)
            hint = f" Did you mean {near}?" if near else ""
            raise PlanError(f"{where} has no key {short(key)}.{hint} Known are: {', '.join(known)}")


def section(kind: type[T], where: str, content: Any) -> T:
    """A section of the file as an object of its dataclass.

    Args:
        kind: the dataclass.
        where: of the section, for messages, such as `[fit]`.
        content: the table as tomllib reads it.

    Raises:
        PlanError: unknown or missing keys, values of another type, or settings that the dataclass refuses.

    Example:
        >>> from mtgen.training.settings import Fit
        >>> section(Fit, "[fit]", {"epochs": 3}).epochs
        3
    """
    table, known = check_table(where, content), keys_of(kind)
    check_keys(where, table, known)
    hints, values = typing.get_type_hints(kind), {}
    for key, value in table.items():
        values[known[key]] = value_of(hints[known[key]], f"{key} in {where}", value)
    for one in dataclasses.fields(kind):  # type: ignore[arg-type]
        if one.name not in values and one.default is one.default_factory is dataclasses.MISSING:
            raise PlanError(f"{where} needs the key {one.metadata.get('key', one.name)}")
    try:
        return kind(**values)
    except PlanError as error:
        raise PlanError(f"{where}: {error.message}", path=error.path) from error


def value_of(hint: Any, where: str, value: Any) -> Any:
    """A value as its type wants it.

    Raises:
        PlanError: says what was received and what was expected.

    Example:
        >>> value_of(tuple[int, int], "size", [150, 100])
        (150, 100)
    """
    try:
        return _fitted(hint, value)
    except _Misfit:
        raise PlanError(f"{where} must be {expected(hint)}, received {described(value)}") from None


def _fitted(hint: Any, value: Any) -> Any:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        for one in arguments:
            if one is not type(None):
                try:
                    return _fitted(one, value)
                except _Misfit:
                    continue
    elif origin is Literal:
        if any(value is one or (type(value) is type(one) and value == one) for one in arguments):
            return value
    elif origin is tuple and isinstance(value, list):
        several = arguments[-1] is Ellipsis
        if several or len(arguments) == len(value):
            kinds = [arguments[0]] * len(value) if several else arguments
            return tuple(_fitted(one, entry) for one, entry in zip(kinds, value, strict=True))
    elif origin is not None and issubclass(origin, Mapping):
        if isinstance(value, Mapping):
            return {str(name): _fitted(arguments[1], entry) for name, entry in value.items()}
    elif hint is Any:
        return value
    elif hint is Path and isinstance(value, str):
        return Path(value)
    elif (hint in (str, bool) and type(value) is hint) or (
        hint is int and type(value) is int and -LARGEST <= value < LARGEST
    ):
        return value
    elif hint is float and type(value) in (int, float) and _is_number(value):
        return float(value)
    raise _Misfit


def _is_number(value: float) -> bool:
    return -LARGEST <= value < LARGEST if isinstance(value, int) else math.isfinite(value)


_WORDS = {
    str: "text",
    Path: "text",
    int: "an integer of 64 bits",
    float: "a finite number",
    bool: "true or false",
    Any: "any value",
}


def expected(hint: Any) -> str:
    """A type in words.

    Example:
        >>> expected(tuple[int, int] | None), expected(Literal["a", False])
        ('a list of 2 entries (each an integer of 64 bits)', '"a" or false')
    """
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return " or ".join(expected(one) for one in arguments if one is not type(None))
    if origin is Literal:
        return " or ".join("false" if one is False else f'"{one}"' for one in arguments)
    if origin is tuple:
        number = "entries" if arguments[-1] is Ellipsis else f"{len(arguments)} entries"
        return f"a list of {number} (each {expected(arguments[0])})"
    if origin is not None and issubclass(origin, Mapping):
        return f"a table of name = value (each {expected(arguments[1])})"
    return _WORDS[hint]


_KINDS = {str: "text", bool: "truth", int: "integer", float: "number", list: "list", dict: "table"}


def described(value: Any) -> str:
    """A value of a file, and what it is, for messages.

    Example:
        >>> described("3"), described([1])
        ("'3' (text)", '[1] (list)')
    """
    return f"{short(value)} ({_KINDS.get(type(value), type(value).__name__)})"
