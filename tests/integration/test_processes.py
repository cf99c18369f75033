"""Ends of all kinds, in processes of their own: each ends within a bound, and leaves nothing behind.

By default a choice in which each pair of settings occurs; `make soak` goes through all.
"""

from __future__ import annotations

import itertools
import json
import multiprocessing
import os
import random
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mtgen
from tests.support import cases
from tests.support.children import Children, Ended
from tests.support.samples import content

pytestmark = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="looks into /proc, as Linux has it")

SOAK = int(os.environ.get("MTGEN_SOAK", "0"))
"""How many times longer than by default; 0 for the short form."""

WORKERS = [0, 1, 4]
PHASES = ["plan", "read", "decode", "idle"]
HOWS = [*cases.ENDS, *cases.QUIET_ENDS]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    for package in ("bcolz", "h5py", "zarr", "tensorstore"):
        pytest.importorskip(package)
    made = tmp_path_factory.mktemp("files")
    cases.write_files(made)
    return made


@pytest.fixture(scope="module")
def children() -> Iterator[Children]:
    server = Children("tests.support.cases", "tests.support.samples", "PIL.PngImagePlugin", "h5py", "numcodecs.blosc")
    yield server
    server.close()


def chosen(*settings: list[Any]) -> list[tuple[Any, ...]]:
    """All combinations, or a few in which each two values of two settings meet."""
    everything = list(itertools.product(*settings))
    if SOAK:
        return everything
    pairs: set[tuple[int, Any, int, Any]] = set()
    few = []
    for one in random.Random(0).sample(everything, len(everything)):
        new = {(a, one[a], b, one[b]) for a, b in itertools.combinations(range(len(one)), 2)} - pairs
        if new:
            few.append(one)
            pairs |= new
    return few


def check_end(ended: Ended, how: str, case: object) -> None:
    assert ended.code == cases.EXPECTED.get(how, 0), (case, ended)
    assert not ended.left, (case, ended)
    if how in ("exception", "thread_exception"):
        last = "ValueError: of the consumer" if how == "exception" else "ZeroDivisionError: of a thread"
        # One that comes out of a read is that of a sample, with step and row behind it.
        assert last in ended.errors.strip().splitlines()[-1], (case, ended)
        assert "Exception ignored" not in ended.errors, (case, ended)
    elif how == "SIGINT":
        assert ended.errors.strip().endswith("KeyboardInterrupt"), (case, ended)
        assert ended.errors.count("Traceback") == 1, (case, ended)
    else:
        assert ended.errors == "", (case, ended)


def matrix() -> list[tuple[str, int, str, str]]:
    return chosen(cases.KINDS, WORKERS, PHASES, HOWS)


@pytest.mark.parametrize("how", HOWS)
def test_every_end_in_every_phase(how: str, folder: Path, children: Children) -> None:
    before = sorted(str(path) for path in folder.rglob("*"))
    tried, slowest = 0, 0.0
    for kind, num_workers, phase, end in matrix():
        if end != how or (phase == "decode" and kind != "pictures"):
            continue  # stores decode while they read
        ended = children.run(cases.end_case, str(folder), kind, num_workers, phase, how)
        check_end(ended, how, (kind, num_workers, phase, how))
        survives = how not in cases.EXPECTED and how != "open_iterator"
        assert (ended.output == "nothing left\n") == survives, ((kind, num_workers, phase, how), ended)
        tried, slowest = tried + 1, max(slowest, ended.seconds)
    print(f"{tried} processes, slowest {slowest:.2f} s")
    assert tried >= 4
    assert sorted(str(path) for path in folder.rglob("*")) == before


@pytest.mark.parametrize("num_workers", WORKERS)
@pytest.mark.parametrize("kind", ["pictures", "bcolz"])
def test_a_storm_of_signals(kind: str, num_workers: int, folder: Path, children: Children) -> None:
    """One signal each, at a random moment: the process ends, or catches it and goes on; none needs a second one."""
    moments = random.Random(f"{kind} {num_workers}")
    slowest, num_processes = 0.0, 10 if not SOAK else 84 * SOAK
    for number in range(num_processes):
        how = "uncaught" if number % 5 == 1 else "caught"
        send = signal.SIGTERM if number % 10 == 7 else signal.SIGINT
        after = moments.uniform(0.0, 0.05)
        ended = children.run(cases.loops, str(folder), kind, num_workers, how, send=send, after=after)
        slowest = max(slowest, ended.seconds)
        case = (number, send, how, after, ended)
        assert not ended.left, case
        if send == signal.SIGTERM:
            assert (ended.code, ended.errors) == (-signal.SIGTERM, ""), case
        elif how == "uncaught":
            assert ended.code == -signal.SIGINT, case
            assert ended.errors.strip().endswith("KeyboardInterrupt"), case
            assert "Exception ignored" not in ended.errors, case
        else:
            assert (ended.code, ended.output, ended.errors) == (0, "whole\n", ""), case
    print(f"{num_processes} signals, slowest end {slowest:.2f} s")


