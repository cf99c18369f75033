"""Parse tree to nodes: numbers and texts are read, names of functions checked. What needs no table is refused here."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from math import isinf
from typing import Any

from mtgen.errors import QueryError
from mtgen.sampling.query import nodes
from mtgen.sampling.query.globs import MOST_GLOB, EscapeError, has_wildcard, read_text
from mtgen.sampling.query.grammar import MOST_BRACKETS, parse, too_deep
from mtgen.sampling.query.nodes import Node
from mtgen.sampling.query.places import Place, near, refusal
from mtgen.settings import quoted

FUNCTIONS = {
    "contains": (2, "contains(column, 'x')"),
    "any": (1, "any(column = 'x')"),
    "all": (1, "all(column > 0)"),
    "all_strict": (1, "all_strict(column > 0)"),
    "logical_and": (2, "logical_and(column > 0, column < 9)"),
    "logical_or": (2, "logical_or(column < 0, column > 9)"),
    "logical_not": (1, "logical_not(column = 0)"),
    "len": (1, "len(column)"),
    "shape": (1, "shape(column)[0]"),
    "row_number": (0, "row_number() % 10 = 0"),
    "random": (1, "random(7) < 0.1"),
}
"""Functions with their number of arguments and an example."""
CHOICES = {"max_weight": "max", "sum_weight": "sum"}
MOST_LIMIT = 2**63 - 1


def build(query: Any, start: str) -> Node | ClauseParts:
    """A text to the root node of its expression, or to the parts of its clause. Pure.

    Raises:
        QueryError: see `grammar.parse`; numbers that are too large, unknown escapes and functions, nesting.
    """
    tree = parse(query, start)
    builder = _Builder(query)
    root = builder.build(tree)
    parts = root.expressions() if isinstance(root, ClauseParts) else [root]
    for part in parts:
        for node, depth in nodes.walk(part):
            if depth > MOST_BRACKETS:
                raise too_deep(query, node.place)
    return root


class ClauseParts:
    """What a clause says, before it is a `Clause`."""

    def __init__(self) -> None:
        self.where: Node | None = None
        self.order: tuple[tuple[Node, bool], ...] = ()
        self.first_limit: int | None = None
        self.offset = 0
        self.weights: Node | None = None
        self.replace = True
        self.limit: int | Fraction | None = None

    def expressions(self) -> list[Node]:
        """The expressions in it."""
        found = [self.where, *(key for key, _ in self.order), self.weights]
        return [node for node in found if node is not None]


class _Builder:
    """Nodes from the tree's branches, leaves first and without recursion; one method for each rule of the grammar."""

    def __init__(self, query: str) -> None:
        self.query = query

    def build(self, tree: Any) -> Any:
        built: dict[int, Any] = {}
        for branch in tree.iter_subtrees():  # each branch after its own branches
            parts = [built[id(part)] if hasattr(part, "data") else part for part in branch.children]
            place = (getattr(branch.meta, "start_pos", 0), getattr(branch.meta, "end_pos", 0))
            rule: Callable[[list[Any], Place], Any] = getattr(self, f"_{branch.data}")
            built[id(branch)] = rule(parts, place)
        return built[id(tree)]

    def refuse(self, place: Place, message: str) -> QueryError:
        return refusal(self.query, place, message)

    # --- leaves

    def _number(self, parts: list[Any], place: Place) -> Node:
        text = str(parts[0])
        if text.isdigit():
            value: int | float = int(text) if len(text.lstrip("0")) <= 20 else 2**64
            if value >= 2**64:
                raise self.refuse(place, "whole numbers must be below 2**64; write a larger one as 1e30, not exact")
            return nodes.Number(value, place=place)
        if isinf(float(text)):
            raise self.refuse(place, "the number is too large; the largest is about 1.8e308")
        return nodes.Number(float(text), place=place)

    def _text(self, parts: list[Any], place: Place) -> Node:
        try:
            text, glob = read_text(str(parts[0]))
        except EscapeError as error:
            at = place[0] + error.offset
            raise self.refuse(
                (at, at + 2),
                f"unknown escape \\{error}; known are \\\\ \\' \\\" \\n \\t \\r \\* \\? \\%. A backslash is written "
                "\\\\, in Python best in a raw text: r'...'",
            ) from None
        return nodes.Text(text, glob, place=place)

    def _truth(self, parts: list[Any], place: Place) -> Node:
        return nodes.Truth(parts[0].type == "TRUE", place=place)

    def _null(self, parts: list[Any], place: Place) -> Node:
        raise self.refuse(place, "nothing compares with NULL; write IS NULL or IS NOT NULL")

    def _column(self, parts: list[Any], place: Place) -> Node:
        return nodes.Column(_name(parts[0]), place=place)

    # --- operators

    def _either(self, parts: list[Any], place: Place) -> Node:
        return nodes.Or(_flat(nodes.Or, parts), place=place)

    def _both(self, parts: list[Any], place: Place) -> Node:
        return nodes.And(_flat(nodes.And, parts), place=place)

    def _negated(self, parts: list[Any], place: Place) -> Node:
        once = nodes.Not(parts[-1], place=place)
        return once if len(parts) % 2 == 0 else nodes.Not(once, place=place)

    def _compare(self, parts: list[Any], place: Place) -> Node:
        op = {"==": "=", "<>": "!="}.get(str(parts[1]), str(parts[1]))
        return nodes.Compare(op, parts[0], parts[2], place=place)

    def _like(self, parts: list[Any], place: Place) -> Node:
        term, token, pattern = parts
        word = str(token).upper().split()
        if not isinstance(pattern, nodes.Text):
            raise self.refuse(pattern.place, f"{word[-1]} needs a text in quotes, such as 'IMG_*.png'")
        self._check_glob(pattern)
        if not has_wildcard(pattern.glob) and any(letter == "%" for letter in self._unescaped(pattern)):
            raise self.refuse(
                pattern.place,
                f"{word[-1]} knows the wildcards * and ?, not SQL's % and _. Write * for %; a percent sign is \\%",
            )
        return nodes.Like(term, pattern, word[-1] == "ILIKE", len(word) == 2, place=place)

    def _unescaped(self, text: nodes.Text) -> str:
        """The text as written, without its escapes."""
        written, found, at = self.query[text.place[0] + 1 : text.place[1] - 1], "", 0
        while at < len(written):
            found += "" if written[at] == "\\" else written[at]
            at += 2 if written[at] == "\\" else 1
        return found

    def _check_glob(self, text: nodes.Text) -> None:
        if has_wildcard(text.glob) and len(text.glob) > MOST_GLOB:
            raise self.refuse(text.place, f"a text with wildcards may have {MOST_GLOB:,} characters at most")

    def _is_null(self, parts: list[Any], place: Place) -> Node:
        return nodes.IsNull(parts[0], len(str(parts[1]).split()) == 3, place=place)

    def _is_in(self, parts: list[Any], place: Place) -> Node:
        term, token, *items = parts
        read: list[Node] = []
        for item in items:
            number = _constant(item)
            if number is None and not isinstance(item, nodes.Text | nodes.Truth):
                raise self.refuse(
                    item.place, "IN takes numbers, texts in quotes, True and False; use = and OR otherwise"
                )
            read.append(item if number is None else nodes.Number(number, place=item.place))
        return nodes.In(term, tuple(read), len(str(token).split()) == 2, place=place)

    def _between(self, parts: list[Any], place: Place) -> Node:
        term, token, low, high = parts
        return nodes.Between(term, low, high, len(str(token).split()) == 2, place=place)

    def _chain(self, parts: list[Any], place: Place) -> Node:
        first: Node = parts[0]
        rest: tuple[tuple[str, Node], ...] = tuple(zip(map(str, parts[1::2]), parts[2::2], strict=True))
        if isinstance(first, nodes.Chain) and _LEVEL[first.rest[0][0]] == _LEVEL[rest[0][0]]:
            rest, first = (*first.rest, *rest), first.first  # (a - b) - c says what a - b - c says
        return nodes.Chain(first, rest, place=place)

    def _minus(self, parts: list[Any], place: Place) -> Node:
        once = nodes.Minus(parts[-1], place=place)
        return once if len(parts) % 2 == 0 else nodes.Minus(once, place=place)

    # --- lists

    def _index(self, parts: list[Any], place: Place) -> Node:
        return nodes.Index(parts[0], tuple(parts[1:]), place=place)

    def _element(self, parts: list[Any], place: Place) -> Node:
        return nodes.Element(self._whole(parts[0]), place=place)

    def _stretch(self, parts: list[Any], place: Place) -> Node:
        start, stop = (None if part is None else self._whole(part) for part in parts)
        return nodes.Stretch(start, stop, place=place)

    def _whole(self, node: Node) -> int:
        number = _constant(node)
        if not isinstance(number, int) or not -MOST_LIMIT <= number <= MOST_LIMIT:
            raise self.refuse(node.place, "a place in a list is a whole number, such as [0], [-1] or [1:3]")
        return number

    # --- functions

    def _call(self, parts: list[Any], place: Place) -> Node:
        token, *arguments = parts
        name, where = str(token).lower(), (token.start_pos, token.end_pos)
        arguments = [part for part in arguments if part is not None]
        if name in CHOICES:
            raise self.refuse(
                where, f"{name} takes pairs: {name}(condition: weight, ...), such as {name}(a > 1: 20, True: 1)"
            )
        if name not in FUNCTIONS:
            hint = near(name, [*FUNCTIONS, *CHOICES], "the functions are")
            raise self.refuse(where, f"there is no function {quoted(name)}. {_TOLD.get(name, hint)}")
        wanted, example = FUNCTIONS[name]
        if len(arguments) != wanted:
            told = _TOLD["random"] if name == "random" else f"such as {example}"
            raise self.refuse(
                place, f"{name} takes {wanted} argument{'s' * (wanted != 1)}, received {len(arguments)}: {told}"
            )
        if name == "random" and not isinstance(_constant(arguments[0]), int):
            raise self.refuse(arguments[0].place, f"random takes its seed, a whole number from 0: {_TOLD['random']}")
        if name == "contains" and isinstance(arguments[0], nodes.Text):
            raise self.refuse(
                arguments[0].place,
                "contains takes a column first: its name stands without quotes, an odd one in backticks",
            )
        for argument in arguments:
            if isinstance(argument, nodes.Text):
                self._check_glob(argument)
        return nodes.Call(name, tuple(arguments), place=place)

    def _choice(self, parts: list[Any], place: Place) -> Node:
        token, *pairs = parts
        name = str(token).lower()
        if name not in CHOICES:
            told = "pairs of condition and weight stand in max_weight(...) or sum_weight(...)"
            raise self.refuse((token.start_pos, token.end_pos), f"{quoted(name)} takes no pairs; {told}")
        return self._sorted(CHOICES[name], pairs, place)

    def _pair(self, parts: list[Any], place: Place) -> tuple[Node, Node]:
        return parts[0], parts[1]

    def _pairs(self, parts: list[Any], place: Place) -> Node:
        return self._sorted(None, parts, place)

    def _sorted(self, choice: str | None, pairs: list[tuple[Node, Node]], place: Place) -> Node:
        for condition, _ in pairs:
            if isinstance(condition, nodes.Text | nodes.Number):
                raise self.refuse(
                    condition.place,
                    "a condition stands before the colon, such as label = 'a', or True for all other rows; a column of "
                    "truths stands without quotes",
                )
        for _, weight in pairs:
            self._check_weight(weight)
        return nodes.Choice(choice, tuple(sorted(pairs, key=repr)), place=place)

    # --- the parts of a clause

    def _condition(self, parts: list[Any], place: Place) -> Node:
        return parts[0]

    _where = _condition

    def _weights(self, parts: list[Any], place: Place) -> Node:
        self._check_weight(parts[0])
        return parts[0]

    def _check_weight(self, weight: Node) -> None:
        if (_constant(weight) or 0) < 0:
            raise self.refuse(
                weight.place, "a weight is 0 or more: 0 never draws a row, 2 draws it twice as often as 1"
            )

    def _select(self, parts: list[Any], place: Place) -> None:
        return None

    def _key(self, parts: list[Any], place: Place) -> tuple[Node, bool]:
        return parts[0], len(parts) > 1 and parts[1].type == "DESC"

    def _order(self, parts: list[Any], place: Place) -> tuple[tuple[Node, bool], ...]:
        return tuple(parts)

    def _limit(self, parts: list[Any], place: Place) -> tuple[int | None, int]:
        count, offset = parts
        limit = None if count.type == "ALL" else self._count(count)
        return limit, 0 if offset is None else self._count(offset)

    def _offset(self, parts: list[Any], place: Place) -> tuple[int | None, int]:
        return None, self._count(parts[0])

    def _replace(self, parts: list[Any], place: Place) -> bool:
        return parts[0] is None or parts[0].type == "TRUE"

    def _cap(self, parts: list[Any], place: Place) -> int | Fraction:
        number, percent = parts
        if percent is None:
            return self._count(number)
        return self._percent(number)

    def _percent(self, token: Any) -> Fraction:
        text = str(token)
        if len(text) > 40 or not 0 <= float(text) <= 1e15 or 0 < float(text) < 1e-15:
            raise self.refuse(
                (token.start_pos, token.end_pos), "a percentage lies between 0 and 1e15 and has few digits"
            )
        return Fraction(text)

    def _count(self, token: Any) -> int:
        text = str(token)
        if not text.isdigit() or len(text) > 19 or int(text) > MOST_LIMIT:
            raise self.refuse(
                (token.start_pos, token.end_pos),
                "a number of rows is a whole number below 2**63; a share is written LIMIT 10 PERCENT, after SAMPLE BY",
            )
        return int(text)

    def _sample(self, parts: list[Any], place: Place) -> tuple[Node, bool, int | Fraction | None]:
        weights, replace, cap = parts
        return weights, replace is not False, cap

    def _clause(self, parts: list[Any], place: Place) -> ClauseParts:
        _, where, order, limit, sample = parts
        clause = ClauseParts()
        clause.where, clause.order = where, order or ()
        clause.first_limit, clause.offset = limit or (None, 0)
        if sample is not None:
            clause.weights, clause.replace, clause.limit = sample
        return clause


