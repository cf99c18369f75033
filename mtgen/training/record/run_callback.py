"""What the callbacks that write into the folder of a run have in common: counting steps, resuming, their order."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np

from mtgen.adapters.keras import Progress
from mtgen.errors import PlanError, StateError
from mtgen.settings import check_flag, check_kind, short
from mtgen.training.decisions import Decision
from mtgen.training.record.folder import RunFolder


class RunCallback(Progress, ABC):
    """Writes into the folder of a run, and goes on there when the run is resumed: the base of such callbacks.

    Keras calls it, in the thread of `fit`; `mtgen.adapters.also.Stateful` says how a checkpoint keeps its state.

    Args:
        x: what `loader.keras()` returned, given to `fit` too.
        folder: of the run, a path or a `RunFolder`.
        resume: whether a run that begins at step 0 takes the place of one that is there.
        say: where lines go.
    """

    _kind: ClassVar[str]
    """In states and messages."""
    _with_article: ClassVar[str]
    """The kind with its article, if it has one."""

    def __init__(
        self, x: Any, folder: str | os.PathLike[str] | RunFolder, *, resume: bool, say: Callable[[str], None]
    ) -> None:
        super().__init__(x)
        self.folder = RunFolder(folder)
        self._resume, self._say = check_flag("resume", resume), say
        self._began = self._started = False
        self._restored: Mapping[str, Any] | None = None
        self._offset = 0
        self._rules: Any = None

    def _listen(self, name: str, rules: Any, listener: Callable[[Decision], None]) -> None:
        """Hear the decisions of a `RuleCallback`, or of None, which is the setting of that name."""
        if rules is not None:
            check_kind(name, getattr(rules, "listen", None), Callable, "a RuleCallback or None")
            rules.listen(listener)
        self._rules = rules

    @property
    def trained(self) -> int:
        """Steps trained so far; not the loader's own number where a run went on with another number of shards."""
        return self.step + self._offset

    @property
    def _is_new(self) -> bool:
        """Whether the run begins here: nothing is trained, restored, or written by a `fit` before."""
        return not self._started and self._restored is None and not self.trained

    def set_model(self, model: Any) -> None:
        """A `fit` begins."""
        super().set_model(model)
        self._began = False

    def on_train_begin(self, logs: Any = None) -> None:
        """Go on behind the last trained step; what was written for later ones is made anew.

        Raises:
            PlanError: the folder has another run, and this one begins; or callbacks stand in the wrong order.
            StateError: what is there is damaged; says where.
            StoreError: something cannot be read or written.
        """
        super().on_train_begin(logs)
        self._begin()
        self._began = self._started = True
        self._restored = None

    @abstractmethod
    def _begin(self) -> None:
        """Make the folder that of step `trained`."""

    def _another_run(self, what: str, dropping: str, path: os.PathLike[str]) -> PlanError:
        return PlanError(
            f"the folder has the {what} of a run, and this one begins at step 0. Continue that one with "
            f"loader.checkpoint(..., also=[{what}]), the first of the callbacks; let {self._kind}(resume=True) "
            f"{dropping}; or choose another folder",
            path=str(path),
        )

    # --- state --------------------------------------------------------------------------------------------------------

    def saved_state(self) -> dict[str, Any]:
        """Where it stands, as JSON."""
        return {"kind": self._kind, "step": self.trained}

    def saved_arrays(self) -> Mapping[str, np.ndarray]:
        """None."""
        return {}

    @abstractmethod
    def _fits(self, state: Mapping[str, Any]) -> bool:
        """Whether a state of this kind has what `saved_state` says, `step` included."""

    def check_saved(self, state: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        """Refuse a state of something else.

        Raises:
            StateError: it was saved by something else.
            PlanError: the checkpoint stands after this callback.
        """
        if self._began:
            raise PlanError(
                f"the checkpoint must stand before {self._kind} in the list of callbacks: make it the first"
            )
        if state.get("kind") != self._kind or not self._fits(state):
            raise StateError(f"this is not the state of {self._with_article}: {short(dict(state))}")

    def restore_saved(self, state: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        """Go on from a state."""
        self._offset = state["step"] - self.step
        self._restored = state
