"""Scores of the test split: computed when asked for, counted, and kept in a file with the step and the reason.

Each look at a test split is a chance to choose by it, so that it tells less about new data: hence the count.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from mtgen.adapters import variables
from mtgen.config import OnError
from mtgen.dataset import Dataset
from mtgen.errors import ModelError, PlanError, StateError
from mtgen.loader import Loader
from mtgen.sealed import Sealed
from mtgen.settings import check_kind, check_whole, short
from mtgen.state import differences, without_lone_files
from mtgen.training.score_file import Score, ScoreFile

NEW_BEST = "new best"
"""Why `RuleCallback` scores."""
IN_THE_END = "after training"
"""Why the test split is scored when training is over."""


class TestScores:
    """Evaluates models on the test split, and keeps what came out.

    The explicit call that a sealed split waits for. One thread. Training is not disturbed: variables that evaluation
    changes, such as sums of metrics, are put back.

    Args:
        test: the test split, sealed or not.
        batch_size: samples per batch, >= 1.
        path: CSV file with a line for each score: step, why, num_rows, and each metric; None for no file. One that
            is there is gone on with, and its lines count.
        num_workers: threads; see `mtgen.Loader`.
        memory: most bytes that are held while it scores.
        on_error: what to do about a sample that cannot be read.

    Raises:
        PlanError: something else than a split, or settings that no loader takes.
        StateError: the file is no file of scores.
        StoreError: the file cannot be read.

    Example:
        >>> data = mtgen.Dataset(pd.DataFrame({"a": range(10)}), inputs={"a": mtgen.Columns("a")})
        >>> train, test = data.split({"train": 0.8, "test": 0.2}, sealed="test")
        >>> TestScores(test, batch_size=2).num_scores
        0
    """

    __test__ = False  # pytest takes any class of this name for tests

    def __init__(
        self,
        test: Dataset | Sealed,
        *,
        batch_size: int,
        path: str | os.PathLike[str] | None = None,
        num_workers: int | None = None,
        memory: int | Literal["auto"] = "auto",
        on_error: Literal["raise", "refill", "mask"] | OnError = "raise",
    ) -> None:
        check_kind("test", test, Dataset | Sealed, "the test split, a mtgen.Dataset or mtgen.Sealed")
        self._test = test
        self._options: dict[str, Any] = {"num_workers": num_workers, "memory": memory, "on_error": on_error}
        self._batch_size = check_whole("batch_size", batch_size, 1)
        self.num_bad_rows = 0
        """Rows that could not be read when it last scored."""
        self._loader().close()  # refuses settings now, and not after the first epoch
        self._file = None if path is None else ScoreFile(Path(path))
        self._scores = [] if self._file is None else self._file.read()

    @property
    def scores(self) -> tuple[Score, ...]:
        """All scores in order."""
        return tuple(self._scores)

    @property
    def num_scores(self) -> int:
        """How often the test split was looked at."""
        return len(self._scores)

    @property
    def path(self) -> Path | None:
        """The file; None for none."""
        return None if self._file is None else self._file.path

    def _loader(self) -> Loader:
        test = self._test.open() if isinstance(self._test, Sealed) else self._test
        return Loader(test, self._batch_size, shuffle=False, **self._options)

    def score(self, model: Any, *, step: int, why: str) -> dict[str, float]:
        """Evaluate a model on the whole test split, in order, and keep the result.

        Call it in the thread that trains, between two steps, or when training is over. Threads of the loader end
        with it.

        Args:
            model: a compiled Keras model.
            step: number of steps that it was trained.
            why: the reason, such as "after training"; it is kept.

        Returns:
            Name -> value of the loss and each metric, as `model.evaluate` names them.

        Raises:
            ModelError: a model that is not compiled, does not fit the split, or has other metrics than those before.
            StoreError: the file cannot be written; the score is not counted then.
        """
        if not isinstance(why, str) or not why.isprintable():
            raise PlanError(f'why must be a reason in one line, such as "after training", received {short(why)}')
        step = check_whole("step", step)
        if not getattr(model, "compiled", False):
            raise ModelError(
                f"scoring needs a compiled Keras model, received {type(model).__name__}: call model.compile(...)"
            )
        with self._loader() as loader:
            values = _evaluated(model, loader)
            self.num_bad_rows = len(loader.quarantine())
            masked = self.num_bad_rows if loader.on_error.policy == "mask" else 0
        score = Score(step=step, why=why, num_rows=len(self._test) - masked, values=values)
        if self._file is not None:
            self._file.write([*self._scores, score])
        self._scores.append(score)
        return dict(values)

    def at_new_best(self, model: Any, step: int, logs: dict[str, Any]) -> str:
        """Score a model that is the best so far; the values go into the logs, as `test_loss` and the like.

        Returns:
            What is to be said.
        """
        values = self.score(model, step=step, why=NEW_BEST)
        logs.update({f"test_{name}": value for name, value in values.items()})
        told = ", ".join(f"{name} {value:.6g}" for name, value in values.items())
        return f"{NEW_BEST}, on the test split {told} (look {self.num_scores})"

    def in_the_end(self, model: Any, step: int) -> dict[str, float]:
        """Score the trained model; the scores of a run that had ended are not looked up again.

        Args:
            model: as in `score`.
            step: number of steps that it was trained; scores of later ones are forgotten.

        Returns:
            As `score` does.
        """
        self.go_back(step)
        last = self._scores[-1] if self._scores else None
        if last is not None and (last.step, last.why) == (step, IN_THE_END):
            return dict(last.values)
        return self.score(model, step=step, why=IN_THE_END)

    # --- state --------------------------------------------------------------------------------------------------------

    def go_back(self, step: int) -> str | None:
        """Forget the scores of later steps, in the file too: training goes on at `step`.

        Returns:
            A line that says so; None where there are none.
        """
        kept = [score for score in self._scores if score.step <= step]
        dropped = self.num_scores - len(kept)
        self._keep(kept)
        where = "" if self._file is None else f" in {self._file.path}"
        return (
            f"{dropped} scores of later steps{where} were left out: training begins at step {step}" if dropped else None
        )

    def _keep(self, scores: list[Score]) -> None:
        if self._file is not None:
            self._file.write(scores)
        self._scores = scores

    def state(self) -> dict[str, Any]:
        """The scores and what they are of, as JSON."""
        return {"dataset": self._test.digests, "scores": [score.content() for score in self._scores]}

    def check_state(self, state: Any) -> None:
        """Refuse a state of another test split, or of none.

        Raises:
            StateError: names what differs.
        """
        _scores_of(state)
        before, now = state["dataset"], self._test.digests
        differing = differences("dataset part", without_lone_files(before, now), without_lone_files(now, before))
        if differing:
            raise StateError(
                f"the run was scored on another test split. Differing: {'; '.join(differing)}. Give TestScores the "
                "split that the run began with, or choose another folder for a new run"
            )

    def restore(self, state: Any) -> None:
        """Go on from a state: scores that are not in it are forgotten, in the file too.

        Raises:
            StateError: see `check_state`.
        """
        self.check_state(state)
        self._keep(_scores_of(state))


def _scores_of(state: Any) -> list[Score]:
    known = isinstance(state, Mapping) and isinstance(state.get("dataset"), Mapping)
    if not known or not isinstance(state.get("scores"), list):
        raise StateError(f"this is not the state of TestScores: {short(state)}")
    return [Score.of(content) for content in state["scores"]]


def _evaluated(model: Any, loader: Loader) -> dict[str, float]:
    """The logs of an evaluation that leaves the model as it was."""
    # Evaluation counts in metrics, and may draw from seed generators; weights and the optimizer it only reads.
    metrics = list(model.metrics_variables)
    changed = {"model": [*model.non_trainable_variables, *metrics]}
    before = variables.read(changed)
    mode = getattr(model, "training", None)  # of torch's modules
    try:
        logs = model.evaluate(loader.keras(model), verbose=0, return_dict=True)
    finally:
        if len(model.metrics_variables) != len(metrics):
            model.reset_metrics()  # made by this evaluation
        variables.assign(changed, before)
        if isinstance(mode, bool) and hasattr(model, "train"):
            model.train(mode)
    return {str(name): float(value) for name, value in logs.items()}
