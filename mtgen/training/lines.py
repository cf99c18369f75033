"""What a training says as it goes on, without a progress bar; and how many rows it trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mtgen.loader import Loader
from mtgen.training.fit_plan import FitPlan
from mtgen.training.heads import Head
from mtgen.training.saving import Say

LINES = 10
"""Lines of progress that a run says, about."""


def progress_lines(heads: Sequence[Head], plan: FitPlan, say: Say) -> Any:
    """A callback that says about ten lines per run; with patience it stands after the rules.

    Args:
        heads: what is told of the valid split; where a model has other metrics, its loss.
        plan: how long the training is.
        say: where the lines go.
    """
    import keras

    every = max(1, plan.num_epochs // LINES)

    def told(epoch: int, logs: Mapping[str, float]) -> None:
        if (epoch + 1) % every and epoch + 1 != plan.num_epochs:
            return
        if plan.has_whole_epochs:
            where = f"epoch {epoch + 1:{len(str(plan.num_epochs))}d} of {plan.num_epochs}"
        else:
            where = f"epoch {logs['data_epoch']:.1f} of {plan.most_epochs:.1f}"
        known = [head for head in heads if f"val_{head.log}" in logs]
        several = len(known) > 1
        values = [
            f"valid {f'{head.target} ' if several else ''}{head.word} {logs[f'val_{head.log}']:.4g}" for head in known
        ]
        values = values or [f"valid loss {logs['val_loss']:.4g}"]
        say(f"  {where}: loss {logs['loss']:.4f}, {', '.join(values)}")

    return keras.callbacks.LambdaCallback(on_epoch_end=told)


def num_rows(loader: Loader, start: int, stop: int) -> int:
    """Rows of the steps from `start` to before `stop`."""

    def before(step: int) -> int:
        epoch, step_in_epoch = divmod(step, loader.steps_per_epoch)
        return epoch * loader.batching.size + step_in_epoch * loader.batch_size

    return max(0, before(stop) - before(start))


def say_budget(loaders: Mapping[str, Loader], say: Say) -> None:
    """Say where the values of each split are and what they take; nothing where all are streamed.

    Args:
        loaders: name of a split -> its loader.
        say: where the lines go.

    Raises:
        PlanError: more than the device has room for, or a backend that holds nothing there.
    """
    for part, loader in loaders.items():
        plan = loader.placement_plan
        if plan.ram_bytes or plan.device_bytes:
            plan.check()
            for line in str(plan).splitlines():
                say(f"{part} split, {line}")


def say_bad_rows(counts: Mapping[str, int], on_error: str, report: Path | None, say: Say) -> None:
    """Say what was refilled or masked; nothing where nothing was.

    Args:
        counts: name of a split -> its rows that could not be read.
        on_error: what was done about them, `refill` or `mask`.
        report: the file that lists them; None for none.
        say: where the line goes.
    """
    if any(counts.values()):
        what = "another row in their place" if on_error == "refill" else "no weight"
        where = "" if report is None else f"; {report} lists them"
        said = ", ".join(f"{number} of {part}" for part, number in counts.items() if number)
        say(f"rows that could not be read: {said}; they got {what}{where}")
