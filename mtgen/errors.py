"""Every error mtgen raises on purpose, in one tree.

    MtgenError
    ├── TableError      (ValueError)    the table cannot say what the samples are
    ├── AlignmentError  (ValueError)    a table row and a store row are not provably the same sample
    ├── StoreError      (OSError)       a store cannot be opened or read
    ├── DecodeError     (OSError)       a picture cannot be read or decoded
    ├── ChangedError    (RuntimeError)  a file is not the one that was promised, or changed while it was read
    ├── ManifestError   (ValueError)    a manifest that is damaged, or does not name the files asked for
    ├── PlanError       (ValueError)    settings that no order, split or batch can follow
    │   ├── EmptySupportError           nothing can be drawn from a sampler
    │   ├── NoDensityError              a sampler has no known density
    │   ├── QueryError                  a `sample by` text that cannot be read, or does not fit the table
    │   └── SealedError                 a sealed split was to be read without being opened
    ├── StateError      (ValueError)    a state that does not belong to this loader
    │   └── OtherRunError               a checkpoint of another model or optimizer; `settings` names what differs
    ├── ModelError      (ValueError)    a model whose inputs or targets do not fit the loader
    ├── BudgetError     (RuntimeError)  more bad samples than allowed
    └── StallError      (TimeoutError)  a wait passed its deadline

Each message says what was received, what was expected and how to fix it. Where there is one, the row, path and
step stand in the text itself, because some training backends keep nothing but the text of an error.
"""

from __future__ import annotations

from typing import Any


class MtgenError(Exception):
    """Base of all errors raised by mtgen.

    Args:
        message: what was received, what was expected, how to fix it.
        row: place of the sample in the root table, 0-based, if one sample is to blame.
        path: file, folder or URL the failure belongs to.
        step: 0-based batch number since training began.

    Example:
        >>> print(MtgenError("cannot read", row=7, path="a.png", step=2))
        cannot read [step 2, row 7, path a.png]
    """

    def __init__(
        self, message: str, *, row: int | None = None, path: str | None = None, step: int | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.row = row
        self.path = path
        self.step = step

    def at(self, *, row: int | None = None, path: str | None = None, step: int | None = None) -> MtgenError:
        """Fill in those of row, path and step that are still unknown; returns the error itself."""
        self.row = row if self.row is None else self.row
        self.path = path if self.path is None else self.path
        self.step = step if self.step is None else self.step
        return self

    def __str__(self) -> str:
        path = None if self.path is None else _cut(str(self.path), 4_096)
        known = [("step", self.step), ("row", self.row), ("path", path)]
        places = [f"{name} {value}" for name, value in known if value is not None]
        message = _cut(self.message, 20_000)
        return f"{message} [{', '.join(places)}]" if places else message

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.message, self.row, self.path, self.step)


def _cut(text: str, most: int) -> str:
    """The text, or so much of it as somebody may read: tables hold labels and paths of a million characters."""
    return text if len(text) <= most else f"{text[:most]}... ({len(text):,} characters)"


def _rebuild(kind: type[MtgenError], message: str, row: int | None, path: str | None, step: int | None) -> MtgenError:
    return kind(message, row=row, path=path, step=step)


class TableError(MtgenError, ValueError):
    """The table cannot say what the samples are: a missing column, a missing value, a wrong type."""


class AlignmentError(MtgenError, ValueError):
    """A table row and a store row are not provably the same sample; nothing was trained on the mismatch."""


class StoreError(MtgenError, OSError):
    """A store cannot be opened or read."""


class DecodeError(MtgenError, OSError):
    """A picture cannot be read or decoded."""


class ChangedError(MtgenError, RuntimeError):
    """A file is not the one that was promised: it changed since the manifest was made, or while it was read.

    Neither a `DecodeError` nor a `StoreError`, so that no policy for bad samples takes a changed dataset for one.
    """


class ManifestError(MtgenError, ValueError):
    """A manifest that is damaged, of another version, or does not name the files asked for."""


class PlanError(MtgenError, ValueError):
    """Settings that no order, split or batch can follow."""


class EmptySupportError(PlanError):
    """A sampler from which nothing can be drawn: no row of positive weight, no point inside the bounds."""


class NoDensityError(PlanError):
    """A sampler whose density is not known, so that there is no `log_prob`."""


class QueryError(PlanError):
    """A `sample by` text that cannot be read, or does not fit the table; the message marks the place in the text."""


class SealedError(PlanError, AttributeError):
    """A split that is sealed was to be read; `.open()` gives its dataset. Also what a sealed split has no name for."""


class StateError(MtgenError, ValueError):
    """A state that does not belong to this loader: another dataset, seed, batch size or version."""


class OtherRunError(StateError):
    """A checkpoint of another model or optimizer.

    Args:
        message: see `MtgenError`.
        settings: names of the optimizer's settings that differ, such as `config.learning_rate`.
        **place: row, path and step, see `MtgenError`.
    """

    def __init__(self, message: str, settings: tuple[str, ...] = (), **place: Any) -> None:
        super().__init__(message, **place)
        self.settings = tuple(settings)

    def __reduce__(self) -> tuple[Any, ...]:
        return (*super().__reduce__(), {"settings": self.settings})


class ModelError(MtgenError, ValueError):
    """A model whose inputs or targets do not fit what the loader delivers."""


class BudgetError(MtgenError, RuntimeError):
    """More samples could not be read than `OnError(max_errors=...)` allows."""


class StallError(MtgenError, TimeoutError):
    """A wait passed its deadline; the message says what each worker was doing."""


def named(error: Exception, path: str | None, kind: type[MtgenError] = StoreError) -> MtgenError:
    """The error with its path; one that is not ours is wrapped, because backends may keep nothing but the text.

    Example:
        >>> print(named(ZeroDivisionError("division by zero"), "a.png", DecodeError))
        ZeroDivisionError: division by zero [path a.png]
    """
    if isinstance(error, MtgenError):
        return error.at(path=path)
    wrapped = kind(f"{type(error).__name__}: {error}", path=path)
    wrapped.__cause__ = error
    return wrapped
