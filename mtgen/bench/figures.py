"""Numbers as text: three digits are all that a measurement is worth."""

from __future__ import annotations


def number(value: float) -> str:
    """A rate: three digits are all that a measurement is worth.

    Example:
        >>> number(1234.5), number(67.89)
        ('1,230', '67.9')
    """
    if value < 100:
        return f"{value:.3g}"
    digits = len(str(int(value))) - 3
    return f"{round(value / 10**digits) * 10**digits:,}"


def times(value: float) -> str:
    """A ratio, to two places where that says something."""
    return f"{value:.2f}" if value < 10 else f"{value:.1f}"


def duration(seconds: float) -> str:
    """Seconds with three digits and a unit.

    Example:
        >>> duration(0.0123456), duration(4.2e-6)
        ('12.3 ms', '4.20 µs')
    """
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= 0.9995 * size:
            return f"{_digits(seconds / size)} {unit}"
    return f"{_digits(seconds / 1e-9)} ns"


def _digits(value: float) -> str:
    return f"{value:,.0f}" if value >= 99.95 else f"{value:.1f}" if value >= 9.995 else f"{value:.2f}"


def megabytes(size: int) -> str:
    """Bytes in units of a million; below ten with a digit.

    Example:
        >>> megabytes(123_456_789), megabytes(1_234_567)
        ('123 MB', '1.2 MB')
    """
    return f"{size / 1e6:,.0f} MB" if size >= 9_950_000 else f"{size / 1e6:.1f} MB"
