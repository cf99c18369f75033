"""What is told about a run: its pictures with a sentence each, what was left out and why, and facts."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mtgen.errors import MtgenError, PlanError

if TYPE_CHECKING:
    from mtgen.dataset import Dataset
    from mtgen.loader import Loader

KINDS = ("curves", "filters", "maps", "confusion", "inputs", "waits", "snapshots")
"""Kinds of pictures, in the order of the page."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is to be drawn.

    Args:
        only: kinds of pictures out of `KINDS`; empty for all.
        rows: places in the root table whose feature maps are drawn; empty for four of the valid split.
        layer: whose feature maps; None for the first convolution of each input.
        snapshots: steps; empty for some spread evenly.
        seed: of the permutations.

    Raises:
        PlanError: a kind that there is not.
    """

    only: tuple[str, ...] = ()
    rows: tuple[int, ...] = ()
    layer: str | None = None
    snapshots: tuple[int, ...] = ()
    seed: int = 0

    def __post_init__(self) -> None:
        unknown = [one for one in self.only if one not in KINDS]
        if unknown:
            raise PlanError(f"there is no picture {unknown[0]!r}; there are {', '.join(KINDS)}")

    @property
    def kinds(self) -> tuple[str, ...]:
        """The wanted kinds, in the order of the page."""
        return tuple(kind for kind in KINDS if not self.only or kind in self.only)


@dataclass(frozen=True, kw_only=True, eq=False)
class Opened:
    """The data of a run, opened.

    Args:
        valid: loader of the valid split; whoever opened it closes it.
        rows: dataset of the rows that may be looked at, such as all but those of a sealed test split.
    """

    valid: Loader
    rows: Dataset


Opener = Callable[[], Opened]
"""Opens the data of a run; raises `MtgenError` with the reason where that fails."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Table:
    """Lines under heads.

    Args:
        title: over it.
        heads: of the columns.
        lines: of texts.
        more: what was left out, in words.
    """

    title: str
    heads: Sequence[str]
    lines: Sequence[Sequence[str]]
    more: str = ""


@dataclass(frozen=True, kw_only=True, eq=False)
class Picture:
    """One figure of a report.

    Args:
        kind: one of `KINDS`.
        name: of the file, without `.png`.
        title: of its part of the page.
        sentence: what is to be seen in it, with numbers.
        alt: what kind of drawing it is, for those who do not see it.
        png: the file's bytes.
        tables: what the page shows below.
        numbers: for programs, plain JSON.
    """

    kind: str
    name: str
    title: str
    sentence: str
    alt: str
    png: bytes
    tables: Sequence[Table] = ()
    numbers: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, eq=False)
class LeftOut:
    """A picture that could not be made, or a part of one.

    Args:
        kind: one of `KINDS`.
        why: a sentence.
    """

    kind: str
    why: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Story:
    """All that a report shows.

    Args:
        name: of the run.
        facts: name -> value, in order.
        tables: decisions and scores.
        pictures: in the order of the page.
        left_out: what is missing.
        notes: sentences on what was taken otherwise than expected.
    """

    name: str
    facts: Mapping[str, str]
    tables: Sequence[Table]
    pictures: Sequence[Picture]
    left_out: Sequence[LeftOut]
    notes: Sequence[str] = ()

    def missing(self) -> dict[str, str]:
        """What is left out: why -> the kinds, with commas between."""
        reasons: dict[str, list[str]] = {}
        for one in self.left_out:
            reasons.setdefault(one.why, []).append(one.kind)
        return {why: ", ".join(dict.fromkeys(kinds)) for why, kinds in reasons.items()}

    def as_json(self) -> dict[str, Any]:
        """Plain JSON: everything but the pixels."""
        return {
            "run": self.name,
            "facts": dict(self.facts),
            "pictures": [
                {
                    "kind": one.kind,
                    "file": f"{one.name}.png",
                    "title": one.title,
                    "sentence": one.sentence,
                    **one.numbers,
                }
                for one in self.pictures
            ],
            "left_out": [{"kind": one.kind, "why": one.why} for one in self.left_out],
            "notes": list(self.notes),
        }


def file_name(kind: str, name: str, taken: set[str]) -> str:
    """A file's name for a picture of a part called `name`, whatever is in it; it is added to those taken.

    Example:
        >>> file_name("filters", "../a b", {"filters_a_b"})
        'filters_a_b_2'
    """
    plain = re.sub(r"[^A-Za-z0-9-]+", "_", name).strip("_")[:60]
    base = f"{kind}_{plain}" if plain else kind
    found, number = base, 1
    while found in taken:
        number += 1
        found = f"{base}_{number}"
    taken.add(found)
    return found


def sentence_of(error: MtgenError) -> str:
    """An error as one sentence: its message and path."""
    where = f" ({error.path})" if error.path else ""
    text = error.message.rstrip(".")
    first = text.split(" ", 1)[0]
    return f"{text[:1].upper() + text[1:] if first.isalpha() else text}{where}."


def finite(value: float) -> float | None:
    """A number for JSON, which has no NaN."""
    return float(value) if math.isfinite(value) else None
