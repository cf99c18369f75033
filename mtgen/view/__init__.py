"""Pictures for the eye: what a step delivers, what a law draws, where windows fall. Needs matplotlib.

    from mtgen import view

Names are imported when they are first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mtgen.view.epochs import draw_epoch
    from mtgen.view.figures import save_figure
    from mtgen.view.laws import draw_law
    from mtgen.view.sheet import contact_sheet
    from mtgen.view.windows import coverage, draw_windows, starts_of

__all__ = [
    "contact_sheet",
    "coverage",
    "draw_epoch",
    "draw_law",
    "draw_windows",
    "save_figure",
    "starts_of",
]

_HOMES = {
    "contact_sheet": "mtgen.view.sheet",
    "coverage": "mtgen.view.windows",
    "draw_epoch": "mtgen.view.epochs",
    "draw_law": "mtgen.view.laws",
    "draw_windows": "mtgen.view.windows",
    "save_figure": "mtgen.view.figures",
    "starts_of": "mtgen.view.windows",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'mtgen.view' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOMES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
