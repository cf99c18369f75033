"""Samplers: which rows, and which places in pictures and volumes. Laws that decide and never read.

    from mtgen import sampling as S

Names are imported when they are first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mtgen.errors import EmptySupportError, NoDensityError
    from mtgen.sampling.constant import constant
    from mtgen.sampling.mixture import mix
    from mtgen.sampling.row_plans.base import RowSampler
    from mtgen.sampling.row_plans.order_law import RowOrderLaw
    from mtgen.sampling.row_plans.plan import RowPlan
    from mtgen.sampling.row_plans.weighted import rows
    from mtgen.sampling.sampler import Sampler

__all__ = [
    "EmptySupportError",
    "NoDensityError",
    "RowOrderLaw",
    "RowPlan",
    "RowSampler",
    "Sampler",
    "constant",
    "mix",
    "rows",
]

_HOMES = {
    "EmptySupportError": "mtgen.errors",
    "NoDensityError": "mtgen.errors",
    "RowOrderLaw": "mtgen.sampling.row_plans.order_law",
    "RowPlan": "mtgen.sampling.row_plans.plan",
    "RowSampler": "mtgen.sampling.row_plans.base",
    "Sampler": "mtgen.sampling.sampler",
    "constant": "mtgen.sampling.constant",
    "mix": "mtgen.sampling.mixture",
    "rows": "mtgen.sampling.row_plans.weighted",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'mtgen.sampling' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOMES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
