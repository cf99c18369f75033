"""The thread check of tests/conftest.py fails when it should, and only then."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest_plugins = ["pytester"]
CONFTEST = Path(__file__).resolve().parents[1] / "conftest.py"
TESTS = """
import threading
import pytest

stop = threading.Event()

@pytest.mark.usefixtures("no_thread_left")
def test_leaks():
    threading.Thread(target=stop.wait, name="mtgen-worker-0", daemon=True).start()

@pytest.mark.usefixtures("no_thread_left")
def test_ends_soon_after():
    threading.Thread(target=stop.wait, args=(0.01,), name="mtgen-worker-1").start()

@pytest.mark.usefixtures("no_thread_left")
def test_leaves_a_thread_of_others():
    threading.Thread(target=stop.wait, name="other", daemon=True).start()

def test_does_not_ask():
    threading.Thread(target=stop.wait, name="mtgen-worker-2", daemon=True).start()
"""


def test_a_worker_thread_left_behind_fails_the_test(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    pytester.makeconftest(CONFTEST.read_text(encoding="utf-8").replace("SECONDS = 2.0", "SECONDS = 0.2"))
    pytester.makepyfile(TESTS)
    # In a process of its own: the threads that these tests leave must not be there for the tests after them.
    monkeypatch.setenv("PYTHONPATH", str(CONFTEST.parents[1]))
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    result.assert_outcomes(passed=4, errors=1)
    result.stdout.fnmatch_lines(["*1 threads still run 0.2 s after the test: mtgen-worker-0*"])
