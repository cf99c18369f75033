"""Numbers of rules: settings as users give them, and states as JSON has them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from mtgen.errors import MtgenError, PlanError, StateError
from mtgen.settings import short, shown


def plain_number(name: str, value: Any, error: type[MtgenError] = PlanError) -> int | float:
    """A number of Python's or NumPy's as Python's own int or float; NaN and infinities pass.

    Raises:
        MtgenError: of the given class: anything else.

    Example:
        >>> plain_number("d", np.float32(0.5))
        0.5
    """
    if isinstance(value, np.ndarray) and value.shape == ():
        value = value[()]
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        raise error(f"{name} must be a number, received {shown(value)}")
    return int(value) if isinstance(value, int | np.integer) else float(value)


def finite_number(name: str, value: Any, least: float, most: float = math.inf, *, above: bool = False) -> int | float:
    """A finite number of a range.

    Args:
        name: the setting.
        value: what was received.
        least: smallest value allowed.
        most: largest value allowed.
        above: whether `least` itself is refused.

    Raises:
        PlanError: anything else.
    """
    number = plain_number(name, value)
    if not (math.isfinite(number) and (least < number if above else least <= number) and number <= most):
        low = f"> {least:g}" if above else f">= {least:g}"
        high = "" if most == math.inf else f" and <= {most:g}"
        raise PlanError(f"{name} must be a finite number {low}{high}, received {shown(value)}")
    return number


def read_state(rule: str, content: Any, names: tuple[str, ...]) -> Mapping[str, Any]:
    """The content of a saved state, if it has exactly the names.

    Raises:
        StateError: it is not the state of that rule.
    """
    if not isinstance(content, Mapping) or content.get("rule") != rule or set(content) != {"rule", *names}:
        raise StateError(f"this is not the state of a {rule}: {short(content)}. Give what its state() returned")
    return content


def read_best(value: Any) -> float:
    """A saved best value: None stands for none yet, which is infinity.

    Raises:
        StateError: no number.
    """
    if value is None:
        return math.inf
    number = plain_number("best in a saved state", value, StateError)
    if not math.isfinite(number):
        raise StateError(f"best in a saved state must be a finite number or None, received {value!r}")
    return float(number)


def read_count(name: str, value: Any, least: int = 0) -> int:
    """A saved count.

    Raises:
        StateError: no integer, or too small.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise StateError(f"{name} in a saved state must be an integer >= {least}, received {shown(value)}")
    return value


def read_flag(name: str, value: Any) -> bool:
    """A saved yes or no.

    Raises:
        StateError: neither.
    """
    if not isinstance(value, bool):
        raise StateError(f"{name} in a saved state must be True or False, received {shown(value)}")
    return value


def check_settings(rule: str, saved: Any, own: Any) -> None:
    """Refuse the state of a rule with other settings.

    Args:
        rule: name of the rule.
        saved: settings that the state holds, as JSON.
        own: settings of the rule that it is given to, as JSON.

    Raises:
        StateError: names each setting that differs.
    """
    if not isinstance(saved, Mapping):
        raise StateError(f"settings in the state of a {rule} must be a mapping, received {shown(saved)}")
    differing = [
        f"{name} was {saved.get(name)!r} and is {own.get(name)!r}"
        for name in sorted({*map(str, saved), *own})
        if saved.get(name) != own.get(name)
    ]
    if differing:
        raise StateError(
            f"the state belongs to a {rule} with other settings: {'; '.join(differing)}. Make them as they were, or "
            "begin a new run"
        )
