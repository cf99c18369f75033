"""Pictures that need the model of a run: which of them can be made, and why the others cannot."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from mtgen.errors import MtgenError
from mtgen.training.measures.states import rebuilt
from mtgen.training.record.folder import RunFolder
from mtgen.view.runs import answered, layered
from mtgen.view.runs.story import LeftOut, Opener, Picture, Wanted, sentence_of
from mtgen.view.runs.tiles import MOST_STATES
from mtgen.view.runs.work import Made, Work

MAKERS: dict[str, Callable[[Work], Made]] = {
    "filters": layered.filters,
    "maps": layered.feature_maps,
    "confusion": answered.confusion,
    "inputs": answered.inputs,
    "snapshots": answered.snapshots,
}
"""What makes the pictures of a kind."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Modelled:
    """What came of it; see `Story`."""

    pictures: list[Picture] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def model_pictures(folder: RunFolder, wanted: Wanted, data: Opener | None, best: int | None) -> Modelled:
    """Make the pictures of `wanted` that need the model; see `mtgen.view.runs.plots.story_of`.

    Args:
        folder: of the run.
        wanted: which.
        data: opens the data.
        best: step of the best validation.

    Raises:
        StateError: `wanted` names a snapshot that is not there.
    """
    made = Modelled()
    kinds = [kind for kind in wanted.kinds if kind in MAKERS]
    try:
        model = rebuilt(folder)
    except MtgenError as error:
        made.left_out.extend(LeftOut(kind=kind, why=sentence_of(error)) for kind in kinds)
        return made
    made.notes.extend(model.notes)
    if wanted.snapshots:
        model.states(MOST_STATES, wanted.snapshots)  # a wrong step ends the command, it is no picture to be left out
    work = Work(rebuilt=model, wanted=wanted, best=best, opener=data)
    try:
        for kind in kinds:
            try:
                found, missing = MAKERS[kind](work)
                made.pictures.extend(found)
                made.left_out.extend(missing)
            except MtgenError as error:
                made.left_out.append(LeftOut(kind=kind, why=sentence_of(error)))
    finally:
        work.close()
    return made
