"""The normal distribution's quantile and the logarithms of its tails, in NumPy alone.

Quantile: algorithm AS 241, PPND16, of M. J. Wichura, Applied Statistics 37 (1988) 477-484: relative error about 1e-16.
Where a probability is too small for float64, Newton's method on its logarithm, with the asymptotic series of Mills'
ratio (Abramowitz and Stegun, 7.1.23).
"""

from __future__ import annotations

import math

import numpy as np

LOG_ROOT_TAU = 0.5 * math.log(2 * math.pi)
"""log sqrt(2 pi)."""

_MIDDLE = 0.425
"""Probabilities nearer to 1/2 than this have a rational function of their own."""

_FAR_LOG = -(27.0**2)
"""Logarithms of probabilities below this, 1e-316, are beyond the range of the rational functions."""

_FAR = -20.0
"""Below it the series of Mills' ratio is exact to 1e-16; above, erfc is."""

# Coefficients of AS 241, from the highest power to the lowest.
_A = (
    2.5090809287301226727e3,
    3.3430575583588128105e4,
    6.7265770927008700853e4,
    4.5921953931549871457e4,
    1.3731693765509461125e4,
    1.9715909503065514427e3,
    1.3314166789178437745e2,
    3.3871328727963666080e0,
)
_B = (
    5.2264952788528545610e3,
    2.8729085735721942674e4,
    3.9307895800092710610e4,
    2.1213794301586595867e4,
    5.3941960214247511077e3,
    6.8718700749205790830e2,
    4.2313330701600911252e1,
    1.0,
)
_C = (
    7.74545014278341407640e-4,
    2.27238449892691845833e-2,
    2.41780725177450611770e-1,
    1.27045825245236838258e0,
    3.64784832476320460504e0,
    5.76949722146069140550e0,
    4.63033784615654529590e0,
    1.42343711074968357734e0,
)
_D = (
    1.05075007164441684324e-9,
    5.47593808499534494600e-4,
    1.51986665636164571966e-2,
    1.48103976427480074590e-1,
    6.89767334985100004550e-1,
    1.67638483018380384940e0,
    2.05319162663775882187e0,
    1.0,
)
_E = (
    2.01033439929228813265e-7,
    2.71155556874348757815e-5,
    1.24266094738807843860e-3,
    2.65321895265761230930e-2,
    2.96560571828504891230e-1,
    1.78482653991729133580e0,
    5.46378491116411436990e0,
    6.65790464350110377720e0,
)
_F = (
    2.04426310338993978564e-15,
    1.42151175831644588870e-7,
    1.84631831751005468180e-5,
    7.86869131145613259100e-4,
    1.48753612908506148525e-2,
    1.36929880922735805310e-1,
    5.99832206555887937690e-1,
    1.0,
)


def _ratio(top: tuple[float, ...], bottom: tuple[float, ...], x: np.ndarray) -> np.ndarray:
    above, below = np.full_like(x, top[0]), np.full_like(x, bottom[0])
    for a, b in zip(top[1:], bottom[1:], strict=True):
        above *= x
        above += a
        below *= x
        below += b
    above /= below
    return above


def quantile(probabilities: np.ndarray) -> np.ndarray:
    """The standard normal number below which a probability lies; float64 of any shape, inside (0, 1).

    Example:
        >>> quantile(np.array([0.5, 0.975])).round(6).tolist()
        [0.0, 1.959964]
    """
    offset = probabilities - 0.5
    out = np.empty_like(offset)
    middle = np.abs(offset) <= _MIDDLE
    inner = offset[middle]
    out[middle] = inner * _ratio(_A, _B, 0.180625 - inner * inner)
    outer = ~middle
    side, chance = offset[outer], probabilities[outer]
    tail = _tail(np.sqrt(-np.log(np.where(side < 0, chance, 1 - chance))))
    out[outer] = np.where(side < 0, -tail, tail)
    return out


def _tail(root: np.ndarray) -> np.ndarray:
    """Distance from 0 of a quantile whose probability has the logarithm -root**2."""
    near = root <= 5
    if near.all():
        return _ratio(_C, _D, root - 1.6)
    return np.where(near, _ratio(_C, _D, root - 1.6), _ratio(_E, _F, root - 5))


def quantile_of_log(logs: np.ndarray) -> np.ndarray:
    """The standard normal number below which the probability exp(logs) lies, however small it is."""
    logs = np.asarray(logs, np.float64)
    with np.errstate(all="ignore"):
        chances = np.exp(logs)
        middle = chances > 0.5 - _MIDDLE
        out = -_tail(np.sqrt(-np.where(middle, -1.0, logs)))
        if middle.any():
            # Beyond the middle on the other side nothing is lost that the logarithm still held.
            out = np.where(middle, quantile(np.where(middle, chances, 0.5)), out)
        far = logs < _FAR_LOG
        if far.any():
            out = np.where(far, _newton(np.where(far, logs, _FAR_LOG)), out)
    return np.asarray(out)


def _newton(logs: np.ndarray) -> np.ndarray:
    double = -2 * logs
    x = -np.sqrt(double - np.log(2 * np.pi * double))
    for _ in range(4):  # each step doubles the digits; the start has three
        x = x - (_log_far(x) - logs) * _mills(x) / -x
    return np.where(np.isneginf(logs), -np.inf, x)


def _mills(x: np.ndarray) -> np.ndarray:
    """Mills' ratio times |x| for x <= -20: 1 - 1/x**2 + 3/x**4 - 15/x**6 ..."""
    inverse = 1 / (x * x)
    total = np.ones_like(x)
    for odd in (13, 11, 9, 7, 5, 3, 1):
        total = 1 - odd * inverse * total
    return total


def _log_far(x: np.ndarray) -> np.ndarray:
    return -0.5 * x * x - LOG_ROOT_TAU - np.log(-x) + np.log(_mills(x))


def log_cdf(x: np.ndarray) -> np.ndarray:
    """Logarithm of the probability below standard normal numbers; for a few, as each takes a call of `math.erfc`.

    Example:
        >>> log_cdf(np.array([0.0, -40.0])).round(6).tolist()
        [-0.693147, -804.608442]
    """
    given = np.asarray(x, np.float64)
    out = np.array([_log_cdf(one) for one in given.ravel().tolist()]).reshape(given.shape)
    return np.asarray(out, np.float64)


def _log_cdf(x: float) -> float:
    if math.isinf(x):
        return 0.0 if x > 0 else -math.inf
    if x < _FAR:
        return float(_log_far(np.array(x)))
    if x > 0:
        return math.log1p(-0.5 * math.erfc(x / math.sqrt(2)))
    return math.log(0.5 * math.erfc(-x / math.sqrt(2)))
