"""Start a process for each contender, let it prove itself, and measure all of them round by round in turn.

Rounds go forwards and backwards through the contenders by turns, so that a machine that grows slower or quicker wrongs
nobody. Before each round the runner waits until all the others are idle. Every wait has a deadline: a contender that
does not answer is ended with all it started, and reported.
"""

from __future__ import annotations

import importlib.util
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import mtgen
from mtgen.bench import usage
from mtgen.bench.data import Data, size_on_disk
from mtgen.bench.settings import Settings
from mtgen.bench.suites import Contender
from mtgen.bench.work import Work
from mtgen.bench.writers import STORES
from mtgen.waits import Latch

ANSWER_SECONDS = 240.0

END_SECONDS = 10.0
IDLE_SECONDS = 10.0
PAUSE_SECONDS = 0.1
IDLE_SHARE = 0.15
"""Contenders are idle when all together use at most this share of a core during a pause."""

SAMPLE_SECONDS = 0.02
PROOF_BATCHES = 8


@dataclass(kw_only=True)
class Entry:
    """One contender on its way through a run.

    Args:
        contender: who it is.
        status: `"measured"` until something is in the way.
        reason: what that was.
        child: its process, while there is one.
        proof: what its proof found.
        rounds: what was measured.
        memory: what the last round found.
        disk_bytes: size of what it reads.
    """

    contender: Contender
    status: str = "measured"
    reason: str | None = None
    child: Child | None = None
    proof: dict[str, Any] | None = None
    rounds: list[dict[str, Any]] = field(default_factory=list)
    memory: dict[str, Any] | None = None
    disk_bytes: int | None = None

    def as_json(self) -> dict[str, Any]:
        """What goes to JSON."""
        one = self.contender
        return {
            "name": one.name,
            "group": one.group,
            "family": one.family,
            "reference": one.reference,
            "floor": one.floor,
            "recipe": one.recipe,
            "places": list(one.places),
            "status": self.status,
            "reason": self.reason,
            "proof": self.proof,
            "rounds": self.rounds if self.status == "measured" else [],
            "memory": self.memory,
            "disk_bytes": self.disk_bytes,
        }


class ContenderError(Exception):
    """A contender failed, or did not answer in time: it becomes a line of the table, and never reaches the user.

    Args:
        reason: what is in the way.
        status: what stands before it in the table.
    """

    def __init__(self, reason: str, status: str = "failed") -> None:
        super().__init__(reason)
        self.status = status


