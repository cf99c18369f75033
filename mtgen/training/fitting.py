"""One training: a model, its loaders and callbacks, `fit`, and what comes out of it."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mtgen.dataset import Dataset
from mtgen.errors import ModelError, StateError
from mtgen.loader import Loader
from mtgen.training.config.building import make_loader, sampler_of
from mtgen.training.config.paths import absolute
from mtgen.training.config.sections import Config
from mtgen.training.heads import Head, heads_of
from mtgen.training.models import callbacks_of, model_of, with_state
from mtgen.training.result import Result, Score
from mtgen.training.rules import HalvingRule, InverseEpochDecay, PatienceRule
from mtgen.training.saving import (
    Say,
    bad_rows_report,
    checkpoint_callback,
    saved_on_sigterm,
    save_model,
    writes_config,
)
from mtgen.training.settings import Run

if TYPE_CHECKING:
    import keras

LINES = 10
"""Lines of progress that a run says, about."""


def run_of(config: Config) -> Run:
    """Where the run is kept, as it can be opened."""
    folder = config.run.run
    return config.run if folder is None else replace(config.run, run=Path(absolute(folder, config.folder)))


@dataclass(kw_only=True, eq=False)
class Training:
    """A training that can begin: everything is built, nothing is trained or written.

    One thread, the main one. Close it; it is a context manager.

    Args:
        name: of the result.
        config: what to train.
        loaders: by split.
        model: compiled.
        came_compiled: the model is the user's, with an optimizer of its own.
        say: where lines of progress go.
    """

    name: str
    config: Config
    loaders: Mapping[str, Loader]
    model: keras.Model
    came_compiled: bool
    say: Say

    def __enter__(self) -> Training:
        return self

    def __exit__(self, *error: object) -> None:
        for loader in self.loaders.values():
            loader.close()

    # --- what follows from the settings -------------------------------------------------------------------------------

    @property
    def steps_per_epoch(self) -> int:
        """Steps of an epoch of the loader."""
        return self.loaders["train"].steps_per_epoch

    @cached_property
    def run(self) -> Run:
        """Where the run is kept."""
        return run_of(self.config)

    @cached_property
    def patience(self) -> PatienceRule | None:
        """The rule that says when to validate and to stop."""
        recipe = self.config.recipe
        if recipe.patience is None:
            return None
        return PatienceRule(
            patience=recipe.patience,
            patience_increase=recipe.patience_increase,
            improvement_threshold=recipe.improvement_threshold,
            batches_per_epoch=self.steps_per_epoch,
        )

    @cached_property
    def halving(self) -> HalvingRule | None:
        """The rule that divides the learning rate."""
        recipe = self.config.recipe
        if recipe.halve_after is None:
            return None
        return HalvingRule(recipe.halve_after, recipe.halving_factor, recipe.halving_floor)

    @property
    def steps_between(self) -> int:
        """Steps from one validation to the next: an epoch of Keras."""
        return self.steps_per_epoch if self.patience is None else self.patience.validation_frequency

    @property
    def num_epochs(self) -> int:
        """Epochs of Keras at most, that is validations."""
        epochs = self.config.fit.epochs
        return epochs if self.patience is None else self.patience.num_validations(epochs)

    @property
    def num_steps(self) -> int:
        """Steps at most."""
        return self.steps_between * self.num_epochs

    @cached_property
    def heads(self) -> list[Head]:
        """What each target is scored by; empty for a model that came compiled otherwise."""
        try:
            found = heads_of(self.model, self.loaders["train"].dataset)
        except ModelError:
            if not self.came_compiled:
                raise
            return []
        return found

    @property
    def monitor(self) -> str:
        """What the rules watch."""
        if self.config.recipe.monitor is not None:
            return self.config.recipe.monitor
        if len(self.heads) == 1 and not self.heads[0].shrinks and not self.came_compiled:
            return f"1 - val_{self.heads[0].log}"
        return "val_loss"

    def rules(self, x: Any) -> Any:
        """The callback that follows the rules; None without any."""
        recipe = self.config.recipe
        if not recipe.any:
            return None
        from mtgen.training.rule_callback import RuleCallback

        return RuleCallback(
            x,
            patience=self.patience,
            halving=self.halving,
            decay=None if recipe.decay is None else InverseEpochDecay(recipe.decay),
            monitor=self.monitor,
            restore_best=recipe.puts_best_back,
            say=lambda line: self.say(f"  {line}"),
        )

    # --- training -----------------------------------------------------------------------------------------------------

    def fit(self, bar: bool) -> Result:
        """Train, save the model, and score it.

        Args:
            bar: Keras's own progress bar instead of lines.

        Raises:
            ModelError: the loss is no number after training.
        """
        x = self.loaders["train"].keras(
            self.model, steps_per_epoch=None if self.patience is None else self.steps_between
        )
        rules, own = self.rules(x), callbacks_of(self.config)
        also = [*([] if rules is None else [rules]), *with_state(own)]
        checkpoint = checkpoint_callback(self.run, self.loaders["train"], x, self.say, also)
        callbacks = [checkpoint, writes_config(self.config, self.run)] if checkpoint is not None else []
        callbacks += [] if rules is None else [rules]
        callbacks += [self.loaders["train"].order_log(x, self.run.run)] if checkpoint is not None else []
        callbacks += own
        if not bar:
            callbacks.append(self._lines())
        began = time.perf_counter()
        try:
            with saved_on_sigterm(checkpoint):
                history = self.model.fit(
                    x,
                    epochs=self.num_epochs,
                    validation_data=self.loaders["valid"].keras(self.model),
                    verbose="auto" if bar else 0,
                    shuffle=False,
                    callbacks=callbacks,
                ).history
        except StateError as error:
            if "decay_steps" not in error.message:
                raise
            # The learning rate falls to 0 with the last epoch, so more epochs are another run.
            raise StateError(
                f"{error.message}. The learning rate of mtgen train falls over all epochs: give the --epochs, "
                "--batch-size and --learning-rate that the run began with, or --schedule constant from the beginning",
                path=error.path,
            ) from error
        seconds = time.perf_counter() - began
        counts = rules if rules is not None else checkpoint
        num_steps = len(history.get("loss", ())) * self.steps_between if counts is None else counts.step
        return self._result(
            history,
            seconds,
            start=0 if checkpoint is None else checkpoint.start_step,
            stop=num_steps,
            best_is_back=rules is not None and self.config.recipe.puts_best_back and self._has_best(),
        )

    def _has_best(self) -> bool:
        return any(rule is not None and math.isfinite(rule.best) for rule in (self.patience, self.halving))

    def _result(
        self, history: Mapping[str, list[float]], seconds: float, *, start: int, stop: int, best_is_back: bool
    ) -> Result:
        if not math.isfinite(history["loss"][-1]) and not best_is_back:
            raise ModelError(
                f"the loss became {history['loss'][-1]} while training {self.name!r}: look for missing or huge values "
                "in the inputs, or lower --learning-rate"
            )
        path = save_model(self.run, self.model)
        if path is not None:
            self.say(f"the model is in {path}")
        valid = (
            self._evaluated("valid")
            if best_is_back
            else {name.removeprefix("val_"): values[-1] for name, values in history.items() if name.startswith("val_")}
        )
        test = None if self.config.recipe.score_test == "never" else self._evaluated("test")
        self._say_bad_rows()
        scores = self._scores(valid, test)
        return Result(
            name=self.name,
            metric=scores[0].metric,
            test=scores[0].test,
            valid=scores[0].valid,
            num_rows=num_rows(self.loaders["train"], start, stop),
            num_test_rows=len(self.loaders["valid" if test is None else "test"].dataset),
            seconds=seconds,
            stats=self.loaders["train"].stats(),
            history=history,
            model=self.model,
            more=tuple(scores) if len(scores) > 1 else (),
            num_steps=stop,
        )

    def _evaluated(self, part: str) -> dict[str, float]:
        found: dict[str, float] = self.model.evaluate(
            self.loaders[part].keras(self.model), verbose=0, return_dict=True
        )
        return found

    def _scores(self, valid: Mapping[str, float], test: Mapping[str, float] | None) -> list[Score]:
        """By target; of a model that came compiled by whatever it measures, in the order of the logs."""
        if self.heads and all(head.log in valid for head in self.heads):
            named = [(head.target, head.word, head.log) for head in self.heads]
        else:
            named = [("", name.replace("_", " "), name) for name in sorted(valid, key=lambda name: name == "loss")][:1]
        return [
            Score(
                target=target,
                metric=word,
                test=None if test is None else float(test[log]),
                valid=float(valid[log]),
            )
            for target, word, log in named
        ]

    # --- lines --------------------------------------------------------------------------------------------------------

    def _lines(self) -> Any:
        """A callback that says about ten lines per run."""
        import keras

        num_epochs, between, per_epoch = self.num_epochs, self.steps_between, self.steps_per_epoch
        every = max(1, num_epochs // LINES)

        def told(epoch: int, logs: Mapping[str, float]) -> None:
            if (epoch + 1) % every and epoch + 1 != num_epochs:
                return
            if between == per_epoch:
                where = f"epoch {epoch + 1:{len(str(num_epochs))}d} of {num_epochs}"
            else:
                where = f"epoch {(epoch + 1) * between / per_epoch:.1f} of {self.config.fit.epochs}"
            known = [f"valid {head.word} {logs[f'val_{head.log}']:.4g}" for head in self._told(logs)]
            self.say(f"  {where}: loss {logs['loss']:.4f}, {', '.join(known) or 'valid loss %.4g' % logs['val_loss']}")

        return keras.callbacks.LambdaCallback(on_epoch_end=told)

    def _told(self, logs: Mapping[str, float]) -> list[Head]:
        return [head for head in self.heads if f"val_{head.log}" in logs]

    def _say_bad_rows(self) -> None:
        """What was refilled or masked is said at the end too."""
        counts = {part: len(loader.quarantine()) for part, loader in self.loaders.items()}
        if any(counts.values()):
            what = "another row in their place" if self.config.fit.on_error == "refill" else "no weight"
            where = "" if self.run.run is None else f"; {bad_rows_report(self.run)} lists them"
            said = ", ".join(f"{number} of {part}" for part, number in counts.items() if number)
            self.say(f"rows that could not be read: {said}; they got {what}{where}")


def training_of(name: str, parts: Mapping[str, Dataset], config: Config, say: Say, *, writes: bool = True) -> Training:
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
    run, fit = run_of(config), config.fit
    report = bad_rows_report(run) if writes else None
    law = sampler_of(config, parts["train"])
    loaders: dict[str, Loader] = {}
    try:
        for part, data in parts.items():
            loaders[part] = make_loader(data, fit, shuffle=part == "train", report=report, law=law)
        model, came_compiled = model_of(config, parts["train"], fit.epochs * loaders["train"].steps_per_epoch)
        return Training(name=name, config=config, loaders=loaders, model=model, came_compiled=came_compiled, say=say)
    except BaseException:
        for loader in loaders.values():
            loader.close()
        raise


def train_model(
    name: str, parts: Mapping[str, Dataset], config: Config, *, say: Say = print, bar: bool | None = None
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


def num_rows(loader: Loader, start: int, stop: int) -> int:
    """Rows of the steps from `start` to before `stop`."""
    size = loader.batching.size

    def before(step: int) -> int:
        epoch, step_in_epoch = divmod(step, loader.steps_per_epoch)
        return epoch * size + step_in_epoch * loader.batch_size

    return max(0, before(stop) - before(start))


