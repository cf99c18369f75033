"""Logarithms of the probabilities of counts: poisson, binomial, negative binomial, hypergeometric.

C. Loader, "Fast and accurate computation of binomial probabilities" (2000): a saddle-point expansion, so that counts
around 1e12 lose no digits to the difference of large logarithms.
"""

from __future__ import annotations

import numpy as np

_SHIFT = 16
"""Stirling's series has 1e-16 from here on."""


def stirling_error(n: np.ndarray) -> np.ndarray:
    """log(n!) less Stirling's formula, for real n > 0."""
    s = 1 / (n * n)
    series = (1 / 12 - s * (1 / 360 - s * (1 / 1260 - s * (1 / 1680 - s * (1 / 1188 - s * 691 / 360360))))) / n
    small = n < _SHIFT
    if not small.any():
        return series
    whole = n == np.floor(n)
    out = np.where(small, _OF_WHOLE[np.where(small & whole, n, 0).astype(np.int64)], series)
    between = small & ~whole
    if between.any():
        out[between] = _summed(n[between])
    return out


def _summed(n: np.ndarray) -> np.ndarray:
    """The same for n < 16, by its differences up to where the series holds."""
    total = np.zeros_like(n)
    for step in range(_SHIFT):
        m = n + step
        total += (m + 0.5) * np.log1p(1 / m) - 1
    return total + stirling_error(n + _SHIFT)


_OF_WHOLE = np.concatenate([[0.0], _summed(np.arange(1.0, _SHIFT))])
"""Of 1 to 15, at their own place."""


def deviance(x: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """X log(x / mean) + mean - x, also where x is near the mean; both > 0."""
    gap = x - mean
    v = gap / (x + mean)
    near = np.abs(v) < 0.1
    square = v * v
    series = np.zeros_like(v)
    for odd in range(21, 1, -2):
        series = square * (series + 1 / odd)
    return np.where(near, gap * v + 2 * x * v * series, x * np.log(x / mean) - gap)


def log_poisson(k: np.ndarray, lam: np.ndarray) -> np.ndarray:
    """Logarithm of the probability of counts k; -inf for what is no count."""
    fits = (k >= 0) & (k == np.floor(k)) & (k < np.inf)
    with np.errstate(all="ignore"):
        x = np.where(fits & (k > 0), k, 1)
        mean = np.where(lam > 0, lam, 1)
        logs = -stirling_error(x) - deviance(x, mean) - 0.5 * np.log(2 * np.pi * x)
        logs = np.where(lam > 0, logs, -np.inf)
        return np.where(fits, np.where(k == 0, -lam, logs), -np.inf)


def log_binomial(k: np.ndarray, n: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Logarithm of the probability of k successes in n."""
    return np.where(k == np.floor(k), _log_binomial(k, n, p), -np.inf)


def _log_binomial(k: np.ndarray, n: np.ndarray, p: np.ndarray) -> np.ndarray:
    """The same, for real k and n."""
    fits = (k >= 0) & (k <= n)
    with np.errstate(all="ignore"):
        inner = fits & (k > 0) & (k < n) & (p > 0) & (p < 1)
        x, m = np.where(inner, k, 1), np.where(inner, n, 2)
        chance = np.where(inner, p, 0.5)
        y = m - x
        logs = stirling_error(m) - stirling_error(x) - stirling_error(y)
        logs = logs - deviance(x, m * chance) - deviance(y, m * (1 - chance))
        logs = logs + 0.5 * (np.log(m / x) - np.log(2 * np.pi * y))
        none = np.where(n == 0, 0, n * np.log1p(-p))
        every = np.where(n == 0, 0, n * np.log(p))
        edge = np.where(k == 0, none, np.where(k == n, every, -np.inf))
        return np.where(fits, np.where(inner, logs, edge), -np.inf)


def log_negative_binomial(k: np.ndarray, n: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Logarithm of the probability of k failures before success n; n real > 0."""
    fits = (k >= 0) & (k == np.floor(k)) & (k < np.inf)
    x = np.where(fits, k, 0)
    with np.errstate(all="ignore"):
        return np.where(fits, _log_binomial(n, n + x, p) + np.log(n / (n + x)), -np.inf)


def log_hypergeometric(k: np.ndarray, good: np.ndarray, bad: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """Logarithm of the probability of k good ones among those drawn."""
    total = good + bad
    p = drawn / np.maximum(total, 1)
    with np.errstate(all="ignore"):
        whole = _log_binomial(drawn, total, p)
        return log_binomial(k, good, p) + log_binomial(drawn - k, bad, p) - whole
