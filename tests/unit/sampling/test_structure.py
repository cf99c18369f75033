"""Digests of what samplers are made of: equal for what draws alike, and never for what draws otherwise."""

from __future__ import annotations

import functools
import math
import operator
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import stats

from mtgen import sampling as S
from mtgen.errors import PlanError
from mtgen.sampling.structure import digest_of


class Scaled:
    """A transform with a setting."""

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def __call__(self, points: np.ndarray) -> np.ndarray:
        return self.factor * points

    def of(self, points: np.ndarray) -> np.ndarray:
        return self.factor * points


def shifted(by: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda points: points + by


DIFFERENT: list[Any] = [
    None,
    True,
    1,
    1.0,
    "1",
    b"1",
    (),
    (1,),
    ((1,),),
    (1, 2),
    {1, 2},
    {1: 2},
    Ellipsis,
    slice(1, 2),
    np.float64(1),
    np.float32(1),
    np.array([1]),
    np.array([1], np.int32),
    np.array([[1]]),
    np.array(["1"]),
    np.add,
    np.multiply,
    np.add.reduce,
    np.multiply.reduce,
    np.mean,
    math.sqrt,
    operator.itemgetter,
    str.upper,
    int,
    shifted(1),
    shifted(2),
    lambda points: points[..., 0],
    lambda points: points[..., 1],
    lambda points: np.isin(points, list({1, 2})),
    lambda points, more=1: points,
    Scaled(1),
    Scaled(2),
    Scaled(1).of,
    Scaled(2).of,
    np.array([1.0]).dot,
    np.array([2.0]).dot,
    {"a": 1}.get,
    functools.partial(np.add, 1),
    functools.partial(np.add, 2),
    functools.lru_cache(shifted(1)),
    functools.lru_cache(shifted(2)),
    S.normal(),
    S.normal(1),
    S.uniform(),
]


def test_things_that_differ_have_digests_that_differ() -> None:
    digests = [digest_of(one) for one in DIFFERENT]
    assert len(set(digests)) == len(DIFFERENT)


def test_equal_things_have_equal_digests() -> None:
    assert digest_of({3, 1, 2}) == digest_of({2, 3, 1})
    assert digest_of(shifted(1)) == digest_of(shifted(1))
    assert digest_of(Scaled(3).of) == digest_of(Scaled(3).of)
    assert digest_of(functools.partial(shifted(1), 4)) == digest_of(functools.partial(shifted(1), 4))
    assert digest_of(np.arange(6).reshape(2, 3)) == digest_of(np.asfortranarray(np.arange(6).reshape(2, 3)))
    assert digest_of(np.arange(3, dtype=">i8")) == digest_of(np.arange(3, dtype="<i8"))


def test_laws_through_methods_of_different_objects_are_not_equal() -> None:
    one, other = (S.normal().apply(Scaled(factor).of) for factor in (1, 2))
    assert one != other
    assert one == S.normal().apply(Scaled(1).of)
    assert pickle.loads(pickle.dumps(one)) == one


class Tabled(stats.rv_continuous):
    """A law of the user's, with settings of kinds that SciPy's own laws do not have."""

    def __init__(self, table: Any = (1.0,), shift: Any = None, **more: Any) -> None:
        super().__init__(**more)
        self.table, self.shift = table, shift

    def _updated_ctor_param(self) -> dict[str, Any]:
        return {**super()._updated_ctor_param(), "table": self.table, "shift": self.shift}

    def _ppf(self, q: np.ndarray) -> np.ndarray:
        return q * self.table[0] + self.shift(0)


class Drawn:
    """Whatever has `rvs`."""

    def __init__(self, law: Any) -> None:
        self.law = law

    def rvs(self, random_state: np.random.Generator) -> np.ndarray:
        return self.law.factor * random_state.random(2)


def test_laws_of_scipy_count_with_all_that_they_hold() -> None:
    laws = [Tabled([1.0], shifted(0)), Tabled([2.0], shifted(0)), Tabled([1.0], shifted(1))]
    assert len({S.scipy(law()).digest() for law in laws}) == 3
    assert S.scipy(Tabled([1.0], shifted(0))()) == S.scipy(laws[0]())
    assert S.scipy(Drawn(Scaled(1))) != S.scipy(Drawn(Scaled(2)))
    assert S.scipy(Drawn(Scaled(1))) == S.scipy(Drawn(Scaled(1)))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.vectorize(lambda one: one), "cannot be told from others like it"),
        (np.frompyfunc(lambda one: one, 1, 1), "cannot be told from others like it"),
        (np.random.default_rng(0).normal, "a sampler cannot hold Generator"),
    ],
)
def test_what_cannot_be_told_apart_is_refused(value: Any, message: str) -> None:
    with pytest.raises(PlanError, match=message):
        digest_of(value)


def test_what_holds_itself_is_refused() -> None:
    knot: list[Any] = []
    knot.append(knot)
    with pytest.raises(PlanError, match="nested more than 200 deep, or holds itself"):
        digest_of(knot)
    wide = Scaled(1)
    wide.factor = [0.0, wide, wide]  # type: ignore[assignment]
    with pytest.raises(PlanError, match="holds more than 262,144 things, or itself"):
        digest_of([[0] * (1 << 18)])
    with pytest.raises(PlanError, match=r"200 deep|262,144 things"):
        digest_of(wide.of)


def test_digests_do_not_depend_on_the_process() -> None:
    text = (
        "from mtgen import sampling as S\n"
        "from mtgen.sampling.structure import digest_of\n"
        "print(digest_of({'a', 'b', 'c'}), (S.normal(dim=2) & S.labels([[0, 1]], {0: 1, 1: 3})).digest(), end='')"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", text],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(found) == 1
