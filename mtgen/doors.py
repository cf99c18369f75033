"""The loader's doors: to Keras and to devices, imported when one is opened, so that a loader costs no backend."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    import numpy as np

    from mtgen.held import Device, Held
    from mtgen.loader import Loader
    from mtgen.placements import PlacementPlan
    from mtgen.step_plan import StepPlan


def find_device() -> Device:
    """The device of the backend that Keras runs on.

    Raises:
        PlanError: a backend on which values cannot be held.
    """
    from mtgen.adapters import device

    return device.find()


class Doors:
    """What a `Loader` offers to Keras and devices, and places of patches; a part of it, kept here for its length."""

    _checked_model: Any
    _held: Held
    _plan: StepPlan

    @property
    def _loader(self) -> Loader:
        return cast("Loader", self)

    def places(self, step: int) -> dict[str, np.ndarray]:
        """Where the patches of one step are cut: name of each input or target of `Patches` -> int64 `(n, axes)`.

        The first pixel of each patch of the step's own rows, as `Batch.places` has it: of a row that was replaced,
        that of the bad one. Where all rows share an array, or the rows of a store, nothing is read; an array of the
        row's own is opened for its shape, and a picture decoded.

        Args:
            step: integer >= 0.

        Raises:
            PlanError: not an integer >= 0, or a sampler that gives no place.
            StoreError, DecodeError: an array or picture that cannot be read.

        Example:
            >>> from mtgen import sampling as S
            >>> patches = mtgen.Patches(np.zeros((9, 9)), S.constant([0.5, 0.5]), size=(3, 3))
            >>> data = mtgen.Dataset(pd.DataFrame({"label": [0, 1]}), {"patch": patches}, "label")
            >>> mtgen.Loader(data, 2).places(0)["patch"].tolist()
            [[3, 3], [3, 3]]
        """
        return self._plan.places(step)

    @property
    def placement_plan(self) -> PlacementPlan:
        """Where the values of each input are, and what that takes; `print` it. Nothing is read.

        Any thread. Where inputs go to a device, the backend of Keras is imported, to ask what is free there.

        Raises:
            PlanError: an input is to be on the device of a backend that has none.

        Example:
            >>> data = mtgen.Dataset(pd.DataFrame({"a": range(5)}), {"a": mtgen.Rows(np.zeros((5, 2), "f4"))})
            >>> print(mtgen.Loader(data, 2, placement="ram").placement_plan)
            a: in memory, 5 rows and one of zeros x 8 bytes = 48 bytes, not read yet
            memory: 48 bytes of the loader's memory=
        """
        return self._held.plan()

    @property
    def on_device(self) -> tuple[str, ...]:
        """Names of the inputs that are placed on the device."""
        return self._held.on_device

    def take_on_device(self, name: str, places: np.ndarray) -> Any:
        """Values of an input that is placed on the device, for the places in a batch of `stream(by_place=True)`.

        Args:
            name: of the input.
            places: int32 `(n,)`.

        Returns:
            `(n, *shape)`, an array of the backend on its device; the caller owns it.
        """
        return self._held.take(name, places)

    def order_log(self, x: Any, folder: Any) -> Any:
        """A Keras callback that logs the rows of trained steps; see `mtgen.adapters.order_log.OrderLogger`."""
        from mtgen.adapters import order_log

        return order_log.OrderLogger(x, folder)

    def check(self, model: Any) -> None:
        """Say before training which names, shapes or dtypes of a Keras model do not fit.

        Raises:
            ModelError: lists every mismatch.
        """
        from mtgen.adapters import keras

        keras.check(self._loader, model)
        self._checked_model = model

    def keras(self, model: Any = None, *, steps_per_epoch: int | None = None) -> Any:
        """What `model.fit`, `evaluate` and `predict` take as `x`; see `mtgen.adapters.keras.dataset`."""
        from mtgen.adapters import keras

        if model is None and self._checked_model is not None:
            keras.check_order(self._loader, self._checked_model)
        return keras.dataset(self._loader, model, steps_per_epoch=steps_per_epoch)

    def callback(self, x: Any) -> Any:
        """A Keras callback that counts trained steps and logs `data_wait`; see `mtgen.adapters.keras.Progress`."""
        from mtgen.adapters import keras

        return keras.Progress(x)

    def checkpoint(
        self,
        x: Any,
        folder: str | os.PathLike[str],
        *,
        every_steps: int | None = None,
        keep: int = 2,
        resume: bool = True,
        say: Callable[[str], None] = print,
        also: Sequence[Any] = (),
    ) -> Any:
        """A Keras callback that saves and resumes a run; see `mtgen.adapters.checkpoint.Checkpoint`."""
        from mtgen.adapters import checkpoint

        return checkpoint.Checkpoint(x, folder, every_steps=every_steps, keep=keep, resume=resume, say=say, also=also)

    def predict(self, model: Any, **options: Any) -> Any:
        """Predictions as a DataFrame, each with its row; see `mtgen.adapters.keras.predict`."""
        from mtgen.adapters import keras

        return keras.predict(self._loader, model, **options)
