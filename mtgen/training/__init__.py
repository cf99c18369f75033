"""A training run from the command line or from Python: its configuration, the merged model, fitting, rules, the result.

Names are imported when they are first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mtgen.training.decisions import Decision
    from mtgen.training.heads import compile_for, model_for
    from mtgen.training.merged import Output, Scaling, Width, merged_model
    from mtgen.training.record.folder import RunFolder
    from mtgen.training.record.history import RunHistory
    from mtgen.training.record.run_record import record_run
    from mtgen.training.record.snapshot_callback import Snapshots
    from mtgen.training.record.snapshots import Snapshot
    from mtgen.training.rule_callback import RuleCallback
    from mtgen.training.rules import CombinedRate, HalvingRule, InverseEpochDecay, PatienceRule
    from mtgen.training.scores import TestScores

__all__ = [
    "CombinedRate",
    "Decision",
    "HalvingRule",
    "InverseEpochDecay",
    "Output",
    "PatienceRule",
    "RuleCallback",
    "RunFolder",
    "RunHistory",
    "Scaling",
    "Snapshot",
    "Snapshots",
    "TestScores",
    "Width",
    "compile_for",
    "merged_model",
    "model_for",
    "record_run",
]

_HOMES = {
    "CombinedRate": "mtgen.training.rules",
    "Decision": "mtgen.training.decisions",
    "HalvingRule": "mtgen.training.rules",
    "InverseEpochDecay": "mtgen.training.rules",
    "Output": "mtgen.training.merged",
    "PatienceRule": "mtgen.training.rules",
    "RuleCallback": "mtgen.training.rule_callback",
    "RunFolder": "mtgen.training.record.folder",
    "RunHistory": "mtgen.training.record.history",
    "Scaling": "mtgen.training.merged",
    "Snapshot": "mtgen.training.record.snapshots",
    "Snapshots": "mtgen.training.record.snapshot_callback",
    "TestScores": "mtgen.training.scores",
    "Width": "mtgen.training.merged",
    "compile_for": "mtgen.training.heads",
    "merged_model": "mtgen.training.merged",
    "model_for": "mtgen.training.heads",
    "record_run": "mtgen.training.record.run_record",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'mtgen.training' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOMES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
