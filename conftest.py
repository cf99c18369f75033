"""Names that every example in a docstring may use."""

import numpy as np
import pandas as pd
import pytest

import mtgen


@pytest.fixture(autouse=True)
def _names(doctest_namespace):
    doctest_namespace.update(mtgen=mtgen, np=np, pd=pd)
