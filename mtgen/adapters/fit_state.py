"""Where a `fit` stands and what it has to show for it, as JSON, and whether another `fit` can go on from there.

Decides only: no Keras here, no files, no threads. `mtgen.adapters.checkpoint` saves and restores by it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mtgen.errors import PlanError, StateError


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


@dataclass(frozen=True, kw_only=True)
class FitState:
    """A `fit` between two steps.

    Immutable; any thread.

    Args:
        loader: the loader's state.
        epoch: Keras's epoch that is under way or begins next, 0-based.
        step_in_epoch: steps of it that were trained, 0 where it begins next.
        steps_per_epoch: steps in an epoch of Keras.
        whole_epochs: whether an epoch of Keras is one of the loader.
        epochs: numbers of the epochs that the history holds.
        logs: name -> a value for each of those epochs.
        optimizer: settings of the optimizer; None where it does not tell them.
        data_wait: seconds of this epoch in which training waited for batches.
        also: states of other callbacks, in their order.

    Example:
        >>> state = FitState(
        ...     loader={"epoch": 1}, epoch=1, step_in_epoch=2, steps_per_epoch=5, whole_epochs=True, logs={})
        >>> FitState.of(state.content()) == state
        True
    """

    loader: Mapping[str, Any]
    epoch: int
    step_in_epoch: int
    steps_per_epoch: int
    whole_epochs: bool
    epochs: tuple[int, ...] = ()
    logs: Mapping[str, list[Any]]
    optimizer: Mapping[str, Any] | None = None
    data_wait: float = 0.0
    also: tuple[Mapping[str, Any], ...] = ()

    def content(self) -> dict[str, Any]:
        """The state as small JSON."""
        return {
            "loader": dict(self.loader),
            "fit": {
                "epoch": self.epoch,
                "step_in_epoch": self.step_in_epoch,
                "steps_per_epoch": self.steps_per_epoch,
                "whole_epochs": self.whole_epochs,
            },
            "history": {"epoch": list(self.epochs), "logs": dict(self.logs)},
            "optimizer": None if self.optimizer is None else dict(self.optimizer),
            "data_wait": self.data_wait,
            **({"also": [dict(one) for one in self.also]} if self.also else {}),
        }

    @classmethod
    def of(cls, content: object) -> FitState:
        """The state that JSON holds.

        Raises:
            StateError: it was not made by `content`.
        """
        try:
            fit, history, optimizer = content["fit"], content["history"], content["optimizer"]  # type: ignore[index]
            state = cls(
                loader=dict(content["loader"]),  # type: ignore[index]
                epoch=fit["epoch"],
                step_in_epoch=fit["step_in_epoch"],
                steps_per_epoch=fit["steps_per_epoch"],
                whole_epochs=fit["whole_epochs"] is True,
                epochs=tuple(history["epoch"]),
                logs={name: list(values) for name, values in history["logs"].items()},
                optimizer=None if optimizer is None else dict(optimizer),
                data_wait=float(content.get("data_wait", 0.0)),  # type: ignore[attr-defined]
                also=tuple(dict(one) for one in content.get("also", ())),  # type: ignore[attr-defined]
            )
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise StateError(f"the checkpoint was not saved by loader.checkpoint: {error!r:.200}") from error
        if not all(map(_is_count, (state.epoch, state.step_in_epoch, state.steps_per_epoch))):
            raise StateError(
                f"the checkpoint was not saved by loader.checkpoint: it says that fit stands at {fit!r:.200}"
            )
        return state

    def place(self, step: int, *, num_batches: int, steps_per_epoch: int) -> tuple[int, int]:
        """Keras's epoch, and the steps of it that were trained, counted as the `fit` that goes on counts them.

        Args:
            step: at which the loader goes on.
            num_batches: steps in an epoch of Keras now.
            steps_per_epoch: steps in an epoch of the loader now.

        Raises:
            StateError: Keras's epochs have another length.

        Example:
            >>> state = FitState(
            ...     loader={"epoch": 1}, epoch=1, step_in_epoch=2, steps_per_epoch=4, whole_epochs=True, logs={})
            >>> state.place(12, num_batches=8, steps_per_epoch=8)  # half as many shards: twice as many steps
            (1, 4)
        """
        if self.steps_per_epoch == num_batches:
            return self.epoch, self.step_in_epoch
        if self.whole_epochs and num_batches == steps_per_epoch:
            # Another number of shards cuts the same epochs into other steps; the loader has said that it may.
            epoch, step_in_epoch = divmod(step, num_batches)
            return self.epoch + epoch - self.loader["epoch"], step_in_epoch
        raise StateError(
            f"a run with {self.steps_per_epoch} steps per epoch was saved, this one has {num_batches}: make "
            "loader.keras(steps_per_epoch=...) as it was"
        )


def check_steps(asked: int | None, num_batches: int, execution: int, every_steps: int | None) -> None:
    """Refuse a `fit` whose epochs no checkpoint can follow.

    Args:
        asked: steps per epoch that `fit` takes.
        num_batches: steps per epoch of the dataset.
        execution: `steps_per_execution` of the model.
        every_steps: how often is saved inside an epoch; None for never.

    Raises:
        PlanError: the two lengths differ, or Keras could not stop at a step of a resumed epoch.
    """
    if asked != num_batches:
        raise PlanError(
            f"fit takes {asked} steps per epoch, the dataset has {num_batches}. With checkpoints they must agree: "
            f"write loader.keras(steps_per_epoch={asked}) and leave steps_per_epoch out of fit"
        )
    if every_steps is not None and num_batches % execution:
        raise PlanError(
            f"steps_per_execution={execution} does not divide the {num_batches} steps of an epoch, so a run saved "
            "in the middle of an epoch could not be resumed there. Leave every_steps out, or choose another "
            "steps_per_execution"
        )


def check_rest(step_in_epoch: int, num_batches: int, execution: int) -> None:
    """Refuse to go on inside an epoch where Keras would run over its end.

    Args:
        step_in_epoch: steps of the epoch that were trained.
        num_batches: steps per epoch.
        execution: `steps_per_execution` of the model.

    Raises:
        PlanError: the steps that are left are no whole number of executions.
    """
    left = num_batches - step_in_epoch
    if step_in_epoch and left % execution:
        raise PlanError(
            f"steps_per_execution={execution} does not divide the {left} steps that are left of the epoch: resume with "
            "steps_per_execution=1"
        )


def is_due(every_steps: int | None, step: int, saved_step: int) -> bool:
    """Whether a step passed a multiple of `every_steps` since the last one that was saved. Pure.

    Example:
        >>> is_due(10, 20, 18), is_due(10, 19, 18), is_due(None, 20, 18)
        (True, False, False)
    """
    return every_steps is not None and step // every_steps != saved_step // every_steps