_TOLD = {
    "random": "it is a function of seed and row, so that an order can be repeated: random(7) < 0.1",
    "weight_choice": "Write max_weight(...) or sum_weight(...)",
    "min_weight": "Write max_weight(...) or sum_weight(...)",
    "length": "Write len(column)",
    "count": "Write len(column) for the number of elements of a list",
    "lower": "To ignore case write column ILIKE 'text'",
    "upper": "To ignore case write column ILIKE 'text'",
    "isnull": "Write column IS NULL",
    "isnan": "Write column IS NULL",
    "isin": "Write column IN ('a', 'b')",
    "not_contains": "Write NOT contains(column, 'x')",
}


_LEVEL = {"+": 1, "-": 1, "*": 2, "/": 2, "%": 2, "^": 3, "||": 4}


def _flat(kind: type[nodes.And] | type[nodes.Or], parts: list[Node]) -> tuple[Node, ...]:
    """The terms, with those of terms of the same kind: brackets around (a AND b) AND c say nothing."""
    return tuple(term for part in parts for term in (part.terms if isinstance(part, kind) else (part,)))


def _name(token: Any) -> str:
    text = str(token)
    return text[1:-1].replace("``", "`") if text.startswith("`") else text


def _constant(node: Node) -> int | float | None:
    """The number that a node is, with its signs; None if it is not one."""
    sign = 1
    while isinstance(node, nodes.Minus):
        node, sign = node.term, -sign
    return sign * node.value if isinstance(node, nodes.Number) else None
