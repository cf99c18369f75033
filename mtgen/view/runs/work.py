"""What the pictures of one run share while they are made: the model, the data, and samples held in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from mtgen.dataset import Dataset
from mtgen.errors import MtgenError, PlanError
from mtgen.inputs.columns import BoundColumns
from mtgen.training.measures.held_samples import HeldSamples, hold
from mtgen.training.measures.states import Rebuilt, State
from mtgen.view.runs.story import LeftOut, Opened, Opener, Picture, Wanted

NO_DATA = "the data of the run cannot be opened: run.toml is not there, and nothing else says where the data is"

Made = tuple[list[Picture], list[LeftOut]]


@dataclass(kw_only=True, eq=False)
class Work:
    """What the pictures of one run share: the model, and the samples, read once.

    One thread. Whoever makes it closes it.

    Args:
        rebuilt: the model.
        wanted: what is to be drawn.
        best: step of the best validation.
        opener: opens the data; None where there is no way to it.
        taken: names of files so far.
    """

    rebuilt: Rebuilt
    wanted: Wanted
    best: int | None
    opener: Opener | None
    taken: set[str] = field(default_factory=set)
    _opened: Opened | None = None
    _held: HeldSamples | None = None
    _why: MtgenError | None = None

    @property
    def model(self) -> Any:
        """The model, with the values of the state that was put last."""
        return self.rebuilt.model

    def states(self, most: int) -> list[State]:
        """The wanted snapshots, else so many at most; see `Rebuilt.states`."""
        return self.rebuilt.states(most, self.wanted.snapshots, self.best)

    def data(self) -> Opened:
        """The data, opened once.

        Raises:
            MtgenError: it cannot be opened.
        """
        if self._why is not None:
            raise self._why
        if self._opened is None:
            try:
                if self.opener is None:
                    raise PlanError(NO_DATA)
                self._opened = self.opener()
            except MtgenError as error:
                self._why = error
                raise
        return self._opened

    @property
    def valid(self) -> Dataset:
        """The valid split; see `data`."""
        return self.data().valid.dataset

    def held(self) -> HeldSamples:
        """Samples of the valid split in memory, read once; see `hold`."""
        if self._held is None:
            self._held = hold(self.data().valid, self.model)
        return self._held

    def feature_names(self, name: str) -> Sequence[str]:
        """Names of the features of an input, where the data can be opened and says them."""
        try:
            fields = self.valid.fields
        except MtgenError:
            return ()
        bound = next((one.bound for one in fields if one.role == "input" and one.name == name), None)
        return tuple(map(str, bound.settings()["columns"])) if isinstance(bound, BoundColumns) else ()

    def close(self) -> None:
        """Close the loader, where it was opened."""
        if self._opened is not None:
            self._opened.valid.close()
