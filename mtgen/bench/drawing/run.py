"""The runner of the suite `sampling`: task by task, so that only one task's inputs are in memory at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mtgen.bench.drawing.tasks import TASKS
from mtgen.bench.runner import Child, Entry, Run
from mtgen.bench.suites import Contender


@dataclass(frozen=True, kw_only=True)
class TaskRun(Run):
    """The suite `sampling`, from nothing to the result."""

    def result(self, contenders: Sequence[Contender]) -> dict[str, Any]:
        """Measure; see `Run.result`."""
        found: list[dict[str, Any]] = []
        for task in dict.fromkeys(one.group for one in contenders):
            self.say(f"{self.suite}: {TASKS[task].told(self.settings.shrink)}")
            found += super().result([one for one in contenders if one.group == task])["contenders"]
        return {"suite": self.suite, "contenders": found}

    def _make(self, entries: Sequence[Entry]) -> dict[str, str]:
        return {}

    def _start(self, entry: Entry, places: Mapping[str, str]) -> None:
        one, settings = entry.contender, self.settings
        task = TASKS[one.group]
        sizes = replace(task.sizes.shrunk(settings.shrink), seed=settings.seed)
        first = {
            "task": one.group,
            "check": task.check,
            "module": one.full_module,
            "function": one.function,
            "options": dict(one.options),
            "inputs": task.inputs,
            "sizes": sizes.to_json(),
            "proofs": [replace(proof, seed=settings.seed).to_json() for proof in task.proofs],
        }
        entry.child = Child(first, self.answer_seconds)
        entry.proof = entry.child.ask({"ask": "prove"}, self.answer_seconds)
        held = entry.child.ask({"ask": "open"}, self.answer_seconds)
        called = entry.child.ask({"ask": "first"}, settings.limit, "cut off")
        entry.memory = {**held, **called}
        self.say(f"{self.suite}: {one.group}: {one.name}: first call {called['seconds']:.3g} s, all right")

    def _round(self, entry: Entry, for_memory: bool) -> None:
        if for_memory:  # known since the first call
            return
        assert entry.child is not None  # noqa: S101  # able ones have a process
        assert entry.memory is not None  # noqa: S101  # and were called once
        settings = self.settings
        # What takes longer than the warm-up has had it.
        warm_up = settings.warm_up if entry.memory["seconds"] < settings.warm_up else 0.0
        question = {"ask": "round", "warm_up": warm_up, "seconds": settings.seconds}
        entry.rounds.append(
            entry.child.ask(question, 2 * settings.limit + settings.warm_up + settings.seconds, "cut off")
        )
