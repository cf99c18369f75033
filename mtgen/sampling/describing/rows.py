"""What a law over rows gives in an epoch: rows and classes before, expected, and drawn. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from mtgen.errors import PlanError
from mtgen.sampling.describing.components import component_lines
from mtgen.sampling.describing.description import Description
from mtgen.sampling.describing.labels import MISSING, NO_LABEL, RowLabels, boxed
from mtgen.sampling.describing.text import aligned, cut, number, percent

MOST_SHOWN = 20
"""Classes that the table for the terminal shows: so many of the largest and the smallest together."""

MOST_NAMED = 8
"""Classes named in a line of text."""


@dataclass(frozen=True, kw_only=True)
class EpochFacts:
    """Which epoch is described, and of what.

    Args:
        law: the law, in one line.
        seed: of the epoch.
        epoch: 0-based.
        block: positions per batch; None where batches are not described.
        note: what else must be said, such as how the expected numbers were found.
    """

    law: str
    seed: int
    epoch: int
    block: int | None = None
    note: str = ""


@dataclass(frozen=True, kw_only=True, eq=False)
class RowDescription(Description):
    """One epoch of a law over rows, in numbers.

    `print(description)` shows a table; `counts` is a DataFrame, `as_json()` gives everything to programs. Immutable;
    any thread.

    Args:
        facts: which epoch of which law.
        by: what the classes are of; None where none were asked for.
        lists: whether a row may be of several classes: it counts for each.
        num_rows: rows of the law, those of weight 0 too.
        size: positions in the epoch.
        num_zero: rows of weight 0, which never come.
        effective: effective number of rows, `(sum w)**2 / sum w**2` (Kish): the number of equally weighted rows that
            vary as much.
        repeats: times -> number of rows that came so often, ascending, from 0.
        num_batches: whole batches that were counted.
        classes: what is known of each class; see `counts`.
        components: of a mixture of laws over rows, a line for each: `component`, `share` by weight, `expected` and
            `drawn` positions, `drawn_share`, with `block` also `batch_least` and `batch_most`; no lines for others.
    """

    facts: EpochFacts
    by: str | None
    lists: bool
    num_rows: int
    size: int
    num_zero: int
    effective: float
    repeats: dict[int, int]
    num_batches: int
    classes: pd.DataFrame
    components: pd.DataFrame

    @property
    def counts(self) -> pd.DataFrame:
        """A line for each class; a copy.

        Columns: `class`; `rows` and `share` before; `expected_rows` and `expected_share` in an epoch; `drawn_rows`
        and `drawn_share` in this one; `never`, rows that did not come; `most_repeats` of one row; with `block` also
        `batch_least`, `batch_mean` and `batch_most`, rows in a batch.
        """
        return self.classes.copy()

    def to_frame(self) -> pd.DataFrame:
        """Same as `counts`."""
        return self.counts

    @property
    def num_never(self) -> int:
        """Rows that did not come in this epoch, those of weight 0 too."""
        return self.repeats.get(0, 0)

    @property
    def num_distinct(self) -> int:
        """Rows that came in this epoch."""
        return self.num_rows - self.num_never

    @property
    def mean_repeats(self) -> float:
        """How often a row came on average, of those that came; NaN in an empty epoch."""
        return self.size / self.num_distinct if self.num_distinct else float("nan")

    @property
    def most_repeats(self) -> int:
        """How often the row came that came most often."""
        return max(self.repeats)

    @cached_property
    def empty(self) -> tuple[Any, ...]:
        """Classes that cannot come: without rows, or all of weight 0."""
        return tuple(self.classes.loc[self.classes["expected_rows"] == 0, "class"].tolist())

    @cached_property
    def not_drawn(self) -> tuple[Any, ...]:
        """Classes that could come and did not in this epoch."""
        lines = (self.classes["expected_rows"] > 0) & (self.classes["drawn_rows"] == 0)
        return tuple(self.classes.loc[lines, "class"].tolist())

    def as_json(self) -> dict[str, Any]:
        """Everything in JSON values; a missing label is null, rows without labels are []."""
        return {
            "law": self.facts.law,
            "seed": self.facts.seed,
            "epoch": self.facts.epoch,
            "note": self.facts.note,
            "num_rows": self.num_rows,
            "size": self.size,
            "num_zero": self.num_zero,
            "num_never": self.num_never,
            "num_distinct": self.num_distinct,
            "mean_repeats": self.mean_repeats if self.num_distinct else None,
            "most_repeats": self.most_repeats,
            "effective": self.effective,
            "repeats": {str(times): rows for times, rows in self.repeats.items()},
            "by": self.by,
            "lists": self.lists,
            "block": self.facts.block,
            "num_batches": self.num_batches,
            "classes": [_plain(line) for line in self.classes.to_dict("records")],
            "components": [_plain(line) for line in self.components.to_dict("records")],
            "empty": [_plain_label(one) for one in self.empty],
            "not_drawn": [_plain_label(one) for one in self.not_drawn],
        }

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        facts = self.facts
        yield cut(facts.law, 116)
        zero = f", {self.num_zero:,} of them of weight 0" if self.num_zero else ""
        yield f"  epoch       {self.size:,} positions (seed {facts.seed}, epoch {facts.epoch})"
        yield f"  rows        {self.num_distinct:,} of {self.num_rows:,} came, {self.num_never:,} never{zero}"
        if self.num_distinct:
            yield f"  repeats     {number(self.mean_repeats)} times on average, {self.most_repeats:,} at most"
        share = percent(self.effective / self.num_rows)
        yield f"  effective   {number(round(self.effective, 1))} rows of equal weight would vary as much ({share})"
        if facts.note:
            yield f"  note        {facts.note}"
        if len(self.components):
            yield ""
            yield from component_lines(self.components)
        if self.by is None:
            return
        yield ""
        yield from self._table()
        if self.empty:
            yield f"no row of weight > 0: {_listed(self.empty)}"
        if self.not_drawn:
            yield f"expected, but not drawn in this epoch: {_listed(self.not_drawn)}"
        if self.lists:
            yield "a row counts for each of its labels, so shares may sum to more than 100%"

    def _table(self) -> Iterator[str]:
        batches = self.facts.block is not None
        heads = [cut(self.by or ""), "rows", "share", "expected", "share", "drawn", "share", "never", "repeats"]
        if batches:
            heads += ["batch min", "mean", "max"]
        shown = _shown(self.classes)
        lines = [self._cells(line, batches) for line in self.classes.iloc[shown].to_dict("records")]
        text = aligned(heads, lines)
        left_out = len(self.classes) - len(shown)
        if left_out:
            middle = 1 + MOST_SHOWN // 2
            text.insert(
                middle, f"... {left_out:,} classes between these left out; counts has all {len(self.classes):,}"
            )
        yield from text
        if batches:
            yield f"batches of {self.facts.block:,}: {self.num_batches:,} counted"

    @staticmethod
    def _cells(line: dict[Any, Any], batches: bool) -> list[str]:
        cells = [
            cut(label_text(line["class"])),
            number(line["rows"]),
            percent(line["share"]),
            number(round(line["expected_rows"], 1)),
            percent(line["expected_share"]),
            number(line["drawn_rows"]),
            percent(line["drawn_share"]),
            number(line["never"]),
            number(line["most_repeats"]),
        ]
        if batches:
            cells += [
                number(line["batch_least"]),
                number(float(f"{line['batch_mean']:.3g}")),
                number(line["batch_most"]),
            ]
        return cells


def describe_rows(
    probability: np.ndarray,
    drawn: np.ndarray,
    facts: EpochFacts,
    *,
    labels: RowLabels | None = None,
    expected: np.ndarray | None = None,
    components: pd.DataFrame | None = None,
) -> RowDescription:
    """Count an epoch.

    Pure.

    Args:
        probability: float64 `(num_rows,)` >= 0, summing to 1: the law of one draw.
        drawn: int64 `(size,)` places in [0, num_rows), in sequence: the epoch.
        facts: which epoch of which law.
        labels: the classes of the rows.
        expected: float64 `(num_rows,)`, how often each row comes in an epoch on average; None for `size` times the
            probability.
        components: see `RowDescription`.

    Raises:
        PlanError: lengths that differ, or a place that there is not.

    Example:
        >>> labels = RowLabels.of(["a", "a", "b"], 3)
        >>> drawn = np.array([2, 0, 2, 1])
        >>> facts = EpochFacts(law="x", seed=0, epoch=0)
        >>> found = describe_rows(np.array([0.25, 0.25, 0.5]), drawn, facts, labels=labels)
        >>> found.counts[["rows", "expected_rows", "drawn_rows"]].to_numpy().tolist(), found.repeats
        ([[2.0, 2.0, 2.0], [1.0, 2.0, 2.0]], {0: 0, 1: 2, 2: 1})
    """
    num_rows, size = len(probability), len(drawn)
    if (labels is not None and labels.num_rows != num_rows) or (expected is not None and len(expected) != num_rows):
        raise PlanError(f"a description needs one probability, label and expected number for each of {num_rows} rows")
    if size and not 0 <= int(drawn.min()) <= int(drawn.max()) < num_rows:
        raise PlanError(f"a description needs places from 0 to {num_rows - 1}, received {drawn.min()} to {drawn.max()}")
    times = np.bincount(drawn, minlength=num_rows)
    if expected is None:
        expected = probability * size
    num_batches = 0 if facts.block is None or not size else max(1, size // facts.block)
    often = np.bincount(times, minlength=1)
    squares = float(np.square(probability).sum())
    return RowDescription(
        facts=facts,
        by=None if labels is None else labels.name,
        lists=labels is not None and labels.lists,
        num_rows=num_rows,
        size=size,
        num_zero=int((probability == 0).sum()),
        effective=float(probability.sum()) ** 2 / squares if squares else 0.0,
        repeats={0: int(often[0])} | {int(one): int(often[one]) for one in np.flatnonzero(often).tolist()},
        num_batches=num_batches,
        classes=_classes(labels, expected, times, drawn, facts.block),
        components=pd.DataFrame() if components is None else components,
    )


def _classes(
    labels: RowLabels | None, expected: np.ndarray, times: np.ndarray, drawn: np.ndarray, block: int | None
) -> pd.DataFrame:
    if labels is None:
        labels = RowLabels("", (), np.empty(0, np.int64), np.empty(0, np.int64), len(times), False)
    num_rows, size, total = len(times), len(drawn), float(expected.sum())
    rows, came = labels.sums(np.ones(num_rows)), labels.sums(times)
    due = labels.sums(expected)
    columns: dict[str, Any] = {
        "class": pd.Series(boxed(labels.classes), dtype=object),
        "rows": rows.astype(np.int64),
        "share": rows / max(num_rows, 1),
        "expected_rows": due,
        "expected_share": due / total if total else np.zeros(len(due)),
        "drawn_rows": came.astype(np.int64),
        "drawn_share": came / max(size, 1),
        "never": labels.sums(times == 0).astype(np.int64),
        "most_repeats": labels.most(times),
    }
    if block is not None:
        least, most = labels.in_batches(drawn, block)
        whole = drawn[: max(1, size // block) * block]
        mean = labels.sums(np.bincount(whole, minlength=num_rows)) / max(1, size // block)
        columns |= {"batch_least": least, "batch_mean": mean, "batch_most": most}
    return pd.DataFrame(columns)


def _shown(classes: pd.DataFrame) -> np.ndarray:
    """The lines of the table: all, or those of the most and the fewest rows before, in this order."""
    if len(classes) <= MOST_SHOWN:
        return np.arange(len(classes))
    order = np.argsort(-classes["rows"].to_numpy(), kind="stable")
    half = MOST_SHOWN // 2
    return np.concatenate([order[:half], order[-(MOST_SHOWN - half) :]])


def label_text(label: Any) -> str:
    """A class, as a table names it."""
    if label is MISSING:
        return "(missing)"
    if isinstance(label, tuple):
        return ", ".join(map(label_text, label)) if label != NO_LABEL else "(no label)"
    return str(label)


def _listed(classes: tuple[Any, ...]) -> str:
    named = ", ".join(cut(label_text(one)) for one in classes[:MOST_NAMED])
    return f"{named} and {len(classes) - MOST_NAMED:,} more" if len(classes) > MOST_NAMED else named


def _plain_label(label: Any) -> Any:
    if isinstance(label, tuple):
        return [_plain_label(one) for one in label]
    return label if label is None or isinstance(label, str | bool | int) else _number_or_text(label)


def _number_or_text(value: Any) -> Any:
    return value if isinstance(value, float) and np.isfinite(value) else str(value)


def _plain(line: dict[Any, Any]) -> dict[str, Any]:
    return {str(name): _plain_label(value) for name, value in line.items()}
