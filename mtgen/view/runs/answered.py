"""Pictures of what the model answers on the valid split: confusion, permuted inputs, scores of snapshots."""

from __future__ import annotations

from typing import Any

import numpy as np

from mtgen.errors import MtgenError, PlanError
from mtgen.training.measures import answers, scores
from mtgen.training.measures.confusion import Confusion, Scatter
from mtgen.training.measures.states import MOST
from mtgen.view.figures import png_of
from mtgen.view.runs import sentences
from mtgen.view.runs.answers import draw_confusion, draw_scatter
from mtgen.view.runs.scores import draw_permuted, kind_name
from mtgen.view.runs.story import LeftOut, Picture, Table, file_name, finite
from mtgen.view.runs.tiles import draw_snapshot_scores
from mtgen.view.runs.work import Made, Work


def confusion(work: Work) -> Made:
    """What the trained model answers beside what was wanted: a figure for each target.

    Raises:
        MtgenError: the data cannot be read, or the model cannot be asked.
    """
    held = work.held()
    state = work.rebuilt.final()
    state.put()
    given = answers.answers_of(work.model, held)
    classes = work.valid.classes
    made: list[Picture] = []
    left: list[LeftOut] = []
    for name, output in given.items():
        try:
            found = answers.compared(held.batch.targets[name], output, classes.get(name, ()))
        except MtgenError as error:
            left.append(LeftOut(kind="confusion", why=f"Target {name}: {error.message}."))
            continue
        where = f"{held.said()} of the valid split"
        made.append(
            _classes_picture(work, name, state.name, found, where)
            if isinstance(found, Confusion)
            else _numbers_picture(work, name, state.name, found, where)
        )
    return made, left


def _classes_picture(work: Work, name: str, state: str, found: Confusion, where: str) -> Picture:
    totals = found.counts.sum(axis=1)
    lines = [
        [found.names[one], found.names[other], f"{count:,}", sentences.share_text(count / int(totals[one]))]
        for one, other, count in found.confused()
    ]
    heads = ["true class", "predicted class", "rows", "share of the true class"]
    worst = [Table(title="Most confused pairs", heads=heads, lines=lines)] if lines else []
    return Picture(
        kind="confusion",
        name=file_name("confusion", name, work.taken),
        title=f"True and predicted {name}",
        sentence=sentences.of_confusion(found, where),
        alt=f"A square of {len(found.names)} by {len(found.names)} cells, true classes down, predicted ones across.",
        png=png_of(draw_confusion(found, f"{name}, {state}: {where}")),
        tables=worst,
        numbers={
            "target": name,
            "accuracy": found.accuracy,
            "confused": [[found.names[one], found.names[other], count] for one, other, count in found.confused()],
        },
    )


def _numbers_picture(work: Work, name: str, state: str, found: Scatter, where: str) -> Picture:
    return Picture(
        kind="confusion",
        name=file_name("predictions", name, work.taken),
        title=f"True and predicted {name}",
        sentence=sentences.of_scatter(found, where),
        alt="Predicted numbers against true ones, with the line on which both are the same.",
        png=png_of(draw_scatter(found, f"{name}, {state}: {where}", name)),
        numbers={"target": name, "mean_absolute_error": finite(found.error), "of_the_median": finite(found.baseline)},
    )


def inputs(work: Work) -> Made:
    """Loss and metrics with inputs of other rows.

    Raises:
        MtgenError: the data cannot be read, or the model cannot be asked.
    """
    held = work.held()
    state = work.rebuilt.final()
    state.put()
    found = scores.permuted_scores(work.model, held, seed=work.wanted.seed)
    num = sum(len(kind) == 1 for kind in found.kinds)
    heads = ["inputs", *found.scores]
    lines = [
        [
            kind_name(kind, num),
            *(
                f"{found.means(name)[place]:.4g}" + (f" ± {found.spreads(name)[place]:.2g}" if place else "")
                for name in found.scores
            ),
        ]
        for place, kind in enumerate(found.kinds)
    ]
    title = f"{state.name}, {held.said()} of the valid split, {found.repeats} permutations each (seed {found.seed})"
    picture = Picture(
        kind="inputs",
        name=file_name("inputs", "", work.taken),
        title="Which inputs does the model use?",
        sentence=sentences.of_permuted(found),
        alt="Bars of loss and metrics: as is, with each input taken from other rows, and with all of them.",
        png=png_of(draw_permuted(found, title)),
        tables=[Table(title="With inputs of other rows, mean and standard deviation", heads=heads, lines=lines)],
        numbers={
            "kinds": [list(kind) for kind in found.kinds],
            "scores": {name: _plain(values) for name, values in found.scores.items()},
        },
    )
    return [picture], []


def _plain(values: np.ndarray) -> list[Any]:
    """Nested lists, with None for what JSON does not have."""
    return [_plain(one) if np.ndim(one) else float(one) if np.isfinite(one) else None for one in values]


def snapshots(work: Work) -> Made:
    """Loss and metrics of each snapshot.

    Raises:
        MtgenError: there are none, the data cannot be read, or the model cannot be asked.
    """
    if not work.rebuilt.steps:
        raise PlanError("the run has no snapshots, so there is nothing to compare; mtgen train keeps them where asked")
    held = work.held()
    states = work.rebuilt.states(MOST, work.wanted.snapshots, work.best)
    found = []
    for state in states:
        state.put()
        found.append(scores.scores_of(work.model, held))
    steps = [int(state.step or 0) for state in states]
    values = {name: np.array([one[name] for one in found]) for name in found[0]}
    where = f"{held.said()} of the valid split"
    losses = values["loss"]
    known = np.isfinite(losses)
    best = int(np.nanargmin(np.where(known, losses, np.nan))) if known.any() else None
    total = len(work.rebuilt.steps)
    some = f"{len(steps)} of {total} snapshots" if len(steps) < total else f"{total} snapshots"
    picture = Picture(
        kind="snapshots",
        name=file_name("snapshots", "", work.taken),
        title="Snapshots on the valid split",
        sentence=sentences.of_snapshots(steps, losses, where),
        alt="Lines of loss and metrics against the step of each snapshot.",
        png=png_of(draw_snapshot_scores(steps, values, f"{some}: {where}", best)),
        numbers={"steps": steps, "scores": {name: _plain(one) for name, one in values.items()}},
    )
    return [picture], []
