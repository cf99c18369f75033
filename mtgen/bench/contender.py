"""The process that one contender runs in: `python -m mtgen.bench.contender`, driven by lines of JSON.

The first line on standard input says who it is and what the work is. Each further line is a question; each answer is
one line on what standard output was at the start. Whatever libraries print goes to standard error.

    {"ask": "prove"}    two epochs of some rows, every value compared
    {"ask": "open"}     get ready for all rows
    {"ask": "round", "warm_up": 1.0, "seconds": 3.0}
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import os
import sys
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from itertools import count
from typing import Any, TextIO

from mtgen.bench import usage
from mtgen.bench.data import reference_picture
from mtgen.bench.drawing.checks import WrongError
from mtgen.bench.drawing.process import TaskProcess
from mtgen.bench.proof import Glances, Proof
from mtgen.bench.work import Delivered, Epochs, Opener, Work
from mtgen.errors import PlanError

PROOF_EPOCHS = 2


class Process:
    """One contender in this process.

    Args:
        given: the first line: `module`, `function`, `options`, `ordered`, `work` and `proof` (the work as text, once
            with all rows and once with some).
    """

    def __init__(self, given: Mapping[str, Any]) -> None:
        self._given = given
        self._work = Work.from_json(given["work"])
        self._glances = Glances(self._work)
        self._closers = ExitStack()
        self._opener: Opener = getattr(importlib.import_module(given["module"]), given["function"])
        self._stream: Iterator[tuple[int, Delivered]] | None = None

    def answer(self, question: Mapping[str, Any]) -> dict[str, Any]:
        """Do what is asked."""
        ask = question["ask"]
        if ask == "prove":
            return self.prove()
        if ask == "open":
            return self.open()
        if ask == "round":
            return self.round(question["warm_up"], question["seconds"])
        raise PlanError(f'ask must be "prove", "open" or "round", received {ask!r}')

    def prove(self) -> dict[str, Any]:
        """Deliver some rows for two epochs and compare them.

        Raises:
            AlignmentError: something is wrong.
        """
        work = Work.from_json(self._given["proof"])
        paths = work.paths() if "pictures" in work.places else []
        proof = Proof(work, lambda row: reference_picture(paths[row], work.size), ordered=self._given["ordered"])
        with self._opener(work, **self._given["options"]) as epochs:
            for epoch in range(PROOF_EPOCHS):
                for batch in epochs(epoch):
                    proof.add(batch)
                proof.end_epoch()
        return dataclasses.asdict(proof.finish())

    def open(self) -> dict[str, Any]:
        """Get ready for all rows; says what the process held before, with everything imported."""
        base = usage.memory(os.getpid())
        epochs = self._closers.enter_context(self._opener(self._work, **self._given["options"]))
        self._stream = _endless(epochs)
        return {"base": dataclasses.asdict(base)}

    def round(self, warm_up: float, seconds: float) -> dict[str, Any]:
        """Take batches for a while, and measure from the first that comes after the warm-up.

        Both ends lie where a batch arrives, so that loaders which deliver in bursts gain nothing at either.
        """
        assert self._stream is not None  # noqa: S101  # the runner asks in this order
        num_warm = self._take(self._stream, warm_up)[0]
        cpu = usage.cpu_seconds(os.getpid())
        num_rows, elapsed = self._take(self._stream, seconds)
        cpu = usage.cpu_seconds(os.getpid()) - cpu
        self._glances.check()
        return {
            "rows": num_rows,
            "seconds": elapsed,
            "cpu_seconds": cpu,
            "warm_up_rows": num_warm,
            "peak_bytes": usage.peak_bytes(),
        }

    def _take(self, stream: Iterator[tuple[int, Delivered]], seconds: float) -> tuple[int, float]:
        """Rows and seconds until the first batch after so many seconds; at least one batch."""
        num_rows, started = 0, time.perf_counter()
        while True:
            epoch, batch = next(stream)
            num_rows += self._glances.add(epoch, batch)
            elapsed = time.perf_counter() - started
            if elapsed >= seconds:
                return num_rows, elapsed

    def close(self) -> None:
        """Put away what the contender made."""
        self._stream = None
        self._closers.close()


def _endless(epochs: Epochs) -> Iterator[tuple[int, Delivered]]:
    for epoch in count():
        for batch in epochs(epoch):
            yield epoch, batch


def serve(questions: TextIO, answers: TextIO) -> None:
    """Answer line by line until there are no more questions, or one of them fails."""

    def tell(answer: Mapping[str, Any]) -> None:
        answers.write(json.dumps(answer) + "\n")
        answers.flush()

    try:
        given = json.loads(questions.readline())
        process = TaskProcess(given) if "task" in given else Process(given)
        tell({})
        for line in questions:
            tell(process.answer(json.loads(line)))
        process.close()
    except BaseException as error:  # told to the runner, which reports it
        traceback.print_exc()
        if isinstance(error, WrongError):
            tell({"error": str(error), "status": "wrong"})
        else:
            tell({"error": f"{type(error).__name__}: {error}"})


def main() -> None:
    """Serve on standard input and output; what libraries print goes to standard error."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    serve(sys.stdin, answers)
    # Workers of other libraries may hang at exit; the answers are out.
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