def test_many_epochs_hold_no_more_and_no_more(folder: Path, children: Children) -> None:
    """Memory, threads and open files stay as they are over the second half of many epochs."""
    num_epochs = 500 if not SOAK else 10_000 * SOAK
    ended = children.run(cases.soak, str(folder), num_epochs, seconds=100.0 if not SOAK else 3000.0)
    assert (ended.code, ended.errors) == (0, ""), ended
    samples = np.array(json.loads(ended.output))
    half = samples[len(samples) // 2 :]
    slope = float(np.polyfit(half[:, 0], half[:, 1], 1)[0]) * 1000
    print(
        f"{num_epochs} epochs, {samples[-1, 4]} batches: resident {samples[0, 1]:,} -> {half[0, 1]:,} -> "
        f"{half[-1, 1]:,} bytes, {slope:,.0f} bytes per 1,000 epochs; threads {half[:, 2].min()}-{half[:, 2].max()}, "
        f"files {half[:, 3].min()}-{half[:, 3].max()}"
    )
    # A batch that stays is some hundred bytes, a thread 60 KB and more, a file descriptor is seen by its number.
    # The short form sees the end of the warm-up: some MB once, which the first thousand epochs take.
    assert slope < (8_000_000 if not SOAK else 64_000)
    # Three pools of two; those that were closed while they start are away in a moment.
    assert half[:, 2].max() <= 1 + 2 * 3 * 2
    assert half[:, 3].max() <= samples[:5, 3].max() + 2


def test_thirty_two_open_files_are_enough(folder: Path, children: Children) -> None:
    ended = children.run(cases.few_files, str(folder))
    assert (ended.code, ended.output, ended.errors) == (0, "enough True\n", ""), ended


def test_too_many_open_files_are_an_error_with_the_path(folder: Path, children: Children) -> None:
    ended = children.run(cases.no_files, str(folder))
    assert (ended.code, ended.errors) == (0, ""), ended
    assert "too many open files" in ended.output
    assert f"path {folder}" in ended.output


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("kind", ["pictures", "columns"])
def test_too_little_memory_is_an_error_and_the_loader_works_on(
    kind: str, num_workers: int, folder: Path, children: Children
) -> None:
    ended = children.run(cases.little_memory, str(folder), kind, num_workers, seconds=60.0)
    assert ended.code == 0, ended
    failed, whole = json.loads(ended.output)
    assert failed >= 2
    assert whole >= 2


@pytest.mark.parametrize("uses", [False, True])
@pytest.mark.parametrize("kind", [*cases.KINDS, "columns"])
def test_forks_with_a_stream_open(kind: str, uses: bool, folder: Path, children: Children) -> None:
    """A child goes on with readers of its own; where TensorStore is in use it is told why it cannot."""
    for num_workers in WORKERS if uses else [4]:
        ended = children.run(cases.forks, str(folder), kind, num_workers, uses)
        assert (ended.code, ended.output, ended.errors) == (0, "right\n", ""), (num_workers, ended)
        assert not ended.left


def _first_batches(loader: mtgen.Loader) -> list[Any]:
    return [content(batch) for batch in loader.steps(0, 3)]


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_a_loader_travels_to_other_processes(method: str, folder: Path) -> None:
    loaders = [cases.make_loader(str(folder), kind, 1) for kind in cases.KINDS]
    expected = [_first_batches(loader) for loader in loaders]  # pickled with threads at work
    with multiprocessing.get_context(method).Pool(1) as pool:
        assert pool.map_async(_first_batches, loaders).get(60) == expected
    for loader in loaders:
        loader.close()


def test_a_stream_does_not_travel(folder: Path) -> None:
    with cases.make_loader(str(folder), "bcolz", 1) as loader:
        context = multiprocessing.get_context("spawn")
        with pytest.raises(TypeError, match="cannot be pickled; pickle its loader"):
            context.Process(target=_first_batches, args=(loader.stream(),)).start()
