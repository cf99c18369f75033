r"""Texts in quotes and their wildcards: `*` any number of characters, `?` exactly one, `\*` and `\?` the signs.

A glob is matched piece by piece from left to right, each piece of fixed length: no backtracking, so no glob and no cell
can make it slow.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np

from mtgen.sampling.query.nodes import MANY, ONE, Glob, Text

MOST_GLOB = 1_000
"""Longest text with wildcards, in characters."""
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", "'": "'", '"': '"', "*": "*", "?": "?", "%": "%"}


class EscapeError(ValueError):
    """A backslash before a character that has no meaning there; `offset` is its place in the text."""

    def __init__(self, offset: int, letter: str) -> None:
        super().__init__(letter)
        self.offset = offset


def read_text(quoted: str) -> tuple[str, Glob]:
    r"""A text as written, quotes included, to the text itself and its glob.

    Pure.

    Raises:
        EscapeError: an unknown escape; known are `\\ \' \" \n \t \r \* \? \%`, and a doubled quote.

    Example:
        >>> read_text(r"'it''s \* a*'")[0]
        "it's * a*"
        >>> [letter for letter, plain in read_text(r"'\* a*'")[1] if not plain]
        ['*']
    """
    quote, body = quoted[0], quoted[1:-1]
    glob: list[tuple[str, bool]] = []
    at = 0
    while at < len(body):
        letter = body[at]
        if letter == "\\":
            if body[at + 1] not in _ESCAPES:
                raise EscapeError(at + 1, body[at + 1])
            glob.append((_ESCAPES[body[at + 1]], True))
            at += 2
        else:
            glob.append((letter, letter not in (ONE, MANY)))
            at += 2 if letter == quote else 1
    return "".join(letter for letter, _ in glob), tuple(glob)


def has_wildcard(glob: Glob) -> bool:
    """Whether the glob stands for more than one text."""
    return not all(plain for _, plain in glob)


def matcher(glob: Glob, *, whole: bool = True, any_case: bool = False) -> Callable[[str], bool]:
    """The test of a text against a glob. Pure.

    Args:
        glob: the pattern.
        whole: the glob must take the whole text; otherwise some stretch of it.
        any_case: ignore case, by `str.casefold`.

    Example:
        >>> [matcher(read_text("'a*?b'")[1])(text) for text in ("axb", "ab", "a--b", "axbc")]
        [True, False, True, False]
    """
    if any_case:
        fold = matcher(tuple((part, plain) for letter, plain in glob for part in letter.casefold()), whole=whole)
        return lambda text: fold(text.casefold())
    if not has_wildcard(glob):
        plain_text = "".join(letter for letter, _ in glob)
        return (lambda text: text == plain_text) if whole else (lambda text: plain_text in text)
    pieces = _pieces(glob)
    if not whole:
        pieces = [re.compile(""), *pieces, re.compile("")]
        lengths = [0, *_lengths(glob), 0]
    else:
        lengths = _lengths(glob)
    return lambda text: _matches(text, pieces, lengths)


def _parts(glob: Glob) -> list[Glob]:
    """The glob cut at its `*`."""
    parts: list[list[tuple[str, bool]]] = [[]]
    for letter, plain in glob:
        if letter == MANY and not plain:
            parts.append([])
        else:
            parts[-1].append((letter, plain))
    return [tuple(part) for part in parts]


def _lengths(glob: Glob) -> list[int]:
    return [len(part) for part in _parts(glob)]


def _pieces(glob: Glob) -> list[re.Pattern[str]]:
    """A pattern of fixed length for each part between two `*`."""
    texts = ["".join(re.escape(letter) if plain else "." for letter, plain in part) for part in _parts(glob)]
    return [re.compile(text, re.DOTALL) for text in texts]


def _matches(text: str, pieces: list[re.Pattern[str]], lengths: list[int]) -> bool:
    """First piece at the start, last at the end, the others as early as they fit: that is never worse."""
    if len(pieces) == 1:
        return pieces[0].fullmatch(text) is not None
    if len(text) < sum(lengths) or not pieces[0].match(text) or not pieces[-1].match(text, len(text) - lengths[-1]):
        return False
    at, stop = lengths[0], len(text) - lengths[-1]
    for piece in pieces[1:-1]:
        found = piece.search(text, at, stop)
        if found is None:
            return False
        at = found.end()
    return True


def same(names: np.ndarray, text: str) -> np.ndarray:
    """Which of the distinct texts is this one, bool. In a box, because NumPy cuts a bare text at its last NUL."""
    boxed = np.empty((), object)
    boxed[()] = text
    return np.asarray(names == boxed, bool)


def hits(names: np.ndarray, asked: Text, *, whole: bool = True, any_case: bool = False) -> np.ndarray:
    """Which of the distinct texts a glob takes, bool."""
    if whole and not any_case and not has_wildcard(asked.glob):
        return same(names, asked.text)
    matches = matcher(asked.glob, whole=whole, any_case=any_case)
    return np.fromiter(map(matches, names), bool, len(names))


def of_codes(hit: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """What holds for distinct texts, for each row; false where the text is missing."""
    return np.append(hit, False)[codes]
