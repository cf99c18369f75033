"""Which backend Keras trains with: what the user set, else the first one that is installed, and said."""

from __future__ import annotations

import importlib.util
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
    if (Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras") / "keras.json").is_file():
        return  # Keras reads its backend from there
    if not installed:
        raise ModelError("training needs a backend for Keras and none is installed: pip install 'mtgen[jax]'")
    os.environ["KERAS_BACKEND"] = installed[0]
    say(f"Keras backend: {installed[0]} (set KERAS_BACKEND for another one)")
