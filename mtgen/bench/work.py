"""What a contender is given and what it delivers: the contract between the benchmark and the contenders.

A contender is a function decorated with `contextlib.contextmanager`. It takes a `Work`, gets ready, and yields a
function from the number of an epoch to an iterator of that epoch's batches; after the yield it puts away what it made.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from mtgen.bench.data import picture_paths


class Delivered(NamedTuple):
    """One batch as NumPy arrays, or what can be indexed like them without a copy.

    Attributes:
        rows: the row of each sample, delivered the way a target is, int64 `(n,)`.
        features: float32 `(n, columns)`, or None.
        pictures: `(n, height, width, 3)`, or None.
    """

    rows: np.ndarray
    features: np.ndarray | None = None
    pictures: np.ndarray | None = None


Epochs: TypeAlias = Callable[[int], Iterator[Delivered]]
Opener: TypeAlias = Callable[..., AbstractContextManager[Epochs]]


@dataclass(frozen=True, kw_only=True)
class Work:
    """What every contender of a suite is given, the same for all.

    Immutable; goes to another process as JSON.

    Args:
        places: name of each part of the data -> its path, see `mtgen.bench.data`.
        num_rows: rows of the table.
        num_columns: columns of the feature matrix.
        sparsity: share of zeros in it.
        batch_size: rows per batch.
        size: height and width of delivered pictures.
        workers: threads or processes to use.
        memory: bytes for loaders that take a budget.
        seed: of data and orders.
        rows: rows to deliver, int64 `(n,)`, a multiple of the batch; None for all.
    """

    places: Mapping[str, str]
    num_rows: int
    num_columns: int
    sparsity: float
    batch_size: int
    size: int
    workers: int
    memory: int
    seed: int
    rows: np.ndarray | None = None

    @property
    def wanted(self) -> np.ndarray:
        """Rows to deliver in each epoch, int64 `(n,)`, rising."""
        return np.arange(self.num_rows) if self.rows is None else self.rows

    def order(self, epoch: int) -> np.ndarray:
        """The wanted rows in an exact shuffle of that epoch, for contenders that leave the order to their user."""
        return np.random.default_rng([self.seed, epoch]).permutation(self.wanted)

    def steps(self, epoch: int) -> Iterator[np.ndarray]:
        """`order`, batch by batch."""
        order = self.order(epoch)
        return (order[start : start + self.batch_size] for start in range(0, len(order), self.batch_size))

    def place(self, name: str) -> str:
        """Path of a part of the data."""
        return self.places[name]

    def paths(self) -> list[str]:
        """Path of the picture of every row of the table."""
        return picture_paths(self.places["pictures"], range(self.num_rows))

    def to_json(self) -> str:
        """As one line of text."""
        rows = None if self.rows is None else self.rows.tolist()
        return json.dumps({**dataclasses.asdict(self), "places": dict(self.places), "rows": rows})

    @classmethod
    def from_json(cls, text: str) -> Work:
        """The work that `to_json` wrote."""
        given: dict[str, Any] = json.loads(text)
        rows = given.pop("rows")
        return cls(**given, rows=None if rows is None else np.array(rows, np.int64))
