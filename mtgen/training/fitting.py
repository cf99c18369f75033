"""One training: a model, its loaders and callbacks, `fit`, and what comes out of it."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from mtgen.dataset import Dataset
from mtgen.errors import ModelError, OtherRunError, StateError
from mtgen.loader import Loader
from mtgen.sealed import Sealed, check_opened
from mtgen.training.config.building import make_loader, sampler_of
from mtgen.training.config.paths import absolute
from mtgen.training.config.sections import Config
from mtgen.training.heads import Head, heads_of
from mtgen.training.lines import num_rows, progress_lines, say_budget
from mtgen.training.models import callbacks_of, model_of
from mtgen.training.record.folder import RunFolder
from mtgen.training.result import Result, TargetScore
from mtgen.training.rules import HalvingRule, InverseEpochDecay, PatienceRule
from mtgen.training.saving import Say, bad_rows_report, run_callbacks, save_model, saved_on_sigterm
from mtgen.training.settings import Run

if TYPE_CHECKING:
    import keras

IN_THE_END = "after training"
"""Why the test split is scored when training is over."""


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
        loaders: of train and valid.
        test: the test split; None where there is none.
        report: CSV file for rows that cannot be read; None for none.
        model: compiled.
        came_compiled: the model is the user's, with an optimizer of its own.
        say: where lines of progress go.
    """

    name: str
    config: Config
    loaders: Mapping[str, Loader]
    test: Dataset | Sealed | None
    report: Path | None
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

    def scores(self) -> Any:
        """What scores the test split; None where it is left alone."""
        if self.config.recipe.score_test == "never" or self.test is None:
            return None
        from mtgen.training.scores import TestScores

        fit = self.config.fit
        return TestScores(
            self.test,
            batch_size=fit.batch_size,
            path=None if self.run.run is None else RunFolder(self.run.run).test_scores,
            num_workers=fit.workers,
            memory="auto" if fit.memory is None else fit.memory,
            on_error=replace(fit.error_policy, report=self.report),
        )

    def rules(self, x: Any, scores: Any = None) -> Any:
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
            test=scores if recipe.score_test == "best" else None,
        )

    # --- training -----------------------------------------------------------------------------------------------------

    def fit(self, bar: bool) -> Result:
        """Train, save the model, and score it; `bar`: Keras's own progress bar instead of lines.

        Raises:
            ModelError: the loss is no number after training.
        """
        say_budget(self.loaders, self.say)
        x = self.x()
        scores = self.scores()
        rules, own = self.rules(x, scores), callbacks_of(self.config)
        parts = {**self.loaders} if self.test is None else {**self.loaders, "test": self.test}
        checkpoint, callbacks = run_callbacks(self.config, self.run, x, parts, rules, own, self.say)
        if not bar:
            callbacks.append(self.lines())
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
        except OtherRunError as error:
            raise explained(error) from error
        finally:
            if checkpoint is not None:
                checkpoint.checkpoints.close()  # also where a callback after it refused to begin
        seconds = time.perf_counter() - began
        counts = rules if rules is not None else checkpoint
        return self._result(
            history,
            seconds,
            scores,
            start=0 if checkpoint is None else checkpoint.start_step,
            stop=len(history.get("loss", ())) * self.steps_between if counts is None else counts.step,
            best_is_back=rules is not None and self.config.recipe.puts_best_back and self._has_best(),
        )

    def x(self) -> Any:
        """What Keras trains on."""
        return self.loaders["train"].keras(
            self.model, steps_per_epoch=None if self.patience is None else self.steps_between
        )

    def _has_best(self) -> bool:
        return any(rule is not None and math.isfinite(rule.best) for rule in (self.patience, self.halving))

    def _result(
        self,
        history: Mapping[str, list[float]],
        seconds: float,
        scores: Any,
        *,
        start: int,
        stop: int,
        best_is_back: bool,
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
        test = None if scores is None else self._tested(scores, stop)
        self._say_bad_rows(scores)
        return Result(
            name=self.name,
            scores=self._scores(valid, test),
            num_rows=num_rows(self.loaders["train"], start, stop),
            num_test_rows=len(self.loaders["valid"].dataset if test is None or self.test is None else self.test),
            seconds=seconds,
            stats=self.loaders["train"].stats(),
            history=history,
            model=self.model,
            num_steps=stop,
        )

    def _evaluated(self, part: str) -> dict[str, float]:
        found: dict[str, float] = self.model.evaluate(self.loaders[part].keras(self.model), verbose=0, return_dict=True)
        return found

    def _tested(self, scores: Any, step: int) -> dict[str, float]:
        """The scores of the trained model; those of a run that had ended are not looked up again."""
        scores.go_back(step)
        last = scores.scores[-1] if scores.num_scores else None
        if last is not None and (last.step, last.why) == (step, IN_THE_END):
            return dict(last.values)
        found: dict[str, float] = scores.score(self.model, step=step, why=IN_THE_END)
        return found

    def _scores(self, valid: Mapping[str, float], test: Mapping[str, float] | None) -> tuple[TargetScore, ...]:
        """By target; of a model that came compiled by whatever it measures, in the order of the logs."""
        if self.heads and all(head.log in valid for head in self.heads):
            named = [(head.target, head.word, head.log) for head in self.heads]
        else:
            named = [("", name.replace("_", " "), name) for name in sorted(valid, key=lambda name: name == "loss")][:1]
        return tuple(
            TargetScore(
                target=target,
                metric=word,
                test=None if test is None else float(test[log]),
                valid=float(valid[log]),
            )
            for target, word, log in named
        )

    def lines(self) -> Any:
        """A callback that says about ten lines per run."""
        return progress_lines(
            self.heads,
            num_epochs=self.num_epochs,
            epochs_between=None
            if self.steps_between == self.steps_per_epoch
            else self.steps_between / self.steps_per_epoch,
            most_epochs=self.config.fit.epochs,
            say=self.say,
        )

    def _say_bad_rows(self, scores: Any) -> None:
        """What was refilled or masked is said at the end too."""
        counts = {part: len(loader.quarantine()) for part, loader in self.loaders.items()}
        counts["test"] = 0 if scores is None else scores.num_bad_rows
        if any(counts.values()):
            what = "another row in their place" if self.config.fit.on_error == "refill" else "no weight"
            where = "" if self.run.run is None else f"; {bad_rows_report(self.run)} lists them"
            said = ", ".join(f"{number} of {part}" for part, number in counts.items() if number)
            self.say(f"rows that could not be read: {said}; they got {what}{where}")


def explained(error: OtherRunError) -> OtherRunError:
    """The error of a run that goes on, with why it differs where that can be told.

    The learning rate of a cosine falls to 0 with the last epoch, so more epochs are another run.

    Example:
        >>> explained(OtherRunError("Differing", settings=("config.learning_rate",))).message
        'Differing'
    """
    if not any(name.rpartition(".")[2] == "decay_steps" for name in error.settings):
        return error
    return OtherRunError(
        f"{error.message}. The learning rate of mtgen train falls over all epochs: give the --epochs, "
        "--batch-size and --learning-rate that the run began with, or begin one with --schedule constant",
        error.settings,
        path=error.path,
    )


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
        model, came_compiled = model_of(config, train, config.fit.epochs * loaders["train"].steps_per_epoch)
    except BaseException:
        for loader in loaders.values():
            loader.close()
        raise
    return Training(
        name=name,
        config=config,
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
