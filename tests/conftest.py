"""What all tests share: the digits on disk, repeatable Hypothesis runs, a check that no thread stays behind."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from mtgen.gather import costs
from tests.support.waiting import eventually

# Before anything imports Keras. Backend tests set it from outside, one process per backend.
os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("MPLBACKEND", "Agg")

# A shell gives background jobs SIGINT ignored, and they hand that on; tests send it to children to see what happens.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).resolve().parent.parent
THREADS_GONE_SECONDS = 2.0
"""How long worker threads may live after the test that made them; the promise of the loader."""

# No deadline: on a shared machine the time of one example says nothing.
hypothesis.settings.register_profile("fast", deadline=None, derandomize=True, max_examples=60, print_blob=True)
hypothesis.settings.register_profile("thorough", deadline=None, max_examples=2000, print_blob=True)
hypothesis.settings.load_profile(os.environ.get("MTGEN_HYPOTHESIS", "fast"))


@pytest.fixture(scope="session", autouse=True)
def small_chunks_are_planned_too() -> Iterator[None]:
    """The chunks of test stores are some bytes long; they are to take the way that large ones take."""
    before, costs.APART_BYTES = costs.APART_BYTES, 0
    yield
    costs.APART_BYTES = before


@pytest.fixture(scope="session")
def digits() -> Path:
    """Folder of the handwritten digits: table.csv, images/, features.bcolz, features.keys.bcolz."""
    return ROOT / "data_samples" / "digits"


@pytest.fixture
def no_thread_left() -> Iterator[None]:
    """Fails the test when threads of mtgen that it started outlive it by more than two seconds.

    For a whole file: `pytestmark = pytest.mark.usefixtures("no_thread_left")`.
    """
    before = set(threading.enumerate())
    yield

    def left() -> list[str]:
        started = set(threading.enumerate()) - before
        return sorted(thread.name for thread in started if thread.name.startswith("mtgen-"))

    # Not joined: a thread that is just being started cannot be.
    if not eventually(lambda: not left(), THREADS_GONE_SECONDS) and (alive := left()):
        pytest.fail(f"{len(alive)} threads still run {THREADS_GONE_SECONDS} s after the test: {', '.join(alive)}")
