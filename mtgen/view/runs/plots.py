"""From a run's folder to its pictures and one page: what can be made is made, what cannot is named with its reason."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from mtgen.errors import MtgenError, PlanError
from mtgen.sampling.describing.text import number
from mtgen.settings import short
from mtgen.training.measures.curves import Curves, curves_of
from mtgen.training.measures.waits import waits_of
from mtgen.training.record.folder import RunFolder
from mtgen.view.figures import new_figure, png_of
from mtgen.view.runs import sentences
from mtgen.view.runs.curves import MOST_MEASURES, draw_curves
from mtgen.view.runs.story import KINDS, LeftOut, Opener, Picture, Story, Table, Wanted, finite, sentence_of
from mtgen.view.runs.waits import draw_waits

FROM_FILES = ("curves", "waits")
"""Kinds that need neither the model nor the data."""

MOST_DECISIONS = 200
"""Decisions that the page lists: the first and the last."""

MOST_FACTS = 60


def story_of(folder: RunFolder, wanted: Wanted | None = None, data: Opener | None = None) -> Story:
    """Make the pictures of a run; nothing is written.

    Args:
        folder: of the run.
        wanted: which pictures; None for all.
        data: opens the data; its loader is closed in the end. None where there is no way to the data.

    Returns:
        Pictures as PNG bytes with sentences; what could not be made is in `left_out`.

    Raises:
        PlanError: matplotlib is not installed, or the folder is no run's.
        StateError: `wanted` names a snapshot that is not there.
    """
    wanted = wanted or Wanted()
    new_figure(1, 1, "a picture of a run")  # without matplotlib nothing else is worth a start
    if not os.path.isdir(folder.path):  # False too for a name that no system takes
        raise PlanError("there is no such folder of a run", path=str(folder.path))
    pictures: list[Picture] = []
    left: list[LeftOut] = []
    notes: list[str] = []
    curves, why = _curves(folder)
    if "curves" in wanted.kinds:
        if curves is None:
            left.append(LeftOut(kind="curves", why=why))
        else:
            pictures.append(curves_picture(curves))
    if "waits" in wanted.kinds:
        _attempt("waits", lambda: [_waits_picture(folder, curves)], pictures, left)
    if set(wanted.kinds) - {*FROM_FILES}:
        from mtgen.view.runs.modelled import model_pictures

        best = None if curves is None or curves.best is None else int(curves.steps[curves.best])
        more = model_pictures(folder, wanted, data, best)
        pictures += more.pictures
        left += more.left_out
        notes += more.notes
    pictures.sort(key=lambda one: KINDS.index(one.kind))
    left.sort(key=lambda one: KINDS.index(one.kind))
    tables, problems = _tables(folder)
    return Story(
        name=folder.path.resolve().name,
        facts=_facts(folder, notes),
        tables=tables,
        pictures=pictures,
        left_out=left,
        notes=[*notes, *problems],
    )


def _attempt(kind: str, make: Callable[[], list[Picture]], pictures: list[Picture], left: list[LeftOut]) -> None:
    try:
        pictures += make()
    except MtgenError as error:
        left.append(LeftOut(kind=kind, why=sentence_of(error)))


# --- from files -------------------------------------------------------------------------------------------------------


def _curves(folder: RunFolder) -> tuple[Curves | None, str]:
    try:
        history = folder.read_history()
        if not len(history):
            return None, "There is no validation in history.csv yet."
        record = folder.read_record()
        return (
            curves_of(
                history,
                tests=folder.read_test_scores(),
                resumed=resumes_of(record),
                decisions=folder.read_decisions(),
            ),
            "",
        )
    except MtgenError as error:
        return None, sentence_of(error)


def resumes_of(record: Mapping[str, Any]) -> list[int]:
    """Steps after which a run was resumed, as `run.json` has them.

    Example:
        >>> resumes_of({"resumes": [{"step": 40}, 80]})
        [40, 80]
    """
    found = record.get("resumes", [])
    steps = [one.get("step") if isinstance(one, dict) else one for one in (found if isinstance(found, list) else [])]
    return [one for one in steps if isinstance(one, int)]


def curves_picture(curves: Curves) -> Picture:
    """The learning curves."""
    sentence = sentences.of_curves(curves)
    names = list(curves.measures)
    if len(names) > MOST_MEASURES:
        sentence += f" Not drawn: {', '.join(names[MOST_MEASURES:])}."
    parts = [*names[:MOST_MEASURES]]
    parts += ["patience"] if curves.patience is not None else []
    parts += ["the learning rate"] if curves.learning_rate is not None else []
    return Picture(
        kind="curves",
        name="curves",
        title="Learning curves",
        sentence=sentence,
        alt=f"Lines against mini-batches, below each other: {', '.join(parts) or 'nothing'}.",
        png=png_of(draw_curves(curves, sentence.partition(". ")[0].rstrip("."))),
        numbers={
            "monitor": curves.monitor,
            "best_step": None if curves.best is None else int(curves.steps[curves.best]),
            "extensions": [int(curves.steps[place]) for place in curves.extensions],
            "rate_changes": [int(curves.steps[place]) for place in curves.rate_changes],
            "resumed": list(curves.resumed),
            "stopped": curves.stopped,
        },
    )


def _waits_picture(folder: RunFolder, curves: Curves | None) -> Picture:
    found = folder.read_waits()
    if not len(found):
        raise PlanError("waits.csv is not there or has no step, so nothing is known of waiting")
    waits = waits_of(found)
    sentence = sentences.of_waits(waits)
    title = sentence.partition(":")[0]
    return Picture(
        kind="waits",
        name="waits",
        title="Waiting for data",
        sentence=sentence,
        alt="Bars against mini-batches: the share of time spent waiting for data, and below it the time of a step.",
        png=png_of(draw_waits(waits, title, None if curves is None else curves.steps_per_epoch)),
        numbers={"wait_share": finite(waits.share), "seconds": float(waits.seconds.sum()), "steps": waits.num_steps},
    )


# --- facts and tables -------------------------------------------------------------------------------------------------


def _facts(folder: RunFolder, notes: list[str]) -> dict[str, str]:
    try:
        record = folder.read_record()
    except MtgenError as error:
        notes.append(sentence_of(error))
        return {}
    if not record:
        notes.append("run.json is not there, so versions, seeds and digests are not known.")
    flat = flattened(record)
    if len(flat) > MOST_FACTS:
        notes.append(f"run.json has {len(flat) - MOST_FACTS} more entries than are shown.")
    return dict(list(flat.items())[:MOST_FACTS])


def flattened(record: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested facts in one level, each as text.

    Example:
        >>> flattened({"versions": {"keras": "3"}, "seeds": [1, 2], "none": None})
        {'versions: keras': '3', 'seeds': '1, 2', 'none': '-'}
    """
    found: dict[str, str] = {}
    for name, value in record.items():
        label = f"{prefix}: {name}" if prefix else str(name)
        if isinstance(value, Mapping):
            found.update(flattened(value, label))
        elif isinstance(value, list) and all(not isinstance(one, dict | list) for one in value):
            found[label] = ", ".join(map(str, value)) or "-"
        else:
            found[label] = "-" if value is None else value if isinstance(value, str) else json.dumps(value)
    return found


