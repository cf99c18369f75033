"""From what was read to what is wrong with it: every finding of a card but the joins. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from mtgen.card.alone import PERFECT, SUSPICIOUS, Alone
from mtgen.card.equal import Groups, codes_of, together
from mtgen.card.finding import ALL_INPUTS, SHOWN, Finding, Severity
from mtgen.card.joins import Join
from mtgen.card.parts import Parts
from mtgen.card.pictures import Pictures
from mtgen.card.rows import Columns

LEAST_COLUMNS = 8
"""Feature rows of a store with so many columns tell their sample; fewer, and columns of the table, are often equal."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Looked:
    """What was read of one field.

    Args:
        name: of the field.
        columns: of feature rows; None for pictures.
        names: of the columns.
        pictures: None for feature rows.
        tells: whether equal content means that it is the same sample.
    """

    name: str
    columns: Columns | None = None
    names: tuple[str, ...] = ()
    pictures: Pictures | None = None
    tells: bool = True

    @property
    def codes(self) -> np.ndarray:
        """Number of the distinct content of each row that could be read."""
        if self.columns is not None:
            return codes_of(self.columns.digests)
        return codes_of(self.pictures.files, ~self.pictures.unreadable) if self.pictures else np.empty(0, np.int64)

    @property
    def content(self) -> np.ndarray:
        """As `codes`, without feature rows of zeros or with NaN, which are told by themselves."""
        if self.columns is None:
            return self.codes
        return codes_of(self.columns.digests, ~(self.columns.is_zero | self.columns.not_finite))


class Problems:
    """Findings about the rows of some parts.

    Args:
        parts: rows and splits.
        inputs: what was read of each input that was looked at.
        complete: whether these are all inputs, so that equal samples are known.
        targets: codes of the rows' targets; None without targets.
    """

    def __init__(self, parts: Parts, inputs: list[Looked], complete: bool, targets: np.ndarray | None) -> None:
        self._parts, self._inputs, self._complete, self._targets = parts, inputs, complete, targets
        self._rows = parts.rows

    def all(self, *, pixels: bool) -> Iterator[Finding]:
        """Everything that equal content tells, and what columns and files tell by themselves.

        Args:
            pixels: compare pictures as delivered too.
        """
        for one in self._inputs:
            if one.pictures is not None:
                yield from self._of_pictures(one, one.pictures, pixels)
            if one.columns is not None:
                yield from self._of_columns(one, one.columns)
        yield from self._of_pairs()
        yield from self._of_samples()

    def _of_pictures(self, one: Looked, pictures: Pictures, pixels: bool) -> Iterator[Finding]:
        wrong = np.flatnonzero(pictures.unreadable)
        if len(wrong):
            texts = tuple(f"{path}: {text}" for _, path, text in pictures.errors[:SHOWN])
            yield self._rows_alone("unreadable", "serious", one.name, wrong, "cannot be read or decoded", texts)
        codes = one.codes
        yield from self._equal("duplicate_pictures", "warning", one, Groups(codes), "have the same file content")
        if pixels:
            delivered = Groups(codes_of(pictures.pixels, ~pictures.unreadable)).that_differ(codes)
            yield from self._equal(
                "duplicate_pixels", "warning", one, delivered, "are the same pixels as delivered, out of other files"
            )

    def _of_columns(self, one: Looked, columns: Columns) -> Iterator[Finding]:
        not_finite, zero = np.flatnonzero(columns.not_finite), np.flatnonzero(columns.is_zero)
        if len(not_finite):
            yield self._rows_alone("not_finite_rows", "serious", one.name, not_finite, "have NaN or infinite values")
        if len(zero) and len(one.names) > 1:
            yield self._rows_alone("zero_rows", "warning", one.name, zero, "are zeros")
        num_rows = len(self._rows)
        if num_rows > 1:
            of_zeros = columns.num_zero == num_rows
            yield from _columns("zero_columns", "note", one, of_zeros, "are 0 in all rows")
            same = (columns.lowest == columns.highest) & (columns.count == num_rows) & ~of_zeros
            yield from _columns("constant_columns", "note", one, same, "have one value in all rows")
        yield from self._equal(
            "duplicate_features", "warning" if one.tells else "note", one, Groups(one.content), "have the same values"
        )

    def _equal(self, kind: str, severity: Severity, one: Looked, groups: Groups, text: str) -> Iterator[Finding]:
        """Equal content, and equal content in several splits."""
        if groups.num_groups:
            yield self._of_groups(kind, severity, one.name, groups, text)
        yield from self._leak(one.name, groups, text, "serious" if one.tells else "note")

    def _leak(self, where: str, groups: Groups, text: str, severity: Severity) -> Iterator[Finding]:
        if len(self._parts.names) < 2:
            return
        crossing = groups.that_differ(self._parts.split_of)
        if not crossing.num_groups:
            return
        numbers = crossing.values(self._parts.split_of)
        counts = np.bincount(self._parts.split_of[crossing.places], minlength=len(self._parts.names))
        shares = ", ".join(f"{counts[number]:,} in split {number + 1}" for number in numbers)
        yield self._of_groups(
            "leak",
            severity,
            where,
            crossing,
            f"{text} in several splits ({shares}): what is tested was trained on",
            tuple(self._parts.names[number] for number in numbers),
        )

    def _of_pairs(self) -> Iterator[Finding]:
        pictures = [one for one in self._inputs if one.pictures is not None]
        features = [one for one in self._inputs if one.columns is not None]
        for one, other in ((one, other) for one in pictures for other in features):
            where = f"{one.name}, {other.name}"
            apart = Groups(one.codes).that_differ(other.codes)
            if apart.num_groups:
                yield self._of_groups(
                    "picture_with_other_features", "warning", where, apart, "are one picture with different features"
                )
            shared = Groups(other.content).that_differ(one.codes)
            if shared.num_groups:
                severity: Severity = "warning" if other.tells else "note"
                yield self._of_groups(
                    "features_of_many_pictures", severity, where, shared, "have one feature row for different pictures"
                )

    def _of_samples(self) -> Iterator[Finding]:
        if not self._inputs or not self._complete:
            return
        samples = Groups(together(*(one.codes for one in self._inputs)))
        tells = any(one.tells for one in self._inputs)
        where = ALL_INPUTS if len(self._inputs) > 1 else self._inputs[0].name
        if len(self._inputs) > 1:
            yield from self._leak(where, samples, "are the same sample", "serious" if tells else "note")
        if self._targets is None:
            return
        apart = samples.that_differ(self._targets)
        if apart.num_groups:
            severity: Severity = "serious" if tells else "note"
            yield self._of_groups("conflicting_targets", severity, where, apart, "are equal, with different targets")

    def _of_groups(
        self, kind: str, severity: Severity, where: str, groups: Groups, text: str, splits: tuple[str, ...] = ()
    ) -> Finding:
        return Finding(
            kind=kind,
            severity=severity,
            where=where,
            count=groups.num_rows,
            text=f"{groups.num_rows:,} rows in {groups.num_groups:,} groups {text}",
            splits=splits,
            groups=groups.first(self._rows),
        )

    def _rows_alone(
        self,
        kind: str,
        severity: Severity,
        where: str,
        places: np.ndarray,
        text: str,
        examples: tuple[str, ...] = (),
    ) -> Finding:
        return Finding(
            kind=kind,
            severity=severity,
            where=where,
            count=len(places),
            text=f"{len(places):,} rows {text}",
            groups=(tuple(self._rows[places[:SHOWN]].tolist()),),
            examples=examples,
        )


