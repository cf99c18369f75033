"""Checks of what users give: whole numbers, yes or no, names; each refuses with what was received and expected.

Python takes `"False"` for true and `0` for none; here nothing passes for something else.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Hashable, Iterable
from itertools import islice
from typing import Any

import numpy as np

from mtgen.errors import MtgenError, PlanError

MOST_COMPARED = 2_000
"""Names that a wrong one is compared with: some 100 microseconds each."""
LONGEST_COMPARED = 100
"""Letters; a longer text is no mistyped name, and comparing takes the square of its length."""


def short(value: object) -> str:
    """A value's `repr` for a message: cut, and never an error of its own."""
    try:
        text = repr(value)
    except Exception:  # nested too deeply, more digits than Python writes, or an object of the user's own
        text = "something that cannot be shown"
    return text if len(text) <= 200 else text[:200] + "..."


def shown(value: object) -> str:
    """A value and its type, for a message.

    Example:
        >>> shown("False")
        "'False' (str)"
    """
    return f"{short(value)} ({type(value).__name__})"


def quoted(text: str) -> str:
    """A name for a message: in quotes, cut where it is too long to read.

    Example:
        >>> quoted("label")
        "'label'"
    """
    return repr(text if len(text) <= 60 else text[:60] + "...")


def nearest(name: object, known: Iterable[str], most: int = 3, show: Callable[[str], str] = quoted) -> str:
    """Names like a wrong one, for a message that asks whether one of them was meant; empty where none is.

    One that differs in upper and lower case alone is nearer than any other.

    Args:
        name: what was received.
        known: what there is; the first `MOST_COMPARED` are compared.
        most: names in the answer.
        show: how a name is written.

    Example:
        >>> nearest("labl", ["label", "age", "table"]), nearest("AGE", ["label", "age"]), nearest("x", ["label"])
        ("'label' or 'table'", "'age'", '')
    """
    wrong = str(name)
    if len(wrong) > LONGEST_COMPARED:
        return ""
    compared = [one for one in islice(known, MOST_COMPARED) if len(one) <= LONGEST_COMPARED]
    close = [one for one in compared if one.casefold() == wrong.casefold()]
    close = close or difflib.get_close_matches(wrong, compared, n=most)
    return " or ".join(map(show, close[:most]))


def check_whole(name: str, value: Any, least: int = 0, error: type[MtgenError] = PlanError) -> int:
    """The value as an int, if it is a whole number, Python's or NumPy's.

    Args:
        name: the setting.
        value: what was received.
        least: smallest value allowed.
        error: the class of error.

    Raises:
        MtgenError: of the given class: anything else, `True` and `1.0` too.

    Example:
        >>> check_whole("epoch", np.int64(3))
        3
    """
    return _whole(name, value, least, "", error)


def check_whole_or_none(name: str, value: Any, least: int = 0) -> int | None:
    """None, or the value as `check_whole` takes it.

    Raises:
        PlanError: anything else.
    """
    return None if value is None else _whole(name, value, least, " or None", PlanError)


def _whole(name: str, value: Any, least: int, also: str, error: type[MtgenError]) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise error(f"{name} must be an integer >= {least}{also}, received {shown(value)}")
    return int(value)


def check_flag(name: str, value: Any) -> bool:
    """The value, if it is True or False.

    Raises:
        PlanError: anything else, such as 1, None or "False".
    """
    if not isinstance(value, bool | np.bool_):
        raise PlanError(f"{name} must be True or False, received {shown(value)}")
    return bool(value)


def check_kind(name: str, value: Any, kinds: Any, expected: str, error: type[MtgenError] = PlanError) -> None:
    """Refuse a value that is none of the kinds.

    Args:
        name: the setting.
        value: what was received.
        kinds: a class, or several as for `isinstance`.
        expected: what should have been given, in words.
        error: the class of error.

    Raises:
        MtgenError: of the given class.

    Example:
        >>> check_kind("by", 3, str, "a column")
        Traceback (most recent call last):
        mtgen.errors.PlanError: by must be a column, received 3 (int)
    """
    if not isinstance(value, kinds):
        raise error(f"{name} must be {expected}, received {shown(value)}")


def check_unmasked(name: str, value: Any, error: type[MtgenError] = PlanError) -> None:
    """Refuse arrays with masked values, of which NumPy would take what lies under the mask.

    Raises:
        MtgenError: of the given class.

    Example:
        >>> check_unmasked("weights", np.ma.array([1, 2], mask=[0, 1]))
        Traceback (most recent call last):
        mtgen.errors.PlanError: weights must not be masked, 1 of 2 values are: fill them first, as by array.filled(0)
    """
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        num = int(np.ma.count_masked(value))  # type: ignore[no-untyped-call]
        raise error(
            f"{name} must not be masked, {num} of {value.size} values are: fill them first, as by array.filled(0)"
        )


def check_label(name: str, value: Any, error: type[MtgenError] = PlanError) -> None:
    """Refuse what cannot be the label of a column: lists, dicts, arrays, None.

    Raises:
        MtgenError: of the given class.
    """
    label = value is not None and isinstance(value, Hashable)
    try:
        hash(value)
    except TypeError:  # a tuple with a list in it
        label = False
    if not label:
        raise error(f"{name} must be the name of one column, received {shown(value)}")
