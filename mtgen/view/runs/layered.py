"""Pictures of what layers learned: first filters and weights, and feature maps of chosen samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mtgen.batch import Batch
from mtgen.dataset import Dataset
from mtgen.errors import MtgenError, PlanError
from mtgen.settings import short
from mtgen.training.measures import answers, graph, kernels, maps
from mtgen.training.measures.held_samples import joined, like
from mtgen.training.measures.states import State
from mtgen.view import captions, pixels
from mtgen.view.figures import png_of
from mtgen.view.runs import sentences
from mtgen.view.runs.maps import MOST_LINES, MOST_MAPS, Sample, as_lines, draw_maps
from mtgen.view.runs.story import LeftOut, Picture, file_name, sentence_of
from mtgen.view.runs.tiles import MOST_STATES, draw_feature_weights, draw_filters
from mtgen.view.runs.work import Made, Work


def filters(work: Work) -> Made:
    """The first weights behind each input: tiles of a picture's, bars and colours of features.

    Raises:
        MtgenError: a model whose layers nobody can see, or a snapshot that cannot be read.
    """
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


def _filters_picture(work: Work, name: str, layer: str, tiles: dict[str, kernels.Tiles]) -> Picture:
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


def _weights_picture(work: Work, name: str, layer: str, found: dict[str, np.ndarray]) -> Picture:
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


def feature_maps(work: Work) -> Made:
    """What layers make of chosen samples, in each snapshot.

    Raises:
        MtgenError: no such layer or row, or what cannot be read.
    """
    model, data = work.model, work.data()
    if work.wanted.layer is not None:
        layers = [maps.layer_named(model, work.wanted.layer)]
    else:
        found = [maps.first_convolution(model, name) for name in graph.inputs_of(model)]
        layers = list({id(one): one for one in found if one is not None}.values())
    if not layers:
        raise PlanError(
            "the model has no convolution behind an input, so there are no feature maps; --layer names another"
        )
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
            left.append(LeftOut(kind="maps", why=sentence_of(error)))
    return made, left


def _rows(work: Work, dataset: Dataset) -> list[int]:
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
    work: Work, layer: Any, states: Sequence[State], dataset: Dataset, batch: Batch, inputs: dict[str, np.ndarray]
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
        bytes_ = (
            None if picture is None else pixels.as_bytes(batch.inputs[picture.name][slot], picture.bound)[0][..., :3]
        )
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
