"""The grammar of the language, and text to parse tree.

Precedence is that of Deep Lake's grammar, from loose to tight: OR, AND, NOT, `= != LIKE`, `< > <= >=`, IS IN BETWEEN,
`+ -`, `* / %`, `^`, `||`, unary minus, `[]`. Comparisons of one level do not chain. All operators of one level are read
in a loop and not in a recursion, and brackets are counted first, so no text can be too deep for the parser.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from mtgen.errors import QueryError
from mtgen.sampling.query.places import near, refusal
from mtgen.settings import shown

if TYPE_CHECKING:
    from lark import Lark, Token, Tree

MOST_CHARACTERS = 20_000
"""Longest text: parsing it takes some tenths of a second. A longer one is a list of names: make a column of it."""
MOST_BRACKETS = 60
"""Deepest nesting of brackets."""

_WORDS = ("AND", "OR", "NOT", "IN", "IS", "LIKE", "ILIKE", "BETWEEN", "NULL", "TRUE", "FALSE")
"""Never the plain name of a column; in backticks they are. The words of the clause can be names where a name may be."""

_SILENT = ("OR", "AND", "SELECT", "FROM", "WHERE", "ORDER", "BY", "LIMIT", "OFFSET", "SAMPLE", "REPLACE")
"""Words that leave no trace in the parse tree."""
_TELLING = ("NOT", "TRUE", "FALSE", "NULL", "ALL", "ASC", "DESC", "PERCENT")

GRAMMAR = (
    r"""
condition: expression
weights: expression | pair ("," pair)* -> pairs
clause: [select] [where] [order] [limit] [sample] ";"?

select: _SELECT "*" (_FROM (NAME | QUOTED))?
where: _WHERE expression
order: _ORDER _BY key ("," key)*
key: expression (ASC | DESC)?
limit: _LIMIT (NUMBER | ALL) [_OFFSET NUMBER] | _OFFSET NUMBER -> offset
sample: _SAMPLE _BY weights [replace] [cap]
replace: _REPLACE [TRUE | FALSE]
cap: _LIMIT NUMBER [PERCENT]

?expression: both | both (_OR both)+ -> either
?both: negation | negation (_AND negation)+
?negation: equality | NOT+ equality -> negated
?equality: relation | relation EQUALITY relation -> compare | relation LIKE relation -> like
?relation: predicate | predicate INEQUALITY predicate -> compare
?predicate: sum
    | sum NULLNESS -> is_null
    | sum IN "(" expression ("," expression)* ")" -> is_in
    | sum BETWEEN sum _AND sum -> between
?sum: product | product ((PLUS | MINUS) product)+ -> chain
?product: power | power ((STAR | SLASH | MODULO) power)+ -> chain
?power: joined | joined (POWER joined)+ -> chain
?joined: signed | signed (JOIN signed)+ -> chain
?signed: indexed | MINUS+ indexed -> minus
?indexed: atom | indexed "[" part ("," part)* "]" -> index
part: expression -> element | [expression] ":" [expression] -> stretch
?atom: NUMBER -> number
    | STRING -> text
    | NAME -> column
    | QUOTED -> column
    | (TRUE | FALSE) -> truth
    | NULL -> null
    | "(" expression ")"
    | NAME "(" [expression ("," expression)*] ")" -> call
    | NAME "(" pair ("," pair)* ")" -> choice
pair: expression ":" expression