class Child:
    """The process of one contender, in a session of its own. One thread.

    Args:
        first: its first line.
        seconds: longest wait until it is there.
    """

    def __init__(self, first: Mapping[str, Any], seconds: float = ANSWER_SECONDS) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  # lives as long as the process
        self._buffer = b""
        root = str(Path(mtgen.__file__).resolve().parent.parent)
        paths = [root, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
        environment = {"KERAS_BACKEND": "numpy", "TF_CPP_MIN_LOG_LEVEL": "2", **os.environ}
        environment["PYTHONPATH"] = os.pathsep.join(paths)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "mtgen.bench.contender"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=environment,
            start_new_session=True,
        )
        self.pid = self._process.pid
        self._selector = selectors.DefaultSelector()
        assert self._process.stdout is not None  # noqa: S101  # it is a pipe
        self._selector.register(self._process.stdout, selectors.EVENT_READ)
        try:
            self.ask(first, seconds)
        except BaseException:
            self.end()
            raise

    def send(self, question: Mapping[str, Any]) -> None:
        """Ask without waiting for the answer."""
        assert self._process.stdin is not None  # noqa: S101  # it is a pipe
        try:
            self._process.stdin.write(json.dumps(question).encode() + b"\n")
            self._process.stdin.flush()
        except OSError as error:
            raise ContenderError(f"its process is gone{self._last_words()}") from error

    def poll(self, seconds: float) -> dict[str, Any] | None:
        """The answer, if it comes within so many seconds.

        Raises:
            ContenderError: the process failed or is gone.
        """
        if b"\n" not in self._buffer and self._selector.select(timeout=max(seconds, 0)):
            assert self._process.stdout is not None  # noqa: S101  # it is a pipe
            read = os.read(self._process.stdout.fileno(), 1 << 20)
            if not read:
                raise ContenderError(f"its process is gone{self._last_words()}")
            self._buffer += read
        if b"\n" not in self._buffer:
            return None
        line, self._buffer = self._buffer.split(b"\n", 1)
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise ContenderError(answer["error"], answer.get("status", "failed"))
        return answer

    def ask(self, question: Mapping[str, Any], seconds: float, late: str = "failed") -> dict[str, Any]:
        """Ask and wait for the answer; `late` is the status of a contender that gives none.

        Raises:
            ContenderError: none came in time, or the process failed.
        """
        self.send(question)
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            if (answer := self.poll(left)) is not None:
                return answer
        raise ContenderError(f"no answer within {seconds:g} s{self._last_words()}", late)

    def _last_words(self) -> str:
        with suppress(OSError, ValueError):
            self._errors.seek(max(self._errors.seek(0, os.SEEK_END) - 4096, 0))
            written = self._errors.read().decode(errors="replace").strip().splitlines()
            if written:
                return f"; its last words: {written[-1][:300]}"
        return ""

    def end(self) -> None:
        """End the process and all that it started."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(END_SECONDS)
        for pipe in (self._process.stdin, self._process.stdout, self._errors, self._selector):
            with suppress(OSError):
                if pipe is not None:
                    pipe.close()


@dataclass(frozen=True, kw_only=True)
class Run:
    """One suite, from the data to the result.

    Args:
        suite: its name.
        settings: sizes and rounds.
        data: makes what contenders read.
        say: is told how far it is.
        answer_seconds: longest wait for an answer, besides what a round measures.
    """

    suite: str
    settings: Settings
    data: Data
    say: Callable[[str], object]
    answer_seconds: float = ANSWER_SECONDS

    def result(self, contenders: Sequence[Contender]) -> dict[str, Any]:
        """Measure.

        Returns:
            What goes to JSON: every contender given, also those that could not be measured, with the reason.
        """
        entries = [Entry(contender=one) for one in contenders]
        for entry in entries:
            missing = missing_packages(entry.contender)
            if entry.contender.why_not is not None:
                entry.status, entry.reason = "not run", entry.contender.why_not
            elif missing:
                entry.status, entry.reason = "not installed", f"no package {', '.join(missing)}"
        places = self._make([one for one in entries if one.status == "measured"])
        try:
            for entry in _able(entries):
                self._try(entry, partial(self._start, entry, places))
            for number in range(self.settings.rounds + 1):  # the last one is for memory
                turn = list(_able(entries))
                for entry in turn if number % 2 == 0 else turn[::-1]:
                    self._await_idle(entries)
                    last = number == self.settings.rounds
                    self._try(entry, partial(self._round, entry, last))
                self.say(f"{self.suite}: round {number + 1} of {self.settings.rounds + 1} is over")
        finally:
            for entry in entries:
                if entry.child is not None:
                    entry.child.end()
        return {"suite": self.suite, "contenders": [entry.as_json() for entry in entries]}

    def _make(self, entries: Sequence[Entry]) -> dict[str, str]:
        names = {place for entry in entries for place in entry.contender.places}
        if any(name.startswith("pixels.") for name in names):
            names.add("pictures")  # decoded ones are compared with the files
        places = self.data.make(name for name in names if not _missing_for(name))
        for entry in entries:
            entry.disk_bytes = sum(
                size_on_disk(Path(places[name])) for name in entry.contender.places if name in places
            )
        return places

    def _try(self, entry: Entry, action: Callable[[], None]) -> None:
        try:
            action()
        except ContenderError as error:
            entry.status, entry.reason = error.status, str(error)
            self.say(f"{entry.contender.name}: {error}")
            if entry.child is not None:
                entry.child.end()
                entry.child = None

    def _start(self, entry: Entry, places: Mapping[str, str]) -> None:
        one, settings = entry.contender, self.settings
        work = Work(
            places={name: places[name] for name in one.places if name in places},
            num_rows=settings.num_rows(self.suite),
            num_columns=settings.num_columns(self.suite),
            sparsity=settings.sparsity,
            batch_size=settings.batch_size,
            size=settings.size,
            workers=settings.num_workers,
            memory=settings.memory,
            seed=settings.seed,
        )
        if "pictures" in places:
            work = replace(work, places={**work.places, "pictures": places["pictures"]})
        first = {
            "module": one.full_module,
            "function": one.function,
            "options": dict(one.options),
            "ordered": one.ordered,
            "work": work.to_json(),
            "proof": replace(work, rows=proof_rows(work)).to_json(),
        }
        entry.child = Child(first, self.answer_seconds)
        entry.proof = entry.child.ask({"ask": "prove"}, self.answer_seconds)
        entry.memory = entry.child.ask({"ask": "open"}, self.answer_seconds)
        self.say(f"{self.suite}: {one.name}: {entry.proof['num_rows']:,} rows compared, all right")

    def _round(self, entry: Entry, for_memory: bool) -> None:
        assert entry.child is not None  # noqa: S101  # able ones have a process
        settings, child = self.settings, entry.child
        part = 0.5 if for_memory else 1.0
        question = {"ask": "round", "warm_up": part * settings.warm_up, "seconds": part * settings.seconds}
        seconds = self.answer_seconds + settings.warm_up + settings.seconds
        if not for_memory:
            entry.rounds.append(child.ask(question, seconds))
            return
        most = most_file = processes = 0
        child.send(question)
        deadline = time.monotonic() + seconds
        while (answer := child.poll(SAMPLE_SECONDS)) is None:
            now = usage.memory(child.pid)
            most, most_file = max(most, now.own_bytes), max(most_file, now.file_bytes)
            processes = max(processes, now.num_processes)
            if time.monotonic() > deadline:
                raise ContenderError(f"no answer within {seconds:g} s")
        known = usage.is_known()
        base = (entry.memory or {}).get("base", {}).get("own_bytes", 0)
        entry.memory = {
            "own_bytes": most if known else None,
            "file_bytes": most_file if known else None,
            "grown_bytes": most - base if known else None,
            "num_processes": processes if known else None,
            "resident_bytes": answer["peak_bytes"],
        }

    def _await_idle(self, entries: Iterable[Entry]) -> None:
        """Wait until no contender works ahead any more."""
        deadline = time.monotonic() + IDLE_SECONDS
        pids = [entry.child.pid for entry in entries if entry.child is not None]
        pause = Latch()
        while usage.is_known() and time.monotonic() < deadline:
            before = usage.cpu_seconds(*pids)
            pause.wait(PAUSE_SECONDS)
            if usage.cpu_seconds(*pids) - before <= PAUSE_SECONDS * IDLE_SHARE:
                return


def _able(entries: Iterable[Entry]) -> Iterable[Entry]:
    return (entry for entry in entries if entry.status == "measured")


def missing_packages(contender: Contender) -> list[str]:
    """What a contender needs and is not there."""
    return [name for name in contender.needs if importlib.util.find_spec(name) is None]


def _missing_for(place: str) -> bool:
    store = STORES.get(place.partition(".")[2])
    return store is not None and any(importlib.util.find_spec(name) is None for name in store.needs)


def proof_rows(work: Work) -> np.ndarray:
    """The rows that a contender proves itself with: some batches of rows from all over the table, rising."""
    number = min(work.num_rows, PROOF_BATCHES * work.batch_size)
    rng = np.random.default_rng([work.seed, 1])
    return np.sort(rng.choice(work.num_rows, number, replace=False))
