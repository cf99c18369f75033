"""Importance weights: what makes the loss of unequally drawn rows that of all rows again. Pure."""

from __future__ import annotations

import numpy as np

from mtgen.errors import PlanError
from mtgen.settings import check_unmasked

_TOLERANCE = 1e-6


def importance(probabilities: np.ndarray) -> np.ndarray:
    """Weights `1 / (n p)` of rows that are drawn with probability p; pure, any thread.

    Where a position of an order holds row r with probability `p_r`, the expected value of `loss_r / (n p_r)` at that
    position is the mean loss of the n rows that can be drawn: the estimator of Horvitz and Thompson ("A generalization
    of sampling without replacement from a finite universe", JASA 47, 1952). So a model trained on rare rows more often
    still minimises the loss of the data as it is. The expected weight at a position is 1.

    Args:
        probabilities: float `(n,)`, chance of each row at a position, on average over the positions; sums to 1. A
            row of probability 0 is never drawn; it is not counted in n, and its weight is 0.

    Returns:
        float32 `(n,)`; `law.importance()` has them of a law over rows, for `data.with_weight`.

    Raises:
        PlanError: values that are no probabilities, or so small that their weight is no float32.

    Example:
        >>> importance(np.array([0.5, 0.25, 0.125, 0.125, 0.0])).tolist()
        [0.5, 1.0, 2.0, 2.0, 0.0]
    """
    check_unmasked("probabilities", probabilities)
    given = np.asarray(probabilities)
    if given.ndim != 1 or given.dtype.kind not in "iuf" or not len(given):
        raise PlanError(f"importance needs one probability per row, received {given.dtype} of shape {given.shape}")
    chances = given.astype(np.float64)
    if not (chances >= 0).all() or abs(chances.sum() - 1) > _TOLERANCE:
        raise PlanError(
            "importance needs probabilities >= 0 that sum to 1, received values from "
            f"{chances.min():g} to {chances.max():g} with the sum {chances.sum():g}. Divide weights by their sum first"
        )
    drawn = chances > 0
    weights = np.zeros(len(chances), np.float32)
    with np.errstate(over="ignore"):
        weights[drawn] = 1 / (np.count_nonzero(drawn) * chances[drawn])
    if not np.isfinite(weights).all():
        row = int(np.flatnonzero(~np.isfinite(weights))[0])
        raise PlanError(
            f"the row at place {row} has the probability {chances[row]:g}, whose weight is beyond float32: draw it "
            "more often, or never"
        )
    return weights
