"""Errors that travel from one process to another: told in names, numbers and texts, and made again from them."""

from __future__ import annotations

import builtins
import os
import traceback

from mtgen import errors
from mtgen.errors import MtgenError
from mtgen.processes.protocol import MOST_TEXT, Cause, Failure, ProtocolError


def describe(error: MtgenError, place: int) -> Failure:
    """What is told of an error.

    Args:
        error: what was raised.
        place: which picture of the request.
    """
    kind = next(one.__name__ for one in type(error).__mro__ if getattr(errors, one.__name__, None) is one)
    trace = "".join(traceback.format_exception(error))
    path = None if error.path is None else str(error.path)
    return Failure(place, kind, error.message[:MOST_TEXT], error.row, path, _cause(error), trace[-MOST_TEXT:])


def _cause(error: MtgenError) -> Cause | None:
    cause = error.__cause__
    if cause is None:
        return None
    code = cause.errno if isinstance(cause, OSError) and isinstance(cause.errno, int) else 0
    text = (cause.strerror if code and isinstance(cause, OSError) else None) or str(cause)
    path = getattr(cause, "filename", None)
    kind = type(cause).__name__
    return Cause(kind, code, text[:MOST_TEXT], os.fsdecode(path) if isinstance(path, str | bytes) else "")


def made_again(failure: Failure, pid: int) -> MtgenError:
    """The error that a failure tells of: same class, text, row, path and cause; where it happened is a note.

    Args:
        failure: what was told.
        pid: the process that it happened in.

    Raises:
        ProtocolError: no error of mtgen has that name.

    Example:
        >>> error = made_again(Failure(0, "DecodeError", "cannot read the picture", 7, "a.png"), 4711)
        >>> print(error)
        cannot read the picture [row 7, path a.png]
    """
    kind = kind_named(failure.kind)
    error = kind(failure.message, row=failure.row, path=failure.path)
    if failure.cause is not None:
        error.__cause__ = _cause_again(failure.cause)
    if failure.trace:
        error.add_note(f"In process {pid}:\n{failure.trace.rstrip()}")
    return error


def kind_named(name: str) -> type[MtgenError]:
    """The class of errors of that name.

    Raises:
        ProtocolError: there is none.
    """
    kind = getattr(errors, name, None)
    if isinstance(kind, type) and issubclass(kind, MtgenError):
        return kind
    raise ProtocolError(f"an error of the unknown kind {name!r:.100}")


def _cause_again(cause: Cause) -> Exception:
    """An exception that policies see the same in: its class where Python has it, and the code of a system's call."""
    kind = getattr(builtins, cause.kind, None)
    if cause.code:
        return OSError(cause.code, cause.text, cause.path or None)
    if isinstance(kind, type) and issubclass(kind, Exception):
        try:
            return kind(cause.text)
        except TypeError:  # one that is made of several things
            pass
    return RuntimeError(f"{cause.kind}: {cause.text}")
