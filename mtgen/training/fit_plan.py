"""How long a training is, and what ends it: what follows from the settings before anything is built. Decides only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from mtgen.errors import OtherRunError
from mtgen.training.heads import Head
from mtgen.training.rules import HalvingRule, InverseEpochDecay, PatienceRule
from mtgen.training.rules.patience import Patience
from mtgen.training.settings import Rules


@dataclass(frozen=True, kw_only=True)
class FitPlan:
    """Steps, validations and epochs of a training.

    Immutable; any thread.

    Args:
        recipe: the rules.
        epochs: of the loader, as asked for, >= 1.
        steps_per_epoch: steps of an epoch of the loader, >= 1.

    Example:
        >>> plan = FitPlan(recipe=Rules(patience=62), epochs=3, steps_per_epoch=100)
        >>> plan.steps_between, plan.num_epochs, plan.num_steps
        (31, 10, 310)
        >>> plan.end
        '3 epochs at most and up to the validation that ends them, 310 steps (3.1 epochs) at most'
    """

    recipe: Rules
    epochs: int
    steps_per_epoch: int

    @property
    def patience(self) -> Patience | None:
        """What says when to validate and to stop."""
        recipe = self.recipe
        if recipe.patience is None:
            return None
        return Patience(
            patience=recipe.patience,
            patience_increase=recipe.patience_increase,
            improvement_threshold=recipe.improvement_threshold,
            batches_per_epoch=self.steps_per_epoch,
        )

    def patience_rule(self) -> PatienceRule | None:
        """A new rule that says when to validate and to stop."""
        return None if self.patience is None else PatienceRule(**asdict(self.patience))

    def halving_rule(self) -> HalvingRule | None:
        """A new rule that divides the learning rate."""
        recipe = self.recipe
        if recipe.halve_after is None:
            return None
        return HalvingRule(recipe.halve_after, recipe.halving_factor, recipe.halving_floor)

    @property
    def decay(self) -> InverseEpochDecay | None:
        """How the learning rate falls with the epochs of the loader."""
        return None if self.recipe.decay is None else InverseEpochDecay(self.recipe.decay)

    @property
    def steps_between(self) -> int:
        """Steps from one validation to the next: an epoch of Keras."""
        return self.steps_per_epoch if self.patience is None else self.patience.validation_frequency

    @property
    def num_epochs(self) -> int:
        """Epochs of Keras at most, that is validations."""
        return self.epochs if self.patience is None else self.patience.num_validations(self.epochs)

    @property
    def num_steps(self) -> int:
        """Steps at most: up to the validation that ends the last epoch, which may come after it.

        Validations keep their distance, so that every step that is trained is validated too, and a run that is
        continued with more epochs is the same as one that had them from the beginning.
        """
        return self.steps_between * self.num_epochs

    @property
    def most_epochs(self) -> float:
        """Epochs of the loader at most."""
        return self.num_steps / self.steps_per_epoch

    @property
    def has_whole_epochs(self) -> bool:
        """Whether an epoch of Keras is one of the loader."""
        return self.steps_between == self.steps_per_epoch

    @property
    def passes_epochs(self) -> bool:
        """Whether the validation that ends the last epoch comes after it."""
        return self.num_steps > self.epochs * self.steps_per_epoch

    @property
    def end(self) -> str:
        """The longest that it takes, in words."""
        if not self.passes_epochs:
            return f"{self.epochs} epochs at most, {self.num_steps} steps at most"
        return (
            f"{self.epochs} epochs at most and up to the validation that ends them, {self.num_steps} steps "
            f"({self.most_epochs:.1f} epochs) at most"
        )


def monitor_of(recipe: Rules, heads: Sequence[Head], *, came_compiled: bool) -> str:
    """What the rules watch.

    Args:
        recipe: which may name it.
        heads: what the model is scored by.
        came_compiled: the model has a loss and metrics of its own.
    """
    if recipe.monitor is not None:
        return recipe.monitor
    if len(heads) == 1 and not heads[0].shrinks and not came_compiled:
        return f"1 - val_{heads[0].log}"
    return "val_loss"


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
