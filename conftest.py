"""Names that examples in docstrings may use without importing them. What tests share: tests/conftest.py."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pandas as pd
import pytest

import mtgen

os.environ.setdefault("KERAS_BACKEND", "jax")


@pytest.fixture(autouse=True)
def example_names(doctest_namespace: dict[str, Any]) -> None:
    """Makes `mtgen`, `np` and `pd` known to every docstring example."""
    doctest_namespace.update(mtgen=mtgen, np=np, pd=pd)
