"""A split that nothing reads until it is opened by an explicit call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mtgen.errors import SealedError

if TYPE_CHECKING:
    from mtgen.dataset import Dataset

_OPEN = (
    "call .open() on it for the dataset, or .open() on the splits for all of them, where it is meant to be looked at"
)


class Sealed:
    """A dataset behind a seal: it has a length and digests, and gives no row, field or sample.

    `data.split(..., sealed="test")` makes it. What takes a dataset refuses it, and says so; `open()` gives the
    dataset. Immutable and picklable; any thread.

    Args:
        name: of the split.
        dataset: what is sealed.

    Example:
        >>> data = mtgen.Dataset(pd.DataFrame({"a": range(10)}), inputs={"a": mtgen.Columns("a")})
        >>> train, test = data.split({"train": 0.8, "test": 0.2}, sealed="test")
        >>> test
        Sealed('test', 2 of 10 rows; .open() gives the dataset)
        >>> test.fetch([0])
        Traceback (most recent call last):
        mtgen.errors.SealedError: split 'test' is sealed, ...
        >>> len(test.open().fetch(test.open().rows))
        2
    """

    def __init__(self, name: str, dataset: Dataset) -> None:
        self._name, self._dataset = name, dataset

    @property
    def name(self) -> str:
        """Of the split."""
        return self._name

    @property
    def digests(self) -> dict[str, str]:
        """Digests of the dataset, for a record of what a run will be tested on; see `Dataset.digests`."""
        return self._dataset.digests

    def open(self) -> Dataset:
        """The dataset: the explicit call that a test split waits for."""
        return self._dataset

    def __len__(self) -> int:
        return len(self._dataset)

    def __repr__(self) -> str:
        return f"Sealed({self._name!r}, {len(self)} of {len(self._dataset.table)} rows; .open() gives the dataset)"

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        raise SealedError(f"split {self._name!r} is sealed, so it has no {name!r}: {_OPEN}")


def check_opened(value: object) -> None:
    """Refuse a sealed split where a dataset is wanted; everything else passes.

    Raises:
        SealedError: says how to open it.
    """
    if isinstance(value, Sealed):
        raise SealedError(f"split {value.name!r} is sealed, so nothing reads it: {_OPEN}")
