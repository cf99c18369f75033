"""One problem that was found in a dataset: what, how bad, how many rows, and the first of them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

Severity = Literal["serious", "warning", "note"]

SEVERITIES: tuple[Severity, ...] = ("serious", "warning", "note")
"""From the worst: what should not be trained on, what should be looked at, what is good to know."""

KINDS = {
    "unreadable": "Pictures that cannot be read",
    "leak": "The same content in several splits",
    "shifted_join": "Inputs that belong to a neighbouring row",
    "conflicting_targets": "Equal samples with different targets",
    "not_finite_rows": "Rows with NaN or infinite values",
    "predicts_alone": "A feature that alone predicts the target",
    "duplicate_pictures": "Equal pictures",
    "duplicate_pixels": "Pictures of equal pixels",
    "duplicate_features": "Equal feature rows",
    "picture_with_other_features": "The same picture with different feature rows",
    "features_of_many_pictures": "The same feature row for different pictures",
    "zero_rows": "Rows of zeros",
    "zero_columns": "Columns of zeros",
    "constant_columns": "Columns that never change",
}
"""Kinds of findings, the worst first, and their headings."""

ALL_INPUTS = "all inputs"
"""What a finding is about that is of whole samples."""

SHOWN = 10
"""Rows and groups that a finding lists; it counts all."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One problem.

    Args:
        kind: a key of `KINDS`.
        severity: how bad it is.
        where: the input or target it is about, or several.
        count: how many `unit` there are.
        unit: what is counted: rows or columns.
        text: what was found, in a sentence; without names out of the data.
        splits: the splits it crosses, if it does.
        groups: the first groups of rows that are alike, or the rows by themselves in one group.
        examples: the first paths, columns or values, as the data has them.
    """

    kind: str
    severity: Severity
    where: str
    count: int
    text: str
    unit: Literal["rows", "columns"] = "rows"
    splits: tuple[str, ...] = ()
    groups: tuple[tuple[int, ...], ...] = ()
    examples: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


def in_order(findings: list[Finding]) -> tuple[Finding, ...]:
    """The worst first: by severity, by kind, whole samples before single inputs, by count."""
    kinds = list(KINDS)

    def rank(one: Finding) -> tuple[int, int, bool, int, str]:
        whole = one.where == ALL_INPUTS
        return SEVERITIES.index(one.severity), kinds.index(one.kind), not whole, -one.count, one.where

    return tuple(sorted(findings, key=rank))
