"""Waits with a deadline, for what threads will do soon."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


def eventually(condition: Callable[[], bool], seconds: float = 20.0) -> bool:
    """Whether the condition came true before the deadline; looks at it over and over."""
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while not condition():
        if time.monotonic() > deadline:
            return False
        pause.wait(0.001)
    return True


def worker_threads() -> list[threading.Thread]:
    """Threads of mtgen that are alive."""
    return [thread for thread in threading.enumerate() if thread.name.startswith("mtgen-")]


def threads_gone(seconds: float = 2.0) -> bool:
    """Whether all threads of mtgen end within the time a loader promises."""
    return eventually(lambda: not worker_threads(), seconds)
