"""Rules of a training recipe: when to stop, and the learning rate. They decide from numbers, and know no framework.

Each rule has immutable settings and an explicit state, small JSON that can be saved after any update.
"""

from mtgen.training.rules.decay import CombinedRate, InverseEpochDecay
from mtgen.training.rules.halving import Halving, HalvingDecision, HalvingRule, HalvingState
from mtgen.training.rules.patience import Patience, PatienceDecision, PatienceRule, PatienceState

__all__ = [
    "CombinedRate",
    "Halving",
    "HalvingDecision",
    "HalvingRule",
    "HalvingState",
    "InverseEpochDecay",
    "Patience",
    "PatienceDecision",
    "PatienceRule",
    "PatienceState",
]
