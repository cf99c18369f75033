"""Inputs that ever failed, as files under `pictures/` and `stores/`: replayed before anything new is tried.

A new one is a new file; its name begins with the kind, then says what went wrong.
"""

from __future__ import annotations

import functools
from pathlib import Path

FOLDER = Path(__file__).resolve().parent


@functools.cache
def inputs(target: str) -> dict[str, bytes]:
    """Name -> content of the inputs of one target."""
    return {path.name: path.read_bytes() for path in sorted((FOLDER / target).iterdir())}
