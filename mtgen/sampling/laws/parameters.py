"""Parameters of laws: one number for all columns or one for each, checked when a law is built."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mtgen.errors import PlanError
from mtgen.settings import check_whole, shown

MOST_COUNT = 2.0**52
"""Largest count or mean of counts: above, neighbouring integers are hardly exact in float64."""


@dataclass(frozen=True)
class Kind:
    """What a parameter may be.

    Attributes:
        text: in words, for messages.
        fits: whether each of some finite numbers may be it.
    """

    text: str
    fits: Callable[[np.ndarray], np.ndarray]


def _any(x: np.ndarray) -> np.ndarray:
    return np.isfinite(x)


def _positive(x: np.ndarray) -> np.ndarray:
    return x > 0


def _chance(x: np.ndarray) -> np.ndarray:
    return (x >= 0) & (x <= 1)


def _chance_above_zero(x: np.ndarray) -> np.ndarray:
    return (x >= 2.0**-53) & (x <= 1)


def _count(x: np.ndarray) -> np.ndarray:
    return (x >= 0) & (x <= MOST_COUNT) & (x == np.floor(x))


def _mean_count(x: np.ndarray) -> np.ndarray:
    return (x >= 0) & (x <= MOST_COUNT)


REAL = Kind("finite", _any)
POSITIVE = Kind("finite and > 0", _positive)
CHANCE = Kind("a probability in [0, 1]", _chance)
CHANCE_ABOVE_ZERO = Kind("a probability in (0, 1], 2**-53 at least", _chance_above_zero)
COUNT = Kind("a whole number in [0, 2**52]", _count)
MEAN_COUNT = Kind("a number in [0, 2**52]", _mean_count)


def numbers_of(law: str, name: str, value: Any) -> np.ndarray:
    """A parameter as a new float64 or int64 array.

    Raises:
        PlanError: text, bools, complex numbers, ragged lists, samplers, NaN or infinity.
    """
    try:
        array = np.array(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise PlanError(f"{name} of {law} must be a number or a list of numbers, received {shown(value)}") from error
    held = value if isinstance(value, list | tuple) else ()
    if array.dtype.kind not in "iuf" or any(isinstance(one, bool | np.bool_) for one in held) or not array.size:
        raise PlanError(f"{name} of {law} must be a number or a list of numbers, received {shown(value)}")
    if not np.isfinite(array).all():
        raise PlanError(f"{name} of {law} must be finite, received {shown(value)}")
    return array


def columns_of(law: str, kinds: Mapping[str, Kind], given: Mapping[str, Any], dim: int | None) -> list[np.ndarray]:
    """Checked parameters as read-only float64 `(dim,)`, in the order of `kinds`.

    Args:
        law: its name, for messages.
        kinds: what each parameter may be.
        given: their values: a number, or one for each column.
        dim: columns; None for as many as the parameters have, or one.

    Raises:
        PlanError: values that do not fit, or parameters and `dim` that do not agree.
    """
    arrays = {}
    for name, kind in kinds.items():
        array = arrays[name] = np.asarray(numbers_of(law, name, given[name]), np.float64)
        if array.ndim > 1:
            raise PlanError(
                f"{name} of {law} must be one number, or a list with one for each column; received shape {array.shape}"
            )
        if not kind.fits(array).all():
            raise PlanError(f"{name} of {law} must be {kind.text}, received {shown(given[name])}")
    lengths = {name: array.shape for name, array in arrays.items()}
    columns = agreed_dim(law, {name: shape[0] for name, shape in lengths.items() if shape}, dim)
    return [frozen(np.broadcast_to(array, (columns,))) for array in arrays.values()]


def agreed_dim(law: str, lengths: Mapping[str, int], dim: int | None) -> int:
    """Columns of a law whose parameters have some lengths.

    Raises:
        PlanError: they, or they and `dim`, do not agree.
    """
    if dim is not None:
        check_whole("dim", dim, 1)
    known = {**lengths, **({} if dim is None else {"dim": int(dim)})}
    if len(set(known.values())) > 1:
        text = ", ".join(f"{name}={num}" if name == "dim" else f"{name} has {num}" for name, num in known.items())
        raise PlanError(f"{law}: the parameters say how many columns there are, and do not agree: {text}")
    return next(iter(known.values()), 1)


def frozen(array: np.ndarray) -> np.ndarray:
    """A contiguous copy that nobody can write to."""
    copied = np.array(array)
    copied.flags.writeable = False
    return copied


def written(array: np.ndarray) -> str:
    """A parameter as one would write it: one number where all columns have the same.

    Example:
        >>> written(np.array([2.0, 2.0])), written(np.array([0.5, 1.0]))
        ('2', '[0.5, 1]')
    """
    each = [_written(one) for one in array.tolist()]
    return each[0] if len(set(each)) == 1 else f"[{', '.join(each)}]"


def _written(value: Any) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() and abs(value) < 2.0**53 else repr(value)
