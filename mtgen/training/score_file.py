"""The file of scores: a line of CSV for each time that the test split was looked at.

Lines are added with one write each, and cut off where training goes back; nothing temporary is made, so a killed
process leaves whole lines, or at worst a torn last one, which the next reader leaves out.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtgen.errors import ModelError, StateError, StoreError
from mtgen.files import read_plain
from mtgen.settings import short
from mtgen.stores.new_folder import NewFile, make_folder
from mtgen.training.record.tables import MOST_STEPS, REMEDY, whole_lines

FIRST = ["step", "why", "num_rows"]

_OTHER = "log_"
"""Stands before a metric that is named like one of the first columns, as in `history.csv`."""


@dataclass(frozen=True, kw_only=True)
class Score:
    """One look at the test split.

    Immutable; any thread.

    Args:
        step: number of steps trained so far.
        why: the reason.
        num_rows: rows that count in it.
        values: name -> value of the loss and each metric.

    Example:
        >>> score = Score(step=40, why="new best", num_rows=270, values={"loss": 0.25})
        >>> Score.of(score.content()) == score
        True
    """

    step: int
    why: str
    num_rows: int
    values: Mapping[str, float]

    def content(self) -> dict[str, Any]:
        """The score as JSON."""
        return {"step": self.step, "why": self.why, "num_rows": self.num_rows, "values": dict(self.values)}

    @classmethod
    def of(cls, content: Any) -> Score:
        """The score that JSON holds.

        Raises:
            StateError: it was not made by `content`.
        """
        try:
            return cls(
                step=_count(content["step"]),
                why=str(content["why"]),
                num_rows=_count(content["num_rows"]),
                values={str(name): float(value) for name, value in content["values"].items()},
            )
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise StateError(f"this is no score of a test split: {short(content)}") from error


def _count(value: Any) -> int:
    number = int(value)
    if not 0 <= number < MOST_STEPS:
        raise ValueError(f"{number} is no number of steps or rows")
    return number


def column(name: str) -> str:
    """The column of a metric. Pure.

    Example:
        >>> [column(name) for name in ("loss", "step", "log_step")]
        ['loss', 'log_step', 'log_log_step']
    """
    inner = name
    while inner.startswith(_OTHER):
        inner = inner.removeprefix(_OTHER)
    return _OTHER + name if inner in FIRST else name


def _metric(title: str) -> str:
    """The metric of a column."""
    name = title.removeprefix(_OTHER)
    return name if column(name) == title else title


def encode(scores: Sequence[Score]) -> bytes:
    """The file of these scores, UTF-8; at least one. Pure.

    Raises:
        ModelError: scores of different metrics.
    """
    names = list(scores[0].values)
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_MINIMAL)
    writer.writerow([*FIRST, *map(column, names)])
    for score in scores:
        if list(score.values) != names:
            raise ModelError(
                f"the scores before are of {names}, and this model gives {list(score.values)}: compile it with the "
                "same metrics, or give TestScores another path"
            )
        writer.writerow([score.step, score.why, score.num_rows, *(repr(value) for value in score.values.values())])
    return text.getvalue().encode()


def decode(content: bytes) -> list[Score]:
    """The scores in a file; a torn last line is left out. Pure.

    Raises:
        StateError: it is no file of scores.
    """
    try:
        lines = list(csv.reader(io.StringIO(whole_lines(content).decode(), newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise StateError(f"this is no file of scores: {error}. {REMEDY}") from error
    if not lines:
        return []
    header, *records = lines
    if header[: len(FIRST)] != FIRST:
        raise StateError(f"a file of scores begins with {','.join(FIRST)}, this one with {short(header)}. {REMEDY}")
    scores = []
    for number, line in enumerate(records, start=1):
        if len(line) != len(header):
            raise StateError(
                f"score {number} has {len(line)} fields, the header {len(header)}: {short(line)}. {REMEDY}"
            )
        named = dict(zip(header, line, strict=True))
        values = {_metric(title): named[title] for title in header[len(FIRST) :]}
        try:
            scores.append(Score.of({**{name: named[name] for name in FIRST}, "values": values}))
        except StateError as error:
            raise StateError(f"score {number}: {error.message}. {REMEDY}") from error.__cause__
    return scores


class ScoreFile:
    """The file at a path, which need not be there.

    One thread and one writer.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> list[Score]:
        """The scores that it holds; none where there is no file.

        Raises:
            StateError: it is no file of scores.
            StoreError: it cannot be read.
        """
        try:
            content = read_plain(self.path)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise self._failed("read", error) from error
        try:
            return decode(content)
        except StateError as error:
            raise error.at(path=str(self.path)) from error.__cause__

    def write(self, scores: Sequence[Score]) -> None:
        """Let the file hold these scores: lines that are there already stay, what differs is cut off.

        Raises:
            ModelError: scores of different metrics.
            StoreError: it cannot be written; the lines before are kept.
        """
        if not scores:
            try:
                self.path.unlink(missing_ok=True)
            except OSError as error:
                raise self._failed("removed", error) from error
            return
        content = encode(scores)
        make_folder(self.path.parent, "the folder of the scores")
        try:
            handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0), 0o666)
            try:
                _write(handle, content)
            finally:
                os.close(handle)
        except OSError as error:
            raise self._failed("written", error) from error

    def _failed(self, what: str, error: OSError) -> StoreError:
        return StoreError(f"the file of scores cannot be {what} ({error}): check space and rights", path=str(self.path))


def _length_in_common(before: bytes, after: bytes) -> int:
    """Bytes of the whole lines that both begin with."""
    length = 0
    for old, new in zip(before.splitlines(keepends=True), after.splitlines(keepends=True), strict=False):
        if old != new:
            break
        length += len(new)
    return length


def _write(handle: int, content: bytes) -> None:
    before = b""
    while piece := os.read(handle, 1 << 20):
        before += piece
    kept = _length_in_common(before, content)
    if kept == len(before) == len(content):
        return
    if kept < len(before):
        os.ftruncate(handle, kept)
    try:
        NewFile(handle).write(content[kept:])
        os.fsync(handle)
    except OSError:
        with suppress(OSError):  # half a line would be damage
            os.ftruncate(handle, kept)
        raise
