"""One training: a model, its loaders and callbacks, `fit`, and what comes out of it."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mtgen.dataset import Dataset
from mtgen.errors import ModelError, OtherRunError
from mtgen.loader import Loader
from mtgen.sealed import Sealed
from mtgen.training.config.sections import Config
from mtgen.training.fit_plan import FitPlan, explained, monitor_of
from mtgen.training.heads import Head, heads_of
from mtgen.training.lines import num_rows, progress_lines, say_bad_rows, say_budget
from mtgen.training.models import callbacks_of
from mtgen.training.record.folder import RunFolder
from mtgen.training.result import Result, target_scores
from mtgen.training.rules import HalvingRule, PatienceRule
from mtgen.training.saving import (
    Say,
    bad_rows_report,
    no_silent_exit,
    run_callbacks,
    run_of,
    save_model,
    saved_on_sigterm,
)
from mtgen.training.settings import Run

if TYPE_CHECKING:
    import keras


@dataclass(kw_only=True, eq=False)
class Training:
    """A training that can begin: everything is built, nothing is trained or written.

    One thread, the main one. Close it; it is a context manager.

    Args:
        name: of the result.
        config: what to train.
        plan: how long.
        loaders: of train and valid.
        test: the test split; None where there is none.
        report: CSV file for rows that cannot be read; None for none.
        model: compiled.
        came_compiled: the model is the user's, with an optimizer of its own.
        say: where lines of progress go.
    """

    name: str
    config: Config
    plan: FitPlan
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

    @cached_property
    def run(self) -> Run:
        """Where the run is kept."""
        return run_of(self.config)

    @cached_property
    def patience(self) -> PatienceRule | None:
        """The rule that says when to validate and to stop."""
        return self.plan.patience_rule()

    @cached_property
    def halving(self) -> HalvingRule | None:
        """The rule that divides the learning rate."""
        return self.plan.halving_rule()

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
        return monitor_of(self.config.recipe, self.heads, came_compiled=self.came_compiled)

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
            decay=self.plan.decay,
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
        if self.plan.passes_epochs:
            self.say(f"{self.plan.end}: there is a validation every {self.plan.steps_between} steps")
        x = self.x()
        scores = self.scores()
        rules, own = self.rules(x, scores), callbacks_of(self.config)
        parts = {**self.loaders} if self.test is None else {**self.loaders, "test": self.test}
        checkpoint, callbacks = run_callbacks(self.config, self.run, x, parts, rules, own, self.say)
        if not bar:
            callbacks.append(self.lines())
        began = time.perf_counter()
        try:
            with no_silent_exit(), saved_on_sigterm(checkpoint):
                history = self.model.fit(
                    x,
                    epochs=self.plan.num_epochs,
                    validation_data=self.loaders["valid"].keras(self.model),
                    verbose="auto" if bar else 0,
                    shuffle=False,
                    callbacks=callbacks,
                ).history
        except OtherRunError as error:
            raise explained(error) from error.__cause__
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
            stop=len(history.get("loss", ())) * self.plan.steps_between if counts is None else counts.step,
            best_is_back=rules is not None and self.config.recipe.puts_best_back and self._has_best(),
        )

    def x(self) -> Any:
        """What Keras trains on."""
        return self.loaders["train"].keras(
            self.model, steps_per_epoch=None if self.patience is None else self.plan.steps_between
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
        # The logs lack the last validation where a run that patience had ended inside an epoch of Keras is resumed.
        is_last = len(history["loss"]) * self.plan.steps_between >= stop
        valid = (
            {name.removeprefix("val_"): values[-1] for name, values in history.items() if name.startswith("val_")}
            if is_last and not best_is_back
            else self._evaluated("valid")
        )
        test = None if scores is None else scores.in_the_end(self.model, stop)
        self._say_bad_rows(scores)
        return Result(
            name=self.name,
            scores=target_scores(self.heads, valid, test),
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

    def lines(self) -> Any:
        """A callback that says about ten lines per run."""
        return progress_lines(self.heads, self.plan, self.say)

    def _say_bad_rows(self, scores: Any) -> None:
        counts = {part: len(loader.quarantine()) for part, loader in self.loaders.items()}
        counts["test"] = 0 if scores is None else scores.num_bad_rows
        report = None if self.run.run is None else bad_rows_report(self.run)
        say_bad_rows(counts, self.config.fit.on_error, report, self.say)
