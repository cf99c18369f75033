"""What a sampler is made of, as bytes: equality, hash, digest in a loader's state, and its stream of random words."""

from __future__ import annotations

import functools
import hashlib
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from mtgen.errors import PlanError
from mtgen.settings import shown

MOST_PARTS = 1 << 18
"""Things that a digest is made of, arrays counting as one: a second. A model of a network has no end of them."""


def digest_of(structure: object) -> str:
    """Hex digest of nested tuples of plain values, arrays, functions, and objects with a `structure()`.

    Equal structures have equal digests in every process and release; of functions, with one version of Python. A
    function counts by its module, name, code, defaults and what it closes over; what it looks up in its module does
    not count. A method counts with the object that it is of.

    Raises:
        PlanError: something of which no digest can be made.

    Example:
        >>> digest_of(("normal", 0.0, 1.0)) == digest_of(("normal", 0.0, 2.0))
        False
    """
    state = hashlib.blake2b(digest_size=16)
    for number, part in enumerate(_parts(structure, 0)):
        if number > MOST_PARTS:
            raise PlanError(f"a function holds more than {MOST_PARTS:,} things, or itself; give it arrays and numbers")
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
    elif isinstance(value, set | frozenset):
        yield f"set {len(value)}".encode()
        for digest in sorted(map(digest_of, value)):
            yield digest.encode()
    elif isinstance(value, types.FunctionType):
        yield f"function {value.__module__}.{value.__qualname__}".encode()
        yield from _parts(_code(value.__code__), depth + 1)
        cells = [cell.cell_contents for cell in value.__closure__ or ()]
        yield from _parts((value.__defaults__ or (), value.__kwdefaults__ or {}, cells), depth + 1)
    elif isinstance(value, types.CodeType):
        yield from _parts(_code(value), depth + 1)
    elif isinstance(value, np.generic):
        yield f"{value.dtype.str} {value.item()!r}".encode()  # its own repr differs between releases of NumPy
    elif value is None or value is Ellipsis or isinstance(value, bool | int | float | complex | str | bytes | np.dtype):
        yield f"{type(value).__name__} {value!r}".encode()
    elif isinstance(value, slice | type):
        yield _named(value).encode()
    elif callable(value):
        yield from _parts_of_callable(value, depth)
    else:
        yield from _parts(_reduced(value), depth + 1)


def _parts_of_callable(value: Callable[..., Any], depth: int) -> Iterator[bytes]:
    """A method with its object, a ufunc or built-in function by its name, what wraps a function by that function."""
    owner = getattr(value, "__self__", None)
    if owner is not None and not isinstance(owner, types.ModuleType):
        yield from _parts((getattr(value, "__func__", getattr(value, "__name__", "")), owner), depth + 1)
    elif _leads_back(value):
        yield _named(value).encode()
    elif isinstance(value, functools.partial):
        yield from _parts((functools.partial, value.func, value.args, value.keywords), depth + 1)
    elif hasattr(value, "__wrapped__"):
        yield from _parts((type(value), value.__wrapped__), depth + 1)
    elif isinstance(value, np.ufunc | np.vectorize):  # the latter changes when it is called
        raise PlanError(f"{shown(value)} cannot be told from others like it; call it in a function: lambda x: f(x)")
    else:
        yield from _parts(_reduced(value), depth + 1)


def _leads_back(value: Callable[..., Any]) -> bool:
    """Whether the name of something that holds no code of the user's leads to it, and to nothing else."""
    name = str(getattr(value, "__qualname__", None) or getattr(value, "__name__", ""))
    if isinstance(value, types.BuiltinFunctionType | types.MethodDescriptorType | types.WrapperDescriptorType):
        return True
    if isinstance(value, np.ufunc):
        return "(vectorized)" not in name  # what np.frompyfunc makes
    return type(value).__module__ == "numpy" and getattr(np, name, None) is value  # such as np.mean


def _code(code: types.CodeType) -> tuple[Any, ...]:
    return code.co_code, code.co_names, code.co_varnames, code.co_consts


def _named(value: slice | type | Callable[..., Any]) -> str:
    if isinstance(value, slice):
        return repr(value)
    return f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', None) or value.__name__}"


def _reduced(value: Any) -> tuple[Any, ...]:
    try:
        return type(value).__qualname__, dict(vars(value))
    except TypeError as error:
        raise PlanError(f"a sampler cannot hold {shown(value)}: give numbers, arrays, functions or samplers") from error
