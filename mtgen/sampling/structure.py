"""What a sampler is made of, as bytes: equality, hash, digest in a loader's state, and its stream of random words."""

from __future__ import annotations

import hashlib
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from mtgen.errors import PlanError
from mtgen.settings import shown


def digest_of(structure: object) -> str:
    """Hex digest of nested tuples of plain values, arrays, functions, and objects with a `structure()`.

    Equal structures have equal digests in every process and release. A function counts by its module, name, code,
    defaults and what it closes over; what it looks up in its module does not count.

    Raises:
        PlanError: something of which no digest can be made.

    Example:
        >>> digest_of(("normal", 0.0, 1.0)) == digest_of(("normal", 0.0, 2.0))
        False
    """
    state = hashlib.blake2b(digest_size=16)
    for part in _parts(structure, 0):
        # Lengths first, so that no two sequences of parts read the same.
        state.update(len(part).to_bytes(8, "little") + part)
    return state.hexdigest()


def _parts(value: Any, depth: int) -> Iterator[bytes]:
    if depth > 200:
        raise PlanError("the expression is nested more than 200 deep, or holds itself; build it with S.mix(...)")
    if hasattr(value, "structure") and not isinstance(value, type):
        yield type(value).__name__.encode()
        yield from _parts(value.structure(), depth + 1)
    elif isinstance(value, np.ndarray) and not value.dtype.hasobject:
        little = np.ascontiguousarray(value, value.dtype.newbyteorder("<"))
        yield f"array {little.dtype.str} {little.shape}".encode()
        yield little.tobytes()
    elif isinstance(value, np.ndarray | tuple | list):
        yield f"list {len(value)}".encode()
        for one in value:
            yield from _parts(one, depth + 1)
    elif isinstance(value, Mapping):
        yield f"dict {len(value)}".encode()
        for name in value:
            yield from _parts((name, value[name]), depth + 1)
    elif isinstance(value, types.FunctionType):
        yield f"function {value.__module__}.{value.__qualname__}".encode()
        yield from _parts(_code(value.__code__), depth + 1)
        cells = [cell.cell_contents for cell in value.__closure__ or ()]
        yield from _parts((value.__defaults__ or (), value.__kwdefaults__ or {}, cells), depth + 1)
    elif isinstance(value, types.CodeType):
        yield from _parts(_code(value), depth + 1)
    elif value is None or isinstance(value, bool | int | float | complex | str | bytes | np.generic | np.dtype):
        yield f"{type(value).__name__} {value!r}".encode()
    elif isinstance(value, slice | type) or callable(value):
        yield _named(value).encode()
    else:
        yield from _parts(_reduced(value), depth + 1)


def _code(code: types.CodeType) -> tuple[Any, ...]:
    return code.co_code, code.co_names, code.co_varnames, code.co_consts


def _named(value: slice | type | Callable[..., Any]) -> str:
    """A class, ufunc or built-in function by its name; other callables cannot be told apart and are refused."""
    name = getattr(value, "__qualname__", None) or getattr(value, "__name__", None)
    if isinstance(value, slice):
        return repr(value)
    if name is None:
        raise PlanError(f"{shown(value)} has no name to know it by; wrap it in a function: lambda points: f(points)")
    return f"{getattr(value, '__module__', '')}.{name}"


def _reduced(value: Any) -> tuple[Any, ...]:
    try:
        return type(value).__qualname__, dict(vars(value))
    except TypeError as error:
        raise PlanError(f"a sampler cannot hold {shown(value)}: give numbers, arrays, functions or samplers") from error
