"""Training runs as TOML files: read, checked, written out whole, and made into datasets, loaders and models.

Reading and checking is pure, but for the file itself; only `building` opens what the file names. Names are imported
when they are first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mtgen.training.config.building import dataset_of, loaders_of, splits_of
    from mtgen.training.config.reading import read_config
    from mtgen.training.config.sections import Config
    from mtgen.training.config.writing import to_toml

__all__ = ["Config", "dataset_of", "loaders_of", "read_config", "splits_of", "to_toml"]

_HOMES = {
    "Config": "sections",
    "dataset_of": "building",
    "loaders_of": "building",
    "read_config": "reading",
    "splits_of": "building",
    "to_toml": "writing",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'mtgen.training.config' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"mtgen.training.config.{_HOMES[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
