"""A task in the contender's own process; see `mtgen.bench.contender` for how it is asked.

{"ask": "prove"}    small sizes, checked thoroughly; whatever is imported late is there after it
{"ask": "open"}     make the inputs, get ready; says what is held
{"ask": "first"}    the first call, checked; says the most memory
{"ask": "round", "warm_up": 1.0, "seconds": 3.0}
"""

from __future__ import annotations

import gc
import importlib
import os
import time
from collections import deque
from collections.abc import Mapping
from contextlib import ExitStack
from itertools import count
from typing import Any

from mtgen.bench import usage
from mtgen.bench.drawing.checks import judge
from mtgen.bench.drawing.inputs import Operation, Sizes, Taker
from mtgen.errors import PlanError

KEPT_ROWS = 10_000
"""Rows or points of timed calls that are kept to be checked; at least one call."""


class TaskProcess:
    """One contender in this process.

    Args:
        given: the first line: `task`, `check`, `module`, `function`, `options`, `inputs`, `sizes` and `proofs`.
    """

    def __init__(self, given: Mapping[str, Any]) -> None:
        self._given = given
        self._sizes = Sizes.from_json(given["sizes"])
        self._taker: Taker = getattr(importlib.import_module(given["module"]), given["function"])
        self._closers = ExitStack()
        self._operation: Operation | None = None
        self._base = 0
        self._numbers = count(1)

    def answer(self, question: Mapping[str, Any]) -> dict[str, Any]:
        """Do what is asked."""
        ask = question["ask"]
        if ask == "prove":
            return self.prove()
        if ask == "open":
            return self.open()
        if ask == "first":
            return self.first()
        if ask == "round":
            return self.round(question["warm_up"], question["seconds"])
        raise PlanError(f'ask must be "prove", "open", "first" or "round", received {ask!r}')

    def prove(self) -> dict[str, Any]:
        """Draw in small and check.

        Raises:
            WrongError: something is wrong.
        """
        num_rows = 0
        for sizes in map(Sizes.from_json, self._given["proofs"]):
            with self._taker(sizes, **self._given["options"]) as operation:
                results = [operation.look(operation.call(number)) for number in range(sizes.calls)]
            judge(self._given["check"], sizes, results)
            num_rows += sizes.calls * sizes.batch
        return {"num_rows": num_rows, "difference": None, "shuffled": True}

    def open(self) -> dict[str, Any]:
        """Get ready; says how much memory that holds, besides the inputs."""
        self._sizes.make(tuple(self._given["inputs"]))
        usage.give_back()
        usage.reset_peak()
        known = usage.resident()
        self._base = known[0] if known else 0
        self._operation = self._closers.enter_context(self._taker(self._sizes, **self._given["options"]))
        gc.collect()
        usage.give_back()
        return {"held_bytes": self._grown()[0]}

    def _grown(self) -> tuple[int | None, int | None]:
        known = usage.resident()
        return (known[0] - self._base, known[1] - self._base) if known else (None, None)

    def first(self) -> dict[str, Any]:
        """The first call; says its time, and the most memory until it was over."""
        operation = self._ready()
        started = time.perf_counter()
        result = operation.call(0)
        seconds = time.perf_counter() - started
        peak = self._grown()[1]
        judge(self._given["check"], self._sizes, [operation.look(result)])
        return {"seconds": seconds, "peak_bytes": peak}

    def _ready(self) -> Operation:
        assert self._operation is not None  # noqa: S101  # the runner asks in this order
        return self._operation

    def round(self, warm_up: float, seconds: float) -> dict[str, Any]:
        """Call for a while; results are checked when the clock has stopped."""
        operation = self._ready()
        kept: deque[Any] = deque(maxlen=max(KEPT_ROWS // self._sizes.batch, 1))
        if warm_up:
            self._calls(operation, warm_up, kept)
        cpu = usage.cpu_seconds(os.getpid())
        num_calls, elapsed = self._calls(operation, seconds, kept)
        cpu = usage.cpu_seconds(os.getpid()) - cpu
        judge(self._given["check"], self._sizes, [operation.look(result) for result in kept])
        return {
            "calls": num_calls,
            "rows": num_calls * self._sizes.batch,
            "seconds": elapsed,
            "cpu_seconds": cpu,
            "peak_bytes": usage.peak_bytes(),
        }

    def _calls(self, operation: Operation, seconds: float, kept: deque[Any]) -> tuple[int, float]:
        """Calls and seconds until the first call that ends after so many seconds."""
        call, clock = operation.call, time.perf_counter
        started = clock()
        for num_calls, number in enumerate(self._numbers, 1):
            kept.append(call(number))
            elapsed = clock() - started
            if elapsed >= seconds:
                return num_calls, elapsed
        raise AssertionError  # numbers do not end

    def close(self) -> None:
        """Put away what the contender made."""
        self._closers.close()