def _tables(folder: RunFolder) -> tuple[list[Table], list[str]]:
    tables: list[Table] = []
    problems: list[str] = []
    for read in (_decisions, _test_scores):
        try:
            made = read(folder)
        except MtgenError as error:
            problems.append(sentence_of(error))
        else:
            tables += [made] if made is not None else []
    return tables, problems


def _decisions(folder: RunFolder) -> Table | None:
    found = folder.read_decisions()
    if not found:
        return None
    half = MOST_DECISIONS // 2
    shown: Sequence[dict[str, Any]] = found if len(found) <= MOST_DECISIONS else [*found[:half], *found[-half:]]
    numbers = ("value", "before", "after")
    lines = [
        [
            f"{one['step']:,}",
            str(one["rule"]),
            str(one["what"]),
            *(value_text(one[name]) for name in numbers),
            str(one["text"]),
        ]
        for one in shown
    ]
    return Table(
        title="What the rules decided",
        heads=["step", "rule", "what", "value", "before", "after", "in words"],
        lines=lines,
        more=f"{len(found) - len(shown):,} decisions between these are left out." if len(found) > len(shown) else "",
    )


def value_text(value: Any) -> str:
    """A number as few digits as say something; nothing for None.

    Example:
        >>> value_text(0.25), value_text(None), value_text(True)
        ('0.25', '', 'True')
    """
    if value is None:
        return ""
    return number(float(value)) if isinstance(value, int | float) and not isinstance(value, bool) else short(value)


def _test_scores(folder: RunFolder) -> Table | None:
    found: pd.DataFrame = folder.read_test_scores()
    if not len(found):
        return None
    names = [str(one) for one in found.columns]
    values = found.to_dict("records")
    lines = [[str(line[name]) if name == "why" else value_text(line[name]) for name in names] for line in values]
    return Table(title="Scores on the test split", heads=names, lines=lines)


def write_story(story: Story, out: Path) -> list[Path]:
    """Write the pictures and `report.html`; each file is replaced whole.

    Args:
        story: from `story_of`.
        out: folder; made if it is not there. Other files in it stay.

    Returns:
        The paths, the page last.

    Raises:
        PlanError: a file cannot be written.
        StoreError: the folder cannot be made.
    """
    from mtgen.stores.new_folder import make_folder, save_file
    from mtgen.view.runs.page import page_of

    make_folder(out, "the folder of pictures")
    written = []
    files = {f"{one.name}.png": one.png for one in story.pictures}
    for name, content in {**files, "report.html": page_of(story).encode()}.items():
        save_file(out / name, content, "it", PlanError)
        written.append(out / name)
    return written
