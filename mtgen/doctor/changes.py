"""What could be changed about a loader: every what-if, in the order in which it is worth measuring. Pure.

`Facts` says what there is; `changes` lists what can be tried, and what cannot with the reason.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["recipe", "cache", "pack", "workers", "processes", "batch", "memory", "blocks"]

MEMORY_FACTOR = 4
"""How much more memory is tried: a window or a cache of a quarter more shows next to nothing."""


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """An input of pictures.

    Args:
        name: of the input.
        recipe: name of its recipe.
        recipes: name of each other recipe -> why the settings do not allow it; empty text where they do.
        no_cache: why decoded pictures are not to be cached; empty text where they may.
    """

    name: str
    recipe: str
    recipes: dict[str, str]
    no_cache: str = ""


@dataclass(frozen=True, kw_only=True)
class Features:
    """An input of rows of a store.

    Args:
        name: of the input.
        location: of the store.
        chunk_rows: rows decompressed together.
        no_pack: why packing is not to be tried; empty text where it is.
    """

    name: str
    location: str
    chunk_rows: int
    no_pack: str = ""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What decides which changes are worth a try.

    Args:
        pictures: inputs of pictures.
        features: inputs of rows of stores.
        num_workers: threads now.
        num_cores: cores this process may run on.
        num_processes: processes now; 0 for threads alone.
        batch_size: samples per batch now.
        num_rows: rows of the dataset.
        memory_bytes: what the loader may hold now.
        most_memory_bytes: what this machine can spare.
        is_exact: whether rows are shuffled by a permutation of all of them.
        trains: whether there is a model.
    """

    pictures: tuple[Pictures, ...]
    features: tuple[Features, ...]
    num_workers: int
    num_cores: int
    num_processes: int
    batch_size: int
    num_rows: int
    memory_bytes: int
    most_memory_bytes: int
    is_exact: bool
    trains: bool = False

    @property
    def is_chunked(self) -> bool:
        """Whether any store must decompress several rows to give one."""
        return any(one.chunk_rows > 1 for one in self.features)


@dataclass(frozen=True, kw_only=True)
class Change:
    """One what-if.

    Args:
        kind: what is changed.
        name: in plain words, unique.
        python: what to write instead.
        command: likewise as an option of `mtgen train`, or a command; empty where there is none.
        field: input that is changed; empty where it is the loader.
        value: the new value.
        remark: what else it changes, such as the pixels.
    """

    kind: Kind
    name: str
    python: str
    command: str = ""
    field: str = ""
    value: Any = None
    remark: str = ""


Impossible = list[tuple[Change, str]]
"""What cannot be tried, with the reason."""


def changes(facts: Facts) -> tuple[list[Change], Impossible]:
    """What can be tried, the most promising first, and what cannot with the reason.

    Example:
        >>> facts = Facts(pictures=(), features=(), num_workers=1, num_cores=2, num_processes=0, batch_size=8,
        ...               num_rows=100, memory_bytes=1 << 20, most_memory_bytes=1 << 30, is_exact=True)
        >>> found, impossible = changes(facts)
        >>> [one.name for one in found], [one.name for one, _ in impossible]
        (['num_workers=2', 'num_workers=4'], ['batch_size=16'])
    """
    impossible: Impossible = []
    recipes = list(_recipes(facts, impossible))
    stores = [*_caches(facts, impossible), *_packs(facts, impossible)]
    workers = [_workers(number) for number in wanted_workers(facts.num_workers, facts.num_cores)]
    rest = [*_processes(facts), *_memory(facts, impossible), *_blocks(facts, impossible)]
    batch = list(_batch(facts, impossible))
    # The nearest other number of workers says whether they matter at all.
    return [*recipes[:1], *stores, *workers[:1], *batch, *recipes[1:], *rest, *workers[1:]], impossible


def wanted_workers(num_workers: int, num_cores: int) -> list[int]:
    """Other numbers of workers to try: 1, 2, 4, ... up to the cores and one step beyond, the nearest first.

    Example:
        >>> wanted_workers(4, 6)
        [6, 2, 12, 1]
    """
    numbers = {num_cores, 2 * num_cores}
    power = 1
    while power < num_cores:
        numbers.add(power)
        power *= 2
    now = max(num_workers, 1)
    others = sorted(numbers - {num_workers}, reverse=True)
    return sorted(others, key=lambda number: abs(math.log(number / now)))