NUMBER: /(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?/
STRING: /'(?:[^'\\]|\\.|'')*'|"(?:[^"\\]|\\.|"")*"/s
QUOTED: /`(?:[^`]|``)+`/
EQUALITY: "==" | "=" | "!=" | "<>"
INEQUALITY: "<=" | ">=" | "<" | ">"
PLUS: "+"
MINUS: "-"
STAR: "*"
SLASH: "/"
MODULO: "%"
POWER: "^"
JOIN: "||"
LIKE.2: /(?:NOT\s+)?I?LIKE(?!\w)/i
IN.2: /(?:NOT\s+)?IN(?!\w)/i
BETWEEN.2: /(?:NOT\s+)?BETWEEN(?!\w)/i
NULLNESS.2: /IS\s+(?:NOT\s+)?NULL(?!\w)/i
%ignore /\s+/
"""
    + "".join(f"_{word}.2: /{word}(?!\\w)/i\n" for word in _SILENT)
    + "".join(f"{word}.2: /{word}(?!\\w)/i\n" for word in _TELLING)
    + f"NAME: /(?!(?:{'|'.join(_WORDS)})(?!\\w))[^\\W\\d]\\w*/i\n"
)

_SHOWN = {
    "$END": "the end",
    "EQUALITY": "=",
    "INEQUALITY": "<",
    "PLUS": "+",
    "MINUS": "-",
    "STAR": "*",
    "SLASH": "/",
    "MODULO": "%",
    "POWER": "^",
    "JOIN": "||",
    "NULLNESS": "IS NULL",
    "COMMA": ",",
    "COLON": ":",
    "SEMICOLON": ";",
    "LPAR": "(",
    "RPAR": ")",
    "LSQB": "[",
    "RSQB": "]",
    "NUMBER": "a number",
    "STRING": "a text in quotes",
    "NAME": "a name",
}
_OPERATORS = ("POWER", "JOIN", "PLUS", "STAR", "SLASH", "MODULO", "LIKE", "BETWEEN", "NULLNESS", "LSQB")
"""Not listed one by one where an operator may follow."""

_CLAUSE_ONLY = {"ASC", "DESC", "SEMICOLON", "_LIMIT", "_OFFSET", "_ORDER", "_REPLACE", "_SAMPLE"}
"""What the lexer would take after an expression, because a clause goes on there."""

_MARKS = {
    "&": "write AND",
    "|": "write OR; || joins texts",
    "!": "write NOT, or != for unequal",
    "~": "write NOT",
    "'": "the text in quotes has no end; inside it, a quote is written twice or after a backslash",
    '"': "the text in quotes has no end; inside it, a quote is written twice or after a backslash",
    "`": "the name in backticks has no end",
    "{": "lists of choices are written IN ('a', 'b')",
    ".": "a name with dots is written in backticks",
    "\\": "a backslash is for texts in quotes",
}
_ELSEWHERE = frozenset(
    {"ACROSS", "AS", "CASE", "CAST", "DISTINCT", "EXCEPT", "EXPAND", "GROUP", "HAVING", "INTERSECT", "JOIN", "TOP"}
    | {"UNGROUP", "UNION"}
)
"""Words of Deep Lake and SQL that change what a row is."""


@lru_cache(maxsize=1)
def _parser() -> Lark:
    """The parser, made when the first text is read: some 50 milliseconds."""
    from lark import Lark

    return Lark(
        GRAMMAR,
        parser="lalr",
        start=["condition", "weights", "clause"],
        propagate_positions=True,
        maybe_placeholders=True,
    )


def parse(query: Any, start: str) -> Tree[Token]:
    """Text to parse tree. Pure, any thread.

    Args:
        query: the text.
        start: "condition", "weights" or "clause".

    Raises:
        QueryError: no text, one that is too long or nested too deeply, or one that does not follow the grammar.
    """
    from lark.exceptions import UnexpectedCharacters, UnexpectedInput, UnexpectedToken

    if not isinstance(query, str):
        raise QueryError(f"the {start} must be a text such as {_EXAMPLES[start]!r}, received {shown(query)}")
    if len(query) > MOST_CHARACTERS:
        raise refusal(
            query,
            (MOST_CHARACTERS, MOST_CHARACTERS + 1),
            f"the text has {len(query):,} characters, expected at most {MOST_CHARACTERS:,}. For long lists of names "
            "make a column with pandas, such as table['chosen'] = table['name'].isin(names)",
        )
    if not query.strip():
        raise QueryError(f"the {start} is empty; expected a text such as {_EXAMPLES[start]!r}")
    _check_brackets(query)
    try:
        return _parser().parse(query, start=start)
    except UnexpectedCharacters as error:
        raise _unexpected(query, error.pos_in_stream or 0, error.char, error.allowed or set(), start) from None
    except UnexpectedToken as error:
        place = len(query.rstrip()) if error.token.type == "$END" else error.token.start_pos
        raise _unexpected(query, place, str(error.token), error.accepts or error.expected, start) from None
    except UnexpectedInput as error:  # the classes above are all there are today
        raise _unexpected(query, error.pos_in_stream or 0, "", set(), start) from None


_EXAMPLES = {
    "condition": "age > 30 AND contains(findings, 'Hernia')",
    "weights": "max_weight(contains(findings, 'Hernia'): 20, True: 1)",
    "clause": "WHERE age > 30 SAMPLE BY max_weight(label == 'a': 5, True: 1) REPLACE FALSE LIMIT 10 PERCENT",
}
_BRACKETS = re.compile(r"""'(?:[^'\\]|\\.)*'?|"(?:[^"\\]|\\.)*"?|`[^`]*`?|[()\[\]]""", re.DOTALL)


