"""What was found wrong: a line per row, as text and as CSV."""

from __future__ import annotations

import csv
import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mtgen.errors import PlanError
from mtgen.stores.new_folder import replace_file

SHOWN = 10
"""Problems that a message lists."""


class Problem(NamedTuple):
    """What is wrong with one file, for one row that needs it.

    Args:
        row: row of the root table; None for a file that no row needs alone.
        path: file or store.
        error: what is wrong.
    """

    row: int | None
    path: str
    error: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Report:
    """What was found.

    Args:
        num_checked: files, or pictures and blocks of rows, that were looked at.
        problems: what is wrong, a line per row.
        remarks: what is worth a word and not wrong.
    """

    num_checked: int
    problems: tuple[Problem, ...]
    remarks: tuple[str, ...] = ()

    @property
    def is_fine(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems

    @property
    def rows(self) -> np.ndarray:
        """The rows with a problem, int64, each once, sorted."""
        return np.unique(np.array([one.row for one in self.problems if one.row is not None], np.int64))

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the problems as CSV with the columns row, path, error; in the place of an older one.

        Raises:
            PlanError: the file cannot be written; an older one is as it was.
        """
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(Problem._fields)
        writer.writerows(("" if one.row is None else one.row, one.path, one.error) for one in self.problems)
        try:
            replace_file(Path(path), text.getvalue().encode("utf-8", "surrogateescape"))
        except OSError as error:
            raise PlanError(
                f"the report cannot be written ({error}): check space and rights", path=str(path)
            ) from error

    def __str__(self) -> str:
        lines = [f"  {place_of(one)}: {one.error}" for one in self.problems[:SHOWN]]
        if len(self.problems) > SHOWN:
            lines.append(f"  and {len(self.problems) - SHOWN:,} more")
        found = f"{len(self.problems):,} problems" if self.problems else "nothing wrong"
        return "\n".join([f"{self.num_checked:,} looked at: {found}", *lines, *self.remarks])


def place_of(problem: Problem) -> str:
    """Row and path, in words."""
    return problem.path if problem.row is None else f"row {problem.row}, {problem.path}"
