"""What there is to change about a loader: asks its settings, its stores and this machine; reads no sample."""

from __future__ import annotations

import os

from mtgen.doctor.altered import possible_recipes
from mtgen.doctor.changes import Facts, Features, Pictures
from mtgen.inputs.images import BoundImages
from mtgen.inputs.rows import BoundRows
from mtgen.loader import Loader
from mtgen.sampling.order import Exact
from mtgen.stores.promised import in_memory
from mtgen.workers import default_num_workers

SPARE_PART = 2
"""One part in so many of this machine's memory is what a loader may be given at most."""


def facts_of(loader: Loader, *, trains: bool = False) -> Facts:
    """What decides which changes are worth a try.

    Args:
        loader: the loader.
        trains: whether there is a model.
    """
    inputs = [one for one in loader.dataset.fields if one.role == "input"]
    return Facts(
        pictures=tuple(_pictures(one.name, one.bound) for one in inputs if isinstance(one.bound, BoundImages)),
        features=tuple(_features(one.name, one.bound) for one in inputs if isinstance(one.bound, BoundRows)),
        num_workers=loader.num_workers,
        num_cores=default_num_workers(None),
        num_processes=loader.num_processes,
        batch_size=loader.batch_size,
        num_rows=len(loader.dataset),
        memory_bytes=loader.forecast.total_bytes,
        most_memory_bytes=machine_bytes() // SPARE_PART,
        is_exact=isinstance(loader.sampler, Exact),
        trains=trains,
    )


def machine_bytes() -> int:
    """Memory of this machine; 8 GiB where nobody tells."""
    known = hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if known else 8 << 30


def _pictures(name: str, bound: BoundImages) -> Pictures:
    images, kept = bound.images, bound.images.cache
    return Pictures(
        name=name,
        recipe=bound.recipe.name,
        recipes=possible_recipes(images),
        no_cache="" if kept is None else f"they have a cache already: {kept}",
    )


def _features(name: str, bound: BoundRows) -> Features:
    store, reason = bound.store, ""
    if in_memory(store):
        reason = "the rows are in memory already"
    elif store.chunk_rows <= 1 and "://" not in store.location:
        reason = "its rows can be read alone already"
    elif not store.row_shape:
        reason = "one value per row is best kept in a column of the table"
    return Features(name=name, location=store.location, chunk_rows=store.chunk_rows, no_pack=reason)
