"""The suite `sampling` as text: a table for each task, its targets with met or missed. Strings only."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping
from typing import Any

from mtgen.bench.drawing.tasks import LIKE, TASKS, Task
from mtgen.bench.figures import duration, megabytes, times
from mtgen.bench.summary import Line, lines

HEADS = ("contender", "time", "min to max", "CPU", "first", "held", "most memory", "ratio", "target")
UNMEASURED = "-"


def terminal(suite: Mapping[str, Any]) -> str:
    """A suite for a terminal."""
    parts = [_sentence(suite)]
    for name, told, found in _tables(suite):
        parts += ["", f"{name}: {told}"]
        table = [list(HEADS), *found]
        short = [line for line in table if len(line) == len(HEADS)]
        widths = [max(len(line[place]) for line in short) for place in range(len(HEADS))]
        widths[0] = max(len(line[0]) for line in table)
        for first, *rest in table:
            text = "  ".join(cell.rjust(width) for cell, width in zip(rest[:-1], widths[1:-1], strict=False))
            parts.append(f"  {first:{widths[0]}}  {f'{text}  {rest[-1]}' if rest[1:] else rest[0]}".rstrip())
    return "\n".join(parts)


def markdown(suite: Mapping[str, Any]) -> str:
    """A suite as Markdown."""
    parts = [_sentence(suite)]
    for name, told, found in _tables(suite):
        parts += ["", f"**{name}**: {told}.", "", f"| {' | '.join(HEADS)} |", "|" + "---|" * len(HEADS)]
        for line in found:
            cells = [*line, *[""] * (len(HEADS) - len(line))]
            cells[0] = f"**{cells[0]}**" if cells[0].startswith("mtgen") else cells[0]
            parts.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(parts)


def _sentence(suite: Mapping[str, Any]) -> str:
    settings = suite["settings"]
    shrunk = f", sizes divided by {settings['shrink']:,}, without targets" if settings["shrink"] > 1 else ""
    return (
        f"Suite sampling: times of one call{shrunk}; medians of {settings['rounds']} rounds of "
        f"{settings['seconds']:g} s; cut off after {settings['limit']:g} s. Ratios are to the quickest of others."
    )


def _tables(suite: Mapping[str, Any]) -> Iterator[tuple[str, str, list[list[str]]]]:
    """Name, sentence and lines of each task; a line of two cells says why there is nothing to say."""
    found = lines(suite)
    by_name = {(one["group"], one["name"]): one for one in suite["contenders"]}
    rates = {(line.group, line.name): line.rate for line in found if line.rate}
    shrink = suite["settings"]["shrink"]
    for name in dict.fromkeys(line.group for line in found):
        task = TASKS[name]
        told = task.told(shrink) + ("; times are those of a row" if task.per_row else "")
        rows = task.sizes.shrunk(shrink).batch
        yield (
            name,
            told,
            [
                _cells(line, by_name[name, line.name], task, rows, None if shrink > 1 else rates)
                for line in found
                if line.group == name
            ],
        )


def _cells(
    line: Line, one: Mapping[str, Any], task: Task, rows: int, rates: Mapping[tuple[str, str], float] | None
) -> list[str]:
    if line.rate is None or line.least is None or line.most is None:
        return [line.name, f"{line.status}: {line.reason}"]
    units = 1 if task.per_row else rows
    memory = one["memory"]
    cpu = statistics.median(part["cpu_seconds"] / part["rows"] for part in one["rounds"])
    return [
        line.name,
        duration(units / line.rate),
        f"{duration(units / line.most)} to {duration(units / line.least)}",
        duration(units * cpu) if cpu else UNMEASURED,
        duration(memory["seconds"]),
        _size(memory["held_bytes"]),
        _size(memory["peak_bytes"]),
        UNMEASURED if line.ratio is None else times(line.ratio),
        ""
        if line.family != "mtgen" or rates is None
        else "; ".join(targets(task, units / line.rate, memory, line, rates)),
    ]


def _size(size: int | None) -> str:
    return UNMEASURED if size is None else megabytes(max(size, 0))


def targets(
    task: Task,
    seconds: float,
    memory: Mapping[str, Any],
    line: Line,
    rates: Mapping[tuple[str, str], float],
) -> Iterator[str]:
    """Each target of a task with met or missed.

    Args:
        task: what was measured.
        seconds: time of a call, or of a row.
        memory: what the first call found.
        line: figures of one of mtgen's contenders.
        rates: (task, contender) -> rows per second, of all.
    """
    if task.seconds is not None:
        yield f"{_upto(duration(task.seconds))}: {_met(seconds, task.seconds)}"
    for size, most, what in (
        (memory["peak_bytes"], task.peak_bytes, "most memory"),
        (memory["held_bytes"], task.held_bytes, "held"),
    ):
        if most is not None and size is not None:
            yield f"{what} {_upto(megabytes(most))}: {_met(size, most)}"
    if task.like is not None and (task.like, line.name) in rates:
        ratio = rates[task.like, line.name] / rates[line.group, line.name]
        yield f"as long as {task.like}, {_upto(f'{LIKE:g} times')}: {_met(ratio, LIKE)} ({ratio:.2f})"


def _upto(text: str) -> str:
    return f"<= {text.removesuffix('.0')}"


def _met(value: float, most: float) -> str:
    return "met" if value <= most else "missed"
