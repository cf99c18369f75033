"""Everything that a training needs, built and checked; nothing is trained yet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from mtgen.dataset import Dataset
from mtgen.loader import Loader
from mtgen.sealed import Sealed, check_opened
from mtgen.training.config.building import make_loader, sampler_of
from mtgen.training.config.sections import Config
from mtgen.training.fit_plan import FitPlan
from mtgen.training.fitting import Training
from mtgen.training.models import model_of
from mtgen.training.saving import Say, bad_rows_report, run_of


def training_of(
    name: str, parts: Mapping[str, Dataset | Sealed], config: Config, say: Say, *, writes: bool = True
) -> Training:
    """Everything that a training needs, built and checked.

    Args:
        name: of the result.
        parts: the datasets `train`, `valid` and, but where it is never scored, `test`.
        config: how to train; what its table, inputs and targets say is not looked at.
        say: where lines of progress go.
        writes: whether the run's folder may be made.

    Raises:
        PlanError, ModelError: settings that do not fit together, see `Loader` and `model_of`.
    """
    train, valid = (_opened(parts[part]) for part in ("train", "valid"))
    report = bad_rows_report(run_of(config)) if writes else None
    law = sampler_of(config, train)
    loaders: dict[str, Loader] = {}
    try:
        loaders["train"] = make_loader(train, config.fit, shuffle=True, report=report, law=law)
        loaders["valid"] = make_loader(valid, config.fit, shuffle=False, report=report)
        plan = FitPlan(recipe=config.recipe, epochs=config.fit.epochs, steps_per_epoch=loaders["train"].steps_per_epoch)
        model, came_compiled = model_of(config, train, plan.num_steps)
    except BaseException:
        for loader in loaders.values():
            loader.close()
        raise
    return Training(
        name=name,
        config=config,
        plan=plan,
        loaders=loaders,
        test=parts.get("test"),
        report=report,
        model=model,
        came_compiled=came_compiled,
        say=say,
    )


def _opened(part: Dataset | Sealed) -> Dataset:
    check_opened(part)
    return cast("Dataset", part)
