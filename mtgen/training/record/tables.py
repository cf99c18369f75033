"""Files of a run that grow by a line at a time, tables and JSON lines alike: whole lines, or an error that names one.

A process that is killed may leave half a line at the end, without its line break. Such a torn line was never written,
as far as readers know. Whatever else does not fit is damage, and an error.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mtgen.errors import StateError, StoreError
from mtgen.files import read_plain
from mtgen.settings import short

MOST_STEPS = 2**53
"""A float64 counts no further, nor does any run."""

REMEDY = "Bring the file back from a copy, or remove the line"


def whole_lines(content: bytes) -> bytes:
    r"""The content without a torn last line. Pure.

    Example:
        >>> whole_lines(b"step,loss\n40,0.5\n80,0.")
        b'step,loss\n40,0.5\n'
    """
    return content[: content.rfind(b"\n") + 1]


def read_content(path: Path) -> bytes:
    """The whole lines of a file; empty where there is none.

    Raises:
        StoreError: it cannot be read.
    """
    try:
        return whole_lines(read_plain(path))
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise StoreError(f"a file of the run cannot be read ({error}): check rights", path=str(path)) from error


def _damaged(path: Path, line: int, why: str) -> StateError:
    return StateError(f"line {line} is damaged: {why}. {REMEDY}", path=str(path))


def read_table(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """A CSV file whose first column is `step`, as a frame.

    Args:
        path: the file.
        columns: of the frame where there is no such file, and those that the file must have at least.

    Returns:
        One line per line of the file: `step` int64, all others float64, NaN where the line has nothing.

    Raises:
        StateError: a damaged line, with its 1-based number.
        StoreError: the file cannot be read.
    """
    content = read_content(path)
    if not content:
        return _frame({name: [] for name in columns})
    names = _header(path, content, columns)
    found = _fast(content, len(names))
    if found is not None and (np.diff(found[:, 0]) > 0).all():
        return _frame(dict(zip(names, found.T, strict=True)))
    values: dict[str, list[Any]] = {name: [] for name in names}
    before = -1
    for line, fields in _csv_lines(path, content):
        if len(fields) != len(names):
            raise _damaged(path, line, f"it has {len(fields)} fields, and the first line names {len(names)}")
        before = _checked_step(path, line, _integer(fields[0]), before, rising=True)
        for name, field in zip(names, fields, strict=True):
            values[name].append(_number(path, line, name, field))
    return _frame(values)


def _frame(values: dict[str, Any]) -> pd.DataFrame:
    kinds = {name: "int64" if name == "step" else "float64" for name in values}
    return pd.DataFrame({name: pd.Series(one, dtype=kinds[name]) for name, one in values.items()})


def _header(path: Path, content: bytes, columns: Sequence[str]) -> list[str]:
    try:
        names = next(csv.reader([content[: content.index(b"\n")].decode()], strict=True))
    except (ValueError, StopIteration, csv.Error) as error:
        raise _damaged(path, 1, f"it names no columns ({error})") from error
    missing = [name for name in columns if name not in names]
    if names[:1] != ["step"] or missing or len({*names}) != len(names):
        raise _damaged(path, 1, f"it should name the columns {', '.join(columns)} and more, it says {short(names)}")
    return names


def _fast(content: bytes, num_columns: int) -> np.ndarray | None:
    """The numbers of a table without gaps, `(lines, columns)`; None where it has any or is damaged."""
    num_lines = content.count(b"\n") - 1
    if not num_lines:
        return None
    try:
        found = np.loadtxt(io.BytesIO(content), delimiter=",", skiprows=1, ndmin=2, comments=None, encoding="ascii")
    except ValueError:
        return None
    steps = found[:, 0]
    fits = (
        found.shape == (num_lines, num_columns)
        and (steps == np.floor(steps)).all()
        and ((steps >= 0) & (steps < MOST_STEPS)).all()
    )
    return found if fits else None


def _csv_lines(path: Path, content: bytes) -> Iterator[tuple[int, list[str]]]:
    """Number and fields of each line after the first."""
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise _damaged(path, content[: error.start].count(b"\n") + 1, f"it is no text ({error})") from error
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    while True:
        try:
            fields = next(reader, None)
        except csv.Error as error:
            raise _damaged(path, reader.line_num, str(error)) from error
        if fields is None:
            return
        if reader.line_num > 1:
            yield reader.line_num, fields


def _integer(field: str) -> object:
    return int(field) if field.isascii() and field.isdigit() and len(field) < 20 else field


def _checked_step(path: Path, line: int, step: object, before: int, rising: bool) -> int:
    if not isinstance(step, int) or isinstance(step, bool) or not 0 <= step < MOST_STEPS:
        raise _damaged(path, line, f"step is {short(step)}, expected a number of steps")
    if step < before or (rising and step == before):
        raise _damaged(path, line, f"step {step} comes after step {before}")
    return step


def _number(path: Path, line: int, name: str, field: str) -> float:
    if not field:
        return math.nan
    try:
        return float(field)
    except ValueError as error:
        raise _damaged(path, line, f"{name} is {short(field)}, expected a number or nothing") from error


def read_objects(path: Path, keys: Sequence[str]) -> list[dict[str, Any]]:
    """A file with one JSON object per line, each with a `step` that does not fall; empty where there is no such file.

    Args:
        path: the file.
        keys: that each object must have at least.

    Raises:
        StateError: a damaged line, with its 1-based number.
        StoreError: the file cannot be read.
    """
    found: list[dict[str, Any]] = []
    before = -1
    for line, text in enumerate(read_content(path).splitlines(), start=1):
        try:
            one = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise _damaged(path, line, f"it is no JSON ({error})") from error
        if not isinstance(one, dict) or not {*keys} <= {*one}:
            raise _damaged(path, line, f"expected an object with {', '.join(keys)}, received {short(one)}")
        before = _checked_step(path, line, one["step"], before, rising=False)
        found.append(one)
    return found


def read_object(path: Path) -> dict[str, Any]:
    """A file that holds one JSON object; empty where there is no such file.

    Raises:
        StateError: it holds something else; says where.
        StoreError: it cannot be read.
    """
    try:
        content = read_plain(path)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise StoreError(f"a file of the run cannot be read ({error}): check rights", path=str(path)) from error
    try:
        found = json.loads(content)
    except json.JSONDecodeError as error:
        raise _damaged(path, error.lineno, f"it is no JSON ({error})") from error
    except (ValueError, RecursionError) as error:
        raise _damaged(path, 1, f"it is no JSON ({error})") from error
    if not isinstance(found, dict):
        raise _damaged(path, 1, f"expected a JSON object, received {short(found)}")
    return found
