"""Which backend Keras trains with: what the user set, else the first one that is installed, and said."""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Callable
from pathlib import Path

from mtgen.errors import ModelError

BACKENDS = ("jax", "torch", "tensorflow")


def choose_backend(say: Callable[[str], None]) -> None:
    """Set the environment variable KERAS_BACKEND where nothing says which backend to use; before Keras is imported.

    Raises:
        ModelError: the chosen backend, or any at all, is not installed.
    """
    chosen = os.environ.get("KERAS_BACKEND")
    installed = [name for name in BACKENDS if importlib.util.find_spec(name) is not None]
    if chosen:
        if chosen in BACKENDS and chosen not in installed:
            raise ModelError(
                f"KERAS_BACKEND is {chosen!r}, which is not installed: pip install 'mtgen[{chosen}]', or choose "
                f"one that is ({', '.join(installed) or 'none is'})"
            )
        return
    configured = _configured()
    if configured in installed:
        return  # Keras reads it from there
    if not installed:
        raise ModelError("training needs a backend for Keras and none is installed: pip install 'mtgen[jax]'")
    os.environ["KERAS_BACKEND"] = installed[0]
    # Keras writes that file itself on its first import, with a backend that nobody chose.
    why = f"; keras.json names {configured}, which is not installed" if configured else ""
    say(f"Keras backend: {installed[0]} (set KERAS_BACKEND for another one{why})")


def _configured() -> str | None:
    """The backend that Keras's own settings file names; None without one."""
    path = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras") / "keras.json"
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["backend"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
