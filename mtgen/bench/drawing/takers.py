"""Who takes part in which task of the suite `sampling`, and what it needs. Nothing is imported here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mtgen.bench.drawing.tasks import TASKS
from mtgen.bench.suites import Contender


def takers() -> Iterator[Contender]:
    """The contenders, task by task."""
    for task in TASKS:
        yield from _OF[task](task)


def _own(task: str, function: str, name: str = "mtgen", **options: Any) -> Contender:
    return Contender(name=name, group=task, module="draw_own", function=function, options=options, family="mtgen")


def _floor(task: str, function: str, name: str) -> Contender:
    return Contender(name=f"floor: {name}", group=task, module="draw_numpy", function=function, family="floor")


def _other(task: str, name: str, module: str, function: str, *needs: str, **options: Any) -> Contender:
    return Contender(name=name, group=task, module=f"draw_{module}", function=function, needs=needs, options=options)


def _not_run(task: str, name: str, reason: str) -> Contender:
    return Contender(name=name, group=task, module="draw_numpy", function="", why_not=reason)


CHOICE, MULTINOMIAL, SAMPLER = "numpy Generator.choice(p=)", "torch.multinomial", "torch WeightedRandomSampler"
GRAIN, BATCHFLOW = "Grain index_shuffle", "BatchFlow"
PERMUTATION, RANDPERM = "numpy Generator.permutation", "torch.randperm"


def _torch(task: str, **options: Any) -> Iterator[Contender]:
    yield _other(task, MULTINOMIAL, "torch", "multinomial", "torch", **options)
    yield _other(task, SAMPLER, "torch", "weighted_sampler", "torch", **options)


def _batches(task: str) -> Iterator[Contender]:
    yield _own(task, "weighted")
    yield _own(task, "weighted", "mtgen, spread='iid'", spread="iid")
    yield _other(task, CHOICE, "numpy", "choice")
    yield from _torch(task)
    yield _floor(task, "cached_sums", "sums made once, np.searchsorted")


def _built(task: str) -> Iterator[Contender]:
    yield _own(task, "build")
    yield _floor(task, "bare_sums", "np.cumsum, nothing checked")


def _epoch(task: str) -> Iterator[Contender]:
    yield _own(task, "weighted")
    yield _own(task, "weighted", "mtgen, spread='iid'", spread="iid")
    yield _other(task, CHOICE, "numpy", "choice")
    yield from _torch(task)
    yield _floor(task, "even_copies", "copies counted, repeated, shuffled")


def _without(task: str) -> Iterator[Contender]:
    yield _own(task, "race")
    yield _other(task, f"{CHOICE}, replace=False", "numpy", "choice", replace=False)
    yield from _torch(task, replacement=False)
    yield _floor(task, "bare_race", "exponential clocks, np.argpartition")


def _starts(task: str) -> Iterator[Contender]:
    yield _own(task, "shuffle_start")
    yield _other(task, GRAIN, "grain", "index_shuffle", "grain", begin=True)
    yield from _too_many(task)


def _too_many(task: str) -> Iterator[Contender]:
    for name in (PERMUTATION, RANDPERM):
        yield _not_run(task, name, "would hold 80 GB")


def _shuffles(task: str) -> Iterator[Contender]:
    yield _own(task, "shuffle")
    yield _other(task, GRAIN, "grain", "index_shuffle", "grain")
    yield from _too_many(task)


def _small(task: str) -> Iterator[Contender]:
    yield _own(task, "shuffle_start")
    yield _other(task, GRAIN, "grain", "index_shuffle", "grain", begin=True)
    yield _other(task, PERMUTATION, "numpy", "permutation")
    yield _other(task, RANDPERM, "torch", "randperm", "torch")


def _mixtures(task: str) -> Iterator[Contender]:
    yield _own(task, "mixture")
    yield _other(task, BATCHFLOW, "batchflow", "mixture", "batchflow")
    yield _floor(task, "mixture", "one search, one call for the values")


def _histogram(task: str) -> Iterator[Contender]:
    yield _own(task, "histogram")
    yield _other(task, BATCHFLOW, "batchflow", "histogram", "batchflow")
    yield _floor(task, "histogram", "bins in use, one search")


def _large_histogram(task: str) -> Iterator[Contender]:
    yield _own(task, "histogram")
    yield _not_run(task, BATCHFLOW, "keeps both corners of every bin: would hold 24 GB")
    yield _floor(task, "histogram", "bins in use, one search")


def _truncated(task: str) -> Iterator[Contender]:
    yield _own(task, "truncated")
    yield _other(task, "scipy.stats.truncnorm", "numpy", "truncated", "scipy")
    yield _other(task, BATCHFLOW, "batchflow", "truncated", "batchflow")


def _impossible(task: str) -> Iterator[Contender]:
    yield _own(task, "impossible")
    yield _other(task, BATCHFLOW, "batchflow", "impossible", "batchflow")


def _queries(task: str) -> Iterator[Contender]:
    yield _own(task, "sample_by")
    yield _other(task, "pandas, map for each label", "tables", "pandas_map")
    yield _other(task, "pandas, explode and groupby", "tables", "pandas_explode")
    yield _not_run(task, "Deep Lake", "its language gives rows and never weights; see the next task")


def _queries_drawn(task: str) -> Iterator[Contender]:
    yield _own(task, "sample_by", drawn=True)
    yield _other(task, "pandas, map for each label", "tables", "pandas_map", drawn=True)
    yield _other(task, "pandas, explode and groupby", "tables", "pandas_explode", drawn=True)
    yield _other(task, "Deep Lake, in memory", "tables", "deep_lake", "deeplake")


_OF = {
    "weighted batch": _batches,
    "weighted batch, many rows": _batches,
    "weights built": _built,
    "weighted epoch": _epoch,
    "without replacement": _without,
    "shuffle, start": _starts,
    "shuffle": _shuffles,
    "shuffle, small": _small,
    "shuffle, 65,537 rows": _small,
    "mixture": _mixtures,
    "mixture, many points": _mixtures,
    "histogram": _histogram,
    "histogram, many bins": _large_histogram,
    "truncated, half kept": _truncated,
    "truncated, 1e-9 kept": _truncated,
    "impossible": _impossible,
    "sample by": _queries,
    "sample by, drawn": _queries_drawn,
}
