"""mtgen: train merged Keras models from disk, every sample aligned and seen exactly once.

Start with `Dataset` (what a sample is) and `Loader` (batches of it, by step). Names are imported when they are first
used, so that `import mtgen` and `mtgen --help` cost next to nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mtgen import compat, errors, testing
    from mtgen.batch import Batch
    from mtgen.cache import PictureCache
    from mtgen.config import OnError, Placement, Prefetch
    from mtgen.dataframe.loader import from_dataframe
    from mtgen.dataset import Dataset
    from mtgen.errors import MtgenError
    from mtgen.inputs.class_weights import ClassWeights
    from mtgen.inputs.classes import ClassNumbers, OneHot
    from mtgen.inputs.columns import Columns
    from mtgen.inputs.images import Images
    from mtgen.inputs.patches import Patches
    from mtgen.inputs.rows import Rows
    from mtgen.inputs.volumes import Volumes
    from mtgen.joined import join
    from mtgen.loader import Loader
    from mtgen.order_log import OrderLog
    from mtgen.packing import pack
    from mtgen.packing.images import pack_images
    from mtgen.plan import Shard
    from mtgen.recipe import Recipe
    from mtgen.sealed import Sealed
    from mtgen.splits import Splits
    from mtgen.stores import open_store
    from mtgen.table_files import read_table

__version__ = "0.1.0"

__all__ = [
    "Batch",
    "ClassNumbers",
    "ClassWeights",
    "Columns",
    "Dataset",
    "Images",
    "Loader",
    "MtgenError",
    "OnError",
    "OneHot",
    "OrderLog",
    "Patches",
    "PictureCache",
    "Placement",
    "Prefetch",
    "Recipe",
    "Rows",
    "Sealed",
    "Shard",
    "Splits",
    "Volumes",
    "compat",
    "errors",
    "from_dataframe",
    "join",
    "open_store",
    "pack",
    "pack_images",
    "read_table",
    "testing",
]

_HOMES = {
    "Batch": "mtgen.batch",
    "ClassNumbers": "mtgen.inputs.classes",
    "ClassWeights": "mtgen.inputs.class_weights",
    "Columns": "mtgen.inputs.columns",
    "Dataset": "mtgen.dataset",
    "Images": "mtgen.inputs.images",
    "Loader": "mtgen.loader",
    "MtgenError": "mtgen.errors",
    "OnError": "mtgen.config",
    "OneHot": "mtgen.inputs.classes",
    "OrderLog": "mtgen.order_log",
    "Patches": "mtgen.inputs.patches",
    "PictureCache": "mtgen.cache",
    "Placement": "mtgen.config",
    "Prefetch": "mtgen.config",
    "Recipe": "mtgen.recipe",
    "Rows": "mtgen.inputs.rows",
    "Sealed": "mtgen.sealed",
    "Shard": "mtgen.plan",
    "Splits": "mtgen.splits",
    "Volumes": "mtgen.inputs.volumes",
    "from_dataframe": "mtgen.dataframe.loader",
    "join": "mtgen.joined",
    "open_store": "mtgen.stores",
    "pack": "mtgen.packing",
    "pack_images": "mtgen.packing.images",
    "read_table": "mtgen.table_files",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(import_module(_HOMES[name]), name)
    elif name in __all__:
        value = import_module(f"mtgen.{name}")
    else:
        raise AttributeError(f"module 'mtgen' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
