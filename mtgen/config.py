"""Settings of a running loader: how far it works ahead, what it does about bad samples, where values are held."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from mtgen.errors import PlanError
from mtgen.settings import check_kind, check_whole_or_none, shown

MOST_STALL_SECONDS = 1_000_000
"""Some eleven days; the waits of threads overflow beyond about 292 years, and infinity is no deadline."""


@dataclass(frozen=True, kw_only=True)
class Prefetch:
    """How far a loader works ahead.

    Args:
        window: upcoming steps whose reads are planned together, >= 1, so that a chunk they share is decompressed
            once; None chooses by the stores and the memory budget.
        depth: steps kept ready or in work beyond the one handed out, >= 0; None chooses likewise.
        stall_seconds: longest wait for one batch, > 0; then a `StallError` says what each worker is doing.

    Example:
        >>> Prefetch(window=8).window
        8
    """

    window: int | None = None
    depth: int | None = None
    stall_seconds: float = 300.0

    def __post_init__(self) -> None:
        for name, least in (("window", 1), ("depth", 0)):
            value = check_whole_or_none(f"Prefetch({name}=...)", getattr(self, name), least)
            object.__setattr__(self, name, value)  # a number of NumPy's becomes one of Python's
        number = isinstance(self.stall_seconds, int | float) and not isinstance(self.stall_seconds, bool)
        if not number or not 0 < self.stall_seconds <= MOST_STALL_SECONDS:
            raise PlanError(
                f"Prefetch(stall_seconds=...) must be a number > 0 and at most {MOST_STALL_SECONDS:,} (no wait is "
                f"unbounded), received {self.stall_seconds!r}"
            )


MOST_RETRIES = 20
"""Twenty doublings of any pause are longer than a run."""

MOST_PAUSE_SECONDS = 3_600
"""All pauses of one read together: a worker that pauses cannot be stopped, and longer than an hour is no hiccup."""


@dataclass(frozen=True, kw_only=True)
class OnError:
    """What a loader does about a sample that cannot be read: a picture or a chunk that is missing or damaged.

    Whatever is chosen, errors that may pass (a network file system that stumbles) are retried first, and a sample
    that is not provably the right one (`AlignmentError`, `ChangedError`) always stops the run.

    Args:
        policy: `"raise"`: the batch raises. `"refill"`: another row takes the place of the bad one, drawn by the same
            law, always the same one; no other slot changes. `"mask"`: the slot is all zeros and has weight 0.
        max_errors: distinct bad rows that are put up with: a number of rows, or a share of the dataset's rows below
            1 (at least one row). One more raises `BudgetError`.
        report: CSV file to which each bad row is added, once by each loader: row, path, error, step. None keeps the
            list in `loader.quarantine` only.
        num_retries: how often a read is tried again after an error that may pass, such as EIO, ESTALE or HTTP 503.
        retry_seconds: pause before the first of them; doubles each time. All of them may take an hour.

    Raises:
        PlanError: anything out of range.

    Example:
        >>> OnError(policy="refill", max_errors=0.001).most_bad_rows(50_000)
        50
    """

    policy: Literal["raise", "refill", "mask"] = "raise"
    max_errors: int | float = 0.01
    report: str | os.PathLike[str] | None = None
    num_retries: int = 3
    retry_seconds: float = 0.1

    def __post_init__(self) -> None:
        if self.policy not in ("raise", "refill", "mask"):
            raise PlanError(f'on_error must be "raise", "refill" or "mask", received {self.policy!r}')
        number = isinstance(self.max_errors, int | float) and not isinstance(self.max_errors, bool)
        whole = number and (isinstance(self.max_errors, int) or self.max_errors < 1)
        if not number or not whole or self.max_errors < 0:
            raise PlanError(
                "OnError(max_errors=...) must be a number of rows >= 0 (an integer) or a share of all rows from 0 to "
                f"below 1, received {self.max_errors!r}"
            )
        if self.report is not None and not isinstance(self.report, str | os.PathLike):
            raise PlanError(f"OnError(report=...) must be the path of a CSV file or None, received {self.report!r}")
        retries = self.num_retries
        if isinstance(retries, bool) or not isinstance(retries, int) or not 0 <= retries <= MOST_RETRIES:
            raise PlanError(
                f"OnError(num_retries=...) must be an integer from 0 to {MOST_RETRIES}, received {retries!r}"
            )
        pause = self.retry_seconds
        if isinstance(pause, bool) or not isinstance(pause, int | float) or not 0 <= pause <= 60:
            raise PlanError(f"OnError(retry_seconds=...) must be a number from 0 to 60, received {pause!r}")
        if pause * (2**retries - 1) > MOST_PAUSE_SECONDS:
            raise PlanError(
                f"OnError(num_retries={retries}, retry_seconds={pause}) pauses for {pause * (2**retries - 1):,.0f} s "
                f"before a read is given up, at most {MOST_PAUSE_SECONDS:,} are allowed: fewer retries, or a shorter "
                "first pause"
            )

    def most_bad_rows(self, num_rows: int) -> int:
        """Distinct bad rows put up with in a dataset of `num_rows` rows."""
        if isinstance(self.max_errors, int):
            return self.max_errors
        return max(1, int(self.max_errors * num_rows)) if self.max_errors else 0


Where = Literal["stream", "ram", "device"]
"""Where the values of an input are while a model trains."""


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Where the values of each input are while a model trains. It changes no order and no byte of a batch.

    Args:
        inputs: `"stream"`: read for each batch. `"ram"`: read once, decoded, and held in memory, as a part of the
            loader's `memory=`. `"device"`: read once and uploaded to the device of the jax or torch backend; then only
            places of rows travel per batch. One word for all inputs, or name of an input -> word; those that are not
            named are streamed.
        reserve_bytes: what must stay free on the device after the upload, >= 0; None for a quarter of its memory,
            because weights, gradients, the optimizer's slots and activations come on top.
        say: called with one line when values were uploaded.

    Raises:
        PlanError: another word, or a reserve that is no integer >= 0.

    Example:
        >>> Placement(inputs={"features": "device"}).where("features")
        'device'
    """

    inputs: Where | Mapping[str, Where] = "stream"
    reserve_bytes: int | None = None
    say: Callable[[str], None] = print

    def __post_init__(self) -> None:
        check_kind("placement", self.inputs, str | Mapping, f"{_words()}, or a dict of input name -> one of them")
        named: Mapping[Any, Any] = {"all inputs": self.inputs} if isinstance(self.inputs, str) else self.inputs
        for name, word in named.items():
            if not isinstance(word, str) or word not in get_args(Where):
                raise PlanError(f"placement of {name!r} must be {_words()}, received {shown(word)}")
        if not isinstance(self.inputs, str):
            object.__setattr__(self, "inputs", dict(self.inputs))  # the caller's may change
        object.__setattr__(
            self, "reserve_bytes", check_whole_or_none("Placement(reserve_bytes=...)", self.reserve_bytes, 0)
        )
        check_kind("Placement(say=...)", self.say, Callable, "a function of one text, such as print")

    def where(self, name: str) -> Where:
        """The word for an input."""
        return self.inputs if isinstance(self.inputs, str) else self.inputs.get(name, "stream")


def _words() -> str:
    return " or ".join(f'"{word}"' for word in get_args(Where))
