"""A training run: fit on the train split, watch the valid split, score the test split in the end; and ablations."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace

from mtgen.dataset import Dataset
from mtgen.sealed import Sealed
from mtgen.splits import Splits
from mtgen.training.ablation import name_of, part_with_inputs, runs_of
from mtgen.training.config.building import dataset_of, make_loader, splits_of
from mtgen.training.config.sections import Config
from mtgen.training.heads import output_for
from mtgen.training.preparing import training_of
from mtgen.training.result import Result, conclusion, waiting
from mtgen.training.samples import config_for
from mtgen.training.saving import Say, check_run, part_of, run_of
from mtgen.training.settings import Fit, Rules, Run, Samples

__all__ = [
    "Result",
    "ablate",
    "ablate_config",
    "conclusion",
    "make_loader",
    "train",
    "train_config",
    "train_model",
    "waiting",
]


def train(
    samples: Samples | None = None,
    fit: Fit | None = None,
    run: Run | None = None,
    *,
    rules: Rules | None = None,
    say: Say = print,
    bar: bool | None = None,
) -> Result:
    """Train the merged model on the samples and score it on the test split: `train_config` of options.

    Args:
        samples: what to train on; None takes the digits.
        fit: how.
        run: where checkpoints and the model go; None for nowhere.
        rules: the training recipe; None for none.
        say: where lines of progress go.
        bar: see `train_config`.

    Raises:
        MtgenError: see `train_config`.
    """
    return train_config(config_for(samples, fit, rules, run), say=say, bar=bar)


def train_config(config: Config, *, say: Say = print, bar: bool | None = None) -> Result:
    """Train as a configuration says.

    Call it from the main thread. It sets no global seed: weights, order and split follow `fit.seed`. It writes files
    only where `[run]` names a folder; while it fits then, SIGTERM saves a checkpoint and ends the process.

    Args:
        config: see `mtgen.training.config.read_config`.
        say: where lines of progress go.
        bar: True for Keras's own progress bar, False for plain lines, None for a bar in a terminal.

    Raises:
        MtgenError: see `dataset_of`, `splits_of`, `Loader` and `model_of`.
    """
    check_run(run_of(config))
    dataset = dataset_of(config)
    parts = splits_of(config, dataset, sealed=True)
    say(described_splits(parts))
    return train_model(name_of(list(dataset.input_specs)), _named(parts), config, say=say, bar=bar)


def ablate(
    samples: Samples | None = None,
    fit: Fit | None = None,
    run: Run | None = None,
    *,
    rules: Rules | None = None,
    say: Say = print,
    bar: bool | None = None,
) -> list[Result]:
    """Train four times on the same split with the same seed: `ablate_config` of options.

    Args:
        samples: what to train on, with pictures and features; None takes the digits.
        fit: how.
        run: where checkpoints and models go, each training in a folder of its own under it; None for nowhere.
        rules: the training recipe; None for none.
        say: where lines of progress go.
        bar: see `train_config`.

    Returns:
        Results of picture alone, features alone, merged, and merged with every row given the next row's features.
    """
    return ablate_config(config_for(samples, fit, rules, run), say=say, bar=bar)


def ablate_config(config: Config, *, say: Say = print, bar: bool | None = None) -> list[Result]:
    """Train each input alone, all together, and all with features shifted: on the same split, with the same seed.

    Args:
        config: with two inputs or more.
        say: where lines of progress go.
        bar: see `train_config`.

    Returns:
        Results in that order.

    Raises:
        PlanError: one input only, or no features among them.
    """
    dataset = dataset_of(config)
    trainings = runs_of(dataset)
    parts = splits_of(config, dataset, sealed=True)
    say(described_splits(parts))
    configs = []
    for name, names, shifted in trainings:
        run = part_of(config.run, name)
        check_run(run_of(replace(config, run=run)))
        inputs, placement = {one: config.inputs[one] for one in names}, config.fit.placement
        if not isinstance(placement, str):
            placement = {one: where for one, where in placement.items() if one in names}
        fit = replace(config.fit, placement=placement or "stream")
        configs.append(replace(config, inputs=inputs, fit=fit, run=run, shifted=shifted))
    results = []
    for (name, names, shifted), one in zip(trainings, configs, strict=True):
        say(f"{name}:")
        other = {part: part_with_inputs(data, names, shifted=shifted) for part, data in _named(parts).items()}
        results.append(train_model(name, other, one, say=say, bar=bar))
    return results


def train_model(
    name: str, parts: Mapping[str, Dataset | Sealed], config: Config, *, say: Say = print, bar: bool | None = None
) -> Result:
    """Build the model for the datasets `train`, `valid` and `test`, fit it and evaluate it.

    Call it from the main thread.

    Args:
        name: of the result.
        parts: the three datasets.
        config: how to train.
        say: where lines of progress go.
        bar: True for Keras's own progress bar, False for plain lines, None for a bar in a terminal.

    Raises:
        ModelError: the loss is no number after training.
    """
    with training_of(name, parts, config, say) as training:
        if training.came_compiled:
            say("the model came compiled: its own optimizer and loss are used, and those of [fit] are not")
        return training.fit(sys.stdout.isatty() if bar is None else bar)


def _named(parts: Splits) -> dict[str, Dataset | Sealed]:
    return dict(zip(parts.names, parts, strict=True))


def described_splits(parts: Splits) -> str:
    """The splits in one line: rows, inputs and targets."""
    train = parts["train"]
    counts = ", ".join(f"{len(part)} {name}" for name, part in _named(parts).items())
    inputs = ", ".join(f"{name} {spec}" for name, spec in train.input_specs.items())
    targets = []
    for one in train.fields:
        if one.role == "target":
            output = output_for(one)
            several = (
                f"any of {output.num_classes} classes" if output.several else f"one of {output.num_classes} classes"
            )
            numbers = "a number" if output.size == 1 else f"{output.size} numbers"
            kind = several if output.num_classes else f"{numbers} (regression: mean absolute error is shown)"
            targets.append(f"Target {one.name!r}: {kind}.")
    return f"{len(train.table)} rows: {counts}. Inputs: {inputs}. {' '.join(targets)}"
