"""Loss and metrics of a model on samples held in memory: as they are, and with inputs exchanged between rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mtgen.errors import ModelError
from mtgen.sampling.order import Exact
from mtgen.settings import check_whole
from mtgen.training.measures.held_samples import HeldSamples

REPEATS = 5
"""Permutations of each kind: their spread is then known to about a third."""


def scores_of(model: Any, held: HeldSamples, inputs: Mapping[str, np.ndarray] | None = None) -> dict[str, float]:
    """Loss and metrics by their names in the logs, the loss first, as `model.evaluate` gives them.

    Args:
        model: compiled.
        held: the samples.
        inputs: arrays to take instead of those of `held`, some or all.

    Raises:
        ModelError: the model cannot be asked.
    """
    batch = held.batch if inputs is None else replace(held.batch, inputs={**held.inputs, **inputs})
    arranged = held.structure.arrange(batch)
    if len(arranged) < 2:
        raise ModelError("the data has no target, so there is no loss to look at")
    weight = arranged[2] if len(arranged) > 2 else None
    try:
        found = model.evaluate(
            arranged[0], arranged[1], sample_weight=weight, batch_size=held.batch_size, verbose=0, return_dict=True
        )
    except (ValueError, TypeError, RuntimeError) as error:
        raise ModelError(f"the model cannot be evaluated: {error}") from error
    ordered = sorted(found, key=lambda name: name != "loss")  # Keras sorts them by name
    return {str(name): float(found[name]) for name in ordered}


@dataclass(frozen=True, kw_only=True, eq=False)
class Permuted:
    """Scores with some inputs taken from other rows.

    Args:
        kinds: the permuted inputs of each line, `()` for none, in the order of the model; all at once the last.
        scores: name of loss or metric -> `(kinds, repeats)`; the line of `()` holds one value throughout.
        num_rows: rows they were measured on.
        seed: of the permutations.
    """

    kinds: tuple[tuple[str, ...], ...]
    scores: Mapping[str, np.ndarray]
    num_rows: int
    seed: int

    @property
    def repeats(self) -> int:
        """Permutations of each kind."""
        return int(self.scores["loss"].shape[1])

    def means(self, name: str) -> np.ndarray:
        """`(kinds,)` mean over the repeats."""
        return self.scores[name].mean(axis=1)

    def spreads(self, name: str) -> np.ndarray:
        """`(kinds,)` standard deviation over the repeats."""
        return self.scores[name].std(axis=1)


def permuted_scores(model: Any, held: HeldSamples, *, repeats: int = REPEATS, seed: int = 0) -> Permuted:
    """Scores with each input, and with all of them, taken from other rows of the same samples.

    Each value stays in its column of the data, so the law of each input alone is as it was; what is gone is which
    row it belongs to. All inputs together move with one permutation: each sample is then whole, and has another's
    target. See Breiman, "Random forests" (Machine Learning 45, 2001), section 10.

    Args:
        model: compiled.
        held: the samples.
        repeats: permutations of each kind, >= 1.
        seed: integer >= 0.

    Raises:
        ModelError: the model cannot be asked.
        PlanError: repeats or seed are no such integers.
    """
    check_whole("repeats", repeats, 1)
    names = tuple(held.structure.inputs)
    kinds: list[tuple[str, ...]] = [(), *((name,) for name in names)]
    if len(names) > 1:
        kinds.append(names)
    plain = scores_of(model, held)
    lines: dict[str, list[list[float]]] = {name: [[value] * repeats] for name, value in plain.items()}
    for kind in kinds[1:]:
        for line in lines.values():
            line.append([])
        for repeat in range(repeats):
            places = permutation(len(held), seed, repeat)
            found = scores_of(model, held, {name: held.inputs[name][places] for name in kind})
            for name, value in found.items():
                lines[name][-1].append(value)
    return Permuted(
        kinds=tuple(kinds),
        scores={name: np.array(values) for name, values in lines.items()},
        num_rows=len(held),
        seed=seed,
    )


def permutation(num_rows: int, seed: int, repeat: int) -> np.ndarray:
    """Which row gives its input to which: int64 `(num_rows,)`, the exact order of epoch `repeat`.

    Example:
        >>> sorted(permutation(4, 0, 1).tolist())
        [0, 1, 2, 3]
    """
    return Exact().order(num_rows, seed=seed, epoch=repeat).at(np.arange(num_rows))
