"""The suite `sampling`: one call after another of the same draw, by mtgen and by others, checked before and after.

inputs      what every contender of a task is given      tasks    what is measured, and the targets
takers      who takes part in which task                 checks   is what was drawn right?
process     a task in the contender's own process        run      the runner for it
table       what comes out
"""

from __future__ import annotations
