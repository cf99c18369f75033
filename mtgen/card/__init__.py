"""A card of a dataset: what is in it and what is wrong with it, as Markdown and JSON.

`make_card` reads every sample once, or a sample of them. See docs/card.md.
"""

from __future__ import annotations

import functools
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mtgen import __version__
from mtgen.card import description
from mtgen.card.alone import alone, even_rows
from mtgen.card.equal import codes_of
from mtgen.card.finding import Finding, in_order
from mtgen.card.joins import compare_joins, orders_of
from mtgen.card.markdown import as_markdown
from mtgen.card.parts import Parts, parts_of
from mtgen.card.pictures import images_of, look_at_pictures
from mtgen.card.problems import LEAST_COLUMNS, Looked, Problems, of_alone, of_joins
from mtgen.card.rows import column_names, digests_of, has_rows, look_at_rows, read_rows
from mtgen.dataset import Dataset
from mtgen.inputs.columns import BoundColumns
from mtgen.inputs.rows import BoundRows
from mtgen.pending import Field
from mtgen.settings import check_flag
from mtgen.splits import Splits
from mtgen.stores.new_folder import new_folder, write_file
from mtgen.verify.files import each

__all__ = ["Card", "Finding", "make_card"]

FORMAT = "mtgen dataset card"
VERSION = 1