def _columns(kind: str, severity: Severity, one: Looked, which: np.ndarray, text: str) -> Iterator[Finding]:
    places = np.flatnonzero(which).tolist()
    if places:
        yield Finding(
            kind=kind,
            severity=severity,
            where=one.name,
            count=len(places),
            unit="columns",
            text=f"{len(places):,} columns {text}",
            examples=tuple(one.names[place] for place in places[:SHOWN]),
        )


def of_alone(one: Looked, target: str, found: list[Alone], *, is_number: bool) -> Iterator[Finding]:
    """Columns that predict a target by themselves, the best first."""
    suspicious = sorted((item for item in found if item.strength >= SUSPICIOUS), key=lambda item: -item.strength)
    if not suspicious:
        return
    shown = []
    for item in suspicious[:SHOWN]:
        result = f"correlation of ranks {item.accuracy:.4f}" if is_number else f"accuracy {item.accuracy:.4f}"
        against = "" if is_number else f", the most frequent class alone {item.majority:.4f}"
        area = "" if item.auc is None else f", AUC {item.auc:.4f}"
        shown.append(f"{one.names[item.column]}: {result}{against}{area}")
    perfect = suspicious[0].strength >= PERFECT
    yield Finding(
        kind="predicts_alone",
        severity="serious" if perfect else "warning",
        where=f"{one.name}, {target}",
        count=len(suspicious),
        unit="columns",
        text=f"{len(suspicious):,} columns predict the target by themselves{', without error' if perfect else ''}: "
        "is the target in the features?",
        examples=tuple(shown),
    )


def of_joins(joins: list[Join]) -> Iterator[Finding]:
    """Joins that are off."""
    for one in joins:
        fit = one.fit
        if fit.verdict == "shifted" and fit.best is not None:
            beside = "" if one.order == "table" else ", in the order of the store"
            yield Finding(
                kind="shifted_join",
                severity="serious",
                where=f"{one.first}, {one.second}",
                count=fit.num_rows,
                text=f"the first input of row i fits the other part of row i {fit.best:+d} better than that of its own "
                f"row{beside}: {fit.scores[fit.best]:.3f} of the variance predicted against {fit.scores[0]:.3f} "
                f"(z {fit.z:.0f}, in {fit.num_rows:,} rows)",
            )
