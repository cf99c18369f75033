"""What rules decide while they train, each thing as an object: to be listened to, and written down as a line of JSON.

`WHAT` is the closed set of words. A rule that stops says why in `text`; a learning rate is told as its share of the
given one, because a schedule has no single number.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, fields
from typing import Any

from mtgen.errors import PlanError
from mtgen.settings import short

WHAT = {
    "improved": "the value is the best so far; `before` and `after`: the best value",
    "extended": "patience grew; `before` and `after`: the mini-batch at which training ends",
    "halved": "nothing improved for too long; `before` and `after`: the share of the given learning rate",
    "decayed": "an epoch of the loader began; `before` and `after`: the share of the given learning rate by the decay",
    "stopped": "training ends",
    "restored": "the best variables were put back; `value` and `after`: the best value",
}
"""Each word that `Decision.what` can be, and what it means."""

RULES = ("patience", "halving", "decay")
"""Each word that `Decision.rule` can be."""


@dataclass(frozen=True)
class Decision:
    """One thing that a rule decided. Immutable; any thread.

    Args:
        step: steps of the loader that were trained when it was decided.
        iteration: 0-based number of the mini-batch after which it holds, since the rule began.
        rule: one of `RULES`.
        what: one of `WHAT`.
        value: what was watched, where a validation was the reason.
        before: a number as it was, see `WHAT`; None where there was none.
        after: the number as it is.
        text: the same as a sentence.

    Raises:
        PlanError: another word.

    Example:
        >>> Decision(40, 39, "patience", "extended", 0.25, 50, 78.0, "patience 50 -> 78").line()[:56]
        '{"step": 40, "iteration": 39, "rule": "patience", "what"'
    """

    step: int
    iteration: int
    rule: str
    what: str
    value: float | None
    before: float | None
    after: float | None
    text: str

    def __post_init__(self) -> None:
        for name, words in (("rule", RULES), ("what", tuple(WHAT))):
            if getattr(self, name) not in words:
                raise PlanError(f"{name} of a decision must be one of {words}, received {short(getattr(self, name))}")

    def line(self) -> str:
        """One JSON object without a line break; a number that JSON does not have, such as NaN, is null."""
        return json.dumps({one.name: _finite(getattr(self, one.name)) for one in fields(self)}, allow_nan=False)


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