def _check_brackets(query: str) -> None:
    """Refuses nesting that no reader could follow, before anything is built."""
    opened: list[int] = []
    closed, in_a_row = -1, 0  # a[0][0][0] is a list in a list in a list
    for match in _BRACKETS.finditer(query):
        at = match.start()
        if match[0] in ("(", "["):
            opened.append(at)
            in_a_row = in_a_row + 1 if match[0] == "[" and closed >= 0 and not query[closed:at].strip() else 0
        elif match[0] in (")", "]") and opened:
            opened.pop()
        closed = match.end() if match[0] == "]" else -1
        if len(opened) > MOST_BRACKETS or in_a_row > MOST_BRACKETS:
            raise too_deep(query, (at, at + 1))


def too_deep(query: str, place: tuple[int, int]) -> QueryError:
    """The error for nesting that no reader could follow."""
    return refusal(
        query,
        place,
        f"the text is nested deeper than {MOST_BRACKETS} levels; write it flatter, or make a column with pandas first",
    )


def _unexpected(query: str, place: int, received: str, expected: set[str], start: str) -> QueryError:
    """The error for a text that does not follow the grammar."""
    word = re.match(r"\w+|[-+*/%^|&<>=!]+|", query[place:])
    stop = place + max(1, len(word[0]) if word else 1)
    what = repr(query[place : min(stop, place + 40)]) if query[place:].strip() else "the end"
    if start != "clause":
        expected = expected - _CLAUSE_ONLY
    message = f"cannot read the {start}: found {what}, expected {_listed(expected)}"
    if hint := _hint(query, place, received, start):
        message += f". {hint[0].upper()}{hint[1:]}"
    return refusal(query, (place, stop if what != "the end" else place + 1), message)


def _listed(expected: set[str]) -> str:
    """What the grammar would take, in the words of people."""
    names = set(expected)
    parts: list[str] = []
    if {"NUMBER", "STRING", "NAME"} <= names:
        parts.append("a column, a number, a text in quotes or (")
        names -= {"NUMBER", "STRING", "NAME", "QUOTED", "LPAR", "MINUS", "NOT", "TRUE", "FALSE", "NULL"}
    if len(names & set(_OPERATORS)) > 3:
        names -= {*_OPERATORS, "EQUALITY", "INEQUALITY", "MINUS", "IN", "LPAR"}
        parts.append("an operator")
    parts += sorted(_SHOWN.get(name, name.strip("_").replace("QUOTED", "a name in backticks")) for name in names)
    return ", ".join(dict.fromkeys(parts)) or "something else"


def _hint(query: str, place: int, received: str, start: str) -> str:
    """What to write instead, for mistakes that people make."""
    word = re.match(r"\w*", query[place:])
    upper = word[0].upper() if word else ""
    if upper in _ELSEWHERE:
        return f"{upper} is not part of the language: do this with pandas, before"
    if start != "clause" and re.match(r"\s*(WHERE|SELECT|SAMPLE|ORDER|LIMIT)(?!\w)", query, re.IGNORECASE):
        return f"WHERE, SAMPLE BY and the like belong to a whole clause; this is only the {start}"
    if re.search(r"SELECT\s*$", query[:place], re.IGNORECASE):
        return "only SELECT * is known: the columns of a sample are the dataset's business"
    if upper == "IS":
        return "IS is for IS NULL and IS NOT NULL; compare with = and !="
    if upper == "NOT":
        return "write NOT before the comparison, or use NOT IN, NOT LIKE, NOT BETWEEN"
    if upper in ("SAMPLE", "WHERE", "LIMIT", "ORDER", "REPLACE", "SELECT") and start != "clause":
        return f"{upper} belongs to a whole clause; this is only the {start}"
    if upper in _WORDS:
        return f"a column of the name {word[0] if word else upper} is written in backticks"
    if received[:1] in ("=", "<", ">") or query[place : place + 2] in ("!=", "<>"):
        told = "; || joins texts, for or write OR" if "||" in query[:place] else ""
        return f"comparisons do not chain: write a < b AND b < c{told}"
    if upper and start == "clause" and not query[:place].strip():
        return "a clause begins with SELECT *, WHERE, ORDER BY, LIMIT or SAMPLE BY"
    if upper.isalpha():
        words = [*_WORDS, "WHERE", "SAMPLE", "REPLACE", "LIMIT", "PERCENT", "ORDER", "OFFSET"]
        hint = near(upper, words, "the words are")
        return hint.rstrip("?").replace("'", "") + "?" if hint.startswith("Did") else ""
    return _MARKS.get(query[place : place + 1], "")
