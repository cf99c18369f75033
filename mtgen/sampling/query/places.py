"""Messages of the language: the query with a mark under the place, and the names that are near a wrong one."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

from mtgen.errors import QueryError
from mtgen.settings import MOST_COMPARED, nearest, quoted

Place = tuple[int, int]
"""Start and stop of a part of the query, in characters."""

_WIDTH = 100
"""Most characters of the query that a message shows."""


def refusal(query: str, place: Place, message: str, row: int | None = None) -> QueryError:
    """The error about one place of a query. Pure.

    Args:
        query: the whole text.
        place: start and stop in it.
        message: what was received, what was expected, how to fix it.
        row: place of the row in the table, if one is to blame.

    Example:
        >>> print(refusal("labl == 3", (0, 4), "there is no column 'labl'"))
        there is no column 'labl'
            labl == 3
            ^^^^
    """
    return QueryError(f"{message}\n{marked(query, place)}", row=row)


def marked(query: str, place: Place) -> str:
    """The line of the query that holds the place, cut to what a screen shows, with a mark under the place."""
    start = min(max(place[0], 0), len(query))
    line_start = query.rfind("\n", 0, start) + 1
    line_stop = query.find("\n", start)
    line_stop = len(query) if line_stop < 0 else line_stop
    left = max(line_start, min(start - _WIDTH // 2, line_stop - _WIDTH))
    right = min(line_stop, left + _WIDTH)
    before, after = "..." * (left > line_start), "..." * (right < line_stop)
    shown = "".join(letter if letter.isprintable() else " " for letter in query[left:right])
    marks = "^" * max(1, min(place[1], right) - start)
    number = query.count("\n", 0, start) + 1
    where = f"line {number}: " if "\n" in query.strip("\n") else ""
    return f"    {where}{before}{shown}{after}\n    {' ' * (len(where) + len(before) + start - left)}{marks}"


def near(wrong: str, names: Iterable[str], are: str) -> str:
    """A sentence that proposes the names nearest to a wrong one, or lists the first of them.

    Args:
        wrong: what was received.
        names: what there is.
        are: how a list of them begins, such as "the columns are".

    Example:
        >>> near("labl", ["label", "age"], "the columns are")
        "Did you mean 'label'?"
        >>> near("x", ["label", "age"], "the columns are")
        "The columns are 'label', 'age'"
    """
    known = list(islice(names, MOST_COMPARED))
    found = nearest(wrong, known)
    if found:
        return f"Did you mean {found}?"
    if not known:
        return ""
    more = ", ..." if len(known) > 10 else ""
    return f"{are[0].upper()}{are[1:]} {', '.join(map(quoted, known[:10]))}{more}"
