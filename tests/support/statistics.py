"""Is what was drawn of the law that was asked for: chi-square, and numbers within five sigma."""

from __future__ import annotations

import numpy as np


def assert_counts_fit(counts: np.ndarray, expected: np.ndarray) -> None:
    """Pearson's chi-square of counts with p > 1e-6; cells without expectation must be empty.

    By Wilson and Hilferty (1931) the cube root of a chi-square per degree of freedom is about normal.
    """
    counts, expected = np.ravel(counts).astype(float), np.ravel(expected).astype(float)
    assert not counts[expected == 0].any()
    counts, expected = counts[expected > 0], expected[expected > 0]
    assert counts.sum() > 0
    expected = expected * (counts.sum() / expected.sum())
    assert expected.min() >= 5, "too few draws for a chi-square"
    degrees = len(counts) - 1
    if not degrees:
        return
    chi_square = ((counts - expected) ** 2 / expected).sum()
    spread = 2 / (9 * degrees)
    z = ((chi_square / degrees) ** (1 / 3) - (1 - spread)) / np.sqrt(spread)
    assert z < 4.75, f"chi-square {chi_square:.1f} with {degrees} degrees of freedom"


def assert_mean_fits(values: np.ndarray, mean: float, sigma: float) -> None:
    """The mean of values lies within five of its standard errors."""
    error = abs(float(np.mean(values)) - mean) / (sigma / np.sqrt(len(values)))
    assert error < 5, f"{error:.1f} standard errors from {mean}"
