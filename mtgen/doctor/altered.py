"""The same loader with one thing changed: twins that share its dataset and touch nothing of it.

Twins have threads, counters and streams of their own. They write no report of bad rows and, where pictures have a
cache on disk, only the present settings use it. Nothing is read here.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Mapping
from typing import Any

import numpy as np

from mtgen.config import Prefetch
from mtgen.dataset import Dataset
from mtgen.doctor.schedule import burst
from mtgen.errors import PlanError
from mtgen.gather.costs import staged
from mtgen.inputs.images import BoundImages, Images
from mtgen.loader import Loader
from mtgen.plan import Shard
from mtgen.recipe import NAMES, Recipe, check_installed, named_recipe

_IMAGES_PARAMETERS = inspect.signature(Images).parameters

LEAST_STALL_SECONDS = 30.0
"""A twin gives up a batch that takes longer than this and than the whole examination."""

_RECIPE_OF_IMAGES = ("size", "color", "fit", "dtype", "scale", "data_format", "max_pixels")


def twin(loader: Loader, dataset: Dataset | None = None, *, stall_seconds: float = 0.0, **changed: Any) -> Loader:
    """A loader like the given one, over another dataset or with other settings.

    Its memory is that of the loader's forecast, which leads to the same window and depth; more workers get what they
    need on top.

    Args:
        loader: is not touched.
        dataset: None for the loader's own.
        stall_seconds: what the examination may take; a batch that takes longer than that is given up.
        **changed: arguments of `Loader`.
    """
    forecast, batching = loader.forecast, loader.batching
    num_workers = changed.get("num_workers", loader.num_workers)
    more = max(0, max(num_workers, 1) - max(loader.num_workers, 1)) * forecast.scratch_bytes
    settings: dict[str, Any] = {
        "batch_size": batching.batch_size,
        "seed": loader.seed,
        "sampler": loader.sampler,
        "drop_last": batching.drop_last,
        "pad_last": batching.pad_last,
        "num_workers": loader.num_workers,
        "memory": forecast.total_bytes + more,
        "on_error": dataclasses.replace(loader.on_error, report=None),
        "shard": batching.shard,
        "prefetch": _patient(loader.prefetch, stall_seconds),
    }
    kept = loader.dataset if dataset is None else dataset
    # Processes are for pictures, and have one worker at least.
    processes = loader.num_processes if any(isinstance(one.bound, BoundImages) for one in kept.fields) else 0
    settings["num_processes"] = min(processes, num_workers)
    if "shuffle" in changed:
        del settings["sampler"]
    return Loader(kept, **(settings | changed))


def part_of(loader: Loader, dataset: Dataset, batch_size: int | None = None) -> Loader:
    """A loader like the given one over some inputs, that plans and works ahead by as many rows as that one does.

    Args:
        loader: the whole.
        dataset: some inputs of it, over any rows.
        batch_size: samples per batch where they are to be smaller; None for the same.
    """
    times, forecast = -(-loader.batch_size // (batch_size or loader.batch_size)), loader.forecast
    window = forecast.window * times if any(map(staged, dataset.fields)) else 1
    depth = forecast.depth * times
    if window == 1 and loader.num_workers:
        # Little that is ready beforehand, so that short slices do not count what was done before them.
        depth = min(depth, burst(batch_size or loader.batch_size, loader.num_workers, 1) + 1)
    prefetch = dataclasses.replace(loader.prefetch, window=window, depth=depth)
    # The shard's part of a sample would be a part of a part.
    return twin(
        loader,
        dataset,
        batch_size=batch_size or loader.batch_size,
        prefetch=prefetch,
        shard=Shard(),
        memory=2 * forecast.total_bytes,
    )


def _patient(prefetch: Prefetch, seconds: float) -> Prefetch:
    return dataclasses.replace(prefetch, stall_seconds=min(prefetch.stall_seconds, max(LEAST_STALL_SECONDS, seconds)))


class Bound:
    """What is bound to a table already, to be an input of another dataset over the same table."""

    def __init__(self, bound: Any) -> None:
        self._bound = bound

    def bind(self, table: Any) -> Any:
        """What was bound before."""
        return self._bound


def only_inputs(dataset: Dataset, bound: Mapping[str, Any], rows: np.ndarray | None = None) -> Dataset:
    """A dataset of these inputs alone, over the same table.

    Args:
        dataset: stays as it is.
        bound: name of the input -> `BoundImages` or `BoundRows` over that table.
        rows: some of the dataset's rows, int64; None for all.
    """
    made = Dataset(dataset.table, {name: Bound(one) for name, one in bound.items()})
    return made.take(dataset.rows if rows is None else rows)


def recipe_named(images: Images, name: str) -> Images:
    """The settings with another ready recipe, and without a cache.

    Raises:
        PlanError: the settings do not go with that recipe.
    """
    if not isinstance(images.recipe, Recipe):
        return dataclasses.replace(images, recipe=name, cache=None)
    given = images.recipe
    kept = {setting: getattr(given, setting) for setting in (*_RECIPE_OF_IMAGES, "fill", "formats", "strict_frames")}
    made = named_recipe(name, **kept)
    return with_recipe(images, made)


def with_recipe(images: Images, recipe: Recipe) -> Images:
    """The settings with that recipe, and without a cache."""
    said = {name: _IMAGES_PARAMETERS[name].default for name in (*_RECIPE_OF_IMAGES, "filter")}
    return dataclasses.replace(images, **said, recipe=recipe, cache=None)


def possible_recipes(images: Images) -> dict[str, str]:
    """Name of each ready recipe -> why the settings do not go with it, or what it needs; empty text where they do.

    Example:
        >>> found = possible_recipes(Images("file", size=(8, 8), filter="nearest"))
        >>> found["keras"], found["fast"][:24]
        ('', "recipe 'fast' shrinks in")
    """
    found = {}
    for name in NAMES:
        try:
            check_installed(recipe_named(images, name).pixel_recipe)
        except PlanError as error:
            found[name] = error.message
        else:
            found[name] = ""
    return found


def bound_like(bound: BoundImages, images: Images) -> BoundImages:
    """Other settings for the same rows and files, with the promises of the manifest that the first ones had.

    A manifest is not compared once more: that would look at every file.

    Args:
        bound: the pictures as they are.
        images: the settings; column, root and links are those of `bound`, of each part where it is joined.
    """

    def like(member: BoundImages) -> BoundImages:
        own = member.images
        settings = dataclasses.replace(
            images, column=own.column, root=own.root, follow_links=own.follow_links, manifest=None, verify=None
        )
        made = BoundImages(
            settings, [member.path_text(row).decode("utf-8", "surrogatepass") for row in range(len(member))]
        )
        made.promises = member.promises
        return made

    return bound.like(like)
