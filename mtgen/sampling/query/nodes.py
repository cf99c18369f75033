"""The parts of an expression: immutable nodes, equal by what they say and not by where they stand in the text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields

from mtgen.sampling.query.places import Place

ONE, MANY = "?", "*"
"""Wildcards: one character, any number of characters."""

Glob = tuple[tuple[str, bool], ...]
"""Characters of a text, each with True if it stands for itself: written after a backslash, or no wildcard."""


@dataclass(frozen=True, kw_only=True)
class Node:
    """A part of an expression; `place` is where it stands in the query."""

    place: Place = field(default=(0, 0), compare=False, repr=False)


@dataclass(frozen=True)
class Number(Node):
    """A number: an int in [0, 2**64) or a finite float."""

    value: int | float


@dataclass(frozen=True)
class Text(Node):
    """A text in quotes; `glob` is the text with what was escaped, for where wildcards count."""

    text: str
    glob: Glob


@dataclass(frozen=True)
class Truth(Node):
    """`True` or `False`."""

    value: bool


@dataclass(frozen=True)
class Column(Node):
    """The column of that name."""

    name: str


@dataclass(frozen=True)
class Minus(Node):
    """`-term`."""

    term: Node


@dataclass(frozen=True)
class Chain(Node):
    """`first op term op term ...`, from left to right; operators of one level: `+ -`, `* / %`, `^` or `||`."""

    first: Node
    rest: tuple[tuple[str, Node], ...]


@dataclass(frozen=True)
class Compare(Node):
    """`left op right` with op one of `= != < <= > >=`."""

    op: str
    left: Node
    right: Node


@dataclass(frozen=True)
class Like(Node):
    """`term [NOT] LIKE pattern`, or ILIKE, which ignores case."""

    term: Node
    pattern: Text
    any_case: bool
    negated: bool


@dataclass(frozen=True)
class IsNull(Node):
    """`term IS [NOT] NULL`."""

    term: Node
    negated: bool


@dataclass(frozen=True)
class In(Node):
    """`term [NOT] IN (item, ...)`; items are numbers, texts and truths."""

    term: Node
    items: tuple[Node, ...]
    negated: bool


@dataclass(frozen=True)
class Between(Node):
    """`term [NOT] BETWEEN low AND high`, both inclusive."""

    term: Node
    low: Node
    high: Node
    negated: bool


@dataclass(frozen=True)
class Not(Node):
    """`NOT term`."""

    term: Node


@dataclass(frozen=True)
class And(Node):
    """All of the terms."""

    terms: tuple[Node, ...]


@dataclass(frozen=True)
class Or(Node):
    """At least one of the terms."""

    terms: tuple[Node, ...]


@dataclass(frozen=True)
class Call(Node):
    """`name(argument, ...)`; `name` in lower case."""

    name: str
    arguments: tuple[Node, ...]


@dataclass(frozen=True)
class Stretch(Node):
    """`start:stop` between brackets; either may be left out."""

    start: int | None
    stop: int | None


@dataclass(frozen=True)
class Element(Node):
    """`[3]`: one element of a list, from the end if negative."""

    number: int


@dataclass(frozen=True)
class Index(Node):
    """`term[part, ...]`; parts are elements and stretches."""

    term: Node
    parts: tuple[Node, ...]


@dataclass(frozen=True)
class Choice(Node):
    """`max_weight(condition: weight, ...)` and `sum_weight(...)`; `choice` is None for pairs without either.

    The pairs are sorted, because their order in the text means nothing: not even for the last bit of a sum.
    """

    choice: str | None
    pairs: tuple[tuple[Node, Node], ...]


def children(node: Node) -> Iterator[Node]:
    """The nodes right below a node, in the order of its fields."""
    for part in fields(node):
        if part.name not in ("place", "glob"):
            yield from _nodes(getattr(node, part.name))


def _nodes(value: object) -> Iterator[Node]:
    if isinstance(value, Node):
        yield value
    elif isinstance(value, tuple):
        for part in value:
            yield from _nodes(part)


def walk(root: Node) -> Iterator[tuple[Node, int]]:
    """Every node with its depth, the root's being 1; without recursion, so that depth can be checked."""
    left = [(root, 1)]
    while left:
        node, depth = left.pop()
        yield node, depth
        left.extend((child, depth + 1) for child in reversed(list(children(node))))


def columns(root: Node) -> tuple[str, ...]:
    """Names of the columns that an expression reads, each once, in the order of the text.

    Example:
        >>> columns(Compare("=", Column("b"), Column("a")))
        ('b', 'a')
    """
    return tuple(dict.fromkeys(node.name for node, _ in walk(root) if isinstance(node, Column)))
