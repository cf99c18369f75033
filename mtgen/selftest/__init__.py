"""The selftest: loads pictures and features that both carry their row, in every shape of run, and says what it proved.

    from mtgen.selftest import run_selftest
    run_selftest()          # prints a line per run; the result is true where all passed

`mtgen selftest` and `scripts/selftest.py` call the same function.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from mtgen.errors import PlanError
from mtgen.selftest.proof import Outcome
from mtgen.selftest.runs import Run, all_runs, perform
from mtgen.selftest.samples import build

__all__ = ["Outcome", "Report", "run_selftest"]


@dataclass(frozen=True, kw_only=True)
class Report:
    """What a selftest proved; true where every run passed.

    Args:
        outcomes: one per run, in order.
        left_out: titles of runs whose packages are not installed.
        seconds: time of everything together.
    """

    outcomes: tuple[Outcome, ...]
    left_out: tuple[str, ...]
    seconds: float

    @property
    def failed(self) -> tuple[Outcome, ...]:
        """The runs that failed."""
        return tuple(outcome for outcome in self.outcomes if not outcome.passed)

    @property
    def passed(self) -> bool:
        """Whether there were runs and none failed."""
        return bool(self.outcomes) and not self.failed

    def __bool__(self) -> bool:
        return self.passed

    def __str__(self) -> str:
        rows = sum(outcome.num_rows for outcome in self.outcomes)
        duplicates = sum(outcome.num_duplicates for outcome in self.outcomes)
        missing = sum(outcome.num_missing for outcome in self.outcomes)
        misaligned = sum(outcome.num_misaligned for outcome in self.outcomes)
        counts = f"{rows:,} rows seen; {duplicates:,} duplicates; {missing:,} missing; {misaligned:,} misalignments"
        left_out = f"; {len(self.left_out)} left out" if self.left_out else ""
        number = len(self.outcomes)
        if self.passed:
            return f"selftest passed: all {number} runs{left_out}; {counts}; {self.seconds:.0f} s"
        return f"selftest FAILED: {len(self.failed)} of {number} runs{left_out}; {counts}; {self.seconds:.0f} s"


def run_selftest(
    *,
    num_rows: int = 1200,
    epochs: int = 3,
    num_workers: int | None = None,
    keep: bool = False,
    shift_features: int = 0,
    echo: Callable[[str], object] = print,
) -> Report:
    """Build samples that carry their row, load them in every shape of run, and compare every slot.

    Everything is written to a temporary folder. Call it from any thread.

    Args:
        num_rows: rows of the table, in [64, 4,194,304]; some 1 kB of disk each.
        epochs: epochs per run, >= 1.
        num_workers: threads of the loader in every run; None goes through 0, 1, 2 and 8.
        keep: leave the folder for a look.
        shift_features: prove that the test can fail: store the features this many rows too late, under right keys.
        echo: called with every line of the report.

    Returns:
        A `Report`, true where every run passed.

    Raises:
        PlanError: numbers outside these bounds.

    Example:
        >>> report = run_selftest(num_rows=64, epochs=1, num_workers=1, echo=lambda line: None)
        >>> bool(report), report.outcomes[0].num_rows
        (True, 64)
    """
    _check_whole("epochs", epochs, 1)
    if num_workers is not None:
        _check_whole("num_workers", num_workers, 0)
    started = time.perf_counter()
    folder = Path(tempfile.mkdtemp(prefix="mtgen-selftest-"))
    try:
        samples = build(folder, num_rows, shift_features)
        echo(
            f"{num_rows:,} pictures and feature rows that both carry their row, with shuffled labels and keys: {folder}"
        )
        if shift_features:
            echo(f"sabotage: features shifted by {shift_features} under right keys; every run with features must fail")
        runs = all_runs(num_rows, num_workers)
        installed = [run for run in runs if run.kind is None or run.kind.is_installed]
        outcomes = []
        # A bar on a terminal, nothing elsewhere.
        for number, run in enumerate(tqdm(installed, unit="run", leave=False, disable=None), start=1):
            outcomes.append(perform(run, samples, epochs))
            echo(f"run {number} of {len(installed)}: {outcomes[-1]}")
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)
    left_out = [run for run in runs if run not in installed]
    for run in left_out:
        echo(_left_out(run))
    report = Report(
        outcomes=tuple(outcomes),
        left_out=tuple(run.title for run in left_out),
        seconds=time.perf_counter() - started,
    )
    echo(str(report))
    return report


def _left_out(run: Run) -> str:
    package = run.kind.package if run.kind else None
    return f"left out: {run.title}: {package} is not installed"


def _check_whole(name: str, value: object, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise PlanError(f"{name} must be an integer >= {least}, received {value!r}")
