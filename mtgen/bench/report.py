"""Figures as text: a table for a terminal, and one in Markdown. Strings only."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mtgen.bench.drawing import table as drawing_table
from mtgen.bench.figures import number, times
from mtgen.bench.suites import CLASSES
from mtgen.bench.summary import Line, added, lines, spared

HEADS = ("contender", "rows/s", "min to max", "CPU s per 1,000", "memory", "grown", "ratio", "of its floor")
UNMEASURED = "-"


def cells(line: Line) -> list[str]:
    """One line of the table, a cell for each of `HEADS`.

    Example:
        >>> cells(Line(name="x", group="packed", family="other", status="failed", reason="why"))[:2]
        ['x', 'failed: why']
    """
    if line.rate is None or line.least is None or line.most is None:
        return [line.name, f"{line.status}: {line.reason}", *[""] * (len(HEADS) - 2)]
    return [
        line.name,
        number(line.rate),
        f"{number(line.least)} to {number(line.most)}",
        _or_dash(line.cpu, lambda cpu: f"{cpu:.3f}" if cpu < 10 else f"{cpu:.0f}"),
        _or_dash(line.own_bytes, _megabytes),
        _or_dash(line.grown_bytes, _megabytes),
        _or_dash(line.ratio, times),
        _or_dash(line.efficiency, lambda share: f"{share:.2f}"),
    ]


def _or_dash(value: Any, text: Callable[[Any], str]) -> str:
    return UNMEASURED if value is None else text(value)


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.0f} MB"


def terminal(suite: Mapping[str, Any]) -> str:
    """A suite for a terminal: a table for each class."""
    if suite["suite"] == "sampling":
        return drawing_table.terminal(suite)
    parts = [_sentence(suite)]
    for group, found in _by_class(suite).items():
        parts += ["", f"{group}: {CLASSES.get(group, '')}"]
        if reference := _reference(found):
            parts.append(f"ratios are to: {reference}")
        table = [list(HEADS), *map(cells, found)]
        short = [line for line in table if line[2]]
        widths = [max(len(line[place]) for line in short) for place in range(len(HEADS))]
        widths[0] = max(len(line[0]) for line in table)
        for line in table:
            first, *rest = line
            text = "  ".join(cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True))
            parts.append(f"  {first:{widths[0]}}  {text if rest[1] else rest[0]}".rstrip())
    parts += _last_lines(suite)
    return "\n".join(parts)


def markdown(suite: Mapping[str, Any]) -> str:
    """A suite as Markdown: a table for each class, and how the data was."""
    if suite["suite"] == "sampling":
        return drawing_table.markdown(suite)
    parts = [_sentence(suite)]
    for group, found in _by_class(suite).items():
        about = f"**{group}**: {CLASSES.get(group, '')}."
        reference = _reference(found)
        parts += ["", about + (f" Ratios are to {reference}." if reference else ""), ""]
        heads = [*HEADS, "pixels"] if any(line.difference is not None for line in found) else list(HEADS)
        parts += [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
        for line in found:
            text = cells(line)
            if len(heads) > len(HEADS):
                text.append(_or_dash(line.difference, lambda levels: f"{levels:.1f}") if line.rate else "")
            name = f"**{text[0]}**" if line.family == "mtgen" else text[0]
            parts.append("| " + " | ".join([name, *(cell.replace("|", "\\|") for cell in text[1:])]) + " |")
    parts += _last_lines(suite)
    return "\n".join(parts)


def _by_class(suite: Mapping[str, Any]) -> dict[str, list[Line]]:
    found: dict[str, list[Line]] = {}
    for line in lines(suite):
        found.setdefault(line.group, []).append(line)
    return found


def _reference(found: Sequence[Line]) -> str | None:
    return next((line.reference for line in found if line.reference), None)


def _sentence(suite: Mapping[str, Any]) -> str:
    settings = suite["settings"]
    data = f"{settings['num_rows']:,} rows of {settings['num_columns']:,} float32, {settings['sparsity']:.0%} zeros"
    if suite["suite"] != "features":
        data = f"{settings['num_rows']:,} JPEG files of 500x375 to {settings['size']}x{settings['size']}, with {data}"
    return (
        f"Suite {suite['suite']}: {data}; batches of {settings['batch_size']}, {settings['workers']} workers, "
        f"memory= {settings['memory'] >> 20} MiB; medians of {settings['rounds']} rounds of {settings['seconds']:g} s."
    )


def _last_lines(suite: Mapping[str, Any]) -> list[str]:
    """What goes across the classes of a suite."""
    said = [f"- {one.name}: {times(one.ratio)} times as fast as {one.decoder}" for one in spared(suite)]
    if said:
        return ["", "Next to the quickest loader that decodes:", "", *said]
    found = added(suite)
    if not found:
        return []
    said = [
        f"- recipe {one.recipe}: {one.share:+.1%} ({one.least:+.1%} to {one.most:+.1%} round by round)" for one in found
    ]
    return ["", "Time that the features add to the time of the pictures alone:", "", *said]
