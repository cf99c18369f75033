"""Pictures that need the model of a run, and the data it was validated on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from mtgen.errors import MtgenError, PlanError
from mtgen.inputs.columns import BoundColumns
from mtgen.settings import short
from mtgen.training.measures import answers, graph, kernels, maps, scores
from mtgen.training.measures.confusion import Confusion, Scatter
from mtgen.training.measures.held import Held, hold, joined, like
from mtgen.training.measures.states import Rebuilt, State, rebuilt
from mtgen.training.record.folder import RunFolder
from mtgen.view import captions, pixels
from mtgen.view.figures import png_of
from mtgen.view.runs import sentences
from mtgen.view.runs.answers import draw_confusion, draw_scatter
from mtgen.view.runs.maps import MOST_LINES, MOST_MAPS, Sample, as_lines, draw_maps
from mtgen.view.runs.scores import draw_permuted, kind_name
from mtgen.view.runs.story import LeftOut, Opened, Opener, Picture, Table, file_name
from mtgen.view.runs.tiles import MOST_STATES, draw_feature_weights, draw_filters, draw_snapshot_scores

if TYPE_CHECKING:
    from mtgen.dataset import Dataset
    from mtgen.view.runs.plots import Wanted

NO_DATA = "the data of the run cannot be opened: run.toml is not there, and nothing else says where the data is"


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
    kinds = [kind for kind in wanted.kinds if kind in _MAKERS]
    try:
        model = rebuilt(folder)
    except MtgenError as error:
        made.left_out.extend(LeftOut(kind=kind, why=_sentence(error)) for kind in kinds)
        return made
    made.notes.extend(model.notes)
    if wanted.snapshots:
        model.states(MOST_STATES, wanted.snapshots)  # a wrong step ends the command, it is no picture to be left out
    work = _Work(rebuilt=model, wanted=wanted, best=best, opener=data)
    try:
        for kind in kinds:
            try:
                found, missing = _MAKERS[kind](work)
                made.pictures.extend(found)
                made.left_out.extend(missing)
            except MtgenError as error:
                made.left_out.append(LeftOut(kind=kind, why=_sentence(error)))
    finally:
        work.close()
    return made


def _sentence(error: MtgenError) -> str:
    from mtgen.view.runs.plots import sentence_of

    return sentence_of(error)


Made = tuple[list[Picture], list[LeftOut]]


@dataclass(kw_only=True, eq=False)
class _Work:
    """What the pictures of one run share: the model, and the samples, read once."""

    rebuilt: Rebuilt
    wanted: Wanted
    best: int | None
    opener: Opener | None
    taken: set[str] = field(default_factory=set)
    _opened: Opened | None = None
    _held: Held | None = None
    _why: MtgenError | None = None

    @property
    def model(self) -> Any:
        return self.rebuilt.model

    def states(self, most: int) -> list[State]:
        return self.rebuilt.states(most, self.wanted.snapshots, self.best)

    def data(self) -> Opened:
        """The data, opened once.

        Raises:
            MtgenError: it cannot be opened.
        """
        if self._why is not None:
            raise self._why
        if self._opened is None:
            try:
                if self.opener is None:
                    raise PlanError(NO_DATA)
                self._opened = self.opener()
            except MtgenError as error:
                self._why = error
                raise
        return self._opened

    @property
    def valid(self) -> Dataset:
        return self.data().valid.dataset

    def held(self) -> Held:
        if self._held is None:
            self._held = hold(self.data().valid, self.model)
        return self._held

    def feature_names(self, name: str) -> Sequence[str]:
        """Names of the features of an input, where the data can be opened and says them."""
        try:
            fields = self.valid.fields
        except MtgenError:
            return ()
        bound = next((one.bound for one in fields if one.role == "input" and one.name == name), None)
        return tuple(map(str, bound.settings()["columns"])) if isinstance(bound, BoundColumns) else ()

    def close(self) -> None:
        if self._opened is not None:
            self._opened.valid.close()


# --- weights ----------------------------------------------------------------------------------------------------------


def _filters(work: _Work) -> Made:
    states = work.states(MOST_STATES if work.wanted.snapshots else 3)
    made: list[Picture] = []
    left: list[LeftOut] = []
    layers = graph.first_layers(work.model)
    found: dict[str, dict[str, np.ndarray]] = {name: {} for name, one in layers.items() if one is not None}
    for state in states:
        state.put()
        for name, layer in layers.items():
            if layer is not None:
                found[name][state.name] = layer.kernel()
    for name, layer in layers.items():
        if layer is None:
            left.append(LeftOut(kind="filters", why=f"Behind the input {name} is no layer with a kernel."))
        elif layer.is_convolution:
            depthwise = hasattr(layer.layer, "depthwise_kernel")
            tiles = {one: kernels.tiles_of(values, depthwise=depthwise) for one, values in found[name].items()}
            made.append(_filters_picture(work, name, layer.name, tiles))
        elif layer.is_dense:
            pictures = {one: kernels.picture_tiles(values, layer.shape) for one, values in found[name].items()}
            if all(one is not None for one in pictures.values()):
                made.append(_filters_picture(work, name, layer.name, pictures))  # type: ignore[arg-type]
            else:
                made.append(_weights_picture(work, name, layer.name, found[name]))
        else:
            shape = next(iter(found[name].values())).shape
            why = f"The first layer behind the input {name} is {layer.name} with a kernel of shape {shape}, no matrix."
            left.append(LeftOut(kind="filters", why=why))
    return made, left


def _filters_picture(work: _Work, name: str, layer: str, tiles: dict[str, kernels.Tiles]) -> Picture:
    names, values = list(tiles), list(tiles.values())
    return Picture(
        kind="filters",
        name=file_name("filters", name, work.taken),
        title=f"First filters of {name}",
        sentence=sentences.of_filters(names, values, layer),
        alt=f"Small tiles, one for each filter of {layer}, in {len(names)} states: {', '.join(names)}.",
        png=png_of(draw_filters(tiles, f"filters of {layer}, the first behind {name}")),
        numbers={"input": name, "layer": layer, "filters": len(values[-1].values), "states": names},
    )


def _weights_picture(work: _Work, name: str, layer: str, found: dict[str, np.ndarray]) -> Picture:
    names = work.feature_names(name)
    last = list(found.values())[-1]
    norms = kernels.feature_norms(last)
    return Picture(
        kind="filters",
        name=file_name("weights", name, work.taken),
        title=f"First weights of {name}",
        sentence=sentences.of_weights(last, names, layer),
        alt="Bars for the features with the largest weights, and beside each its weights to all units as colours.",
        png=png_of(draw_feature_weights(found, names, f"weights of {layer}, the first behind {name}")),
        numbers={"input": name, "layer": layer, "norms": [float(one) for one in norms], "states": list(found)},
    )


# --- feature maps -----------------------------------------------------------------------------------------------------


def _maps(work: _Work) -> Made:
    model, data = work.model, work.data()
    if work.wanted.layer is not None:
        layers = [maps.layer_named(model, work.wanted.layer)]
    else:
        found = [maps.first_convolution(model, name) for name in graph.inputs_of(model)]
        layers = list({id(one): one for one in found if one is not None}.values())
    if not layers:
        raise PlanError("the model has no convolution behind an input, so there are no feature maps; --layer names another")
    dataset = data.rows
    with like(data.valid, dataset.take(_rows(work, dataset))) as own:
        batch = joined([*own.epoch(0)])
    arranged = dict(zip(work.held().structure.inputs, graph.inputs_of(model), strict=True))
    inputs = {tensor: batch.inputs[name] for name, tensor in arranged.items()}
    states = work.states(MOST_LINES)
    made: list[Picture] = []
    left: list[LeftOut] = []
    for layer in layers:
        try:
            made.append(_maps_picture(work, layer, states, dataset, batch, inputs))
        except MtgenError as error:
            left.append(LeftOut(kind="maps", why=_sentence(error)))
    return made, left


def _rows(work: _Work, dataset: Dataset) -> list[int]:
    rows = list(work.wanted.rows)
    if not rows:
        return answers.spread_rows(work.valid)
    known = {*np.asarray(dataset.rows).tolist()}
    wrong = [row for row in rows if row not in known]
    if wrong:
        raise PlanError(
            f"--rows names {short(wrong)}: not among the {len(known):,} rows that may be looked at, of "
            f"{len(dataset.table):,} in the table; those of a test split stay sealed"
        )
    return list(dict.fromkeys(rows))


def _maps_picture(
    work: _Work, layer: Any, states: Sequence[State], dataset: Dataset, batch: Any, inputs: dict[str, np.ndarray]
) -> Picture:
    ask = maps.asker(work.model, layer)
    given = []
    for state in states:
        state.put()
        given.append(ask(inputs))
    channels = maps.chosen_channels(given[-1], MOST_MAPS)
    shown = [as_lines(one, channels) for one in given]
    tensors = maps.behind(work.model, layer)
    fields = {one.name: one for one in dataset.fields if one.role == "input"}
    names = [name for name, tensor in zip(work.held().structure.inputs, inputs, strict=True) if tensor in tensors]
    picture = next((fields[name] for name in names if pixels.is_picture(fields[name].bound, fields[name].spec)), None)
    samples = []
    for slot, row in enumerate(batch.rows.tolist()):
        texts = captions.target_texts(dataset, batch, slot)
        bytes_ = None if picture is None else pixels.as_bytes(batch.inputs[picture.name][slot], picture.bound)[0][..., :3]
        lines = np.stack([one[slot] for one, _ in shown])
        samples.append(Sample(name=", ".join([f"row {row}", *texts[:1]]), picture=bytes_, lines=lines))
    sentence = sentences.of_maps(given[-1], layer.name, len(channels) if given[-1].ndim > 2 else given[-1].shape[-1])
    how = shown[-1][1]
    return Picture(
        kind="maps",
        name=file_name("maps", str(layer.name), work.taken),
        title=f"What {layer.name} makes of {len(samples)} samples",
        sentence=sentence + (f" Drawn is {how}." if how else ""),
        alt=f"For each of {len(samples)} samples its picture and a line of maps for each of {len(states)} states.",
        png=png_of(draw_maps(samples, [one.name for one in states], f"feature maps of {layer.name}", how)),
        numbers={
            "layer": str(layer.name),
            "rows": batch.rows.tolist(),
            "states": [one.name for one in states],
            "maps": channels.tolist(),
        },
    )


# --- answers ----------------------------------------------------------------------------------------------------------


def _confusion(work: _Work) -> Made:
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


def _classes_picture(work: _Work, name: str, state: str, found: Confusion, where: str) -> Picture:
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


def _numbers_picture(work: _Work, name: str, state: str, found: Scatter, where: str) -> Picture:
    from mtgen.view.runs.plots import finite

    return Picture(
        kind="confusion",
        name=file_name("predictions", name, work.taken),
        title=f"True and predicted {name}",
        sentence=sentences.of_scatter(found, where),
        alt="Predicted numbers against true ones, with the line on which both are the same.",
        png=png_of(draw_scatter(found, f"{name}, {state}: {where}", name)),
        numbers={"target": name, "mean_absolute_error": finite(found.error), "of_the_median": finite(found.baseline)},
    )


def _inputs(work: _Work) -> Made:
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


def _snapshots(work: _Work) -> Made:
    if not work.rebuilt.steps:
        raise PlanError("the run has no snapshots, so there is nothing to compare; mtgen train keeps them where asked")
    held = work.held()
    states = work.rebuilt.states(20, work.wanted.snapshots, work.best)
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


_MAKERS: dict[str, Callable[[_Work], Made]] = {
    "filters": _filters,
    "maps": _maps,
    "confusion": _confusion,
    "inputs": _inputs,
    "snapshots": _snapshots,
}
