"""A card as Markdown with a YAML header, as dataset hubs show it. Names, labels and paths out of the data are escaped.

The header is JSON values under YAML keys, because every JSON value is a YAML value and needs no rules of its own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

from mtgen.card.finding import KINDS, SEVERITIES, SHOWN

MOST_COLUMNS = 40
"""Columns and classes that a page lists; the JSON has all."""

_MARKS = re.compile(r"([\\`*_{}\[\]<>#|~&$!@])")
_LINKS = re.compile(r"(?i)\b(www)\.|\b(https?|ftp|mailto|xmpp):")

_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
_LARGER = ((10_000_000, "1M<n<10M"), (100_000_000, "10M<n<100M"), (1_000_000_000, "100M<n<1B"))


def plain(text: object, most: int = 200) -> str:
    r"""Text as Markdown that shows just this text: no mark-up, link, HTML, new line or hidden character of its own.

    Example:
        >>> print(plain("<b>*1*|2\n"))
        \<b\>\*1\*\|2\\n
    """
    whole = str(text)
    cut = whole if len(whole) <= most else f"{whole[:most]}... ({len(whole):,} characters)"
    visible = "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in cut)
    escaped = _MARKS.sub(r"\\\1", visible)
    return _LINKS.sub(lambda found: f"{found[1]}\\." if found[1] else f"{found[2]}\\:", escaped)


def fenced(code: str, language: str) -> list[str]:
    """Code in a fence that the code cannot close."""
    longest = max(map(len, re.findall(r"`+", code)), default=0)
    fence = "`" * max(3, longest + 1)
    return [f"{fence}{language}", *code.splitlines(), fence, ""]


def as_markdown(card: dict[str, Any]) -> str:
    """The page of a card, from what `Card.as_dict` gives."""
    lines = [*_header(card), f"# {plain(card['name'])}", "", *_overview(card), *_problems(card), *_joins(card)]
    for one in card["targets"]:
        lines += _target(one, [split["name"] for split in card["splits"]])
    for one in card["inputs"]:
        lines += _input(one)
    lines += ["## How to load it", "", *fenced(card["load"], "python"), "## Digests", ""]
    lines += _table(["part", "digest"], ([plain(name), f"`{digest}`"] for name, digest in card["digests"].items()))
    made = f"Made by mtgen {card['mtgen']}, seed {card['rows']['seed']}. Everything is in `card.json`."
    return "\n".join([*lines, made, ""])


def _header(card: dict[str, Any]) -> list[str]:
    total = card["rows"]["total"]
    size = next((name for most, name in _SIZES + _LARGER if total < most), "n>1B")
    values: dict[str, Any] = {"pretty_name": _visible(card["name"])}
    if card["license"] is not None:
        values["license"] = _visible(card["license"])
    values["size_categories"] = [size]
    kinds = {"pictures" if "recipe" in one else one["kind"] for one in card["inputs"]}
    values["tags"] = [
        "mtgen",
        *(["image"] if "pictures" in kinds else []),
        *(["tabular"] if kinds - {"pictures"} else []),
    ]
    splits = card["splits"] or [{"name": "all", "rows": total}]
    values["dataset_info"] = {
        "splits": [{"name": _visible(one["name"]), "num_examples": one["rows"]} for one in splits]
    }
    return ["---", *(f"{name}: {json.dumps(value)}" for name, value in values.items()), "---", ""]


def _visible(text: str) -> str:
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def _overview(card: dict[str, Any]) -> list[str]:
    rows = card["rows"]
    lines = [f"{rows['total']:,} rows" + (f", {len(card['splits'])} splits." if card["splits"] else "."), ""]
    if rows["looked_at"] < rows["total"]:
        lines += [
            f"**A sample of {rows['looked_at']:,} rows was looked at.** What stands below of pictures, columns and "
            "problems is of these rows; rows and classes are counted in all.",
            "",
        ]
    if card["splits"]:
        lines += _table(
            ["split", "rows", "digest of rows"],
            ([plain(one["name"]), f"{one['rows']:,}", f"`{one['digest']}`"] for one in card["splits"]),
        )
    return lines


def _problems(card: dict[str, Any]) -> list[str]:
    lines = ["## Problems", ""]
    if not card["findings"]:
        return [*lines, "None found.", ""]
    counts = {name: sum(one["severity"] == name for one in card["findings"]) for name in SEVERITIES}
    lines += [", ".join(f"{count} {name}" for name, count in counts.items() if count) + ".", ""]
    for one in card["findings"]:
        splits = f" Splits: {', '.join(map(plain, one['splits']))}." if one["splits"] else ""
        lines.append(f"- **{one['severity']}: {KINDS[one['kind']]}** ({plain(one['where'])}): {one['text']}.{splits}")
        groups = [group for group in one["groups"] if group]
        if groups:
            more = "; ..." if len(groups) >= SHOWN else ""
            lines.append(f"  - rows {'; '.join(', '.join(map(str, group)) for group in groups)}{more}")
        lines += [f"  - {plain(example)}" for example in one["examples"]]
    return [*lines, ""]


def _joins(card: dict[str, Any]) -> list[str]:
    if not card["joins"]:
        return []
    lines = [
        "## Do the parts of a row belong together?",
        "",
        "Share of the variance of the second part that the first predicts, for the row's own and for neighbours.",
        "",
    ]
    shifts = ["-3", "-2", "-1", "0", "1", "2", "3"]
    body = [
        [
            plain(one["first"]),
            plain(one["second"]),
            one["order"],
            *(f"{one['scores'][shift]:.3f}" if shift in one["scores"] else "" for shift in shifts),
            f"**{one['verdict']}**: {one['why']}",
        ]
        for one in card["joins"]
    ]
    return [*lines, *_table(["first", "second", "neighbours in", *shifts, "verdict"], body)]


def _target(one: dict[str, Any], splits: Sequence[str]) -> list[str]:
    lines = [f"## Target {plain(one['name'])}", "", _spec(one), ""]
    if "classes" in one:
        classes = one["classes"]
        lines += _table(
            ["class", "rows", *map(plain, splits)],
            (
                [plain(item["class"]), f"{item['rows']:,}", *(f"{count:,}" for count in item["splits"])]
                for item in classes[:MOST_COLUMNS]
            ),
        )
        return [*lines, *_left_out(len(classes), "classes")]
    return [*lines, *(_columns(one, ("min", "max", "mean", "std")) if "min" in one else [])]


def _input(one: dict[str, Any]) -> list[str]:
    lines = [f"## Input {plain(one['name'])}", "", _spec(one), ""]
    if "recipe" in one:
        settings = {name: value for name, value in one["recipe"].items() if name != "digest"}
        shown = ", ".join(f"{name} {plain(json.dumps(value))}" for name, value in settings.items())
        lines += [f"Recipe: {shown}; digest `{one['recipe']['digest']}`.", ""]
    if "pictures" in one:
        lines += _pictures(one["pictures"])
    if "columns" in one:
        lines += _columns(one["columns"], ("count", "min", "max", "mean", "std", "nan", "infinite", "zero"))
    if "pictures" not in one and "columns" not in one:
        lines += ["Not looked into: patches of arrays.", ""]
    return lines


def _spec(one: dict[str, Any]) -> str:
    return f"{one['kind']}, ({', '.join(map(str, one['shape']))}) {one['dtype']} per row."


def _pictures(one: dict[str, Any]) -> list[str]:
    lines = [
        f"{one['files']:,} files, {one['bytes']:,} bytes, {one['unreadable']:,} unreadable, "
        f"{one['alpha']:,} with alpha.",
        "",
    ]
    for name in ("formats", "modes", "orientations"):
        shown = ", ".join(f"{plain(key)}: {count:,}" for key, count in one[name].items())
        lines.append(f"- {name}: {shown or 'none'}")
    lines.append("")
    most = max((size["files"] for size in one["sizes"]), default=1)
    lines += _table(
        ["width x height", "files", ""],
        (
            [
                f"{size['width']} x {size['height']}",
                f"{size['files']:,}",
                "█" * max(1, round(20 * size["files"] / most)),
            ]
            for size in one["sizes"][:MOST_COLUMNS]
        ),
    )
    return [*lines, *_left_out(one["distinct_sizes"], "sizes")]


def _columns(one: dict[str, Any], keys: Iterable[str]) -> list[str]:
    keys, names = list(keys), one["names"]
    body = (
        [plain(name), *(_number(one[key][place]) for key in keys)] for place, name in enumerate(names[:MOST_COLUMNS])
    )
    return [*_table(["column", *keys], body), *_left_out(len(names), "columns")]


def _left_out(count: int, what: str) -> list[str]:
    return [f"{count - MOST_COLUMNS:,} more {what}.", ""] if count > MOST_COLUMNS else []


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,}" if isinstance(value, int) else f"{value:.6g}"


def _table(heads: Sequence[str], body: Iterable[Sequence[str]]) -> list[str]:
    return [
        f"| {' | '.join(heads)} |",
        f"|{'---|' * len(heads)}",
        *(f"| {' | '.join(line)} |" for line in body),
        "",
    ]
