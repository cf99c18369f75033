"""Which chunks to keep between windows: against plain searches, against every other choice, against LRU."""

from __future__ import annotations

import itertools
from collections import OrderedDict

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mtgen.keep_plan import NEVER, Keeper, Outlook, next_uses

windows_of_chunks = st.lists(st.lists(st.integers(0, 9), unique=True, max_size=6), min_size=1, max_size=12)


def arrays(windows: list[list[int]]) -> list[np.ndarray]:
    return [np.array(sorted(one), np.int64) for one in windows]


def plain_next_use(windows: list[np.ndarray], place: int, chunk: int) -> int:
    return next((later for later in range(place + 1, len(windows)) if chunk in windows[later]), NEVER)


@given(windows_of_chunks)
def test_next_uses_are_what_a_plain_search_finds(given_windows: list[list[int]]) -> None:
    windows = arrays(given_windows)
    expected = [[plain_next_use(windows, place, chunk) for chunk in one] for place, one in enumerate(windows)]
    assert [uses.tolist() for uses in next_uses(windows)] == expected


def belady_misses(windows: list[np.ndarray], capacity: int, num_ahead: int) -> int:
    keeper = Keeper(capacity)
    outlook = Outlook(lambda place: windows[place] if place < len(windows) else np.empty(0, np.int64), num_ahead)
    misses = 0
    for place in range(len(windows)):
        before = set(keeper.kept.tolist())
        chunks, uses = outlook.at(place, keeper)
        assert chunks.tolist() == windows[place].tolist()
        keep = keeper.advance(chunks, uses)
        misses += len(set(chunks.tolist()) - before)
        after = set(keeper.kept.tolist())
        assert after <= before | set(chunks.tolist()), "only what was there, or was just read, can be kept"
        assert len(after) <= capacity
        assert all(chunk in keep.stay for chunk in after)
        assert set(keep.leave) == before - after
    return misses


def fewest_misses(windows: list[np.ndarray], capacity: int) -> int:
    """Over all choices of what to keep: the truth, by brute force."""
    states = {frozenset[int](): 0}
    for window in windows:
        wanted = frozenset(window.tolist())
        following: dict[frozenset[int], int] = {}
        for held, misses in states.items():
            here = held | wanted
            for kept in itertools.combinations(sorted(here), min(capacity, len(here))):
                state = frozenset(kept)
                following[state] = min(following.get(state, 10**9), misses + len(wanted - held))
        states = following
    return min(states.values())


@given(
    st.lists(st.lists(st.integers(0, 6), unique=True, max_size=4), min_size=1, max_size=7),
    st.integers(0, 4),
    st.integers(1, 9),
)
def test_no_other_choice_reads_fewer_chunks(given_windows: list[list[int]], capacity: int, num_ahead: int) -> None:
    windows = arrays(given_windows)
    found = belady_misses(windows, capacity, max(num_ahead, len(windows)))
    assert found == fewest_misses(windows, capacity)


@given(windows_of_chunks, st.integers(0, 6), st.integers(1, 3))
def test_a_short_sight_reads_each_chunk_at_most_once_per_window(
    given_windows: list[list[int]], capacity: int, num_ahead: int
) -> None:
    windows = arrays(given_windows)
    assert belady_misses(windows, capacity, num_ahead) <= sum(map(len, windows))


def lru_misses(windows: list[np.ndarray], capacity: int) -> int:
    held: OrderedDict[int, None] = OrderedDict()
    misses = 0
    for window in windows:
        for chunk in window.tolist():
            misses += chunk not in held
            held[chunk] = None
            held.move_to_end(chunk)
            if len(held) > capacity:
                held.popitem(last=False)
    return misses


@given(windows_of_chunks, st.integers(1, 6))
def test_never_worse_than_lru(given_windows: list[list[int]], capacity: int) -> None:
    windows = arrays(given_windows)
    assert belady_misses(windows, capacity, len(windows)) <= lru_misses(windows, capacity)


def test_shuffled_epochs_miss_as_few_chunks_as_the_research_says() -> None:
    """16 rows per chunk, room for a tenth of the chunks: about 0.60 are missed, LRU misses 0.90."""
    rng = np.random.default_rng(0)
    num_rows, chunk_rows, capacity = 16_384, 16, 102
    chunks = np.concatenate([rng.permutation(num_rows) for _ in range(3)]) // chunk_rows
    windows = [np.array([chunk]) for chunk in chunks]
    wanted = len(windows)
    first = num_rows / chunk_rows
    assert 0.55 < (belady_misses(windows, capacity, num_rows) - first) / wanted < 0.65
    assert 0.85 < (lru_misses(windows, capacity) - first) / wanted < 0.95
