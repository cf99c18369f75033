"""`mtgen sample`: which rows of a table an epoch would take, before anything is trained."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from mtgen.errors import EmptySupportError, PlanError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from mtgen.sampling.row_plans.base import RowSampler
    from mtgen.sampling.row_plans.dataset_rows import DatasetRows

ENDINGS = (".csv", ".npy", ".parquet")
"""What `--out` writes."""


def _help(text: str, metavar: str | None = None) -> dict[str, str]:
    return {"help": text} if metavar is None else {"help": text, "metavar": metavar}


@dataclass(frozen=True, kw_only=True)
class Law:
    """Which rows, and how often. All left out: every row alike."""

    where: str | None = field(
        default=None,
        metadata=_help("Condition on rows, such as \"split == 'train'\"; the others do not count.", "COND"),
    )
    weighted: str | None = field(
        default=None,
        metadata=_help('Weight of each row: a column, or "max_weight(target == 3: 5, True: 1)".'),
    )
    weight_choice: Literal["max", "sum"] | None = field(
        default=None, metadata=_help("With --weighted, for a mere list of condition: weight.")
    )
    clause: str | None = field(
        default=None,
        metadata=_help('A whole clause: "WHERE ... SAMPLE BY ... REPLACE FALSE LIMIT 10 PERCENT".', "TEXT"),
    )
    balanced: list[str] | None = field(
        default=None,
        metadata=_help("Column whose classes are balanced; several times: classes of all together.", "COLUMN"),
    )
    over: float | None = field(
        default=None,
        metadata=_help("With --balanced: 1 repeats rare classes to their share, 0 nothing; left out: 0.9."),
    )
    under: float | None = field(
        default=None, metadata=_help("With --balanced: 1 thins frequent classes to it, 0 nothing; left out: 0.5.")
    )
    target: list[str] | None = field(
        default=None, metadata=_help("With --balanced: wanted shares, a=0.5,b=0.5; left out: equal.", "CLASS=SHARE,...")
    )
    counts: list[str] | None = field(
        default=None, metadata=_help("With --balanced: positions of each class, a=10,b=20, exactly.", "CLASS=N,...")
    )
    exact: bool = field(
        default=False, metadata=_help("With --balanced: the most rows that have the wanted shares, none twice.")
    )
    replace: bool | None = field(
        default=None, metadata=_help("Whether a row may come more than once; left out: yes, or as --clause says.")
    )


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """Which epoch."""

    size: int | None = field(default=None, metadata={"min": 1, **_help("Positions; left out: as the law says.")})
    seed: int = field(default=0, metadata={"min": 0, **_help("Seed of the order.")})
    epoch: int = field(default=0, metadata={"min": 0, **_help("Number of the epoch, from 0.")})
    batch_size: int | None = field(
        default=None, metadata={"min": 1, **_help("Also count the classes in each batch of so many.")}
    )


def sample(
    table: Annotated[str, typer.Argument(help="A table: .csv, .tsv or .parquet.")],
    law: Law,
    epoch: Epoch,
    by: Annotated[
        list[str] | None,
        typer.Option(help="Column whose classes are counted; left out: that of --balanced.", metavar="COLUMN"),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="New file for the rows drawn, in order: .csv, .parquet or .npy.", metavar="FILE")
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="PNG file for a picture of the counts.", metavar="FILE")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="JSON file for all figures.", metavar="FILE")] = None,
) -> None:
    """Show which rows an epoch takes: classes before, expected and drawn.

    Plans one epoch of a law over the rows of a table, reads nothing else, and prints what comes: rows, repeats,
    effective size, and each class of --by, with --batch-size also in each batch. --out writes the rows, in their
    order: .npy their numbers, .csv and .parquet the table's lines after a column row.
    """
    from mtgen.table_files import read_table

    _check_targets(out, plot)
    frame = read_table(table)
    made = law_of(frame, law)
    replace = law.replace if law.balanced else None
    found = made.describe(
        epoch.size,
        epoch.seed,
        epoch=epoch.epoch,
        block=epoch.batch_size,
        by=_one_or_all(by or law.balanced),
        replace=replace,
    )
    typer.echo(str(found))
    if out is not None:
        plan = made.plan(epoch.size, replace, seed=epoch.seed, epoch=epoch.epoch, block=epoch.batch_size)
        _write_rows(out, frame, plan[:])
        typer.echo(f"{len(plan):,} rows: {out}")
    if plot is not None:
        from mtgen.view import draw_epoch, save_figure

        typer.echo(f"picture: {save_figure(draw_epoch(found), plot)}")
    if json_file is not None:
        _write_json(json_file, found.as_json())


def law_of(table: pd.DataFrame, law: Law) -> RowSampler:
    """The law over the rows of a table that the options ask for.

    Raises:
        PlanError: options that contradict each other, or what the law refuses.
        EmptySupportError: no row that can come.
    """
    _check_law(law)
    rows = rows_of(table)
    if law.where is not None:
        mask = rows.source.mask(law.where)
        if not mask.any():
            raise EmptySupportError(f"no row of {len(table)} meets the condition {law.where!r}")
        rows = rows_of(table, mask.nonzero()[0])
    if law.clause is not None:
        return rows.sampled(law.clause)
    if law.balanced:
        settings: dict[str, Any] = {
            name: getattr(law, name) for name in ("over", "under") if getattr(law, name) is not None
        }
        for name in ("target", "counts"):
            if getattr(law, name) is not None:
                settings[name] = _by_class(f"--{name}", getattr(law, name), table, law.balanced)
        if settings.get("counts") is not None:
            settings["counts"] = {one: _whole(one, number) for one, number in settings["counts"].items()}
        return rows.balanced(_one_or_all(law.balanced), exact=law.exact, **settings)
    if law.weighted is not None:
        return rows.weighted(law.weighted, replace=law.replace is not False, weight_choice=law.weight_choice)
    uniform = rows.uniform()
    return uniform if law.replace is None else dataclasses.replace(uniform, replace=law.replace)


def _one_or_all(names: list[str] | None) -> str | list[str] | None:
    """One column by its name, which has labels of its own; several together, which have tuples."""
    return names[0] if names and len(names) == 1 else names or None


@dataclass(frozen=True)
class _Rows:
    """What laws ask of a dataset, of a table alone."""

    table: pd.DataFrame
    rows: np.ndarray
    classes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def rows_of(table: pd.DataFrame, rows: np.ndarray | None = None) -> DatasetRows:
    """The rows of a table, or some of them, as `data.rows` gives them."""
    import numpy as np

    from mtgen.sampling.row_plans.dataset_rows import dataset_rows
    from mtgen.table import check_table

    places = np.arange(len(check_table(table))) if rows is None else rows
    return dataset_rows(places, _Rows(table, places))


def _check_law(law: Law) -> None:
    """Refuse options that contradict each other, or that nothing would follow."""
    given = [f"--{name}" for name in ("weighted", "clause", "balanced") if getattr(law, name)]
    if len(given) > 1:
        raise PlanError(f"{' and '.join(given)} each say how often rows come: give one of them")
    if law.clause is not None and (law.where is not None or law.replace is not None):
        raise PlanError("--clause says WHERE and REPLACE itself: leave out --where, --replace and --no-replace")
    if law.weight_choice is not None and law.weighted is None:
        raise PlanError("--weight-choice is for --weighted, which was not given")
    names = ("over", "under", "target", "counts", "exact")
    parts = [f"--{name}" for name in names if getattr(law, name) not in (None, False)]
    if parts and not law.balanced:
        raise PlanError(f"{', '.join(parts)} without --balanced: say which column has the classes, --balanced label")
    if law.counts is not None and (law.over is not None or law.under is not None):
        raise PlanError("--counts says how often each class comes: leave out --over and --under")


def _by_class(name: str, given: list[str], table: pd.DataFrame, columns: list[str]) -> dict[Any, float]:
    """`a=10,b=20` as a dict; classes are found by their text.

    Raises:
        PlanError: no such class, one that is named twice, or no number.
    """
    from mtgen.table import column

    if len(columns) > 1:
        raise PlanError(f"{name} names classes of one column, --balanced names {len(columns)}; write it in Python")
    known = {str(one): one for one in column(table, columns[0], "--balanced").dropna().unique().tolist()}
    pairs: list[str] = []
    for text in given:
        # A class may hold a comma; then it has an option of its own.
        pairs += [text] if text.rpartition("=")[0] in known else text.split(",")
    found: dict[Any, float] = {}
    for pair in pairs:
        label, equals, number = pair.rpartition("=")
        label = label if label in known else label.strip()
        if not equals or label not in known:
            raise PlanError(
                f"{name} needs class=number of classes of {columns[0]!r}, such as {_example(known)}, received {pair!r}"
            )
        if known[label] in found:
            raise PlanError(f"{name} names the class {label!r} twice")
        try:
            found[known[label]] = float(number)
        except ValueError as error:
            raise PlanError(f"{name}: the number of class {label!r} must be a number, received {number!r}") from error
    return found


def _example(known: Mapping[str, Any]) -> str:
    return ",".join(f"{one}=1" for one in sorted(known)[:3])


def _whole(label: Any, number: float) -> int:
    if not number.is_integer():
        raise PlanError(f"--counts: the number of class {str(label)!r} must be whole, received {number:g}")
    return int(number)


def _check_targets(out: Path | None, plot: Path | None) -> None:
    """Refuse now what could not be written later."""
    if plot is not None:
        from mtgen.view.figures import check_png

        check_png(plot)
    if out is None:
        return
    if out.suffix.lower() not in ENDINGS:
        raise PlanError(f"--out must end in {', '.join(ENDINGS)}, received {str(out)!r}")
    _refuse_existing(out)


def _refuse_existing(out: Path) -> None:
    if out.exists() or out.is_symlink():
        raise PlanError("it exists already, nothing is overwritten: remove it or choose another path", path=str(out))


def _write_rows(out: Path, table: pd.DataFrame, rows: np.ndarray) -> None:
    from mtgen.stores.new_folder import publish_file

    try:
        publish_file(out, _content(out.suffix.lower(), table, rows))
    except FileExistsError:
        _refuse_existing(out)
        raise
    except OSError as error:
        raise PlanError(f"the rows cannot be written ({error}): check space and rights", path=str(out)) from error


def _content(ending: str, table: pd.DataFrame, rows: np.ndarray) -> bytes:
    import io

    import numpy as np

    buffer = io.BytesIO()
    if ending == ".npy":
        np.save(buffer, rows, allow_pickle=False)
        return buffer.getvalue()
    if "row" in table.columns:
        raise PlanError(
            "the table has a column row already, so the rows' numbers have no name: write them with --out rows.npy"
        )
    lines = table.iloc[rows].reset_index(drop=True)
    lines.insert(0, "row", rows)
    if ending == ".csv":
        return lines.to_csv(index=False, lineterminator="\n").encode()
    try:
        lines.to_parquet(buffer, index=False)
    except ImportError as error:
        raise PlanError("Parquet needs pyarrow: pip install 'mtgen[parquet]'") from error
    return buffer.getvalue()


def _write_json(path: Path, values: Mapping[str, Any]) -> None:
    from mtgen.stores.new_folder import replace_file

    try:
        replace_file(path, (json.dumps(values, indent=2, allow_nan=False) + "\n").encode())
    except OSError as error:
        raise PlanError(f"the figures cannot be written ({error}): check space and rights", path=str(path)) from error