def _workers(number: int) -> Change:
    return Change(
        kind="workers",
        name=f"num_workers={number}",
        python=f"Loader(..., num_workers={number})",
        command=f"--workers {number}",
        value=number,
    )


def _recipes(facts: Facts, impossible: Impossible) -> Iterator[Change]:
    for one in facts.pictures:
        # The recipe keras is for equal pixels, not for speed.
        for recipe, reason in sorted(one.recipes.items(), key=lambda item: item[0] == "keras"):
            if recipe == one.recipe:
                continue
            change = Change(
                kind="recipe",
                name=_of(one.name, f"recipe={recipe!r}", len(facts.pictures)),
                python=f"Images(..., recipe={recipe!r})",
                command=f"--recipe {recipe}",
                field=one.name,
                value=recipe,
                remark="other pixels: train and predict with the same recipe",
            )
            if reason:
                impossible.append((change, reason))
            else:
                yield change


def _caches(facts: Facts, impossible: Impossible) -> Iterator[Change]:
    for one in facts.pictures:
        change = Change(
            kind="cache",
            name=_of(one.name, "decoded pictures kept on disk", len(facts.pictures)),
            python='Images(..., cache="pictures.cache")',
            command="--cache pictures.cache",
            field=one.name,
        )
        if one.no_cache:
            impossible.append((change, one.no_cache))
        else:
            yield change


def _packs(facts: Facts, impossible: Impossible) -> Iterator[Change]:
    for one in facts.features:
        target = one.location.rstrip("/").rsplit("/", 1)[-1].split(".")[0] or one.name
        change = Change(
            kind="pack",
            name=_of(one.name, "packed features", len(facts.features)),
            python=f'mtgen.pack("{one.location}", "{target}.zarr"), then Rows("{target}.zarr", ...)',
            command=f"--features {target}.zarr, made by mtgen pack {one.location} {target}.zarr",
            field=one.name,
        )
        if one.no_pack:
            impossible.append((change, one.no_pack))
        else:
            yield change


def _batch(facts: Facts, impossible: Impossible) -> Iterator[Change]:
    size = 2 * facts.batch_size
    change = Change(
        kind="batch",
        name=f"batch_size={size}",
        python=f"Loader(..., batch_size={size})",
        command=f"--batch-size {size}",
        value=size,
        remark="fewer and larger steps: the learning rate may need a change",
    )
    if not facts.trains:
        impossible.append((change, "only the steps of a model can tell: give one"))
    elif size > facts.num_rows:
        impossible.append((change, f"the dataset has {facts.num_rows:,} rows"))
    else:
        yield change


def _processes(facts: Facts) -> Iterator[Change]:
    if not facts.pictures:
        return
    for number in sorted({2, facts.num_cores // 4, facts.num_cores // 2} - {facts.num_processes, 0, 1}):
        yield Change(
            kind="processes",
            name=f"num_processes={number}",
            python=f"Loader(..., num_processes={number})",
            value=number,
        )


def _memory(facts: Facts, impossible: Impossible) -> Iterator[Change]:
    if not facts.is_chunked:
        return
    memory = MEMORY_FACTOR * facts.memory_bytes
    change = Change(
        kind="memory",
        name=f"memory={memory}",
        python=f"Loader(..., memory={memory})",
        command=f"--memory {memory}",
        value=memory,
        remark="more rows are planned together, so that fewer chunks are decompressed twice",
    )
    if memory > facts.most_memory_bytes:
        impossible.append((change, f"this machine can spare {facts.most_memory_bytes:,} bytes"))
    else:
        yield change


def _blocks(facts: Facts, impossible: Impossible) -> Iterator[Change]:
    if not facts.is_chunked:
        return
    change = Change(
        kind="blocks",
        name='shuffle="blocks"',
        value="blocks",
        python='Loader(..., shuffle="blocks")',
        remark="weaker shuffling: neighbours in the store meet in the same batches",
    )
    if facts.is_exact:
        yield change
    else:
        impossible.append((change, 'the loader has an order of its own, not shuffle="exact"'))


def _of(field: str, name: str, number: int) -> str:
    """The name, with that of the input where several have such a change."""
    return f"{name} of {field!r}" if number > 1 else name
