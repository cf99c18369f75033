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
    from mtgen.sampling.places.cloud import cloud
    from mtgen.sampling.places.crop import Crop
    from mtgen.sampling.places.grid import Grid, grid
    from mtgen.sampling.places.histogram import histogram
    from mtgen.sampling.places.labels import labels
    from mtgen.sampling.places.mask import mask
    from mtgen.sampling.places.stitch import Stitcher, stitch
    from mtgen.sampling.places.touching import touching
    from mtgen.sampling.row_plans.base import RowSampler
    from mtgen.sampling.row_plans.order_law import RowOrderLaw
    from mtgen.sampling.row_plans.plan import RowPlan
    from mtgen.sampling.row_plans.weighted import rows
    from mtgen.sampling.sampler import Sampler

__all__ = [
    "Crop",
    "EmptySupportError",
    "Grid",
    "NoDensityError",
    "RowOrderLaw",
    "RowPlan",
    "RowSampler",
    "Sampler",
    "Stitcher",
    "cloud",
    "constant",
    "grid",
    "histogram",
    "labels",
    "mask",
    "mix",
    "rows",
    "stitch",
    "touching",
]

_HOMES = {
    "Crop": "mtgen.sampling.places.crop",
    "EmptySupportError": "mtgen.errors",
    "Grid": "mtgen.sampling.places.grid",
    "NoDensityError": "mtgen.errors",
    "RowOrderLaw": "mtgen.sampling.row_plans.order_law",
    "RowPlan": "mtgen.sampling.row_plans.plan",
    "RowSampler": "mtgen.sampling.row_plans.base",
    "Sampler": "mtgen.sampling.sampler",
    "Stitcher": "mtgen.sampling.places.stitch",
    "cloud": "mtgen.sampling.places.cloud",
    "constant": "mtgen.sampling.constant",
    "grid": "mtgen.sampling.places.grid",
    "histogram": "mtgen.sampling.places.histogram",
    "labels": "mtgen.sampling.places.labels",
    "mask": "mtgen.sampling.places.mask",
    "mix": "mtgen.sampling.mixture",
    "rows": "mtgen.sampling.row_plans.weighted",
    "stitch": "mtgen.sampling.places.stitch",
    "touching": "mtgen.sampling.places.touching",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'mtgen.sampling' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOMES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
