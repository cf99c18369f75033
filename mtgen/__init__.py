"""mtgen: train merged Keras models from disk, every sample aligned and seen exactly once.

Start with `Dataset` (what a sample is) and `Loader` (batches of it, by step).
"""

from mtgen.batch import Batch
from mtgen.config import Prefetch
from mtgen.dataset import Dataset, Splits
from mtgen.errors import MtgenError
from mtgen.inputs.columns import Columns
from mtgen.inputs.images import Images
from mtgen.inputs.rows import Rows
from mtgen.loader import Loader
from mtgen.plan import Shard
from mtgen.recipe import Recipe
from mtgen.stores import open_store
from mtgen.table import read_table

__version__ = "0.1.0"

__all__ = [
    "Batch",
    "Columns",
    "Dataset",
    "Images",
    "Loader",
    "MtgenError",
    "Prefetch",
    "Recipe",
    "Rows",
    "Shard",
    "Splits",
    "open_store",
    "read_table",
]
