"""Every error carries its place in its text and survives pickling with all of it."""

from __future__ import annotations

import copy
import pickle

import pytest

from mtgen import errors
from mtgen.errors import MtgenError

KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, MtgenError)]
BUILT_IN = {
    "TableError": ValueError,
    "AlignmentError": ValueError,
    "StoreError": OSError,
    "DecodeError": OSError,
    "ChangedError": RuntimeError,
    "ManifestError": ValueError,
    "PlanError": ValueError,
    "EmptySupportError": ValueError,
    "NoDensityError": ValueError,
    "QueryError": ValueError,
    "SealedError": AttributeError,
    "StateError": ValueError,
    "OtherRunError": ValueError,
    "ModelError": ValueError,
    "BudgetError": RuntimeError,
    "StallError": TimeoutError,
}


def test_the_tree_is_whole() -> None:
    assert {kind.__name__ for kind in KINDS} == {"MtgenError", *BUILT_IN}
    assert all(issubclass(getattr(errors, name), built_in) for name, built_in in BUILT_IN.items())


@pytest.mark.parametrize("kind", KINDS)
def test_errors_pickle_and_copy_whole(kind: type[MtgenError]) -> None:
    error = kind("what happened", row=0, path="a.png", step=0)
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(again) is kind
        assert (again.message, again.row, again.path, again.step) == ("what happened", 0, "a.png", 0)
        assert str(again) == str(error) == "what happened [step 0, row 0, path a.png]"


@pytest.mark.parametrize("kind", KINDS)
def test_the_text_names_only_what_is_known(kind: type[MtgenError]) -> None:
    assert str(kind("what happened")) == "what happened"
    assert str(kind("what happened", path="x")) == "what happened [path x]"


def test_at_fills_in_what_is_missing_only() -> None:
    error = MtgenError("what happened", row=3)
    assert error.at(row=9, step=2) is error
    assert error.at(step=7, path="p") is error
    assert str(error) == "what happened [step 2, row 3, path p]"


def test_settings_that_differ_survive_pickling() -> None:
    error = errors.OtherRunError("what happened", settings=("config.learning_rate",), path="a")
    again = pickle.loads(pickle.dumps(error.at(step=2)))
    assert (again.settings, again.path, again.step) == (("config.learning_rate",), "a", 2)
