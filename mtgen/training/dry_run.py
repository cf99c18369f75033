"""What a configuration would train: everything is built, nothing is trained, nothing is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from mtgen.training.ablation import name_of
from mtgen.training.config.building import dataset_of, make_loader, splits_of
from mtgen.training.config.sections import Config
from mtgen.training.fitting import Training
from mtgen.training.lines import say_budget
from mtgen.training.models import callbacks_of, described_model
from mtgen.training.monitor import Monitor
from mtgen.training.preparing import training_of
from mtgen.training.record.folder import RunFolder
from mtgen.training.run import described_splits
from mtgen.training.saving import Say, check_run


def dry_run(config: Config, *, say: Say = print) -> None:
    """Build all that a training needs, and say what it would be.

    Reads the table, the stores and the first batch of the train split, and of the valid split where a rule watches it;
    writes nothing.

    Args:
        config: what would be trained.
        say: where the lines go.

    Raises:
        MtgenError: whatever training would refuse before its first step.
    """
    dataset = dataset_of(config)
    parts = splits_of(config, dataset, sealed=True)
    say(described_splits(parts))
    named = dict(zip(parts.names, parts, strict=True))
    with training_of(name_of(list(dataset.input_specs)), named, config, say, writes=False) as training:
        check_run(training.run)
        training.loaders["train"].check(training.model)
        training.loaders["train"].batch(0)  # a wrong root or column of paths is found here
        training.rules(training.x(), training.scores())
        own = callbacks_of(config)
        say(f"model: {described_model(training.model)}")
        for line in (*_steps(training), *_rules(training)):
            say(line)
        if own:
            say(f"callbacks: {', '.join(type(one).__name__ for one in own)}")
        say(_written(training))
        say_budget(training.loaders, say)
        _check_monitor(training, own)
        say("nothing was trained: this was a dry run")


def _check_monitor(training: Training, own: Sequence[Any]) -> None:
    """Evaluate the first batch of the valid split, to see whether what the rules watch will be in the logs.

    Raises:
        PlanError: it will not, as far as that is certain.
    """
    from mtgen.adapters.fit_logs import Expected, adds_logs, computes_logs

    model, config = training.model, training.config
    if not config.recipe.watches or adds_logs(own):
        return
    with make_loader(
        training.loaders["valid"].dataset, replace(config.fit, placement="stream"), shuffle=False, report=None
    ) as loader:
        names = model.evaluate(loader.keras(model, steps_per_epoch=1), verbose=0, return_dict=True)
    trains, validates = (computes_logs(model, validation=validation) for validation in (False, True))
    monitor = Monitor(training.monitor)
    # Names of validation are what this evaluation told, also by a model's own steps; those of training are the same
    # only where both steps are Keras's.
    expected = Expected(training=trains and (validates or monitor.of_validation), validation=True)
    monitor.check_names(names, expected)


def _steps(training: Training) -> list[str]:
    fit, loader = training.config.fit, training.loaders["train"]
    rate = (
        "the optimizer that the model came with"
        if training.came_compiled
        else (f"{fit.optimizer}, learning rate {fit.learning_rate:g}, {training.config.schedule}")
    )
    return [
        f"order: {loader.sampler}",
        f"steps: {loader.steps_per_epoch} of {fit.batch_size} rows per epoch, {training.plan.end}; "
        f"a validation every {training.plan.steps_between} steps",
        f"optimizer: {rate}; seed {fit.seed}",
        f"losses: {', '.join(f'{head.target} {head.loss}' for head in training.heads) or 'those of the model'}",
    ]


def _rules(training: Training) -> list[str]:
    recipe = training.config.recipe
    found = [repr(rule) for rule in (training.patience, training.halving) if rule is not None]
    found += [] if recipe.decay is None else [f"InverseEpochDecay({recipe.decay:g})"]
    lines = [f"rules: {', '.join(found) or 'none'}"]
    if recipe.watches:
        back = "the best parameters come back in the end" if recipe.puts_best_back else "the last parameters stay"
        lines.append(f"watched: {training.monitor}; {back}")
    when = {"end": "once in the end", "best": "at each new best and in the end", "never": "never"}
    lines.append(f"test split: scored {when[recipe.score_test]}")
    return lines


def _written(training: Training) -> str:
    run = training.run
    if run.run is None:
        return "files: none, because no folder is named (--run, or folder in [run])"
    folder = RunFolder(run.run)
    wanted = [folder.config, folder.record, folder.splits, folder.history, folder.waits, folder.architecture]
    wanted += [folder.decisions] if training.config.recipe.any else []
    wanted += [folder.test_scores] if training.config.recipe.score_test != "never" else []
    wanted += [folder.snapshots, folder.checkpoints, folder.model]
    wanted += [folder.tensorboard] if run.tensorboard else []
    return f"files: in {run.run}: {', '.join(one.name for one in wanted)}, and the order log"