@dataclass(frozen=True, kw_only=True, eq=False)
class Card:
    """What is in a dataset and what is wrong with it. Immutable; any thread.

    Args:
        facts: plain values, as in `card.json`, without the findings.
        findings: what is wrong, the worst first.
    """

    facts: dict[str, Any]
    findings: tuple[Finding, ...]

    @property
    def is_fine(self) -> bool:
        """Whether nothing serious was found."""
        return not any(one.severity == "serious" for one in self.findings)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, all that the card says."""
        return {**self.facts, "is_fine": self.is_fine, "findings": [one.as_dict() for one in self.findings]}

    def as_json(self) -> str:
        """The card as JSON: equal cards are equal texts."""
        return json.dumps(self.as_dict(), indent=1, allow_nan=False) + "\n"

    def as_markdown(self) -> str:
        """The card as Markdown with a YAML header."""
        return as_markdown(json.loads(self.as_json()))

    def write(self, folder: str | os.PathLike[str]) -> Path:
        """Write `card.md` and `card.json` into a new folder, both or none.

        Returns:
            The folder.

        Raises:
            StoreError: something stands in its place already, or it cannot be written.
        """
        target = Path(folder)
        with new_folder(target) as new:
            write_file(new / "card.md", self.as_markdown().encode())
            write_file(new / "card.json", self.as_json().encode())
        return target

    def __str__(self) -> str:
        """The findings in a few lines."""
        rows = self.facts["rows"]
        counts = [f"{sum(one.severity == name for one in self.findings)} {name}" for name in ("serious", "warning")]
        lines = [f"{rows['looked_at']:,} of {rows['total']:,} rows looked at: {', '.join(counts)}"]
        lines += [f"  {one.severity}: {one.where}: {one.text}" for one in self.findings if one.severity != "note"]
        return "\n".join(lines)


def make_card(
    data: Dataset | Splits,
    *,
    name: str = "dataset",
    table: str | None = None,
    license: str | None = None,
    sample: int | None = None,
    pixels: bool = False,
    seed: int = 0,
    num_workers: int | None = None,
    progress: bool = False,
) -> Card:
    """Look at every sample of a dataset once, and say what is there and what is wrong.

    Calls threads of its own. Held in memory are some 100 bytes per row, beside blocks of rows and one picture per
    thread. Equal datasets, settings and seeds give equal cards, whatever the number of threads.

    Args:
        data: a dataset; or its splits, to look for content that several of them have.
        name: what the card calls it.
        table: path of the table, for the lines that load it.
        license: for the header; None leaves it out.
        sample: rows to look at, in runs of 64 neighbours; None takes all.
        pixels: compare pictures by their pixels as delivered too, not only by the bytes of their files.
        seed: integer >= 0; decides the sample and the random permutations.
        num_workers: threads; None takes one per core, 0 works in the caller's.
        progress: show progress bars.

    Returns:
        The card.

    Raises:
        PlanError: no dataset, or settings that cannot be followed.
        StoreError, AlignmentError: feature rows that cannot be read; `mtgen.verify.verify` lists them all.
        ChangedError: a file is not the one that its manifest promises.

    Example:
        >>> import pandas as pd
        >>> table = pd.DataFrame({"age": [30, 41, 30], "ill": [0, 1, 0]})
        >>> card = make_card(mtgen.Dataset(table, {"age": mtgen.Columns("age")}, "ill"), num_workers=0)
        >>> card.is_fine, [one.text for one in card.findings]
        (True, ['2 rows in 1 groups have the same values'])
    """
    check_flag("pixels", pixels)
    parts = parts_of(data, sample, seed)
    run = functools.partial(_each, num_workers=num_workers, progress=progress)
    orders = orders_of(parts)
    wanted = np.isin(parts.rows, np.concatenate([one.rows for one in orders]))
    described: dict[str, list[dict[str, Any]]] = {"input": [], "target": [], "weight": []}
    inputs, pictures = [], {}
    for one in parts.dataset.fields:
        facts = description.of_field(one)
        described[one.role].append(facts)
        if one.role == "target" and isinstance(one.bound, BoundColumns):
            facts.update(description.of_target(one, parts))
        elif one.role == "input" and images_of(one) is not None:
            pictures[one.name] = look_at_pictures(one, parts.rows, wanted, run)
            facts["pictures"] = description.of_pictures(pictures[one.name])
            inputs.append(Looked(name=one.name, pictures=pictures[one.name]))
        elif one.role == "input" and has_rows(one):
            columns = look_at_rows(one, parts.rows, run)
            facts["columns"] = description.of_columns(one, columns)
            tells = isinstance(one.bound, BoundRows) and len(columns.count) >= LEAST_COLUMNS
            inputs.append(Looked(name=one.name, columns=columns, names=tuple(column_names(one)), tells=tells))
    complete = len(inputs) == len(described["input"])
    joins = list(compare_joins(parts, orders, pictures, seed))
    problems = Problems(parts, inputs, complete, _target_codes(parts))
    findings = [*problems.all(pixels=pixels), *of_joins(joins), *_alone(parts, inputs)]
    facts = {
        "format": FORMAT,
        "version": VERSION,
        "mtgen": __version__,
        "name": name,
        "license": license,
        "rows": {
            "table": len(parts.dataset.table),
            "total": parts.num_rows,
            "looked_at": len(parts.rows),
            "seed": int(seed),
        },
        "splits": _splits(data),
        "inputs": described["input"],
        "targets": described["target"],
        "weights": described["weight"],
        "joins": [one.as_dict() for one in joins],
        "digests": dict(parts.dataset.digests),
        "load": description.snippet(parts, table),
    }
    return Card(facts=facts, findings=in_order(findings))


def _each(work: Any, items: Any, what: str, group: int, *, num_workers: int | None, progress: bool) -> Any:
    return each(work, items, what, num_workers=num_workers, progress=progress, group=group)


def _splits(data: Dataset | Splits) -> list[dict[str, Any]]:
    if isinstance(data, Dataset):
        return []
    return [{"name": name, "rows": len(data[name]), "digest": data[name].digests["rows"]} for name in data.names]


def _targets(parts: Parts) -> list[Field]:
    return [one for one in parts.dataset.fields if one.role == "target" and isinstance(one.bound, BoundColumns)]


def _target_codes(parts: Parts) -> np.ndarray | None:
    """Number of the distinct targets of each row that is looked at."""
    targets = _targets(parts)
    if not targets:
        return None
    return codes_of(np.concatenate([digests_of(one.bound.take(parts.rows)) for one in targets], axis=1))


def _alone(parts: Parts, inputs: list[Looked]) -> list[Finding]:
    """Columns that predict a target by themselves."""
    fields = {one.name: one for one in parts.dataset.fields if one.role == "input"}
    found: list[Finding] = []
    for looked in inputs:
        if looked.columns is None:
            continue
        rows = parts.rows[even_rows(len(parts.rows), len(looked.columns.count))]
        values: np.ndarray | None = None
        for target in _targets(parts):
            if target.spec.shape:
                continue
            if values is None:
                values = read_rows(fields[looked.name], rows).reshape(len(rows), -1)
            is_number = target.spec.dtype.kind == "f"
            wanted = target.bound.take(rows)
            results = alone(values, wanted, None if is_number else target.bound.num_classes or 0)
            found += of_alone(looked, target.name, results, is_number=is_number)
    return found
