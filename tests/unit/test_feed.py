"""What a feed keeps for its logs: the rows of served batches until they were trained, and no more than that."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import mtgen
from mtgen.adapters.feed import MOST_AHEAD, Feed
from mtgen.errors import PlanError

STEPS = 5


def feed(num_rows: int = 10) -> Feed:
    data = mtgen.Dataset(pd.DataFrame({"a": range(num_rows)}), {"a": mtgen.Columns("a")})
    return Feed(mtgen.Loader(data, 2, seed=1, num_workers=0))


def start(one: Feed) -> list[tuple[int, list[int]]]:
    logged: list[tuple[int, list[int]]] = []
    one.attach("list", lambda step, rows: logged.append((step, rows.tolist())))
    one.start_training(one.next_step)
    return logged


def test_trained_steps_are_logged_once_with_the_rows_that_were_served() -> None:
    one = feed()
    logged = start(one)
    whole = one.begin()
    for place in range(4):
        one.serve(whole, place)
    one.serve(whole, 0)  # asked for again
    one.note_trained(1)
    one.note_trained(3)
    one.note_trained(3)
    assert logged == [(step, one.loader.rows(step).tolist()) for step in range(3)]
    assert one.trained_step == 3


def test_nothing_is_kept_without_a_log_or_after_training() -> None:
    one = feed()
    whole = one.begin()
    one.serve(whole, 0)
    assert not one._served
    logged = start(one)
    whole = one.begin()
    for place in range(STEPS):
        one.serve(whole, place)
        one.note_trained(place + 1)
        assert not one._served
    assert len(logged) == STEPS


def test_what_is_kept_is_bounded_where_nobody_counts() -> None:
    one = feed()
    start(one)
    for _ in range(MOST_AHEAD):
        whole = one.begin()
        for place in range(STEPS):
            one.serve(whole, place)
    assert len(one._served) == STEPS + MOST_AHEAD


def test_a_step_that_nobody_served_cannot_be_logged() -> None:
    one = feed()
    start(one)
    with pytest.raises(PlanError, match=r"its batch is not known any more.*\[step 0\]"):
        one.note_trained(1)


def test_a_log_that_was_taken_off_hears_no_more() -> None:
    one = feed()
    logged: list[int] = []

    def log(step: int, rows: np.ndarray) -> None:
        logged.append(step)

    one.attach("log", log)
    one.attach("log", log)
    one.start_training(0)
    whole = one.begin()
    one.serve(whole, 0)
    one.note_trained(1)
    one.detach("log")
    one.detach("log")
    one.serve(whole, 1)
    one.note_trained(2)
    assert logged == [0]


@pytest.mark.parametrize("wrong", [True, 0, 2.0, "5"])
def test_steps_per_epoch_is_a_number_of_steps(wrong: Any) -> None:
    """`True` was taken for one step."""
    with pytest.raises(PlanError, match="steps_per_epoch must be an integer >= 1 or None, received"):
        Feed(feed().loader, wrong)
